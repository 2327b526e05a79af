"""One connection to the Maestro broker after the other."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import LogLevel, MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from maestro_exporter.broker import Broker, BrokerError
from maestro_exporter.deliveries import Delivery
from maestro_exporter.mqtt import clients, drops, failures
from maestro_exporter.mqtt.dialect import V5, Dialect
from maestro_exporter.mqtt.drops import Drops
from maestro_exporter.mqtt.failures import REASONS, LinkError, LinkFailure

ANSWER_TIMEOUT = 10.0  # seconds for the broker's answer to CONNECT, and to SUBSCRIBE
LEAST_BACKOFF, MOST_BACKOFF = 1.0, 30.0  # seconds between two attempts to connect
BURST = 100  # messages that are taken in before anything else is done
MOST_BREAKDOWNS = 3  # in a row, until the session is given up: it may hold what breaks paho
SERVE_PATIENCE = 15.0  # seconds in which the network thread comes round when it is connected
#: And while it connects: where name servers are silent, resolution takes 10 s for each of three,
#: for each of six domains to be searched.
CONNECT_PATIENCE = 300.0


class _TryAgain(Exception):  # noqa: N818 - it is none
    """Another attempt is to be made at once."""


@dataclass(slots=True)
class Tallies:
    """What is known of the broker, and has gone over all links, since the start.

    It is written in the network thread, and by `abandon`.

    Attributes:
        connections: that the broker accepted.
        failures: connections that ended before they could be used, or did not come about.
        errors: these, and connections that ended, by reason.
        last_error: the newest of them; None before there is one.
        received_bytes: payloads only.
        sessions_lost: connections but the first at which the broker had kept no session.
        lost_at: monotonic second at which the last connection was lost; None before there was
            one.
        dialect: the version of MQTT; None before the first link.
        drops: what the broker says that it dropped.
    """

    connections: int = 0
    failures: int = 0
    errors: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))
    last_error: LinkFailure | None = None
    received_bytes: int = 0
    sessions_lost: int = 0
    lost_at: float | None = None
    dialect: Dialect | None = None
    drops: Drops = field(default_factory=Drops)

    @property
    def broker_dropped(self) -> int | None:
        """Messages that the broker says it dropped, for any client; None where it does not say."""
        return self.drops.total


class Say(Protocol):
    """Logs, from the network thread."""

    def __call__(self, level: str, text: str, **values: object) -> None: ...


class Link:
    """Connects when it can, backs off with jitter when it cannot, one attempt at a time.

    It lives in the network thread; `publish`, `stop` and the attributes are for the reactor
    thread.  Nothing that is published with quality of service 1 or 2 while the connection is
    down is lost, as long as the broker keeps the session: it is asked to, and paho's client,
    which holds our half of it (section 4.1 of MQTT 5), is kept from one connection to the next.

    Args:
        broker: where it is, and who we are to it.
        client_id: ours.
        subscriptions: pairs of topic and quality of service.
        longest: bytes of a payload that are of use; one byte more is delivered.
        tallies: counted on.
        deliver: called in the network thread with each message.
        changed: called in the network thread with True each time the link comes up, and with
            False each time it goes down.
        say: called in the network thread with what is worth a line.
        client_factory, monotonic, jitter, pause: to be replaced in tests.

    Attributes:
        connected: the broker has accepted the connection.
        up: and all subscriptions are granted.
        version: of MQTT that is spoken; empty before that is known.
        due: monotonic second by which the network thread will have come round again.
    """

    def __init__(
        self,
        broker: Broker,
        client_id: str,
        subscriptions: Sequence[tuple[str, int]],
        *,
        longest: int,
        tallies: Tallies,
        deliver: Callable[[Delivery], object],
        changed: Callable[[bool], object],
        say: Say,
        client_factory: Callable[..., Client] = Client,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[float, float], float] = random.uniform,
        pause: Callable[[threading.Event, float], object] = threading.Event.wait,
    ) -> None:
        self._broker = broker
        self._client_id = client_id
        self._subscriptions = list(subscriptions)
        self._longest = longest
        self._tallies = tallies
        self._deliver = deliver
        self._changed = changed
        self._say = say
        self._client_factory = client_factory
        self._monotonic = monotonic
        self._jitter = jitter
        self._pause = pause
        self._stopping = threading.Event()
        self._abandoned = False
        self._dialect = tallies.dialect = tallies.dialect or Dialect(broker.version)
        self._drops = tallies.drops
        self._kept: Client | None = None  # with our half of the session
        self._client: Client | None = None  # while it is connected, or about to be
        self.connected = False
        self.up = False
        self.version = ""
        self.due = monotonic() + CONNECT_PATIENCE
        self._backoff = LEAST_BACKOFF  # starts small again after a connection that lasted
        self._breakdowns = 0  # in a row, likewise
        self._wary = False  # whether a session had to be given up: then retained messages may too
        self._holds = True  # whether a session that was kept has our subscriptions
        self._up_since = math.inf
        self._ended: Exception | None = None  # what ended this connection
        self._answer_due = math.inf
        self._socket_error = ""
        self._subscribing: int | None = None  # the request whose answer is awaited
        self._unheard = 0  # how often the broker hung up when it was asked for drops
        self._took_in = False  # whether there was a message since this was last said

    # ------------------------------------------------- in the reactor thread

    def publish(self, topic: str, payload: bytes) -> bool:
        """Send a message if the link is up; tell whether it was handed over.

        Nothing is kept for later, and quality of service is 0: a request that the next
        connection repeated would measure the outage.
        """
        client = self._client
        if client is None or not self.up:
            return False
        return client.publish(topic, payload, 0).rc is MQTTErrorCode.MQTT_ERR_SUCCESS

    def stop(self) -> None:
        """Say goodbye to the broker, and let the network thread end as soon as it can."""
        self._stopping.set()
        client = self._client
        if client is not None:
            self._say_goodbye(client)  # also wakes the network thread

    def abandon(self) -> None:
        """Let the network thread end without a word: another link goes on with the session."""
        self._note_loss()
        self._abandoned = True
        self._stopping.set()

    def _note_loss(self) -> None:
        if self.up:
            self._tallies.lost_at = self._monotonic()

    def _say_goodbye(self, client: Client) -> None:
        # Nobody comes back to the session of a random id.
        clients.disconnect(client, end_session=not self._broker.client_id)

    # ------------------------------------------------- in the network thread

    def run(self) -> None:
        """Connect, serve, back off; again and again until told to stop."""
        while not self._stopping.is_set():
            try:
                self._serve_one_connection()
            except _TryAgain:
                continue
            except LinkError as error:
                # Paho makes this of some of what it cannot read; of the rest, exceptions.
                self._breakdowns += error.reason == "protocol"
                self._count(error.reason, str(error))
            except OSError as error:  # of this machine, such as too many open files
                self._count("unreachable", error.strerror or repr(error))
            except Exception as error:  # noqa: BLE001 - the loop outlives everything
                self._breakdowns += 1
                self._count("protocol", f"what came cannot be read: {error!r}")
            finally:
                self._down()
            delay = self._jitter(LEAST_BACKOFF, max(2 * LEAST_BACKOFF, self._backoff))
            if not self._stopping.is_set():
                self._say("debug", "Next attempt in {delay:.1f} s", delay=delay)
            self.due = self._monotonic() + delay + SERVE_PATIENCE
            self._pause(self._stopping, delay)

    def _serve_one_connection(self) -> None:
        """Connect, and serve until told to stop.

        Raises:
            LinkError: the connection did not come about, or has ended.
        """
        self._backoff = min(2 * self._backoff, MOST_BACKOFF)
        self._up_since = math.inf
        self._ended = None
        self._socket_error = ""
        self.due = self._monotonic() + CONNECT_PATIENCE
        client = self._connected_client()
        self._client = client
        self._answer_due = self._monotonic() + ANSWER_TIMEOUT
        while not self._stopping.is_set():
            self.due = self._monotonic() + SERVE_PATIENCE
            alive = self._loop(client) is MQTTErrorCode.MQTT_ERR_SUCCESS
            if self._ended is not None:
                raise self._ended
            if not alive:
                raise LinkError("lost" if self.connected else "hung_up", "it hung up")
            now = self._monotonic()
            if now >= self._answer_due:
                if not self.connected:
                    self._dialect.unanswered()
                raise LinkError("silent", f"no answer within {ANSWER_TIMEOUT:.0f} s")
            self._say_drops(self._drops.unsaid(now))
            able = self.connected and self._keeps_session
            if able and self._drops.owes_a_fresh_start(now):
                self._say("info", "Connecting to {broker} anew, for test results that it dropped")
                raise _TryAgain
        if not self._abandoned:
            self._say_goodbye(client)
            clients.flush(client)

    def _connected_client(self) -> Client:
        client = self._kept
        clean = self._breakdowns >= MOST_BREAKDOWNS
        if client is None or client.protocol != self._dialect.version or clean:
            client = self._kept = clients.make_client(
                self._client_factory,
                self._broker,
                self._client_id,
                self._dialect.version,
                self,
                clean=clean or not self._keeps_session,
            )
            if clean and self._dialect.version != V5:
                self._kept = None  # by MQTT 3.1.1 it would never keep a session again
        try:
            credentials = self._broker.credentials()
        except BrokerError as error:
            raise LinkError("credentials", str(error)) from error
        if credentials is not None:
            client.username_pw_set(*credentials)
        client.on_log = self._on_log  # until it is connected: this takes time for each message
        try:
            clients.connect(client, self._broker, clean=clean)
        except (OSError, UnicodeError, BrokerError) as error:
            raise failures.of_connecting(error, tls=self._broker.tls) from error
        return client

    @property
    def _keeps_session(self) -> bool:
        """Whether the broker is asked to keep the session.

        By MQTT 3.1.1 that is for ever: only where we come back to it under a fixed id.
        """
        return self._dialect.version == V5 or bool(self._broker.client_id)

    def _loop(self, client: Client) -> MQTTErrorCode:
        """Wait for something to do, and do it.

        Paho's loop takes in one packet each time that it has waited.  Where that was a
        message, more have mostly come with it; they are taken in without waiting.
        """
        result = client.loop(timeout=1.0)
        for _ in range(BURST):
            if not self._took_in or result is not MQTTErrorCode.MQTT_ERR_SUCCESS:
                self._drops.relief()
                break
            self._took_in = False
            result = client.loop_read()
        else:
            self._drops.burst(self._monotonic())
        self._took_in = False
        return result

    def on_connect(
        self,
        client: Client,
        _userdata: object,
        flags: ConnectFlags,
        code: ReasonCode,
        properties: Properties | None,
    ) -> None:
        """Subscribe; at each connection, since a broker forgets when it restarts."""
        if code.getName() == "Unsupported protocol version" and self._dialect.refused():
            self._ended = _TryAgain()
        elif code.is_failure:
            self._ended = failures.of_refusal(code)
        elif not self._dialect.accepted():
            self._ended = _TryAgain()
        else:
            client.on_log = None
            if self._breakdowns >= MOST_BREAKDOWNS:
                self._breakdowns = 0
                self._wary = True
            self._tallies.connections += 1
            self._drops.connected()
            self.version = self._dialect.name
            self.connected = True
            self._say_connected(kept=flags.session_present and self._holds)
            self._holds = self._holds and flags.session_present
            kept = getattr(properties, "SessionExpiryInterval", self._broker.session_expiry)
            if kept < int(self._broker.session_expiry):
                self._say("warn", "{broker} keeps a session for {kept} s only", kept=kept)
            self._answer_due = self._monotonic() + ANSWER_TIMEOUT
            self._subscribing = clients.subscribe(
                client, self._subscriptions, retained=not self._wary
            )

    def _say_connected(self, *, kept: bool) -> None:
        if self._tallies.lost_at is None:
            more = "; test results that were published before were kept" if kept else ""
            if self._broker.client_id and not kept:
                more = "; it has kept nothing for this --mqtt.client-id"
            self._say("info", f"Connected to {{broker}}, MQTT {self.version}{more}")
            return
        outage = self._monotonic() - self._tallies.lost_at
        again = "Connected to {broker} again after {outage:.1f} s; test results that were published"
        if kept:
            self._say("info", f"{again} meanwhile were kept", outage=outage)
            return
        self._tallies.sessions_lost += 1
        advice = "" if self._keeps_session else "; give --mqtt.client-id to have them kept"
        self._say("warn", f"{again} meanwhile are lost{advice}", outage=outage)

    def on_subscribe(
        self,
        client: Client,
        _userdata: object,
        mid: int,
        codes: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        """Come up, if all is granted."""
        if mid != self._subscribing:
            self._unheard = 0  # granted or not: it did not hang up
            return
        granted = [not code.is_failure for code in codes]
        if granted != [True] * len(self._subscriptions):
            # Tried again after a while, as all that fails: permissions may be mended.
            topics = [topic for topic, _ in self._subscriptions]
            refused = [topic for topic, ok in zip(topics, granted, strict=False) if not ok]
            names = ", ".join(refused or topics)
            self._ended = LinkError("subscription", f"it refused the subscription to {names}")
            return
        self.up = self._holds = True
        self._up_since = self._monotonic()
        self._answer_due = math.inf
        self._changed(True)
        if self._unheard < 2:  # there are brokers that hang up on who asks for too much
            self._unheard += 1
            client.subscribe([(drops.TOPIC, 0)])

    def on_disconnect(
        self,
        _client: Client,
        _userdata: object,
        flags: DisconnectFlags,
        code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        """Note why; paho may call this more than once for one connection."""
        if self._ended is not None:
            return
        by_broker = flags.is_disconnect_packet_from_server
        if self.connected or by_broker:
            own_id = bool(self._broker.client_id)
            self._ended = failures.of_disconnection(code, by_broker=by_broker, own_id=own_id)
        else:
            ended = self._ended = failures.of_hanging_up(self._socket_error)
            if ended.reason == "hung_up":
                self._dialect.unanswered()

    def on_socket_close(self, _client: Client, _userdata: object, connection: object) -> None:
        """Have the goodbye read."""
        if self._stopping.is_set() and self.connected and not self._abandoned:
            clients.let_read(connection)

    def on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        """Deliver.  Never raises: that would end the connection, and with a session each one."""
        arrived = self._monotonic()
        self._took_in = True
        topic = message.topic
        if topic == drops.TOPIC:
            self._say_drops(self._drops.hear(bytes(message.payload), arrived))
            return
        payload = bytes(message.payload[: self._longest + 1])
        self._tallies.received_bytes += len(message.payload)
        self._deliver(Delivery(topic, payload, message.retain, arrived, message.qos))

    def _say_drops(self, count: int) -> None:
        if count:
            self._say(
                "warn",
                "{broker} says that it dropped {count} messages to one or other of its clients; "
                "test results may be among them",
                count=count,
            )

    def _on_log(self, _client: Client, _userdata: object, level: int, text: str) -> None:
        if level == LogLevel.MQTT_LOG_ERR:
            self._socket_error = text

    def _count(self, reason: str, message: str) -> None:
        """Take note of the end of a connection, or that there is none."""
        if self._stopping.is_set():
            return
        self._tallies.errors[reason] += 1
        self._tallies.failures += not self.up
        self._tallies.last_error = LinkFailure(reason, message, self._monotonic())
        if self.up:
            self._say("warn", "The connection to {broker} is lost: {error}", error=message)
        else:
            verb = "use" if self.connected else "connect to"
            self._say("warn", f"Cannot {verb} {{broker}}: {{error}}", error=message)

    def _down(self) -> None:
        client, self._client = self._client, None
        connection = client.socket() if client is not None else None
        if connection is not None:
            connection.close()  # what paho leaves open after an exception
        if not self._abandoned:
            self._note_loss()
        if self._monotonic() - self._up_since >= MOST_BACKOFF:  # it has lasted
            self._backoff = LEAST_BACKOFF
            self._breakdowns = 0
        was_up, self.up, self.connected = self.up, False, False
        if was_up:
            self._changed(False)
