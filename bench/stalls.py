"""Stalls: how long the reactor of the exporter does not get round to what is due.

All peers of a large cluster answer STATS and PING of each round over a real broker, spread over
half of the interval; once a second, the compressed page is scraped.  A probe in the exporter's
reactor asks for a call in 2 ms, again and again, and notes how late each comes.  The rounds come
at the shortest interval at which this machine (feeder, broker and exporter together) keeps up:
at least 99 % of the answers are in before the next round.  What the same gives without scrapes,
and how long the garbage collector held all else up, is reported too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, NamedTuple

from bench.harness import (
    MANY,
    Broker,
    Child,
    Outcome,
    Target,
    all_known,
    fetch,
    milliseconds,
    total,
)
from tests.servers import free_port, wait_for

MOST, MOST_P99 = 0.050, 0.020  # seconds
_IN_TIME = 0.99


class _Sizes(NamedTuple):
    peers: int
    intervals: tuple[float, ...]  # seconds, those to be tried
    warm_up: float
    seconds: float


_FULL = _Sizes(MANY, (1.0, 2.0, 5.0, 10.0), 5.0, 20.0)
_FAST = _Sizes(100, (0.5,), 0.5, 1.0)


class _Measured(NamedTuple):
    interval: float
    answers: float  # a round
    scraped: dict[str, Any]
    unscraped: dict[str, Any]


def run(fast: bool) -> Outcome:
    """Look how late the reactor is."""
    sizes = _FAST if fast else _FULL
    found = None
    tried = []
    for interval in sizes.intervals:
        last = interval == sizes.intervals[-1]
        found, share = _measure(sizes, interval, needed=0.0 if last else _IN_TIME)
        tried.append(f"{share:.1%} at {interval:g} s")
        if found is not None:
            break
    if found is None:
        raise RuntimeError("there is no interval to be tried")
    what = f"at {sizes.peers:,} peers, a round each {found.interval:g} s"
    targets = [
        ("longest stall", found.scraped["max"], MOST),
        ("p99 of the lateness", found.scraped["p99"], MOST_P99),
    ]
    return Outcome(
        [
            Target(f"{name} {what}", value * 1e3, limit * 1e3, at_most=True, unit=" ms")
            for name, value, limit in targets
        ],
        [
            ["", "samples", "median", "p99", "p99.9", "longest", "collections: count, longest"],
            _row("one scrape a second", found.scraped),
            _row("no scrapes", found.unscraped),
        ],
        [
            f"{sizes.peers:,} peers, {found.answers:,.0f} answers a round, a round each "
            f"{found.interval:g} s; answers in time: {', '.join(tried)}.",
            "Collections: of the garbage collector, by generation.",
        ],
    )


def _row(name: str, report: dict[str, Any]) -> list[str]:
    times = [milliseconds(report[key]) for key in ("median", "p99", "p999", "max")]
    collections = [
        f"{each['count']}, {milliseconds(each['longest'])}"
        for each in report["collections"].values()
    ]
    return [name, f"{report['samples']:,}", *times, "; ".join(collections)]


def _measure(sizes: _Sizes, interval: float, needed: float) -> tuple[_Measured | None, float]:
    """Measure at one interval; nothing if too few answers come in time. Give their share too."""
    with ExitStack() as stack:
        broker = stack.enter_context(Broker())
        feeder = stack.enter_context(Child("bench.feeder", broker.port, sizes.peers, interval / 2))
        feeder.answer(30)
        port = free_port()
        exporter = stack.enter_context(
            Child(
                "bench.probed_exporter",
                f"--maestro-url={broker.url}",
                f"--web.listen-address=127.0.0.1:{port}",
                f"--interval={interval:g}s",
                f"--max-peers={sizes.peers}",
            )
        )
        url = f"http://127.0.0.1:{port}/metrics"
        wait_for(lambda: all_known(url, sizes.peers), "all peers are known", 40)
        _scrape(url, sizes.warm_up)
        before = _Progress.of(url, sizes.peers)
        _scrape(url, min(sizes.seconds, max(5.0, 3 * interval)))
        trial = _Progress.of(url, sizes.peers)
        share = trial.in_time_since(before)
        if share < needed:
            return None, share
        scraped = _noted(exporter, lambda: _scrape(url, sizes.seconds))
        after = _Progress.of(url, sizes.peers)
        unscraped = _noted(exporter, lambda: time.sleep(sizes.seconds))
        measured = _Measured(interval, after.answers_since(trial), scraped, unscraped)
        return measured, after.in_time_since(before)


def _noted(exporter: Child, what: Callable[[], None]) -> dict[str, Any]:
    """Give the lateness while something is done."""
    exporter.ask({"begin": True}, 20)
    what()
    report: dict[str, Any] = exporter.ask({"end": True}, 20)
    return report


def _scrape(url: str, seconds: float) -> None:
    """Scrape at once and then each second, for so long."""
    start = time.monotonic()
    due = 0.0
    while due < seconds:
        time.sleep(max(0.0, start + due - time.monotonic()))
        fetch(url, "gzip")
        due += 1.0
    time.sleep(max(0.0, start + seconds - time.monotonic()))


class _Progress(NamedTuple):
    """How far the exporter is, by its own page."""

    rounds: float
    received: float
    late: float
    dropped: float
    last_round: float  # the share of the peers that have answered it

    @classmethod
    def of(cls, url: str, peers: int) -> _Progress:
        page = fetch(url, "gzip").text
        name = "maestro_exporter"
        return cls(
            total(page, f"{name}_rounds_total"),
            total(page, f"{name}_notes_received_total"),
            total(page, f"{name}_late_replies_total"),
            total(page, f"{name}_notes_rejected_total"),
            total(page, f"{name}_last_round_replies") / peers,
        )

    def in_time_since(self, before: _Progress) -> float:
        """Give the share of the answers that came before the next round, and came at all."""
        received = self.received - before.received
        lost = self.late - before.late + self.dropped - before.dropped
        return min(self.last_round, 1 - lost / received) if received else 0.0

    def answers_since(self, before: _Progress) -> float:
        """Give the answers per round."""
        return (self.received - before.received) / max(1.0, self.rounds - before.rounds)
