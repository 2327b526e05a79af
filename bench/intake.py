"""Intake: notes per second from a real broker, against a bare paho loop.

Real payloads of 1,000 peers, STATS and PING answers to rounds that were really asked, come at
quality of service 0 from a publisher that is faster than either side.  The exporter decodes,
applies and counts them; the other side's callback only counts.  Each has a broker and a publisher
of its own, all idle while it is the other's turn.  They come in windows that our queue can hold,
so that none is dropped, which is verified.  Every 2 ms it is looked how many were taken in; the
rate is that from the last look that saw none to the first that saw all.

To see what takes the time, the processor time of the two threads of each side is reported too:
the main thread's, which is the exporter's reactor, and that of all others, in which paho runs.
They take turns at one interpreter, so that their times add up.
"""

from __future__ import annotations

import os
import statistics
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from bench.harness import Broker, Child, Outcome, Target, fetch, median_ratio, total
from tests.servers import free_port, wait_for

LEAST = 0.75


class _Sizes(NamedTuple):
    peers: int
    rounds: int  # in a window
    turns: int


_FULL, _FAST = _Sizes(1000, 15, 7), _Sizes(100, 10, 1)
_INTERVAL = 0.1  # seconds between two rounds; as many are asked as are answered


def run(fast: bool) -> Outcome:
    """Let the two sides take turns."""
    sizes = _FAST if fast else _FULL
    port = free_port()
    with ExitStack() as stack:
        sides = [_Side(stack, sizes), _Side(stack, sizes, exporter_port=port)]
        rates: list[tuple[float, float]] = []
        for _ in range(sizes.turns):
            time.sleep(_INTERVAL * (sizes.rounds + 2))  # so many rounds are asked
            reference, ours = [side.window() for side in sides]
            rates.append((ours, reference))
        page = fetch(f"http://127.0.0.1:{port}/metrics").text
    if total(page, "maestro_exporter_notes_rejected_total"):
        raise RuntimeError("the exporter has not taken all messages in")
    ratio = median_ratio(rates)
    reference_side, our_side = sides
    enough = 1 / LEAST / statistics.median(reference for _, reference in rates)
    return Outcome(
        [Target("intake, messages/s against a bare paho loop", ratio, LEAST)],
        [
            ["side", "median messages/s", "least", "most", "paho's thread", "reactor's thread"],
            _row("exporter", [ours for ours, _ in rates], our_side),
            _row("bare paho", [reference for _, reference in rates], reference_side),
        ],
        [
            f"{sizes.turns} windows of {2 * sizes.peers * sizes.rounds:,} messages each; "
            "none was dropped.",
            f"To reach {LEAST}, a message may take {enough * 1e6:.0f} µs in all.",
        ],
    )


def _row(name: str, rates: list[float], side: _Side) -> list[str]:
    figures = [f"{figure:,.0f}" for figure in (statistics.median(rates), min(rates), max(rates))]
    main, others = [f"{seconds * 1e6:.1f} µs/message" for seconds in side.processor_times]
    if side.is_bare:  # it has one thread, in which paho runs
        return [name, *figures, main, ""]
    return [name, *figures, others, main]


def _processor_times(pid: int) -> tuple[float, float]:
    """Give the seconds of processor time of a process' main thread, and of all others."""
    main = others = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        ticks = sum(map(int, (task / "stat").read_text().rpartition(")")[2].split()[11:13]))
        if task.name == str(pid):
            main += ticks
        else:
            others += ticks
    second = os.sysconf("SC_CLK_TCK")
    return main / second, others / second


class _Side:
    """A subscriber, with a broker and a publisher of its own.

    Args:
        stack: ends them.
        sizes: of the windows.
        exporter_port: where the exporter serves its pages; None for the bare loop.
    """

    def __init__(self, stack: ExitStack, sizes: _Sizes, exporter_port: int | None = None) -> None:
        self._rounds = sizes.rounds
        self._messages = 2 * sizes.peers * sizes.rounds
        self._windows: list[tuple[float, float]] = []
        self.is_bare = exporter_port is None
        broker = stack.enter_context(Broker())
        self._feeder = stack.enter_context(
            Child("bench.feeder", broker.port, sizes.peers, "on-order")
        )
        self._feeder.answer(30)
        if exporter_port is None:
            self._subscriber = stack.enter_context(Child("bench.bare_paho", broker.port))
            self._subscriber.answer(20)
            return
        self._subscriber = stack.enter_context(
            Child(
                "bench.probed_exporter",
                f"--maestro-url={broker.url}",
                f"--web.listen-address=127.0.0.1:{exporter_port}",
                f"--interval={_INTERVAL}s",
                "--peer-expiry=1h",
            )
        )
        page = f"http://127.0.0.1:{exporter_port}/metrics"
        wait_for(lambda: total(fetch(page).text, "maestro_up"), "the exporter is connected")
        self.window()  # now all peers are known

    def window(self) -> float:
        """Give the messages/s of one window."""
        self._subscriber.ask({"count": self._messages}, 10)
        before = _processor_times(self._subscriber.pid)
        self._feeder.ask(self._rounds, 10)
        rate = float(self._subscriber.answer(30)["rate"])
        after = _processor_times(self._subscriber.pid)
        self._windows.append((after[0] - before[0], after[1] - before[1]))
        return rate

    @property
    def processor_times(self) -> tuple[float, float]:
        """Seconds of processor time for each message, of the main thread and of all others."""
        main, others = [statistics.median(thread) for thread in zip(*self._windows, strict=True)]
        return main / self._messages, others / self._messages
