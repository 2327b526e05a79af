"""The web configuration in force: loaded, loaded again, refused."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from OpenSSL.SSL import TLS_METHOD, Context
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.settings import StartError
from maestro_exporter.snapshot import Moment, Reload
from maestro_exporter.web import config
from maestro_exporter.web.config import RateLimit, WebConfig, WebConfigError
from maestro_exporter.web.security import Security
from tests.fakes import Log

HASH = "$2y$04$MvONIs8aJxh75objxcVaTuUU2G0NkzP9iSZnk.2CISmozzcdcn1ri"
CERTIFICATES = Path(__file__).parent / "web_config" / "certificates"


class SecurityTestCase(SynchronousTestCase):
    """A web configuration that is what the test says.

    Attributes:
        found: what there is to load; an error is raised.
        loads: how often it was.
    """

    path = Path("/etc/web.yml")

    def setUp(self) -> None:
        self.found: WebConfig | WebConfigError = WebConfig(files=(self.path,))
        self.loads = 0
        self.seconds = 100.0
        self.log = Log(self)
        self.security = Security(self.path, self.in_thread, self.now)
        self.patch(config, "load", self.load)

    def in_thread(self, job: Callable[[], bool]) -> Deferred[bool]:
        return succeed(True)

    def now(self) -> Moment:
        return Moment(self.seconds, 1_700_000_000.0 + self.seconds)

    def load(self, path: Path) -> WebConfig:
        self.assertEqual(path, self.path)
        self.loads += 1
        if isinstance(self.found, WebConfigError):
            raise self.found
        return self.found

    def say(self, **fields: Any) -> None:
        """Have the file say something."""
        self.found = WebConfig(**{"files": (self.path,), **fields})

    def fail_with(self, *files: Path) -> None:
        """Have the file be wrong."""
        self.found = WebConfigError("/etc/web.yml:3: wrong", (self.path, *files))

    def reload(self, seconds: float = 1.0) -> None:
        """Load again, a while later."""
        self.seconds += seconds
        self.security.reload()


class StartTests(SecurityTestCase):
    """The first loading."""

    def test_without_a_file(self) -> None:
        """Nothing is loaded; all may ask, over plain HTTP, as often as they like."""
        security = Security(None, self.in_thread, self.now)
        self.assertEqual(security.files, ())
        security.privilegedStartService()
        security.startService()
        security.reload()
        self.assertEqual(self.loads, 0)
        self.assertEqual(security.config, WebConfig())
        self.assertIsNone(security.credentials)
        self.assertIsNone(security.last_reload)
        self.assertTrue(all(security.may_ask_now() for _ in range(1000)))
        self.assertEqual(self.log.events, [])

    def test_start(self) -> None:
        """The file is loaded once, while there are privileges, or else when it starts."""
        self.security.privilegedStartService()
        self.assertEqual(self.loads, 1)
        self.security.startService()
        self.assertEqual(self.loads, 1)
        self.assertTrue(self.security.running)
        other = Security(self.path, self.in_thread, self.now)
        other.startService()
        self.assertEqual(self.loads, 2)
        for security in (self.security, other):
            self.assertIs(security.config, self.found)
            self.assertEqual(security.last_reload, Reload(True, self.now()))

    def test_wrong(self) -> None:
        """An error ends the start, in one line."""
        self.fail_with()
        for start in (self.security.privilegedStartService, self.security.startService):
            error = self.assertRaises(StartError, start)
            self.assertEqual(str(error), "--web.config.file: /etc/web.yml:3: wrong")
            self.assertIsNone(error.__cause__)
            self.assertTrue(error.__suppress_context__)

    def test_files(self) -> None:
        """The file itself is watched even before it is loaded; then all that it names."""
        self.assertEqual(self.security.files, (self.path,))
        self.say(files=(self.path, Path("/etc/key")))
        self.security.startService()
        self.assertEqual(self.security.files, (self.path, Path("/etc/key")))

    def test_warnings(self) -> None:
        """They are logged with each loading."""
        self.say(warnings=("/etc/web.yml:1: {unwise}", "b"))
        self.security.startService()
        self.assertEqual(self.log.lines(), ["/etc/web.yml:1: {unwise}", "b"])

    def test_real_file(self) -> None:
        """A real file is loaded, and loaded again."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = Path(folder.name) / "web.yml"
        path.write_text(f"basic_auth_users:\n  alice: {HASH}\n")
        self.patch(config, "load", REAL_LOAD)
        security = Security(path, self.in_thread, self.now)
        security.startService()
        self.assertEqual(security.config.users, {"alice": HASH.encode()})
        path.write_text("basic_auth_users:\n  alice: secret\n")
        security.reload()
        assert security.last_reload is not None
        self.assertFalse(security.last_reload.successful)
        self.assertNotIn("secret", "".join(self.log.lines()))


