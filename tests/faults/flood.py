"""More than anybody wants to hear, from one MQTT connection, at a given pace.

`python -m tests.faults.flood PORT KIND NUMBER SIZE PACE SEED` publishes with quality of service 0,
over a bare socket, packets that were made in advance.  When the broker has taken in all of them,
it says as JSON on standard output how many there were, and how long that took.
"""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from bench.feeder import packet, split, text
from bench.peers import CORRELATION, payloads
from maestro_exporter.notes import Role, Sender, Topic, encode
from tests.fuzz.mutations import change_bytes, change_objects
from tests.samples import stats_response
from tests.wire_vectors import load_vectors

_ROOT = Path(__file__).parents[2]
_CONNECT, _PUBLISH, _PINGREQ, _DISCONNECT = 0x10, 0x30, 0xC0, 0xE0
_CONNACK, _PINGRESP = 0x20, 0xD0
_STEP = 0.005  # seconds between two pieces
_PATIENCE = 60.0
_TOPICS = (Topic.RESPONSES, Topic.NOTIFICATIONS)

#: Who floods with notes.
SPEAKERS = 300


class Sent(NamedTuple):
    """What a flood was.

    Attributes:
        messages, size: published, and the bytes of their payloads.
        seconds: from the first byte until the broker had taken in the last.
    """

    messages: int
    size: int
    seconds: float

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds


class Message(NamedTuple):
    """What is published: where and what."""

    topic: str
    payload: bytes


# ------------------------------------------------------------- what it is made of


def notes(number: int, _size: int, _seed: int) -> Iterator[Message]:
    """Give STATS and PING replies of some hundred peers, by turns, to somebody else's requests."""
    made = [each.replace(CORRELATION.encode(), b"f" * 36) for each in payloads(SPEAKERS)]
    for index in range(number):
        yield Message(Topic.RESPONSES, made[index % len(made)])


def strangers(number: int, _size: int, _seed: int) -> Iterator[Message]:
    """Give a STATS reply of one peer after the other, none of which says more."""
    blank = "00000000"
    sender = Sender(
        id=f"id-{blank}", name="worker", host=f"host-{blank}", role=Role.SENDER, group="all"
    )
    template = encode(stats_response(sender, correlation_id="f" * 36, message_id="m" * 36))
    for index in range(number):
        yield Message(Topic.RESPONSES, template.replace(blank.encode(), b"%08d" % index))


def garbage(_number: int, size: int, seed: int) -> Iterator[Message]:
    """Give random bytes, from none to some hundred kB at a time; of each length as many bytes."""
    dice = random.Random(seed)
    noise = dice.randbytes(1 << 20)
    while size > 0:
        length = min(size, int(2 ** dice.uniform(0, 18)))
        at = dice.randrange(len(noise) - length)
        size -= length
        yield Message(dice.choice(_TOPICS), noise[at : at + length])


def mutants(number: int, _size: int, seed: int) -> Iterator[Message]:
    """Give payloads that upstream has made, each with a few things changed."""
    dice = random.Random(seed)
    vectors = [each.payload for each in load_vectors()]
    for _ in range(number):
        payload = dice.choice(vectors)
        change = dice.randrange(1 << 30)
        if dice.random() < 0.5:
            payload = change_objects(payload, change, vectors)
        else:
            payload = change_bytes(payload, change)
        yield Message(dice.choice(_TOPICS), payload)


KINDS = {each.__name__: each for each in (notes, strangers, garbage, mutants)}


# ------------------------------------------------------------- the process that floods


def _packets(messages: Iterator[Message]) -> tuple[list[bytes], int]:
    """Give the packets, and the bytes of their payloads."""
    packets, size = [], 0
    known: dict[tuple[str, bytes], bytes] = {}
    for topic, payload in messages:
        each = known.get((topic, payload)) or packet(_PUBLISH, text(topic) + payload)
        if len(known) < 2 * SPEAKERS:
            known[topic, payload] = each
        packets.append(each)
        size += len(payload)
    return packets, size


class _Client:
    """A connection to a broker, by MQTT 3.1.1."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), _PATIENCE)
        self._received = b""
        level, clean_session, keep_alive = b"\x04", b"\x02", b"\0\0"
        self.send(packet(_CONNECT, text("MQTT") + level + clean_session + keep_alive + text("")))
        self._await(_CONNACK)

    def send(self, content: bytes) -> None:
        self._socket.sendall(content)

    def settle(self) -> None:
        """Wait until the broker has taken in all that was sent."""
        self.send(packet(_PINGREQ, b""))
        self._await(_PINGRESP)

    def close(self) -> None:
        self.send(packet(_DISCONNECT, b""))
        self._socket.close()

    def _await(self, kind: int) -> None:
        while True:
            packets, self._received = split(self._received)
            if any(each == kind for each, _ in packets):
                return
            piece = self._socket.recv(4096)
            if not piece:
                raise ConnectionError("the broker has hung up")
            self._received += piece


def _send(client: _Client, packets: Sequence[bytes], pace: float) -> None:
    """Send so many a second, as far as the broker takes them."""
    began, sent = time.monotonic(), 0
    while sent < len(packets):
        due = min(len(packets), int((time.monotonic() - began) * pace) + 1)
        if due > sent:
            client.send(b"".join(packets[sent:due]))
            sent = due
        else:
            time.sleep(_STEP)


def main(arguments: Sequence[str]) -> None:
    """Flood."""
    port, kind, number, size, pace, seed = arguments
    packets, total = _packets(KINDS[kind](int(number), int(size), int(seed)))
    client = _Client(int(port))
    began = time.monotonic()
    _send(client, packets, float(pace))
    client.settle()
    seconds = time.monotonic() - began
    client.close()
    sys.stdout.write(json.dumps(Sent(len(packets), total, seconds)))


# ------------------------------------------------------------- the process that starts it


class Flood:
    """A process that floods a broker; a context manager, which ends it.

    Args:
        port: of the broker on 127.0.0.1.
        kind: one of `KINDS`.
        number: of messages; of garbage, `size` bytes count.
        pace: messages a second, at most.
        seed: of what is by chance.
    """

    def __init__(
        self, port: int, kind: str, *, number: int = 0, size: int = 0, pace: float, seed: int = 1
    ) -> None:
        self._arguments = [port, kind, number, size, pace, seed]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Flood:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, *map(str, self._arguments)],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        assert self._process is not None
        return self._process.poll() is not None

    def wait(self, seconds: float = _PATIENCE) -> Sent:
        """Wait for its end, and give what it was."""
        assert self._process is not None
        output, _ = self._process.communicate(timeout=seconds)
        assert self._process.returncode == 0, self._process.returncode
        return Sent(*json.loads(output))


if __name__ == "__main__":
    main(sys.argv[1:])
