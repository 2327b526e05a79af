"""The metric contract: the only place that spells names, types, labels and help.

A page is a sequence of families, each with its samples.  `cluster_page` says
what is known of the cluster, `exporter_page` what the exporter knows of itself.
Both only read what they are given.

The first seven families are fixed by Maestro's own documentation
(Monitoring.md), their names, types and help texts to the letter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, Literal, NamedTuple

from maestro_exporter.notes import COMMANDS, Reason
from maestro_exporter.snapshot import (
    LABELS,
    ROUND_TRIP_BOUNDS,
    ExporterState,
    Histogram,
    Reload,
    Run,
    Series,
    Snapshot,
)

#: Why a delivery was not taken in.
REJECTIONS = (*(reason.value for reason in Reason), "retained", "overload")
#: What the exporter asks for.
REQUESTS = ("stats", "ping")


class Family(NamedTuple):
    """One metric family.

    Attributes:
        name: as it stands on the page, `_total` included where there is one.
        kind: gauge, counter or histogram.
        help: what it is, with its unit.
        labels: label names, in the order of a sample's label values.
        bounds: upper bounds of a histogram's buckets, but for the last one, which has none.
    """

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


class Samples(NamedTuple):
    """The samples of one family, as two columns of the same length.

    Attributes:
        labels: label values, in the order of the family's label names.  Families about the
            same things share this very object.
        values: a number, or for families of that kind a histogram; None where there is no
            such sample.
    """

    labels: Sequence[tuple[str, ...]]
    values: Sequence[float | Histogram | None]


Page = Iterable[tuple[Family, Samples]]


_NOTHING = Samples((), ())
_PEER = ("peer", "type")


def _gauge(name: str, help_: str, *labels: str) -> Family:
    return Family(name, "gauge", help_, labels)


def _counter(name: str, help_: str, *labels: str) -> Family:
    return Family(name, "counter", help_, labels)


# ------------------------------------------------------------- the cluster

#: A number for each series; None where it has no such value.
_OF_SERIES: tuple[tuple[Family, Callable[[Series], Any]], ...] = (
    (
        _gauge("maestro_message_count", "Message count", *_PEER),
        attrgetter("messages"),
    ),
    (_gauge("maestro_ping", "Ping", *_PEER), lambda series: series.ping),
    (
        _gauge("maestro_connection_count", "Connection count", *_PEER),
        attrgetter("connections"),
    ),
    (_gauge("maestro_rate", "Rate", *_PEER), lambda series: series.rate),
    (
        _gauge(
            "maestro_peer_up",
            "Whether a process of this peer answered within the expiry (1), "
            "or has fallen silent and is not forgotten yet (0).",
            *_PEER,
        ),
        attrgetter("up"),
    ),
    (
        _gauge(
            "maestro_peer_instances",
            "Processes that are up and share this peer name and type.",
            *_PEER,
        ),
        lambda series: len(series.processes) if series.up else None,
    ),
    (
        _gauge(
            "maestro_peer_last_reply_timestamp_seconds",
            "Unix time of the last reply of a process of this peer, in seconds.",
            *_PEER,
        ),
        lambda series: series.last_reply.unix if series.up else None,
    ),
    (
        _gauge(
            "maestro_peer_latency_seconds",
            "Mean latency of the messages of a receiver that measures it, as it was last polled, "
            "in seconds.",
            *_PEER,
        ),
        attrgetter("latency"),
    ),
    (
        _gauge(
            "maestro_peer_round_trip_seconds",
            "Time from the last PING that was answered to its answer, in seconds.",
            *_PEER,
        ),
        attrgetter("round_trip"),
    ),
    (
        _gauge(
            "maestro_peer_clock_offset_seconds",
            "How far the peer's clock is estimated to be ahead of the exporter's, in seconds.",
            *_PEER,
        ),
        lambda series: series.clock and series.clock.seconds,
    ),
    (
        _gauge(
            "maestro_peer_clock_offset_error_seconds",
            "How far the true clock offset was from the estimate at most when the last PING was "
            "answered, in seconds.",
            *_PEER,
        ),
        lambda series: series.clock and series.clock.error,
    ),
)

_OF_PROCESS = _gauge(
    "maestro_peer_info",
    "A process that is up, and who it says it is; always 1.",
    *LABELS,
)

_OF_SNAPSHOT: tuple[tuple[Family, Callable[[Snapshot], Samples]], ...] = (
    (
        _counter("maestro_test_success", "Test success"),
        lambda snapshot: _single(snapshot.notifications["test_success"]),
    ),
    (
        _counter("maestro_test_failures", "Test failures"),
        lambda snapshot: _single(snapshot.notifications["test_failure"]),
    ),
    (
        _counter("maestro_peer_abnormal_disconnect", "Abnormal disconnect count"),
        lambda snapshot: _single(snapshot.notifications["abnormal_disconnect"]),
    ),
    (
        _gauge("maestro_peers", "Peer processes that are up.", "type"),
        lambda snapshot: _by_label(snapshot.peers_up),
    ),
    (
        Family(
            "maestro_round_trip_seconds",
            "histogram",
            "Times from a PING to its answer, in seconds.",
            ("type",),
            ROUND_TRIP_BOUNDS,
        ),
        lambda snapshot: _by_label(snapshot.round_trips),
    ),
    (
        _counter(
            "maestro_peer_errors_total",
            "Answers of peers that could not read a request, or not do what it asked for.",
            "kind",
        ),
        lambda snapshot: _by_label(snapshot.errors),
    ),
    (
        _gauge("maestro_test_running", "Whether a test runs (1) or not (0)."),
        lambda snapshot: _single(snapshot.run is not None and snapshot.run.end is None),
    ),
    (
        _gauge(
            "maestro_test_start_timestamp_seconds",
            "Unix time at which the current or last test run began, in seconds.",
        ),
        lambda snapshot: _of_run(snapshot, lambda run: run.start.unix),
    ),
    (
        _gauge(
            "maestro_test_end_timestamp_seconds",
            "Unix time at which the last test run ended, in seconds; absent while one goes on.",
        ),
        lambda snapshot: _of_run(snapshot, lambda run: run.end and run.end.unix),
    ),
    (
        _gauge(
            "maestro_test_info",
            "What the current or last test run is of, as its peers announced it; always 1.",
            *("number", "iteration", "name", "script"),
        ),
        lambda snapshot: (
            Samples([snapshot.run.test], [1]) if snapshot.run and snapshot.run.test else _NOTHING
        ),
    ),
    (
        _gauge(
            "maestro_test_messages",
            "Messages of the current or last test run, as they were last polled, those of peers "
            "that have gone included.",
            "direction",
        ),
        lambda snapshot: (
            _by_label({"sent": snapshot.run.sent, "received": snapshot.run.received})
            if snapshot.run
            else _NOTHING
        ),
    ),
    (
        _counter(
            "maestro_tests_finished_total",
            "Test runs that are over: all peers reported success, one reported failure, "
            "or one went without a word.",
            "result",
        ),
        lambda snapshot: _by_label(snapshot.results),
    ),
    (
        _counter(
            "maestro_notifications_total", "Notifications of peers, each counted once.", "kind"
        ),
        lambda snapshot: _by_label(snapshot.notifications),
    ),
    (
        _counter("maestro_exporter_rounds_total", "Rounds of requests to all peers."),
        lambda snapshot: _single(snapshot.rounds),
    ),
    (
        _gauge(
            "maestro_exporter_last_round_timestamp_seconds",
            "Unix time at which the last complete round was asked, in seconds.",
        ),
        lambda snapshot: _single(snapshot.last_round and snapshot.last_round.unix),
    ),
    (
        _gauge(
            "maestro_exporter_last_round_replies",
            "Peer processes that have answered the last complete round.",
        ),
        lambda snapshot: _single(snapshot.last_round and snapshot.last_round_replies),
    ),
    (
        _counter(
            "maestro_exporter_late_replies_total",
            "Answers to a round that came when the next one had been asked.",
        ),
        lambda snapshot: _single(snapshot.late_replies),
    ),
    (
        _counter(
            "maestro_exporter_peers_rejected_total",
            "Answers of peer processes that were not admitted because --max-peers were known.",
        ),
        lambda snapshot: _single(snapshot.peers_rejected),
    ),
)


def cluster_page(snapshot: Snapshot) -> Iterator[tuple[Family, Samples]]:
    """Give the families that a snapshot decides; equal snapshots give equal pages."""
    series = snapshot.series
    labels = [(each.peer, each.type) for each in series]
    for family, value_of in _OF_SERIES:
        yield family, Samples(labels, list(map(value_of, series)))
    processes: list[Any] = [
        each[: len(LABELS)] for one in series if one.up for each in one.processes
    ]
    yield _OF_PROCESS, Samples(processes, [1] * len(processes))
    for family, samples_of in _OF_SNAPSHOT:
        yield family, samples_of(snapshot)


# ------------------------------------------------------------ the exporter

_VERSIONS = ("version", "python", "twisted", "paho", "prometheus_client")

_OF_EXPORTER: tuple[tuple[Family, Callable[[ExporterState], Samples]], ...] = (
    (
        _gauge("maestro_up", "Whether the exporter is connected to the broker and subscribed."),
        lambda state: _single(state.broker_up),
    ),
    (
        _gauge(
            "maestro_exporter_build_info",
            "Versions of the exporter and of what it runs on; always 1.",
            *_VERSIONS,
        ),
        lambda state: Samples([tuple(state.versions[name] for name in _VERSIONS)], [1]),
    ),
    (
        _gauge(
            "maestro_exporter_poll_interval_seconds",
            "Time between two rounds of requests, in seconds.",
        ),
        lambda state: _single(state.interval),
    ),
    (
        _gauge(
            "maestro_exporter_peer_expiry_seconds",
            "Silence after which a peer is down, in seconds.",
        ),
        lambda state: _single(state.expiry),
    ),
    (
        _counter("maestro_exporter_notes_received_total", "Notes received and decoded.", "command"),
        lambda state: _counted(state.notes_received, COMMANDS),
    ),
    (
        _counter("maestro_exporter_notes_sent_total", "Requests sent.", "command"),
        lambda state: _counted(state.notes_sent, REQUESTS),
    ),
    (
        _counter(
            "maestro_exporter_notes_rejected_total",
            "Deliveries that were not taken in: no valid note (or lost by a defect of the "
            "exporter, which is logged), too large, of an unknown command, retained by the "
            "broker, or more than could be kept up with.",
            "reason",
        ),
        lambda state: _counted(state.notes_rejected, REJECTIONS),
    ),
    (
        _counter("maestro_exporter_broker_connections_total", "Connections made to the broker."),
        lambda state: _single(state.connections),
    ),
    (
        _counter(
            "maestro_exporter_broker_connection_failures_total",
            "Connections to the broker that did not come about, or ended before they could be "
            "used.",
        ),
        lambda state: _single(state.connection_failures),
    ),
    (
        _counter(
            "maestro_exporter_broker_errors_total",
            "Connections to the broker that did not come about, or ended, by reason.",
            "reason",
        ),
        lambda state: _by_label(state.link_errors),
    ),
    (
        _counter(
            "maestro_exporter_broker_sessions_lost_total",
            "Connections but the first at which the broker had not kept the session, so that "
            "test results that were published meanwhile are lost.",
        ),
        lambda state: _single(state.sessions_lost),
    ),
    (
        _counter(
            "maestro_broker_dropped_messages_total",
            "Messages to any of its clients that the broker says it dropped since its own start; "
            "absent where it does not say.",
        ),
        lambda state: _NOTHING if state.broker_dropped is None else _single(state.broker_dropped),
    ),
    (
        _counter(
            "maestro_exporter_results_dropped_total",
            "Notifications that the broker kept for the exporter, such as test results, that came "
            "faster than they could be taken in and were dropped.",
        ),
        lambda state: _single(state.results_dropped),
    ),
    (
        _counter(
            "maestro_exporter_stage_restarts_total",
            "Restarts of parts of the exporter that had stopped working.",
            "stage",
        ),
        lambda state: _by_label(state.stage_restarts),
    ),
    (
        _gauge(
            "maestro_exporter_stage_up",
            "Whether a part of the exporter works.",
            "stage",
        ),
        lambda state: _by_label(
            {stage: stage not in state.stages_ill for stage in state.stage_restarts}
        ),
    ),
    (
        _counter(
            "maestro_exporter_broker_received_bytes_total",
            "MQTT payload bytes received from the broker.",
        ),
        lambda state: _single(state.received_bytes),
    ),
    (
        _counter(
            "maestro_exporter_broker_sent_bytes_total", "MQTT payload bytes sent to the broker."
        ),
        lambda state: _single(state.sent_bytes),
    ),
    (
        _gauge(
            "maestro_exporter_web_config_last_reload_successful",
            "Whether the web configuration was taken over (1) when it was last read, or was wrong "
            "and stayed as it was (0).",
        ),
        lambda state: _of_reload(state, lambda reload: reload.successful),
    ),
    (
        _gauge(
            "maestro_exporter_web_config_last_reload_success_timestamp_seconds",
            "Unix time at which the web configuration was last taken over, in seconds.",
        ),
        lambda state: _of_reload(state, lambda reload: reload.succeeded.unix),
    ),
)


def exporter_page(state: ExporterState) -> Iterator[tuple[Family, Samples]]:
    """Give the families about the exporter itself."""
    for family, samples_of in _OF_EXPORTER:
        yield family, samples_of(state)


def _single(value: float | None) -> Samples:
    return Samples([()], [value])


def _of_run(snapshot: Snapshot, value_of: Callable[[Run], float | None]) -> Samples:
    return _single(value_of(snapshot.run)) if snapshot.run is not None else _NOTHING


def _of_reload(state: ExporterState, value_of: Callable[[Reload], float]) -> Samples:
    return _single(value_of(state.web_config)) if state.web_config is not None else _NOTHING


def _by_label(values: Mapping[str, float] | Mapping[str, Histogram]) -> Samples:
    return Samples([(label,) for label in values], list(values.values()))


def _counted(counts: Mapping[str, int], labels: Iterable[str]) -> Samples:
    """Every label of the closed set is there from the start."""
    return _by_label({label: counts.get(label, 0) for label in labels})
