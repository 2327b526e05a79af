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
from maestro_exporter.snapshot import TYPES, Moment, Series, Snapshot

_OTHER = "other"
_TYPE_OF_ROLE = {role: role.name.lower().replace("_", "-") for role in Role}

#: Rounds whose PINGs are still waited for; later answers to older ones are ignored.
_ROUNDS_REMEMBERED = 16


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


#: Peer and type.
_SeriesKey = tuple[str, str]


class _Silent(NamedTuple):
    """The last process of a peer that fell silent."""

    id: str
    last_heard: Moment


class _Round(NamedTuple):
    number: int
    asked: Moment


class Cluster:
    """The peers that answer, kept up to date by `apply`, `begin_round` and `expire`.

    Args:
        expiry: seconds of silence after which a process is no longer up.
        forget: seconds of silence after which nothing of a peer is left; from its last answer.
        max_peers: most processes and silent peers that are remembered together.

    Calls come in the order of monotonic time; disorder delays an expiry by as much.
    """

    def __init__(self, *, expiry: float, forget: float, max_peers: int) -> None:
        self._expiry = expiry
        self._forget = forget
        self._max_peers = max_peers
        # By id, the longest silent first.
        self._processes: dict[str, _Process] = {}
        # The same processes by (peer, type), in order of appearance.
        self._series: dict[_SeriesKey, dict[str, _Process]] = {}
        # Peers without a process that is up, the longest silent first, and where the
        # last process of each is to be found should its id speak again.
        self._silent: dict[_SeriesKey, _Silent] = {}
        self._silent_ids: dict[str, _SeriesKey] = {}
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
                self._silent[series] = _Silent(key, process.last_heard)
                self._silent_ids[key] = series
            self._changed()
        while self._silent:
            series, silent = next(iter(self._silent.items()))
            if at.monotonic - silent.last_heard.monotonic < self._forget:
                break
            self._forget_silent(series)
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
            Series(peer=peer, type=type_, instances=0, last_reply=silent.last_heard)
            for (peer, type_), silent in self._silent.items()
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

        The one has not spoken since the newest appeared, though it was asked: in the
        round in which the newest appeared, or in a whole round that the newest answered.
        """
        asked_in_vain = process.last_round < newest.first_round or (
            process.last_round < min(newest.last_round, self._round - 1)
        )
        return asked_in_vain and process.last_heard.monotonic < newest.first_heard.monotonic

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
        process = self._processes.get(_key(note.generation, note.sender))
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
        key = _key(note.generation, sender) if sender is not None else ""
        if sender is None or not key:
            return None
        peer = _peer(note.generation, sender)
        process = self._processes.pop(key, None)
        if process is None:
            type_ = _type(sender, role)
            # Its old type goes, if it has changed its role in silence.
            self._forget_silent(self._silent_ids.get(key, (peer, type_)))
            if not self._make_room((peer, type_)):
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

    def _make_room(self, series: _SeriesKey) -> bool:
        """Tell whether a process may join a series; who does not answer gives way to it."""
        if len(self._processes) + len(self._silent) < self._max_peers:
            return True
        if self._silent:
            self._forget_silent(next(iter(self._silent)))
            return True
        # At a restart, the predecessor must not lock its successor out.  Only the eldest
        # is looked at: a look at all would be what a flood of new ids makes costly.
        for key, process in self._series.get(series, {}).items():
            if process.last_round == self._round:
                break
            del self._processes[key]
            self._leave_series(key, process)
            return True
        return False

    def _forget_silent(self, series: _SeriesKey) -> None:
        silent = self._silent.pop(series, None)
        if silent is not None:
            del self._silent_ids[silent.id]

    def _join_series(self, key: str, process: _Process) -> None:
        series = (process.peer, process.type)
        self._series.setdefault(series, {})[key] = process
        self._forget_silent(series)

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


def _key(generation: Generation, sender: Sender) -> str:
    """Give what tells processes apart: the id, else the name; empty where there is neither."""
    return sender.id or (sender.name and _peer(generation, sender))


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
