"""One simulated Maestro process: what it answers, and what it says unasked.

Nothing here does I/O or reads a clock.  `now` is seconds on whatever clock the
caller keeps for the whole cluster; `wall` is seconds since the epoch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

from maestro_exporter.notes import (
    DrainComplete,
    Generation,
    InternalError,
    Note,
    Notification,
    OkResponse,
    PingRequest,
    PingResponse,
    Role,
    Sender,
    StatsRequest,
    StatsResponse,
    Test,
    TestFailure,
    TestSuccess,
    Topic,
)

#: Roles that a 1.5 worker takes on and off; `OTHER` is a worker without one.
WORKER_ROLES = frozenset({Role.OTHER, Role.SENDER, Role.RECEIVER})

#: What 1.5 says about a test of which nothing was given: -1 means "the next one".
NEXT_TEST = Test(number=-1, iteration=-1, name="", script_name="", description="", comments="")

# How unsteady a worker is: its speed swings by this share, once per so many seconds.
_SWING = 0.3
_SWING_SECONDS = 40.0
# Workers refresh their latency at this interval.
_LATENCY_INTERVAL_SECONDS = 10.0

_N = TypeVar("_N", bound=Notification)


def make_id(generation: Generation, uuid: object) -> str:
    """Give the id that a process of a generation makes of a UUID."""
    return str(uuid) if generation is Generation.V1_3 else f"maestro.exchange.{uuid}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a worker does during one test run.

    A receiver's work is its sender's, `lag_seconds` later: so it never receives
    what has not been sent.

    Attributes:
        started_at: when the run began.
        rate: messages per second that are exchanged on average.
        ends_at: when no more messages are sent, even if the run goes on.
        lag_seconds: how long messages are under way; 0 for a sender.
        phase: where in its swing the speed begins, radians.
        measures_latency: whether the run has a fail-condition latency (receivers only).
        parallel_count: the configured number of connections.
    """

    started_at: float
    rate: float
    ends_at: float = math.inf
    lag_seconds: float = 0.0
    phase: float = 0.0
    measures_latency: bool = False
    parallel_count: int = 1

    def count(self, now: float) -> int:
        """Give the messages exchanged since the run began; never falls as `now` grows."""
        elapsed = max(0.0, min(now - self.lag_seconds, self.ends_at) - self.started_at)
        turn = 2 * math.pi / _SWING_SECONDS
        swing = _SWING / turn * (math.cos(self.phase) - math.cos(self.phase + turn * elapsed))
        return int(self.rate * (elapsed + swing))

    def latency(self, now: float) -> float:
        """Give the mean latency of the last complete interval, microseconds."""
        interval = (now - self.started_at) // _LATENCY_INTERVAL_SECONDS
        if not self.measures_latency or interval < 1:
            return 0.0
        return self.lag_seconds * 1e6 * (1 + _SWING * math.sin(self.phase + interval))


