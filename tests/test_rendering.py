"""Pages that are made once and shared; the thread is played by the test."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Gauge
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter import compression, metrics, rendering
from maestro_exporter.cluster import Cluster
from maestro_exporter.exposition import encode
from maestro_exporter.metrics import cluster_page, exporter_page
from maestro_exporter.rendering import PROCESS_PERIOD, SMALL, MetricsPage, StatusDocument
from maestro_exporter.sharing import REST
from maestro_exporter.snapshot import ExporterState, Moment, Series, Snapshot
from maestro_exporter.status import status
from tests.fakes import FakeThread
from tests.samples import exporter_state


class PageTestCase(SynchronousTestCase):
    """What the tests of the pages share."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.thread = FakeThread()
        self.empty = Cluster(expiry=30, forget=900, max_peers=10).snapshot()
        self.snapshot = self.small(1)
        self.state = exporter_state(web_config=None)
        self.snapshots = self.looks = 0
        self.compressed_in: list[bool] = []
        original = compression.compress

        def compress(parts: Any) -> Any:
            self.compressed_in.append(self.thread.running)
            return original(parts)

        self.patch(rendering, "compress", compress)

    def small(self, generation: int, rounds: int = 0, size: int = 0) -> Snapshot:
        """Give a snapshot of so many peers."""
        at = Moment(0.0, 1_700_000_000.0)
        series = tuple(Series(f"worker{each}@host", "sender", True, (), at) for each in range(size))
        values = {name: getattr(self.empty, name) for name in Snapshot.__dataclass_fields__}
        return Snapshot(**values | {"generation": generation, "rounds": rounds, "series": series})

    def take_snapshot(self) -> Snapshot:
        self.snapshots += 1
        return self.snapshot

    def text(self, body: Any, *, compressed: bool) -> bytes:
        """Give the text of a page, whether it has to be waited for or not."""
        if isinstance(body, Deferred):
            self.thread.run()
            body = self.successResultOf(body)
        whole = b"".join(body)
        if not compressed:
            return whole
        stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
        text = stream.decompress(whole)
        self.assertTrue(stream.eof)
        self.assertEqual(stream.unused_data, b"")
        return text


