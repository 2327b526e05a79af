"""What happens to a simulated cluster: all of it follows from a `Scenario` and its seed.

A `Script` makes the peers and tells, lazily and in the order of time, what
happens to them.  Nothing here does I/O or reads a clock: times are seconds
since the scenario began.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from operator import attrgetter
from random import Random
from typing import Any
from uuid import UUID

from maestro_exporter.notes import (
    DrainComplete,
    Generation,
    Notification,
    Role,
    Test,
    TestFailure,
    TestStarted,
    TestSuccess,
)
from maestro_exporter.simulator.events import (
    Died,
    Event,
    Joined,
    RunEnded,
    RunStarted,
    Said,
    WorkStarted,
    WorkStopped,
)
from maestro_exporter.simulator.peers import WORKER_ROLES, Peer, Work, make_id

#: Up to so many hosts are made; a larger cluster shares them in turn, so that one
#: host has several processes, of several kinds, as real test machines do.
MAX_HOSTS = 1000

# Of so many peers one is an inspector and one an agent, and one has a wrong clock.
_PEERS_PER_INSPECTOR = 20
_PEERS_PER_SKEW = 10
# The first run begins early, so that there is something to see.
_FIRST_PAUSE_SECONDS = 5.0
# Peers say that they began or ended within so many seconds of each other.
_SPREAD_SECONDS = 0.5
_SLOW_SECONDS = (0.5, 3.0)
_LAG_SECONDS = (0.001, 0.05)
_PARALLEL_COUNT = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """How a simulated cluster is made and what befalls it.

    Attributes:
        peers: processes alive at a time.
        protocols: generations that share the peers evenly.
        seed: the same seed and parameters give the same peers and events.
        test_seconds: how long a test run lasts unless it fails.
        pause_seconds: from the end of a run to the start of the next.
        rate: messages per second that each sender sends, give or take a fifth.
        failure_share: of all runs, the share that fails (0 to 1), before its time.
        dying_share: the share of peers (0 to 1) that die in each run; new processes
            take their places in the pause that follows.
        slow_share: the share of peers (0 to 1) that take 0.5 to 3 s to answer.
        skew_seconds: one peer in ten has a clock wrong by up to this, either way.
    """

    peers: int = 20
    protocols: tuple[Generation, ...] = (Generation.V1_5,)
    seed: int = 0
    test_seconds: float = 120.0
    pause_seconds: float = 30.0
    rate: float = 100.0
    failure_share: float = 0.2
    dying_share: float = 0.02
    slow_share: float = 0.02
    skew_seconds: float = 0.5


@dataclass(slots=True)
class _Seat:
    """A place in the cluster: processes in it come and go."""

    generation: Generation
    role: Role
    host: str
    peer: Peer = field(init=False)

    @property
    def is_worker(self) -> bool:
        return self.role in WORKER_ROLES


class Script:
    """The peers of a scenario, and what happens to them.

    Attributes:
        peers: the processes at the beginning, all idle.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._random = Random(scenario.seed)  # noqa: S311 - a simulation, not a secret
        self._seats = _make_seats(scenario)
        for seat in self._seats:
            seat.peer = self._make_peer(seat, seat.role)
        self.peers = [seat.peer for seat in self._seats]

    def events(self) -> Iterator[Event]:
        """Give everything that happens, in the order of time, without end; call it once."""
        begin = min(_FIRST_PAUSE_SECONDS, self._scenario.pause_seconds)
        for number in itertools.count(1):
            run = self._make_run(number, begin)
            end = run[-1].at
            begin = end + self._scenario.pause_seconds
            yield from run
            dead = {event.peer for event in run if isinstance(event, Died)}
            yield from self._make_replacements(dead, end, begin)

    def _make_peer(self, seat: _Seat, role: Role) -> Peer:
        random, scenario = self._random, self._scenario
        skew = scenario.skew_seconds if random.random() < 1 / _PEERS_PER_SKEW else 0.0
        slow = random.random() < scenario.slow_share
        return Peer(
            seat.generation,
            role,
            seat.host,
            id=make_id(seat.generation, UUID(int=random.getrandbits(128), version=4)),
            clock_skew_seconds=random.uniform(-skew, skew),
            delay_seconds=random.uniform(*_SLOW_SECONDS) if slow else 0.0,
        )

    def _make_run(self, number: int, begin: float) -> list[Event]:
        """Give the events of one run in the order of time; the last is its end."""
        random, scenario = self._random, self._scenario
        spread = min(_SPREAD_SECONDS, scenario.test_seconds / 4)
        members = [seat for seat in self._seats if seat.is_worker or seat.role is Role.INSPECTOR]
        end = begin + scenario.test_seconds
        failing = None
        if random.random() < scenario.failure_share:
            failing = random.choice(members).peer
            end = random.uniform(begin + spread, end)
        deaths = {
            seat.peer: random.uniform(begin + spread, end)
            for seat in self._seats
            if random.random() < scenario.dying_share and seat.peer is not failing
        }
        test = _make_test(number)
        events: list[Event] = [Died(at=at, peer=peer) for peer, at in deaths.items()]
        events += self._make_work(begin, end, deaths)
        for seat in members:
            peer = seat.peer
            if seat.generation is Generation.V1_5:
                at = begin + random.uniform(0, spread)
                events.append(_say(at, peer, TestStarted, test=test, message=""))
            if peer not in deaths:
                at = end if peer is failing else end + random.uniform(0, spread)
                events += _make_ending(at, seat, test, peer is not failing)
        events.sort(key=attrgetter("at"))
        died = any(seat.peer in deaths for seat in members)
        result = "failure" if failing else "incomplete" if died else "success"
        return [
            RunStarted(at=begin, number=number),
            *events,
            RunEnded(at=events[-1].at, number=number, result=result),
        ]

    def _make_work(self, begin: float, end: float, deaths: dict[Peer, float]) -> Iterator[Event]:
        """Give each worker its work: the nth receiver gets what the nth sender sends."""
        random, scenario = self._random, self._scenario
        workers = [seat for seat in self._seats if seat.is_worker]
        pairs = itertools.zip_longest(
            (seat for seat in workers if seat.role is Role.SENDER),
            (seat for seat in workers if seat.role is Role.RECEIVER),
        )
        for sender, receiver in pairs:
            work = Work(
                started_at=begin,
                ends_at=min(end, deaths.get(sender.peer, end)),
                rate=scenario.rate * random.uniform(0.8, 1.2),
                phase=random.uniform(0, 2 * math.pi),
                parallel_count=_PARALLEL_COUNT,
            )
            yield WorkStarted(at=begin, peer=sender.peer, role=sender.role, work=work)
            if receiver is not None:
                lag = random.uniform(*_LAG_SECONDS)
                work = replace(work, lag_seconds=lag, measures_latency=True)
                yield WorkStarted(at=begin, peer=receiver.peer, role=receiver.role, work=work)

    def _make_replacements(self, dead: set[Peer], end: float, begin: float) -> list[Joined]:
        """Put a new process into each seat whose last one died."""
        joins = []
        for seat in self._seats:
            if seat.peer in dead:
                # A 1.5 worker has no role until the next test gives it one.
                fresh = seat.is_worker and seat.generation is Generation.V1_5
                seat.peer = self._make_peer(seat, Role.OTHER if fresh else seat.role)
                joins.append(Joined(at=self._random.uniform(end, begin), peer=seat.peer))
        return sorted(joins, key=attrgetter("at"))


