"""Pages as they are sent, made once for each state of the data and shared by all who ask.

Small clusters are rendered in the reactor thread: that takes less than handing
the work over.  Large ones are rendered in another thread, from a snapshot that
does not change any more.  Compression is done there in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from twisted.internet.defer import Deferred

from maestro_exporter import discovery, documents, fitness, status, statuspage
from maestro_exporter.compression import Compressed, compress, gzip
from maestro_exporter.exposition import Encoder, encode
from maestro_exporter.fitness import Demands, judge
from maestro_exporter.metrics import cluster_page, exporter_page
from maestro_exporter.querying import Query, Reply, UnavailableError, answers
from maestro_exporter.sharing import InThread, Job, Paced, Shared, SharedByQuestion
from maestro_exporter.snapshot import ExporterState, Moment, Snapshot
from maestro_exporter.statuspage import Known, Question
from maestro_exporter.verdict import verdict_document

SMALL = 500  # series; rendered in 4 ms
SMALL_BYTES = 256 * 1024
PROCESS_PERIOD = 1.0  # seconds between two looks at the process, which take as long as a request

T = TypeVar("T")
#: A page in pieces, in their order.  Pages of the same data share their large pieces.
Body = Sequence[bytes]


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


class StatusDocument:
    """The same as JSON; fresh whenever it is asked for, but for large clusters' rests.

    Args:
        snapshot: gives what is known of the cluster.
        state: gives what the exporter knows of itself.
        now: gives the present moment.
        in_thread: runs a job in another thread.
        seconds: a clock that never steps.
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


class StatusPage:
    """The same as HTML, for people: made at most once a second for each question.

    Args:
        known: gives all that it shows; asked once a second at most.
        telemetry_path: where the metrics are.
        paced: runs a job in another thread: each page is made there, and questions are many.
        seconds: a clock that never steps.
    """

    def __init__(
        self,
        known: Callable[[], Known],
        telemetry_path: str,
        *,
        paced: Paced,
        seconds: Callable[[], float],
    ) -> None:
        self._paced = paced
        self._telemetry_path = telemetry_path

        def second() -> int:
            return int(seconds())

        self._known: Shared[Known] = Shared(second, lambda: (known, False), paced, seconds)
        self._bodies: SharedByQuestion[tuple[Question, bool], Body] = SharedByQuestion(
            # The rest is that of all of them together.
            lambda asked: Shared(second, lambda: self._prepare(*asked), paced, seconds, rest=0)
        )

    def reply(self, query: Query, *, compressed: bool) -> Reply | Deferred[Reply]:
        """Give the page that a query asks for; what it asks beside that is ignored.

        Raises:
            QueryError: it asks for something that there is not.
            UnavailableError: too many have asked, each for something else.
        """
        names = {each.name for each in statuspage.PARAMETERS}
        asked = {name: texts for name, texts in query.items() if name in names}
        question = Question(**answers(asked, statuspage.PARAMETERS))
        if self._paced.full:
            raise UnavailableError("too many are looking, each at something else")
        made = self._bodies.get((question, compressed))
        return _reply(made, statuspage.CONTENT_TYPE, compressed=compressed)

    def _prepare(self, question: Question, compressed: bool) -> tuple[Job[Body], bool]:
        known: Any = self._known.get()  # at once, since it is not large

        def make() -> Body:
            text = statuspage.page(known, question, self._telemetry_path)
            return gzip(compress((text,))) if compressed else (text,)

        return make, True


class Verdicts:
    """Whether the cluster is fit for a test, as JSON: with 200 if it is, else with 503.

    Args:
        snapshot: gives what is known of the cluster.
        state: gives what the exporter knows of itself.
        now: gives the present moment.
        unready: says why the exporter does not know yet; empty if it does.
        in_thread: runs a job in another thread.
        seconds: a clock that never steps.
    """

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        state: Callable[[], ExporterState],
        now: Callable[[], Moment],
        unready: Callable[[], str],
        *,
        in_thread: InThread,
        seconds: Callable[[], float],
    ) -> None:
        self._snapshot, self._state, self._now, self._unready = snapshot, state, now, unready
        self._replies: SharedByQuestion[Demands, Reply] = SharedByQuestion(
            lambda demands: Shared(object, lambda: self._prepare(demands), in_thread, seconds)
        )

    def reply(self, query: Query, *, compressed: bool) -> Reply | Deferred[Reply]:
        """Give the verdict on what a query demands, never compressed.

        Raises:
            QueryError: it demands something that cannot be demanded.
        """
        return self._replies.get(Demands(**answers(query, fitness.PARAMETERS)))

    def _prepare(self, demands: Demands) -> tuple[Job[Reply], bool]:
        snapshot, state, now, unready = (
            self._snapshot(),
            self._state(),
            self._now(),
            self._unready(),
        )

        def make() -> Reply:
            verdict = judge(snapshot, state, now, demands, unready)
            body = verdict_document(verdict, snapshot, state, now)
            return Reply(200 if verdict.fit else 503, documents.CONTENT_TYPE, (body,))

        return make, _is_large(snapshot)


class Discovery:
    """Where the live peers are, for Prometheus.

    Args:
        generation: of the snapshot that would be given now.
        snapshot: gives what is known of the cluster.
        unready: says why the exporter does not know yet; empty if it does.
        in_thread: runs a job in another thread.
        seconds: a clock that never steps.
    """

    def __init__(
        self,
        generation: Callable[[], int],
        snapshot: Callable[[], Snapshot],
        unready: Callable[[], str],
        *,
        in_thread: InThread,
        seconds: Callable[[], float],
    ) -> None:
        self._snapshot, self._unready = snapshot, unready
        self._bodies: SharedByQuestion[int, Body] = SharedByQuestion(
            lambda port: Shared(generation, lambda: self._prepare(port), in_thread, seconds)
        )

    def reply(self, query: Query, *, compressed: bool) -> Reply | Deferred[Reply]:
        """Give the targets at the port that a query asks for, never compressed.

        Raises:
            QueryError: it asks for something that there is not.
            UnavailableError: nothing is known now.  Prometheus then keeps what it was told
                before; of an empty list it would believe that all peers are gone.
        """
        port = answers(query, discovery.PARAMETERS)["port"]
        unready = self._unready()
        if unready:
            raise UnavailableError(unready)
        return _reply(self._bodies.get(port), documents.CONTENT_TYPE)

    def _prepare(self, port: int) -> tuple[Job[Body], bool]:
        snapshot = self._snapshot()
        return lambda: (discovery.targets(snapshot, port),), _is_large(snapshot)


def _reply(
    made: Body | Deferred[Body], content_type: str, *, compressed: bool = False
) -> Reply | Deferred[Reply]:
    if isinstance(made, Deferred):
        return made.addCallback(lambda body: Reply(200, content_type, body, compressed))
    return Reply(200, content_type, made, compressed)


def _is_large(snapshot: Snapshot) -> bool:
    return len(snapshot.series) > SMALL
