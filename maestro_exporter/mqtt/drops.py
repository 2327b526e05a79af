"""What the broker says that it dropped, and when to have it say test results again."""

from __future__ import annotations

import math

TOPIC = "$SYS/broker/publish/messages/dropped"  # mosquitto(8); for all clients, in ASCII
PERIOD = 60.0  # seconds between two that are worth a line
MOST = 1 << 63  # what counts more is no count; nor could a page show any number
#: Seconds without a word of drops after which there are no more of them; it speaks each 10.
QUIET = 5.0
#: Bursts in a row after which we do not keep up: a thousand messages, which is mosquitto's queue.
BURSTS = 10
#: Seconds for which it can be our not keeping up that it speaks of.
PRESSURE = 30.0
START_PERIOD = 60.0  # seconds from one fresh start to the next, and to one that must be


class Drops:
    """What the broker says that it dropped.

    When we do not keep up, mosquitto also drops messages and acknowledgements of quality of service
    1 and 2, and does not say them again on that connection: test results wait for the next one,
    maybe for ever (https://github.com/eclipse-mosquitto/mosquitto/issues/3542).  So then a fresh
    start is owed, once we keep up again, or anyway after a minute.

    Attributes:
        total: messages, to any client, since the broker's start; None where it does not say.
    """

    def __init__(self) -> None:
        self.total: int | None = None
        self._said = 0
        self._say_due = -math.inf
        self._bursts = 0  # in a row
        self._pressed_at = -math.inf
        self._start_due = math.inf
        self._last_start = -math.inf

    def hear(self, payload: bytes, now: float) -> int:
        """Take what was said on the topic; give how many drops are worth a line, if any."""
        try:
            total = int(payload)
        except ValueError:
            return 0
        if not 0 <= total < MOST:
            return 0
        known, self.total = self.total, total
        if known is None or total < known:  # the first that this broker says
            self._said = total
            return 0
        if total > known and now < self._pressed_at + PRESSURE:
            self._start_due = max(now + QUIET, self._last_start + START_PERIOD)
        return self.unsaid(now)

    def unsaid(self, now: float) -> int:
        """Give how many drops are worth a line by now, if any; they are then taken to be said."""
        if self.total is None or self.total == self._said or now < self._say_due:
            return 0
        count, self._said, self._say_due = self.total - self._said, self.total, now + PERIOD
        return count

    def burst(self, now: float) -> None:
        """There was as much to take in as is taken in at a time."""
        self._bursts += 1
        if self._bursts >= BURSTS:
            self._pressed_at = now

    def relief(self) -> None:
        """There was less."""
        self._bursts = 0

    def connected(self) -> None:
        """A connection begins, on which all is said again that was not acknowledged."""
        self._start_due = math.inf

    def owes_a_fresh_start(self, now: float) -> bool:
        """Tell whether it is time for one; it is then taken to be made."""
        pressed = now < self._pressed_at + QUIET  # it would be dropped again
        if now < self._start_due + (START_PERIOD if pressed else 0.0):
            return False
        self._last_start, self._start_due = now, math.inf
        return True
