"""The bridge between the network thread and the reactor, without threads, sockets and time."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from twisted.internet.defer import Deferred, succeed
from twisted.logger import LogLevel
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.bridge import (
    BATCH_LENGTH,
    DRAIN_DELAY,
    DRAIN_PATIENCE,
    DROPS_PERIOD,
    QUEUE_BYTES,
    QUEUE_LENGTH,
    STOP_PATIENCE,
    Bridge,
)
from maestro_exporter.broker import Broker
from maestro_exporter.deliveries import Delivery
from maestro_exporter.mqtt import drops
from maestro_exporter.mqtt.failures import REASONS, LinkFailure
from maestro_exporter.mqtt.link import CONNECT_PATIENCE, SERVE_PATIENCE
from maestro_exporter.values import Address
from tests.fakes import (
    SUBSCRIPTIONS,
    Connection,
    Event,
    FakeBroker,
    FakePool,
    FakeReactor,
    Log,
    Script,
    accept,
    brief,
    deliver,
    granted,
    idle,
    lose,
    playing,
    resume,
    unreachable,
)

LONGEST = 1024 * 1024
REFUSED = ConnectionRefusedError(111, "Connection refused")


class BridgeTestCase(SynchronousTestCase):
    """A bridge among stand-ins."""

    def setUp(self) -> None:
        self.reactor = FakeReactor()
        #: One for each life of the network loop.
        self.pools: list[FakePool] = []
        self.broker = FakeBroker()
        self.log = Log(self)
        self.now = 1000.0  # of the monotonic clock, which is not the reactor's
        self.batches: list[list[Delivery]] = []
        self.receive: Callable[[Sequence[Delivery]], object] = lambda batch: self.batches.append(
            list(batch)
        )
        #: What the link was said to have become.
        self.changes: list[bool] = []
        self.stops: list[Deferred[None]] = []
        self.bridge = self.make()

    def make(self, **broker: Any) -> Bridge:
        """Give the bridge to a broker that is reached so."""
        return Bridge(
            Broker(**({"address": Address("broker.test", 1883)} | broker)),
            SUBSCRIPTIONS,
            longest=LONGEST,
            receive=self.take_in,
            changed=self.changes.append,
            reactor=self.reactor,
            make_pool=self.make_pool,
            monotonic=lambda: self.now,
            client_factory=self.broker.make_client,
            jitter=lambda low, _: low,
            pause=self.pause,
        )

    def make_pool(self) -> ThreadPool:
        self.pools.append(FakePool())
        return cast(ThreadPool, self.pools[-1])

    @property
    def pool(self) -> FakePool:
        """The newest."""
        return self.pools[-1]

    def take_in(self, batch: Sequence[Delivery]) -> None:
        self.receive(batch)

    def pause(self, _stopping: threading.Event, _delay: float) -> None:
        """Pause between attempts; after the last planned one, stop the bridge meanwhile."""
        if self.broker.is_over and self.bridge.running:
            self.stop()

    def stop(self) -> None:
        self.stops.append(self.bridge.stopService() or succeed(None))

    def start(self, *scripts: Script) -> None:
        """Start the bridge, whose network thread waits for its turn."""
        self.broker.plan(*scripts)
        self.bridge.startService()

    def play(self, *scripts: Script) -> None:
        """Run the network loop through these connections, then let the reactor work."""
        self.start(*scripts)
        self.pool.run()
        self.broker.verify()
        self.drain()

    def drain(self) -> None:
        """Let the reactor take in what has come."""
        self.reactor.advance(0)
        self.reactor.advance(DRAIN_DELAY)

    def deliveries(self) -> list[Delivery]:
        return [delivery for batch in self.batches for delivery in batch]

    def payloads(self) -> list[bytes]:
        return [delivery.payload for delivery in self.deliveries()]


def up(*events: Event) -> Script:
    """Give the script of a connection that comes up, and where this happens."""
    return playing(accept, granted, *events)


class StatusTests(BridgeTestCase):
    """What is known of the link."""

    def test_status_at_first(self) -> None:
        """Nothing has happened, but each reason of errors is there."""
        status = self.bridge.status

        self.assertFalse(status.connected or status.up)
        self.assertTrue(status.client_id)
        self.assertEqual("", status.version)
        self.assertEqual(dict.fromkeys(REASONS, 0), status.errors)
        self.assertEqual((None, None), (status.last_error, status.broker_dropped))
        counts = (status.connections, status.failures, status.received_bytes, status.sent_bytes)
        self.assertEqual((0, 0, 0, 0), counts)
        lost = (status.sessions_lost, status.dropped, status.dropped_acknowledged)
        self.assertEqual((0, 0, 0), lost)

    def test_status(self) -> None:
        """Each number of the link stands under its own name."""

        def script() -> Iterator[Event]:
            yield accept
            yield granted
            yield deliver(drops.TOPIC, b"5")
            yield deliver("/one", b"12345")
            self.assertTrue(self.bridge.publish("/x", b"123"))
            status = self.bridge.status
            self.assertTrue(status.connected)
            self.assertTrue(status.up)
            self.assertEqual("5", status.version)

        self.play(unreachable(REFUSED), brief, script)

        status = self.bridge.status
        self.assertFalse(status.connected or status.up)
        self.assertEqual((2, 1), (status.connections, status.failures))
        self.assertEqual(
            {"unreachable": 1, "lost": 2},
            {reason: count for reason, count in status.errors.items() if count},
        )
        message = "it hung up, or the network did"
        self.assertEqual(LinkFailure("lost", message, 1000.0), status.last_error)
        self.assertEqual((5, 3), (status.received_bytes, status.sent_bytes))
        self.assertEqual((1, 5), (status.sessions_lost, status.broker_dropped))

    def test_status_does_not_change_any_more(self) -> None:
        """It shows one instant."""
        before = self.bridge.status
        self.play(brief)

        self.assertEqual(0, before.errors["lost"])

    def test_client_id_is_random(self) -> None:
        """Each process has another; a broker can tell whose it is."""
        ids = {self.make().status.client_id for _ in range(3)}

        self.assertEqual(3, len(ids))
        self.assertTrue(all(each.startswith("maestro-exporter-") for each in ids), ids)

    def test_client_id_is_given(self) -> None:
        """Then the session outlives the process."""
        self.assertEqual("me", self.make(client_id="me").status.client_id)

    def test_client_id_is_what_the_broker_hears(self) -> None:
        """At all connections it is the same."""
        self.play(brief, brief)

        ids = {connection.options["client_id"] for connection in self.broker.connections}
        self.assertEqual({self.bridge.status.client_id}, ids)

    def test_clock_of_the_bridge(self) -> None:
        """Unless a test says otherwise, it is the one that never steps, and the link's too."""
        bridge = Bridge(
            Broker(address=Address("h", 1)),
            SUBSCRIPTIONS,
            longest=1,
            receive=lambda _: None,
            changed=lambda _: None,
            reactor=self.reactor,
            make_pool=self.make_pool,
        )
        self.assertIs(time.monotonic, bridge._monotonic)
        self.assertIs(time.monotonic, bridge._link._monotonic)


