"""The two clocks: one that never steps, and the one on the wall."""

from __future__ import annotations

import time
from typing import Any

from maestro_exporter.snapshot import Moment


def now() -> Moment:
    """Give the present moment on both clocks."""
    return Moment(time.monotonic(), time.time())


def run_on_monotonic_time(reactor: Any) -> None:
    """Let the reactor's timers run on the clock that never steps.

    Twisted's follow the wall clock (https://github.com/twisted/twisted/issues/2424): where
    that is set back by an hour, nothing is asked and nothing expires for an hour.  To be
    called before anything is scheduled.
    """
    reactor.seconds = time.monotonic
