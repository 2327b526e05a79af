"""A simulated cluster on a real MQTT broker.

Threads: paho has one per connection, whose callbacks do nothing but put work
into an inbox.  One thread of ours empties it and keeps the timetable; it alone
touches connections' peers, decodes, answers and publishes.  All threads are
daemons.  The public methods may be called from any thread.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import queue
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from threading import Event as Flag
from threading import Thread

from maestro_exporter import values
from maestro_exporter.notes import Note, NoteError, decode, encode
from maestro_exporter.simulator.connection import Connection
from maestro_exporter.simulator.events import Died, Event, Joined, Said, WorkStarted, WorkStopped
from maestro_exporter.simulator.peers import Delivery, Peer, route
from maestro_exporter.values import BrokerURL

_PEERS_PER_CONNECTION = 2500
_MOST_CONNECTIONS = 8
_STOP_SECONDS = 0.4  # for each of the two kinds of threads


def plain_broker(url: str) -> BrokerURL:
    """Parse the URL of a broker that a cluster can live on; raise ValueError for others."""
    broker = values.broker(url)
    if broker.tls:
        raise ValueError("the simulator speaks mqtt:// only")
    if broker.password and not broker.username:
        raise ValueError("there is a password, but no user name")
    return broker


@dataclass(frozen=True, slots=True)
class Status:
    """What a cluster is doing.

    Attributes:
        connected, connections: how many of its MQTT connections can be used, of how many.
        peers: processes alive.
        requests: requests heard, each counted once however many peers heard it.
        answers: replies sent by all peers.
    """

    connected: int
    connections: int
    peers: int
    requests: int
    answers: int


class SimulatedCluster:
    """Peers that live on a broker from `start` to `stop`.

    It connects, and comes back after the broker went away, by itself; what peers
    say meanwhile is lost.

    Args:
        url: the broker, `mqtt://[user[:password]@]host[:port]`.
        peers: who lives at the beginning.
        events: what happens to them, in the order of time; may have no end.
        connections: MQTT connections to share; None for one per 2,500 peers, up to 8.
        on_event: called with each event once it is done, on the cluster's own thread.

    Raises:
        ValueError: the URL is none, or asks for TLS.
    """

    def __init__(
        self,
        url: str,
        peers: Iterable[Peer] = (),
        *,
        events: Iterable[Event] = (),
        connections: int | None = None,
        on_event: Callable[[Event], None] = lambda event: None,
    ) -> None:
        broker = plain_broker(url)
        peers = list(peers)
        if connections is None:
            connections = min(_MOST_CONNECTIONS, -(-len(peers) // _PEERS_PER_CONNECTION) or 1)
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._connections = [Connection(broker, self._receive) for _ in range(connections)]
        self._homes: dict[Peer, Connection] = {}
        for peer in peers:
            self._join(peer)
        self._events = iter(events)
        self._on_event = on_event
        self._timetable: list[tuple[float, int, Callable[[], None]]] = []
        self._ticket = itertools.count()  # keeps what is due at the same time in order
        self._stopping = Flag()
        self._began_at = 0.0
        self._requests = self._answers = 0
        self._thread = Thread(target=self._run, name="simulated-cluster", daemon=True)

    def start(self) -> None:
        """Begin to connect, and to live; returns at once."""
        self._began_at = time.monotonic()
        self._thread.start()
        for connection in self._connections:
            connection.open()

    def wait_connected(self, timeout_seconds: float) -> bool:
        """Wait until every connection is subscribed; tell whether that came true in time."""
        deadline = time.monotonic() + timeout_seconds
        return all(
            connection.ready.wait(max(0.0, deadline - time.monotonic()))
            for connection in self._connections
        )

    def stop(self) -> None:
        """Disconnect and end all threads; takes less than a second, and may be repeated."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._inbox.put(lambda: None)
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)
        closing = [connection.close() for connection in self._connections]
        deadline = time.monotonic() + _STOP_SECONDS
        for thread in closing:
            thread.join(max(0.0, deadline - time.monotonic()))

    def now(self) -> float:
        """Give the seconds since the start: the clock of events, and of peers' work."""
        return time.monotonic() - self._began_at

    def add(self, peer: Peer) -> None:
        """Let a peer join."""
        self._inbox.put(partial(self._join, peer))

    def kill(self, peer: Peer) -> None:
        """Let a peer die: from now on it is silent."""
        peer.alive = False
        self._inbox.put(partial(self._leave, peer))

    def notify(self, peer: Peer, note: Note) -> None:
        """Let a peer publish a note, such as one that `Peer.say` made.

        Raises:
            ValueError: the note does not fit the wire.
        """
        self._inbox.put(partial(self._publish, peer, route(note), encode(note)))

    def status(self) -> Status:
        """Give a summary for people."""
        return Status(
            connected=sum(connection.ready.is_set() for connection in self._connections),
            connections=len(self._connections),
            peers=len(self._homes),
            requests=self._requests,
            answers=self._answers,
        )

    # ------------------------------------------- on the cluster's own thread

    def _run(self) -> None:
        self._schedule_event()
        while not self._stopping.is_set():
            with contextlib.suppress(queue.Empty):
                self._inbox.get(timeout=self._idle_seconds())()
            while self._idle_seconds() == 0 and not self._stopping.is_set():
                heapq.heappop(self._timetable)[2]()

    def _idle_seconds(self) -> float | None:
        """Give how long nothing is due; None for ever."""
        return max(0.0, self._timetable[0][0] - self.now()) if self._timetable else None

    def _schedule(self, at: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._timetable, (at, next(self._ticket), action))

    def _schedule_event(self) -> None:
        event = next(self._events, None)
        if event is not None:
            self._schedule(event.at, partial(self._carry_out, event))

    def _carry_out(self, event: Event) -> None:
        match event:
            case WorkStarted(peer=peer, role=role, work=work):
                peer.assign(role)
                peer.start(work)
            case WorkStopped(peer=peer):
                peer.stop()
            case Said(peer=peer, kind=kind, fields=fields):
                note = peer.say(kind, **fields)
                self._publish(peer, route(note), encode(note))
            case Died(peer=peer):
                peer.alive = False
                self._leave(peer)
            case Joined(peer=peer):
                self._join(peer)
        self._on_event(event)
        self._schedule_event()

    def _join(self, peer: Peer) -> None:
        home = min(self._connections, key=lambda connection: len(connection.peers))
        home.peers[peer] = None
        self._homes[peer] = home

    def _leave(self, peer: Peer) -> None:
        home = self._homes.pop(peer, None)
        if home is not None:
            del home.peers[peer]

    def _receive(self, connection: Connection, topic: str, payload: bytes) -> None:
        """Take a request over; runs on the connection's thread."""
        self._inbox.put(partial(self._hear, connection, topic, payload))

    def _hear(self, connection: Connection, topic: str, payload: bytes) -> None:
        try:
            request = decode(payload, topic)
        except NoteError:
            return  # peers only log it
        if connection is self._connections[0]:  # the others hear the same
            self._requests += 1
        for peer in connection.peers:
            if not peer.hears(topic):
                continue
            if self._stopping.is_set():
                return
            if peer.delay_seconds:
                answer = partial(self._answer, peer, request)
                self._schedule(self.now() + peer.delay_seconds, answer)
            else:
                self._answer(peer, request)

    def _answer(self, peer: Peer, request: Note) -> None:
        for reply in peer.answer(request, self.now(), time.time()):
            self._publish(peer, route(reply), encode(reply))
            self._answers += 1

    def _publish(self, peer: Peer, delivery: Delivery, payload: bytes) -> None:
        """Send a payload, unless the peer is dead or the broker away."""
        home = self._homes.get(peer)
        if home is not None and peer.alive:
            home.publish(*delivery, payload)
