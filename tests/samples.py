"""Notes and states of which most tests care for a field or two."""

from __future__ import annotations

from typing import Any

from maestro_exporter.mqtt.failures import REASONS
from maestro_exporter.notes import Generation, Sender, StatsResponse
from maestro_exporter.snapshot import ExporterState, Moment


def stats_response(
    sender: Sender | None, generation: Generation = Generation.V1_5, **fields: Any
) -> StatsResponse:
    """Give the STATS reply of an idle peer, but for the fields given."""
    idle: dict[str, Any] = {
        "child_count": 0,
        "role_info": "",
        "stats_type": 0,
        "timestamp": "0",
        "count": 0,
        "rate": 0.0,
        "latency": 0.0,
    }
    return StatsResponse(generation=generation, sender=sender, **(idle | fields))


def exporter_state(**fields: Any) -> ExporterState:
    """Give the state of an exporter that has just started, but for the fields given."""
    fresh: dict[str, Any] = {
        "started": Moment(0.0, 1_700_000_000.0),
        "broker": "localhost:1883",
        "broker_up": False,
        "connected_at": None,
        "client_id": "maestro-exporter-1",
        "mqtt_version": "",
        "connections": 0,
        "connection_failures": 0,
        "link_errors": dict.fromkeys(REASONS, 0),
        "last_link_error": None,
        "sessions_lost": 0,
        "broker_dropped": None,
        "received_bytes": 0,
        "sent_bytes": 0,
        "notes_received": {},
        "notes_sent": {},
        "notes_rejected": {},
        "last_rejected": None,
        "results_dropped": 0,
        "interval": 10.0,
        "expiry": 30.0,
        "forget": 900.0,
        "max_peers": 10_000,
        "versions": dict.fromkeys(
            ("version", "python", "twisted", "paho", "prometheus_client"), "1"
        ),
        "web_config": None,
        "stages_ill": (),
        "stage_restarts": dict.fromkeys(("network", "drain", "poller"), 0),
    }
    return ExporterState(**(fresh | fields))
