"""The examples in etc/prometheus, from which administrators begin."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from maestro_exporter.cluster import Cluster
from maestro_exporter.metrics import cluster_page, exporter_page
from tests.containers import ROOT, from_yaml, text
from tests.programs import run
from tests.samples import exporter_state

pytestmark = pytest.mark.source

FOLDER = "etc/prometheus"
SIMPLE = f"{FOLDER}/prometheus.yml"
SEVERAL = f"{FOLDER}/several-brokers.yml"
TARGET_LABELS = {"job", "instance", "broker", "replica"}


def check_config(path: Path, *options: str) -> None:
    """Have promtool accept a configuration."""
    run("promtool", "check", "config", *options, path)


@pytest.mark.parametrize("path", sorted((ROOT / FOLDER).glob("*.yml")), ids=lambda path: path.name)
def test_prometheus_accepts(path: Path) -> None:
    """promtool finds nothing wrong in any of them."""
    check_config(path)


def test_first_example() -> None:
    """The first example is one job with one target, as the README has it."""
    expected = {
        "scrape_configs": [
            {
                "job_name": "maestro",
                "scrape_interval": "15s",
                "static_configs": [{"targets": ["maestro.exporter.host.com:9120"]}],
            }
        ]
    }

    assert from_yaml(SIMPLE) == expected


def test_what_is_commented_out(tmp_path: Path) -> None:
    """promtool also accepts the first example with what it says of HTTPS and users."""
    uncommented, lines = re.subn(r"^    #(?! \S)", "    ", text(SIMPLE), flags=re.MULTILINE)
    path = tmp_path / "prometheus.yml"
    path.write_text(uncommented, "utf-8")

    assert lines == 6
    check_config(path, "--syntax-only")  # the files that it names are not here


def test_brokers_are_told_apart() -> None:
    """Each target has the label of its broker, and those of one broker differ in `replica`."""
    (job,) = from_yaml(SEVERAL)["scrape_configs"]
    seen = [
        (each["labels"]["broker"], each["labels"].get("replica")) for each in job["static_configs"]
    ]

    assert len({broker for broker, _ in seen}) > 1
    assert len(set(seen)) == len(seen)


def test_labels_do_not_collide() -> None:
    """No family has a label that the examples or Prometheus set, so honor_labels is of no use."""
    snapshot = Cluster(expiry=1, forget=1, max_peers=1).snapshot()
    for family, _ in [*cluster_page(snapshot), *exporter_page(exporter_state())]:
        assert TARGET_LABELS.isdisjoint(family.labels), family.name
