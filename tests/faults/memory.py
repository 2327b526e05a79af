"""The most memory that a program has had at a time."""

from __future__ import annotations

from pathlib import Path

from tests.servers import Server

_FORGET_PEAK = "5"  # proc(5), clear_refs


def peak_kib(server: Server) -> int:
    """Give how much it had in RAM at most, in KiB, since its start or since `forget_peak`."""
    lines = (_folder(server) / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def forget_peak(server: Server) -> None:
    """Begin anew to look for the most."""
    (_folder(server) / "clear_refs").write_text(_FORGET_PEAK)


def _folder(server: Server) -> Path:
    assert server.process is not None, "not started"
    return Path(f"/proc/{server.process.pid}")
