"""What is known of the last quarter of an hour: of one series, and of the peers of a cluster."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from math import isnan

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.cluster import Cluster, processes
from maestro_exporter.cluster.history import Track
from maestro_exporter.notes import Role, Sender
from maestro_exporter.snapshot import TRAIL_STEP, TRAIL_STEPS, Trail
from tests.cluster_case import ClusterTestCase, at, ping, stats, worker

#: The series that most of these tests look at, and what it is in another role.
WORKER = "worker@node", "sender"
RECEIVER = "worker@node", "receiver"


def known(values: Sequence[float]) -> dict[int, float]:
    """Give the steps of which something is known, by place: -1 is the newest."""
    places = range(-len(values), 0)
    return {
        place: round(value, 3)
        for place, value in zip(places, values, strict=True)
        if not isnan(value)
    }


class TrackTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.track = Track()

    def rates(self) -> dict[int, float]:
        return known(self.track.view().rates)

    def round_trips(self) -> dict[int, float]:
        return known(self.track.view().round_trips)

    def test_nothing_yet(self) -> None:
        """Before anything is said, there are all steps, and nothing is known of any."""
        trail = self.track.view()

        self.assertEqual((60, 60), (len(trail.rates), len(trail.round_trips)))
        self.assertEqual(({}, {}), (self.rates(), self.round_trips()))

    def test_quarter_of_an_hour(self) -> None:
        """All steps together are 15 minutes."""
        self.assertEqual(900.0, TRAIL_STEP * TRAIL_STEPS)

    def test_steady(self) -> None:
        """A steady rate does not waver, however often there are answers."""
        for interval in (0.5, 1, 4, 7, 10, 14, 15, 16, 29, 60):
            track = Track()
            for number in range(1, int(600 / interval)):
                track.exchanged(int(8 * interval), interval, 1000 + number * interval)

            self.assertEqual({8.0}, set(known(track.view().rates).values()), interval)

    @settings(derandomize=True, deadline=None, database=None)
    @given(st.lists(st.integers(1, 40), min_size=1, max_size=50))
    def test_steady_at_any_times(self, intervals: list[int]) -> None:
        """Nor does it waver when the answers come as they like."""
        track, now = Track(), 1000
        for interval in intervals:
            now += interval
            track.exchanged(8 * interval, interval, now)

        self.assertEqual({8.0}, set(known(track.view().rates).values()))

    def test_mean(self) -> None:
        """The rate of a step is the mean over time: a long interval counts for more."""
        self.track.exchanged(100, 10.0, 1010)
        self.track.exchanged(0, 2.5, 1012.5)
        self.track.exchanged(25, 12.5, 1019)

        self.assertEqual({-1: 5.0}, self.rates())

    def test_standstill(self) -> None:
        """That nothing was exchanged is known, and is not a gap."""
        self.track.exchanged(0, 10.0, 1010)

        self.assertEqual({-1: 0.0}, self.rates())

    def test_steps(self) -> None:
        """Each step has figures of its own, and says when it ends."""
        for seconds, rate in ((1005, 1), (1019.9, 3), (1020, 5), (1035, 7)):
            self.track.exchanged(rate * 10, 10.0, seconds)
            self.track.answered(rate / 8, seconds)

        self.assertEqual({-3: 2.0, -2: 5.0, -1: 7.0}, self.rates())
        self.assertEqual({-3: 0.375, -2: 0.625, -1: 0.875}, self.round_trips())
        self.assertEqual(1050.0, self.track.view().end)

    def test_gap(self) -> None:
        """Steps without an answer are gaps, also in what was known an hour before."""
        for number in range(240):
            self.track.exchanged(10, 10.0, 1000 + 15 * number)
        newest = 1000 + 15 * 239
        self.track.exchanged(30, 10.0, newest + 45)

        self.assertEqual({-4: 1.0, -1: 3.0}, {k: v for k, v in self.rates().items() if k > -5})
        self.assertEqual(58, len(self.rates()))

    def test_one_kind(self) -> None:
        """Where only one of the two is known of a step, the other is a gap."""
        self.track.exchanged(10, 10.0, 1010)
        self.track.answered(0.5, 1020)

        self.assertEqual(({-2: 1.0}, {-1: 0.5}), (self.rates(), self.round_trips()))

    def test_longest_round_trip(self) -> None:
        """The longest round trip of a step counts, whichever came first."""
        for seconds, round_trip in ((1005, 0.25), (1006, 0.5), (1007, 0.125), (1020, 0.0)):
            self.track.answered(round_trip, seconds)

        self.assertEqual({-2: 0.5, -1: 0.0}, self.round_trips())

    def test_bound(self) -> None:
        """After days there is a quarter of an hour, in order, and nothing before it."""
        for number in range(20_000):
            self.track.exchanged(number, 1.0, 1000 + 15 * number)
            self.track.answered(number, 1000 + 15 * number)

        expected = {place: 20_000.0 + place for place in range(-60, 0)}
        self.assertEqual((expected, expected), (self.rates(), self.round_trips()))

    def test_long_silence(self) -> None:
        """After a quarter of an hour without an answer nothing is left of what was before."""
        for silence in (900, 905, 1000, 10**6, 10**9):
            track = Track()
            for number in range(60):
                track.exchanged(10, 10.0, 1000 + 15 * number)
                track.answered(0.5, 1000 + 15 * number)
            track.exchanged(30, 10.0, 1000 + 15 * 59 + silence)

            trail = track.view()
            self.assertEqual(({-1: 3.0}, {}), (known(trail.rates), known(trail.round_trips)))

    def test_almost_as_long(self) -> None:
        """After one step less the last one is still there."""
        self.track.exchanged(10, 10.0, 1000)
        self.track.exchanged(30, 10.0, 1000 + 885)

        self.assertEqual({-60: 1.0, -1: 3.0}, self.rates())

    def test_late(self) -> None:
        """What comes out of order counts to the newest step, and undoes nothing."""
        self.track.exchanged(10, 10.0, 1010)
        self.track.exchanged(10, 10.0, 1020)
        self.track.exchanged(30, 10.0, 1019)
        self.track.answered(0.5, 1004)

        self.assertEqual(({-2: 1.0, -1: 2.0}, {-1: 0.5}), (self.rates(), self.round_trips()))
        self.assertEqual(1035.0, self.track.view().end)

    def steady(self, until: float, interval: float = 10.0) -> None:
        """Exchange a message each second, from 1000 s on."""
        for number in range(1, int((until - 1000) / interval) + 1):
            self.track.exchanged(int(interval), interval, 1000 + number * interval)

    def test_held_up(self) -> None:
        """Answers that were held up and come at once begin no step, for want of time in it."""
        self.steady(1050)
        self.track.exchanged(10, 29.0, 1079.0)
        for seconds in (1079.5, 1080.0, 1080.5):
            self.track.exchanged(10, 0.5, seconds)
        self.assertEqual(
            dict.fromkeys(range(-5, -1), 1.0) | {-1: round(40 / 30.5, 3)}, self.rates()
        )
        self.assertEqual(1080.0, self.track.view().end)
        self.track.exchanged(10, 9.5, 1090)

        self.assertEqual(1.053, self.rates()[-1])
        self.assertEqual(1095.0, self.track.view().end)

    def test_held_up_with_round_trips(self) -> None:
        """Nor do they when a round trip, held up as well, has begun one before them."""
        self.steady(1050)
        self.track.exchanged(10, 29.0, 1079.0)
        for seconds in (1079.5, 1080.0, 1080.5):
            self.track.answered(1.0, seconds)
            self.track.exchanged(10, 0.5, seconds)

        self.assertEqual(
            dict.fromkeys(range(-6, -2), 1.0) | {-2: round(40 / 30.5, 3)}, self.rates()
        )
        self.assertEqual({-2: 1.0, -1: 1.0}, self.round_trips())

    def test_held_up_for_long(self) -> None:
        """They do when what they would be counted to is no longer there."""
        for ago, rates in ((59, {-60: 10.909}), (60, {-1: 110.0}), (1000, {-1: 110.0})):
            track = Track()
            track.exchanged(10, 10.0, 1000)
            track.answered(1.0, 1000 + 15 * ago)
            track.exchanged(110, 1.0, 1000 + 15 * ago)
            self.assertEqual(rates, known(track.view().rates), ago)

    def test_after_a_gap(self) -> None:
        """After a gap, however long, answers that come as before begin steps soon."""
        for gap in (20.0, 30.0, 60.0, 600.0):
            self.track = Track()
            self.steady(1200, interval=2.0)
            back = 1200 + gap
            self.track.exchanged(int(gap), gap, back)
            for number in range(1, 61):
                self.track.exchanged(2, 2.0, back + 2 * number)

            recent = [place for place in self.rates() if place > -6]
            self.assertEqual([-5, -4, -3, -2, -1], recent, gap)
            self.assertEqual({1.0}, set(self.rates().values()))

    def test_more_often_for_good(self) -> None:
        """Answers that come far more often than before, and go on so, begin steps again."""
        self.steady(1200, interval=10.0)
        for number in range(1, 61):
            self.track.exchanged(3, 1.0, 1200 + number)

        self.assertEqual([3.0, 3.0], list(self.track.view().rates)[-2:])

    def test_size(self) -> None:
        """It has some 800 bytes, however long it goes on."""
        for number in range(20_000):
            self.track.exchanged(10**6 + number, 1.25, 10**7 + 1.3 * number)
            self.track.answered(number / 7, 10**7 + 1.3 * number)
        self.track.answered(1.0, 10**8)
        parts = [getattr(self.track, name) for name in Track.__slots__]
        # Small whole numbers are there once in all of Python.
        own = [each for each in parts if not (isinstance(each, int) and each < 256)]

        self.assertLessEqual(sum(map(sys.getsizeof, [self.track, *own])), 810)
        self.assertFalse(hasattr(self.track, "__dict__"))

    def test_clock_that_began_just_now(self) -> None:
        """The monotonic clock may begin at 0."""
        self.track.exchanged(10, 10.0, 0.5)
        self.track.exchanged(30, 10.0, 15)

        self.assertEqual({-2: 1.0, -1: 3.0}, self.rates())

    def test_view(self) -> None:
        """A view does not change later."""
        self.track.exchanged(10, 10.0, 1010)
        self.track.answered(0.5, 1010)
        trail = self.track.view()
        for seconds in (1011, 1020, 5000):
            self.track.exchanged(700, 10.0, seconds)
            self.track.answered(7.0, seconds)

        self.assertEqual(1020.0, trail.end)
        self.assertEqual(({-1: 1.0}, {-1: 0.5}), (known(trail.rates), known(trail.round_trips)))


class TrailsTests(ClusterTestCase):
    """The trails of a cluster; a moment `at(5)` begins a step, and so does each 15 s later."""

    def count(self, seconds: float, count: int, sender: Sender | None = None) -> None:
        """Let a process, mostly the same one, answer a round with its count."""
        self.ask(seconds - 1)
        self.tell(seconds, stats(sender or worker("a"), count))

    def trail(self, series: tuple[str, str] = WORKER) -> Trail:
        return self.cluster.trails()[series]

    def rates(self, series: tuple[str, str] = WORKER) -> dict[int, float]:
        return known(self.trail(series).rates)

    def round_trips(self) -> dict[int, float]:
        return known(self.trail().round_trips)

    # ------------------------------------------------------------- rates

    def test_rate(self) -> None:
        """The rate is what was exchanged between two answers, not what the peer says it is."""
        self.tell(5, stats(worker("a"), 100, rate=1.0))
        self.tell(15, stats(worker("a"), 150, rate=2.0))

        self.assertEqual({-1: 5.0}, self.rates())

    def test_first_answer(self) -> None:
        """The first answer says nothing: nobody knows since when its messages were exchanged."""
        self.count(5, 1_000_000)

        self.assertEqual({}, self.rates())

    def test_first_answer_after_another_kind(self) -> None:
        """Nor does the first count of a peer that has only answered a PING before."""
        round_ = self.ask(5)
        self.tell(5.5, ping(worker("a"), 0, round_))
        self.count(15, 1_000_000)

        self.assertEqual({}, self.rates())

    def test_missed_answer(self) -> None:
        """After a gap the rate is over all of the time since the last answer."""
        self.count(5, 0)
        self.count(15, 100)
        self.count(65, 350)

        self.assertEqual({-5: 10.0, -1: 5.0}, self.rates())

    def test_two_answers_at_once(self) -> None:
        """Two answers at the same moment, or in disorder, say nothing of a rate."""
        self.tell(5, stats(worker("a"), 0), stats(worker("a"), 100))
        self.tell(4, stats(worker("a"), 200))

        self.assertEqual({}, self.rates())

    def test_count_that_begins_anew(self) -> None:
        """A count that fell is one of another test, of which all messages are new."""
        self.count(5, 1000)
        self.count(15, 30)
        self.assertEqual({-1: 3.0}, self.rates())
        self.count(20, -5)

        self.assertEqual({-2: 3.0, -1: 0.0}, self.rates())

    def test_no_news(self) -> None:
        """A count that stays is a standstill."""
        self.count(5, 100)
        self.count(15, 100)

        self.assertEqual({-1: 0.0}, self.rates())

    # ------------------------------------------------------- round trips

    def test_round_trip(self) -> None:
        """The longest round trip of our PINGs is there, a late one as well."""
        first = self.ask(5)
        self.tell(5.25, ping(worker("a"), 0, first))
        second = self.ask(10)
        third = self.ask(16)
        self.tell(18, ping(worker("a"), 0, second), ping(worker("a"), 0, third))

        self.assertEqual({-1: 8.0}, self.round_trips())

    def test_what_is_no_round_trip(self) -> None:
        """Answers to others, and second answers to the same request, are not counted."""
        round_ = self.ask(5)
        self.tell(5.25, ping(worker("a"), 0, round_))
        self.tell(9, ping(worker("a"), 0, round_), ping(worker("a"), 0, "theirs"))

        self.assertEqual({-1: 0.25}, self.round_trips())

    # ------------------------------------------------ who comes and goes

    def test_series_of_the_snapshot(self) -> None:
        """There is a trail for each series of the snapshot, in its order, and no other."""
        self.assertEqual({}, self.cluster.trails())
        gone, back = worker("gone", host="gone"), worker("back", host="back")
        self.tell(0, stats(gone), stats(back))
        self.tell(20, stats(worker("a")), stats(worker("b")), stats(worker("c", Role.RECEIVER)))
        for seconds in (0, 20, 35, 60, 1000):
            names = [(each.peer, each.type) for each in self.snapshot(seconds).series]
            self.assertEqual(names, list(self.cluster.trails()), seconds)
        self.tell(1000, stats(back))

        self.assertEqual([("worker@back", "sender")], list(self.cluster.trails()))

    def test_not_admitted(self) -> None:
        """Who is not admitted, as there are too many, costs no track."""
        made: list[Track] = []

        def make() -> Track:
            made.append(Track())
            return made[-1]

        self.patch(processes, "Track", make)
        self.cluster = self.make_cluster(max_peers=2)
        for each in "abcdef":
            self.tell(0, stats(worker(each, host=each)))

        self.assertEqual((2, 4), (len(made), self.snapshot(0).peers_rejected))

    def test_restart(self) -> None:
        """A peer that is restarted goes on with its track; its predecessor is not counted."""
        self.count(5, 0)
        self.count(15, 100)
        self.count(25, 1000, worker("b"))
        self.count(35, 1050, worker("b"))

        self.assertEqual([1], [len(each.processes) for each in self.series(35)])
        self.assertEqual({-3: 10.0, -1: 5.0}, self.rates())

    def test_silent(self) -> None:
        """A silent peer keeps its track, and goes on with it when it is back, also restarted."""
        for host, back in (("one", "a"), ("two", "b")):
            series = f"worker@{host}", "sender"
            self.cluster = self.make_cluster()
            self.count(5, 0, worker("a", host=host))
            self.count(15, 100, worker("a", host=host))
            self.assertEqual([False], [each.up for each in self.series(60)])
            self.assertEqual({-1: 10.0}, self.rates(series))
            self.count(65, 300, worker(back, host=host))
            self.count(75, 350, worker(back, host=host))

            self.assertEqual({-5: 10.0, -1: 5.0}, self.rates(series))

    def test_forgotten(self) -> None:
        """A peer that was forgotten begins anew."""
        self.cluster = Cluster(expiry=30, forget=60, max_peers=1)
        self.count(5, 0)
        self.count(15, 100)
        self.cluster.expire(at(50))
        self.assertEqual({-1: 10.0}, self.rates())
        self.cluster.expire(at(80))
        self.assertEqual({}, self.cluster.trails())
        self.count(85, 0)

        self.assertEqual({}, self.rates())

    def test_role_change(self) -> None:
        """A process that changes its role leaves its track behind: that is another series."""
        self.count(5, 0)
        self.count(15, 100)
        round_ = self.ask(16)
        self.tell(16.5, ping(worker("a", Role.RECEIVER), 0, round_))

        self.assertEqual([RECEIVER], list(self.cluster.trails()))
        self.assertEqual({}, self.rates(RECEIVER))

    def test_role_change_to_one_that_is_there(self) -> None:
        """It goes on with the track of whoever has that role already, or had it."""
        self.count(5, 0, worker("b", Role.RECEIVER))
        self.count(15, 100, worker("b", Role.RECEIVER))
        self.count(16, 0)
        self.count(20, 100, worker("a", Role.RECEIVER))

        self.assertEqual(10.0, self.rates(RECEIVER)[-2])

    # ------------------------------------------------ who shares a name

    def test_shared_name(self) -> None:
        """The rates of those that share a name are added, also where a step begins between them."""
        for sharing in (2, 12):
            self.cluster = self.make_cluster()
            for number in range(12):
                self.ask(10 * number)
                for each in range(sharing):
                    seconds = 10 * number + 3 + 6 * each / sharing
                    self.tell(seconds, stats(worker(f"{each}"), 100 * number))

            self.assertEqual({10.0 * sharing}, set(self.rates().values()))

    def test_view(self) -> None:
        """What was given does not change when more is heard."""
        self.count(5, 0)
        self.count(15, 100)
        trail = self.trail()
        self.count(25, 1000)

        self.assertEqual({-1: 10.0}, known(trail.rates))
