"""The command `maestro-exporter-service`.

Exit statuses are those of the Linux Standard Base for init scripts.
"""

from __future__ import annotations

import argparse
import os
import pwd
import signal
import sys
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from maestro_exporter.arguments import OneLineParser, argument
from maestro_exporter.control.daemon import Daemon, DaemonError
from maestro_exporter.control.places import PACKAGE, PlaceError, Places, default_root, places
from maestro_exporter.control.probe import Pages
from maestro_exporter.settings import SettingsError, load
from maestro_exporter.values import duration, shown
from maestro_exporter.web.config import WebConfigError

# Of an action:
OK, FAILED, DENIED, NOT_INSTALLED, NOT_CONFIGURED, NOT_RUNNING = 0, 1, 4, 5, 6, 7
INTERRUPTED = 130  # as of a shell's
# Of `status`:
RUNS, DIED, STOPPED, UNKNOWN = 0, 1, 3, 4

_EPILOG = """
commands:
  start         start it, and wait until its port answers
  stop          end it, and wait until it has ended
  restart       stop it and start it; a wrong configuration leaves it as it is
  try-restart   the same, if it runs
  reload        let it read its web configuration and its log level again; force-reload too
  reopen        let it begin a new log file, after the present one was renamed
  status        say whether it runs, and whether it is connected to the broker

exit status:    0 done, or so already; 1 failed; 2 bad usage; 4 not allowed; 5 not installed;
                6 not configured, or wrongly; 7 not running (reload).
                Of status: 0 it runs; 1 it died; 3 it does not run; 4 not known.

Where systemd runs and has the unit of this name, systemctl does it, and the exit status is that of
systemctl; but start, restart and reload look at the configuration first.  With --config, systemd is
not asked.
"""

_STANDARD_ERROR = 2  # its descriptor
_OTHERS_SECONDS = 5.0  # for another who is just starting it to be done

_SYSTEMD_RUNS = Path("/run/systemd/system")  # if it is there; sd_booted(3)
_UNIT_FOLDERS = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")


