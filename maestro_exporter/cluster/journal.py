"""What happened lately, for people to read."""

from __future__ import annotations

from collections import deque

from maestro_exporter.snapshot import Event, Moment

#: Events that are remembered, of those who come and go, and of all others.
LENGTH = 100
#: Characters of a peer's message that are kept; some quote whole stack traces.
MESSAGE_LENGTH = 1000

_COMINGS_AND_GOINGS = frozenset({"peer_joined", "peer_left", "peer_changed_role"})


class Journal:
    """The last events.

    Of peers that come and go there are as many as of all else together, but no more:
    else nothing else would be left after a large cluster came back.
    """

    def __init__(self) -> None:
        # Numbered, since several may have happened at the same moment.
        self._written = 0
        self._comings_and_goings: deque[tuple[int, Event]] = deque(maxlen=LENGTH)
        self._others: deque[tuple[int, Event]] = deque(maxlen=LENGTH)

    def add(
        self, kind: str, at: Moment, peer: str = "", type_: str = "", message: str = ""
    ) -> None:
        """Write down that something happened."""
        self._written += 1
        ring = self._comings_and_goings if kind in _COMINGS_AND_GOINGS else self._others
        ring.append((self._written, Event(at, kind, peer, type_, shortened(message))))

    def events(self) -> tuple[Event, ...]:
        """Give what is remembered, the newest first."""
        written = sorted([*self._comings_and_goings, *self._others], reverse=True)
        return tuple(event for _, event in written)


def shortened(message: str) -> str:
    """Give a peer's message as far as it is worth keeping."""
    if len(message) <= MESSAGE_LENGTH:
        return message
    return message[: MESSAGE_LENGTH - 1] + "…"
