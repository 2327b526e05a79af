"""The link to the broker, played without a broker, threads and time."""

from __future__ import annotations

import inspect
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import MQTTErrorCode
from twisted.internet.defer import Deferred, succeed
from twisted.logger import LogLevel
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.bridge import (
    BATCH_LENGTH,
    BURST,
    CONNECT_TIMEOUT,
    DRAIN_DELAY,
    KEEPALIVE,
    LEAST_BACKOFF,
    MOST_BACKOFF,
    QUEUE_BYTES,
    QUEUE_LENGTH,
    RESTART_DELAY,
    STOP_PATIENCE,
    Bridge,
    LinkStatus,
)
from maestro_exporter.deliveries import Delivery
from tests.fakes import (
    REFUSED_SUBSCRIPTION,
    Event,
    FakeBroker,
    FakeClient,
    FakePool,
    FakeReactor,
    Log,
    Script,
    accept,
    deliver,
    give_up,
    grant,
    idle,
    lose,
    refuse,
    together,
    unreachable,
)

SUBSCRIPTIONS = {"/one": 1, "/two": 2}
LONGEST = 1024 * 1024
REFUSED = ConnectionRefusedError(111, "Connection refused")
granted = grant(1, 2)


def brief() -> Iterator[Event]:
    """Give the script of a connection that comes up and is lost."""
    yield accept
    yield granted


class BridgeTestCase(SynchronousTestCase):
    """A bridge among stand-ins."""

    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.pool = FakePool()
        self.broker = FakeBroker()
        self.log = Log(self)
        self.now = 1000.0  # of the monotonic clock, which is not the reactor's
        self.batches: list[list[Delivery]] = []
        self.receive: Callable[[Sequence[Delivery]], object] = lambda batch: self.batches.append(
            list(batch)
        )
        #: What the link was said to have become.
        self.changes: list[bool] = []
        #: The bounds of the wait after each attempt.
        self.bounds: list[tuple[float, float]] = []
        #: How long the network thread paused after each attempt.
        self.pauses: list[float] = []
        self.stops: list[Deferred[None]] = []
        self.bridge = Bridge(
            "broker.test",
            1883,
            SUBSCRIPTIONS,
            longest=LONGEST,
            receive=self.take_in,
            changed=self.changes.append,
            reactor=self.reactor,
            pool=cast(ThreadPool, self.pool),
            client_factory=self.broker.make_client,
            monotonic=lambda: self.now,
            jitter=self.jitter,
            pause=self.pause,
        )

    def take_in(self, batch: Sequence[Delivery]) -> None:
        self.receive(batch)

    def jitter(self, low: float, high: float) -> float:
        self.bounds.append((low, high))
        return (low + high) / 2

    def pause(self, _stopping: threading.Event, delay: float) -> None:
        """Pause between attempts; after the last planned one, stop the bridge meanwhile."""
        self.pauses.append(delay)
        if self.broker.is_over and self.bridge.running:
            self.stop()

    def stop(self) -> None:
        self.stops.append(self.bridge.stopService() or succeed(None))

    def play(self, *scripts: Script) -> None:
        """Run the network loop through these connections, then let the reactor work."""
        self.broker.plan(*scripts)
        self.bridge.startService()
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

    def written(self, connection: int = 0) -> list[str]:
        """Give the kinds of the packets that went out."""
        return [packet[0] for packet in self.broker.connections[connection].written]

    def published(self) -> list[tuple[Any, ...]]:
        return [
            packet[1:]
            for connection in self.broker.connections
            for packet in connection.written
            if packet[0] == "publish"
        ]


