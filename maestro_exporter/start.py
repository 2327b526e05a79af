"""What this process was started with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path


@cache
def environment() -> Mapping[str, str]:
    """Give the environment that this process was started with.

    `os.environ` may be another by now: Twisted takes LISTEN_PID and LISTEN_FDS out of it when its
    endpoints are imported.
    """
    try:
        found = Path("/proc/self/environ").read_bytes()
    except OSError:
        return dict(os.environ)
    pairs = (each.partition(b"=") for each in found.split(b"\0"))
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}
