"""What is known of the last quarter of an hour: of one series, and of the peers of a cluster."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from math import isnan, nan

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.cluster import Cluster, processes
from maestro_exporter.cluster.history import Done, Track
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

    def add(self, step: int, rate: float = nan, round_trip: float = 0.0) -> None:
        self.track.add(Done(step, rate, round_trip))

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

    def test_steps(self) -> None:
        """Each step has what was done in it; the trail ends with the newest."""
        for step, rate in ((100, 1.0), (101, 2.0), (103, 0.0)):
            self.add(step, rate, rate / 4)

        self.assertEqual({-4: 1.0, -3: 2.0, -1: 0.0}, self.rates())
        self.assertEqual({-4: 0.25, -3: 0.5}, self.round_trips())
        self.assertEqual(104 * TRAIL_STEP, self.track.view().end)

    def test_several_who_share_it(self) -> None:
        """Their rates are added; of their round trips the longest counts."""
        self.add(100, 1.0, 0.5)
        self.add(100, 2.0, 0.25)
        self.add(100, nan, 0.75)

        self.assertEqual(({-1: 3.0}, {-1: 0.75}), (self.rates(), self.round_trips()))

    def test_bound(self) -> None:
        """It has the last steps and no others, even after a long silence."""
        for step in range(1, 200):
            self.add(step, float(step), float(step))
        newest = {-place: 200.0 - place for place in range(1, TRAIL_STEPS + 1)}
        self.assertEqual((newest, newest), (self.rates(), self.round_trips()))
        self.add(200 + TRAIL_STEPS - 2, 7.0)
        self.assertEqual({-TRAIL_STEPS: 199.0, -1: 7.0}, self.rates())
        self.add(10**8, 8.0)
        self.assertEqual(({-1: 8.0}, {}), (self.rates(), self.round_trips()))

    def test_late(self) -> None:
        """What was done earlier goes where it belongs, unless that is too long ago."""
        self.add(100, 1.0)
        self.add(98, 2.0)
        self.add(100 - TRAIL_STEPS, 3.0)
        self.add(101 - TRAIL_STEPS, 4.0)

        self.assertEqual({-TRAIL_STEPS: 4.0, -3: 2.0, -1: 1.0}, self.rates())

    def test_size(self) -> None:
        """It has some 650 bytes, however long it goes on."""
        for step in range(10**6, 10**6 + 20_000):
            self.add(step, step / 7, step / 9)
        parts = [getattr(self.track, name) for name in Track.__slots__]

        self.assertLessEqual(sum(map(sys.getsizeof, [self.track, *parts])), 660)
        self.assertFalse(hasattr(self.track, "__dict__"))

    def test_view(self) -> None:
        """A view has what goes on, too, and does not change later; nor does it change the track."""
        self.add(100, 1.0)
        trail = self.track.view([Done(101, 2.0, 0.5), Done(101, 3.0, 0.25)])
        self.add(101, 9.0)

        self.assertEqual({-2: 1.0, -1: 5.0}, known(trail.rates))
        self.assertEqual({-1: 0.5}, known(trail.round_trips))
        self.assertEqual({-2: 1.0, -1: 9.0}, self.rates())


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

    def test_steady(self) -> None:
        """A steady rate does not waver, however often there are answers."""
        for interval in (0.5, 1, 4, 7, 10, 14, 15, 16, 29):
            self.setUp()
            for number in range(1, int(300 / interval)):
                self.tell(number * interval, stats(worker("a"), int(8 * interval * number)))

            self.assertEqual({8.0}, set(self.rates().values()), interval)

    @settings(derandomize=True, deadline=None, database=None)
    @given(st.lists(st.integers(1, 29), min_size=2, max_size=50))
    def test_steady_at_any_times(self, intervals: list[int]) -> None:
        """Nor does it waver when the answers come as they like."""
        self.setUp()
        now = 5
        for interval in [*intervals, 1]:
            self.tell(now, stats(worker("a"), 8 * now))
            now += interval

        self.assertEqual({8.0}, set(self.rates().values()))

    def test_held_up(self) -> None:
        """Answers that were held up and come all at once make no peak, wherever a step begins."""
        for number in range(1, 5):
            self.tell(10 * number, stats(worker("a"), 1000 * number))
        for number in range(5, 9):
            self.tell(74.9996 + number / 10_000, stats(worker("a"), 1000 * number))
        for number in range(9, 12):
            self.tell(10 * number, stats(worker("a"), 1000 * number))

        self.assertLess(max(self.rates().values()), 200)
        self.assertGreater(min(self.rates().values()), 50)

    def test_count_that_begins_anew(self) -> None:
        """A count that fell is one of another test, of which all messages are new."""
        self.count(5, 1000)
        self.count(14, 1090)
        self.count(20, 0)
        self.count(26, 60)
        self.count(29, 30)

        self.assertEqual({-2: 10.0, -1: 6.0}, self.rates())

    def test_count_that_is_none(self) -> None:
        """A count below 0 takes nothing away."""
        self.count(5, 10)
        self.count(15, -5)

        self.assertEqual({-1: 0.0}, self.rates())

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
