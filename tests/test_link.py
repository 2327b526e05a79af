"""The link to the broker, played without a broker, threads and time."""

from __future__ import annotations

import inspect
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import LogLevel as PahoLevel
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.subscribeoptions import SubscribeOptions
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.broker import Broker, BrokerError
from maestro_exporter.deliveries import Delivery
from maestro_exporter.mqtt import drops
from maestro_exporter.mqtt.clients import CONNECT_TIMEOUT, KEEPALIVE, LARGEST_PACKET
from maestro_exporter.mqtt.failures import REASONS, LinkFailure
from maestro_exporter.mqtt.link import (
    ANSWER_TIMEOUT,
    BURST,
    CONNECT_PATIENCE,
    LEAST_BACKOFF,
    MOST_BACKOFF,
    MOST_BREAKDOWNS,
    SERVE_PATIENCE,
    Link,
    Tallies,
)
from maestro_exporter.values import Address
from tests.fakes import (
    REFUSED_SUBSCRIPTION,
    SUBSCRIPTIONS,
    Connection,
    Event,
    FakeBroker,
    FakeClient,
    Script,
    accept,
    accept_for,
    break_down,
    brief,
    deliver,
    dismiss,
    fail_since,
    give_up,
    grant,
    granted,
    idle,
    log,
    lose,
    lose_since,
    playing,
    refuse,
    refuse_since,
    resume,
    together,
    unreachable,
)

LONGEST = 1024 * 1024
REFUSED = ConnectionRefusedError(111, "Connection refused")
V5, V311 = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311
UNKNOWN_VERSION = refuse_since("Unsupported protocol version")
refused = playing(refuse)
not_granted = playing(accept, grant(1, REFUSED_SUBSCRIPTION))
#: The broker, or what stands before it, hangs up without a word.
hangs_up = playing(lose)


class LinkTestCase(SynchronousTestCase):
    """A link among stand-ins."""

    def setUp(self) -> None:
        self.broker = FakeBroker()
        self.now = 1000.0  # of the monotonic clock
        self.deliveries: list[Delivery] = []
        #: What the link was said to have become.
        self.changes: list[bool] = []
        #: What was to be logged: the level and the text.
        self.said: list[tuple[str, str]] = []
        #: The bounds of the wait after each attempt.
        self.bounds: list[tuple[float, float]] = []
        #: How long the network thread paused after each attempt.
        self.pauses: list[float] = []
        #: What happens during a pause.
        self.meanwhile: Callable[[], object] = lambda: None
        self.tallies = Tallies()
        self.link = self.make()

    def make(self, **broker: Any) -> Link:
        """Give the link to a broker that is reached so; of a given version nothing is known."""
        if "version" in broker:
            self.tallies.dialect = None
        return Link(
            Broker(**({"address": Address("broker.test", 1883)} | broker)),
            broker.get("client_id") or "random",
            list(SUBSCRIPTIONS.items()),
            longest=LONGEST,
            tallies=self.tallies,
            deliver=self.deliveries.append,
            changed=self.changes.append,
            say=self.say,
            client_factory=self.broker.make_client,
            monotonic=lambda: self.now,
            jitter=self.jitter,
            pause=self.pause,
        )

    def say(self, level: str, text: str, **values: Any) -> None:
        self.said.append((level, text.format(broker="broker.test:1883", **values)))

    def lines(self, *levels: str) -> list[str]:
        """Give what was said at one of these levels."""
        return [text for level, text in self.said if level in levels]

    def jitter(self, low: float, high: float) -> float:
        self.bounds.append((low, high))
        return (low + high) / 2

    def pause(self, stopping: threading.Event, delay: float) -> None:
        """Pause between attempts; after the last planned one, stop the link meanwhile."""
        self.pauses.append(delay)
        self.meanwhile()
        if self.broker.is_over and not stopping.is_set():
            self.link.stop()

    def play(self, *scripts: Script) -> None:
        """Run the network loop through these connections."""
        self.broker.plan(*scripts)
        self.link.run()
        self.broker.verify()

    def passing(self, seconds: float, event: Event = idle) -> Event:
        """Give the event that happens after so many seconds."""

        def later(connection: Connection) -> MQTTErrorCode | None:
            self.now += seconds
            return event(connection)

        return later

    def payloads(self) -> list[bytes]:
        return [delivery.payload for delivery in self.deliveries]

    def written(self, connection: int = 0) -> list[str]:
        """Give the kinds of the packets that went out."""
        return [packet[0] for packet in self.broker.connections[connection].written]

    def goodbyes(self) -> list[tuple[Any, ...]]:
        """Give what DISCONNECT said at each connection."""
        return [
            packet
            for connection in self.broker.connections
            for packet in connection.written
            if packet[0] == "disconnect"
        ]

    def asked_for_drops(self) -> list[bool]:
        """Tell of each connection whether the broker was asked for what it drops."""
        return [
            ("subscribe", [(drops.TOPIC, 0)]) in connection.written
            for connection in self.broker.connections
        ]

    def versions(self) -> list[str]:
        """Give the version of MQTT that was spoken at each connection."""
        names = {V5: "5", V311: "3.1.1"}
        return [names[each.client.protocol] for each in self.broker.connections]

    def errors(self) -> dict[str, int]:
        """Give the counts that are not 0."""
        return {reason: count for reason, count in self.tallies.errors.items() if count}


class ConnectionTests(LinkTestCase):
    """How the link comes up."""

    def test_client_is_told_where_and_how_to_connect(self) -> None:
        """The broker's address, the keepalive and the timeout of connecting reach paho."""
        self.play(brief)

        (connection,) = self.broker.connections
        self.assertEqual(("connect", "broker.test", 1883, KEEPALIVE), connection.written[0])
        self.assertEqual(CONNECT_TIMEOUT, connection.client.connect_timeout)
        self.assertIs(connection.options["reconnect_on_failure"], False)
        self.assertEqual("random", connection.options["client_id"])

    def test_promises_about_the_link(self) -> None:
        """A frozen broker is noticed in half a minute, and one that says nothing in ten seconds."""
        self.assertEqual((15, 5.0, 10.0), (KEEPALIVE, CONNECT_TIMEOUT, ANSWER_TIMEOUT))

    def test_packets_are_not_held_back(self) -> None:
        """The second request of a round does not wait for the first one's acknowledgement."""
        self.play(brief)

        (connection,) = self.broker.connections
        self.assertEqual([(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)], connection.socket_options)

    def test_link_comes_up_when_packets_are_held_back(self) -> None:
        """A socket that knows no such option serves as well."""

        make = self.broker.connection_of

        def connection_of(client: FakeClient) -> Connection:
            connection = make(client)
            connection.refuses_options = True
            return connection

        self.patch(self.broker, "connection_of", connection_of)
        self.play(brief)

        self.assertEqual(1, self.tallies.connections)
        self.assertEqual([], self.broker.connections[0].socket_options)

    def test_link_is_up_only_when_subscriptions_are_granted(self) -> None:
        """A connection without its subscriptions is connected, but no link."""
        seen: list[tuple[bool, bool]] = []

        def see() -> None:
            seen.append((self.link.connected, self.link.up))

        def script() -> Iterator[Event]:
            see()
            yield accept
            see()
            yield granted
            see()
            yield lose

        see()
        self.play(script, script, refused)
        see()

        once = [(False, False), (True, False), (True, True)]
        self.assertEqual([(False, False), *once, *once, (False, False)], seen)

    def test_broker_is_told_how_much_is_too_much(self) -> None:
        """By MQTT 5, at each connection: so much memory may be taken by what is on its way."""
        self.play(brief, brief)

        for connection in self.broker.connections:
            self.assertEqual(LARGEST_PACKET, connection.properties.MaximumPacketSize)

    def test_broker_cannot_be_told_by_3_1_1(self) -> None:
        """CONNECT has no properties there."""
        self.link = self.make(version="3.1.1")
        self.play(brief)

        self.assertIsNone(self.broker.connections[0].properties)

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
            self.assertFalse(self.link.up)
            self.assertFalse(self.link.publish("/x", b"x"))

        self.play(script)

        self.assertEqual([], self.changes)
        self.assertEqual(
            ["Cannot use broker.test:1883: it refused the subscription to /two"],
            self.lines("warn"),
        )

    def test_refused_subscription_is_tried_again(self) -> None:
        """Permissions may be mended: the next connection asks again, after a growing wait."""
        self.play(*[not_granted] * 4, brief)

        self.assertEqual(5, self.tallies.connections)
        self.assertEqual(4, self.tallies.failures)
        self.assertEqual({"subscription": 4, "lost": 1}, self.errors())
        self.assertEqual([True, False], self.changes)
        self.assertEqual([2.0, 4.0, 8.0, 16.0], [high for _, high in self.bounds[:4]])

    def test_link_stays_down_when_the_answer_is_too_short(self) -> None:
        """A broker that answers for one of two topics has not granted both."""
        self.play(playing(accept, grant(1)))

        self.assertEqual([], self.changes)
        self.assertEqual({"subscription": 1}, self.errors())
        self.assertIn("/one, /two", self.lines("warn")[0])

    def test_changes_are_told_each_time(self) -> None:
        """Each link that comes up, and each that goes down, is told of in turn."""
        self.play(brief, brief, brief)

        self.assertEqual([True, False] * 3, self.changes)

    def test_loss_is_told_once_however_it_is_noticed(self) -> None:
        """It makes no difference whether callbacks tell of it, or one, or none, or an exception."""
        reported_once = lose_since("Unspecified error")
        losses = (lose, reported_once, give_up, break_down)
        self.play(*[playing(accept, granted, loss) for loss in losses])

        self.assertEqual([True, False] * 4, self.changes)
        self.assertEqual(4, len(self.lines("warn")[:4]))
        self.assertEqual({"lost": 3, "protocol": 1}, self.errors())

    def test_no_loss_is_told_when_link_was_not_up(self) -> None:
        """Attempts that fail, and connections without their subscriptions, are no losses."""
        self.play(unreachable(REFUSED), refused, not_granted, playing(accept), hangs_up)

        self.assertEqual([], self.changes)

    def test_connections_are_counted_when_accepted(self) -> None:
        """Connections count once the broker accepts them, whatever comes then."""
        self.play(brief, unreachable(REFUSED), not_granted, refused, brief)

        self.assertEqual((3, 3), (self.tallies.connections, self.tallies.failures))

    def test_network_thread_says_when_it_comes_round(self) -> None:
        """Connecting may take long, serving may not, and a pause as long as it takes."""
        seen: list[float] = []

        def script() -> Iterator[Event]:
            seen.append(self.link.due - self.now)
            yield self.passing(5.0, accept)
            seen.append(self.link.due - self.now)
            yield granted

        self.meanwhile = lambda: seen.append(self.link.due - self.now - self.pauses[-1])
        seen.append(self.link.due - self.now)
        self.now += 7.0
        self.play(script)

        self.assertEqual([CONNECT_PATIENCE, CONNECT_PATIENCE, SERVE_PATIENCE, SERVE_PATIENCE], seen)


