"""The boards of grafana/dashboards: made as they should be, and of what there is."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from grafana.generator.__main__ import main, make
from grafana.generator.config import Config
from maestro_exporter import fitness
from tests.grafana.board_rules import RULES
from tests.grafana.boards import BOARDS, FOLDER, Json, load, panels

pytestmark = pytest.mark.source

EACH_BOARD = pytest.mark.parametrize("name", BOARDS)
needs_sdk = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="grafana-foundation-sdk needs Python 3.11"
)


# ------------------------------------------------------------------ made anew


def test_committed_files_are_what_the_generator_makes() -> None:
    """Each file is what `make boards` would write, and there is no other."""
    made = make(Config())

    for name, text in made.items():
        assert (FOLDER / name).read_text("utf-8") == text, f"{name}: `make boards` has not been run"
    assert {f"dashboards/{path.name}" for path in (FOLDER / "dashboards").iterdir()} <= set(made)


def test_generator_writes_elsewhere_for_another_job(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a job and an address of their own, both are in the rules, and the defaults nowhere."""
    options = ["--job", "lab", "--runbooks", "https://wiki.example.com/runbooks/"]

    assert main([*options, "--output", str(tmp_path)]) == 0

    text = (tmp_path / "prometheus/maestro.rules.yml").read_text("utf-8")
    assert 'job="lab"' in text
    assert "https://wiki.example.com/runbooks/MaestroPeerMissing.md" in text
    assert 'job="maestro"' not in text
    assert Config().runbooks not in text
    written = [str(path) for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(written)


def test_generator_says_what_it_cannot_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where it cannot write, it ends with status 2 and a line that says why."""
    (tmp_path / "file").touch()

    with pytest.raises(SystemExit) as ended:
        main(["--output", str(tmp_path / "file")])

    assert ended.value.code == 2
    assert "cannot write" in capsys.readouterr().err.splitlines()[-1]


# ------------------------------------------------------------ Grafana's schema

# Grafana gives a board its number when it stores it.
NOT_IN_THE_SCHEMA = {"/id"}


def through_the_sdk(board: Json) -> Any:
    """Read a board as Grafana's schema has it, and write it again."""
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    return json.loads(json.dumps(Dashboard.from_json(board), cls=JSONEncoder))


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Give all that is not a list or an object, and what is empty, with where it stands."""
    if not isinstance(value, dict | list) or not value:
        yield path, value
        return
    for key, child in value.items() if isinstance(value, dict) else enumerate(value):
        yield from leaves(child, f"{path}/{key}")


def lost(board: Json) -> set[str]:
    """Give what Grafana's schema does not know, or reads otherwise."""
    after = dict(leaves(through_the_sdk(board)))
    return {
        path for path, value in leaves(board) if path not in after or after[path] != value
    } - NOT_IN_THE_SCHEMA


@needs_sdk
@EACH_BOARD
@pytest.mark.filterwarnings("ignore:Prefer using dashboardv2")
def test_grafana_knows_every_key(name: str) -> None:
    """A round trip through Grafana's own schema loses and changes nothing."""
    assert lost(load(name)) == set()


@needs_sdk
@pytest.mark.filterwarnings("ignore:Prefer using dashboardv2")
@pytest.mark.parametrize(
    "misspelled",
    [
        lambda panel: panel.update(titel="x"),
        lambda panel: panel["gridPos"].update(hh=1),
        lambda panel: panel["options"].update(colourMode="value"),
        lambda panel: panel["targets"][0].update(expression="up"),
        lambda panel: panel["fieldConfig"]["defaults"].update(units="s"),
    ],
)
def test_a_misspelled_key_is_noticed(misspelled: Callable[[Json], None]) -> None:
    """A key that Grafana does not know gets lost on that way."""
    board = load(BOARDS[0])
    misspelled(next(panels(board)))

    assert len(lost(board)) == 1


# ----------------------------------------------------------------- the rules


NEED_SDK = {"R6"}


def with_needs(rule: str, *others: Any) -> Any:
    """Give parameters for a test of a rule, which skips where the rule cannot be looked at."""
    return pytest.param(rule, *others, marks=[needs_sdk] if rule in NEED_SDK else [])


@EACH_BOARD
@pytest.mark.parametrize("rule", [with_needs(rule) for rule in RULES])
def test_board_keeps_the_rule(rule: str, name: str) -> None:
    """Nothing in a board breaks a rule."""
    assert list(RULES[rule](load(name))) == []


def first(board: Json, kind: str) -> Json:
    """Give the first panel of a kind."""
    return next(each for each in panels(board) if each["type"] == kind)


def variable(board: Json, name: str) -> Json:
    """Give a variable."""
    return next(each for each in board["templating"]["list"] if each["name"] == name)


def ask(board: Json, expr: str) -> None:
    """Let the first panel ask something else."""
    first(board, "timeseries")["targets"][0]["expr"] = expr


CHOSEN = 'job=~"$job", instance=~"$instance"'

#: For each rule, ways to break it.
FAULTS: list[tuple[str, Callable[[Json], Any]]] = [
    ("R1", lambda board: board["templating"]["list"].pop(0)),
    ("R1", lambda board: variable(board, "datasource").update(name="ds")),
    ("R2", lambda board: variable(board, "job").update(multi=False)),
    ("R2", lambda board: variable(board, "instance").update(allValue="")),
    ("R3", lambda board: variable(board, "peer").update(refresh=1)),
    ("R4", lambda board: first(board, "stat").update(datasource={"uid": "x"})),
    ("R4", lambda board: first(board, "stat")["targets"][0].update(datasource="Prometheus")),
    ("R5", lambda board: first(board, "table").update(description="Peers.")),
    ("R5", lambda board: first(board, "table").update(title="")),
    ("R6", lambda board: first(board, "stat")["fieldConfig"]["defaults"].update(unit="furlongs")),
    ("R6", lambda board: first(board, "table")["fieldConfig"]["overrides"].pop()),
    ("R7", lambda board: first(board, "stat")["targets"].clear()),
    ("R7", lambda board: ask(board, "sum(")),
    ("R8", lambda board: ask(board, "maestro_up")),
    ("R8", lambda board: ask(board, 'maestro_up{job="maestro", instance=~"$instance"}')),
    ("R9", lambda board: ask(board, f"rate(maestro_exporter_rounds_total{{{CHOSEN}}}[5m])")),
    ("R9", lambda board: first(board, "timeseries")["targets"][0].pop("interval")),
    ("R10", lambda board: ask(board, f"maestro_exporter_rounds_total{{{CHOSEN}}}")),
    ("R9", lambda board: first(board, "timeseries")["targets"][0].pop("interval")),
    ("R10", lambda board: ask(board, f"sum(maestro_test_success{{{CHOSEN}}})")),
    ("R11", lambda board: board.update(editable=True)),
    ("R12", lambda board: board.update(__inputs=[])),
    ("R12", lambda board: variable(board, "datasource").update(current={"text": "Mine"})),
    ("R13", lambda board: board.update(uid="Xy12")),
    ("R13", lambda board: board.update(tags=[])),
    ("R13", lambda board: board["links"][0].update(keepTime=False)),
    ("R14", lambda board: board.update(refresh="5s")),
    ("R14", lambda board: board.update(time={"from": "2018-06-21", "to": "2018-06-22"})),
    ("R14", lambda board: board.update(graphTooltip=0)),
    ("R15", lambda board: variable(board, "peer").update(query="label_values(up, peer)")),
    (
        "R15",
        lambda board: variable(board, "job").update(query="label_values(maestro_ping, job)"),
    ),
    ("R16", lambda board: first(board, "stat")["gridPos"].update(x=22)),
    ("R16", lambda board: first(board, "stat")["gridPos"].update(h=9)),
    ("R16", lambda board: first(board, "stat").update(id=1)),
    ("R16", lambda board: board["panels"][0].update(collapsed=True)),
    ("R17", lambda board: first(board, "stat")["options"].update(graphMode="area")),
    (
        "R17",
        lambda board: first(board, "stat")["options"]["reduceOptions"].update(calcs=["mean"]),
    ),
    (
        "R18",
        lambda board: first(board, "timeseries")["options"]["legend"].update(displayMode="list"),
    ),
    (
        "R18",
        lambda board: first(board, "timeseries")["fieldConfig"]["defaults"]["custom"].update(
            spanNulls=True
        ),
    ),
    ("R18", lambda board: first(board, "timeseries")["fieldConfig"]["overrides"].clear()),
    (
        "R18",
        lambda board: [each["gridPos"].update(h=8) for each in panels(board)],
    ),
    (
        "R19",
        lambda board: board["annotations"]["list"][2].update(
            expr=f"changes(maestro_test_failures{{{CHOSEN}}}[$__rate_interval]) > 0"
        ),
    ),
    ("R20", lambda board: board.update(schemaVersion=16)),
    ("R20", lambda board: first(board, "timeseries").update(type="graph")),
]


@pytest.mark.parametrize(("rule", "break_"), [with_needs(*each) for each in FAULTS])
def test_rule_finds_what_breaks_it(rule: str, break_: Callable[[Json], Any]) -> None:
    """A board that breaks a rule is found out by just that rule, or by others, too."""
    board = copy.deepcopy(load(BOARDS[0]))
    break_(board)

    assert list(RULES[rule](board)) != []


def test_every_rule_has_been_broken() -> None:
    """No rule is without a fault that shows that it finds something."""
    assert {rule for rule, _ in FAULTS} == set(RULES)


def test_limits_are_those_of_the_status_page() -> None:
    """What the boards show as good is no warning on the status page, and the other way round."""
    config = Config()

    assert config.clock_offset_good == fitness.MAX_CLOCK_OFFSET
    assert config.round_trip_good == fitness.MAX_ROUND_TRIP
