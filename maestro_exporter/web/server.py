"""The HTTP server: Twisted's, with a bound on all that a client can make it spend.

Twisted bounds the head of a request to 16 KiB and 500 headers.  Its timeout
begins anew with each byte, it keeps what is sent as a body, and it lets a
client that does not read its answer stay for ever.  None of that here: there
is a time for the head, one for the answer, and one for idleness; and bodies,
which no page takes, are thrown away.
"""

from __future__ import annotations

import io
from math import inf
from typing import Any

from twisted.internet.interfaces import IAddress
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.iweb import INonQueuedRequestFactory
from twisted.web.resource import IResource
from twisted.web.server import Request, Site
from zope.interface import provider

from maestro_exporter.values import one_line

#: Seconds for the head and the body of a request, and for what TLS has to settle before.
REQUEST_SECONDS = 15.0
#: Seconds for an answer, from the request to the last byte: 9 MB at 150 kB/s.
ANSWER_SECONDS = 60.0
#: Seconds between two requests of a connection; Prometheus' default interval is 60.
IDLE_SECONDS = 120.0
#: Seconds from the end of a connection's time to its abortion.
ABORT_SECONDS = 5.0
#: Seconds between two looks at whose time is over.
LOOK_PERIOD = 1.0
MOST_HEADERS = 100
MOST_BODY = 64 * 1024  # bytes
#: Connections at a time.  The network loop waits with select(), which cannot watch a socket
#: whose number is above 1023; so the pages must leave some to it.
MOST_CONNECTIONS = 512

#: As an attribute of a class, it would be given the name of the class.
_access_log = Logger(namespace="maestro_exporter.access")


@provider(INonQueuedRequestFactory)
class BoundedRequest(Request):
    """A request whose body is thrown away."""

    channel: BoundedChannel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._body_length = 0
        self.began = self.channel.factory.seconds()

    def gotLength(self, length: int | None) -> None:
        """Refuse a body that is too long; else there is an empty one."""
        self.content = io.BytesIO()
        if length is not None and length > MOST_BODY:
            self.requestHeaders.removeHeader(b"Expect")  # Twisted would ask for it nevertheless
            self.channel.refuse(b"413 Content Too Large")

    def handleContentChunk(self, data: bytes) -> None:
        """Throw away a part of the body, unless all of it is too long."""
        self._body_length += len(data)
        if self._body_length > MOST_BODY:
            self.channel.refuse(b"413 Content Too Large")

    def getRequestHostname(self) -> bytes:
        """Give the host that the client asks; a socket in the file system has none of its own."""
        if not hasattr(self.getHost(), "host") and self.getHeader(b"Host") is None:
            return b"localhost"
        name: bytes = super().getRequestHostname()
        return name

    def process(self) -> None:
        """Give the request to the pages."""
        if self.path == b"*":
            # Twisted has an answer of its own, which says what it is.
            self.channel.refuse(b"400 Bad Request")
            return
        super().process()

    def connectionLost(self, reason: Failure) -> None:
        """Note in the access log that the answer was not sent as a whole."""
        factory = self.channel.factory
        super().connectionLost(reason)
        if self.path is not None:  # else it had not come to its end
            factory.log(self, whole=False)


