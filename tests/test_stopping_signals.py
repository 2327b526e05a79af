"""What ends the exporter, without a signal that is really sent."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

from twisted.internet.error import ReactorNotRunning
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.stopping import stop_at_signals
from tests.fakes import Log

BOTH = (signal.SIGTERM, signal.SIGINT)


class Reactor(MemoryReactorClock):
    """A reactor that keeps what it is to call from signal handlers, and can have stopped.

    Attributes:
        from_signals: that.
        stops: how often it was told to stop.
        running_no_more: it has stopped already.
    """

    def __init__(self) -> None:
        super().__init__()
        self.from_signals: list[Callable[[], object]] = []
        self.stops = 0
        self.running_no_more = False

    def callFromThread(self, function: Callable[[], object]) -> None:
        self.from_signals.append(function)

    def stop(self) -> None:
        self.stops += 1
        if self.running_no_more:
            raise ReactorNotRunning


class SignalTests(SynchronousTestCase):
    """SIGTERM and SIGINT, once the reactor runs."""

    def setUp(self) -> None:
        for number in BOTH:
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.log = Log(self)
        self.reactor = Reactor()

    def start(self) -> None:
        """Let the reactor run."""
        stop_at_signals(self.reactor)
        self.reactor.advance(0)

    def send(self, *numbers: signal.Signals) -> None:
        """Do what these signals do, up to where the reactor takes over."""
        for number in numbers:
            handler: Any = signal.getsignal(number)
            handler(number, None)

    def work(self) -> None:
        """Do what the reactor does then."""
        calls, self.reactor.from_signals = self.reactor.from_signals, []
        for call in calls:
            call()

    def shut_down(self) -> None:
        """Do what a reactor does when it has shut down."""
        for function, args, kwargs in self.reactor.triggers["after"]["shutdown"]:
            function(*args, **kwargs)

    def test_nothing_is_touched_before_the_reactor_runs(self) -> None:
        """It puts its own handlers in place when it begins to; ours come after them."""
        stop_at_signals(self.reactor)
        self.assertEqual(
            [signal.SIG_DFL, signal.default_int_handler], [*map(signal.getsignal, BOTH)]
        )

    def test_each_stops_the_reactor(self) -> None:
        """In the reactor's own turn, not between any two instructions; and a line says so."""
        for number in BOTH:
            self.setUp()
            self.start()
            self.send(number)
            self.assertEqual((0, []), (self.reactor.stops, self.log.lines()))
            self.work()
            self.assertEqual(1, self.reactor.stops)
            self.assertEqual([f"Received {number.name}, shutting down"], self.log.lines())

    def test_further_ones_do_nothing(self) -> None:
        """The first is being seen to, whichever it was."""
        for first in BOTH:
            for second in BOTH:
                self.setUp()
                self.start()
                self.send(first, second, second)
                self.work()
                self.send(second)
                self.work()
                self.assertEqual(1, self.reactor.stops)
                self.assertEqual(1, len(self.log.lines()))

    def test_interrupt_that_is_ignored_stays_ignored(self) -> None:
        """A shell starts its background jobs so; SIGTERM is heard all the same."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.start()
        self.assertIs(signal.getsignal(signal.SIGINT), signal.SIG_IGN)
        self.send(signal.SIGTERM)
        self.work()
        self.assertEqual(1, self.reactor.stops)

    def test_both_are_ignored_after_the_shutdown(self) -> None:
        """While Python ends, a handler could raise, and none would kill the process."""
        self.start()
        self.send(signal.SIGTERM)
        self.work()
        self.assertNotIn(signal.SIG_IGN, map(signal.getsignal, BOTH))
        self.shut_down()
        self.assertEqual([signal.SIG_IGN] * 2, [*map(signal.getsignal, BOTH)])

    def test_both_are_ignored_after_a_shutdown_for_another_reason(self) -> None:
        """A signal that comes so late must not change the status."""
        self.start()
        self.shut_down()
        self.assertEqual([signal.SIG_IGN] * 2, [*map(signal.getsignal, BOTH)])

    def test_reactor_that_has_stopped_is_no_error(self) -> None:
        """It was stopped for another reason between the signal and its turn."""
        self.start()
        self.reactor.running_no_more = True
        self.send(signal.SIGTERM)
        self.work()
        self.assertEqual(1, self.reactor.stops)
