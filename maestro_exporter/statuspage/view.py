"""What the status page shows, as texts and flags; where it stands is up to the template."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from math import isfinite
from typing import Any, NamedTuple

from maestro_exporter import documents, fitness
from maestro_exporter.fitness import Finding
from maestro_exporter.snapshot import (
    TRAIL_STEP,
    TYPES,
    Event,
    ExporterState,
    Moment,
    Run,
    Series,
    Snapshot,
    Trail,
)
from maestro_exporter.statuspage.question import Question
from maestro_exporter.statuspage.sparkline import Sparkline, gap, sparkline
from maestro_exporter.wording import counted, number, span

PEERS_A_PAGE = 100
RUNS = 10
EVENTS = 25
#: Findings of one kind that are named; there may be thousands.
NAMED = 5
NOTHING = "–"
_NO_LINE = Sparkline("", 0.0)


class Known(NamedTuple):
    """All that the page is made of, at one instant.

    Attributes:
        snapshot: what is known of the cluster.
        trails: what each series did lately, by peer and type.
        state: what the exporter knows of itself.
        now: the instant.
        unready: why the exporter does not know yet how the cluster is; empty if it does.
    """

    snapshot: Snapshot
    trails: Mapping[tuple[str, str], Trail]
    state: ExporterState
    now: Moment
    unready: str = ""


class Time(NamedTuple):
    """A moment: as machines and as people read it, and how long ago it was."""

    machine: str
    people: str
    ago: str


class Warned(NamedTuple):
    """The findings of one kind.

    Attributes:
        kind: theirs.
        title: what they have in common.
        sentences: of some of them.
        more: how many others there are.
    """

    kind: str
    title: str
    sentences: Sequence[str]
    more: int


class Row(NamedTuple):
    """A peer in the table; what is not known is `NOTHING`.

    Attributes:
        warned: the kinds of what was found about it.
        rate_line, round_trip_line: the last quarter of an hour, with what to say of it to those
            who cannot see it.
    """

    peer: str
    type: str
    up: bool
    last_reply: Time
    rate: str
    messages: str
    connections: str
    round_trip: str
    clock_offset: str
    clock_error: str
    warned: frozenset[str]
    rate_line: Sparkline
    rate_text: str
    round_trip_line: Sparkline
    round_trip_text: str


class Peers(NamedTuple):
    """The table of peers: a page of those that were asked for.

    Attributes:
        rows: of this page.
        total: of all peers.
        found: of those that were asked for.
        first, last: which of these are on the page, counted from 1; 0 where there is none.
        page, pages: number of this page, and of all.
    """

    rows: Sequence[Row]
    total: int
    found: int
    first: int
    last: int
    page: int
    pages: int


def view(known: Known, question: Question) -> dict[str, Any]:
    """Give what the template shows, by its names there."""
    snapshot, _, state, now, unready = known
    findings = fitness.warnings(snapshot, state, now, unready)
    groups = warned(findings)
    return {
        "now": shown_time(now, now),
        "state": state,
        "refresh": f"{min(5.0, max(1.0, state.interval)):g}",
        "warned": groups,
        "summary": _summary(groups, findings),
        "common_offset": _common_offset(snapshot),
        "unknown_clocks": 0 if unready else fitness.unknown_clocks(snapshot),
        "max_clock_offset": span(fitness.MAX_CLOCK_OFFSET),
        "max_round_trip": span(fitness.MAX_ROUND_TRIP),
        "link_error": _link_error(state, now),
        "snapshot": snapshot,
        "last_round": shown_time(snapshot.last_round, now) if snapshot.last_round else None,
        "up": [(type_, count) for type_, count in snapshot.peers_up.items() if count],
        "run": run(snapshot.run, now) if snapshot.run else None,
        "speeds": _speeds(known),
        "runs": [run(each, now) for each in snapshot.finished[:RUNS]],
        "finished": snapshot.results,
        "events": [_event(each, now) for each in snapshot.events[:EVENTS]],
        "peers": peers(known, findings, question),
        "question": question,
        "types": TYPES,
        "nothing": NOTHING,
    }


# ----------------------------------------------------------------- warnings


def warned(findings: Iterable[Finding]) -> list[Warned]:
    """Give findings by kind, the first few of each."""
    groups = []
    for kind, same in groupby(findings, key=lambda each: each.kind):
        sentences = [each.sentence for each in same]
        title = fitness.KINDS[kind]
        more = max(0, len(sentences) - NAMED)
        groups.append(Warned(kind, title, sentences[:NAMED], more))
    return groups


def _summary(groups: Sequence[Warned], findings: Sequence[Finding]) -> str:
    """Give a line that stays the same while nothing comes or goes."""
    if not findings:
        return "No warnings"
    return f"{counted(len(findings), 'warning')}: " + "; ".join(each.title for each in groups)


def _common_offset(snapshot: Snapshot) -> str:
    common = fitness.common_clock_offset(snapshot, fitness.MAX_CLOCK_OFFSET)
    return "" if common is None else span(common, signed=True)


# -------------------------------------------------------------------- peers

_DIGITS = re.compile(r"([0-9]+)")


def natural(name: str) -> tuple[Any, ...]:
    """Give a key that sorts `node-2` before `node-10`."""
    # Every other part is a number; very long ones are no numbers that anybody counts with.
    return tuple(
        (int(part[:18]), part) if index % 2 else part.lower()
        for index, part in enumerate(_DIGITS.split(name))
    )


_VALUES: Mapping[str, Callable[[Series], Any]] = {
    "type": lambda each: TYPES.index(each.type),
    "peer": lambda each: natural(each.peer),
    "up": lambda each: each.up,
    "last_reply": lambda each: each.last_reply.monotonic,
    "rate": lambda each: each.rate,
    "messages": lambda each: each.messages,
    "connections": lambda each: each.connections,
    "round_trip": lambda each: each.round_trip,
    "clock_offset": lambda each: abs(each.clock.seconds) if each.clock else None,
}


def peers(known: Known, findings: Iterable[Finding], question: Question) -> Peers:
    """Give the page of the peers that was asked for."""
    about: dict[tuple[str, str], set[str]] = {}
    for finding in findings:
        if finding.peer:
            about.setdefault((finding.peer, finding.type), set()).add(finding.kind)
    word = question.q.lower()
    found = _sorted(
        (
            each
            for each in known.snapshot.series
            if word in each.peer.lower()
            and question.type in ("", each.type)
            and _is_shown(each, (each.peer, each.type) in about, question.show)
        ),
        question,
    )
    pages = max(1, -(-len(found) // PEERS_A_PAGE))
    page = min(question.page, pages)
    start = (page - 1) * PEERS_A_PAGE
    shown = found[start : start + PEERS_A_PAGE]
    return Peers(
        [_row(each, known, frozenset(about.get((each.peer, each.type), ()))) for each in shown],
        len(known.snapshot.series),
        len(found),
        start + 1 if shown else 0,
        start + len(shown),
        page,
        pages,
    )


def _is_shown(series: Series, warned: bool, show: str) -> bool:
    return {"all": True, "up": series.up, "missing": not series.up, "warned": warned}[show]


def _sorted(found: Iterable[Series], question: Question) -> list[Series]:
    """Sort by a column, and then by name; what has no value there comes last either way."""
    value_of = _VALUES[question.sort]
    known: list[Series] = []
    unknown: list[Series] = []
    for each in sorted(found, key=lambda series: natural(series.peer)):
        value = value_of(each)
        (unknown if value is None or value != value else known).append(each)  # noqa: PLR0124
    return sorted(known, key=value_of, reverse=question.order == "desc") + unknown


def _row(series: Series, known: Known, found: frozenset[str]) -> Row:
    expiry, now = known.state.expiry, known.now
    rates = round_trips = _NO_LINE
    trail = known.trails.get((series.peer, series.type))
    if trail is not None:
        ago = int((now.monotonic - trail.end) // TRAIL_STEP) + 1
        rates = sparkline(trail.rates, ago, expiry)
        round_trips = sparkline(trail.round_trips, ago, expiry)
    clock = series.clock
    return Row(
        peer=series.peer,
        type=series.type,
        up=series.up,
        last_reply=shown_time(series.last_reply, now),
        rate=_known(series.rate, number),
        messages=_known(series.messages, number),
        connections=_known(series.connections, number),
        round_trip=_known(series.round_trip, span),
        clock_offset=span(clock.seconds, signed=True) if clock else NOTHING,
        clock_error=f"± {span(clock.error)}" if clock else "",
        warned=found,
        rate_line=rates,
        rate_text=f"rate in the last 15 minutes: at most {number(rates.most)} messages per second",
        round_trip_line=round_trips,
        round_trip_text=f"round trip in the last 15 minutes: at most {span(round_trips.most)}",
    )


def _known(value: float | None, spell: Callable[[float], str]) -> str:
    return NOTHING if value is None else spell(value)


# ----------------------------------------------------------- tests and events


def run(run: Run, now: Moment) -> dict[str, Any]:
    """Give a test run."""
    test = run.test
    duration = (run.end or now).monotonic - run.start.monotonic
    return {
        "number": run.number,
        "name": " ".join(each for each in (test.name, test.script) if each) if test else "",
        "start": shown_time(run.start, now),
        "end": shown_time(run.end, now) if run.end else None,
        "running": run.end is None,
        "duration": span(max(0, round(duration))),
        "result": run.result,
        "sent": number(run.sent),
        "received": number(run.received),
        "balance": number(run.sent - run.received),
        "processes": [
            (name, count)
            for name, count in (
                ("at work", run.running),
                ("succeeded", run.succeeded),
                ("failed", run.failed),
                ("lost", run.lost),
            )
            if count
        ],
        "failure": run.failure,
    }


def _speeds(known: Known) -> tuple[str, str]:
    """Give what all senders send and all receivers receive now, in messages/s.

    It is of the last steps: the mean since the begin of the test, which peers report, says little
    of now.
    """
    rates_of: dict[str, list[float]] = {"sender": [], "receiver": []}
    # The newest may have a round trip, and no rate yet.
    fresh = gap(known.state.expiry)
    for each in known.snapshot.series:
        trail = known.trails.get((each.peer, each.type))
        if each.up and each.type in rates_of and trail is not None:
            rates = reversed(trail.rates[-fresh:])
            rates_of[each.type] += [rate for rate in rates if isfinite(rate)][:1]
    sent, received = (f"{number(sum(each))}/s" if each else NOTHING for each in rates_of.values())
    return sent, received


def _event(event: Event, now: Moment) -> dict[str, Any]:
    return {
        "at": shown_time(event.at, now),
        "kind": event.kind.replace("_", " "),
        "who": f"{event.type} {event.peer}".strip(),
        "peer": event.peer,
        "message": event.message,
    }


def _link_error(state: ExporterState, now: Moment) -> dict[str, Any] | None:
    error = state.last_link_error
    if error is None:
        return None
    return {"at": shown_time(error.at, now), "reason": error.reason, "message": error.message}


# --------------------------------------------------------------------- times


def shown_time(at: Moment, now: Moment) -> Time:
    """Give a moment by the exporter's clock, in UTC; without its date if that is today's."""
    machine = documents.time(at)
    ago = f"{span(max(0, round(now.monotonic - at.monotonic)))} ago"
    if machine is None:
        return Time("", "at an unknown time", ago)
    date, _, time = machine.partition("T")
    today = (documents.time(now) or "").startswith(date)
    return Time(machine, time[:8] if today else f"{date} {time[:8]}", ago)