class ThreadTests(BridgeTestCase):
    """What the network thread leaves to the reactor."""

    def test_changes_are_told_in_reactor_thread(self) -> None:
        """The network thread leaves it to the reactor to call back."""

        def script() -> Iterator[Event]:
            yield accept
            yield granted
            self.assertEqual([], self.changes)
            self.reactor.advance(0)
            self.assertEqual([True], self.changes)
            yield lose

        def next_one() -> Iterator[Event]:
            self.assertEqual([True], self.changes)
            self.reactor.advance(0)
            self.assertEqual([True, False], self.changes)
            yield accept

        self.play(script, next_one)

    def test_network_thread_logs_in_reactor_thread(self) -> None:
        """Log observers are not called from the network thread."""

        def script() -> Iterator[Event]:
            self.assertEqual([], self.log.lines())
            yield accept
            self.assertEqual([], self.log.lines())
            self.reactor.advance(0)
            self.assertEqual(
                [
                    "Cannot connect to broker.test:1883: Connection refused",
                    "Connected to broker.test:1883, MQTT 5",
                ],
                self.log.lines(),
            )

        self.play(unreachable(REFUSED), script)

    def test_lines_have_their_levels(self) -> None:
        """A loss is a warning, a connection is not."""
        self.play(brief)

        levels = {
            event["log_level"].name
            for event in self.log.events
            if event["log_namespace"].startswith("maestro_exporter")
        }
        self.assertEqual({"debug", "info", "warn"}, levels)
        self.assertEqual(1, len(self.log.lines(LogLevel.warn)))

    def test_sent_bytes_count_only_what_was_sent(self) -> None:
        """What could not be handed over is not counted."""
        outcomes: list[bool] = []

        def script() -> Iterator[Event]:
            outcomes.append(self.bridge.publish("/x", b"12345"))
            yield accept
            yield granted
            outcomes.append(self.bridge.publish("/x", b"123"))
            yield idle

        self.play(script, script)

        self.assertEqual([False, True] * 2, outcomes)
        self.assertEqual(6, self.bridge.status.sent_bytes)


