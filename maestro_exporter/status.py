"""What the exporter knows, as JSON for people and scripts; `docs/api.md` tells its fields."""

from __future__ import annotations

from typing import Any

from maestro_exporter.documents import document, number, text, time
from maestro_exporter.snapshot import (
    Event,
    ExporterState,
    LinkError,
    Moment,
    NamedTest,
    Process,
    Run,
    Snapshot,
)

#: Version of the document: grows when a field changes its meaning or goes, not when one comes.
FORMAT = 1


def status(snapshot: Snapshot, state: ExporterState, now: Moment) -> bytes:
    """Give the document, which ends in a newline.

    Args:
        snapshot: what is known of the cluster.
        state: what the exporter knows of itself.
        now: the present moment.
    """
    run = snapshot.run
    content = {
        "format": FORMAT,
        "time": time(now),
        "exporter": {
            "version": state.versions["version"],
            "started": time(state.started),
            "stages_ill": list(state.stages_ill),
            "stage_restarts": dict(state.stage_restarts),
        },
        "broker": {
            "address": state.broker,
            "up": state.broker_up,
            "client_id": text(state.client_id),
            "mqtt_version": text(state.mqtt_version),
            "connections": state.connections,
            "connection_failures": state.connection_failures,
            "errors": dict(state.link_errors),
            "last_error": _link_error(state.last_link_error),
            "sessions_lost": state.sessions_lost,
            "dropped_messages": state.broker_dropped,
            "received_bytes": state.received_bytes,
            "sent_bytes": state.sent_bytes,
            "notes_received": sum(state.notes_received.values()),
            "notes_sent": sum(state.notes_sent.values()),
            "notes_rejected": dict(state.notes_rejected),
            "results_dropped": state.results_dropped,
        },
        "settings": {
            "interval_seconds": state.interval,
            "peer_expiry_seconds": state.expiry,
            "peer_forget_seconds": state.forget,
            "max_peers": state.max_peers,
        },
        "rounds": {
            "asked": snapshot.rounds,
            "late_replies": snapshot.late_replies,
            "last": _last_round(snapshot),
        },
        "peers_up": dict(snapshot.peers_up),
        "peers_rejected": snapshot.peers_rejected,
        "peers": _peers(snapshot),
        "test": {
            "running": run is not None and run.end is None,
            "finished": dict(snapshot.results),
            "notifications": dict(snapshot.notifications),
            "errors": dict(snapshot.errors),
            "run": _run(run) if run else None,
            "runs": [_run(each) for each in snapshot.finished],
        },
        "events": [_event(each) for each in snapshot.events],
    }
    return document(content)


def _link_error(error: LinkError | None) -> dict[str, Any] | None:
    if error is None:
        return None
    return {"time": time(error.at), "reason": error.reason, "message": text(error.message)}


def _last_round(snapshot: Snapshot) -> dict[str, Any] | None:
    if snapshot.last_round is None:
        return None
    return {"asked": time(snapshot.last_round), "replies": snapshot.last_round_replies}


def _peers(snapshot: Snapshot) -> list[dict[str, Any]]:
    found = [(process, series.up) for series in snapshot.series for process in series.processes]
    found.sort(key=lambda each: (each[0].peer, each[0].type, not each[1], each[0].id))
    return [_peer(process, up=up) for process, up in found]


def _peer(process: Process, *, up: bool) -> dict[str, Any]:
    clock = process.clock
    return {
        "peer": text(process.peer),
        "type": process.type,
        "up": up,
        "id": text(process.id),
        "name": text(process.name),
        "host": text(process.host),
        "group": text(process.group),
        "member": text(process.member),
        "protocol": process.protocol,
        "first_reply": time(process.first_heard),
        "last_reply": time(process.last_heard),
        "messages": process.messages,
        "connections": process.connections,
        "rate": number(process.rate),
        "latency_seconds": number(process.latency),
        "ping_milliseconds": process.ping,
        "round_trip_seconds": number(process.round_trip),
        "clock_offset_seconds": number(clock.seconds) if clock else None,
        "clock_offset_error_seconds": number(clock.error) if clock else None,
    }


def _run(run: Run) -> dict[str, Any]:
    return {
        "number": run.number,
        "start": time(run.start),
        "end": time(run.end) if run.end else None,
        "running": run.end is None,
        "result": run.result,
        "test": _test(run.test) if run.test else None,
        "processes": {
            "running": run.running,
            "succeeded": run.succeeded,
            "failed": run.failed,
            "lost": run.lost,
        },
        "messages": {"sent": run.sent, "received": run.received},
        "drains": {"success": run.drained, "failure": run.undrained},
        "failure": text(run.failure),
    }


def _test(test: NamedTest) -> dict[str, Any]:
    return {
        "number": text(test.number),
        "iteration": text(test.iteration),
        "name": text(test.name),
        "script": text(test.script),
    }


def _event(event: Event) -> dict[str, Any]:
    return {
        "time": time(event.at),
        "kind": event.kind,
        "peer": text(event.peer),
        "type": text(event.type),
        "message": text(event.message),
    }
