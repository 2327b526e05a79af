"""The exporter as `maestro-exporter` starts it, with a probe beside it in the same process.

`python -m bench.probed_exporter OPTIONS` takes these orders, each a line of JSON on standard
input, and answers each with a line of JSON:

* `{"count": N}`: how fast N notes, from now on, are taken in.
* `{"begin": true}`: note from now on how late the reactor is; the answer comes at once.
* `{"end": true}`: how late it was since then, how long each view of the status page held it, and
  what the garbage collector took of that.

The probe only reads.  It asks the reactor for a call in 2 ms, again and again: what such a call
comes too late, any other one would have come too late at that moment.
"""

from __future__ import annotations

import gc
import json
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any, TextIO

PERIOD = 0.002  # seconds


class Probe:
    """What is noted in the reactor thread.

    Args:
        reactor: what is probed.
        answers: where answers go.
        ingest: counts the notes.
        views: seconds that the reactor was busy with each view of the status page; grows.
    """

    def __init__(self, reactor: Any, answers: TextIO, ingest: Any, views: list[float]) -> None:
        self._reactor = reactor
        self._ingest = ingest
        self._answers = answers
        self._lateness: list[float] = []
        self._collections: list[tuple[int, float]] = []
        self._collecting = 0.0
        self._begun = 0.0
        self._views = views
        self._order: dict[str, Any] = {}
        self._start = 0.0
        self._base = 0

    def start(self) -> None:
        """Begin to probe, and to take orders."""
        gc.callbacks.append(self._collected)
        self._due = time.monotonic() + PERIOD
        self._reactor.callLater(PERIOD, self._tick)
        threading.Thread(target=self._take_orders, daemon=True).start()

    def _tick(self) -> None:
        now = time.monotonic()
        self._lateness.append(now - self._due)
        if "count" in self._order:
            self._look(now, self._order["count"])
        self._due = time.monotonic() + PERIOD
        self._reactor.callLater(PERIOD, self._tick)

    def _collected(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._collecting = time.monotonic()
        else:
            took = time.monotonic() - self._collecting
            self._collections.append((info["generation"], took))

    # ---------------------------------------------------------------- orders

    def _take_orders(self) -> None:
        """In a thread that waits for input, and does nothing else."""
        for line in sys.stdin:
            self._reactor.callFromThread(self._obey, json.loads(line))
        self._reactor.callFromThread(self._reactor.stop)

    def _obey(self, order: dict[str, Any]) -> None:
        if "count" in order:
            self._order, self._start = order, time.monotonic()
            self._base = self._taken_in()
            self._say({})
        elif "begin" in order:
            self._lateness.clear()
            self._collections.clear()
            self._begun = time.monotonic()
            self._views.clear()
            self._say({})
        elif "end" in order:
            self._say(self._report())

    def _say(self, answer: dict[str, Any]) -> None:
        self._answers.write(json.dumps(answer) + "\n")
        self._answers.flush()

    # ----------------------------------------------------------------- notes

    def _taken_in(self) -> int:
        return sum(self._ingest.received.values())

    def _look(self, now: float, wanted: int) -> None:
        """Answer when all notes have come: the rate since just before the first of them."""
        count = self._taken_in() - self._base
        if not count:
            self._start = now
        elif count >= wanted:
            self._order = {}
            self._say({"rate": count / (now - self._start), "count": count})

    # -------------------------------------------------------------- lateness

    def _report(self) -> dict[str, Any]:
        seconds = time.monotonic() - self._begun
        ordered = sorted(self._lateness)
        collections = {
            str(generation): {
                "count": len(times),
                "longest": max(times, default=0.0),
                "sum": sum(times),
            }
            for generation in range(3)
            for times in [[took for each, took in self._collections if each == generation]]
        }
        return {
            "seconds": seconds,
            "views": self._views,
            "samples": len(ordered),
            "median": quantile(ordered, 0.5),
            "p99": quantile(ordered, 0.99),
            "p999": quantile(ordered, 0.999),
            "max": quantile(ordered, 1.0),
            "collections": collections,
        }


def quantile(ordered: Sequence[float], share: float) -> float:
    """Give the value that this share of the values does not exceed."""
    return ordered[max(0, min(len(ordered) - 1, round(share * len(ordered)) - 1))]


def _timed(function: Any, times: list[float]) -> Any:
    """Give the same function, which notes how long each call took."""

    def call(*arguments: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*arguments)
        finally:
            times.append(time.perf_counter() - began)

    return call


def main() -> None:
    """Run the exporter."""
    from twisted.internet import reactor

    from maestro_exporter.bridge import Bridge
    from maestro_exporter.foreground import log_to_standard_output, run_service
    from maestro_exporter.service import make_exporter
    from maestro_exporter.tap import Options
    from maestro_exporter.web.pages import Pages

    answers, sys.stdout = sys.stdout, sys.stderr  # for what the exporter logs
    options = Options()
    options.parseOptions(sys.argv[1:])
    views: list[float] = []
    Pages._root = _timed(Pages._root, views)  # type: ignore[method-assign]
    exporter = make_exporter(options.settings, reactor)
    (bridge,) = (each for each in exporter.services if isinstance(each, Bridge))
    # Nobody hands out what counts the notes; what the bridge calls calls it.
    receive: Any = bridge._receive
    probe = Probe(reactor, answers, receive.__self__._ingest, views)
    reactor.callWhenRunning(probe.start)
    sys.exit(run_service(exporter, log_to_standard_output(options.settings), reactor))


if __name__ == "__main__":
    main()
