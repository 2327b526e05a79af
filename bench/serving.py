"""Serving: requests per second of the metrics page, against a bare Klein route.

The exporter is as people start it; real peers' answers to one round have come in over a real
broker, and nothing changes while the page is served.  The other side is a Klein route that
returns the very bytes that the exporter gave, with the same Content-Type and Content-Encoding.
A client of its own process asks over 8 kept connections, each time anew as soon as it has the
whole answer.  Both sides take turns; the ratio is the median of those of neighbouring turns.
"""

from __future__ import annotations

import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from bench.harness import (
    FEW,
    MANY,
    Broker,
    Child,
    Fetched,
    Outcome,
    Target,
    all_known,
    console_exporter,
    fetch,
    median_ratio,
)
from tests.servers import free_port, http_get, wait_for

LEAST = 0.8
_CONNECTIONS = 8


class _Sizes(NamedTuple):
    peers: int
    turns: int
    seconds: float  # of a turn


_LARGE, _LARGE_FAST = _Sizes(MANY, 7, 2.0), _Sizes(200, 1, 0.3)
_SMALL, _SMALL_FAST = _Sizes(FEW, 7, 1.0), _Sizes(20, 1, 0.3)


class _Compared(NamedTuple):
    """What was served, and the answers/s of both sides."""

    asked: str
    page: Fetched
    rates: list[tuple[float, float]]


def large(fast: bool) -> Outcome:
    """Serve the page of a large cluster, compressed."""
    sizes = _LARGE_FAST if fast else _LARGE
    return _outcome(sizes, _compare(sizes, ["gzip"]))


def small(fast: bool) -> Outcome:
    """Serve the page of a small cluster, as it is and compressed."""
    sizes = _SMALL_FAST if fast else _SMALL
    return _outcome(sizes, _compare(sizes, ["identity", "gzip"]))


def access_log(fast: bool) -> Outcome:
    """Serve a small page with an access log of JSON lines, and without one."""
    sizes = _SMALL_FAST if fast else _SMALL
    with ExitStack() as stack:
        client = stack.enter_context(Child("bench.load"))
        logged, plain = [
            stack.enter_context(console_exporter(None, "--log.format=json", *options))
            for options in (["--web.access-log"], [])
        ]
        page = fetch(f"{plain.url}/metrics", "gzip")
        rates = _turns(client, (logged.port, plain.port), "gzip", sizes, page)
    with_log, without = [statistics.median(side) for side in zip(*rates, strict=True)]
    more = 1e6 / with_log - 1e6 / without
    return Outcome(
        [],
        [
            ["access log", "requests/s"],
            ["none", f"{without:,.1f}/s"],
            ["JSON lines to a file", f"{with_log:,.1f}/s"],
        ],
        [f"A line takes {more:.0f} µs; {median_ratio(rates):.2f} of the requests/s are left."],
    )


def _outcome(sizes: _Sizes, found: list[_Compared]) -> Outcome:
    table = [["asked for", "served", "bytes", "exporter", "bare Klein", "ratio"]]
    targets = []
    for asked, page, rates in found:
        ratio = median_ratio(rates)
        targets.append(
            Target(f"serving {sizes.peers:,} peers, {asked}, against Klein", ratio, LEAST)
        )
        ours, reference = [statistics.median(side) for side in zip(*rates, strict=True)]
        table.append(
            [
                *(asked, page.encoding, f"{len(page.body):,}"),
                *(f"{ours:,.1f}/s", f"{reference:,.1f}/s", f"{ratio:.2f}"),
            ]
        )
    turns = f"{sizes.turns} turns of {sizes.seconds:g} s for each side"
    return Outcome(targets, table, [f"{turns}, {_CONNECTIONS} connections."])


def _compare(sizes: _Sizes, encodings: list[str]) -> list[_Compared]:
    with ExitStack() as stack:
        broker = stack.enter_context(Broker())
        # Before the exporter, so that it hears the first round.
        with Child("bench.feeder", broker.port, sizes.peers, 0.5) as feeder:
            feeder.answer(30)
            options = ("--interval=1h", "--peer-expiry=24h", f"--max-peers={MANY}")
            exporter = stack.enter_context(console_exporter(broker, *options))
            url = f"{exporter.url}/metrics"
            wait_for(lambda: all_known(url, sizes.peers), "all peers are known", 40)
        client = stack.enter_context(Child("bench.load"))
        return [
            _against_klein(stack, client, exporter.port, encoding, sizes) for encoding in encodings
        ]


def _against_klein(
    stack: ExitStack, client: Child, port: int, encoding: str, sizes: _Sizes
) -> _Compared:
    page = fetch(f"http://127.0.0.1:{port}/metrics", encoding)
    klein_port = _klein(stack, page)

    return _Compared(encoding, page, _turns(client, (port, klein_port), encoding, sizes, page))


def _turns(
    client: Child, ports: tuple[int, int], encoding: str, sizes: _Sizes, page: Fetched
) -> list[tuple[float, float]]:
    """Give the answers/s of two servers of the same page, by turns."""

    def turn(port: int) -> float:
        order: dict[str, Any] = {"port": port, "encoding": encoding}
        order |= {"connections": _CONNECTIONS, "seconds": sizes.seconds}
        answer = client.ask(order, sizes.seconds + 20)
        # What the exporter says of itself changes a little; what else it says must not.
        if max(abs(answer[key] - len(page.body)) for key in ("least", "most")) > 1000:
            raise RuntimeError(f"bodies of {answer['least']} to {answer['most']} bytes")
        return float(answer["answers"] / answer["seconds"])

    one, other = ports
    turn(one), turn(other)  # once for nothing: both are warm then
    return [(turn(one), turn(other)) for _ in range(sizes.turns)]


def _klein(stack: ExitStack, page: Fetched) -> int:
    """Start the other side; give its port."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
    (folder / "page").write_bytes(page.body)
    port = free_port()
    arguments = (port, folder / "page", page.content_type, page.encoding)
    stack.enter_context(Child("bench.klein_server", *arguments))
    url = f"http://127.0.0.1:{port}/metrics"
    wait_for(lambda: http_get(url).status == 200, "Klein answers")
    return port
