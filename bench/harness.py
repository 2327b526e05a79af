"""What the benchmarks share: targets and tables, programs with deadlines, interleaved timing."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from tests.servers import Exporter, Mosquitto, http_get

ROOT = Path(__file__).parents[1]
#: Peers of a large cluster, and of a small one.
MANY, FEW = 10_000, 100

Table = Sequence[Sequence[str]]


# ------------------------------------------------------------------- results


class Target(NamedTuple):
    """A figure, and what it must reach.

    Attributes:
        what: is measured, in words.
        measured: the figure.
        limit: the bound; None for a figure that need not reach any.
        at_most: whether the bound is an upper one.
        unit: shown behind both.
    """

    what: str
    measured: float
    limit: float | None
    at_most: bool = False
    unit: str = ""

    @property
    def met(self) -> bool:
        """Whether the figure is within the bound."""
        if self.limit is None:
            return True
        return self.measured <= self.limit if self.at_most else self.measured >= self.limit

    def row(self) -> list[str]:
        """Give its row of the summary."""
        sign = "<=" if self.at_most else ">="
        bound = "-" if self.limit is None else f"{sign} {self.limit:g}{self.unit}"
        return [self.what, f"{self.measured:.2f}{self.unit}", bound, "ok" if self.met else "MISSED"]


@dataclass
class Outcome:
    """What a benchmark gives.

    Attributes:
        targets: its rows of the summary.
        table: its own table, the first row being the header.
        remarks: what one must know to read that table.
    """

    targets: list[Target]
    table: Table
    remarks: list[str] = field(default_factory=list)


def as_text(table: Table) -> str:
    """Give a table in Markdown, its columns aligned so that it reads well as it is."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]

    def line(cells: Sequence[str], fill: str = " ") -> str:
        padded = [cell.ljust(width, fill) for cell, width in zip(cells, widths, strict=True)]
        return f"| {' | '.join(padded)} |"

    head, *rows = table
    return "\n".join([line(head), line([""] * len(head), "-"), *map(line, rows)]) + "\n"


def milliseconds(seconds: float) -> str:
    """Spell a time in ms."""
    return f"{seconds * 1e3:.1f} ms"


def mebibytes(size: float) -> str:
    """Spell a number of bytes in MiB."""
    return f"{size / 2**20:.2f} MiB"


# -------------------------------------------------------------------- timing


def best_times(*steps: Callable[[], object], repetitions: int) -> list[float]:
    """Give the shortest time of each step in seconds.

    The steps take turns, so that what else the machine does falls upon all of them alike.
    """
    best = [float("inf")] * len(steps)
    for _ in range(repetitions):
        for index, step in enumerate(steps):
            start = time.perf_counter()
            step()
            best[index] = min(best[index], time.perf_counter() - start)
    return best


def median_ratio(pairs: Sequence[tuple[float, float]]) -> float:
    """Give the median of the ratios of neighbouring measurements."""
    return statistics.median(ours / reference for ours, reference in pairs)


class OverdueError(Exception):
    """Something took longer than it may."""


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise `OverdueError` in what is done within when that takes longer.  In the main thread."""

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise OverdueError(f"not done within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# ------------------------------------------------------------------ programs


def environment() -> dict[str, str]:
    """Give the environment for programs of this source tree; no settings of the exporter."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("MAESTRO_")}
    return kept | {"PYTHONPATH": str(ROOT)}


