"""What is known of a cluster, as sequences of notes and moments."""

from __future__ import annotations

import math
from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.cluster import Cluster
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
    TestFailure,
    TestSuccess,
)
from maestro_exporter.snapshot import TYPES, Moment, Series, Snapshot
from tests.samples import stats_response

EXPIRY = 30.0
FORGET = 900.0
UNIX = 1_700_000_000.0

V1_3, V1_4, V1_5 = Generation.V1_3, Generation.V1_4, Generation.V1_5


def at(seconds: float) -> Moment:
    """Give the moment so many seconds after the beginning."""
    return Moment(1000.0 + seconds, UNIX + seconds)


def worker(id_: str, role: Role = Role.SENDER, host: str = "node", name: str = "worker") -> Sender:
    return Sender(id=id_, name=name, host=host, role=role, member="", group="all")


def stats(sender: Sender | None, count: int = 0, rate: float = 0.0, children: int = 0) -> Note:
    """Give a STATS reply of a 1.5 peer."""
    return stats_response(
        sender,
        correlation_id="theirs",
        message_id="m",
        child_count=children,
        count=count,
        rate=rate,
    )


def old_stats(id_: str, name: str, role: str = "", generation: Generation = V1_4) -> Note:
    """Give a STATS reply of an older peer."""
    return stats_response(Sender(id=id_, name=name), generation, role=role)


def ping(
    sender: Sender, elapsed: int, correlation: str | None, generation: Generation = V1_5
) -> Note:
    return PingResponse(
        generation=generation, correlation_id=correlation, sender=sender, elapsed=elapsed
    )


class ClusterTestCase(SynchronousTestCase):
    """Gives a cluster, and short words to tell it what happens."""

    def setUp(self) -> None:
        self.cluster = self.make_cluster()
        self.rounds = 0

    def make_cluster(self, max_peers: int = 100) -> Cluster:
        return Cluster(expiry=EXPIRY, forget=FORGET, max_peers=max_peers)

    def ask(self, seconds: float, *pinged: Generation) -> str:
        """Begin a round; give its correlation."""
        self.rounds += 1
        correlation = f"round-{self.rounds}"
        self.cluster.begin_round(correlation, pinged or (V1_5,), at(seconds))
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
        return list(snapshot.series)

    def names(self, seconds: float) -> list[tuple[str, str, int]]:
        return [(each.peer, each.type, each.instances) for each in self.series(seconds)]


class EmptyClusterTests(ClusterTestCase):
    def test_snapshot(self) -> None:
        """Before anything is heard there is nothing but zeros for every type."""
        self.assertEqual(
            Snapshot(
                generation=0,
                series=(),
                peers_up=dict.fromkeys(TYPES, 0),
                peers_rejected=0,
                test_successes=0,
                test_failures=0,
                abnormal_disconnects=0,
                rounds=0,
                last_round=None,
                last_round_replies=0,
            ),
            self.snapshot(0),
        )

    def test_generations(self) -> None:
        """Nobody heard, no generation heard."""
        self.assertEqual(frozenset(), self.cluster.generations)


