"""Viewing: what each view of the status page costs the reactor, and how long it takes.

A thousand peers answer STATS and PING of each round over a real broker.  Twice a second somebody
asks for the status page, each time for another part of it in another order, so that each view has
to be made.  In the reactor's thread that takes a look at the question and at all that is known;
the page is made in another thread, which takes turns with the reactor at Python's lock.  So a
probe in the reactor notes, too, how late calls come; scrapes of the metrics in the place of views,
and neither, are there to compare with, by turns.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from bench.harness import Broker, Child, Outcome, Target, all_known, fetch, milliseconds
from bench.probed_exporter import quantile
from tests.servers import free_port, wait_for

MOST = 0.020  # seconds
_PERIOD = 0.5  # seconds between two views
_VIEWS, _SCRAPES, _NEITHER = "views of the status page", "scrapes of the metrics", "neither"


class _Sizes(NamedTuple):
    peers: int
    interval: float  # seconds between two rounds, of a window, and to warm up
    turns: int


_FULL, _FAST = _Sizes(1000, 2.0, 10), _Sizes(50, 0.5, 1)


def run(fast: bool) -> Outcome:
    """Look what the reactor has to do, in windows of one round each that take turns."""
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
        views, scrapes = _views(sizes.peers), itertools.repeat("/metrics")
        times: list[float] = []
        doing: dict[str, Callable[[], object]] = {
            _VIEWS: lambda: times.extend(_ask(url, views, sizes.interval)),
            _SCRAPES: lambda: _ask(url, scrapes, sizes.interval),
            _NEITHER: lambda: time.sleep(sizes.interval),
        }
        doing[_VIEWS]()
        times.clear()
        windows: dict[str, list[dict[str, Any]]] = {name: [] for name in doing}
        for _ in range(sizes.turns):
            for name, what in doing.items():
                windows[name].append(_noted(exporter, what))
        page = fetch(f"{url}/")
        packed = fetch(f"{url}/?page=2", "gzip")
    ordered = sorted(times)
    busy = sorted(busy for each in windows[_VIEWS] for busy in each["views"])
    what_ = f"p95 of the times that views of {sizes.peers:,} peers hold the reactor"
    return Outcome(
        [Target(what_, quantile(busy, 0.95) * 1e3, MOST * 1e3, at_most=True, unit=" ms")],
        [
            ["", "late: median", "p99", "longest"],
            *(
                [name, *(milliseconds(_median(each, key)) for key in ("median", "p99", "max"))]
                for name, each in windows.items()
            ),
        ],
        [
            f"{len(busy)} views held the reactor for {milliseconds(quantile(busy, 0.5))} in the "
            f"median, and for {milliseconds(busy[-1])} at most. They took "
            f"{milliseconds(quantile(ordered, 0.5))} in the median and "
            f"{milliseconds(ordered[-1])} at most; {len(page.body):,} bytes, "
            f"{len(packed.body):,} compressed.",
            f"Lateness: medians of {sizes.turns} windows of {sizes.interval:g} s, with one round "
            f"of {sizes.peers:,} peers each.",
        ],
    )


def _median(windows: Sequence[dict[str, Any]], key: str) -> float:
    return float(statistics.median(each[key] for each in windows))


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
