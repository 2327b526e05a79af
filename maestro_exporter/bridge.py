"""The link to the Maestro broker; the only module that knows paho.

Threads: paho's network loop runs in a thread of the pool that is passed in.
Only payloads cross from there to the reactor thread, through a bounded queue
that the reactor empties a short while after the first of them has come:
waking it for each message would halve the rate that can be kept up with.
Paho's callbacks touch nothing but that queue and what `Bridge.status` reads.

The link outlives everything: it connects when it can, backs off with jitter
when it cannot, and subscribes anew at each connection, since a broker forgets
subscriptions when it restarts.  It knows no notes.
"""

from __future__ import annotations

import contextlib
import math
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from maestro_exporter.deliveries import Delivery, DeliveryQueue

KEEPALIVE = 15  # seconds; a frozen broker is noticed after about twice that
CONNECT_TIMEOUT = 5.0  # seconds for each address of the broker
LEAST_BACKOFF, MOST_BACKOFF = 1.0, 30.0  # seconds between two attempts to connect
DRAIN_DELAY = 0.02  # seconds from the first queued delivery to its batch
BURST = 100  # messages that are taken in before anything else is done
BATCH_LENGTH = 200  # deliveries taken in at a time, so that pages are served in between
QUEUE_LENGTH = 50_000  # deliveries
QUEUE_BYTES = 64 * 1024 * 1024
RESTART_DELAY = 1.0  # seconds until a network loop that ended is started again
STOP_PATIENCE = 1.0  # seconds to wait for the network thread when stopping


class LinkStatus(NamedTuple):
    """How the link is, and what has gone over it since the start.

    Attributes:
        connected: the broker has accepted the connection.
        up: and all subscriptions are granted.
        connections: connections that the broker accepted.
        failures: attempts to connect that failed, were refused, or could not subscribe.
        received_bytes, sent_bytes: payloads only.
        dropped: deliveries that the queue had no room for.
    """

    connected: bool = False
    up: bool = False
    connections: int = 0
    failures: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0
    dropped: int = 0


class _ConnectError(Exception):
    """There is no connection; says why."""


