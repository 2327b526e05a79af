"""Families and samples to the bytes of Prometheus' text format, version 0.0.4.

Why not prometheus_client's encoder: it appends `_total` to every counter, so
that it cannot print `maestro_test_success` as the counter it is, and it takes
0.75 s for 10,000 peers.  What both can print, both say alike
(`tests/test_exposition.py`); only that numbers are spelt as Python spells them.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, compress
from math import inf, isfinite, isnan

from maestro_exporter.metrics import Family, Page, Samples
from maestro_exporter.snapshot import Histogram

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_Labels = Sequence[tuple[str, ...]]


class Encoder:
    """Encodes one page again and again; remembers the text of the labels that it had last."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, ...], tuple[_Labels, list[str]]] = {}

    def encode(self, page: Page) -> Iterator[bytes]:
        """Give the text of each family, in their order; one without samples keeps its header."""
        for family, samples in page:
            help_ = family.help.replace("\\", r"\\").replace("\n", r"\n")
            header = f"# HELP {family.name} {help_}\n# TYPE {family.name} {family.kind}\n"
            if family.kind == "histogram":
                lines = _histograms(family, samples)
            else:
                texts = self._label_texts(family.labels, samples.labels)
                lines = _lines(family.name, texts, samples.values)
            yield (header + "".join(lines)).encode()

    def _label_texts(self, names: tuple[str, ...], labels: _Labels) -> list[str]:
        last, texts = self._last.get(names, ((), []))
        # Mostly the very same, from the family before; or equal, from the page before.
        if labels is not last and labels != last:
            known = dict(zip(last, texts, strict=True))
            texts = [known.get(each) or _label_text(names, each) for each in labels]
        self._last[names] = labels, texts
        return texts


def encode(page: Page) -> Iterator[bytes]:
    """Give the text of each family, in their order; one without samples keeps its header."""
    return Encoder().encode(page)


def _lines(name: str, labels: list[str], values: Sequence[float | Histogram | None]) -> list[str]:
    if len(labels) != len(values):
        raise ValueError(f"{name} has {len(values)} values for {len(labels)} sets of labels")
    if None in values:
        there = [value is not None for value in values]
        labels, values = list(compress(labels, there)), list(compress(values, there))
    if not values:
        return []
    if isinstance(values[0], int) and values.count(values[0]) == len(values):  # often all are 1
        end = f" {_number(values[0])}\n"
        return [name, f"{end}{name}".join(labels), end]
    # Nearly always they are all finite; then one look at their sum spares one at each.
    # The plus makes a number of True.
    if isfinite(sum(values)):  # type: ignore[arg-type]
        return [
            f"{name}{text} {+value!r}\n"  # type: ignore[operator]
            for text, value in zip(labels, values, strict=True)
        ]
    return [
        f"{name}{text} {_number(value)}\n"  # type: ignore[arg-type]
        for text, value in zip(labels, values, strict=True)
    ]


def _histograms(family: Family, samples: Samples) -> list[str]:
    """Give the lines of histograms: a bucket counts all that is not above its bound."""
    names = (*family.labels, "le")
    bounds = [_number(bound) for bound in (*family.bounds, inf)]
    lines: list[str] = []
    for values, histogram in zip(samples.labels, samples.values, strict=True):
        if not isinstance(histogram, Histogram):
            raise TypeError(f"{family.name} is a histogram, and has none for {values}")
        cumulative = list(accumulate(histogram.counts))
        lines += [
            f"{family.name}_bucket{_label_text(names, (*values, bound))} {count!r}\n"
            for bound, count in zip(bounds, cumulative, strict=True)
        ]
        labels = _label_text(family.labels, values)
        lines.append(f"{family.name}_count{labels} {cumulative[-1]!r}\n")
        lines.append(f"{family.name}_sum{labels} {_number(histogram.sum)}\n")
    return lines


def _label_text(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    if not names:
        return ""
    # prometheus_client sorts labels by name too.
    pairs = sorted(zip(names, values, strict=True))
    return "{" + ",".join([f'{name}="{_escaped(value)}"' for name, value in pairs]) + "}"


def _escaped(value: str) -> str:
    if "\\" in value or "\n" in value or '"' in value:
        return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
    return value


def _number(value: float) -> str:
    if isfinite(value):
        return repr(+value)
    if isnan(value):
        return "NaN"
    return "+Inf" if value > 0 else "-Inf"
