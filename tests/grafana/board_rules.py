"""What a board must be like, rule by rule; each rule gives its findings.

R1 to R11 are the rules of Grafana's dashboard-linter (lint/*.go), ported; the others are what
boards in the wild get wrong, and the house's own.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator

from maestro_exporter.cluster import Cluster
from maestro_exporter.metrics import cluster_page, exporter_page
from maestro_exporter.options import BY_VARIABLE
from maestro_exporter.values import duration
from tests.grafana import promql
from tests.grafana.boards import Json, asked, label_values, marks, panels, value_columns, variables
from tests.samples import exporter_state

Rule = Callable[[Json], Iterator[str]]

#: Panels that show values; the linter looks at these.
KINDS = ("stat", "timeseries", "state-timeline", "table")
EXPORTER = {'job=~"$job"', 'instance=~"$instance"'}
PROMETHEUS = {"type": "prometheus", "uid": "${datasource}"}
COUNTERS = ("maestro_test_success", "maestro_test_failures", "maestro_peer_abnormal_disconnect")


def r1(board: Json) -> Iterator[str]:
    """The data source is a variable, so that the board works wherever it is imported."""
    found = [each for each in board["templating"]["list"] if each["type"] == "datasource"]
    if [(each["name"], each["label"], each["query"]) for each in found] != [
        ("datasource", "Data source", "prometheus")
    ]:
        yield f"not one variable for the data source: {found}"


def r2(board: Json) -> Iterator[str]:
    """Job and instance are variables of which several, or all, can be chosen."""
    found = {each["name"]: each for each in variables(board)}
    for name in ("job", "instance"):
        each = found.get(name, {})
        said = [each.get(key) for key in ("label", "multi", "includeAll", "allValue")]
        if said != [name.title(), True, True, ".+"] or each["datasource"] != PROMETHEUS:
            yield f"{name}: {each}"


def r3(board: Json) -> Iterator[str]:
    """Variables are asked for anew when the range changes."""
    for each in variables(board):
        if each["refresh"] != 2:
            yield f"{each['name']}: refresh {each['refresh']}"


def r4(board: Json) -> Iterator[str]:
    """Panels and their queries ask the data source that is chosen."""
    for panel in panels(board):
        for each in (panel, *panel["targets"]):
            if each["datasource"] != PROMETHEUS:
                yield f"{panel['title']}: {each['datasource']}"


def r5(board: Json) -> Iterator[str]:
    """Each panel has a title, and a description that says how to read it."""
    for panel in panels(board):
        if not panel.get("title") or len(panel.get("description", "").split()) < 5:
            yield f"{panel.get('title')}: {panel.get('description')}"


def r6(board: Json) -> Iterator[str]:
    """Each figure has a unit that Grafana knows."""
    from grafana_foundation_sdk.models import units

    known = {value for name, value in vars(units).items() if not name.startswith("_")}
    for panel in panels(board):
        config = panel["fieldConfig"]
        if panel["type"] == "table":
            columns = value_columns(panel)
            given = [(name, _override(panel, name).get("unit")) for name in columns]
        else:
            given = [(panel["title"], config["defaults"].get("unit"))]
        for name, unit in given:
            if unit not in known:
                yield f"{panel['title']}: {name}: {unit}"


def r7(board: Json) -> Iterator[str]:
    """Each panel asks something, and that is PromQL."""
    for panel in panels(board):
        if not panel["targets"]:
            yield f"{panel['title']}: no query"
    for where, expr in asked(board):
        try:
            promql.parse(expr)
        except ValueError as error:
            yield f"{where}: {error}"


def r8(board: Json) -> Iterator[str]:
    """Each selector is for the job and the instance that are chosen."""
    for panel in panels(board):
        for target in panel["targets"]:
            for selector in _selectors(target["expr"]):
                if not selector.matchers >= EXPORTER:
                    yield f"{panel['title']}: {selector}"


def r9(board: Json) -> Iterator[str]:
    """Rates are over a range that Grafana fits to the intervals of polling and scraping."""
    for panel in panels(board):
        for target in panel["targets"]:
            polled = "$__rate_interval" in target["expr"]
            if target.get("interval") != ("20s" if polled else None):
                yield f"{panel['title']}: min step {target.get('interval')}"
    for where, expr in asked(board):
        for selector in _selectors(expr):
            rate = selector.function in ("rate", "irate", "deriv")
            if rate and selector.seconds != promql.RATE_INTERVAL_SECONDS:
                yield f"{where}: {selector}"


def r10(board: Json) -> Iterator[str]:
    """Nothing is made of a counter but its growth."""
    for where, expr in asked(board):
        for selector in _selectors(expr):
            counter = selector.name.endswith(("_total", "_bucket")) or selector.name in COUNTERS
            if counter and selector.function not in ("rate", "irate", "increase"):
                yield f"{where}: {selector}"


def r11(board: Json) -> Iterator[str]:
    """It is not changed in place, where the next version would undo it."""
    if board["editable"] is not False:
        yield "editable"


def r12(board: Json) -> Iterator[str]:
    """It can be provisioned: nothing waits for the questions of the import page."""
    for key in ("__inputs", "__requires", "__elements"):
        if key in board:
            yield key
    if "current" in board["templating"]["list"][0]:
        yield "it has the data source of an installation"


def r13(board: Json) -> Iterator[str]:
    """It has a readable uid, a title, the product's tag, and leads to the other boards."""
    if not re.fullmatch(r"maestro-[a-z-]{1,32}", board["uid"]):
        yield f"uid {board['uid']}"
    if board["id"] is not None or not board["title"].startswith("Maestro / "):
        yield f"{board['id']}, {board['title']}"
    if board["tags"] != ["maestro"]:
        yield f"tags {board['tags']}"
    (boards, documents) = board["links"]
    if (boards["tags"], boards["includeVars"], boards["keepTime"]) != (["maestro"], True, True):
        yield f"{boards}"
    if not documents["url"].startswith("https://"):
        yield f"{documents}"


