"""Runs a service in the foreground until it is told to stop.

twistd does this too, but ends by the signal, shows tracebacks and writes a pid
file; a program that people start by hand ends with a status and one line.
"""

from __future__ import annotations

import io
import sys
from typing import Any

from twisted.application.service import IService
from twisted.logger import globalLogBeginner

from maestro_exporter import clock, logs
from maestro_exporter.service import StartError
from maestro_exporter.settings import Settings

FAILED_STATUS = 1


def run_service(service: IService, settings: Settings, reactor: Any) -> int:
    """Run until SIGINT or SIGTERM; give the exit status.

    Log lines go to standard output.  When the service cannot start, the reason is
    one line on standard error and the status is 1.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A peer's message in a log line may hold what this terminal cannot show.
        sys.stdout.reconfigure(errors="backslashreplace")
    clock.run_on_monotonic_time(reactor)
    observer = logs.observer(sys.stdout, settings.log_level, settings.log_format)
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    try:
        service.privilegedStartService()
        service.startService()
    except StartError as error:
        sys.stderr.write(f"maestro-exporter: {error}\n")
        return FAILED_STATUS
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()
    return 0
