"""Peers by the thousand on one MQTT connection, as fast as the broker takes what they say.

`python -m bench.feeder PORT PEERS SECONDS` answers each round of requests that it hears: all
peers answer STATS and PING, spread evenly over so many seconds.  With SECONDS `on-order` it only
collects the ids of the rounds, and answers several of them at once when told how many by a line
of JSON on standard input; where fewer rounds were asked than that, it makes ids up.  For each
order, and once at the start when its subscription is acknowledged, it says on standard output
how many messages it has sent.

It ends when its standard input does.  MQTT 3.1.1 is spoken on a bare socket: the packets of a
round are made in advance, and only the ids and the count are patched in.
Source: https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple
from uuid import uuid4

from bench.peers import CORRELATION, COUNT_BYTES, MESSAGE, payloads
from maestro_exporter.notes import PingRequest, Topic, decode

_CONNECT, _SUBSCRIBE, _PUBLISH = 0x10, 0x82, 0x30
_SUBACK = 0x90
#: Seconds between two slices of the answers to a round.
_STEP = 0.005


def text(value: str) -> bytes:
    """Give a string as MQTT packs it."""
    packed = value.encode()
    return len(packed).to_bytes(2, "big") + packed


def packet(kind: int, body: bytes) -> bytes:
    """Give an MQTT packet: kind and flags, length, body."""
    length, header = len(body), bytearray([kind])
    while True:
        length, seven = divmod(length, 128)
        header.append(seven | (0x80 if length else 0))
        if not length:
            return bytes(header) + body


def split(buffer: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Give the complete packets of a stream as kind and body, and the rest."""
    packets = []
    while len(buffer) >= 2:
        length, end = 0, 1
        while end < len(buffer):
            length |= (buffer[end] & 0x7F) << 7 * (end - 1)
            end += 1
            if not buffer[end - 1] & 0x80:
                break
        if buffer[end - 1] & 0x80 or len(buffer) < end + length:
            break
        packets.append((buffer[0] & 0xF0, buffer[end : end + length]))
        buffer = buffer[end + length :]
    return packets, buffer


class _Slice(NamedTuple):
    """Answers that are to be sent at some monotonic second."""

    due: float
    number: int
    correlation_id: str
    message_id: str


class Feeder:
    """The connection, and what is to be sent over it.

    Args:
        port: of the broker on 127.0.0.1.
        peers: how many.
        spread: seconds over which the answers to a round are spread; None to answer on order.
    """

    def __init__(self, port: int, peers: int, spread: float | None) -> None:
        self._spread = spread
        steps = 1 if spread is None else max(1, min(peers, round(spread / _STEP)))
        packets = [packet(_PUBLISH, text(Topic.RESPONSES) + body) for body in payloads(peers)]
        cuts = [2 * (peers * step // steps) for step in range(steps + 1)]
        self._slices = [b"".join(packets[start:end]) for start, end in pairwise(cuts)]
        self._messages = len(packets)
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        level, clean_session, keep_alive = b"\x04", b"\x02", b"\0\0"
        self._socket.sendall(
            packet(_CONNECT, text("MQTT") + level + clean_session + keep_alive + text("feeder"))
        )
        # Quality of service 0: nothing needs to be acknowledged.
        self._socket.sendall(packet(_SUBSCRIBE, b"\0\1" + text(Topic.PEERS) + b"\0"))
        self._socket.setblocking(False)
        self._received = b""
        self._outgoing: deque[memoryview] = deque()
        self._due: deque[_Slice] = deque()
        self._asked: deque[str] = deque(maxlen=100)
        self._rounds = 0
        self._orders = b""

    def run(self) -> None:
        """Serve until standard input ends."""
        while True:
            wait = max(0.0, self._due[0].due - time.monotonic()) if self._due else 60.0
            writing = [self._socket] if self._outgoing else []
            readable, writable, _ = select.select([self._socket, sys.stdin], writing, [], wait)
            if self._socket in readable and not self._read():
                return
            if sys.stdin in readable and not self._obey():
                return
            while self._due and self._due[0].due <= time.monotonic():
                self._put(self._due.popleft())
            if writable or self._outgoing:
                self._write()

    def _read(self) -> bool:
        """Take in what the broker sends; tell whether the connection is still there."""
        piece = self._socket.recv(65536)
        packets, self._received = split(self._received + piece)
        for kind, body in packets:
            if kind == _SUBACK:
                _say({"sent": 0})
            elif kind == _PUBLISH:
                end = 2 + int.from_bytes(body[:2], "big")
                self._hear(decode(body[end:], Topic.PEERS))
        return bool(piece)

    def _hear(self, note: Any) -> None:
        """Answer a round, which is complete with its PING."""
        if not isinstance(note, PingRequest):
            return
        correlation_id = str(note.correlation_id)
        if self._spread is None:
            self._asked.append(correlation_id)
        else:
            self._plan(correlation_id, str(note.message_id), self._spread)

    def _plan(self, correlation_id: str, message_id: str, spread: float) -> None:
        self._rounds += 1
        start, count = time.monotonic(), len(self._slices)
        self._due += [
            _Slice(start + spread * number / count, number, correlation_id, message_id)
            for number in range(count)
        ]

    def _put(self, each: _Slice) -> None:
        count = b"\xce" + (1_000_003 * self._rounds % 2**32).to_bytes(4, "big")
        answers = (
            self._slices[each.number]
            .replace(CORRELATION.encode(), each.correlation_id.encode())
            .replace(MESSAGE.encode(), each.message_id.encode())
            .replace(COUNT_BYTES, count)
        )
        self._outgoing.append(memoryview(answers))

    def _write(self) -> None:
        while self._outgoing:
            first = self._outgoing[0]
            try:
                sent = self._socket.send(first)
            except BlockingIOError:
                return
            if sent < len(first):
                self._outgoing[0] = first[sent:]
                return
            self._outgoing.popleft()

    def _obey(self) -> bool:
        """Take in the orders; tell whether there may be more."""
        piece = os.read(sys.stdin.fileno(), 65536)
        *lines, self._orders = (self._orders + piece).split(b"\n")
        for line in lines:
            rounds = json.loads(line)
            for correlation_id in self._ids(rounds):
                self._plan(correlation_id, str(uuid4()), 0.0)
            _say({"sent": rounds * self._messages})
        return bool(piece)

    def _ids(self, rounds: int) -> Iterator[str]:
        """Give the ids of the newest rounds that were not answered yet."""
        chosen = list(self._asked)[-rounds:]
        self._asked.clear()
        yield from chosen
        for _ in range(rounds - len(chosen)):
            yield str(uuid4())


def _say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Feed."""
    port, peers, spread = sys.argv[1:]
    Feeder(int(port), int(peers), None if spread == "on-order" else float(spread)).run()


if __name__ == "__main__":
    main()
