"""The pages: `/`, the metrics, `/api/v1/status`, `/-/healthy` and `/-/ready`.

Only GET and HEAD are answered; no answer shows anything of the inside.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource
from werkzeug.exceptions import HTTPException, NotFound

from maestro_exporter.web.answers import answer, answer_plainly
from maestro_exporter.web.negotiation import prefers_gzip
from maestro_exporter.web.sending import Sending

_METHODS = ["GET", "HEAD"]
_STATUS_PATH = "/api/v1/status"

_LANDING_PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>maestro-exporter</title></head>
<body>
<h1>maestro-exporter</h1>
<p>Publishes the state of a Maestro test cluster to Prometheus. Version {version}.</p>
<p><a href="{path}">Metrics</a></p>
<p><a href="{status_path}">Status</a></p>
</body>
</html>
"""


class Page(Protocol):
    """A page that can be large."""

    def body(self, *, compressed: bool) -> Sequence[bytes] | Deferred[Sequence[bytes]]:
        """Give it in pieces; compressed it is one gzip member.  In the reactor thread."""
        ...


class Pages:
    """The resource that is served.

    Args:
        metrics: the metrics page.
        content_type: of that page.
        telemetry_path: where it is.
        status: the status page, which is JSON.
        unready: says why the exporter is not ready; empty if it is.
        unhealthy: likewise.
        max_requests: how many large pages are made and sent at a time.
        version: of the exporter.
    """

    log = Logger()

    def __init__(
        self,
        metrics: Page,
        *,
        content_type: str,
        telemetry_path: str,
        status: Page,
        unready: Callable[[], str],
        unhealthy: Callable[[], str],
        max_requests: int,
        version: str,
    ) -> None:
        self._metrics = metrics
        self._content_type = content_type.encode()
        self._status = status
        self._unready = unready
        self._unhealthy = unhealthy
        self._sending = Sending(max_requests)
        self._landing_page = _LANDING_PAGE.format(
            version=html.escape(version),
            path=html.escape(telemetry_path, quote=True),
            status_path=_STATUS_PATH,
        ).encode()
        self._app = app = Klein()
        app.route("/", methods=_METHODS)(self._root)
        app.route(telemetry_path, methods=_METHODS)(self._metrics_page)
        app.route(_STATUS_PATH, methods=_METHODS)(self._status_page)
        app.route("/-/healthy", methods=_METHODS)(self._healthy)
        app.route("/-/ready", methods=_METHODS)(self._ready)
        app.handle_errors(HTTPException)(self._http_error)
        app.handle_errors(Exception)(self._defect)

    def resource(self) -> IResource:
        """Give what a site can serve."""
        return self._app.resource()

    def _root(self, request: IRequest) -> bytes:
        return answer(request, 200, "text/html; charset=utf-8", self._landing_page)

    def _metrics_page(self, request: IRequest) -> bytes | Deferred[bytes]:
        return self._send(request, self._metrics, self._content_type)

    def _status_page(self, request: IRequest) -> bytes | Deferred[bytes]:
        request.setHeader("Cache-Control", "no-store")
        return self._send(request, self._status, b"application/json")

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

    def _send(self, request: IRequest, page: Page, content_type: bytes) -> bytes | Deferred[bytes]:
        if self._sending.full:
            request.setHeader("Retry-After", "1")
            return answer_plainly(request, 503)
        compressed = prefers_gzip(_accept_encoding(request))

        def send(body: Sequence[bytes]) -> bytes | Deferred[bytes]:
            set_header = request.responseHeaders.setRawHeaders
            set_header(b"Content-Type", [content_type])
            set_header(b"Vary", [b"Accept-Encoding"])
            set_header(b"Content-Length", [b"%d" % sum(map(len, body))])
            if compressed:
                set_header(b"Content-Encoding", [b"gzip"])
            if request.method == b"HEAD":
                return b""
            return self._sending.send(request, body)

        made = page.body(compressed=compressed)
        sent: Any = made.addCallback(send) if isinstance(made, Deferred) else send(made)
        return self._sending.hold(sent) if isinstance(sent, Deferred) else sent

    def _http_error(self, request: IRequest, failure: Failure) -> bytes:
        error: Any = failure.value  # what `handle_errors` was told
        if error.code is None or error.code < 400:
            error = NotFound()  # a redirect from //metrics to /metrics is of no use to anybody
        for name, value in error.get_headers():
            if name == "Allow":
                request.setHeader(name, value)
        return answer_plainly(request, error.code, f"{error.code} {error.name}")

    def _defect(self, request: IRequest, failure: Failure) -> bytes:
        self.log.failure("A page could not be made", failure)
        return answer_plainly(request, 500)


def _accept_encoding(request: IRequest) -> bytes:
    values = request.requestHeaders.getRawHeaders(b"Accept-Encoding") or (b"",)
    return values[0] if len(values) == 1 else b",".join(values)