class AttemptTests(LinkTestCase):
    """What happens between connections."""

    def test_waits_grow_to_their_maximum(self) -> None:
        """Waits double and stay at the maximum, for ever, with jitter from the minimum on."""
        self.play(*[unreachable(REFUSED)] * 100)

        lows, highs = zip(*self.bounds, strict=True)
        self.assertEqual({LEAST_BACKOFF}, set(lows))
        self.assertEqual((2.0, 4.0, 8.0, 16.0, *[MOST_BACKOFF] * 96), highs)
        self.assertEqual(100, self.tallies.failures)

    def test_waits_are_jittered(self) -> None:
        """The wait is what the jitter says."""
        self.play(*[unreachable(REFUSED)] * 3)

        self.assertEqual([1.5, 2.5, 4.5], self.pauses)
        self.assertEqual(
            [f"Next attempt in {delay:.1f} s" for delay in (1.5, 2.5, 4.5)], self.lines("debug")
        )

    def test_waits_start_small_again_after_success(self) -> None:
        """A connection that lasted makes the next waits short."""
        lasts = playing(accept, granted, self.passing(MOST_BACKOFF, lose))

        self.play(*[unreachable(REFUSED)] * 6, lasts, *[unreachable(REFUSED)] * 2)

        _, highs = zip(*self.bounds, strict=True)
        self.assertEqual((MOST_BACKOFF, 2.0, 2.0, 4.0), highs[5:])

    def test_waits_grow_when_connections_do_not_last(self) -> None:
        """A broker that grants everything and then hangs up is not tried in a busy loop."""
        short = playing(accept, granted, self.passing(MOST_BACKOFF - 0.1, lose))
        self.play(*[short] * 6)

        self.assertEqual([2.0, 4.0, 8.0, 16.0, 30.0, 30.0], [high for _, high in self.bounds])

    def test_refused_credentials_make_the_waits_grow(self) -> None:
        """The broker's log is not flooded."""
        self.play(*[refused] * 5)

        self.assertEqual([2.0, 4.0, 8.0, 16.0, 30.0], [high for _, high in self.bounds])

    def test_waits_are_random(self) -> None:
        """Between the two bounds: after an outage not all clients come at once."""
        parameters = inspect.signature(Link).parameters
        for _ in range(100):
            self.assertTrue(1.0 <= parameters["jitter"].default(1.0, 2.0) <= 2.0)

    def test_exception_ends_only_the_connection(self) -> None:
        """Whatever paho raises, the link goes down, is tried again and the cause is logged."""
        self.play(playing(accept, granted, break_down), brief)

        self.assertEqual(2, self.tallies.connections)
        self.assertEqual([True, False] * 2, self.changes)
        self.assertIn("a defect of paho", self.lines("warn")[0])

    def test_socket_is_closed_after_an_exception(self) -> None:
        """Paho leaves it open; nobody would close it before the next connection."""
        self.meanwhile = lambda: self.assertFalse(self.broker.connections[-1].is_open)
        self.play(playing(accept, granted, break_down))

    def test_exception_in_callback_ends_only_the_connection(self) -> None:
        """A topic that is not UTF-8 makes paho raise in the callback; the link survives."""

        def bad_topic(connection: Connection) -> None:
            connection.client.on_message(connection.client, None, MQTTMessage(0, b"/\xff"))

        self.play(playing(accept, granted, bad_topic), brief)

        self.assertEqual(2, self.tallies.connections)
        self.assertEqual({"protocol": 1, "lost": 1}, self.errors())


