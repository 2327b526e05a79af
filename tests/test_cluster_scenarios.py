"""Whole snapshots of clusters, after tables of what is said and when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.cluster import Cluster
from maestro_exporter.cluster.clocks import DRIFT, TRUNCATION
from maestro_exporter.notes import (
    AbnormalDisconnect,
    Generation,
    InternalError,
    Note,
    OkResponse,
    PingResponse,
    ProtocolError,
    Role,
    Sender,
    Test,
    TestFailure,
    TestStarted,
    TestSuccess,
)
from maestro_exporter.snapshot import (
    ERRORS,
    NOTIFICATIONS,
    RESULTS,
    ROUND_TRIP_BOUNDS,
    TYPES,
    ClockOffset,
    Event,
    Histogram,
    Moment,
    NamedTest,
    Process,
    Run,
    Series,
    Snapshot,
)
from tests.samples import stats_response

V1_3, V1_4, V1_5 = Generation.V1_3, Generation.V1_4, Generation.V1_5

#: A line of a scenario: seconds, and a note, or the generation that a new round PINGs.
Line = tuple[float, Note | Generation]

TEST = Test(
    number=-1, iteration=3, name="fixed rate", script_name="f.groovy", description="", comments=""
)
NO_ROUND_TRIPS = Histogram((0,) * (len(ROUND_TRIP_BOUNDS) + 1), 0.0)


def at(seconds: float) -> Moment:
    return Moment(seconds, 1_700_000_000.0 + seconds)


def play(lines: Sequence[Line], until: float, wall: Any = at) -> Snapshot:
    """Play a scenario; rounds are named `round 1` and so on."""
    cluster = Cluster(expiry=30, forget=900, max_peers=100)
    rounds = 0
    for seconds, what in lines:
        cluster.expire(wall(seconds))
        if isinstance(what, Generation):
            rounds += 1
            cluster.begin_round(f"round {rounds}", what, wall(seconds))
        else:
            cluster.apply(what, wall(seconds))
    cluster.expire(wall(until))
    return cluster.snapshot()


def expected(**fields: Any) -> dict[str, Any]:
    """Give all fields of a snapshot but its generation; nothing has happened but what is given."""
    nothing: dict[str, Any] = {
        "series": (),
        "peers_rejected": 0,
        "rounds": 0,
        "late_replies": 0,
        "last_round": None,
        "last_round_replies": 0,
        "run": None,
        "finished": (),
        "events": (),
    }
    zeros = {
        "peers_up": dict.fromkeys(TYPES, 0),
        "notifications": dict.fromkeys(NOTIFICATIONS, 0),
        "errors": dict.fromkeys(ERRORS, 0),
        "results": dict.fromkeys(RESULTS, 0),
        "round_trips": dict.fromkeys(TYPES, NO_ROUND_TRIPS),
    }
    for name, zero in zeros.items():
        nothing[name] = zero | fields.pop(name, {})
    return nothing | fields


def round_trips(*seconds: float) -> Histogram:
    counts = [0] * (len(ROUND_TRIP_BOUNDS) + 1)
    for each in seconds:
        counts[sum(bound < each for bound in ROUND_TRIP_BOUNDS)] += 1
    return Histogram(tuple(counts), sum(seconds))


def offset(elapsed: int, round_trip: float) -> ClockOffset:
    """Give what a single reply says of a clock, at the moment at which it comes."""
    half = round_trip / 2
    return ClockOffset(elapsed / 1000 - half, half + TRUNCATION + DRIFT * round_trip)


def fields_of(snapshot: Snapshot) -> dict[str, Any]:
    names = [name for name in Snapshot.__slots__ if name != "generation"]
    return {name: getattr(snapshot, name) for name in names}


class ScenarioTests(SynchronousTestCase):
    maxDiff = None

    def assert_snapshot(self, snapshot: Snapshot, **fields: Any) -> None:
        self.assertEqual(expected(**fields), fields_of(snapshot))

    def test_a_1_5_cluster(self) -> None:
        """Two workers of one name, one of which answers late and fails, and an agent."""

        def worker(id_: str) -> Sender:
            return Sender(id=id_, name="worker", host="h", role=Role.SENDER, group="all")

        agent = Sender(id="x", name="agent", host="g", role=Role.AGENT, group="all", member="m")

        def ids(number: int) -> dict[str, Any]:
            return {"correlation_id": f"round {number}", "message_id": "m"}

        def notified(kind: Any, id_: str, message: str = "") -> Note:
            return kind(  # type: ignore[no-any-return]
                generation=V1_5,
                correlation_id=f"{kind.__name__} {id_}",
                message_id="m",
                sender=worker(id_),
                test=TEST,
                message=message,
            )

        def ping(sender: Sender, number: int, elapsed: int) -> Note:
            return PingResponse(generation=V1_5, sender=sender, elapsed=elapsed, **ids(number))

        a_stats = stats_response(worker("a"), **ids(1), count=100, rate=10.0, child_count=2)
        b_stats = stats_response(worker("b"), **ids(1), count=50, rate=5.5, child_count=1)
        lines: list[Line] = [
            (0, V1_5),
            (1, notified(TestStarted, "a")),
            (1, notified(TestStarted, "b")),
            (2, a_stats),
            (2, ping(worker("a"), 1, -1500)),
            (2, ping(worker("a"), 1, -1500)),  # the request came to it twice
            (3, stats_response(agent, **ids(1))),
            (3, OkResponse(generation=V1_5, sender=agent, **ids(1))),
            (3, ping(agent, 99, 7)),  # to somebody else
            (10, V1_5),
            (11, stats_response(worker("a"), **ids(2), count=110, rate=9.5, child_count=2)),
            (12, b_stats),
            (12, ping(worker("b"), 1, 40)),
            (13, notified(TestFailure, "b", "no route")),
            (13, notified(TestFailure, "b", "no route")),  # delivered again
            (20, V1_5),
        ]

        def process(id_: str, first: float, last: float, **values: Any) -> Process:
            return Process(
                id=id_,
                peer="worker@h",
                type="sender",
                name="worker",
                host="h",
                group="all",
                member="",
                protocol="1.5",
                first_heard=at(first),
                last_heard=at(last),
                **values,
            )

        self.assert_snapshot(
            play(lines, 21),
            series=(
                Series(
                    peer="worker@h",
                    type="sender",
                    up=True,
                    processes=(
                        process(
                            "a",
                            2,
                            11,
                            messages=110,
                            connections=2,
                            rate=9.5,
                            ping=-1500,
                            round_trip=2.0,
                            clock=offset(-1500, 2.0),
                        ),
                        process(
                            "b",
                            12,
                            12,
                            messages=50,
                            connections=1,
                            rate=5.5,
                            ping=40,
                            round_trip=12.0,
                            clock=offset(40, 12.0),
                        ),
                    ),
                    last_reply=at(12),
                    messages=160,
                    connections=3,
                    rate=15.0,
                    ping=40,
                    round_trip=12.0,
                    clock=offset(40, 12.0),
                ),
                Series(
                    peer="agent@g",
                    type="agent",
                    up=True,
                    processes=(
                        Process(
                            id="x",
                            peer="agent@g",
                            type="agent",
                            name="agent",
                            host="g",
                            group="all",
                            member="m",
                            protocol="1.5",
                            first_heard=at(3),
                            last_heard=at(3),
                            messages=0,
                            connections=0,
                            rate=0.0,
                        ),
                    ),
                    last_reply=at(3),
                    messages=0,
                    connections=0,
                    rate=0.0,
                ),
            ),
            peers_up={"sender": 2, "agent": 1},
            notifications={"test_started": 2, "test_failure": 1},
            rounds=3,
            late_replies=2,
            last_round=at(10),
            last_round_replies=1,
            round_trips={"sender": round_trips(2.0, 12.0)},
            run=Run(
                number=1,
                start=at(1),
                test=NamedTest("next", "3", "fixed rate", "f.groovy"),
                running=1,
                failed=1,
                sent=160,
                failure="worker@h: no route",
            ),
            events=(
                Event(at(13), "test_failed", "worker@h", "sender", "no route"),
                Event(at(12), "peer_joined", "worker@h", "sender"),
                Event(at(3), "peer_joined", "agent@g", "agent"),
                Event(at(2), "peer_joined", "worker@h", "sender"),
                Event(at(1), "test_started", "worker@h", "sender"),
            ),
        )

    def test_a_mixed_cluster_of_c_and_java_peers(self) -> None:
        """A C peer that breaks down, and a 1.3 peer that answers late, beside a silent 1.4 one."""
        c_peer = Sender(id="c1", name="mpt-receiver")
        java = Sender(id="j1", name="sender@h@x")
        old = Sender(id="o1", name="agent@g")
        latency = {"role_info": "msg-perf-tool C test client", "latency": 2.5}

        def pong(sender: Sender, elapsed: int) -> Note:
            return PingResponse(generation=V1_3, sender=sender, elapsed=elapsed)

        lines: list[Line] = [
            (0, V1_5),
            (0.5, stats_response(old, V1_4, role="agent", correlation_id="?", message_id="?")),
            (1, stats_response(c_peer, V1_3, role="receiver", count=4, rate=2.0, **latency)),
            (1, stats_response(java, V1_3, role="sender", count=6, rate=3.0)),
            (1, pong(java, 1)),  # to somebody else: we have not asked yet
            (10, V1_3),
            (10.25, pong(c_peer, 200)),
            (20, V1_3),
            (20.5, pong(java, 10_400)),  # to the round before
            (20.75, pong(java, 700)),
            (21, pong(java, 5)),  # to somebody else
            (30, V1_4),
            (30.5, InternalError(generation=V1_3, sender=c_peer)),
            (30.5, ProtocolError(generation=V1_3, sender=None)),
            (30.75, stats_response(java, V1_3, role="sender", count=9, rate=3.0)),
            (31, AbnormalDisconnect(generation=V1_3, sender=c_peer, message="gone")),
            (32, TestSuccess(generation=V1_3, sender=java, message="done")),
        ]

        self.assert_snapshot(
            play(lines, 40),
            series=(
                Series(
                    peer="mpt-receiver",
                    type="receiver",
                    up=True,
                    processes=(
                        Process(
                            id="c1",
                            peer="mpt-receiver",
                            type="receiver",
                            name="mpt-receiver",
                            host="",
                            group="",
                            member="",
                            protocol="1.3",
                            first_heard=at(1),
                            last_heard=at(30.5),
                            # Its STATS is of round 1; that round 2 asked in vain is 30 s ago.
                            ping=200,
                            round_trip=0.25,
                            clock=offset(200, 0.25),
                        ),
                    ),
                    last_reply=at(30.5),
                    ping=200,
                    round_trip=0.25,
                    clock=offset(200, 0.25),
                ),
                Series(
                    peer="sender@h@x",
                    type="sender",
                    up=True,
                    processes=(
                        Process(
                            id="j1",
                            peer="sender@h@x",
                            type="sender",
                            name="sender",
                            host="h@x",
                            group="",
                            member="",
                            protocol="1.3",
                            first_heard=at(1),
                            last_heard=at(30.75),
                            messages=9,
                            connections=0,
                            rate=3.0,
                            ping=700,
                            round_trip=0.75,
                            clock=offset(700, 0.75),
                        ),
                    ),
                    last_reply=at(30.75),
                    messages=9,
                    connections=0,
                    rate=3.0,
                    ping=700,
                    round_trip=0.75,
                    clock=offset(700, 0.75),
                ),
                Series(
                    peer="agent@g",
                    type="agent",
                    up=False,
                    processes=(
                        Process(
                            id="o1",
                            peer="agent@g",
                            type="agent",
                            name="agent",
                            host="g",
                            group="",
                            member="",
                            protocol="1.4",
                            first_heard=at(0.5),
                            last_heard=at(0.5),
                        ),
                    ),
                    last_reply=at(0.5),
                ),
            ),
            peers_up={"sender": 1, "receiver": 1},
            notifications={"test_success": 1, "abnormal_disconnect": 1},
            errors={"internal_error": 1, "protocol_error": 1},
            rounds=4,
            late_replies=1,
            last_round=at(20),
            last_round_replies=1,
            round_trips={"sender": round_trips(10.5, 0.75), "receiver": round_trips(0.25)},
            run=Run(
                number=1,
                start=at(1),
                end=at(32),
                result="incomplete",
                succeeded=1,
                lost=1,
                sent=9,
                received=4,
            ),
            finished=(
                Run(
                    number=1,
                    start=at(1),
                    end=at(32),
                    result="incomplete",
                    succeeded=1,
                    lost=1,
                    sent=9,
                    received=4,
                ),
            ),
            results={"incomplete": 1},
            events=(
                Event(at(40), "test_finished", "", "", "incomplete"),
                Event(at(31), "peer_disconnected", "mpt-receiver", "receiver", "gone"),
                Event(at(30.5), "peer_left", "agent@g", "agent"),
                Event(at(1), "peer_joined", "sender@h@x", "sender"),
                Event(at(1), "test_started", "mpt-receiver", "receiver"),
                Event(at(1), "peer_joined", "mpt-receiver", "receiver"),
                Event(at(0.5), "peer_joined", "agent@g", "agent"),
            ),
        )

    def test_wall_clock_steps(self) -> None:
        """Steps of our wall clock by an hour, either way, change nothing but what it shows."""
        sender = Sender(id="a", name="worker", host="h", role=Role.SENDER)
        lines: list[Line] = []
        for number in range(1, 8):
            ids: dict[str, Any] = {"correlation_id": f"round {number}", "message_id": "m"}
            begin = 10.0 * number
            lines += [
                (begin, V1_5),
                (begin + 0.25, stats_response(sender, **ids)),
                (begin + 0.5, PingResponse(generation=V1_5, sender=sender, elapsed=9, **ids)),
            ]

        def stepping(seconds: float) -> Moment:
            return Moment(seconds, 1_700_000_000.0 + 3600 * (int(seconds * 4) % 3 - 1))

        for until in (75.0, 100.4, 100.5, 969.0, 970.5):
            steady, stepped = play(lines, until), play(lines, until, stepping)
            self.assertEqual(steady.round_trips, stepped.round_trips)
            self.assertEqual(
                [(each.up, each.round_trip, each.clock) for each in steady.series],
                [(each.up, each.round_trip, each.clock) for each in stepped.series],
            )