def _make_seats(scenario: Scenario) -> list[_Seat]:
    """Give each generation its even share of the seats, and every seat a host."""
    share, rest = divmod(scenario.peers, len(scenario.protocols))
    places = [
        (generation, role)
        for index, generation in enumerate(scenario.protocols)
        for role in _make_roles(share + (index < rest))
    ]
    return [
        _Seat(generation, role, f"node-{index % MAX_HOSTS + 1:04}.example.com")
        for index, (generation, role) in enumerate(places)
    ]


def _make_roles(peers: int) -> list[Role]:
    """Give the roles of a cluster: 4 peers have one of each kind, fewer only workers."""
    helpers = max(1, peers // _PEERS_PER_INSPECTOR) if peers >= 4 else 0
    workers = peers - 2 * helpers
    pairs = [Role.SENDER, Role.RECEIVER] * (workers // 2) + [Role.SENDER] * (workers % 2)
    return pairs + [Role.INSPECTOR] * helpers + [Role.AGENT] * helpers


def _make_test(number: int) -> Test:
    # Upstream's scripts run tests under these placeholders ("the next one").
    return Test(
        number=-1,
        iteration=-1,
        name=f"simulated-{number}",
        script_name="simulator/FixedRateTest.groovy",
        description="A test run that was never there",
        comments="",
    )


def _make_ending(at: float, seat: _Seat, test: Test, successful: bool) -> Iterator[Event]:
    """Give what a peer does when its part of the run is over."""
    peer = seat.peer
    subject = "Test" if seat.is_worker else "Inspector"
    if successful:
        ending = "completed" if seat.is_worker else "finished"
        yield _say(at, peer, TestSuccess, test=test, message=f"{subject} {ending} successfully")
    else:
        yield _say(at, peer, TestFailure, test=test, message=f"{subject} failed: connection reset")
    if seat.is_worker:
        yield WorkStopped(at=at, peer=peer)
    if seat.role is Role.RECEIVER and seat.generation is not Generation.V1_3:
        message = f"Drain completed {'successfully' if successful else 'with warnings'}"
        yield _say(at, peer, DrainComplete, successful=successful, message=message)


def _say(at: float, peer: Peer, kind: type[Notification], **fields: Any) -> Said:
    return Said(at=at, peer=peer, kind=kind, fields=fields)
