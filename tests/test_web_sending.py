"""Pages on their way, over connections in memory that buffer and pause as TCP does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from klein import Klein
from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IRequest

from maestro_exporter.web import sending
from maestro_exporter.web.sending import PIECE, SMALL, Sending
from maestro_exporter.web.server import ABORT_SECONDS, ANSWER_SECONDS, BoundedSite
from tests.test_web_server import ENDLESS, GET, Wire

#: What one connection may hold: its part of a page, and what Twisted takes before it pauses.
MOST_UNSENT = max(PIECE, SMALL) + FileDescriptor.bufferSize + 1000


class SendingTestCase(SynchronousTestCase):
    """A site that sends one body to all who ask, as the pages do."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.sending = Sending(3)
        self.bodies: list[Sequence[bytes]] = []
        self.sent: list[Deferred[bytes]] = []
        self.errors: list[Any] = []
        app: Any = Klein()
        app.route("/", methods=["GET", "HEAD"])(self.page)
        app.handle_errors(Exception)(self.failed)
        self.site = BoundedSite(app.resource(), self.reactor)

    def tearDown(self) -> None:
        self.assertEqual(self.flushLoggedErrors(), [])

    def page(self, request: Any) -> bytes | Deferred[bytes]:
        body = self.bodies.pop(0)
        request.setHeader("Content-Length", str(sum(map(len, body))))
        sent = self.sending.send(request, body)
        if isinstance(sent, Deferred):
            self.sending.hold(sent)
            self.sent.append(sent)
        return sent

    def failed(self, _request: IRequest, failure: Failure) -> bytes:
        self.errors.append(failure.value)
        return b""

    def get(self, *parts: bytes, room: int = ENDLESS) -> Wire:
        """Give the connection of a client that asks for a body."""
        self.bodies.append(parts)
        wire = Wire(self.reactor, self.site, room)
        wire.send(GET)
        return wire

    @property
    def held(self) -> int:
        """How many pages count."""
        return self.sending._count


class SmallTests(SendingTestCase):
    """Bodies that are given as a whole."""

    def test_small(self) -> None:
        """Pieces are joined, and nothing counts."""
        self.sending = Sending(0)
        for parts in ((), (b"",), (b"a",), (b"a", b"", b"b"), (b"a" * (SMALL - 1), b"b")):
            request: Any = None  # is not even looked at
            self.assertEqual(self.sending.send(request, parts), b"".join(parts))

    def test_not_so_small(self) -> None:
        """One byte more is sent by and by."""
        wire = self.get(b"a" * SMALL, b"b", room=0)
        self.assertEqual(len(self.sent), 1)
        wire.room = ENDLESS
        wire.pump()
        self.assertEqual(wire.answers[0].body, b"a" * SMALL + b"b")


class LargeTests(SendingTestCase):
    """Bodies that are sent at the pace of the client."""

    def test_whole(self) -> None:
        """All of it arrives, however it is cut; the connection is kept."""
        large = bytes(range(256)) * 4000
        for parts in (
            (large,),
            (large[:10], large[10:-10], large[-10:]),
            tuple(large[start : start + 1000] for start in range(0, len(large), 1000)),
            (b"", large, b""),
            (large[:PIECE], large[PIECE : 4 * PIECE]),
        ):
            wire = self.get(*parts)
            self.assertEqual(wire.answers[0].body, b"".join(parts))
            self.assertEqual(self.held, 0)
            self.assertFalse(wire.lost)
            self.bodies.append((b"next",))
            wire.send(GET)
            self.assertEqual(wire.answers[1].body, b"next")
        self.assertEqual([self.successResultOf(each) for each in self.sent], [None] * 5)

    def test_pieces(self) -> None:
        """What is handed over at a time is no more than two pieces, and mostly worth a call."""
        written: list[int] = []
        original = FileDescriptor.write

        def write(transport: Any, data: bytes) -> None:
            written.append(len(data))
            original(transport, data)

        self.patch(FileDescriptor, "write", write)
        large = b"x" * (10 * PIECE + 5)
        self.get(large)
        self.get(*(large[start : start + 700] for start in range(0, len(large), 700)))
        self.assertLessEqual(max(written), 2 * PIECE)
        self.assertLess(len(written), 30)

    def test_client_that_does_not_read(self) -> None:
        """It costs no more than a piece."""
        wire = self.get(b"x" * (50 * PIECE), room=0)
        self.assertLess(wire.unsent, MOST_UNSENT)
        self.assertEqual(self.held, 1)

    def test_client_that_reads_slowly(self) -> None:
        """What it has not read stays bounded, and all arrives."""
        size = 10 * PIECE
        wire = self.get(b"x" * size, room=0)
        while self.held:
            wire.room += 20_000
            wire.pump()
            self.assertLess(wire.unsent, MOST_UNSENT)
            self.assertLess(len(wire.read), size + 1000)
        wire.room = ENDLESS
        wire.pump()
        self.assertEqual(wire.answers[0].body, b"x" * size)

    def test_pages_behind_one_another(self) -> None:
        """A client that asks for many and reads none costs no more."""
        self.bodies += [(b"x" * (4 * PIECE),)] * 20
        wire = Wire(self.reactor, self.site, 0)
        wire.send(GET * 20)
        self.assertLess(wire.unsent, MOST_UNSENT)
        wire.room = ENDLESS
        wire.pump()
        self.assertEqual([len(each.body) for each in wire.answers], [4 * PIECE] * 20)


