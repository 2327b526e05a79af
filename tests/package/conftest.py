"""Builds the package and the Debian to install it into, both at once, if they are not there yet."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.package.roots import Root, unpacked

SOURCE = Path(__file__).parents[2]


def finish(process: subprocess.Popen[str]) -> str:
    """The last line that a program says; it must succeed."""
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 0, output
    return output.splitlines()[-1] if output else ""


@pytest.fixture(scope="session")
def _made() -> tuple[Path, Path | None]:
    """The package, and for root the archive of a Debian."""
    if shutil.which("dpkg") is None:
        pytest.skip("this is not Debian, nor made from it: there is no dpkg")
    tools = ["tools/deb"]
    if os.geteuid() == 0:
        tools.append("tools/debian-root")
    running = [
        subprocess.Popen(
            [SOURCE / tool],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for tool in tools
    ]
    last_lines = [finish(process) for process in running]
    archive = SOURCE / "build/debian-root.tar"
    return SOURCE / last_lines[0], archive if len(tools) > 1 else None


@pytest.fixture(scope="session")
def deb(_made: tuple[Path, Path | None]) -> Path:
    """The package."""
    return _made[0]


@pytest.fixture(scope="session")
def workplace() -> Iterator[Path]:
    """A folder that every user can reach, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="package-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture(scope="session")
def root(_made: tuple[Path, Path | None], workplace: Path) -> Iterator[Root]:
    """A Debian without the package."""
    archive = _made[1]
    if archive is None:
        pytest.skip("only root can install a package: chroot takes its rights")
    with unpacked(archive, workplace / "root") as debian:
        yield debian
