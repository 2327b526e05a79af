"""The monitoring guide says what boards and rules have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from grafana.generator.config import Config
from tests.grafana.boards import BOARDS, ROOT, alerts, load, rules
from tests.programs import run

pytestmark = pytest.mark.source

GUIDE = ROOT / "docs/monitoring.md"
TEXT = GUIDE.read_text("utf-8") if GUIDE.exists() else ""


def section(title: str) -> str:
    """Give what is under a heading, up to the next of the same rank or above."""
    ((marks, body),) = re.findall(
        rf"^(#+) {re.escape(title)}\n(.*?)(?=^#{{1,3}} |\Z)", TEXT, re.MULTILINE | re.DOTALL
    )
    assert marks
    return str(body)


def first_cells(table: str) -> list[str]:
    """Give the first cells of all rows but the heads."""
    cells = re.findall(r"^\| ([^|]+?) \|", table, re.MULTILINE)
    return [each for each in cells if each not in ("panel", "alert")]


@pytest.mark.parametrize("name", BOARDS)
def test_guide_has_every_panel(name: str) -> None:
    """Each board's section has its panels, row by row, and no others."""
    board = load(name)
    body = section(board["title"])
    tables = [first_cells(each) for each in re.findall(r"(?:^\|.*\n)+", body, re.MULTILINE)]
    rows: list[list[str]] = []
    for each in board["panels"]:
        if each["type"] == "row":
            rows.append([inner["title"] for inner in each["panels"]])
        else:
            rows[-1].append(each["title"])
    if len(tables) == 1:  # a small board is told at once
        rows = [[title for row in rows for title in row]]

    assert [words(table) for table in tables] == [words(row) for row in rows]


def words(titles: list[str]) -> list[str]:
    """Give the parts of titles: some have a comma, and some share a row of the guide."""
    return sorted(", ".join(titles).split(", "))


def test_guide_has_every_alert() -> None:
    """The table of alerts has their severities and durations, and links their runbooks."""
    listed = re.findall(
        r"^\| \[(\w+)\]\(runbooks/(\w+)\.md\) \| (\w+) \| (\w*) ?\|", TEXT, re.MULTILINE
    )

    assert listed == [
        (name, name, alert["labels"]["severity"], alert.get("for", ""))
        for name, alert in alerts().items()
    ]


def test_guide_has_every_recording_rule() -> None:
    """What is recorded is named."""
    for rule in rules():
        if "record" in rule:
            assert f"`{rule['record']}`" in section("Alerts")


def test_guide_has_the_thresholds() -> None:
    """The limits that it names are those in force."""
    config = Config()
    said = section("Alerts")

    assert f"more than {config.restarts} restarts in {config.restarts_window[:-1]} minutes" in said
    assert f"more than {config.clock_offset_bad * 1000:g} ms" in said
    assert f"more than {config.drain_bad:g} s" in said
    assert f"more than {config.round_trip_bad} s" in said
    assert said.count(f"in the last {config.memory[:-1]} minutes") == 4
    assert f"than in the last {config.forget[:-1]} minutes" in said
    assert (
        f"Green below {config.clock_offset_good * 1000:g} ms, red from "
        f"{config.clock_offset_bad * 1000:g} ms"
    ) in section("Maestro / Test cluster")


def yaml_examples() -> list[str]:
    """Give what the guide says in YAML."""
    return re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_job_for_the_hosts_of_the_peers() -> None:
    """It is that of the example in etc/prometheus, which a real Prometheus has tried."""
    _, example = yaml_examples()
    jobs = yaml.safe_load((ROOT / "etc/prometheus/workers.yml").read_text("utf-8"))

    assert yaml.safe_load(example) == jobs["scrape_configs"][1:]


def test_prometheus_takes_the_guide_s_configuration(tmp_path: Path) -> None:
    """With the rules beside it, promtool takes what step 4 says."""
    example, _ = yaml_examples()
    (tmp_path / "prometheus.yml").write_text(example, "utf-8")
    rules_file = "maestro.rules.yml"
    assert yaml.safe_load(example)["rule_files"] == [rules_file]
    rules_text = (ROOT / "grafana/prometheus" / rules_file).read_text("utf-8")
    (tmp_path / rules_file).write_text(rules_text, "utf-8")

    said = run("promtool", "check", "config", tmp_path / "prometheus.yml")

    assert f"{len(rules())} rules found" in said


def test_guide_leads_somewhere() -> None:
    """The files that it links or shows are there."""
    for link in re.findall(r"\]\((?!https:)([^)#]+)", TEXT):
        assert (GUIDE.parent / link).is_file(), link
