"""Stages that stop working, on a clock that the tests move."""

from __future__ import annotations

import math

from twisted.internet.task import Clock
from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.watchdog import (
    MOST_RESTARTS,
    PERIOD,
    RECOVERY,
    SUSPENSION,
    Stage,
    Watchdog,
)
from tests.fakes import Log

PATIENCE = 20.0  # seconds that a stage promises


class FakeStage:
    """A stage that promises something when it is started, and keeps it when `steps` is called.

    Attributes:
        patience: seconds that it promises.
        restarts: when it was started anew.
        fails: starting it anew raises.
    """

    def __init__(self, clock: Clock, name: str) -> None:
        self._clock = clock
        self.due = math.inf
        self.patience = PATIENCE
        self.restarts: list[float] = []
        self.fails = False
        self.stage = Stage(name, self.get_due, self.restart)

    def get_due(self) -> float:
        return self.due

    def steps(self) -> None:
        """Come round, and promise to do so again."""
        self.due = self._clock.seconds() + self.patience

    def restart(self) -> None:
        self.restarts.append(self._clock.seconds())
        if self.fails:
            raise ZeroDivisionError
        self.due = self._clock.seconds() + self.patience


class WatchdogTestCase(SynchronousTestCase):
    """A watchdog that looks at two stages."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.log = Log(self)
        self.one, self.two = (FakeStage(self.clock, name) for name in ("one", "two"))
        self.given_up = 0
        self.watchdog = Watchdog(
            [self.one.stage, self.two.stage],
            seconds=self.clock.seconds,
            give_up=self.give_up,
            clock=self.clock,
        )
        self.watchdog.startService()

    def give_up(self) -> None:
        self.given_up += 1

    def wait(self, seconds: float, *working: FakeStage) -> None:
        """Let time pass, while some stages come round every second."""
        for _ in range(int(seconds)):
            self.clock.advance(1.0)
            for stage in working:
                stage.steps()

    def ill(self) -> list[str]:
        return list(self.watchdog.ill)


class RestartTests(WatchdogTestCase):
    """A stage that does not come round."""

    def test_nobody_is_ill_at_first(self) -> None:
        """What has nothing to do need not come round."""
        self.wait(1000)

        self.assertEqual(([], 0), (self.ill(), self.given_up))
        self.assertEqual({"one": 0, "two": 0}, self.watchdog.restarts)
        self.assertEqual([], self.log.lines())

    def test_stage_that_keeps_its_promises(self) -> None:
        """It is left alone."""
        self.one.steps()
        self.wait(1000, self.one)

        self.assertEqual(([], []), (self.ill(), self.one.restarts))

    def test_overdue_stage_is_started_anew(self) -> None:
        """At the next look, and counted, and logged; the other one is left alone."""
        self.one.steps()
        self.wait(PATIENCE - 1, self.two)
        self.assertEqual([], self.one.restarts)
        self.wait(1, self.two)

        self.assertEqual(([1000.0 + PATIENCE], []), (self.one.restarts, self.two.restarts))
        self.assertEqual({"one": 1, "two": 0}, self.watchdog.restarts)
        self.assertEqual(
            ["It is started anew: the stage one has stopped working"],
            self.log.lines(LogLevel.error),
        )

    def test_both_are_started_anew(self) -> None:
        """One does not hide the other."""
        self.one.steps()
        self.two.steps()
        self.wait(PATIENCE)

        self.assertEqual({"one": 1, "two": 1}, self.watchdog.restarts)

    def test_stage_is_started_anew_once_for_each_promise(self) -> None:
        """It has the time that it asks for."""
        self.one.steps()
        self.wait(2 * PATIENCE - 1)
        self.assertEqual(1, len(self.one.restarts))
        self.wait(1)
        self.assertEqual([1000.0 + PATIENCE, 1000.0 + 2 * PATIENCE], self.one.restarts)

    def test_stage_is_ill_when_it_is_overdue(self) -> None:
        """Before the next look, too: who asks hears how it is now."""
        self.one.steps()
        self.clock.advance(PERIOD / 2)
        self.assertEqual([], self.ill())
        self.one.due = self.clock.seconds()
        self.assertEqual(["one"], self.ill())

    def test_stage_is_ill_until_it_has_come_round(self) -> None:
        """A restart alone makes nobody well."""
        self.one.steps()
        self.wait(PATIENCE + 5)
        self.assertEqual(["one"], self.ill())
        self.one.steps()
        self.assertEqual([], self.ill())
        self.wait(PATIENCE - 1)
        self.assertEqual([], self.ill())

    def test_stage_with_nothing_to_do_after_a_restart_is_well(self) -> None:
        """It has come round, and found that there is nothing more."""
        self.one.steps()
        self.wait(PATIENCE + 5)
        self.one.due = math.inf
        self.wait(2)

        self.assertEqual(([], 1), (self.ill(), len(self.one.restarts)))

    def test_both_are_ill_in_their_order(self) -> None:
        """They are named as they were given."""
        self.two.steps()
        self.one.steps()
        self.wait(PATIENCE)

        self.assertEqual(["one", "two"], self.ill())

    def test_restart_that_raises(self) -> None:
        """It counts, is logged and is tried again; the watchdog goes on."""
        self.one.fails = True
        self.one.steps()
        self.two.steps()
        self.wait(PATIENCE + 1, self.two)
        self.assertEqual(2, len(self.one.restarts))
        self.assertEqual(2, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.assertEqual(["one"], self.ill())
        self.one.fails = False
        self.wait(1, self.two)
        self.one.steps()
        self.wait(5, self.one, self.two)

        self.assertEqual(({"one": 3, "two": 0}, []), (self.watchdog.restarts, self.ill()))
        self.assertEqual(0, self.given_up)

    def test_restart_that_raises_hides_nobody(self) -> None:
        """The other stages are looked at all the same, and at once."""
        self.one.fails = True
        self.one.steps()
        self.two.steps()
        self.wait(PATIENCE)

        self.assertEqual({"one": 1, "two": 1}, self.watchdog.restarts)
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.assertEqual(
            ["The stage one could not be started anew"], self.log.lines(LogLevel.critical)
        )

    def test_promise_that_raises(self) -> None:
        """A defect there is logged, and the next look comes all the same."""
        self.watchdog.stopService()
        divisors = [0.0]
        with_defect = Stage("x", lambda: math.inf / divisors[0], lambda: None)
        watchdog = Watchdog(
            [with_defect, self.two.stage],
            seconds=self.clock.seconds,
            give_up=self.give_up,
            clock=self.clock,
        )
        watchdog.startService()
        self.clock.advance(PERIOD)
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        divisors[0] = 1.0
        self.two.due = self.clock.seconds() + PERIOD
        self.clock.advance(PERIOD)

        self.assertEqual([], self.flushLoggedErrors(ZeroDivisionError))
        self.assertEqual(1, watchdog.restarts["two"])


class GiveUpTests(WatchdogTestCase):
    """A stage that is beyond help."""

    def test_stage_is_given_up_after_some_restarts(self) -> None:
        """Once, with a line; after that nothing is started anew."""
        self.one.steps()
        self.wait((MOST_RESTARTS + 1) * PATIENCE - 1)
        self.assertEqual((0, MOST_RESTARTS), (self.given_up, len(self.one.restarts)))
        self.wait(1)
        self.assertEqual(1, self.given_up)
        self.two.steps()
        self.wait(10 * PATIENCE)

        self.assertEqual((1, MOST_RESTARTS), (self.given_up, len(self.one.restarts)))
        self.assertEqual([], self.two.restarts)
        self.assertEqual(["one", "two"], self.ill())
        self.assertEqual(
            [
                "The exporter ends: the stage one has stopped working, "
                "and 3 restarts in a row have not helped"
            ],
            self.log.lines(LogLevel.critical),
        )

    def test_restarts_that_raise_are_in_a_row(self) -> None:
        """A stage that cannot be started anew is beyond help soon."""
        self.one.fails = True
        self.one.steps()
        self.wait(PATIENCE + MOST_RESTARTS)
        self.flushLoggedErrors(ZeroDivisionError)

        self.assertEqual((1, MOST_RESTARTS), (self.given_up, len(self.one.restarts)))

    def test_restarts_of_different_stages_are_not_in_a_row(self) -> None:
        """Each has its own."""
        for stage in (self.one, self.two, self.one, self.two):
            stage.due = self.clock.seconds()
            self.wait(1)
            stage.due = math.inf
            self.wait(1)

        self.assertEqual(0, self.given_up)

    def fail_once(self, working: float) -> None:
        """Let a stage fail, come round, and work for so many seconds after its restart."""
        self.one.due = self.clock.seconds()
        self.wait(1)
        self.one.steps()
        self.wait(working, self.one)

    def test_restarts_that_are_far_apart_are_not_in_a_row(self) -> None:
        """A stage that worked for long, since it was first seen to, has recovered."""
        for _ in range(3 * MOST_RESTARTS):
            self.fail_once(2 + RECOVERY)

        self.assertEqual((0, 3 * MOST_RESTARTS), (self.given_up, len(self.one.restarts)))

    def test_restarts_that_help_for_a_short_time_are_in_a_row(self) -> None:
        """A stage that works for less than that is not well."""
        for _ in range(MOST_RESTARTS):
            self.fail_once(1 + RECOVERY)
        self.assertEqual(0, self.given_up)
        self.fail_once(0)

        self.assertEqual(1, self.given_up)

    def test_stage_that_comes_round_late_has_not_worked_before(self) -> None:
        """The time from its restart until then is none in which it was well."""
        self.one.patience = 2 * RECOVERY
        for _ in range(MOST_RESTARTS):
            self.one.due = self.clock.seconds()
            self.wait(1)
            self.wait(RECOVERY + 1)
            self.one.steps()
            self.wait(RECOVERY, self.one)
        self.assertEqual((0, MOST_RESTARTS), (self.given_up, len(self.one.restarts)))
        self.fail_once(0)

        self.assertEqual(1, self.given_up)

    def test_time_alone_is_no_recovery(self) -> None:
        """A stage that asks for long, and does not come round, has not worked meanwhile."""
        self.one.patience = 2 * RECOVERY
        self.one.steps()
        self.wait((MOST_RESTARTS + 1) * 2 * RECOVERY)

        self.assertEqual(1, self.given_up)


class SuspensionTests(WatchdogTestCase):
    """The whole process sleeps, and the watchdog with it."""

    def sleep(self, seconds: float) -> None:
        """Let time pass in which nothing runs."""
        self.clock.advance(seconds)

    def test_stages_have_time_to_come_round(self) -> None:
        """It was not they who slept; that is worth a line."""
        self.one.steps()
        self.sleep(10 * PATIENCE)
        self.assertEqual(([], []), (self.ill(), self.one.restarts))
        self.wait(SUSPENSION - 1)
        self.assertEqual(([], []), (self.ill(), self.one.restarts))
        self.assertEqual(
            ["Nothing ran for 200.0 s: the process was stopped, or starved"], self.log.lines()
        )
        self.one.steps()
        self.wait(PATIENCE - 1)
        self.assertEqual([], self.one.restarts)

    def test_stages_have_no_more_time_than_that(self) -> None:
        """What does not come round then is started anew."""
        self.one.steps()
        self.sleep(10 * PATIENCE)
        self.wait(SUSPENSION)

        self.assertEqual(["one"], self.ill())
        self.assertEqual(1, len(self.one.restarts))

    def test_stage_that_was_just_started_anew_has_time_too(self) -> None:
        """It is ill until it has come round, but it was not its fault that it has not."""
        self.one.steps()
        self.wait(PATIENCE)
        self.sleep(10 * PATIENCE)
        self.wait(SUSPENSION - 1)
        self.assertEqual((["one"], 1), (self.ill(), len(self.one.restarts)))
        self.wait(1)
        self.assertEqual(2, len(self.one.restarts))

    def test_nobody_is_ill_before_the_look_after_it(self) -> None:
        """Who asks first, asks too early; only who was ill before still is."""
        self.one.steps()
        self.wait(PATIENCE)
        self.two.due = self.clock.seconds() + 1.0
        for late, ill in ((SUSPENSION, ["one", "two"]), (SUSPENSION + 0.1, ["one"])):
            now = self.clock.seconds() + late
            self.patch(self.watchdog, "_seconds", lambda now=now: now)
            self.assertEqual(ill, self.ill(), late)

    def test_a_little_late_is_not_asleep(self) -> None:
        """A reactor that is busy for a while excuses nobody."""
        self.one.due = self.clock.seconds() + 1.0
        self.sleep(SUSPENSION)

        self.assertEqual(1, len(self.one.restarts))
        self.assertEqual(1, len(self.log.lines()))


class ServiceTests(WatchdogTestCase):
    """When it looks."""

    def test_nobody_is_ill_while_it_does_not_run(self) -> None:
        """Before the start, and after the stop, stages stand still and may."""
        self.one.due = self.two.due = 0.0
        self.assertEqual(["one", "two"], self.ill())
        self.watchdog.stopService()

        self.assertEqual([], self.ill())
        self.wait(100)
        self.assertEqual([], self.one.restarts)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_first_look_is_not_late(self) -> None:
        """However long it took from making it to the start."""
        watchdog = Watchdog([], seconds=self.clock.seconds, give_up=self.give_up, clock=self.clock)
        self.watchdog.stopService()
        self.clock.advance(1000.0)
        watchdog.startService()
        self.wait(5)

        self.assertEqual([], self.log.lines())

    def test_stop_is_harmless_when_not_started(self) -> None:
        """There is no timer to stop."""
        Watchdog(
            [], seconds=self.clock.seconds, give_up=self.give_up, clock=self.clock
        ).stopService()

    def test_giving_up_that_raises(self) -> None:
        """It is logged, and not tried again: the reactor is stopping already."""

        def give_up() -> None:
            self.given_up += 1
            raise ZeroDivisionError

        self.patch(self.watchdog, "_give_up", give_up)
        self.one.steps()
        self.wait((MOST_RESTARTS + 3) * PATIENCE)

        self.assertEqual(1, self.given_up)
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
