"""Rendering: the page of a large cluster, by our encoder and by prometheus_client's.

Both render the same families with the same samples, out of the same snapshot: all that the
snapshot decides, of which nearly all are samples of single peers.  prometheus_client gets them
as any custom collector would give them: as `Metric` objects, made when it asks.  Both are timed
by turns in one process, with the garbage collector on; the best time of each counts.  What counts
for us is the encoder as the exporter has it: it remembers the labels of the page before, and gives
the page in pieces, as it is sent.  One that knows nothing yet is shown for comparison.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from math import inf
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from bench.harness import MANY, Outcome, Target, best_times, in_child, milliseconds
from bench.peers import filled_cluster
from maestro_exporter.exposition import Encoder, encode
from maestro_exporter.metrics import Family, Samples, cluster_page
from maestro_exporter.snapshot import Histogram, Snapshot
from tests.servers import parse_samples

LEAST = 12.0  # times as fast


class _Sizes(NamedTuple):
    peers: int
    repetitions: int


_FULL, _FAST = _Sizes(MANY, 6), _Sizes(50, 2)


def run(fast: bool) -> Outcome:
    """Compare the two."""
    sizes = _FAST if fast else _FULL
    found = in_child(__name__, 120, **sizes._asdict())
    ratio = found["reference"] / found["kept"]
    return Outcome(
        [Target(f"rendering {sizes.peers:,} peers, times as fast", ratio, LEAST)],
        [
            ["encoder", "best time", "samples/s", "times as fast"],
            *(
                [
                    name,
                    milliseconds(found[key]),
                    f"{found['samples'] / found[key]:,.0f}",
                    f"{found['reference'] / found[key]:.2f}",
                ]
                for name, key in (
                    ("ours", "kept"),
                    ("ours, for the first time", "first"),
                    ("prometheus_client", "reference"),
                )
            ),
        ],
        [
            f"{sizes.peers:,} peers, {found['samples']:,} samples, {found['bytes']:,} bytes; "
            "both pages have the same samples."
        ],
    )


def rendered(snapshot: Snapshot) -> bytes:
    """Give the page of a snapshot as our encoder makes it."""
    return b"".join(encode(cluster_page(snapshot)))


def measure(peers: int, repetitions: int) -> dict[str, Any]:
    """Give the best times in seconds, and what was rendered.

    Raises:
        RuntimeError: the two pages differ.
    """
    snapshot = filled_cluster(peers).snapshot()
    encoder = Encoder()
    registry = CollectorRegistry()
    registry.register(_Reference(snapshot))

    def first() -> bytes:
        return rendered(snapshot)

    def kept() -> tuple[bytes, ...]:
        return tuple(encoder.encode(cluster_page(snapshot)))

    def reference() -> bytes:
        return generate_latest(registry)

    page = b"".join(kept())
    samples = parse_samples(page.decode("utf-8"))
    if samples != parse_samples(reference().decode("utf-8")):
        raise RuntimeError("the two pages have different samples")
    times = best_times(kept, first, reference, repetitions=repetitions)
    return {
        **dict(zip(("kept", "first", "reference"), times, strict=True)),
        "samples": len(samples),
        "bytes": len(page),
    }


class _Reference(Collector):
    """The page, as a custom collector of prometheus_client."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        for family, samples in cluster_page(self._snapshot):
            # What is a counter's name, prometheus_client ends with _total in any case.
            metric = Metric(family.name.removesuffix("_total"), family.help, family.kind)
            for values, value in _pairs(samples):
                labels = dict(zip(family.labels, values, strict=True))
                if isinstance(value, Histogram):
                    _add_histogram(metric, family, labels, value)
                else:
                    metric.add_sample(family.name, labels, value)
            yield metric


def _pairs(samples: Samples) -> Iterator[tuple[tuple[str, ...], float | Histogram]]:
    """Give label values and value of each sample of a family; the one place that knows how."""
    for labels, value in zip(samples.labels, samples.values, strict=True):
        if value is not None:
            yield labels, value


def _add_histogram(
    metric: Metric, family: Family, labels: dict[str, str], histogram: Histogram
) -> None:
    counts = list(accumulate(histogram.counts))
    for bound, count in zip((*family.bounds, inf), counts, strict=True):
        bucket = {**labels, "le": floatToGoString(bound)}
        metric.add_sample(f"{family.name}_bucket", bucket, count)
    metric.add_sample(f"{family.name}_count", labels, counts[-1])
    metric.add_sample(f"{family.name}_sum", labels, histogram.sum)
