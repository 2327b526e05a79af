"""The rounds: at each interval, ask every peer; now and then, drop the silent.

A round is three requests, however many peers and generations there are: STATS
to the 1.5 peers, STATS to the older ones, and one PING.  PING has no form that
all generations read; where several are heard, each has its turn.

Why on a timer and not at each scrape: peers answer asynchronously, an unknown
number of them, over a broker that the measured cluster uses too.  Two
Prometheus servers would double the load that is being measured.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from maestro_exporter.cluster import Cluster
from maestro_exporter.notes import Generation, PingRequest, Request, StatsRequest, Topic, encode
from maestro_exporter.snapshot import Moment

EXPIRY_PERIOD = 1.0  # seconds between two looks at who is silent
PATIENCE = 10.0  # seconds that a step may be late


class Publish(Protocol):
    """Sends a payload; tells whether it could."""

    def __call__(self, topic: str, payload: bytes) -> bool: ...


class Poller(Service):
    """Asks for STATS and PING, and expires.

    Args:
        cluster: is told of each round, and to expire.
        publish: sends a request.
        interval: seconds between two rounds.
        now: gives the present moment.
        make_id: gives a fresh id for the requests' correlation.
        clock: runs the timers.
        nothing_awaited: called before each round, when the last one has been answered as far
            as it will be.

    Attributes:
        sent: requests, by command.
    """

    log = Logger()

    def __init__(
        self,
        cluster: Cluster,
        publish: Publish,
        *,
        interval: float,
        now: Callable[[], Moment],
        make_id: Callable[[], str],
        clock: Any,
        nothing_awaited: Callable[[], object] = lambda: None,
    ) -> None:
        self._cluster = cluster
        self._publish = publish
        self._interval = interval
        self._now = now
        self._make_id = make_id
        self._nothing_awaited = nothing_awaited
        self.sent: Counter[str] = Counter()
        # When each generation last had its turn to be asked for a PING, counted in turns.
        self._pinged = dict.fromkeys(Generation, 0)
        self._clock = clock
        self._make_loops()

    def startService(self) -> None:
        """Start the timers; the first round comes when the link is up, or after an interval."""
        super().startService()
        self._start_loops()

    def stopService(self) -> None:
        """Stop the timers."""
        super().stopService()
        self._stop_loops()

    def due(self) -> float:
        """Give the monotonic second by which a round will have succeeded, or an expiry had to."""
        if not self.running:
            return math.inf
        overdue = self._expiry_due <= self._now().monotonic
        return self._expiry_due if overdue else self._round_due

    def restart(self) -> None:
        """Run the timers anew."""
        self._stop_loops()
        self._make_loops()
        self._start_loops()

    def link_came_up(self) -> None:
        """Ask at once: whoever starts the exporter should not wait an interval to see peers."""
        if self.running:
            if self._rounds.running:
                self._rounds.reset()
            self._guarded(self._round)

    def _make_loops(self) -> None:
        # A LoopingCall stops for ever when its function raises once.
        self._rounds = LoopingCall(self._guarded, self._round)
        self._expiries = LoopingCall(self._guarded, self._expire)
        self._rounds.clock = self._expiries.clock = self._clock

    def _start_loops(self) -> None:
        now = self._now().monotonic
        self._round_due = now + self._interval + PATIENCE
        self._expiry_due = now + EXPIRY_PERIOD + PATIENCE
        self._rounds.start(self._interval, now=False)
        self._expiries.start(EXPIRY_PERIOD, now=False)

    def _stop_loops(self) -> None:
        for loop in (self._rounds, self._expiries):
            if loop.running:
                loop.stop()

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception:  # noqa: BLE001 - the next round must come
            self.log.failure("A step of the poller failed")

    def _round(self) -> None:
        self._ask()
        self._round_due = self._now().monotonic + self._interval + PATIENCE

    def _ask(self) -> None:
        self._nothing_awaited()
        correlation_id = self._make_id()
        # All generations read this form of STATS.
        stats = StatsRequest(
            generation=Generation.V1_5,
            correlation_id=correlation_id,
            message_id=self._make_id(),
        )
        if not self._send(Topic.PEERS, stats):
            return
        self._send(Topic.DAEMONS, stats)
        generation = self._next_to_ping()
        # Taken last: nothing of ours is in the round trip but the PING itself.
        asked = self._now()
        self._cluster.begin_round(correlation_id, generation, asked)
        self._send(*self._ping(generation, correlation_id, asked))

    def _expire(self) -> None:
        now = self._now()
        self._cluster.expire(now)
        self._expiry_due = now.monotonic + EXPIRY_PERIOD + PATIENCE

    def _next_to_ping(self) -> Generation:
        """Give the generation that was not asked for longest, of those that are heard.

        While nobody is heard, that is 1.5.
        """
        heard = self._cluster.generations or {Generation.V1_5}
        generation = min(heard, key=lambda each: (self._pinged[each], each.value))
        self._pinged[generation] = max(self._pinged.values()) + 1
        return generation

    def _ping(
        self, generation: Generation, correlation_id: str, asked: Moment
    ) -> tuple[str, Request]:
        sec = int(asked.unix)
        ids = (
            {}
            if generation is Generation.V1_3
            else {"correlation_id": correlation_id, "message_id": self._make_id()}
        )
        ping = PingRequest(
            generation=generation, sec=sec, usec=int((asked.unix - sec) * 1e6), **ids
        )
        return Topic.PEERS if generation is Generation.V1_5 else Topic.DAEMONS, ping

    def _send(self, topic: str, request: Request) -> bool:
        sent = self._publish(topic, encode(request))
        self.sent["ping" if isinstance(request, PingRequest) else "stats"] += sent
        return sent
