"""The command `maestro-exporter`: the exporter in the foreground, and its subcommands."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from importlib import import_module

from maestro_exporter.process_title import hide_passwords
from maestro_exporter.stopping import end_at_signals

_HELP = """
Commands:
  maestro-exporter check      Whether a cluster is fit for a test, in a table and an exit status.
  maestro-exporter once       The metrics as they are now, on standard output or in a file.
  maestro-exporter simulate   A simulated Maestro cluster on a real broker.
  maestro-exporter demo       A broker, a simulated cluster and the exporter together.
  maestro-exporter check-config FILE
                              Whether a web configuration, or a file for --config, is right.
"""

#: The module of each command: it has a `main`, which takes the arguments and gives a status.
_COMMANDS = {
    "check": "maestro_exporter.commands.check",
    "check-config": "maestro_exporter.commands.check_config",
    "demo": "maestro_exporter.commands.demo",
    "once": "maestro_exporter.commands.once",
    "simulate": "maestro_exporter.simulator.cli",
}


def main() -> None:
    """Run the command with the arguments of this process; exit with its status."""
    hide_passwords()  # before the reactor is imported, which takes a while
    end_at_signals()
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run the command; give its exit status: of the exporter 0 stopped, 1 failed, 2 bad usage."""
    # What a subcommand needs is imported only for it.
    command = _COMMANDS.get(arguments[0]) if arguments else None
    if command is None:
        return _export(arguments)
    status: int = import_module(command).main(arguments[1:])
    return status


def _export(arguments: Sequence[str]) -> int:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until it means a reload
    from twisted.internet import reactor

    from maestro_exporter.foreground import log_to_standard_output, run_service
    from maestro_exporter.service import make_exporter
    from maestro_exporter.settings import StartError
    from maestro_exporter.tap import Options
    from maestro_exporter.values import FAILED_STATUS

    class CommandOptions(Options):
        synopsis = "Usage: maestro-exporter [options]"

        def getUsage(self, width: int | None = None) -> str:
            return super().getUsage(width) + _HELP

    options = CommandOptions()
    options.parseOptions(list(arguments))
    log = log_to_standard_output(options.settings)
    try:
        exporter = make_exporter(options.settings, reactor, reread=lambda: options.reread(log))
    except StartError as error:
        sys.stderr.write(f"maestro-exporter: {error}\n")
        return FAILED_STATUS
    status = run_service(exporter, log, reactor, exporter.reload)
    return FAILED_STATUS if exporter.failed else status
