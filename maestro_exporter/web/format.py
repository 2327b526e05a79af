"""The format of the web configuration file, which all exporters of Prometheus share.

The format is that of Prometheus' exporter-toolkit:
https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md
docs/web-config.md says where this exporter differs.

`_ROOT` and the tables above it are the one list of what the file may say.  A field that is
null, or a text that is blank, counts as not given.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

import yaml
from OpenSSL import SSL

from maestro_exporter import values
from maestro_exporter.web.config import RateLimit, WebConfig, WebConfigError
from maestro_exporter.web.fields import (
    Place,
    PlacedError,
    Section,
    boolean,
    checked,
    compose,
    entries,
    list_of,
    optional,
    section_of,
    text_of,
    word,
)
from maestro_exporter.web.tls import (
    CIPHER_SUITES,
    CLIENT_AUTH_TYPES,
    TLS,
    VERIFYING,
    VERSIONS,
    TLSError,
    make_context,
)

_LARGEST = 1 << 20  # bytes of a file
_COSTLIEST = 16  # rounds of bcrypt, as a power of 2


def read(path: Path) -> WebConfig:
    """Read a file, and those that it names, relative to its folder.

    Raises:
        WebConfigError: nothing else.
    """
    files = _Files()
    name = values.shown(str(path))
    try:
        document = compose(files.text(path))
        root = (document and optional(document, Place(1), _ROOT)) or Section(Place(1))
        tls, http = root.section("tls_server_config"), root.section("http_server_config")
        return WebConfig(
            context=_context(tls, path.parent, files),
            verifies_clients=tls.given.get("client_auth_type") == "RequireAndVerifyClientCert",
            client_allowed_sans=tls.given.get("client_allowed_sans", ()),
            headers=MappingProxyType(http.section("headers").given),
            users=MappingProxyType(root.given.get("basic_auth_users", {})),
            rate_limit=_rate_limit(root.section("rate_limit")),
            files=tuple(files.tried),
            warnings=tuple(values.one_line(name + said) for said in _warnings(root)),
        )
    except PlacedError as error:
        raise WebConfigError(f"{name}{error}", tuple(files.tried)) from None


# ----------------------------------------------------------------- files


class _Files:
    """Reads files, and remembers which."""

    def __init__(self) -> None:
        self.tried: list[Path] = []

    def bytes(self, path: Path) -> bytes:
        """Give what is in a file.

        Raises:
            ValueError: it cannot be read, or is no file, or too large.
        """
        self.tried.append(path)
        try:
            # A named pipe without a writer must not block.
            with open(path, "rb", opener=lambda *at: os.open(at[0], at[1] | os.O_NONBLOCK)) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise ValueError("not a regular file")
                content = file.read(_LARGEST + 1)
        except OSError as error:
            raise ValueError(error.strerror) from None
        if len(content) > _LARGEST:
            raise ValueError("larger than 1 MiB")
        return content

    def text(self, path: Path) -> str:
        try:
            return self.bytes(path).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise PlacedError(": not a text file in UTF-8") from None
        except ValueError as error:
            raise PlacedError(f": {error}") from None


# ----------------------------------------------------------------- parsers


#: A text of several lines may be a key that stands in the wrong field.
_file_name = checked(str.isprintable, "give the name of a file", repeat=False)

_header = checked(re.compile(r"[\x20-\x7e\xa0-\xff]*").fullmatch, "give one line of Latin-1 text")


_BURST = "give a whole number of at least 1"


def _burst(node: yaml.Node, place: Place) -> int:
    """Parse a whole number; that 0 is too small shows only once there is an interval."""
    text = text_of(node, place) or ""
    if node.tag != "tag:yaml.org,2002:int" or not re.fullmatch(r"0|[1-9][0-9]{0,8}", text):
        raise place.error(_BURST, text)
    return int(text)


_UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_STEP = re.compile(rf"([0-9]+\.?[0-9]*|\.[0-9]+)({'|'.join(_UNITS)})")
_LONGEST = 2**63 / 1e9  # seconds that fit into a duration of Go


def _duration(node: yaml.Node, place: Place) -> float:
    """Parse a duration as Go spells it, to seconds; the least is a nanosecond, or 0."""
    text = text_of(node, place) or ""
    text = re.sub("[\u00b5\u03bc]s", "us", text)  # both signs for micro
    seconds = sum(float(step[1]) * _UNITS[step[2]] for step in _STEP.finditer(text))
    if text != "0" and (not text or _STEP.sub("", text) or seconds >= _LONGEST):
        raise place.error("give a duration such as 1s, 500ms or 1m30s, or 0", text)
    return seconds if seconds >= 1e-9 else 0.0


#: As bcrypt makes it: all versions but the first, and no bits set that it would not set.
_HASH = re.compile(
    r"\$2[abxy]\$(?P<cost>[0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{30}[.CGKOSWaeimquy26]"
)


def _hash(node: yaml.Node, place: Place) -> bytes:
    match = _HASH.fullmatch(text_of(node, place) or "")
    if match is None:
        raise place.error("give a bcrypt hash")
    if not 4 <= int(match["cost"]) <= _COSTLIEST:
        # Each step of the cost doubles the time of a check; 17 takes about ten seconds.
        raise place.error(f"give a bcrypt hash with a cost from 4 to {_COSTLIEST}")
    return match[0].encode()


def _users(node: yaml.Node, place: Place) -> dict[str, bytes]:
    users = {}
    for name, inner, value in entries(node, place):
        if not name or ":" in name or not name.isprintable():
            raise inner.error("give a user name without colons and control characters")
        users[name] = _hash(value, inner)
    return users


# ----------------------------------------------------------------- what there is

_SUITES = "give a name that Go's tls.CipherSuites() has"

_TLS = section_of(
    {
        "cert": text_of,
        "cert_file": _file_name,
        "key": text_of,
        "key_file": _file_name,
        "client_ca": text_of,
        "client_ca_file": _file_name,
        "client_auth_type": word(*CLIENT_AUTH_TYPES),
        "client_allowed_sans": list_of(text_of),
        "min_version": word(*VERSIONS),
        "max_version": word(*VERSIONS),
        "cipher_suites": list_of(checked(CIPHER_SUITES.__contains__, _SUITES)),
        "prefer_server_cipher_suites": boolean,
        "curve_preferences": list_of(word("CurveP256", "CurveP384", "CurveP521", "X25519")),
    }
)

_HEADERS = section_of(
    {
        "Content-Security-Policy": _header,
        "X-Frame-Options": word("deny", "sameorigin"),
        "X-Content-Type-Options": word("nosniff"),
        "X-XSS-Protection": _header,
        "Strict-Transport-Security": _header,
    }
)

_ROOT = section_of(
    {
        "tls_server_config": _TLS,
        "http_server_config": section_of({"http2": boolean, "headers": _HEADERS}),
        "basic_auth_users": _users,
        "rate_limit": section_of({"interval": _duration, "burst": _burst}),
    }
)


# ----------------------------------------------------------------- fields together


def _context(section: Section, folder: Path, files: _Files) -> SSL.Context | None:
    if not section.places:
        return None
    if section.given.get("client_allowed_sans") == ():  # Go refuses everyone then
        raise section.places["client_allowed_sans"].error("give at least one name")
    pem = {name: _pem(name, section, folder, files) for name in ("cert", "key", "client_ca")}
    for name in ("cert", "key"):
        if pem[name] is None:
            place = section.missing(f"{name}_file")
            raise place.error(f"is missing; give it or {name}")
    passed_on = TLS.__dataclass_fields__.keys() & section.given.keys() - pem.keys()
    tls = TLS(
        certificate=pem["cert"] or b"",
        key=pem["key"] or b"",
        client_ca=pem["client_ca"],
        **{name: section.given[name] for name in passed_on},
    )
    try:
        return make_context(tls)
    except TLSError as error:
        elsewhere = f"{error.field}_file"
        name = elsewhere if elsewhere in section.given else error.field
        raise section.missing(name).error(error.reason) from None


def _pem(name: str, section: Section, folder: Path, files: _Files) -> bytes | None:
    """Give a PEM text that stands in the file itself, or in another one, or nowhere."""
    text = section.given.get(name)
    elsewhere = section.given.get(f"{name}_file")
    if elsewhere is None:
        return None if text is None else str(text).encode(errors="replace")
    place = section.places[f"{name}_file"]
    if text is not None:
        raise place.error(f"give it or {name}, not both")
    path = folder / elsewhere
    try:
        return files.bytes(path)
    except ValueError as error:
        raise place.error(str(error), str(path)) from None


def _rate_limit(section: Section) -> RateLimit | None:
    interval = section.given.get("interval", 0.0)
    if not interval:
        return None
    burst = section.given.get("burst", 0)
    if burst < 1:
        raise section.missing("burst").error(_BURST)
    return RateLimit(interval=interval, burst=burst)


def _warnings(root: Section) -> Iterator[str]:
    tls = root.section("tls_server_config")
    auth = tls.given.get("client_auth_type", "NoClientCert")
    if CLIENT_AUTH_TYPES[auth] != SSL.VERIFY_NONE and auth not in VERIFYING:
        place = tls.places["client_auth_type"]
        yield place.says("takes any certificate, verified or not, so it proves nothing", auth)
    if tls.given.get("curve_preferences", ()):
        yield tls.places["curve_preferences"].says("has no effect: OpenSSL chooses the curve")
    if root.given.get("basic_auth_users", {}) and not tls.places:
        place = root.places["basic_auth_users"]
        yield place.says("passwords cross the network unencrypted without tls_server_config")