REAL_LOAD = config.load


class ReloadTests(SecurityTestCase):
    """Later loadings."""

    def setUp(self) -> None:
        super().setUp()
        self.say(users={"alice": b"$2b$04$1"}, headers={"A": "b"})
        self.security.startService()
        self.log.events.clear()

    def test_success(self) -> None:
        """What the file says now holds; the log and the metrics say so."""
        self.say(users={"bob": b"$2b$04$2"}, headers={}, files=(self.path, Path("/etc/key")))
        self.reload()
        self.assertIs(self.security.config, self.found)
        self.assertEqual(self.security.last_reload, Reload(True, self.now()))
        self.assertEqual(self.security.files, (self.path, Path("/etc/key")))
        self.assertEqual(self.log.lines(), ["The web configuration was loaded again: /etc/web.yml"])

    def test_failure(self) -> None:
        """All stays; the metrics say so, and when it last went well; the error is one line."""
        before = self.security.config, self.security.credentials, self.now()
        self.fail_with(Path("/etc/other"))
        self.reload()
        self.assertIs(self.security.config, before[0])
        self.assertIs(self.security.credentials, before[1])
        self.assertEqual(self.security.last_reload, Reload(False, before[2]))
        self.assertEqual(
            self.log.lines(),
            ["The web configuration stays as it was: /etc/web.yml:3: wrong"],
        )

    def test_files_of_a_failure(self) -> None:
        """Those are watched that might mend it; then again those of the file."""
        self.fail_with(Path("/etc/other"))
        self.reload()
        self.assertEqual(self.security.files, (self.path, Path("/etc/other")))
        self.say(users={"alice": b"$2b$04$1"})
        self.reload()
        self.assertEqual(self.security.files, (self.path,))
        self.assertEqual(self.security.last_reload, Reload(True, self.now()))

    def test_same_users(self) -> None:
        """They keep their credentials, so that nobody is checked again."""
        before = self.security.credentials
        self.assertIsNotNone(before)
        self.say(users={"alice": b"$2b$04$1"}, headers={"C": "d"})
        self.reload()
        self.assertIs(self.security.credentials, before)

    def test_other_users(self) -> None:
        """Another password, and another user, hold at once."""
        users: list[dict[str, bytes]] = [
            {"alice": b"$2b$04$2"},
            {"alice": b"$2b$04$2", "bob": b"$2b$04$3"},
            {"bob": b"$2b$04$3"},
        ]
        for each in users:
            before = self.security.credentials
            self.say(users=each)
            self.reload()
            self.assertIsNotNone(self.security.credentials)
            self.assertIsNot(self.security.credentials, before)

    def test_users_come(self) -> None:
        """Users may be added where there were none."""
        self.say()
        security = Security(self.path, self.in_thread, self.now)
        security.startService()
        self.assertIsNone(security.credentials)
        self.say(users={"alice": b"$2b$04$1"})
        security.reload()
        self.assertIsNotNone(security.credentials)

    def refused(self, why: str) -> None:
        """The file is not taken over."""
        before = self.security.config, self.security.credentials
        assert isinstance(self.found, WebConfig)
        self.found = WebConfig(
            users=self.found.users, context=self.found.context, files=(self.path, Path("/etc/key"))
        )
        self.reload()
        self.assertEqual((self.security.config, self.security.credentials), before)
        assert self.security.last_reload is not None
        self.assertFalse(self.security.last_reload.successful)
        self.assertEqual(self.security.files, (self.path, Path("/etc/key")))
        self.assertEqual(
            self.log.lines(),
            [f"The web configuration stays as it was: /etc/web.yml: {why}, restart the exporter"],
        )

    def test_users_go(self) -> None:
        """A file without users, as half a file may be, lets nobody in who was not."""
        self.say()
        self.refused("to let everybody ask without a password")

    def test_tls_comes(self) -> None:
        """TLS cannot be switched on."""
        self.say(users={"alice": b"$2b$04$1"}, context=Context(TLS_METHOD))
        self.refused("to switch TLS on or off")

    def test_tls_goes(self) -> None:
        """Nor off."""
        self.security.config = WebConfig(users={"alice": b"$2b$04$1"}, context=Context(TLS_METHOD))
        self.say(users={"alice": b"$2b$04$1"})
        self.refused("to switch TLS on or off")

    def test_certificates_go(self) -> None:
        """Where clients must show a certificate, half a file does not let all others in."""
        tls: dict[str, Any] = {
            "users": {"alice": b"$2b$04$1"},
            "context": Context(TLS_METHOD),
        }
        self.security.config = WebConfig(**tls, verifies_clients=True)
        self.say(**tls)
        self.refused("to let everybody ask without a certificate")

    def test_names_go(self) -> None:
        """Where only certificates of some names may ask, neither does it let in those of others."""
        tls: dict[str, Any] = {
            "users": {"alice": b"$2b$04$1"},
            "context": Context(TLS_METHOD),
        }
        self.security.config = WebConfig(**tls, client_allowed_sans=("prometheus",))
        self.say(**tls)
        self.refused("to let all certificates ask")