class _RefusedError(Exception):
    """A command cannot be done; `status` is that to exit with, `str()` one line that says why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def main() -> None:
    """Run the command with the arguments of this process; exit with its status."""
    # Else what is opened here might become the standard output of another program.
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STANDARD_ERROR:
        pass
    os.close(descriptor)
    try:
        status = run(sys.argv[1:])
    except KeyboardInterrupt:
        _write(sys.stderr, "maestro-exporter-service: interrupted")
        status = INTERRUPTED
    sys.exit(status)


def run(arguments: Sequence[str]) -> int:
    """Run the command; give its exit status."""
    options = _parser().parse_intermixed_args(arguments)
    os.umask(0o022)  # whose ever folders these are, the daemon's user must get through
    name: str = options.name
    try:
        return _do(options)
    except PlaceError as error:
        _parser().error(f'"{shown(name)}": {error}')
    except _RefusedError as error:
        status, why = error.status, str(error)
    except (SettingsError, WebConfigError) as error:
        status, why = NOT_CONFIGURED, str(error)
    except DaemonError as error:
        status, why = FAILED, str(error)
    except OSError as error:
        status = DENIED if isinstance(error, PermissionError) else FAILED
        why = ": ".join(str(each) for each in (error.filename, error.strerror) if each)
    if options.command == "status":
        status = UNKNOWN
    _write(sys.stderr, f"{name}: failed: {why}")
    return status


def _do(options: argparse.Namespace) -> int:
    superuser = os.geteuid() == 0
    root: Path = (options.root or default_root(Path(sys.prefix), superuser=superuser)).absolute()
    files = places(root, options.name, options.config and options.config.absolute())
    service = _Service(options.name, files, options.timeout)
    unit = _unit(root, options.name) if options.config is None else None
    if unit is not None and options.command in _BY_SYSTEMD:
        if options.command in _READING:
            service.pages()  # a wrong configuration must not end what runs
        command = ["systemctl", "--no-pager", options.command, unit]
        os.execvp(command[0], command)  # noqa: S606
    if superuser:
        _become(options.user, files if options.command in _STARTING else None)
    return _COMMANDS[options.command](service)


class _Service:
    """What the commands do.  Each gives the exit status.

    Args:
        name: of the daemon.
        files: where its files are.
        patience: seconds to wait for it to answer, or to end.
    """

    def __init__(self, name: str, files: Places, patience: float) -> None:
        self._name = name
        self._files = files
        self._patience = patience
        self._daemon = Daemon(files)

    def start(self) -> int:
        pages = self.pages()
        twistd = _twistd()
        _make_folders(self._files)
        if not self._daemon.start(twistd):
            return self._say_already(pages)
        if pages.url and not self._daemon.wait(lambda: _answers(pages), self._patience):
            raise DaemonError(f"it runs, but {pages.url} has not answered in time")
        self._say("OK", pages.url)
        return OK

    def stop(self) -> int:
        if not self._daemon.lives() and not self._daemon.left_a_pid():
            self._say_stopped()
            return OK
        killed = self._daemon.stop(self._patience)
        self._print("killed, since it did not end" if killed else "stopped")
        return OK

    def restart(self) -> int:
        self.pages()  # what cannot be started again must not be ended
        _twistd()
        if self._daemon.lives():
            self.stop()
        return self.start()

    def try_restart(self) -> int:
        if self._daemon.lives():
            return self.restart()
        self._say_stopped()
        return OK

    def reload(self) -> int:
        self._require_life()
        self.pages()
        self._daemon.send(signal.SIGHUP)
        self._print("asked to reload; its log says what that came to")
        return OK

    def reopen(self) -> int:
        self._require_life()
        self._daemon.send(signal.SIGUSR1)
        return OK

    def status(self) -> int:
        if self._daemon.lives():
            try:
                pages = self.pages()
            except (_RefusedError, SettingsError, WebConfigError) as error:
                self._say("it runs", "")
                self._print(f"it could not be started again: {error}")
            else:
                self._say("it runs", pages.url)
                ready = pages.get("/-/ready")
                if pages.url and ready is None:
                    self._print("it does not answer there")
                elif ready is not None and ready.text:
                    _write(sys.stdout, ready.text)
            return RUNS
        if self._daemon.left_a_pid():
            self._print(f"it died, and left {self._files.pid}")
            return DIED
        self._say_stopped()
        return STOPPED

    def pages(self) -> Pages:
        """Read the configuration, and see whether all of it is right."""
        path = self._files.configuration
        if not path.exists():
            raise _RefusedError(NOT_CONFIGURED, f"there is no {path}")
        given = {"config": [str(path)]}
        return Pages(load(given, {}, str(path.parent)))

    def _require_life(self) -> None:
        if not self._daemon.lives():
            raise _RefusedError(NOT_RUNNING, "it does not run")

    def _say_already(self, pages: Pages) -> int:
        """Say that it runs; somebody else may be just starting it."""
        patience = min(self._patience, _OTHERS_SECONDS)
        answers = pages.url and self._daemon.wait(lambda: _answers(pages), patience)
        self._say("it runs already", pages.url if answers else "")
        if pages.url and not answers:
            self._print(f"{pages.url} does not answer; if that was changed, restart it")
        return OK

    def _say(self, what: str, url: str) -> None:
        pid = self._daemon.pid()
        process = f" (process {pid})" if pid is not None else ""
        self._print(f"{what}{process}{f': {url}' if url else ''}")

    def _say_stopped(self) -> None:
        self._print("it does not run")

    def _print(self, what: str) -> None:
        _write(sys.stdout, f"{self._name}: {what}")


def _answers(pages: Pages) -> bool:
    return pages.get("/-/healthy") is not None


_COMMANDS: dict[str, Callable[[_Service], int]] = {
    "start": _Service.start,
    "stop": _Service.stop,
    "restart": _Service.restart,
    "try-restart": _Service.try_restart,
    "reload": _Service.reload,
    "force-reload": _Service.reload,
    "reopen": _Service.reopen,
    "status": _Service.status,
}
#: Those that may start it, those that look at its configuration, and those that systemd knows.
_STARTING = ("start", "restart", "try-restart")
_READING = (*_STARTING, "reload", "force-reload")
_BY_SYSTEMD = (*_READING, "stop", "status")


def _parser() -> OneLineParser:
    parser = OneLineParser(
        prog="maestro-exporter-service",
        description="Starts and stops maestro-exporter as a daemon.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=list(_COMMANDS), metavar="COMMAND")
    parser.add_argument(
        "name",
        nargs="?",
        default=PACKAGE,
        metavar="NAME",
        help="which one, where there are several: its configuration is NAME.conf  "
        "[default: maestro-exporter, of maestro-exporter-service.conf]",
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="its configuration, if not in its usual place"
    )
    parser.add_argument(
        "--root",
        type=Path,
        metavar="FOLDER",
        help="below which are etc/maestro-exporter, run/maestro-exporter and "
        "var/log/maestro-exporter  [default: / for root, and for a package of the system; "
        "for others the folder that this was unpacked or installed to]",
    )
    parser.add_argument(
        "--user",
        default=PACKAGE,
        help="whom it runs as, if root starts it  [default: maestro-exporter]",
    )
    parser.add_argument(
        "--timeout",
        type=argument(duration("1s", "10m")),
        default=30.0,
        metavar="TIME",
        help="how long to wait until it answers, or ends, 1s to 10m  [default: 30s]",
    )
    return parser


def _unit(root: Path, name: str) -> str | None:
    """Give systemd's unit for this daemon, where systemd runs and has one."""
    if root != Path("/") or not _SYSTEMD_RUNS.is_dir():
        return None
    file = "maestro-exporter.service" if name == PACKAGE else "maestro-exporter@.service"
    if not any(Path(folder, file).exists() for folder in _UNIT_FOLDERS):
        return None
    return file.replace("@", f"@{name}")