class FailureTests(LinkTestCase):
    """What is said and counted of each reason."""

    def assert_failed(
        self, reason: str, message: str, *, verb: str = "connect to", failures: int = 1
    ) -> None:
        """Assert that this was counted, said once, and is known as the last error."""
        self.assertEqual({reason: 1}, self.errors())
        self.assertEqual(failures, self.tallies.failures)
        self.assertEqual(LinkFailure(reason, message, self.now), self.tallies.last_error)
        line = f"Cannot {verb} broker.test:1883: {message}"
        if not failures:
            line = f"The connection to broker.test:1883 is lost: {message}"
        self.assertEqual([line], self.lines("warn", "error"))

    def test_every_reason_is_counted_from_the_start(self) -> None:
        """A reason that has not occurred has the count 0, and there is no last error."""
        self.assertEqual(dict.fromkeys(REASONS, 0), self.tallies.errors)
        self.assertIsNone(self.tallies.last_error)

    def test_dns(self) -> None:
        """A name that nobody knows is one that cannot be resolved."""
        self.play(unreachable(socket.gaierror(-2, "Name or service not known")))

        self.assert_failed("dns", "its name cannot be resolved: Name or service not known")

    def test_dns_that_is_not_even_asked(self) -> None:
        """A name that no resolver takes is no defect of ours, nor of the session."""
        self.play(*[unreachable(UnicodeError("label too long"))] * MOST_BREAKDOWNS, brief)

        self.assertEqual({"dns": MOST_BREAKDOWNS, "lost": 1}, self.errors())
        self.assertIs(self.broker.connections[-1].clean_start, False)

    def test_unreachable(self) -> None:
        """A port where nobody listens cannot be connected to."""
        self.play(unreachable(REFUSED))

        self.assert_failed("unreachable", "Connection refused")

    def test_tls(self) -> None:
        """A certificate that is not accepted is a matter of TLS."""
        error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] long")
        error.verify_message = "certificate has expired"
        self.play(unreachable(error))

        self.assert_failed("tls", "its certificate is not accepted: certificate has expired")

    def test_tls_files(self) -> None:
        """So is a file of ours that cannot be used any more."""
        self.play(unreachable(BrokerError("--mqtt.ca-file: /ca.pem: Permission denied")))

        self.assert_failed("tls", "--mqtt.ca-file: /ca.pem: Permission denied")

    def test_credentials_that_are_refused(self) -> None:
        """The broker does not know the user, or the password is wrong."""
        self.play(refused)

        self.assert_failed("credentials", "it refused the connection: Not authorized")

    def test_credentials_that_cannot_be_read(self) -> None:
        """Nothing is connected without them."""
        path = Path("/does/not/exist")
        self.link = self.make(username="joe", password_file=path)
        self.link.run()

        self.assertEqual([], self.broker.connections)
        self.assert_failed(
            "credentials", "--mqtt.password-file: /does/not/exist: No such file or directory"
        )

    def test_refused(self) -> None:
        """A broker may have other reasons to let nobody in."""
        self.play(playing(refuse_since("Server unavailable")))

        self.assert_failed("refused", "it refused the connection: Server unavailable")

    def test_silent_instead_of_an_answer(self) -> None:
        """A broker that does not answer CONNECT in time is left."""
        self.play(playing(self.passing(ANSWER_TIMEOUT - 0.1), self.passing(0.1)))

        self.assert_failed("silent", "no answer within 10 s")

    def test_silent_instead_of_a_grant(self) -> None:
        """Likewise one that does not answer SUBSCRIBE, which has a time of its own."""
        late = self.passing(ANSWER_TIMEOUT - 0.1, accept)
        self.play(playing(late, self.passing(ANSWER_TIMEOUT - 0.1), self.passing(0.1)))

        self.assert_failed("silent", "no answer within 10 s", verb="use")

    def test_link_that_is_up_may_be_silent(self) -> None:
        """Nothing more is awaited then; paho sees to the keepalive."""
        self.play(playing(accept, granted, self.passing(100 * ANSWER_TIMEOUT), idle))

        self.assertEqual({"lost": 1}, self.errors())

    def test_hung_up(self) -> None:
        """The connection ends where an answer was awaited."""
        self.play(playing(idle, lose))

        self.assert_failed("hung_up", "it hung up instead of an answer")

    def test_hung_up_with_a_reason(self) -> None:
        """What the socket said is there, but no more than that."""
        said = log("failed to receive on socket: [Errno 104] Connection reset by peer")
        self.play(playing(said, log("Received CONNACK", PahoLevel.MQTT_LOG_DEBUG), lose))

        self.assert_failed(
            "hung_up",
            "it hung up instead of an answer "
            "(failed to receive on socket: [Errno 104] Connection reset by peer)",
        )

    def test_refused_certificate_says_nothing_of_the_version(self) -> None:
        """The broker has not seen which version of MQTT we speak."""
        alert = log("failed to receive on socket: [SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] long")
        self.play(playing(alert, lose), playing(alert, lose))

        self.assertEqual({"tls": 2}, self.errors())
        self.assertEqual([V5], [client.protocol for client in self.broker.clients])

    def test_hung_up_without_the_reason_of_another(self) -> None:
        """What the socket of an earlier connection said is forgotten."""
        self.play(playing(log("reset"), lose), hangs_up)

        self.assertEqual(2, self.tallies.errors["hung_up"])
        assert self.tallies.last_error is not None
        self.assertEqual("it hung up instead of an answer", self.tallies.last_error.message)

    def test_hung_up_without_a_word_of_paho(self) -> None:
        """The value that its loop returns is enough."""
        self.play(playing(give_up))

        self.assert_failed("hung_up", "it hung up")

    def test_log_is_not_listened_to_when_connected(self) -> None:
        """That takes time for each message."""

        def script() -> Iterator[Event]:
            (client,) = self.broker.clients
            self.assertIsNotNone(client.on_log)
            yield accept
            self.assertIsNone(client.on_log)
            yield granted

        self.play(script)

    def test_subscription(self) -> None:
        """The broker lets us in, but not hear all."""
        self.play(not_granted)

        self.assert_failed("subscription", "it refused the subscription to /two", verb="use")

    def test_lost(self) -> None:
        """The connection ends without a word; that is no failure to connect."""
        self.play(brief)

        self.assert_failed("lost", "it hung up, or the network did", failures=0)

    def test_lost_before_a_grant(self) -> None:
        """It was no link yet: that is a failure to connect."""
        self.play(playing(accept, lose))

        self.assert_failed("lost", "it hung up, or the network did", verb="use")

    def test_lost_without_a_word_of_paho(self) -> None:
        """The value that its loop returns is enough."""
        self.play(playing(accept, granted, give_up))

        self.assert_failed("lost", "it hung up", failures=0)

    def test_timeout(self) -> None:
        """The broker does not answer PINGREQ."""
        code = MQTTErrorCode.MQTT_ERR_KEEPALIVE
        self.play(playing(accept, granted, lose_since("Keep alive timeout", code)))

        self.assert_failed("timeout", "it gave no sign of life", failures=0)

    def test_closed(self) -> None:
        """The broker says why it ends the connection."""
        self.play(playing(accept, granted, dismiss("Server shutting down")))

        self.assert_failed("closed", "it disconnected us: Server shutting down", failures=0)

    def test_closed_before_it_is_accepted(self) -> None:
        """Who says why does not hang up: it is no reason to doubt the version."""
        self.play(playing(dismiss("Server busy")), brief)

        self.assertEqual({"closed": 1, "lost": 1}, self.errors())
        self.assertEqual(["5", "5"], self.versions())

    def test_taken_over(self) -> None:
        """Another client has our id, and the broker says so."""
        self.play(playing(accept, granted, dismiss("Session taken over")))

        self.assert_failed(
            "taken_over",
            "another client with the same --mqtt.client-id has connected",
            failures=0,
        )

    def test_lost_under_a_fixed_id(self) -> None:
        """Many brokers do not say that another client has it: the line reminds of that."""
        self.link = self.make(client_id="me")
        self.play(brief)

        self.assert_failed(
            "lost",
            "it hung up, or the network did, "
            "or another client with the same --mqtt.client-id has connected",
            failures=0,
        )

    def test_protocol(self) -> None:
        """Paho sees that what came is no packet."""
        code = MQTTErrorCode.MQTT_ERR_PROTOCOL
        self.play(playing(accept, granted, lose_since("Protocol error", code)))

        self.assert_failed("protocol", "what came is not MQTT", failures=0)

    def test_protocol_when_paho_raises(self) -> None:
        """What paho cannot read may make it raise."""
        self.play(playing(accept, granted, break_down))

        self.assert_failed(
            "protocol",
            "what came cannot be read: RuntimeError('a defect of paho')",
            failures=0,
        )

    def test_error_of_the_system(self) -> None:
        """It is not the broker's, nor that of what came: the session stays, whatever it is."""
        error = OSError(24, "Too many open files")
        self.play(playing(accept, granted, fail_since(error)))
        self.assert_failed("unreachable", "Too many open files", failures=0)

        for broken in (error, TimeoutError()):
            self.setUp()
            self.play(*[playing(resume, fail_since(broken))] * 2 * MOST_BREAKDOWNS)
            self.assertEqual({"unreachable": 2 * MOST_BREAKDOWNS}, self.errors())
            clean = {connection.clean_start for connection in self.broker.connections}
            self.assertEqual({False}, clean)
        assert self.tallies.last_error is not None
        self.assertEqual("TimeoutError()", self.tallies.last_error.message)

    def test_first_reason_counts(self) -> None:
        """What comes after a reason is known is its consequence."""

        def dismissed_and_lost(connection: Connection) -> MQTTErrorCode:
            dismiss("Administrative action")(connection)
            return lose(connection)

        self.play(playing(accept, granted, dismissed_and_lost))

        self.assert_failed("closed", "it disconnected us: Administrative action", failures=0)

    def test_nothing_is_counted_or_said_while_stopping(self) -> None:
        """Whatever ends the last connection, nobody waits for it any more."""

        def ended(event: Event) -> Event:
            def stop_first(connection: Connection) -> MQTTErrorCode | None:
                self.link.stop()
                return event(connection)

            return stop_first

        for event in (lose, give_up, break_down, dismiss("Server shutting down")):
            self.setUp()
            self.play(playing(accept, granted, ended(event)))

            self.assertEqual({}, self.errors())
            self.assertEqual(0, self.tallies.failures)
            self.assertIsNone(self.tallies.last_error)
            self.assertEqual([], self.lines("warn", "error"))
            self.assertEqual([], self.lines("debug"))  # there is no next attempt
            self.assertEqual([True, False], self.changes)


