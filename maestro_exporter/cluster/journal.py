"""What happened lately, for people to read."""

from __future__ import annotations

from collections import deque

from maestro_exporter.snapshot import Event, Moment

#: Events that are remembered.
LENGTH = 100
#: Characters of a peer's message that are kept; some quote whole stack traces.
MESSAGE_LENGTH = 1000


class Journal:
    """The last events."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=LENGTH)

    def add(
        self, kind: str, at: Moment, peer: str = "", type_: str = "", message: str = ""
    ) -> None:
        """Write down that something happened."""
        self._events.appendleft(Event(at, kind, peer, type_, shortened(message)))

    def events(self) -> tuple[Event, ...]:
        """Give what is remembered, the newest first."""
        return tuple(self._events)


def shortened(message: str) -> str:
    """Give a peer's message as far as it is worth keeping."""
    if len(message) <= MESSAGE_LENGTH:
        return message
    return message[: MESSAGE_LENGTH - 1] + "…"
