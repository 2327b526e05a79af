"""What is known of a cluster at one instant: plain values that do not change any more."""

from __future__ import annotations

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


class Moment(NamedTuple):
    """One instant on two clocks, both in seconds.

    Attributes:
        monotonic: never steps; all comparisons use it.
        unix: wall clock since the epoch; shown to people, compared with nothing.
    """

    monotonic: float
    unix: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """What is shown of the processes that share a peer name and type.

    Attributes:
        peer: `name@host`, or the name as sent before 1.5.
        type: one of `TYPES`.
        instances: processes that are up; 0 for a silent peer, which has no values.
        last_reply: when one of them last answered.
        count, connections, rate: sums over the processes, in messages, connections
            and messages/s; None until a STATS reply has come.
        ping: the largest one-way time, clock skew included, in ms; None until
            a PING of ours was answered.
    """

    peer: str
    type: str
    instances: int
    last_reply: Moment
    count: int | None = None
    connections: int | None = None
    rate: float | None = None
    ping: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that is known, at one instant; it does not change any more.

    Attributes:
        generation: grows with every change of the cluster; equal numbers, equal snapshots.
        series: no two with the same peer and type; live ones first, in order of appearance.
        peers_up: processes that are up, by type; every type is there.
        peers_rejected: answers of processes that were not admitted since the start.
        test_successes, test_failures, abnormal_disconnects: notifications since the start.
        rounds: rounds asked since the start.
        last_round: when the last complete round was asked; None before there is one.
        last_round_replies: processes that answered during that round.
    """

    generation: int
    series: tuple[Series, ...]
    peers_up: Mapping[str, int]
    peers_rejected: int
    test_successes: int
    test_failures: int
    abnormal_disconnects: int
    rounds: int
    last_round: Moment | None
    last_round_replies: int
