"""Sends pages at the pace at which clients read them, to so many at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.web.iweb import IRequest
from zope.interface import implementer

#: Bytes that are handed to a connection at a time: as many as Twisted hands to the operating
#: system at a time.
PIECE = 128 * 1024
#: Bytes of a body that is handed over at once; what a reader that has stalled costs at most.
SMALL = 256 * 1024
#: Bytes of all pages that are being sent, or as much as two of them where that is more.  Clients
#: that read slowly hold on to pages that are outdated; beyond this, those that have had longest
#: are cut off.
MOST_HELD = 24 * 1024 * 1024


class Sending:
    """The pages that are on their way to clients.

    Args:
        most: how many there may be, those that are being made included.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self._streams: dict[_Stream, Sequence[bytes]] = {}

    @property
    def full(self) -> bool:
        """Whether there are as many as there may be."""
        return self._count >= self._most

    def send(self, request: Any, body: Sequence[bytes]) -> bytes | Deferred[bytes]:
        """Send a body, whose pieces are joined; the headers are set.

        Give the whole body where it is small; else a Deferred that fires with nothing when the
        last of it is handed to the connection.  To cancel it ends the sending.
        """
        if sum(map(len, body)) <= SMALL:
            return b"".join(body)
        return self._stream(request, body)

    def hold(self, sent: Deferred[bytes]) -> Deferred[bytes]:
        """Count a page from now on, until the Deferred has fired."""
        self._count += 1

        def release(result: Any) -> Any:
            self._count -= 1
            return result

        return sent.addBoth(release)

    def _stream(self, request: IRequest, body: Sequence[bytes]) -> Deferred[bytes]:
        stream = _Stream(request, body)
        self._streams[stream] = body
        self._make_room(stream)

        def forget(result: Any) -> Any:
            self._streams.pop(stream, None)
            return result

        return stream.start().addBoth(forget)

    def _make_room(self, newest: _Stream) -> None:
        most = max(MOST_HELD, 2 * sum(map(len, self._streams[newest])))
        while self._held() > most:
            eldest = next(iter(self._streams))
            if eldest is newest:
                return
            del self._streams[eldest]
            eldest.cut_off()

    def _held(self) -> int:
        pieces = {id(piece): len(piece) for body in self._streams.values() for piece in body}
        return sum(pieces.values())


@implementer(IPushProducer)
class _Stream:
    """One body on its way."""

    def __init__(self, request: Any, body: Sequence[bytes]) -> None:
        self._request = request
        self._pieces = _pieces(body)
        self._paused = False
        self._done: Deferred[bytes] = Deferred(self._cancelled)

    def start(self) -> Deferred[bytes]:
        """Begin to send; give a Deferred that fires with nothing when all is handed over."""
        self._request.registerProducer(self, True)
        self.resumeProducing()
        return self._done

    def cut_off(self) -> None:
        """End the connection, whatever the client has read."""
        self._request.channel.abort()

    def resumeProducing(self) -> None:
        """Hand over what the connection can take."""
        self._paused = False
        while not self._paused:
            piece = next(self._pieces, None)
            if piece is None:
                self._paused = True
                self._request.unregisterProducer()
                self._done.callback(b"")
                return
            self._request.write(piece)

    def pauseProducing(self) -> None:
        """The connection has enough for now."""
        self._paused = True

    def stopProducing(self) -> None:
        """The connection is gone."""
        self._paused = True

    def _cancelled(self, _: Deferred[bytes]) -> None:
        self._paused = True
        self._pieces = iter(())
        if self._request.channel is not None:  # else the connection is gone
            self._request.unregisterProducer()


def _pieces(body: Sequence[bytes]) -> Iterator[bytes]:
    """Cut and join a body to pieces that are worth a call, and not much longer."""
    together: list[bytes] = []
    length = 0
    for part in body:
        for start in range(0, len(part), PIECE):
            piece = part[start : start + PIECE]
            together.append(piece)
            length += len(piece)
            if length >= PIECE:
                yield b"".join(together)
                together, length = [], 0
    if together:
        yield b"".join(together)