class VersionTests(LinkTestCase):
    """Which version of MQTT is spoken."""

    def test_5_is_spoken_first(self) -> None:
        """And stays, when the broker accepts it; all links use one client."""
        self.assertEqual("", self.link.version)

        def script() -> Iterator[Event]:
            yield accept
            self.assertEqual("5", self.link.version)
            yield granted

        self.play(script, unreachable(REFUSED), hangs_up, script)

        self.assertEqual(["5"] * 4, self.versions())
        self.assertEqual(1, len(self.broker.clients))
        self.assertEqual("Connected to broker.test:1883, MQTT 5", self.lines("info")[0])

    def test_3_1_1_is_spoken_when_5_is_refused(self) -> None:
        """At once, and that is no failure; it stays so."""
        self.play(playing(UNKNOWN_VERSION), brief, hangs_up, brief)

        self.assertEqual(["5", "3.1.1", "3.1.1", "3.1.1"], self.versions())
        self.assertEqual({"lost": 2, "hung_up": 1}, self.errors())
        self.assertEqual(3, len(self.pauses))
        self.assertEqual("3.1.1", self.link.version)
        self.assertEqual("Connected to broker.test:1883, MQTT 3.1.1", self.lines("info")[0])

    def test_3_1_1_that_is_refused_too(self) -> None:
        """There is no other version: that is an error, and tried again in this one."""
        self.play(playing(UNKNOWN_VERSION), playing(UNKNOWN_VERSION), playing(UNKNOWN_VERSION))

        self.assertEqual(["5", "3.1.1", "3.1.1"], self.versions())
        self.assertEqual({"refused": 2}, self.errors())
        self.assertEqual(2, len(self.pauses))

    def test_versions_alternate_when_the_broker_says_nothing(self) -> None:
        """A broker that does not know 5 may wait for more of it."""
        silent = playing(self.passing(ANSWER_TIMEOUT))
        self.play(silent, silent, hangs_up, playing(accept), brief)

        self.assertEqual(["5", "3.1.1", "5", "3.1.1", "5"], self.versions())

    def test_version_stays_when_a_subscription_is_not_answered(self) -> None:
        """Who has accepted the connection knows the version."""
        self.play(*[playing(accept, self.passing(ANSWER_TIMEOUT))] * 2)

        self.assertEqual(["5", "5"], self.versions())

    def test_versions_alternate_when_the_broker_hangs_up(self) -> None:
        """It may not know 5, or be away behind a proxy."""
        self.play(*[hangs_up] * 4)

        self.assertEqual(["5", "3.1.1", "5", "3.1.1"], self.versions())
        self.assertEqual({"hung_up": 4}, self.errors())

    def test_5_is_tried_once_more_when_3_1_1_is_accepted(self) -> None:
        """The proxy's broker may have come back meanwhile: no pause, and no connection counted."""
        self.play(hangs_up, playing(accept), brief)

        self.assertEqual(["5", "3.1.1", "5"], self.versions())
        self.assertEqual(1, self.tallies.connections)
        self.assertEqual({"hung_up": 1, "lost": 1}, self.errors())
        self.assertEqual(2, len(self.pauses))
        self.assertEqual(["Connected to broker.test:1883, MQTT 5"], self.lines("info"))

    def test_3_1_1_stays_when_the_broker_hangs_up_on_5_again(self) -> None:
        """Then it is the broker that does not know 5."""
        self.play(hangs_up, playing(accept), hangs_up, brief, hangs_up, brief)

        self.assertEqual(["5", "3.1.1", "5", "3.1.1", "3.1.1", "3.1.1"], self.versions())
        self.assertEqual(2, self.tallies.connections)

    def test_version_does_not_change_for_other_reasons(self) -> None:
        """Only who does not answer may have meant the version."""
        self.play(
            unreachable(REFUSED),
            refused,
            not_granted,
            playing(break_down),
        )

        self.assertEqual(["5"] * 4, self.versions())

    def test_version_that_is_given(self) -> None:
        """It is the only one that is tried, whatever the broker says."""
        self.link = self.make(version="3.1.1")
        self.play(brief)
        self.assertEqual(["3.1.1"], self.versions())
        self.setUp()
        self.link = self.make(version="5")
        self.play(playing(UNKNOWN_VERSION), hangs_up, brief)

        self.assertEqual(["5"] * 3, self.versions())
        self.assertEqual({"refused": 1, "hung_up": 1, "lost": 1}, self.errors())

    def test_versions_are_those_of_the_link_before(self) -> None:
        """A link that takes the place of another need not ask the same broker again."""
        self.play(playing(UNKNOWN_VERSION), brief)
        self.link = self.make()
        self.play(brief)

        self.assertEqual(["5", "3.1.1", "3.1.1"], self.versions())


