"""Whether the pages of a daemon on this machine answer, and what they say of it."""

from __future__ import annotations

import ssl
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import NamedTuple

from maestro_exporter.settings import Settings
from maestro_exporter.values import Address
from maestro_exporter.web import config

_SECONDS = 5.0  # for an answer


class Answer(NamedTuple):
    """What a page said; its status is 0 where TLS wants a certificate that we have not."""

    status: int
    text: str


class Pages:
    """The pages of an exporter with these settings.

    Attributes:
        url: of the metrics; empty where the settings do not say the port.

    Raises:
        WebConfigError: the web configuration is wrong.
    """

    def __init__(self, settings: Settings) -> None:
        self._tls = (
            settings.web_config is not None and config.load(settings.web_config).context is not None
        )
        first = next((address for address in settings.listen if address.port), None)
        self._address = None if first is None else Address(_reached(first.host), first.port)
        scheme = "https" if self._tls else "http"
        self.url = f"{scheme}://{self._address}{settings.telemetry_path}" if self._address else ""

    def get(self, path: str) -> Answer | None:
        """Ask for a page; None where nothing answers."""
        if self._address is None:
            return None
        connection = self._connection(self._address)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return Answer(response.status, response.read().decode("utf-8", "replace").strip())
        except ssl.SSLError:
            return Answer(0, "")
        except (OSError, HTTPException):
            return None
        finally:
            connection.close()

    def _connection(self, address: Address) -> HTTPConnection:
        host = address.host.strip("[]")
        if not self._tls:
            return HTTPConnection(host, address.port, timeout=_SECONDS)
        # Whether it answers is the question, not who it is; nothing is told to it.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return HTTPSConnection(host, address.port, timeout=_SECONDS, context=context)


def _reached(host: str) -> str:
    """Give how this machine itself reaches an address that is listened on."""
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
