"""Plays systemd: hears what a service tells it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from types import TracebackType

END = b"end of the test"


class Systemd:
    """The socket that a service of Type=notify tells how it does.

    Args:
        folder: where that is.
        watchdog: microseconds within which it wants to hear that the service is alive.

    Attributes:
        env: what the service's environment has to say.
        heard: the lines, in their order.
    """

    def __init__(self, folder: Path, watchdog: int | None = None) -> None:
        path = folder / "notify"
        self.env = {"NOTIFY_SOCKET": str(path)}
        if watchdog is not None:
            self.env["WATCHDOG_USEC"] = str(watchdog)
        self.heard: list[str] = []
        self._calls: dict[str, Callable[[], object]] = {}
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        # Else the service would wait for it.
        self._thread = Thread(target=self._listen)
        self._thread.start()

    def at(self, line: str, call: Callable[[], object]) -> None:
        """Call something in the moment in which this is heard."""
        self._calls[line] = call

    def statuses(self) -> list[str]:
        """Give what it said for people."""
        return [line.removeprefix("STATUS=") for line in self.heard if line.startswith("STATUS=")]

    def states(self) -> list[str]:
        """Give what it said of its state."""
        return [line for line in self.heard if not line.startswith(("STATUS=", "WATCHDOG="))]

    def _listen(self) -> None:
        while (message := self._socket.recv(65536)) != END:
            for line in message.decode().splitlines():
                self._calls.get(line, lambda: None)()
                self.heard.append(line)

    def __enter__(self) -> Systemd:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ending:
            ending.sendto(END, str(self._path))
        self._thread.join()
        self._socket.close()
        print(f"systemd heard: {self.heard[-50:]}")  # noqa: T201  pytest shows it with a failure