class TLSTests(SecurityTestCase):
    """Connections over TLS."""

    def test_context(self) -> None:
        """A new connection has the certificate of this moment; those that are there go on."""
        connections = []
        contexts = [Context(TLS_METHOD), Context(TLS_METHOD)]
        self.say(context=contexts[0])
        self.security.startService()
        for context in contexts:
            self.say(context=context)
            self.reload()
            connections.append(self.security.serverConnectionForTLS(None))
        for connection, context in zip(connections, contexts, strict=True):
            self.assertIs(connection.get_context(), context)
        self.assertIsNot(connections[0], connections[1])


class RateTests(SecurityTestCase):
    """The rate of requests."""

    def limit(self, interval: float, burst: int) -> None:
        """Have the file set a limit."""
        self.say(rate_limit=RateLimit(interval=interval, burst=burst))

    def passed(self, number: int = 100) -> int:
        """Tell how many of so many requests pass now."""
        return sum(self.security.may_ask_now() for _ in range(number))

    def test_burst(self) -> None:
        """So many pass at once, from the start, and after a long time no more."""
        self.limit(2.0, 3)
        self.security.startService()
        self.assertEqual(self.passed(), 3)
        self.seconds += 1000
        self.assertEqual(self.passed(), 3)

    def test_rate(self) -> None:
        """Then one passes at each interval, and what is refused costs nothing."""
        self.limit(2.0, 3)
        self.security.startService()
        self.passed()
        for _ in range(5):
            self.seconds += 1.0
            self.assertEqual(self.passed(), 0)
            self.seconds += 1.0
            self.assertEqual(self.passed(), 1)
        self.seconds += 4.0
        self.assertEqual(self.passed(), 2)

    def test_reload(self) -> None:
        """The same limit goes on where it was; another one, and none, hold at once."""
        self.limit(2.0, 3)
        self.security.startService()
        self.passed()
        self.limit(2.0, 3)
        self.reload(0)
        self.assertEqual(self.passed(), 0)
        self.limit(2.0, 5)
        self.reload(0)
        self.assertEqual(self.passed(), 5)
        self.say()
        self.reload(0)
        self.assertEqual(self.passed(), 100)
        self.limit(1.0, 2)
        self.reload(0)
        self.assertEqual(self.passed(), 2)
