"""What a web configuration file says: TLS, users, headers and the rate of requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from OpenSSL import SSL

from maestro_exporter import values


class WebConfigError(ValueError):
    """The file cannot be read, or says what is not allowed.

    `str()` has the file, the line, the field and what is allowed, on one line.  Hashes,
    keys and user names in odd places are not repeated.

    Attributes:
        files: every file that was tried so far, the configuration file first; when one of
            them changes, it is worth another try.
    """

    def __init__(self, message: str, files: tuple[Path, ...]) -> None:
        super().__init__(values.one_line(message))
        self.files = files


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """How often to answer.

    Attributes:
        interval: seconds between two requests in the long run; more than 0.
        burst: requests that may come at once; at least 1.
    """

    interval: float
    burst: int


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    """What a web configuration file says.

    Attributes:
        context: for the server's side of TLS; None means plain HTTP.
        verifies_clients: each client must show a certificate of the CA.
        client_allowed_sans: of which its certificate must have one; empty allows all.
        headers: what to add to each response, in Latin-1; blank ones are left out.
        users: bcrypt hash by user name; if there are none, everyone may ask.
        rate_limit: None means no limit.
        files: every file that was read, the configuration file first.
        warnings: what is allowed but unwise, one line each, with file, line and field.
    """

    context: SSL.Context | None = None
    verifies_clients: bool = False
    client_allowed_sans: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=_nothing)
    users: Mapping[str, bytes] = field(default_factory=_nothing, repr=False)
    rate_limit: RateLimit | None = None
    files: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()


def load(path: Path) -> WebConfig:
    """Read a file, and those that it names, relative to its folder.

    Raises:
        WebConfigError: nothing else.
    """
    # The parser takes a while to import, and most have no such file.
    from maestro_exporter.web.format import read

    return read(path)
