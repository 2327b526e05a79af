"""What is known of the peers of a cluster, as sequences of notes and moments."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from maestro_exporter.notes import InternalError, Role, Sender
from maestro_exporter.snapshot import (
    ERRORS,
    NOTIFICATIONS,
    RESULTS,
    ROUND_TRIP_BOUNDS,
    TYPES,
    Histogram,
    Moment,
    Snapshot,
)
from tests.cluster_case import (
    IDLE,
    UNIX,
    V1_3,
    V1_4,
    V1_5,
    ClusterTestCase,
    at,
    clock_after,
    old_process,
    old_stats,
    ping,
    process,
    shown,
    stats,
    worker,
)


class EmptyClusterTests(ClusterTestCase):
    def test_snapshot(self) -> None:
        """Before anything is heard there is nothing but zeros for every type."""
        self.assertEqual(
            Snapshot(
                generation=0,
                series=(),
                peers_up=dict.fromkeys(TYPES, 0),
                peers_rejected=0,
                notifications=dict.fromkeys(NOTIFICATIONS, 0),
                errors=dict.fromkeys(ERRORS, 0),
                rounds=0,
                late_replies=0,
                last_round=None,
                last_round_replies=0,
                round_trips=dict.fromkeys(
                    TYPES, Histogram((0,) * (len(ROUND_TRIP_BOUNDS) + 1), 0.0)
                ),
                run=None,
                finished=(),
                results=dict.fromkeys(RESULTS, 0),
                events=(),
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
            [shown(process("a", 1, messages=7, connections=3, rate=1.5))], self.series(1)
        )

    def test_newer_values_win(self) -> None:
        """The last reply of a process replaces its earlier one."""
        self.tell(1, stats(worker("a"), count=7))
        self.tell(2, stats(worker("a"), count=3))

        self.assertEqual([3], [each.messages for each in self.series(2)])

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


class LatencyTests(ClusterTestCase):
    """The latency of receivers, in seconds."""

    def latencies(self, seconds: float = 1) -> list[float | None]:
        return [each.latency for each in self.series(seconds)]

    def receive(self, latency: float, id_: str = "a", role_info: str = "") -> None:
        receiver = worker(id_, Role.RECEIVER)
        self.tell(1, stats(receiver, latency=latency, role_info=role_info))

    def test_java_peers(self) -> None:
        """Java peers, whose role info does not say otherwise, report microseconds."""
        self.receive(1500.0)

        expected = process("a", 1, type="receiver", latency=0.0015, **IDLE)
        self.assertEqual([shown(expected)], self.series(1))

    def test_c_peers(self) -> None:
        """C peers report milliseconds; their role info begins with the name of their program."""
        c_peer = "msg-perf-tool C test client"
        self.tell(
            1,
            old_stats("a", "mpt-receiver", "receiver", V1_3, role_info=c_peer, latency=12.5),
            old_stats("b", "receiver@h", "receiver", V1_3, role_info=f"a {c_peer}", latency=12.5),
        )

        self.assertEqual([0.0125, 0.0000125], self.latencies())

    def test_not_measured(self) -> None:
        """A receiver that reports 0 does not measure any."""
        for nothing in (0.0, -0.0):
            self.receive(nothing)

            self.assertEqual([None], self.latencies())

    def test_odd_numbers(self) -> None:
        """What a receiver reports is kept, whatever it is."""
        for odd in (-17.25, math.inf, -math.inf):
            self.receive(odd)
            self.assertEqual([odd / 1e6], self.latencies())
        self.receive(math.nan)
        (latency,) = self.latencies()

        assert latency is not None
        self.assertTrue(math.isnan(latency))

    def test_only_receivers(self) -> None:
        """What peers of another type report is none."""
        roles = [role for role in Role if role is not Role.RECEIVER]
        for role in roles:
            self.tell(1, stats(worker(role.name, role, host=role.name), latency=1500.0))
        self.tell(1, old_stats("c", "sender@h", "sender", latency=1500.0))

        self.assertEqual([None] * (len(roles) + 1), self.latencies())

    def test_role_change(self) -> None:
        """A receiver that becomes a sender has no latency any more."""
        self.receive(1500.0)
        self.tell(2, stats(worker("a", Role.SENDER), latency=1500.0))

        self.assertEqual([None], self.latencies(2))

    def test_largest(self) -> None:
        """The largest of several is shown; what is not a number only if there is no other."""
        self.receive(math.nan, "a")
        self.receive(math.nan, "b")
        (latency,) = self.latencies()
        assert latency is not None
        self.assertTrue(math.isnan(latency))
        for id_, latency, expected in (("c", -1.0, -1e-6), ("d", 0.0, -1e-6), ("e", 5.0, 5e-6)):
            self.receive(latency, id_)
            self.assertEqual([expected], self.latencies())


class IdentityTests(ClusterTestCase):
    """Who the processes say they are."""

    def test_of_1_5(self) -> None:
        """The header of 1.5 says name, host, group and member."""
        sender = Sender(
            id="a", name="w@rker", host="h@1", role=Role.AGENT, member="one", group="some"
        )
        self.tell(1, stats(sender))

        expected = process("a", 1, name="w@rker", host="h@1", group="some", member="one", **IDLE)
        expected = expected._replace(peer="w@rker@h@1", type="agent")
        self.assertEqual([shown(expected)], self.series(1))

    def test_of_older(self) -> None:
        """Before 1.5 the name has both parts, of which the second may be missing."""
        cases = [
            ("sender@h", "sender", "h"),
            ("sender@h@again", "sender", "h@again"),
            ("standalone", "standalone", ""),
            ("@h", "", "h"),
            ("@", "", ""),
        ]
        for generation in (V1_3, V1_4):
            for peer, name, host in cases:
                self.cluster = self.make_cluster()
                self.tell(1, old_stats("id", peer, "sender", generation))
                expected = old_process("id", peer, 1, name=name, host=host, type="sender", **IDLE)
                expected = expected._replace(protocol=generation.value)
                self.assertEqual([shown(expected)], self.series(1))

    def test_newest_counts(self) -> None:
        """A process is who it last said it is, since it was first heard."""
        self.tell(1, stats(worker("a")))
        self.tell(2, stats(replace(worker("a"), group="some", member="one")))

        expected = process("a", 1, 2, group="some", member="one", **IDLE)
        self.assertEqual([shown(expected)], self.series(2))

    def test_without_id(self) -> None:
        """A process that says no id is shown without one."""
        self.tell(1, stats(worker("")))

        self.assertEqual([shown(process("", 1, **IDLE))], self.series(1))

    def test_silent(self) -> None:
        """Of a silent peer the process that was heard last is shown, without values."""
        correlation = self.ask(0)
        self.tell(1, stats(worker("a"), count=1), stats(worker("b"), count=2))
        self.tell(2, ping(worker("a"), 7, correlation))

        self.assertEqual([shown(process("a", 1, 2), up=False)], self.series(40))


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
            [("sender", 1), ("receiver", 4)],
            [(each.type, each.messages) for each in self.series(2)],
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
        for id_, count, elapsed, seconds in (("a", 10, 750, 1.0), ("b", 32, 125, 1.5)):
            self.tell(1, stats(worker(id_), count=count, rate=count / 2, children=2))
            self.tell(seconds, ping(worker(id_), elapsed, correlation))

        first = process("a", 1.0, messages=10, connections=2, rate=5.0)
        second = process("b", 1.0, 1.5, messages=32, connections=2, rate=16.0)
        ahead, behind = clock_after((1.0, 750, 1.0)), clock_after((1.5, 125, 1.5))
        self.assertEqual((0.25, -0.625), (ahead.seconds, behind.seconds))
        self.assertEqual(
            [
                shown(
                    first._replace(ping=750, round_trip=1.0, clock=ahead),
                    second._replace(ping=125, round_trip=1.5, clock=behind),
                    messages=42,
                    connections=4,
                    rate=21.0,
                    ping=750,
                    round_trip=1.5,
                    clock=behind,
                )
            ],
            self.series(1.5),
        )

    def test_sums_of_some(self) -> None:
        """A process without values adds nothing to those of the others."""
        self.tell(1, InternalError(generation=V1_5, sender=worker("a")))
        self.assertEqual([shown(process("a", 1))], self.series(1))
        self.tell(2, stats(worker("b"), count=2, rate=0.5, children=1))

        values: dict[str, Any] = {"messages": 2, "connections": 1, "rate": 0.5}
        self.assertEqual(
            [shown(process("a", 1), process("b", 2, **values), **values)], self.series(2)
        )

    def test_one_of_two_dies(self) -> None:
        """When one of two dies, it is in the sums until its expiry, and then no more."""
        for second in (0, 10):
            self.ask(second)
            self.tell(second, stats(worker("a"), count=1), stats(worker("b"), count=2))
        for second in (20, 30, 39):
            self.ask(second)
            self.tell(second, stats(worker("b"), count=2))

        self.assertEqual([3], [each.messages for each in self.series(39.9)])
        self.assertEqual([2], [each.messages for each in self.series(40)])
        self.assertEqual([("worker@node", "sender", 1)], self.names(40))


class RestartTests(ClusterTestCase):
    def test_replaced_at_once(self) -> None:
        """A restarted peer, seen in a later round, replaces its predecessor at once."""
        self.ask(0)
        self.tell(0.1, stats(worker("old"), count=100))
        self.ask(10)
        self.tell(10.1, stats(worker("new"), count=1))

        values = IDLE | {"messages": 1}
        self.assertEqual([shown(process("new", 10.1, **values))], self.series(10.1))
        self.assertEqual(1, self.snapshot(10.1).peers_up["sender"])

    def test_replaced_within_the_round(self) -> None:
        """A restart between two answers of one round shows after one round in silence."""
        self.ask(0)
        self.tell(0.1, stats(worker("old"), count=100))
        self.tell(5, stats(worker("new"), count=1))
        self.assertEqual([101], [each.messages for each in self.series(5)])
        self.ask(10)
        self.tell(10.1, stats(worker("new"), count=2))
        self.assertEqual([102], [each.messages for each in self.series(10.1)])
        self.ask(20)

        self.assertEqual([2], [each.messages for each in self.series(20)])

    def test_second_process_joins(self) -> None:
        """A second process beside a living one is added, not taken for a restart."""
        for second in (0, 10, 20):
            self.ask(second)
            self.tell(second + 0.1, stats(worker("first"), count=10))
            if second:
                self.tell(second + 0.2, stats(worker("second"), count=1))
            expected = 11 if second else 10
            self.assertEqual([expected], [each.messages for each in self.series(second + 0.2)])

    def test_second_process_answers_first(self) -> None:
        """The elder one counts again as soon as it answers."""
        self.ask(0)
        self.tell(0.1, stats(worker("first"), count=10))
        self.ask(10)
        self.tell(10.1, stats(worker("second"), count=1))
        self.tell(10.2, stats(worker("first"), count=10))

        self.assertEqual([11], [each.messages for each in self.series(10.2)])

    def test_nobody_answers(self) -> None:
        """When nobody answers, no process is taken for the successor of another."""
        self.ask(0)
        self.tell(0.1, stats(worker("a"), count=1))
        self.tell(0.2, stats(worker("b"), count=2))
        self.ask(10)
        self.ask(20)

        self.assertEqual([3], [each.messages for each in self.series(20)])

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
        self.assertEqual([shown(process("a", 0), up=False)], self.series(30))
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

    def test_comes_back_new(self) -> None:
        """A peer that was silent is first heard when it comes back, with new values alone."""
        correlation = self.ask(0)
        self.tell(1, stats(worker("a"), count=1), ping(worker("a"), 7, correlation))
        self.series(40)
        self.tell(41, stats(worker("a"), count=2))

        self.assertEqual([shown(process("a", 41, **(IDLE | {"messages": 2})))], self.series(41))

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
            sorted((each.peer, each.messages) for each in self.series(11)),
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


class SnapshotTests(ClusterTestCase):
    def test_same_while_unchanged(self) -> None:
        """Reading changes nothing: without news, the snapshot is the same object."""
        self.tell(1, stats(worker("a")))

        self.assertIs(self.snapshot(2), self.snapshot(3))

    def test_generation_grows(self) -> None:
        """Each change makes another generation, which can be asked for without a snapshot."""
        generations = [self.snapshot(0).generation]
        for change in (
            lambda: self.tell(1, stats(worker("a"))),
            lambda: self.ask(2),
            lambda: self.tell(3, InternalError(generation=V1_5, sender=None)),
            lambda: self.cluster.link_changed(at(4), up=False),
            lambda: self.cluster.expire(at(40)),
            lambda: self.cluster.expire(at(1000)),
        ):
            change()
            generations.append(self.cluster.generation)
            self.assertEqual(generations[-1], self.cluster.snapshot().generation)

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