def r14(board: Json) -> Iterator[str]:
    """It shows the last while, all panels alike, and is not asked more often than peers are."""
    seconds = duration("1s", "1h")
    if seconds(board["refresh"]) < seconds(BY_VARIABLE["MAESTRO_EXPORTER_INTERVAL"].default):
        yield f"refresh {board['refresh']}"
    if board["time"]["to"] != "now" or not board["time"]["from"].startswith("now-"):
        yield f"{board['time']}"
    if (board["graphTooltip"], board["timezone"]) != (1, "browser"):
        yield "each panel has a crosshair or a time of its own"


def r15(board: Json) -> Iterator[str]:
    """Each variable depends on all before it, and the first on what is always there."""
    before = ["datasource"]
    for each in variables(board):
        selector, label = label_values(each["query"])
        (said,) = promql.selectors(selector)
        if label != each["name"]:
            yield f"{each['name']} is {label}"
        if said.matchers != {f'{name}=~"${name}"' for name in before[1:]}:
            yield f"{each['name']}: {said.matchers}"
        if each["name"] in ("job", "instance") and said.name not in _always_there():
            yield f"{said.name} is not always there"
        before.append(each["name"])


def r16(board: Json) -> Iterator[str]:
    """Panels lie in rows, none over another; a folded row, the exporter's, comes last."""
    tops = board["panels"]
    if tops[0]["type"] != "row":
        yield "it does not begin with a row"
    folded = [each["title"] for each in tops if each.get("collapsed")]
    if folded not in ([], [tops[-1]["title"]]):
        yield f"folded: {folded}"
    everything = [*tops, *(inner for each in tops for inner in each.get("panels", []))]
    ids = [each["id"] for each in everything]
    if len(set(ids)) != len(ids):
        yield f"ids {sorted(ids)}"
    for each in everything:
        place = each["gridPos"]
        if place["x"] < 0 or place["x"] + place["w"] > 24:
            yield f"{each['title']} sticks out: {place}"
    for one, other in itertools.combinations(everything, 2):
        if _overlap(one["gridPos"], other["gridPos"]):
            yield f"{one['title']} and {other['title']} overlap"