class SessionTests(LinkTestCase):
    """What the broker keeps for us."""

    LOST = (
        "Connected to broker.test:1883 again after 42.5 s; "
        "test results that were published meanwhile are lost"
    )

    def test_broker_is_asked_to_keep_the_session(self) -> None:
        """For as long as the settings say, also under a random id, at each connection."""
        self.link = self.make(session_expiry=1234.5)
        self.play(brief, brief)

        for connection in self.broker.connections:
            self.assertEqual((False, 1234), (connection.clean_start, connection.session_expiry))
            self.assertIsNone(connection.options["clean_session"])

    def test_our_half_of_the_session_is_kept(self) -> None:
        """Paho's client has it, so the same one serves the next connection."""
        self.play(brief, unreachable(REFUSED), brief, refused, playing(accept, break_down), brief)

        self.assertEqual(1, len(self.broker.clients))

    def test_session_of_3_1_1_under_a_random_id(self) -> None:
        """It would be kept for ever, and nobody would come back for it."""
        self.play(playing(UNKNOWN_VERSION), brief, brief)

        self.assertIs(self.broker.connections[1].options["clean_session"], True)
        self.assertIs(self.broker.connections[1].client, self.broker.connections[2].client)
        self.assertIsNone(self.broker.connections[1].clean_start)

    def test_session_of_3_1_1_under_a_fixed_id(self) -> None:
        """It is kept, for we come back to it."""
        self.link = self.make(client_id="me")
        self.play(playing(UNKNOWN_VERSION), brief, brief)

        self.assertIs(self.broker.connections[1].options["clean_session"], False)
        self.assertEqual("me", self.broker.connections[1].options["client_id"])
        self.assertIs(self.broker.connections[1].client, self.broker.connections[2].client)

    def after_a_loss(self, answer: Event) -> None:
        """Come up, lose the connection, and get this answer 42.5 s later."""
        self.meanwhile = lambda: setattr(self, "now", self.now + 42.5)
        self.play(brief, playing(answer, granted))

    def test_session_that_was_kept(self) -> None:
        """Nothing is lost, which is worth a line with the length of the outage."""
        self.after_a_loss(resume)

        self.assertEqual(0, self.tallies.sessions_lost)
        self.assertEqual(
            "Connected to broker.test:1883 again after 42.5 s; "
            "test results that were published meanwhile were kept",
            self.lines("info")[1],
        )
        self.assertEqual([], [line for line in self.lines("warn") if "again" in line])

    def test_session_that_was_lost(self) -> None:
        """It is counted and warned of."""
        self.after_a_loss(accept)

        self.assertEqual(1, self.tallies.sessions_lost)
        self.assertIn(self.LOST, self.lines("warn"))
        self.assertEqual(1, len(self.lines("info")))

    def test_session_that_could_not_be_kept(self) -> None:
        """In 3.1.1 under a random id the line says what helps."""
        self.meanwhile = lambda: setattr(self, "now", self.now + 42.5)
        self.play(playing(UNKNOWN_VERSION), brief, brief)

        self.assertEqual(1, self.tallies.sessions_lost)
        self.assertIn(f"{self.LOST}; give --mqtt.client-id to have them kept", self.lines("warn"))

    def test_first_connection_loses_nothing(self) -> None:
        """There was no session before, whatever it took to come up."""
        self.play(unreachable(REFUSED), refused, hangs_up, hangs_up, brief)

        self.assertEqual(0, self.tallies.sessions_lost)

    def test_first_connection_finds_a_session(self) -> None:
        """Under a fixed id, that of an earlier process, which is worth more words."""
        self.link = self.make(client_id="me")
        self.play(playing(resume, granted))

        self.assertEqual(
            ["Connected to broker.test:1883, MQTT 5; "
             "test results that were published before were kept"],
            self.lines("info"),
        )  # fmt: skip

    def test_first_connection_finds_no_session(self) -> None:
        """Under a fixed id there may have been one; it is no loss that is known of."""
        self.link = self.make(client_id="me")
        self.play(brief)

        self.assertEqual(
            ["Connected to broker.test:1883, MQTT 5; "
             "it has kept nothing for this --mqtt.client-id"],
            self.lines("info"),
        )  # fmt: skip
        self.assertEqual(0, self.tallies.sessions_lost)

    def kept_for(self, seconds: int, **broker: Any) -> list[str]:
        """Give what is warned of when the broker keeps a session so long."""
        self.link = self.make(session_expiry=3600.5, **broker)
        self.play(playing(accept_for(seconds), granted))
        return [line for line in self.lines("warn") if "keeps" in line]

    def test_session_that_is_kept_for_less_than_asked(self) -> None:
        """Longer outages lose results, which nobody else would say."""
        line = "broker.test:1883 keeps a session for {} s only"
        for seconds in (0, 60, 3599):
            self.setUp()
            self.assertEqual([line.format(seconds)], self.kept_for(seconds))

    def test_session_that_is_kept_for_as_long_as_asked(self) -> None:
        """Or for longer: that is worth no line, nor is what the broker does not say."""
        for seconds in (3600, 7200):
            self.setUp()
            self.assertEqual([], self.kept_for(seconds))
        self.setUp()
        self.play(brief)
        self.assertEqual(1, len(self.lines("warn")))  # the loss at the end

    def meanwhile_lines(self) -> list[str]:
        """Give for each connection but the first what became of results."""
        return [line.rpartition(" ")[2] for _, line in self.said if "meanwhile" in line]

    def cut_short(self, *scripts: Script) -> tuple[int, list[str]]:
        """Give what was lost and said in these connections."""
        self.play(*scripts)
        return self.tallies.sessions_lost, self.meanwhile_lines()

    def test_session_without_subscriptions_holds_nothing(self) -> None:
        """The first connection was cut before that: nothing is said to be kept, nor to be lost."""
        self.assertEqual(
            (0, ["kept"]),
            self.cut_short(
                playing(accept, lose), playing(resume, granted), playing(resume, granted)
            ),
        )
        (first, second, _) = [line for line in self.lines("info") if "Connected" in line]
        self.assertEqual(first, second)

    def test_session_without_subscriptions_after_a_lost_one(self) -> None:
        """That connection was cut: what was published after it is lost, too."""
        self.assertEqual(
            (3, ["lost", "lost", "lost", "kept"]),
            self.cut_short(
                brief,
                playing(accept, lose),
                playing(resume, lose),
                playing(resume, granted),
                playing(resume, granted),
            ),
        )

    def test_session_with_subscriptions_holds_them(self) -> None:
        """Though a connection that went on with it was cut before they were granted again."""
        self.assertEqual(
            (0, ["kept", "kept"]),
            self.cut_short(brief, playing(resume, lose), playing(resume, granted)),
        )

    def test_session_of_an_earlier_process_holds_its_subscriptions(self) -> None:
        """Who found it at the first connection need not have them granted."""
        self.link = self.make(client_id="me")
        self.assertEqual((0, []), self.cut_short(playing(resume, lose), playing(resume, granted)))
        lines = [line for line in self.lines("info") if "Connected" in line]
        self.assertEqual(2, len([line for line in lines if "before were kept" in line]))

    def test_outage_is_as_long_as_there_was_no_link(self) -> None:
        """Attempts in between, and connections that did not come up, do not end it."""
        self.meanwhile = lambda: setattr(self, "now", self.now + 10.0)
        self.play(brief, unreachable(REFUSED), not_granted, brief, brief)

        outages = [line.split(" s;")[0][-4:] for line in self.lines("warn") if "again" in line]
        self.assertEqual(["20.0", "30.0", "10.0"], outages)
        self.assertEqual(3, self.tallies.sessions_lost)

    def test_connection_that_did_not_come_up_was_none(self) -> None:
        """Before the first subscription, what is published is nobody's."""
        self.play(not_granted, brief)

        self.assertEqual(0, self.tallies.sessions_lost)

    def test_session_counts_over_all_links(self) -> None:
        """A link that takes the place of another goes on with its session."""
        self.play(brief)
        self.now += 42.5
        self.link = self.make()
        self.play(brief)

        self.assertEqual(1, self.tallies.sessions_lost)
        self.assertIn(self.LOST, self.lines("warn"))

    def test_session_is_given_up_when_it_breaks_paho(self) -> None:
        """After some exceptions in a row it starts anew, with a new client; then counting, too."""
        poisoned = playing(resume, break_down)
        self.play(*[poisoned] * MOST_BREAKDOWNS, *[poisoned] * MOST_BREAKDOWNS, brief)

        clean = [connection.clean_start for connection in self.broker.connections]
        self.assertEqual([False, False, False, True, False, False, True], clean)
        self.assertEqual(3, len(self.broker.clients))
        first, *_, last = (connection.client for connection in self.broker.connections)
        self.assertIsNot(first, last)

    def test_session_is_given_up_when_paho_cannot_read_what_comes(self) -> None:
        """It makes no difference whether paho raises or says so."""
        code = MQTTErrorCode.MQTT_ERR_PROTOCOL
        unreadable = playing(resume, lose_since("Protocol error", code))
        self.play(unreadable, playing(resume, break_down), unreadable, brief, brief)

        clean = [connection.clean_start for connection in self.broker.connections]
        self.assertEqual([False, False, False, True, False], clean)
        self.assertEqual({"protocol": 3, "lost": 2}, self.errors())

    def test_session_is_not_given_up_for_another_reason(self) -> None:
        """However often the connection ends."""
        self.play(*[playing(resume, lose), refused, not_granted] * MOST_BREAKDOWNS, brief)

        clean = {connection.clean_start for connection in self.broker.connections}
        self.assertEqual({False}, clean)

    def retain_handling(self) -> list[list[int | None]]:
        """Give for each connection what was asked of retained messages for each topic."""
        asked = [
            packet[1]
            for connection in self.broker.connections
            for packet in connection.written
            if packet[0] == "subscribe" and len(packet[1]) == len(SUBSCRIPTIONS)
        ]
        return [
            [
                options.retainHandling if isinstance(options, SubscribeOptions) else None
                for _, options in topics
            ]
            for topics in asked
        ]

    def test_retained_messages_are_given_up_with_the_session(self) -> None:
        """What breaks paho may be one of them; from then on, none is asked for."""
        poisoned = playing(accept, break_down)
        self.play(*[poisoned] * MOST_BREAKDOWNS, unreachable(REFUSED), brief, brief)

        none = [SubscribeOptions.RETAIN_DO_NOT_SEND] * 2
        self.assertEqual([[None, None]] * MOST_BREAKDOWNS, self.retain_handling()[:-2])
        self.assertEqual([none, none], self.retain_handling()[-2:])

    def test_session_is_given_up_when_next_the_broker_is_reached(self) -> None:
        """An attempt that reaches nobody has given up nothing."""
        poisoned = playing(resume, break_down)
        self.play(*[poisoned] * MOST_BREAKDOWNS, unreachable(REFUSED), refused, brief, brief)

        clean = [connection.clean_start for connection in self.broker.connections]
        self.assertEqual([True, True, False], clean[-3:])

    def test_exceptions_that_are_far_apart_are_not_in_a_row(self) -> None:
        """A connection that lasted shows that the session does not hold what breaks paho."""
        poisoned = playing(resume, break_down)
        lasting = playing(resume, granted, self.passing(MOST_BACKOFF, break_down))
        self.play(poisoned, poisoned, lasting, poisoned, poisoned, brief)

        clean = {connection.clean_start for connection in self.broker.connections}
        self.assertEqual({False}, clean)

    def test_exceptions_of_short_connections_are_in_a_row(self) -> None:
        """It makes no difference whether the link was up in between."""
        poisoned = playing(resume, granted, self.passing(MOST_BACKOFF - 0.1, break_down))
        self.play(poisoned, brief, poisoned, poisoned, brief)

        self.assertIs(self.broker.connections[-1].clean_start, True)

    def test_session_of_3_1_1_is_given_up_once(self) -> None:
        """The client that keeps no session serves one connection, and no more."""
        self.link = self.make(client_id="me")
        poisoned = playing(resume, break_down)
        self.play(playing(UNKNOWN_VERSION), *[poisoned] * MOST_BREAKDOWNS, brief, brief, brief)

        clean = [connection.options["clean_session"] for connection in self.broker.connections]
        self.assertEqual([None, False, False, False, True, False, False], clean)


