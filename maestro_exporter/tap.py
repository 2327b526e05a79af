"""The way in for twistd: options, and the service that they describe."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from twisted.application.service import IService, MultiService
from twisted.logger import ILogObserver, Logger
from twisted.python import usage
from twisted.python.components import Componentized
from twisted.python.logfile import LogFile

import maestro_exporter
from maestro_exporter import clock
from maestro_exporter.logs import Log
from maestro_exporter.options import OPTIONS, Option
from maestro_exporter.process_title import hide_passwords
from maestro_exporter.service import Exporter, make_exporter
from maestro_exporter.settings import (
    Settings,
    SettingsError,
    StartError,
    load,
    refuse_secrets,
)
from maestro_exporter.stopping import stop_at_signals
from maestro_exporter.values import FAILED_STATUS, USAGE_STATUS, one_line, shown

_LOG_BYTES = 16 * 2**20  # in a log file, until another is begun
_OLD_LOGS = 4  # that are kept then

_OFFERED = [option for option in OPTIONS if not option.secret]
_SECRETS = [option for option in OPTIONS if option.secret]


class Options(usage.Options):
    """The command line; once it is parsed, `settings` are there.  Builds and starts nothing."""

    settings: Settings
    log = Logger()

    synopsis = "[options]"
    longdesc = (
        "Asks the peers of a Maestro test cluster for their state and publishes it to "
        "Prometheus.  Each option can also be given in the environment or in the --config "
        "file: "
        + ", ".join(f"--{option.name} as {option.variable}" for option in _OFFERED)
        + ".  Only there, since everybody can see command lines: "
        + "; ".join(f"{option.variable}: {option.help}" for option in _SECRETS)
    )

    def __init__(self) -> None:
        super().__init__()
        self._given: dict[str, list[str]] = {}
        self._folder = _current_folder()

    def give(self, option: Option, text: str) -> None:
        """Note that an option was given; of one that is not repeatable, the last counts."""
        self._given.setdefault(option.name, []).append(text)

    def opt_version(self) -> NoReturn:
        """Show the version and exit."""
        sys.stdout.write(f"maestro-exporter {maestro_exporter.__version__}\n")
        sys.exit(0)

    def opt_help(self) -> NoReturn:
        """Show this help and exit."""
        sys.stdout.write(f"{self}\n")
        sys.exit(0)

    opt_h = opt_help

    def parseOptions(self, options: Any = None) -> None:
        """Parse, or end the process with status 2 and one line on standard error."""
        hide_passwords()
        try:
            refuse_secrets(sys.argv[1:] if options is None else options)
            super().parseOptions(options)
        except (usage.UsageError, SettingsError) as error:
            sys.stderr.write(f"maestro-exporter: {one_line(str(error))}\n")
            sys.exit(USAGE_STATUS)

    def parseArgs(self, *arguments: str) -> None:
        """There are none.

        Raises:
            UsageError: there is one.
        """
        if arguments:
            raise usage.UsageError(f'"{shown(arguments[0])}": there are only options')

    def postOptions(self) -> None:
        """Settle the settings."""
        try:
            self.settings = load(self._given, os.environ, self._folder)
        except SettingsError as error:
            raise usage.UsageError(str(error)) from None

    def reread(self, log: Log | None) -> None:
        """Read the configuration file again and take over the log level, and nothing else.

        Args:
            log: gets the level; None where the log is not ours.
        """
        try:
            new = load(self._given, os.environ, self._folder)
        except SettingsError as error:
            self.log.error("The settings stay as they were: {error}", error=error)
            return
        if log is not None:
            log.set_level(new.log_level)
        if replace(new, log_level=self.settings.log_level) != self.settings:
            self.log.warn("Other settings than the log level have changed; they take a restart")


def _current_folder() -> str:
    """Give the folder that names of files are relative to; twistd may change to another later."""
    try:
        return str(Path.cwd())
    except OSError:  # it has been removed
        return ""


def _handler(option: Option) -> Callable[..., None]:
    def handle(options: Options, text: str) -> None:
        options.give(option, text)

    def handle_flag(options: Options) -> None:
        options.give(option, "true")

    handle.__doc__ = handle_flag.__doc__ = option.help
    return handle_flag if option.flag else handle


for _option in _OFFERED:
    _handle = _handler(_option)
    setattr(Options, f"opt_{_option.name.replace('-', '_')}", _handle)
    if _option.short:
        setattr(Options, f"opt_{_option.short}", _handle)


class _UnderTwistd(MultiService):
    """The exporter, as twistd runs it: our log lines, an error of one line, a clean exit.

    twistd takes the log observer from the application that this service is
    added to, shows a traceback when a service cannot start, and ends by the
    signal that ended it, which a supervisor may take for a failure.
    """

    def __init__(self, exporter: Exporter, log: Log | None, reactor: Any) -> None:
        super().__init__()
        exporter.setServiceParent(self)
        self._exporter = exporter
        self._log = log
        self._reactor = reactor

    def setServiceParent(self, parent: Any) -> None:
        """Give the application its log observer."""
        if self._log is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self._log.observer)
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """Start; when that is not possible, the reason alone is shown."""
        try:
            super().privilegedStartService()
        except StartError:
            sys.tracebacklimit = 0
            raise

    def startService(self) -> None:
        """Start, make SIGTERM and SIGINT an ordinary end with status 0, and SIGHUP a reload."""
        super().startService()
        reload = self._exporter.reload
        signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(reload))
        stop_at_signals(self._reactor)
        self._reactor.addSystemEventTrigger("after", "shutdown", self._stopped)

    def _stopped(self) -> None:
        if self._exporter.failed:
            atexit.register(_exit_as_failed)  # twistd itself would end with 0


def _exit_as_failed() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(FAILED_STATUS)


def makeService(options: Options) -> IService:
    """Give the service that twistd runs."""
    from twisted.internet import reactor

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until it means a reload
    clock.run_on_monotonic_time(reactor)
    settings = options.settings
    twistd = getattr(options, "parent", None) or {}
    log = _log(twistd, settings, reactor)
    try:
        exporter = make_exporter(settings, reactor, reread=lambda: options.reread(log))
    except StartError:
        sys.tracebacklimit = 0  # the reason alone is shown
        raise
    return _UnderTwistd(exporter, log, reactor)


class _LogFile(LogFile):
    """A log file that is renamed by itself when it is long, or by another program at any time."""

    def begin_anew(self) -> None:
        """Go on in a new file; the present one is renamed, unless that was done already."""
        try:
            moved = not os.path.samestat(os.stat(self.path), os.fstat(self._file.fileno()))
        except OSError:
            moved = True
        if moved:
            self.reopen()
        else:
            self.rotate()


def _log(twistd: Any, settings: Settings, reactor: Any) -> Log | None:
    """Give the log for twistd's own --logfile.

    None where twistd was told of another one, or where the file cannot be opened:
    then twistd makes its own, or says why not.
    """
    if twistd.get("logger") or twistd.get("syslog"):
        return None
    path = twistd.get("logfile")
    if path == "-" or (not path and twistd.get("nodaemon", True)):
        stream: Any = sys.stdout
    else:
        try:
            stream = _LogFile.fromFullPath(
                path or "twistd.log", rotateLength=_LOG_BYTES, maxRotatedFiles=_OLD_LOGS
            )
        except OSError:
            return None
        signal.signal(signal.SIGUSR1, lambda *_: reactor.callFromThread(stream.begin_anew))
    return Log(stream, settings.log_level, settings.log_format)
