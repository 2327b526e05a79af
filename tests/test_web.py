"""The pages, asked for over HTTP in memory."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any, NamedTuple

import treq
from treq.testing import RequestTraversalAgent, StubTreq
from twisted.internet.address import IPv4Address
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource

from maestro_exporter.web import Pages, QuietSite
from tests.fakes import Log

PAGE = b"# TYPE x gauge\nx 1.0\n"
PAGE_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STATUS = b'{"format": 1}\n'
TEXT_TYPE = "text/plain; charset=utf-8"
HTML_TYPE = "text/html; charset=utf-8"
OTHER_METHODS = ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW")


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


class PagesTestCase(SynchronousTestCase):
    """What the tests of pages share."""

    def ask(
        self,
        target: bytes = b"/",
        method: str = "GET",
        *,
        render: Callable[[], bytes] = lambda: PAGE,
        telemetry_path: str = "/metrics",
        status: Callable[[], bytes] = lambda: STATUS,
        version: str = "1.2.3",
        headers: dict[bytes, list[bytes]] | None = None,
    ) -> Answer:
        """Give the answer of fresh pages to a request, which goes as it is: nothing is tidied."""
        pages = Pages(
            render,
            content_type=PAGE_TYPE,
            telemetry_path=telemetry_path,
            status=status,
            version=version,
        )
        agent = RequestTraversalAgent(pages.resource())
        responding = agent.request(
            method.encode(), b"http://exporter.test" + target, Headers(headers or {})
        )
        agent.flush()
        response: Any = self.successResultOf(responding)
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


class MetricsTests(PagesTestCase):
    """The metrics page."""

    def test_page(self) -> None:
        """The page is what was rendered, with its type, its length and what it may vary by."""
        answer = self.ask(b"/metrics")
        self.assertEqual((answer.status, answer.body), (200, PAGE))
        self.assertEqual(answer.header("Content-Type"), PAGE_TYPE)
        self.assertEqual(answer.length, len(PAGE))
        self.assertEqual(answer.header("Vary"), "Accept-Encoding")

    def test_page_when_only_its_head_is_asked_for(self) -> None:
        """HEAD gives the same headers, and no body."""
        head, page = self.ask(b"/metrics", "HEAD"), self.ask(b"/metrics")
        self.assertEqual((head.status, head.body, head.length), (200, b"", len(PAGE)))
        for name in ("Content-Type", "Vary"):
            self.assertEqual(head.header(name), page.header(name))

    def test_page_when_it_is_empty(self) -> None:
        """Its length is given, too."""
        answer = self.ask(b"/metrics", render=lambda: b"")
        self.assertEqual((answer.status, answer.body, answer.length), (200, b"", 0))

    def test_page_when_it_is_large(self) -> None:
        """It comes as a whole."""
        page = b"x 1.0\n" * 100_000
        answer = self.ask(b"/metrics", render=lambda: page)
        self.assertEqual(answer.length, len(page))
        self.assertEqual(answer.body, page)

    def test_page_when_there_is_a_query(self) -> None:
        """Prometheus may add parameters; they do not matter."""
        self.assertEqual(self.ask(b"/metrics?a=1&b=%ff").body, PAGE)

    def test_page_is_rendered_for_each_request(self) -> None:
        """Pages keep nothing."""
        texts = iter((b"1", b"2"))
        pages = Pages(
            lambda: next(texts),
            content_type="x",
            telemetry_path="/m",
            status=lambda: STATUS,
            version="1",
        )
        client: Any = StubTreq(pages.resource())
        for text in (b"1", b"2"):
            response = self.successResultOf(client.get("http://exporter.test/m"))
            self.assertEqual(self.successResultOf(client.content(response)), text)

    def test_page_is_rendered_only_when_asked_for(self) -> None:
        """No other request costs what the page costs."""
        rendered: list[bytes] = []

        def render() -> bytes:
            rendered.append(PAGE)
            return PAGE

        for target in (b"/", b"/api/v1/status", b"/-/healthy", b"/other"):
            self.ask(target, render=render)
        self.ask(b"/metrics", "POST", render=render)
        self.assertEqual(rendered, [])

    def test_page_elsewhere(self) -> None:
        """With another path, the page is there, and not at the usual one."""
        answer = self.ask(b"/a/b-c_d.e~9", telemetry_path="/a/b-c_d.e~9")
        self.assertEqual((answer.status, answer.body), (200, PAGE))
        self.assertEqual(self.ask(b"/metrics", telemetry_path="/a").status, 404)

    def test_error_when_the_page_cannot_be_rendered(self) -> None:
        """The answer says nothing of the inside, and the log everything."""

        def render() -> bytes:
            raise ZeroDivisionError("a secret of the inside")

        for method in ("GET", "HEAD"):
            answer = self.ask(b"/metrics", method, render=render)
            body = b"500 Internal Server Error\n"
            self.assertEqual((answer.status, answer.length), (500, len(body)))
            self.assertEqual(answer.body, b"" if method == "HEAD" else body)
            self.assertEqual(answer.header("Content-Type"), TEXT_TYPE)
            (logged,) = self.flushLoggedErrors(ZeroDivisionError)
            self.assertEqual(logged.getErrorMessage(), "a secret of the inside")


class StatusTests(PagesTestCase):
    """The status page."""

    def test_page(self) -> None:
        """The page is what was given, as JSON that must not be kept."""
        answer = self.ask(b"/api/v1/status")
        self.assertEqual((answer.status, answer.body), (200, STATUS))
        self.assertEqual(answer.header("Content-Type"), "application/json")
        self.assertEqual(answer.header("Cache-Control"), "no-store")
        self.assertEqual(answer.length, len(STATUS))

    def test_page_when_only_its_head_is_asked_for(self) -> None:
        """HEAD gives the same headers, and no body."""
        head, page = self.ask(b"/api/v1/status", "HEAD"), self.ask(b"/api/v1/status")
        self.assertEqual((head.status, head.body, head.length), (200, b"", len(STATUS)))
        for name in ("Content-Type", "Cache-Control"):
            self.assertEqual(head.header(name), page.header(name))

    def test_page_when_the_metrics_are_elsewhere(self) -> None:
        """It stays where it is."""
        self.assertEqual(self.ask(b"/api/v1/status", telemetry_path="/a").body, STATUS)

    def test_page_when_the_metrics_cannot_be_rendered(self) -> None:
        """It does not depend on the metrics."""

        def render() -> bytes:
            raise ZeroDivisionError

        self.assertEqual(self.ask(b"/api/v1/status", render=render).status, 200)

    def test_page_is_made_only_when_asked_for(self) -> None:
        """No other request costs what the page costs."""
        made: list[bytes] = []

        def status() -> bytes:
            made.append(STATUS)
            return STATUS

        for target in (b"/", b"/metrics", b"/-/healthy", b"/api/v1/"):
            self.ask(target, status=status)
        self.ask(b"/api/v1/status", "POST", status=status)
        self.assertEqual(made, [])

    def test_error_when_the_page_cannot_be_made(self) -> None:
        """The answer says nothing of the inside, and may not be kept; the log says everything."""

        def status() -> bytes:
            raise ZeroDivisionError("a secret of the inside")

        answer = self.ask(b"/api/v1/status", status=status)
        self.assert_plain(answer, 500, b"500 Internal Server Error\n")
        self.assertEqual(answer.header("Cache-Control"), "no-store")
        (logged,) = self.flushLoggedErrors(ZeroDivisionError)
        self.assertEqual(logged.getErrorMessage(), "a secret of the inside")


class OtherPagesTests(PagesTestCase):
    """The landing page and the health page."""

    def test_landing_page(self) -> None:
        """It says what this is and its version, and links to the metrics and the status."""
        answer = self.ask(b"/")
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.header("Content-Type"), HTML_TYPE)
        self.assertEqual(answer.length, len(answer.body))
        self.assertIn(b"<h1>maestro-exporter</h1>", answer.body)
        self.assertIn(b"Maestro test cluster", answer.body)
        self.assertIn(b"Version 1.2.3.", answer.body)
        self.assertIn(b'<a href="/metrics">', answer.body)
        self.assertIn(b'<a href="/api/v1/status">', answer.body)

    def test_landing_page_when_the_metrics_are_elsewhere(self) -> None:
        """The link leads to them."""
        self.assertIn(b'<a href="/a/b">', self.ask(b"/", telemetry_path="/a/b").body)

    def test_landing_page_when_the_version_is_odd(self) -> None:
        """What is no HTML is escaped."""
        version = '1<script>&"{0}{version}%s'
        body = self.ask(b"/", version=version).body
        self.assertIn(f"Version {html.escape(version)}.".encode(), body)
        self.assertNotIn(b"<script>", body)

    def test_landing_page_when_only_its_head_is_asked_for(self) -> None:
        """HEAD gives the same length, and no body."""
        head, page = self.ask(b"/", "HEAD"), self.ask(b"/")
        self.assertEqual((head.status, head.body, head.length), (200, b"", page.length))

    def test_health(self) -> None:
        """Whoever asks gets a short text."""
        self.assert_plain(self.ask(b"/-/healthy"), 200, b"maestro-exporter is healthy.\n")

    def test_health_when_the_metrics_cannot_be_rendered(self) -> None:
        """It does not depend on the metrics."""

        def render() -> bytes:
            raise ZeroDivisionError

        self.assertEqual(self.ask(b"/-/healthy", render=render).status, 200)

    def test_health_when_only_its_head_is_asked_for(self) -> None:
        """HEAD gives the same length, and no body."""
        head, page = self.ask(b"/-/healthy", "HEAD"), self.ask(b"/-/healthy")
        self.assertEqual((head.status, head.body, head.length), (200, b"", page.length))


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
            b"/-/ready",
            b"/api/v1/",
            b"/api/v1/status/",
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
        for target in (b"/", b"/metrics", b"/api/v1/status", b"/-/healthy"):
            for method in OTHER_METHODS:
                answer = self.ask(target, method)
                self.assert_plain(answer, 405, b"405 Method Not Allowed\n")
                self.assertEqual(set((answer.header("Allow") or "").split(", ")), {"GET", "HEAD"})

    def test_doubled_slash_is_no_page(self) -> None:
        """There is no redirection to a path that is spelt better."""
        for target in (b"//-//healthy", b"/-//healthy", b"/-/healthy//"):
            self.assertEqual(self.ask(target).status, 404, target)

    def test_refusal_when_a_request_is_not_text(self) -> None:
        """A path or a host that cannot be read is the client's fault: no traceback is logged."""
        hosts = (b"\xff", b"a..b", b"a" * 70, "é".encode() + b"x" * 80)
        requests = [(b"/%ff", {}), *((b"/metrics", {b"Host": [host]}) for host in hosts)]
        for target, headers in requests:
            for method in ("GET", "HEAD"):
                answer = self.ask(target, method, headers=headers)
                self.assertEqual(answer.status, 400)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_refusals_are_not_logged(self) -> None:
        """A client that asks for nonsense cannot fill the log."""
        events = Log(self).events
        self.ask(b"/other")
        self.ask(b"/metrics", "POST")
        mentions = [event for event in events if "log_failure" in event or "other" in str(event)]
        self.assertEqual(mentions, [])


class QuietSiteTests(SynchronousTestCase):
    """The HTTP server."""

    def test_requests_and_start_are_not_logged(self) -> None:
        """Neither a scrape nor listening is a line of its own."""
        events = Log(self).events
        pages = Pages(
            lambda: PAGE,
            content_type=PAGE_TYPE,
            telemetry_path="/m",
            status=lambda: STATUS,
            version="1",
        )
        site = QuietSite(pages.resource(), reactor=MemoryReactorClock())
        site.doStart()
        transport = StringTransport(peerAddress=IPv4Address("TCP", "192.0.2.1", 1234))
        protocol: Any = site.buildProtocol(transport.getPeer())
        protocol.makeConnection(transport)
        protocol.dataReceived(b"GET /m HTTP/1.0\r\n\r\n")
        site.doStop()
        self.assertTrue(transport.value().endswith(PAGE))
        self.assertEqual(events, [])

    def test_tracebacks_are_not_shown(self) -> None:
        """A resource that is not ours has no traceback in its answer either."""
        self.assertFalse(QuietSite(Resource()).displayTracebacks)