class DeliveryTests(BridgeTestCase):
    """What crosses from the network thread to the reactor thread."""

    def test_batch_has_all_of_each_delivery(self) -> None:
        """Deliveries arrive in order with all that they have."""
        self.play(up(deliver("/one", b"a", b"b"), deliver("/two", b"", retained=True, qos=2)))

        self.assertEqual(
            [
                [
                    Delivery("/one", b"a", False, 1000.0, 0),
                    Delivery("/one", b"b", False, 1000.0, 0),
                    Delivery("/two", b"", True, 1000.0, 2),
                ]
            ],
            self.batches,
        )

    def test_arrival_is_the_time_of_the_callback(self) -> None:
        """A batch that is taken in late does not make its deliveries late."""

        def script() -> Iterator[Event]:
            yield from brief()
            yield deliver("/one", b"early")
            self.now = 1000.5
            yield deliver("/one", b"late")
            self.now = 2000.0

        self.play(script)

        self.assertEqual([1000.0, 1000.5], [each.arrived for each in self.deliveries()])

    def test_deliveries_are_handed_over_in_reactor_thread(self) -> None:
        """Nothing is received until the reactor gets to it, a short while later."""

        def script() -> Iterator[Event]:
            yield from brief()
            yield deliver("/one", b"a")
            self.reactor.advance(0)
            self.assertEqual([], self.batches)
            self.reactor.advance(DRAIN_DELAY / 2)
            self.assertEqual([], self.batches)
            self.reactor.advance(DRAIN_DELAY / 2)
            self.assertEqual([b"a"], self.payloads())

        self.play(script)

    def test_reactor_is_woken_once_for_many_deliveries(self) -> None:
        """Waking the reactor costs more than a message: once for each drain is enough."""

        def script() -> Iterator[Event]:
            yield from brief()
            before = self.reactor.wakes
            yield deliver("/one", *[b"a"] * 100)
            yield deliver("/two", *[b"b"] * 100)
            self.assertEqual(1, self.reactor.wakes - before)
            self.drain()
            yield deliver("/one", *[b"c"] * 100)
            self.assertEqual(2, self.reactor.wakes - before)
            yield lose

        self.play(script)

        self.assertEqual([200, 100], [len(batch) for batch in self.batches])

    def test_deliveries_wake_again_when_they_come_during_a_batch(self) -> None:
        """What comes while a batch is being received is not forgotten."""

        def script() -> Iterator[Event]:
            yield from brief()
            yield deliver("/one", b"a")
            later = deliver("/one", b"b")

            def receive(batch: Sequence[Delivery]) -> None:
                if not self.batches:
                    later(self.broker.connections[0])
                self.batches.append(list(batch))

            self.receive = receive
            self.drain()

        self.play(script)

        self.assertEqual([b"a", b"b"], self.payloads())

    def test_backlog_is_taken_in_by_batches(self) -> None:
        """Other work of the reactor comes between the batches of a long backlog."""
        turns: list[str] = []
        payloads = [b"%d" % number for number in range(2 * BATCH_LENGTH + 1)]

        def work() -> None:
            turns.append("other work")
            if len(turns) < 6:
                self.reactor.callLater(0, work)

        def receive(batch: Sequence[Delivery]) -> None:
            self.batches.append(list(batch))
            turns.append(f"{len(batch)} deliveries")

        def script() -> Iterator[Event]:
            yield from brief()
            yield deliver("/one", *payloads)
            self.receive = receive
            self.reactor.advance(0)
            self.reactor.callLater(DRAIN_DELAY, work)
            self.reactor.advance(DRAIN_DELAY)

        self.play(script)

        full = f"{BATCH_LENGTH} deliveries"
        self.assertEqual(
            [full, "other work", full, "other work", "1 deliveries", "other work"], turns
        )
        self.assertEqual(payloads, self.payloads())

    def test_batch_is_lost_alone_when_receiving_it_raises(self) -> None:
        """A defect in the receiver costs one batch; the rest of the backlog comes."""

        def receive(batch: Sequence[Delivery]) -> None:
            if batch[0].payload == b"bad":
                raise ZeroDivisionError
            self.batches.append(list(batch))

        def script() -> Iterator[Event]:
            yield from brief()
            yield deliver("/one", *[b"bad"] * BATCH_LENGTH, b"backlog")
            self.receive = receive
            self.drain()
            yield deliver("/one", b"next")
            self.assertTrue(self.bridge.status.up)

        self.play(script)

        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.assertEqual([b"backlog", b"next"], self.payloads())

    def test_deliveries_survive_the_loss_of_their_connection(self) -> None:
        """What came before a loss is received, in order with what comes after."""
        self.play(up(deliver("/one", b"before")), up(deliver("/one", b"after")))

        self.assertEqual([b"before", b"after"], self.payloads())

    def test_deliveries_survive_the_stop(self) -> None:
        """As many as one batch takes; the rest is left, so that the end comes."""
        stopped: list[bool] = []

        def script() -> Iterator[Event]:
            yield from brief()
            yield deliver("/one", *[b"x"] * (BATCH_LENGTH + 1))
            self.stop()
            stopped.append(True)

        self.play(script)
        self.reactor.advance(0)

        self.assertEqual([BATCH_LENGTH], [len(batch) for batch in self.batches])
        self.assertEqual(([True], []), (stopped, self.reactor.getDelayedCalls()))
        self.assertEqual(math.inf, self.bridge.drain_due())