class StatsTests(ClusterTestCase):
    def test_values(self) -> None:
        """A STATS reply makes a series with its values, also without any round of ours."""
        self.tell(1, stats(worker("a"), count=7, rate=1.5, children=3))

        self.assertEqual(
            [
                Series(
                    peer="worker@node",
                    type="sender",
                    instances=1,
                    last_reply=at(1),
                    count=7,
                    connections=3,
                    rate=1.5,
                )
            ],
            self.series(1),
        )

    def test_newer_values_win(self) -> None:
        """The last reply of a process replaces its earlier one."""
        self.tell(1, stats(worker("a"), count=7))
        self.tell(2, stats(worker("a"), count=3))

        self.assertEqual([3], [each.count for each in self.series(2)])

    def test_odd_numbers(self) -> None:
        """What a peer reports as rate is kept, whatever it is."""
        self.tell(1, stats(worker("a", host="1"), rate=math.inf))
        self.tell(1, stats(worker("b", host="2"), rate=-1.0))

        self.assertEqual([math.inf, -1.0], [each.rate for each in self.series(1)])

    def test_unknown_sender(self) -> None:
        """A reply that says nothing about its sender makes no peer."""
        self.tell(1, stats(None), stats(worker("", host="", name="")))

        self.assertEqual([], self.series(1))

    def test_without_id(self) -> None:
        """Peers without an id are told apart by their names."""
        self.tell(1, old_stats("", "one", "sender"), old_stats("", "two", "sender"))

        self.tell(1, stats(worker("", host="h1")), stats(worker("", host="h2")))

        self.assertEqual(
            ["one", "two", "worker@h1", "worker@h2"], [each.peer for each in self.series(1)]
        )


class PeerTypeTests(ClusterTestCase):
    def test_roles(self) -> None:
        """A 1.5 peer is of the type that its header says."""
        for role in Role:
            self.tell(1, stats(worker(role.name, role, host=role.name)))

        self.assertEqual(
            ["other", "sender", "receiver", "inspector", "agent", "exporter", "reports-server"],
            [each.type for each in self.series(1)],
        )

    def test_older_peers(self) -> None:
        """Before 1.5 the role of the STATS reply decides, else the text before the at sign."""
        cases = [
            ("sender@h", "", "sender"),
            ("sender@h", "receiver", "receiver"),
            ("data-server@h", "data-server", "data-server"),
            ("standalone", "sender", "sender"),
            ("standalone", "", "other"),
            ("sender@h@again", "", "sender"),
            ("@", "", "other"),
            ("sénder@h", "sénder", "other"),
            ("mpt-receiver", "receiver", "receiver"),
        ]
        for name, role, expected in cases:
            self.cluster = self.make_cluster()
            self.tell(1, old_stats("id", name, role))
            self.assertEqual([(name, expected, 1)], self.names(1), f"{name!r}, {role!r}")

    def test_role_change(self) -> None:
        """A peer that changes role is shown as its new type alone, at once."""
        self.tell(1, stats(worker("a", Role.OTHER), count=5))
        self.tell(2, stats(worker("a", Role.RECEIVER), count=6))

        self.assertEqual([("worker@node", "receiver", 1)], self.names(2))
        self.assertEqual(
            {**dict.fromkeys(TYPES, 0), "receiver": 1}, dict(self.snapshot(2).peers_up)
        )

    def test_role_change_of_one_of_two(self) -> None:
        """When one of two processes changes role, the other keeps its series."""
        self.tell(
            1, stats(worker("a", Role.SENDER), count=1), stats(worker("b", Role.SENDER), count=2)
        )
        self.tell(2, stats(worker("b", Role.RECEIVER), count=4))

        self.assertEqual(
            [("sender", 1), ("receiver", 4)], [(each.type, each.count) for each in self.series(2)]
        )

    def test_ping_keeps_the_type_of_stats(self) -> None:
        """Before 1.5 a PING reply, which says no role, does not undo what STATS said."""
        correlation = self.ask(0, V1_4)
        self.tell(1, old_stats("a", "standalone", "sender"))
        self.tell(1, ping(Sender(id="a", name="standalone"), 2, correlation, V1_4))

        self.assertEqual([("standalone", "sender", 1)], self.names(1))


class SilentRoleChangeTests(ClusterTestCase):
    def test_role_change_in_silence(self) -> None:
        """A peer that comes back from silence in another role leaves nothing of the old one."""
        self.tell(0, stats(worker("a", Role.SENDER)))
        self.series(40)
        self.tell(41, stats(worker("a", Role.RECEIVER)))

        self.assertEqual([("worker@node", "receiver", 1)], self.names(41))

    def test_forgotten_ids(self) -> None:
        """An id that comes back after it was forgotten is a new process, and harms nobody."""
        self.tell(0, stats(worker("a", Role.SENDER)))
        self.tell(890, stats(worker("b", Role.SENDER, host="other")))
        self.series(900)
        self.tell(901, stats(worker("a", Role.RECEIVER)))

        self.assertEqual(
            [("worker@other", "sender", 1), ("worker@node", "receiver", 1)], self.names(901)
        )


