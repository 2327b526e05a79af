"""The example for Alertmanager, with a real one."""

from __future__ import annotations

import pytest

from tests.grafana.boards import FOLDER, alerts
from tests.servers import Alertmanager, wait_for

pytestmark = [pytest.mark.source, pytest.mark.long]

#: The alerts that explain others, and those; also what follows from what follows.
MUTED = {
    "MaestroExporterDown": {
        "MaestroExporterAbsent",
        "MaestroExporterRestarting",
        "MaestroBrokerDisconnected",
        "MaestroNoPeersAnswering",
        "MaestroPeerMissing",
        "MaestroTestFailed",
        "MaestroPeerAbnormalDisconnect",
        "MaestroPeerClockSkew",
        "MaestroReceiverLag",
        "MaestroWorkerStalled",
        "MaestroPeerSlow",
    },
    "MaestroBrokerDisconnected": {
        "MaestroNoPeersAnswering",
        "MaestroPeerMissing",
        "MaestroPeerAbnormalDisconnect",
        "MaestroPeerClockSkew",
        "MaestroReceiverLag",
        "MaestroWorkerStalled",
        "MaestroPeerSlow",
    },
    "MaestroNoPeersAnswering": {
        "MaestroPeerMissing",
        "MaestroReceiverLag",
        "MaestroWorkerStalled",
    },
    "MaestroPeerMissing": {"MaestroReceiverLag", "MaestroWorkerStalled"},
}


def test_a_cause_mutes_what_follows_from_it() -> None:
    """Each cause mutes just what follows from it, and nothing of another exporter."""
    no_causes = set(alerts()) - set(MUTED)
    with Alertmanager(FOLDER / "prometheus/alertmanager.yml") as manager:
        fired = 0
        for cause, follow in MUTED.items():
            fire = [(cause, cause), *((name, cause) for name in no_causes | follow)]
            fire += [(name, f"other than {cause}") for name in no_causes]
            manager.fire(
                *(
                    {"alertname": name, "job": "maestro", "instance": instance}
                    for name, instance in fire
                )
            )
            fired += len(fire)

        def muted() -> dict[str, set[str]] | None:
            found: dict[str, set[str]] = {}
            for each in manager.alerts():
                if each["status"]["inhibitedBy"]:
                    labels = each["labels"]
                    found.setdefault(labels["instance"], set()).add(labels["alertname"])
            return found if len(manager.alerts()) == fired and set(found) >= set(MUTED) else None

        assert wait_for(muted, "all to fire, and each cause to mute") == MUTED
