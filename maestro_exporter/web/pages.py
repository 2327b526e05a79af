"""The pages: `/`, the metrics, those below `/api/v1/`, `/-/healthy` and `/-/ready`.

Only GET and HEAD are answered; no answer shows anything of the inside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Protocol
from urllib.parse import parse_qs

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import CACHED
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource
from werkzeug.exceptions import HTTPException, NotFound

from maestro_exporter.querying import Query, QueryError, Reply, UnavailableError
from maestro_exporter.web.answers import answer, answer_plainly, refuse
from maestro_exporter.web.negotiation import prefers_gzip
from maestro_exporter.web.sending import Sending

_METHODS = ["GET", "HEAD"]
_JSON = "application/json"

#: Of what people look at: nothing but what comes from here, and no script or style within a page.
#: So what a peer calls itself could do nothing even if it were not escaped.
SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class Page(Protocol):
    """A page that can be large, and is the same for all who ask."""

    def body(self, *, compressed: bool) -> Sequence[bytes] | Deferred[Sequence[bytes]]:
        """Give it in pieces; compressed it is one gzip member.  In the reactor thread."""
        ...


class Answerer(Protocol):
    """Answers questions: what stands behind the `?`."""

    def reply(self, query: Query, *, compressed: bool) -> Reply | Deferred[Reply]:
        """Give the answer; its body may be as of a `Page`.  In the reactor thread.

        Raises:
            QueryError: there is none.
            UnavailableError: there is none now.
        """
        ...


class Pages:
    """The resource that is served.

    Args:
        metrics: the metrics page.
        content_type: of that page.
        telemetry_path: where it is.
        status_page: what people see first.
        assets: type and content of the files that it needs, by name.
        status: the same as JSON.
        check: whether a cluster is fit for a test.
        discovery: where its peers are.
        unready: says why the exporter is not ready; empty if it is.
        unhealthy: likewise.
        max_requests: how many large pages are made and sent at a time.
    """

    log = Logger()

    def __init__(
        self,
        metrics: Page,
        *,
        content_type: str,
        telemetry_path: str,
        status_page: Answerer,
        assets: Mapping[str, tuple[str, bytes]],
        status: Page,
        check: Answerer,
        discovery: Answerer,
        unready: Callable[[], str],
        unhealthy: Callable[[], str],
        max_requests: int,
    ) -> None:
        self._metrics = metrics
        self._content_type = content_type
        self._status_page = status_page
        self._assets = {
            name: (type_, body, b'"%s"' % sha256(body).hexdigest()[:16].encode())
            for name, (type_, body) in assets.items()
        }
        self._status = status
        self._check = check
        self._discovery = discovery
        self._unready = unready
        self._unhealthy = unhealthy
        self._sending = Sending(max_requests)
        self._app = app = Klein()
        for path, page in (
            ("/", self._root),
            ("/assets/<name>", self._asset),
            (telemetry_path, self._metrics_page),
            ("/api/v1/status", self._status_document),
            ("/api/v1/check", self._verdict),
            ("/api/v1/discovery", self._targets),
            ("/-/healthy", self._healthy),
            ("/-/ready", self._ready),
        ):
            app.route(path, methods=_METHODS)(page)
        app.handle_errors(HTTPException)(self._http_error)
        app.handle_errors(Exception)(self._defect)

    def resource(self) -> IResource:
        """Give what a site can serve."""
        return self._app.resource()

    def _root(self, request: IRequest) -> bytes | Deferred[bytes]:
        _set(request, "Content-Security-Policy", SECURITY_POLICY)
        _set(request, "X-Content-Type-Options", "nosniff")
        return self._ask(request, self._status_page)

    def _asset(self, request: IRequest, name: str) -> bytes:
        if name not in self._assets:
            raise NotFound()
        content_type, body, tag = self._assets[name]
        _set(request, "X-Content-Type-Options", "nosniff")
        _set(request, "Cache-Control", "no-cache")  # it is asked for again, with its tag
        if request.setETag(tag) is CACHED:
            return b""
        return answer(request, 200, content_type, body)

    def _metrics_page(self, request: IRequest) -> bytes | Deferred[bytes]:
        return self._send(request, self._metrics, self._content_type)

    def _status_document(self, request: IRequest) -> bytes | Deferred[bytes]:
        request.setHeader("Cache-Control", "no-store")
        return self._send(request, self._status, _JSON)

    def _verdict(self, request: IRequest) -> bytes | Deferred[bytes]:
        return self._ask(request, self._check)

    def _targets(self, request: IRequest) -> bytes | Deferred[bytes]:
        return self._ask(request, self._discovery)

    def _healthy(self, request: IRequest) -> bytes:
        reason = self._unhealthy()
        if reason:
            return answer_plainly(request, 503, f"maestro-exporter is not healthy: {reason}.")
        return answer_plainly(request, 200, "maestro-exporter is healthy.")

    def _ready(self, request: IRequest) -> bytes:
        reason = self._unready()
        if reason:
            return answer_plainly(request, 503, f"maestro-exporter is not ready: {reason}.")
        return answer_plainly(request, 200, "maestro-exporter is ready.")

    def _send(self, request: IRequest, page: Page, content_type: str) -> bytes | Deferred[bytes]:
        """Send a page."""

        def make(compressed: bool) -> Reply | Deferred[Reply]:
            made = page.body(compressed=compressed)
            if isinstance(made, Deferred):
                return made.addCallback(lambda body: Reply(200, content_type, body, compressed))
            return Reply(200, content_type, made, compressed)

        return self._deliver(request, make)

    def _ask(self, request: IRequest, answerer: Answerer) -> bytes | Deferred[bytes]:
        """Send the answer to a question."""
        request.setHeader("Cache-Control", "no-store")
        try:
            query = _query(request)
            return self._deliver(
                request, lambda compressed: answerer.reply(query, compressed=compressed)
            )
        except QueryError as error:
            return refuse(request, 400, str(error))
        except UnavailableError as error:
            request.setHeader("Retry-After", "1")
            return refuse(request, 503, str(error))

    def _deliver(
        self, request: IRequest, make: Callable[[bool], Reply | Deferred[Reply]]
    ) -> bytes | Deferred[bytes]:
        """Send what is made, compressed where the client likes it so, at the client's pace."""
        if self._sending.full:
            request.setHeader("Retry-After", "1")
            return refuse(request, 503, "too many pages are on their way")
        compressed = prefers_gzip(_accept_encoding(request))

        def send(reply: Reply) -> bytes | Deferred[bytes]:
            request.setResponseCode(reply.status)
            set_header = request.responseHeaders.setRawHeaders
            set_header(b"Content-Type", [reply.content_type.encode()])
            set_header(b"Vary", [b"Accept-Encoding"])
            set_header(b"Content-Length", [b"%d" % sum(map(len, reply.body))])
            if reply.compressed:
                set_header(b"Content-Encoding", [b"gzip"])
            if request.method == b"HEAD":
                return b""
            return self._sending.send(request, reply.body)

        made = make(compressed)
        sent: Any = made.addCallback(send) if isinstance(made, Deferred) else send(made)
        return self._sending.hold(sent) if isinstance(sent, Deferred) else sent

    def _http_error(self, request: IRequest, failure: Failure) -> bytes:
        error: Any = failure.value  # what `handle_errors` was told
        if error.code is None or error.code < 400:
            error = NotFound()  # a redirect from //metrics to /metrics is of no use to anybody
        for name, value in error.get_headers():
            if name == "Allow":
                request.setHeader(name, value)
        return refuse(request, error.code)

    def _defect(self, request: IRequest, failure: Failure) -> bytes:
        self.log.failure("A page could not be made", failure)
        return refuse(request, 500)


def _set(request: IRequest, name: str, value: str) -> None:
    """Set a header, unless the web configuration has."""
    if not request.responseHeaders.hasHeader(name):
        request.setHeader(name, value)


def _query(request: IRequest) -> Query:
    """Give the parameters of a request, those without an equals sign, too.

    Raises:
        QueryError: they are not UTF-8.
    """
    _, _, query = request.uri.partition(b"?")
    try:
        return parse_qs(query.decode("ascii"), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise QueryError("the query is not UTF-8") from None


def _accept_encoding(request: IRequest) -> bytes:
    values = request.requestHeaders.getRawHeaders(b"Accept-Encoding") or (b"",)
    return values[0] if len(values) == 1 else b",".join(values)
