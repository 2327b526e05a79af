"""How figures are spelled for people: short, with units, to the digits that mean something."""

from __future__ import annotations

from itertools import pairwise
from math import isfinite, isnan

_UNITS = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


def number(value: float) -> str:
    """Spell a number with groups of thousands, and with digits after the point if it is small."""
    if not isfinite(value):
        return "NaN" if isnan(value) else "∞" if value > 0 else "-∞"
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}"


def span(seconds: float, *, signed: bool = False) -> str:
    """Spell a span of time in its most fitting unit: `12.3 ms`, `1.5 s`, `3 min 20 s`."""
    sign = "+" if signed and seconds > 0 else "-" if seconds < 0 else ""
    size = abs(seconds)
    if not size:
        return "0 s"
    if not isfinite(size):
        return f"{sign}{number(size)} s"
    rounded = float(f"{size:.3g}")  # before the choice of a unit: 999.6 ms are 1 s
    if rounded >= 60:
        return f"{sign}{_long(round(size))}"
    unit, name = next((each for each in _UNITS if rounded >= each[0]), _UNITS[-1])
    return f"{sign}{rounded / unit:.3g} {name}"


def _long(seconds: int) -> str:
    """Spell a minute or more with its two largest units."""
    large, small = next(pair for pair in pairwise(_UNITS) if seconds >= pair[0][0])
    whole, rest = divmod(seconds, int(large[0]))
    rest //= int(small[0])
    return f"{whole} {large[1]} {rest} {small[1]}" if rest else f"{whole} {large[1]}"


def counted(count: int, noun: str, plural: str = "") -> str:
    """Spell a number of things: `1 sender`, `2 senders`."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"
