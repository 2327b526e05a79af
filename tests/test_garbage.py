"""When all objects are looked at for garbage; the collector itself is a stand-in."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter import garbage
from maestro_exporter.garbage import MIDDLE, PERIOD, YOUNG, GarbageCollection


class FakeCollector:
    """Python's module `gc`, as far as it is used; notes what it is told."""

    def __init__(self) -> None:
        self.thresholds = (700, 10, 10)
        self.told: list[str] = []

    def get_threshold(self) -> tuple[int, int, int]:
        return self.thresholds

    def set_threshold(self, *thresholds: int) -> None:
        first, second, third = thresholds
        self.thresholds = first, second, third

    def __getattr__(self, name: str) -> Any:
        assert name in ("collect", "freeze", "unfreeze"), name
        return lambda: self.told.append(name)


class GarbageTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.collector = FakeCollector()
        self.patch(garbage, "gc", self.collector)
        self.clock = Clock()
        self.garbage = GarbageCollection(self.clock.seconds)

    def test_start(self) -> None:
        """What is there at the start is set aside; all that comes is not looked at by itself."""
        self.garbage.startService()

        self.assertEqual(["freeze"], self.collector.told)
        young, middle, all_ = self.collector.thresholds
        self.assertEqual((YOUNG, MIDDLE), (young, middle))
        self.assertGreaterEqual(all_, 1_000_000)

    def test_period(self) -> None:
        """All is looked at when nothing is awaited, but not again before the period is over."""
        self.garbage.startService()
        self.collector.told.clear()
        looks = []
        for _ in range(3):
            self.garbage.nothing_awaited()
            looks.append(len(self.collector.told))
            self.clock.advance(PERIOD - 1)
            self.garbage.nothing_awaited()
            looks.append(len(self.collector.told))
            self.clock.advance(1)

        self.assertEqual([0, 0, 1, 1, 2, 2], looks)
        self.assertEqual(["collect"] * 2, self.collector.told)

    def test_stop(self) -> None:
        """The collector is left as it was, and told nothing more."""
        self.garbage.startService()
        self.garbage.stopService()
        self.clock.advance(2 * PERIOD)
        self.garbage.nothing_awaited()

        self.assertEqual((700, 10, 10), self.collector.thresholds)
        self.assertEqual(["freeze", "unfreeze"], self.collector.told)

    def test_before_the_start(self) -> None:
        """Nothing is done for a service that does not run."""
        self.clock.advance(2 * PERIOD)
        self.garbage.nothing_awaited()
        self.garbage.stopService()

        self.assertEqual([], self.collector.told)
