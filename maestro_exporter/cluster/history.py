"""What a peer did in the last quarter of an hour: two numbers for each of its steps.

The page shows it as a line; Prometheus keeps the history.  So it is coarse, and has a bound,
however often peers are asked: some 650 bytes for each.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from functools import lru_cache
from math import isnan, nan
from typing import NamedTuple

from maestro_exporter.snapshot import TRAIL_STEP, TRAIL_STEPS, Trail

#: A ring of rates, and behind it one of round trips; a step has its place by its number.  They are
#: one array, since with 10,000 peers a second one would be 0.6 MiB more.
_NOTHING_YET = array("f", [nan]) * (2 * TRAIL_STEPS)


class Done(NamedTuple):
    """What a process did in one step.

    Attributes:
        step: its number; they are counted in `TRAIL_STEP` seconds of monotonic time.
        rate: messages/s; NaN if that is not known.
        round_trip: the longest, in seconds; 0 if there was none.
    """

    step: int
    rate: float
    round_trip: float


def end_of_step(at: float) -> float:
    """Give the monotonic second at which the step is over that goes on at another one."""
    return _end(int(at // TRAIL_STEP))


@lru_cache(maxsize=4)  # one number for all processes
def _end(step: int) -> float:
    return (step + 1) * TRAIL_STEP


class Track:
    """The last steps of the processes that share a name and a type."""

    __slots__ = ("_newest", "_rings")

    def __init__(self) -> None:
        self._rings = _NOTHING_YET[:]
        self._newest = 0

    def add(self, done: Done) -> None:
        """Take in what a process did in a step that is over; each does so once for each step."""
        self._newest = _add(done, self._newest, self._rings)

    def view(self, going_on: Iterable[Done] = ()) -> Trail:
        """Give what is known now, with what is known of steps that go on; it does not change."""
        newest, rings = self._newest, self._rings[:]
        for each in going_on:
            newest = _add(each, newest, rings)
        eldest = (newest + 1) % TRAIL_STEPS
        middle = TRAIL_STEPS + eldest
        return Trail(
            (newest + 1) * TRAIL_STEP,
            rings[eldest:TRAIL_STEPS] + rings[:eldest],
            rings[middle:] + rings[TRAIL_STEPS:middle],
        )


def _add(done: Done, newest: int, rings: array[float]) -> int:
    """Add to rings whose newest step is given; give the newest one then."""
    step, rate, round_trip = done
    if step > newest:
        for each in range(max(newest, step - TRAIL_STEPS) + 1, step + 1):
            place = each % TRAIL_STEPS
            rings[place] = rings[TRAIL_STEPS + place] = nan
        newest = step
    elif step <= newest - TRAIL_STEPS:
        return newest  # too long ago
    place = step % TRAIL_STEPS
    if not isnan(rate):
        # The rates of those who share a name are added, as they are in the metrics.
        rings[place] = rate if isnan(rings[place]) else rings[place] + rate
    if round_trip and not rings[TRAIL_STEPS + place] >= round_trip:
        rings[TRAIL_STEPS + place] = round_trip
    return newest
