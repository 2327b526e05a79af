"""How the JSON documents of the API are spelled."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from math import isfinite, isnan
from typing import Any

from maestro_exporter.snapshot import Moment

CONTENT_TYPE = "application/json"

# All ASCII, so that no peer's name can steer the terminal that shows it.
_encode = json.JSONEncoder(allow_nan=False).encode


def document(content: dict[str, Any]) -> bytes:
    """Give the text of a document, which ends in a newline."""
    return f"{layout(content)}\n".encode()


def time(at: Moment) -> str | None:
    """Spell a moment by RFC 3339, in UTC to the millisecond; None if it has no such spelling."""
    try:
        moment = datetime.fromtimestamp(at.unix, timezone.utc)
    except (OSError, OverflowError, ValueError):  # a clock may say anything
        return None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def text(text: str) -> str | None:
    """Give a text without lone surrogates, which many parsers refuse; None for an empty one."""
    return text.encode(errors="replace").decode() or None


def number(value: float | None) -> float | str | None:
    """Give a number, or the name of one that JSON cannot spell."""
    if value is None or isfinite(value):
        return value
    if isnan(value):
        return "NaN"
    return "+Inf" if value > 0 else "-Inf"


def layout(value: Any, margin: str = "\n") -> str:
    """Give the text of a value, with what people look for on lines of their own.

    These are the members of lists, and of objects that hold a list.  So a peer is one line;
    with `indent`, `json` would take one for each of its fields, and before Python 3.13 for
    10,000 peers 0.2 s instead of 0.06 s, since its C encoder did not indent.
    """
    inner = f"{margin}  "
    if isinstance(value, list) and value:
        members = [_encode(each) for each in value]
        return f"[{inner}{f',{inner}'.join(members)}{margin}]"
    if isinstance(value, dict) and any(isinstance(each, list) for each in value.values()):
        members = [f"{_encode(key)}: {layout(each, inner)}" for key, each in value.items()]
        return f"{{{inner}{f',{inner}'.join(members)}{margin}}}"
    return _encode(value)
