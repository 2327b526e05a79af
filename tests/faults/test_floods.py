"""More than can be taken in, and what nobody should take in: peers are watched all the same.

The figures are those that users are promised; `FLOOD_SECONDS` makes the flood of notes last
longer, and `FULL=1` adds the flood of strangers at the default of --max-peers.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
import pytest
from paho.mqtt import publish
from paho.mqtt.client import Client, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion

from maestro_exporter.bridge import QUEUE_BYTES, QUEUE_LENGTH
from maestro_exporter.notes import Generation, Role, Sender, TestSuccess, Topic, encode
from maestro_exporter.simulator import Peer, SimulatedCluster
from tests.e2e.clusters import (
    V1_3,
    V1_4,
    V1_5,
    Label,
    by,
    by_peer,
    check_with_promtool,
    label,
    number,
    page,
    simulated,
    single,
    status,
    wait_for_page,
)
from tests.faults.flood import SPEAKERS, Flood, Message, Sent
from tests.faults.planting import HELD_UP, STEPPED_CLOCK, Planted
from tests.faults.processes import descriptors, forget_peak, peak_kib, rss_kib, threads
from tests.samples import stats_response
from tests.servers import Exporter, Mosquitto, Prometheus, Samples, http_get, wait_for

pytestmark = pytest.mark.long

SECONDS = float(os.environ.get("FLOOD_SECONDS", "10"))
FULL = bool(os.environ.get("FULL"))
PACE = 50_000
MIB = 1024 * 1024
#: It does not log each message, which would be most of its work, and says soon what it dropped.
CALM = (
    "log_type none",
    *(f"log_type {each}" for each in ("information", "notice", "warning", "error")),
    "sys_interval 1",
)

# What the exporter may take more than in peace, at most.
BYTES_PER_PEER = 12 * 1024  # with its lines of the pages
BYTES_PER_DELIVERY = 400  # with a payload of some hundred bytes
QUEUES = 1.25  # the queue, and what is set aside
ELSEWHERE = 24 * MIB  # what paho has in hands, and what Python does not give back

ROLES = (Role.SENDER, Role.RECEIVER, Role.INSPECTOR, Role.AGENT)
#: 1.3 says no host of its own, so the name has it.
ODD_NAMES = (
    'quote"',
    "back\\slash\\n",
    "line\nfeed",
    "carriage\rreturn",
    "nul\0nul",
    "\u202eright to left \u05e9\u05dc\u05d5\u05dd",
    "\u0627\u0644\u0633\u0644\u0627\u0645",
    "\u2028\x85\x7f\t",
    'all{of="it"} 1\n# HELP "\\',
)


class Usage(NamedTuple):
    """What the exporter has."""

    threads: int
    descriptors: int

    @classmethod
    def of(cls, exporter: Exporter) -> Usage:
        return cls(threads(exporter), descriptors(exporter))


class Peace(NamedTuple):
    """How it was before a flood."""

    usage: Usage
    memory: int
    trips: dict[Label, float]


class Lab:
    """A broker, healthy peers, the exporter, and a Prometheus that scrapes it all along."""

    def __init__(
        self,
        broker: Mosquitto,
        cluster: SimulatedCluster,
        peers: Sequence[Peer],
        exporter: Exporter,
        prometheus: Prometheus,
    ) -> None:
        self.broker, self.cluster, self.exporter = broker, cluster, exporter
        self.prometheus = prometheus
        self.labels = {label(each) for each in peers}

    def page(self) -> Samples:
        return page(self.exporter)

    def peace(self) -> Peace:
        """Wait until all is as it should be, and give what that is."""
        samples = wait_for_page(
            self.exporter,
            lambda samples: (
                set(by_peer(samples, "maestro_peer_round_trip_seconds")) == self.labels
                and number(samples, "maestro_exporter_rounds_total") > 3
            ),
            "all peers to be pinged",
        )
        wait_for(lambda: self.prometheus.query("up == 1"), "the first scrape")
        forget_peak(self.exporter)
        return Peace(
            Usage.of(self.exporter),
            rss_kib(self.exporter) * 1024,
            by_peer(samples, "maestro_peer_round_trip_seconds"),
        )

    def flood(self, kind: str, *, number: int = 0, size: int = 0, pace: float = PACE) -> Flood:
        return Flood(self.broker.port, kind, number=number, size=size, pace=pace)

    def accounted(self, messages: int, results: int = 0) -> Samples:
        """Wait until all that was said has been received, rejected or dropped.

        Args:
            messages: published by others than the healthy peers.
            results: how many of them in quality of service 2.
        """

        def look() -> Samples | None:
            answers = self.cluster.status().answers
            samples = self.page()
            # What the broker counts as dropped can be what it says of that, once a second, and
            # what it will say again, since that belongs to a handshake.
            surplus = taken(samples) - messages - answers
            settled = answers == self.cluster.status().answers
            return samples if settled and 0 <= surplus <= SECONDS + 10 + 2 * results else None

        return wait_for(look, f"{messages} messages to be accounted for")

    def recovered(self, peace: Peace, rounds: float) -> None:
        """Wait for the rounds that were asked when the flood was over.

        Args:
            peace: how it was before.
            rounds: how many there had been then.
        """
        # The first may be asked while the queues on the way are still full, a later one while the
        # exporter connects anew for results that the broker dropped.
        samples = wait_for_page(
            self.exporter,
            lambda samples: (
                number(samples, "maestro_exporter_rounds_total") >= rounds + 3
                and number(samples, "maestro_exporter_last_round_replies") == len(self.labels)
                and self._slowest(samples) < 0.5
            ),
            "all to answer, and the round trips to be as before",
        )
        report(trips_before=max(peace.trips.values()), trips_after=self._slowest(samples))
        assert number(samples, "maestro_exporter_rounds_total") <= rounds + 8
        up = by_peer(samples, "maestro_peer_up")
        assert all(up[each] == 1 for each in self.labels)

    def _slowest(self, samples: Samples) -> float:
        trips = by_peer(samples, "maestro_peer_round_trip_seconds")
        return max(trips.get(each, math.inf) for each in self.labels)

    def unharmed(self, peace: Peace, growth: float) -> None:
        """Check what must be true after each flood.

        Args:
            peace: how it was before.
            growth: bytes of memory that it may have had more.
        """
        grown = peak_kib(self.exporter) * 1024 - peace.memory
        report(grown_mib=grown / MIB, bound_mib=growth / MIB, now_kib=rss_kib(self.exporter))
        assert grown < growth
        samples = self.page()
        restarts = by(samples, "stage", "maestro_exporter_stage_restarts_total")
        assert set(restarts.values()) == {0}
        assert number(samples, "maestro_exporter_results_dropped_total") == 0
        check_with_promtool(self.exporter)
        wait_for(lambda: Usage.of(self.exporter) == peace.usage, "threads and descriptors")
        for query in ("up", "scrape_samples_scraped"):
            (least,) = self.prometheus.query(f"min_over_time({query}[10m])").values()
            assert least >= 1, query
        (slowest,) = self.prometheus.query("max_over_time(scrape_duration_seconds[10m])").values()
        report(slowest_scrape=slowest)
        assert "Traceback" not in self.exporter.output()


def report(**figures: object) -> None:
    """Show with `pytest -s`."""
    print(*(f"{name}={value}" for name, value in figures.items()))  # noqa: T201


def taken(samples: Samples) -> float:
    """Give how many messages were received, rejected, or dropped by the broker."""
    return (
        sum(by(samples, "command", "maestro_exporter_notes_received_total").values())
        + sum(by(samples, "reason", "maestro_exporter_notes_rejected_total").values())
        + (single(samples, "maestro_broker_dropped_messages_total") or 0)
    )


@contextmanager
def laboratory(
    peers: Sequence[Peer], *options: str, env: dict[str, str] | None = None
) -> Iterator[Lab]:
    with (
        Mosquitto(extra=CALM) as broker,
        simulated(broker, *peers) as cluster,
        Exporter(f"--maestro-url={broker.url}", *options, launcher="console", env=env) as exporter,
        Prometheus([exporter.address], "3s") as prometheus,
    ):
        yield Lab(broker, cluster, peers, exporter, prometheus)


def healthy() -> list[Peer]:
    return [Peer(each, role, f"host-{each.value}") for each in Generation for role in ROLES]


@contextmanager
def beside(work: Callable[[], object], pause: float) -> Iterator[None]:
    """Do something again and again in another thread; what it raises is raised at the end."""
    over = threading.Event()
    errors: list[BaseException] = []

    def repeat() -> None:
        try:
            while not over.wait(pause):
                work()
        except BaseException as error:  # noqa: BLE001 - it is raised in the test's thread
            errors.append(error)

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(30)
    if errors:
        raise errors[0]


@contextmanager
def watched(lab: Lab) -> Iterator[None]:
    """Look at all pages, which must be valid, and say that it is healthy."""
    seconds: list[float] = []

    def look() -> None:
        began = time.monotonic()
        samples = lab.page()
        assert number(samples, "maestro_up") == 1
        assert status(lab.exporter)["broker"]["up"] is True
        assert http_get(f"{lab.exporter.url}/-/healthy").status == 200
        seconds.append(time.monotonic() - began)

    with beside(look, 0.3):
        yield
    report(looks=len(seconds), slowest_look=max(seconds))
    assert seconds


class Reporter:
    """A peer of good manners, which says in quality of service 2 that tests have succeeded."""

    def __init__(self, broker: Mosquitto) -> None:
        self._peer = Peer(V1_5, Role.SENDER, "reporter")
        self._said: list[MQTTMessageInfo] = []
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()

    def report(self) -> None:
        payload = encode(self._peer.say(TestSuccess, message=""))
        self._said.append(self._client.publish(Topic.NOTIFICATIONS, payload, 2))

    def stop(self) -> int:
        """Give how many the broker has taken over."""
        for each in self._said:
            each.wait_for_publish(20)
        self._client.disconnect()
        self._client.loop_stop()
        return sum(each.is_published() for each in self._said)


def rounds(samples: Samples) -> float:
    return number(samples, "maestro_exporter_rounds_total")


def show(sent: Sent, samples: Samples) -> None:
    report(
        sent=sent,
        rate=round(sent.rate),
        received=sum(by(samples, "command", "maestro_exporter_notes_received_total").values()),
        rejected=by(samples, "reason", "maestro_exporter_notes_rejected_total"),
        dropped=single(samples, "maestro_broker_dropped_messages_total"),
        strangers=number(samples, "maestro_exporter_peers_rejected_total"),
    )


def counted(lab: Lab, results: int) -> None:
    """Wait until so many test results are counted.

    mosquitto drops what belongs to the handshakes of QoS 2, too, when its queue for a client is
    full (https://github.com/eclipse-mosquitto/mosquitto/issues/3542), and does not say it again
    before the next connection; so the exporter makes one.
    """

    def all_counted(samples: Samples) -> bool:
        count = number(samples, "maestro_test_success")
        assert count <= results
        return count == results

    report(results=results, counted_before=number(lab.page(), "maestro_test_success"))
    samples = wait_for_page(lab.exporter, all_counted, f"{results} results")
    assert by(samples, "kind", "maestro_notifications_total")["test_success"] == results
    assert number(samples, "maestro_exporter_broker_sessions_lost_total") == 0


def test_notes() -> None:
    """50,000 notes a second take nothing but time: results count, and all is accounted for."""
    with laboratory(healthy(), "--interval=2s") as lab:
        peace = lab.peace()
        reporter = Reporter(lab.broker)
        flood = lab.flood("notes", number=int(PACE * SECONDS))
        with watched(lab), beside(reporter.report, 0.02), flood:
            sent = flood.wait(SECONDS * 3 + 30)
        before = rounds(lab.page())
        published = reporter.stop()
        assert published > SECONDS
        lab.recovered(peace, before)
        counted(lab, published)
        samples = lab.accounted(sent.messages + published, published)
        show(sent, samples)
        most = SPEAKERS + len(lab.labels) + 1
        assert sum(by(samples, "type", "maestro_peers").values()) <= most
        lab.unharmed(
            peace,
            BYTES_PER_PEER * SPEAKERS + QUEUES * QUEUE_LENGTH * BYTES_PER_DELIVERY + ELSEWHERE,
        )


@pytest.mark.parametrize("most", [1000, *([10_000] if FULL else [])])
def test_strangers(most: int) -> None:
    """Of 100,000 peers so many are shown as are allowed, those that were there among them."""
    # A page takes some time where there are many.
    interval = "500ms" if most == 1000 else "3s"
    with laboratory(
        healthy(), f"--interval={interval}", "--peer-expiry=1m", f"--max-peers={most}"
    ) as lab:
        peace = lab.peace()
        with watched(lab), lab.flood("strangers", number=100_000, pace=25_000) as flood:
            sent = flood.wait()
        samples = lab.accounted(sent.messages)
        show(sent, samples)
        lab.recovered(peace, rounds(samples))
        samples = lab.page()
        dropped = single(samples, "maestro_broker_dropped_messages_total") or 0
        rejected = number(samples, "maestro_exporter_peers_rejected_total")
        assert sum(by(samples, "type", "maestro_peers").values()) == most
        # The broker drops some answers of the others, too.
        assert abs(sent.messages - dropped - rejected - (most - len(lab.labels))) < 500
        assert len(by_peer(samples, "maestro_peer_up")) == most
        lab.unharmed(
            peace,
            BYTES_PER_PEER * most + QUEUES * QUEUE_LENGTH * BYTES_PER_DELIVERY + ELSEWHERE,
        )


def odd() -> list[Peer]:
    """Give peers whose names nobody should have."""
    return [
        *(Peer(V1_5, Role.SENDER, "host", name=each) for each in ODD_NAMES),
        *(Peer(V1_4, Role.SENDER, "host", name=f"sender@1.4 {each}") for each in ODD_NAMES),
        *(Peer(V1_3, Role.SENDER, "host", name=f"sender@1.3 {each}") for each in ODD_NAMES),
    ]


def long_winded() -> Message:
    """Give a reply of somebody with a name that no decoder should take."""
    name = msgpack.packb("x" * 1000)
    sender = Sender(id="id", name="x" * 1000, host="host", role=Role.SENDER)
    reply = encode(stats_response(sender, correlation_id="c", message_id="m"))
    assert name in reply
    return Message(Topic.RESPONSES, reply.replace(name, msgpack.packb("x" * 10_000)))


def test_poison(tmp_path: Path) -> None:
    """Garbage, broken notes, huge ones, odd names and a clock that steps harm nobody."""
    planted = Planted(tmp_path, STEPPED_CLOCK)
    planted.trigger("clock", 0.0)
    with laboratory([*healthy(), *odd()], "--interval=500ms", env=planted.env) as lab:
        peace = lab.peace()
        total = 0
        with watched(lab):
            with lab.flood("garbage", size=100_000_000, pace=1500) as flood:
                planted.trigger("clock", 3600.0)
                sent = flood.wait()
            total += sent.messages
            report(**sent._asdict())
            with lab.flood("mutants", number=40_000, pace=10_000) as flood:
                planted.trigger("clock", -3600.0)
                sent = flood.wait()
            total += sent.messages
            report(**sent._asdict())
            planted.trigger("clock", 86400.0 * 365)
            huge: list[Any] = [
                *(
                    (topic, bytes(10_000_000), qos, False)
                    for topic in (Topic.RESPONSES, Topic.NOTIFICATIONS)
                    for qos in (0, 2)
                    for _ in range(2)
                ),
                *((*long_winded(), 0, False) for _ in range(100)),
            ]
            before = number(lab.page(), "maestro_exporter_notes_rejected_total", reason="oversized")
            publish.multiple(huge, hostname="127.0.0.1", port=lab.broker.port)
            total += len(huge)
            planted.trigger("clock", 0.0)
            samples = lab.accounted(total)
        show(sent, samples)
        rejected = by(samples, "reason", "maestro_exporter_notes_rejected_total")
        assert rejected["oversized"] >= before + len(huge)
        assert rejected["malformed"] > 10_000
        assert rejected["unknown_command"] > 100
        lab.recovered(peace, rounds(samples))
        assert lab.labels <= set(by_peer(lab.page(), "maestro_ping"))
        lab.unharmed(peace, QUEUES * QUEUE_BYTES + ELSEWHERE)


def test_more_than_the_queue_holds(tmp_path: Path) -> None:
    """While the reactor is held up, the oldest replies have to go, and no result does."""
    planted = Planted(tmp_path, HELD_UP)
    with laboratory(healthy(), "--interval=500ms", env=planted.env) as lab:
        peace = lab.peace()
        reporter = Reporter(lab.broker)
        for _ in range(500):
            reporter.report()
        planted.trigger("hold up", 5.0)
        with beside(reporter.report, 0.02), lab.flood("notes", number=200_000) as flood:
            sent = flood.wait()
        published = reporter.stop()
        counted(lab, published)
        samples = lab.accounted(sent.messages + published, published)
        show(sent, samples)
        overload = number(samples, "maestro_exporter_notes_rejected_total", reason="overload")
        assert overload > 0
        lab.unharmed(
            peace,
            BYTES_PER_PEER * SPEAKERS + QUEUES * QUEUE_LENGTH * BYTES_PER_DELIVERY + ELSEWHERE,
        )
