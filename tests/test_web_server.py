"""The HTTP server over connections in memory that buffer and pause as TCP does."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionLost
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from maestro_exporter.snapshot import Moment
from maestro_exporter.web import server
from maestro_exporter.web.entrance import Entrance
from maestro_exporter.web.pages import Pages
from maestro_exporter.web.security import Security
from maestro_exporter.web.server import (
    ABORT_SECONDS,
    ANSWER_SECONDS,
    IDLE_SECONDS,
    MOST_BODY,
    MOST_HEADERS,
    REQUEST_SECONDS,
    BoundedSite,
)
from tests.fakes import Log, answering

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
CLIENT = "192.0.2.1"
ENDLESS = 1 << 60


# ------------------------------------------------------- the other side


class Wire(FileDescriptor):
    """A connection with the buffer of Twisted's TCP, and a client that reads what it likes.

    Args:
        reactor: runs what is put off.
        site: builds the protocol.
        room: bytes that the client is going to read.

    Attributes:
        protocol: of the server.
        read: what the client has read.
        room: bytes that it is still going to read; `pump` has them read.
        aborted: the server has cut the connection off.
        lost: the connection is over.
    """

    def __init__(self, reactor: Any, site: Any, room: int = ENDLESS) -> None:
        super().__init__(reactor)
        self._clock = reactor
        self.protocol: Any = site.buildProtocol(IPv4Address("TCP", CLIENT, 54321))
        self.connected = 1
        self.read = bytearray()
        self.room = room
        self.aborted = self.lost = False
        self._coming = bytearray()
        self.startReading()
        self.protocol.makeConnection(self)

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 9090)

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", CLIENT, 54321)

    def writeSomeData(self, data: bytes) -> int:
        taken = bytes(data[: self.room])
        self.read += taken
        self.room -= len(taken)
        return len(taken)

    def abortConnection(self) -> None:
        if not self.aborted:
            self.aborted = True
            self.stopReading()
            self.stopWriting()
            self._clock.callLater(0, self.close, Failure(ConnectionAborted()))

    def close(self, reason: Failure | None = None) -> None:
        """End the connection; as the client does, unless there is a reason."""
        if not self.lost:
            self.lost = True
            reason = reason or Failure(ConnectionLost())
            super().connectionLost(reason)
            self.protocol.connectionLost(reason)

    def send(self, *pieces: bytes) -> None:
        """Have the client send pieces, each when the one before has been dealt with."""
        for piece in pieces:
            self._coming += piece
            self.pump()

    def pump(self) -> None:
        """Move bytes both ways until nothing moves any more."""
        moved = True
        while moved and not self.lost and not self.aborted:
            moved = False
            if self._coming and self in self.reactor.getReaders():
                piece, self._coming = bytes(self._coming[:65536]), self._coming[65536:]
                self.protocol.dataReceived(piece)
                moved = True
            if self in self.reactor.getWriters() and (self.room or not self.unsent):
                over = self.doWrite()
                if over is not None:
                    self.close(Failure(over))
                moved = True

    @property
    def unsent(self) -> int:
        """Bytes that the server has handed over, and the client has not read."""
        return len(self.dataBuffer) - self.offset + self._tempDataLen

    @property
    def unreceived(self) -> int:
        """Bytes that the client has sent, and the server does not read."""
        return len(self._coming)

    @property
    def answers(self) -> list[Answer]:
        """The whole answers that the client has read, of which none is to HEAD."""
        return read_answers(bytes(self.read))


class Answer(NamedTuple):
    """An HTTP response; the names of its headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def read_answers(data: bytes, *, head: bool = False) -> list[Answer]:
    """Give the responses that there are; one without a length ends with the data."""
    found: list[Answer] = []
    at = 0
    while at < len(data):
        end = data.index(b"\r\n\r\n", at)
        line, *lines = data[at:end].decode("latin-1").split("\r\n")
        at = end + 4
        version, status, _ = line.split(" ", 2)
        assert version in ("HTTP/1.0", "HTTP/1.1"), line
        headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in lines)}
        assert len(headers) == len(lines), lines
        length = 0 if head else int(headers.get("content-length", len(data) - at))
        assert len(data) - at >= length, (line, lines)
        found.append(Answer(int(status), headers, data[at : at + length]))
        at += length
    return found