class SharedNameTests(ClusterTestCase):
    def test_sums(self) -> None:
        """Processes of one name and type make one series: sums, and the worst time."""
        correlation = self.ask(0)
        for id_, count, elapsed in (("a", 10, 7), ("b", 32, 3)):
            self.tell(1, stats(worker(id_), count=count, rate=count / 2, children=2))
            self.tell(1, ping(worker(id_), elapsed, correlation))

        self.assertEqual(
            [
                Series(
                    peer="worker@node",
                    type="sender",
                    instances=2,
                    last_reply=at(1),
                    count=42,
                    connections=4,
                    rate=21.0,
                    ping=7,
                )
            ],
            self.series(1),
        )

    def test_one_of_two_dies(self) -> None:
        """When one of two dies, it is in the sums until its expiry, and then no more."""
        for second in (0, 10):
            self.ask(second)
            self.tell(second, stats(worker("a"), count=1), stats(worker("b"), count=2))
        for second in (20, 30, 39):
            self.ask(second)
            self.tell(second, stats(worker("b"), count=2))

        self.assertEqual([3], [each.count for each in self.series(39.9)])
        self.assertEqual([2], [each.count for each in self.series(40)])
        self.assertEqual([("worker@node", "sender", 1)], self.names(40))


class RestartTests(ClusterTestCase):
    def test_replaced_at_once(self) -> None:
        """A restarted peer, seen in a later round, replaces its predecessor at once."""
        self.ask(0)
        self.tell(0.1, stats(worker("old"), count=100))
        self.ask(10)
        self.tell(10.1, stats(worker("new"), count=1))

        self.assertEqual(
            [("worker@node", 1, 1)],
            [(each.peer, each.instances, each.count) for each in self.series(10.1)],
        )
        self.assertEqual(1, self.snapshot(10.1).peers_up["sender"])

    def test_replaced_within_the_round(self) -> None:
        """A restart between two answers of one round shows after one round in silence."""
        self.ask(0)
        self.tell(0.1, stats(worker("old"), count=100))
        self.tell(5, stats(worker("new"), count=1))
        self.assertEqual([101], [each.count for each in self.series(5)])
        self.ask(10)
        self.tell(10.1, stats(worker("new"), count=2))
        self.assertEqual([102], [each.count for each in self.series(10.1)])
        self.ask(20)

        self.assertEqual([2], [each.count for each in self.series(20)])

    def test_second_process_joins(self) -> None:
        """A second process beside a living one is added, not taken for a restart."""
        for second in (0, 10, 20):
            self.ask(second)
            self.tell(second + 0.1, stats(worker("first"), count=10))
            if second:
                self.tell(second + 0.2, stats(worker("second"), count=1))
            expected = 11 if second else 10
            self.assertEqual([expected], [each.count for each in self.series(second + 0.2)])

    def test_second_process_answers_first(self) -> None:
        """The elder one counts again as soon as it answers."""
        self.ask(0)
        self.tell(0.1, stats(worker("first"), count=10))
        self.ask(10)
        self.tell(10.1, stats(worker("second"), count=1))
        self.tell(10.2, stats(worker("first"), count=10))

        self.assertEqual([11], [each.count for each in self.series(10.2)])

    def test_nobody_answers(self) -> None:
        """When nobody answers, no process is taken for the successor of another."""
        self.ask(0)
        self.tell(0.1, stats(worker("a"), count=1))
        self.tell(0.2, stats(worker("b"), count=2))
        self.ask(10)
        self.ask(20)

        self.assertEqual([3], [each.count for each in self.series(20)])

    def test_no_trace_of_the_predecessor(self) -> None:
        """The predecessor's expiry leaves no silent peer beside its living successor."""
        self.ask(0)
        self.tell(0, stats(worker("old")))
        for second in (10, 20, 30, 40):
            self.ask(second)
            self.tell(second, stats(worker("new")))

        self.assertEqual([("worker@node", "sender", 1)], self.names(41))