class QueueTests(BridgeTestCase):
    """What the queue has no room for."""

    def test_oldest_go_when_there_are_too_many(self) -> None:
        """The queue is bounded in number; what it had no room for is counted."""

        def script() -> Iterator[Event]:
            yield from brief()
            yield deliver("/one", b"oldest", b"older", *[b"new"] * QUEUE_LENGTH)
            self.assertEqual(2, self.bridge.status.dropped)
            self.drain()

        self.play(script)

        self.assertEqual(Counter({b"new": QUEUE_LENGTH}), Counter(self.payloads()))
        status = self.bridge.status
        self.assertEqual((2, 0), (status.dropped, status.dropped_acknowledged))

    def test_oldest_go_when_they_are_too_large(self) -> None:
        """The queue is bounded in bytes; its bound itself is allowed."""
        megabyte = b"x" * 1024 * 1024
        most = QUEUE_BYTES // len(megabyte)

        def script() -> Iterator[Event]:
            yield from brief()
            yield deliver("/one", b"oldest", *[megabyte] * most, b"newest")
            self.assertEqual(2, self.bridge.status.dropped)
            self.drain()

        self.play(script)

        self.assertEqual([*[len(megabyte)] * (most - 1), 6], [len(p) for p in self.payloads()])

    def flooded(self) -> Iterator[Event]:
        """Give the script of a connection with more than there is room for."""
        yield from brief()
        yield deliver("/two", *[b"result"] * (QUEUE_LENGTH // 4 + 3), qos=2)
        yield deliver("/one", *[b"reply"] * QUEUE_LENGTH)
        self.drain()

    def test_results_outlive_a_flood(self) -> None:
        """As many as there is room for are given first; the others are counted."""
        self.play(self.flooded)

        kept = QUEUE_LENGTH // 4
        self.assertEqual([b"result"] * kept, self.payloads()[:kept])
        status = self.bridge.status
        self.assertEqual((3, 3), (status.dropped, status.dropped_acknowledged))

    def test_drops_are_warned_of_once_in_a_while(self) -> None:
        """The line says how many since the start, and how many of them were test results."""

        def more() -> Iterator[Event]:
            yield accept
            yield granted
            yield deliver("/one", *[b"reply"] * (QUEUE_LENGTH + 1))
            self.drain()
            self.assertEqual(1, len(self.lines()))
            self.now += DROPS_PERIOD - 0.1
            yield deliver("/one", b"x")
            self.drain()
            self.assertEqual(1, len(self.lines()))
            self.now += 0.1
            yield deliver("/one", b"x")
            self.drain()
            self.assertEqual(2, len(self.lines()))
            self.now += DROPS_PERIOD
            yield deliver("/one", b"x")
            self.drain()

        self.play(self.flooded, more)

        said = "More came than could be taken in: {} messages were dropped since the start, 3 of"
        self.assertEqual(
            [said.format(3), said.format(4)], [line.split(" them ")[0] for line in self.lines()]
        )

    def lines(self) -> list[str]:
        """Give what was warned of in the reactor thread."""
        return [line for line in self.log.lines(LogLevel.warn) if "dropped" in line]


class DrainStageTests(BridgeTestCase):
    """When the queue has to give a batch, and what helps when it does not."""

    def test_nothing_is_due_while_the_queue_is_empty(self) -> None:
        """However long that is."""

        def script() -> Iterator[Event]:
            yield from brief()
            self.assertEqual(math.inf, self.bridge.drain_due())
            yield deliver("/one", b"a")
            self.drain()
            self.assertEqual(math.inf, self.bridge.drain_due())

        self.assertEqual(math.inf, self.bridge.drain_due())
        self.play(script)

    def test_batch_is_due_a_while_after_its_first_delivery(self) -> None:
        """Later ones do not put it off."""

        def script() -> Iterator[Event]:
            yield from brief()
            yield deliver("/one", b"a")
            self.now += 5.0
            yield deliver("/one", b"b")
            self.assertEqual(1000.0 + DRAIN_PATIENCE, self.bridge.drain_due())

        self.play(script)

    def test_each_batch_of_a_backlog_is_due_anew(self) -> None:
        """A backlog that moves is no stage that does not work."""

        def script() -> Iterator[Event]:
            yield from brief()
            yield deliver("/one", *[b"a"] * (BATCH_LENGTH + 1))
            self.now += 5.0
            dues: list[float] = []

            def receive(batch: Sequence[Delivery]) -> None:
                self.batches.append(list(batch))
                dues.append(self.bridge.drain_due())

            self.receive = receive
            self.drain()
            self.assertEqual([1005.0 + DRAIN_PATIENCE, math.inf], dues)

        self.play(script)

    def test_restart_takes_from_the_queue(self) -> None:
        """Also when the call that was to do it is lost; until then it has time."""

        def script() -> Iterator[Event]:
            yield from brief()
            self.reactor.advance(0)
            yield deliver("/one", b"a")
            for call in self.reactor.getDelayedCalls():
                call.cancel()
            yield deliver("/one", b"b")
            self.assertEqual([], self.reactor.getDelayedCalls())
            self.now += DRAIN_PATIENCE
            self.assertLessEqual(self.bridge.drain_due(), self.now)

            self.bridge.restart_drain()
            self.assertEqual(self.now + DRAIN_PATIENCE, self.bridge.drain_due())
            self.assertEqual([], self.batches)
            self.reactor.advance(0)
            self.assertEqual([b"a", b"b"], self.payloads())
            self.assertEqual(math.inf, self.bridge.drain_due())

        self.play(script)


class NetworkStageTests(BridgeTestCase):
    """When the network thread has to come round, and what helps when it does not."""

    def test_network_is_due_as_the_link_says(self) -> None:
        """As long as its thread runs."""
        seen: list[float] = []

        def script() -> Iterator[Event]:
            self.now += 100.0
            seen.append(self.bridge.network_due() - self.now)
            yield accept
            seen.append(self.bridge.network_due() - self.now)
            yield granted

        self.start(script)
        self.assertEqual(1000.0 + CONNECT_PATIENCE, self.bridge.network_due())
        self.pool.run()
        self.broker.verify()

        self.assertEqual([CONNECT_PATIENCE - 100.0, SERVE_PATIENCE], seen)

    def test_network_is_overdue_when_its_loop_has_ended(self) -> None:
        """By a defect or without; that is logged, and its pool is released."""

        def fail() -> None:
            raise MemoryError

        for end in (fail, lambda: None):
            self.setUp()
            self.start()
            self.pool.run(end)
            self.reactor.advance(0)

            self.assertEqual(-math.inf, self.bridge.network_due())
            self.assertEqual(1, self.pool.stops)
            (line,) = self.log.lines(LogLevel.error)
            self.assertIn("The network thread ended", line)
            self.assertIn("MemoryError" if end is fail else "None", line)

    def test_restart_connects_anew(self) -> None:
        """In a pool of its own, under the same id, and counts on."""
        self.start(unreachable(REFUSED))
        self.pool.run(lambda: None)
        self.reactor.advance(0)
        self.now += 50.0
        self.bridge.restart_network()
        self.assertEqual(self.now + CONNECT_PATIENCE, self.bridge.network_due())
        self.assertEqual((2, 1), (len(self.pools), self.pool.waiting))
        self.assertTrue(self.pool.running)
        self.broker.plan(brief)
        client_id = self.bridge.status.client_id
        self.pool.run()
        self.broker.verify()

        status = self.bridge.status
        self.assertEqual((client_id, 1, 1), (status.client_id, status.connections, status.failures))
        self.assertEqual(client_id, self.broker.connections[-1].options["client_id"])

    def hang(self, then: Event = idle, meanwhile: Script = brief) -> None:
        """Let a link that is up hang, another take its place, and the first one come back.

        Args:
            then: what happens when it comes back.
            meanwhile: what becomes of the other one's first connection.
        """
        self.broker.lets_several = True

        def hanging(connection: Connection) -> Any:
            self.reactor.advance(0)
            self.bridge.restart_network()
            self.broker.plan(meanwhile)
            self.pool.run()
            return then(connection)

        self.start(playing(accept, granted, hanging))
        self.pool.run()
        self.broker.verify()

    def test_link_that_hung_is_told_to_be_down(self) -> None:
        """At once, since it does not say so itself; what it says later concerns nobody."""

        def script() -> Iterator[Event]:
            self.assertEqual([True, False], self.changes)
            yield accept
            yield granted
            self.reactor.advance(0)
            self.assertEqual([True, False, True], self.changes)

        self.hang(lose, script)
        self.reactor.advance(0)

        self.assertEqual([True, False, True, False], self.changes)

    def test_restart_that_fails(self) -> None:
        """No thread can be begun: the link is told to be down, and the network is overdue."""

        def refuse(*_: object) -> None:
            raise RuntimeError("can't start new thread")

        def make_pool() -> ThreadPool:
            pool = self.make_pool()
            self.patch(self.pool, "callInThreadWithCallback", refuse)
            return pool

        def hanging(_connection: Connection) -> None:
            self.reactor.advance(0)
            self.assertEqual([True], self.changes)
            self.patch(self.bridge, "_make_pool", make_pool)
            self.assertRaises(RuntimeError, self.bridge.restart_network)
            self.assertEqual([True, False], self.changes)
            self.assertEqual(-math.inf, self.bridge.network_due())
            self.patch(self.bridge, "_make_pool", self.make_pool)
            self.bridge.restart_network()
            self.broker.plan(brief)
            self.pool.run()

        self.broker.lets_several = True
        self.start(playing(accept, granted, hanging))
        self.pool.run()
        self.broker.verify()
        self.reactor.advance(0)

        self.assertEqual([True, False, True, False], self.changes)

    def test_link_that_was_not_told_to_be_up_is_not_told_to_be_down(self) -> None:
        """Whether the reactor has heard of it counts, not whether it was so."""
        self.broker.lets_several = True

        def hanging(_connection: Connection) -> None:
            self.bridge.restart_network()
            self.assertEqual([], self.changes)
            self.reactor.advance(0)
            self.assertEqual([], self.changes)
            self.stop()

        self.start(playing(accept, granted, hanging))
        self.pool.run()
        self.broker.verify()

    def test_link_that_went_down_is_told_once(self) -> None:
        """It said so itself before the other one took its place, or that did."""
        self.start(brief)
        self.patch(self.bridge._link, "_pause", None)  # so that the loop ends by a defect
        self.pool.run()
        self.reactor.advance(0)
        self.assertEqual([True, False], self.changes)
        self.bridge.restart_network()
        self.reactor.advance(0)

        self.assertEqual([True, False], self.changes)

    def test_link_that_hung_says_no_goodbye(self) -> None:
        """The session is the other one's now."""
        self.hang()

        kinds = [[packet[0] for packet in each.written] for each in self.broker.connections]
        self.assertNotIn("disconnect", kinds[0])
        self.assertEqual(2, len(kinds))

    def test_link_that_hung_gives_no_reason(self) -> None:
        """What becomes of it is counted and said no more."""
        self.hang(lose)

        self.assertEqual(1, self.bridge.status.errors["lost"])

    def test_end_of_a_link_that_hung_is_no_end_of_the_network(self) -> None:
        """The pools of both are released, once, and nobody takes it for a defect."""
        self.hang()
        first, second = self.pools
        self.reactor.advance(0)

        self.assertEqual((1, 1), (first.stops, second.stops))
        self.assertEqual([], self.log.lines(LogLevel.error))

    def test_other_link_goes_on_when_the_first_one_ends(self) -> None:
        """It is not overdue, and is the one that is stopped."""
        self.start()
        first = self.pool
        self.bridge.restart_network()
        first.run()
        self.reactor.advance(0)

        self.assertEqual(1000.0 + CONNECT_PATIENCE, self.bridge.network_due())
        self.assertEqual((1, 0), (first.stops, self.pool.stops))
        self.stop()
        self.assertNoResult(self.stops[0])
        self.pool.run()
        self.reactor.advance(0)
        self.assertIsNone(self.successResultOf(self.stops[0]))

    def test_session_outlives_a_restart(self) -> None:
        """The other link asks for it, and tells whether it was kept."""

        def script() -> Iterator[Event]:
            self.now += 30.0
            yield resume
            yield granted

        self.hang(lose, script)
        self.reactor.advance(0)

        self.assertIs(self.broker.connections[-1].clean_start, False)
        self.assertEqual(0, self.bridge.status.sessions_lost)
        self.assertIn("again after 30.0 s", self.log.lines()[1])

    def test_session_that_is_lost_at_a_restart(self) -> None:
        """It is counted: the link is another one, but the exporter is not."""
        self.hang()

        self.assertEqual(1, self.bridge.status.sessions_lost)

    def test_link_that_hung_can_not_publish(self) -> None:
        """Requests go over the other one, or nowhere."""
        seen: list[bool] = []

        def script() -> Iterator[Event]:
            seen.append(self.bridge.publish("/x", b"x"))
            yield accept
            yield granted
            seen.append(self.bridge.publish("/x", b"x"))
            yield idle

        self.hang(idle, script)

        self.assertEqual([False, True], seen)


class StopTests(BridgeTestCase):
    """The end, which must not take long whatever the broker does."""

    def assert_stopped(self) -> None:
        """Assert that the stop is done, the pool is released and nothing is left to do."""
        for stop in self.stops:
            self.assertIsNone(self.successResultOf(stop))
        self.assertEqual((1, 1), (self.pool.starts, self.pool.stops))
        self.assertFalse(self.bridge.status.up)
        self.reactor.advance(3600)
        self.assertEqual([], self.reactor.getDelayedCalls())
        self.assertEqual(0, self.pool.waiting)

    def test_stop_is_done_at_once_when_never_started(self) -> None:
        """A bridge that was not started has nothing to stop."""
        self.stop()

        self.assertIsNone(self.successResultOf(self.stops[0]))
        self.assertEqual([], self.reactor.getDelayedCalls())
        self.assertEqual([], self.pools)

    def test_start_returns_at_once(self) -> None:
        """Nothing is connected in the thread that starts the bridge."""
        self.bridge.startService()

        self.assertTrue(self.pool.running)
        self.assertEqual([], self.broker.connections)

    def test_nothing_connects_when_stopped_before_the_thread_runs(self) -> None:
        """A thread that begins after the stop ends without a connection."""
        self.bridge.startService()
        self.stop()
        self.assertNoResult(self.stops[0])
        self.pool.run()
        self.reactor.advance(0)

        self.assertEqual([], self.broker.connections)
        self.assert_stopped()

    def test_end_of_the_link_is_told_when_stopped(self) -> None:
        """The link goes down with the stop, which is told of once though it is stopped twice."""

        def script() -> Iterator[Event]:
            yield from brief()
            self.stop()

        self.play(script)
        self.stop()

        self.assert_stopped()
        self.assertEqual([True, False], self.changes)
        self.assertEqual([], self.log.lines(LogLevel.warn))

    def test_pool_is_released_when_the_thread_ends_in_time(self) -> None:
        """Stopping between two attempts ends the thread, and then the pool."""
        self.play(unreachable(REFUSED))

        self.assert_stopped()

    def test_pool_is_released_when_the_loop_fails_after_the_stop(self) -> None:
        """A thread that ends with an exception after the stop has ended."""
        self.bridge.startService()
        self.stop()

        def fail() -> None:
            raise MemoryError

        self.pool.run(fail)
        self.reactor.advance(0)

        self.assert_stopped()
        self.assertEqual([], self.log.lines(LogLevel.error))

    def test_stop_is_done_when_the_loop_had_ended_before(self) -> None:
        """There is nothing to wait for, and its pool is released already."""
        self.bridge.startService()
        self.pool.run(lambda: None)
        self.reactor.advance(0)
        self.stop()

        self.assert_stopped()

    def test_thread_is_left_behind_when_it_does_not_end(self) -> None:
        """The stop is done after its patience; the pool is not joined, which would block."""
        self.bridge.startService()
        self.stop()
        self.reactor.advance(STOP_PATIENCE / 2)
        self.assertNoResult(self.stops[0])
        self.reactor.advance(STOP_PATIENCE / 2)

        self.assertIsNone(self.successResultOf(self.stops[0]))
        self.assertEqual(0, self.pool.stops)
        (line,) = self.log.lines()
        self.assertIn("left behind", line)

    def test_thread_says_goodbye_when_it_was_left_behind(self) -> None:
        """A thread that comes back from connecting after it was given up says so and ends."""

        def script() -> Iterator[Event]:
            self.stop()
            self.reactor.advance(STOP_PATIENCE)
            self.assertIsNone(self.successResultOf(self.stops[0]))
            yield from ()

        self.play(script)

        (connection,) = self.broker.connections
        self.assertEqual(["connect", "disconnect"], [packet[0] for packet in connection.written])
        self.reactor.advance(3600)
        self.assertEqual((0, 1), (self.pool.waiting, self.pool.stops))

    def test_stop_when_a_link_was_abandoned(self) -> None:
        """The thread that hangs is not waited for: only the newest one is."""
        self.bridge.startService()
        hanging = self.pool
        self.bridge.restart_network()
        self.stop()
        self.pool.run()
        self.reactor.advance(0)

        self.assert_stopped()
        self.assertEqual((1, 0), (hanging.waiting, hanging.stops))
        hanging.run()
        self.reactor.advance(0)
        self.assertEqual(1, hanging.stops)
        self.assertEqual([], self.broker.connections)

    def test_second_stop_is_harmless_while_the_first_waits(self) -> None:
        """Both stops are done when the thread ends; the pool is stopped once."""
        self.bridge.startService()
        self.stop()
        self.stop()
        self.assertIs(self.stops[0], self.stops[1])
        self.pool.run()
        self.reactor.advance(0)

        self.assert_stopped()

    def test_second_stop_is_harmless_while_connected(self) -> None:
        """The broker is told, and the connection ends once."""

        def script() -> Iterator[Event]:
            yield from brief()
            self.stop()
            self.stop()

        self.play(script)

        self.assertEqual("disconnect", self.broker.connections[0].written[-1][0])
        self.assert_stopped()

    def test_second_stop_is_harmless_after_the_first(self) -> None:
        """A bridge that has stopped has nothing to stop."""
        self.play(brief)
        self.stop()

        self.assertEqual(2, len(self.stops))
        self.assert_stopped()

    def test_second_stop_is_harmless_when_the_thread_does_not_end(self) -> None:
        """Both stops are done within the patience, without the pool."""
        self.bridge.startService()
        self.stop()
        self.stop()
        self.reactor.advance(STOP_PATIENCE)

        for stop in self.stops:
            self.assertIsNone(self.successResultOf(stop))
        self.assertEqual(0, self.pool.stops)

    def test_nothing_is_published_after_the_stop(self) -> None:
        """A bridge that has stopped sends nothing."""
        self.play(brief)

        self.assertFalse(self.bridge.publish("/x", b"x"))


class StandInTests(SynchronousTestCase):
    """The stand-ins are like what they stand in for."""

    def test_pool_runs_at_once_when_told_so(self) -> None:
        """The pool has run a callable when the call returns."""
        results: list[tuple[bool, object]] = []
        pool = FakePool(at_once=True)
        pool.callInThreadWithCallback(lambda *result: results.append(result), int, "7")

        self.assertEqual([(True, 7)], results)