class ConnectionTests(BridgeTestCase):
    """How the link comes up."""

    def test_client_is_told_where_and_how_to_connect(self) -> None:
        """The broker's address, the keepalive and the timeout of connecting reach paho."""
        self.play(brief)

        (connection,) = self.broker.connections
        self.assertEqual(("connect", "broker.test", 1883, KEEPALIVE), connection.written[0])
        self.assertEqual(CONNECT_TIMEOUT, connection.client.connect_timeout)

    def test_packets_are_not_held_back(self) -> None:
        """The second request of a round does not wait for the first one's acknowledgement."""
        self.play(brief)

        (connection,) = self.broker.connections
        self.assertEqual([(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)], connection.socket_options)

    def test_link_comes_up_when_packets_are_held_back(self) -> None:
        """A socket that knows no such option serves as well."""

        def script() -> Iterator[Event]:
            self.broker.connections[-1].refuses_options = True
            yield from brief()

        self.play(script)

        self.assertEqual(LinkStatus(connections=1), self.bridge.status)

    def test_all_connections_use_one_client_id(self) -> None:
        """A broker that still holds a dead connection of ours drops it for the new one."""
        self.play(brief, brief)

        first, second = (each.options["client_id"] for each in self.broker.connections)
        self.assertEqual(first, second)
        self.assertTrue(first)

    def test_link_is_up_only_when_subscriptions_are_granted(self) -> None:
        """A connection without its subscriptions is not a link."""

        def script() -> Iterator[Event]:
            self.assertFalse(self.bridge.status.up)
            yield accept
            self.assertFalse(self.bridge.status.up)
            yield granted
            self.assertTrue(self.bridge.status.up)
            yield lose

        self.play(script)
        self.assertFalse(self.bridge.status.up)

    def test_topics_are_subscribed_at_each_connection(self) -> None:
        """A broker that forgot the subscriptions is asked again, with the same topics and QoS."""
        self.play(brief, brief)

        self.assertEqual(
            [("subscribe", [("/one", 1), ("/two", 2)])] * 2,
            [connection.written[1] for connection in self.broker.connections],
        )

    def test_link_stays_down_when_one_subscription_is_refused(self) -> None:
        """A refused topic keeps the link down and is named in the log; the others are not."""

        def script() -> Iterator[Event]:
            yield accept
            yield grant(1, REFUSED_SUBSCRIPTION)
            self.assertFalse(self.bridge.status.up)
            self.assertFalse(self.bridge.publish("/x", b"x", 1))

        self.play(script)

        self.assertEqual([], self.changes)
        (line,) = self.log.lines(LogLevel.error)
        self.assertIn("/two", line)
        self.assertNotIn("/one", line)

    def test_refused_subscription_is_tried_again(self) -> None:
        """Permissions may be mended: the next connection asks again, after a growing wait."""

        def refused() -> Iterator[Event]:
            yield accept
            yield grant(1, REFUSED_SUBSCRIPTION)

        self.play(*[refused] * 4, brief)

        self.assertEqual(5, self.bridge.status.connections)
        self.assertEqual(4, self.bridge.status.failures)
        self.assertEqual([True, False], self.changes)
        self.assertEqual([2.0, 4.0, 8.0, 16.0], [high for _, high in self.bounds[:4]])
        self.assertNotIn("lost", "".join(self.log.lines(LogLevel.warn)[:4]))

    def test_link_stays_down_when_the_answer_is_too_short(self) -> None:
        """A broker that answers for one of two topics has not granted both."""

        def script() -> Iterator[Event]:
            yield accept
            yield grant(1)

        self.play(script)

        self.assertEqual([], self.changes)
        self.assertEqual(1, self.bridge.status.failures)

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

    def test_changes_are_told_each_time(self) -> None:
        """Each link that comes up, and each that goes down, is told of in turn."""
        self.play(brief, brief, brief)

        self.assertEqual([True, False] * 3, self.changes)

    def test_loss_is_told_once_however_it_is_noticed(self) -> None:
        """It makes no difference whether callbacks tell of it, or one, or none, or an exception."""

        def reported_once(connection: Any) -> Any:
            return connection.drop(MQTTErrorCode.MQTT_ERR_CONN_LOST)

        def raising(_connection: Any) -> Any:
            raise RuntimeError("a defect of paho")

        def script(loss: Event) -> Script:
            def play() -> Iterator[Event]:
                yield from brief()
                yield loss

            return play

        self.play(*[script(loss) for loss in (lose, reported_once, give_up, raising)])

        self.assertEqual([True, False] * 4, self.changes)

    def test_no_loss_is_told_when_link_was_not_up(self) -> None:
        """Attempts that fail, and connections without their subscriptions, are no losses."""

        def refused() -> Iterator[Event]:
            yield refuse

        def hangs_up() -> Iterator[Event]:
            yield lose

        def not_granted() -> Iterator[Event]:
            yield accept
            yield grant(1, REFUSED_SUBSCRIPTION)

        def lost_before_it_is_granted() -> Iterator[Event]:
            yield accept

        self.play(unreachable(REFUSED), refused, hangs_up, not_granted, lost_before_it_is_granted)

        self.assertEqual([], self.changes)

    def test_connections_are_counted_when_accepted(self) -> None:
        """Connections count once the broker accepts them, whatever comes then."""
        self.play(brief, unreachable(REFUSED), brief)

        self.assertEqual(LinkStatus(connections=2, failures=1), self.bridge.status)

    def test_status_says_how_far_the_link_is(self) -> None:
        """It is connected once the broker has accepted, and up once it has granted all."""
        seen: list[tuple[str, bool, bool]] = []

        def see(when: str) -> None:
            status = self.bridge.status
            seen.append((when, status.connected, status.up))

        def refused() -> Iterator[Event]:
            yield refuse

        def not_granted() -> Iterator[Event]:
            yield accept
            see("accepted")
            yield grant(1, REFUSED_SUBSCRIPTION)

        def granted_and_lost() -> Iterator[Event]:
            see("connecting")
            yield accept
            see("accepted")
            yield granted
            see("granted")
            yield lose

        see("at first")
        self.play(not_granted, granted_and_lost, refused, granted_and_lost)
        see("at last")

        once = [
            ("connecting", False, False),
            ("accepted", True, False),
            ("granted", True, True),
        ]
        self.assertEqual(
            [
                ("at first", False, False),
                ("accepted", True, False),
                *once,
                *once,
                ("at last", False, False),
            ],
            seen,
        )

    def test_disconnection_is_harmless_when_reported_twice(self) -> None:
        """The second report of one loss changes and logs nothing."""
        self.play(brief, brief)

        self.assertEqual(LinkStatus(connections=2), self.bridge.status)
        lost = [line for line in self.log.lines() if "lost" in line]
        self.assertEqual(2, len(lost))

    def test_error_of_loop_ends_connection_when_no_callback_tells(self) -> None:
        """An error that only the return value tells makes the link go down and come again."""

        def script() -> Iterator[Event]:
            yield accept
            yield granted
            yield give_up

        self.play(script, brief)

        self.assertEqual(LinkStatus(connections=2), self.bridge.status)