class Child:
    """A Python program of ours that takes orders and answers them: one line of JSON each.

    A context manager.  Leaving it ends the program, which also ends by itself when its standard
    input does.

    Args:
        module: what to run.
        arguments: of its command line.
    """

    def __init__(self, module: str, *arguments: object) -> None:
        self._command = [sys.executable, "-m", module, *map(str, arguments)]
        self._pending = b""

    def __enter__(self) -> Child:
        self._errors = tempfile.TemporaryFile()
        self._process = subprocess.Popen(  # noqa: S603 - a program of ours
            self._command,
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,  # a Ctrl-C is for the bench, which ends its children
        )
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        with contextlib.suppress(OSError):
            if process.stdin is not None:
                process.stdin.close()
        try:
            process.wait(3)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
        self._errors.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def ask(self, order: Any, seconds: float) -> Any:
        """Give its answer to an order.

        Raises:
            OverdueError: there is none in time.
            RuntimeError: it ended.
        """
        self.tell(order)
        return self.answer(seconds)

    def tell(self, order: Any) -> None:
        """Give it an order."""
        if self._process.stdin is None:
            raise RuntimeError("not started")
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()

    def answer(self, seconds: float) -> Any:
        """Give the next line that it says; raises as `ask`."""
        if self._process.stdout is None:
            raise RuntimeError("not started")
        descriptor = self._process.stdout.fileno()
        until = time.monotonic() + seconds
        while b"\n" not in self._pending:
            if not select.select([descriptor], [], [], max(0.0, until - time.monotonic()))[0]:
                raise OverdueError(
                    f"no answer within {seconds:g} s of {' '.join(self._command[2:])}"
                )
            piece = os.read(descriptor, 65536)
            if not piece:
                raise RuntimeError(f"{' '.join(self._command[2:])} ended: {self._last_error()}")
            self._pending += piece
        line, _, self._pending = self._pending.partition(b"\n")
        return json.loads(line)

    def _last_error(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").splitlines()
        return lines[-1] if lines else "it said nothing"


def in_child(module: str, seconds: float, **arguments: Any) -> Any:
    """Give what `measure(**arguments)` of a module gives, called in a process of its own.

    Each such measurement has a heap of its own, so that none is disturbed by what another
    left behind.
    """
    with Child("bench.child", module) as child:
        return child.ask(arguments, seconds)


class Broker(Mosquitto):
    """A broker that keeps all that is sent to it, and does not log each message."""

    def __init__(self) -> None:
        super().__init__()
        path = self.folder / "mosquitto.conf"
        lines = [line for line in path.read_text("utf-8").splitlines() if "log_type" not in line]
        lines += [
            *("log_type error", "log_type warning", "log_type information"),
            *("max_queued_messages 0", "max_queued_bytes 0"),
        ]
        path.write_text("\n".join(lines) + "\n", "utf-8")


def console_exporter(broker: Broker | None, *options: str) -> Exporter:
    """Give the exporter as people start it, of this source tree."""
    url = [f"--maestro-url={broker.url}"] if broker is not None else []
    return Exporter(*url, *options, launcher="console", env={"PYTHONPATH": str(ROOT)})


# ------------------------------------------------------------------- reading


class Fetched(NamedTuple):
    """A page as it was sent, and how."""

    body: bytes
    content_type: str
    encoding: str

    @property
    def text(self) -> str:
        """What it says."""
        body = gzip.decompress(self.body) if self.encoding == "gzip" else self.body
        return body.decode("utf-8")


def fetch(url: str, encoding: str = "identity") -> Fetched:
    """Give a page, in the encoding asked for if the server has it."""
    response = http_get(url, {"Accept-Encoding": encoding})
    if response.status != 200:
        raise RuntimeError(f"{url} answers {response.status}")
    headers = response.headers
    return Fetched(
        response.body, headers["Content-Type"], headers.get("Content-Encoding", "identity")
    )


def total(page: str, name: str) -> float:
    """Give the sum of a family's samples on a page."""
    found = re.findall(rf"^{name}(?:\{{[^\n]*\}})? (\S+)$", page, re.MULTILINE)
    return sum(map(float, found))


def all_known(url: str, peers: int) -> bool:
    """Tell whether so many peers have answered STATS and PING."""
    page = fetch(url).text
    pinged = len(re.findall(r"^maestro_ping\{", page, re.MULTILINE))
    return pinged >= peers and total(page, "maestro_peers") >= peers


def memory_of(pid: int, name: str = "VmRSS") -> int:
    """Give the memory of a process in bytes: `VmRSS` now, `VmHWM` at most so far."""
    found = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.M)
    if found is None:
        raise RuntimeError(f"/proc/{pid}/status does not say {name}")
    return int(found[1]) * 1024
