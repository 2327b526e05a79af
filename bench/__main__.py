"""`python -m bench`: the command line, the summary, and `bench/RESULTS.md`."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from bench import (
    flatness,
    intake,
    memory,
    per_peer,
    rendering,
    serving,
    stalls,
    start,
    viewing,
)
from bench.harness import Outcome, Target, as_text, deadline
from maestro_exporter.arguments import OneLineParser

RESULTS = Path(__file__).parent / "RESULTS.md"


class Benchmark(NamedTuple):
    """One of those that can be named.

    Attributes:
        about: what it compares, on one line.
        run: gives the outcome; told whether it has to be fast.
        seconds: that it may take at most.
    """

    about: str
    run: Callable[[bool], Outcome]
    seconds: float


BENCHMARKS = {
    "rendering": Benchmark(
        "a page of 10,000 peers, by our encoder and by prometheus_client", rendering.run, 60
    ),
    "serving-large": Benchmark(
        "requests/s of that page compressed, against a bare Klein route", serving.large, 120
    ),
    "serving-small": Benchmark(
        "requests/s of a page of 100 peers, against a bare Klein route", serving.small, 90
    ),
    "access-log": Benchmark("what a line for each request costs", serving.access_log, 60),
    "intake": Benchmark("messages/s from a real broker, against a bare paho loop", intake.run, 90),
    "stalls": Benchmark(
        "how late the reactor is with 10,000 peers, polled and scraped", stalls.run, 180
    ),
    "viewing": Benchmark(
        "what each view of the status page of 1,000 peers costs the reactor", viewing.run, 120
    ),
    "per-peer-cost": Benchmark(
        "rendering and intake per peer, at 10,000 peers and at 100", per_peer.run, 90
    ),
    "memory": Benchmark("what 10,000 peers add to the resident memory", memory.run, 90),
    "start": Benchmark(
        "start to first answer, against importing the same libraries", start.run, 60
    ),
    "flatness": Benchmark("growth of the memory while 1,000,000 notes come in", flatness.run, 120),
}
_LIBRARIES = ("twisted", "klein", "paho-mqtt", "prometheus-client", "msgpack", "isal")
_FAST_MEANS = "this shows that all can be measured; the figures say nothing"
_LIMIT = 590.0  # seconds for all together
_INTERRUPTED = 130


def main() -> int:
    """Run the benchmarks; give the exit status."""
    parser = OneLineParser(
        prog="python -m bench",
        description="How fast the exporter is. Needs mosquitto; takes up to ten minutes.",
    )
    parser.add_argument("names", metavar="NAME", nargs="*", help="only these benchmarks")
    parser.add_argument("--list", action="store_true", help="show the names and exit")
    parser.add_argument("--fast", action="store_true", help=f"tiny sizes: {_FAST_MEANS}")
    parser.add_argument("--write", action="store_true", help="write bench/RESULTS.md")
    parser.add_argument(
        "--strict", action="store_true", help="exit with status 1 if a figure misses its target"
    )
    options = parser.parse_args()
    for name in options.names:
        if name not in BENCHMARKS:
            parser.error(f'"{name}" is no benchmark; there are {", ".join(BENCHMARKS)}')
    if options.list:
        for name, benchmark in BENCHMARKS.items():
            _show(f"{name:14} {benchmark.about}\n")
        return 0

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_INTERRUPTED))  # children are ended then
    chosen = [name for name in BENCHMARKS if name in options.names or not options.names]
    try:
        outcomes = _run_all(chosen, options.fast)
    except KeyboardInterrupt:
        return _INTERRUPTED
    targets = [target for outcome in outcomes.values() for target in outcome.targets]
    if targets:
        _show("\n" + _summary(targets))
    if options.fast:
        _show(f"\nTiny sizes: {_FAST_MEANS}.\n")
    if options.write:
        RESULTS.write_text(_report(outcomes, fast=options.fast), "utf-8")
    failed = len(outcomes) < len(chosen)
    missed = options.strict and not all(target.met for target in targets)
    return int(failed or missed)


def _run_all(names: Sequence[str], fast: bool) -> dict[str, Outcome]:
    """Give the outcomes of those that could be measured; show all as they come."""
    outcomes = {}
    end = time.monotonic() + _LIMIT
    for number, name in enumerate(names, 1):
        try:
            limit = max(0.001, min(BENCHMARKS[name].seconds, end - time.monotonic()))
            with _Progress(f"[{number}/{len(names)}] {name}"), deadline(limit):
                outcome = BENCHMARKS[name].run(fast)
        except Exception as error:  # noqa: BLE001 - the others can be measured all the same
            _show(f"could not be measured: {type(error).__name__}: {error}\n")
            continue
        outcomes[name] = outcome
        _show(f"\n{_details(outcome)}\n")
    return outcomes


class _Progress:
    """A line that says what runs and for how long; where that can be shown, all the time."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._done = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> None:
        self._start = time.monotonic()
        _show(f"{self._what} ...")
        if sys.stdout.isatty():
            self._ticker.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._ticker.is_alive():
            self._ticker.join()
        _show(f" {time.monotonic() - self._start:.1f} s\n")

    def _tick(self) -> None:
        while not self._done.wait(1.0):
            _show(f"\r{self._what} ... {time.monotonic() - self._start:.0f} s")


def _show(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


# ------------------------------------------------------------------- results


def _summary(targets: Sequence[Target]) -> str:
    return as_text([["what", "measured", "must reach", ""], *(each.row() for each in targets)])


def _details(outcome: Outcome) -> str:
    remarks = "".join(f"\n{remark}\n" for remark in outcome.remarks)
    return f"{as_text(outcome.table)}{remarks}"


def _report(outcomes: dict[str, Outcome], *, fast: bool) -> str:
    """Give what is written to `bench/RESULTS.md`."""
    targets = [target for outcome in outcomes.values() for target in outcome.targets]
    sections = [
        "# Results of the benchmarks\n",
        "Written by `python -m bench --write`; what is measured, and how, is said at the top of "
        "each\nmodule in `bench/`.\n",
        *([f"**Tiny sizes: {_FAST_MEANS}.**\n"] if fast else []),
        _summary(targets),
        f"## Where and when\n\n{_surroundings()}",
    ]
    sections += [f"## {name}\n\n{_details(outcome)}" for name, outcome in outcomes.items()]
    return "\n".join(sections)


def _surroundings() -> str:
    """Give the machine, the versions and the date."""
    pages, page = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    rows = [
        ["date", datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")],
        ["processor", _processor()],
        ["cores", str(len(os.sched_getaffinity(0)))],
        ["memory", f"{pages * page / 2**30:.1f} GiB"],
        ["kernel", f"{platform.system()} {platform.release()}"],
        ["Python", f"{platform.python_implementation()} {platform.python_version()}"],
        *([name, _version(name)] for name in _LIBRARIES),
        ["mosquitto", _mosquitto()],
    ]
    return as_text([["what", "which"], *rows])


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"


def _mosquitto() -> str:
    path = shutil.which("mosquitto", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
    if path is None:
        return "not installed"
    shown = subprocess.run(  # noqa: S603 - mosquitto, to show its version
        [path, "-h"], capture_output=True, text=True, check=False, timeout=10
    )
    return shown.stdout.partition("\n")[0].removeprefix("mosquitto version ")


if __name__ == "__main__":
    sys.exit(main())