class AttemptTests(BridgeTestCase):
    """What happens between connections."""

    def test_attempts_go_on_whatever_the_failure(self) -> None:
        """Refusals, timeouts and unknown names are failures, and are tried again."""
        self.play(
            unreachable(REFUSED),
            unreachable(TimeoutError("timed out")),
            unreachable(socket.gaierror(-2, "Name or service not known")),
            brief,
        )

        self.assertEqual(LinkStatus(connections=1, failures=3), self.bridge.status)
        self.assertEqual(
            [
                f"Cannot connect to broker.test:1883: {reason}"
                for reason in ("Connection refused", "timed out", "Name or service not known")
            ],
            self.log.lines(LogLevel.warn)[:3],
        )

    def test_waits_grow_to_their_maximum(self) -> None:
        """Waits double and stay at the maximum, for ever, with jitter from the minimum on."""
        self.play(*[unreachable(REFUSED)] * 100)

        lows, highs = zip(*self.bounds, strict=True)
        self.assertEqual({LEAST_BACKOFF}, set(lows))
        self.assertEqual((2.0, 4.0, 8.0, 16.0, *[MOST_BACKOFF] * 96), highs)
        self.assertEqual(100, self.bridge.status.failures)

    def test_waits_are_jittered(self) -> None:
        """The wait is what the jitter says."""
        self.play(*[unreachable(REFUSED)] * 3)

        self.assertEqual([1.5, 2.5, 4.5], self.pauses)

    def test_waits_start_small_again_after_success(self) -> None:
        """A connection that lasted makes the next waits short."""

        def lasts() -> Iterator[Event]:
            yield accept
            yield granted
            self.now += MOST_BACKOFF
            yield lose

        self.play(*[unreachable(REFUSED)] * 6, lasts, *[unreachable(REFUSED)] * 2)

        _, highs = zip(*self.bounds, strict=True)
        self.assertEqual(MOST_BACKOFF, highs[5])
        self.assertLessEqual(highs[6], 2.0)
        self.assertLessEqual(highs[7], 4.0)
        self.assertLess(highs[7], highs[8])

    def test_waits_grow_when_connections_do_not_last(self) -> None:
        """A broker that grants everything and then hangs up is not tried in a busy loop."""
        self.play(*[brief] * 6)

        self.assertEqual([2.0, 4.0, 8.0, 16.0, 30.0, 30.0], [high for _, high in self.bounds])

    def test_refused_credentials_are_failures(self) -> None:
        """A refusal counts as a failure, is logged and makes the waits grow."""

        def refused() -> Iterator[Event]:
            yield refuse

        self.play(*[refused] * 5)

        self.assertEqual(LinkStatus(failures=5), self.bridge.status)
        self.assertEqual([2.0, 4.0, 8.0, 16.0, 30.0], [high for _, high in self.bounds])
        self.assertEqual(
            ["broker.test:1883 refused the connection: Not authorized"] * 5,
            self.log.lines(LogLevel.warn),
        )

    def test_attempt_fails_when_connection_ends_before_its_answer(self) -> None:
        """A peer that accepts and hangs up, as no broker does, is a failure and is logged."""

        def hangs_up() -> Iterator[Event]:
            yield idle
            yield lose

        self.play(hangs_up, hangs_up)

        self.assertEqual(LinkStatus(failures=2), self.bridge.status)
        self.assertEqual(2, len(self.log.lines(LogLevel.warn)))

    def test_attempt_fails_when_name_cannot_be_encoded(self) -> None:
        """A host name that no resolver takes is a failure like an unknown one."""
        self.play(unreachable(UnicodeError("label empty or too long")))

        self.assertEqual(LinkStatus(failures=1), self.bridge.status)

    def test_exception_out_of_loop_ends_only_the_connection(self) -> None:
        """Whatever paho raises, the link goes down, is tried again and the cause is logged."""

        def script() -> Iterator[Event]:
            yield accept
            yield granted
            raise RuntimeError("a defect of paho")

        self.play(script, brief)

        self.assertEqual(2, self.bridge.status.connections)
        self.assertEqual([True, False] * 2, self.changes)
        (line,) = self.log.lines(LogLevel.error)
        self.assertIn("a defect of paho", line)

    def test_link_is_down_after_exception_out_of_loop(self) -> None:
        """No callback tells of an exception, but the link is not taken for up."""
        seen: list[LinkStatus] = []

        def raising() -> Iterator[Event]:
            yield accept
            yield granted
            raise RuntimeError

        def next_one() -> Iterator[Event]:
            seen.append(self.bridge.status)
            yield from brief()

        self.play(raising, next_one)

        self.assertEqual([LinkStatus(connections=1)], seen)

    def test_exception_in_callback_ends_only_the_connection(self) -> None:
        """A topic that is not UTF-8 makes paho raise in the callback; the bridge survives."""

        def bad_topic(connection: Any) -> None:
            connection.client.on_message(connection.client, None, MQTTMessage(0, b"/\xff"))

        def script() -> Iterator[Event]:
            yield accept
            yield granted
            yield bad_topic

        self.play(script, brief)

        self.assertEqual(LinkStatus(connections=2), self.bridge.status)
        (line,) = self.log.lines(LogLevel.error)
        self.assertIn("broke down", line)

    def test_network_thread_logs_in_reactor_thread(self) -> None:
        """Log observers are not called from the network thread."""

        def script() -> Iterator[Event]:
            self.assertEqual([], self.log.lines())
            yield accept
            self.assertEqual([], self.log.lines())
            self.reactor.advance(0)
            self.assertEqual(2, len(self.log.lines()))

        self.play(unreachable(REFUSED), script)


