"""The pages, asked for over HTTP in memory, behind an entrance that is open to all."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import treq
from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers
from twisted.web.resource import IResource

from maestro_exporter.querying import QueryError, Reply, UnavailableError
from maestro_exporter.snapshot import Moment
from maestro_exporter.web.entrance import Entrance
from maestro_exporter.web.pages import Pages
from maestro_exporter.web.security import Security
from tests.fakes import FakeAnswerer, Log, answering

PAGE = b"# TYPE x gauge\nx 1.0\n"
#: What stands in for it where a client takes gzip.
PACKED = b"\x1f\x8b packed"
PAGE_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STATUS = b'{"format": 1}\n'
HTML = b"<!DOCTYPE html>\n"
VERDICT = b'{"fit": true}\n'
TARGETS = b"[]\n"
ASSETS = {"a.css": ("text/css; charset=utf-8", b"p {}\n"), "b.svg": ("image/svg+xml", b"<svg/>")}
TEXT_TYPE = "text/plain; charset=utf-8"
HTML_TYPE = "text/html; charset=utf-8"
OTHER_METHODS = ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW")

Body = Sequence[bytes] | Deferred[Sequence[bytes]]


class FakePage:
    """A page made of what it is told.

    Args:
        make: gives it.
        pack: gives it compressed.

    Attributes:
        asked: how it was asked for: whether compressed, each time.
    """

    def __init__(
        self, make: Callable[[], Body] = lambda: [PAGE], pack: Callable[[], Body] = lambda: [PACKED]
    ) -> None:
        self._make, self._pack = make, pack
        self.asked: list[bool] = []

    def body(self, *, compressed: bool) -> Body:
        self.asked.append(compressed)
        return self._pack() if compressed else self._make()


def page_of(*pieces: bytes) -> FakePage:
    return FakePage(lambda: pieces)


def broken() -> FakePage:
    """Give a page that cannot be made."""

    def make() -> Body:
        raise ZeroDivisionError("a secret of the inside")

    return FakePage(make, make)


def served(
    metrics: FakePage | None = None,
    status: FakePage | None = None,
    *,
    telemetry_path: str = "/metrics",
    unready: Callable[[], str] = lambda: "",
    unhealthy: Callable[[], str] = lambda: "",
    max_requests: int = 40,
    status_page: FakeAnswerer | None = None,
    check: FakeAnswerer | None = None,
    discovery: FakeAnswerer | None = None,
) -> IResource:
    """Give the pages behind an entrance that is open to all."""
    pages = Pages(
        metrics or page_of(PAGE),
        content_type=PAGE_TYPE,
        telemetry_path=telemetry_path,
        status_page=status_page or answering(HTML, HTML_TYPE),
        assets=ASSETS,
        status=status or page_of(STATUS),
        check=check or answering(VERDICT),
        discovery=discovery or answering(TARGETS),
        unready=unready,
        unhealthy=unhealthy,
        max_requests=max_requests,
    )

    def in_thread(_: object) -> Any:
        raise AssertionError("there is no password to check")

    return Entrance(pages.resource(), Security(None, in_thread, lambda: Moment(0.0, 0.0)))


def _one(name: str, answerer: FakeAnswerer) -> dict[str, Any]:
    """Give the argument of that name."""
    return {name: answerer}


def _same(made: Deferred[Reply]) -> Deferred[Reply]:
    return made


class Answer(NamedTuple):
    """An HTTP response.

    Attributes:
        status: its code.
        headers: its headers but Content-Length.
        length: its Content-Length; of an answer to HEAD, what it would be.
        body: its body.
    """

    status: int
    headers: Headers
    length: int | None
    body: bytes

    def header(self, name: str) -> str | None:
        """Give the only value of a header, or None if it is not there."""
        (value,) = self.headers.getRawHeaders(name, [None])
        return value


class Asking:
    """A request on its way."""

    def __init__(
        self,
        resource: IResource,
        target: bytes,
        method: str = "GET",
        headers: dict[bytes, list[bytes]] | None = None,
    ) -> None:
        self.agent = RequestTraversalAgent(resource)
        self.responding = self.agent.request(
            method.encode(), b"http://exporter.test" + target, Headers(headers or {})
        )


class PagesTestCase(SynchronousTestCase):
    """What the tests of pages share."""

    def ask(
        self,
        target: bytes = b"/",
        method: str = "GET",
        metrics: FakePage | None = None,
        status: FakePage | None = None,
        *,
        headers: dict[bytes, list[bytes]] | None = None,
        **pages: Any,
    ) -> Answer:
        """Give the answer of fresh pages to a request, which goes as it is: nothing is tidied."""
        asking = Asking(served(metrics, status, **pages), target, method, headers)
        return self.answer_to(asking)

    def answer_to(self, asking: Asking) -> Answer:
        """Give the answer to a request, which must be there."""
        asking.agent.flush()
        response: Any = self.successResultOf(asking.responding)
        body: bytes = self.successResultOf(treq.content(response))
        # The client takes the header away when it has used it.
        kept = response.headers.getRawHeaders("Content-Length")
        length = int(kept[0]) if kept else response.length
        return Answer(response.code, response.headers, length, body)

    def assert_plain(self, answer: Answer, status: int, body: bytes) -> None:
        """The answer is this text with all that belongs to it, and shows nothing else."""
        self.assertEqual((answer.status, answer.body), (status, body))
        self.assertEqual(answer.header("Content-Type"), TEXT_TYPE)
        self.assertEqual(answer.length, len(body))

    def assert_problem(self, answer: Answer, status: int, title: str, detail: str = "") -> None:
        """The answer is this problem."""
        self.assertEqual(answer.header("Content-Type"), "application/problem+json")
        self.assertEqual(answer.length, len(answer.body))
        problem = {"type": "about:blank", "title": title, "status": status}
        self.assertEqual(json.loads(answer.body), problem | ({"detail": detail} if detail else {}))
        self.assertEqual(answer.status, status)


class MetricsTests(PagesTestCase):
    """The metrics page."""

    def test_page(self) -> None:
        """The page is what was rendered, with its type, its length and what it may vary by."""
        answer = self.ask(b"/metrics")
        self.assertEqual((answer.status, answer.body), (200, PAGE))
        self.assertEqual(answer.header("Content-Type"), PAGE_TYPE)
        self.assertEqual(answer.length, len(PAGE))
        self.assertEqual(answer.header("Vary"), "Accept-Encoding")
        self.assertIs(answer.header("Content-Encoding"), None)

    def test_page_when_it_comes_in_pieces(self) -> None:
        """Its pieces are joined in their order, whatever their lengths."""
        answer = self.ask(b"/metrics", metrics=page_of(b"a 1\n", b"", b"b 2\n"))
        self.assertEqual((answer.body, answer.length), (b"a 1\nb 2\n", 8))

    def test_page_when_it_is_made_in_another_thread(self) -> None:
        """The answer waits for it, and is the same then."""
        made: Deferred[Sequence[bytes]] = Deferred()
        asking = Asking(served(FakePage(lambda: made)), b"/metrics")
        self.assertNoResult(asking.responding)
        made.callback([b"x ", b"1\n"])
        answer = self.answer_to(asking)
        self.assertEqual((answer.status, answer.body, answer.length), (200, b"x 1\n", 4))
        self.assertEqual(answer.header("Content-Type"), PAGE_TYPE)

    def test_page_when_the_client_takes_gzip(self) -> None:
        """It gets the compressed one, which says that it is, and how long it is."""
        metrics = FakePage()
        answer = self.ask(
            b"/metrics", metrics=metrics, headers={b"Accept-Encoding": [b"deflate, gzip"]}
        )
        self.assertEqual((answer.status, answer.body), (200, PACKED))
        self.assertEqual(answer.header("Content-Encoding"), "gzip")
        self.assertEqual(answer.header("Content-Type"), PAGE_TYPE)
        self.assertEqual(answer.header("Vary"), "Accept-Encoding")
        self.assertEqual(answer.length, len(PACKED))
        self.assertEqual(metrics.asked, [True])

    def test_page_when_the_client_says_so_in_several_headers(self) -> None:
        """They are one list; what is no ASCII in them is no encoding."""
        for values, packed in (
            ([b"br", b"gzip;q=0.5"], True),
            ([b"gzip", b"gzip;q=0"], False),
            ([b"identity"], False),
            ([b"gz\xeep"], False),
            ([b"\xff, gzip"], True),
            ([b""], False),
        ):
            answer = self.ask(b"/metrics", headers={b"Accept-Encoding": values})
            self.assertEqual(answer.body, PACKED if packed else PAGE, values)

    def test_page_when_only_its_head_is_asked_for(self) -> None:
        """HEAD gives the same headers, and no body."""
        for accepted, length in ((b"identity", len(PAGE)), (b"gzip", len(PACKED))):
            headers = {b"Accept-Encoding": [accepted]}
            head = self.ask(b"/metrics", "HEAD", headers=headers)
            page = self.ask(b"/metrics", headers=headers)
            self.assertEqual((head.status, head.body, head.length), (200, b"", length))
            for name in ("Content-Type", "Vary", "Content-Encoding"):
                self.assertEqual(head.header(name), page.header(name))

    def test_page_when_it_is_empty(self) -> None:
        """Its length is given, too."""
        for pieces in ((), (b"",)):
            answer = self.ask(b"/metrics", metrics=page_of(*pieces))
            self.assertEqual((answer.status, answer.body, answer.length), (200, b"", 0))

    def test_page_when_it_is_large(self) -> None:
        """It comes as a whole."""
        page = b"x 1.0\n" * 100_000
        for pieces in ((page,), (page[:1000], page[1000:300_000], page[300_000:])):
            answer = self.ask(b"/metrics", metrics=page_of(*pieces))
            self.assertEqual(answer.length, len(page))
            self.assertEqual(answer.body, page)

    def test_page_when_there_is_a_query(self) -> None:
        """Prometheus may add parameters; they do not matter."""
        self.assertEqual(self.ask(b"/metrics?a=1&b=%ff").body, PAGE)

    def test_page_is_asked_for_at_each_request(self) -> None:
        """Pages keep nothing."""
        texts = iter(([b"1"], [b"2"]))
        resource = served(FakePage(lambda: next(texts)))
        for text in (b"1", b"2"):
            self.assertEqual(self.answer_to(Asking(resource, b"/metrics")).body, text)

    def test_page_is_made_only_when_asked_for(self) -> None:
        """No other request costs what the page costs."""
        metrics = FakePage()
        for target in (b"/", b"/api/v1/status", b"/-/healthy", b"/-/ready", b"/other"):
            self.ask(target, metrics=metrics)
        self.ask(b"/metrics", "POST", metrics)
        self.assertEqual(metrics.asked, [])

    def test_page_elsewhere(self) -> None:
        """With another path, the page is there, and not at the usual one."""
        answer = self.ask(b"/a/b-c_d.e~9", telemetry_path="/a/b-c_d.e~9")
        self.assertEqual((answer.status, answer.body), (200, PAGE))
        self.assertEqual(self.ask(b"/metrics", telemetry_path="/a").status, 404)

    def test_error_when_the_page_cannot_be_made(self) -> None:
        """The answer says nothing of the inside, and the log everything."""

        def failing() -> Body:
            return fail(ZeroDivisionError("a secret of the inside"))

        for metrics in (broken(), FakePage(failing, failing)):
            for method in ("GET", "HEAD"):
                answer = self.ask(b"/metrics", method, metrics)
                body = b"500 Internal Server Error\n"
                self.assertEqual((answer.status, answer.length), (500, len(body)))
                self.assertEqual(answer.body, b"" if method == "HEAD" else body)
                self.assertEqual(answer.header("Content-Type"), TEXT_TYPE)
                (logged,) = self.flushLoggedErrors(ZeroDivisionError)
                self.assertEqual(logged.getErrorMessage(), "a secret of the inside")

    def test_error_when_the_compressed_page_cannot_be_made(self) -> None:
        """The error is not compressed, and does not say so."""
        answer = self.ask(b"/metrics", metrics=broken(), headers={b"Accept-Encoding": [b"gzip"]})
        self.assert_plain(answer, 500, b"500 Internal Server Error\n")
        self.assertIs(answer.header("Content-Encoding"), None)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class StatusTests(PagesTestCase):
    """The status page."""

    def test_page(self) -> None:
        """The page is what was given, as JSON that must not be kept."""
        answer = self.ask(b"/api/v1/status")
        self.assertEqual((answer.status, answer.body), (200, STATUS))
        self.assertEqual(answer.header("Content-Type"), "application/json")
        self.assertEqual(answer.header("Cache-Control"), "no-store")
        self.assertEqual(answer.length, len(STATUS))

    def test_page_when_the_client_takes_gzip(self) -> None:
        """It gets the compressed one, as it does of the metrics."""
        answer = self.ask(
            b"/api/v1/status", status=FakePage(), headers={b"Accept-Encoding": [b"gzip"]}
        )
        self.assertEqual((answer.status, answer.body), (200, PACKED))
        self.assertEqual(answer.header("Content-Encoding"), "gzip")
        self.assertEqual(answer.header("Content-Type"), "application/json")
        self.assertEqual(answer.header("Cache-Control"), "no-store")
        self.assertEqual(answer.header("Vary"), "Accept-Encoding")

    def test_page_when_only_its_head_is_asked_for(self) -> None:
        """HEAD gives the same headers, and no body."""
        head, page = self.ask(b"/api/v1/status", "HEAD"), self.ask(b"/api/v1/status")
        self.assertEqual((head.status, head.body, head.length), (200, b"", len(STATUS)))
        for name in ("Content-Type", "Cache-Control"):
            self.assertEqual(head.header(name), page.header(name))

    def test_page_when_the_metrics_are_elsewhere(self) -> None:
        """It stays where it is."""
        self.assertEqual(self.ask(b"/api/v1/status", telemetry_path="/a").body, STATUS)

    def test_page_when_the_metrics_cannot_be_made(self) -> None:
        """It does not depend on the metrics."""
        self.assertEqual(self.ask(b"/api/v1/status", metrics=broken()).status, 200)

    def test_page_is_made_only_when_asked_for(self) -> None:
        """No other request costs what the page costs."""
        status = FakePage()
        for target in (b"/", b"/metrics", b"/-/healthy", b"/-/ready", b"/api/v1/"):
            self.ask(target, status=status)
        self.ask(b"/api/v1/status", "POST", status=status)
        self.assertEqual(status.asked, [])

    def test_error_when_the_page_cannot_be_made(self) -> None:
        """The answer says nothing of the inside, and may not be kept; the log says everything."""
        answer = self.ask(b"/api/v1/status", status=broken())
        self.assert_problem(answer, 500, "Internal Server Error")
        self.assertEqual(answer.header("Cache-Control"), "no-store")
        (logged,) = self.flushLoggedErrors(ZeroDivisionError)
        self.assertEqual(logged.getErrorMessage(), "a secret of the inside")


class MostRequestsTests(PagesTestCase):
    """How many large pages are on their way at a time."""

    def setUp(self) -> None:
        self.made: list[Deferred[Sequence[bytes]]] = []
        page = FakePage(self.make, self.make)
        self.resource = served(page, page, max_requests=2)

    def make(self) -> Body:
        self.made.append(Deferred())
        return self.made[-1]

    def get(self, target: bytes, method: str = "GET") -> Asking:
        return Asking(self.resource, target, method)

    def test_one_too_many(self) -> None:
        """Who comes when there are enough is told so, and when to come again."""
        waiting = [self.get(b"/metrics"), self.get(b"/api/v1/status")]
        why = "too many pages are on their way"
        plain, problem = (
            self.answer_to(self.get(target)) for target in (b"/metrics", b"/api/v1/status")
        )
        self.assert_plain(plain, 503, f"{why}\n".encode())
        self.assert_problem(problem, 503, "Service Unavailable", why)
        for answer in (plain, problem):
            self.assertEqual(answer.header("Retry-After"), "1")
        head = self.answer_to(self.get(b"/metrics", "HEAD"))
        self.assertEqual((head.status, head.body, head.length), (503, b"", len(why) + 1))
        self.assertEqual(len(self.made), 2)
        for asking, made in zip(waiting, self.made, strict=True):
            made.callback([PAGE])
            self.assertEqual(self.answer_to(asking).body, PAGE)

    def test_small_pages_are_answered(self) -> None:
        """What costs nothing is always there: nobody takes the exporter for dead."""
        for _ in range(2):
            self.get(b"/metrics")
        for target in (b"/assets/a.css", b"/-/healthy", b"/-/ready"):
            self.assertEqual(self.answer_to(self.get(target)).status, 200)
        self.assertEqual(self.answer_to(self.get(b"/other")).status, 404)

    def test_room_for_the_next(self) -> None:
        """Each that is sent, or fails, makes room for another."""
        first, second = self.get(b"/metrics"), self.get(b"/metrics")
        self.made[0].callback([PAGE])
        self.assertEqual(self.answer_to(first).status, 200)
        third = self.get(b"/metrics")
        self.assertNoResult(third.responding)
        self.made[1].errback(ZeroDivisionError())
        self.assertEqual(self.answer_to(second).status, 500)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        fourth = self.get(b"/metrics")
        self.assertNoResult(fourth.responding)
        self.assertEqual(self.answer_to(self.get(b"/metrics")).status, 503)

    def test_pages_that_are_there_at_once(self) -> None:
        """They do not count, however many there are."""
        for page in (page_of(PAGE), FakePage(lambda: succeed([PAGE]))):
            resource = served(page, max_requests=1)
            for _ in range(5):
                self.assertEqual(self.answer_to(Asking(resource, b"/metrics")).status, 200)


class AnswererTests(PagesTestCase):
    """Pages that depend on what stands behind the `?`."""

    PATHS = (
        (b"/", "status_page", HTML_TYPE, HTML),
        (b"/api/v1/check", "check", "application/json", VERDICT),
        (b"/api/v1/discovery", "discovery", "application/json", TARGETS),
    )

    def test_answer(self) -> None:
        """It is what was given, and must not be kept; HEAD gives the same without a body."""
        for path, _, content_type, body in self.PATHS:
            answer, head = self.ask(path), self.ask(path, "HEAD")
            self.assertEqual((answer.status, answer.body), (200, body))
            self.assertEqual((head.status, head.body, head.length), (200, b"", len(body)))
            for each in (answer, head):
                self.assertEqual(each.header("Content-Type"), content_type)
                self.assertEqual(each.header("Cache-Control"), "no-store")
                self.assertEqual(each.header("Vary"), "Accept-Encoding")

    def test_answer_has_a_status_of_its_own(self) -> None:
        """So a script need not read it."""
        check = FakeAnswerer(lambda: Reply(503, "application/json", (VERDICT,)))
        answer = self.ask(b"/api/v1/check", check=check)
        self.assertEqual((answer.status, answer.body), (503, VERDICT))
        self.assertEqual(answer.header("Content-Type"), "application/json")

    def test_question_is_handed_over(self) -> None:
        """All values of each parameter, decoded, the empty ones too; and what the client takes."""
        for path, name, _, _ in self.PATHS:
            answerer = answering(b"")
            target = path + b"?a=1&b=%C3%A9+x&a=&c"
            gzip = {b"Accept-Encoding": [b"gzip"]}
            self.ask(target, headers=gzip, **_one(name, answerer))
            self.assertEqual(answerer.asked, [({"a": ["1", ""], "b": ["é x"], "c": [""]}, True)])

    def test_answer_that_is_compressed_says_so(self) -> None:
        """It need not be, even where the client would take that."""
        gzip = {b"Accept-Encoding": [b"gzip"]}
        for compressed, encoding in ((True, "gzip"), (False, None)):
            page = FakeAnswerer(partial(Reply, 200, HTML_TYPE, (PACKED,), compressed))
            answer = self.ask(b"/", headers=gzip, status_page=page)
            self.assertEqual((answer.body, answer.header("Content-Encoding")), (PACKED, encoding))

    def test_answer_that_is_made_in_another_thread(self) -> None:
        """It is waited for, and counts as one on its way."""
        for path, name, _, _ in self.PATHS:
            made: Deferred[Reply] = Deferred()
            resource = served(max_requests=1, **_one(name, FakeAnswerer(partial(_same, made))))
            asking = Asking(resource, path)
            self.assertNoResult(asking.responding)
            self.assertEqual(self.answer_to(Asking(resource, path)).status, 503)
            made.callback(Reply(200, "text/plain", (b"x",)))
            self.assertEqual(self.answer_to(asking).body, b"x")

    def test_error_when_there_is_no_such_answer(self) -> None:
        """The reason is in the answer: in a line for people, as a problem for scripts."""

        def refuse() -> Reply:
            raise QueryError("senders: give it once")

        for path, name, _, _ in self.PATHS:
            answer = self.ask(path, **_one(name, FakeAnswerer(refuse)))
            if path == b"/":
                self.assert_plain(answer, 400, b"senders: give it once\n")
            else:
                self.assert_problem(answer, 400, "Bad Request", "senders: give it once")
            self.assertIs(answer.header("Retry-After"), None)

    def test_error_when_there_is_no_answer_now(self) -> None:
        """The reason is in the answer, and when to come again; nothing counts as on its way."""

        def refuse() -> Reply:
            raise UnavailableError("it sleeps")

        for path, name, _, _ in self.PATHS:
            resource = served(max_requests=1, **_one(name, FakeAnswerer(refuse)))
            for _ in range(3):
                answer = self.answer_to(Asking(resource, path))
                if path == b"/":
                    self.assert_plain(answer, 503, b"it sleeps\n")
                else:
                    self.assert_problem(answer, 503, "Service Unavailable", "it sleeps")
                self.assertEqual(answer.header("Retry-After"), "1")
                self.assertEqual(answer.header("Cache-Control"), "no-store")
            head = self.answer_to(Asking(resource, path, "HEAD"))
            self.assertEqual((head.status, head.body, head.length), (503, b"", answer.length))
            self.assertEqual(head.header("Retry-After"), "1")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_error_when_the_query_is_no_text(self) -> None:
        """It is refused before anybody is asked."""
        for target in (b"/api/v1/check?a=%ff", b"/api/v1/discovery?%ff=1"):
            answer = self.ask(target)
            self.assert_problem(answer, 400, "Bad Request", "the query is not UTF-8")

    def test_page_for_people_may_only_use_what_comes_from_here(self) -> None:
        """No script, style, picture or connection from elsewhere, or within the page."""
        answer = self.ask(b"/")
        policy = answer.header("Content-Security-Policy") or ""
        self.assertTrue(policy.startswith("default-src 'none'; "))
        self.assertNotIn("unsafe", policy)
        self.assertNotIn("http", policy)
        self.assertEqual(answer.header("X-Content-Type-Options"), "nosniff")


class AssetTests(PagesTestCase):
    """The files that the page for people needs."""

    def test_asset(self) -> None:
        """Each has its type, and is to be asked for again with its tag."""
        for name, (content_type, body) in ASSETS.items():
            answer = self.ask(f"/assets/{name}".encode())
            self.assertEqual((answer.status, answer.body), (200, body))
            self.assertEqual(answer.header("Content-Type"), content_type)
            self.assertEqual(answer.header("Cache-Control"), "no-cache")
            self.assertEqual(answer.header("X-Content-Type-Options"), "nosniff")
            tag = answer.header("ETag")
            assert tag is not None
            again = self.ask(f"/assets/{name}".encode(), headers={b"If-None-Match": [tag.encode()]})
            self.assertEqual((again.status, again.body), (304, b""))

    def test_asset_that_has_changed(self) -> None:
        """It has another tag."""
        answer = self.ask(b"/assets/a.css", headers={b"If-None-Match": [b'"old"']})
        self.assertEqual(answer.status, 200)
        tags = {self.ask(f"/assets/{name}".encode()).header("ETag") for name in ASSETS}
        self.assertEqual(len(tags), len(ASSETS))

    def test_error_when_there_is_no_such_file(self) -> None:
        """Nothing but these files is there."""
        for target in (b"/assets/", b"/assets/c.css", b"/assets/../setup.py", b"/assets/a.css/"):
            self.assertEqual(self.ask(target).status, 404, target)


class ProblemTests(PagesTestCase):
    """Errors of the pages for scripts."""

    def test_errors_are_problems(self) -> None:
        """They are JSON by RFC 9457, whatever is wrong; elsewhere they are a line of text."""
        for target, method, status, title in (
            (b"/api/v1/", "GET", 404, "Not Found"),
            (b"/api/v2/status", "GET", 404, "Not Found"),
            (b"/api/v1/status/", "GET", 404, "Not Found"),
            (b"/api/v1/status", "PUT", 405, "Method Not Allowed"),
            (b"/api/v1/check", "POST", 405, "Method Not Allowed"),
        ):
            self.assert_problem(self.ask(target, method), status, title)
        self.assert_plain(self.ask(b"/api"), 404, b"404 Not Found\n")

    def test_problem_when_only_its_head_is_asked_for(self) -> None:
        """HEAD gives its length, and no body."""
        head, problem = self.ask(b"/api/v1/", "HEAD"), self.ask(b"/api/v1/")
        self.assertEqual((head.status, head.body, head.length), (404, b"", problem.length))


class OtherPagesTests(PagesTestCase):
    """Those that say how the exporter is."""

    def test_health(self) -> None:
        """Whoever asks gets a short text."""
        self.assert_plain(self.ask(b"/-/healthy"), 200, b"maestro-exporter is healthy.\n")

    def test_health_when_the_metrics_cannot_be_made(self) -> None:
        """It does not depend on the metrics."""
        self.assertEqual(self.ask(b"/-/healthy", metrics=broken()).status, 200)

    def test_health_when_a_part_does_not_work(self) -> None:
        """The status says so, and the text why; it is asked each time."""
        reasons = iter(("stopped working: drain", ""))
        resource = served(unhealthy=lambda: next(reasons))
        self.assert_plain(
            self.answer_to(Asking(resource, b"/-/healthy")),
            503,
            b"maestro-exporter is not healthy: stopped working: drain.\n",
        )
        self.assertEqual(self.answer_to(Asking(resource, b"/-/healthy")).status, 200)

    def test_health_when_the_exporter_is_not_ready(self) -> None:
        """An exporter without a broker must not be restarted."""
        self.assertEqual(self.ask(b"/-/healthy", unready=lambda: "no broker").status, 200)

    def test_health_when_only_its_head_is_asked_for(self) -> None:
        """HEAD gives the same length, and no body."""
        head, page = self.ask(b"/-/healthy", "HEAD"), self.ask(b"/-/healthy")
        self.assertEqual((head.status, head.body, head.length), (200, b"", page.length))

    def test_ready(self) -> None:
        """Whoever asks gets a short text."""
        self.assert_plain(self.ask(b"/-/ready"), 200, b"maestro-exporter is ready.\n")

    def test_not_ready(self) -> None:
        """The status says so, and the text why."""
        self.assert_plain(
            self.ask(b"/-/ready", unready=lambda: "no broker"),
            503,
            b"maestro-exporter is not ready: no broker.\n",
        )

    def test_ready_is_asked_each_time(self) -> None:
        """It holds for this moment."""
        reasons = iter(("one", "", "two"))
        resource = served(unready=lambda: next(reasons))
        seen = [self.answer_to(Asking(resource, b"/-/ready")).status for _ in range(3)]
        self.assertEqual(seen, [503, 200, 503])

    def test_ready_when_only_its_head_is_asked_for(self) -> None:
        """HEAD gives the same status and length, and no body."""
        for reason, status in (("", 200), ("no broker", 503)):
            head, page = (
                self.ask(b"/-/ready", method, unready=lambda reason=reason: reason)
                for method in ("HEAD", "GET")
            )
            self.assertEqual((head.status, head.body, head.length), (status, b"", page.length))

    def test_no_answer_says_what_serves_it(self) -> None:
        """Who asks need not know which server this is, nor of which version."""
        for target in (b"/", b"/metrics", b"/api/v1/status", b"/-/healthy", b"/-/ready", b"/other"):
            self.assertIs(self.ask(target).header("Server"), None, target)


class RefusalTests(PagesTestCase):
    """What is not answered."""

    def test_not_found(self) -> None:
        """Any other path has nothing, and says so in one line."""
        for target in (
            b"/metric",
            b"/metrics/",
            b"/metrics/x",
            b"/Metrics",
            b"/metrics%00",
            b"/-/",
            b"/-/read",
            b"/-/ready/",
            b"/-/reload",
            b"/api",
            b"/favicon.ico",
            b"/../etc/passwd",
            b"/%2e%2e/etc/passwd",
            b"/<script>",
            b"/{version}",
            b"/%C3%A9",
            b"/" + b"x" * 5000,
        ):
            self.assert_plain(self.ask(target), 404, b"404 Not Found\n")

    def test_not_found_when_only_the_head_is_asked_for(self) -> None:
        """HEAD has the length of the text, and no body."""
        head = self.ask(b"/other", "HEAD")
        self.assertEqual((head.status, head.body, head.length), (404, b"", 14))

    def test_not_found_when_the_method_is_another(self) -> None:
        """Where nothing is, no method is allowed."""
        self.assert_plain(self.ask(b"/other", "POST"), 404, b"404 Not Found\n")

    def test_method_not_allowed(self) -> None:
        """Pages are there to be read; the answer says by which methods."""
        for target in (b"/", b"/metrics", b"/assets/a.css", b"/-/healthy", b"/-/ready"):
            for method in OTHER_METHODS:
                answer = self.ask(target, method)
                self.assert_plain(answer, 405, b"405 Method Not Allowed\n")
                self.assertEqual(set((answer.header("Allow") or "").split(", ")), {"GET", "HEAD"})

    def test_doubled_slash_is_no_page(self) -> None:
        """There is no redirection to a path that is spelt better."""
        for target in (b"//-//healthy", b"/-//healthy", b"/-/healthy//", b"/metrics//"):
            self.assertEqual(self.ask(target).status, 404, target)

    def test_refusal_when_a_request_is_not_text(self) -> None:
        """A path or a host that cannot be read is the client's fault: no traceback is logged."""
        hosts = (b"\xff", b"a..b", b"a" * 70, "é".encode() + b"x" * 80)
        pages = (b"/metrics", b"/-/healthy", b"/-/ready")
        requests = [
            *((target, {}) for target in (b"/%ff", b"/metrics/%C3%28", b"/-/ready%ff")),
            *((target, {b"Host": [host]}) for target in pages for host in hosts),
        ]
        for target, headers in requests:
            for method in ("GET", "HEAD"):
                answer = self.ask(target, method, headers=headers)
                self.assertEqual((answer.status, answer.length), (400, 16), (target, headers))
                self.assertEqual(answer.body, b"" if method == "HEAD" else b"400 Bad Request\n")
                self.assertEqual(answer.header("Content-Type"), TEXT_TYPE)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_refusals_are_not_logged(self) -> None:
        """A client that asks for nonsense cannot fill the log."""
        events = Log(self).events
        self.ask(b"/other")
        self.ask(b"/metrics", "POST")
        mentions = [event for event in events if "log_failure" in event or "other" in str(event)]
        self.assertEqual(mentions, [])
