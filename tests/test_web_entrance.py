"""What every request has to pass, asked over connections in memory."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.snapshot import Moment
from maestro_exporter.web.config import WebConfig
from maestro_exporter.web.entrance import Entrance
from maestro_exporter.web.pages import Pages
from maestro_exporter.web.security import Security
from maestro_exporter.web.server import BoundedSite
from tests.fakes import Log, answering
from tests.test_web_server import Answer, Static, Wire, get, read_answers

OPEN = (b"/-/healthy", b"/-/ready")
BEHIND = (b"/", b"/metrics", b"/api/v1/status", b"/other", b"/-/", b"/-/healthy/", b"/-/readyx")
BAD_HOST = b"Host: " + b"a" * 64 + b".test"
TEXT = "text/plain; charset=utf-8"


def basic(credentials: bytes, scheme: bytes = b"Basic") -> bytes:
    """Give the header of credentials."""
    return b"Authorization: " + scheme + b" " + b64encode(credentials)


class Users:
    """Stands in for the credentials.

    Attributes:
        answer: to whoever asks.
        asked: what was asked.
    """

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[tuple[str, bytes]] = []

    def check(self, user: str, password: bytes, wanted: Callable[[], bool]) -> Any:
        self.asked.append((user, password))
        self.wanted = wanted
        return self.answer


class EntranceTestCase(SynchronousTestCase):
    """The whole site, whose security the test decides."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.log = Log(self)
        unused: Any = None
        self.security = Security(None, unused, lambda: Moment(0.0, 0.0))
        pages = Pages(
            Static(b"metrics\n"),
            content_type="text/plain",
            telemetry_path="/metrics",
            status_page=answering(b"<html>"),
            assets={},
            status=Static(b"{}\n"),
            check=answering(b"{}\n"),
            discovery=answering(b"[]\n"),
            unready=lambda: "",
            unhealthy=lambda: "",
            max_requests=5,
        )
        self.pages: Any = pages.resource()
        self.site = BoundedSite(Entrance(self.pages, self.security), self.reactor)

    def users(self, answer: Any) -> Users:
        """Have passwords be asked for."""
        users = Users(answer)
        self.security.credentials = users  # type: ignore[assignment]
        return users

    def send(self, path: bytes, *headers: bytes) -> Wire:
        """Give the connection of a client that has asked."""
        wire = Wire(self.reactor, self.site)
        wire.send(get(path, *headers))
        return wire

    def ask(self, path: bytes, *headers: bytes) -> Answer:
        """Give the answer."""
        (answer,) = self.send(path, *headers).answers
        return answer

    def assert_plain(self, answer: Answer, status: int, body: bytes) -> None:
        """The answer is this text, and shows nothing else."""
        self.assertEqual((answer.status, answer.body), (status, body))
        self.assertEqual(answer.headers["content-type"], TEXT)
        self.assertEqual(answer.headers["content-length"], str(len(body)))
        self.assertNotIn("server", answer.headers)

    def assert_error(self, answer: Answer, path: bytes, status: int, title: str) -> None:
        """The answer is this error, as a problem where scripts ask, and shows nothing else."""
        if not path.startswith(b"/api/"):
            self.assert_plain(answer, status, f"{status} {title}\n".encode())
            return
        problem = {"type": "about:blank", "title": title, "status": status}
        self.assertEqual((answer.status, json.loads(answer.body)), (status, problem))
        self.assertEqual(answer.headers["content-type"], "application/problem+json")
        self.assertNotIn("server", answer.headers)

    def assert_refused(self, answer: Answer, path: bytes = b"/") -> None:
        """The answer asks for a password."""
        self.assert_error(answer, path, 401, "Unauthorized")
        self.assertEqual(
            answer.headers["www-authenticate"], 'Basic realm="maestro-exporter", charset="UTF-8"'
        )


