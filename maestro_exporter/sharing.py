"""Things that are made once for all who ask for them, the large ones in a thread."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")
Job = Callable[[], T]


class InThread(Protocol):
    """Runs a job in another thread."""

    def __call__(self, job: Job[T], /) -> Deferred[T]:
        """Give a Deferred that fires in the reactor thread with what the job gave."""
        ...


#: After a rendering in the other thread, its result is given to all who ask for so many times
#: as long as it took.  So scrapers, however many, take a fifth of that thread at most, which
#: takes turns with the threads that listen to the broker.
REST = 4.0
#: Jobs that wait for a thread that is paced.
MOST_WAITING = 10


class Shared(Generic[T]):
    """Something that is made when it is asked for, and given to all who ask until it is outdated.

    Args:
        version: gives what it would be made of now; it is made again when that has changed.
        prepare: gives a job that makes it, and tells whether that is to be done in the thread.
        in_thread: runs a job in another thread.
        seconds: a clock that never steps.
        rest: how many times as long as it took what was made in the thread is given afterwards.

    All but the job are called in the reactor thread.
    """

    def __init__(
        self,
        version: Callable[[], object],
        prepare: Callable[[], tuple[Job[T], bool]],
        in_thread: InThread,
        seconds: Callable[[], float],
        rest: float = REST,
    ) -> None:
        self._version = version
        self._prepare = prepare
        self._in_thread = in_thread
        self._seconds = seconds
        self._rest = rest
        self._made: tuple[object, T] | None = None
        self._rest_until = 0.0
        self._waiting: list[Deferred[T]] | None = None  # while it is being made

    def get(self) -> T | Deferred[T]:
        """Give it, or a Deferred that fires with it; with a failure if it cannot be made."""
        version = self._version()
        if self._made is not None and (
            self._made[0] == version or self._seconds() < self._rest_until
        ):
            return self._made[1]
        made: Deferred[T] = Deferred()
        if self._waiting is not None:
            self._waiting.append(made)
            return made
        job, large = self._prepare()
        if not large:
            self._made = version, job()
            return self._made[1]
        self._waiting = [made]
        self._start(version, job)
        return made

    def _start(self, version: object, job: Job[T]) -> None:
        began = self._seconds()
        self._made = None  # there is no need for two at a time in the memory

        def done(made: T) -> T:
            now = self._seconds()
            self._made = version, made
            self._rest_until = now + self._rest * (now - began)
            return made

        def tell(result: T | Failure) -> None:
            waiting, self._waiting = self._waiting or [], None
            for each in waiting:
                each.callback(result)  # a failure becomes an errback

        self._in_thread(job).addCallback(done).addBoth(tell)


Q = TypeVar("Q", bound=Hashable)


class SharedByQuestion(Generic[Q, T]):
    """Something that is made for each question, and shared by all who ask the same.

    Args:
        make: gives what is shared by those who ask a question.
        most: questions that are remembered; those that were asked last.
    """

    def __init__(self, make: Callable[[Q], Shared[T]], most: int = 32) -> None:
        self._make = make
        self._most = most
        self._shared: OrderedDict[Q, Shared[T]] = OrderedDict()

    def get(self, question: Q) -> T | Deferred[T]:
        """Give the answer, as `Shared` does."""
        shared = self._shared.get(question)
        if shared is None:
            shared = self._shared[question] = self._make(question)
            if len(self._shared) > self._most:
                self._shared.popitem(last=False)
        self._shared.move_to_end(question)
        return shared.get()


class Paced:
    """Runs jobs in a thread that others need too: one at a time, with a rest behind each.

    Args:
        in_thread: runs a job there.
        seconds: a clock that never steps.
        call_later: calls something in so many seconds.
    """

    def __init__(
        self,
        in_thread: InThread,
        seconds: Callable[[], float],
        call_later: Callable[..., object],
    ) -> None:
        self._in_thread = in_thread
        self._seconds = seconds
        self._call_later = call_later
        self._waiting: deque[Callable[[], None]] = deque()
        self._busy = False  # at work, or at rest

    @property
    def full(self) -> bool:
        """Whether so many wait that another would wait for long."""
        return len(self._waiting) >= MOST_WAITING

    def __call__(self, job: Job[T], /) -> Deferred[T]:
        """Give a Deferred that fires in the reactor thread with what the job gave."""
        result: Deferred[T] = Deferred()

        def begin() -> None:
            began = self._seconds()

            def done(made: T | Failure) -> None:
                self._call_later(REST * (self._seconds() - began), self._next)
                result.callback(made)  # a failure becomes an errback

            self._in_thread(job).addBoth(done)

        self._waiting.append(begin)
        if not self._busy:
            self._next()
        return result

    def _next(self) -> None:
        self._busy = bool(self._waiting)
        if self._waiting:
            self._waiting.popleft()()
