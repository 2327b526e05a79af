"""Lines without axes, as the path of an SVG."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, isfinite
from typing import NamedTuple

from maestro_exporter.snapshot import TRAIL_STEP, TRAIL_STEPS

#: Of one step, of the whole line, and what is left free above and below, in the SVG's own unit.
STEP_WIDTH, HEIGHT, MARGIN = 2, 24, 2
WIDTH = STEP_WIDTH * (TRAIL_STEPS - 1) + 2 * MARGIN


class Sparkline(NamedTuple):
    """A line over the last quarter of an hour.

    Attributes:
        path: for the `d` of an SVG's `path`, `WIDTH` by `HEIGHT`; empty if there is nothing.
        most: the largest value, which is at the top; 0 is at the bottom.
    """

    path: str
    most: float


def gap(patience: float) -> int:
    """Give how many steps two neighbouring values lie apart at most, with nothing missing.

    Args:
        patience: seconds without a value that are no gap.
    """
    return ceil(patience / TRAIL_STEP) + 1


def sparkline(numbers: Sequence[float], steps_ago: int, patience: float) -> Sparkline:
    """Draw a line.

    Args:
        numbers: one for each step, the newest last; what is not finite is not drawn.
        steps_ago: how many steps the newest is behind the present.
        patience: seconds without a value that are no gap.
    """
    shown = [
        (place, value)
        for place, value in enumerate(numbers, -steps_ago)
        if place >= 0 and isfinite(value)
    ]
    if not shown:
        return Sparkline("", 0.0)
    most = max(value for _, value in shown)
    longest_step = gap(patience)
    parts: list[str] = []
    before = None
    for place, value in shown:
        x = MARGIN + STEP_WIDTH * place
        # Of the smallest numbers there are, the reciprocal is infinite.
        share = max(0.0, value) / most if most > 0 else 0.0
        y = HEIGHT - MARGIN - round((HEIGHT - 2 * MARGIN) * share)
        joined = before is not None and place - before <= longest_step
        # A line of no length is a dot, by its round ends.
        parts.append(f"L{x} {y}" if joined else f"M{x} {y}h0")
        before = place
    return Sparkline("".join(parts), most)
