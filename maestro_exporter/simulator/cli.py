"""The command `maestro-exporter simulate`: options, a progress line, and a clean end."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import queue
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from maestro_exporter import values
from maestro_exporter.arguments import OneLineParser, argument
from maestro_exporter.notes import Generation
from maestro_exporter.simulator.cluster import SimulatedCluster, Status, plain_broker
from maestro_exporter.simulator.events import Event, RunEnded, RunStarted
from maestro_exporter.simulator.scenario import Scenario, Script

PROG = "maestro-exporter simulate"
MAX_PEERS = 10_000
_DAY_SECONDS = 86_400
_LINE_SECONDS = 1.0  # between progress lines on a terminal
_LOG_SECONDS = 30.0  # and elsewhere

_DESCRIPTION = """\
Simulate a Maestro cluster on an MQTT broker: senders, receivers, inspectors and
agents that answer STATS and PING as the real ones do, and run one test after
another.  Point the exporter at the same broker to see it."""

_EPILOG = """\
Of 20 peers, one is an inspector and one an agent; half of the rest send and half
receive.  Every peer has a host of its own up to 1,000 peers; more peers share
1,000 hosts.  One peer in ten has a wrong clock.  A peer that dies is replaced by
a new process in the pause after the run.

example: maestro-exporter simulate -m mqtt://localhost --peers 60 --protocol 1.5,1.4,1.3"""


_News = queue.SimpleQueue["RunStarted | RunEnded | None"]


def main(argv: Sequence[str]) -> int:
    """Run the simulator until it is told to stop; give the exit status."""
    options = _make_parser().parse_args(argv)
    news: _News = queue.SimpleQueue()
    # None in the news is the end; nothing else may be done in a signal's handler.
    with _on_signals(lambda: news.put(None)):
        _simulate(options.maestro_url, _make_scenario(options), options.duration, news)
    return 0


def _simulate(url: str, scenario: Scenario, duration_seconds: float, news: _News) -> None:
    """Run a scenario until the duration (0: none) is over or the news end."""

    def report(event: Event) -> None:
        if isinstance(event, RunStarted | RunEnded):
            news.put(event)

    script = Script(scenario)
    cluster = SimulatedCluster(url, script.peers, events=script.events(), on_event=report)
    # One second suffices to connect, if the broker is there.
    shown = values.shown(url)
    progress = Progress(sys.stderr, shown, time.monotonic() + _LINE_SECONDS)
    progress.say(f"simulating {scenario.peers} peers on {shown}, --seed {scenario.seed}")
    ends_at = time.monotonic() + (duration_seconds or math.inf)
    cluster.start()
    try:
        while (now := time.monotonic()) < ends_at:
            progress.show(cluster.status(), now)
            with contextlib.suppress(queue.Empty):
                event = news.get(timeout=min(_LINE_SECONDS, ends_at - now))
                if event is None:
                    break
                progress.tell(event)
    finally:
        cluster.stop()
    progress.say("stopped")


class Progress:
    """What people see: a line that is rewritten on a terminal, now and then a line elsewhere.

    Args:
        stream: where to write.
        url: the broker, to be named while it is away; without a password.
        due_at: when to show the state first, on the clock that `show` is given.
    """

    def __init__(self, stream: TextIO, url: str, due_at: float) -> None:
        self._stream, self._url = stream, url
        self._in_place = stream.isatty()
        self._interval = _LINE_SECONDS if self._in_place else _LOG_SECONDS
        self._due_at = due_at
        self._run = "no run yet"

    def say(self, text: str) -> None:
        """Write a line that stays."""
        self._stream.write(f"\r\x1b[K{text}\n" if self._in_place else f"{text}\n")
        self._stream.flush()

    def tell(self, event: RunStarted | RunEnded) -> None:
        """Say that a run started or ended."""
        result = f"ended: {event.result}" if isinstance(event, RunEnded) else "running"
        self._run = f"run {event.number} {result}"
        if not self._in_place:
            self.say(self._run)

    def show(self, status: Status, now: float) -> None:
        """Write the state if it is time to."""
        if now < self._due_at:
            return
        self._due_at = now + self._interval
        text = (
            f"{self._run} | {status.peers} peers alive | {status.requests} requests heard"
            f" | {status.answers} answers sent"
        )
        if status.connected < status.connections:
            text = f"connecting to {self._url} | {text}"
        if self._in_place:
            # A line that wraps could not be rewritten.
            columns = os.get_terminal_size(self._stream.fileno()).columns or 80
            self._stream.write(f"\r\x1b[K{text[: columns - 1]}")
            self._stream.flush()
        else:
            self.say(text)


