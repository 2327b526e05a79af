"""What is made once and shared; the thread is played by the test."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.sharing import REST, Paced, Shared, SharedByQuestion
from tests.fakes import FakeThread


class SharedTests(SynchronousTestCase):
    """One thing, for all who ask."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.thread = FakeThread()
        self.version: object = 1
        self.large = False
        self.made = 0
        self.error: Exception | None = None
        self.prepared: list[object] = []
        self.shared: Shared[str] = Shared(
            lambda: self.version, self.prepare, self.thread, self.clock.seconds
        )

    def prepare(self) -> tuple[Callable[[], str], bool]:
        version = self.version
        self.prepared.append(version)

        def job() -> str:
            self.made += 1
            if self.error is not None:
                raise self.error
            return f"version {version}"

        return job, self.large

    def ask(self) -> Deferred[str]:
        """Ask for what is not there yet."""
        given = self.shared.get()
        assert isinstance(given, Deferred)
        return given

    def test_small(self) -> None:
        """What is small is there at once."""
        self.assertEqual(self.shared.get(), "version 1")
        self.assertEqual(self.thread.jobs, [])

    def test_unchanged(self) -> None:
        """What has not changed is not made again, however late, nor prepared."""
        for large in (False, True):
            self.large = large
            self.version = f"large: {large}"
            given = self.shared.get()
            if isinstance(given, Deferred):
                self.thread.run()
            before = self.made, len(self.prepared)
            self.clock.advance(10_000)
            self.assertEqual(self.shared.get(), f"version {self.version}")
            self.assertEqual((self.made, len(self.prepared)), before)

    def test_small_has_no_rest(self) -> None:
        """What is small is made again as soon as it has changed."""
        self.assertEqual(self.shared.get(), "version 1")
        self.version = 2
        self.assertEqual(self.shared.get(), "version 2")

    def test_large(self) -> None:
        """What is large is made in the thread."""
        self.large = True
        given = self.ask()
        self.assertEqual((self.made, len(self.thread.jobs)), (0, 1))
        self.assertNoResult(given)
        self.thread.run()
        self.assertEqual(self.successResultOf(given), "version 1")
        self.assertEqual(self.shared.get(), "version 1")

    def test_simultaneous(self) -> None:
        """All who ask meanwhile get the same, also when it has changed since."""
        self.large = True
        given = [self.ask(), self.ask()]
        self.version = 2
        given.append(self.ask())
        self.assertEqual((self.prepared, len(self.thread.jobs)), ([1], 1))
        self.thread.run()
        self.assertEqual([self.successResultOf(each) for each in given], ["version 1"] * 3)
        self.assertEqual(self.made, 1)
        given = [self.ask()]
        self.thread.run()
        self.assertEqual(self.successResultOf(given[0]), "version 2")

    def test_rest(self) -> None:
        """After it took a while in the thread, it is given to all for a multiple of that."""
        self.large = True
        given = self.ask()
        self.clock.advance(2)
        self.thread.run()
        self.successResultOf(given)
        self.version = 2
        self.clock.advance(2 * REST - 0.01)
        self.assertEqual(self.shared.get(), "version 1")
        self.clock.advance(0.01)
        self.ask()
        self.assertEqual(self.prepared, [1, 2])

    def test_rest_of_what_was_large(self) -> None:
        """That holds also if it would be small now; then there is none any more."""
        self.test_rest()
        self.thread.run()
        self.large = False
        for version in (3, 4):
            self.version = version
            self.assertEqual(self.shared.get(), f"version {version}")

    def test_version_is_that_of_the_beginning(self) -> None:
        """A change while it is made is not taken for one that is in it."""
        self.large = True
        self.ask()
        self.version = 2
        self.thread.run()
        self.ask()
        self.assertEqual(self.prepared, [1, 2])

    def test_failure(self) -> None:
        """All who wait get it; the next who asks has it tried again."""
        self.large, self.error = True, ValueError("x")
        given = [self.ask(), self.ask()]
        self.clock.advance(5)
        self.thread.run()
        for each in given:
            self.failureResultOf(each, ValueError)
        self.error = None
        again = self.ask()
        self.thread.run()
        self.assertEqual(self.successResultOf(again), "version 1")

    def test_only_one_is_kept(self) -> None:
        """What was made before is let go when the thread makes another, and not given any more."""
        self.assertEqual(self.shared.get(), "version 1")
        self.large, self.error, self.version = True, ValueError("x"), 2
        given = self.ask()
        self.assertIsNone(self.shared._made)
        self.thread.run()
        self.failureResultOf(given, ValueError)
        self.error, self.version = None, 1
        again = self.ask()
        self.thread.run()
        self.assertEqual(self.successResultOf(again), "version 1")

    def test_failure_of_small(self) -> None:
        """Whoever asks gets the exception; the next who asks has it tried again."""
        self.error = ValueError("x")
        self.assertRaises(ValueError, self.shared.get)
        self.error = None
        self.assertEqual(self.shared.get(), "version 1")

    def test_cancel(self) -> None:
        """Who waits no more disturbs none of the others, and stops nothing."""
        self.large = True
        given = [self.ask(), self.ask(), self.ask()]
        given[0].cancel()
        given[2].cancel()
        for each in (given[0], given[2]):
            self.failureResultOf(each, CancelledError)
        self.thread.run()
        self.assertEqual(self.successResultOf(given[1]), "version 1")
        self.assertEqual(self.shared.get(), "version 1")

    def test_ask_when_it_comes(self) -> None:
        """Who gets it may ask again at once."""
        self.large = True
        seen: list[object] = []
        given = self.ask()
        given.addCallback(lambda _: seen.append(self.shared.get()))
        self.thread.run()
        self.assertEqual(seen, ["version 1"])

    def test_callbacks_of_one_do_not_change_what_others_get(self) -> None:
        """Each who waits has a result of its own."""
        self.large = True
        one, other = self.ask(), self.ask()
        one.addCallback(lambda _: None)
        self.thread.run()
        self.assertEqual(self.successResultOf(other), "version 1")


