"""What may stand behind an option: text to value.

Each parser takes the text as given, and raises ValueError saying what is allowed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

DEFAULT_MQTT_PORT = 1883


class Address(NamedTuple):
    """A host name or IP address, and a TCP port.  An empty host means every IPv4 interface."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


#: A host name, or an IPv4 or IPv6 address.  Underscores are no host names, but in use.
_HOST = re.compile(
    r"[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?\.?|[0-9a-f:.]*:[0-9a-f:.]*(?:%[a-z0-9._-]+)?"
)


def broker(text: str) -> Address:
    """Parse `mqtt://host[:port]`."""
    allowed = "give mqtt://host[:port]"
    if re.search(r"[\x00-\x20\x7f]", text):  # some of which urlsplit would drop in silence
        raise ValueError(allowed)
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ValueError(allowed) from None
    host = url.hostname or ""
    if url.scheme != "mqtt" or port == 0 or not _HOST.fullmatch(host):
        raise ValueError(allowed)
    if url.username is not None or url.password is not None:
        raise ValueError(f"{allowed}, without user name and password")
    if url.path.strip("/") or url.query or url.fragment:
        raise ValueError(f"{allowed}, with nothing behind it")
    return Address(host, port or DEFAULT_MQTT_PORT)


def integer(low: int, high: int) -> Callable[[str], int]:
    """Give a parser of whole numbers in a range."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", text) or not low <= int(text) <= high:
            raise ValueError(f"give a whole number from {low} to {high}")
        return int(text)

    return parse


port = integer(0, 65535)


def listen_address(text: str) -> Address:
    """Parse `host:port`, `[IPv6 address]:port` or `:port`."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/\[\]]*)):([0-9]{1,5})", text)
    if match is None or int(match[3]) > 65535:
        raise ValueError("give host:port, [IPv6 address]:port or :port")
    return Address(match[1] or match[2], int(match[3]))


#: Segments that do not begin with a dot, outside /-/, where the health pages are.
_PATH = re.compile(r"(?!/-(?:/|$))(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")


def path(text: str) -> str:
    """Parse the path of a page."""
    if not _PATH.fullmatch(text):
        raise ValueError("give a path such as /metrics, outside /-/")
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