class MetricsPageTests(PageTestCase):
    """The metrics."""

    def setUp(self) -> None:
        super().setUp()
        self.registry = CollectorRegistry()
        Gauge("looks", "x", registry=self.registry).set_function(self.look)
        self.page = MetricsPage(
            lambda: self.snapshot.generation,
            self.take_snapshot,
            lambda: self.state,
            self.registry,
            in_thread=self.thread,
            seconds=self.clock.seconds,
        )

    def look(self) -> float:
        self.looks += 1
        return self.looks

    def get(self, *, compressed: bool = False) -> bytes:
        return self.text(self.page.body(compressed=compressed), compressed=compressed)

    def expected(self, snapshot: Snapshot, state: ExporterState, looks: int) -> bytes:
        """Give the page as it is told to be."""
        process = f"# HELP looks x\n# TYPE looks gauge\nlooks {float(looks)}\n".encode()
        return b"".join([*encode(cluster_page(snapshot)), *encode(exporter_page(state)), process])

    def test_page(self) -> None:
        """It has what is known of the cluster, of the exporter and of the process."""
        self.assertEqual(self.get(), self.expected(self.snapshot, self.state, 1))
        self.assertEqual(self.get(compressed=True), self.expected(self.snapshot, self.state, 1))

    def test_cluster(self) -> None:
        """Its part is made once for each generation, plain and compressed."""
        for compressed in (False, True):
            self.snapshots = 0
            for _ in range(3):
                self.get(compressed=compressed)
                self.clock.advance(100)
            self.assertEqual(self.snapshots, 1)
            self.snapshot = self.small(self.snapshot.generation + 1, rounds=7)
            page = self.get(compressed=compressed)
            self.assertEqual(page, self.expected(self.snapshot, self.state, self.looks))
            self.assertEqual(self.snapshots, 2)

    def test_exporter(self) -> None:
        """Its part is fresh whenever the state has changed, and else made once."""
        made: list[ExporterState] = []
        original = metrics.exporter_page

        def exporter_page(state: ExporterState) -> Any:
            made.append(state)
            return original(state)

        self.patch(rendering, "exporter_page", exporter_page)
        for connections in (0, 0, 1, 1, 2):
            self.state = exporter_state(web_config=None, connections=connections)
            for compressed in (False, True):
                page = self.get(compressed=compressed)
                self.assertEqual(page, self.expected(self.snapshot, self.state, 1))
        self.assertEqual(len(made), 3)

    def test_process(self) -> None:
        """The process is looked at once a second at most, and when somebody asks."""
        self.assertEqual(self.looks, 0)
        self.get()
        before = self.looks
        for _ in range(5):
            self.clock.advance(PROCESS_PERIOD / 10)
            self.get()
            self.get(compressed=True)
        self.assertEqual(self.looks, before)
        self.clock.advance(PROCESS_PERIOD / 2)
        self.assertIn(b"looks 2.0\n", self.get())
        self.clock.advance(PROCESS_PERIOD * 10)
        self.assertEqual(self.looks, 2)

    def test_where_it_is_made(self) -> None:
        """Small pages are made at once, large ones in the thread."""
        self.snapshot = self.small(1, size=SMALL)
        self.assertNotIsInstance(self.page.body(compressed=False), Deferred)
        self.snapshot = self.small(2, size=SMALL + 1)
        given = self.page.body(compressed=False)
        self.assertIsInstance(given, Deferred)
        self.assertEqual(
            self.text(given, compressed=False), self.expected(self.snapshot, self.state, 1)
        )

    def test_compression(self) -> None:
        """Compression is never done in the reactor's thread."""
        for generation, size in ((1, 0), (2, SMALL + 1)):
            self.snapshot = self.small(generation, size=size)
            given = self.page.body(compressed=True)
            self.assertIsInstance(given, Deferred)
            self.assertEqual(
                self.text(given, compressed=True), self.expected(self.snapshot, self.state, 1)
            )
        self.assertEqual(self.compressed_in, [True, True])

    def test_snapshot_of_the_time_of_asking(self) -> None:
        """What changes while the thread is busy is not in the page, but what the exporter is."""
        for compressed in (False, True):
            asked = self.small(10 + compressed, rounds=1, size=SMALL + 1)
            self.snapshot = asked
            given = self.page.body(compressed=compressed)
            self.snapshot = self.small(20, rounds=2, size=SMALL + 1)
            self.state = exporter_state(web_config=None, connections=5 + compressed)
            self.assertEqual(
                self.text(given, compressed=compressed), self.expected(asked, self.state, 1)
            )

    def test_small_page_to_be_compressed(self) -> None:
        """It is encoded before the thread gets it; its encoder is not shared with the thread."""
        encoded: list[bool] = []
        original = metrics.cluster_page

        def cluster_page(snapshot: Snapshot) -> Any:
            encoded.append(self.thread.running)
            return original(snapshot)

        self.patch(rendering, "cluster_page", cluster_page)
        self.get(compressed=True)
        self.assertEqual(encoded, [False])

    def test_shared(self) -> None:
        """Pages of the same data share the large piece."""
        self.snapshot = self.small(1, size=10)
        bodies: list[Sequence[bytes]] = []
        for _ in range(2):
            given = self.page.body(compressed=True)
            if isinstance(given, Deferred):
                self.thread.run()
                given = self.successResultOf(given)
            bodies.append(given)
        one, other = (max(body, key=len) for body in bodies)
        self.assertEqual(one, other)
        plain = [self.page.body(compressed=False) for _ in range(2)]
        self.assertIs(plain[0], plain[1])

    def test_failure(self) -> None:
        """What cannot be made is a failure, plain or compressed; the next who asks may have it."""

        def fail(_: Any) -> Any:
            raise ValueError

        self.snapshot = self.small(1, size=SMALL + 1)
        for compressed in (False, True):
            with self.subTest():
                patch = self.patch(rendering, "cluster_page", fail)
                given: Any = self.page.body(compressed=compressed)
                self.thread.run()
                self.failureResultOf(given, ValueError)
                patch.restore()
            self.assertTrue(self.get(compressed=compressed))


class StatusDocumentTests(PageTestCase):
    """The status."""

    def setUp(self) -> None:
        super().setUp()
        self.now = Moment(1.0, 1_700_000_001.0)
        self.page = StatusDocument(
            self.take_snapshot,
            lambda: self.state,
            lambda: self.now,
            in_thread=self.thread,
            seconds=self.clock.seconds,
        )

    def get(self, *, compressed: bool = False) -> bytes:
        return self.text(self.page.body(compressed=compressed), compressed=compressed)

    def expected(self) -> bytes:
        return status(self.snapshot, self.state, self.now)

    def test_fresh(self) -> None:
        """A small one is fresh each time, at once."""
        for second in range(3):
            self.now = Moment(second, 1_700_000_000.0 + second)
            given = self.page.body(compressed=False)
            self.assertNotIsInstance(given, Deferred)
            self.assertEqual(self.text(given, compressed=False), self.expected())
            self.assertEqual(self.get(compressed=True), self.expected())
        self.assertEqual(self.compressed_in, [True] * 3)

    def test_large(self) -> None:
        """A large one is made in the thread, of what was known when it was asked for; and rests."""
        self.snapshot = self.small(1, size=SMALL + 1)
        for compressed in (False, True):
            expected = self.expected()
            given: Any = self.page.body(compressed=compressed)
            self.assertIsInstance(given, Deferred)
            self.now = Moment(2.0, self.now.unix + 1)
            self.clock.advance(1)
            self.assertEqual(self.text(given, compressed=compressed), expected)
            self.clock.advance(REST - 0.1)
            self.assertEqual(self.get(compressed=compressed), expected)
            self.clock.advance(0.1)
            self.assertEqual(self.get(compressed=compressed), self.expected())