class OpenTests(EntranceTestCase):
    """Without a password."""

    def test_pages(self) -> None:
        """All pages are there, and none says what serves them."""
        for path, status in ((b"/", 200), (b"/metrics", 200), (b"/-/ready", 200), (b"/x", 404)):
            answer = self.ask(path)
            self.assertEqual(answer.status, status)
            self.assertNotIn("server", answer.headers)
            self.assertNotIn("www-authenticate", answer.headers)

    def test_credentials_that_nobody_asked_for(self) -> None:
        """They do not matter."""
        self.assertEqual(self.ask(b"/metrics", basic(b"a:b")).body, b"metrics\n")

    def test_unreadable(self) -> None:
        """What Klein would stumble over is refused before, without a traceback."""
        for path, header in (
            (b"/%ff", b"A: b"),
            (b"/\xb0", b"A: b"),
            (b"/metrics", b"Host: \xff"),
            (b"/metrics", BAD_HOST),
        ):
            wire = Wire(self.reactor, self.site)
            wire.send(b"GET " + path + b" HTTP/1.1\r\n" + header + b"\r\n\r\n")
            (answer,) = wire.answers
            self.assert_plain(answer, 400, b"400 Bad Request\n")
        self.assertEqual(self.flushLoggedErrors(), [])


class PasswordTests(EntranceTestCase):
    """With passwords."""

    def test_missing_or_malformed(self) -> None:
        """Without credentials that can be read there is a 401, and nothing is checked."""
        users = self.users(True)
        for header in (
            b"A: b",
            b"Authorization:",
            b"Authorization: Basic",
            b"Authorization: Basic ",
            b"Authorization: Basic ====",
            b"Authorization: Basic YTpi!",
            b"Authorization: Basic YTp",
            b"Authorization: Basic YTpi YTpi",
            b"Authorization: Basic \xff",
            basic(b"no colon"),
            basic(b"\xff:x"),
            basic(b"a:b", b"Bearer"),
            basic(b"a:b", b"Basi"),
        ):
            for path in BEHIND:
                self.assert_refused(self.ask(path, header), path)
        self.assertEqual(users.asked, [])

    def test_credentials(self) -> None:
        """User and password are separated by the first colon; the scheme has no case."""
        users = self.users(True)
        for sent, user, password in (
            (b"a:b", "a", b"b"),
            (b"a:b:c", "a", b"b:c"),
            (b":", "", b""),
            (b"a:", "a", b""),
            ("ä:ö".encode(), "ä", "ö".encode()),
            (b"a:\xff\0", "a", b"\xff\0"),
        ):
            for scheme in (b"Basic", b"basic", b"BASIC"):
                self.assertEqual(self.ask(b"/metrics", basic(sent, scheme)).body, b"metrics\n")
                self.assertEqual(users.asked.pop(), (user, password))

    def test_remembered(self) -> None:
        """Who is known gets the page at once; who is not, gets none."""
        self.users(True)
        self.assertEqual(self.ask(b"/metrics", basic(b"a:b")).body, b"metrics\n")
        self.users(False)
        self.assertEqual(len(self.send(b"/metrics", basic(b"a:b")).answers), 1)

    def test_right(self) -> None:
        """When the check is over, the page comes; also one of an unknown path."""
        for path, status in ((b"/metrics", 200), (b"/other", 404)):
            checked: Deferred[bool] = Deferred()
            self.users(checked)
            wire = self.send(path, basic(b"a:b"))
            self.assertEqual(wire.answers, [])
            checked.callback(True)
            wire.pump()
            self.assertEqual([each.status for each in wire.answers], [status])
            wire.send(get(b"/-/ready"))
            self.assertEqual(len(wire.answers), 2)

    def test_wrong(self) -> None:
        """When the check fails, a 401 comes, and the connection is kept."""
        checked: Deferred[bool] = Deferred()
        self.users(checked)
        wire = self.send(b"/metrics", basic(b"a:b"))
        checked.callback(False)
        wire.pump()
        (answer,) = wire.answers
        self.assert_refused(answer)
        wire.send(get(b"/-/ready"))
        self.assertEqual(len(wire.answers), 2)

    def test_head(self) -> None:
        """An answer to HEAD has no body, at once or after a check."""
        for credentials, status in ((b"a:b", 200), (b"", 401)):
            checked: Deferred[bool] = Deferred()
            self.users(checked)
            wire = Wire(self.reactor, self.site)
            wire.send(get(b"/metrics", basic(credentials)).replace(b"GET", b"HEAD"))
            checked.callback(True)
            wire.pump()
            (answer,) = read_answers(bytes(wire.read), head=True)
            self.assertEqual(answer.status, status)
            self.assertNotEqual(answer.headers["content-length"], "0")

    def test_host_that_is_none(self) -> None:
        """What only Klein finds wrong is a 400 also after a check."""
        checked: Deferred[bool] = Deferred()
        self.users(checked)
        wire = Wire(self.reactor, self.site)
        wire.send(get(b"/metrics", basic(b"a:b")).replace(b"Host: x", BAD_HOST))
        self.assertEqual(wire.answers, [])
        checked.callback(True)
        wire.pump()
        self.assert_plain(wire.answers[0], 400, b"400 Bad Request\n")

    def test_too_many(self) -> None:
        """While too many are checked, there is a 503."""
        self.users(None)
        self.assert_plain(self.ask(b"/metrics", basic(b"a:b")), 503, b"503 Service Unavailable\n")

    def test_client_leaves(self) -> None:
        """A client that leaves during the check gets nothing, and no page is made for it."""
        for outcome in (True, False, ValueError()):
            checked: Deferred[bool] = Deferred()
            users = self.users(checked)
            wire = self.send(b"/metrics", basic(b"a:b"))
            self.assertTrue(users.wanted())
            wire.close()
            self.assertFalse(users.wanted())
            with mock.patch.object(self.pages, "render", side_effect=AssertionError) as render:
                if isinstance(outcome, bool):
                    checked.callback(outcome)
                else:
                    checked.errback(outcome)
            render.assert_not_called()
            self.assertEqual((bytes(wire.read), wire.unsent), (b"", 0))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_failure(self) -> None:
        """A check that fails is a 500 that says nothing of the inside, which the log does."""
        checked: Deferred[bool] = Deferred()
        self.users(checked)
        wire = self.send(b"/metrics", basic(b"a:secret"))
        checked.errback(ValueError("inside"))
        wire.pump()
        (answer,) = wire.answers
        self.assert_plain(answer, 500, b"500 Internal Server Error\n")
        self.assertEqual(self.log.lines(), ["A password could not be checked"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_open_paths(self) -> None:
        """Load balancers need no password, wherever they get the answer."""
        users = self.users(False)
        for path in OPEN:
            self.assertEqual(self.ask(path).status, 200)
            self.assertEqual(self.ask(path + b"?a").status, 200)
        self.assertEqual(users.asked, [])


class RateTests(EntranceTestCase):
    """The rate of requests."""

    def test_too_often(self) -> None:
        """There is a 429, before a password is looked at; but not for load balancers."""
        users = self.users(True)
        self.patch(self.security, "may_ask_now", lambda: False)
        for path in BEHIND:
            answer = self.ask(path, basic(b"a:b"))
            self.assert_error(answer, path, 429, "Too Many Requests")
        for path in OPEN:
            self.assertEqual(self.ask(path).status, 200)
        self.assertEqual(users.asked, [])

    def test_what_counts(self) -> None:
        """Each request counts once, but for those of load balancers and unreadable ones."""
        counted: list[bool] = []
        self.patch(self.security, "may_ask_now", lambda: not counted.append(True))  # type: ignore[func-returns-value]
        for path in (b"/-/ready", b"/-/healthy", b"/%ff"):
            self.ask(path)
        self.assertEqual(len(counted), 0)
        self.ask(b"/metrics")
        self.assertEqual(len(counted), 1)


class HeaderTests(EntranceTestCase):
    """Headers of the configuration."""

    def test_on_every_answer(self) -> None:
        """They are on each, whatever it says, as of the time of asking."""
        headers = {"X-Frame-Options": "deny", "Strict-Transport-Security": "max-age=1"}
        self.security.config = WebConfig(headers=headers)
        checked: Deferred[bool] = Deferred()
        checked.errback(ValueError())
        given = [self.ask(path) for path in (b"/", b"/metrics", b"/other", b"/-/ready", b"/%ff")]
        for answer in (None, checked):
            self.users(answer)
            given.append(self.ask(b"/metrics", basic(b"a:b")))
        given.append(self.ask(b"/metrics"))
        self.patch(self.security, "may_ask_now", lambda: False)
        given.append(self.ask(b"/metrics"))
        self.assertEqual(
            [each.status for each in given], [200, 200, 404, 200, 400, 503, 500, 401, 429]
        )
        for each in given:
            for name, value in headers.items():
                self.assertEqual(each.headers[name.lower()], value)
            self.assertNotIn("server", each.headers)
        self.flushLoggedErrors(ValueError)
        self.security.config = WebConfig()
        self.assertNotIn("x-frame-options", self.ask(b"/").headers)
