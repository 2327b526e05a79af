"""The page as bytes, against the seed's sample and against prometheus_client."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
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
from maestro_exporter.exposition import Encoder, encode
from maestro_exporter.metrics import (
    REJECTIONS,
    Family,
    Page,
    Samples,
    cluster_page,
    exporter_page,
)
from maestro_exporter.mqtt.failures import REASONS
from maestro_exporter.notes import COMMANDS, Generation, PingResponse, Role, Sender
from maestro_exporter.rendering import MetricsPage
from maestro_exporter.snapshot import Histogram, Moment, Reload
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
    web_config=Reload(successful=True, succeeded=Moment(1.0, 1_700_000_000.5)),
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


def text_of(page: Page) -> str:
    """Give the text of a page, made by an encoder that has not seen another."""
    return b"".join(encode(page)).decode()


def families_of(page: str) -> dict[str, list[str]]:
    """Give the lines of each family, its header included, by its name."""
    families: dict[str, list[str]] = {}
    for line in page.splitlines():
        if line.startswith("# HELP "):
            lines = families[line.split()[2]] = []
        lines.append(line)
    return families


def number(text: str) -> str:
    """Give a number so that equal ones are equal; the format allows some spellings of each."""
    if text in ("NaN", "+Inf", "-Inf"):
        return text
    assert re.fullmatch(r"-?[0-9]+(\.[0-9]+)?(e[-+][0-9]+)?", text), text
    return repr(float(text) + 0.0)  # the two zeros are equal


def read(text: str) -> list[tuple[str, ...]]:
    """Give the lines: headers to the byte; samples with name and labels to the byte, and value."""
    *lines, rest = text.split("\n")
    assert not rest, "the last line has no end"
    return [
        (line,) if line.startswith("#") else (head, number(value))
        for line in lines
        for head, _, value in [line.rpartition(" ")]
    ]


def read_families(page: str) -> dict[str, list[tuple[str, ...]]]:
    """Give what `read` gives, by family."""
    return {
        name: read("".join(f"{line}\n" for line in lines))
        for name, lines in families_of(page).items()
    }


def values_of(page: dict[str, list[tuple[str, ...]]], name: str) -> dict[str, str]:
    """Give the values of a family by their labels."""
    samples = [line for line in page[name] if len(line) == 2]
    return {head.removeprefix(name): value for head, value in samples}


def registry_of(*metrics: Metric) -> CollectorRegistry:
    class Collector:
        def collect(self) -> Iterable[Metric]:
            return metrics

    registry = CollectorRegistry()
    registry.register(Collector())
    return registry


class SeedTests(SynchronousTestCase):
    def test_sample(self) -> None:
        """The seed's sample cluster gives the seed's sample.

        But for the comma before a brace, and for how numbers are spelt.
        """
        expected = read_families(SEED.read_text("utf-8").replace(",}", "}"))
        page = read_families(text_of(cluster_page(seed_cluster().snapshot())))

        self.assertEqual(7, len(expected))
        self.assertEqual(expected, {name: page[name] for name in expected})


class OracleTests(SynchronousTestCase):
    def assert_alike(self, family: Family, samples: Samples) -> None:
        """Both encoders must say the same: all but the numbers to the byte, and these as such."""
        metric: Any = {
            "counter": CounterMetricFamily,
            "gauge": GaugeMetricFamily,
            "histogram": HistogramMetricFamily,
        }[family.kind](family.name.removesuffix("_total"), family.help, labels=family.labels)
        for labels, value in zip(*samples, strict=True):
            if value is None:
                continue
            if isinstance(value, Histogram):
                bounds = [*map(str, family.bounds), "+Inf"]
                buckets = list(zip(bounds, accumulate(value.counts), strict=True))
                metric.add_metric(labels, buckets, value.sum)
            else:
                metric.add_metric(labels, value)
        expected = generate_latest(registry_of(metric)).decode()

        self.assertEqual(read(expected), read(text_of([(family, samples)])))

    def test_our_pages(self) -> None:
        """All that prometheus_client can print of our pages, it says as we do."""
        pages = [*cluster_page(seed_cluster().snapshot()), *exporter_page(STATE)]
        compared = 0
        for family, samples in pages:
            if family.kind == "counter" and not family.name.endswith("_total"):
                continue  # the seed's counters, which it would rename
            self.assert_alike(family, samples)
            compared += 1

        self.assertEqual(len(pages) - 3, compared)

    def test_numbers(self) -> None:
        """Numbers are the same, odd ones included."""
        numbers = [0.0, -0.0, 1, 1e5, 999999.5, 1e6, 2254257.0, 1e15, 1e16, 1e21, -1e7, 5e-324]
        numbers += [2**53 + 1, 2**63, 1.7976931348623157e308, math.nan, math.inf, -math.inf]
        family = Family("m", "gauge", "h", ("n",))
        self.assert_alike(family, Samples([(str(n),) for n in numbers], numbers))
        for value in numbers:  # and without an infinite one in the same column
            self.assert_alike(family, Samples([("n",)], [value]))

    @settings(derandomize=True, deadline=None, database=None)
    @given(st.floats(), st.text(), st.text(), st.text())
    def test_anything(self, value: float, one: str, two: str, help_: str) -> None:
        """Whatever the value, the labels and the help: both say the same."""
        family = Family("m", "gauge", help_, ("type", "peer"))
        self.assert_alike(family, Samples([(one, two)], [value]))

    @settings(derandomize=True, deadline=None, database=None)
    @given(st.dictionaries(st.text(), st.none() | st.floats() | st.integers(-(2**64), 2**64)))
    def test_columns(self, values: dict[str, float | None]) -> None:
        """Whatever is in a column together: both say the same of each."""
        family = Family("m", "counter", "h", ("peer",))
        column = Samples([(peer,) for peer in values], list(values.values()))
        self.assert_alike(family._replace(name="m_total"), column)

    @settings(derandomize=True, deadline=None, database=None)
    @given(st.dictionaries(st.text(), st.floats(), max_size=5))
    def test_parser(self, values: dict[str, float]) -> None:
        """prometheus_client's parser reads back the labels and values that were written."""
        family = Family("m", "gauge", "h", ("peer",))
        samples = Samples([(peer,) for peer in values], list(values.values()))
        (parsed,) = text_string_to_metric_families(text_of([(family, samples)]))

        self.assertEqual(
            [({"peer": peer}, repr(value)) for peer, value in values.items()],
            [(sample.labels, repr(sample.value)) for sample in parsed.samples],
        )