class BoundedChannel(HTTPChannel):
    """A connection that has so much time for each thing that it does."""

    maxHeaders = MOST_HEADERS
    requestFactory = BoundedRequest
    factory: BoundedSite
    transport: Any

    def __init__(self) -> None:
        super().__init__()
        self._between_requests = False
        self._answering = False
        self._refused = False
        self._full = False  # the client has to read before it is sent more
        self._deadline = inf

    def connectionMade(self) -> None:
        """Begin to wait for the first request."""
        super().connectionMade()
        self.factory.connected(self)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Nothing is waited for any more."""
        self.factory.disconnected(self)
        super().connectionLost(reason)

    def setTimeout(self, period: float | None) -> float | None:
        """Set the time from now at which the connection ends; give the one that was set before.

        Twisted's moves a timer, four times for each request, which takes a tenth of its time.
        """
        previous = self.timeOut
        self.timeOut = period  # type: ignore[assignment]
        self._deadline = inf if period is None else self.factory.seconds() + period
        return previous

    def end_if_due(self, now: float) -> None:
        """End the connection if its time is over."""
        if now >= self._deadline:
            self.setTimeout(None)
            self.timeoutConnection()

    def dataReceived(self, data: bytes) -> None:
        """Take data in; the time for a request begins with its first byte, not with each."""
        if self._refused or self.transport.disconnecting:
            return
        if self._between_requests and not self.paused:
            self._between_requests = False
            self.setTimeout(REQUEST_SECONDS)
        LineReceiver.dataReceived(self, data)
        if self._answering and self._full:
            self.transport.pauseProducing()  # Twisted would keep all that comes

    def pauseProducing(self) -> None:
        """Note that the client has to read first."""
        self._full = True
        super().pauseProducing()

    def resumeProducing(self) -> None:
        """Go on, with the requests that have waited for that."""
        self._full = False
        super().resumeProducing()
        if self.paused:
            self.paused = False
            self._go_on()

    def allContentReceived(self) -> None:
        """Have the request answered, in time."""
        if self._refused:  # with the last part of its body
            return
        self._between_requests = False
        self._answering = True
        super().allContentReceived()
        if self._answering:
            self.setTimeout(ANSWER_SECONDS)

    def requestDone(self, request: Any) -> None:
        """Wait for the next request, or for the client to take the rest of its answer."""
        self._answering = False
        self._between_requests = True
        # A client that does not read is not answered again: one segment holds thousands of
        # requests, each of which may cost a page of memory.
        self.paused = self._full
        super().requestDone(request)
        if not self._between_requests:  # it has sent the next one already
            return
        if self.persistent and not self.paused:
            self._go_on()
            return
        self.setTimeout(ANSWER_SECONDS)
        if self.persistent:
            self.transport.pauseProducing()

    def _go_on(self) -> None:
        """Take in what has come of the next request, or wait for it."""
        come = self.clearLineBuffer()
        if come:
            self.dataReceived(come)
        else:
            self.setTimeout(IDLE_SECONDS)

    def lineLengthExceeded(self, line: bytes) -> None:
        """Refuse a line that does not end."""
        self.refuse(b"431 Request Header Fields Too Large")

    def timeoutConnection(self) -> None:
        """End the connection; not worth a log line, of which clients could make many."""
        self._abortingCall = self.callLater(ABORT_SECONDS, self.forceAbortClient)
        self.loseConnection()

    def forceAbortClient(self) -> None:
        """Cut off a client that does not take what is left."""
        self._abortingCall = None
        self.abort()

    def abort(self) -> None:
        """Cut off the client."""
        self.transport.abortConnection()

    def refuse(self, status: bytes) -> None:
        """Answer a request that no page is asked about, and end the connection."""
        if self._refused:
            return
        self._refused = True
        for request in self.requests:  # for the access log; there is one at most
            request.code = int(status[:3])
        self.transport.write(
            b"HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" % status
        )
        self.loseConnection()


class BoundedSite(Site):
    """Serves a resource to clients who may be hostile.

    Args:
        resource: what is served.
        reactor: runs the timers; its clock tells how long a request took.
        access_log: whether each request is a log line.
    """

    noisy = False
    displayTracebacks = False

    def __init__(self, resource: IResource, reactor: Any, *, access_log: bool = False) -> None:
        super().__init__(
            resource, requestFactory=BoundedRequest, timeout=REQUEST_SECONDS, reactor=reactor
        )
        # And not Twisted's, which may speak HTTP/2.
        self.protocol = BoundedChannel  # type: ignore[method-assign, assignment]
        self._access_log = access_log
        self._connections: set[BoundedChannel] = set()
        self._looks = LoopingCall(self._look)
        self._looks.clock = reactor

    def seconds(self) -> float:
        """Give the reactor's time, which may yet be given a clock that never steps."""
        return self.reactor.seconds()

    def startFactory(self) -> None:
        """Begin to serve; Twisted's would open a log file of its own."""

    def stopFactory(self) -> None:
        """End to serve."""

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Give a connection, or None where there are enough."""
        if len(self._connections) >= MOST_CONNECTIONS:
            return None
        return super().buildProtocol(addr)

    def connected(self, connection: BoundedChannel) -> None:
        """Take care of a connection."""
        self._connections.add(connection)
        if not self._looks.running:
            self._looks.start(LOOK_PERIOD, now=False)

    def disconnected(self, connection: BoundedChannel) -> None:
        """Forget it."""
        self._connections.discard(connection)
        if not self._connections and self._looks.running:
            self._looks.stop()

    def _look(self) -> None:
        now = self.seconds()
        for connection in [*self._connections]:
            connection.end_if_due(now)

    def log(self, request: Any, *, whole: bool = True) -> None:
        """Note a request in the access log, if there is one.

        Args:
            request: it is answered, or its client is gone.
            whole: whether all of the answer was handed to the connection.
        """
        if not self._access_log:
            return
        fields = {
            "client": getattr(request.client, "host", None) or "-",
            "method": _text(request.method),
            "path": _text(request.path or b""),  # without the query, which may hold a secret
            "status": request.code,
            "bytes": request.sentLength,
            "seconds": round(self.seconds() - request.began, 6),
            "whole": whole,
        }
        _access_log.info(
            "{client} {method} {path} {status} {bytes} B {seconds} s{cut}",
            **fields,
            cut="" if whole else " (not read to the end)",
            fields=fields,
        )


def _text(word: bytes) -> str:
    """Give a word of a request as it may stand in a log line."""
    return one_line(word[:200].decode("ascii", "backslashreplace"))