class DeliveryTests(BridgeTestCase):
    """What crosses from the network thread to the reactor."""

    def test_batch_has_all_of_each_delivery(self) -> None:
        """Deliveries arrive in order with topic, payload and the broker's retained flag."""

        def script() -> Iterator[Event]:
            yield from brief()
            yield deliver("/one", b"a", b"b")
            yield deliver("/two", b"", retained=True)

        self.play(script)

        self.assertEqual(
            [
                [
                    Delivery("/one", b"a", False, 1000.0),
                    Delivery("/one", b"b", False, 1000.0),
                    Delivery("/two", b"", True, 1000.0),
                ]
            ],
            self.batches,
        )

    def test_payload_is_bytes_whatever_paho_gives(self) -> None:
        """Paho hands over a bytearray; nobody can change what was delivered."""

        def script() -> Iterator[Event]:
            yield from brief()
            yield deliver("/one", bytearray(b"a"))

        self.play(script)

        self.assertEqual([bytes], [type(payload) for payload in self.payloads()])

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

    def test_oldest_go_when_there_are_too_many(self) -> None:
        """The queue is bounded in number; what it had no room for is counted."""

        def script() -> Iterator[Event]:
            yield from brief()
            yield deliver("/one", b"oldest", b"older", *[b"new"] * QUEUE_LENGTH)
            self.assertEqual(2, self.bridge.status.dropped)

        self.play(script)

        self.assertEqual(Counter({b"new": QUEUE_LENGTH}), Counter(self.payloads()))
        self.assertEqual(2, self.bridge.status.dropped)

    def test_oldest_go_when_they_are_too_large(self) -> None:
        """The queue is bounded in bytes; its bound itself is allowed."""
        megabyte = b"x" * 1024 * 1024

        def script() -> Iterator[Event]:
            yield from brief()
            yield deliver("/one", b"oldest", *[megabyte] * (QUEUE_BYTES // len(megabyte)))
            self.assertEqual(1, self.bridge.status.dropped)
            yield deliver("/one", b"newest")
            self.assertEqual(2, self.bridge.status.dropped)

        self.play(script)

        self.assertEqual([*[len(megabyte)] * 63, 6], [len(each) for each in self.payloads()])

    def test_long_payload_is_cut(self) -> None:
        """Of a payload that is too long there is just enough to see that; all of it counts."""

        def script() -> Iterator[Event]:
            yield accept
            yield granted
            yield deliver("/one", b"x" * (LONGEST + 1000), b"y" * LONGEST)
            yield lose

        self.play(script)

        self.assertEqual([LONGEST + 1, LONGEST], [len(each) for each in self.payloads()])
        self.assertEqual(2 * LONGEST + 1000, self.bridge.status.received_bytes)

    def test_room_is_free_again_after_a_drain(self) -> None:
        """What was taken in counts no more, neither in number nor in bytes."""
        large = b"x" * (QUEUE_BYTES // 2)

        def script() -> Iterator[Event]:
            yield from brief()
            for _ in range(3):
                yield deliver("/one", large, large)
                self.drain()

        self.play(script)

        self.assertEqual(0, self.bridge.status.dropped)
        self.assertEqual(6, len(self.deliveries()))

    def test_received_bytes_are_those_of_payloads(self) -> None:
        """All payloads count, those that the queue had no room for included."""

        def script() -> Iterator[Event]:
            yield from brief()
            yield deliver("/one", b"12345", b"")
            yield deliver("/two", b"678", retained=True)

        self.play(script)

        self.assertEqual(8, self.bridge.status.received_bytes)

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

        def first() -> Iterator[Event]:
            yield from brief()
            yield deliver("/one", b"before")

        def second() -> Iterator[Event]:
            yield from brief()
            yield deliver("/one", b"after")

        self.play(first, second)

        self.assertEqual([b"before", b"after"], self.payloads())


class BurstTests(BridgeTestCase):
    """Messages that come together."""

    def calls(self) -> list[str]:
        """Give which of paho's methods were called for the packets behind the first two."""
        (connection,) = self.broker.connections
        return connection.calls[2:]

    def test_more_are_taken_in_without_waiting(self) -> None:
        """Until one call gives none: paho waits before each packet, or takes in only one."""

        def script() -> Iterator[Event]:
            yield from brief()
            yield deliver("/one", b"a", b"b", b"c")

        self.play(script)

        self.assertEqual([b"a", b"b", b"c"], self.payloads())
        self.assertEqual(["loop", *["loop_read"] * 3, "loop"], self.calls())

    def test_nothing_more_is_expected_where_no_message_came(self) -> None:
        """What is no message comes alone; the next thing is waited for."""

        def script() -> Iterator[Event]:
            yield from brief()
            yield idle
            yield together(deliver("/one", b"a"), idle, deliver("/one", b"b"))

        self.play(script)

        self.assertEqual(["loop", *["loop", "loop_read"] * 2, "loop"], self.calls())
        self.assertEqual([b"a", b"b"], self.payloads())

    def test_other_work_is_done_in_between(self) -> None:
        """However many come, requests go out after so many of them."""

        def script() -> Iterator[Event]:
            yield from brief()
            yield deliver("/one", *[b"x"] * (2 * BURST + 5))

        self.play(script)

        self.assertEqual(
            [
                *["loop", *["loop_read"] * BURST] * 2,
                *["loop", *["loop_read"] * 3],
                "loop",
            ],
            self.calls(),
        )
        self.assertEqual(2 * BURST + 5, len(self.payloads()))

    def test_connection_ends_when_it_is_lost_behind_a_message(self) -> None:
        """What came before is kept, and the next attempt is made as after any loss."""

        def script() -> Iterator[Event]:
            yield from brief()
            yield together(deliver("/one", b"a"), lose)

        self.play(script, brief)

        self.assertEqual([b"a"], self.payloads())
        self.assertEqual(LinkStatus(connections=2, received_bytes=1), self.bridge.status)
        self.assertEqual([True, False] * 2, self.changes)


class PublishTests(BridgeTestCase):
    """What is sent."""

    def test_message_goes_out_when_link_is_up(self) -> None:
        """Topic, payload and QoS reach paho; the network thread writes them."""

        def script() -> Iterator[Event]:
            yield from brief()
            self.assertTrue(self.bridge.publish("/x", b"12345", 1))
            self.assertEqual([], self.published())
            yield idle
            self.assertEqual([("/x", b"12345", 1)], self.published())

        self.play(script)

    def test_bytes_are_counted_when_sent(self) -> None:
        """Payloads that were handed to paho count, over all connections."""

        def script() -> Iterator[Event]:
            yield from brief()
            self.bridge.publish("/x", b"12345", 1)
            self.bridge.publish("/y", b"678", 1)

        self.play(script, script)

        self.assertEqual(16, self.bridge.status.sent_bytes)

    def test_nothing_is_sent_while_link_is_down(self) -> None:
        """Before, between and after connections nothing is sent or kept for later."""
        outcomes: list[bool] = []

        def publish() -> None:
            outcomes.append(self.bridge.publish("/x", b"x", 1))

        def script() -> Iterator[Event]:
            publish()
            yield accept
            publish()
            yield granted
            yield lose

        publish()
        self.play(script, script)
        publish()

        self.assertEqual([False] * 6, outcomes)
        self.assertEqual([], self.published())
        self.assertEqual(0, self.bridge.status.sent_bytes)

    def test_publish_tells_when_paho_cannot(self) -> None:
        """A socket that is gone before the bridge knows makes the message not sent."""

        def script() -> Iterator[Event]:
            yield from brief()
            (connection,) = self.broker.connections
            connection.is_open = False
            self.assertFalse(self.bridge.publish("/x", b"x", 1))

        self.play(script)

        self.assertEqual(0, self.bridge.status.sent_bytes)


class RestartTests(BridgeTestCase):
    """The network loop itself ends, which it should not."""

    def restart(self, instead: Callable[[], object]) -> None:
        """End the first network loop so, and let the second one serve a connection."""
        self.broker.plan(brief)
        self.bridge.startService()
        self.pool.run(instead)
        self.reactor.advance(0)
        self.reactor.advance(RESTART_DELAY / 2)
        self.assertEqual(0, self.pool.waiting)
        self.reactor.advance(RESTART_DELAY / 2)
        self.assertEqual(1, self.pool.waiting)
        self.pool.run()
        self.reactor.advance(0)
        self.broker.verify()

        self.assertEqual(1, self.bridge.status.connections)
        self.assertEqual(1, len(self.log.lines(LogLevel.error)))

    def test_loop_is_started_again_when_it_fails(self) -> None:
        """An exception that ends the thread is logged; after a while there is another."""

        def fail() -> None:
            raise MemoryError

        self.restart(fail)

    def test_loop_is_started_again_when_it_returns(self) -> None:
        """A thread that ends without an exception is replaced as well."""
        self.restart(lambda: None)

    def test_loop_is_not_started_again_after_stop(self) -> None:
        """A restart that is due when the bridge stops does not happen; the pool is released."""
        self.bridge.startService()
        self.pool.run(lambda: None)
        self.reactor.advance(0)
        self.stop()
        self.reactor.advance(RESTART_DELAY)

        self.assertIsNone(self.successResultOf(self.stops[0]))
        self.assertEqual(0, self.pool.waiting)
        self.assertFalse(self.pool.running)


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

        self.broker.verify()
        self.assert_stopped()

    def test_broker_is_told_when_stopped_while_connecting(self) -> None:
        """A connection that comes about after the stop is closed politely, and unused."""

        def script() -> Iterator[Event]:
            self.stop()
            yield from ()

        self.play(script)

        self.assertEqual(["connect", "disconnect"], self.written())
        self.assertEqual(0, self.bridge.status.connections)
        self.assert_stopped()

    def test_no_attempt_follows_when_stopped_while_connecting_fails(self) -> None:
        """An attempt that fails after the stop is the last."""

        def script() -> Iterator[Event]:
            self.stop()
            yield from ()
            raise REFUSED

        self.play(script)

        self.assert_stopped()

    def test_broker_is_told_when_stopped_before_it_answers(self) -> None:
        """A stop between CONNECT and its answer says goodbye, too."""

        def script() -> Iterator[Event]:
            yield idle
            self.stop()

        self.play(script)

        self.assertEqual(["connect", "disconnect"], self.written())
        self.assert_stopped()

    def test_broker_is_told_when_stopped_while_connected(self) -> None:
        """DISCONNECT is written last and once; it is not logged as a loss."""

        def script() -> Iterator[Event]:
            yield from brief()
            self.stop()

        self.play(script)

        self.assertEqual(["connect", "subscribe", "disconnect"], self.written())
        self.assertEqual([], self.log.lines(LogLevel.warn))
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

    def test_requests_go_out_before_the_goodbye(self) -> None:
        """What was published before the stop is not lost by it."""

        def script() -> Iterator[Event]:
            yield from brief()
            self.bridge.publish("/x", b"x", 1)
            self.stop()

        self.play(script)

        self.assertEqual(["connect", "subscribe", "publish", "disconnect"], self.written())

    def test_broker_is_told_when_no_loop_follows_the_stop(self) -> None:
        """The network thread says goodbye itself if it sees the stop before the request."""

        def during_the_callback(connection: Any) -> None:
            granted(connection)
            self.stop()

        def script() -> Iterator[Event]:
            yield accept
            yield during_the_callback

        self.play(script)

        self.assertEqual("disconnect", self.written()[-1])
        self.assertEqual(1, self.written().count("disconnect"))
        self.assert_stopped()

    def test_nothing_reconnects_after_the_stop(self) -> None:
        """A loss at the moment of the stop is not followed by an attempt."""

        def losing(connection: Any) -> Any:
            self.stop()
            return lose(connection)

        def script() -> Iterator[Event]:
            yield from brief()
            yield losing

        self.play(script)

        self.assertEqual(1, len(self.broker.connections))
        self.assert_stopped()

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

        self.assertEqual(["connect", "disconnect"], self.written())
        self.assertEqual(0, self.pool.stops)
        self.reactor.advance(3600)
        self.assertEqual(0, self.pool.waiting)

    def test_second_stop_is_harmless_while_the_first_waits(self) -> None:
        """Both stops are done when the thread ends; the pool is stopped once."""
        self.bridge.startService()
        self.stop()
        self.stop()
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

        self.assertEqual("disconnect", self.written()[-1])
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

        self.assertFalse(self.bridge.publish("/x", b"x", 1))


class StandInTests(SynchronousTestCase):
    """The stand-ins are like what they stand in for."""

    def test_each_name_of_the_client_is_one_of_paho(self) -> None:
        """The stand-in has no method or attribute that paho's client lacks."""
        names = [name for name in dir(FakeClient) if not name.startswith("_")]

        self.assertEqual([], [name for name in names if not hasattr(Client, name)])
        self.assertIn("loop_read", names)
        self.assertIn("loop_write", names)
        self.assertIn("on_socket_register_write", names)

    def test_each_parameter_of_the_client_is_one_of_paho(self) -> None:
        """What the stand-in's methods take, paho's take too, in the same order."""
        reading = ("loop", "loop_read", "loop_write")
        for name in (*reading, "connect", "disconnect", "subscribe", "publish"):
            ours = list(inspect.signature(getattr(FakeClient, name)).parameters)
            theirs = list(inspect.signature(getattr(Client, name)).parameters)

            self.assertEqual(ours, theirs[: len(ours)], name)

    def test_bridge_sets_nothing_that_paho_ignores(self) -> None:
        """What the bridge sets on a client are properties of paho's, not new attributes."""
        names = [name for name in FakeClient.__slots__ if not name.startswith("_")]

        self.assertEqual([], [n for n in names if not isinstance(getattr(Client, n), property)])

    def test_pool_runs_at_once_when_told_so(self) -> None:
        """The pool has run a callable when the call returns."""
        results: list[tuple[bool, object]] = []
        pool = FakePool(at_once=True)
        pool.callInThreadWithCallback(lambda *result: results.append(result), int, "7")

        self.assertEqual([(True, 7)], results)

    def test_bridge_makes_a_client_that_paho_accepts(self) -> None:
        """The arguments that the bridge makes its clients with are valid for the real class."""
        broker, reactor, pool = FakeBroker(), FakeReactor(), FakePool()
        bridge = Bridge(
            "broker.test",
            1883,
            SUBSCRIPTIONS,
            longest=LONGEST,
            receive=lambda _: None,
            changed=lambda _: None,
            reactor=reactor,
            pool=cast(ThreadPool, pool),
            client_factory=broker.make_client,
            pause=lambda stopping, _: stopping.set(),
        )
        broker.plan(unreachable(REFUSED))
        bridge.startService()
        pool.run()

        (connection,) = broker.connections
        client = Client(*connection.arguments, **connection.options)
        client.connect_timeout = CONNECT_TIMEOUT
        self.assertEqual(CONNECT_TIMEOUT, client.connect_timeout)
