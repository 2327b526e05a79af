"""Start: from starting the exporter to its first answer, against importing its libraries alone.

What is timed is from the start of the process: on our side to the end of the first page, asked for
again and again from the beginning; on the other side until a Python that does nothing else has
imported the third-party libraries that the exporter imports at its start.  There is no broker:
the exporter serves without one.  Both take turns, after one turn for nothing that fills the
caches of the system.
"""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import time
from importlib.util import find_spec
from typing import NamedTuple

from bench.harness import (
    ROOT,
    Outcome,
    OverdueError,
    Target,
    console_exporter,
    environment,
    median_ratio,
    milliseconds,
)

MOST = 1.5
#: The modules of others that the exporter imports at its start.
LIBRARIES = (
    "jinja2",
    "klein",
    "msgpack",
    "paho.mqtt.client",
    "prometheus_client",
    "twisted.application.service",
    "twisted.internet.defer",
    "twisted.internet.endpoints",
    "twisted.internet.reactor",
    "twisted.internet.task",
    "twisted.internet.threads",
    "twisted.logger",
    "twisted.python.logfile",
    "twisted.python.threadpool",
    "twisted.python.usage",
    "twisted.web.http",
    "twisted.web.iweb",
    "twisted.web.resource",
    "twisted.web.server",
    "werkzeug.exceptions",
    *(["isal.isal_zlib"] if find_spec("isal") else []),  # it does without
)
_PATIENCE = 20.0  # seconds


class _Sizes(NamedTuple):
    turns: int


_FULL, _FAST = _Sizes(9), _Sizes(1)


def run(fast: bool) -> Outcome:
    """Start both by turns."""
    sizes = _FAST if fast else _FULL
    _first_answer(), _imported()
    pairs = [(_first_answer(), _imported()) for _ in range(sizes.turns)]
    ratio = median_ratio(pairs)
    return Outcome(
        [Target("start to first answer, against the imports alone", ratio, MOST, at_most=True)],
        [
            ["side", "median", "least", "most"],
            *(
                [name, *map(milliseconds, (statistics.median(times), min(times), max(times)))]
                for name, times in (
                    ("exporter, first answer", [ours for ours, _ in pairs]),
                    ("imports alone", [imported for _, imported in pairs]),
                )
            ),
        ],
        [f"{sizes.turns} turns each."],
    )


def _first_answer() -> float:
    """Give the seconds from the start of the exporter to its first page."""
    exporter = console_exporter(None)
    start = time.perf_counter()
    with subprocess.Popen(  # noqa: S603 - the exporter
        exporter.command(),
        env=exporter.env,
        cwd=exporter.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            while not _answers(exporter.port):
                if time.perf_counter() - start > _PATIENCE or process.poll() is not None:
                    raise OverdueError("the exporter does not answer")
            return time.perf_counter() - start
        finally:
            process.kill()


def _answers(port: int) -> bool:
    """Tell whether a whole page came."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"GET /metrics HTTP/1.0\r\nHost: bench\r\n\r\n")
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
    except OSError:
        time.sleep(0.001)
        return False
    return answer.startswith(b"HTTP/1.") and b" 200 " in answer[:16]


def _imported() -> float:
    """Give the seconds from the start of a Python until it has imported the libraries."""
    program = f"import sys, {', '.join(LIBRARIES)}; sys.stdout.write('x')"
    start = time.perf_counter()
    with subprocess.Popen(  # noqa: S603 - a Python
        [sys.executable, "-c", f"{program}; sys.stdout.flush()"],
        env=environment(),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        said = process.stdout.read(1) if process.stdout is not None else b""
        took = time.perf_counter() - start
        if not said or process.wait(_PATIENCE):
            raise RuntimeError("a library cannot be imported")
    return took
