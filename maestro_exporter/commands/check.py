"""`maestro-exporter check`: whether a cluster is fit for a test, in a table and an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from maestro_exporter import clock, fitness, values
from maestro_exporter.arguments import argument
from maestro_exporter.commands.survey import (
    INTERRUPTED_STATUS,
    NO_BROKER_STATUS,
    Survey,
    SurveyParser,
    write,
)
from maestro_exporter.fitness import COUNTED, Demands, Verdict, judge
from maestro_exporter.snapshot import TYPES, ExporterState, Series, Snapshot
from maestro_exporter.verdict import verdict_document
from maestro_exporter.wording import counted, span

UNFIT_STATUS = 1


class _Result(NamedTuple):
    """What was found, and in what."""

    verdict: Verdict
    snapshot: Snapshot
    state: ExporterState


def main(arguments: Sequence[str]) -> int:
    """Check; give the exit status: 0 fit, 1 unfit, 2 bad usage, 3 no broker."""
    parser = _parser()
    given = parser.parse_args(arguments)
    settings = parser.settings(given, os.environ)
    demands = Demands(**{each.name: getattr(given, each.name) for each in fitness.PARAMETERS})

    from twisted.internet import reactor

    survey = Survey(settings, given.timeout, reactor)
    collector = survey.collector

    def verdict(snapshot: Snapshot, state: ExporterState) -> Verdict:
        return judge(snapshot, state, clock.now(), demands, collector.unready())

    def settled() -> bool:
        return verdict(collector.cluster.snapshot(), collector.state()).fit

    def conclude() -> _Result:
        snapshot, state = collector.cluster.snapshot(), collector.state()
        return _Result(verdict(snapshot, state), snapshot, state)

    result = survey.run(conclude, settled)
    if result is None:
        return INTERRUPTED_STATUS
    try:
        if given.format == "json":
            write(verdict_document(*result, clock.now()))
        else:
            lines = _report(result.verdict, result.snapshot)
            write("".join(f"{values.printable(line)}\n" for line in lines))
    except OSError as error:  # the status says it, too
        sys.stderr.write(f"{parser.prog}: standard output: {error.strerror}\n")
    if result.verdict.fit:
        return 0
    return UNFIT_STATUS if result.state.broker_up else NO_BROKER_STATUS


# ------------------------------------------------------------------- the report


def _report(verdict: Verdict, snapshot: Snapshot) -> Iterator[str]:
    """Give the lines for people."""
    if any(snapshot.peers_up.values()) or verdict.demands.peers:
        yield from _table(_rows(verdict.demands, snapshot))
        yield ""
    if verdict.fit:
        yield "Fit for a test."
    else:
        yield f"Not fit for a test, for {counted(len(verdict.reasons), 'reason')}:"
        yield from (f"  {each.sentence}" for each in verdict.reasons)
    common = fitness.common_clock_offset(snapshot, verdict.demands.max_clock_offset)
    if common is not None:
        yield (
            f"All clocks are off alike, by about {span(common, signed=True)}: it may be the clock "
            "of this machine that is wrong."
        )
    if verdict.warnings:
        yield f"{counted(len(verdict.warnings), 'warning')}:"
        yield from (f"  {each.sentence}" for each in verdict.warnings)
    if snapshot.run is not None and snapshot.run.end is None:
        yield "A test runs already."


_HEADER = ("type", "wanted", "up", "slowest round trip", "largest clock offset")


def _rows(demands: Demands, snapshot: Snapshot) -> Iterator[Sequence[str]]:
    yield _HEADER
    for type_ in TYPES:
        up, wanted = snapshot.peers_up[type_], demands.peers.get(type_)
        if up or wanted or type_ in COUNTED:
            alike = [each for each in snapshot.series if each.up and each.type == type_]
            yield (
                type_,
                "-" if wanted is None else str(wanted),
                str(up),
                _slowest(alike),
                _largest_offset(alike),
            )


def _slowest(series: Sequence[Series]) -> str:
    times = [each.round_trip for each in series if each.round_trip is not None]
    return span(max(times)) if times else "-"


def _largest_offset(series: Sequence[Series]) -> str:
    clocks = [each.clock for each in series if each.clock is not None]
    if not clocks:
        return "-"
    worst = max(clocks, key=lambda clock: abs(clock.seconds))
    return f"{span(worst.seconds, signed=True)} ± {span(worst.error)}"


def _table(rows: Iterator[Sequence[str]]) -> Iterator[str]:
    """Give the lines of a table: the first column to the left, all others to the right."""
    cells = list(rows)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        first, *others = (
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join([first, *others]).rstrip()


# ---------------------------------------------------------------------- options


def _parser() -> SurveyParser:
    parser = SurveyParser(
        "check",
        "Asks the peers of a Maestro cluster for a few seconds, and says whether it is fit for a "
        "test.  Ends with 0 as soon as it is; with 1 if it is not when the time is up, and with "
        "every reason; with 3 if there is no broker by then; with 2 for bad usage.",
    )
    metavars = {"max_clock_offset": "TIME", "max_round_trip": "TIME"}
    helps = {
        **{f"{type_}s": f"at least so many {type_}s  [default: any number]" for type_ in COUNTED},
        "max_clock_offset": "how far each clock may be off that of this machine, seconds or a "
        "number with ms, s, m or h  [default: 5ms]",
        "max_round_trip": "how long each peer may take to answer a PING, likewise  [default: 50ms]",
    }
    for each in fitness.PARAMETERS:
        parser.add_argument(
            f"--{each.name.replace('_', '-')}",
            type=argument(each.parse),
            default=each.default,
            metavar=metavars.get(each.name, "N"),
            help=helps[each.name],
        )
    parser.add_argument(
        "--format",
        choices=("text", "json"),
        default="text",
        help="a table for people, or what /api/v1/check says  [default: text]",
    )
    parser.add_common_arguments()
    return parser
