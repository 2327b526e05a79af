"""Faults that are planted into a Python process, by a module that Python imports as it starts."""

from __future__ import annotations

import os
from pathlib import Path

_BEGINNING = """
import os
from pathlib import Path

_folder = Path(os.environ["PLANTED"])


def triggered(name):
    \"\"\"Tell whether a test wants it now; each wish counts once.\"\"\"
    try:
        (_folder / name).unlink()
    except FileNotFoundError:
        return False
    return True


def wanted(name):
    \"\"\"Tell whether a test wants it; for as long as it does.\"\"\"
    return (_folder / name).exists()
"""

#: Puts the offset of the file `clock`, in seconds, onto the wall clock.
STEPPED_CLOCK = """
import time

_time = time.time


def _stepped():
    return _time() + float((_folder / "clock").read_text())


time.time = _stepped
"""

#: Puts back the reactor's thread for so many seconds, the next time that something has come.
HELD_UP = """
from time import sleep
from maestro_exporter.ingest import Ingest

_receive = Ingest.receive


def _held_up(self, batch):
    if wanted("hold up"):
        seconds = float((_folder / "hold up").read_text())
        if triggered("hold up"):
            sleep(seconds)
    _receive(self, batch)


Ingest.receive = _held_up
"""

#: Has each look-up of a name take half a minute, and says that there is one: `asked`.
SLOW_NAMES = """
import socket
from time import sleep

_getaddrinfo = socket.getaddrinfo


def _slowly(host, *args, **options):
    if host == "broker.example":
        (_folder / "asked").touch()
        sleep(30)
    return _getaddrinfo(host, *args, **options)


socket.getaddrinfo = _slowly
"""

#: Sends the process SIGINT or SIGTERM, whichever `signal` has the number of, while it listens.
SIGNAL_WHILE_LISTENING = """
import socket
from signal import raise_signal

_listen = socket.socket.listen


def _interrupted(self, *backlog):
    raise_signal(int((_folder / "signal").read_text()))
    return _listen(self, *backlog)


socket.socket.listen = _interrupted
"""

#: The same within a destructor, of which Python drops exceptions, in the midst of the imports.
SIGNAL_WHILE_IMPORTING = """
import sys
from signal import raise_signal


class Dying:
    def __del__(self):
        raise_signal(int((_folder / "signal").read_text()))


class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "maestro_exporter.service":
            Dying()


sys.meta_path.insert(0, Finder())
"""


class Planted:
    """Code that an exporter runs before all else.

    Args:
        folder: where it is written; empty.
        code: it may ask `triggered(name)` and `wanted(name)`.

    Attributes:
        env: what the exporter's environment has to say.
    """

    def __init__(self, folder: Path, *code: str) -> None:
        self._folder = folder
        (folder / "sitecustomize.py").write_text("\n".join([_BEGINNING, *code]))
        path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
        self.env = {"PYTHONPATH": path, "PLANTED": str(folder)}

    def trigger(self, name: str, content: object = "") -> None:
        """Want something from now on."""
        fresh = self._folder / "fresh"
        fresh.write_text(str(content))
        fresh.replace(self._folder / name)

    def has_come(self, name: str) -> bool:
        """Tell whether what was triggered once has come."""
        return not self.has_been(name)

    def has_been(self, name: str) -> bool:
        """Tell whether the code has said something, or whether it is still wanted."""
        return (self._folder / name).exists()

    def relent(self, name: str) -> None:
        """Want it no more."""
        (self._folder / name).unlink(missing_ok=True)
