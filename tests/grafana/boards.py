"""The boards and rules of grafana/, as the tests read them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "grafana"
BOARDS = ("maestro-test-cluster", "maestro-brokers")
RULES = FOLDER / "prometheus/maestro.rules.yml"
RUNBOOKS = ROOT / "docs/runbooks"


def load(name: str) -> Json:
    """Give a board as it is committed."""
    board: Json = json.loads((FOLDER / "dashboards" / f"{name}.json").read_text("utf-8"))
    return board


def panels(board: Json) -> Iterator[Json]:
    """Give all panels, those in folded rows included, but not the rows."""
    for each in board["panels"]:
        if each["type"] == "row":
            yield from each["panels"]
        else:
            yield each


def panel(board: Json, title: str) -> Json:
    """Give the first panel of this title."""
    return next(each for each in panels(board) if each["title"] == title)


def value_columns(table: Json) -> dict[str, str]:
    """Give the queries of a table by the names of their columns."""
    (organize,) = (each for each in table["transformations"] if each["id"] == "organize")
    renamed = organize["options"]["renameByName"]
    return {renamed[f"Value #{each['refId']}"]: each["expr"] for each in table["targets"]}


def variables(board: Json) -> Iterator[Json]:
    """Give the variables that ask Prometheus."""
    return (each for each in board["templating"]["list"] if each["type"] == "query")


def marks(board: Json) -> Iterator[Json]:
    """Give the annotations that ask Prometheus."""
    return (each for each in board["annotations"]["list"] if "expr" in each)


class Asked(NamedTuple):
    """What a board asks, and where: the title of the panel or the name of the annotation."""

    where: str
    expr: str


def asked(board: Json) -> Iterator[Asked]:
    """Give every expression of a board; of a variable, its selector."""
    for panel in panels(board):
        yield from (Asked(panel["title"], each["expr"]) for each in panel["targets"])
    for annotation in marks(board):
        yield Asked(annotation["name"], annotation["expr"])
    for variable in variables(board):
        yield Asked(variable["name"], label_values(variable["query"])[0])


def label_values(query: str) -> tuple[str, str]:
    """Give selector and label of a variable's query."""
    assert query.startswith("label_values(")
    selector, _, label = query.removeprefix("label_values(").removesuffix(")").rpartition(", ")
    return selector, label


def rules() -> list[Json]:
    """Give the rules, in their order; none where the source tree is out of reach."""
    if not RULES.exists():
        return []
    (group,) = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    found: list[Json] = group["rules"]
    return found


def alerts() -> dict[str, Json]:
    """Give the alerts by name."""
    return {each["alert"]: each for each in rules() if "alert" in each}
