"""What systemd is told: that the exporter serves, how it does, and that it is alive.

Source: sd_notify(3) and sd_watchdog_enabled(3).
"""

from __future__ import annotations

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
        self._watched = patience is not None
        self._period = min(PERIOD, PERIOD if patience is None else patience / 2)
        self._clock = clock
        self._said = ""
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
        self._tell("STOPPING", "")

    def reloading(self, reload: Callable[[], object]) -> Callable[[], None]:
        """Give a reload that systemd knows to be one."""

        def told_reload() -> None:
            self._tell("RELOADING", "")
            try:
                reload()
            finally:
                self._tell("READY", "")

        return told_reload

    def _ready(self) -> None:
        if self.running:
            self._tell("READY", "")
            self._loop.start(self._period, now=True)

    def _guarded_look(self) -> None:
        try:
            self._look()
        except Exception:  # noqa: BLE001 - the next look must come
            self.log.failure("systemd could not be told how the exporter does")

    def _look(self) -> None:
        if self._watched and self._works():
            self._tell("WATCHDOG", "")
        description = self._describe()
        if description != self._said:
            self._said = description
            self._tell("STATUS", description)


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
    # Errors are logged by the library, and systemd acts when it hears nothing.
    return lambda name, text: notify(Notification[name], text)


def patience(environ: Mapping[str, str]) -> float | None:
    """Give the seconds in which systemd wants to hear of this process; None where it does not."""
    microseconds = environ.get("WATCHDOG_USEC", "")
    process = environ.get("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or int(microseconds) == 0:
        return None
    return int(microseconds) / 1e6 if process in ("", str(os.getpid())) else None
