"""The pages: `/`, the metrics, `/api/v1/status`, and `/-/healthy`.

Only GET and HEAD are answered; no answer shows anything of the inside.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_to_bytes

from klein import Klein
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource, Resource
from twisted.web.server import Site
from werkzeug.exceptions import HTTPException, NotFound

_METHODS = ["GET", "HEAD"]
_TEXT = "text/plain; charset=utf-8"
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


class Pages:
    """The resource that is served.

    Args:
        render: gives the metrics page; called in the reactor thread.
        content_type: of that page.
        telemetry_path: where it is.
        status: gives the status page, which is JSON; called in the reactor thread.
        version: of the exporter.
    """

    log = Logger()

    def __init__(
        self,
        render: Callable[[], bytes],
        *,
        content_type: str,
        telemetry_path: str,
        status: Callable[[], bytes],
        version: str,
    ) -> None:
        self._render = render
        self._content_type = content_type
        self._status = status
        self._landing_page = _LANDING_PAGE.format(
            version=html.escape(version),
            path=html.escape(telemetry_path, quote=True),
            status_path=_STATUS_PATH,
        ).encode()
        self._app = app = Klein()
        app.route("/", methods=_METHODS)(self._root)
        app.route(telemetry_path, methods=_METHODS)(self._metrics)
        app.route(_STATUS_PATH, methods=_METHODS)(self._status_page)
        app.route("/-/healthy", methods=_METHODS)(self._healthy)
        app.handle_errors(HTTPException)(self._http_error)
        app.handle_errors(Exception)(self._defect)

    def resource(self) -> IResource:
        """Give what a `Site` can serve."""
        return _ReadableRequests(self._app.resource())

    def _root(self, request: IRequest) -> bytes:
        return _respond(request, 200, "text/html; charset=utf-8", self._landing_page)

    def _metrics(self, request: IRequest) -> bytes:
        request.setHeader("Vary", "Accept-Encoding")
        return _respond(request, 200, self._content_type, self._render())

    def _status_page(self, request: IRequest) -> bytes:
        request.setHeader("Cache-Control", "no-store")
        return _respond(request, 200, "application/json", self._status())

    def _healthy(self, request: IRequest) -> bytes:
        return _respond(request, 200, _TEXT, b"maestro-exporter is healthy.\n")

    def _http_error(self, request: IRequest, failure: Failure) -> bytes:
        error: Any = failure.value  # what `handle_errors` was told
        if error.code is None or error.code < 400:
            error = NotFound()  # a redirect from //metrics to /metrics is of no use to anybody
        code = error.code
        for name, value in error.get_headers():
            if name == "Allow":
                request.setHeader(name, value)
        return _respond(request, code, _TEXT, f"{code} {error.name}\n".encode())

    def _defect(self, request: IRequest, failure: Failure) -> bytes:
        self.log.failure("A page could not be made", failure)
        return _respond(request, 500, _TEXT, b"500 Internal Server Error\n")


class _ReadableRequests(Resource):
    """Refuses what Klein would log a traceback for: a path or host that cannot be read."""

    isLeaf = True

    def __init__(self, pages: IResource) -> None:
        super().__init__()
        self._pages = pages

    def render(self, request: IRequest) -> Any:
        """Answer 400, or what the pages answer."""
        try:
            unquote_to_bytes(request.path).decode()
            request.getRequestHostname().decode()
            return self._pages.render(request)
        except (UnicodeDecodeError, HTTPException):
            return _respond(request, 400, _TEXT, b"400 Bad Request\n")


class QuietSite(Site):
    """An HTTP server that does not log its requests: each scrape would be a line."""

    noisy = False
    displayTracebacks = False

    def log(self, request: Request) -> None:
        """Say nothing."""


def _respond(request: IRequest, code: int, content_type: str, body: bytes) -> bytes:
    request.setResponseCode(code)
    request.setHeader("Content-Type", content_type)
    request.setHeader("Content-Length", str(len(body)))
    return b"" if request.method == b"HEAD" else body
