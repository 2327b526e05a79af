"""The web configuration in force: TLS, users, headers and the rate of requests.

It is loaded when the exporter starts, and again when it is told to.  What a
new file says holds for the next connection and the next request; those that
are there go on.  A file that is wrong changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from OpenSSL.SSL import Connection, Context
from twisted.application.service import Service
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.logger import Logger
from zope.interface import implementer

from maestro_exporter.settings import StartError
from maestro_exporter.snapshot import Moment, Reload
from maestro_exporter.web import config
from maestro_exporter.web.config import RateLimit, WebConfig, WebConfigError
from maestro_exporter.web.credentials import Credentials, InThread


@implementer(IOpenSSLServerConnectionCreator)
class Security(Service):
    """Says who may ask, and how.

    Args:
        path: the web configuration file; None for plain HTTP that is open to all.
        in_thread: runs the check of a password in another thread.
        now: gives the present moment.

    Attributes:
        config: what the file says.
        credentials: the users; None where all may ask.
        last_reload: how the last loading went; None where there is no file.
        files: those on which it depends, the configuration file first.
    """

    log = Logger()

    def __init__(self, path: Path | None, in_thread: InThread, now: Callable[[], Moment]) -> None:
        self._path = path
        self._in_thread = in_thread
        self._now = now
        self.config = WebConfig()
        self.credentials: Credentials | None = None
        self.last_reload: Reload | None = None
        self.files: tuple[Path, ...] = () if path is None else (path,)
        self._bucket: _TokenBucket | None = None

    def privilegedStartService(self) -> None:
        """Load the file, which only the superuser may be able to read.

        Raises:
            StartError: it is wrong.
        """
        super().privilegedStartService()
        if self._path is None:
            return
        try:
            self._take(config.load(self._path))
        except WebConfigError as error:
            raise StartError(f"--web.config.file: {error}") from None

    def startService(self) -> None:
        """Load the file, unless that was done already.

        Raises:
            StartError: it is wrong.
        """
        super().startService()
        if self._path is not None and self.last_reload is None:
            self.privilegedStartService()

    def reload(self) -> None:
        """Load the file again; if it is wrong, say so and leave all as it is."""
        if self._path is None:
            return
        try:
            new = config.load(self._path)
            self._check_change(new)
        except WebConfigError as error:
            if self.last_reload is not None:
                self.last_reload = self.last_reload._replace(successful=False)
            self.files = error.files
            self.log.error("The web configuration stays as it was: {error}", error=error)
            return
        self._take(new)
        self.log.info("The web configuration was loaded again: {path}", path=str(self._path))

    def may_ask_now(self) -> bool:
        """Tell whether one more request is within the rate; if so, it counts."""
        return self._bucket is None or self._bucket.take()

    def serverConnectionForTLS(self, _protocol: Any) -> Connection:
        """Give the server's side of a new connection, with the certificate of this moment."""
        # There is a context: a reload does not take it away.
        return Connection(cast(Context, self.config.context), None)

    def _take(self, new: WebConfig) -> None:
        for warning in new.warnings:
            self.log.warn("{warning}", warning=warning)
        if new.users != self.config.users:
            self.credentials = Credentials(new.users, self._in_thread) if new.users else None
        if new.rate_limit != self.config.rate_limit:
            self._bucket = _TokenBucket(new.rate_limit, self._seconds) if new.rate_limit else None
        self.config = new
        self.files = new.files
        self.last_reload = Reload(successful=True, succeeded=self._now())

    def _seconds(self) -> float:
        return self._now().monotonic

    def _check_change(self, new: WebConfig) -> None:
        """Refuse what half a file might say: that all may ask, and that all may listen."""
        old = self.config
        reasons = {
            "to switch TLS on or off": (new.context is None) is not (old.context is None),
            "to let everybody ask without a password": old.users and not new.users,
            "to let everybody ask without a certificate": (
                old.verifies_clients and not new.verifies_clients
            ),
            "to let all certificates ask": (
                old.client_allowed_sans and not new.client_allowed_sans
            ),
        }
        for reason, refused in reasons.items():
            if refused:
                message = f"{self._path}: {reason}, restart the exporter"
                raise WebConfigError(message, new.files)


class _TokenBucket:
    """Lets requests through at a rate, and so many at once."""

    def __init__(self, limit: RateLimit, seconds: Callable[[], float]) -> None:
        self._limit = limit
        self._seconds = seconds
        self._tokens = float(limit.burst)
        self._at = seconds()

    def take(self) -> bool:
        """Tell whether there is a token, and take it."""
        now = self._seconds()
        gained = (now - self._at) / self._limit.interval
        self._tokens = min(float(self._limit.burst), self._tokens + gained)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
