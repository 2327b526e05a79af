"""What is known of the peers of a Maestro cluster.

`Cluster` takes notes and moments and gives snapshots.  It does no I/O, reads
no clock and knows no metric names: time is an argument everywhere.

A peer *process* is one id.  Processes that carry the same peer name and type
share one *series*.  A process is

* up, from its first answer until it has been silent for the expiry;
* replaced, while it has said nothing since a newer process of its series
  appeared: that is what a restart looks like, and a dead process must not be
  added to its successor.  A word from it puts it back;
* silent, after the expiry: only its series is remembered, until it is forgotten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from maestro_exporter.notes import (
    AbnormalDisconnect,
    Generation,
    InternalError,
    Note,
    PingResponse,
    Reply,
    Role,
    Sender,
    StatsResponse,
    TestFailure,
    TestSuccess,
)

#: What a peer can be; anything else that it says it is counts as `other`.
TYPES = (
    "sender",
    "receiver",
    "inspector",
    "agent",
    "data-server",
    "reports-server",
    "exporter",
    "other",
)
_OTHER = "other"
_TYPE_OF_ROLE = {role: role.name.lower().replace("_", "-") for role in Role}

#: Rounds whose PINGs are still waited for; later answers to older ones are ignored.
_ROUNDS_REMEMBERED = 16


class Moment(NamedTuple):
    """One instant on two clocks, both in seconds.

    Attributes:
        monotonic: never steps; all comparisons use it.
        unix: wall clock since the epoch; shown to people, compared with nothing.
    """

    monotonic: float
    unix: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """What is shown of the processes that share a peer name and type.

    Attributes:
        peer: `name@host`, or the name as sent before 1.5.
        type: one of `TYPES`.
        instances: processes that are up; 0 for a silent peer, which has no values.
        last_reply: when one of them last answered.
        count, connections, rate: sums over the processes, in messages, connections
            and messages/s; None until a STATS reply has come.
        ping: the largest one-way time, clock skew included, in ms; None until
            a PING of ours was answered.
    """

    peer: str
    type: str
    instances: int
    last_reply: Moment
    count: int | None = None
    connections: int | None = None
    rate: float | None = None
    ping: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that is known, at one instant; it does not change any more.

    Attributes:
        generation: grows with every change of the cluster; equal numbers, equal snapshots.
        series: no two with the same peer and type; live ones first, in order of appearance.
        peers_up: processes that are up, by type; every type is there.
        peers_rejected: answers of processes that were not admitted since the start.
        test_successes, test_failures, abnormal_disconnects: notifications since the start.
        rounds: rounds asked since the start.
        last_round: when the last complete round was asked; None before there is one.
        last_round_replies: processes that answered during that round.
    """

    generation: int
    series: tuple[Series, ...]
    peers_up: Mapping[str, int]
    peers_rejected: int
    test_successes: int
    test_failures: int
    abnormal_disconnects: int
    rounds: int
    last_round: Moment | None
    last_round_replies: int


@dataclass(slots=True, kw_only=True)
class _Process:
    """One id, from its first answer to its expiry."""

    peer: str
    type: str
    generation: Generation
    first_heard: Moment
    first_round: int
    last_heard: Moment
    last_round: int
    stats: StatsResponse | None = None
    ping: int | None = None
    ping_round: int = 0


class _Round(NamedTuple):
    number: int
    asked: Moment


