"""What Python's garbage collector looks at, and when."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from twisted.application.service import Service

#: Objects more than before at which the youngest are looked at, how many times that is done until
#: those that it left are, and likewise until all are that have not been set aside.
YOUNG, MIDDLE, OLD = 10_000, 10, 10
#: Seconds between two looks at all objects, which take a tenth of a second with 10,000 peers.
PERIOD = 600.0
#: Objects more than the last look at all has left, by half and by so many, at which it comes early.
MOST = 100_000


class GarbageCollection(Service):
    """Python's garbage collector, for a process with many objects that are there to stay.

    By itself it looks at all of them whenever a quarter has been added, which is in nearly each
    round: with 10,000 peers that stops everything for a tenth of a second, just when their
    answers come in; and it finds nothing.  What leaves cycles behind are HTTP requests (about 40
    small objects each, in Klein and in Werkzeug).  So what answers leave is set aside at once, and
    only what else there is remains to be looked at; all is, from time to time, before a round is
    asked.

    Args:
        seconds: a clock that never steps.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._due = 0.0
        self._most = 0
        self._thresholds: tuple[int, int, int] | None = None

    def startService(self) -> None:
        """Take over, and set aside what was made to get here."""
        super().startService()
        self._thresholds = gc.get_threshold()
        gc.set_threshold(YOUNG, MIDDLE, OLD)
        self._set_aside()

    def stopService(self) -> None:
        """Leave it as it was."""
        super().stopService()
        if self._thresholds is not None:
            gc.set_threshold(*self._thresholds)
            gc.unfreeze()

    @contextmanager
    def lasting(self) -> Iterator[None]:
        """Set aside what is made within."""
        if not self.running:
            yield
            return
        gc.collect(0)
        try:
            yield
        finally:
            gc.freeze()

    def nothing_awaited(self) -> None:
        """Look at all objects, if it is time, or if many have been set aside."""
        if self.running and (self._seconds() >= self._due or gc.get_freeze_count() > self._most):
            gc.unfreeze()
            gc.collect()
            self._set_aside()

    def _set_aside(self) -> None:
        gc.freeze()
        self._due = self._seconds() + PERIOD
        self._most = gc.get_freeze_count() * 3 // 2 + MOST
