"""What is known at one instant: plain values that do not change any more."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

#: What a peer can be; anything else that it says it is counts as `other`.
TYPES = (
    "sender",
    "receiver",
    "inspector",
    "agent",
    "data-server",
    "reports-server",
    "exporter",
    "other",
)

#: What peers report unasked.
NOTIFICATIONS = (
    "test_started",
    "test_success",
    "test_failure",
    "drain_success",
    "drain_failure",
    "abnormal_disconnect",
)

#: What peers answer when they cannot do what they were asked.
ERRORS = ("protocol_error", "internal_error")

#: What a test run can come to.
RESULTS = ("success", "failure", "incomplete")

#: Upper bounds of the round trips that are counted together, in seconds; there is one more
#: class, for all that take longer.
ROUND_TRIP_BOUNDS = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
)


class Moment(NamedTuple):
    """One instant on two clocks, both in seconds.

    Attributes:
        monotonic: never steps; all comparisons use it.
        unix: wall clock since the epoch; shown to people, compared with nothing.
    """

    monotonic: float
    unix: float


class ClockOffset(NamedTuple):
    """How far a peer's wall clock is ahead of the exporter's, in seconds.

    Attributes:
        seconds: the estimate; negative when the peer's clock is behind.
        error: when the last PING was answered, the true offset was not further from the
            estimate than this.
    """

    seconds: float
    error: float


class Histogram(NamedTuple):
    """How often values came that were not above each of some bounds.

    Attributes:
        counts: by class, each without those of the lower ones; the last has no bound.
        sum: of all values.
    """

    counts: tuple[int, ...]
    sum: float


class Process(NamedTuple):
    """One process of a peer, as it last answered.

    Attributes:
        peer: `name@host`, or the name as sent before 1.5.
        type: one of `TYPES`.
        id: tells it from all others; new at each start of a process.
        name, host: the two parts of `peer`; the host is empty where no name says one.
        group, member: empty before 1.5.
        protocol: the generation of the wire that it speaks, such as `1.5`.
        first_heard, last_heard: when it first and last answered.
        messages, connections, rate: messages of its current test, configured connections, and
            messages/s on average since the test began; None while no STATS reply is current.
        latency: seconds; None unless it is a receiver that measures one.
        ping: ms from our clock to the peer's, one way; None while no PING of ours is answered.
        round_trip: seconds of that PING, by the monotonic clock.
        clock: the offset of its clock; None before a PING of ours was answered.
    """

    peer: str
    type: str
    id: str
    name: str
    host: str
    group: str
    member: str
    protocol: str
    first_heard: Moment
    last_heard: Moment
    messages: int | None = None
    connections: int | None = None
    rate: float | None = None
    latency: float | None = None
    ping: int | None = None
    round_trip: float | None = None
    clock: ClockOffset | None = None


#: The fields of a process that say who it is: the labels of `maestro_peer_info`.
LABELS = Process._fields[: Process._fields.index("first_heard")]


class Series(NamedTuple):
    """What is shown of the processes that share a peer name and type.

    Attributes:
        peer: `name@host`, or the name as sent before 1.5.
        type: one of `TYPES`.
        up: whether a process answered within the expiry; a silent peer has no values.
        processes: those that are up; the last one of a silent peer.
        last_reply: when one of them last answered.
        messages, connections, rate: sums over the processes.
        latency, ping, round_trip: the largest of the processes'.
        clock: of the process whose clock is furthest off.
    """

    peer: str
    type: str
    up: bool
    processes: tuple[Process, ...]
    last_reply: Moment
    messages: int | None = None
    connections: int | None = None
    rate: float | None = None
    latency: float | None = None
    ping: int | None = None
    round_trip: float | None = None
    clock: ClockOffset | None = None


#: Seconds of one step of a trail, and how many there are: a quarter of an hour.
TRAIL_STEP, TRAIL_STEPS = 15.0, 60


class Trail(NamedTuple):
    """What a series did lately, in `TRAIL_STEPS` steps of `TRAIL_STEP` seconds, the newest last.

    Attributes:
        end: when the newest step ends, in monotonic seconds.
        rates: messages/s, the mean between the answers of each step.
        round_trips: the longest of each step, in seconds.

    NaN stands for steps without an answer.
    """

    end: float
    rates: array[float]
    round_trips: array[float]


class NamedTest(NamedTuple):
    """Which test a run is of, as 1.5 peers announce it.

    Attributes:
        number, iteration: digits, or `next` and `last` for the protocol's placeholders.
        name, script: free text.
    """

    number: str
    iteration: str
    name: str
    script: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One test run of the whole cluster.

    Attributes:
        number: counts the runs since the start of the exporter, from 1.
        start: when its first peer began, or was first seen at work.
        end: when its last peer had reported or was gone; None while it goes on.
        result: one of `RESULTS`; None until it is certain that the run is over.
        test: what it is about; None where no peer has said so (before 1.5).
        running, succeeded, failed, lost: processes that take part, by what became of them;
            `lost` are those that have gone without a word.
        sent, received: messages, the last counts of processes that are gone included.
        drained, undrained: receivers that emptied their queue afterwards, or gave up.
        failure: what the first peer that failed said; empty if none did.
    """

    number: int
    start: Moment
    end: Moment | None = None
    result: str | None = None
    test: NamedTest | None = None
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    lost: int = 0
    sent: int = 0
    received: int = 0
    drained: int = 0
    undrained: int = 0
    failure: str = ""