class NumberTests(SynchronousTestCase):
    """How the numbers of one column are spelt."""

    def assert_spelt(self, values: Sequence[float | None], *texts: str) -> None:
        """A column of these values must read so; None has no line."""
        labels = [(str(place),) for place in range(len(values))]
        page = text_of([(Family("m", "gauge", "h", ("n",)), Samples(labels, values))])
        expected = [
            f'm{{n="{place}"}} {text}'
            for place, text in zip(
                (place for place, value in enumerate(values) if value is not None),
                texts,
                strict=True,
            )
        ]
        self.assertEqual(expected, page.splitlines()[2:])

    def test_finite(self) -> None:
        """Python spells them; integers are integers, however large."""
        self.assert_spelt(
            (0, -0.0, 1.0, 2**63 + 1, 1e5, 1e16, 5e-324, 0.1),
            *("0", "-0.0", "1.0", "9223372036854775809", "100000.0", "1e+16", "5e-324", "0.1"),
        )

    def test_booleans(self) -> None:
        """They are numbers on the page."""
        self.assert_spelt((True, False), "1", "0")
        self.assert_spelt((True, True), "1", "1")
        self.assert_spelt((False, 0), "0", "0")
        self.assert_spelt((True, math.inf, False), "1", "+Inf", "0")

    def test_all_alike(self) -> None:
        """Each has its line, of however many."""
        self.assert_spelt((7, 7, 7), "7", "7", "7")
        self.assert_spelt((7, None, 7), "7", "7")
        self.assert_spelt((7,), "7")
        self.assert_spelt((0.5, 0.5), "0.5", "0.5")
        self.assert_spelt((math.inf, math.inf), "+Inf", "+Inf")
        self.assert_spelt((math.nan, math.nan), "NaN", "NaN")

    def test_infinite_among_finite(self) -> None:
        """One that is infinite, or no number, does not touch the others."""
        self.assert_spelt((1, math.inf, 2.5), "1", "+Inf", "2.5")
        self.assert_spelt((1, -math.inf, 2.5), "1", "-Inf", "2.5")
        self.assert_spelt((1, math.nan, 2.5), "1", "NaN", "2.5")
        self.assert_spelt((math.inf, -math.inf, math.nan), "+Inf", "-Inf", "NaN")

    def test_finite_with_a_sum_that_is_not(self) -> None:
        """Each is what it is, whatever they add up to."""
        self.assert_spelt((1.5e308, 1.5e308, 1), "1.5e+308", "1.5e+308", "1")

    def test_none(self) -> None:
        """Where there is no value there is no line, and the others keep their labels."""
        self.assert_spelt((None, 1, None, 2, None), "1", "2")
        self.assert_spelt((None, math.nan, None), "NaN")
        self.assert_spelt((None, None))
        self.assert_spelt(())


