"""Whether a cluster is fit for a test, and what a person should look at, in words.

The limits are those within which the Grafana boards are green (`grafana/generator/config.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from math import inf
from statistics import median
from typing import NamedTuple

from maestro_exporter import values
from maestro_exporter.querying import Parameter
from maestro_exporter.snapshot import ClockOffset, ExporterState, Moment, Process, Series, Snapshot
from maestro_exporter.wording import counted, span

MAX_CLOCK_OFFSET = 0.005  # seconds
MAX_ROUND_TRIP = 0.05
#: What a test is made of.
COUNTED = ("sender", "receiver", "inspector", "agent")
#: What takes part in tests: a 1.5 worker is `other` until a test gives it a role.
_PARTAKING = frozenset({*COUNTED, "other"})
#: Seconds for which people are told that a message was not taken in.
_RECENT = 900.0

PARAMETERS = (
    *(Parameter(f"{each}s", values.integer(0, 1_000_000), None) for each in COUNTED),
    Parameter("max_clock_offset", values.duration("0", "24h"), MAX_CLOCK_OFFSET),
    Parameter("max_round_trip", values.duration("0", "24h"), MAX_ROUND_TRIP),
)


class Demands(NamedTuple):
    """What a test wants of a cluster.

    Attributes:
        senders, receivers, inspectors, agents: at least so many processes; None for any number.
        max_clock_offset: seconds by which a peer's clock may be off the exporter's.
        max_round_trip: seconds that a peer may take to answer a PING.
    """

    senders: int | None = None
    receivers: int | None = None
    inspectors: int | None = None
    agents: int | None = None
    max_clock_offset: float = MAX_CLOCK_OFFSET
    max_round_trip: float = MAX_ROUND_TRIP

    @property
    def peers(self) -> Mapping[str, int]:
        """How many processes there have to be, by type; without those of any number."""
        numbers = zip(COUNTED, self, strict=False)
        return {type_: int(least) for type_, least in numbers if least is not None}


class Finding(NamedTuple):
    """Something that is not as it should be.

    Attributes:
        kind: one of `KINDS`.
        message: what, in words; of a peer, without its name.
        peer, type: whom it concerns; empty where it is nobody in particular.
    """

    kind: str
    message: str
    peer: str = ""
    type: str = ""

    @property
    def sentence(self) -> str:
        """The message, with the name of the peer."""
        return f"{self.type} {self.peer} {self.message}" if self.peer else self.message


#: Kinds of findings, those that matter most first, and what each is called above its peers.
KINDS = {
    "no_broker": "No connection to the broker",
    "not_ready": "Not known yet",
    "ill": "Parts of the exporter do not work",
    "too_few": "Too few peers",
    "nobody": "Nobody answers",
    "silent": "Missing peers",
    "not_admitted": "Peers that are not shown",
    "clock_offset": "Clocks that are off",
    "no_ping": "No answer to PING: neither round trip nor clock is known",
    "slow": "Slow to answer",
    "not_pinged": "Not asked for a PING yet: neither round trip nor clock is known",
    "clock_unknown": "Clocks that are not known well enough",
    "shared_name": "Several processes under one name: their figures are added",
    "results_lost": "Test results were lost",
    "rejected": "Messages that could not be taken in",
}
#: Of what PINGs say, what speaks against nobody, and what is no warning by itself.
_UNCERTAIN = "clock_unknown"
_QUIET = (_UNCERTAIN, "not_pinged")
_RANKS = {kind: rank for rank, kind in enumerate(KINDS)}


class Verdict(NamedTuple):
    """What was found.

    Attributes:
        demands: what was demanded.
        reasons: why the cluster is not fit; none where it is.
        warnings: what else a person should know.
    """

    demands: Demands
    reasons: tuple[Finding, ...]
    warnings: tuple[Finding, ...]

    @property
    def fit(self) -> bool:
        """Whether there is no reason against a test."""
        return not self.reasons


def judge(
    snapshot: Snapshot, state: ExporterState, now: Moment, demands: Demands, unready: str = ""
) -> Verdict:
    """Tell whether a cluster is fit for a test.

    Args:
        snapshot: what is known of it.
        state: what the exporter knows of itself.
        now: the present moment.
        demands: what the test wants.
        unready: why the exporter does not know yet; empty if it does.
    """
    if unready:
        return Verdict(demands, (_unknown(state, unready),), ())
    missing, figures = _missing(snapshot, now), list(_figures(snapshot, state, now, demands))
    # Where a number is demanded, that decides who must be there.
    reasons = [
        *_numbers(snapshot, demands),
        *(each for each in missing if each.type not in demands.peers),
        *(each for each in figures if each.kind != _UNCERTAIN),
    ]
    others = [
        *(each for each in missing if each.type in demands.peers),
        *(each for each in figures if each.kind == _UNCERTAIN),
        *_shared(snapshot),
        *_of_exporter(snapshot, state, now),
    ]
    return Verdict(demands, _sorted(reasons), _sorted(others))


def warnings(
    snapshot: Snapshot, state: ExporterState, now: Moment, unready: str = ""
) -> tuple[Finding, ...]:
    """Give all that a person should look at, those of the first of `KINDS` first.

    The arguments are those of `judge`.
    """
    others = _of_exporter(snapshot, state, now)
    if unready:
        return _sorted([_unknown(state, unready), *others])
    figures = _figures(snapshot, state, now, Demands())
    return _sorted(
        [
            *_nobody(snapshot),
            *_missing(snapshot, now),
            *(each for each in figures if each.kind not in _QUIET),
            *_shared(snapshot),
            *others,
        ]
    )


def unknown_clocks(snapshot: Snapshot) -> int:
    """Give how many peers' clocks are not known to `MAX_CLOCK_OFFSET`, so that nothing is said."""
    return sum(
        process.clock is None or _is_uncertain(process.clock, MAX_CLOCK_OFFSET)
        for each in _partaking(snapshot)
        for process in each.processes
    )