class SharedByQuestionTests(SynchronousTestCase):
    """One thing for each question."""

    def setUp(self) -> None:
        self.made: list[str] = []
        self.clock = Clock()
        self.shared: SharedByQuestion[str, str] = SharedByQuestion(self.make, most=2)

    def make(self, question: str) -> Shared[str]:
        self.made.append(question)
        return Shared(
            lambda: 0,
            lambda: (question.upper, False),
            FakeThread(),
            self.clock.seconds,
        )

    def test_answers_belong_to_their_questions(self) -> None:
        """Who asks the same gets the same, which is made once."""
        answers = [self.shared.get(each) for each in ("a", "b", "a", "b")]
        self.assertEqual((answers, self.made), (["A", "B", "A", "B"], ["a", "b"]))

    def test_questions_are_forgotten_that_nobody_asks(self) -> None:
        """There are never more than so many: those that were asked last."""
        for each in ("a", "b", "a", "c", "a", "b"):
            self.shared.get(each)
        self.assertEqual(self.made, ["a", "b", "c", "b"])


class PacedTests(SynchronousTestCase):
    """Jobs in a thread that others need too."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.thread = FakeThread()
        self.paced = Paced(self.thread, self.clock.seconds, self.clock.callLater)
        self.ran: list[str] = []

    def ask(self, name: str) -> Deferred[str]:
        """Have a job done."""

        def job() -> str:
            self.ran.append(name)
            return name.upper()

        return self.paced(job)

    def run_for(self, seconds: float) -> None:
        """Let the thread work for so long."""
        self.clock.advance(seconds)
        self.thread.run()

    def test_idle(self) -> None:
        """A job begins at once where there is none, in the thread, and its result is told."""
        given = self.ask("a")
        self.assertEqual((len(self.thread.jobs), self.ran), (1, []))
        self.assertNoResult(given)
        self.thread.run()
        self.assertEqual(self.successResultOf(given), "A")

    def test_one_at_a_time(self) -> None:
        """The others wait, and come in the order in which they were asked for."""
        given = [self.ask(each) for each in "abc"]
        for done in (1, 2, 3):
            self.assertEqual(len(self.thread.jobs), 1)
            self.run_for(1)
            self.clock.advance(REST)
            results = [each.result for each in given if each.called]
            self.assertEqual((results, self.ran), (["A", "B", "C"][:done], ["a", "b", "c"][:done]))
        self.assertEqual(self.thread.jobs, [])

    def test_rest(self) -> None:
        """Behind each job is a rest, by how long that one took, without its time of waiting."""
        for each in "abc":
            self.ask(each)
        for seconds in (2, 0.5):
            self.run_for(seconds)
            self.assertEqual(self.thread.jobs, [])
            self.clock.advance(seconds * REST - 0.01)
            self.assertEqual(self.thread.jobs, [])
            self.clock.advance(0.01)
            self.assertEqual(len(self.thread.jobs), 1)

    def test_asked_while_it_rests(self) -> None:
        """The rest is kept also where nobody waited when it began."""
        self.ask("a")
        self.run_for(1)
        given = self.ask("b")
        self.clock.advance(REST - 0.01)
        self.assertEqual(self.thread.jobs, [])
        self.clock.advance(0.01)
        self.thread.run()
        self.assertEqual(self.successResultOf(given), "B")

    def test_idle_again(self) -> None:
        """After a rest in which nobody asked, the next begins at once, and nothing is left over."""
        for each in "ab":
            self.ask(each)
            self.run_for(1)
            self.clock.advance(REST)
            self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.ran, ["a", "b"])

    def test_result_does_not_wait_for_the_rest(self) -> None:
        """Who asked has it as soon as it is there, and may ask again, which waits for its turn."""
        given = self.ask("a")
        given.addCallback(lambda _: self.ask("c"))
        self.ask("b")
        self.run_for(1)
        self.assertEqual((self.ran, self.thread.jobs), (["a"], []))
        for _ in "bc":
            self.clock.advance(REST)
            self.thread.run()
        self.assertEqual(self.ran, ["a", "b", "c"])

    def test_failure(self) -> None:
        """It goes to who asked, rests as others do, and does not stop those behind it."""
        failed: Deferred[float] = self.paced(lambda: 1 / 0)
        given = self.ask("b")
        self.run_for(1)
        self.failureResultOf(failed, ZeroDivisionError)
        self.clock.advance(REST - 0.01)
        self.assertEqual(self.thread.jobs, [])
        self.clock.advance(0.01)
        self.thread.run()
        self.assertEqual(self.successResultOf(given), "B")

    def test_cancel(self) -> None:
        """Who waits no more holds up nobody."""
        for begun in (True, False):
            given = [self.ask("a"), self.ask("b"), self.ask("c")]
            cancelled = given.pop(0 if begun else 1)
            cancelled.cancel()
            self.failureResultOf(cancelled, CancelledError)
            for _ in "abc":
                self.run_for(1)
                self.clock.advance(REST)
            self.assertEqual([self.successResultOf(each) for each in given][-1], "C")
