"""The processes of a cluster: who answers, under which name, and who has fallen silent.

A *process* is one id.  Processes that carry the same peer name and type share
one *series*.  A process is

* up, from its first answer until it has been silent for the expiry;
* replaced, while it has said nothing since a newer process of its series
  appeared: that is what a restart looks like, and a dead process must not be
  added to its successor.  A word from it puts it back;
* silent, after the expiry: only its series is remembered, until it is forgotten.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import nan
from typing import NamedTuple

from maestro_exporter.cluster.clocks import ClockFilter
from maestro_exporter.cluster.history import Done, Track, end_of_step
from maestro_exporter.cluster.journal import Journal
from maestro_exporter.cluster.rounds import Answers
from maestro_exporter.notes import Generation, Role, Sender, StatsResponse
from maestro_exporter.snapshot import LABELS, TRAIL_STEP, TYPES, Moment, Process, Series, Trail

_OTHER = "other"
_TYPE_OF_ROLE = {role: role.name.lower().replace("_", "-") for role in Role}


#: What a STATS reply says: messages, connections, messages/s, latency in seconds, and whether a
#: C peer says it.  Of a bare tuple of numbers there is nothing for the garbage collector to look
#: at, and 10,000 whole notes would be 4 MiB.
Measures = tuple[int, int, float, float | None, bool]


def measured(note: StatsResponse) -> Measures:
    """Give what is kept of a STATS reply."""
    return note.count, note.child_count, note.rate, note.latency_seconds, note.is_of_c_peer


@dataclass(slots=True, kw_only=True)
class LiveProcess:
    """One process, from its first answer to its expiry.

    Attributes:
        key: what tells it from all others, see `key_of`.
        peer, type: its series.
        sender, generation: who it says it is, and in which dialect.
        first_heard, last_heard: when it first and last answered.
        first_round, last_round: the number of the newest round at these moments.
        stats, stats_round, stats_at: what its last STATS reply says, the number of the newest round
            then, and the monotonic second.
        ping, round_trip, ping_round: likewise, of PING; ms and seconds.
        stats_answers, ping_answers: the rounds that it has answered.
        clock: what its PING replies say of its clock.
        track: what its series did lately; the processes of a series share it.
        until: the monotonic second at which the step of its track that goes on is over.
        marked, marked_at: what it had exchanged, and when it said so, when that step began; less
            than nothing, if another test has begun since.
        longest: round trip in this step, in seconds; 0 if there was none.
        labels: the first fields of a `Process`, once they were asked for and until it says
            that it is somebody else.
        shown: its series, if it is alone in that, as it was last shown; None after an answer.
    """

    key: str
    peer: str
    type: str
    sender: Sender
    generation: Generation
    first_heard: Moment
    first_round: int
    last_heard: Moment
    last_round: int
    track: Track
    until: float = 0.0
    marked: int = 0
    marked_at: float = 0.0
    longest: float = 0.0
    stats: Measures | None = None
    stats_round: int = 0
    stats_at: float = 0.0
    ping: int | None = None
    round_trip: float | None = None
    ping_round: int = 0
    stats_answers: Answers = field(default_factory=Answers)
    ping_answers: Answers = field(default_factory=Answers)
    clock: ClockFilter = field(default_factory=ClockFilter)
    labels: tuple[str, ...] | None = None
    shown: Series | None = None

    @property
    def series(self) -> SeriesKey:
        """What it is shown as."""
        return self.peer, self.type

    def going_on(self) -> Done:
        """Give what it has done in the step that goes on."""
        rate = nan
        if self.stats is not None and self.stats_at > self.marked_at:
            # Over the time between the answers, not over the step: so it does not waver when one
            # step has two answers, and the next a single one.
            grown = max(0, self.stats[0] - self.marked)
            rate = grown / (self.stats_at - self.marked_at)
        return Done(round(self.until / TRAIL_STEP) - 1, rate, self.longest)

    def begin_step(self, at: float) -> None:
        """Begin the step at a monotonic second; what was done in the one before is over."""
        if self.until:
            self.track.add(self.going_on())
        self.until = end_of_step(at)
        if self.stats is not None:
            self.marked, self.marked_at = self.stats[0], self.stats_at
        self.longest = 0.0

    def view(self, overdue: int, overdue_ping: int) -> Process:
        """Give what can be shown of it.

        Args:
            overdue: STATS values are not shown if this round asked for newer ones in vain.
            overdue_ping: likewise, of PINGs.
        """
        stats = self.stats if self.stats_round >= overdue else None
        pinged = self.ping is not None and self.ping_round >= overdue_ping
        # A tuple is made in half of the time that its class would take.
        return Process._make(
            (
                *(self.labels or self._labels()),
                self.first_heard,
                self.last_heard,
                *(stats[:3] if stats is not None else (None, None, None)),
                stats[3] if stats is not None and self.type == "receiver" else None,
                self.ping if pinged else None,
                self.round_trip if pinged else None,
                self.clock.offset if pinged else None,
            )
        )

    def silent(self) -> Process:
        """Give who it was, without any values."""
        values = [None] * (len(Process._fields) - len(LABELS) - 2)
        labels = self.labels or self._labels()
        return Process._make((*labels, self.first_heard, self.last_heard, *values))

    def _labels(self) -> tuple[str, ...]:
        sender, new = self.sender, self.generation is Generation.V1_5
        name, host = (sender.name, sender.host) if new else split(sender.name)
        self.labels = (
            self.peer,
            self.type,
            sender.id,
            name,
            host,
            sender.group,
            sender.member,
            self.generation.value,
        )
        return self.labels


#: Peer and type.
SeriesKey = tuple[str, str]


class _Silent(NamedTuple):
    """The last process of a peer that fell silent, as it was then, and what the peer did before."""

    key: str
    process: Process
    track: Track


def key_of(generation: Generation, sender: Sender) -> str:
    """Give what tells processes apart: the id, else the name; empty where there is neither."""
    return sender.id or (sender.name and peer_of(generation, sender))


def peer_of(generation: Generation, sender: Sender) -> str:
    """Give the name under which a process is shown."""
    if generation is Generation.V1_5:
        return f"{sender.name}@{sender.host}"
    return sender.name


def type_of(sender: Sender, role: str | None = None) -> str:
    """Give the type of a process: by its role, or else by its name before the at sign.

    Args:
        sender: who it says it is.
        role: what its STATS reply says, before 1.5.
    """
    if sender.role is not None:
        return _TYPE_OF_ROLE[sender.role]
    word = role or split(sender.name)[0]
    return word if word in TYPES else _OTHER


def split(name: str) -> tuple[str, str]:
    """Give the two parts of a name `role@host`; whatever has no at sign has no host."""
    first, _, rest = name.partition("@")
    return first, rest


class Processes:
    """All processes that are up, and the peers that have fallen silent.

    Args:
        expiry: seconds of silence after which a process is no longer up.
        forget: seconds of silence after which nothing of a peer is left; from its last answer.
        most: how many processes and silent peers are remembered together.
        journal: where it is written who comes and goes.

    Attributes:
        rejected: answers of processes that were not admitted.
    """

    def __init__(self, *, expiry: float, forget: float, most: int, journal: Journal) -> None:
        self._expiry = expiry
        self._forget = forget
        self._most = most
        self._journal = journal
        # By key, the longest silent first; a dict would be slow to lose its first one.
        self._live: OrderedDict[str, LiveProcess] = OrderedDict()
        # The same processes by (peer, type), in order of appearance.
        self._series: dict[SeriesKey, dict[str, LiveProcess]] = {}
        # Peers without a process that is up, the longest silent first, and where the
        # last process of each is to be found should its id speak again.
        self._silent: OrderedDict[SeriesKey, _Silent] = OrderedDict()
        self._silent_keys: dict[str, SeriesKey] = {}
        self.rejected = 0

    def get(self, key: str) -> LiveProcess | None:
        """Give a process that is up; None if that one is not."""
        return self._live.get(key)

    @property
    def generations(self) -> frozenset[Generation]:
        """The generations that the processes that are up speak."""
        return frozenset(process.generation for process in self._live.values())

    def heard(
        self, generation: Generation, sender: Sender, role: str | None, number: int, at: Moment
    ) -> LiveProcess | None:
        """Give the process that answered, up to date; None if it is not to be known.

        Args:
            generation: what it speaks.
            sender: who it says it is.
            role: what its STATS reply says, before 1.5.
            number: of the newest round.
            at: when the answer came.
        """
        key = key_of(generation, sender)
        if not key:
            return None
        process = self._live.get(key)
        if process is None:
            process = self._admit(key, generation, sender, role, number=number, at=at)
            if process is None:
                self.rejected += 1
            return process
        # What says the same as before is mostly the very same object.
        if sender is not process.sender or generation is not process.generation or role:
            self._recognise(process, generation, sender, role, at)
        process.last_heard = at
        process.last_round = number
        process.shown = None
        self._live.move_to_end(key)  # the one heard most recently
        return process

    def _admit(
        self,
        key: str,
        generation: Generation,
        sender: Sender,
        role: str | None,
        *,
        number: int,
        at: Moment,
    ) -> LiveProcess | None:
        """Give a new process, if there is room for it."""
        series = peer_of(generation, sender), type_of(sender, role)
        track = self._track_of(series)
        # Its old type goes, if it has changed its role in silence.
        self._forget_silent(self._silent_keys.get(key, series))
        if not self._make_room(series, number, at):
            return None
        process = self._live[key] = LiveProcess(
            key=key,
            peer=series[0],
            type=series[1],
            sender=sender,
            generation=generation,
            first_heard=at,
            first_round=number,
            last_heard=at,
            last_round=number,
            # Not before there is room: strangers that are not admitted are many.
            track=track or Track(),
        )
        self._join_series(process)
        self._journal.add("peer_joined", at, *series)
        return process

    def _recognise(
        self,
        process: LiveProcess,
        generation: Generation,
        sender: Sender,
        role: str | None,
        at: Moment,
    ) -> None:
        """Take over what a process says of itself, which may be something new."""
        peer = peer_of(generation, sender)
        # Before 1.5 only STATS says the role: other answers leave the type as it is.
        type_ = type_of(sender, role) if sender.role is not None or role else process.type
        process.sender, process.generation, process.labels = sender, generation, None
        if (peer, type_) == process.series:
            return
        process.begin_step(at.monotonic)
        self._leave_series(process)
        if type_ != process.type:
            self._journal.add("peer_changed_role", at, peer, type_, f"was {process.type}")
        process.peer, process.type = peer, type_
        process.track = self._track_of(process.series) or Track()
        self._join_series(process)

    def expire(self, at: Moment) -> bool:
        """Drop what has been silent for too long; tell whether there was any."""
        changed = False
        while self._live:
            process = next(iter(self._live.values()))
            if at.monotonic - process.last_heard.monotonic < self._expiry:
                break
            self._drop(process, at)
            if process.series not in self._series:
                self._silent[process.series] = _Silent(process.key, process.silent(), process.track)
                self._silent_keys[process.key] = process.series
            changed = True
        while self._silent:
            series, silent = next(iter(self._silent.items()))
            if at.monotonic - silent.process.last_heard.monotonic < self._forget:
                break
            self._forget_silent(series)
            changed = True
        return changed

    def live(self) -> Iterable[tuple[SeriesKey, Mapping[str, LiveProcess]]]:
        """Give the processes of each series, those that may be replaced included."""
        return self._series.items()

    def silent(self) -> Iterator[tuple[SeriesKey, Process]]:
        """Give the peers that have fallen silent, the longest silent first."""
        for series, silent in self._silent.items():
            yield series, silent.process

    def trails(self) -> Iterator[tuple[SeriesKey, Trail]]:
        """Give what each peer did lately, in the order of `live` and `silent`."""
        for series, processes in self._series.items():
            members = [*processes.values()]
            yield series, members[0].track.view([each.going_on() for each in members])
        for series, silent in self._silent.items():
            yield series, silent.track.view()

    def _track_of(self, series: SeriesKey) -> Track | None:
        """Give the track that whoever joins a series goes on with; None if that is a new one."""
        for process in self._series.get(series, {}).values():
            return process.track
        silent = self._silent.get(series)
        return silent.track if silent is not None else None

    def _make_room(self, series: SeriesKey, number: int, at: Moment) -> bool:
        """Tell whether a process may join a series; who does not answer gives way to it."""
        if len(self._live) + len(self._silent) < self._most:
            return True
        if self._silent:
            self._forget_silent(next(iter(self._silent)))
            return True
        # At a restart, the predecessor must not lock its successor out.  Only the eldest
        # is looked at: a look at all would be what a flood of new ids makes costly.
        for process in self._series.get(series, {}).values():
            if process.last_round == number:
                break
            self._drop(process, at)
            return True
        return False

    def _drop(self, process: LiveProcess, at: Moment) -> None:
        process.track.add(process.going_on())
        del self._live[process.key]
        self._leave_series(process)
        self._journal.add("peer_left", at, process.peer, process.type)

    def _forget_silent(self, series: SeriesKey) -> None:
        silent = self._silent.pop(series, None)
        if silent is not None:
            del self._silent_keys[silent.key]

    def _join_series(self, process: LiveProcess) -> None:
        processes = self._series.setdefault(process.series, {})
        processes[process.key] = process
        self._forget_silent(process.series)

    def _leave_series(self, process: LiveProcess) -> None:
        processes = self._series[process.series]
        del processes[process.key]
        if not processes:
            del self._series[process.series]


def not_replaced(processes: Mapping[str, LiveProcess], number: int) -> list[LiveProcess]:
    """Give the processes of a series that are not replaced.

    Args:
        processes: all of them.
        number: of the newest round.
    """
    newest = max(processes.values(), key=lambda process: process.first_heard)
    return [process for process in processes.values() if not _replaced(process, newest, number)]


def _replaced(process: LiveProcess, newest: LiveProcess, number: int) -> bool:
    """Tell a dead predecessor from a process that shares its name.

    The one has not spoken since the newest appeared, though it was asked: in the
    round in which the newest appeared, or in a whole round that the newest answered.
    """
    asked_in_vain = process.last_round < newest.first_round or (
        process.last_round < min(newest.last_round, number - 1)
    )
    return asked_in_vain and process.last_heard.monotonic < newest.first_heard.monotonic
