"""The rules of grafana/prometheus: Prometheus takes them, and they fire when they should."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from grafana.generator.__main__ import make
from grafana.generator.config import Config
from tests.grafana import promql
from tests.grafana.boards import FOLDER, RULES, RUNBOOKS, Json, alerts, rules
from tests.programs import run

pytestmark = pytest.mark.source

CASES = Path(__file__).parent / "rules"
EACH_ALERT = pytest.mark.parametrize("alert", alerts())


def cases(alert: str) -> list[Json]:
    """Give the cases of an alert's test."""
    said = yaml.safe_load((CASES / f"{alert}.yml").read_text("utf-8"))
    assert said["rule_files"] == ["../../../grafana/prometheus/maestro.rules.yml"]
    found: list[Json] = said["tests"]
    return found


def test_prometheus_takes_the_rules() -> None:
    """promtool finds nothing wrong in them, nor anything that it would rather have otherwise."""
    run("promtool", "check", "rules", "--lint=all", "--lint-fatal", RULES)


def test_alerts_fire_when_they_should() -> None:
    """promtool finds every alert to fire, and to be quiet, in each case as it says."""
    files = sorted(CASES.glob("*.yml"))
    said = run("promtool", "test", "rules", *files)

    assert said.count("SUCCESS") == len(files)


@EACH_ALERT
def test_there_are_cases(alert: str) -> None:
    """Each alert has a case in which it fires, and one in which it might and must not."""
    expected = [
        [bool(each["exp_alerts"]) for each in case.get("alert_rule_test", ())]
        for case in cases(alert)
    ]
    named = {each["alertname"] for case in cases(alert) for each in case.get("alert_rule_test", ())}

    assert named == {alert}
    assert any(any(case) for case in expected)
    assert any(case and not any(case) for case in expected)


def test_no_case_is_left_over() -> None:
    """There are cases for alerts that there are, and no others."""
    assert {path.stem for path in CASES.iterdir()} == set(alerts())


@EACH_ALERT
def test_alert_says_what_it_is_about(alert: str) -> None:
    """Each has a severity, a summary that is the same for all, and a description that names one."""
    rule = alerts()[alert]
    said = rule["annotations"]

    assert re.fullmatch(r"Maestro([A-Z][a-z]+)+", alert)
    assert rule["labels"] == {"severity": rule["labels"]["severity"]}
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert set(said) == {"summary", "description", "runbook_url"}
    assert re.fullmatch(r"[A-Z][^{}]+\.", said["summary"])
    assert said["description"].endswith(".")
    named = "{{ $labels.instance }}" in said["description"]
    assert named or alert == "MaestroExporterAbsent"  # which is about none


def test_every_selector_is_for_the_job() -> None:
    """Nothing but the exporters' series is looked at; what is recorded is of them."""
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    for rule in rules():
        for selector in promql.selectors(rule["expr"]):
            if selector.name not in recorded:
                assert 'job="maestro"' in selector.matchers, selector


def test_recording_rules_come_before_what_reads_them() -> None:
    """Each is read by a later rule of the same group, and has a name by Prometheus' pattern."""
    names = [rule.get("record") for rule in rules()]
    for position, name in enumerate(names):
        if name is not None:
            assert re.fullmatch(r"[a-z_]+:[a-z_]+:[a-z0-9]+", name)
            readers = [at for at, rule in enumerate(rules()) if name in rule["expr"]]
            assert readers
            assert min(readers) > position


@pytest.mark.parametrize(
    ("change", "was", "now"),
    [
        ({"job": "lab"}, 'job="maestro"', 'job="lab"'),
        ({"runbooks": "https://wiki.example.com"}, Config().runbooks, "https://wiki.example.com/"),
        ({"window": "3m"}, "2m]", "3m]"),
        ({"window": "3m"}, ":rate2m", ":rate3m"),
        ({"memory": "20m"}, "[10m]", "[20m]"),
        ({"forget": "25m"}, "min2m[15m]", "min2m[25m]"),
        ({"blind": 90.0}, "< 60", "< 90"),
        ({"clock_offset_bad": 0.01}, "> 0.05", "> 0.01"),
        ({"clock_offset_bad": 0.01, "round_trip_good": 0.02}, "0.05", "0.02"),
        ({"clock_offset_good": 0.002}, "0.005", "0.002"),
        ({"round_trip_bad": 0.7}, ": 0.5", ": 0.7"),
        ({"round_trip_bad": 0.7}, "> 0.5", "> 0.7"),
        ({"drain_bad": 45.0}, "> 30", "> 45"),
        ({"restarts": 4}, "[15m]) > 2", "[15m]) > 4"),
        ({"restarts_window": "25m"}, 'seconds{job="maestro"}[15m]', "}[25m]"),
    ],
)
def test_thresholds_are_in_one_place(change: Json, was: str, now: str) -> None:
    """Another value in the configuration takes the place of the default everywhere."""
    before, after = ("".join(make(config).values()) for config in (Config(), Config(**change)))

    assert was in before
    assert now not in before
    assert was not in after
    assert now in after


# ------------------------------------------------------------------ runbooks


@EACH_ALERT
def test_alert_has_its_runbook(alert: str) -> None:
    """The address that an alert gives ends in a page of docs/runbooks, with the known parts."""
    url = alerts()[alert]["annotations"]["runbook_url"]
    text = (RUNBOOKS / f"{alert}.md").read_text("utf-8")
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)

    assert url == f"{Config().runbooks}/{alert}.md"
    assert parts[0].strip() == f"# {alert}"
    assert parts[1::2] == ["Meaning", "Impact", "Diagnosis", "Mitigation"]
    assert all(len(part.split()) > 5 for part in parts[2::2])


def test_runbook_has_its_alert() -> None:
    """There is no runbook for an alert that is not there."""
    assert {path.stem for path in RUNBOOKS.iterdir()} == set(alerts())


def test_runbooks_lead_somewhere() -> None:
    """What a runbook links to exists, headings included."""
    for path in RUNBOOKS.iterdir():
        for link in re.findall(r"\]\(([^)]+)\)", path.read_text("utf-8")):
            name, _, heading = link.partition("#")
            target = path.parent / name
            assert target.is_file(), f"{path.name}: {link}"
            headings = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}
            assert not heading or heading in slugs, f"{path.name}: {link}"


# -------------------------------------------------------------- Alertmanager


def test_alertmanager_takes_the_example() -> None:
    """amtool finds nothing wrong in the example, and it names alerts that there are."""
    path = FOLDER / "prometheus/alertmanager.yml"
    run("amtool", "check-config", path)

    for rule in yaml.safe_load(path.read_text("utf-8"))["inhibit_rules"]:
        for matchers in (rule["source_matchers"], rule["target_matchers"]):
            pattern = re.fullmatch(r'alertname=~?"(.+)"', matchers[0])
            assert pattern is not None
            assert any(re.fullmatch(pattern[1], name) for name in alerts()), matchers
