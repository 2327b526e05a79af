"""A cluster, kept up to date by what its peers say: the parts joined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from math import isnan
from types import MappingProxyType
from typing import Any, TypeVar

from maestro_exporter.cluster.journal import Journal
from maestro_exporter.cluster.processes import (
    LiveProcess,
    Processes,
    key_of,
    measured,
    not_replaced,
    peer_of,
    type_of,
)
from maestro_exporter.cluster.rounds import Round, Rounds
from maestro_exporter.cluster.runs import Runs, Speaker
from maestro_exporter.cluster.tallies import Recent, RoundTrips
from maestro_exporter.notes import (
    AbnormalDisconnect,
    DrainComplete,
    Generation,
    InternalError,
    Note,
    Notification,
    PingResponse,
    ProtocolError,
    Reply,
    Sender,
    StatsResponse,
    TestFailure,
    TestStarted,
    TestSuccess,
)
from maestro_exporter.snapshot import (
    ERRORS,
    NOTIFICATIONS,
    RESULTS,
    TYPES,
    Moment,
    Process,
    Series,
    Snapshot,
    Trail,
)

_T = TypeVar("_T", int, float)
#: Rounds after which it is taken that nobody reads snapshots.
ATTENTION = 16
_VALUES = Process._fields.index("messages")  # the last fields of a process, and of a series


class Cluster:
    """What is known of a cluster: its peers, its test runs, and what happened.

    Args:
        expiry: seconds of silence after which a process is no longer up, and after which
            a request counts as unanswered.
        forget: seconds of silence after which nothing of a peer is left; from its last answer.
        max_peers: most processes and silent peers that are remembered together.

    Calls come in the order of monotonic time; disorder delays an expiry by as much.
    """

    def __init__(self, *, expiry: float, forget: float, max_peers: int) -> None:
        self._journal = Journal()
        self._rounds = Rounds(expiry)
        self._processes = Processes(
            expiry=expiry, forget=forget, most=max_peers, journal=self._journal
        )
        self._runs = Runs(patience=expiry, most=max_peers, journal=self._journal)
        self._notifications: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._recent = Recent()
        self._round_trips = {type_: RoundTrips() for type_ in TYPES}
        self._generation = 0
        self._snapshot: Snapshot | None = None
        self._unread = ATTENTION  # rounds since the last snapshot
        self._unshown: list[LiveProcess] = []  # who has answered since

    # ------------------------------------------------------------- changes

    def begin_round(self, correlation_id: str, pinged: Generation, at: Moment) -> None:
        """Note that all peers are being asked now.

        Args:
            correlation_id: what the requests of this round carry.
            pinged: the generation that is asked for a PING.
            at: now.
        """
        self._rounds.begin(correlation_id, pinged, at)
        self._unread += 1
        self._changed()

    def apply(self, note: Note, at: Moment) -> None:
        """Take in what a peer said; notes that say nothing of the cluster change nothing."""
        action = _ACTIONS.get(type(note))
        if action is not None:
            action(self, note, at)

    def expire(self, at: Moment) -> None:
        """Drop what has been silent for too long."""
        expired = self._rounds.expire(at)
        expired |= self._processes.expire(at)
        expired |= self._runs.expire(self._rounds.overdue, at)
        if expired:
            self._changed()

    def link_changed(self, at: Moment, *, up: bool) -> None:
        """Note that the link to the broker came up, or went down."""
        self._journal.add("connection_found" if up else "connection_lost", at)
        if not up:
            # It may have been broken for a while before that was noticed.
            self._runs.excuse(self._rounds.number)
        self._changed()

    # ------------------------------------------------------------- reading

    @property
    def generations(self) -> frozenset[Generation]:
        """The generations that the processes that are up speak."""
        return self._processes.generations

    @property
    def generation(self) -> int:
        """The number of the state that a snapshot would show now."""
        return self._generation

    def snapshot(self) -> Snapshot:
        """Give what is known; the same object as long as nothing has changed."""
        if self._snapshot is None:
            self._snapshot = self._take_snapshot()
        return self._snapshot

    def _take_snapshot(self) -> Snapshot:
        rounds, runs = self._rounds, self._runs
        series: list[Series] = []
        peers_up = dict.fromkeys(TYPES, 0)
        for (peer, type_), processes in self._processes.live():
            if len(processes) == 1:  # as most are
                (only,) = processes.values()
                series.append(self._alone(only))
                peers_up[type_] += 1
            else:
                there = not_replaced(processes, rounds.number)
                series.append(_summed(peer, type_, tuple([self._view(each) for each in there])))
                peers_up[type_] += len(there)
        self._unread = 0
        self._unshown.clear()
        series += [
            Series(peer=peer, type=type_, up=False, processes=(last,), last_reply=last.last_heard)
            for (peer, type_), last in self._processes.silent()
        ]
        return Snapshot(
            generation=self._generation,
            series=tuple(series),
            peers_up=MappingProxyType(peers_up),
            peers_rejected=self._processes.rejected,
            notifications=_counts(self._notifications, NOTIFICATIONS),
            errors=_counts(self._errors, ERRORS),
            rounds=rounds.number,
            late_replies=rounds.late,
            last_round=rounds.complete.asked if rounds.complete else None,
            last_round_replies=self.last_round_replies or 0,
            round_trips=MappingProxyType(
                {type_: trips.view() for type_, trips in self._round_trips.items()}
            ),
            run=runs.last,
            finished=runs.finished,
            results=_counts(runs.results, RESULTS),
            events=self._journal.events(),
        )

    def trails(self) -> Mapping[tuple[str, str], Trail]:
        """Give what each series of the snapshot did lately, by peer and type."""
        return dict(self._processes.trails())

    @property
    def round(self) -> int:
        """The number of the newest round; 0 before the first."""
        return self._rounds.number

    @property
    def complete_round(self) -> int:
        """The number of the newest round but one, which a snapshot shows; 0 before it is there."""
        complete = self._rounds.complete
        return complete.number if complete is not None else 0

    @property
    def last_round_replies(self) -> int | None:
        """What a snapshot would show, None before the first round; cheaper than to take one."""
        complete = self._rounds.complete
        return complete.replies if complete is not None else None

    def freshen(self) -> None:
        """Prepare to show who has answered since this was last called.

        With many peers, all that at once is too long a pause when a snapshot is taken.
        Nothing is done while nobody takes any.  Changes nothing that can be seen.
        """
        for process in self._unshown:
            if process.shown is None:
                self._alone(process)
        self._unshown.clear()

    def _alone(self, process: LiveProcess) -> Series:
        """Give the series of a process that is alone in it."""
        shown = process.shown
        if (
            shown is None
            or (shown.messages is not None and process.stats_round < self._rounds.overdue)
            or (
                shown.ping is not None
                and process.ping_round < self._rounds.overdue_ping(process.generation)
            )
        ):
            view = self._view(process)
            values = view[_VALUES:]
            shown = Series._make((view.peer, view.type, True, (view,), view.last_heard, *values))
            process.shown = shown
        return shown

    def _view(self, process: LiveProcess) -> Process:
        return process.view(self._rounds.overdue, self._rounds.overdue_ping(process.generation))

    # ---------------------------------------------------------------- replies

    def _stats(self, note: StatsResponse, at: Moment) -> None:
        process = self._heard(note, at, role=note.role)
        if process is None:
            return
        self._count_answer(process, note, at)
        if at.monotonic >= process.until:
            process.begin_step(at.monotonic)
        if process.stats is None:  # nobody knows since when it has exchanged these
            before = 0
            process.marked, process.marked_at = note.count, at.monotonic
        else:
            before = process.stats[0]
            if note.count < before:  # in another test
                process.marked -= before
        process.stats = measured(note)
        process.stats_round, process.stats_at = process.last_round, at.monotonic
        self._runs.counted(_speaker(process), note.count, before, process.last_round, at)

    def _ping(self, note: PingResponse, at: Moment) -> None:
        # The elapsed time of another client's PING measures that client's clock.
        round_ = self._pinged_round(note, at)
        process = self._heard(note, at) if round_ is not None else None
        if round_ is None or process is None:
            return
        newest = process.ping_answers.newest
        if not self._rounds.answered(round_, process.ping_answers, process.stats_answers, at):
            return  # the second of two answers to a request that was delivered twice
        round_trip = max(0.0, at.monotonic - round_.asked.monotonic)
        self._round_trips[process.type].add(round_trip)
        if at.monotonic >= process.until:
            process.begin_step(at.monotonic)
        process.longest = max(process.longest, round_trip)
        process.clock.add(note.elapsed, round_trip, at.monotonic)
        if round_.number > newest:
            process.ping, process.round_trip = note.elapsed, round_trip
            process.ping_round = process.last_round

    def _pinged_round(self, note: PingResponse, at: Moment) -> Round | None:
        """Give the round of ours whose PING a reply answers, or None if it answers none."""
        if note.generation is not Generation.V1_3:
            return self._rounds.correlated(note.correlation_id)
        if note.sender is None:
            return None
        # It does not say which; but it answers in the order in which it was asked, so it is
        # one since the last that was answered.  Where that leaves several, some were lost or
        # it is slow: then the one for which the way back, clock offset included, is most
        # nearly what it was before.
        process = self._processes.get(key_of(note.generation, note.sender))
        after, expected = 0, 0.0
        if process is not None:
            after = process.ping_answers.newest or process.first_round - 1
            expected = process.clock.way_back

        def surprise(each: Round) -> float:
            way_back = at.monotonic - each.asked.monotonic - note.elapsed / 1000
            return abs(way_back - expected)

        return min(self._rounds.uncorrelated(after, at), key=surprise, default=None)

    def _error(self, note: InternalError | ProtocolError, at: Moment) -> None:
        if self._is_repeated(note):
            return
        self._errors[note.command] += 1
        self._changed()
        process = self._heard(note, at)
        if process is None:
            return
        self._count_answer(process, note, at)
        if isinstance(note, InternalError) and process.stats and process.stats[-1]:
            # So an idle C peer answers STATS: it exchanges nothing any more.
            self._runs.counted(_speaker(process), 0, process.stats[0], process.last_round, at)
            process.stats = None

    def _heard(self, note: Reply, at: Moment, role: str | None = None) -> LiveProcess | None:
        """Give the process that answered, up to date; None if it is not to be known."""
        if note.sender is None:
            return None
        self._changed()
        number = self._number_at(at)
        process = self._processes.heard(note.generation, note.sender, role, number, at)
        if process is not None:
            if self._unread < ATTENTION:
                self._unshown.append(process)
            self._runs.answered(process.key, number, at)
        return process

    def _count_answer(self, process: LiveProcess, note: Reply, at: Moment) -> None:
        """Count an answer other than PING to the round that it belongs to, if to any of ours."""
        # 1.4 peers do not repeat the correlation of STATS, 1.3 has none: such answers count to
        # the round in which they come.
        old_stats = note.generation is Generation.V1_4 and isinstance(note, StatsResponse)
        if note.generation is Generation.V1_3 or old_stats:
            round_ = self._rounds.asked_by(at)
        else:
            round_ = self._rounds.correlated(note.correlation_id)
        if round_ is not None:
            self._rounds.answered(round_, process.stats_answers, process.ping_answers, at)

    def _number_at(self, at: Moment) -> int:
        """Give the number of the newest round at a moment; 0 before the first."""
        round_ = self._rounds.asked_by(at)
        return round_.number if round_ is not None else 0

    # ---------------------------------------------------------- notifications

    def _notification(self, note: Notification, at: Moment) -> None:
        if self._is_repeated(note):
            return
        self._notifications[_kind(note)] += 1
        self._changed()
        if isinstance(note, DrainComplete):
            self._runs.drained(success=note.successful)
            return
        if note.sender is None:
            return
        who, number = self._speaker(note.generation, note.sender), self._number_at(at)
        match note:
            case TestStarted():
                self._runs.announced(who, note.test, number, at)
            case TestSuccess() | TestFailure():
                success = isinstance(note, TestSuccess)
                self._runs.reported(who, note.message, number, at, success=success)
            case AbnormalDisconnect():
                self._journal.add("peer_disconnected", at, who.peer, who.type, note.message or "")
                self._runs.disconnected(who.key, at)

    def _speaker(self, generation: Generation, sender: Sender) -> Speaker:
        """Give who sends a notification; before 1.5 it does not say its type."""
        key = key_of(generation, sender)
        process = self._processes.get(key)
        if process is not None and sender.role is None:
            return _speaker(process)
        return Speaker(key, peer_of(generation, sender), type_of(sender))

    def _is_repeated(self, note: Reply) -> bool:
        """Tell whether exactly this was delivered before; before 1.4 nothing tells."""
        if not note.correlation_id or not note.message_id:
            return False
        key = key_of(note.generation, note.sender) if note.sender is not None else ""
        return not self._recent.add((note.command, key, note.correlation_id, note.message_id))

    def _changed(self) -> None:
        self._generation += 1
        self._snapshot = None


_ACTIONS: dict[type[Note], Callable[[Cluster, Any, Moment], None]] = {
    StatsResponse: Cluster._stats,
    PingResponse: Cluster._ping,
    InternalError: Cluster._error,
    ProtocolError: Cluster._error,
    TestStarted: Cluster._notification,
    TestSuccess: Cluster._notification,
    TestFailure: Cluster._notification,
    DrainComplete: Cluster._notification,
    AbnormalDisconnect: Cluster._notification,
}


def _speaker(process: LiveProcess) -> Speaker:
    return Speaker(process.key, process.peer, process.type)


def _kind(note: Notification) -> str:
    if isinstance(note, DrainComplete):
        return "drain_success" if note.successful else "drain_failure"
    return note.command


def _counts(counts: Counter[str], words: Iterable[str]) -> MappingProxyType[str, int]:
    return MappingProxyType({word: counts[word] for word in words})


def _summed(peer: str, type_: str, processes: tuple[Process, ...]) -> Series:
    measured = [each for each in processes if each.messages is not None]
    clocks = [each.clock for each in processes if each.clock is not None]
    return Series(
        peer=peer,
        type=type_,
        up=True,
        processes=processes,
        last_reply=max(each.last_heard for each in processes),
        messages=sum(each.messages or 0 for each in measured) if measured else None,
        connections=sum(each.connections or 0 for each in measured) if measured else None,
        rate=sum(each.rate or 0.0 for each in measured) if measured else None,
        latency=_worst([each.latency for each in processes]),
        ping=_worst([each.ping for each in processes]),
        round_trip=_worst([each.round_trip for each in processes]),
        clock=max(clocks, key=lambda clock: abs(clock.seconds)) if clocks else None,
    )


def _worst(times: Iterable[_T | None]) -> _T | None:
    """Give the largest; what is not a number only if there is no other."""
    known = [time for time in times if time is not None]
    return max(known, key=lambda time: (not isnan(time), time)) if known else None
