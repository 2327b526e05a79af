"""An HTTP client that asks as fast as it is answered: `python -m bench.load`.

Each line of JSON on standard input, `{"port", "encoding", "connections", "seconds"}`, makes it
ask for `/metrics` over so many connections, which are kept, the next request following upon the
answer.  It says how many complete answers came in how many seconds, and their shortest and longest
body in bytes.  It reads bodies without keeping them, with a length or in chunks.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import sys
import time
from typing import Any

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class UnexpectedError(Exception):
    """The server did not answer 200, or hung up."""


class Connection:
    """One connection: reads an answer to its end.

    Args:
        port: of the server on 127.0.0.1.
        request: what is asked each time.
    """

    def __init__(self, port: int, request: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request = request
        self._buffer = memoryview(bytearray(1 << 18))
        self._text = b""  # of a head, or of the line before a chunk
        self._left = 0  # bytes of the body or chunk, with the line end behind a chunk
        self._chunked = self._in_body = self._last = False
        self.body = 0

    def ask(self) -> None:
        """Send the request."""
        self.body = 0
        self.socket.sendall(self._request)

    def read(self) -> bool:
        """Take in what is there; tell whether that completes the answer."""
        size = self.socket.recv_into(self._buffer)
        if not size:
            raise UnexpectedError("the server hung up")
        start = 0
        while start < size:
            if self._left:
                taken = min(self._left, size - start)
                self._left -= taken
                start += taken
            else:
                start = self._read_text(start, size)
            if self._in_body and not self._left and (self._last or not self._chunked):
                self._in_body = self._last = False
                return True
        return False

    def _read_text(self, start: int, size: int) -> int:
        """Read on in a head or in a chunk's line; give where what follows begins."""
        mark = b"\r\n" if self._in_body else b"\r\n\r\n"
        before = len(self._text)
        self._text += bytes(self._buffer[start : min(size, start + 4096)])
        end = self._text.find(mark)
        if end < 0:
            return min(size, start + 4096)
        line, consumed = self._text[: end + 2], end + len(mark) - before
        self._text = b""
        if self._in_body:
            length = int(line.partition(b";")[0], 16)
            self._last = not length
            self.body += length
            self._left = length + 2
        else:
            self._begin_body(line)
        return start + consumed

    def _begin_body(self, head: bytes) -> None:
        if b" 200 " not in head[:16]:
            raise UnexpectedError(head.partition(b"\r\n")[0].decode("ascii", "replace"))
        length = _LENGTH.search(head)
        self._in_body, self._chunked = True, length is None
        if length is not None:
            self._left = self.body = int(length[1])


def load(port: int, encoding: str, connections: int, seconds: float) -> dict[str, Any]:
    """Ask for so long; give what came."""
    request = (
        f"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept-Encoding: {encoding}\r\n\r\n"
    ).encode()
    answers, bodies = 0, set()
    with selectors.DefaultSelector() as selector:
        open_ = [Connection(port, request) for _ in range(connections)]
        start = time.perf_counter()
        for each in open_:
            selector.register(each.socket, selectors.EVENT_READ, each)
            each.ask()
        while (now := time.perf_counter()) - start < seconds or not answers:
            events = selector.select(10)
            if not events:
                raise UnexpectedError("no answer within 10 s")
            for key, _ in events:
                if key.data.read():
                    answers += 1
                    bodies.add(key.data.body)
                    key.data.ask()
        for each in open_:
            each.socket.close()
    return {
        "answers": answers,
        "seconds": now - start,
        "least": min(bodies),
        "most": max(bodies),
    }


def main() -> None:
    """Obey until standard input ends."""
    for line in sys.stdin:
        sys.stdout.write(json.dumps(load(**json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
