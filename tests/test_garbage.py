"""When all objects are looked at for garbage; the collector itself is a stand-in."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter import garbage
from maestro_exporter.garbage import MIDDLE, MOST, OLD, PERIOD, YOUNG, GarbageCollection


class FakeCollector:
    """Python's module `gc`, as far as it is used; notes what it is told.

    Attributes:
        frozen: how many objects are set aside.
    """

    def __init__(self) -> None:
        self.thresholds = (700, 10, 10)
        self.told: list[str] = []
        self.frozen = 1000

    def get_threshold(self) -> tuple[int, int, int]:
        return self.thresholds

    def set_threshold(self, *thresholds: int) -> None:
        first, second, third = thresholds
        self.thresholds = first, second, third

    def get_freeze_count(self) -> int:
        return self.frozen

    def collect(self, generation: int = 2) -> None:
        self.told.append(f"collect {generation}")

    def freeze(self) -> None:
        self.told.append("freeze")

    def unfreeze(self) -> None:
        self.told.append("unfreeze")


ALL = ["unfreeze", "collect 2", "freeze"]


class GarbageTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.collector = FakeCollector()
        self.patch(garbage, "gc", self.collector)
        self.clock = Clock()
        self.garbage = GarbageCollection(self.clock.seconds)

    def start(self) -> None:
        self.garbage.startService()
        self.collector.told.clear()

    def test_start(self) -> None:
        """What is there at the start is set aside, and the youngest are looked at less often."""
        self.garbage.startService()

        self.assertEqual(["freeze"], self.collector.told)
        self.assertEqual((YOUNG, MIDDLE, OLD), self.collector.thresholds)

    def test_lasting(self) -> None:
        """What was there before is looked at, and what is made within is set aside."""
        self.start()
        with self.garbage.lasting():
            self.assertEqual(["collect 0"], self.collector.told)

        self.assertEqual(["collect 0", "freeze"], self.collector.told)

    def test_period(self) -> None:
        """All is looked at when nothing is awaited, but not again before the period is over."""
        self.start()
        looks = []
        for _ in range(3):
            self.garbage.nothing_awaited()
            looks.append(len(self.collector.told))
            self.clock.advance(PERIOD - 1)
            self.garbage.nothing_awaited()
            looks.append(len(self.collector.told))
            self.clock.advance(1)

        self.assertEqual([0, 0, 3, 3, 6, 6], looks)
        self.assertEqual(ALL * 2, self.collector.told)

    def test_many_set_aside(self) -> None:
        """All is looked at earlier when many more are set aside than were left the last time."""
        self.start()
        self.collector.frozen = 1500 + MOST
        self.garbage.nothing_awaited()
        self.assertEqual([], self.collector.told)
        self.collector.frozen += 1
        for _ in range(2):
            self.garbage.nothing_awaited()

        self.assertEqual(ALL, self.collector.told)

    def test_stop(self) -> None:
        """The collector is left as it was, and told nothing more."""
        self.start()
        self.garbage.stopService()
        self.clock.advance(2 * PERIOD)
        self.garbage.nothing_awaited()
        with self.garbage.lasting():
            pass

        self.assertEqual((700, 10, 10), self.collector.thresholds)
        self.assertEqual(["unfreeze"], self.collector.told)

    def test_before_the_start(self) -> None:
        """Nothing is done for a service that does not run."""
        self.clock.advance(2 * PERIOD)
        self.garbage.nothing_awaited()
        with self.garbage.lasting():
            pass
        self.garbage.stopService()

        self.assertEqual([], self.collector.told)
