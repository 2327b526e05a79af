"""When Python's garbage collector runs: not while answers are awaited."""

from __future__ import annotations

import gc
from collections.abc import Callable

from twisted.application.service import Service

#: Objects more than before at which the youngest are looked at (about 1 ms), and how many
#: times that is done until those that it left are (about 5 ms).
YOUNG, MIDDLE = 5_000, 5
_NEVER = 1_000_000
#: Seconds between two looks at all objects.
PERIOD = 600.0


class GarbageCollection(Service):
    """Python's garbage collector, for a process with many objects that are there to stay.

    By itself it looks at all of them whenever a quarter has been added, which is nearly each
    round: with 10,000 peers that stops everything for a tenth of a second, and then just when
    their answers come in.  It finds nothing: what is thrown away here is hardly ever in cycles,
    and what is goes young.  So that is done from time to time, before a round is asked.

    Args:
        seconds: a clock that never steps.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._due = 0.0
        self._thresholds: tuple[int, int, int] | None = None

    def startService(self) -> None:
        """Take over, and set aside what was made to get here."""
        super().startService()
        self._thresholds = gc.get_threshold()
        gc.freeze()
        gc.set_threshold(YOUNG, MIDDLE, _NEVER)
        self._due = self._seconds() + PERIOD

    def stopService(self) -> None:
        """Leave it as it was."""
        super().stopService()
        if self._thresholds is not None:
            gc.set_threshold(*self._thresholds)
            gc.unfreeze()

    def nothing_awaited(self) -> None:
        """Look at all objects, if that is due."""
        if self.running and self._seconds() >= self._due:
            gc.collect()
            self._due = self._seconds() + PERIOD
