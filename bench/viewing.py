"""Viewing: what each view of the status page costs the reactor, and how long it takes.

A thousand peers answer STATS and PING of each round over a real broker.  Twice a second somebody
asks for the status page, each time for another part of it in another order, so that each view has
to be made.  A probe in the exporter's reactor notes how late calls come: what is later with views
than without is what they cost, the wait for Python's lock included, since the page is made in
another thread.  The same with scrapes of the metrics in their place is reported too.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

from bench.harness import (
    Broker,
    Child,
    Outcome,
    Target,
    all_known,
    fetch,
    milliseconds,
)
from bench.probed_exporter import quantile
from tests.servers import free_port, wait_for

MOST = 0.020  # seconds
_PERIOD = 0.5  # seconds between two views


class _Sizes(NamedTuple):
    peers: int
    interval: float  # seconds between two rounds
    warm_up: float
    seconds: float


_FULL, _FAST = _Sizes(1000, 2.0, 5.0, 20.0), _Sizes(50, 0.5, 0.5, 1.0)


def run(fast: bool) -> Outcome:
    """Look how late the reactor is."""
    sizes = _FAST if fast else _FULL
    with ExitStack() as stack:
        broker = stack.enter_context(Broker())
        feeder = Child("bench.feeder", broker.port, sizes.peers, sizes.interval / 2)
        stack.enter_context(feeder).answer(30)
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        exporter = stack.enter_context(
            Child(
                "bench.probed_exporter",
                f"--maestro-url={broker.url}",
                f"--web.listen-address=127.0.0.1:{port}",
                f"--interval={sizes.interval:g}s",
            )
        )
        wait_for(lambda: all_known(f"{url}/metrics", sizes.peers), "all peers are known", 40)
        views = _views(sizes.peers)
        _ask(url, views, sizes.warm_up)
        times: list[float] = []
        viewed = _noted(exporter, lambda: times.extend(_ask(url, views, sizes.seconds)))
        scrapes = itertools.repeat("/metrics")
        scraped = _noted(exporter, lambda: _ask(url, scrapes, sizes.seconds))
        alone = _noted(exporter, lambda: time.sleep(sizes.seconds))
        page = fetch(f"{url}/")
        packed = fetch(f"{url}/?page=2", "gzip")
    ordered = sorted(times)
    what = f"longest stall with views of {sizes.peers:,} peers"
    return Outcome(
        [
            Target(what, viewed["max"] * 1e3, MOST * 1e3, at_most=True, unit=" ms"),
            Target(
                "p99 of the lateness with views, against without",
                viewed["p99"] / max(alone["p99"], 1e-6),
                None,
            ),
        ],
        [
            ["", "samples", "median", "p99", "p99.9", "longest"],
            _row("views of the status page", viewed),
            _row("scrapes of the metrics", scraped),
            _row("neither", alone),
        ],
        [
            f"{sizes.peers:,} peers, a round each {sizes.interval:g} s, a view each {_PERIOD:g} s: "
            f"{len(times)} views took {milliseconds(quantile(ordered, 0.5))} in the median and "
            f"{milliseconds(ordered[-1])} at most; {len(page.body):,} bytes, "
            f"{len(packed.body):,} compressed.",
        ],
    )


def _views(peers: int) -> Iterator[str]:
    """Give addresses of views, none like the one before."""
    pages = range(1, 1 + max(1, peers // 100))
    columns = ("type", "peer", "up", "last_reply", "rate", "messages", "round_trip", "clock_offset")
    views = itertools.product(pages, columns, ("asc", "desc"))
    for page, column, order in itertools.cycle(views):
        yield f"/?sort={column}&order={order}&page={page}"


def _ask(url: str, paths: Iterator[str], seconds: float) -> list[float]:
    """Ask for one path after the other, for so long; give how long each took."""
    start = time.monotonic()
    times: list[float] = []
    due = 0.0
    while due < seconds:
        time.sleep(max(0.0, start + due - time.monotonic()))
        began = time.perf_counter()
        fetch(f"{url}{next(paths)}", "gzip")
        times.append(time.perf_counter() - began)
        due += _PERIOD
    return times


def _noted(exporter: Child, what: Callable[[], object]) -> dict[str, Any]:
    """Give the lateness while something is done."""
    exporter.ask({"begin": True}, 20)
    what()
    report: dict[str, Any] = exporter.ask({"end": True}, 20)
    return report


def _row(name: str, report: dict[str, Any]) -> list[str]:
    times = [milliseconds(report[key]) for key in ("median", "p99", "p999", "max")]
    return [name, f"{report['samples']:,}", *times]