class SecurityTests(LinkTestCase):
    """Who we are to the broker, and how it is spoken to."""

    def test_nobody(self) -> None:
        """Without a user name, none is given."""
        self.play(brief)

        self.assertIsNone(self.broker.connections[0].credentials)
        self.assertIsNone(self.broker.connections[0].client.tls_context)

    def test_credentials_are_read_at_each_connection(self) -> None:
        """A password that was changed takes no restart; one that cannot be read, no connection."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = Path(folder.name, "password")
        path.write_text("one\n")
        texts = iter(("two\n", None, "three\n", None))

        def change() -> None:
            text = next(texts)
            if text is None:
                path.unlink()
            else:
                path.write_text(text)

        self.meanwhile = change
        self.link = self.make(username="joe", password_file=path)
        self.play(brief, brief, brief)

        self.assertEqual(
            [("joe", "one"), ("joe", "two"), ("joe", "three")],
            [connection.credentials for connection in self.broker.connections],
        )
        self.assertEqual({"lost": 3, "credentials": 1}, self.errors())

    def contexts(self, **broker: Any) -> list[Any]:
        """Have the TLS contexts be recorded that are made for a broker."""
        made: list[Any] = []

        def tls_context(_broker: Broker) -> Any:
            number = len(made)
            made.append(
                SimpleNamespace(wrap_socket=lambda *args, **options: (number, args, options))
            )
            return made[-1]

        self.patch(Broker, "tls_context", tls_context)
        self.link = self.make(tls=True, **broker)
        return made

    def test_certificates_are_read_at_each_connection(self) -> None:
        """Paho takes one context for all connections, and that makes one for each."""
        made = self.contexts()
        wrapped: list[Any] = []

        def script() -> Iterator[Event]:
            context = self.broker.clients[0].tls_context
            wrapped.append(context.wrap_socket("socket", server_hostname="broker.test"))
            yield from brief()

        self.play(script, script)

        options = {"server_hostname": "broker.test"}
        self.assertEqual([(0, ("socket",), options), (1, ("socket",), options)], wrapped)
        self.assertEqual(2, len(made))

    def test_host_name_is_checked_unless_told_otherwise(self) -> None:
        """Paho checks it itself where the context says that it does not."""
        for insecure in (False, True):
            self.setUp()
            self.contexts(insecure=insecure)
            self.play(brief)

            self.assertIs(self.broker.clients[0].tls_context.check_hostname, not insecure)


class GoodbyeTests(LinkTestCase):
    """The end of the link."""

    def stopped_when_up(self) -> None:
        def script() -> Iterator[Event]:
            yield from brief()
            self.link.stop()

        self.play(script)

    def test_session_of_a_random_id_is_ended(self) -> None:
        """Nobody comes back to it."""
        self.stopped_when_up()

        self.assertEqual([("disconnect", 0)], self.goodbyes())

    def test_session_of_a_fixed_id_is_not_ended(self) -> None:
        """The next process comes back to it."""
        self.link = self.make(client_id="me")
        self.stopped_when_up()

        self.assertEqual([("disconnect", None)], self.goodbyes())

    def test_session_of_3_1_1_has_no_end_of_its_own(self) -> None:
        """DISCONNECT has no properties there."""

        def script() -> Iterator[Event]:
            yield from brief()
            self.link.stop()

        self.play(playing(UNKNOWN_VERSION), script)

        self.assertEqual([("disconnect", None)], self.goodbyes())

    def test_nothing_connects_when_stopped_before_the_thread_runs(self) -> None:
        """A thread that begins after the stop ends without a connection."""
        self.link.stop()
        self.link.run()

        self.assertEqual([], self.broker.clients)

    def test_broker_is_told_when_stopped_while_connecting(self) -> None:
        """A connection that comes about after the stop is closed politely, and unused."""

        def script() -> Iterator[Event]:
            self.link.stop()
            yield from ()

        self.play(script)

        self.assertEqual(["connect", "disconnect"], self.written())
        self.assertEqual(0, self.tallies.connections)

    def test_no_attempt_follows_when_stopped_while_connecting_fails(self) -> None:
        """An attempt that fails after the stop is the last, and no failure."""

        def script() -> Iterator[Event]:
            self.link.stop()
            yield from ()
            raise REFUSED

        self.play(script)

        self.assertEqual({}, self.errors())

    def test_no_other_version_is_tried_after_the_stop(self) -> None:
        """Not even at once."""

        def refused_at_last(connection: Connection) -> MQTTErrorCode | None:
            self.link.stop()
            return UNKNOWN_VERSION(connection)

        self.play(playing(refused_at_last))

        self.assertEqual(["5"], self.versions())

    def test_broker_is_told_when_stopped_before_it_answers(self) -> None:
        """A stop between CONNECT and its answer says goodbye, too."""

        def script() -> Iterator[Event]:
            yield idle
            self.link.stop()

        self.play(script)

        self.assertEqual(["connect", "disconnect"], self.written())

    def test_broker_is_told_when_stopped_while_connected(self) -> None:
        """DISCONNECT is written last and once; it is not logged as a loss."""
        self.stopped_when_up()

        self.assertEqual(["connect", "subscribe", "subscribe", "disconnect"], self.written())
        self.assertEqual([], self.lines("warn"))
        self.assertEqual([True, False], self.changes)
        self.assertFalse(self.link.up)

    def test_requests_go_out_before_the_goodbye(self) -> None:
        """What was published before the stop is not lost by it."""

        def script() -> Iterator[Event]:
            yield from brief()
            self.link.publish("/x", b"x")
            self.link.stop()

        self.play(script)

        self.assertEqual(["publish", "disconnect"], self.written()[-2:])

    def test_broker_is_told_when_no_loop_follows_the_stop(self) -> None:
        """The network thread says goodbye itself if it sees the stop before the request."""

        def during_the_callback(connection: Connection) -> None:
            granted(connection)
            self.link.stop()

        self.play(playing(accept, during_the_callback))

        self.assertEqual("disconnect", self.written()[-1])
        self.assertEqual(1, self.written().count("disconnect"))

    def test_nothing_reconnects_after_the_stop(self) -> None:
        """A loss at the moment of the stop is not followed by an attempt."""

        def losing(connection: Connection) -> MQTTErrorCode | None:
            self.link.stop()
            return lose(connection)

        self.play(playing(accept, granted, losing))

        self.assertEqual(1, len(self.broker.connections))

    def test_abandoned_link_says_nothing(self) -> None:
        """Another one goes on with the session: a goodbye would end that one's."""

        def script() -> Iterator[Event]:
            yield from brief()
            self.link.abandon()

        self.play(script)

        self.assertEqual(["connect", "subscribe", "subscribe"], self.written())
        self.assertFalse(self.broker.connections[0].is_open)
        self.assertEqual([], self.lines("warn"))

    def test_goodbye_is_read_before_the_socket_is_closed(self) -> None:
        """Else the broker may find the connection reset, and take it for a loss."""
        self.stopped_when_up()

        self.assertEqual([f"shutdown {socket.SHUT_WR}", "recv"], self.broker.connections[0].endings)
        self.assertFalse(self.broker.connections[0].is_open)

    def test_socket_is_just_closed_when_nobody_stops(self) -> None:
        """There is no goodbye that is to be read, so nothing is waited for."""
        self.play(brief, playing(accept, granted, break_down), brief)

        self.assertEqual([[]] * 3, [each.endings for each in self.broker.connections])

    def test_socket_is_just_closed_when_the_broker_has_not_answered(self) -> None:
        """It may never read."""

        def script() -> Iterator[Event]:
            yield idle
            self.link.stop()

        self.play(script)

        self.assertEqual([], self.broker.connections[0].endings)

    def test_socket_is_just_closed_when_the_link_is_abandoned(self) -> None:
        """The thread that comes back late has nothing to wait for."""

        def losing(connection: Connection) -> MQTTErrorCode | None:
            self.link.abandon()
            return lose(connection)

        self.play(playing(accept, granted, losing))

        self.assertEqual([], self.broker.connections[0].endings)

    def test_outage_begins_when_the_link_is_abandoned(self) -> None:
        """And not when the thread that hangs in it comes back, long after."""

        def script() -> Iterator[Event]:
            yield from brief()
            self.link.abandon()
            self.now += 500.0

        self.play(script)
        self.assertEqual(1000.0, self.tallies.lost_at)


