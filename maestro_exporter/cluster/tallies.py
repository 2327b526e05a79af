"""What is counted once: repeated deliveries are told from new ones, times sorted into classes."""

from __future__ import annotations

from bisect import bisect_left

from maestro_exporter.snapshot import ROUND_TRIP_BOUNDS, Histogram

#: Deliveries among which a repeated one is recognised.
REMEMBERED = 10_000


class Recent:
    """The deliveries that were taken in last, by what identifies them."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, ...], None] = {}

    def add(self, identity: tuple[str, ...]) -> bool:
        """Note a delivery; tell whether it is new."""
        if identity in self._seen:
            return False
        self._seen[identity] = None
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return True


class RoundTrips:
    """How often round trips took how long, in the classes of `ROUND_TRIP_BOUNDS`."""

    def __init__(self) -> None:
        self._counts = [0] * (len(ROUND_TRIP_BOUNDS) + 1)
        self._sum = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(ROUND_TRIP_BOUNDS, seconds)] += 1
        self._sum += seconds

    def view(self) -> Histogram:
        """Give the counts as they are now."""
        return Histogram(tuple(self._counts), self._sum)
