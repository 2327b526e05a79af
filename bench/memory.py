"""Memory: what a large cluster adds to the resident memory of the exporter.

The exporter is as people start it.  Its memory is read when it is idle and has been scraped once,
and then while all peers answer round after round over a real broker and the page is scraped once a
second, as it is and compressed by turns: after each scrape.  The largest of these readings counts.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import NamedTuple

from bench.harness import (
    MANY,
    Broker,
    Child,
    Outcome,
    Target,
    all_known,
    console_exporter,
    fetch,
    mebibytes,
    memory_of,
)
from tests.servers import wait_for

MOST = 80.0  # MiB


class _Sizes(NamedTuple):
    peers: int
    interval: float  # seconds between two rounds
    seconds: float


_FULL, _FAST = _Sizes(MANY, 5.0, 30.0), _Sizes(100, 0.5, 1.0)


def run(fast: bool) -> Outcome:
    """Read the memory before and after."""
    sizes = _FAST if fast else _FULL
    with ExitStack() as stack:
        broker = stack.enter_context(Broker())
        options = (f"--interval={sizes.interval:g}s", f"--max-peers={sizes.peers}")
        exporter = stack.enter_context(console_exporter(broker, *options))
        url = f"{exporter.url}/metrics"
        pid = exporter.process.pid if exporter.process is not None else 0
        fetch(url)
        idle = memory_of(pid)
        arguments = (broker.port, sizes.peers, sizes.interval / 2)
        stack.enter_context(Child("bench.feeder", *arguments)).answer(30)
        wait_for(lambda: all_known(url, sizes.peers), "all peers are known", 40)
        readings = _readings(url, pid, sizes.seconds)
        peak = memory_of(pid, "VmHWM")
    growth = (max(readings) - idle) / 2**20
    table = [
        ["resident memory", "", "more than idle"],
        *(
            [name, mebibytes(size), mebibytes(size - idle)]
            for name, size in (
                ("idle, scraped once", idle),
                ("after a scrape, least", min(readings)),
                ("after a scrape, most", max(readings)),
                ("after a scrape, last", readings[-1]),
                ("peak of all time (VmHWM)", peak),
            )
        ),
    ]
    what = f"resident memory with {sizes.peers:,} peers, more than idle"
    return Outcome(
        [Target(what, growth, MOST, at_most=True, unit=" MiB")],
        table,
        [f"{sizes.seconds:g} s, a round each {sizes.interval:g} s, a scrape each second."],
    )


def _readings(url: str, pid: int, seconds: float) -> list[int]:
    """Give the memory in bytes after each of the scrapes, one a second."""
    start, readings = time.monotonic(), []
    for second in range(max(2, round(seconds))):
        time.sleep(max(0.0, start + second - time.monotonic()))
        fetch(url, "gzip" if second % 2 else "identity")
        readings.append(memory_of(pid))
    return readings
