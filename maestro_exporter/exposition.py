"""Families and samples to the bytes of Prometheus' text format, version 0.0.4.

Why not prometheus_client's encoder: it appends `_total` to every counter, so
that it cannot print `maestro_test_success` as the counter it is, and it takes
0.8 s for 10,000 peers.  What both can print, both print alike, byte for byte
(`tests/test_exposition.py`).

Format: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate
from math import inf, isfinite, isnan

from prometheus_client import CollectorRegistry, generate_latest

from maestro_exporter.metrics import Family, Page, cluster_page, exporter_page
from maestro_exporter.snapshot import ExporterState, Histogram, Snapshot

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Exposition:
    """Renders the page; what a snapshot decides is rendered once per snapshot.

    Args:
        snapshot: gives what is known of the cluster.
        state: gives what the exporter knows of itself.
        registry: prometheus_client's collectors of the process and of Python.
    """

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        state: Callable[[], ExporterState],
        registry: CollectorRegistry,
    ) -> None:
        self._snapshot = snapshot
        self._state = state
        self._registry = registry
        self._generation = -1
        self._cluster = b""

    def render(self) -> bytes:
        """Give the whole page: the cluster, the exporter, the process.  Changes nothing."""
        snapshot = self._snapshot()
        if snapshot.generation != self._generation:
            self._cluster = encode(cluster_page(snapshot))
            self._generation = snapshot.generation
        return b"".join(
            (self._cluster, encode(exporter_page(self._state())), generate_latest(self._registry))
        )


def encode(page: Page) -> bytes:
    """Give the text of the families, in their order; a family without samples keeps its header."""
    lines: list[str] = []
    for family, samples in page:
        help_ = family.help.replace("\\", r"\\").replace("\n", r"\n")
        lines.append(f"# HELP {family.name} {help_}\n# TYPE {family.name} {family.kind}\n")
        for values, value in samples:
            if isinstance(value, Histogram):
                lines += _histogram(family, values, value)
            else:
                labels = _label_text(family.labels, values)
                lines.append(f"{family.name}{labels} {_number(value)}\n")
    return "".join(lines).encode()


def _histogram(family: Family, values: tuple[str, ...], histogram: Histogram) -> list[str]:
    """Give the lines of one histogram: a bucket counts all that is not above its bound."""
    names = (*family.labels, "le")
    cumulative = list(accumulate(histogram.counts))
    lines = [
        f"{family.name}_bucket{_label_text(names, (*values, _number(bound)))} {_number(count)}\n"
        for bound, count in zip((*family.bounds, inf), cumulative, strict=True)
    ]
    labels = _label_text(family.labels, values)
    return [
        *lines,
        f"{family.name}_count{labels} {_number(cumulative[-1])}\n",
        f"{family.name}_sum{labels} {_number(histogram.sum)}\n",
    ]


@lru_cache(maxsize=65536)
def _label_text(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    if not names:
        return ""
    # prometheus_client sorts labels by name too.
    pairs = sorted(zip(names, values, strict=True))
    return "{" + ",".join([f'{name}="{_escaped(value)}"' for name, value in pairs]) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    """Spell a number as Go's and Python's client libraries do: exponents from 1e+06 on."""
    value = float(value)
    if not isfinite(value):
        if isnan(value):
            return "NaN"
        return "+Inf" if value > 0 else "-Inf"
    text = repr(value)
    if value < 1e6 or "e" in text:
        return text
    whole, _, fraction = text.partition(".")
    mantissa = f"{whole[0]}.{whole[1:]}{fraction}".rstrip("0").rstrip(".")
    return f"{mantissa}e+{len(whole) - 1:02d}"
