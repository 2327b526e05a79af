"""How far a peer's clock is from ours, out of what its PING replies say.

A PING reply says how many milliseconds lie between our wall clock when we sent
the request and the peer's when it handled it: the way there, plus how far the
peer's clock is ahead.  The round trip, timed by our monotonic clock, bounds the
way there.  So each reply gives the offset up to half of its round trip, and the
quickest of the last replies gives it best: the clock filter of NTP (RFC 5905,
section 10), in which old samples lose trust as clocks drift apart.
"""

from __future__ import annotations

from typing import NamedTuple

from maestro_exporter.snapshot import ClockOffset

#: Samples that are looked at; as in RFC 5905.
SAMPLES = 8
#: Seconds that the wire may hide: it says the time of the request in whole microseconds, and
#: what has elapsed in whole milliseconds, cut toward zero.
TRUNCATION = 0.001 + 0.000_001
#: Seconds by which two clocks may drift apart in one second.  RFC 5905 takes 15e-6, for
#: clocks that are being disciplined; the quartz of one that is not may be off by 100e-6.
DRIFT = 100e-6


class _Sample(NamedTuple):
    """An offset, how far off it may have been when the request was sent, and when that was."""

    offset: float
    error: float
    at: float

    def error_at(self, at: float) -> float:
        return self.error + DRIFT * (at - self.at)


def offset_of(elapsed: int, round_trip: float) -> ClockOffset:
    """Give what one PING reply says of the offset.

    Args:
        elapsed: what the reply says, in ms.
        round_trip: in seconds.
    """
    half = round_trip / 2
    return ClockOffset(elapsed / 1000 - half, half + TRUNCATION)


class ClockFilter:
    """The clock of one process.

    Attributes:
        offset: the best that is known, as of the newest reply; None before the first.
        way_back: seconds that the answer to that took to come back, by both clocks: the
            offset included.  0 before the first.
    """

    __slots__ = ("_samples", "offset", "way_back")

    def __init__(self) -> None:
        self._samples: tuple[_Sample, ...] = ()
        self.offset: ClockOffset | None = None
        self.way_back = 0.0

    def add(self, elapsed: int, round_trip: float, at: float) -> None:
        """Take a reply in; the arguments are those of `offset_of`, and monotonic seconds."""
        # As old as its request: the clocks may have drifted ever since.
        newest = _Sample(*offset_of(elapsed, round_trip), at - round_trip)
        newest_error = least_error = newest.error_at(at)
        best, kept = newest, []
        for each in self._samples[1 - SAMPLES :]:
            error = each.error_at(at)
            # Bounds that exclude each other mean that one of the clocks has been set in
            # between: what was measured before is of no use any more.
            if abs(each.offset - newest.offset) > error + newest_error:
                continue
            kept.append(each)
            if error < least_error:
                best, least_error = each, error
        self._samples = (*kept, newest)
        self.offset = ClockOffset(best.offset, least_error)
        self.way_back = best.error - TRUNCATION - best.offset
