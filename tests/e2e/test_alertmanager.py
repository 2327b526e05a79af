"""The example for Alertmanager, with a real one."""

from __future__ import annotations

import pytest

from tests.grafana.boards import FOLDER, alerts
from tests.servers import Alertmanager, wait_for

pytestmark = [pytest.mark.source, pytest.mark.long]

#: The alerts that explain others, and those.
MUTED = {
    "MaestroExporterDown": {
        "MaestroExporterRestarting",
        "MaestroBrokerDisconnected",
        "MaestroNoPeersAnswering",
        "MaestroPeerMissing",
        "MaestroProcessMissing",
        "MaestroTestFailed",
        "MaestroTestIncomplete",
        "MaestroTestStalled",
        "MaestroPeerAbnormalDisconnect",
        "MaestroPeerClockSkew",
        "MaestroReceiverLag",
        "MaestroWorkerStalled",
        "MaestroPeerSlow",
        "MaestroResultsLost",
    },
    "MaestroBrokerDisconnected": {
        "MaestroNoPeersAnswering",
        "MaestroPeerMissing",
        "MaestroProcessMissing",
        "MaestroTestStalled",
        "MaestroPeerAbnormalDisconnect",
        "MaestroPeerClockSkew",
        "MaestroReceiverLag",
        "MaestroWorkerStalled",
        "MaestroPeerSlow",
    },
    "MaestroNoPeersAnswering": {"MaestroPeerMissing"},
    "MaestroPeerMissing": {"MaestroReceiverLag"},
}
#: The only one that is about no exporter.
ABSENT = "MaestroExporterAbsent"


def labels(alert: str, instance: str, type_: str = "receiver") -> dict[str, str]:
    """Give the labels that an alert has when it fires."""
    found = {"alertname": alert, "job": "maestro", **alerts()[alert]["labels"]}
    if alert != ABSENT:
        found["instance"] = instance
    if "$labels.type" in alerts()[alert]["annotations"]["description"]:
        found["type"] = type_
    return found


def test_a_cause_mutes_what_follows_from_it() -> None:
    """Each cause mutes just what follows from it, and nothing of another exporter."""
    no_causes = set(alerts()) - set(MUTED)
    fired = [labels("MaestroPeerMissing", "an agent", "agent")]
    fired += [labels("MaestroReceiverLag", "an agent")]
    for cause, follow in MUTED.items():
        # Of what is itself a cause, only what follows here, without what it would mute.
        fired += [labels(each, cause) for each in {cause} | follow | no_causes]
        fired += [labels(each, f"other than {cause}") for each in no_causes]
    fired = [dict(each) for each in {tuple(sorted(each.items())) for each in fired}]

    with Alertmanager(FOLDER / "prometheus/alertmanager.yml") as manager:
        manager.fire(*fired)

        def muted() -> dict[str, set[str]] | None:
            found: dict[str, set[str]] = {}
            for each in manager.alerts():
                if each["status"]["inhibitedBy"]:
                    said = each["labels"]
                    found.setdefault(said["instance"], set()).add(said["alertname"])
            return found if len(manager.alerts()) == len(fired) and len(found) == 4 else None

        expected = dict(MUTED)
        expected["MaestroNoPeersAnswering"] |= {"MaestroReceiverLag"}  # by the missing receiver
        assert wait_for(muted, "all to fire, and each cause to mute") == expected


def test_only_info_goes_to_nobody() -> None:
    """What is for who asks why calls nobody; all else does, and so do alerts of other jobs."""
    info = {name for name, alert in alerts().items() if alert["labels"]["severity"] == "info"}
    with Alertmanager(FOLDER / "prometheus/alertmanager.yml") as manager:
        manager.fire(*(labels(each, "e:9120") for each in alerts()))
        manager.fire({"alertname": "NodeClockSkewDetected", "severity": "info"})
        count = len(alerts()) + 1
        wait_for(lambda: len(manager.alerts()) == count, "all to fire")
        uncalled = {
            each["labels"]["alertname"]
            for each in manager.alerts()
            if [receiver["name"] for receiver in each["receivers"]] == ["nobody"]
        }

    assert uncalled == info
    assert info