class Echo(Resource):
    """Answers with the path, at once or when it is told to.

    Attributes:
        paths: of the requests, in their order.
        waiting: requests that wait for an answer.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.paths: list[bytes] = []
        self.waiting: list[Any] = []
        self.size = 0

    def render(self, request: Any) -> Any:
        request.responseHeaders.removeHeader("Server")
        self.paths.append(request.path)
        if request.path.startswith(b"/later"):
            self.waiting.append(request)
            return NOT_DONE_YET
        return request.path.ljust(self.size, b".")

    def answer(self) -> None:
        """Answer the request that has waited longest."""
        request = self.waiting.pop(0)
        request.setHeader("Content-Length", str(len(request.path)))
        request.write(request.path)
        request.finish()


def get(path: bytes, *headers: bytes, version: bytes = b"HTTP/1.1") -> bytes:
    """Give a request."""
    return b"\r\n".join([b"GET " + path + b" " + version, b"Host: x", *headers, b"", b""])


class ServerTestCase(SynchronousTestCase):
    """What the tests of the server share."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.pages = Echo()
        self.site = BoundedSite(self.pages, self.reactor)
        self.log = Log(self)

    def tearDown(self) -> None:
        self.assertEqual(self.flushLoggedErrors(), [])

    def connect(self, room: int = ENDLESS) -> Wire:
        """Give a new connection."""
        return Wire(self.reactor, self.site, room)

    def wait(self, wire: Wire, seconds: float) -> None:
        """Let time pass."""
        self.reactor.advance(seconds)
        wire.pump()

    def statuses(self, *pieces: bytes) -> list[int]:
        """Give the statuses of the answers to what a new client sends."""
        wire = self.connect()
        wire.send(*pieces)
        return [answer.status for answer in wire.answers]

    def assert_refused(self, status: int, *pieces: bytes) -> None:
        """There is one answer, no page is asked, and the connection is closed."""
        self.pages.paths.clear()
        wire = self.connect()
        wire.send(*pieces)
        self.assertEqual([answer.status for answer in wire.answers], [status])
        self.assertEqual(wire.answers[0].body, b"")
        self.assertTrue(wire.lost)
        self.assertEqual(self.pages.paths, [])


# ------------------------------------------------------- time


