"""From deliveries to the cluster, whatever they say."""

from __future__ import annotations

import random
from typing import Any

import msgpack
from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.cluster import Cluster
from maestro_exporter.deliveries import Delivery
from maestro_exporter.ingest import LOG_PERIOD, Ingest
from maestro_exporter.notes import MAX_PAYLOAD_BYTES, Note, TestSuccess, Topic
from maestro_exporter.snapshot import Moment
from tests.fakes import Log
from tests.wire_vectors import V1_3, V1_4, V1_5, find_vector, load_vectors

ARRIVED = 500.0
STATS = find_vector(V1_5, "stats_busy_sender").payload
SUCCESS = find_vector(V1_5, "test_success").payload

MALFORMED = b"\xc1"
UNKNOWN = msgpack.packb(1) + msgpack.packb(99)
OVERSIZED = b"\x00" * (MAX_PAYLOAD_BYTES + 1)


class Recorder(Cluster):
    """A cluster that remembers what it was told."""

    def __init__(self) -> None:
        super().__init__(expiry=60, forget=600, max_peers=100)
        self.applied: list[tuple[Note, Moment]] = []

    def apply(self, note: Note, at: Moment) -> None:
        self.applied.append((note, at))
        super().apply(note, at)


class Defective(Recorder):
    """A cluster that cannot take in successes."""

    def apply(self, note: Note, at: Moment) -> None:
        if isinstance(note, TestSuccess):
            raise ZeroDivisionError
        super().apply(note, at)


def delivery(payload: bytes, **fields: Any) -> Delivery:
    """Give a delivery of that payload, fresh and at `ARRIVED` unless told otherwise."""
    values = {"topic": Topic.RESPONSES, "retained": False, "arrived": ARRIVED, **fields}
    return Delivery(payload=payload, **values)


class IngestTestCase(SynchronousTestCase):
    """An ingest at a moment when the clocks read 510 and 1,700,000,010."""

    def setUp(self) -> None:
        self.log = Log(self)
        self.cluster = Recorder()
        self.ingest = self.make_ingest(self.cluster)

    def make_ingest(self, cluster: Cluster) -> Ingest:
        return Ingest(cluster, lambda: Moment(510.0, 1_700_000_010.0))

    def receive(self, *payloads: bytes, **fields: Any) -> None:
        self.ingest.receive([delivery(payload, **fields) for payload in payloads])

    def warnings(self) -> list[str]:
        return self.log.lines(LogLevel.warn)


class ReceivedTests(IngestTestCase):
    """Notes."""

    def test_notes_are_counted_by_command(self) -> None:
        """Each note counts under the word for its command."""
        ping = find_vector(V1_3, "ping_response").payload
        self.receive(STATS, ping, STATS, SUCCESS)

        self.assertEqual({"stats": 2, "ping": 1, "test_success": 1}, self.ingest.received)
        self.assertEqual({}, self.ingest.rejected)
        self.assertEqual([], self.warnings())

    def test_notes_are_applied_in_order(self) -> None:
        """The cluster is told of the notes of a batch in their order."""
        self.receive(STATS, SUCCESS, STATS)

        self.assertEqual(
            ["stats", "test_success", "stats"], [note.command for note, _ in self.cluster.applied]
        )
        self.assertEqual(1, self.cluster.snapshot().notifications["test_success"])

    def test_note_is_applied_at_its_arrival(self) -> None:
        """The moment is that of the arrival on both clocks, not that of the batch."""
        self.ingest.receive([delivery(STATS, arrived=500.0), delivery(STATS, arrived=509.5)])

        self.assertEqual(
            [Moment(500.0, 1_700_000_000.0), Moment(509.5, 1_700_000_009.5)],
            [at for _, at in self.cluster.applied],
        )

    def test_all_generations_are_taken_in(self) -> None:
        """The same reply counts the same in whatever dialect it is said."""
        self.receive(
            *(find_vector(each, "stats_busy_sender").payload for each in (V1_3, V1_4, V1_5))
        )

        self.assertEqual({"stats": 3}, self.ingest.received)

    def test_topic_tells_the_generation(self) -> None:
        """The topic reaches the decoder, which needs it for a request that is ambiguous."""
        request = find_vector(V1_5, "stats_request").payload
        self.receive(request, topic=Topic.DAEMONS)
        self.receive(request, topic=Topic.PEERS)

        self.assertEqual([V1_4, V1_5], [note.generation for note, _ in self.cluster.applied])

    def test_every_captured_note_is_taken_in(self) -> None:
        """Nothing that upstream says is rejected."""
        for vector in load_vectors():
            self.receive(vector.payload, topic=vector.topic)

        self.assertEqual({}, self.ingest.rejected)
        self.assertEqual(len(load_vectors()), self.ingest.received.total())

    def test_nothing_happens_when_the_batch_is_empty(self) -> None:
        """An empty batch changes nothing."""
        self.receive()

        self.assertEqual(({}, {}), (self.ingest.received, self.ingest.rejected))