class EncoderTests(SynchronousTestCase):
    def test_pieces(self) -> None:
        """Each family is a piece of its own, and one without samples keeps its header."""
        page = [
            (Family("a", "gauge", "A.", ("n",)), Samples([("1",), ("2",)], [1, 2])),
            (Family("b", "counter", "B."), Samples((), ())),
            (Family("c", "gauge", "C."), Samples([()], [None])),
        ]

        self.assertEqual(
            [
                b'# HELP a A.\n# TYPE a gauge\na{n="1"} 1\na{n="2"} 2\n',
                b"# HELP b B.\n# TYPE b counter\n",
                b"# HELP c C.\n# TYPE c gauge\n",
            ],
            list(encode(page)),
        )

    def test_one_family_at_a_time(self) -> None:
        """The text of a family is there before the next one is asked for."""
        asked: list[str] = []

        def page() -> Page:
            for name in ("a", "b"):
                asked.append(name)
                yield Family(name, "gauge", "h"), Samples([()], [1])

        next(encode(page()))
        self.assertEqual(["a"], asked)

    def test_columns_that_do_not_match(self) -> None:
        """A value without labels, or labels without a value, is a defect and not left out."""
        for kind in ("gauge", "histogram"):
            family = Family("m", kind, "h", ("n",))
            histogram = Histogram((1,), 1.0)
            value = histogram if kind == "histogram" else 1
            for labels, values in (
                ([("1",)], []),
                ([], [value]),
                ([("1",)], [value, value]),
                ([("1",), ("2",)], [value]),
                ([("1",), ("2",)], [None]),
            ):
                if kind == "histogram" and values == [None]:
                    continue  # a defect for another reason
                page = [(family, Samples(labels, values))]
                self.assertRaises(ValueError, list, encode(page))

    def test_histogram_that_is_none(self) -> None:
        """A number, or nothing, in a family of histograms is a defect."""
        for value in (None, 1.0):
            page = [(Family("m", "histogram", "h"), Samples([()], [value]))]
            self.assertRaises(TypeError, list, encode(page))

    @settings(derandomize=True, deadline=None, database=None)
    @given(
        st.lists(
            st.lists(
                st.tuples(st.sampled_from(["a", "b", "c", '"']), st.sampled_from(["x", "y"])),
                unique=True,
            )
        )
    )
    def test_again(self, pages: list[list[tuple[str, str]]]) -> None:
        """Used again for fewer, more, other or reordered peers, it says what a fresh one says."""

        def page(labels: list[tuple[str, str]]) -> Page:
            yield Family("one", "gauge", "h", ("peer", "type")), Samples(labels, range(len(labels)))
            values = [None if place % 3 == 1 else place / 2 for place in range(len(labels))]
            yield Family("two", "gauge", "h", ("peer", "type")), Samples(labels, values)
            # Of the same names, but not of the same things; and of other names.
            others = Samples(labels[1:], [1] * len(labels[1:]))
            yield Family("three", "gauge", "h", ("peer", "type")), others
            yield Family("four", "gauge", "h", ("type", "peer")), Samples(labels, [2] * len(labels))
            yield Family("five", "gauge", "h"), Samples([()], [len(labels)])
            yield Family("six", "gauge", "h", ("peer", "type")), Samples((), ())

        encoder = Encoder()
        for labels in pages:
            self.assertEqual(list(encode(page(labels))), list(encoder.encode(page(labels))))

    def test_again_when_two_are_alike(self) -> None:
        """Two samples of one page may have the same labels, as far as this is concerned."""
        family = Family("m", "gauge", "h", ("peer",))
        encoder = Encoder()
        for labels in ([("a",), ("a",)], [("a",), ("b",)]):
            page = [(family, Samples(labels, [1, 2]))]
            self.assertEqual(list(encode(page)), list(encoder.encode(page)))