class Cluster:
    """The peers that answer, kept up to date by `apply`, `begin_round` and `expire`.

    Args:
        expiry: seconds of silence after which a process is no longer up.
        forget: seconds of silence after which nothing of a peer is left; from its last answer.
        max_peers: most processes and silent peers that are remembered together.

    Moments must not go backwards in monotonic time from one call to the next by
    more than the network's reordering; nothing breaks if they do.
    """

    def __init__(self, *, expiry: float, forget: float, max_peers: int) -> None:
        self._expiry = expiry
        self._forget = forget
        self._max_peers = max_peers
        # By id, the longest silent first.
        self._processes: dict[str, _Process] = {}
        # The same processes by (peer, type), in order of appearance.
        self._series: dict[tuple[str, str], dict[str, _Process]] = {}
        # Last replies of peers without a process that is up, the longest silent first.
        self._silent: dict[tuple[str, str], Moment] = {}
        self._rejected = 0
        self._notified: Counter[type[Note]] = Counter()
        # Rounds by the correlation of their requests; the newest is last.
        self._rounds: dict[str, _Round] = {}
        self._round = 0
        # The last round that asked 1.3 peers for a PING, which they cannot correlate.
        self._uncorrelated_round = 0
        self._answered: set[str] = set()
        self._last_round: Moment | None = None
        self._last_round_replies = 0
        self._generation = 0
        self._snapshot: Snapshot | None = None

    # ------------------------------------------------------------- changes

    def begin_round(self, correlation_id: str, pinged: Iterable[Generation], at: Moment) -> None:
        """Note that all peers are being asked now.

        Args:
            correlation_id: what the requests of this round carry.
            pinged: the generations that are asked for a PING.
            at: now.
        """
        if self._rounds:
            self._last_round = next(reversed(self._rounds.values())).asked
            self._last_round_replies = len(self._answered)
        self._answered = set()
        self._round += 1
        self._rounds[correlation_id] = _Round(self._round, at)
        if len(self._rounds) > _ROUNDS_REMEMBERED:
            del self._rounds[next(iter(self._rounds))]
        if Generation.V1_3 in pinged:
            self._uncorrelated_round = self._round
        self._changed()

    def apply(self, note: Note, at: Moment) -> None:
        """Take in what a peer said; notes that say nothing of the cluster change nothing."""
        action = _ACTIONS.get(type(note))
        if action is not None:
            action(self, note, at)

    def expire(self, at: Moment) -> None:
        """Drop what has been silent for too long."""
        while self._processes:
            key, process = next(iter(self._processes.items()))
            if at.monotonic - process.last_heard.monotonic < self._expiry:
                break
            del self._processes[key]
            self._leave_series(key, process)
            series = (process.peer, process.type)
            if series not in self._series:
                self._silent.pop(series, None)
                self._silent[series] = process.last_heard
            self._changed()
        while self._silent:
            series, last_heard = next(iter(self._silent.items()))
            if at.monotonic - last_heard.monotonic < self._forget:
                break
            del self._silent[series]
            self._changed()

    # ------------------------------------------------------------- reading

    @property
    def generations(self) -> frozenset[Generation]:
        """The generations that the processes that are up speak."""
        return frozenset(process.generation for process in self._processes.values())

    def snapshot(self) -> Snapshot:
        """Give what is known; the same object as long as nothing has changed."""
        if self._snapshot is None:
            self._snapshot = self._take_snapshot()
        return self._snapshot

    def _take_snapshot(self) -> Snapshot:
        series: list[Series] = []
        peers_up = dict.fromkeys(TYPES, 0)
        for (peer, type_), processes in self._series.items():
            live = self._not_replaced(processes)
            peers_up[type_] += len(live)
            series.append(_summed(peer, type_, live))
        series += [
            Series(peer=peer, type=type_, instances=0, last_reply=last_heard)
            for (peer, type_), last_heard in self._silent.items()
        ]
        return Snapshot(
            generation=self._generation,
            series=tuple(series),
            peers_up=MappingProxyType(peers_up),
            peers_rejected=self._rejected,
            test_successes=self._notified[TestSuccess],
            test_failures=self._notified[TestFailure],
            abnormal_disconnects=self._notified[AbnormalDisconnect],
            rounds=self._round,
            last_round=self._last_round,
            last_round_replies=self._last_round_replies,
        )

    def _not_replaced(self, processes: Mapping[str, _Process]) -> list[_Process]:
        if len(processes) == 1:
            return list(processes.values())
        newest = max(processes.values(), key=lambda process: process.first_heard)
        return [process for process in processes.values() if not self._replaced(process, newest)]

    def _replaced(self, process: _Process, newest: _Process) -> bool:
        """Tell a dead predecessor from a process that shares its name.

        The one has not spoken since the newest appeared, though it was asked:
        in the round in which the newest appeared, or in a whole round since.
        """
        return process.last_heard.monotonic < newest.first_heard.monotonic and (
            process.last_round < newest.first_round or process.last_round < self._round - 1
        )

    # ---------------------------------------------------------------- notes

    def _stats(self, note: StatsResponse, at: Moment) -> None:
        process = self._heard(note, at, role=note.role)
        if process is not None:
            process.stats = note

    def _ping(self, note: PingResponse, at: Moment) -> None:
        # The elapsed time of another client's PING measures that client's clock.
        round_number = self._round_of(note)
        if round_number is None:
            return
        process = self._heard(note, at)
        if process is not None and round_number > process.ping_round:
            process.ping = note.elapsed
            process.ping_round = round_number

    def _round_of(self, note: PingResponse) -> int | None:
        """Give the round of ours that a PING reply answers, or None if it answers none."""
        if note.generation is not Generation.V1_3:
            round_ = self._rounds.get(note.correlation_id or "")
            return round_.number if round_ else None
        if not self._uncorrelated_round or note.sender is None:
            return None
        process = self._processes.get(_key(note.sender))
        answered = process.ping_round if process is not None else 0
        return self._uncorrelated_round if answered < self._uncorrelated_round else None

    def _error(self, note: InternalError, at: Moment) -> None:
        self._heard(note, at)

    def _notification(self, note: Note, _at: Moment) -> None:
        self._notified[type(note)] += 1
        self._changed()

    # ------------------------------------------------------------- processes

    def _heard(self, note: Reply, at: Moment, role: str | None = None) -> _Process | None:
        """Give the process that answered, up to date; None if it is not to be known."""
        sender = note.sender
        key = _key(sender) if sender is not None else ""
        if sender is None or not key:
            return None
        peer = _peer(note.generation, sender)
        process = self._processes.pop(key, None)
        if process is None:
            type_ = _type(sender, role)
            if not self._make_room():
                self._rejected += 1
                self._changed()
                return None
            process = _Process(
                peer=peer,
                type=type_,
                generation=note.generation,
                first_heard=at,
                first_round=self._round,
                last_heard=at,
                last_round=self._round,
            )
            self._join_series(key, process)
        else:
            # Before 1.5 only STATS says the role: other answers leave the type as it is.
            type_ = _type(sender, role) if sender.role is not None or role else process.type
            if (peer, type_) != (process.peer, process.type):
                self._leave_series(key, process)
                process.peer, process.type = peer, type_
                self._join_series(key, process)
            process.generation = note.generation
            process.last_heard = at
            process.last_round = self._round
        self._processes[key] = process  # last: the one heard most recently
        self._answered.add(key)
        self._changed()
        return process

    def _make_room(self) -> bool:
        """A peer that answers is worth more than the memory of one that does not."""
        if len(self._processes) + len(self._silent) < self._max_peers:
            return True
        if not self._silent:
            return False
        del self._silent[next(iter(self._silent))]
        return True

    def _join_series(self, key: str, process: _Process) -> None:
        series = (process.peer, process.type)
        self._series.setdefault(series, {})[key] = process
        self._silent.pop(series, None)

    def _leave_series(self, key: str, process: _Process) -> None:
        series = (process.peer, process.type)
        del self._series[series][key]
        if not self._series[series]:
            del self._series[series]

    def _changed(self) -> None:
        self._generation += 1
        self._snapshot = None


