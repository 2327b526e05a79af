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
    """

    topic: str
    payload: bytes
    retained: bool
    arrived: float


class DeliveryQueue:
    """Deliveries on their way to the reactor: bounded in number and bytes, oldest out first."""

    def __init__(self, length: int, size: int) -> None:
        self._length, self._size = length, size
        self._lock = threading.Lock()
        self._deliveries: deque[Delivery] = deque()
        self._bytes = 0

    def put(self, delivery: Delivery) -> tuple[bool, int]:
        """Add one; tell whether the queue was empty, and how many had to go for it."""
        dropped = 0
        with self._lock:
            was_empty = not self._deliveries
            self._deliveries.append(delivery)
            self._bytes += len(delivery.payload)
            while len(self._deliveries) > self._length or self._bytes > self._size:
                self._bytes -= len(self._deliveries.popleft().payload)
                dropped += 1
        return was_empty, dropped

    def take(self, most: int) -> tuple[list[Delivery], bool]:
        """Remove and give the oldest; tell whether there are more."""
        with self._lock:
            count = min(most, len(self._deliveries))
            taken = [self._deliveries.popleft() for _ in range(count)]
            self._bytes -= sum(len(delivery.payload) for delivery in taken)
            return taken, bool(self._deliveries)