class ColumnTests(SynchronousTestCase):
    """How the families of our pages are laid out."""

    def test_labels_of_the_same_things_are_the_same(self) -> None:
        """What is about the series has one list of labels, so that it is spelt only once."""
        labels = [
            samples.labels
            for family, samples in cluster_page(seed_cluster().snapshot())
            if family.labels == ("peer", "type")
        ]

        self.assertEqual([], [each for each in labels if each is not labels[0]])
        self.assertEqual(4, len(labels[0]))

    def test_columns_match(self) -> None:
        """Each value has its labels, and each of these its name."""
        for state in (STATE, exporter_state()):
            pages = [*cluster_page(seed_cluster().snapshot()), *exporter_page(state)]
            for family, samples in pages:
                self.assertEqual(len(samples.labels), len(samples.values), family.name)
                for labels in samples.labels:
                    self.assertEqual(len(family.labels), len(labels), family.name)

    def test_closed_sets_of_the_link(self) -> None:
        """Each reason and each stage is there from the start, with 0 or with 1 for what works."""
        page = read_families(text_of(exporter_page(exporter_state())))

        self.assertEqual(
            {f'{{reason="{reason}"}}': "0.0" for reason in REASONS},
            values_of(page, "maestro_exporter_broker_errors_total"),
        )
        stages = [f'{{stage="{stage}"}}' for stage in ("network", "drain", "poller")]
        self.assertEqual(
            dict.fromkeys(stages, "0.0"), values_of(page, "maestro_exporter_stage_restarts_total")
        )
        self.assertEqual(dict.fromkeys(stages, "1.0"), values_of(page, "maestro_exporter_stage_up"))
        for name in ("maestro_exporter_broker_sessions_lost", "maestro_exporter_results_dropped"):
            self.assertEqual({"": "0.0"}, values_of(page, f"{name}_total"))

    def test_link_that_has_seen_something(self) -> None:
        """Each number of the link stands under its own name and label."""
        state = exporter_state(
            link_errors=dict.fromkeys(REASONS, 0) | {"tls": 2},
            sessions_lost=3,
            broker_dropped=4,
            results_dropped=5,
            stages_ill=("drain",),
            stage_restarts={"network": 6, "drain": 7},
        )
        page = read_families(text_of(exporter_page(state)))

        errors = values_of(page, "maestro_exporter_broker_errors_total")
        self.assertEqual(["2.0"], [value for value in errors.values() if value != "0.0"])
        self.assertEqual("2.0", errors['{reason="tls"}'])
        for name, value in (
            ("maestro_exporter_broker_sessions_lost_total", "3.0"),
            ("maestro_broker_dropped_messages_total", "4.0"),
            ("maestro_exporter_results_dropped_total", "5.0"),
        ):
            self.assertEqual({"": value}, values_of(page, name))
        self.assertEqual(
            {'{stage="network"}': "6.0", '{stage="drain"}': "7.0"},
            values_of(page, "maestro_exporter_stage_restarts_total"),
        )
        self.assertEqual(
            {'{stage="network"}': "1.0", '{stage="drain"}': "0.0"},
            values_of(page, "maestro_exporter_stage_up"),
        )

    def test_drops_that_the_broker_does_not_tell(self) -> None:
        """There is the family, and no value that would look like none."""
        page = read_families(text_of(exporter_page(exporter_state())))

        self.assertEqual({}, values_of(page, "maestro_broker_dropped_messages_total"))
        self.assertIn("maestro_broker_dropped_messages_total", page)

    def test_process(self) -> None:
        """What a process says of itself stands under the names of that."""
        cluster = Cluster(expiry=30, forget=900, max_peers=100)
        sender = Sender(id="i", name="n", host="h", role=Role.SENDER, member="m", group="g")
        cluster.apply(stats_response(sender, correlation_id="c"), Moment(1.0, 2.0))
        line = (
            'maestro_peer_info{group="g",host="h",id="i",member="m",name="n",peer="n@h",'
            'protocol="1.5",type="sender"}'
        )

        self.assertIn((line, "1.0"), read(text_of(cluster_page(cluster.snapshot()))))