class EndTests(SendingTestCase):
    """Sendings that end before all is sent."""

    def check_over(self) -> None:
        """Nothing is held any more, and nobody saw an error."""
        self.assertEqual(self.held, 0)
        self.assertEqual(self.sending._streams, {})
        self.assertEqual(self.errors, [])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_client_leaves(self) -> None:
        """The place is free again."""
        for room in (0, 10, PIECE):
            wire = self.get(b"x" * (5 * PIECE), room=room)
            self.assertEqual(self.held, 1)
            wire.close()
            self.check_over()

    def test_client_is_too_slow(self) -> None:
        """When its time is over, the place is free again."""
        wire = self.get(b"x" * (5 * PIECE), room=10)
        self.reactor.advance(ANSWER_SECONDS)
        self.reactor.advance(ABORT_SECONDS)
        self.reactor.advance(0)
        self.assertTrue(wire.aborted)
        self.check_over()

    def test_cancel(self) -> None:
        """To cancel it ends it; nothing more is sent."""
        wire = self.get(b"x" * (5 * PIECE), room=0)
        unsent = wire.unsent
        self.sent[0].cancel()
        wire.room = ENDLESS
        wire.pump()
        self.assertEqual(len(wire.read), unsent)
        self.assertEqual(self.held, 0)
        self.assertEqual([type(each) for each in self.errors], [CancelledError])

    def test_stop(self) -> None:
        """A producer that is stopped writes nothing more."""
        wire = self.get(b"x" * (5 * PIECE), room=0)
        unsent = wire.unsent
        (stream,) = self.sending._streams
        stream.stopProducing()
        self.assertEqual(wire.unsent, unsent)
        wire.close()
        self.check_over()

    def test_pause_and_resume(self) -> None:
        """A producer that is paused, or resumed, is so."""
        wire = self.get(b"x" * (5 * PIECE), room=0)
        unsent = wire.unsent
        (stream,) = self.sending._streams
        stream.pauseProducing()
        self.assertEqual(wire.unsent, unsent)
        stream.resumeProducing()
        self.assertEqual(wire.unsent, unsent + PIECE)


class PlacesTests(SendingTestCase):
    """The number of pages."""

    def test_full(self) -> None:
        """It is full as long as there are as many as there may be."""
        self.assertFalse(self.sending.full)
        waiting: list[Deferred[bytes]] = [Deferred() for _ in range(3)]
        for each in waiting:
            self.assertFalse(self.sending.full)
            self.assertIs(self.sending.hold(each), each)
        self.assertTrue(self.sending.full)
        waiting[0].callback(b"page")
        self.assertEqual(self.successResultOf(waiting[0]), b"page")
        self.assertFalse(self.sending.full)
        self.sending.hold(Deferred())
        self.assertTrue(self.sending.full)
        waiting[1].errback(ValueError())
        self.failureResultOf(waiting[1], ValueError)
        self.assertFalse(self.sending.full)

    def test_streams(self) -> None:
        """Pages that are being sent count until all is handed over."""
        wires = [self.get(b"x" * (5 * PIECE), room=0) for _ in range(3)]
        self.assertTrue(self.sending.full)
        wires[0].room = ENDLESS
        wires[0].pump()
        self.assertEqual(self.held, 2)


class MemoryTests(SendingTestCase):
    """Bytes that all clients hold together."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(sending, "MOST_HELD", 10 * PIECE)
        self.sending = Sending(100)

    def page_of(self, letter: bytes, pieces: int = 4) -> bytes:
        return letter * (pieces * PIECE)

    def test_eldest_goes(self) -> None:
        """When different pages take too much, those that have had longest are cut off."""
        wires = [self.get(self.page_of(letter), room=0) for letter in (b"a", b"b")]
        self.assertEqual([wire.aborted for wire in wires], [False, False])
        wires.append(self.get(self.page_of(b"c"), room=0))
        self.assertEqual([wire.aborted for wire in wires], [True, False, False])
        self.reactor.advance(0)
        self.assertEqual(self.held, 2)
        wires.append(self.get(self.page_of(b"d", 3), room=0))
        self.assertEqual([wire.aborted for wire in wires], [True, True, False, False])
        self.reactor.advance(0)
        self.assertEqual((self.held, self.errors), (2, []))
        wires[3].room = ENDLESS
        wires[3].pump()
        self.assertEqual(wires[3].answers[0].body, self.page_of(b"d", 3))

    def test_shared_pages(self) -> None:
        """Clients of the same page hold it together."""
        page = self.page_of(b"a")
        wires = [self.get(page, b"tail %d" % each, room=0) for each in range(20)]
        self.assertFalse(any(wire.aborted for wire in wires))
        self.assertEqual(self.held, 20)

    def test_large_page(self) -> None:
        """Of pages that are larger than the bound, there may be two at a time."""
        wires = [self.get(self.page_of(letter, 20), room=0) for letter in (b"a", b"b", b"c")]
        self.assertEqual([wire.aborted for wire in wires], [True, False, False])
        for wire in wires[1:]:
            wire.room = ENDLESS
            wire.pump()
            self.assertEqual(len(wire.answers[0].body), 20 * PIECE)

    def test_pages_that_are_over(self) -> None:
        """They are held no more."""
        actions: list[Callable[[Wire], None]] = [
            lambda wire: wire.close(),
            lambda wire: setattr(wire, "room", ENDLESS),
        ]
        for action in actions * 3:
            wire = self.get(self.page_of(b"a"), room=0)
            action(wire)
            wire.pump()
            self.assertFalse(wire.aborted)
        self.assertEqual(self.sending._streams, {})

    def test_bound(self) -> None:
        """The bound has room for the page of some ten thousand peers, several times."""
        self.assertEqual(sending.PIECE, 128 * 1024)