class Peer:
    """One process of a simulated cluster.

    Args:
        generation: the dialect it speaks.
        role: what it does; in 1.5 a worker's may change, see `assign`.
        host: where it says it runs.
        name: what it says it is called; None for what such a process is called upstream.
        id: unique for the life of the process; None for a fresh one.
        child_count: the configured parallel count before any test was started.
        clock_skew_seconds: how far its clock is ahead of everybody else's.
        delay_seconds: how long it takes to begin with an answer.

    Attributes:
        alive: whether it answers and speaks.
        work: the test run it takes part in, or None when it is idle.
        sender: the identity that its notes carry.
    """

    def __init__(
        self,
        generation: Generation,
        role: Role,
        host: str,
        *,
        name: str | None = None,
        id: str | None = None,
        child_count: int = 0,
        clock_skew_seconds: float = 0.0,
        delay_seconds: float = 0.0,
    ) -> None:
        self.generation = generation
        self.host = host
        self.name = _name(generation, role, host) if name is None else name
        self.id = make_id(generation, uuid4()) if id is None else id
        self.child_count = child_count
        self.clock_skew_seconds = clock_skew_seconds
        self.delay_seconds = delay_seconds
        self.alive = True
        self.work: Work | None = None
        self.assign(role)

    def __repr__(self) -> str:
        return f"<Peer {self.generation.value} {role_word(self.generation, self.role)} {self.id}>"

    def assign(self, role: Role) -> None:
        """Change its role; up to 1.4 its name stays what it was."""
        self.role = role
        if self.generation is Generation.V1_5:
            self.sender = Sender(id=self.id, name=self.name, host=self.host, role=role, group="all")
        else:
            self.sender = Sender(id=self.id, name=self.name)

    def start(self, work: Work) -> None:
        """Take part in a test run."""
        self.work = work
        self.child_count = work.parallel_count

    def stop(self) -> None:
        """Leave the test run; the parallel count outlives it from 1.4 on."""
        self.work = None
        if self.generation is Generation.V1_3:
            self.child_count = 0

    def hears(self, topic: str) -> bool:
        """Tell whether it subscribes to a topic of requests."""
        if self.generation is not Generation.V1_5:
            return topic == Topic.DAEMONS
        return topic == Topic.PEERS or (topic == Topic.WORKERS and self.role in WORKER_ROLES)

    def answer(self, request: Note, now: float, wall: float) -> list[Note]:
        """Give what it replies to a request it heard: STATS and PING; silence to the rest."""
        if not self.alive or not self._understands(request):
            return []
        header = self._header(request)
        reply: Note
        if isinstance(request, StatsRequest):
            reply = self._measure(header, now)
        elif isinstance(request, PingRequest) and not self._ignores_ping():
            reply = PingResponse(**header, elapsed=self._elapsed(request, wall))
        else:
            return []
        # The packaged agent has one extension point, which reports after each answer.
        return [reply, OkResponse(**header)] if self.role is Role.AGENT else [reply]

    def say(self, kind: type[_N], **fields: Any) -> _N:
        """Make a notification; fields that its generation does not have are left out."""
        if self.generation is not Generation.V1_5:
            fields.pop("test", None)
        elif "test" in kind.__dataclass_fields__:
            fields.setdefault("test", NEXT_TEST)
        return kind(**self._header(None), **fields)

    def _understands(self, request: Note) -> bool:
        """Tell whether its decoder takes a request: STATS of 1.3 and 1.4 are alike enough."""
        old_request = request.generation is Generation.V1_3
        if isinstance(request, StatsRequest):
            return not (old_request and self.generation is Generation.V1_5)
        return old_request == (self.generation is Generation.V1_3)

    def _ignores_ping(self) -> bool:
        return self.generation is Generation.V1_5 and self.role is Role.REPORTS_SERVER

    def _header(self, request: Note | None) -> dict[str, Any]:
        """Give the header fields: correlated to the request where the generation does that."""
        header: dict[str, Any] = {"generation": self.generation, "sender": self.sender}
        if self.generation is Generation.V1_3:
            return header
        # 1.4 loses the ids of a STATS request, and so answers it with fresh ones.
        lost = self.generation is Generation.V1_4 and isinstance(request, StatsRequest)
        if request is None or lost or request.correlation_id is None:
            return header | {"correlation_id": str(uuid4()), "message_id": str(uuid4())}
        return header | {
            "correlation_id": request.correlation_id,
            "message_id": request.message_id,
        }

    def _measure(self, header: dict[str, Any], now: float) -> StatsResponse:
        count, rate, latency = 0, 0.0, 0.0
        if self.work is not None:
            count = self.work.count(now)
            seconds = int(now - self.work.started_at)
            if seconds > 0:
                whole = self.generation is Generation.V1_3  # it divides integers
                rate = float(count // seconds) if whole else count / seconds
            if self.role is Role.RECEIVER:
                latency = self.work.latency(now)
        old = self.generation is not Generation.V1_5
        return StatsResponse(
            **header,
            child_count=self.child_count,
            role=role_word(self.generation, self.role) if old else None,
            role_info="",
            stats_type=0,
            timestamp="0",
            count=count,
            rate=rate,
            latency=latency,
        )

    def _elapsed(self, request: PingRequest, wall: float) -> int:
        """Give whole milliseconds from the asker's clock to this peer's, toward zero."""
        here = round((wall + self.clock_skew_seconds) * 1_000_000)
        return int((here - request.sec * 1_000_000 - request.usec) / 1000)


def role_word(generation: Generation, role: Role) -> str:
    """Give the word that a generation has for a role."""
    if role is Role.REPORTS_SERVER and generation is not Generation.V1_5:
        return "data-server"
    return role.name.lower().replace("_", "-")


def _name(generation: Generation, role: Role, host: str) -> str:
    if generation is not Generation.V1_5:
        return f"{role_word(generation, role)}@{host}"
    return "worker" if role in WORKER_ROLES else role_word(generation, role)


class Delivery(NamedTuple):
    """How a note travels: topic, MQTT quality of service, retain flag."""

    topic: str
    qos: int
    retain: bool = False


def route(note: Note) -> Delivery:
    """Give how peers of the note's generation publish it."""
    new = note.generation is Generation.V1_5
    if not isinstance(note, Notification):
        return Delivery(Topic.RESPONSES, int(new and isinstance(note, OkResponse | InternalError)))
    if new:
        return Delivery(Topic.NOTIFICATIONS, 1 if isinstance(note, DrainComplete) else 2)
    results = isinstance(note, TestSuccess | TestFailure)
    return Delivery(Topic.NOTIFICATIONS, 0, note.generation is Generation.V1_3 and results)