class DeliveryTests(LinkTestCase):
    """What comes."""

    def test_delivery_has_all_of_the_message(self) -> None:
        """Topic, payload, the broker's retained flag, the time of the callback, and the QoS."""
        self.play(
            playing(
                accept,
                granted,
                deliver("/one", b"a", b"b"),
                self.passing(0.5, deliver("/two", b"", retained=True, qos=2)),
            )
        )

        self.assertEqual(
            [
                Delivery("/one", b"a", False, 1000.0, 0),
                Delivery("/one", b"b", False, 1000.0, 0),
                Delivery("/two", b"", True, 1000.5, 2),
            ],
            self.deliveries,
        )

    def test_payload_is_bytes_whatever_paho_gives(self) -> None:
        """Paho hands over a bytearray; nobody can change what was delivered."""
        self.play(playing(accept, granted, deliver("/one", bytearray(b"a"))))

        self.assertEqual([bytes], [type(payload) for payload in self.payloads()])

    def test_long_payload_is_cut(self) -> None:
        """Of a payload that is too long there is just enough to see that; all of it counts."""
        long = deliver("/one", b"x" * (LONGEST + 1000), b"y" * LONGEST)
        self.play(playing(accept, granted, long))

        self.assertEqual([LONGEST + 1, LONGEST], [len(each) for each in self.payloads()])
        self.assertEqual(2 * LONGEST + 1000, self.tallies.received_bytes)


class BurstTests(LinkTestCase):
    """Messages that come together."""

    def calls(self) -> list[str]:
        """Give which of paho's methods were called for the packets behind the first two."""
        (connection,) = self.broker.connections
        return connection.calls[2:]

    def test_more_are_taken_in_without_waiting(self) -> None:
        """Until one call gives none: paho waits before each packet, or takes in only one."""
        self.play(playing(accept, granted, deliver("/one", b"a", b"b", b"c")))

        self.assertEqual([b"a", b"b", b"c"], self.payloads())
        self.assertEqual(["loop", *["loop_read"] * 3, "loop"], self.calls())

    def test_nothing_more_is_expected_where_no_message_came(self) -> None:
        """What is no message comes alone; the next thing is waited for."""
        several = together(deliver("/one", b"a"), idle, deliver("/one", b"b"))
        self.play(playing(accept, granted, idle, several))

        self.assertEqual(["loop", *["loop", "loop_read"] * 2, "loop"], self.calls())
        self.assertEqual([b"a", b"b"], self.payloads())

    def test_other_work_is_done_in_between(self) -> None:
        """However many come, requests go out after so many of them."""
        self.play(playing(accept, granted, deliver("/one", *[b"x"] * (2 * BURST + 5))))

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
        self.play(playing(accept, granted, together(deliver("/one", b"a"), lose)), brief)

        self.assertEqual([b"a"], self.payloads())
        self.assertEqual((2, 1), (self.tallies.connections, self.tallies.received_bytes))
        self.assertEqual([True, False] * 2, self.changes)


class DropsTests(LinkTestCase):
    """What the broker says that it dropped."""

    def drops(self, *payloads: bytes, after: float = 0.0) -> list[Event]:
        return [self.passing(after, deliver(drops.TOPIC, payload)) for payload in payloads]

    def warnings(self) -> list[str]:
        return [line.partition(" dropped ")[2] for line in self.lines("warn") if "dropped" in line]

    def said_of(self, *events: Event) -> list[str]:
        """Give what is warned of in a connection where this comes."""
        self.play(playing(accept, granted, *events))
        return self.warnings()

    def test_broker_is_asked_when_the_link_is_up(self) -> None:
        """Not before: some brokers hang up on who asks for it."""

        def script() -> Iterator[Event]:
            yield accept
            yield idle
            self.assertEqual(["connect", "subscribe"], self.written())
            yield granted
            yield idle
            self.assertEqual(
                ("subscribe", [(drops.TOPIC, 0)]), self.broker.connections[0].written[2]
            )

        self.play(script)

    def test_unknown_before_the_broker_says_so(self) -> None:
        """None is not 0."""
        self.play(brief)
        self.assertIsNone(self.tallies.broker_dropped)

    def test_growth_is_warned_of(self) -> None:
        """With how many more there are, and for whom they may have been."""
        (line,) = self.said_of(*self.drops(b"7", b"10"))
        self.assertEqual(
            "3 messages to one or other of its clients; test results may be among them", line
        )
        self.assertEqual(10, self.tallies.broker_dropped)

    def test_growth_that_was_not_worth_a_line_is_warned_of_later(self) -> None:
        """Though the broker says nothing more: the number stays as it is."""
        silent = [self.passing(drops.PERIOD - 0.1), self.passing(0.1), idle]
        lines = self.said_of(*self.drops(b"0", b"1", b"3"), *silent)
        self.assertEqual(["1", "2"], [line.split()[0] for line in lines])

    def test_connection_does_not_make_it_count_anew(self) -> None:
        """What was dropped during an outage is what matters."""
        self.play(
            playing(accept, granted, *self.drops(b"7")),
            playing(accept, granted, *self.drops(b"9")),
        )
        self.assertEqual(["2"], [line.split()[0] for line in self.warnings()])

    def test_link_does_not_make_it_count_anew(self) -> None:
        """Nor does one that takes the place of another."""
        self.play(playing(accept, granted, *self.drops(b"7")))
        self.link = self.make()
        self.play(playing(accept, granted, *self.drops(b"9")))

        self.assertEqual(["2"], [line.split()[0] for line in self.warnings()])

    def test_garbage_is_ignored(self) -> None:
        """What is no number, or none that a broker would count to, is no news."""
        self.assertEqual([], self.said_of(*self.drops(b"7", b"x", b"9" * 5000)))
        self.assertEqual(7, self.tallies.broker_dropped)
        self.assertEqual({"lost": 1}, self.errors())

    def test_it_is_not_delivered(self) -> None:
        """It is no note, and its bytes are not those of notes."""
        self.said_of(*self.drops(b"7"), deliver("/one", b"a"))
        self.assertEqual([b"a"], self.payloads())
        self.assertEqual(1, self.tallies.received_bytes)

    def test_refusal_is_no_failure(self) -> None:
        """Who may not hear it has a link all the same, and asks again next time."""

        def script() -> Iterator[Event]:
            yield from brief()
            yield grant(REFUSED_SUBSCRIPTION)
            self.assertTrue(self.link.up)

        self.play(*[script] * 4)

        self.assertEqual({"lost": 4}, self.errors())
        self.assertEqual([True] * 4, self.asked_for_drops())

    def test_broker_that_hangs_up_is_asked_no_more(self) -> None:
        """Twice may be chance, more is not worth the link."""
        hangs_up_on_that = playing(accept, granted, idle, lose)
        self.play(*[hangs_up_on_that] * 4)

        self.assertEqual([True, True, False, False], self.asked_for_drops())

    def test_broker_that_answers_is_asked_again(self) -> None:
        """Losses that came later were not about that."""
        answers = playing(accept, granted, grant(0), lose)
        hangs_up_on_that = playing(accept, granted, idle, lose)
        self.play(*[hangs_up_on_that, answers] * 3, *[hangs_up_on_that] * 3)

        self.assertEqual([True] * 8 + [False], self.asked_for_drops())


