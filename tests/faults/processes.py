"""What the kernel says of a program that a test has started."""

from __future__ import annotations

from pathlib import Path

from tests.servers import Server

_FORGET_PEAK = "5"  # proc(5), clear_refs


def rss_kib(server: Server) -> int:
    """Give how much memory it has in RAM, in KiB."""
    return _number(server, "VmRSS")


def peak_kib(server: Server) -> int:
    """Give how much it had in RAM at most, in KiB, since its start or since `forget_peak`."""
    return _number(server, "VmHWM")


def forget_peak(server: Server) -> None:
    """Begin anew to look for the most."""
    (_folder(server) / "clear_refs").write_text(_FORGET_PEAK)


def threads(server: Server) -> int:
    """Give how many threads it has."""
    return _number(server, "Threads")


def descriptors(server: Server) -> int:
    """Give how many descriptors it has open."""
    return sum(1 for _ in (_folder(server) / "fd").iterdir())


def _number(server: Server, field: str) -> int:
    lines = (_folder(server) / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def _folder(server: Server) -> Path:
    assert server.process is not None, "not started"
    return Path(f"/proc/{server.process.pid}")
