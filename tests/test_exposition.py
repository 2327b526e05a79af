"""The page as bytes, against the seed's sample and against prometheus_client."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.cluster import Cluster
from maestro_exporter.exposition import Exposition, encode
from maestro_exporter.metrics import (
    REJECTIONS,
    Family,
    Sample,
    cluster_page,
    exporter_page,
)
from maestro_exporter.notes import COMMANDS, Generation, PingResponse, Role, Sender
from maestro_exporter.snapshot import Histogram, Moment
from tests.samples import exporter_state, stats_response

#: The sample output of Maestro's own documentation, to the letter.
SEED = Path(__file__).parent / "golden" / "seed.prom"

STATE = exporter_state(
    broker_up=True,
    connections=3,
    connection_failures=2,
    received_bytes=1000,
    sent_bytes=100,
    notes_received={"stats": 5},
    notes_rejected={"malformed": 1},
)


def seed_cluster() -> Cluster:
    """Give the cluster that the seed's sample was taken from."""
    cluster = Cluster(expiry=30, forget=900, max_peers=100)
    now = Moment(1.0, 1_700_000_000.0)
    cluster.begin_round("ours", Generation.V1_5, now)
    nodes = ((Role.RECEIVER, 5), (Role.SENDER, 4), (Role.INSPECTOR, 6), (Role.AGENT, 7))
    for role, node in nodes:
        sender = Sender(
            id=str(node),
            name=role.name.lower(),
            host=f"perf-dev-node-0{node}.host.com",
            role=role,
        )
        cluster.apply(
            stats_response(sender, correlation_id="ours"),
            now,
        )
        cluster.apply(
            PingResponse(
                generation=Generation.V1_5, correlation_id="ours", sender=sender, elapsed=1
            ),
            now,
        )
    return cluster


def families_of(page: str) -> dict[str, list[str]]:
    """Give the lines of each family, its header included, by its name."""
    families: dict[str, list[str]] = {}
    for line in page.splitlines():
        if line.startswith("# HELP "):
            lines = families[line.split()[2]] = []
        lines.append(line)
    return families


def registry_of(*metrics: Metric) -> CollectorRegistry:
    class Collector:
        def collect(self) -> Iterable[Metric]:
            return metrics

    registry = CollectorRegistry()
    registry.register(Collector())
    return registry


class SeedTests(SynchronousTestCase):
    def test_sample(self) -> None:
        """The seed's sample cluster gives the seed's sample, but for the comma before a brace."""
        expected = families_of(SEED.read_text("utf-8").replace(",}", "}"))
        page = families_of(encode(cluster_page(seed_cluster().snapshot())).decode())

        self.assertEqual(7, len(expected))
        self.assertEqual(expected, {name: page[name] for name in expected})


class OracleTests(SynchronousTestCase):
    def assert_alike(self, family: Family, samples: list[Sample]) -> None:
        """Both encoders must print the family alike, to the byte."""
        metric: Any = {
            "counter": CounterMetricFamily,
            "gauge": GaugeMetricFamily,
            "histogram": HistogramMetricFamily,
        }[family.kind](family.name.removesuffix("_total"), family.help, labels=family.labels)
        for labels, value in samples:
            if isinstance(value, Histogram):
                bounds = [*map(str, family.bounds), "+Inf"]
                buckets = list(zip(bounds, accumulate(value.counts), strict=True))
                metric.add_metric(labels, buckets, value.sum)
            else:
                metric.add_metric(labels, value)
        expected = generate_latest(registry_of(metric)).decode()

        self.assertEqual(expected, encode([(family, samples)]).decode())

    def test_our_pages(self) -> None:
        """All that prometheus_client can print of our pages, it prints as we do."""
        pages = [*cluster_page(seed_cluster().snapshot()), *exporter_page(STATE)]
        compared = 0
        for family, samples in pages:
            if family.kind == "counter" and not family.name.endswith("_total"):
                continue  # the seed's counters, which it would rename
            self.assert_alike(family, list(samples))
            compared += 1

        self.assertEqual(len(pages) - 3, compared)

    def test_numbers(self) -> None:
        """Numbers are spelt alike, odd ones included."""
        numbers = [0.0, -0.0, 1, 1e5, 999999.5, 1e6, 2254257.0, 1e15, 1e16, 1e21, -1e7, 5e-324]
        numbers += [2**53 + 1, 2**63, 1.7976931348623157e308, math.nan, math.inf, -math.inf]
        self.assert_alike(Family("m", "gauge", "h", ("n",)), [((str(n),), n) for n in numbers])

    @settings(derandomize=True, deadline=None, database=None)
    @given(st.floats(), st.text(), st.text(), st.text())
    def test_anything(self, value: float, one: str, two: str, help_: str) -> None:
        """Whatever the value, the labels and the help: both print the same."""
        self.assert_alike(Family("m", "gauge", help_, ("type", "peer")), [((one, two), value)])

    @settings(derandomize=True, deadline=None, database=None)
    @given(st.dictionaries(st.text(), st.floats(), max_size=5))
    def test_parser(self, values: dict[str, float]) -> None:
        """prometheus_client's parser reads back the labels and values that were written."""
        family = Family("m", "gauge", "h", ("peer",))
        page = encode([(family, [((peer,), value) for peer, value in values.items()])]).decode()
        (parsed,) = text_string_to_metric_families(page)

        self.assertEqual(
            [({"peer": peer}, repr(value)) for peer, value in values.items()],
            [(sample.labels, repr(sample.value)) for sample in parsed.samples],
        )


class ExpositionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.cluster = seed_cluster()
        self.exposition = Exposition(self.cluster.snapshot, lambda: STATE, CollectorRegistry())

    def test_twice(self) -> None:
        """Reading changes nothing: two scrapers see the same."""
        self.assertEqual(self.exposition.render(), self.exposition.render())

    def test_news(self) -> None:
        """A change of the cluster is on the next page."""
        before = self.exposition.render()
        self.cluster.expire(Moment(100.0, 0.0))

        self.assertIn(b'maestro_message_count{peer="sender@', before)
        self.assertNotIn(b'maestro_message_count{peer="sender@', self.exposition.render())

    def test_process_metrics(self) -> None:
        """What prometheus_client's collectors say is on the page."""
        registry = registry_of(GaugeMetricFamily("process_of_test", "h", value=1))
        page = Exposition(self.cluster.snapshot, lambda: STATE, registry).render()

        self.assertTrue(page.endswith(b"process_of_test 1.0\n"))

    def test_closed_label_sets(self) -> None:
        """Counters with a closed label set are all there from the start, at 0."""
        page = families_of(self.exposition.render().decode())
        received = page["maestro_exporter_notes_received_total"][2:]
        rejected = page["maestro_exporter_notes_rejected_total"][2:]

        self.assertEqual(
            [
                f'maestro_exporter_notes_received_total{{command="{command}"}} '
                f"{5.0 if command == 'stats' else 0.0}"
                for command in COMMANDS
            ],
            received,
        )
        self.assertEqual(
            [
                f'maestro_exporter_notes_rejected_total{{reason="{reason}"}} '
                f"{1.0 if reason == 'malformed' else 0.0}"
                for reason in REJECTIONS
            ],
            rejected,
        )

    def test_no_family_twice(self) -> None:
        """Each family has one header."""
        page = self.exposition.render().decode()
        names = [line.split()[2] for line in page.splitlines() if line.startswith("# TYPE ")]

        self.assertEqual(sorted(set(names)), sorted(names))

    def test_silent_peer(self) -> None:
        """A silent peer has no gauges but maestro_peer_up, which is 0."""
        self.cluster.expire(Moment(100.0, 0.0))
        lines = [
            line for line in self.exposition.render().decode().splitlines() if "sender@" in line
        ]

        self.assertEqual(
            ['maestro_peer_up{peer="sender@perf-dev-node-04.host.com",type="sender"} 0.0'], lines
        )

    def test_hostile_names(self) -> None:
        """A peer's name cannot break the page, whatever it is made of."""
        name = 'a"b\\c\nd\x00é\u202e} 1\n# TYPE'
        sender = Sender(id="x", name=name, host="h", role=Role.AGENT)
        note = PingResponse(
            generation=Generation.V1_5, correlation_id="ours", sender=sender, elapsed=1
        )
        self.cluster.apply(note, Moment(2.0, 2.0))
        (ping,) = (
            family
            for family in text_string_to_metric_families(self.exposition.render().decode())
            if family.name == "maestro_ping"
        )

        self.assertIn(f"{name}@h", [sample.labels["peer"] for sample in ping.samples])
