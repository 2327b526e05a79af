"""A file that is locked as long as a daemon lives, and who holds it.

Whoever starts a daemon takes the lock and lets it inherit the descriptor, and
the kernel gives the lock back when the last process that has it ends, however
that ends.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_STEP = 0.02  # seconds between two attempts

#: The daemon's user could put anything in its place.
_CAREFULLY = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

_PROCESSES = Path("/proc")


class Lock:
    """The lock of one daemon.

    Args:
        path: of its file, which stays when it is given back.

    Raises:
        OSError: the file cannot be opened, or is none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def is_held(self) -> bool:
        """Tell whether any process holds it."""
        try:
            descriptor = self._open(os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            # Shared, so that two who look do not see each other.
            return not _locked(descriptor, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)

    @contextmanager
    def taken(self) -> Iterator[int | None]:
        """Hold it, by a descriptor that a process may inherit; None where it is held already."""
        descriptor = self._open(os.O_RDWR | os.O_CREAT)
        try:
            while not (locked := _locked(descriptor, fcntl.LOCK_EX)) and not self.is_held():
                time.sleep(_STEP)  # somebody only looks
            yield descriptor if locked else None
        finally:
            os.close(descriptor)  # who has inherited it goes on to hold the lock

    def holders(self) -> Sequence[int]:
        """Give the numbers of the processes that hold it, as far as we may know, but for our own.

        Source: proc(5), `/proc/PID/fdinfo`: an open file has a line for each lock on it.
        """
        try:
            wanted = os.stat(self._path)
        except FileNotFoundError:
            return ()
        found = []
        for process in _PROCESSES.glob("[0-9]*"):
            if process.name == str(os.getpid()):
                continue
            with suppress(OSError):  # it has ended, or is somebody else's
                if any(_holds(each, wanted) for each in (process / "fd").iterdir()):
                    found.append(int(process.name))
        return found

    def _open(self, flags: int) -> int:
        descriptor = os.open(self._path, flags | _CAREFULLY, 0o600)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(0, "is not a file", str(self._path))
        return descriptor


def _holds(descriptor: Path, wanted: os.stat_result) -> bool:
    with suppress(OSError):
        if os.path.samestat(descriptor.stat(), wanted):
            info = descriptor.parents[1] / "fdinfo" / descriptor.name
            return any("FLOCK" in line and "WRITE" in line for line in info.open())
    return False


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