_ACTIONS: dict[type[Note], Callable[[Cluster, Any, Moment], None]] = {
    StatsResponse: Cluster._stats,
    PingResponse: Cluster._ping,
    InternalError: Cluster._error,
    TestSuccess: Cluster._notification,
    TestFailure: Cluster._notification,
    AbnormalDisconnect: Cluster._notification,
}


def _key(sender: Sender) -> str:
    """Give what tells processes apart; peers without an id can only go by their name."""
    return sender.id or sender.name


def _peer(generation: Generation, sender: Sender) -> str:
    if generation is Generation.V1_5:
        return f"{sender.name}@{sender.host}"
    return sender.name


def _type(sender: Sender, role: str | None) -> str:
    if sender.role is not None:
        return _TYPE_OF_ROLE[sender.role]
    word = role or sender.name.partition("@")[0]
    return word if word in TYPES else _OTHER


def _summed(peer: str, type_: str, live: list[_Process]) -> Series:
    stats = [process.stats for process in live if process.stats is not None]
    pings = [process.ping for process in live if process.ping is not None]
    return Series(
        peer=peer,
        type=type_,
        instances=len(live),
        last_reply=max(process.last_heard for process in live),
        count=sum(each.count for each in stats) if stats else None,
        connections=sum(each.child_count for each in stats) if stats else None,
        rate=sum(each.rate for each in stats) if stats else None,
        ping=max(pings) if pings else None,
    )
