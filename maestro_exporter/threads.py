"""Threads other than the reactor's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

T = TypeVar("T")


class _DaemonThread(threading.Thread):
    """A thread that does not keep the process alive."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.daemon = True


class DaemonThreadPool(ThreadPool):
    """A pool whose threads may be left behind.

    A thread may sit in name resolution for ten seconds after it was asked to
    stop; nothing in Python can interrupt it there.
    """

    threadFactory = _DaemonThread


def one_thread(name: str) -> ThreadPool:
    """Give a pool of one thread, which begins when it has something to do."""
    return DaemonThreadPool(minthreads=0, maxthreads=1, name=name)


class Worker(Service):
    """Does one job after the other in a thread.

    Args:
        reactor: gets the results.
        pool: the thread; started and stopped here, but left behind where it is busy then.
    """

    def __init__(self, reactor: Any, pool: ThreadPool) -> None:
        self._reactor = reactor
        self._pool = pool
        self._jobs = 0

    def startService(self) -> None:
        """Begin."""
        super().startService()
        self._pool.start()

    def stopService(self) -> None:
        """End, without waiting for a job."""
        super().stopService()
        if not self._jobs:
            self._pool.stop()

    def run(self, job: Callable[[], T]) -> Deferred[T]:
        """Give a Deferred that fires in the reactor thread with what the job gave."""
        self._jobs += 1

        def done(result: Any) -> Any:
            self._jobs -= 1
            return result

        return deferToThreadPool(self._reactor, self._pool, job).addBoth(done)
