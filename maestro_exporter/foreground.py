"""Runs a service in the foreground until it is told to stop.

twistd does this too, but ends by the signal, shows tracebacks and writes a pid
file; a program that people start by hand ends with a status and one line.
"""

from __future__ import annotations

import io
import signal
import sys
from collections.abc import Callable
from typing import Any

from twisted.application.service import IService
from twisted.logger import globalLogBeginner

from maestro_exporter import clock
from maestro_exporter.logs import Log
from maestro_exporter.settings import Settings, StartError
from maestro_exporter.stopping import stop_at_signals
from maestro_exporter.values import FAILED_STATUS


def log_to_standard_output(settings: Settings) -> Log:
    """Give a log that writes to standard output."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A peer's message in a log line may hold what this terminal cannot show.
        sys.stdout.reconfigure(errors="backslashreplace")
    return Log(sys.stdout, settings.log_level, settings.log_format)


def run_service(
    service: IService, log: Log, reactor: Any, reload: Callable[[], object] | None = None
) -> int:
    """Run until SIGINT or SIGTERM; give the exit status.

    When the service cannot start, the reason is one line on standard error and the status is 1.

    Args:
        service: what is run.
        log: where log events go.
        reactor: runs it.
        reload: is called at SIGHUP; without it, that ends the process, as a terminal that closes
            should.
    """
    clock.run_on_monotonic_time(reactor)
    globalLogBeginner.beginLoggingTo([log.observer], redirectStandardIO=False)
    try:
        service.privilegedStartService()
        service.startService()
    except StartError as error:
        sys.stderr.write(f"maestro-exporter: {error}\n")
        return FAILED_STATUS
    if reload is not None:
        signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(reload))
    stop_at_signals(reactor)
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()
    return 0
