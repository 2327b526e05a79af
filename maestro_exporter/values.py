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
from pathlib import Path
from typing import NamedTuple

DEFAULT_MQTT_PORT = 1883
USAGE_STATUS = 2  # how a command ends whose options are wrong


class Address(NamedTuple):
    """A host name or IP address, and a TCP port.  An empty host means every IPv4 interface."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


_PORT = r"(?P<port>[0-9]{1,5})"
_IPV6 = r"\[(?P<ipv6>[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?)\]"
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"  # underscores are in use
_NAME = rf"(?P<name>{_LABEL}(?:\.{_LABEL})*\.?)"
_URL = re.compile(rf"mqtt://(?:{_IPV6}|{_NAME})(?::{_PORT})?/?", re.IGNORECASE)
_LISTEN = re.compile(rf"(?:{_IPV6}|{_NAME})?:{_PORT}")


def broker(text: str) -> Address:
    """Parse `mqtt://host[:port]`."""
    match = _URL.fullmatch(text)
    port = int(match["port"] or DEFAULT_MQTT_PORT) if match else 0
    if match is None or not 1 <= port <= 65535 or not _is_ipv6(match["ipv6"]):
        without = ", without user name and password" if "@" in text else ""
        raise ValueError(f"give mqtt://host[:port]{without}")
    return Address((match["ipv6"] or match["name"]).lower(), port)


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


#: Segments that do not begin with a dot, outside /-/ and /api/, where the other pages are.
_PATH = re.compile(r"(?!/(?:-|api)(?:/|$))(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")


def path(text: str) -> str:
    """Parse the path of a page."""
    if not _PATH.fullmatch(text):
        raise ValueError("give a path such as /metrics, outside /-/ and /api/")
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


def shown(text: str) -> str:
    """Cut a text for an error, and hide what may be a user name and password in it."""
    return re.sub(r".*@", "***@", text, flags=re.DOTALL)[:200]


def one_line(message: str) -> str:
    """Give an error for people: one line, without what may be a user name and password."""
    hidden = re.sub(r'[^\s"]+@', "***@", message)
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in hidden)