class Bridge(Service):
    """Hands what the broker delivers to the reactor thread, and publishes.

    Args:
        host, port: the broker.
        subscriptions: quality of service by topic.
        longest: bytes of the longest payload that is of use; of one that is longer, one
            byte more is delivered, so that it is seen to be too long.
        receive: called in the reactor thread with each batch of deliveries, in
            their order.
        changed: called in the reactor thread with True each time the link comes up, and with
            False each time it goes down.
        reactor: needs `callFromThread` and `callLater`.
        pool: runs the network loop and nothing else; started and stopped here.
        client_factory, monotonic, jitter, pause: to be replaced in tests.
    """

    log = Logger()

    def __init__(
        self,
        host: str,
        port: int,
        subscriptions: Mapping[str, int],
        *,
        longest: int,
        receive: Callable[[Sequence[Delivery]], object],
        changed: Callable[[bool], object],
        reactor: Any,
        pool: ThreadPool,
        client_factory: Callable[..., Client] = Client,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[float, float], float] = random.uniform,
        pause: Callable[[threading.Event, float], object] = threading.Event.wait,
    ) -> None:
        self._host, self._port = host, port
        self._subscriptions = list(subscriptions.items())
        self._longest = longest
        self._receive = receive
        self._changed = changed
        self._reactor = reactor
        self._pool = pool
        self._client_factory = client_factory
        self._monotonic = monotonic
        self._jitter = jitter
        self._pause = pause
        # One id for all connections of this process: a broker that still holds
        # a dead one of ours then drops it for the new one.
        self._client_id = f"maestro-exporter-{uuid.uuid4()}"
        self._queue = DeliveryQueue(QUEUE_LENGTH, QUEUE_BYTES)
        self._stopping = threading.Event()
        self._loop_ended: Deferred[None] | None = None
        self._stop: Deferred[None] | None = None
        # Written in the network thread only, read in both.
        self._client: Client | None = None
        self._answered = False  # accepted or refused
        self._connected = False
        self._up = False
        self._connections = 0
        self._failures = 0
        self._received_bytes = 0
        self._dropped = 0
        self._took_in = False  # whether there was a message since this was last said
        self._backoff = LEAST_BACKOFF  # starts small again after a connection that lasted
        self._up_since = math.inf
        # Written in the reactor thread only.
        self._sent_bytes = 0

    # ------------------------------------------------- in the reactor thread

    def startService(self) -> None:
        """Start connecting; returns at once, whatever the broker does.  Once in a lifetime."""
        super().startService()
        self._pool.start()
        self._start_loop()

    def stopService(self) -> Deferred[None]:
        """Say goodbye to the broker and end the network thread, or leave it after a while."""
        super().stopService()
        if self._stop is None:
            self._stop = self._begin_stop()
        return self._stop

    def _begin_stop(self) -> Deferred[None]:
        self._stopping.set()
        client, ended = self._client, self._loop_ended
        if client is not None:
            client.disconnect()  # also wakes the network thread
        if ended is None:
            ended = succeed(None)
        ended.addTimeout(STOP_PATIENCE, self._reactor)
        ended.addCallbacks(self._stopped, self._abandoned)
        return ended

    @property
    def status(self) -> LinkStatus:
        """How the link is now."""
        return LinkStatus(
            connected=self._connected,
            up=self._up,
            connections=self._connections,
            failures=self._failures,
            received_bytes=self._received_bytes,
            sent_bytes=self._sent_bytes,
            dropped=self._dropped,
        )

    def publish(self, topic: str, payload: bytes, qos: int) -> bool:
        """Send a message if the link is up; tell whether it was handed over.

        Nothing is kept for later: a request that was late would measure the outage.
        """
        client = self._client
        if client is None or not self._up:
            return False
        if client.publish(topic, payload, qos).rc is not MQTTErrorCode.MQTT_ERR_SUCCESS:
            return False
        self._sent_bytes += len(payload)
        return True

    def _start_loop(self) -> None:
        if self._stopping.is_set():
            return
        self._loop_ended = Deferred()
        running: Deferred[None] = deferToThreadPool(self._reactor, self._pool, self._network_loop)
        running.addBoth(self._ended)

    def _ended(self, result: object) -> None:
        """The network loop must not end while we run; if it does, it is started again."""
        ended, self._loop_ended = self._loop_ended, None
        if not self._stopping.is_set():
            self.log.error("The network thread ended and is started again: {result}", result=result)
            self._reactor.callLater(RESTART_DELAY, self._start_loop)
        elif ended is not None:
            ended.callback(None)

    def _stopped(self, _: object) -> None:
        self._pool.stop()

    def _abandoned(self, failure: Failure) -> None:
        failure.trap(DeferredTimeoutError)
        self.log.info("The network thread is busy connecting; it is left behind.")

    def _drain(self) -> None:
        batch, more = self._queue.take(BATCH_LENGTH)
        if more:
            self._reactor.callLater(0, self._drain)
        try:
            self._receive(batch)
        except Exception:  # noqa: BLE001 - the next batch must come
            self.log.failure("A batch of {count} deliveries was lost", count=len(batch))

    # ------------------------------------------------- in the network thread

    def _network_loop(self) -> None:
        """Connect, serve, back off; again and again until told to stop."""
        while not self._stopping.is_set():
            try:
                self._serve_one_connection()
            except _ConnectError as error:
                self._failures += 1
                self._say(LogLevel.warn, "Cannot connect to {broker}: {error}", error=error)
            except Exception as error:  # noqa: BLE001 - the loop outlives everything
                self._say(LogLevel.error, "The connection broke down: {error!r}", error=error)
            finally:
                self._down()
            if self._monotonic() - self._up_since >= MOST_BACKOFF:
                self._backoff = LEAST_BACKOFF
            delay = self._jitter(LEAST_BACKOFF, max(2 * LEAST_BACKOFF, self._backoff))
            if not self._stopping.is_set():
                self._say(LogLevel.debug, "Next attempt in {delay:.1f} s", delay=delay)
            self._pause(self._stopping, delay)

    def _serve_one_connection(self) -> None:
        self._backoff = min(2 * self._backoff, MOST_BACKOFF)
        self._up_since = math.inf
        # A new client each time: an old one would send again what was asked in
        # another round, and count the new outage to it.
        client = self._make_client()
        self._answered = False
        try:
            client.connect(self._host, self._port, keepalive=KEEPALIVE)
        except (OSError, UnicodeError) as error:  # refused, timed out, no such host, ...
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise _ConnectError(reason) from error
        self._client = client
        while not self._stopping.is_set():
            if self._loop(client) is not MQTTErrorCode.MQTT_ERR_SUCCESS:
                if not self._answered:
                    raise _ConnectError("it hung up, or said nothing")
                return
        client.disconnect()
        client.loop_write()

    def _loop(self, client: Client) -> MQTTErrorCode:
        """Wait for something to do, and do it.

        Paho's loop takes in one packet each time that it has waited.  Where that was a
        message, more have mostly come with it; they are taken in without waiting.
        """
        result = client.loop(timeout=1.0)
        for _ in range(BURST):
            if not self._took_in or result is not MQTTErrorCode.MQTT_ERR_SUCCESS:
                break
            self._took_in = False
            result = client.loop_read()
        self._took_in = False
        return result

    def _make_client(self) -> Client:
        client = self._client_factory(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            clean_session=True,
            protocol=MQTTProtocolVersion.MQTTv311,
        )
        client.connect_timeout = CONNECT_TIMEOUT
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        # With this set, `publish` leaves the writing to the network thread;
        # without it, the reactor thread would write to the same socket.
        client.on_socket_register_write = _leave_it
        client.on_socket_open = _send_at_once
        return client

    def _on_connect(
        self,
        client: Client,
        _userdata: object,
        _flags: ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._answered = True
        if reason.is_failure:
            self._failures += 1
            self._say(LogLevel.error, "{broker} refused the connection: {reason}", reason=reason)
            return
        self._connections += 1
        self._connected = True
        self._say(LogLevel.info, "Connected to {broker}")
        client.subscribe(self._subscriptions)

    def _on_subscribe(
        self,
        client: Client,
        _userdata: object,
        _mid: int,
        reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        granted = [not reason.is_failure for reason in reasons]
        if granted == [True] * len(self._subscriptions):
            self._up = True
            self._up_since = self._monotonic()
            self._reactor.callFromThread(self._changed, True)
            return
        # Tried again after a while, as all that fails: permissions may be mended.
        self._failures += 1
        topics = [topic for topic, _ in self._subscriptions]
        refused = [topic for topic, ok in zip(topics, granted, strict=False) if not ok] or topics
        self._say(
            LogLevel.error,
            "{broker} refused the subscription to {topics}",
            topics=", ".join(refused),
        )
        self._connected = False
        client.disconnect()

    def _on_disconnect(
        self,
        _client: Client,
        _userdata: object,
        _flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        # Paho may call this more than once for one connection.
        if self._connected and not self._stopping.is_set():
            self._say(LogLevel.warn, "The connection to {broker} is lost: {reason}", reason=reason)
        self._down()

    def _on_message(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        arrived = self._monotonic()
        self._took_in = True
        payload = bytes(message.payload[: self._longest + 1])
        self._received_bytes += len(message.payload)
        was_empty, dropped = self._queue.put(
            Delivery(message.topic, payload, message.retain, arrived)
        )
        self._dropped += dropped
        if was_empty:
            self._reactor.callFromThread(self._reactor.callLater, DRAIN_DELAY, self._drain)

    def _down(self) -> None:
        if self._up:
            self._reactor.callFromThread(self._changed, False)
        self._client = None
        self._connected = False
        self._up = False

    def _say(self, level: Any, text: str, **values: object) -> None:
        """Log from the network thread: the log observers belong to the reactor thread."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        broker = f"{host}:{self._port}"
        self._reactor.callFromThread(self.log.emit, level, text, broker=broker, **values)


def _leave_it(_client: Client, _userdata: object, _socket: object) -> None:
    """Let the network loop find by itself that there is something to write."""


def _send_at_once(_client: Client, _userdata: object, connection: Any) -> None:
    """Do not hold back the second request of a round until the first is acknowledged.

    With Nagle's algorithm that costs 40 ms on loopback, which PING would measure.
    """
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
