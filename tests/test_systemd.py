"""What systemd is told, without a systemd."""

from __future__ import annotations

import os
import sys
from unittest import mock

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.systemd import PERIOD, Notifier, patience, to_systemd
from tests.fakes import Log

READY = ("READY", "")
ALIVE = ("WATCHDOG", "")


class NotifierTests(SynchronousTestCase):
    """What is told, and when."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.told: list[tuple[str, str]] = []
        self.description = "fine"
        self.works = True
        self.there = True

    def notifier(self, patience: float | None = 30.0) -> Notifier:
        return Notifier(
            self.tell,
            describe=self.describe,
            works=lambda: self.works,
            patience=patience,
            clock=self.clock,
        )

    def tell(self, name: str, text: str) -> None:
        if not self.there:
            raise OSError("gone")
        self.told.append((name, text))

    def describe(self) -> str:
        if not self.description:
            raise OSError
        return self.description

    def start(self, patience: float | None = 30.0) -> Notifier:
        notifier = self.notifier(patience)
        notifier.startService()
        self.clock.advance(0)
        return notifier

    def since(self, seconds: float) -> list[tuple[str, str]]:
        """Give what is told within these seconds."""
        self.told.clear()
        self.clock.pump([PERIOD / 4] * round(seconds / (PERIOD / 4)))
        return self.told

    def test_ready(self) -> None:
        """It is ready once the reactor runs, and not before."""
        self.notifier().startService()
        self.assertEqual(self.told, [])
        self.clock.advance(0)
        self.assertEqual(self.told, [READY, ALIVE, ("STATUS", "fine")])

    def test_not_ready_when_stopped_at_once(self) -> None:
        """What is stopped before the reactor runs is never ready."""
        notifier = self.notifier()
        notifier.startService()
        notifier.stopService()
        self.clock.advance(PERIOD)
        self.assertEqual(self.told, [("STOPPING", "")])

    def test_status(self) -> None:
        """How it does is told when that changes."""
        self.start(None)
        self.assertEqual(self.since(3), [])
        self.description = "not connected"
        self.assertEqual(self.since(3), [("STATUS", "not connected")])
        self.description = "fine"
        self.assertEqual(self.since(3), [("STATUS", "fine")])

    def test_alive(self) -> None:
        """It is alive three times in the time that systemd has patience, as long as all works."""
        self.start(30.0)
        self.assertEqual(self.since(30), [ALIVE] * 3)
        self.works = False
        self.assertEqual(self.since(30), [])
        self.works = True
        self.assertEqual(self.since(PERIOD), [ALIVE])
        self.assertEqual(self.since(30), [ALIVE] * 3)

    def test_alive_at_short_notice(self) -> None:
        """Likewise if that is shorter than the time between two looks."""
        self.start(0.75 * PERIOD)
        self.assertEqual(self.since(3), [ALIVE] * 12)

    def test_not_watched(self) -> None:
        """A systemd that does not wait for it is not told that it is alive."""
        self.start(None)
        self.assertNotIn(ALIVE, self.told + self.since(3))

    def test_stopping(self) -> None:
        """Its end is told, and nothing after that."""
        notifier = self.start()
        self.told.clear()
        notifier.stopService()
        self.clock.advance(10)
        self.assertEqual(self.told, [("STOPPING", "")])

    def test_reloading(self) -> None:
        """A reload has a beginning and an end, also when it fails."""
        notifier = self.start()
        self.told.clear()
        notifier.reloading(lambda: self.told.append(("reload", "")))()
        self.assertEqual(self.told, [("RELOADING", ""), ("reload", ""), READY])

        self.told.clear()
        failing = notifier.reloading(mock.Mock(side_effect=OSError))
        self.assertRaises(OSError, failing)
        self.assertEqual(self.told, [("RELOADING", ""), READY])

    def test_a_look_that_fails(self) -> None:
        """One that fails is logged, and the next comes."""
        log = Log(self)
        self.start()
        self.description = ""
        self.assertEqual(self.since(10), [ALIVE])
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 10)
        self.assertIn("How the exporter does could not be found out, for systemd", log.lines())
        self.description = "fine again"
        self.assertEqual(self.since(1), [("STATUS", "fine again")])

    def test_a_systemd_that_is_gone(self) -> None:
        """That it cannot be told is logged once, and what it has missed is told when it is back."""
        log = Log(self)
        self.there = False
        notifier = self.start()
        self.description = "not connected"
        notifier.reloading(lambda: None)()
        self.assertEqual(self.since(60), [])
        self.assertEqual(log.lines(), ["systemd cannot be told how the exporter does: gone"])
        self.there = True
        self.assertEqual(self.since(1), [("STATUS", "not connected")])
        self.there = False
        self.since(60)
        notifier.stopService()
        self.assertEqual(len(log.lines()), 2)


class EnvironmentTests(SynchronousTestCase):
    """What systemd says that it wants."""

    def test_nobody_waits(self) -> None:
        """Without its socket nothing is told, and its library is not even imported."""
        self.patch(sys, "modules", dict(sys.modules))
        sys.modules.pop("cysystemd", None)
        self.assertIsNone(to_systemd({}))
        self.assertIsNone(to_systemd({"NOTIFY_SOCKET": ""}))
        self.assertNotIn("cysystemd", sys.modules)

    def test_no_library(self) -> None:
        """Where its library is missing, that is said, with what to install."""
        self.patch(sys, "modules", {**sys.modules, "cysystemd": None, "cysystemd.daemon": None})
        log = Log(self)
        self.assertIsNone(to_systemd({"NOTIFY_SOCKET": "/run/systemd/notify"}))
        (line,) = log.lines()
        self.assertIn("install maestro-exporter[systemd]", line)

    def test_patience(self) -> None:
        """It is given in microseconds, for one process."""
        us = str(os.getpid())
        for environ, expected in (
            ({}, None),
            ({"WATCHDOG_USEC": "30000000"}, 30.0),
            ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": us}, 1.5),
            ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": us + "1"}, None),
            ({"WATCHDOG_USEC": "0"}, None),
            ({"WATCHDOG_USEC": "x"}, None),
            ({"WATCHDOG_USEC": "-5"}, None),
        ):
            self.assertEqual(patience(environ), expected, environ)
