"""The metric contract: the only place that spells names, types, labels and help.

A page is a sequence of families, each with its samples.  `cluster_page` says
what is known of the cluster, `exporter_page` what the exporter knows of itself.
Both only read what they are given.

The first seven families are fixed by Maestro's own documentation
(Monitoring.md), their names, types and help texts to the letter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from maestro_exporter.notes import COMMANDS, Reason
from maestro_exporter.snapshot import Series, Snapshot

#: Why a delivery was not taken in.
REJECTIONS = (*(reason.value for reason in Reason), "retained", "overload")


class Family(NamedTuple):
    """One metric family.

    Attributes:
        name: as it stands on the page, `_total` included where there is one.
        kind: gauge or counter.
        help: what it is, with its unit.
        labels: label names, in the order of a sample's label values.
    """

    name: str
    kind: Literal["gauge", "counter"]
    help: str
    labels: tuple[str, ...] = ()


#: Label values, in the order of the family's label names, and the value.
Sample = tuple[tuple[str, ...], float]
Page = Iterable[tuple[Family, Iterable[Sample]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExporterState:
    """What the exporter knows of itself at one instant.

    Attributes:
        broker_up: connected to the Maestro broker, and subscribed.
        connections, connection_failures: to the broker, since the start.
        received_bytes, sent_bytes: MQTT payload bytes, since the start.
        notes_received: decoded notes by command.
        notes_rejected: deliveries that were not taken in, by reason.
        interval, expiry: the settings in force, in seconds.
        versions: what runs, by label of `maestro_exporter_build_info`.
    """

    broker_up: bool
    connections: int
    connection_failures: int
    received_bytes: int
    sent_bytes: int
    notes_received: Mapping[str, int]
    notes_rejected: Mapping[str, int]
    interval: float
    expiry: float
    versions: Mapping[str, str]


_PEER = ("peer", "type")


def _gauge(name: str, help_: str, *labels: str) -> Family:
    return Family(name, "gauge", help_, labels)


def _counter(name: str, help_: str, *labels: str) -> Family:
    return Family(name, "counter", help_, labels)


# ------------------------------------------------------------- the cluster

#: One sample for each series; None where it has no such value.
_OF_SERIES: tuple[tuple[Family, Callable[[Series], float | None]], ...] = (
    (
        _gauge("maestro_message_count", "Message count", *_PEER),
        lambda series: series.count,
    ),
    (_gauge("maestro_ping", "Ping", *_PEER), lambda series: series.ping),
    (
        _gauge("maestro_connection_count", "Connection count", *_PEER),
        lambda series: series.connections,
    ),
    (_gauge("maestro_rate", "Rate", *_PEER), lambda series: series.rate),
    (
        _gauge(
            "maestro_peer_up",
            "Whether a process of this peer answered within the expiry (1), "
            "or has fallen silent and is not forgotten yet (0).",
            *_PEER,
        ),
        lambda series: series.instances > 0,
    ),
    (
        _gauge(
            "maestro_peer_instances",
            "Processes that are up and share this peer name and type.",
            *_PEER,
        ),
        lambda series: series.instances or None,
    ),
    (
        _gauge(
            "maestro_peer_last_reply_timestamp_seconds",
            "Unix time of the last reply of a process of this peer, in seconds.",
            *_PEER,
        ),
        lambda series: series.last_reply.unix if series.instances else None,
    ),
)

_OF_SNAPSHOT: tuple[tuple[Family, Callable[[Snapshot], Iterable[Sample]]], ...] = (
    (
        _counter("maestro_test_success", "Test success"),
        lambda snapshot: _single(snapshot.test_successes),
    ),
    (
        _counter("maestro_test_failures", "Test failures"),
        lambda snapshot: _single(snapshot.test_failures),
    ),
    (
        _counter("maestro_peer_abnormal_disconnect", "Abnormal disconnect count"),
        lambda snapshot: _single(snapshot.abnormal_disconnects),
    ),
    (
        _gauge("maestro_peers", "Peer processes that are up.", "type"),
        lambda snapshot: _by_label(snapshot.peers_up),
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
            "Peer processes that answered during the last complete round.",
        ),
        lambda snapshot: _single(snapshot.last_round and snapshot.last_round_replies),
    ),
    (
        _counter(
            "maestro_exporter_peers_rejected_total",
            "Answers of peer processes that were not admitted because --max-peers were known.",
        ),
        lambda snapshot: _single(snapshot.peers_rejected),
    ),
)


def cluster_page(snapshot: Snapshot) -> Page:
    """Give the families that a snapshot decides; equal snapshots give equal pages."""
    labels = [(series.peer, series.type) for series in snapshot.series]
    for family, value_of in _OF_SERIES:
        values = map(value_of, snapshot.series)
        yield (
            family,
            [
                (label, value)
                for label, value in zip(labels, values, strict=True)
                if value is not None
            ],
        )
    for family, samples_of in _OF_SNAPSHOT:
        yield family, samples_of(snapshot)


# ------------------------------------------------------------ the exporter

_VERSIONS = ("version", "python", "twisted", "paho", "prometheus_client")

_OF_EXPORTER: tuple[tuple[Family, Callable[[ExporterState], Iterable[Sample]]], ...] = (
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
        lambda state: [(tuple(state.versions[name] for name in _VERSIONS), 1)],
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
            "Attempts to connect to the broker that failed, were refused, or were not allowed "
            "to subscribe.",
        ),
        lambda state: _single(state.connection_failures),
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
)


def exporter_page(state: ExporterState) -> Page:
    """Give the families about the exporter itself."""
    for family, samples_of in _OF_EXPORTER:
        yield family, samples_of(state)


def _single(value: float | None) -> list[Sample]:
    return [] if value is None else [((), value)]


def _by_label(values: Mapping[str, float]) -> list[Sample]:
    return [((label,), value) for label, value in values.items()]


def _counted(counts: Mapping[str, int], labels: Iterable[str]) -> list[Sample]:
    """Every label of the closed set is there from the start."""
    return [((label,), counts.get(label, 0)) for label in labels]
