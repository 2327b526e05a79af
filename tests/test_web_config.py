"""Web configuration files: `web_config/good` and `web_config/bad`, and what the good ones mean.

Each bad file has in its first line what the error says after the name of the file.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.web.config import RateLimit, WebConfig, WebConfigError, load

FOLDER = Path(__file__).parent / "web_config"
CERTIFICATES = FOLDER / "certificates"

HASH = "$2y$04$MvONIs8aJxh75objxcVaTuUU2G0NkzP9iSZnk.2CISmozzcdcn1ri"

#: Texts that no error may repeat: the essence of the hash, and of a key.
SECRETS = ("MvONIs8aJxh75objxcVaTu", "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49")

#: All that a file can say.
FULL = f"""\
tls_server_config:
  cert_file: {CERTIFICATES}/server.pem
  key: |
    -----BEGIN PRIVATE KEY-----
    {SECRETS[1]}{"A" * 32}
    -----END PRIVATE KEY-----
  client_ca_file: {CERTIFICATES}/ca.pem
  client_auth_type: RequireAndVerifyClientCert
  client_allowed_sans: [prometheus.example.com]
  min_version: TLS12
  max_version: TLS13
  cipher_suites: [TLS_AES_128_GCM_SHA256]
  prefer_server_cipher_suites: true
  curve_preferences: [X25519]
http_server_config:
  http2: true
  headers:
    X-Frame-Options: deny
basic_auth_users:
  alice: {HASH}
  bob: "{HASH}"
rate_limit:
  interval: 1s
  burst: 5
"""


class Files(SynchronousTestCase):
    """The files of the folder."""

    def test_there_are_files(self) -> None:
        """The folders of good and bad files were found."""
        self.assertGreater(len(list((FOLDER / "good").glob("*.yml"))), 15)
        self.assertGreater(len(list((FOLDER / "bad").glob("*.yml"))), 80)

    def test_good(self) -> None:
        """Each good file is read, as the first of the files that are to be watched."""
        for path in sorted((FOLDER / "good").glob("*.yml")):
            self.assertEqual(load(path).files[0], path)

    def test_bad(self) -> None:
        """Each bad file gives the error that its first line says."""
        for path in sorted((FOLDER / "bad").glob("*.yml")):
            first = path.read_bytes().split(b"\n", 1)[0].decode()
            expected = first.removeprefix("# expect: ").replace("{dir}", str(path.parent))
            separator = "" if expected[0].isdigit() else " "

            error = self.assertRaises(WebConfigError, load, path)

            self.assertEqual(str(error), f"{path}:{separator}{expected}", path.name)
            self.assertEqual(error.files[0], path)
            self.assertTrue(str(error).isprintable())


class Meanings(SynchronousTestCase):
    """What the good files mean."""

    def good(self, name: str) -> WebConfig:
        """Load a good file."""
        return load(FOLDER / "good" / f"{name}.yml")

    def test_nothing(self) -> None:
        """A file that says nothing means plain HTTP for everyone, without a limit."""
        for name in ("empty", "comment", "null", "braces", "null-sections", "empty-sections"):
            path = FOLDER / "good" / f"{name}.yml"
            self.assertEqual(load(path), WebConfig(files=(path,)), name)

    def test_tls(self) -> None:
        """A certificate and its key mean TLS, and nothing to warn of."""
        for name in ("tls", "tls-chain", "tls-inline", "tls-blanks", "tls13-suites"):
            found = self.good(name)
            self.assertIsInstance(found.context, SSL.Context)
            self.assertEqual(found.warnings, ())

    def test_files(self) -> None:
        """All files that were read are listed, relative ones from the configuration's folder."""
        folder = FOLDER / "good"

        self.assertEqual(
            self.good("tls-every-field").files,
            (
                folder / "tls-every-field.yml",
                folder / "../certificates/server.pem",
                folder / "../certificates/server.key",
                folder / "../certificates/ca.pem",
            ),
        )
        self.assertEqual(self.good("tls-inline").files, (folder / "tls-inline.yml",))

    def test_headers(self) -> None:
        """Headers are what the file says, without the blank ones, and as text."""
        self.assertEqual(
            self.good("headers").headers,
            {
                "Content-Security-Policy": "default-src 'none'",
                "X-Frame-Options": "deny",
                "X-Content-Type-Options": "nosniff",
                "X-XSS-Protection": "0",
            },
        )

    def test_users(self) -> None:
        """The names of users are text, however they look to YAML."""
        users = self.good("users").users

        self.assertEqual(list(users), ["alice", "1234", "null", "yes", "zoë of accounts"])
        self.assertEqual(users["alice"], HASH.encode())

    def test_users_are_not_shown(self) -> None:
        """The repr of a configuration is without the users."""
        self.assertNotIn("alice", repr(self.good("users")))

    def test_rate_limit(self) -> None:
        """An interval and a burst make a limit; an interval of 0 makes none."""
        limit = RateLimit(interval=90.5, burst=20)
        self.assertEqual(self.good("rate-limit").rate_limit, limit)
        self.assertIsNone(self.good("rate-limit-off").rate_limit)

    def test_formats(self) -> None:
        """JSON is YAML too, and a byte order mark does no harm."""
        limits = [self.good(name).rate_limit for name in ("json", "byte-order-mark")]

        expected = [RateLimit(interval=0.1, burst=1), RateLimit(interval=1.0, burst=1)]
        self.assertEqual(limits, expected)

    def test_warnings(self) -> None:
        """What is allowed but unwise is warned of, with file, line and field."""
        unverified = "takes any certificate, verified or not, so it proves nothing"
        for name, expected in (
            (
                "unverified-clients",
                f'4: tls_server_config.client_auth_type: "RequireAnyClientCert": {unverified}',
            ),
            (
                "old-auth-type",
                f'4: tls_server_config.client_auth_type: "RequireClientCert": {unverified}',
            ),
            (
                "tls-every-field",
                "16: tls_server_config.curve_preferences: has no effect: OpenSSL chooses the curve",
            ),
            (
                "users",
                "1: basic_auth_users: passwords cross the network unencrypted"
                " without tls_server_config",
            ),
        ):
            path = FOLDER / "good" / f"{name}.yml"
            self.assertEqual(load(path).warnings, (f"{path}:{expected}",))

    def test_read_only(self) -> None:
        """The mappings of a configuration cannot be changed."""
        for found in (self.good("headers"), self.good("empty"), WebConfig()):
            self.assertIsInstance(found.headers, MappingProxyType)
            self.assertIsInstance(found.users, MappingProxyType)


