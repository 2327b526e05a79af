"""Hands what the broker delivers to the reactor thread, and publishes.

Threads: the link's network loop runs in a thread of a pool of its own.  Only
payloads cross from there to the reactor thread, through a bounded queue that
the reactor empties a short while after the first of them has come: waking it
for each message would halve the rate that can be kept up with.

Both can be started anew: the network loop, when it ended or hangs, in another
thread; the emptying of the queue, when the call that is to do it was lost.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.defer import TimeoutError as DeferredTimeoutError
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from maestro_exporter.broker import Broker
from maestro_exporter.deliveries import Delivery, DeliveryQueue
from maestro_exporter.mqtt.failures import LinkFailure
from maestro_exporter.mqtt.link import Link, Tallies

DRAIN_DELAY = 0.02  # seconds from the first queued delivery to its batch
BATCH_LENGTH = 200  # deliveries taken in at a time, so that pages are served in between
QUEUE_LENGTH = 50_000  # deliveries
QUEUE_BYTES = 64 * 1024 * 1024
DROPS_PERIOD = 60.0  # seconds between two lines about deliveries that the queue dropped
DRAIN_PATIENCE = 10.0  # seconds in which a queue that is not empty gives a batch
STOP_PATIENCE = 1.0  # seconds to wait for the network thread when stopping


class LinkStatus(NamedTuple):
    """How the link is, and what has gone over it since the start.

    Attributes:
        client_id: ours.
        connected: the broker has accepted the connection.
        up: and all subscriptions are granted.
        version: of MQTT that is spoken; empty before that is known.
        connections: connections that the broker accepted.
        failures: connections that ended before they could be used, or did not come about.
        errors: these, and connections that ended, by reason.
        last_error: the newest of them; None before there is one.
        received_bytes, sent_bytes: payloads only.
        sessions_lost: connections but the first at which the broker had kept no session.
        broker_dropped: messages that the broker says it dropped, for any client; None where it
            does not say.
        dropped: deliveries that the queue had no room for.
        dropped_acknowledged: those of them that were of quality of service 1 or 2.
        dropped_at: when the queue last had no room, in monotonic seconds; None if it always had.
    """

    client_id: str
    connected: bool
    up: bool
    version: str
    connections: int
    failures: int
    errors: Mapping[str, int]
    last_error: LinkFailure | None
    received_bytes: int
    sent_bytes: int
    sessions_lost: int
    broker_dropped: int | None
    dropped: int
    dropped_acknowledged: int
    dropped_at: float | None


class Bridge(Service):
    """Hands what the broker delivers to the reactor thread, and publishes.

    Args:
        broker: where it is, and who we are to it.
        subscriptions: quality of service by topic.
        longest: bytes of the longest payload that is of use; of one that is longer, one
            byte more is delivered, so that it is seen to be too long.
        receive: called in the reactor thread with each batch of deliveries, in
            their order.
        changed: called in the reactor thread with True each time the link comes up, and with
            False each time it goes down.
        reactor: needs `callFromThread` and `callLater`.
        make_pool: gives a pool of one thread for each life of the network loop; started and
            stopped here.
        monotonic: gives seconds; to be replaced in tests.
        link_options: for `Link`, likewise.
    """

    log = Logger()

    def __init__(
        self,
        broker: Broker,
        subscriptions: Mapping[str, int],
        *,
        longest: int,
        receive: Callable[[Sequence[Delivery]], object],
        changed: Callable[[bool], object],
        reactor: Any,
        make_pool: Callable[[], ThreadPool],
        monotonic: Callable[[], float] = time.monotonic,
        **link_options: Any,
    ) -> None:
        self._broker = broker
        # One id for all connections of this process: a broker that still holds
        # a dead one of ours then drops it for the new one.
        self._client_id = broker.client_id or f"maestro-exporter-{uuid.uuid4()}"
        self._subscriptions = tuple(subscriptions.items())
        self._longest = longest
        self._receive = receive
        self._changed = changed
        self._reactor = reactor
        self._make_pool = make_pool
        self._monotonic = monotonic
        self._link_options = link_options
        self._tallies = Tallies()
        self._queue = DeliveryQueue(QUEUE_LENGTH, QUEUE_BYTES)
        self._link = self._make_link()
        self._network_ended: Deferred[None] | None = None  # None once it has
        self._stop: Deferred[None] | None = None
        self._sent_bytes = 0
        self._told_up = False  # what was last said to have become of the link
        self._drain_due = math.inf
        self._drops_said = 0
        self._drops_due = -math.inf

    def startService(self) -> None:
        """Start connecting; returns at once, whatever the broker does.  Once in a lifetime."""
        super().startService()
        self._start_network()

    def stopService(self) -> Deferred[None]:
        """Say goodbye to the broker and end the network thread, or leave it after a while."""
        super().stopService()
        if self._stop is None:
            self._stop = self._begin_stop()
        return self._stop

    def _begin_stop(self) -> Deferred[None]:
        self._link.stop()
        ended = self._network_ended or succeed(None)
        ended.addTimeout(STOP_PATIENCE, self._reactor)
        ended.addErrback(self._abandoned)
        return ended

    @property
    def status(self) -> LinkStatus:
        """How the link is now."""
        link, tallies, queue = self._link, self._tallies, self._queue
        return LinkStatus(
            client_id=self._client_id,
            connected=link.connected,
            up=link.up,
            version=link.version,
            connections=tallies.connections,
            failures=tallies.failures,
            errors=dict(tallies.errors),
            last_error=tallies.last_error,
            received_bytes=tallies.received_bytes,
            sent_bytes=self._sent_bytes,
            sessions_lost=tallies.sessions_lost,
            broker_dropped=tallies.broker_dropped,
            dropped=queue.dropped,
            dropped_acknowledged=queue.dropped_acknowledged,
            dropped_at=queue.dropped_at,
        )

    def publish(self, topic: str, payload: bytes) -> bool:
        """Send a message if the link is up; tell whether it was handed over."""
        sent = self._link.publish(topic, payload)
        self._sent_bytes += len(payload) * sent
        return sent

    # ------------------------------------------------- the network thread

    def network_due(self) -> float:
        """Give the monotonic second by which the network thread will have come round again."""
        return self._link.due if self._network_ended is not None else -math.inf

    def restart_network(self) -> None:
        """Connect anew in another thread; the one before is left behind, wherever it hangs."""
        self._link.abandon()
        self._link = self._make_link()
        try:
            self._start_network()
        finally:
            if self._told_up:
                self._tell(up=False)

    def _make_link(self) -> Link:
        link = Link(
            self._broker,
            self._client_id,
            self._subscriptions,
            longest=self._longest,
            tallies=self._tallies,
            deliver=self._deliver,
            changed=lambda up: self._reactor.callFromThread(self._link_changed, link, up),
            say=self._say,
            monotonic=self._monotonic,
            **self._link_options,
        )
        return link

    def _start_network(self) -> None:
        self._network_ended = None  # until there is a thread
        pool = self._make_pool()
        pool.start()
        over: Deferred[None] = Deferred()
        running: Deferred[None] = deferToThreadPool(self._reactor, pool, self._link.run)
        self._network_ended = over
        running.addBoth(self._ended, pool, over)

    def _ended(self, result: object, pool: ThreadPool, over: Deferred[None]) -> None:
        """The network loop has ended: as it was told to, or by a defect; then it is overdue."""
        pool.stop()
        if self._network_ended is over:
            self._network_ended = None
            if self.running:
                self.log.error("The network thread ended: {result}", result=result)
        over.callback(None)

    def _abandoned(self, failure: Failure) -> None:
        failure.trap(DeferredTimeoutError)
        self.log.info("The network thread is busy, connecting or hung; it is left behind.")

    def _link_changed(self, link: Link, up: bool) -> None:
        if link is self._link:
            self._tell(up=up)

    def _tell(self, *, up: bool) -> None:
        self._told_up = up
        self._changed(up)

    def _say(self, level: str, text: str, **values: object) -> None:
        """Log from the network thread: the log observers belong to the reactor thread."""
        named = {"broker": self._broker.address, **values}
        emit = self.log.emit
        self._reactor.callFromThread(emit, LogLevel.lookupByName(level), text, **named)

    # ------------------------------------------------- the drain

    def drain_due(self) -> float:
        """Give the monotonic second by which the queue will have given a batch; inf if empty."""
        return self._drain_due

    def restart_drain(self) -> None:
        """Take from the queue again."""
        self._drain_due = self._monotonic() + DRAIN_PATIENCE
        self._reactor.callLater(0, self._drain)

    def _deliver(self, delivery: Delivery) -> None:
        """Queue a delivery; in the network thread."""
        if self._queue.put(delivery):
            self._drain_due = delivery.arrived + DRAIN_PATIENCE
            self._reactor.callFromThread(self._reactor.callLater, DRAIN_DELAY, self._drain)

    def _drain(self) -> None:
        # Before the queue is looked at: a delivery that comes meanwhile may then set it.
        self._drain_due = math.inf
        batch, more = self._queue.take(BATCH_LENGTH)
        if more and self.running:
            self._drain_due = self._monotonic() + DRAIN_PATIENCE
            self._reactor.callLater(0, self._drain)
        try:
            self._receive(batch)
        except Exception:  # noqa: BLE001 - the next batch must come
            self.log.failure("A batch of {count} deliveries was lost", count=len(batch))
        if self._queue.dropped > self._drops_said and self._monotonic() >= self._drops_due:
            self._say_drops()

    def _say_drops(self) -> None:
        self.log.warn(
            "More came than could be taken in: {dropped} messages were dropped since the start, "
            "{lost} of them test results; the next line about it in {period:.0f} s at the earliest",
            dropped=self._queue.dropped,
            lost=self._queue.dropped_acknowledged,
            period=DROPS_PERIOD,
        )
        self._drops_said = self._queue.dropped
        self._drops_due = self._monotonic() + DROPS_PERIOD
