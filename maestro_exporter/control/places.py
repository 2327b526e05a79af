"""Where the files of a daemon are.

    root/etc/maestro-exporter/   configuration
    root/run/maestro-exporter/   pid and lock
    root/var/log/maestro-exporter/

The root is `/` for what was installed for the whole system.  What an ordinary
user has unpacked or installed somewhere keeps to its own folder.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "maestro-exporter"

#: Where a package of the system keeps its environment, below its root.
_BUNDLE = Path("usr/lib", PACKAGE)


class PlaceError(ValueError):
    """A name cannot be one of a daemon; `str()` says what can."""


@dataclass(frozen=True, slots=True)
class Places:
    """The files of one daemon.

    Attributes:
        configuration: lines of `VARIABLE="value"`.
        pid: holds the number of the process, as twistd writes it.
        lock: is locked as long as the daemon lives.
        log: what it has to say.
    """

    configuration: Path
    pid: Path
    lock: Path
    log: Path


def default_root(prefix: Path, *, superuser: bool) -> Path:
    """Give the folder that all others are below.

    Args:
        prefix: of the Python environment that this runs in.
        superuser: whether this may write everywhere.
    """
    if prefix.parts[-len(_BUNDLE.parts) :] == _BUNDLE.parts:
        return prefix.parents[len(_BUNDLE.parts) - 1]
    return Path("/") if superuser else prefix


def places(root: Path, name: str, configuration: Path | None = None) -> Places:
    """Give the files of the daemon of this name.

    Args:
        root: what they are below.
        name: `maestro-exporter`, or what else a configuration file is called.
        configuration: where that is, if not in its usual place.

    Raises:
        PlaceError: files cannot be called so.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", name):
        raise PlaceError("give a name of letters, digits, _, . and -, up to 100")
    run = root / "run" / PACKAGE
    return Places(
        configuration=configuration or root / "etc" / PACKAGE / _file_of(name),
        pid=run / f"{name}.pid",
        lock=run / f"{name}.lock",
        log=root / "var/log" / PACKAGE / f"{name}.log",
    )


def _file_of(name: str) -> str:
    return "maestro-exporter-service.conf" if name == PACKAGE else f"{name}.conf"
