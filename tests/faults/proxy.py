"""A network between a client and a server on 127.0.0.1 that fails on command."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")

HOST = "127.0.0.1"
#: A CONNACK of MQTT 3.1.1 that says "unacceptable protocol version".
REFUSED_VERSION = bytes.fromhex("20020001")

_CHUNK = 16 * 1024  # the most bytes of each direction of a connection that are in here at a time
_BACKLOG = 128
_PATIENCE = 10.0  # seconds for what takes none
_ESTABLISHED = 1  # of the kernel's tcp_states.h
_MQTT_5 = 5

#: How a new connection is treated, until it is over.
Treatment = Callable[[socket.socket], Awaitable[None]]


class Proxy:
    """Forwards connections to a port and does to them what a test wants; a context manager.

    It works in a thread of its own.  All controls may be used from any thread, before it is
    entered too if they say nothing else, and what they change is changed when they return.  It
    changes, loses and delays nothing unless it is told to, and holds few bytes: what the one side
    does not take is not read from the other, and the end of a direction is forwarded as such.

    When nothing listens at the other end, connections are accepted and reset.

    Attributes:
        port: where it listens; from its making to its end nobody else gets it.
        url, tls_url: the same for clients, whatever the broker speaks.
        attempts: when each connection was accepted, in monotonic seconds.
        most_open: the most connections that were open at a time; a connection that the client has
            closed is not open any more, be it forwarded or stalled.
        bytes_down: what has gone on from the server to clients.
        levels: the protocol levels that clients asked for, of `only_mqtt_311`.
    """

    def __init__(self, upstream_port: int | None = None) -> None:
        # Never listens: it keeps the port while the other one does not exist.
        self._keeper = _bound(0)
        self.port: int = self._keeper.getsockname()[1]
        self.url = f"mqtt://{HOST}:{self.port}"
        self.tls_url = f"mqtts://localhost:{self.port}"
        self.attempts: list[float] = []
        self.most_open = 0
        self.bytes_down = 0
        self.levels: list[int] = []
        self._upstream_port = upstream_port
        self._treat: Treatment = self._forward
        self._delay = 0.0
        self._cut_after: int | None = None
        self._probability, self._spare, self._random = 0.0, 0, random.Random()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        # Used in that thread only.
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._listener: socket.socket | None = None
        self._clients: dict[asyncio.Task[None], socket.socket] = {}
        self._failures: list[BaseException] = []

    def __enter__(self) -> Proxy:
        self._thread.start()
        self.allow()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.refuse()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE)
        self._loop.close()
        self._keeper.close()
        if self._failures and error is None:
            raise self._failures[0]

    # ------------------------------------------------------------- what is seen

    @property
    def connections(self) -> int:
        """How many connections have been accepted."""
        return len(self.attempts)

    @property
    def open(self) -> int:
        """How many connections are open: neither side has closed them."""
        return self._run(self._count_open())

    # ----------------------------------------------- connections; once it is entered

    def cut(self) -> None:
        """Reset all connections; new ones are welcome."""
        self._run(self._cut_all())

    def refuse(self) -> None:
        """Reset all connections, and let nobody connect; the kernel refuses, so nobody counts."""
        self._run(self._stop_listening())

    def allow(self) -> None:
        """Let everybody connect, as in the beginning."""
        self._run(self._listen())

    def stall(self) -> None:
        """Hold back all bytes of both directions; connections stay open, new ones are accepted.

        A connection that is made and given up meanwhile never gets to the server.
        """
        self._run(self._hold(True))

    def resume(self) -> None:
        """Let go on what was held back."""
        self._run(self._hold(False))

    # --------------------------------------------------------- bytes; at any time

    def delay(self, seconds: float) -> None:
        """Hold each chunk of bytes of each direction for a while, from now on."""
        self._delay = seconds

    def corrupt(self, probability: float, seed: int, spare: int = 0) -> None:
        """Flip a bit in some of the bytes from the server, from now on.

        Args:
            probability: of each byte; 0 for no more of that.
            seed: which bytes, and which bits.
            spare: how many bytes at the beginning of each connection stay as they are.
        """
        self._random, self._spare = random.Random(seed), spare
        self._probability = probability

    def cut_after(self, length: int | None) -> None:
        """Close each new connection when that many bytes have come from the server; None: don't."""
        self._cut_after = length

    # ------------------------------------------ new connections: the last one holds

    def forward(self) -> None:
        """Forward them, as in the beginning."""
        self._treat = self._forward

    def swallow(self) -> None:
        """Take in what clients say, forward nothing and say nothing."""
        self._treat = self._swallow

    def babble(self, length: int, seed: int, first: bytes = b"") -> None:
        """Answer the first bytes with `first` and random ones, which go on from the seed; close."""
        numbers = random.Random(seed)

        async def treat(client: socket.socket) -> None:
            if await self._loop.sock_recv(client, _CHUNK):
                answer = first + numbers.randbytes(length)
                await self._loop.sock_sendall(client, answer)

        self._treat = treat

    def only_mqtt_311(self, answer: bytes = REFUSED_VERSION) -> None:
        """Forward clients of MQTT 3.1 and 3.1.1; give those of MQTT 5 this answer, and hang up.

        Real brokers that are too old for MQTT 5 do so, or hang up without an answer.
        """

        async def treat(client: socket.socket) -> None:
            head = b""
            while (level := protocol_level(head)) is None:
                more = await self._loop.sock_recv(client, _CHUNK)
                if not more:
                    return
                head += more
            self.levels.append(level)
            if level == _MQTT_5:
                await self._loop.sock_sendall(client, answer)
            else:
                await self._forward(client, head)

        self._treat = treat

    # ------------------------------------------------------- in the proxy's thread

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_PATIENCE)

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = _bound(self.port)
            self._listener.listen(_BACKLOG)
            self._loop.add_reader(self._listener, self._accept, self._listener)

    async def _stop_listening(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        await self._cut_all()

    async def _cut_all(self) -> None:
        for task in (tasks := list(self._clients)):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _hold(self, hold: bool) -> None:
        if hold:
            self._flowing.clear()
        else:
            self._flowing.set()

    async def _count_open(self) -> int:
        return sum(map(_is_open, self._clients.values()))

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except OSError:  # it has gone again
            return
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.attempts.append(time.monotonic())
        task = self._loop.create_task(self._serve(client, self._treat))
        self._clients[task] = client
        self.most_open = max(self.most_open, sum(map(_is_open, self._clients.values())))
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._clients.pop(task).close()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failures.append(error)

    async def _serve(self, client: socket.socket, treat: Treatment) -> None:
        with suppress(OSError), _closing(client):
            await treat(client)

    async def _swallow(self, client: socket.socket) -> None:
        while await self._loop.sock_recv(client, _CHUNK):
            pass

    async def _forward(self, client: socket.socket, head: bytes = b"") -> None:
        cut_after = self._cut_after
        await self._flowing.wait()
        if not _is_open(client):
            return
        with _closing(socket.socket()) as server:
            server.setblocking(False)
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.sock_connect(server, (HOST, self._upstream_port))
            await self._loop.sock_sendall(server, head)
            await _all_or_none(
                self._go_up(client, server), self._go_down(server, client, cut_after)
            )

    async def _go_up(self, client: socket.socket, server: socket.socket) -> None:
        while await self._give(server, await self._take(client)):
            pass

    async def _go_down(
        self, server: socket.socket, client: socket.socket, cut_after: int | None
    ) -> None:
        passed, more = 0, True
        while more:
            chunk = await self._take(server)
            if cut_after is not None:
                chunk = chunk[: cut_after - passed]
            altered = self._alter(chunk, passed)
            passed += len(chunk)
            self.bytes_down += len(chunk)
            more = await self._give(client, altered)
            if passed == cut_after:
                raise _CutError

    async def _take(self, source: socket.socket) -> bytes:
        """Give the next bytes when it is time for them; none at the end."""
        await self._flowing.wait()
        chunk = await self._loop.sock_recv(source, _CHUNK)
        if self._delay:
            await asyncio.sleep(self._delay)
        await self._flowing.wait()
        return chunk

    async def _give(self, sink: socket.socket, chunk: bytes) -> bool:
        """Send bytes, or the end if there are none; tell whether more are welcome."""
        try:
            if chunk:
                await self._loop.sock_sendall(sink, chunk)
            else:
                sink.shutdown(socket.SHUT_WR)
        except OSError:
            return False  # the other direction reads what it had said before, and then notices
        return bool(chunk)

    def _alter(self, chunk: bytes, position: int) -> bytes:
        if not self._probability:
            return chunk
        altered = bytearray(chunk)
        for i in range(max(0, self._spare - position), len(chunk)):
            if self._random.random() < self._probability:
                altered[i] ^= 1 << self._random.randrange(8)
        return bytes(altered)


def protocol_level(head: bytes) -> int | None:
    """Give the level that a CONNECT asks for: 3 is MQTT 3.1, 4 is 3.1.1; None: more is needed."""
    # The type; the length, whose last byte is below 128; the name with its length; the level.
    name = next((i + 1 for i, byte in enumerate(head) if i > 0 and byte < 128), None)
    if name is None or len(head) < name + 2:
        return None
    level = name + 2 + int.from_bytes(head[name : name + 2], "big")
    return head[level] if level < len(head) else None


class _CutError(OSError):
    """The connection is to end here."""


async def _all_or_none(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Wait for all; when one fails, or this is cancelled, end the others first."""
    tasks = [asyncio.create_task(each) for each in coroutines]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def _bound(port: int) -> socket.socket:
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setblocking(False)
    bound.bind((HOST, port))
    return bound


def _is_open(connection: socket.socket) -> bool:
    # It cannot be read, since what is held back would have to be kept then.
    if connection.fileno() < 0:
        return False
    info: bytes = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
    return info[0] == _ESTABLISHED


@contextmanager
def _closing(connection: socket.socket) -> Iterator[socket.socket]:
    """Close a connection at the end; reset it if that is an error or a cancellation."""
    with connection:
        try:
            yield connection
        except _CutError:
            raise
        except BaseException:
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            raise