def common_clock_offset(snapshot: Snapshot, limit: float) -> float | None:
    """Give by how much all clocks are off alike, if they are: then ours is the one to look at.

    None if they are not, if that is not certain, or if fewer than three peers have one.
    """
    known = [each for each in _partaking(snapshot) if each.clock]
    clocks = [process.clock for each in known for process in each.processes if process.clock]
    if len(known) < 3 or not all(_is_off(each, limit) for each in clocks):
        return None
    middle = median(each.seconds for each in clocks)
    alike = all(abs(each.seconds - middle) <= limit for each in clocks)
    return middle if alike else None


def _is_off(clock: ClockOffset, limit: float) -> bool:
    """Tell whether a clock is off for certain."""
    return abs(clock.seconds) - clock.error > limit


def _is_uncertain(clock: ClockOffset, limit: float) -> bool:
    """Tell whether a clock may be off, or may not."""
    return abs(clock.seconds) - clock.error <= limit < abs(clock.seconds) + clock.error


def _sorted(findings: list[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda each: (_RANKS[each.kind], each.type, each.peer)))


def _partaking(snapshot: Snapshot) -> list[Series]:
    return [each for each in snapshot.series if each.up and each.type in _PARTAKING]


# ----------------------------------------------------------- one kind each


def _unknown(state: ExporterState, unready: str) -> Finding:
    return Finding("not_ready" if state.broker_up else "no_broker", unready)


def _of_exporter(snapshot: Snapshot, state: ExporterState, now: Moment) -> list[Finding]:
    """Find what keeps the exporter from seeing all."""
    return [
        *_ill(state),
        *_not_admitted(snapshot, state),
        *_lost(state),
        *_rejected(state, now),
    ]


def _ill(state: ExporterState) -> Iterator[Finding]:
    for stage in state.stages_ill:
        yield Finding("ill", f"{stage} has stopped working and is being started anew")


def _not_admitted(snapshot: Snapshot, state: ExporterState) -> Iterator[Finding]:
    if snapshot.peers_rejected:
        yield Finding(
            "not_admitted",
            f"{counted(snapshot.peers_rejected, 'answer')} of other peers came since the exporter "
            f"was started, and --max-peers {state.max_peers:,} were known already",
        )


def _nobody(snapshot: Snapshot) -> Iterator[Finding]:
    if not any(snapshot.peers_up.values()):
        yield Finding("nobody", "no peer answers")


def free_workers(snapshot: Snapshot) -> int:
    """Give the workers that have no role yet: by 1.5, a test makes them senders or receivers."""
    return sum(
        process.protocol == "1.5"
        for each in snapshot.series
        if each.up and each.type == "other"
        for process in each.processes
    )


