"""How far a peer's clock is from ours, out of what its PING replies say.

A PING reply says how many milliseconds lie between our wall clock when we sent
the request and the peer's when it handled it: the way there, plus how far the
peer's clock is ahead.  The round trip, timed by our monotonic clock, bounds the
way there.  So each reply gives the offset up to half of its round trip, and the
quickest of the last replies gives it best: the clock filter of NTP (RFC 5905,
section 10), in which old samples lose trust as clocks drift apart.
"""

from __future__ import annotations

from array import array

from maestro_exporter.snapshot import ClockOffset

#: Samples that are looked at; as in RFC 5905.
SAMPLES = 8
#: Seconds that the wire may hide: it says the time of the request in whole microseconds, and
#: what has elapsed in whole milliseconds, cut toward zero.
TRUNCATION = 0.001 + 0.000_001
#: Seconds by which two clocks may drift apart in one second.  RFC 5905 takes 15e-6, for
#: clocks that are being disciplined; the quartz of one that is not may be off by 100e-6.
DRIFT = 100e-6


#: Numbers of one sample: an offset, how far off it may have been when the request was sent, and
#: when that was.  They lie side by side: with eight samples for each of 10,000 peers, objects
#: would be 10 MiB, and something that the garbage collector looks at again and again.
_SAMPLE = 3


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
        self._samples = array("d")
        self.offset: ClockOffset | None = None
        self.way_back = 0.0

    def add(self, elapsed: int, round_trip: float, at: float) -> None:
        """Take a reply in; the arguments are those of `offset_of`, and monotonic seconds."""
        offset, error = offset_of(elapsed, round_trip)
        # As old as its request: the clocks may have drifted ever since.
        newest = (offset, error, at - round_trip)
        newest_error = least_error = error + DRIFT * round_trip
        best_offset, best_error = offset, error
        numbers = iter(self._samples[_SAMPLE * (1 - SAMPLES) :])
        kept = array("d")
        for old_offset, old_error, old_at in zip(numbers, numbers, numbers, strict=True):
            error_now = old_error + DRIFT * (at - old_at)
            # Bounds that exclude each other mean that one of the clocks has been set in
            # between: what was measured before is of no use any more.
            if abs(old_offset - offset) > error_now + newest_error:
                continue
            kept.extend((old_offset, old_error, old_at))
            if error_now < least_error:
                best_offset, best_error, least_error = old_offset, old_error, error_now
        kept.extend(newest)
        self._samples = kept
        self.offset = ClockOffset(best_offset, least_error)
        self.way_back = best_error - TRUNCATION - best_offset