class RejectedTests(IngestTestCase):
    """What is no note."""

    def test_rejections_are_counted_by_reason(self) -> None:
        """Each reason has a count of its own; a rejected delivery counts once."""
        self.receive(MALFORMED, UNKNOWN, MALFORMED, OVERSIZED, b"")
        self.receive(STATS, retained=True)

        self.assertEqual(
            {"malformed": 3, "unknown_command": 1, "oversized": 1, "retained": 1},
            self.ingest.rejected,
        )
        self.assertEqual({}, self.ingest.received)
        self.assertEqual([], self.cluster.applied)

    def test_retained_deliveries_change_only_their_count(self) -> None:
        """An old story is not applied, whether it is a note or garbage, and is not logged."""
        before = self.cluster.snapshot()
        self.receive(STATS, SUCCESS, MALFORMED, retained=True)

        self.assertIs(before, self.cluster.snapshot())
        self.assertEqual({"retained": 3}, self.ingest.rejected)
        self.assertEqual({}, self.ingest.received)
        self.assertEqual([], self.warnings())

    def test_notes_around_garbage_are_taken_in(self) -> None:
        """What is no note costs nothing but itself."""
        self.receive(STATS, MALFORMED, SUCCESS, UNKNOWN, STATS)

        self.assertEqual({"stats": 2, "test_success": 1}, self.ingest.received)

    def test_garbage_never_raises(self) -> None:
        """Random bytes and damaged notes are counted one way or the other."""
        dice = random.Random(20)
        payloads = [dice.randbytes(dice.randrange(40)) for _ in range(2000)]
        for vector in load_vectors():
            damaged = bytearray(vector.payload)
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
            payloads += [bytes(damaged), vector.payload[: dice.randrange(len(vector.payload))]]
        payloads += [b"\xdd\xff\xff\xff\xff", b"\x81" * 500, b"\x91" * 500, b"\xc7\xff\x01"]
        self.receive(*payloads)

        counted = self.ingest.received.total() + self.ingest.rejected.total()
        self.assertEqual(len(payloads), counted)
        self.assertGreater(self.ingest.rejected["malformed"], 2000)


class LogTests(IngestTestCase):
    """What is written of it."""

    def test_one_line_is_written_for_many_rejections(self) -> None:
        """Within a minute a reason is logged once, over all batches."""
        self.receive(*[MALFORMED] * 1000)
        self.receive(*[MALFORMED] * 1000, arrived=ARRIVED + LOG_PERIOD - 0.1)

        self.assertEqual(1, len(self.warnings()))

    def test_next_line_is_written_after_the_period(self) -> None:
        """After a minute the reason is logged again, with the total."""
        self.receive(*[MALFORMED] * 10)
        self.receive(MALFORMED, MALFORMED, arrived=ARRIVED + LOG_PERIOD)

        self.assertEqual(2, len(self.warnings()))
        self.assertIn("11 malformed", self.warnings()[1])

    def test_each_reason_has_lines_of_its_own(self) -> None:
        """One reason does not hide another."""
        self.receive(MALFORMED, UNKNOWN, OVERSIZED, MALFORMED, UNKNOWN, OVERSIZED)

        self.assertEqual(
            [True] * 3,
            [
                reason in line
                for line, reason in zip(
                    self.warnings(), ("malformed", "unknown_command", "oversized"), strict=True
                )
            ],
        )

    def test_first_line_is_written_when_the_clock_begins(self) -> None:
        """A monotonic clock that starts at zero does not hide the first line."""
        self.receive(MALFORMED, arrived=0.0)

        self.assertEqual(1, len(self.warnings()))

    def test_line_says_where_and_how_much(self) -> None:
        """The topic and the size are in the line."""
        self.receive(b"\xc1" * 77, topic="/mpt/notifications")

        (line,) = self.warnings()
        self.assertIn("/mpt/notifications", line)
        self.assertIn("77 bytes", line)

    def test_line_quotes_only_the_beginning(self) -> None:
        """Of a payload at most 16 bytes are written, and those in hexadecimal."""
        secret = msgpack.packb("the password is xyzzy, " * 1000)
        for start in (b"", b"\xc6\x00\x00\xff\xff", b"\x01\x08", OVERSIZED):
            self.ingest = self.make_ingest(self.cluster)
            payload = start + secret
            self.receive(payload)
            line = self.warnings()[-1]

            self.assertNotIn("password", line)
            self.assertIn(payload[:16].hex(), line)
            self.assertNotIn(payload[:17].hex(), line)
            self.assertLess(len(line), 300)

    def test_line_is_whole_when_payload_looks_like_a_format(self) -> None:
        """Braces in what a peer sends are no placeholders."""
        self.receive(b"{error}{0}{secret!r}", topic="/{topic}/{nothing}")

        (line,) = self.warnings()
        self.assertIn("/{topic}/{nothing}", line)


class DefectTests(IngestTestCase):
    """A defect of the cluster."""

    def setUp(self) -> None:
        super().setUp()
        self.cluster = Defective()
        self.ingest = self.make_ingest(self.cluster)

    def test_defect_costs_one_note(self) -> None:
        """The note is logged with the traceback and counted as rejected; the rest is taken in."""
        self.receive(STATS, SUCCESS, STATS)

        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.assertEqual({"stats": 2}, self.ingest.received)
        self.assertEqual({"malformed": 1}, self.ingest.rejected)
        self.assertEqual(2, len(self.cluster.applied))
