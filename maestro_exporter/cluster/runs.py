"""The test runs of a cluster: when they begin and end, who takes part, what they come to.

No peer says that *the test* began or ended.  Each speaks for itself, and before
1.5 none says that it has begun.  So a run begins with the first process that
announces a test or is seen at work (or, if all that was missed, with the first
worker that reports a result), and ends when every process that took part has
reported success or failure or has gone.  Who begins while it goes on, or shortly
after, takes part too, unless it already did: then that is the next run.

A count of messages belongs to one test, and never falls within it.  So a process
is at work when its count grows, and in another test when it falls to anything
but 0, where it rests between tests.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import NamedTuple

from maestro_exporter.cluster.journal import Journal, shortened
from maestro_exporter.notes import Test
from maestro_exporter.snapshot import Moment, NamedTest, Run

#: Seconds in which more peers may still turn out to have taken part in a run that seems to
#: be over; its result counts after that.  A peer that fails at once may have reported
#: before another has so much as begun.
SETTLING = 5.0
#: Runs that are over and remembered.
REMEMBERED = 100
#: Characters of the names of a test that are kept.
NAME_LENGTH = 255

_WORKERS = frozenset({"sender", "receiver"})
_PLACEHOLDERS = {-1: "next", -2: "last"}


class Speaker(NamedTuple):
    """A process that says something: its key, see `processes.key_of`, and its series."""

    key: str
    peer: str
    type: str


class _Stage(Enum):
    RUNNING = 1
    SUCCEEDED = 2
    FAILED = 3
    LOST = 4  # gone without a word


@dataclass(slots=True, kw_only=True)
class _Member:
    """A process that takes part.

    Attributes:
        type: what it was when it last exchanged messages.
        began: when it began; None while only its report is known.
        last_round: the newest round when it last answered.
        report_round: the newest round when it last reported; None before it has.
        failed: whether it has reported a failure.
        idle_round: the newest round when its count was first seen back at 0; None while
            it is above.
        count: the most messages that it has reported.
    """

    type: str
    last_round: int
    began: Moment | None = None
    report_round: int | None = None
    failed: bool = False
    stage: _Stage | None = None
    idle_round: int | None = None
    count: int = 0


@dataclass(slots=True, kw_only=True)
class _Current:
    """A run that is not over yet, or not certainly.

    Attributes:
        end: when the last that was running had reported or was gone; None while one is.
        quiet: the last time that this was so, even if others have begun since.
        reported: when a process last reported, and `report_round` the newest round then.
    """

    number: int
    start: Moment
    end: Moment | None = None
    quiet: Moment | None = None
    reported: Moment | None = None
    report_round: int = 0
    test: NamedTest | None = None
    failure: str = ""
    members: dict[str, _Member] = field(default_factory=dict)
    stages: Counter[_Stage | None] = field(default_factory=Counter)
    drains: Counter[bool] = field(default_factory=Counter)

    def move(self, member: _Member, stage: _Stage, at: Moment) -> None:
        """Put a member into a stage; the run seems to be over when nobody is running."""
        self.stages[member.stage] -= 1
        self.stages[stage] += 1
        member.stage = stage
        if self.stages[_Stage.RUNNING]:
            self.end = None
        else:
            self.end = self.quiet = at

    def view(self, result: str | None = None) -> Run:
        """Give what is known of it."""
        messages: Counter[str] = Counter()
        for member in self.members.values():
            messages[member.type] += member.count
        return Run(
            number=self.number,
            start=self.start,
            end=self.end,
            result=result,
            test=self.test,
            running=self.stages[_Stage.RUNNING],
            succeeded=self.stages[_Stage.SUCCEEDED],
            failed=self.stages[_Stage.FAILED],
            lost=self.stages[_Stage.LOST],
            sent=messages["sender"],
            received=messages["receiver"],
            drained=self.drains[True],
            undrained=self.drains[False],
            failure=self.failure,
        )


class Runs:
    """The run that goes on, and those that are over.

    In its methods, `number` is the newest round's.

    Args:
        patience: seconds for which a report may be late.
        most: processes that may take part in one run; more are not waited for.
        journal: where it is written what happens.

    Attributes:
        results: runs that are over, by result.
    """

    def __init__(self, *, patience: float, most: int, journal: Journal) -> None:
        self._patience = patience
        self._most = most
        self._journal = journal
        self._opened = 0
        self._current: _Current | None = None
        self._previous: _Current | None = None  # the last that is over
        self._finished: deque[Run] = deque(maxlen=REMEMBERED)
        self._overdue = 0
        self._excused = 0
        self.results: Counter[str] = Counter()

    @property
    def last(self) -> Run | None:
        """The run that goes on, or else the last one; None before there is one."""
        if self._current is not None:
            return self._current.view()
        return self._finished[0] if self._finished else None

    @property
    def finished(self) -> tuple[Run, ...]:
        """The runs whose result is certain, the newest first."""
        return tuple(self._finished)

    # ------------------------------------------------------------- what processes say

    def announced(self, who: Speaker, test: Test, number: int, at: Moment) -> None:
        """Take in that a process says that it begins a test."""
        member = self._member(who.key)
        # An announcement that is made twice begins nothing; one after an idle time does.
        if member is None or member.stage is not _Stage.RUNNING or member.idle_round is not None:
            self._begin(who, number, at)
        if self._current is not None and self._current.test is None:
            self._current.test = _name(test)

    def counted(self, who: Speaker, count: int, before: int, number: int, at: Moment) -> None:
        """Take in how many messages a process has exchanged in its test, and `before`.

        Where nothing is known of before, that is 0.
        """
        run, member = self._current, self._member(who.key)
        if (
            count > 0
            and count != before
            and not (member and _goes_on(member, count, before, number))
        ):
            run = self._begin(who, number, at)
            member = run.members.get(who.key)
        if run is None or member is None:
            return
        if count > 0:
            reported = member.report_round
            if reported is not None and number > reported and count > member.count:
                # It was not the end of its test that it reported, but, for instance, that it
                # cannot begin another while this one goes on.
                run.move(member, _Stage.RUNNING, at)
            member.type = who.type
            member.count = max(member.count, count)
            member.idle_round = None
        elif member.count and member.idle_round is None:
            member.idle_round = number

    def reported(
        self, who: Speaker, message: str, number: int, at: Moment, *, success: bool
    ) -> None:
        """Take in that a process says how its part of a test ended."""
        run = self._current
        if run is None and who.type in _WORKERS and not self._is_late(who.key, number, at):
            run = self._open(who, at)
        if not success:
            self._journal.add("test_failed", at, who.peer, who.type, message)
        # Without a run, it is late, or an agent's callback, or an inspector's end.
        member = self._admit(run, who, number) if run is not None else None
        if run is None or member is None:
            return
        if not success:
            member.failed = True
            run.failure = run.failure or shortened(f"{who.peer}: {message}")
        member.report_round = run.report_round = number
        run.reported = at
        run.move(member, _Stage.FAILED if member.failed else _Stage.SUCCEEDED, at)

    def drained(self, *, success: bool) -> None:
        """Take in that a receiver has emptied its queue after a test, or has given up."""
        if self._current is not None:
            self._current.drains[success] += 1
        elif self._finished:
            run = self._finished[0]
            self._finished[0] = replace(
                run, drained=run.drained + success, undrained=run.undrained + (not success)
            )

    def answered(self, key: str, number: int, at: Moment) -> None:
        """Take in that a process has answered something."""
        run, member = self._current, self._member(key)
        if run is None or member is None:
            return
        member.last_round = number
        if member.stage is _Stage.LOST and member.idle_round is None:
            run.move(member, _Stage.RUNNING, at)  # it was only silent

    def disconnected(self, key: str, at: Moment) -> None:
        """Take in that the connection of a process broke."""
        run, member = self._current, self._member(key)
        if run is not None and member is not None and member.stage is _Stage.RUNNING:
            run.move(member, _Stage.LOST, at)

    # --------------------------------------------------------------------- what time does

    def excuse(self, number: int) -> None:
        """Take no silence for a sign that was met with up to this round: the link is broken."""
        self._excused = number

    def expire(self, overdue: int, at: Moment) -> bool:
        """Give up whom this round was asked in vain; tell whether anything has changed."""
        run = self._current
        if run is None:
            return False
        changed = False
        if overdue > max(self._overdue, self._excused):
            self._overdue = overdue
            for member in run.members.values():
                idle = member.idle_round is not None and member.idle_round < overdue
                if member.stage is _Stage.RUNNING and (member.last_round < overdue or idle):
                    run.move(member, _Stage.LOST, at)
                    changed = True
            if run.report_round < overdue:
                changed |= _dismiss_bystanders(run)
        if run.end is not None and at.monotonic - run.end.monotonic >= SETTLING:
            self._finish(run, at)
            changed = True
        return changed

    # ------------------------------------------------------------------------- inside

    def _member(self, key: str) -> _Member | None:
        return self._current.members.get(key) if self._current is not None else None

    def _begin(self, who: Speaker, number: int, at: Moment) -> _Current:
        """Let a process begin: in the current run, unless it already took part in that."""
        run, member = self._current, self._member(who.key)
        if run is None:
            run = self._open(who, at)
        elif member is not None and member.began is not None:
            run = self._next(run, who, at)
        member = self._admit(run, who, number)
        if member is not None:
            member.began, member.report_round = at, None
            run.move(member, _Stage.RUNNING, at)
        return run

    def _is_late(self, key: str, number: int, at: Moment) -> bool:
        """Tell whether a report belongs to the run that is over already."""
        run = self._previous
        if run is None or run.end is None:
            return False
        member = run.members.get(key)
        if member is None:
            return at.monotonic - run.end.monotonic <= self._patience
        if member.report_round is not None:
            return False
        member.report_round = number
        return True

    def _admit(self, run: _Current, who: Speaker, number: int) -> _Member | None:
        """Give the member of a run, a new one if need be; None if there is no room."""
        member = run.members.get(who.key)
        if member is None and len(run.members) < self._most:
            member = run.members[who.key] = _Member(type=who.type, last_round=number)
        return member

    def _open(self, who: Speaker, at: Moment) -> _Current:
        self._opened += 1
        self._current = _Current(number=self._opened, start=at)
        self._journal.add("test_started", at, who.peer, who.type)
        return self._current

    def _next(self, run: _Current, who: Speaker, at: Moment) -> _Current:
        """Begin the next run, though not everybody has reported to this one."""
        # Who has just begun, when all others were through, was the first of the next run.
        ahead = {
            key: member
            for key, member in run.members.items()
            if key != who.key and _has_just_begun(member, run, at)
        }
        for key, member in ahead.items():
            del run.members[key]
            member.failed = False  # that was before it began
        run.stages[_Stage.RUNNING] -= len(ahead)
        _dismiss_bystanders(run)
        for member in run.members.values():
            if member.stage is _Stage.RUNNING:
                run.move(member, _Stage.LOST, at)
        run.end = run.end or run.quiet or at
        self._finish(run, at)
        began = [member.began for member in ahead.values() if member.began is not None]
        following = self._open(who, min([*began, at]))
        following.members = ahead
        following.stages[_Stage.RUNNING] = len(ahead)
        return following

    def _finish(self, run: _Current, at: Moment) -> None:
        result = "success"
        if run.failure:
            result = "failure"
        elif run.stages[_Stage.LOST]:
            result = "incomplete"
        self.results[result] += 1
        self._finished.appendleft(run.view(result))
        self._current, self._previous = None, run
        self._journal.add("test_finished", at, message=result)


def _goes_on(member: _Member, count: int, before: int, number: int) -> bool:
    """Tell whether a count above 0 is of the test that a member takes part in."""
    if member.began is None:
        return False
    if member.stage is _Stage.RUNNING:
        return count >= member.count
    # After its report, one more count of that test may be under way.
    return member.report_round is not None and (count > before > 0 or number <= member.report_round)


def _has_just_begun(member: _Member, run: _Current, at: Moment) -> bool:
    began, quiet = member.began, run.quiet
    return (
        member.stage is _Stage.RUNNING
        and began is not None
        and quiet is not None
        and quiet.monotonic <= began.monotonic
        and at.monotonic - began.monotonic <= SETTLING
    )


def _dismiss_bystanders(run: _Current) -> bool:
    """Wait no longer for who announced the test and then had no part in it; tell if any.

    1.5 inspectors that inspect nothing, and workers without a role, announce each test like
    all others and never report.
    """
    waiting = {key: member for key, member in run.members.items() if member.stage is _Stage.RUNNING}
    at_work = any(each.count or each.type in _WORKERS for each in waiting.values())
    if run.reported is None or not waiting or at_work:
        return False
    for key in waiting:
        del run.members[key]
    run.stages[_Stage.RUNNING] = 0
    run.end = run.quiet = run.reported
    return True


def _name(test: Test) -> NamedTest:
    return NamedTest(
        number=_PLACEHOLDERS.get(test.number, str(test.number)),
        iteration=_PLACEHOLDERS.get(test.iteration, str(test.iteration)),
        name=test.name[:NAME_LENGTH],
        script=test.script_name[:NAME_LENGTH],
    )