class PageTests(SynchronousTestCase):
    """The whole page, as a scraper of a small cluster gets it."""

    def setUp(self) -> None:
        self.cluster = seed_cluster()
        self.page = self.make(CollectorRegistry())

    def make(self, registry: CollectorRegistry) -> MetricsPage:
        def in_thread(_: object) -> Any:
            raise AssertionError("a small page takes no thread")

        return MetricsPage(
            lambda: self.cluster.generation,
            self.cluster.snapshot,
            lambda: STATE,
            registry,
            in_thread=in_thread,
            seconds=lambda: 0.0,
        )

    def text(self, page: MetricsPage | None = None) -> str:
        body: Any = (page or self.page).body(compressed=False)
        return b"".join(body).decode()

    def test_twice(self) -> None:
        """Reading changes nothing: two scrapers see the same."""
        self.assertEqual(self.text(), self.text())

    def test_news(self) -> None:
        """A change of the cluster is on the next page."""
        before = self.text()
        self.cluster.expire(Moment(100.0, 0.0))

        self.assertIn('maestro_message_count{peer="sender@', before)
        self.assertNotIn('maestro_message_count{peer="sender@', self.text())

    def test_process_metrics(self) -> None:
        """What prometheus_client's collectors say is on the page."""
        registry = registry_of(GaugeMetricFamily("process_of_test", "h", value=1))

        self.assertTrue(self.text(self.make(registry)).endswith("process_of_test 1.0\n"))

    def test_closed_label_sets(self) -> None:
        """Counters with a closed label set are all there from the start, at 0."""
        page = families_of(self.text())
        received = page["maestro_exporter_notes_received_total"][2:]
        rejected = page["maestro_exporter_notes_rejected_total"][2:]

        self.assertEqual(
            [
                f'maestro_exporter_notes_received_total{{command="{command}"}} '
                f"{5 if command == 'stats' else 0}"
                for command in COMMANDS
            ],
            received,
        )
        self.assertEqual(
            [
                f'maestro_exporter_notes_rejected_total{{reason="{reason}"}} '
                f"{1 if reason == 'malformed' else 0}"
                for reason in REJECTIONS
            ],
            rejected,
        )

    def test_no_family_twice(self) -> None:
        """Each family has one header."""
        page = self.text()
        names = [line.split()[2] for line in page.splitlines() if line.startswith("# TYPE ")]

        self.assertEqual(sorted(set(names)), sorted(names))

    def test_silent_peer(self) -> None:
        """A silent peer has no gauges but maestro_peer_up, which is 0."""
        self.cluster.expire(Moment(100.0, 0.0))
        lines = [line for line in self.text().splitlines() if "sender@" in line]

        self.assertEqual(
            ['maestro_peer_up{peer="sender@perf-dev-node-04.host.com",type="sender"} 0'], lines
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
            for family in text_string_to_metric_families(self.text())
            if family.name == "maestro_ping"
        )

        self.assertIn(f"{name}@h", [sample.labels["peer"] for sample in ping.samples])
