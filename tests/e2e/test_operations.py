"""The examples of the operations guide, tried."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from paho.mqtt import publish

from maestro_exporter.notes import Generation, Role, TestSuccess, Topic, encode
from maestro_exporter.simulator import Peer
from tests.e2e.clusters import number, simulated, wait_for_page
from tests.servers import Exporter, Mosquitto

pytestmark = [pytest.mark.source, pytest.mark.long]

GUIDE = Path(__file__).parents[2] / "docs/operations.md"


def blocks(kind: str) -> list[str]:
    """Give the examples of this kind, as the guide has them."""
    return re.findall(
        rf"^```{kind}\n(.*?)^```$", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )


def test_prometheus(tmp_path: Path) -> None:
    """Prometheus takes each of its configurations."""
    examples = blocks("yaml")
    assert len(examples) == 2
    promtool = shutil.which("promtool")
    assert promtool is not None
    for example in examples:
        path = tmp_path / "prometheus.yml"
        path.write_text(example, "utf-8")
        done = subprocess.run(
            [promtool, "check", "config", str(path)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_bridged_brokers() -> None:
    """The peers of a broker that is bridged to the exporter's answer, and their results count."""
    (example,) = blocks("conf")
    peers = [Peer(each, Role.SENDER, each.value) for each in Generation]
    with Mosquitto() as north:
        bridge, replaced = re.subn(r"(?m)^address .*$", f"address {north.address}", example)
        assert replaced == 1
        with (
            Mosquitto(extra=bridge.splitlines()) as near,
            simulated(north, *peers),
            Exporter(f"--maestro-url={near.url}", "--interval=500ms") as exporter,
        ):
            wait_for_page(
                exporter,
                lambda samples: (
                    samples.get(("maestro_exporter_last_round_replies", frozenset())) == len(peers)
                ),
                "all peers of the other broker",
            )
            payload = encode(peers[-1].say(TestSuccess, message=""))
            publish.single(
                Topic.NOTIFICATIONS, payload, qos=2, hostname="127.0.0.1", port=north.port
            )
            wait_for_page(
                exporter,
                lambda samples: number(samples, "maestro_test_success") == 1,
                "the result",
            )