@contextlib.contextmanager
def _on_signals(action: Callable[[], None]) -> Iterator[None]:
    """Do this, and only this, on SIGINT and SIGTERM."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: action()) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


# --------------------------------------------------------------------- options


def _make_parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog=PROG,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    default = Scenario()

    def add(name: str, unit: str, kind: Callable[[str], object], value: object, text: str) -> None:
        text = text if value is None else f"{text} (default: %(default)s)"
        parser.add_argument(name, metavar=unit, type=argument(kind), default=value, help=text)

    parser.add_argument(
        "-m",
        "--maestro-url",
        type=argument(_url),
        default="mqtt://localhost:1883",
        metavar="URL",
        help="the broker, mqtt://[user[:password]@]host[:port] (default: %(default)s)",
    )
    parser.add_argument(
        "--protocol",
        type=argument(_protocols),
        action="append",
        metavar="VERSION",
        help="1.5, 1.4 or 1.3; repeat it or separate with commas for peers of each (default: 1.5)",
    )
    share, seconds = values.number(0, 1), values.number(0, _DAY_SECONDS)
    test, year = values.number(1, _DAY_SECONDS), values.number(0, 365 * _DAY_SECONDS)
    new_seed = "decides all that happens (default: a new one each time, shown at the start)"
    add("--peers", "N", values.integer(1, MAX_PEERS), default.peers, f"peers, 1 to {MAX_PEERS}")
    add("--seed", "N", values.integer(0, 2**32 - 1), None, new_seed)
    add("--test-seconds", "S", test, default.test_seconds, "seconds that a test run lasts")
    add("--pause-seconds", "S", seconds, default.pause_seconds, "seconds between test runs")
    add("--rate", "R", values.number(0, 10**6), default.rate, "messages per second of each sender")
    add("--failures", "SHARE", share, default.failure_share, "test runs that fail, 0 to 1")
    add("--dying", "SHARE", share, default.dying_share, "peers that die in each run, 0 to 1")
    add("--slow", "SHARE", share, default.slow_share, "peers that answer after 0.5 to 3 s, 0 to 1")
    add(
        "--clock-skew", "S", seconds, default.skew_seconds, "seconds that clocks are wrong, at most"
    )
    add("--duration", "S", year, 0.0, "seconds to run; 0: until Ctrl-C")
    return parser


def _make_scenario(options: argparse.Namespace) -> Scenario:
    given = options.protocol or [Scenario().protocols]
    return Scenario(
        peers=options.peers,
        protocols=tuple(dict.fromkeys(each for several in given for each in several)),
        seed=random.SystemRandom().getrandbits(32) if options.seed is None else options.seed,
        test_seconds=options.test_seconds,
        pause_seconds=options.pause_seconds,
        rate=options.rate,
        failure_share=options.failures,
        dying_share=options.dying,
        slow_share=options.slow,
        skew_seconds=options.clock_skew,
    )


def _url(text: str) -> str:
    plain_broker(text)
    return text


def _protocols(text: str) -> list[Generation]:
    try:
        return [Generation(each.strip()) for each in text.split(",")]
    except ValueError:
        raise ValueError("give 1.5, 1.4 or 1.3") from None
