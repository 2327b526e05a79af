"""From a batch of deliveries to the cluster: decode, apply, and count the outcome.

Nothing that a peer sends can stop this: what is no note is counted by reason
and logged, a few lines a minute at most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from twisted.logger import Logger

from maestro_exporter.cluster import Cluster
from maestro_exporter.deliveries import Delivery
from maestro_exporter.notes import Decoder, NoteError, Reason
from maestro_exporter.snapshot import Moment

LOG_PERIOD = 60.0  # seconds between two lines about the same reason


class Ingest:
    """Takes deliveries in.

    Args:
        cluster: what they are applied to.
        now: gives the present moment.

    Attributes:
        received: decoded notes, by command.
        rejected: deliveries that were not taken in, by reason.
        last_rejected: when the last of them came, retained ones left out, in monotonic seconds;
            None if there is none.
    """

    log = Logger()

    def __init__(self, cluster: Cluster, now: Callable[[], Moment]) -> None:
        self._cluster = cluster
        self._now = now
        self._decoder = Decoder()
        self.received: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.last_rejected: float | None = None
        self._last_logged: dict[str, float] = {}

    def receive(self, batch: Sequence[Delivery]) -> None:
        """Take in a batch, in its order.  Never raises."""
        now = self._now()
        monotonic_to_unix = now.unix - now.monotonic
        for delivery in batch:
            arrived = Moment(delivery.arrived, delivery.arrived + monotonic_to_unix)
            if delivery.retained:
                # What the broker kept is an old story, told again at each subscription.
                self.rejected["retained"] += 1
                continue
            try:
                note = self._decoder.decode(delivery.payload, delivery.topic)
                self._cluster.apply(note, arrived)
            except NoteError as error:
                self._reject(error.reason.value, delivery, error)
            except Exception:  # noqa: BLE001 - a defect of ours must cost one note, not all
                self.rejected[Reason.MALFORMED.value] += 1
                self.last_rejected = delivery.arrived
                if self._due("defect", delivery):
                    self.log.failure("A note was lost")
            else:
                self.received[note.command] += 1
        self._cluster.freshen()

    def _due(self, subject: str, delivery: Delivery) -> bool:
        """Tell whether it is time for a line about a subject, and take it that it is written."""
        last = self._last_logged.get(subject)
        if last is not None and delivery.arrived < last + LOG_PERIOD:
            return False
        self._last_logged[subject] = delivery.arrived
        return True

    def _reject(self, reason: str, delivery: Delivery, error: NoteError) -> None:
        self.rejected[reason] += 1
        self.last_rejected = delivery.arrived
        if not self._due(reason, delivery):
            return
        self.log.warn(
            "A message on {topic} is no note: {error} ({size} bytes, beginning {start}); "
            "{total} {reason} so far, the next line about it in {period:.0f} s at the earliest",
            topic=delivery.topic,
            error=error,
            size=len(delivery.payload),
            start=delivery.payload[:16].hex(),
            total=self.rejected[reason],
            reason=reason,
            period=LOG_PERIOD,
        )
