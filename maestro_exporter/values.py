"""What may stand behind an option: text to value.

Each parser takes the text as given, and raises ValueError saying what is allowed.
`shown` gives such a text for the error, `one_line` the whole error for people.
"""

from __future__ import annotations

import ipaddress
import math
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

DEFAULT_MQTT_PORT = 1883
DEFAULT_MQTTS_PORT = 8883
MOST_BYTES = 65_535  # of a text in MQTT
FAILED_STATUS = 1  # how the exporter ends that cannot start, or cannot go on
USAGE_STATUS = 2  # how a command ends whose options are wrong


class Address(NamedTuple):
    """A host name or IP address, and a TCP port.  An empty host means every IPv4 interface."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class BrokerURL:
    """What a broker's URL says; neither `repr` nor `str` shows the password.

    Attributes:
        username, password: empty where the URL has none.
    """

    address: Address
    tls: bool = False
    username: str = ""
    password: str = field(default="", repr=False)


_PORT = r"(?P<port>[0-9]{1,5})"
_IPV6 = r"\[(?P<ipv6>[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?)\]"
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"  # underscores are in use
_NAME = rf"(?P<name>{_LABEL}(?:\.{_LABEL})*\.?)"
_SCHEME = r"(?:(?P<tls>mqtts|mqtt\+ssl|ssl)|mqtt|tcp)://"
#: The user name ends at the first ':', and the password at the last '@', so that both
#: may stand there as they are; only '%', and ':' in the user name, must be encoded.
_USER = r"(?:(?P<user>[^:]*)(?::(?P<password>.*))?@)?"
_URL = re.compile(rf"{_SCHEME}{_USER}(?:{_IPV6}|{_NAME})(?::{_PORT})?/?", re.IGNORECASE | re.DOTALL)
_LISTEN = re.compile(rf"(?:{_IPV6}|{_NAME})?:{_PORT}")


def broker(text: str) -> BrokerURL:
    """Parse `scheme://[user[:password]@]host[:port][/]`.

    The scheme is `mqtt` or `tcp`, or for TLS `mqtts`, `mqtt+ssl` or `ssl`.  User name and
    password may be percent-encoded.
    """
    match = _URL.fullmatch(text)
    usual_port = DEFAULT_MQTTS_PORT if match and match["tls"] else DEFAULT_MQTT_PORT
    port = int(match["port"] or usual_port) if match else 0
    if match is None or not 1 <= port <= 65535 or not _is_ipv6(match["ipv6"]):
        raise ValueError(
            "give mqtt://host[:port], or mqtts:// for TLS; "
            "a user name and password may stand before the host"
        )
    return BrokerURL(
        Address((match["ipv6"] or match["name"]).lower(), port),
        match["tls"] is not None,
        _decoded("user name", match["user"]),
        _decoded("password", match["password"]),
    )


def _decoded(what: str, text: str | None) -> str:
    """Give a part of a URL without its percent-encoding; a '%' that begins none stays."""
    try:
        return mqtt_text(unquote(text, errors="strict")) if text else ""
    except ValueError as error:
        reason = "give UTF-8" if isinstance(error, UnicodeError) else error
        raise ValueError(f"of the {what}, {reason}") from None


def mqtt_text(text: str) -> str:
    """Parse what MQTT can hold as a user name or password."""
    try:
        fits = 1 <= len(text.encode()) <= MOST_BYTES and "\0" not in text
    except UnicodeEncodeError:  # bytes of the environment that are not UTF-8
        fits = False
    if not fits:
        raise ValueError(f"give 1 to {MOST_BYTES} bytes of UTF-8 without NUL")
    return text


def client_id(text: str) -> str:
    """Parse the name of an MQTT client."""
    if not (1 <= len(text) <= 200 and text.isprintable()):
        raise ValueError("give 1 to 200 printable characters")
    return text


def listen_address(text: str) -> Address:
    """Parse `host:port`, `[IPv6 address]:port` or `:port`."""
    match = _LISTEN.fullmatch(text)
    if match is None or int(match["port"]) > 65535 or not _is_ipv6(match["ipv6"]):
        raise ValueError("give host:port, [IPv6 address]:port or :port")
    return Address(match["ipv6"] or match["name"] or "", int(match["port"]))


def _is_ipv6(text: str | None) -> bool:
    """Tell whether a text, if there is one, is an IPv6 address."""
    try:
        return not text or ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


def integer(low: int, high: int) -> Callable[[str], int]:
    """Give a parser of whole numbers in a range."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", text) or not low <= int(text) <= high:
            raise ValueError(f"give a whole number from {low} to {high}")
        return int(text)

    return parse


port = integer(0, 65535)


def file(text: str) -> Path:
    """Parse the name of a file; twistd may change to another folder later."""
    return Path(os.path.abspath(text))


def boolean(text: str) -> bool:
    """Parse `true` or `false`."""
    if text not in ("true", "false"):
        raise ValueError("give true or false")
    return text == "true"


#: Segments that do not begin with a dot, outside those below which the other pages are.
_PATH = re.compile(r"(?!/(?:-|api|assets)(?:/|$))(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")


def path(text: str) -> str:
    """Parse the path of a page."""
    if not _PATH.fullmatch(text):
        raise ValueError("give a path such as /metrics, outside /-/, /api/ and /assets/")
    return text


_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def duration(low: str, high: str) -> Callable[[str], float]:
    """Give a parser of seconds, or numbers with a unit, in a range spelt alike."""

    def seconds(text: str) -> float:
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ms|s|m|h|)", text)
        return float(match[1]) * _UNITS[match[2]] if match else math.nan

    def parse(text: str) -> float:
        value = seconds(text)
        if not seconds(low) <= value <= seconds(high):
            raise ValueError(f"give seconds, or a number with ms, s, m or h, from {low} to {high}")
        return value

    return parse


def one_of(words: Sequence[str]) -> Callable[[str], str]:
    """Give a parser of words of a closed set."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"give one of {', '.join(words)}")
        return text

    return parse


def number(low: float, high: float) -> Callable[[str], float]:
    """Give a parser of numbers in a range."""

    def parse(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{0,12})?", text) or not low <= float(text) <= high:
            raise ValueError(f"give a number from {low} to {high}")
        return float(text)

    return parse


#: What may be a host and a port, after a user name and password.
_HOST_LIKE = re.compile(r"[A-Za-z0-9_.:\[\]-]*/?")
#: In a URL, or after a user name: what stands where the port should, but is none.
_NO_PORT = re.compile(
    r"((?:://|\A\*\*\*@)(?:\[[^\]]*\])?[^:/\[]*:)(?![0-9]{1,5}(?:/|\Z)).*", re.DOTALL
)


def shown(text: str) -> str:
    """Cut a text for an error, and hide what may be a user name and password in it."""
    _, at, rest = text.rpartition("@")
    if at:
        # A password may have an '@', and the host may have been forgotten.
        text = f"***@{rest}" if _HOST_LIKE.fullmatch(rest) else "***"
    return _NO_PORT.sub(r"\1***", text)[:200]


#: From where a URL or a word begins to the last '@' in it; passwords may have spaces.
_USER_INFO = re.compile(r'[^\s"]*://.*@|[^\s"]+@', re.DOTALL)


def one_line(message: str) -> str:
    """Give an error for people: one line, without what may be a user name and password."""
    return printable(_USER_INFO.sub("***@", message))


def printable(text: str) -> str:
    """Give a text as one line, with which nobody can steer a terminal."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
