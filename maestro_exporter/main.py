"""The command `maestro-exporter`: the exporter in the foreground, and its subcommands."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

from maestro_exporter.process_title import hide_passwords
from maestro_exporter.stopping import end_at_signals

_HELP = """
Commands:
  maestro-exporter simulate   A simulated Maestro cluster on a real broker.
  maestro-exporter demo       A broker, a simulated cluster and the exporter together.
  maestro-exporter check-config FILE
                              Whether a web configuration, or a file for --config, is right.
"""


def main() -> None:
    """Run the command with the arguments of this process; exit with its status."""
    hide_passwords()  # before the reactor is imported, which takes a while
    end_at_signals()
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run the command; give its exit status: 0 stopped, 1 could not start, 2 bad usage."""
    # What a subcommand needs is imported only for it.
    if arguments[:1] == ["simulate"]:
        from maestro_exporter.simulator.cli import main as simulate

        return simulate(arguments[1:])
    if arguments[:1] == ["demo"]:
        from maestro_exporter.demo import main as show

        return show(arguments[1:])
    if arguments[:1] == ["check-config"]:
        from maestro_exporter.check import main as check

        return check(arguments[1:])
    return _export(arguments)


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
