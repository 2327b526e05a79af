"""What a peer did in the last quarter of an hour: two numbers for each of its steps.

The page shows it as a line; Prometheus keeps the history.  So it is coarse, and has a bound,
however often peers are asked: some 700 bytes for each.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from math import isnan, nan
from typing import NamedTuple

from maestro_exporter.snapshot import TRAIL_STEP, TRAIL_STEPS, Trail

_NOTHING_YET = array("f", [nan]) * TRAIL_STEPS


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


def step_of(at: float) -> int:
    """Give the number of the step at a monotonic second."""
    return int(at // TRAIL_STEP)


class Track:
    """The last steps of the processes that share a name and a type."""

    __slots__ = ("_newest", "_rates", "_round_trips")

    def __init__(self) -> None:
        # Rings: a step has its place by its number.
        self._rates = _NOTHING_YET[:]
        self._round_trips = _NOTHING_YET[:]
        self._newest = 0

    def add(self, done: Done) -> None:
        """Take in what a process did in a step that is over; each does so once for each step."""
        self._newest = _add(done, self._newest, self._rates, self._round_trips)

    def view(self, going_on: Iterable[Done] = ()) -> Trail:
        """Give what is known now, with what is known of steps that go on; it does not change."""
        newest, rates, round_trips = self._newest, self._rates[:], self._round_trips[:]
        for each in going_on:
            newest = _add(each, newest, rates, round_trips)
        cut = newest % TRAIL_STEPS + 1
        return Trail(
            (newest + 1) * TRAIL_STEP,
            rates[cut:] + rates[:cut],
            round_trips[cut:] + round_trips[:cut],
        )


def _add(done: Done, newest: int, rates: array[float], round_trips: array[float]) -> int:
    """Add to rings whose newest step is given; give the newest one then."""
    step, rate, round_trip = done
    if step > newest:
        for each in range(max(newest, step - TRAIL_STEPS) + 1, step + 1):
            rates[each % TRAIL_STEPS] = round_trips[each % TRAIL_STEPS] = nan
        newest = step
    elif step <= newest - TRAIL_STEPS:
        return newest  # too long ago
    place = step % TRAIL_STEPS
    if not isnan(rate):
        # The rates of those who share a name are added, as they are in the metrics.
        rates[place] = rate if isnan(rates[place]) else rates[place] + rate
    if round_trip and not round_trips[place] >= round_trip:
        round_trips[place] = round_trip
    return newest
