"""A Debian of its own in a folder, with the network and the processes of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from tests.servers import wait_for

# What Debian's own tools leave behind, whatever is installed and purged.
BOOKKEEPING = {
    *("/var/log/dpkg.log", "/run/adduser", "/var/lib/logrotate/status"),
    *("/etc/passwd-", "/etc/shadow-", "/etc/group-", "/etc/gshadow-", "/etc/subuid-"),
    *("/etc/subgid-", "/var/cache/ldconfig/aux-cache", "/var/log/alternatives.log"),
}


class Done(NamedTuple):
    """What a program came to; `output` has its errors, too."""

    status: int
    output: str


class Root:
    """A folder with a Debian in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *command: str | Path, network: bool = True) -> Done:
        """Runs a program in it, as root."""
        inside = ["chroot", self.folder, *command]
        done = subprocess.run(
            inside if network else ["unshare", "--net", *inside],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        return Done(done.returncode, done.stdout)

    def path(self, inside: str) -> Path:
        """Where a file in it is."""
        return self.folder / inside.lstrip("/")

    def files(self, below: str = "/") -> set[str]:
        """The names of all files and folders in it, but for what Debian keeps for itself."""
        found = set()
        for folder, folders, files in os.walk(self.path(below)):
            inside = "/" + Path(folder).relative_to(self.folder).as_posix()
            if inside == "/proc":
                folders.clear()
                continue
            found |= {f"{inside.removesuffix('/.')}/{name}" for name in (*folders, *files)}
        return {name.removeprefix("/.") for name in found} - BOOKKEEPING

    def ids(self, name: str) -> tuple[int, int] | None:
        """The numbers of a user and of its group, if it is there."""
        for line in self.path("/etc/passwd").read_text().splitlines():
            fields = line.split(":")
            if fields[0] == name:
                return int(fields[2]), int(fields[3])
        return None

    def processes(self) -> list[int]:
        """The numbers of the processes that run in it."""
        found = []
        for process in Path("/proc").iterdir():
            with suppress(OSError):  # it has ended, or is of the kernel
                if process.name.isdigit() and os.readlink(process / "root") == str(self.folder):
                    found.append(int(process.name))
        return found

    def kill(self) -> None:
        """Ends all processes that run in it, at once."""
        for process in self.processes():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        wait_for(lambda: not self.processes(), "the processes to have ended")


@contextmanager
def unpacked(archive: Path, folder: Path) -> Iterator[Root]:
    """The Debian of this archive, in this folder, with a /proc; nothing of it stays."""
    folder.mkdir()
    subprocess.run(["tar", "-C", folder, "-xf", archive], check=True, timeout=60)
    proc = folder / "proc"
    subprocess.run(["mount", "-t", "proc", "proc", proc], check=True, timeout=60)
    root = Root(folder.resolve())
    try:
        yield root
    finally:
        root.kill()
        subprocess.run(["umount", proc], check=True, timeout=60)
        subprocess.run(["rm", "-rf", "--one-file-system", folder], check=True, timeout=60)