class ExpiryTests(ClusterTestCase):
    def test_expiry(self) -> None:
        """A silent peer loses its values with the expiry, and is remembered as silent."""
        self.tell(0, stats(worker("a"), count=1))

        self.assertEqual([("worker@node", "sender", 1)], self.names(29.9))
        self.assertEqual(
            [Series(peer="worker@node", type="sender", instances=0, last_reply=at(0))],
            self.series(30),
        )
        self.assertEqual(0, self.snapshot(30).peers_up["sender"])

    def test_forgotten(self) -> None:
        """Nothing is left of a peer that has been silent for the time to forget."""
        self.tell(0, stats(worker("a")))

        self.assertEqual(1, len(self.series(899.9)))
        self.assertEqual([], self.series(900))

    def test_comes_back(self) -> None:
        """A peer that answers again is up again, and no longer silent."""
        self.tell(0, stats(worker("a"), count=1))
        self.series(40)
        self.tell(41, stats(worker("a"), count=2))

        self.assertEqual([("worker@node", "sender", 1)], self.names(41))

    def test_order_of_silence(self) -> None:
        """Each peer expires by its own last reply, whatever the order of appearance."""
        self.tell(0, stats(worker("a", host="1")), stats(worker("b", host="2")))
        self.tell(20, stats(worker("a", host="1")))

        self.assertEqual([("worker@1", "sender", 1), ("worker@2", "sender", 0)], self.names(35))

    def test_wall_clock_steps(self) -> None:
        """A step of the wall clock changes no expiry."""
        self.tell(0, stats(worker("a")))
        self.cluster.expire(Moment(at(10).monotonic, UNIX + 3600))
        self.cluster.expire(Moment(at(10).monotonic, UNIX - 3600))

        self.assertEqual([("worker@node", "sender", 1)], self.names(10))

    def test_role_change_leaves_no_silent_type(self) -> None:
        """After a change of role and an expiry only the last type is remembered."""
        self.tell(0, stats(worker("a", Role.OTHER)))
        self.tell(1, stats(worker("a", Role.SENDER)))

        self.assertEqual([("worker@node", "sender", 0)], self.names(40))


