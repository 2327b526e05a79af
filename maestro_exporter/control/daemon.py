"""A daemon of twistd's: whether it lives, and what can be done to it.

It lives as long as its lock is held, and is the process that holds it.  The
number in its pid file is only believed where that process does: by now it may
be anybody's, and the file is the daemon's own to write.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from maestro_exporter.control.lock import Lock
from maestro_exporter.control.log import last_error_since, mark
from maestro_exporter.control.places import Places

_LAUNCH_SECONDS = 60.0  # for twistd to import everything, on a slow machine
_KILLED_SECONDS = 5.0  # for the kernel to end a process
_STEP = 0.05  # seconds between two looks

#: What the daemon gets of the environment: its settings come from its file alone, and what else
#: there is may be a secret of who starts it.
_ENVIRONMENT = re.compile(r"PATH|HOME|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR|SSL_CERT_FILE|SSL_CERT_DIR")


class DaemonError(Exception):
    """It cannot be started or stopped; `str()` is one line that says why."""


class Daemon:
    """One daemon.

    Args:
        places: its files.

    Where its files cannot be used, `OSError` is raised.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        self._lock = Lock(places.lock)
        self._mark = mark(places.log)  # before it is started

    def lives(self) -> bool:
        """Tell whether it runs, or is just being started or stopped."""
        return self._lock.is_held()

    def pid(self) -> int | None:
        """Give the number of its process; None where it does not live, or is just being started."""
        number = self._number()
        return number if number in self._lock.holders() else None

    def left_a_pid(self) -> bool:
        """Tell whether there is a pid file; if it does not live, it did not end in order."""
        return self._places.pid.exists()

    def start(self, twistd: Path) -> bool:
        """Start it, and return once it listens; give False where it lives already.

        Raises:
            DaemonError: it does not start.
        """
        with self._lock.taken() as descriptor:
            if descriptor is None:
                return False
            # twistd would take the number in it for a daemon's, whosever it is by now.
            self._places.pid.unlink(missing_ok=True)
            try:
                done = _run(self._command(twistd), self._places.configuration.parent, descriptor)
            except BaseException:  # an interrupt, too
                self._kill()
                raise
        if done.returncode != 0:
            said = done.stderr.strip().splitlines()
            self._ended(_KILLED_SECONDS)  # it says that it fails before it has ended
            reason = self._last_error() or (said[-1] if said else "")
            raise DaemonError(reason or f"twistd ended with status {done.returncode}")
        return True

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until a condition holds, while the daemon lives; tell whether it came to hold.

        Raises:
            DaemonError: the daemon ended first; has the last error in its log.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            if not self.lives():
                raise DaemonError(self._last_error() or "it ended at once")
            if time.monotonic() >= deadline:
                return False
            time.sleep(_STEP)
        return True

    def stop(self, seconds: float) -> bool:
        """End it, and return when it has ended; tell whether that had to be enforced.

        Args:
            seconds: until then it may come up, if it is just being started, and end in order;
                then it is killed.

        Raises:
            DaemonError: it does not end.
        """
        begin = time.monotonic()
        told: set[int] = set()
        killed = False
        while self.lives():
            passed = time.monotonic() - begin
            if passed >= seconds:
                killed = True
                self._kill()
                break
            pid = self.pid()
            if pid is not None:
                wanted = {pid}
            else:  # it has no pid file yet, or no more
                wanted = set(self._lock.holders()) if passed >= seconds / 2 else set()
            for each in wanted - told:
                _send(each, signal.SIGTERM)
            told |= wanted
            time.sleep(_STEP)
        self._places.pid.unlink(missing_ok=True)
        return killed

    def send(self, number: signal.Signals) -> None:
        """Send it a signal.

        Raises:
            DaemonError: it does not live, or is just being started.
        """
        pid = self.pid()
        if pid is None:
            raise DaemonError("it is just being started, or ends")
        _send(pid, number)

    def _number(self) -> int | None:
        """Give the number in the pid file, if there is one."""
        try:
            descriptor = os.open(self._places.pid, os.O_RDONLY | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        with open(descriptor, "rb") as stream:
            text = stream.read(20).strip()
        return int(text) if re.fullmatch(rb"[1-9][0-9]{0,9}", text) else None

    def _kill(self) -> None:
        """Kill all others who hold the lock: it, and twistd while that starts it."""
        deadline = time.monotonic() + _KILLED_SECONDS
        while holders := self._lock.holders():
            for pid in holders:
                _send(pid, signal.SIGKILL)
            if time.monotonic() >= deadline:
                raise DaemonError(f"process {holders[0]} does not end")
            time.sleep(_STEP)

    def _ended(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.lives():
            if time.monotonic() >= deadline:
                return False
            time.sleep(_STEP)
        return True

    def _last_error(self) -> str:
        return last_error_since(self._places.log, self._mark)

    def _command(self, twistd: Path) -> Sequence[str]:
        return (
            str(twistd),
            f"--pidfile={self._places.pid}",
            f"--logfile={self._places.log}",
            "maestro-exporter",
            f"--config={self._places.configuration}",
        )


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _run(command: Sequence[str], folder: Path, descriptor: int) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603
            command,
            cwd=folder,  # which names of files in the configuration are relative to
            env={name: text for name, text in os.environ.items() if _ENVIRONMENT.fullmatch(name)},
            pass_fds=[descriptor],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LAUNCH_SECONDS,
            check=False,
            start_new_session=True,  # Ctrl-C is for us, who then end it
        )
    except subprocess.TimeoutExpired:
        raise DaemonError(f"twistd has not started within {_LAUNCH_SECONDS:g} s") from None
    except OSError as error:
        raise DaemonError(f"{command[0]}: {error.strerror}") from None
