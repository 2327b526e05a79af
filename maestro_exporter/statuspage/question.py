"""What the address of the status page asks for: which peers, in which order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlencode

from maestro_exporter import values
from maestro_exporter.querying import Parameter
from maestro_exporter.snapshot import TYPES

T = TypeVar("T")

SHOWN = ("all", "up", "missing", "warned")
COLUMNS = (
    "type",
    "peer",
    "up",
    "last_reply",
    "rate",
    "messages",
    "connections",
    "round_trip",
    "clock_offset",
)
ORDERS = ("asc", "desc")
_LONGEST = 200  # characters that are looked for


class Question(NamedTuple):
    """Which peers to show, and how.

    Attributes:
        q: what is in their names, whatever the case; empty for all.
        type: theirs; empty for all.
        show: one of `SHOWN`.
        sort, order: one of `COLUMNS`, one of `ORDERS`.
        page: from 1; beyond the last one, that is meant.
    """

    q: str = ""
    type: str = ""
    show: str = "all"
    sort: str = "type"
    order: str = "asc"
    page: int = 1

    def address(self, **changes: Any) -> str:
        """Give the address of the same with changes, to be put behind that of the page."""
        changed = self._replace(**({"page": 1} | changes))
        given = {
            name: value
            for name, value in changed._asdict().items()
            if value != self._field_defaults[name]
        }
        return f"?{urlencode(given)}"


def _text(text: str) -> str:
    if len(text) > _LONGEST:
        raise ValueError(f"give at most {_LONGEST} characters")
    return text


def _or(default: T, parse: Callable[[str], T]) -> Callable[[str], T]:
    """A form sends what was left empty, too."""
    return lambda text: parse(text) if text else default


_FRESH = Question()
PARAMETERS = (
    Parameter("q", _text, _FRESH.q),
    Parameter("type", _or(_FRESH.type, values.one_of(TYPES)), _FRESH.type),
    Parameter("show", _or(_FRESH.show, values.one_of(SHOWN)), _FRESH.show),
    Parameter("sort", _or(_FRESH.sort, values.one_of(COLUMNS)), _FRESH.sort),
    Parameter("order", _or(_FRESH.order, values.one_of(ORDERS)), _FRESH.order),
    Parameter("page", _or(_FRESH.page, values.integer(1, 10**9)), _FRESH.page),
)