def r17(board: Json) -> Iterator[str]:
    """Large figures are the last value; colours have thresholds that mean something."""
    for panel in panels(board):
        if panel["type"] != "stat":
            continue
        options = panel["options"]
        if options["reduceOptions"]["calcs"] != ["lastNotNull"]:
            yield f"{panel['title']}: {options['reduceOptions']}"
        instant = all(each["instant"] for each in panel["targets"])
        if instant != (options["graphMode"] == "none"):
            yield f"{panel['title']}: instant {instant}, graph {options['graphMode']}"
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        if 80 in [each["value"] for each in steps]:  # Grafana's default, which nobody chose
            yield f"{panel['title']}: {steps}"


def r18(board: Json) -> Iterator[str]:
    """Lines have a table of figures, holes where nothing was known, and colours that stay."""
    for panel in panels(board):
        if panel["type"] != "timeseries":
            continue
        title, options, config = panel["title"], panel["options"], panel["fieldConfig"]
        if options["legend"]["displayMode"] != "table":
            yield f"{title}: {options['legend']}"
        if options["legend"]["calcs"] != ["mean", "max", "lastNotNull"]:
            yield f"{title}: {options['legend']}"
        if options["tooltip"] != {"mode": "multi", "sort": "desc"}:
            yield f"{title}: {options['tooltip']}"
        if config["defaults"]["custom"]["spanNulls"] is not False:
            yield f"{title}: holes are bridged"
        many = any("{{peer}}" in each["legendFormat"] for each in panel["targets"])
        if many and options["legend"]["placement"] == "bottom" and panel["gridPos"]["h"] < 11:
            yield f"{title}: its table has no room for peers"
        for target in panel["targets"]:
            fixed = {"sent": "blue", "received": "green"}
            if target["legendFormat"] == "{{direction}}":
                for name, color in fixed.items():
                    if _override(panel, name).get("color", {}).get("fixedColor") != color:
                        yield f"{title}: {name} has no colour of its own"


def r19(board: Json) -> Iterator[str]:
    """What is marked is a time, or the growth of a counter, which a restart is not."""
    for each in marks(board):
        expr = each["expr"]
        (said,) = promql.selectors(expr)
        if each.get("useValueForTime"):
            good = "_timestamp_seconds" in said.name and expr.endswith("* 1000")
        else:
            good = said.function == "increase" and expr.endswith("> 0")
        if not good or not said.matchers >= EXPORTER or each["datasource"] != PROMETHEUS:
            yield f"{each['name']}: {expr}"


def r20(board: Json) -> Iterator[str]:
    """It is all there is: no panels of a library, no plugins, and a schema that is widely known."""
    if board["schemaVersion"] != 39:
        yield f"schema {board['schemaVersion']}"
    for panel in panels(board):
        if "libraryPanel" in panel or panel["type"] not in KINDS:
            yield f"{panel['title']}: {panel['type']}"


RULES: dict[str, Rule] = {
    each.__name__.upper(): each
    for each in (
        *(r1, r2, r3, r4, r5, r6, r7, r8, r9, r10),
        *(r11, r12, r13, r14, r15, r16, r17, r18, r19, r20),
    )
}


def _selectors(expr: str) -> list[promql.Selector]:
    """Give the selectors of an expression; none where it is no PromQL, which R7 says."""
    try:
        return promql.selectors(expr)
    except ValueError:
        return []


def _override(panel: Json, name: str) -> Json:
    """Give what a panel has for the field of this name alone."""
    return {
        each["id"]: each["value"]
        for override in panel["fieldConfig"]["overrides"]
        if override["matcher"] == {"id": "byName", "options": name}
        for each in override["properties"]
    }


def _overlap(one: Json, other: Json) -> bool:
    return all(
        one[start] < other[start] + other[length] and other[start] < one[start] + one[length]
        for start, length in (("x", "w"), ("y", "h"))
    )


def _always_there() -> set[str]:
    """Give the families that an exporter has which knows no peer."""
    snapshot = Cluster(expiry=1, forget=1, max_peers=1).snapshot()
    pages = [*cluster_page(snapshot), *exporter_page(exporter_state())]
    return {family.name for family, samples in pages if samples.labels}
