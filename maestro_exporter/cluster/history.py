"""What a peer did in the last quarter of an hour: two numbers for each of its steps.

The page shows it as a line; Prometheus keeps the history.  So it is coarse, and has a bound,
however often peers are asked: some 800 bytes for each.
"""

from __future__ import annotations

from array import array
from math import isnan, nan

from maestro_exporter.snapshot import TRAIL_STEP, TRAIL_STEPS, Trail

_NOTHING_YET = array("f", [nan]) * TRAIL_STEPS


class Track:
    """The last steps of the processes that share a name and a type.

    Times are monotonic seconds.

    Attributes:
        sharing: how many these are; kept by their owner.
    """

    __slots__ = ("_covered", "_lag", "_newest", "_rates", "_round_trips", "_usual", "sharing")

    def __init__(self) -> None:
        self.sharing = 0
        # Rings: a step has its place by its number.
        self._rates = _NOTHING_YET[:]
        self._round_trips = _NOTHING_YET[:]
        self._newest = 0  # number of the newest step
        self._lag = 0  # steps before it in which there was the newest rate; no more than there are
        self._covered = 0.0  # seconds that this rate is the mean of
        self._usual = 0.0  # seconds between two answers, lately

    def exchanged(self, messages: int, seconds: float, at: float) -> None:
        """Take in that so many messages were exchanged in so many seconds, until now.

        The rate of a step is over the time between answers, not over the step: so it does not
        waver when two answers come in one step, and a single one in the next.  Answers that were
        held up come all at once: they do not begin a step, of which there would be no time to
        speak of.
        """
        held_up = seconds < self._usual / 4
        # One long gap does not make all that follows look held up.
        self._usual += (seconds - self._usual) / 8 if self._usual else seconds
        if not held_up or self._lag == TRAIL_STEPS:
            self._step(at)
            if self._lag:
                self._lag, self._covered = 0, 0.0
        # Meanwhile, a round trip may have begun a step.
        place = (self._newest - self._lag) % TRAIL_STEPS
        rate = self._rates[place]
        covered = self._covered
        before = rate * covered if rate == rate else 0.0  # noqa: PLR0124 - unless it is NaN
        self._covered = covered = covered + seconds
        self._rates[place] = (before + messages) / covered

    def answered(self, round_trip: float, at: float) -> None:
        """Take a round trip in, in seconds; the longest of a step counts."""
        place = self._step(at)
        longest = self._round_trips[place]
        if isnan(longest) or round_trip > longest:
            self._round_trips[place] = round_trip

    def view(self) -> Trail:
        """Give what is known now; it does not change any more."""
        cut = self._newest % TRAIL_STEPS + 1
        rates, round_trips = self._rates, self._round_trips
        return Trail(
            (self._newest + 1) * TRAIL_STEP,
            rates[cut:] + rates[:cut],
            round_trips[cut:] + round_trips[:cut],
        )

    def _step(self, at: float) -> int:
        """Give the place of the step that goes on, after making room for it."""
        number = int(at // TRAIL_STEP)
        if number > self._newest:
            for each in range(max(self._newest, number - TRAIL_STEPS) + 1, number + 1):
                self._rates[each % TRAIL_STEPS] = nan
                self._round_trips[each % TRAIL_STEPS] = nan
            self._lag = min(self._lag + number - self._newest, TRAIL_STEPS)
            self._newest = number
        # Calls come in the order of time, or nearly: what is late counts to the newest.
        return self._newest % TRAIL_STEPS
