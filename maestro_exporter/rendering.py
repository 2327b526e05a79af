"""Pages as they are sent, made once for each state of the data and shared by all who ask.

Small clusters are rendered in the reactor thread: that takes less than handing
the work over.  Large ones are rendered in another thread, from a snapshot that
does not change any more.  Compression is done there in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from maestro_exporter import status
from maestro_exporter.compression import Compressed, compress, gzip
from maestro_exporter.exposition import Encoder, encode
from maestro_exporter.metrics import cluster_page, exporter_page
from maestro_exporter.snapshot import ExporterState, Moment, Snapshot

#: A page in pieces, in their order.  Pages of the same data share their large pieces.
Body = Sequence[bytes]

T = TypeVar("T")
Job = Callable[[], T]


class InThread(Protocol):
    """Runs a job in another thread."""

    def __call__(self, job: Job[T], /) -> Deferred[T]:
        """Give a Deferred that fires in the reactor thread with what the job gave."""
        ...


SMALL = 500  # series; rendered in 4 ms
SMALL_BYTES = 256 * 1024
#: After a rendering in the other thread, its result is given to all who ask for so many times
#: as long as it took.  So scrapers, however many, take a fifth of that thread at most, which
#: takes turns with the threads that listen to the broker.
REST = 4.0
PROCESS_PERIOD = 1.0  # seconds between two looks at the process, which take as long as a request


class Shared(Generic[T]):
    """Something that is made when it is asked for, and given to all who ask until it is outdated.

    Args:
        version: gives what it would be made of now; it is made again when that has changed.
        prepare: gives a job that makes it, and tells whether that is to be done in the thread.
        in_thread: runs a job in another thread.
        seconds: a clock that never steps.

    All but the job are called in the reactor thread.
    """

    def __init__(
        self,
        version: Callable[[], object],
        prepare: Callable[[], tuple[Job[T], bool]],
        in_thread: InThread,
        seconds: Callable[[], float],
    ) -> None:
        self._version = version
        self._prepare = prepare
        self._in_thread = in_thread
        self._seconds = seconds
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
            self._rest_until = now + REST * (now - began)
            return made

        def tell(result: T | Failure) -> None:
            waiting, self._waiting = self._waiting or [], None
            for each in waiting:
                each.callback(result)  # a failure becomes an errback

        self._in_thread(job).addCallback(done).addBoth(tell)


class _Joined(Generic[T]):
    """The beginning of a page with its tail; a small one is kept, as one piece.

    Args:
        join: gives the page in pieces.
    """

    def __init__(self, join: Callable[[T, bytes], Body]) -> None:
        self._join = join
        self._last: tuple[T, bytes, Body] | None = None

    def with_(self, beginning: T, tail: bytes) -> Body:
        """Give the page."""
        if self._last is not None and self._last[0] is beginning and self._last[1] is tail:
            return self._last[2]
        body = self._join(beginning, tail)
        self._last = None
        if sum(map(len, body)) <= SMALL_BYTES:
            body = (b"".join(body),)
            self._last = beginning, tail, body
        return body


class MetricsPage:
    """The metrics, in Prometheus' text format.

    What the cluster decides is rendered once for each of its generations; what the exporter
    knows of itself is put behind it, fresh at each scrape, and what the process says of itself
    is at most a second old.

    Args:
        generation: of the snapshot that would be given now.
        snapshot: gives what is known of the cluster.
        state: gives what the exporter knows of itself.
        registry: prometheus_client's collectors of the process and of Python.
        in_thread: runs a job in another thread.
        seconds: a clock that never steps.
    """

    def __init__(
        self,
        generation: Callable[[], int],
        snapshot: Callable[[], Snapshot],
        state: Callable[[], ExporterState],
        registry: CollectorRegistry,
        *,
        in_thread: InThread,
        seconds: Callable[[], float],
    ) -> None:
        self._snapshot = snapshot
        self._state = state
        self._registry = registry
        self._seconds = seconds
        self._encoder = Encoder()
        self._plain: Shared[Body] = Shared(generation, self._text, in_thread, seconds)
        self._compressed: Shared[Compressed] = Shared(
            generation, self._compressed_text, in_thread, seconds
        )
        self._about_exporter: tuple[ExporterState, bytes] | None = None  # and the process
        self._about_process = b""
        self._process_due = float("-inf")
        self._plain_joined = _Joined[Body](lambda text, tail: (*text, tail))
        self._compressed_joined = _Joined[Compressed](gzip)

    def body(self, *, compressed: bool) -> Body | Deferred[Body]:
        """Give the page; compressed it is one gzip member."""
        if compressed:
            return self._with_tail(self._compressed.get(), self._compressed_joined)
        return self._with_tail(self._plain.get(), self._plain_joined)

    def _with_tail(self, made: T | Deferred[T], joined: _Joined[T]) -> Body | Deferred[Body]:
        if isinstance(made, Deferred):
            return made.addCallback(lambda beginning: joined.with_(beginning, self._tail()))
        return joined.with_(made, self._tail())

    def _text(self) -> tuple[Job[Body], bool]:
        snapshot = self._snapshot()
        return lambda: tuple(self._encoder.encode(cluster_page(snapshot))), _is_large(snapshot)

    def _compressed_text(self) -> tuple[Job[Compressed], bool]:
        snapshot = self._snapshot()
        if _is_large(snapshot):
            return lambda: compress(self._encoder.encode(cluster_page(snapshot))), True
        parts = tuple(self._encoder.encode(cluster_page(snapshot)))
        return lambda: compress(parts), True

    def _tail(self) -> bytes:
        state = self._state()
        now = self._seconds()
        if now >= self._process_due:
            self._process_due = now + PROCESS_PERIOD
            self._about_process = generate_latest(self._registry)
        elif self._about_exporter is not None and self._about_exporter[0] == state:
            return self._about_exporter[1]
        tail = b"".join([*encode(exporter_page(state)), self._about_process])
        self._about_exporter = state, tail
        return tail


class StatusPage:
    """The same as JSON; fresh whenever it is asked for, but for large clusters' rests.

    Args:
        snapshot, state, now: give what is known of the cluster and of the exporter, and when.
        in_thread, seconds: as for the metrics.
    """

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        state: Callable[[], ExporterState],
        now: Callable[[], Moment],
        *,
        in_thread: InThread,
        seconds: Callable[[], float],
    ) -> None:
        self._snapshot, self._state, self._now = snapshot, state, now
        # A new object is unlike all that came before it.
        self._plain: Shared[Body] = Shared(object, self._text, in_thread, seconds)
        self._compressed: Shared[Body] = Shared(object, self._compressed_text, in_thread, seconds)

    def body(self, *, compressed: bool) -> Body | Deferred[Body]:
        """Give the page; compressed it is one gzip member."""
        return self._compressed.get() if compressed else self._plain.get()

    def _text(self) -> tuple[Job[Body], bool]:
        snapshot, state, now = self._snapshot(), self._state(), self._now()
        return lambda: (status.status(snapshot, state, now),), _is_large(snapshot)

    def _compressed_text(self) -> tuple[Job[Body], bool]:
        make_text, _ = self._text()
        return lambda: gzip(compress(make_text())), True


def _is_large(snapshot: Snapshot) -> bool:
    return len(snapshot.series) > SMALL
