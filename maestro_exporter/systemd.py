"""What systemd is told: that the exporter serves, how it does, and that it is alive.

Source: sd_notify(3) and sd_watchdog_enabled(3).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from typing import Any

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

PERIOD = 1.0  # seconds between two looks at what could be told

#: Takes the name of a notification, such as `READY`, and the text of one that has any.
Tell = Callable[[str, str], object]


class Notifier(Service):
    """Tells systemd how the exporter does, once the reactor runs.

    To be started last, since it says that all is started, and stopped first.

    Args:
        tell: passes a notification on.
        describe: gives one line for people.
        works: tells whether all that has to come round again and again does.
        patience: seconds within which systemd wants to hear that again; None where it does not.
        clock: runs the timer.
    """

    log = Logger()

    def __init__(
        self,
        tell: Tell,
        *,
        describe: Callable[[], str],
        works: Callable[[], bool],
        patience: float | None,
        clock: Any,
    ) -> None:
        self._tell = tell
        self._describe = describe
        self._works = works
        # A third of it, so that one may be missing; and not each second, since all that nobody
        # reads stays in a queue, and once that is full, who writes waits.
        self._rhythm = math.inf if patience is None else patience / 3
        self._next_sign = -math.inf if patience is not None else math.inf
        self._clock = clock
        self._said = ""
        self._deaf = False
        self._loop = LoopingCall(self._guarded_look)
        self._loop.clock = clock

    def startService(self) -> None:
        """Say, once the reactor runs, that the exporter is ready; then look again and again."""
        super().startService()
        self._clock.callLater(0, self._ready)

    def stopService(self) -> None:
        """Say that the exporter stops."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()
        self._say("STOPPING")

    def reloading(self, reload: Callable[[], object]) -> Callable[[], None]:
        """Give a reload that systemd knows to be one."""

        def told_reload() -> None:
            self._say("RELOADING")
            try:
                reload()
            finally:
                self._say("READY")

        return told_reload

    def _ready(self) -> None:
        if self.running:
            self._say("READY")
            self._loop.start(min(PERIOD, self._rhythm), now=True)

    def _guarded_look(self) -> None:
        try:
            self._look()
        except Exception:  # noqa: BLE001 - the next look must come
            self.log.failure("How the exporter does could not be found out, for systemd")

    def _look(self) -> None:
        now = self._clock.seconds()
        if now >= self._next_sign and self._works():
            self._next_sign = now + self._rhythm
            self._say("WATCHDOG")
        description = self._describe()
        if description != self._said and self._say("STATUS", description):
            self._said = description

    def _say(self, name: str, text: str = "") -> bool:
        """Tell systemd; tell whether it was told."""
        try:
            self._tell(name, text)
        except Exception as error:  # noqa: BLE001 - the library's are of several kinds
            if not self._deaf:
                self.log.error("systemd cannot be told how the exporter does: {error}", error=error)
            self._deaf = True
            return False
        self._deaf = False
        return True


def to_systemd(environ: Mapping[str, str]) -> Tell | None:
    """Give what tells systemd; None where no systemd waits for it, or nothing can tell it.

    Args:
        environ: the environment.
    """
    if not environ.get("NOTIFY_SOCKET"):
        return None
    try:
        from cysystemd.daemon import Notification, notify
    except ImportError:
        Logger().warn(
            "systemd waits to be told that the exporter is ready (NOTIFY_SOCKET), for which "
            "cysystemd is missing: install maestro-exporter[systemd]"
        )
        return None
    return lambda name, text: notify(Notification[name], text, return_exceptions=False)


def patience(environ: Mapping[str, str]) -> float | None:
    """Give the seconds in which systemd wants to hear of this process; None where it does not."""
    microseconds = environ.get("WATCHDOG_USEC", "")
    process = environ.get("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or int(microseconds) == 0:
        return None
    return int(microseconds) / 1e6 if process in ("", str(os.getpid())) else None
