"""A daemon of twistd's: whether it lives, and what can be done to it.

It lives as long as its lock file is locked: whoever starts it takes the lock
and lets it inherit the descriptor, and the kernel gives the lock back when the
last process that has it ends, however that ends.  So nothing depends on the
names of processes, and a number in a pid file that has come to belong to
another process is never taken for the daemon's.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from maestro_exporter.control.log import last_error
from maestro_exporter.control.places import Places

_LAUNCH_SECONDS = 60.0  # for twistd to import everything, on a slow machine
_KILLED_SECONDS = 5.0  # for the kernel to end a process
_STEP = 0.05  # seconds between two looks


class DaemonError(Exception):
    """It cannot be started or stopped; `str()` is one line that says why."""


class Daemon:
    """One daemon.

    Args:
        places: its files.  Their folders must be there.

    Where its files may not be read or written, `PermissionError` is raised.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        self._log_end: int | None = None  # before it was started

    def lives(self) -> bool:
        """Tell whether it runs, or is just being started or stopped."""
        try:
            descriptor = os.open(self._places.lock, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            # Shared, so that two who look do not see each other.
            return not _locked(descriptor, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)

    def pid(self) -> int | None:
        """Give the number in the pid file, if there is one; that of its process, if it lives."""
        try:
            return int(self._places.pid.read_text("ascii"))
        except (FileNotFoundError, ValueError):
            return None

    def left_a_pid(self) -> bool:
        """Tell whether there is a pid file; if it does not live, it did not end in order."""
        return self._places.pid.exists()

    def start(self, twistd: Path) -> bool:
        """Start it, and return once it listens; give False where it lives already.

        Raises:
            DaemonError: it does not start.
        """
        with self._lock() as descriptor:
            if descriptor is None:
                return False
            # twistd would take the number in it for a daemon's, whosever it is by now.
            self._places.pid.unlink(missing_ok=True)
            self._log_end = _size(self._places.log)
            done = _run(self._command(twistd), self._places.configuration.parent, descriptor)
        if done.returncode != 0:
            said = done.stderr.strip().splitlines()
            reason = self._last_error() or (said[-1] if said else "")
            self._ended(_KILLED_SECONDS)  # it says that it fails before it has ended
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
            seconds: until then it may end in order; then it is killed.

        Raises:
            DaemonError: it does not end, or nobody knows its number.
        """
        forced = False
        if self.lives():
            self.send(signal.SIGTERM)
            if not self._ended(seconds):
                forced = True
                self.send(signal.SIGKILL)
                if not self._ended(_KILLED_SECONDS):
                    raise DaemonError(f"process {self.pid()} does not end")
        self._places.pid.unlink(missing_ok=True)
        return forced

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it lives.

        Raises:
            DaemonError: nobody knows its number.
        """
        pid = self.pid()
        if not self.lives():
            return
        if pid is None:
            raise DaemonError(f"no process number in {self._places.pid}")
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            if self.lives():
                raise DaemonError(
                    f"{self._places.pid} names process {pid}, which is not there"
                ) from None

    def _ended(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.lives():
            if time.monotonic() >= deadline:
                return False
            time.sleep(_STEP)
        return True

    def _last_error(self) -> str:
        """Give the last error in the log, since it was started if that was here; else nothing."""
        return last_error(_since(self._places.log, self._log_end or 0))

    @contextmanager
    def _lock(self) -> Iterator[int | None]:
        """Hold the lock, by a descriptor; None where it lives already."""
        descriptor = os.open(self._places.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while not (locked := _locked(descriptor, fcntl.LOCK_EX)) and not self.lives():
                time.sleep(_STEP)  # somebody only looks
            yield descriptor if locked else None
        finally:
            os.close(descriptor)  # a daemon that has inherited it goes on to hold the lock

    def _command(self, twistd: Path) -> Sequence[str]:
        return (
            str(twistd),
            f"--pidfile={self._places.pid}",
            f"--logfile={self._places.log}",
            "maestro-exporter",
            f"--config={self._places.configuration}",
        )


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _run(command: Sequence[str], folder: Path, descriptor: int) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603
            command,
            cwd=folder,  # which names of files in the configuration are relative to
            env=_environment(),
            pass_fds=[descriptor],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LAUNCH_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DaemonError(f"twistd has not started within {_LAUNCH_SECONDS:g} s") from None
    except OSError as error:
        raise DaemonError(f"{command[0]}: {error.strerror}") from None


def _environment() -> dict[str, str]:
    """Give the environment of the daemon: its settings come from its file alone."""
    ours = ("MAESTRO", "NOTIFY_", "LISTEN_", "WATCHDOG_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _since(path: Path, end: int) -> str:
    """Give what a file has got since it had this size."""
    try:
        with path.open("rb") as stream:
            stream.seek(end)
            return stream.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
