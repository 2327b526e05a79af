"""Jobs in threads that are played by the test."""

from __future__ import annotations

import threading
from typing import Any, cast

from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.threads import Worker, one_thread
from tests.fakes import FakePool, FakeReactor


class WorkerTests(SynchronousTestCase):
    """One job after the other."""

    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.pool = FakePool()
        self.worker = Worker(self.reactor, cast(ThreadPool, self.pool))

    def test_result(self) -> None:
        """The result comes in the reactor thread, when it calls."""
        self.worker.startService()
        result = self.worker.run(lambda: 42)
        self.assertEqual(self.pool.waiting, 1)
        self.pool.run()
        self.assertNoResult(result)
        self.reactor.advance(0)
        self.assertEqual(self.successResultOf(result), 42)

    def test_failure(self) -> None:
        """So does a failure."""
        self.worker.startService()
        result = self.worker.run(lambda: 1 // 0)
        self.pool.run()
        self.reactor.advance(0)
        self.failureResultOf(result, ZeroDivisionError)

    def test_start_and_stop(self) -> None:
        """The pool runs as long as the service."""
        self.assertFalse(self.pool.running)
        self.worker.startService()
        self.assertTrue(self.pool.running and self.worker.running)
        self.worker.stopService()
        self.assertFalse(self.pool.running or self.worker.running)
        self.assertEqual((self.pool.starts, self.pool.stops), (1, 1))

    def test_stop_when_jobs_are_over(self) -> None:
        """The pool is stopped also when there were jobs, good or bad."""
        self.worker.startService()
        for job in (lambda: 1, lambda: 1 // 0):
            result: Any = self.worker.run(job)
            result.addErrback(lambda _: None)
            self.pool.run()
        self.reactor.advance(0)
        self.worker.stopService()
        self.assertEqual(self.pool.stops, 1)

    def test_stop_when_busy(self) -> None:
        """A job that goes on is not waited for: its thread is left behind."""
        self.worker.startService()
        results = [self.worker.run(lambda: 1), self.worker.run(lambda: 2)]
        self.pool.run()
        self.reactor.advance(0)
        self.worker.stopService()
        self.assertEqual(self.pool.stops, 0)
        self.pool.run()
        self.reactor.advance(0)
        self.assertEqual([self.successResultOf(each) for each in results], [1, 2])


class OneThreadTests(SynchronousTestCase):
    """The pool that the exporter has."""

    def test_pool(self) -> None:
        """It has one thread at most, which does not keep the process alive."""
        pool = one_thread("pages")
        self.assertEqual((pool.min, pool.max, pool.name), (0, 1, "pages"))
        self.assertFalse(pool.started)
        factory: Any = pool.threadFactory
        thread = factory(target=lambda: None, name="x")
        self.assertIsInstance(thread, threading.Thread)
        self.assertTrue(thread.daemon)
        self.assertEqual(thread.name, "x")
