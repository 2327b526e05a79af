"""What the tests of the cluster share: short words for moments, notes and what is shown."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.cluster import Cluster
from maestro_exporter.cluster.clocks import ClockFilter
from maestro_exporter.notes import Generation, Note, PingResponse, Role, Sender
from maestro_exporter.snapshot import ClockOffset, Moment, Process, Series, Snapshot
from tests.samples import stats_response

EXPIRY = 30.0
FORGET = 900.0
UNIX = 1_700_000_000.0

V1_3, V1_4, V1_5 = Generation.V1_3, Generation.V1_4, Generation.V1_5

#: What the STATS reply of an idle process says.
IDLE: dict[str, Any] = {"messages": 0, "connections": 0, "rate": 0.0}
_VALUES = ("messages", "connections", "rate", "latency", "ping", "round_trip", "clock")


# ------------------------------------------------------- what is said


def at(seconds: float) -> Moment:
    """Give the moment so many seconds after the beginning."""
    return Moment(1000.0 + seconds, UNIX + seconds)


def worker(id_: str, role: Role = Role.SENDER, host: str = "node", name: str = "worker") -> Sender:
    return Sender(id=id_, name=name, host=host, role=role, member="", group="all")


def stats(
    sender: Sender | None,
    count: int = 0,
    rate: float = 0.0,
    children: int = 0,
    correlation: str = "theirs",
    **fields: Any,
) -> Note:
    """Give a STATS reply of a 1.5 peer; to the request of another client, unless told."""
    return stats_response(
        sender,
        correlation_id=correlation,
        message_id="m",
        child_count=children,
        count=count,
        rate=rate,
        **fields,
    )


def old_stats(
    id_: str, name: str, role: str = "", generation: Generation = V1_4, **fields: Any
) -> Note:
    """Give a STATS reply of an older peer."""
    return stats_response(Sender(id=id_, name=name), generation, role=role, **fields)


def ping(
    sender: Sender | None, elapsed: int, correlation: str | None, generation: Generation = V1_5
) -> Note:
    return PingResponse(
        generation=generation, correlation_id=correlation, sender=sender, elapsed=elapsed
    )


# ------------------------------------------------------- what is shown


def process(id_: str, first: float, last: float | None = None, **fields: Any) -> Process:
    """Give the view of a 1.5 sender without values, but for the fields given.

    Args:
        id_: of the process.
        first, last: seconds at which it was first and last heard; once, if only one is given.
        fields: all that is not as `worker` makes it.
    """
    sender = Process(
        id=id_,
        peer="worker@node",
        type="sender",
        name="worker",
        host="node",
        group="all",
        member="",
        protocol="1.5",
        first_heard=at(first),
        last_heard=at(first if last is None else last),
    )
    return sender._replace(**fields)


def old_process(id_: str, peer: str, first: float, **fields: Any) -> Process:
    """Give the view of an older peer that says neither role nor host, but for the fields given."""
    plain = {"peer": peer, "type": "other", "name": peer, "host": "", "group": ""}
    return process(id_, first, **{**plain, "protocol": "1.4", **fields})


def clock_after(*replies: tuple[float, int, float]) -> ClockOffset:
    """Give what is known of a clock after PING replies.

    Args:
        replies: of each, when it came, what it says, in ms, and its round trip, in seconds.
    """
    clock = ClockFilter()
    for seconds, elapsed, round_trip in replies:
        clock.add(elapsed, round_trip, at(seconds).monotonic)
    assert clock.offset is not None
    return clock.offset


def shown(*processes: Process, up: bool = True, **values: Any) -> Series:
    """Give the series of these processes, with these values; of one alone, they are its own."""
    if len(processes) == 1:
        values = {name: getattr(processes[0], name) for name in _VALUES} | values
    return Series(
        peer=processes[0].peer,
        type=processes[0].type,
        up=up,
        processes=processes,
        last_reply=max(each.last_heard for each in processes),
        **values,
    )


class ClusterTestCase(SynchronousTestCase):
    """Gives a cluster, and short words to tell it what happens."""

    def setUp(self) -> None:
        self.cluster = self.make_cluster()
        self.rounds = 0

    def make_cluster(self, max_peers: int = 100) -> Cluster:
        return Cluster(expiry=EXPIRY, forget=FORGET, max_peers=max_peers)

    def ask(self, seconds: float, pinged: Generation = V1_5) -> str:
        """Begin a round; give its correlation."""
        self.rounds += 1
        correlation = f"round-{self.rounds}"
        self.cluster.begin_round(correlation, pinged, at(seconds))
        return correlation

    def tell(self, seconds: float, *notes: Note) -> None:
        for note in notes:
            self.cluster.apply(note, at(seconds))

    def snapshot(self, seconds: float) -> Snapshot:
        self.cluster.expire(at(seconds))
        return self.cluster.snapshot()

    def series(self, seconds: float) -> list[Series]:
        snapshot = self.snapshot(seconds)
        names = [(each.peer, each.type) for each in snapshot.series]
        self.assertEqual(len(names), len(set(names)), "a series is there twice")
        for series in snapshot.series:
            for each in series.processes:
                self.assertEqual((series.peer, series.type), (each.peer, each.type))
            self.assertTrue(series.processes, "a series of nobody")
        return list(snapshot.series)

    def names(self, seconds: float) -> list[tuple[str, str, int]]:
        """Give peer and type of each series, and how many processes of it are up."""
        return [
            (each.peer, each.type, len(each.processes) if each.up else 0)
            for each in self.series(seconds)
        ]