class RequestTimeTests(ServerTestCase):
    """The time for a request."""

    def test_silence(self) -> None:
        """A client that says nothing is let go."""
        wire = self.connect()
        self.wait(wire, REQUEST_SECONDS - 0.1)
        self.assertFalse(wire.lost)
        self.wait(wire, 0.1)
        self.assertTrue(wire.lost)
        self.assertEqual(wire.read, b"")

    def test_drips(self) -> None:
        """Bytes that come one by one prolong nothing."""
        wire = self.connect()
        for each in range(int(REQUEST_SECONDS) - 1):
            wire.send(GET[each : each + 1])
            self.wait(wire, 1)
        self.assertFalse(wire.lost)
        wire.send(b"x")
        self.wait(wire, 1)
        self.assertTrue(wire.lost)

    def test_drips_of_a_body(self) -> None:
        """Nor do those of a body, which belongs to the request."""
        wire = self.connect()
        wire.send(get(b"/", b"Content-Length: 1000"))
        for _ in range(int(REQUEST_SECONDS)):
            self.assertFalse(wire.lost)
            wire.send(b"x")
            self.wait(wire, 1)
        self.assertTrue(wire.lost)
        self.assertEqual(self.pages.paths, [])

    def test_second_request(self) -> None:
        """Its time begins with its first byte, and is not prolonged either."""
        wire = self.connect()
        wire.send(GET)
        self.wait(wire, IDLE_SECONDS - 1)
        for each in range(int(REQUEST_SECONDS)):
            self.assertFalse(wire.lost)
            wire.send(GET[each : each + 1])
            self.wait(wire, 1)
        self.assertTrue(wire.lost)

    def test_request_that_began_with_the_one_before(self) -> None:
        """Its time begins when that one is answered, not when more of it comes."""
        for rest in (b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost:"):
            wire = self.connect()
            wire.send(GET + rest)
            self.wait(wire, REQUEST_SECONDS - 0.1)
            self.assertFalse(wire.lost)
            self.wait(wire, 0.1)
            self.assertTrue(wire.lost, rest)

    def test_request_that_began_during_an_answer(self) -> None:
        """Its time begins when that answer is over."""
        wire = self.connect()
        wire.send(get(b"/later"), b"GE")
        self.wait(wire, ANSWER_SECONDS - 1)
        self.pages.answer()
        self.wait(wire, REQUEST_SECONDS - 0.1)
        self.assertFalse(wire.lost)
        self.wait(wire, 0.1)
        self.assertTrue(wire.lost)

    def test_request_in_time(self) -> None:
        """A request that comes slowly, but in time, is answered."""
        wire = self.connect()
        self.wait(wire, REQUEST_SECONDS - 1)
        wire.send(*(GET[each : each + 1] for each in range(len(GET))))
        self.assertEqual([each.body for each in wire.answers], [b"/"])
        self.assertFalse(wire.lost)


class IdleTimeTests(ServerTestCase):
    """The time between two requests."""

    def test_idle(self) -> None:
        """A connection is kept for longer than a scrape interval, and then closed."""
        wire = self.connect()
        wire.send(GET)
        self.wait(wire, IDLE_SECONDS - 0.1)
        self.assertFalse(wire.lost)
        self.wait(wire, 0.1)
        self.assertTrue(wire.lost)
        self.assertFalse(wire.aborted)

    def test_idle_after_several(self) -> None:
        """The time begins anew with each answer."""
        wire = self.connect()
        for _ in range(3):
            wire.send(GET)
            self.wait(wire, IDLE_SECONDS - 1)
        self.assertFalse(wire.lost)
        self.assertEqual(len(wire.answers), 3)

    def test_idle_after_a_long_answer(self) -> None:
        """It begins with the end of the answer."""
        wire = self.connect()
        wire.send(get(b"/later"))
        self.wait(wire, ANSWER_SECONDS - 1)
        self.pages.answer()
        self.wait(wire, IDLE_SECONDS - 0.1)
        self.assertFalse(wire.lost)
        self.wait(wire, 0.1)
        self.assertTrue(wire.lost)


class AnswerTimeTests(ServerTestCase):
    """The time for an answer."""

    def test_answer_that_does_not_come(self) -> None:
        """The connection is closed, though not as soon as for a request."""
        wire = self.connect()
        self.wait(wire, REQUEST_SECONDS - 1)
        wire.send(get(b"/later"))
        self.wait(wire, ANSWER_SECONDS - 0.1)
        self.assertFalse(wire.lost)
        self.wait(wire, 0.1)
        self.assertTrue(wire.lost)

    def test_second_answer_that_does_not_come(self) -> None:
        """Nor has it more time than the first."""
        for pieces in ([GET, get(b"/later")], [GET + get(b"/later")]):
            wire = self.connect()
            wire.send(*pieces)
            self.wait(wire, ANSWER_SECONDS - 0.1)
            self.assertFalse(wire.lost)
            self.wait(wire, 0.1)
            self.assertTrue(wire.lost)

    def test_client_that_sends_more(self) -> None:
        """Requests that come meanwhile make the time neither longer nor shorter."""
        for pieces in ([get(b"/later")], [GET + get(b"/later")]):
            wire = self.connect()
            wire.send(*pieces)
            for _ in range(int(ANSWER_SECONDS)):
                self.assertFalse(wire.lost)
                wire.send(GET)
                self.wait(wire, 1)
            self.assertTrue(wire.lost)

    def test_client_that_does_not_read(self) -> None:
        """It is told to go, and cut off soon after."""
        wire = self.connect(room=0)
        wire.send(get(b"/later"))
        self.pages.waiting[0].write(b"x" * 1000)
        self.wait(wire, ANSWER_SECONDS)
        self.assertTrue(wire.disconnecting)
        self.wait(wire, ABORT_SECONDS - 0.1)
        self.assertFalse(wire.aborted)
        self.wait(wire, 0.1)
        self.assertTrue(wire.aborted)
        self.wait(wire, 0)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_client_that_reads_slowly(self) -> None:
        """What it reads prolongs nothing."""
        wire = self.connect(room=0)
        wire.send(get(b"/later"))
        self.pages.waiting[0].write(b"x" * 1000)
        for _ in range(int(ANSWER_SECONDS)):
            self.assertFalse(wire.disconnecting)
            wire.room = 1
            self.wait(wire, 1)
        self.assertTrue(wire.disconnecting)

    def test_client_that_does_not_read_its_last_answer(self) -> None:
        """It is cut off as well."""
        for request in (get(b"/", b"Connection: close"), get(b"/", version=b"HTTP/1.0")):
            wire = self.connect(room=0)
            wire.send(request)
            self.wait(wire, ANSWER_SECONDS - 0.1)
            self.assertFalse(wire.aborted)
            self.wait(wire, 0.1)
            self.wait(wire, ABORT_SECONDS)
            self.assertTrue(wire.aborted)

    def test_client_that_does_not_read_a_refusal(self) -> None:
        """It is cut off as well."""
        for request in (get(b"*"), get(b"/", b"Content-Length: 99999"), b"x" * 20000, b"x\r\n"):
            wire = self.connect(room=0)
            wire.send(request)
            self.assertTrue(wire.disconnecting)
            self.wait(wire, ANSWER_SECONDS)
            self.wait(wire, ABORT_SECONDS)
            self.assertTrue(wire.aborted, request)

    def test_answer_after_the_time(self) -> None:
        """A page that is ready too late is thrown away."""
        wire = self.connect(room=0)
        wire.send(get(b"/later"))
        self.pages.waiting[0].write(b"x" * 10)
        self.wait(wire, ANSWER_SECONDS)
        self.pages.waiting[0].finish()
        self.wait(wire, ABORT_SECONDS)
        self.wait(wire, 0)
        self.assertTrue(wire.lost)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_log(self) -> None:
        """None of that is logged: clients could fill a disk with it."""
        for pieces in ([], [GET[:5]], [GET], [get(b"/later")]):
            wire = self.connect(room=0)
            wire.send(*pieces)
            self.wait(wire, IDLE_SECONDS)
            self.wait(wire, ABORT_SECONDS)
        self.assertEqual(self.log.events, [])


class CloseTests(ServerTestCase):
    """Clients that close the connection."""

    def test_at_any_time(self) -> None:
        """Nothing is left, whatever was under way."""
        for pieces in ([], [GET[:5]], [GET[:20]], [GET], [get(b"/later")], [get(b"/later") + GET]):
            wire = self.connect()
            wire.send(*pieces)
            wire.close()
            self.assertEqual(self.reactor.getDelayedCalls(), [], pieces)

    def test_while_it_is_told_to_go(self) -> None:
        """It is not cut off any more."""
        wire = self.connect(room=0)
        wire.send(get(b"/later"))
        self.pages.waiting[0].write(b"x")
        self.wait(wire, ANSWER_SECONDS)
        wire.close()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_page_is_told(self) -> None:
        """The page that is being made is told, so that it can stop."""
        wire = self.connect()
        wire.send(get(b"/later"))
        gone = self.pages.waiting[0].notifyFinish()
        self.assertNoResult(gone)
        wire.close()
        self.failureResultOf(gone, ConnectionLost)


# ------------------------------------------------------- requests


class VersionTests(ServerTestCase):
    """Versions of HTTP, and connections that are kept."""

    def test_1_1(self) -> None:
        """The connection is kept, unless the client wants it closed."""
        wire = self.connect()
        wire.send(GET)
        self.assertFalse(wire.lost)
        wire.send(get(b"/a", b"Connection: close"))
        self.assertTrue(wire.lost)
        self.assertEqual([each.body for each in wire.answers], [b"/", b"/a"])

    def test_1_0(self) -> None:
        """The connection is closed after the answer; what is sent behind it is not looked at."""
        wire = self.connect()
        wire.send(get(b"/a", version=b"HTTP/1.0") + GET)
        self.assertEqual([each.body for each in wire.answers], [b"/a"])
        self.assertTrue(wire.lost)

    def test_other_versions(self) -> None:
        """Others are refused; of HTTP/2 too, which Twisted would speak."""
        for version in (b"HTTP/0.9", b"HTTP/2.0", b"HTTP/11", b"x"):
            self.assert_refused(400, get(b"/", version=version))
        self.assert_refused(400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")


class PipelineTests(ServerTestCase):
    """Requests that are sent before the answer to the one before."""

    def test_order(self) -> None:
        """All are answered, in their order, however the bytes are cut."""
        paths = [b"/a", b"/later1", b"/b", b"/later2", b"/later3", b"/c"]
        sent = b"".join(get(path) for path in paths)
        for size in (1, 7, 40, len(sent)):
            wire = self.connect()
            wire.send(*(sent[start : start + size] for start in range(0, len(sent), size)))
            while self.pages.waiting:
                self.pages.answer()
                wire.pump()
            self.assertEqual([each.body for each in wire.answers], paths)

    def test_one_at_a_time(self) -> None:
        """A page is asked only when the answer before is over."""
        wire = self.connect()
        wire.send(get(b"/later1") + get(b"/later2"))
        self.assertEqual(self.pages.paths, [b"/later1"])

    def test_bodies(self) -> None:
        """Bodies that are short enough are thrown away; what follows is understood."""
        wire = self.connect()
        for body in (b"", b"GET /x HTTP/1.1\r\n\r\n", b"x" * MOST_BODY):
            length = b"Content-Length: %d" % len(body)
            chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
            wire.send(get(b"/a", length) + body + get(b"/b", b"Transfer-Encoding: chunked"))
            wire.send(chunked + GET)
        self.assertEqual(self.pages.paths, [b"/a", b"/b", b"/"] * 3)
        self.assertEqual([each.status for each in wire.answers], [200] * 9)

    def test_body_of_a_form(self) -> None:
        """A form is not parsed, well-formed or not."""
        for kind in (b"multipart/form-data; boundary=x", b"multipart/form-data", b"\xff;;=", b""):
            head = b"POST /a HTTP/1.1\r\nContent-Length: 3\r\nContent-Type: " + kind
            self.assertEqual(self.statuses(head + b"\r\n\r\na=b"), [200])

    def test_client_that_does_not_read(self) -> None:
        """Answers do not pile up: requests wait until those before have been read."""
        self.pages.size = 50_000
        wire = self.connect(room=0)
        for _ in range(100):
            wire.send(GET * 5)
        self.assertLess(wire.unsent, 500_000)
        self.assertLess(len(self.pages.paths), 10)
        wire.room = ENDLESS
        wire.pump()
        self.assertEqual(len(wire.answers), 500)

    def test_client_that_sends_during_an_answer_and_does_not_read(self) -> None:
        """What it sends does not pile up."""
        wire = self.connect(room=0)
        wire.send(get(b"/later"))
        self.pages.waiting[0].write(b"x" * 500_000)
        for _ in range(20):
            wire.send(GET * 1000)
        self.assertGreater(wire.unreceived, 400_000)

    def test_client_that_sends_during_an_answer(self) -> None:
        """What it sends does not pile up, and is answered in the end."""
        wire = self.connect()
        wire.send(get(b"/later"))
        for _ in range(20):
            wire.send(GET * 1000)
        self.assertGreater(wire.unreceived, 400_000)
        self.pages.answer()
        wire.pump()
        self.assertEqual(len(wire.answers), 20_001)


class BoundsTests(ServerTestCase):
    """What is too much."""

    def test_request_line(self) -> None:
        """A line has a bound, whether or not it ends."""
        self.assertEqual(self.statuses(get(b"/" + b"a" * 16_000)), [200])
        self.assert_refused(431, get(b"/" + b"a" * 17_000))
        self.assert_refused(431, b"GET /" + b"a" * 17_000)
        self.assert_refused(431, b"a" * 17_000)
        self.assert_refused(431, b"a" * 17_000, b"b" * 17_000, GET)

    def test_header(self) -> None:
        """So has a header."""
        self.assertEqual(self.statuses(get(b"/", b"A: " + b"a" * 16_000)), [200])
        self.assert_refused(431, get(b"/", b"A: " + b"a" * 17_000))

    def test_head(self) -> None:
        """So has the head as a whole."""
        headers = [b"A%d: %s" % (each, b"a" * 1000) for each in range(15)]
        self.assertEqual(self.statuses(get(b"/", *headers)), [200])
        self.assert_refused(400, get(b"/", *headers, *headers))

    def test_number_of_headers(self) -> None:
        """There is a bound on their number; Host is one of them."""
        headers = [b"A: b"] * (MOST_HEADERS - 1)
        self.assertEqual(self.statuses(get(b"/", *headers)), [200])
        self.assert_refused(400, get(b"/", *headers, b"A: b"))

    def test_nonsense(self) -> None:
        """What is not HTTP is refused."""
        for nonsense in (
            b"x\r\n",
            b"GET  / HTTP/1.1\r\n",
            b"GET /\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n",
            get(b"/", b"no colon"),
            get(b"/", b": x"),
            get(b"/", b"A b: x"),
            get(b"/", b"A: \x00"),
            get(b"/", b"Content-Length: x"),
            get(b"/", b"Content-Length: -1"),
            get(b"/", b"Content-Length: 1", b"Content-Length: 1"),
            get(b"/", b"Content-Length: 1", b"Transfer-Encoding: chunked"),
            get(b"/", b"Transfer-Encoding: gzip"),
            get(b"/", b"Transfer-Encoding: chunked") + b"x\r\n",
        ):
            self.assert_refused(400, nonsense)

    def test_star(self) -> None:
        """Twisted's own answer to it is not given."""
        for method in (b"GET", b"OPTIONS"):
            self.assert_refused(400, method + b" * HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assert_refused(400, method + b" *?a HTTP/1.1\r\nHost: x\r\n\r\n" + GET)

    def test_length_of_a_body(self) -> None:
        """A body that is too long is refused before it comes."""
        long = get(b"/", b"Content-Length: %d" % (MOST_BODY + 1))
        self.assert_refused(413, long)
        self.assert_refused(413, long + b"x" * (MOST_BODY + 1) + GET)
        self.assert_refused(413, get(b"/", b"Content-Length: " + b"9" * 500))

    def test_body_that_the_client_would_send_only_if_asked_to(self) -> None:
        """It is not asked to send one that is too long."""
        expect = b"Expect: 100-continue"
        self.assert_refused(413, get(b"/", b"Content-Length: %d" % (MOST_BODY + 1), expect))
        wire = self.connect()
        wire.send(get(b"/", b"Content-Length: 1", expect))
        self.assertEqual(wire.read, b"HTTP/1.1 100 Continue\r\n\r\n")

    def test_chunked_body(self) -> None:
        """A body of chunks is refused when there is too much of it, in whatever pieces it comes."""
        start = get(b"/", b"Transfer-Encoding: chunked")
        chunk = b"1000\r\n" + b"x" * 4096 + b"\r\n"
        fits = MOST_BODY // 4096
        self.assertEqual(self.statuses(start + chunk * fits + b"0\r\n\r\n"), [200])
        self.assert_refused(413, start, *[chunk] * (fits + 1))
        self.assert_refused(413, start, *[chunk] * (fits + 10), b"0\r\n\r\n", GET)
        # The end of the body, and another request, come with the byte that is too much.
        self.assert_refused(413, start, *[chunk] * fits, b"1\r\nx\r\n0\r\n\r\n" + GET)
        self.assert_refused(413, start, *[chunk] * fits, b"1\r\nx\r\n1\r\nx\r\n0\r\n\r\n" + GET)

    def test_body_after_an_answer(self) -> None:
        """A body that is too long is refused behind the answers that were due."""
        wire = self.connect()
        wire.send(get(b"/later") + get(b"/a") + get(b"/", b"Content-Length: 99999"))
        self.pages.answer()
        wire.pump()
        self.assertEqual([each.status for each in wire.answers], [200, 200, 413])
        self.assertTrue(wire.lost)

    def test_bodies_are_not_added_up(self) -> None:
        """The bound holds for each body."""
        request = get(b"/", b"Content-Length: 60000") + b"x" * 60000
        self.assertEqual(self.statuses(request * 3), [200] * 3)

    def test_refusal(self) -> None:
        """It says that the connection is closed, and nothing of the inside."""
        wire = self.connect()
        wire.send(get(b"*"))
        self.assertEqual(
            bytes(wire.read),
            b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        )

    def test_data_after_a_refusal(self) -> None:
        """What comes after it is not looked at, even over TLS, which cannot stop to read."""
        for refused in (get(b"*"), b"x" * 20000, get(b"/", b"Content-Length: 99999"), b"x\r\n"):
            wire = self.connect(room=0)
            wire.send(refused)
            before = wire.unsent
            for line in (*GET.splitlines(keepends=True), GET, GET):
                wire.protocol.dataReceived(line)
            self.assertEqual(wire.unsent, before, refused)
        self.assertEqual(self.pages.paths, [])


class ConnectionsTests(ServerTestCase):
    """The number of connections."""

    def test_limit(self) -> None:
        """Beyond it no connection is taken, until one of the others is over."""
        self.patch(server, "MOST_CONNECTIONS", 3)
        wires = [self.connect() for _ in range(3)]
        address = IPv4Address("TCP", CLIENT, 1)
        self.assertIsNone(self.site.buildProtocol(address))
        wires[1].close()
        wire = self.connect()
        self.assertIsNone(self.site.buildProtocol(address))
        wire.send(get(b"/", b"Connection: close"))
        self.assertTrue(wire.lost)
        self.assertIsNotNone(self.site.buildProtocol(address))

    def test_limit_is_below_that_of_select(self) -> None:
        """The pages leave some descriptors to the network loop, which select() serves."""
        self.assertLess(server.MOST_CONNECTIONS, 900)


# ------------------------------------------------------- the access log


class AccessLogTests(ServerTestCase):
    """One event for each request, if wanted."""

    def setUp(self) -> None:
        super().setUp()
        self.site = BoundedSite(self.pages, self.reactor, access_log=True)

    def fields(self) -> list[dict[str, Any]]:
        """Give what the events say, since the last time."""
        events = [each for each in self.log.events if "fields" in each]
        self.assertEqual(events, self.log.events)
        for event in events:
            self.assertEqual(event["log_namespace"], "maestro_exporter.access")
            self.assertEqual(event["log_level"], LogLevel.info)
        self.log.events.clear()
        return [event["fields"] for event in events]

    def test_off(self) -> None:
        """It is off unless asked for; then nothing at all is logged."""
        self.site = BoundedSite(self.pages, self.reactor)
        self.site.startFactory()
        for pieces in ([GET], [get(b"/later")], [b"x\r\n"], [GET[:20]]):
            wire = self.connect()
            wire.send(*pieces)
            wire.close()
        self.site.stopFactory()
        self.assertEqual(self.log.events, [])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_request(self) -> None:
        """A request is one event that says who asked for what, and how it went."""
        wire = self.connect()
        self.wait(wire, 1)
        wire.send(get(b"/later"))
        self.wait(wire, 1.25)
        self.pages.answer()
        expected = {
            "client": CLIENT,
            "method": "GET",
            "path": "/later",
            "status": 200,
            "bytes": 6,
            "seconds": 1.25,
            "whole": True,
        }
        self.assertEqual(self.log.lines(), [f"{CLIENT} GET /later 200 6 B 1.25 s"])
        self.assertEqual(self.fields(), [expected])
        wire.close()
        self.assertEqual(self.fields(), [])

    def test_query(self) -> None:
        """It is left out, since there may be a secret in it."""
        self.connect().send(get(b"/a?password=secret"))
        self.assertNotIn("secret", repr(self.log.lines()))
        self.assertEqual(self.fields()[0]["path"], "/a")

    def test_control_characters(self) -> None:
        """What could steer a terminal, or fake a line, is spelt out; what is long is cut."""
        self.connect().send(get(b"/\x7f\x9b31m%0a"))
        path = self.fields()[0]["path"]
        self.assertTrue(path.isascii() and path.isprintable(), path)
        self.assertEqual(path, "/\\x7f\\x9b31m%0a")
        self.connect().send(get(b"/" + b"a" * 5000))
        self.assertEqual(len(self.fields()[0]["path"]), 200)
        self.connect().send(b"A" * 5000 + b" / HTTP/1.1\r\n\r\n")
        self.assertEqual(len(self.fields()[0]["method"]), 200)

    def test_braces(self) -> None:
        """Braces in a path are no fields."""
        self.connect().send(get(b"/{client}"))
        self.assertIn(" /{client} ", self.log.lines()[0])

    def test_cut_off(self) -> None:
        """An answer that was not read to the end is noted."""
        wire = self.connect(room=0)
        wire.send(get(b"/later"))
        self.pages.waiting[0].write(b"x" * 10)
        wire.close()
        (line,) = self.log.lines()
        self.assertTrue(line.endswith(" 10 B 0.0 s (not read to the end)"), line)
        (fields,) = self.fields()
        self.assertFalse(fields["whole"])

    def test_several(self) -> None:
        """Each request is one event."""
        wire = self.connect()
        wire.send(GET + get(b"/a"), get(b"/b", b"Connection: close"))
        self.assertEqual([each["path"] for each in self.fields()], ["/", "/a", "/b"])

    def test_incomplete_request(self) -> None:
        """What never became a request is not in the log."""
        for piece in (b"", b"G", GET[:16], GET[:20], b"x\r\n"):
            wire = self.connect()
            wire.send(piece)
            wire.close()
            self.assertEqual(self.fields(), [], piece)

    def test_refused_request(self) -> None:
        """A refusal is logged with its status."""
        self.connect().send(get(b"*"))
        self.assertEqual([each["status"] for each in self.fields()], [400])

    def test_client_without_address(self) -> None:
        """A client that has no address, as on a socket in the file system, is a dash."""
        request: Any = type("Request", (), {"client": None, "method": b"GET", "path": b"/"})()
        request.code, request.sentLength, request.began = 200, 0, 0.0
        self.site.log(request)
        self.assertEqual(self.fields()[0]["client"], "-")


# ------------------------------------------------------- whatever comes


class Static:
    """A page that is there at once, or when it is told to."""

    def __init__(self, body: bytes) -> None:
        self.body_ = body
        self.waiting: list[Deferred[Sequence[bytes]]] | None = None

    def body(self, *, compressed: bool) -> Sequence[bytes] | Deferred[Sequence[bytes]]:
        return (self.body_,)


def whole_site(reactor: Any, *, access_log: bool = False) -> BoundedSite:
    """Give the site as the exporter has it, with small pages."""
    pages = Pages(
        Static(b"metrics\n"),
        content_type="text/plain",
        telemetry_path="/metrics",
        status_page=answering(b"<html>"),
        assets={},
        status=Static(b"{}\n"),
        check=answering(b"{}\n"),
        discovery=answering(b"[]\n"),
        unready=lambda: "",
        unhealthy=lambda: "",
        max_requests=5,
    )
    security = Security(None, _no_thread, lambda: Moment(0.0, 0.0))
    return BoundedSite(Entrance(pages.resource(), security), reactor, access_log=access_log)


def _no_thread(job: Callable[[], bool]) -> Deferred[bool]:
    raise AssertionError("there are no passwords")


VERBS = [b"GET", b"HEAD", b"POST", b"OPTIONS", b"get", b"BREW", b"\xff", b""]
TARGETS = [
    b"/metrics",
    b"//metrics",
    b"/metrics/",
    b"/api/v1/status",
    b"/-/ready",
    b"/-/healthy",
    b"*",
    b"?",
    b"/%ff",
    b"/%00",
    b"/\xb0",
    b"/..%2f",
    b"http://a/metrics",
    b"http://[::1/",
    b"a:b",
    b"#",
    b"/<converter>",
]
HEADERS = [
    b"Host: a.test",
    b"Host: \xff",
    b"Host: [",
    b"Host: [::1]:80",
    b"Host: a b",
    b"Host: " + b"a." * 40,
    b"Host: xn--\xc3\xa9",
    b"Host: .",
    b"Host:",
    b"Host: a@b",
    b"Host: \xc3\xa9.test",
    b"Host: xn--a",
    b"Accept-Encoding: gzip;q=0.x, \xff",
    b"Authorization: Basic ====",
    b"Content-Length: 3",
    b"Content-Length: 99999",
    b"Transfer-Encoding: chunked",
    b"Expect: 100-continue",
    b"Connection: close",
    b"Cookie: a=b; \xff",
    b"Content-Type: multipart/form-data; boundary=\xff",
    b"Range: bytes=0-1",
    b"If-Modified-Since: x",
    b"Upgrade: h2c",
    b"X-Forwarded-For: x",
    b" folded",
    b"\xff: x",
]
BODIES = [b"", b"abc", b"3\r\nabc\r\n0\r\n\r\n", b"zz\r\n"]

_requests = st.builds(
    lambda verb, target, version, headers, body: (
        b"\r\n".join([b" ".join([verb, target, version]), *headers, b"", b""]) + body
    ),
    st.sampled_from(VERBS),
    st.one_of(st.sampled_from(TARGETS), st.binary(max_size=20)),
    st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/9", b""]),
    st.lists(st.one_of(st.sampled_from(HEADERS), st.binary(max_size=20)), max_size=4),
    st.sampled_from(BODIES),
)
_streams = st.lists(st.one_of(_requests, st.binary(max_size=60)), min_size=1, max_size=4)


class FuzzTests(ServerTestCase):
    """Whatever a client sends."""

    def check(self, data: bytes, seed: int) -> None:
        """Send it in random pieces after random changes; look at what comes back."""
        chance = random.Random(seed)  # not for secrets
        changed = bytearray(data)
        for _ in range(chance.choice((0, 0, 0, 1, 3))):
            where = chance.randrange(len(changed) + 1)
            changed[where : where + chance.randrange(3)] = bytes(
                chance.choice(b"\r\n \x00\xff:/%*a") for _ in range(chance.randrange(3))
            )
        pieces, rest = [], bytes(changed)
        while rest:
            size = chance.choice((1, 5, 30, 1000))
            pieces.append(rest[:size])
            rest = rest[size:]
        reactor = MemoryReactorClock()
        wire = Wire(reactor, whole_site(reactor, access_log=True))
        wire.send(*pieces)
        reactor.advance(IDLE_SECONDS)
        reactor.advance(ABORT_SECONDS)
        reactor.advance(0)
        wire.close()
        self.assertEqual(reactor.getDelayedCalls(), [])
        self.assertEqual(self.flushLoggedErrors(), [])
        read = bytes(wire.read)
        for line in read.split(b"\r\n"):
            if line.startswith(b"HTTP/"):
                self.assertRegex(line, rb"^HTTP/1\.[01] ([245]\d\d|100) ")
        if read:
            self.assertTrue(read.startswith(b"HTTP/1."))
        for word in (b"Traceback", b"wisted", b"klein", b"Klein", b".py", b"werkzeug", b"Server:"):
            self.assertNotIn(word, read)
        for event in self.log.events:
            self.assertIn("fields", event)
        for text in self.log.lines():
            self.assertTrue(text.isprintable(), text)
        self.log.events.clear()

    @settings(
        max_examples=300,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(_streams, st.integers(0, 1000))
    def test_anything(self, parts: list[bytes], seed: int) -> None:
        """There are answers or none, but no error and nothing of the inside."""
        self.check(b"".join(parts), seed)

    def test_every_target_and_header(self) -> None:
        """The same with each of the targets, methods and headers that are known to be odd."""
        for verb in VERBS:
            for target in TARGETS:
                self.check(verb + b" " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n", 0)
        for header in HEADERS:
            self.check(get(b"/metrics", header), 0)
            self.check(b"GET /metrics HTTP/1.1\r\n" + header + b"\r\n\r\n", 0)
