"""Pages that are made once and shared; the thread is played by the test."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Gauge
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter import compression, discovery, fitness, metrics, rendering, statuspage
from maestro_exporter.cluster import Cluster
from maestro_exporter.exposition import encode
from maestro_exporter.fitness import Demands
from maestro_exporter.metrics import cluster_page, exporter_page
from maestro_exporter.querying import Query, QueryError, Reply, UnavailableError
from maestro_exporter.rendering import (
    PROCESS_PERIOD,
    SMALL,
    Discovery,
    MetricsPage,
    StatusDocument,
    StatusPage,
    Verdicts,
)
from maestro_exporter.sharing import MOST_WAITING, REST, Paced
from maestro_exporter.snapshot import ClockOffset, ExporterState, Moment, Snapshot
from maestro_exporter.status import status
from maestro_exporter.statuspage import Known, Question
from maestro_exporter.verdict import verdict_document
from tests.cluster_case import process, shown
from tests.fakes import FakeThread
from tests.samples import exporter_state

T = TypeVar("T")


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
        """Give a snapshot of so many peers, against which nothing speaks."""
        well: Any = {"round_trip": 0.001, "clock": ClockOffset(0.0, 0.001)}
        names = [f"worker{each}@host" for each in range(size)]
        series = tuple(shown(process("id", 0, peer=each, **well)) for each in names)
        values = {name: getattr(self.empty, name) for name in Snapshot.__dataclass_fields__}
        return Snapshot(**values | {"generation": generation, "rounds": rounds, "series": series})

    def take_snapshot(self) -> Snapshot:
        self.snapshots += 1
        return self.snapshot

    def result(self, made: T | Deferred[T]) -> T:
        """Give what is made, whether it has to be waited for or not."""
        if not isinstance(made, Deferred):
            return made
        if not made.called:
            self.thread.run()
        result: T = self.successResultOf(made)
        return result

    def text(self, body: Any, *, compressed: bool) -> bytes:
        """Give the text of a page, whether it has to be waited for or not."""
        whole = b"".join(self.result(body))
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


class StatusPageTests(PageTestCase):
    """The page for people."""

    def setUp(self) -> None:
        super().setUp()
        self.snapshot = self.small(1, size=3)
        self.unready = ""
        self.made = 0
        # No rest here: that is tested with what is paced.
        self.paced = Paced(self.in_thread, self.clock.seconds, lambda _, call: call())
        self.page = StatusPage(
            self.take_known, "/here", paced=self.paced, seconds=self.clock.seconds
        )

    def test_too_many_questions(self) -> None:
        """Who asks for something else, when many wait already, is told to come again."""
        for page in range(1, MOST_WAITING + 2):
            self.page.reply({"page": [str(page)]}, compressed=False)
        self.assertRaises(UnavailableError, self.page.reply, {"q": ["x"]}, compressed=False)
        self.thread.run()
        self.page.reply({"q": ["x"]}, compressed=False)

    def in_thread(self, job: Callable[[], T], /) -> Deferred[T]:
        """Count the pages that are made."""
        self.made += 1
        return self.thread(job)

    def take_known(self) -> Known:
        now = self.clock.seconds()
        moment = Moment(now, 1_700_000_000.0 + now)
        return Known(self.take_snapshot(), {}, self.state, moment, self.unready)

    def get(self, query: Query | None = None, *, compressed: bool = False) -> bytes:
        """Give the page, and see that it is sent as what it is."""
        reply = self.result(self.page.reply(query or {}, compressed=compressed))
        self.assertEqual(reply[:2], (200, "text/html; charset=utf-8"))
        self.assertEqual(reply.compressed, compressed)
        return self.text(reply.body, compressed=compressed)

    def expected(self, **question: Any) -> bytes:
        """Give the page of now as it is told to be."""
        return statuspage.page(self.take_known(), Question(**question), "/here")

    def test_question(self) -> None:
        """It shows what its query asks for, with the metrics where they are."""
        self.assertEqual(self.get(), self.expected())
        self.assertIn(b'href="here"', self.get())
        query = {"q": ["worker1"], "sort": ["rate"], "show": [""]}
        self.assertEqual(self.get(query), self.expected(q="worker1", sort="rate"))

    def test_unready(self) -> None:
        """It is there, and says so, also where nothing is known yet."""
        self.unready = "it sleeps"
        self.assertEqual(self.get(), self.expected())
        self.assertIn(b"it sleeps", self.get())

    def test_where_it_is_made(self) -> None:
        """It is made and compressed in the thread, however small it is."""
        made_in: list[bool] = []
        original = statuspage.page

        def page(*arguments: Any) -> bytes:
            made_in.append(self.thread.running)
            return original(*arguments)

        self.patch(statuspage, "page", page)
        for compressed in (False, True):
            self.assertIsInstance(self.page.reply({}, compressed=compressed), Deferred)
            self.thread.run()
        self.assertEqual((made_in, self.compressed_in), ([True, True], [True]))

    def test_compressed(self) -> None:
        """It is the same when it is compressed."""
        self.assertEqual(self.get(compressed=True), self.expected())

    def test_once_a_second(self) -> None:
        """It is made at most once a second for each question, and then of what is known by then."""
        for compressed in (False, True):
            self.clock.advance(1)
            self.get(compressed=compressed)
            self.made = 0
            for _ in range(3):
                self.get(compressed=compressed)
                self.get({"page": ["1"], "q": [""]}, compressed=compressed)  # the same question
            self.assertEqual(self.made, 0)
            self.get({"sort": ["rate"]}, compressed=compressed)
            self.assertEqual(self.made, 1)
            self.clock.advance(1)
            self.snapshot = self.small(self.snapshot.generation + 1, size=5)
            self.assertEqual(self.get(compressed=compressed), self.expected())

    def test_known_once_a_second(self) -> None:
        """What is known is taken once a second for all questions, and all show the same."""
        questions: list[Query] = [{"page": [str(each)]} for each in range(1, 40)]
        for second in range(1, 4):
            self.clock.advance(1)
            self.snapshot = self.small(second, size=second)
            expected = self.expected()
            self.snapshots = 0
            for query in questions:
                self.assertEqual(self.get(query), expected)
                self.snapshot = self.small(100 + second, size=7)
            self.assertEqual(self.get({}, compressed=True), expected)
            self.assertEqual(self.snapshots, 1)

    def test_failure_to_know(self) -> None:
        """Where it cannot be told what is known, the next who asks may be told."""
        patch = self.patch(self, "take_snapshot", lambda: 1 // 0)
        with self.assertRaises(ZeroDivisionError):
            self.page.reply({}, compressed=False)
        patch.restore()
        self.assertEqual(self.get(), self.expected())

    def test_several_who_ask(self) -> None:
        """Who asks while it is being made gets the same."""
        replies: list[Any] = [self.page.reply({}, compressed=False) for _ in range(3)]
        self.assertEqual(len(self.thread.jobs), 1)
        self.thread.run()
        bodies = [self.successResultOf(each).body for each in replies]
        self.assertIs(bodies[0], bodies[1])
        self.assertIs(bodies[0], bodies[2])

    def test_snapshot_of_the_time_of_asking(self) -> None:
        """What changes while the thread is busy is not in the page."""
        expected = self.expected()
        given = self.page.reply({}, compressed=False)
        self.snapshot = self.small(2, size=9)
        self.state = exporter_state(broker="elsewhere:1")
        self.assertEqual(b"".join(self.result(given).body), expected)

    def test_unknown_parameters(self) -> None:
        """They are ignored: links from elsewhere may have any, and it is the same question."""
        self.assertEqual(self.get({"utm": ["x", "y"], "": [""]}), self.expected())
        self.made = 0
        self.get()
        self.assertEqual(self.made, 0)

    def test_wrong_parameters(self) -> None:
        """What cannot be asked for is an error, and nothing is made."""
        for query in ({"page": ["0"]}, {"sort": ["size"]}, {"q": ["a", "b"]}):
            with self.subTest(query), self.assertRaises(QueryError):
                self.page.reply(query, compressed=False)
        self.assertEqual((self.snapshots, self.thread.jobs), (0, []))

    def test_failure(self) -> None:
        """What cannot be made is a failure; the next who asks may have it."""
        patch = self.patch(statuspage, "page", lambda *_: 1 // 0)
        given: Any = self.page.reply({}, compressed=False)
        self.thread.run()
        self.failureResultOf(given, ZeroDivisionError)
        patch.restore()
        self.assertEqual(self.get(), self.expected())


class VerdictsTests(PageTestCase):
    """Whether the cluster is fit for a test."""

    def setUp(self) -> None:
        super().setUp()
        self.now = Moment(1.0, 1_700_000_001.0)
        self.unready = ""
        self.state = exporter_state(broker_up=True)
        self.snapshot = self.senders(1)
        self.verdicts = Verdicts(
            self.take_snapshot,
            lambda: self.state,
            lambda: self.now,
            lambda: self.unready,
            in_thread=self.thread,
            seconds=self.clock.seconds,
        )

    def senders(self, count: int, size: int = 0) -> Snapshot:
        """Give a snapshot with so many senders that are up, and so many peers."""
        snapshot = self.small(1, size=size)
        values = {name: getattr(snapshot, name) for name in Snapshot.__dataclass_fields__}
        up = {**self.empty.peers_up, "sender": count}
        return Snapshot(**values | {"peers_up": up})

    def get(self, **query: str) -> Reply:
        texts = {name: [text] for name, text in query.items()}
        return self.result(self.verdicts.reply(texts, compressed=True))

    def expected(self, demands: Demands) -> bytes:
        verdict = fitness.judge(self.snapshot, self.state, self.now, demands, self.unready)
        return verdict_document(verdict, self.snapshot, self.state, self.now)

    def test_fit(self) -> None:
        """A cluster that is fit is answered with 200, and a document that is never compressed."""
        reply = self.get(senders="1", max_round_trip="1s")
        expected = self.expected(Demands(senders=1, max_round_trip=1.0))
        self.assertEqual(reply, (200, "application/json", (expected,), False))

    def test_unfit(self) -> None:
        """One that is not is answered with 503, and with the same document."""
        reply = self.get(senders="2")
        expected = self.expected(Demands(senders=2))
        self.assertEqual(reply, (503, "application/json", (expected,), False))

    def test_unready(self) -> None:
        """Where nothing is known yet, it is not fit."""
        self.unready = "it sleeps"
        reply = self.get()
        self.assertEqual((reply.status, reply.body), (503, (self.expected(Demands()),)))
        self.assertIn(b"it sleeps", reply.body[0])

    def test_fresh(self) -> None:
        """A verdict on a small cluster is fresh each time, at once, whatever has changed."""
        self.assertEqual(self.get(senders="2").status, 503)
        self.snapshot = self.senders(2)
        self.assertEqual(self.get(senders="2").status, 200)
        self.unready = "it sleeps"
        self.assertEqual(self.get(senders="2").status, 503)
        self.assertEqual(self.thread.jobs, [])

    def test_large(self) -> None:
        """One on a large cluster is made in the thread, of the time of asking; and rests."""
        self.snapshot = self.senders(1, size=SMALL)
        self.assertNotIsInstance(self.verdicts.reply({}, compressed=False), Deferred)
        self.snapshot = self.senders(1, size=SMALL + 1)
        expected = self.expected(Demands())
        given = self.verdicts.reply({}, compressed=False)
        self.assertIsInstance(given, Deferred)
        self.snapshot = self.senders(0)
        self.clock.advance(1)
        self.assertEqual(self.result(given).body, (expected,))
        self.clock.advance(REST - 0.1)
        self.assertEqual(self.get().status, 200)
        self.clock.advance(0.1)
        self.assertEqual(self.get().status, 503)

    def test_wrong_demands(self) -> None:
        """What cannot be demanded is an error: a slip of the pen must not pass for fit."""
        for query in ({"sender": ["1"]}, {"senders": ["x"]}, {"senders": ["1", "2"]}):
            with self.subTest(query), self.assertRaises(QueryError):
                self.verdicts.reply(query, compressed=False)
        self.assertEqual(self.snapshots, 0)


class DiscoveryTests(PageTestCase):
    """Where the peers are."""

    def setUp(self) -> None:
        super().setUp()
        self.snapshot = self.hosts(1, 2)
        self.unready = ""
        self.discovery = Discovery(
            lambda: self.snapshot.generation,
            self.take_snapshot,
            lambda: self.unready,
            in_thread=self.thread,
            seconds=self.clock.seconds,
        )

    def hosts(self, generation: int, size: int) -> Snapshot:
        """Give a snapshot of so many peers, each on a host of its own."""
        snapshot = self.small(generation)
        values = {name: getattr(snapshot, name) for name in Snapshot.__dataclass_fields__}
        names = [f"host-{each}" for each in range(size)]
        series = tuple(shown(process("id", 0, peer=f"worker@{each}", host=each)) for each in names)
        return Snapshot(**values | {"series": series})

    def get(self, query: Query | None = None) -> bytes:
        """Give the targets, and see that they are sent as what they are."""
        reply = self.result(self.discovery.reply(query or {}, compressed=True))
        self.assertEqual(
            (reply.status, reply.content_type, reply.compressed), (200, "application/json", False)
        )
        return b"".join(reply.body)

    def test_targets(self) -> None:
        """They are those of the live peers, at the port that is asked for."""
        for query, port in (({}, 9100), ({"port": ["1234"]}, 1234)):
            expected = discovery.targets(self.snapshot, port)
            self.assertEqual(self.get(query), expected)
            self.assertIn(b"host-1:%d" % port, expected)

    def test_once_for_each_generation(self) -> None:
        """They are made once for each generation and port."""
        for size in (2, SMALL + 1):
            self.snapshot = self.hosts(size, size)
            self.snapshots = 0
            for _ in range(3):
                self.get()
                self.get({"port": ["1"]})
                self.get({"port": ["9100"]})
                self.clock.advance(100)
            self.assertEqual(self.snapshots, 2)

    def test_where_they_are_made(self) -> None:
        """Those of a small cluster are made at once, those of a large one in the thread."""
        self.snapshot = self.hosts(2, SMALL)
        self.assertNotIsInstance(self.discovery.reply({}, compressed=False), Deferred)
        self.snapshot = self.hosts(3, SMALL + 1)
        given = self.discovery.reply({}, compressed=False)
        self.assertIsInstance(given, Deferred)
        self.assertEqual(self.result(given).body, (discovery.targets(self.snapshot, 9100),))

    def test_wrong_port(self) -> None:
        """What is no port, or no parameter, is an error."""
        for query in ({"port": ["0"]}, {"port": ["65536"]}, {"port": ["1", "1"]}, {"x": ["1"]}):
            with self.subTest(query), self.assertRaises(QueryError):
                self.discovery.reply(query, compressed=False)

    def test_unready(self) -> None:
        """Where nothing is known there is no answer, also none of before, and nothing is made."""
        before = self.get()
        self.unready, self.snapshots = "it sleeps", 0
        for query in ({}, {"port": ["1234"]}):
            error = self.assertRaises(
                UnavailableError, self.discovery.reply, query, compressed=False
            )
            self.assertEqual(str(error), "it sleeps")
        self.assertEqual((self.snapshots, self.thread.jobs), (0, []))
        self.unready = ""
        self.assertEqual(self.get(), before)

    def test_wrong_port_when_it_is_unready(self) -> None:
        """It is an error all the same: that does not pass."""
        self.unready = "it sleeps"
        with self.assertRaises(QueryError):
            self.discovery.reply({"port": ["0"]}, compressed=False)
