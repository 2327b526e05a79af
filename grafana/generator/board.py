"""What a board is besides its panels: places, variables, annotations, links."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from grafana.generator.panels import DATASOURCE, Json, row
from grafana.generator.promql import EXPORTER, OF_TYPE, of_exporter, select

COLUMNS = 24
TAG = "maestro"

#: A series that each exporter has from its first scrape on, whatever becomes of broker and peers.
_ALWAYS_THERE = "maestro_exporter_build_info"


@dataclass(frozen=True, slots=True)
class Line:
    """Panels beside each other, from the left.

    Attributes:
        height: in units of 38 pixels, including the space between panels.
        panels: the width of each, in 24ths of the board, and the panel.
    """

    height: int
    panels: Sequence[tuple[int, Json]]


@dataclass(frozen=True, slots=True)
class Row:
    """Lines that go under one title, and can be folded away.

    Attributes:
        folded: whether they are, to begin with; nothing is asked for them then.
    """

    title: str
    lines: Sequence[Line]
    folded: bool = False


def make(
    uid: str,
    title: str,
    description: str,
    rows: Sequence[Row],
    *,
    variables: Sequence[Json] = (),
    annotations: Sequence[Json] = (),
) -> Json:
    """Give a whole board; `variables` come after those for data source, job and instance."""
    return {
        "annotations": {"list": [_BUILT_IN, *annotations]},
        "description": description,
        "editable": False,  # what is changed in a provisioned board is lost: copy it instead
        "fiscalYearStartMonth": 0,
        "graphTooltip": 1,  # one crosshair for all panels
        "id": None,
        "links": _LINKS,
        "liveNow": False,
        "panels": list(_place(rows)),
        "preload": False,
        "refresh": "10s",
        "schemaVersion": 39,
        "tags": [TAG],
        "templating": {"list": [*_VARIABLES, *variables]},
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "title": title,
        "uid": uid,
        "version": 1,
        "weekStart": "",
    }


def _place(rows: Sequence[Row]) -> Iterator[Json]:
    """Give each panel its place and its id.

    What is in a folded row lies within that row's panel, at the place where it will be seen.
    """
    ids = itertools.count(1)
    y = 0
    for each in rows:
        head: Json = {"gridPos": _at(0, y, COLUMNS, 1), "id": next(ids)} | row(each.title)
        y += 1
        inside: list[Json] = []
        for line in each.lines:
            x = 0
            for width, panel in line.panels:
                inside.append({"gridPos": _at(x, y, width, line.height), "id": next(ids)} | panel)
                x += width
            y += line.height
        if each.folded:
            yield head | {"collapsed": True, "panels": inside}
            y -= sum(line.height for line in each.lines)
        else:
            yield head
            yield from inside


def _at(x: int, y: int, width: int, height: int) -> Json:
    return {"h": height, "w": width, "x": x, "y": y}


# ----------------------------------------------------------------- variables


def variable(name: str, label: str, query: str, description: str) -> Json:
    """Give a variable: all values of a label, of which one or more are chosen.

    The query is `label_values(selector, label)`.
    """
    return {
        "allValue": ".+",
        "current": {"text": ["All"], "value": ["$__all"]},
        "datasource": DATASOURCE,
        "definition": query,
        "description": description,
        "hide": 0,
        "includeAll": True,
        "label": label,
        "multi": True,
        "name": name,
        "options": [],
        "query": query,
        "refresh": 2,  # when the range that is shown changes
        "regex": "",
        "skipUrlSync": False,
        "sort": 1,
        "type": "query",
    }


_VARIABLES: list[Json] = [
    {
        "hide": 0,
        "includeAll": False,
        "label": "Data source",
        "multi": False,
        "name": "datasource",
        "options": [],
        "query": "prometheus",
        "refresh": 1,
        "regex": "",
        "skipUrlSync": False,
        "type": "datasource",
    },
    variable(
        "job",
        "Job",
        f"label_values({_ALWAYS_THERE}, job)",
        "Prometheus' name for the exporters.",
    ),
    variable(
        "instance",
        "Instance",
        f"label_values({select(_ALWAYS_THERE, EXPORTER[0])}, instance)",
        "The exporters. Each watches one broker; of two that watch the same one, choose one, or "
        "all is counted twice.",
    ),
]


def peer_variables() -> list[Json]:
    """Give the variables by which peers are chosen."""
    up = of_exporter("maestro_peer_up")
    up_of_type = of_exporter("maestro_peer_up", OF_TYPE)
    return [
        variable(
            "type",
            "Peer type",
            f"label_values({up}, type)",
            "What the peers do; for the panels that show single peers.",
        ),
        variable(
            "peer",
            "Peer",
            f"label_values({up_of_type}, peer)",
            "The peers; for the panels that show single peers.",
        ),
    ]


# --------------------------------------------------------------- annotations

_BUILT_IN: Json = {
    "builtIn": 1,
    "datasource": {"type": "grafana", "uid": "-- Grafana --"},
    "enable": True,
    "hide": True,
    "iconColor": "rgba(0, 211, 255, 1)",
    "name": "Annotations & Alerts",
    "type": "dashboard",
}


def annotation(name: str, expr: str, color: str, *, at_value: bool = False) -> Json:
    """Give marks on all panels, one for each time that the query has values for a while.

    With `at_value` the value is the time of the mark, in ms of Unix time.
    """
    mark: dict[str, Any] = {
        "datasource": DATASOURCE,
        "enable": True,
        "expr": expr,
        "hide": False,
        "iconColor": color,
        "name": name,
        "step": "15s",
        "tagKeys": "instance",
        "textFormat": "{{instance}}",
        "titleFormat": name,
    }
    return mark | {"useValueForTime": True} if at_value else mark


# --------------------------------------------------------------------- links

_LINKS: list[Json] = [
    {
        "asDropdown": True,
        "icon": "external link",
        "includeVars": True,
        "keepTime": True,
        "tags": [TAG],
        "targetBlank": False,
        "title": "Maestro boards",
        "tooltip": "",
        "type": "dashboards",
        "url": "",
    },
    {
        "asDropdown": False,
        "icon": "doc",
        "includeVars": False,
        "keepTime": False,
        "tags": [],
        "targetBlank": True,
        "title": "Maestro",
        "tooltip": "The test system, and its documentation",
        "type": "link",
        "url": "https://github.com/maestro-performance/maestro-java",
    },
]
