"""The kinds of panels that the boards have, as Grafana's JSON.

A panel has no place yet, and no id: `board` gives them.  Each has a title, a description that says
how to read it, and a unit.  Units are Grafana's words: `none` and `short` (a number, as it is or
shortened), `mps` (messages/s), `s`, `ms`, `Bps`, `bytes`, `percentunit`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

Json = dict[str, Any]

DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}

#: The least step of queries with rates, so that their range is four times as much, 80 s. Counts are
#: polled and then scraped; over less, a rate shows more of how the two intervals interfere.
RATE_STEP = "20s"

#: One meaning each, on all panels: fixed, so that nothing changes its colour with its neighbours.
SENDER, RECEIVER = "blue", "green"
GOOD, DOUBTFUL, BAD, IDLE = "green", "orange", "red", "text"

#: A step of thresholds: a colour, and from which value on; None for the lowest.
Step = tuple[float | None, str]


# ------------------------------------------------------------------- queries


def over_time(expr: str, legend: str) -> Json:
    """Ask for the range that is shown."""
    return _target(expr, legend, instant=False)


def now(expr: str, legend: str = "") -> Json:
    """Ask for the end of the range that is shown, alone."""
    return _target(expr, legend, instant=True)


def in_table(expr: str) -> Json:
    """Ask for rows whose columns are the labels, at the end of the range that is shown."""
    return _target(expr, "", instant=True) | {"format": "table"}


def _target(expr: str, legend: str, *, instant: bool) -> Json:
    target = {
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": " ".join(expr.split()),
        "instant": instant,
        "legendFormat": legend,
        "range": not instant,
    }
    return target | {"interval": RATE_STEP} if "$__rate_interval" in expr else target


# ------------------------------------------------------- looks of single values


def steps(*given: Step) -> Json:
    """Give thresholds."""
    return {
        "mode": "absolute",
        "steps": [{"color": color, "value": value} for value, color in given],
    }


def graded(good: float, bad: float) -> Json:
    """Give thresholds for what is good from 0 up to one value, and bad from another on.

    What has no value has no colour: Grafana takes that of the lowest step.
    """
    return steps((None, IDLE), (0, GOOD), (good, DOUBTFUL), (bad, BAD))


def alarming(bad: float, color: str) -> Json:
    """Give thresholds for what is good from 0 up to one value."""
    return steps((None, IDLE), (0, GOOD), (bad, color))


def words(*given: tuple[int, str, str]) -> list[Json]:
    """Give mappings from values to a word and a colour."""
    options = {
        str(value): {"color": color, "index": index, "text": text}
        for index, (value, text, color) in enumerate(given)
    }
    return [{"type": "value", "options": options}]


CONNECTION = words((0, "disconnected", BAD), (1, "connected", GOOD))
RUNNING = words((0, "idle", IDLE), (1, "running", SENDER))
#: The same as bars: none while idle.
WHILE_RUNNING = words((0, "idle", "transparent"), (1, "running", SENDER))
NEVER: Json = {
    "type": "range",
    "options": {"from": 1e9, "to": None, "result": {"color": BAD, "index": 0, "text": "never"}},
}


def named(name: str, **properties: object) -> Json:
    """Give what holds for the field of this name alone; `__` in a property stands for a dot."""
    return _override("byName", name, properties)


def colored(name: str, **properties: object) -> Json:
    """Give what holds for this column of a table alone, whose text shows the colour."""
    return named(name, custom__cellOptions={"type": "color-text"}, **properties)


def from_query(ref: str, **properties: object) -> Json:
    """Give what holds for the fields of one query alone."""
    return _override("byFrameRefID", ref, properties)


def _override(matcher: str, options: str, properties: Mapping[str, object]) -> Json:
    return {
        "matcher": {"id": matcher, "options": options},
        "properties": [
            {"id": name.replace("__", "."), "value": value} for name, value in properties.items()
        ],
    }


def fixed(color: str) -> Json:
    """Give a colour that does not depend on anything."""
    return {"mode": "fixed", "fixedColor": color}


# -------------------------------------------------------------------- panels


def stat(
    title: str,
    description: str,
    *queries: Json,
    unit: str,
    thresholds: Json | None = None,
    mappings: Sequence[Json] = (),
    overrides: Sequence[Json] = (),
    text: str = "value",
    filled: bool = False,
    graph: bool = False,
    no_value: str = "–",
) -> Json:
    """Give large figures.

    `text` is what is written: `value`, `name` or `value_and_name`.  If `filled`, the colour fills
    the panel.  With a `graph`, the way to the value is drawn beneath it; then the queries are over
    time.  `no_value` stands there when a query gives nothing.
    """
    return _panel(
        "stat",
        title,
        description,
        queries,
        defaults={
            "color": {"mode": "thresholds"},
            "mappings": list(mappings),
            "noValue": no_value,
            "thresholds": thresholds or steps((None, IDLE)),
            "unit": unit,
        },
        overrides=overrides,
        options={
            "colorMode": "background" if filled else "value",
            "graphMode": "area" if graph else "none",
            "justifyMode": "auto",
            "orientation": "auto",
            "percentChangeColorMode": "standard",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "showPercentChange": False,
            "textMode": text,
            "wideLayout": True,
        },
    )


def timeseries(
    title: str,
    description: str,
    *queries: Json,
    unit: str,
    overrides: Sequence[Json] = (),
    stacked: bool = False,
    fill: int = 0,
    minimum: float | None = None,
    legend_right: bool = False,
    no_value: str | None = None,
) -> Json:
    """Give lines over time, with a table of their figures.

    `fill` is per cent of colour beneath the lines; `minimum` the lower end of the scale, unless
    values lie below it.  With `legend_right` the table is beside the lines, which suits many.
    `no_value` stands there when the queries give nothing.
    """
    return _panel(
        "timeseries",
        title,
        description,
        queries,
        defaults={
            "color": {"mode": "palette-classic"},
            "custom": {
                "drawStyle": "line",
                "fillOpacity": fill,
                "lineInterpolation": "linear",
                "lineWidth": 1,
                "showPoints": "auto",  # a peer that answered only once is a point
                "spanNulls": False,  # a hole is news
                "stacking": {"group": "A", "mode": "normal" if stacked else "none"},
                **({} if minimum is None else {"axisSoftMin": minimum}),
            },
            "unit": unit,
            **({} if no_value is None else {"noValue": no_value}),
        },
        overrides=overrides,
        options={
            "legend": {
                "calcs": ["mean", "max", "lastNotNull"],
                "displayMode": "table",
                "placement": "right" if legend_right else "bottom",
                "showLegend": True,
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    )


def states(
    title: str, description: str, *queries: Json, mappings: Sequence[Json], no_value: str = "–"
) -> Json:
    """Give a bar for each series that shows in which state it was when."""
    return _panel(
        "state-timeline",
        title,
        description,
        queries,
        defaults={
            "color": {"mode": "thresholds"},
            "custom": {"fillOpacity": 75, "lineWidth": 0},
            "mappings": list(mappings),
            "noValue": no_value,
            "thresholds": steps((None, IDLE)),
            "unit": "none",
        },
        overrides=(),
        options={
            "alignValue": "left",
            "legend": {
                "calcs": [],
                "displayMode": "list",
                "placement": "bottom",
                "showLegend": False,
            },
            "mergeValues": True,
            "rowHeight": 0.8,
            "showValue": "never",
            "tooltip": {"mode": "single", "sort": "none"},
        },
    )


def table(
    title: str,
    description: str,
    columns: Mapping[str, str],
    *,
    labels: Mapping[str, str],
    last: Mapping[str, str] | None = None,
    overrides: Sequence[Json],
    sort_by: str,
) -> Json:
    """Give a row for each set of labels, joined from several queries.

    `columns` has queries by the names of their columns; none may give a metric name, by which rows
    would differ.  `labels` has the names of the columns that labels become, in their order, before
    the values, `last` of those after them; other labels follow, by their own names.  `sort_by` is
    the name of a column.
    """
    values = {f"Value #{ref}": name for ref, name in zip(ascii_uppercase, columns, strict=False)}
    panel = _panel(
        "table",
        title,
        description,
        [in_table(expr) for expr in columns.values()],
        defaults={
            "color": {"mode": "thresholds"},
            "custom": {
                "align": "auto",
                "cellOptions": {"type": "auto"},
                "filterable": True,
                "minWidth": 80,
            },
            "noValue": "–",
            "thresholds": steps((None, IDLE)),
        },
        overrides=overrides,
        options={
            "cellHeight": "sm",
            "showHeader": True,
            "sortBy": [{"desc": False, "displayName": sort_by}],
        },
    )
    order = {**labels, **values, **(last or {})}
    panel["transformations"] = [
        {"id": "merge", "options": {}},
        {
            "id": "organize",
            "options": {
                "excludeByName": {"Time": True},
                "indexByName": {name: index for index, name in enumerate(order)},
                "renameByName": order,
            },
        },
    ]
    return panel


def row(title: str) -> Json:
    """Give the line above the panels of a row."""
    return {"collapsed": False, "panels": [], "title": title, "type": "row"}


def _panel(
    kind: str,
    title: str,
    description: str,
    queries: Sequence[Json],
    *,
    defaults: Json,
    overrides: Sequence[Json],
    options: Json,
) -> Json:
    return {
        "datasource": DATASOURCE,
        "description": description,
        "fieldConfig": {"defaults": defaults, "overrides": list(overrides)},
        "options": options,
        "targets": [
            {**query, "refId": ref} for ref, query in zip(ascii_uppercase, queries, strict=False)
        ],
        "title": title,
        "type": kind,
    }