class FreshStartTests(LinkTestCase):
    """A connection that is made anew, since the broker dropped what it will not say again."""

    LINE = "Connecting to broker.test:1883 anew, for test results that it dropped"
    #: As many messages at once as are too many: all bursts but the last are one longer.
    FLOOD = drops.BURSTS * (BURST + 1) - 1

    def flood(self, count: int = FLOOD) -> Event:
        return deliver("/one", *[b"x"] * count)

    def drop(self, payload: bytes, after: float = 0.0) -> Event:
        return self.passing(after, deliver(drops.TOPIC, payload))

    def pressed(self, *answer: Event) -> Script:
        """Give the script of a connection on which more comes than we keep up with."""
        later = self.passing(drops.QUIET)
        return playing(
            *(answer or (accept, granted)), self.drop(b"7"), self.flood(), self.drop(b"8"), later
        )

    def test_it_is_made_at_once(self) -> None:
        """Without a pause, and as the same client, whose session is what it is about."""
        paused: list[int] = []
        self.meanwhile = lambda: paused.append(len(self.broker.connections))
        self.play(self.pressed(), playing(resume, granted))

        self.assertEqual([2], paused)
        self.assertEqual(1, len(self.broker.clients))
        self.assertEqual([False, False], [each.clean_start for each in self.broker.connections])
        self.assertEqual(1, self.lines("info").count(self.LINE))

    def test_it_is_no_error(self) -> None:
        """Only the loss that ends the second connection is one."""
        self.play(self.pressed(), playing(resume, granted))

        self.assertEqual({"lost": 1}, self.errors())
        self.assertEqual((2, 0), (self.tallies.connections, self.tallies.failures))
        self.assertEqual(0, self.tallies.sessions_lost)

    def test_link_goes_down_meanwhile(self) -> None:
        """Requests would go nowhere."""
        self.play(self.pressed(), playing(resume, granted))

        self.assertEqual([True, False] * 2, self.changes)

    def test_broker_is_told_nothing(self) -> None:
        """A goodbye would end the session under a random id."""
        self.play(self.pressed(), playing(resume, granted))

        self.assertEqual([], self.goodbyes())
        self.assertFalse(self.broker.connections[0].is_open)
        self.assertEqual([], self.broker.connections[0].endings)

    def test_it_is_made_once_however_long_the_broker_takes_to_answer(self) -> None:
        """What is owed is owed once."""
        slow = playing(idle, self.passing(1.0), self.passing(1.0), resume, granted)
        self.play(self.pressed(), slow)

        self.assertEqual(2, len(self.broker.connections))

    def test_none_is_made_where_we_kept_up(self) -> None:
        """What the broker dropped was for others, or comes all the same."""
        few, end = self.flood(self.FLOOD - 1), self.passing(500.0)
        for events in ([few], [few, idle, few], [few, self.flood(BURST - 1), few]):
            self.setUp()
            self.play(playing(accept, granted, self.drop(b"7"), *events, self.drop(b"8"), end))
            self.assertNotIn(self.LINE, self.lines("info"))

    def test_it_is_made_when_it_is_due_without_a_word(self) -> None:
        """Not only when the broker speaks, nor before it is quiet."""
        nearly = self.passing(drops.QUIET - 0.1)
        seen: list[int] = []

        def script() -> Iterator[Event]:
            yield from (accept, granted, self.drop(b"7"), self.flood(), self.drop(b"8"), nearly)
            seen.append(self.lines("info").count(self.LINE))
            yield self.passing(0.1)

        self.play(script, playing(resume, granted))
        self.assertEqual([0, 1], [*seen, self.lines("info").count(self.LINE)])

    def test_waits_start_small_again_after_it(self) -> None:
        """The connection that it ended has lasted, or has not."""
        for seconds, high in ((MOST_BACKOFF - drops.QUIET, 2.0), (1.0, 16.0)):
            self.setUp()
            lasting = self.pressed(accept, granted, self.passing(seconds))
            self.play(*[unreachable(REFUSED)] * 2, lasting, unreachable(REFUSED))
            self.assertIn(self.LINE, self.lines("info"))
            self.assertEqual([2.0, 4.0, high], [bound for _, bound in self.bounds])

    def test_exceptions_before_and_after_it_are_not_in_a_row(self) -> None:
        """Unless the connection that it ended was short."""
        poisoned = playing(resume, break_down)
        for seconds, clean in ((MOST_BACKOFF - drops.QUIET, False), (1.0, True)):
            self.setUp()
            lasting = self.pressed(resume, granted, self.passing(seconds))
            self.play(poisoned, poisoned, lasting, poisoned, brief)
            self.assertIn(self.LINE, self.lines("info"))
            self.assertIs(self.broker.connections[-1].clean_start, clean)

    def test_none_is_made_where_no_session_is_kept(self) -> None:
        """By MQTT 3.1.1 under a random id the next connection brings nothing."""
        self.play(playing(UNKNOWN_VERSION), self.pressed())

        self.assertNotIn(self.LINE, self.lines("info"))
        self.assertEqual(2, len(self.broker.connections))

    def test_it_is_made_where_a_session_is_kept(self) -> None:
        """By MQTT 3.1.1 that is under a fixed id."""
        self.link = self.make(client_id="me", version="3.1.1")
        self.play(self.pressed(), playing(resume, granted))

        self.assertIn(self.LINE, self.lines("info"))
        self.assertEqual(1, len(self.broker.clients))

    def test_none_is_made_when_the_connection_was_lost_anyway(self) -> None:
        """The next connection is as good; it is not ended before the broker has answered."""
        owed = playing(
            accept,
            granted,
            self.drop(b"7"),
            self.flood(),
            self.drop(b"8"),
            lose,
        )
        self.meanwhile = lambda: setattr(self, "now", self.now + 2 * drops.QUIET)
        self.play(owed, playing(idle, resume, granted, self.passing(500.0)))

        self.assertNotIn(self.LINE, self.lines("info"))

    def test_it_is_made_once_in_a_while(self) -> None:
        """A broker that goes on dropping is not connected to all the time."""
        self.play(self.pressed(), self.pressed(resume, granted))

        self.assertEqual(1, self.lines("info").count(self.LINE))


class PublishTests(LinkTestCase):
    """What is sent."""

    def published(self) -> list[tuple[Any, ...]]:
        return [
            packet[1:]
            for connection in self.broker.connections
            for packet in connection.written
            if packet[0] == "publish"
        ]

    def test_message_goes_out_when_link_is_up(self) -> None:
        """Topic and payload reach paho with QoS 0; the network thread writes them."""

        def script() -> Iterator[Event]:
            yield from brief()
            self.assertIs(self.link.publish("/x", b"12345"), True)
            self.assertEqual([], self.published())
            yield idle
            self.assertEqual([("/x", b"12345", 0)], self.published())

        self.play(script)

    def test_nothing_is_sent_while_link_is_down(self) -> None:
        """Before, between and after connections nothing is sent or kept for later."""
        outcomes: list[bool] = []

        def publish() -> None:
            outcomes.append(self.link.publish("/x", b"x"))

        def script() -> Iterator[Event]:
            publish()
            yield accept
            publish()
            yield granted
            yield lose

        self.meanwhile = publish
        publish()
        self.play(script, script)
        publish()

        self.assertEqual([False] * 8, outcomes)
        self.assertEqual([], self.published())

    def test_publish_tells_when_paho_cannot(self) -> None:
        """A socket that is gone before the link knows makes the message not sent."""

        def script() -> Iterator[Event]:
            yield from brief()
            (connection,) = self.broker.connections
            connection.is_open = False
            self.assertIs(self.link.publish("/x", b"x"), False)

        self.play(script)


class StandInTests(SynchronousTestCase):
    """The stand-ins are like what they stand in for."""

    def test_each_name_of_the_client_is_one_of_paho(self) -> None:
        """The stand-in has no method or attribute that paho's client lacks."""
        names = [name for name in dir(FakeClient) if not name.startswith("_")]
        names = [name for name in names if name not in FakeClient.FOR_TESTS]

        self.assertEqual([], [name for name in names if not hasattr(Client, name)])
        self.assertIn("loop_read", names)
        self.assertIn("loop_write", names)
        self.assertIn("on_socket_register_write", names)

    def test_each_parameter_of_the_client_is_one_of_paho(self) -> None:
        """What the stand-in's methods take, paho's take too, in the same order."""
        reading: Sequence[str] = ("loop", "loop_read", "loop_write", "socket")
        asking = ("connect", "disconnect", "subscribe", "publish")
        for name in (*reading, *asking, "username_pw_set", "tls_set_context"):
            ours = list(inspect.signature(getattr(FakeClient, name)).parameters)
            theirs = list(inspect.signature(getattr(Client, name)).parameters)

            self.assertEqual(ours, theirs[: len(ours)], name)

    def test_link_sets_nothing_that_paho_ignores(self) -> None:
        """What the link sets on a client are properties of paho's, not new attributes."""
        names = [name for name in FakeClient.__slots__ if not name.startswith("_")]
        names = [name for name in names if name not in FakeClient.FOR_TESTS]

        self.assertEqual([], [n for n in names if not isinstance(getattr(Client, n), property)])

    def test_link_makes_clients_that_paho_accepts(self) -> None:
        """The arguments that the link makes its clients with are valid for the real class."""
        for version in (V5, V311):
            broker = FakeBroker()
            options = {"client_factory": broker.make_client, "monotonic": lambda: 0.0}
            link = Link(
                replace(Broker(address=Address("broker.test", 1883)), tls=True),
                "random",
                list(SUBSCRIPTIONS.items()),
                longest=LONGEST,
                tallies=Tallies(),
                deliver=lambda _: None,
                changed=lambda _: None,
                say=lambda *_, **__: None,
                pause=lambda stopping, _: stopping.set(),
                **options,  # type: ignore[arg-type]
            )
            if version == V311:
                broker.plan(playing(UNKNOWN_VERSION))
            broker.plan(unreachable(REFUSED))
            link.run()

            made = broker.clients[-1]
            arguments, keywords = made.made_with
            client = Client(*arguments, **keywords)
            client.connect_timeout = CONNECT_TIMEOUT
            client.tls_set_context(made.tls_context)
            self.assertEqual((CONNECT_TIMEOUT, version), (client.connect_timeout, client.protocol))
