"""Which reply answers which round, and what has gone unanswered."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.cluster.rounds import REMEMBERED, Answers, Rounds
from maestro_exporter.notes import Generation
from maestro_exporter.snapshot import Moment

V1_3, V1_4, V1_5 = Generation.V1_3, Generation.V1_4, Generation.V1_5
PATIENCE = 30.0


def at(seconds: float) -> Moment:
    return Moment(seconds, 1_700_000_000.0 - seconds)  # the wall clock runs as it likes


class AnswersTests(SynchronousTestCase):
    def test_once(self) -> None:
        """The second answer to a round is told from the first, in whatever order they come."""
        answers = Answers()

        self.assertEqual(
            [True, False, True, True, False, False],
            [answers.add(number) for number in (5, 5, 3, 9, 3, 9)],
        )
        self.assertEqual(9, answers.newest)

    @settings(derandomize=True, deadline=None, database=None)
    @given(st.lists(st.integers(1, 2 * REMEMBERED), max_size=60))
    def test_as_a_set(self, numbers: list[int]) -> None:
        """Within the rounds that are remembered it is as good as a set of all answers."""
        answers = Answers()
        seen: set[int] = set()
        for number in numbers:
            if number > answers.newest - REMEMBERED:
                self.assertEqual(number in seen, number in answers)
                self.assertEqual(number not in seen, answers.add(number))
                seen.add(number)
        self.assertEqual(max(seen, default=0), answers.newest)

    def test_after_a_long_silence(self) -> None:
        """However many rounds were missed, it stays small."""
        answers = Answers()
        answers.add(1)
        answers.add(10**12)

        self.assertNotIn(1, answers)
        self.assertLess(answers._bits.bit_length(), REMEMBERED + 1)


class RoundsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.rounds = Rounds(PATIENCE)

    def begin(self, *pinged: Generation, first: float = 0.0) -> None:
        """Begin rounds, ten seconds apart."""
        for number, generation in enumerate(pinged):
            seconds = first + 10.0 * number
            self.rounds.begin(f"{seconds:g}", generation, at(seconds))

    def test_correlation(self) -> None:
        """A round is found by what its requests carried."""
        self.begin(V1_5, V1_5)
        found = self.rounds.correlated("0")

        self.assertEqual((1, at(0)), (found and found.number, found and found.asked))
        self.assertIsNone(self.rounds.correlated("theirs"))
        self.assertIsNone(self.rounds.correlated(None))

    def test_forgotten(self) -> None:
        """Rounds long past are not remembered."""
        self.begin(*[V1_5] * (REMEMBERED + 1))

        self.assertIsNone(self.rounds.correlated("0"))
        self.assertIsNotNone(self.rounds.correlated("10"))

    def test_uncorrelated(self) -> None:
        """The rounds that asked 1.3 peers for a PING are given, the newest first."""
        self.begin(V1_3, V1_5, V1_3, V1_4, V1_3)

        self.assertEqual([5, 3, 1], [each.number for each in self.rounds.uncorrelated(0, at(40))])
        self.assertEqual([5], [each.number for each in self.rounds.uncorrelated(3, at(40))])
        self.assertEqual([1], [each.number for each in self.rounds.uncorrelated(0, at(19.9))])

    def test_answers(self) -> None:
        """A process that answers STATS and PING of a round counts once to its replies."""
        self.begin(V1_5)
        newest = self.rounds.asked_by(at(1))
        assert newest is not None
        stats, ping = Answers(), Answers()
        for kind, other in ((stats, ping), (ping, stats), (ping, stats)):
            self.rounds.answered(newest, kind, other, at(1))

        self.assertEqual((1, 0), (newest.replies, self.rounds.late))

    def test_late(self) -> None:
        """An answer that comes when the next round was asked is late, and counts to its own."""
        self.begin(V1_5, V1_5)
        first = self.rounds.complete
        assert first is not None
        answers = Answers()
        told = [self.rounds.answered(first, answers, Answers(), at(10)) for _ in range(2)]

        self.assertEqual([True, False], told)
        self.assertEqual((1, 1), (first.replies, self.rounds.late))

    def test_taken_in_late(self) -> None:
        """An answer is late by when it came, not by when it is taken in."""
        self.begin(V1_5, V1_5)
        first = self.rounds.asked_by(at(9.9))
        assert first is not None
        self.rounds.answered(first, Answers(), Answers(), at(9.9))

        self.assertEqual((1, 1, 0), (first.number, first.replies, self.rounds.late))
        self.assertIsNone(self.rounds.asked_by(at(-1)))

    def test_overdue(self) -> None:
        """A request is overdue once it is as old as the patience, by the monotonic clock."""
        self.begin(V1_5, V1_3)
        self.assertFalse(self.rounds.expire(at(29.9)))
        self.assertTrue(self.rounds.expire(at(30)))
        self.assertEqual(
            (1, 1, 0),
            (
                self.rounds.overdue,
                self.rounds.overdue_ping(V1_5),
                self.rounds.overdue_ping(V1_3),
            ),
        )
        self.assertFalse(self.rounds.expire(at(30.1)))
        self.rounds.expire(at(1000))
        self.assertEqual((2, 2), (self.rounds.overdue, self.rounds.overdue_ping(V1_3)))

    def test_a_long_patience(self) -> None:
        """Frequent rounds under a long patience are no load, and become overdue all the same."""
        rounds = Rounds(86400.0)
        for number in range(10_000):
            rounds.begin(str(number), V1_5, at(0.1 * number))
        rounds.expire(at(86400 + 1000))

        self.assertLess(len(rounds._overdue._waiting), 300)
        self.assertGreater(rounds.overdue, 0)