def _numbers(snapshot: Snapshot, demands: Demands) -> Iterator[Finding]:
    """Find too few peers; what workers are short of, those without a role can make good."""
    yield from _nobody(snapshot)
    short = Counter(
        {type_: max(0, least - snapshot.peers_up[type_]) for type_, least in demands.peers.items()}
    )
    free = free_workers(snapshot)
    workers = short["sender"] + short["receiver"]
    for type_, missing in short.items():
        is_worker = type_ in ("sender", "receiver")
        if not missing or (is_worker and workers <= free):
            continue
        also = f", and {counted(free, 'worker')} without a role" if is_worker and free else ""
        up = snapshot.peers_up[type_]
        yield Finding(
            "too_few",
            f"{counted(demands.peers[type_], type_)} wanted, {up:,} "
            f"{'answers' if up == 1 else 'answer'}{also}",
            type=type_,
        )


def _missing(snapshot: Snapshot, now: Moment) -> list[Finding]:
    """Find who answered before and does no more.

    A worker that was started anew has no role at first, and may get another: then it is of another
    type, but not missing.
    """
    started: dict[str, float] = {}
    for each in snapshot.series:
        if each.up:
            newest = max(process.first_heard.monotonic for process in each.processes)
            started[each.peer] = max(newest, started.get(each.peer, newest))
    return [
        Finding(
            "silent",
            f"has not answered for {span(round(now.monotonic - each.last_reply.monotonic))}",
            each.peer,
            each.type,
        )
        for each in snapshot.series
        if not each.up and started.get(each.peer, -inf) <= each.last_reply.monotonic
    ]


def _figures(
    snapshot: Snapshot, state: ExporterState, now: Moment, demands: Demands
) -> Iterator[Finding]:
    """Find what PINGs say against a peer, and what they leave open."""
    # A PING is for one generation; where there are several, also of bystanders, each has its turn.
    up = [each for each in snapshot.series if each.up]
    turns = len({process.protocol for each in up for process in each.processes})
    patience = state.expiry + turns * state.interval
    for series in _partaking(snapshot):
        for process in series.processes:
            since = max(process.first_heard.monotonic, state.connected_at or -inf)
            asked = now.monotonic - since > patience
            for kind, message in _of_process(process, demands, asked=asked):
                yield Finding(kind, message, series.peer, series.type)


def _of_process(process: Process, demands: Demands, *, asked: bool) -> Iterator[tuple[str, str]]:
    """Find what is to be said of one process; `asked` tells whether it must have had a PING."""
    if process.round_trip is None or process.clock is None:
        if asked:
            yield "no_ping", "has answered no PING"
        else:
            yield "not_pinged", "has not answered a PING yet"
        return
    if process.round_trip > demands.max_round_trip:
        allowed = span(demands.max_round_trip)
        yield "slow", f"took {span(process.round_trip)} to answer; {allowed} are allowed"
    offset, error = process.clock
    limit = demands.max_clock_offset
    if _is_off(process.clock, limit):
        off = f"{span(abs(offset))} ± {span(error)} {'ahead' if offset > 0 else 'behind'}"
        yield "clock_offset", f"has a clock {off}; {span(limit)} are allowed"
    elif _is_uncertain(process.clock, limit):
        yield (
            "clock_unknown",
            f"has a clock that is known to ± {span(error)} only, since it took "
            f"{span(process.round_trip)} to answer: it may be {span(abs(offset) + error)} off",
        )


def _shared(snapshot: Snapshot) -> Iterator[Finding]:
    for each in snapshot.series:
        if each.up and len(each.processes) > 1:
            yield Finding(
                "shared_name", f"is {len(each.processes)} processes", each.peer, each.type
            )


def _lost(state: ExporterState) -> Iterator[Finding]:
    if state.results_dropped:
        yield Finding(
            "results_lost",
            f"{counted(state.results_dropped, 'test result')} came faster than they could be taken "
            "in, since the exporter was started",
        )


def _rejected(state: ExporterState, now: Moment) -> Iterator[Finding]:
    """Find recent ones only, and not what the broker retains: that is told at each connection."""
    if state.last_rejected is None or now.monotonic - state.last_rejected > _RECENT:
        return
    counts = {reason: n for reason, n in state.notes_rejected.items() if n and reason != "retained"}
    parts = ", ".join(f"{n:,} {reason.replace('_', ' ')}" for reason, n in counts.items())
    ago = span(round(now.monotonic - state.last_rejected))
    yield Finding(
        "rejected", f"since the exporter was started, {parts}; the last of them {ago} ago"
    )
