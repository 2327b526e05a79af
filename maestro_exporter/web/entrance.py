"""What every request has to pass before the pages see it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_to_bytes

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET
from werkzeug.exceptions import HTTPException

from maestro_exporter.web.answers import OPEN_PATHS, refuse
from maestro_exporter.web.security import Security


class Entrance(Resource):
    """Lets in who may ask, and answers all others.

    Args:
        pages: what lies behind.
        security: says who may ask.
    """

    isLeaf = True
    log = Logger()

    def __init__(self, pages: IResource, security: Security) -> None:
        super().__init__()
        self._pages = pages
        self._security = security

    def render(self, request: Any) -> Any:
        """Answer for the pages, or let them answer."""
        request.responseHeaders.removeHeader(b"Server")
        for name, value in self._security.config.headers.items():
            request.setHeader(name, value)
        if not _is_readable(request):
            return refuse(request, 400)
        if request.path in OPEN_PATHS:
            return self._let_in(request)
        if not self._security.may_ask_now():
            return refuse(request, 429)
        return self._ask_who(request)

    def _let_in(self, request: Any) -> Any:
        try:
            return self._pages.render(request)
        except HTTPException:  # of Klein, before it looks at its routes: a host that is none
            return refuse(request, 400)

    def _ask_who(self, request: Any) -> Any:
        credentials = self._security.credentials
        if credentials is None:
            return self._let_in(request)
        given = _basic_credentials(request.getHeader(b"Authorization"))
        if given is None:
            return _ask_for_password(request)
        gone: list[Failure] = []
        known = credentials.check(*given, wanted=lambda: not gone)
        if known is None:
            return refuse(request, 503)
        if isinstance(known, Deferred):
            request.notifyFinish().addErrback(gone.append)
            self._wait(request, known, gone)
            return NOT_DONE_YET
        return self._let_in(request)

    def _wait(self, request: Any, known: Deferred[bool], gone: Sequence[Failure]) -> None:
        def answer(right: bool) -> None:
            if gone:
                return
            body = self._let_in(request) if right else _ask_for_password(request)
            if body is not NOT_DONE_YET:
                request.write(body)
                request.finish()

        def failed(failure: Failure) -> None:
            self.log.failure("A password could not be checked", failure)
            if not gone:
                request.write(refuse(request, 500))
                request.finish()

        known.addCallback(answer).addErrback(failed)


def _ask_for_password(request: Any) -> bytes:
    request.setHeader("WWW-Authenticate", 'Basic realm="maestro-exporter", charset="UTF-8"')
    return refuse(request, 401)


def _is_readable(request: Any) -> bool:
    """Tell a request from one for which Klein would log a traceback."""
    return _is_text(request.path, request.getHeader(b"Host") or b"")


@lru_cache(maxsize=64)  # a few clients ask for the same again and again
def _is_text(path: bytes, host: bytes) -> bool:
    try:
        unquote_to_bytes(path).decode()
        host.decode()
    except UnicodeDecodeError:
        return False
    return True


def _basic_credentials(header: bytes | None) -> tuple[str, bytes] | None:
    """Read `Basic`, and user name and password in base 64; RFC 7617."""
    scheme, _, encoded = (header or b"").partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except (binascii.Error, UnicodeDecodeError):
        return None
