"""Notices that files have changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

PERIOD = 1.0  # seconds between two looks

#: What is different when a file has changed, by file.
_Look = Mapping[Path, object]


class FileWatch(Service):
    """Calls when files have changed, once two looks at them are alike: not while they are written.

    Args:
        files: gives those to watch.
        changed: is called.
        clock: runs the timer.
    """

    log = Logger()

    def __init__(
        self, files: Callable[[], Sequence[Path]], changed: Callable[[], object], clock: Any
    ) -> None:
        self._files = files
        self._changed = changed
        self._loop = LoopingCall(self._step)
        self._loop.clock = clock
        # Before they are read: what changes meanwhile is then seen to have changed.
        self._known = self._last = self._look()

    def startService(self) -> None:
        """Begin to look."""
        super().startService()
        self._take_as_known(self._known)
        self._loop.start(PERIOD, now=False)

    def stopService(self) -> None:
        """Look no more."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()

    def reload(self) -> None:
        """Call now, whether or not anything has changed."""
        look = self._look()
        try:
            self._changed()
        except Exception:  # noqa: BLE001 - the next look must come
            self.log.failure("Changed files could not be taken over")
        self._take_as_known(look)

    def _take_as_known(self, look: _Look) -> None:
        """Take what was read to be what was seen before; of other files, what is there now."""
        now = self._look()
        self._known = self._last = {path: look.get(path, seen) for path, seen in now.items()}

    def _step(self) -> None:
        look = self._look()
        if look == self._last and look != self._known:
            self.reload()
        else:
            self._last = look

    def _look(self) -> _Look:
        return {path: _identity(path) for path in self._files()}


def _identity(path: Path) -> object:
    """Give what is different when a file has changed, or was replaced."""
    try:
        found = os.stat(path)
    except OSError as error:
        return error.errno
    return found.st_ino, found.st_size, found.st_mtime_ns