class Texts(SynchronousTestCase):
    """Texts in a file of their own."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "web.yml"

    def load(self, text: str) -> WebConfig:
        """Load a text."""
        self.path.write_bytes(text.encode("utf-8", "surrogatepass"))
        return load(self.path)

    def reason(self, text: str) -> str:
        """Give what the error about a text says after the name of the file."""
        error = self.assertRaises(WebConfigError, self.load, text)
        return str(error).removeprefix(str(self.path))

    def test_durations(self) -> None:
        """Durations are those of Go, and less than a nanosecond is nothing."""
        for text, seconds in (
            ("1s", 1.0),
            ("500ms", 0.5),
            ("1m30s", 90.0),
            ("1h1m1s", 3661.0),
            ("1.5h", 5400.0),
            (".5s", 0.5),
            ("1.s", 1.0),
            ("1ns", 1e-9),
            ("2us", 2e-6),
            ("2µs", 2e-6),
            ("2\u03bcs", 2e-6),
            ('"1s"', 1.0),
        ):
            found = self.load(f"rate_limit: {{interval: {text}, burst: 1}}").rate_limit
            assert found is not None, text
            self.assertAlmostEqual(found.interval, seconds, places=12)
        for text in ("0", "0s", "0h0m", '"0"', "0.1ns", "null", ""):
            found = self.load(f"rate_limit:\n  interval: {text}\n  burst: 1").rate_limit
            self.assertIsNone(found, text)

    def test_no_durations(self) -> None:
        """What Go would not take for a duration is refused, and so are negative ones."""
        texts = ("1", "s", "1x", "1s1", "-1s", "+-1s", "1e3s", "1 s", "1,5s", "٣s", "true", "1d")
        for text in texts:
            reason = self.reason(f"rate_limit: {{interval: '{text}', burst: 1}}")
            self.assertIn("give a duration such as", reason)

    def test_booleans(self) -> None:
        """All spellings of true and false are taken, without quotes."""
        for text in ("true", "True", "yes", "on", "false", "No", "OFF", "", "~"):
            self.load(f"http_server_config:\n  http2: {text}")
        for text in ("'true'", "1", "{}", "ja"):
            self.reason(f"http_server_config:\n  http2: {text}")

    def test_header_values(self) -> None:
        """A header has any text of Latin-1, as given, but no control characters."""
        name = "Content-Security-Policy"
        section = f"http_server_config:\n  headers:\n    {name}: "
        found = self.load(section + "\"default-src 'none'; é\"").headers
        self.assertEqual(found, {name: "default-src 'none'; é"})
        for text in ("\\x00", "a\\n", "\\x7f", "\\x80", "\\u0100", "a\\rb"):
            self.assertIn("Latin-1", self.reason(f'{section}"{text}"'))

    def test_names_of_users(self) -> None:
        """A name that basic authentication cannot carry is refused."""
        for name in ("a:b", ":", "", "a\\nb", "a\\x7f", "\\ud800"):
            reason = self.reason(f'basic_auth_users:\n  "{name}": {HASH}')
            self.assertTrue(
                reason.endswith("give a user name without colons and control characters")
            )

    def test_costs(self) -> None:
        """A hash whose check takes very long is refused, and one that is too cheap."""
        for cost in range(100):
            text = f"basic_auth_users: {{alice: {HASH.replace('$04$', f'${cost:02}$')}}}"
            if 4 <= cost <= 16:
                self.assertEqual(len(self.load(text).users), 1)
            else:
                self.assertIn("a cost from 4 to 16", self.reason(text))

    def test_hashes(self) -> None:
        """What bcrypt cannot have made is refused: a letter more, fewer, or with stray bits."""
        for text in (
            HASH + "u",
            HASH[:-1],
            HASH[:28] + "v" + HASH[29:],
            HASH[:-1] + "j",
            HASH.replace("$2y$", "$2$"),
            HASH.replace("$2y$", "$5$"),
            HASH.replace("$2y$", "2y$"),
            HASH.replace("M", "+"),
        ):
            reason = self.reason(f"basic_auth_users: {{alice: '{text}'}}")
            self.assertEqual(reason, ":1: basic_auth_users.alice: give a bcrypt hash")

    def test_no_file(self) -> None:
        """A file that cannot be read is said to be so, without a line; pipes are not waited for."""
        pipe = self.path.with_name("pipe")
        os.mkfifo(pipe)
        for path, reason in (
            (self.path, f"{self.path}: No such file or directory"),
            (self.path.parent, f"{self.path.parent}: Is a directory"),
            (pipe, f"{pipe}: not a regular file"),
            (Path("no\0file"), "no\\x00file: embedded null byte"),
        ):
            error = self.assertRaises(WebConfigError, load, path)
            self.assertEqual(str(error), reason)
            self.assertEqual(error.files, (path,))

    def test_no_permission(self) -> None:
        """A file that may not be read is said to be so."""

        def refuse(*_: object) -> int:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

        self.path.write_text("")
        self.patch(os, "open", refuse)  # the superuser may read whatever the mode says
        error = self.assertRaises(WebConfigError, load, self.path)
        self.assertEqual(str(error), f"{self.path}: Permission denied")

    def test_too_large(self) -> None:
        """A file of 1 MiB is read, and one with a byte more is not; nor is such a certificate."""
        largest = "#" * (1 << 20)
        self.load(largest)
        self.assertEqual(self.reason(largest + "#"), ": larger than 1 MiB")
        other = self.path.with_name("large.pem")
        other.write_text(largest + "#")
        self.assertEqual(
            self.reason("tls_server_config: {cert_file: large.pem}"),
            f':1: tls_server_config.cert_file: "{other}": larger than 1 MiB',
        )

    def test_absolute_names(self) -> None:
        """An absolute name of a file is taken as it is."""
        self.load(
            f"tls_server_config:\n"
            f"  cert_file: {CERTIFICATES}/server.pem\n"
            f"  key_file: {CERTIFICATES}/server.key\n"
        )

    def test_files_of_an_error(self) -> None:
        """An error lists the files that were tried, so that a repair of one can be noticed."""
        text = f"tls_server_config: {{cert_file: {CERTIFICATES}/server.pem, key_file: none.key}}"
        error = self.assertRaises(WebConfigError, self.load, text)

        self.assertEqual(
            error.files,
            (self.path, CERTIFICATES / "server.pem", self.path.with_name("none.key")),
        )

    def test_suites_that_openssl_lacks(self) -> None:
        """That OpenSSL has none of the suites is blamed on the field, even if it is not given."""

        def refuse(*_: object) -> None:
            raise SSL.Error([("SSL routines", "", "no cipher match")])

        self.patch(SSL.Context, "set_cipher_list", refuse)

        self.assertEqual(
            self.reason(
                f"\ntls_server_config:\n"
                f"  cert_file: {CERTIFICATES}/server.pem\n"
                f"  key_file: {CERTIFICATES}/server.key\n"
            ),
            ":2: tls_server_config.cipher_suites: OpenSSL refuses it: no cipher match",
        )

    def test_bombs(self) -> None:
        """Texts that would make much of little, or nest without end, are refused at once."""
        bomb = "a: &a [x, x]\n" + "".join(f"{n}: &{n} [*a, *a]\n" for n in "bcdefgh")
        self.assertEqual(self.reason(bomb), ":1: give no anchors, aliases or tags")
        many = "basic_auth_users:\n" + "".join(f"  u{n}: {HASH}\n" for n in range(5_000))
        self.assertEqual(self.reason(many), ":5000: too long")
        for text in ("[" * 100_000, "{" * 100_000, "- " * 100_000, "? " * 100_000):
            self.assertTrue(self.reason(text).endswith("nested too deep"), text[:2])

    def test_syntax_without_quotes_of_the_file(self) -> None:
        """An error of syntax repeats nothing of the file but single characters."""
        for text in (
            "alice: !marker!x y",
            "%TAG !marker! x\n%TAG !marker! y\n--- a",
            "a: *marker",
            "a: &marker b",
            "%marker 1.0\n--- [",
            "%YAML 1.marker\n---\n",
            "%YAML 1." + "9" * 5000 + "\n---\n",
            'a: "marker',
            "a: 'marker",
            "a: |marker",
            "marker: marker: marker",
            'a: "\\Umarker"',
        ):
            self.assertNotIn("marker", self.reason(text))


@pytest.mark.source
class Document(SynchronousTestCase):
    """The page for users, docs/web-config.md."""

    def setUp(self) -> None:
        self.text = (Path(__file__).parents[1] / "docs" / "web-config.md").read_text("utf-8")

    def test_fields(self) -> None:
        """The page names every field that there is."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = Path(folder.name) / "web.yml"
        for text in (
            "x:",
            "tls_server_config: {x: }",
            "http_server_config: {x: }",
            "http_server_config: {headers: {x: }}",
            "rate_limit: {x: }",
        ):
            path.write_text(text)
            error = self.assertRaises(WebConfigError, load, path)
            for field in str(error).partition("there are ")[2].split(", "):
                self.assertIn(f"`{field}`", self.text)

    def test_example(self) -> None:
        """The example is read without a warning, next to the files that it names."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        for name in ("server.pem", "server.key", "ca.pem"):
            shutil.copy(CERTIFICATES / name, folder.name)
        path = Path(folder.name) / "web.yml"
        path.write_text(self.text.partition("```yaml\n")[2].partition("```")[0])

        found = load(path)

        self.assertIsNotNone(found.context)
        self.assertEqual(list(found.users), ["prometheus"])
        self.assertEqual(found.rate_limit, RateLimit(interval=0.1, burst=20))
        self.assertEqual(found.warnings, ())


class AnyText(SynchronousTestCase):
    """Texts that nobody thought of."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "web.yml"

    def check(self, content: bytes) -> None:
        """Load a content; if it fails, check that the error keeps the secrets."""
        self.path.write_bytes(content)
        try:
            found = load(self.path)
        except WebConfigError as error:
            said = str(error)
        else:
            said = repr(found) + "".join(found.warnings)
        self.assertTrue(said.isprintable())
        for secret in SECRETS:
            self.assertNotIn(secret, said)

    @settings(max_examples=300, deadline=None)
    @given(st.text())
    @example('"\\UFFFFFFFF"')
    @example("%YAML 1." + "1" * 5000)
    def test_text(self, text: str) -> None:
        """Any text makes a configuration or a WebConfigError."""
        self.check(text.encode("utf-8", "surrogatepass"))

    @settings(max_examples=300, deadline=None)
    @given(st.text(alphabet="ab:-?[]{},&*!|>'\"%@`#\\ \t\n0.~<=", max_size=60))
    def test_marks_of_yaml(self, text: str) -> None:
        """Any text of what means something to YAML does as well."""
        self.check(text.encode())

    @settings(max_examples=300, deadline=None)
    @given(
        st.integers(0, len(FULL)),
        st.text(alphabet=":-?[]{},&*!|>'\"%@`#\\ \t\n\x000a", max_size=3),
        st.booleans(),
    )
    def test_slips(self, at: int, slip: str, cut: bool) -> None:
        """A slip of the pen in a full file brings no secret to light."""
        self.check((FULL[:at] + slip + ("" if cut else FULL[at:])).encode())

    def test_full(self) -> None:
        """The file in which the slips are made gets as far as the key that is none."""
        self.path.write_text(FULL)
        error = self.assertRaises(WebConfigError, load, self.path)
        self.assertEqual(
            str(error), f"{self.path}:3: tls_server_config.key: give a private key in PEM"
        )


class ClientTests(SynchronousTestCase):
    """What is said of clients' certificates."""

    def test_what_is_asked_of_clients(self) -> None:
        """Whether each must show one of the CA, and of which names, is told."""
        folder = Path(__file__).parent / "web_config"
        asked = {}
        for path in sorted(folder.glob("good/*.yml")):
            config = load(path)
            found = re.findall(
                r"^ *client_auth_type: *(\w+)", path.read_text("utf-8"), re.MULTILINE
            )
            asked[path.name] = (found, config.verifies_clients, bool(config.client_allowed_sans))

        for name, (found, verifies, _) in asked.items():
            self.assertEqual(verifies, found == ["RequireAndVerifyClientCert"], name)
        self.assertTrue(any(verifies for _, verifies, _ in asked.values()))
        self.assertTrue(any(names for _, _, names in asked.values()))
