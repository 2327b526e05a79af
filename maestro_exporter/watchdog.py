"""Notices that a stage has stopped working, and starts it anew.

A stage promises at each step when it will have come round again.  One that is
overdue is started anew and counted; one that does not come round after several
of these is beyond help, and with it the process, whose supervisor then starts
another.  (That the reactor's own thread hangs is for the supervisor to notice:
no page is answered then.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

PERIOD = 1.0  # seconds between two looks
MOST_RESTARTS = 3  # in a row, until the stage is given up
#: Seconds of work after which restarts are no longer in a row: more than the longest promise.
RECOVERY = 600.0
#: Seconds after the last look at which it was not the stages that slept but the whole process:
#: stopped by a signal, or starved.  They then have as long to come round.
SUSPENSION = 5.0


class Stage(NamedTuple):
    """A part that has to come round again and again.

    Attributes:
        name: one word.
        due: gives the monotonic second by which it will have; inf where nothing is to do.
        restart: starts it anew; afterwards it is not due for a while.
    """

    name: str
    due: Callable[[], float]
    restart: Callable[[], object]


@dataclass(slots=True)
class _Record:
    """What became of a stage.

    Attributes:
        restarts: since the start.
        in_a_row: of these, since it last worked for long.
        granted: until when it had time after the last; None once it has come round since.
        well_since: monotonic second at which that was seen.
    """

    restarts: int = 0
    in_a_row: int = 0
    granted: float | None = None
    well_since: float = -math.inf


class Watchdog(Service):
    """Looks at the stages, once a second.

    Args:
        stages: with different names.
        seconds: a clock that never steps.
        give_up: called once, when a stage does not come round any more.
        clock: runs the timer.
    """

    log = Logger()

    def __init__(
        self,
        stages: Sequence[Stage],
        *,
        seconds: Callable[[], float],
        give_up: Callable[[], object],
        clock: Any,
    ) -> None:
        self._records = {stage: _Record() for stage in stages}
        self._seconds = seconds
        self._give_up = give_up
        self._given_up = False
        self._last_look = seconds()
        self._grace = -math.inf
        self._loop = LoopingCall(self._guarded_look)
        self._loop.clock = clock

    def startService(self) -> None:
        """Begin to look."""
        super().startService()
        self._last_look = self._seconds()
        self._loop.start(PERIOD, now=False)

    def stopService(self) -> None:
        """Look no more."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()

    @property
    def restarts(self) -> Mapping[str, int]:
        """How often each stage was started anew, by name."""
        return {stage.name: record.restarts for stage, record in self._records.items()}

    @property
    def ill(self) -> Sequence[str]:
        """The names of the stages that are overdue, or have not come round since a restart."""
        now = self._seconds()
        return [
            stage.name
            for stage, record in self._records.items()
            if self.running and not self._works(stage, record, now)
        ]

    def _works(self, stage: Stage, record: _Record, now: float) -> bool:
        due = stage.due()
        slept = now - self._last_look > SUSPENSION or now < self._grace
        return (due > now or slept) and due != record.granted

    def _guarded_look(self) -> None:
        try:
            self._look()
        except Exception:  # noqa: BLE001 - the next look must come
            self.log.failure("The watchdog failed")

    def _look(self) -> None:
        now = self._seconds()
        if now - self._last_look > SUSPENSION:
            self.log.warn(
                "Nothing ran for {seconds:.1f} s: the process was stopped, or starved",
                seconds=now - self._last_look,
            )
            self._grace = now + SUSPENSION
        self._last_look = now
        for stage, record in self._records.items():
            if self._works(stage, record, now):
                if record.granted is not None:
                    record.granted, record.well_since = None, now
                if now - record.well_since >= RECOVERY:
                    record.in_a_row = 0
            elif stage.due() <= now and now >= self._grace and not self._given_up:
                self._help(stage, record)

    def _help(self, stage: Stage, record: _Record) -> None:
        overdue = f"the stage {stage.name} has stopped working"
        if record.in_a_row >= MOST_RESTARTS:
            self._given_up = True
            self.log.critical(
                "The exporter ends: {overdue}, and {count} restarts in a row have not helped",
                overdue=overdue,
                count=record.in_a_row,
            )
            self._give_up()
            return
        record.restarts += 1
        record.in_a_row += 1
        self.log.error("It is started anew: {overdue}", overdue=overdue)
        try:
            stage.restart()
        except Exception:  # noqa: BLE001 - it is tried again, and the others must be looked at
            self.log.failure("The stage {stage} could not be started anew", stage=stage.name)
        record.granted = stage.due()
