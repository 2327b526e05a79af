"""The command `maestro-exporter-service`.

Exit statuses are those of the Linux Standard Base for init scripts.
"""

from __future__ import annotations

import argparse
import os
import pwd
import signal
import stat
import sys
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path

from maestro_exporter.arguments import OneLineParser, argument
from maestro_exporter.control.daemon import Daemon, DaemonError
from maestro_exporter.control.places import PACKAGE, PlaceError, Places, default_root, places
from maestro_exporter.control.probe import Pages
from maestro_exporter.settings import SettingsError, load
from maestro_exporter.values import duration, one_line, shown
from maestro_exporter.web.config import WebConfigError

# Of an action:
OK, FAILED, DENIED, NOT_INSTALLED, NOT_CONFIGURED, NOT_RUNNING = 0, 1, 4, 5, 6, 7
# Of `status`:
RUNS, DIED, STOPPED, UNKNOWN = 0, 1, 3, 4

_EPILOG = """
commands:
  start         start it, and wait until its port answers
  stop          end it, and wait until it has ended
  restart       stop it and start it; a wrong configuration leaves it as it is
  try-restart   the same, if it runs
  reload        let it read its web configuration and its log level again; force-reload too
  status        say whether it runs, and whether it is connected to the broker

exit status:    0 done, or so already; 1 failed; 2 bad usage; 4 not allowed; 5 not installed;
                6 not configured, or wrongly; 7 not running (reload).
                Of status: 0 it runs; 1 it died; 3 it does not run; 4 not known.

Where systemd runs and has the unit of this name, that is asked to do it (systemctl).
"""


_SYSTEMD_RUNS = Path("/run/systemd/system")  # if it is there; sd_booted(3)
_UNIT_FOLDERS = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")


class _RefusedError(Exception):
    """A command cannot be done; `status` is that to exit with, `str()` one line that says why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def main() -> None:
    """Run the command with the arguments of this process; exit with its status."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run the command; give its exit status."""
    options = _parser().parse_intermixed_args(arguments)
    superuser = os.geteuid() == 0
    name: str = options.name
    root: Path = options.root or default_root(Path(sys.prefix), superuser=superuser)
    unit = _unit(root.resolve(), name) if options.config is None else None
    if unit is not None:
        command = ["systemctl", "--no-pager", options.command, unit]
        os.execvp(command[0], command)  # noqa: S606
    try:
        files = places(root.absolute(), name, options.config and options.config.absolute())
        if superuser:
            _become(options.user, files if options.command in _STARTING else None)
        return _COMMANDS[options.command](_Service(name, files, options.timeout))
    except PlaceError as error:
        _parser().error(f'"{shown(name)}": {error}')
    except _RefusedError as error:
        return _fail(name, error.status, str(error))
    except (SettingsError, WebConfigError) as error:
        return _fail(name, NOT_CONFIGURED, str(error))
    except DaemonError as error:
        return _fail(name, FAILED, str(error))
    except PermissionError as error:
        status = UNKNOWN if options.command == "status" else DENIED
        return _fail(name, status, f"{error.filename}: {error.strerror}")
    except OSError as error:
        return _fail(name, FAILED, f"{error.filename}: {error.strerror}")


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
        pages = self._pages()
        _make_folders(self._files)
        started = self._daemon.start(_twistd())
        if pages.url:
            answers = self._daemon.wait(lambda: pages.get("/-/healthy") is not None, self._patience)
            if not answers:
                raise DaemonError(f"it runs, but {pages.url} has not answered in time")
        self._say("OK" if started else "it runs already", pages.url)
        return OK

    def stop(self) -> int:
        if not self._daemon.lives() and not self._daemon.left_a_pid():
            _print(f"{self._name}: it does not run")
            return OK
        killed = self._daemon.stop(self._patience)
        _print(f"{self._name}: " + ("killed, since it did not end" if killed else "stopped"))
        return OK

    def restart(self) -> int:
        self._pages()  # a wrong configuration must not end what runs
        if self._daemon.lives():
            self.stop()
        return self.start()

    def try_restart(self) -> int:
        if self._daemon.lives():
            return self.restart()
        _print(f"{self._name}: it does not run")
        return OK

    def reload(self) -> int:
        if not self._daemon.lives():
            raise _RefusedError(NOT_RUNNING, "it does not run")
        self._pages()
        self._daemon.send(signal.SIGHUP)
        _print(f"{self._name}: OK")
        return OK

    def status(self) -> int:
        if self._daemon.lives():
            try:
                pages = self._pages()
            except (_RefusedError, SettingsError, WebConfigError) as error:
                _print(f"{self._name}: it runs{self._process()}, but could not be started again:")
                _print(f"{self._name}: {error}")
            else:
                self._say("it runs", pages.url)
                ready = pages.get("/-/ready")
                if pages.url and ready is None:
                    _print(f"{self._name}: it does not answer")
                elif ready is not None and ready.text:
                    _print(ready.text)
            return RUNS
        if self._daemon.left_a_pid():
            _print(f"{self._name}: it died, and left {self._files.pid}")
            return DIED
        _print(f"{self._name}: it does not run")
        return STOPPED

    def _pages(self) -> Pages:
        """Read the configuration, and see whether all of it is right."""
        path = self._files.configuration
        if not path.exists():
            raise _RefusedError(NOT_CONFIGURED, f"there is no {path}")
        given = {"config": [str(path)]}
        return Pages(load(given, {}, str(path.parent)))

    def _say(self, what: str, url: str) -> None:
        _print(f"{self._name}: {what}{self._process()}{f': {url}' if url else ''}")

    def _process(self) -> str:
        pid = self._daemon.pid()
        return f" (process {pid})" if pid is not None else ""


_COMMANDS: dict[str, Callable[[_Service], int]] = {
    "start": _Service.start,
    "stop": _Service.stop,
    "restart": _Service.restart,
    "try-restart": _Service.try_restart,
    "reload": _Service.reload,
    "force-reload": _Service.reload,
    "status": _Service.status,
}
#: Those that may start it.
_STARTING = ("start", "restart", "try-restart")


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
        os.chown(folder, user.pw_uid, user.pw_gid)
    if user.pw_uid != 0:
        os.initgroups(user.pw_name, user.pw_gid)
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
        os.environ["HOME"] = user.pw_dir


def _make_folders(files: Places) -> Sequence[Path]:
    """Make the folders that are missing; give them."""
    made = [folder for folder in (files.pid.parent, files.log.parent) if not folder.exists()]
    for folder in made:
        folder.mkdir(parents=True)
        folder.chmod(stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
    return made


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


def _print(line: str) -> None:
    sys.stdout.write(f"{one_line(line)}\n")
    sys.stdout.flush()


def _fail(name: str, status: int, why: str) -> int:
    sys.stdout.flush()
    sys.stderr.write(f"{name}: failed: {one_line(why)}\n")
    return status