class Event(NamedTuple):
    """Something that happened.

    Attributes:
        at: when.
        kind: one of `EVENTS`.
        peer, type: whom it concerns; empty where it is nobody in particular.
        message: more about it, for people; may be empty.
    """

    at: Moment
    kind: str
    peer: str = ""
    type: str = ""
    message: str = ""


#: Kinds of events.
EVENTS = (
    "connection_found",
    "connection_lost",
    "peer_joined",
    "peer_left",
    "peer_changed_role",
    "peer_disconnected",
    "test_started",
    "test_failed",
    "test_finished",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that is known, at one instant; it does not change any more.

    Attributes:
        generation: grows with every change of the cluster; equal numbers, equal snapshots.
        series: no two with the same peer and type; live ones first, in order of appearance.
        peers_up: processes that are up, by type; every type is there.
        peers_rejected: answers of processes that were not admitted since the start.
        notifications, errors: since the start, by kind.
        rounds: rounds asked since the start.
        late_replies: answers to a round of ours that came when a newer one had been asked.
        last_round: when the last complete round was asked; None before there is one.
        last_round_replies: processes that have answered that round.
        round_trips: of all PINGs of ours since the start, by type; every type is there.
        run: the one that goes on, or else the last; None before there is one.
        finished: runs whose result is certain, the newest first; not all of them.
        results: runs since the start, by result.
        events: the newest first; not all of them.
    """

    generation: int
    series: tuple[Series, ...]
    peers_up: Mapping[str, int]
    peers_rejected: int
    notifications: Mapping[str, int]
    errors: Mapping[str, int]
    rounds: int
    late_replies: int
    last_round: Moment | None
    last_round_replies: int
    round_trips: Mapping[str, Histogram]
    run: Run | None
    finished: tuple[Run, ...]
    results: Mapping[str, int]
    events: tuple[Event, ...]


class Reload(NamedTuple):
    """How it went when a file was last read.

    Attributes:
        successful: whether it could be taken over.
        succeeded: when that was last so.
    """

    successful: bool
    succeeded: Moment


class LinkError(NamedTuple):
    """Why there was no connection to the broker, or why one ended.

    Attributes:
        at: when.
        reason: one of a closed set.
        message: for people.
    """

    at: Moment
    reason: str
    message: str


class ExporterState(NamedTuple):
    """What the exporter knows of itself at one instant.

    Attributes:
        started: when it was.
        broker: address of the Maestro broker, `host:port`.
        broker_up: connected to it, and subscribed.
        connected_at: when it last came to be so, in monotonic seconds; None before.
        client_id: ours at the broker.
        mqtt_version: `5` or `3.1.1`; empty before that is known.
        connections, connection_failures: to the broker, since the start.
        link_errors: connections that failed or ended, by reason; every reason is there.
        last_link_error: the newest of them; None before there is one.
        sessions_lost: connections but the first at which the broker had kept no session.
        broker_dropped: messages that the broker dropped, for any client, since its start; None
            where it does not say.
        received_bytes, sent_bytes: MQTT payload bytes, since the start.
        notes_received, notes_sent: by command; decoded, and handed over to the broker.
        notes_rejected: deliveries that were not taken in, by reason.
        last_rejected: when the last of them came, those left out that the broker had retained, in
            monotonic seconds; None if there is none.
        results_dropped: those of reason `overload` that were not to be said again.
        interval, expiry, forget: the settings in force, in seconds.
        max_peers: likewise.
        versions: what runs, by label of `maestro_exporter_build_info`.
        web_config: of the web configuration; None where there is none.
        stages_ill: the names of those that do not work.
        stage_restarts: how often each stage was started anew, by name.
    """

    started: Moment
    broker: str
    broker_up: bool
    connected_at: float | None
    client_id: str
    mqtt_version: str
    connections: int
    connection_failures: int
    link_errors: Mapping[str, int]
    last_link_error: LinkError | None
    sessions_lost: int
    broker_dropped: int | None
    received_bytes: int
    sent_bytes: int
    notes_received: Mapping[str, int]
    notes_sent: Mapping[str, int]
    notes_rejected: Mapping[str, int]
    last_rejected: float | None
    results_dropped: int
    interval: float
    expiry: float
    forget: float
    max_peers: int
    versions: Mapping[str, str]
    web_config: Reload | None
    stages_ill: tuple[str, ...]
    stage_restarts: Mapping[str, int]