def _become(name: str, files: Places | None) -> None:
    """Go on as the user of the daemon, who can harm nothing else.

    Args:
        name: of the user.
        files: those of the daemon, whose folders are made before; None where none are needed.

    Raises:
        _RefusedError: there is no such user.
    """
    try:
        user = pwd.getpwnam(name)
    except (KeyError, ValueError):
        raise _RefusedError(
            NOT_INSTALLED, f'there is no user "{shown(name)}": make one, or name another by --user'
        ) from None
    for folder in _make_folders(files) if files is not None else ():
        if folder.lstat().st_uid == 0:  # made now, or just by another
            os.chown(folder, user.pw_uid, user.pw_gid, follow_symlinks=False)
    if user.pw_uid != 0:
        os.initgroups(user.pw_name, user.pw_gid)
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
        os.environ["HOME"] = user.pw_dir
        if not os.access(sys.executable, os.X_OK):
            raise _RefusedError(NOT_INSTALLED, f"the user {name} may not run {sys.executable}")


def _make_folders(files: Places) -> Sequence[Path]:
    """Make the folders that the daemon writes to, if they are missing; give them."""
    folders = (files.pid.parent, files.log.parent)
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    return folders


def _twistd() -> Path:
    """Give twistd of the environment that this runs in.

    Raises:
        _RefusedError: it has none.
    """
    folders = [Path(sys.argv[0]).resolve().parent, Path(sysconfig.get_path("scripts"))]
    found = next((path for folder in folders if (path := folder / "twistd").exists()), None)
    if found is None:
        raise _RefusedError(NOT_INSTALLED, f"there is no twistd in {folders[0]}")
    return found


def _write(stream: TextIO | None, line: str) -> None:
    """Write a line; that nobody can read it does not change what was done."""
    try:
        if stream is not None:
            stream.write(" ".join(line.splitlines()) + "\n")
            stream.flush()
    except OSError:
        # What is left in the buffer would be tried again at the end, and change the status.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno() if stream else 1)
