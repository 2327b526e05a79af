"""Messages on their way from the network thread to the reactor thread."""

from __future__ import annotations

import threading
from collections import deque
from typing import NamedTuple


class Delivery(NamedTuple):
    """One message from the broker.

    Attributes:
        topic, payload: as they came.
        retained: the broker kept it for new subscribers; it is not news.
        arrived: monotonic seconds, taken in the network thread.
        qos: quality of service; all but 0 is acknowledged to the broker when it has come.
    """

    topic: str
    payload: bytes
    retained: bool
    arrived: float
    qos: int = 0


class _Lane:
    """Deliveries in their order, and the bytes of their payloads; bounded in both."""

    def __init__(self, length: int, size: int) -> None:
        self._length, self._size = length, size
        self._deliveries: deque[Delivery] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._deliveries)

    @property
    def too_full(self) -> bool:
        return len(self._deliveries) > self._length or self._bytes > self._size

    def append(self, delivery: Delivery) -> None:
        self._deliveries.append(delivery)
        self._bytes += len(delivery.payload)

    def popleft(self) -> Delivery:
        delivery = self._deliveries.popleft()
        self._bytes -= len(delivery.payload)
        return delivery

    def pop(self) -> Delivery:
        delivery = self._deliveries.pop()
        self._bytes -= len(delivery.payload)
        return delivery


class DeliveryQueue:
    """Deliveries on their way to the reactor, in their order.

    It is bounded in number and bytes; where there is no room, the oldest has to go.  If that is
    of quality of service 1 or 2, it is not gone but set aside, since it is acknowledged and nobody
    will say it again: a flood of replies pushes no test result out.  What is set aside has bounds
    of its own, of a quarter.

    Args:
        length: deliveries.
        size: bytes of their payloads.

    Attributes:
        dropped: deliveries that had to go, since the start.
        dropped_acknowledged: those of them that were of quality of service 1 or 2.
        dropped_at: when there last was no room, in monotonic seconds; None if there always was.
    """

    def __init__(self, length: int, size: int) -> None:
        self._lock = threading.Lock()
        self._lane = _Lane(length, size)
        self._aside = _Lane(length // 4, size // 4)  # older than all in the lane
        self.dropped = 0
        self.dropped_acknowledged = 0
        self.dropped_at: float | None = None

    def put(self, delivery: Delivery) -> bool:
        """Add one; tell whether the queue was empty."""
        with self._lock:
            was_empty = not self._lane and not self._aside
            self._lane.append(delivery)
            while self._lane.too_full:
                self._make_room(self._lane.popleft(), delivery.arrived)
        return was_empty

    def _make_room(self, oldest: Delivery, at: float) -> None:
        if oldest.qos > 0:
            self._aside.append(oldest)
            if not self._aside.too_full:
                return
            self._aside.pop()
            self.dropped_acknowledged += 1
        self.dropped += 1
        self.dropped_at = at

    def take(self, most: int) -> tuple[list[Delivery], bool]:
        """Remove and give the oldest; tell whether there are more."""
        taken: list[Delivery] = []
        with self._lock:
            for lane in (self._aside, self._lane):
                taken += [lane.popleft() for _ in range(min(most - len(taken), len(lane)))]
            return taken, bool(self._lane or self._aside)
