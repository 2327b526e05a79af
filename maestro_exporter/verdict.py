"""Whether a cluster is fit for a test, as JSON for scripts; `docs/api.md` tells its fields."""

from __future__ import annotations

from maestro_exporter.documents import document, text, time
from maestro_exporter.fitness import (
    COUNTED,
    Finding,
    Verdict,
    common_clock_offset,
    free_workers,
)
from maestro_exporter.snapshot import ExporterState, Moment, Snapshot

#: Version of the document: grows when a field changes its meaning or goes, not when one comes.
FORMAT = 1


def verdict_document(
    verdict: Verdict, snapshot: Snapshot, state: ExporterState, now: Moment
) -> bytes:
    """Give the document, which ends in a newline.

    Args:
        verdict: what was found.
        snapshot: in what.
        state: what the exporter knew of itself.
        now: when.
    """
    demands = verdict.demands
    return document(
        {
            "format": FORMAT,
            "time": time(now),
            "fit": verdict.fit,
            "broker": {"address": state.broker, "up": state.broker_up},
            "test_running": snapshot.run is not None and snapshot.run.end is None,
            "demands": {
                **{f"{type_}s": demands.peers.get(type_) for type_ in COUNTED},
                "max_clock_offset_seconds": demands.max_clock_offset,
                "max_round_trip_seconds": demands.max_round_trip,
            },
            "peers_up": dict(snapshot.peers_up),
            "workers_without_role": free_workers(snapshot),
            "common_clock_offset_seconds": common_clock_offset(snapshot, demands.max_clock_offset),
            "reasons": [_finding(each) for each in verdict.reasons],
            "warnings": [_finding(each) for each in verdict.warnings],
        }
    )


def _finding(finding: Finding) -> dict[str, str | None]:
    return {
        "kind": finding.kind,
        "peer": text(finding.peer),
        "type": text(finding.type),
        "message": text(finding.sentence),
    }