class CapTests(ClusterTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.cluster = self.make_cluster(max_peers=2)

    def test_full(self) -> None:
        """When as many are known as may be, others are counted and not shown."""
        for name in ("a", "b", "c", "c"):
            self.tell(1, stats(worker(name, host=name)))

        self.assertEqual(["worker@a", "worker@b"], [each.peer for each in self.series(1)])
        self.assertEqual(2, self.snapshot(1).peers_rejected)

    def test_known_ones_are_not_rejected(self) -> None:
        """Who is known is taken in also when no others are."""
        for name in ("a", "b", "a"):
            self.tell(1, stats(worker(name, host=name)))

        self.assertEqual(0, self.snapshot(1).peers_rejected)

    def test_silent_ones_give_way(self) -> None:
        """The memory of the longest silent peer gives way to a peer that answers."""
        self.tell(0, stats(worker("a", host="a")))
        self.tell(1, stats(worker("b", host="b")))
        self.series(40)
        self.tell(40, stats(worker("c", host="c")))

        self.assertEqual([("worker@c", "sender", 1), ("worker@b", "sender", 0)], self.names(40))
        self.assertEqual(0, self.snapshot(40).peers_rejected)

    def test_successor_of_a_dead_process(self) -> None:
        """A restarted peer takes the place of its predecessor also when all places are taken."""
        self.ask(0)
        for name in ("a", "b"):
            self.tell(1, stats(worker(name, host=name), count=1))
        self.ask(10)
        self.tell(11, stats(worker("new", host="a"), count=2))
        self.tell(11, stats(worker("c", host="c")))

        self.assertEqual(
            [("worker@a", 2), ("worker@b", 1)],
            sorted((each.peer, each.count) for each in self.series(11)),
        )
        self.assertEqual(1, self.snapshot(11).peers_rejected)

    def test_flood_of_ids_under_one_name(self) -> None:
        """When all places are taken by processes that answer, a namesake is rejected."""
        self.ask(0)
        for id_ in ("a", "b", "c", "d"):
            self.tell(1, stats(worker(id_)))

        self.assertEqual([("worker@node", "sender", 2)], self.names(1))
        self.assertEqual(2, self.snapshot(1).peers_rejected)

    def test_many_ids(self) -> None:
        """However many ids come and go, no more than the cap is remembered."""
        for number in range(1000):
            self.tell(number, stats(worker(str(number), host=str(number))))
            self.assertLessEqual(len(self.series(number)), 2)


class PingTests(ClusterTestCase):
    def pings(self, seconds: float) -> list[int | None]:
        return [each.ping for each in self.series(seconds)]

    def test_ours(self) -> None:
        """The elapsed time of an answer to our PING is shown, negative ones too."""
        correlation = self.ask(0)
        self.tell(1, ping(worker("a", host="1"), 12, correlation))
        self.tell(1, ping(worker("b", host="2"), -4, correlation))

        self.assertEqual([12, -4], self.pings(1))

    def test_theirs(self) -> None:
        """An answer to somebody else's PING says nothing: it measures their clock."""
        self.ask(0)
        self.tell(1, ping(worker("a"), 12, "theirs"))
        self.tell(1, ping(worker("a"), 12, None))

        self.assertEqual([], self.series(1))

    def test_late(self) -> None:
        """A late answer to an earlier round counts, unless a later round was answered."""
        first = self.ask(0)
        second = self.ask(10)
        self.tell(11, ping(worker("a"), 1, first))
        self.assertEqual([1], self.pings(11))
        self.tell(12, ping(worker("a"), 2, second))
        self.tell(13, ping(worker("a"), 3, first))

        self.assertEqual([2], self.pings(13))

    def test_very_late(self) -> None:
        """The correlations of rounds long gone are not remembered."""
        first = self.ask(0)
        for number in range(1, 20):
            self.ask(10 * number)
        self.tell(200, ping(worker("a"), 1, first))

        self.assertEqual([], self.series(200))

    def test_uncorrelated(self) -> None:
        """Of 1.3 peers, the next PING reply of each id after our request counts."""
        sender = Sender(id="a", name="sender@h")
        self.tell(0, ping(sender, 1, None, V1_3))
        self.assertEqual([], self.series(0))
        self.ask(10, V1_3)
        self.tell(11, ping(sender, 2, None, V1_3))
        self.tell(12, ping(sender, 3, None, V1_3))
        self.assertEqual([2], self.pings(12))
        self.ask(20, V1_3)
        self.tell(21, ping(sender, 4, None, V1_3))

        self.assertEqual([4], self.pings(21))

    def test_uncorrelated_not_asked(self) -> None:
        """A 1.3 PING reply counts only after a round that asked 1.3 peers."""
        self.ask(0, V1_5)
        self.tell(1, ping(Sender(id="a", name="sender@h"), 2, None, V1_3))

        self.assertEqual([], self.series(1))


class NotificationTests(ClusterTestCase):
    def test_counters(self) -> None:
        """Each success, failure and abnormal disconnect counts once, and makes no peer."""
        sender = worker("a")
        success = TestSuccess(generation=V1_5, sender=sender, message="")
        failure = TestFailure(generation=V1_4, sender=sender, message="")
        abnormal = AbnormalDisconnect(generation=V1_3, sender=sender)
        self.tell(1, success, success, success, failure, failure, abnormal)

        snapshot = self.snapshot(1)
        self.assertEqual(
            (3, 2, 1),
            (snapshot.test_successes, snapshot.test_failures, snapshot.abnormal_disconnects),
        )
        self.assertEqual((), snapshot.series)

    def test_counters_outlive_peers(self) -> None:
        """Counters do not fall when peers are forgotten."""
        self.tell(0, stats(worker("a")))
        self.tell(0, TestSuccess(generation=V1_5, sender=worker("a"), message=""))

        self.assertEqual(1, self.snapshot(1000).test_successes)


class OtherNotesTests(ClusterTestCase):
    def test_nothing_to_say(self) -> None:
        """OK and PROTOCOL_ERROR change nothing."""
        before = self.snapshot(0)
        self.tell(1, OkResponse(generation=V1_5, sender=worker("a")))
        self.tell(1, ProtocolError(generation=V1_3, sender=None))

        self.assertIs(before, self.snapshot(1))

    def test_internal_error(self) -> None:
        """A peer that can only answer with an error is up, with no values."""
        self.tell(1, InternalError(generation=V1_3, sender=Sender(id="c", name="mpt-sender")))

        self.assertEqual(
            [Series(peer="mpt-sender", type="other", instances=1, last_reply=at(1))],
            self.series(1),
        )

    def test_internal_error_of_nobody(self) -> None:
        """An agent's error with an empty id and name makes no peer."""
        self.tell(1, InternalError(generation=V1_4, sender=Sender(id="", name=""), message="m"))

        self.assertEqual([], self.series(1))


class RoundTests(ClusterTestCase):
    def test_rounds(self) -> None:
        """A round is complete when the next begins; its repliers are counted by process."""
        self.ask(0)
        self.assertEqual((1, None, 0), self.rounds_of(0))
        self.tell(1, stats(worker("a")), stats(worker("a")), stats(worker("b")))
        self.ask(10)
        self.assertEqual((2, at(0), 2), self.rounds_of(10))
        self.ask(20)

        self.assertEqual((3, at(10), 0), self.rounds_of(20))

    def rounds_of(self, seconds: float) -> tuple[int, Moment | None, int]:
        snapshot = self.snapshot(seconds)
        return snapshot.rounds, snapshot.last_round, snapshot.last_round_replies


class SnapshotTests(ClusterTestCase):
    def test_same_while_unchanged(self) -> None:
        """Reading changes nothing: without news, the snapshot is the same object."""
        self.tell(1, stats(worker("a")))

        self.assertIs(self.snapshot(2), self.snapshot(3))

    def test_generation_grows(self) -> None:
        """Each change makes another generation."""
        generations = [self.snapshot(0).generation]
        for change in (
            lambda: self.tell(1, stats(worker("a"))),
            lambda: self.ask(2),
            lambda: self.cluster.expire(at(40)),
            lambda: self.cluster.expire(at(1000)),
        ):
            change()
            generations.append(self.cluster.snapshot().generation)

        self.assertEqual(sorted(set(generations)), generations)

    def test_old_snapshot_stays(self) -> None:
        """A snapshot that was taken does not change any more."""
        self.tell(1, stats(worker("a"), count=1))
        before = self.snapshot(1)
        copy = replace(before)
        self.tell(2, stats(worker("a"), count=2), stats(worker("b", Role.AGENT)))

        self.assertEqual(copy, before)

    def test_generations_heard(self) -> None:
        """The generations heard are those of the processes that are up."""
        self.tell(0, stats(worker("a")))
        self.tell(20, old_stats("b", "sender@h", generation=V1_3))
        self.assertEqual({V1_3, V1_5}, self.cluster.generations)
        self.cluster.expire(at(35))

        self.assertEqual({V1_3}, self.cluster.generations)
