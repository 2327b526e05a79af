"""A long run with random faults: `python -m tests.faults.soak --help`, or `make soak`.

A simulated cluster answers rounds, a reporter publishes notifications, and the same seed brings
the same faults upon the network and the broker, one after the other.  At the end everything is
left in peace, and then every counter must equal what was published and acknowledged, and the
exporter's memory, threads and descriptors must be where they were.

Faults at which a broker loses what it has acknowledged, or at which bytes change on the way, are
left out here: the matrix of faults has them.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import NamedTuple

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from maestro_exporter.notes import (
    AbnormalDisconnect,
    DrainComplete,
    Generation,
    Notification,
    Role,
    TestFailure,
    TestStarted,
    TestSuccess,
    Topic,
    encode,
)
from maestro_exporter.simulator import Peer, SimulatedCluster
from maestro_exporter.simulator.peers import route
from tests.faults.processes import descriptors, rss_kib, threads
from tests.faults.proxy import Proxy
from tests.servers import Exporter, Mosquitto, Samples, http_get, scrape, wait_for

INTERVAL = "1s"
WARM_UP = 10.0  # seconds until memory, threads and descriptors are taken as the usual
PATIENCE = 90.0  # seconds: the longest backoff, and a frozen broker that is noticed
#: KiB: 5 MiB are the ids of the last 10,000 notifications, the rest what Python's garbage collector
#: has not looked at yet, which it does each ten minutes.
MEMORY_SLACK = 24 * 1024
REPORTS = 40.0  # a second, on average
ON_THE_WAY = 15  # reports at a time
KEPT = "max_queued_messages 1000000"  # more than is published in the longest outage
GARBAGE = b"\xc1no note"


class Usage(NamedTuple):
    """What the exporter takes: KiB of memory, threads, descriptors."""

    memory: int
    threads: int
    descriptors: int

    @classmethod
    def of(cls, exporter: Exporter) -> Usage:
        """Look."""
        return cls(rss_kib(exporter), threads(exporter), descriptors(exporter))


def _settled(exporter: Exporter) -> Usage:
    """Look when what the last scrape took has been given back: three looks in a row are alike."""
    looks: list[Usage] = []

    def is_settled() -> bool:
        looks.append(Usage.of(exporter))
        return len(looks) > 2 and looks[-1][1:] == looks[-2][1:] == looks[-3][1:]

    wait_for(is_settled, "threads and descriptors to be the same", PATIENCE)
    return looks[-1]


class Result(NamedTuple):
    """How a run went.

    Attributes:
        faults: how often there was each.
        published: notifications, and garbage, by kind.
        counted: the same by the exporter's page.
        sessions_lost, results_dropped, restarts: by its page; must be 0.
        before, after: what it took.
    """

    faults: Counter[str]
    published: dict[str, int]
    counted: dict[str, int]
    sessions_lost: float
    results_dropped: float
    restarts: float
    before: Usage
    after: Usage

    @property
    def problems(self) -> list[str]:
        """What is not as it should be, a line each."""
        found = [
            f"{kind}: {count} were published and {self.counted.get(kind, 0)} counted"
            for kind, count in self.published.items()
            if count != self.counted.get(kind, 0)
            # What has no ids may come twice: quality of service 1 is at least once.
            and not (kind == "malformed" and count < self.counted[kind])
        ]
        for name in ("sessions_lost", "results_dropped", "restarts"):
            if getattr(self, name):
                found.append(f"{name}: {getattr(self, name):.0f} instead of 0")
        if self.after.memory > self.before.memory + MEMORY_SLACK:
            found.append(f"memory: {self.before.memory} KiB became {self.after.memory} KiB")
        for name in ("threads", "descriptors"):
            before, after = getattr(self.before, name), getattr(self.after, name)
            if before != after:
                found.append(f"{name}: {before} became {after}")
        return found


class Reporter:
    """Publishes notifications of 1.5 peers, and now and then garbage, as the wire has it.

    Its own session is kept by the broker, so that it too loses nothing.

    Attributes:
        published: how many of each kind, garbage included.
    """

    def __init__(self, port: int, numbers: random.Random) -> None:
        self._random = numbers
        self._peers = [
            Peer(Generation.V1_5, role, f"host-{number}")
            for number in range(3)
            for role in (Role.SENDER, Role.RECEIVER)
        ]
        self.published: Counter[str] = Counter()
        self._waiting: deque[tuple[bytes, int]] = deque()
        self._given = self._acknowledged = 0
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id="soak", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.on_publish = self._count
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600
        self._client.connect("127.0.0.1", port, 5, clean_start=False, properties=properties)
        self._client.loop_start()

    def report(self) -> None:
        """Publish one of them."""
        kind, payload, qos = self._choose()
        self.published[kind] += 1
        self._waiting.append((payload, qos))
        self._publish()

    @property
    def unacknowledged(self) -> int:
        """How many the broker has not acknowledged."""
        self._publish()
        return self.published.total() - self._acknowledged

    def stop(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def _publish(self) -> None:
        # After a reconnection paho gives all that waits at once, and mosquitto refuses what is
        # more than it takes at a time (20, its Receive Maximum): so let no more be on the way.
        while self._waiting and self._client.is_connected() and self._given < self._most_given:
            self._client.publish(Topic.NOTIFICATIONS, *self._waiting.popleft())
            self._given += 1

    @property
    def _most_given(self) -> int:
        return self._acknowledged + ON_THE_WAY

    def _count(self, *_: object) -> None:
        self._acknowledged += 1

    def _choose(self) -> tuple[str, bytes, int]:
        if self._random.random() < 0.02:
            return "malformed", GARBAGE, 2
        say = self._random.choice(self._peers).say
        kind, note = self._random.choice(_STORIES)
        said: Notification = note(say)
        return kind, encode(said), route(said).qos


_STORIES: Sequence[tuple[str, Callable[..., Notification]]] = (
    ("test_started", lambda say: say(TestStarted, message="")),
    ("test_success", lambda say: say(TestSuccess, message="")),
    ("test_failure", lambda say: say(TestFailure, message="")),
    ("drain_success", lambda say: say(DrainComplete, successful=True, message="")),
    ("drain_failure", lambda say: say(DrainComplete, successful=False, message="")),
    ("abnormal_disconnect", lambda say: say(AbnormalDisconnect, message="")),
)


class Lab:
    """The parts of a run, and what can befall them.

    Each fault is done and undone; how long it lasts, `wait` decides.
    """

    def __init__(self, broker: Mosquitto, proxy: Proxy, exporter: Exporter) -> None:
        self._broker, self._proxy, self._exporter = broker, proxy, exporter

    def faults(self) -> dict[str, tuple[Callable[[], object], Callable[[], object], float]]:
        """Give what brings and what ends each fault, and its longest duration in seconds."""
        proxy, broker = self._proxy, self._broker
        nothing: Callable[[], object] = lambda: None  # noqa: E731
        return {
            "cut": (proxy.cut, nothing, 0.0),
            "refused": (proxy.refuse, proxy.allow, 8.0),
            "stalled": (proxy.stall, proxy.resume, 8.0),
            "half-open": (proxy.stall, proxy.resume, 40.0),
            "slow": (partial(proxy.delay, 0.05), partial(proxy.delay, 0.0), 5.0),
            "cut in the middle": (self._cut_soon, partial(proxy.cut_after, None), 5.0),
            "silent": (self._swallow, self._forward, 15.0),
            "garbled": (self._babble, self._forward, 5.0),
            "broker frozen": (
                partial(broker.signal, signal.SIGSTOP),
                partial(broker.signal, signal.SIGCONT),
                4.0,
            ),
            "broker restarted": (self._stop_broker, broker.start, 3.0),
            "exporter frozen": (
                partial(self._exporter.signal, signal.SIGSTOP),
                partial(self._exporter.signal, signal.SIGCONT),
                8.0,
            ),
        }

    def _cut_soon(self) -> None:
        self._proxy.cut_after(300)
        self._proxy.cut()

    def _swallow(self) -> None:
        self._proxy.swallow()
        self._proxy.cut()

    def _babble(self) -> None:
        self._proxy.babble(200, 1)
        self._proxy.cut()

    def _forward(self) -> None:
        self._proxy.forward()
        self._proxy.cut()

    def _stop_broker(self) -> None:
        assert self._broker.stop() == 0


@contextmanager
def _lab() -> Iterator[tuple[Lab, Mosquitto, Exporter]]:
    with ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(persistence=True, extra=[KEPT]))
        proxy = stack.enter_context(Proxy(broker.port))
        exporter = Exporter(
            f"--maestro-url={proxy.url}", f"--interval={INTERVAL}", launcher="console"
        )
        stack.enter_context(exporter)
        peers = [
            Peer(generation, role, f"host-{generation.value}")
            for generation in Generation
            for role in (Role.SENDER, Role.RECEIVER, Role.INSPECTOR, Role.AGENT)
        ]
        cluster = SimulatedCluster(broker.url, peers)
        cluster.start()
        stack.callback(cluster.stop)
        yield Lab(broker, proxy, exporter), broker, exporter


def run(
    seconds: float, seed: int, say: Callable[[str], object], warm_up: float = WARM_UP
) -> Result:
    """Run for about that long; `say` is called with lines about the progress."""
    numbers = random.Random(seed)
    with _lab() as (lab, broker, exporter):
        reporter = Reporter(broker.port, random.Random(seed))
        try:
            return _run(lab, reporter, exporter, seconds, numbers, say, warm_up)
        finally:
            reporter.stop()


def _run(  # noqa: PLR0917
    lab: Lab,
    reporter: Reporter,
    exporter: Exporter,
    seconds: float,
    numbers: random.Random,
    say: Callable[[str], object],
    warm_up: float,
) -> Result:
    began = time.monotonic()
    pace = random.Random()  # not of the seed: how often it is asked depends on the time
    faults: Counter[str] = Counter()
    possible = lab.faults()

    def live(duration: float, *, look: bool) -> None:
        """Let time pass, in which peers report and pages are looked at."""
        end = time.monotonic() + duration
        while True:
            reporter.report()
            if look and pace.random() < 0.1:
                scrape(f"{exporter.url}/metrics")
                assert http_get(f"{exporter.url}/api/v1/status").status == 200
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, pace.expovariate(REPORTS)))

    wait_for(lambda: _value(exporter, "maestro_up") == 1, "the link", PATIENCE)
    live(warm_up, look=True)
    before = _settled(exporter)
    while time.monotonic() - began < seconds:
        name = numbers.choice(list(possible))
        begin, end, longest = possible[name]
        faults[name] += 1
        begin()
        live(numbers.uniform(0, longest), look=name != "exporter frozen")
        end()
        live(numbers.uniform(0, 6), look=True)
        say(
            f"{time.monotonic() - began:5.0f} s  {name:18} "
            f"{reporter.published.total()} published, "
            f"{reporter.unacknowledged} not acknowledged, {rss_kib(exporter)} KiB"
        )
    wait_for(lambda: reporter.unacknowledged == 0, "the broker's acknowledgements", PATIENCE)
    wait_for(lambda: _value(exporter, "maestro_up") == 1, "the link again", PATIENCE)
    published = dict(reporter.published)
    with suppress(AssertionError):  # the result says so
        wait_for(
            lambda: all(
                _counted(scrape(f"{exporter.url}/metrics")).get(kind, 0) >= count
                for kind, count in published.items()
            ),
            "all",
            30,
        )
    page = scrape(f"{exporter.url}/metrics")
    with suppress(AssertionError):  # likewise; those of the last scrape take a moment
        wait_for(lambda: Usage.of(exporter)[1:] == before[1:], "threads and descriptors", 10)
    return Result(
        faults=faults,
        published=published,
        counted=_counted(page),
        sessions_lost=_sum(page, "maestro_exporter_broker_sessions_lost_total"),
        results_dropped=_sum(page, "maestro_exporter_results_dropped_total"),
        restarts=_sum(page, "maestro_exporter_stage_restarts_total"),
        before=before,
        after=Usage.of(exporter),
    )


def _counted(page: Samples) -> dict[str, int]:
    counts = {
        dict(labels)["kind"]: int(value)
        for (name, labels), value in page.items()
        if name == "maestro_notifications_total"
    }
    counts["malformed"] = int(
        page["maestro_exporter_notes_rejected_total", frozenset({("reason", "malformed")})]
    )
    return {kind: count for kind, count in counts.items() if count}


def _value(exporter: Exporter, name: str) -> float:
    return scrape(f"{exporter.url}/metrics")[name, frozenset()]


def _sum(page: Samples, name: str) -> float:
    return sum(value for (family, _), value in page.items() if family == name)


def main(arguments: Sequence[str]) -> int:
    """Run, and show how it went; give the exit status: 0 all as it should be, 1 not."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.soak",
        description="Runs the exporter for a while under random faults, and compares what it "
        "counted with what was published.",
    )
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="how long, 0.5 to 600  [default: 10]"
    )
    parser.add_argument(
        "--seed", type=int, default=None, help="of the faults  [default: a random one, shown]"
    )
    options = parser.parse_args(arguments)
    if not 0.5 <= options.minutes <= 600:
        parser.error("--minutes: give 0.5 to 600")
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    _say(f"seed {seed}, {options.minutes:g} minutes")
    result = run(options.minutes * 60, seed, _say)
    _say(f"faults: {dict(result.faults)}")
    _say(f"published: {result.published}")
    _say(f"counted:   {result.counted}")
    _say(f"before: {result.before}")
    _say(f"after:  {result.after}")
    for problem in result.problems:
        _say(f"WRONG: {problem}")
    _say("all as it should be" if not result.problems else f"repeat it with --seed {seed}")
    return bool(result.problems)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}{os.linesep}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
