"""Which request each reply answers, and what has gone unanswered, as sequences of notes."""

from __future__ import annotations

from typing import Any

from maestro_exporter.cluster.rounds import REMEMBERED
from maestro_exporter.notes import (
    InternalError,
    Note,
    OkResponse,
    ProtocolError,
    Role,
    Sender,
)
from maestro_exporter.snapshot import ROUND_TRIP_BOUNDS, TYPES, Histogram, Moment, Series
from tests.cluster_case import (
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


class RoundTests(ClusterTestCase):
    """Who has answered which round."""

    def rounds_of(self, seconds: float) -> tuple[int, Moment | None, int]:
        snapshot = self.snapshot(seconds)
        return snapshot.rounds, snapshot.last_round, snapshot.last_round_replies

    def late(self) -> int:
        return self.cluster.snapshot().late_replies

    def test_rounds(self) -> None:
        """A round is complete when the next begins; its repliers are counted by process."""
        first = self.ask(0)
        self.assertEqual((1, None, 0), self.rounds_of(0))
        self.tell(
            1,
            stats(worker("a"), correlation=first),
            stats(worker("a"), correlation=first),
            stats(worker("b"), correlation=first),
        )
        self.assertEqual((1, None, 0), self.rounds_of(1))
        self.ask(10)
        self.assertEqual((2, at(0), 2), self.rounds_of(10))
        self.ask(20)

        self.assertEqual((3, at(10), 0), self.rounds_of(20))
        self.assertEqual(0, self.late())

    def test_numbers(self) -> None:
        """The newest round has a number, and so has the one before, which a snapshot shows."""
        seen = [(self.cluster.round, self.cluster.complete_round)]
        for number in range(300):
            self.ask(number)
            seen.append((self.cluster.round, self.cluster.complete_round))

        self.assertEqual([(0, 0), *[(each + 1, each) for each in range(300)]], seen)

    def test_stats_and_ping(self) -> None:
        """Who answers a round in both ways, in whatever order, has answered it once."""
        first = self.ask(0)
        self.tell(1, stats(worker("a"), correlation=first), ping(worker("a"), 1, first))
        self.tell(2, ping(worker("b"), 1, first), stats(worker("b"), correlation=first))
        self.ask(10)

        self.assertEqual((2, at(0), 2), self.rounds_of(10))

    def test_theirs(self) -> None:
        """An answer to another client keeps a 1.5 peer alive, and is none to our round."""
        self.ask(0)
        self.tell(1, stats(worker("a"), count=7, correlation="theirs"))
        self.tell(2, InternalError(generation=V1_5, sender=worker("b"), correlation_id="theirs"))
        self.tell(3, stats(worker("c"), correlation=""))
        self.ask(10)

        self.assertEqual((2, at(0), 0), self.rounds_of(10))
        self.assertEqual([("worker@node", "sender", 3)], self.names(30.9))
        self.assertEqual([7], [each.messages for each in self.series(30.9)])

    def test_older_peers(self) -> None:
        """What says not which round it answers counts to the one in which it comes."""
        first = self.ask(0)
        self.ask(10)
        self.tell(
            11,
            old_stats("a", "sender@h", generation=V1_3),
            old_stats("b", "sender@h", correlation_id="theirs", message_id="m"),
            old_stats("c", "sender@h", correlation_id=first, message_id="m"),
            InternalError(generation=V1_3, sender=Sender(id="d", name="sender@h")),
            ProtocolError(
                generation=V1_4,
                sender=Sender(id="e", name="sender@h"),
                correlation_id=first,
                message_id="m",
            ),
            InternalError(
                generation=V1_4,
                sender=Sender(id="f", name="sender@h"),
                correlation_id="theirs",
                message_id="m",
            ),
        )
        self.assertEqual((2, at(0), 1), self.rounds_of(11))
        self.ask(20)

        self.assertEqual((3, at(10), 4), self.rounds_of(20))
        self.assertEqual(1, self.late())

    def test_before_the_first_round(self) -> None:
        """What comes before anybody was asked counts to no round."""
        self.tell(0, stats(worker("a")), old_stats("b", "sender@h"))
        self.ask(1)
        self.ask(10)

        self.assertEqual((2, at(1), 0), self.rounds_of(10))

    def test_errors(self) -> None:
        """Who answers a round with an error has answered it; with STATS besides, once."""
        first = self.ask(0)
        self.tell(
            1,
            InternalError(generation=V1_5, sender=worker("a"), correlation_id=first),
            ProtocolError(generation=V1_5, sender=worker("b"), correlation_id=first),
            ProtocolError(generation=V1_5, sender=None, correlation_id=first),
            stats(worker("b"), correlation=first),
        )
        self.ask(10)

        self.assertEqual((2, at(0), 2), self.rounds_of(10))

    def test_late(self) -> None:
        """An answer that comes late counts to its own round, as long as that is the last one."""
        first = self.ask(0)
        second = self.ask(10)
        self.tell(11, stats(worker("a"), correlation=first))
        self.assertEqual((2, at(0), 1), self.rounds_of(11))
        self.tell(12, stats(worker("a"), correlation=second))
        self.tell(13, ping(worker("b"), 1, first))
        self.assertEqual((2, at(0), 2), self.rounds_of(13))
        self.ask(20)
        self.assertEqual((3, at(10), 1), self.rounds_of(20))
        self.tell(21, stats(worker("c"), correlation=first))

        self.assertEqual((3, at(10), 1), self.rounds_of(21))
        self.assertEqual(3, self.late())

    def test_late_replies(self) -> None:
        """What is late counts by process and request; what comes again, or in time, does not."""
        first = self.ask(0)
        self.tell(1, stats(worker("a"), correlation=first), ping(worker("a"), 1, first))
        self.ask(10)
        self.assertEqual(0, self.late())
        self.tell(11, stats(worker("a"), correlation=first), ping(worker("a"), 1, first))
        self.assertEqual(0, self.late())
        for _ in range(2):
            self.tell(12, stats(worker("b"), correlation=first), ping(worker("b"), 1, first))
            self.tell(13, ProtocolError(generation=V1_5, sender=worker("c"), correlation_id=first))

        self.assertEqual(3, self.late())
        self.assertEqual((2, at(0), 3), self.rounds_of(13))

    def test_late_1_3(self) -> None:
        """The late answer to a 1.3 PING counts to its own round, too."""
        sender = Sender(id="a", name="sender@h")
        self.ask(0, V1_3)
        self.ask(10, V1_5)
        self.tell(11, ping(sender, 10_900, None, V1_3))

        self.assertEqual((2, at(0), 1), self.rounds_of(11))
        self.assertEqual(1, self.late())

    def test_very_late(self) -> None:
        """The last 128 rounds are remembered; an answer to an older one is none of ours."""
        correlations = [self.ask(0.1 * number) for number in range(REMEMBERED + 1)]
        self.tell(13, stats(worker("a"), correlation=correlations[0]))
        self.assertEqual(0, self.late())
        self.tell(13, stats(worker("a"), correlation=correlations[1]))

        self.assertEqual(1, self.late())
        self.assertEqual(128, REMEMBERED)

    def test_rejected(self) -> None:
        """Who is not to be known answers no round."""
        self.cluster = self.make_cluster(max_peers=1)
        first = self.ask(0)
        for id_ in ("a", "b"):
            self.tell(1, stats(worker(id_), correlation=first), ping(worker(id_), 1, first))
        self.ask(10)

        self.assertEqual((2, at(0), 1), self.rounds_of(10))
        self.assertEqual(2, self.snapshot(10).peers_rejected)
        self.assertEqual(1, sum(self.snapshot(10).round_trips["sender"].counts))

    def test_ok(self) -> None:
        """The OK that an agent sends besides its answers changes nothing, nor does anybody's."""
        first = self.ask(0)
        agent = worker("a", Role.AGENT)
        self.tell(1, stats(agent, correlation=first), ping(agent, 1, first))
        before = self.snapshot(1)
        for sender in (agent, worker("b"), None):
            self.tell(2, OkResponse(generation=V1_5, sender=sender, correlation_id=first))
        self.tell(2, OkResponse(generation=V1_3, sender=Sender(id="c", name="agent@h")))

        self.assertIs(before, self.snapshot(2))


class PingTests(ClusterTestCase):
    """The times that PING replies tell."""

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
        self.tell(2, stats(worker("a")))
        before = self.snapshot(3)
        self.tell(3, ping(worker("a"), 12, "theirs"))

        self.assertIs(before, self.snapshot(3))

    def test_all_generations(self) -> None:
        """Each generation's reply to our PING tells the round trip and the clock as well."""
        for generation in (V1_3, V1_4, V1_5):
            self.setUp()
            correlation = self.ask(0, generation)
            sender = worker("a") if generation is V1_5 else Sender(id="a", name="sender@h")
            said = None if generation is V1_3 else correlation
            self.tell(0.5, ping(sender, 125, said, generation))

            known: dict[str, Any] = {
                "ping": 125,
                "round_trip": 0.5,
                "clock": clock_after((0.5, 125, 0.5)),
            }
            if generation is V1_5:
                expected = process("a", 0.5, **known)
            else:
                expected = old_process("a", "sender@h", 0.5, name="sender", host="h", **known)
                expected = expected._replace(type="sender", protocol=generation.value)
            self.assertEqual([shown(expected)], self.series(0.5))

    def test_late(self) -> None:
        """A late answer to an earlier round counts, unless a later round was answered."""
        first = self.ask(0)
        second = self.ask(10)
        self.tell(11, ping(worker("a"), 1, first))
        self.assertEqual([1], self.pings(11))
        self.tell(12, ping(worker("a"), 2, second))
        self.assertEqual([2], self.pings(12))
        self.tell(12, ping(worker("b", host="b"), 3, second))
        self.tell(13, ping(worker("b", host="b"), 4, first))

        self.assertEqual([2, 3], self.pings(13))
        self.assertEqual([2.0, 2.0], [each.round_trip for each in self.series(13)])

    def test_again(self) -> None:
        """The second of two answers to one PING only shows that the peer is alive."""
        first = self.ask(0)
        self.tell(1, ping(worker("a"), 750, first))
        second = self.ask(10)
        self.tell(11, ping(worker("a"), 500, second))
        self.tell(12, ping(worker("a"), 9, second), ping(worker("a"), 9, first))

        clock = clock_after((1, 750, 1.0), (11, 500, 1.0))
        expected = process("a", 1, 12, ping=500, round_trip=1.0, clock=clock)
        self.assertEqual([shown(expected)], self.series(12))
        self.assertEqual(2, sum(self.snapshot(12).round_trips["sender"].counts))
        self.assertEqual(0, self.snapshot(12).late_replies)

    def test_very_late(self) -> None:
        """The correlations of rounds long gone are not remembered."""
        correlations = [self.ask(10 * number) for number in range(REMEMBERED + 1)]
        self.tell(1300, ping(worker("a"), 1, correlations[0]))
        self.assertEqual([], self.series(1300))
        self.tell(1300, ping(worker("a"), 1, correlations[1]))

        self.assertEqual([1], self.pings(1300))

    def test_time_runs_backwards(self) -> None:
        """A reply that seems to have come before its request took no time."""
        correlation = self.ask(0)
        self.tell(-0.5, ping(worker("a"), 1, correlation))

        self.assertEqual([0.0], [each.round_trip for each in self.series(0)])


class UncorrelatedPingTests(ClusterTestCase):
    """The PING replies of 1.3, which do not say what they answer."""

    SENDER = Sender(id="a", name="sender@h")

    def reply(self, seconds: float, elapsed: int) -> None:
        self.tell(seconds, ping(self.SENDER, elapsed, None, V1_3))

    def times(self, seconds: float) -> list[tuple[int | None, float | None]]:
        return [(each.ping, each.round_trip) for each in self.series(seconds)]

    def test_next_reply(self) -> None:
        """The next PING reply of each id after our request counts."""
        self.reply(0, 1)
        self.assertEqual([], self.series(0))
        self.ask(10, V1_3)
        self.reply(11, 2)
        before = self.snapshot(12)
        self.reply(12, 3)
        self.assertIs(before, self.snapshot(12))
        self.assertEqual([(2, 1.0)], self.times(12))
        self.ask(20, V1_3)
        self.reply(21, 4)

        self.assertEqual([(4, 1.0)], self.times(21))

    def test_not_asked(self) -> None:
        """A 1.3 PING reply counts only after a round that asked 1.3 peers."""
        for generation in (V1_5, V1_4):
            self.ask(0, generation)
            self.reply(1, 2)

            self.assertEqual([], self.series(1))

    def test_of_nobody(self) -> None:
        """A reply that does not say who sends it says nothing."""
        self.ask(0, V1_3)
        for sender in (None, Sender(id="", name="")):
            self.tell(1, ping(sender, 1, None, V1_3))

        self.assertEqual([], self.series(1))
        self.assertEqual(0, self.snapshot(1).late_replies)

    def test_each_process_for_itself(self) -> None:
        """That one process has answered says nothing of what another answers."""
        self.ask(0, V1_3)
        self.reply(1, 2)
        self.tell(2, ping(Sender(id="b", name="receiver@h"), 3, None, V1_3))

        self.assertEqual([(2, 1.0), (3, 2.0)], self.times(2))

    def test_late_by_a_good_clock(self) -> None:
        """What says that the clock is right, if it answers an older PING, does so."""
        self.ask(0, V1_3)
        self.ask(10, V1_3)
        self.ask(20, V1_5)
        self.reply(21, 20_500)
        self.assertEqual([(20_500, 21.0)], self.times(21))
        self.reply(22, 11_500)

        self.assertEqual([(11_500, 12.0)], self.times(22))
        self.assertEqual(2, self.snapshot(22).late_replies)

    def test_unknown_clock(self) -> None:
        """While nothing is known of a clock, it is taken to be right."""
        for elapsed, round_trip in ((1_150, 0.5), (-650, 0.5), (5_750, 10.5)):
            self.setUp()
            self.ask(0, V1_3)
            self.ask(10, V1_3)
            self.reply(10.5, elapsed)

            self.assertEqual([(elapsed, round_trip)], self.times(10.5))

    def test_asked_before_it_appeared(self) -> None:
        """A process whose STATS has come does not answer the PINGs of the rounds before."""
        self.ask(0, V1_3)
        self.ask(10, V1_3)
        self.tell(10.25, old_stats("a", "sender@h", "sender", V1_3))
        self.reply(10.5, 3_600_000)

        self.assertEqual([(3_600_000, 0.5)], self.times(10.5))

    def test_always_late(self) -> None:
        """A process that always takes longer than the interval is timed right."""
        for skew in (0, 3_600_000):
            self.setUp()
            self.tell(0, old_stats("a", "sender@h", "sender", V1_3))
            for number in range(40):
                self.ask(0.25 * number, V1_3)
                if number >= 3:  # it answers the third last
                    now = 0.25 * number + 0.125
                    self.reply(now, skew + 870)
                    self.assertEqual([(skew + 870, 0.875)], self.times(now))
            (series,) = self.series(12)
            assert series.clock is not None
            self.assertLess(abs(series.clock.seconds - skew / 1000), series.clock.error)

    def test_some_lost(self) -> None:
        """When answers are lost, the next ones are timed right, whatever the clock says."""
        for skew in (0, 3_600_000, -3_600_000):
            self.setUp()
            self.tell(0, old_stats("a", "sender@h", "sender", V1_3))
            for number in range(40):
                self.ask(10.0 * number, V1_3)
                self.tell(10.0 * number + 0.25, old_stats("a", "sender@h", "sender", V1_3))
                if number % 3 == 0:
                    self.reply(10.0 * number + 0.5, skew + 250)
                    self.assertEqual([(skew + 250, 0.5)], self.times(10.0 * number + 0.5))

    def test_newest_when_several_agree(self) -> None:
        """A reply that can be true of several of our PINGs belongs to the newest."""
        self.ask(0, V1_3)
        self.ask(0.5, V1_3)
        self.reply(1, 500)

        self.assertEqual([(500, 0.5)], self.times(1))
        self.reply(1.25, 500)
        self.assertEqual([(500, 0.5)], self.times(1.25))

    def test_late_by_a_known_clock(self) -> None:
        """What is known of a clock that is an hour ahead tells which PING is answered."""
        hour = 3_600_000
        self.ask(0, V1_3)
        self.reply(0.5, hour + 250)
        self.ask(10, V1_3)
        self.ask(20, V1_3)
        self.reply(20.5, hour + 10_250)
        self.assertEqual([(hour + 10_250, 10.5)], self.times(20.5))
        self.reply(21, hour + 500)

        self.assertEqual([(hour + 500, 1.0)], self.times(21))


class RoundTripTests(ClusterTestCase):
    """How often round trips took how long."""

    def round_trips(self, type_: str = "sender") -> Histogram:
        return self.cluster.snapshot().round_trips[type_]

    def test_classes(self) -> None:
        """A round trip is in the lowest class whose bound it does not exceed."""
        correlation = self.ask(0)
        for id_, seconds in (("a", 0.25), ("b", 0.3125), ("c", 0.5), ("d", 10.0), ("e", 10.5)):
            self.tell(seconds, ping(worker(id_), 0, correlation))

        expected = {0.25: 1, 0.5: 2, 10.0: 1}
        counts = [expected.get(bound, 0) for bound in ROUND_TRIP_BOUNDS]
        self.assertEqual(Histogram((*counts, 1), 21.5625), self.round_trips())

    def test_types(self) -> None:
        """Round trips are counted by the type of the peer, over all its processes and rounds."""
        for second in (0.0, 10.0):
            correlation = self.ask(second)
            for id_, role in (("a", Role.AGENT), ("b", Role.AGENT), ("c", Role.SENDER)):
                self.tell(second + 0.5, ping(worker(id_, role), 0, correlation))

        sums = {type_: self.round_trips(type_).sum for type_ in TYPES}
        self.assertEqual({**dict.fromkeys(TYPES, 0.0), "agent": 2.0, "sender": 1.0}, sums)

    def test_late_ones(self) -> None:
        """Answers that come late, in whatever order, are counted with what they took."""
        first, second = self.ask(0), self.ask(1)
        self.tell(2, ping(worker("a"), 0, second), ping(worker("a"), 0, first))

        self.assertEqual((2, 3.0), (sum(self.round_trips().counts), self.round_trips().sum))

    def test_outlive_peers(self) -> None:
        """They do not fall when peers are forgotten, nor change in an old snapshot."""
        correlation = self.ask(0)
        self.tell(1, ping(worker("a"), 0, correlation))
        before = self.round_trips()
        self.assertEqual([], self.series(1000))
        self.assertEqual(before, self.round_trips())
        self.tell(1001, ping(worker("a"), 0, correlation))

        self.assertEqual((1, 2), (sum(before.counts), sum(self.round_trips().counts)))

    def test_theirs(self) -> None:
        """The PINGs of others, and other answers, are not counted."""
        first = self.ask(0)
        self.tell(1, ping(worker("a"), 0, "theirs"), stats(worker("a"), correlation=first))

        self.assertEqual(0, sum(self.round_trips().counts))


class OutdatedValueTests(ClusterTestCase):
    """Values of a process that answers, but no more in that way."""

    def alive(self, seconds: float, *notes: Note) -> Series:
        """Tell this, and give the one series."""
        self.tell(seconds, *notes)
        (series,) = self.series(seconds)
        self.assertTrue(series.up)
        return series

    def test_stats(self) -> None:
        """Without a newer STATS reply, its values go when one was asked for in vain."""
        first = self.ask(0)
        receiver = worker("a", Role.RECEIVER)
        self.tell(
            0.5, stats(receiver, count=7, rate=0.5, children=3, correlation=first, latency=1500.0)
        )
        for second in (10, 20, 30):
            correlation = self.ask(second)
            self.tell(second + 0.5, ping(receiver, 500, correlation))

        clock = clock_after(*((second + 0.5, 500, 0.5) for second in (10, 20, 30)))
        told = process("a", 0.5, 30.5, type="receiver", ping=500, round_trip=0.5, clock=clock)
        values: dict[str, Any] = {"messages": 7, "connections": 3, "rate": 0.5, "latency": 0.0015}
        self.assertEqual([shown(told._replace(**values))], self.series(39.9))
        self.assertEqual([shown(told)], self.series(40))
        self.assertEqual(1, self.snapshot(40).peers_up["receiver"])

    def test_stats_of_who_answers_with_errors(self) -> None:
        """An error answer is none that would make STATS values last."""
        first = self.ask(0)
        self.tell(0.5, stats(worker("a"), count=7, correlation=first))
        for second in (10, 20, 30):
            correlation = self.ask(second)
            error = InternalError(
                generation=V1_5, sender=worker("a"), correlation_id=correlation, message_id="m"
            )
            self.tell(second + 0.5, error)

        self.assertEqual([7], [each.messages for each in self.series(39.9)])
        self.assertEqual([shown(process("a", 0.5, 30.5))], self.series(40))

    def test_ping(self) -> None:
        """Without a newer PING reply, what it told goes when one was asked for in vain."""
        first = self.ask(0)
        self.tell(0.5, ping(worker("a"), 500, first))
        for second in (10, 20, 30):
            correlation = self.ask(second)
            self.tell(second + 0.5, stats(worker("a"), count=7, correlation=correlation))

        told = process("a", 0.5, 30.5, messages=7, connections=0, rate=0.0)
        clock = clock_after((0.5, 500, 0.5))
        timed = told._replace(ping=500, round_trip=0.5, clock=clock)
        self.assertEqual([shown(timed)], self.series(39.9))
        self.assertEqual([shown(told)], self.series(40))

    def test_ping_is_asked_by_generation(self) -> None:
        """A PING to another generation is not one that a process left unanswered."""
        first = self.ask(0, V1_5)
        self.tell(0.5, ping(worker("a"), 500, first))
        for second in (10, 20, 30, 40):
            self.ask(second, V1_3 if second < 40 else V1_5)
            self.tell(second + 0.5, stats(worker("a")))
        self.ask(50, V1_4)

        self.assertEqual(500, self.alive(60, stats(worker("a"))).ping)
        self.assertEqual(500, self.alive(69.9, stats(worker("a"))).ping)
        self.assertIsNone(self.alive(70, stats(worker("a"))).ping)

    def test_one_of_two(self) -> None:
        """What one process has not said for long leaves the sum of those that share its name."""
        for second in (0, 10, 20, 30):
            correlation = self.ask(second)
            self.tell(second + 0.5, ping(worker("a"), 500, correlation))
            self.tell(second + 0.5, stats(worker("b"), count=2, correlation=correlation))
            if not second:
                self.tell(0.5, stats(worker("a"), count=1, correlation=correlation))

        self.assertEqual([3], [each.messages for each in self.series(39.9)])
        self.assertEqual([2], [each.messages for each in self.series(40)])
        self.assertEqual([("worker@node", "sender", 2)], self.names(40))

    def test_back(self) -> None:
        """Values are there again with the next answer."""
        first = self.ask(0)
        self.tell(0.5, stats(worker("a"), count=7, correlation=first), ping(worker("a"), 1, first))
        correlations = [self.ask(second) for second in (10, 20)]
        self.alive(29, ProtocolError(generation=V1_5, sender=worker("a")))
        self.assertIsNone(self.alive(50, ProtocolError(generation=V1_5, sender=worker("a"))).ping)
        series = self.alive(
            51,
            stats(worker("a"), count=8, correlation=correlations[-1]),
            ping(worker("a"), 2, correlations[-1]),
        )

        self.assertEqual((8, 2), (series.messages, series.ping))

    def test_nobody_asks(self) -> None:
        """While nothing is asked, as during an outage, values last as long as the process."""
        first = self.ask(0)
        self.tell(0.5, stats(worker("a"), count=7, correlation=first), ping(worker("a"), 1, first))
        error = ProtocolError(generation=V1_5, sender=worker("a"))
        for second in (20, 40, 60):
            series = self.alive(second, error)

            self.assertEqual((7, 1), (series.messages, series.ping))

    def test_others_stats(self) -> None:
        """A STATS reply to another client is as new as one to us."""
        self.ask(0)
        self.tell(0.5, stats(worker("a"), count=7))
        for second in (10, 20, 30, 40, 50):
            self.ask(second)
            self.tell(second + 0.5, stats(worker("a"), count=second))

        self.assertEqual([50], [each.messages for each in self.series(79)])
