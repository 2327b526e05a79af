"""Command line, environment and file, held against tables of texts and what they mean."""

from __future__ import annotations

import dataclasses
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.broker import Broker
from maestro_exporter.options import OPTIONS
from maestro_exporter.settings import Settings, SettingsError, is_settings_file, load
from maestro_exporter.values import Address

LOCAL = Address("localhost", 1883)

DEFAULTS = Settings(
    broker=Broker(address=LOCAL),
    listen=(Address("", 9120),),
    systemd_socket=False,
    telemetry_path="/metrics",
    web_config=None,
    max_requests=40,
    access_log=False,
    interval=10.0,
    peer_expiry=30.0,
    peer_forget=900.0,
    max_peers=10000,
    log_level="info",
    log_format="text",
    file=None,
)

_URL = (
    "give mqtt://host[:port], or mqtts:// for TLS; "
    "a user name and password may stand before the host"
)
_TEXT = "give 1 to 65535 bytes of UTF-8 without NUL"
_CLIENT = "give 1 to 200 printable characters"
_SESSION = "give seconds, or a number with ms, s, m or h, from 1s to 168h"
_PORT = "give a whole number from 0 to 65535"
_LISTEN = "give host:port, [IPv6 address]:port or :port"
_PATH = "give a path such as /metrics, outside /-/, /api/ and /assets/"
_INTERVAL = "give seconds, or a number with ms, s, m or h, from 100ms to 1h"
_EXPIRY = "give seconds, or a number with ms, s, m or h, from 100ms to 24h"
_FORGET = "give seconds, or a number with ms, s, m or h, from 100ms to 8760h"
_PEERS = "give a whole number from 1 to 1000000"
_REQUESTS = "give a whole number from 1 to 1000"
_BOOLEAN = "give true or false"
_LEVEL = "give one of debug, info, warn, error"
_FORMAT = "give one of text, json"

#: Option, text, the field that it decides, and the value of that.
GOOD: tuple[tuple[str, str, str, object], ...] = (
    ("maestro-url", "mqtt://host", "broker", Broker(address=Address("host", 1883))),
    ("maestro-url", "mqtt://host:1", "broker", Broker(address=Address("host", 1))),
    ("maestro-url", "mqtt://host:65535", "broker", Broker(address=Address("host", 65535))),
    ("maestro-url", "mqtt://host/", "broker", Broker(address=Address("host", 1883))),
    ("maestro-url", "MQTT://Host:1884/", "broker", Broker(address=Address("host", 1884))),
    (
        "maestro-url",
        "mqtt://my_host-1.example.com.",
        "broker",
        Broker(address=Address("my_host-1.example.com.", 1883)),
    ),
    ("maestro-url", "mqtt://192.0.2.1:1884", "broker", Broker(address=Address("192.0.2.1", 1884))),
    ("maestro-url", "mqtt://[2001:db8::1]", "broker", Broker(address=Address("2001:db8::1", 1883))),
    ("maestro-url", "mqtt://[::1]:1884", "broker", Broker(address=Address("::1", 1884))),
    ("mqtt.username", "joe", "broker", Broker(address=LOCAL, username="joe")),
    ("mqtt.username", "j o:e@x", "broker", Broker(address=LOCAL, username="j o:e@x")),
    ("mqtt.username", "%41", "broker", Broker(address=LOCAL, username="%41")),
    ("mqtt.version", "auto", "broker", Broker(address=LOCAL)),
    ("mqtt.version", "5", "broker", Broker(address=LOCAL, version="5")),
    ("mqtt.version", "3.1.1", "broker", Broker(address=LOCAL, version="3.1.1")),
    ("mqtt.client-id", "lab", "broker", Broker(address=LOCAL, client_id="lab")),
    ("mqtt.client-id", "é 1/x", "broker", Broker(address=LOCAL, client_id="é 1/x")),
    ("mqtt.client-id", "x" * 200, "broker", Broker(address=LOCAL, client_id="x" * 200)),
    ("mqtt.session-expiry", "1", "broker", Broker(address=LOCAL, session_expiry=1.0)),
    ("mqtt.session-expiry", "10m", "broker", Broker(address=LOCAL, session_expiry=600.0)),
    ("mqtt.session-expiry", "168h", "broker", Broker(address=LOCAL, session_expiry=604800.0)),
    ("port", "0", "listen", (Address("", 0),)),
    ("port", "1", "listen", (Address("", 1),)),
    ("port", "65535", "listen", (Address("", 65535),)),
    ("web.listen-address", ":9121", "listen", (Address("", 9121),)),
    ("web.listen-address", ":0", "listen", (Address("", 0),)),
    ("web.listen-address", "localhost:65535", "listen", (Address("localhost", 65535),)),
    ("web.listen-address", "192.0.2.1:80", "listen", (Address("192.0.2.1", 80),)),
    ("web.listen-address", "[::1]:80", "listen", (Address("::1", 80),)),
    ("web.listen-address", "[::]:80", "listen", (Address("::", 80),)),
    ("web.systemd-socket", "true", "systemd_socket", True),
    ("web.systemd-socket", "false", "systemd_socket", False),
    ("web.config.file", "/etc/web.yml", "web_config", Path("/etc/web.yml")),
    ("web.config.file", "web config.yml", "web_config", Path.cwd() / "web config.yml"),
    ("web.config.file", "/does/not/exist", "web_config", Path("/does/not/exist")),
    ("web.max-requests", "1", "max_requests", 1),
    ("web.max-requests", "1000", "max_requests", 1000),
    ("web.access-log", "true", "access_log", True),
    ("web.access-log", "false", "access_log", False),
    ("web.telemetry-path", "/m", "telemetry_path", "/m"),
    ("web.telemetry-path", "/a/b-c_d.e~9", "telemetry_path", "/a/b-c_d.e~9"),
    ("web.telemetry-path", "/apis/api", "telemetry_path", "/apis/api"),
    ("interval", "0.1", "interval", 0.1),
    ("interval", "100ms", "interval", 0.1),
    ("interval", ".5", "interval", 0.5),
    ("interval", "1.", "interval", 1.0),
    ("interval", "5", "interval", 5.0),
    ("interval", "5s", "interval", 5.0),
    ("interval", "1.5m", "interval", 90.0),
    ("interval", "1h", "interval", 3600.0),
    ("interval", "3600", "interval", 3600.0),
    ("peer-expiry", "10s", "peer_expiry", 10.0),
    ("peer-expiry", "24h", "peer_expiry", 86400.0),
    ("peer-forget", "31", "peer_forget", 31.0),
    ("peer-forget", "1h", "peer_forget", 3600.0),
    ("peer-forget", "8760h", "peer_forget", 31536000.0),
    ("max-peers", "1", "max_peers", 1),
    ("max-peers", "1000000", "max_peers", 1000000),
    ("log.level", "debug", "log_level", "debug"),
    ("log.level", "info", "log_level", "info"),
    ("log.level", "warn", "log_level", "warn"),
    ("log.level", "error", "log_level", "error"),
    ("log.format", "text", "log_format", "text"),
    ("log.format", "json", "log_format", "json"),
)

#: Option, text, and what the error says is allowed.
BAD: tuple[tuple[str, str, str], ...] = (
    ("maestro-url", "host", _URL),
    ("maestro-url", "host:1883", _URL),
    ("maestro-url", "http://host", _URL),
    ("maestro-url", "mqtt:host", _URL),
    ("maestro-url", "mqtt://", _URL),
    ("maestro-url", "mqtt://:1883", _URL),
    ("maestro-url", "mqtt://host:0", _URL),
    ("maestro-url", "mqtt://host:65536", _URL),
    ("maestro-url", "mqtt://[::1", _URL),
    ("maestro-url", "mqtt://ho st", _URL),
    ("maestro-url", "mqtt://one,two", _URL),
    ("maestro-url", "mqtt://-host", _URL),
    ("maestro-url", "mqtt://host/topic", f"{_URL}"),
    ("maestro-url", "mqtt://host?x=1", f"{_URL}"),
    ("maestro-url", "mqtt://host#x", f"{_URL}"),
    ("mqtt.insecure", "yes", _BOOLEAN),
    ("mqtt.version", "4", "give one of auto, 5, 3.1.1"),
    ("mqtt.session-expiry", "0", _SESSION),
    ("mqtt.session-expiry", "169h", _SESSION),
    ("mqtt.session-expiry", "ever", _SESSION),
    ("port", "-1", _PORT),
    ("port", "+1", _PORT),
    ("port", "65536", _PORT),
    ("port", "9120.0", _PORT),
    ("port", "0x10", _PORT),
    ("port", "9_120", _PORT),
    ("port", " 9120", _PORT),
    ("port", "1" * 100, _PORT),
    ("port", "http", _PORT),
    ("web.listen-address", "9120", _LISTEN),
    ("web.listen-address", "host", _LISTEN),
    ("web.listen-address", "host:", _LISTEN),
    ("web.listen-address", "host:http", _LISTEN),
    ("web.listen-address", ":65536", _LISTEN),
    ("web.listen-address", ":-1", _LISTEN),
    ("web.listen-address", "::1:80", _LISTEN),
    ("web.listen-address", "[::1]", _LISTEN),
    ("web.listen-address", "[]:80", _LISTEN),
    ("web.listen-address", "[host]:80", _LISTEN),
    ("web.listen-address", "http://host:80", _LISTEN),
    ("web.listen-address", "ho st:80", _LISTEN),
    ("web.systemd-socket", "True", _BOOLEAN),
    ("web.systemd-socket", "1", _BOOLEAN),
    ("web.systemd-socket", "fd://3", _BOOLEAN),
    ("web.max-requests", "0", _REQUESTS),
    ("web.max-requests", "1001", _REQUESTS),
    ("web.max-requests", "-1", _REQUESTS),
    ("web.max-requests", "many", _REQUESTS),
    ("web.access-log", "yes", _BOOLEAN),
    ("web.access-log", "on", _BOOLEAN),
    ("web.access-log", " true", _BOOLEAN),
    ("web.telemetry-path", "metrics", _PATH),
    ("web.telemetry-path", "/", _PATH),
    ("web.telemetry-path", "/metrics/", _PATH),
    ("web.telemetry-path", "//metrics", _PATH),
    ("web.telemetry-path", "/a//b", _PATH),
    ("web.telemetry-path", "/-/metrics", _PATH),
    ("web.telemetry-path", "/-/healthy", _PATH),
    ("web.telemetry-path", "/api", _PATH),
    ("web.telemetry-path", "/api/metrics", _PATH),
    ("web.telemetry-path", "/api/v1/status", _PATH),
    ("web.telemetry-path", "/me trics", _PATH),
    ("web.telemetry-path", "/metrics?x", _PATH),
    ("web.telemetry-path", "/<name>", _PATH),
    ("web.telemetry-path", "/a%20b", _PATH),
    ("interval", "0", _INTERVAL),
    ("interval", "99ms", _INTERVAL),
    ("interval", "0.0999", _INTERVAL),
    ("interval", "3601", _INTERVAL),
    ("interval", "61m", _INTERVAL),
    ("interval", "-1", _INTERVAL),
    ("interval", "1e1", _INTERVAL),
    ("interval", "1 s", _INTERVAL),
    ("interval", "1S", _INTERVAL),
    ("interval", "1d", _INTERVAL),
    ("interval", ".", _INTERVAL),
    ("interval", "s", _INTERVAL),
    ("interval", "inf", _INTERVAL),
    ("interval", "nan", _INTERVAL),
    ("interval", "9" * 150, _INTERVAL),
    ("peer-expiry", "0", _EXPIRY),
    ("peer-expiry", "86401", _EXPIRY),
    ("peer-expiry", "soon", _EXPIRY),
    ("peer-forget", "-1s", _FORGET),
    ("peer-forget", "0", _FORGET),
    ("peer-forget", "8761h", _FORGET),
    ("peer-forget", "never", _FORGET),
    ("max-peers", "0", _PEERS),
    ("max-peers", "1000001", _PEERS),
    ("max-peers", "many", _PEERS),
    ("log.level", "INFO", _LEVEL),
    ("log.level", "warning", _LEVEL),
    ("log.level", "critical", _LEVEL),
    ("log.format", "JSON", _FORMAT),
    ("log.format", "logfmt", _FORMAT),
)

#: Texts with a user name or a password, as the error shows them, and what it says is allowed.
SECRET: tuple[tuple[str, str, str], ...] = (
    ("mqtt://joe:hunter2@host:x", "***@host:***", _URL),
    ("mqtt://joe:hunter2@host:123456", "***@host:***", _URL),
    ("mqtts://joe:hunter2 hunter2@host:99999", "***@host:99999", _URL),
    ('mqtt://joe:hunter2"hunter2@ho st', "***", _URL),
    ("mqtt://joe:hunter2@", "***@", _URL),
    ("mqtt://joe@hunter2@host/topic", "***", _URL),
    ("mqtt://joe:hunter2@hunter2!hunter2", "***", _URL),
    ("mqtt://joe:hunter2", "mqtt://joe:***", _URL),
    ("mqtt://joe:hunter2/host", "mqtt://joe:***", _URL),
    ("mqtt://joe:hunter2%40host", "mqtt://joe:***", _URL),
    ("mqtt://host:x", "mqtt://host:***", _URL),
    ("mqtt://host:-1", "mqtt://host:***", _URL),
    ("mqtt://host:1:2", "mqtt://host:***", _URL),
    ("http://joe:hunter2@host", "***@host", _URL),
    ("joe:hunter2@host", "***@host", _URL),
    ("joe:hunter2 hunter2@host", "***@host", _URL),
    ("mqtt://joe:hunter2%ff@host", "***@host", "of the password, give UTF-8"),
    ("mqtt://hunter2%ff@host", "***@host", "of the user name, give UTF-8"),
    ("mqtt://joe:hunter2%00@host", "***@host", f"of the password, {_TEXT}"),
    ("mqtt://joe:hunter2\0@host", "***@host", f"of the password, {_TEXT}"),
    ("mqtt://hunter2\udcff@host", "***@host", f"of the user name, {_TEXT}"),
    (f"mqtt://joe:{'hunter2' * 10_000}@host", "***@host", f"of the password, {_TEXT}"),
)

#: Lines of a configuration file, and the broker's port that they give.
FILE_LINES: tuple[tuple[str, int], ...] = (
    ('MAESTRO_BROKER="mqtt://h:7"', 7),
    ("MAESTRO_BROKER='mqtt://h:7'", 7),
    ("MAESTRO_BROKER=mqtt://h:7", 7),
    ("export MAESTRO_BROKER=mqtt://h:7", 7),
    ('  MAESTRO_BROKER="mqtt://h:7"  # of the lab', 7),
    ('MAESTRO_BROKER="mqtt://h:7"\r', 7),
    ('MAESTRO_BROKER=" mqtt://h:7 "', 7),
    ('MAESTRO_BROKER="mqtt://h:6"\nMAESTRO_BROKER="mqtt://h:7"', 7),
    ('#MAESTRO_BROKER="mqtt://h:7"', 1883),
    ("MAESTRO_BROKER=", 1883),
    ('MAESTRO_BROKER=""', 1883),
    ('MAESTRO_BROKER="  "', 1883),
    ("", 1883),
    ("\n \n\t\n# nothing\n", 1883),
    ('PATH="/bin:$PATH"\nJAVA_OPTS="-Xmx1g -Dx=y"', 1883),
)

#: Lines of a configuration file, and the error, in which FILE stands for the file's path.
BAD_FILES: tuple[tuple[str, str], ...] = (
    ("MAESTRO_BROKER", '--config: FILE:1: give one NAME="value" a line'),
    ("\n\nMAESTRO_BROKER mqtt://h", '--config: FILE:3: give one NAME="value" a line'),
    ("MAESTRO_BROKER = mqtt://h", '--config: FILE:1: give one NAME="value" a line'),
    ('MAESTRO_BROKER="mqtt://h', '--config: FILE:1: give one NAME="value" a line'),
    ("A=1 B=2", '--config: FILE:1: give one NAME="value" a line'),
    ("export A=1 B=2", '--config: FILE:1: give one NAME="value" a line'),
    ("=1", '--config: FILE:1: give one NAME="value" a line'),
    ("1A=1", '--config: FILE:1: give one NAME="value" a line'),
    ("mqtt://joe:hunter2@host", '--config: FILE:1: give one NAME="value" a line'),
    (
        "# ports\nMAESTRO_EXPORTER_PORT=http",
        f'--port (from MAESTRO_EXPORTER_PORT in FILE:2): "http": {_PORT}',
    ),
    (
        'MAESTRO_BROKER="mqtt://joe:hun ter2@host:x"',
        f'--maestro-url (from MAESTRO_BROKER in FILE:1): "***@host:***": {_URL}',
    ),
    (
        f'MAESTRO_MQTT_PASSWORD="{"hunter2" * 10_000}"',
        f"MAESTRO_MQTT_PASSWORD in FILE:1: {_TEXT}",
    ),
    (
        'MAESTRO_EXPORTER_LISTEN_ADDRESS=":1 two"',
        f'--web.listen-address (from MAESTRO_EXPORTER_LISTEN_ADDRESS in FILE:1): "two": {_LISTEN}',
    ),
    (
        "MAESTRO_EXPORTER_CONFIG=other.conf",
        "--config: FILE:1: a file cannot name another file",
    ),
    (
        "MAESTRO_EXPORTER_PROT=9120",
        "--config: FILE:1: MAESTRO_EXPORTER_PROT is no setting; there are "
        + ", ".join(option.variable for option in OPTIONS),
    ),
    (
        "MAESTRO_URL=mqtt://joe:hunter2@host",
        "--config: FILE:1: MAESTRO_URL is no setting; there are "
        + ", ".join(option.variable for option in OPTIONS),
    ),
)

#: Texts that would spoil a line or a terminal.
UGLY = ("a\nb", "a\rb", "a\r\nb", "a\tb", "\x1b[31mred", "a\x00b", "a\u2028b", "a\x85b", "\udcff")


def given(**texts: str | Sequence[str]) -> dict[str, list[str]]:
    """The command line; in a name, `_` stands for `-` and `__` for a point."""
    return {
        name.replace("__", ".").replace("_", "-"): [text] if isinstance(text, str) else list(text)
        for name, text in texts.items()
    }


class SettingsTestCase(SynchronousTestCase):
    """What the tests of settings share."""

    def error(
        self, given: Mapping[str, Sequence[str]], environ: Mapping[str, str] | None = None
    ) -> str:
        """Give the text of the error that loading must end in."""
        return str(self.assertRaises(SettingsError, load, given, environ or {}))

    def file(self, text: str | bytes) -> str:
        """Give the path of a file with this content, which lasts for the test."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = Path(folder.name, "exporter.conf")
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return str(path)


class AddressTests(SynchronousTestCase):
    """How an address is written."""

    def test_text_of_an_address(self) -> None:
        """An IPv6 address is put in brackets, nothing else is."""
        self.assertEqual(str(Address("host", 80)), "host:80")
        self.assertEqual(str(Address("192.0.2.1", 80)), "192.0.2.1:80")
        self.assertEqual(str(Address("::1", 80)), "[::1]:80")
        self.assertEqual(str(Address("", 80)), ":80")


class OptionsTableTests(SynchronousTestCase):
    """The one list of what can be set."""

    def test_names_are_those_promised(self) -> None:
        """The long options, their letters and their variables are an interface to the outside."""
        self.assertEqual(
            [(option.name, option.short, option.variable) for option in OPTIONS],
            [
                ("maestro-url", "m", "MAESTRO_BROKER"),
                ("mqtt.username", "", "MAESTRO_MQTT_USERNAME"),
                ("mqtt.password", "", "MAESTRO_MQTT_PASSWORD"),
                ("mqtt.password-file", "", "MAESTRO_MQTT_PASSWORD_FILE"),
                ("mqtt.ca-file", "", "MAESTRO_MQTT_CA_FILE"),
                ("mqtt.cert-file", "", "MAESTRO_MQTT_CERT_FILE"),
                ("mqtt.key-file", "", "MAESTRO_MQTT_KEY_FILE"),
                ("mqtt.insecure", "", "MAESTRO_MQTT_INSECURE"),
                ("mqtt.version", "", "MAESTRO_MQTT_VERSION"),
                ("mqtt.client-id", "", "MAESTRO_MQTT_CLIENT_ID"),
                ("mqtt.session-expiry", "", "MAESTRO_MQTT_SESSION_EXPIRY"),
                ("port", "p", "MAESTRO_EXPORTER_PORT"),
                ("web.listen-address", "", "MAESTRO_EXPORTER_LISTEN_ADDRESS"),
                ("web.systemd-socket", "", "MAESTRO_EXPORTER_SYSTEMD_SOCKET"),
                ("web.config.file", "", "MAESTRO_EXPORTER_WEB_CONFIG"),
                ("web.max-requests", "", "MAESTRO_EXPORTER_MAX_REQUESTS"),
                ("web.access-log", "", "MAESTRO_EXPORTER_ACCESS_LOG"),
                ("web.telemetry-path", "", "MAESTRO_EXPORTER_TELEMETRY_PATH"),
                ("interval", "", "MAESTRO_EXPORTER_INTERVAL"),
                ("peer-expiry", "", "MAESTRO_EXPORTER_PEER_EXPIRY"),
                ("peer-forget", "", "MAESTRO_EXPORTER_PEER_FORGET"),
                ("max-peers", "", "MAESTRO_EXPORTER_MAX_PEERS"),
                ("config", "", "MAESTRO_EXPORTER_CONFIG"),
                ("log.level", "", "MAESTRO_EXPORTER_LOG_LEVEL"),
                ("log.format", "", "MAESTRO_EXPORTER_LOG_FORMAT"),
            ],
        )

    def test_only_the_listen_address_is_repeatable(self) -> None:
        """Of every other option, one value counts."""
        repeatable = [option.name for option in OPTIONS if option.repeatable]
        self.assertEqual(repeatable, ["web.listen-address"])

    def test_only_switches_are_flags(self) -> None:
        """Every other option has a value; a flag is off unless it is given."""
        flags = [(option.name, option.default) for option in OPTIONS if option.flag]
        names = ["mqtt.insecure", "web.systemd-socket", "web.access-log"]
        self.assertEqual(flags, [(name, "false") for name in names])

    def test_only_the_password_is_a_secret(self) -> None:
        """Every other option can be given on the command line."""
        self.assertEqual([option.name for option in OPTIONS if option.secret], ["mqtt.password"])

    def test_help_ends_with_the_default_if_there_is_one(self) -> None:
        """Whoever reads the help need not look for a default elsewhere; flags are off."""
        for option in OPTIONS:
            if option.flag:
                self.assertTrue(option.help.endswith("."), option.name)
            elif option.default:
                self.assertTrue(option.help.endswith(f"  [default: {option.default}]"), option.name)
            else:
                self.assertRegex(
                    option.help,
                    r"(\.|  \[default: (3 intervals|15m, or .*|a random one at each start)\])$",
                )

    def test_default_is_allowed(self) -> None:
        """A default may be given by hand with no other effect."""
        texts = {option.name: [option.default] for option in OPTIONS if option.default}
        self.assertEqual(load(texts, {}), DEFAULTS)

    def test_texts_of_choices_name_every_choice(self) -> None:
        """The help of the logging options names what is allowed."""
        helps = {option.name: option.help for option in OPTIONS}
        self.assertIn("debug, info, warn, error", helps["log.level"])
        self.assertIn("text, json", helps["log.format"])


class ValueTests(SettingsTestCase):
    """What each option allows."""

    def test_defaults_when_nothing_is_given(self) -> None:
        """Everything has a value without any source."""
        self.assertEqual(load({}, {}), DEFAULTS)

    def test_settings_when_a_value_is_allowed(self) -> None:
        """A value on the command line decides its field, and what follows from it."""
        for name, text, field, value in GOOD:
            settings = load({name: [text]}, {})
            expected = dataclasses.replace(DEFAULTS, **{field: value})  # type: ignore[arg-type]
            if field == "interval":
                expected = dataclasses.replace(expected, peer_expiry=3 * settings.interval)
            if field in ("interval", "peer_expiry"):
                forget = max(900.0, 2 * expected.peer_expiry)
                expected = dataclasses.replace(expected, peer_forget=forget)
            if settings.systemd_socket:
                expected = dataclasses.replace(expected, listen=())
            self.assertEqual(settings, expected, f"--{name} {text}")

    def test_error_when_a_value_is_not_allowed(self) -> None:
        """The error names the option, the value and what is allowed."""
        for name, text, allowed in BAD:
            self.assertEqual(self.error({name: [text]}), f'--{name}: "{text}": {allowed}')

    def test_error_when_a_url_has_a_control_character(self) -> None:
        """Nothing is dropped from a URL silently, so as not to connect to another host."""
        for text, shown in (
            ("mqtt://ho\nst", r"mqtt://ho\nst"),
            ("mqtt://ho\tst", r"mqtt://ho\tst"),
            ("mqtt://host:18\r83", "mqtt://host:***"),
            ("mqtt://host\n", r"mqtt://host\n"),
            (" mqtt://host", " mqtt://host"),
            ("mqtt://ho\x00st", r"mqtt://ho\x00st"),
            ("\x01mqtt://host", r"\x01mqtt://host"),
        ):
            error = self.error(given(maestro_url=text))
            self.assertEqual(error, f'--maestro-url: "{shown}": {_URL}')

    def test_every_option_has_a_good_and_a_bad_value_above(self) -> None:
        """The tables leave no option out."""
        names = {option.name for option in OPTIONS} - {"config"}
        # These want other options with them; they have tests of their own.
        together = {name for name in names if re.search("password|-file|insecure", name)}
        self.assertEqual({row[0] for row in GOOD}, names - together)
        # Whether there is such a file, and whether it is right, shows when it is read.
        any_text = {"web.config.file", "mqtt.username", "mqtt.client-id"}
        self.assertEqual({row[0] for row in BAD} - {"mqtt.insecure"}, names - together - any_text)

    def test_values_are_of_the_declared_kind(self) -> None:
        """Times are floats and counts are integers, whatever their text was."""
        settings = load(given(interval="5", peer_expiry="6", peer_forget="7"), {})
        times = (settings.interval, settings.peer_expiry, settings.peer_forget)
        self.assertEqual([type(time) for time in times], [float] * 3)
        self.assertIs(type(settings.max_peers), int)
        self.assertIs(type(settings.max_requests), int)

    def test_error_when_a_value_on_the_command_line_is_empty(self) -> None:
        """Nobody gives an option with an empty value on purpose."""
        for option in OPTIONS:
            self.assertEqual(
                self.error({option.name: [""]}), f"--{option.name}: the value is empty"
            )

    def test_last_one_counts_when_an_option_is_given_twice(self) -> None:
        """A wrapper's option can be overridden by appending to its command line."""
        self.assertEqual(load(given(interval=["5s", "6s"]), {}).interval, 6.0)

    def test_error_when_an_option_is_given_twice_and_the_first_is_bad(self) -> None:
        """What does not count must be right, too."""
        self.assertEqual(self.error(given(interval=["x", "6s"])), f'--interval: "x": {_INTERVAL}')

    def test_error_when_the_client_id_is_too_long(self) -> None:
        """Brokers have their bounds, too."""
        error = self.error(given(mqtt__client_id="x" * 201))
        self.assertEqual(error, f'--mqtt.client-id: "{"x" * 200}": {_CLIENT}')

    def test_long_value_is_cut_in_the_error(self) -> None:
        """An error stays readable, however long the value is."""
        self.assertEqual(self.error(given(port="9" * 5000)), f'--port: "{"9" * 200}": {_PORT}')


class ExpiryTests(SettingsTestCase):
    """How expiry and interval depend on each other."""

    def test_expiry_is_three_intervals_when_not_given(self) -> None:
        """A peer may miss two rounds."""
        self.assertEqual(load(given(interval="1h"), {}).peer_expiry, 10800.0)

    def test_expiry_when_it_is_one_interval(self) -> None:
        """The least expiry is the interval."""
        self.assertEqual(load(given(interval="5s", peer_expiry="5s"), {}).peer_expiry, 5.0)

    def test_error_when_expiry_is_less_than_the_interval(self) -> None:
        """Peers that would be down between two rounds are a mistake."""
        self.assertEqual(
            self.error(given(interval="1m", peer_expiry="59.5s")),
            "--peer-expiry: 59.5 s is less than --interval (60 s)",
        )

    def test_forget_is_two_expiries_when_that_is_more(self) -> None:
        """A silent peer is shown as silent for a while, however long the expiry is."""
        self.assertEqual(load(given(peer_expiry="20m"), {}).peer_forget, 2400.0)
        self.assertEqual(load(given(peer_expiry="1m"), {}).peer_forget, 900.0)

    def test_error_when_forget_is_less_than_the_expiry(self) -> None:
        """A peer that would be forgotten before it is down is a mistake."""
        self.assertEqual(
            self.error(given(peer_expiry="20m", peer_forget="15m")),
            "--peer-forget: 900 s is less than --peer-expiry (1200 s)",
        )

    def test_error_when_a_value_is_not_ascii(self) -> None:
        """What can be read is shown as it is, what cannot is escaped once."""
        self.assertIn('"é\\x1b":', self.error(given(interval="é\x1b")))

    def test_error_when_the_two_come_from_different_sources(self) -> None:
        """What counts is what is in force."""
        error = self.error(given(interval="1m"), {"MAESTRO_EXPORTER_PEER_EXPIRY": "30s"})
        self.assertIn("30 s is less than --interval (60 s)", error)


class ListenTests(SettingsTestCase):
    """Where the pages are served, by two options."""

    def test_all_addresses_in_their_order_when_given_repeatedly(self) -> None:
        """The addresses replace the default one."""
        self.assertEqual(
            load(given(web__listen_address=[":1", "[::1]:2", "localhost:3"]), {}).listen,
            (Address("", 1), Address("::1", 2), Address("localhost", 3)),
        )

    def test_all_addresses_when_a_variable_has_several(self) -> None:
        """In a variable, spaces part the addresses."""
        environ = {"MAESTRO_EXPORTER_LISTEN_ADDRESS": " :1  [::1]:2\t"}
        self.assertEqual(load({}, environ).listen, (Address("", 1), Address("::1", 2)))

    def test_all_addresses_when_a_file_has_several(self) -> None:
        """In a file, too."""
        path = self.file('MAESTRO_EXPORTER_LISTEN_ADDRESS=":1 :2"')
        self.assertEqual(load(given(config=path), {}).listen, (Address("", 1), Address("", 2)))

    def test_nearer_source_replaces_all_addresses(self) -> None:
        """Addresses of different sources are not mixed."""
        environ = {"MAESTRO_EXPORTER_LISTEN_ADDRESS": ":1 :2"}
        self.assertEqual(load(given(web__listen_address=":3"), environ).listen, (Address("", 3),))

    def test_addresses_beat_the_port_in_one_source(self) -> None:
        """The addresses say more."""
        arguments = given(port="1", web__listen_address=":2")
        self.assertEqual(load(arguments, {}).listen, (Address("", 2),))
        environ = {"MAESTRO_EXPORTER_PORT": "1", "MAESTRO_EXPORTER_LISTEN_ADDRESS": ":2"}
        self.assertEqual(load({}, environ).listen, (Address("", 2),))

    def test_port_beats_addresses_of_a_farther_source(self) -> None:
        """What was typed counts, although another option was set elsewhere."""
        path = self.file("MAESTRO_EXPORTER_LISTEN_ADDRESS=:2")
        self.assertEqual(load(given(port="1", config=path), {}).listen, (Address("", 1),))

    def test_addresses_beat_the_port_of_a_farther_source(self) -> None:
        """And the other way round."""
        environ = {"MAESTRO_EXPORTER_PORT": "1"}
        self.assertEqual(load(given(web__listen_address=":2"), environ).listen, (Address("", 2),))

    def test_no_address_when_systemd_hands_the_sockets_over(self) -> None:
        """Whatever else is said of addresses, in whichever source."""
        path = self.file("MAESTRO_EXPORTER_SYSTEMD_SOCKET=true")
        for arguments, environ in (
            (given(web__systemd_socket="true"), {}),
            (given(web__systemd_socket="true", port="1", web__listen_address=":2"), {}),
            ({}, {"MAESTRO_EXPORTER_SYSTEMD_SOCKET": "true", "MAESTRO_EXPORTER_PORT": "1"}),
            (given(config=path), {"MAESTRO_EXPORTER_LISTEN_ADDRESS": ":2"}),
        ):
            settings = load(arguments, environ)
            self.assertEqual((settings.systemd_socket, settings.listen), (True, ()))

    def test_addresses_when_systemd_hands_no_socket_over(self) -> None:
        """To say so of a nearer source takes back what a farther one says."""
        path = self.file("MAESTRO_EXPORTER_SYSTEMD_SOCKET=true\nMAESTRO_EXPORTER_PORT=1")
        environ = {"MAESTRO_EXPORTER_SYSTEMD_SOCKET": "false"}
        settings = load(given(config=path), environ)
        self.assertEqual((settings.systemd_socket, settings.listen), (False, (Address("", 1),)))

    def test_error_when_an_address_is_bad_though_systemd_hands_the_sockets_over(self) -> None:
        """What does not count must be right, too."""
        error = self.error(given(web__systemd_socket="true", web__listen_address="2"))
        self.assertEqual(error, f'--web.listen-address: "2": {_LISTEN}')

    def test_error_when_the_port_is_bad_though_addresses_are_given(self) -> None:
        """What does not count must be right, too."""
        error = self.error(given(port="x", web__listen_address=":2"))
        self.assertEqual(error, f'--port: "x": {_PORT}')


class PrecedenceTests(SettingsTestCase):
    """The command line beats the environment, which beats the file, which beats the default."""

    def test_each_option_from_each_source(self) -> None:
        """Taking away the nearest source lets the next one through, for every option."""
        field = {"port": "listen", "web.listen-address": "listen"}
        for option in OPTIONS:
            values = [(text, value) for name, text, _, value in GOOD if name == option.name][:3]
            if not values:
                continue
            if len(values) < 3:  # a choice between two
                values.append(values[0])
            name = field.get(option.name) or next(row[2] for row in GOOD if row[0] == option.name)
            (near, nearest), (middle, second), (far, third) = values
            config = self.file(f'{option.variable}="{far}"')
            arguments = {option.name: [near], "config": [config]}
            environ = {option.variable: middle}
            in_force = [
                getattr(load(arguments, environ), name),
                getattr(load({"config": [config]}, environ), name),
                getattr(load({"config": [config]}, {}), name),
                getattr(load({}, {}), name),
            ]
            expected = [nearest, second, third, getattr(DEFAULTS, name)]
            self.assertEqual(in_force, expected, option.name)

    def test_empty_variable_counts_as_not_given(self) -> None:
        """A unit file may pass on a variable that is not set."""
        self.assertEqual(load({}, {option.variable: "" for option in OPTIONS}), DEFAULTS)
        self.assertEqual(load({}, {option.variable: " \t" for option in OPTIONS}), DEFAULTS)

    def test_empty_variable_does_not_hide_the_file(self) -> None:
        """Not given means that the next source counts."""
        path = self.file("MAESTRO_EXPORTER_MAX_PEERS=7")
        environ = {"MAESTRO_EXPORTER_MAX_PEERS": ""}
        self.assertEqual(load(given(config=path), environ).max_peers, 7)

    def test_empty_value_in_the_file_does_not_hide_one_above_it(self) -> None:
        """An empty value counts as not given in a file, too."""
        path = self.file("MAESTRO_EXPORTER_MAX_PEERS=7\nMAESTRO_EXPORTER_MAX_PEERS=\n")
        self.assertEqual(load(given(config=path), {}).max_peers, 7)

    def test_space_around_a_variable_does_not_matter(self) -> None:
        """What surrounds a value in the environment is a slip of quoting."""
        self.assertEqual(load({}, {"MAESTRO_EXPORTER_MAX_PEERS": " 7 "}).max_peers, 7)

    def test_variables_of_others_do_not_matter(self) -> None:
        """An environment is full of them."""
        environ = {"PATH": "/bin", "PORT": "1", "MAESTRO_HOME": "/", "MAESTRO_EXPORTER_OTHER": "1"}
        self.assertEqual(load({}, environ), DEFAULTS)

    def test_error_names_option_and_variable_when_a_variable_is_bad(self) -> None:
        """The error leads to where the value is."""
        for name, text, allowed in BAD:
            if text != text.strip() or (name == "web.listen-address" and " " in text):
                continue
            (option,) = (option for option in OPTIONS if option.name == name)
            self.assertEqual(
                self.error({}, {option.variable: text}),
                f'--{name} (from ${option.variable}): "{text}": {allowed}',
            )

    def test_bad_variable_does_not_matter_when_the_command_line_beats_it(self) -> None:
        """A bad value elsewhere can be overridden."""
        environ = {"MAESTRO_EXPORTER_MAX_PEERS": "x"}
        self.assertEqual(load(given(max_peers="7"), environ).max_peers, 7)


class FileTests(SettingsTestCase):
    """The configuration file."""

    def test_file_of_the_service(self) -> None:
        """The file that was always there is read as it is."""
        path = self.file(
            '# The URL of the Maestro broker\nMAESTRO_BROKER="mqtt://broker.example.com:1884"\n'
        )
        broker = Broker(address=Address("broker.example.com", 1884))
        expected = dataclasses.replace(DEFAULTS, broker=broker, file=Path(path))
        self.assertEqual(load(given(config=path), {}), expected)

    def test_file_named_in_the_environment(self) -> None:
        """The file, too, has a variable."""
        path = self.file("MAESTRO_EXPORTER_MAX_PEERS=7")
        settings = load({}, {"MAESTRO_EXPORTER_CONFIG": path})
        self.assertEqual((settings.max_peers, settings.file), (7, Path(path)))

    def test_file_on_the_command_line_replaces_the_one_in_the_environment(self) -> None:
        """Only one file is read."""
        near = self.file("MAESTRO_EXPORTER_MAX_PEERS=7")
        environ = {"MAESTRO_EXPORTER_CONFIG": "/does/not/exist"}
        settings = load(given(config=near), environ)
        self.assertEqual((settings.max_peers, settings.file), (7, Path(near)))

    def test_last_file_counts_when_several_are_given(self) -> None:
        """As with every option."""
        near = self.file("MAESTRO_EXPORTER_MAX_PEERS=7")
        settings = load(given(config=["/does/not/exist", near]), {})
        self.assertEqual((settings.max_peers, settings.file), (7, Path(near)))

    def test_lines_that_are_read(self) -> None:
        """Assignments are read with and without quotes; comments and others' names are skipped."""
        for text, port in FILE_LINES:
            self.assertEqual(
                load(given(config=self.file(text)), {}).broker.address.port, port, text
            )

    def test_error_when_a_line_is_bad(self) -> None:
        """The error names the file, the line and what is wrong with it, but no secret."""
        for text, error in BAD_FILES:
            path = self.file(text)
            self.assertEqual(self.error(given(config=path)), re.sub(r"\bFILE\b", path, error))

    def test_hash_within_a_word_begins_no_comment(self) -> None:
        """As in a shell: what looks like a value must not be cut silently."""
        path = self.file("MAESTRO_EXPORTER_PORT=91#20")
        self.assertEqual(
            self.error(given(config=path)),
            f'--port (from MAESTRO_EXPORTER_PORT in {path}:1): "91#20": {_PORT}',
        )

    def test_only_a_line_feed_ends_a_line(self) -> None:
        """Odd characters in a comment are part of it, and do not shift the numbers of lines."""
        path = self.file("# page\x0cbreak, and \u2028 the like\nMAESTRO_EXPORTER_MAX_PEERS=7")
        self.assertEqual(load(given(config=path), {}).max_peers, 7)

    def test_error_when_there_is_no_file(self) -> None:
        """The error gives the system's reason."""
        path = str(Path(self.file("")).with_name("other"))
        error = f"--config: {path}: No such file or directory"
        self.assertEqual(self.error(given(config=path)), error)
        self.assertEqual(self.error({}, {"MAESTRO_EXPORTER_CONFIG": path}), error)

    def test_error_when_the_file_is_a_folder(self) -> None:
        """It cannot be read."""
        path = str(Path(self.file("")).parent)
        self.assertEqual(self.error(given(config=path)), f"--config: {path}: Is a directory")

    def test_error_when_the_file_is_not_text(self) -> None:
        """Bytes that are no UTF-8 are refused, even in a comment."""
        path = self.file(b"# caf\xe9\n")
        error = f"--config: {path}: not a text file in UTF-8"
        self.assertEqual(self.error(given(config=path)), error)


class KindOfFileTests(SettingsTestCase):
    """Which files are for --config."""

    def test_settings(self) -> None:
        """The first line that says anything names a variable, whosever it is, and its value."""
        for text in (
            'MAESTRO_BROKER="mqtt://h"',
            "MAESTRO_EXPORTER_PORT=http",
            "export A=1",
            "\n# comment\n \t\n  A='b c'  # of the lab\nnonsense: [",
            "MAESTRO_X=1\r\n",
            "\ufeffA=1",
            "A=",
        ):
            self.assertTrue(is_settings_file(Path(self.file(text))), text)

    def test_others(self) -> None:
        """YAML, other text and nothing at all are none."""
        for text in (
            "",
            "\n# A=1\n",
            "basic_auth_users:\n  joe: x\n",
            "{}",
            "---\nA=1",
            "- A=1",
            "a: b=1",
            "A = 1",
            "A=1 B=2",
            "nonsense",
        ):
            self.assertFalse(is_settings_file(Path(self.file(text))), text)

    def test_unreadable(self) -> None:
        """Whatever cannot be read is none, and no error here."""
        path = Path(self.file("A=1"))
        for other in (path.parent, path.with_name("other"), Path("a\x00b")):
            self.assertFalse(is_settings_file(other))
        self.assertTrue(is_settings_file(Path(self.file(b"A=caf\xe9"))))


#: Options that take nearly any text; if it is a file's name, there is an error when it is read.
ANY_TEXT = {
    "web.config.file",
    "mqtt.username",
    "mqtt.password",
    "mqtt.password-file",
    "mqtt.client-id",
}


class SecrecyTests(SettingsTestCase):
    """User names and passwords are not repeated, and an error is one line."""

    def test_secrets_are_not_repeated_when_a_url_is_bad(self) -> None:
        """All that may be a user name or password is starred out."""
        for text, shown, allowed in SECRET:
            error = self.error(given(maestro_url=text))
            self.assertEqual(error, f'--maestro-url: "{shown}": {allowed}')

    def test_secrets_are_not_repeated_when_a_url_is_in_the_wrong_place(self) -> None:
        """A URL that slipped into another option keeps its secrets, too."""
        for option in OPTIONS:
            if option.name in ANY_TEXT:
                continue
            for arguments, environ in (
                ({option.name: ["mqtt://joe:hunter2@host:x"]}, {}),
                ({}, {option.variable: "mqtt://joe:hunter2@host:x"}),
            ):
                error = self.error(arguments, environ)
                self.assertTrue(error.startswith(f"--{option.name}"), error)
                self.assertNotIn("hunter2", error)

    def test_error_is_one_printable_line_whatever_the_value(self) -> None:
        """What would break a line or colour a terminal is escaped."""
        for option in OPTIONS:
            if option.name in ANY_TEXT and option.name != "mqtt.client-id":
                continue
            for text in UGLY:
                error = self.error({option.name: [text]})
                self.assertTrue(error.isprintable(), f"--{option.name}: {error!r}")

    def test_error_is_one_printable_line_whatever_the_file_is_called(self) -> None:
        """The file's name is shown as a value is."""
        path = Path(self.file("")).with_name("a\nb\x1b[31m")
        for line in (
            "nonsense",
            "MAESTRO_EXPORTER_PORT=x",
            "MAESTRO_X=1",
            "MAESTRO_EXPORTER_CONFIG=x",
        ):
            path.write_text(line, encoding="utf-8")
            error = self.error(given(config=str(path)))
            self.assertTrue(error.isprintable(), repr(error))

    def test_secret_is_not_repeated_when_it_has_several_lines(self) -> None:
        """Neither half of it is."""
        error = self.error(given(maestro_url="mqtt://joe:hun\nter2@host:x"))
        self.assertTrue(error.startswith('--maestro-url: "***@host:***": '), error)

    def test_error_has_no_cause_that_a_traceback_would_show(self) -> None:
        """What was raised first has the text in it."""
        error = self.assertRaises(SettingsError, load, given(maestro_url="mqtt://u:p@h:x"), {})
        self.assertTrue(error.__suppress_context__)


CERTIFICATES = Path(__file__).with_name("web_config") / "certificates"
CA, CERT, KEY = (CERTIFICATES / name for name in ("ca.pem", "client.pem", "client.key"))


class BrokerTests(SettingsTestCase):
    """Who we are to the broker, and TLS."""

    def broker(
        self, environ: Mapping[str, str] | None = None, **texts: str | Sequence[str]
    ) -> Broker:
        """Give the broker that an environment and a command line lead to."""
        return load(given(**texts), environ or {}).broker

    def test_url(self) -> None:
        """The URL has the user name and password, and whether there is TLS."""
        self.assertEqual(
            self.broker(maestro_url="mqtts://joe:p%20@w@host"),
            Broker(address=Address("host", 8883), tls=True, username="joe", password="p @w"),
        )

    def test_password_of_the_variable_is_taken_as_it_is(self) -> None:
        """Nothing is cut off or decoded."""
        password = "  %41 \"'#$x@: "
        environ = {"MAESTRO_MQTT_USERNAME": " joe ", "MAESTRO_MQTT_PASSWORD": password}
        self.assertEqual(self.broker(environ).credentials(), ("joe", password))

    def test_password_of_the_configuration_file(self) -> None:
        """Quotes keep its spaces."""
        path = self.file('MAESTRO_MQTT_USERNAME=joe\nMAESTRO_MQTT_PASSWORD=" p w "')
        self.assertEqual(self.broker(config=path).credentials(), ("joe", " p w "))

    def test_nearest_password_counts(self) -> None:
        """Of the same source, the URL's does, then the variable's, then the file's."""
        secret = self.file("of the file")
        config = self.file("MAESTRO_MQTT_PASSWORD=of the configuration".replace(" ", r"\ "))
        variables = {"MAESTRO_MQTT_PASSWORD": "of the variable"}
        file_variable = {"MAESTRO_MQTT_PASSWORD_FILE": secret}
        url = {"MAESTRO_BROKER": "mqtt://joe:url@host"}
        user = {"mqtt__username": "joe", "config": config}
        for arguments, environ, expected in (
            ({"mqtt__password_file": secret}, variables | url, "of the file"),
            ({"mqtt__password_file": secret, "maestro_url": "mqtt://joe:url@h"}, {}, "url"),
            ({}, variables | file_variable | url, "url"),
            ({}, variables | file_variable, "of the variable"),
            ({}, file_variable, "of the file"),
            ({}, {}, "of the configuration"),
        ):
            broker = self.broker(environ, **user, **arguments)
            self.assertEqual(broker.credentials(), ("joe", expected))

    def test_credentials_of_a_url_that_is_not_in_force(self) -> None:
        """They are not for another broker."""
        environ = {"MAESTRO_BROKER": "mqtt://joe:hunter2@host"}
        self.assertIs(self.broker(environ, maestro_url="mqtt://other").credentials(), None)

    def test_nearest_user_name_counts(self) -> None:
        """In one source, the URL's does."""
        url = "mqtt://joe:x@host"
        self.assertEqual(self.broker(maestro_url=url, mqtt__username="eve").username, "joe")
        environ = {"MAESTRO_BROKER": url}
        self.assertEqual(self.broker(environ, mqtt__username="eve").credentials(), ("eve", "x"))

    def test_credentials_of_systemd(self) -> None:
        """They count when nothing else does."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        environ = {"CREDENTIALS_DIRECTORY": folder.name}
        self.assertIs(self.broker(environ).credentials(), None)
        Path(folder.name, "mqtt-username").write_text("joe\n")
        Path(folder.name, "mqtt-password").write_text("x\n")
        broker = self.broker(environ)
        self.assertEqual(broker.credentials(), ("joe", "x"))
        self.assertEqual(broker.password_file, Path(folder.name, "mqtt-password"))
        environ |= {"MAESTRO_MQTT_PASSWORD": "y"}
        self.assertEqual(self.broker(environ).credentials(), ("joe", "y"))
        self.assertEqual(self.broker(environ, mqtt__username="eve").credentials(), ("eve", "y"))
        Path(folder.name, "mqtt-username").write_text("")
        self.assertIn("from $CREDENTIALS_DIRECTORY", self.error({}, environ))

    def test_tls(self) -> None:
        """Each option has its field."""
        broker = self.broker(
            maestro_url="mqtts://host:1",
            mqtt__ca_file=str(CA),
            mqtt__cert_file=str(CERT),
            mqtt__key_file=str(KEY),
            mqtt__insecure="true",
        )
        expected = Broker(
            address=Address("host", 1),
            tls=True,
            insecure=True,
            ca_file=CA,
            cert_file=CERT,
            key_file=KEY,
        )
        self.assertEqual(broker, expected)

    def test_files_are_relative_to_the_folder_given(self) -> None:
        """Wherever the process is by then, and in whichever source they are."""
        arguments = given(maestro_url="mqtts://host", mqtt__ca_file="ca.pem")
        environ = {"MAESTRO_MQTT_CERT_FILE": "client.pem", "MAESTRO_MQTT_KEY_FILE": str(KEY)}
        broker = load(arguments, environ, str(CERTIFICATES)).broker
        self.assertEqual((broker.ca_file, broker.cert_file, broker.key_file), (CA, CERT, KEY))

    def test_error_when_tls_is_wanted_of_a_url_without(self) -> None:
        """Whoever thinks that it is encrypted is told."""
        for name, text in (
            ("mqtt.ca-file", str(CA)),
            ("mqtt.cert-file", str(CERT)),
            ("mqtt.key-file", str(KEY)),
            ("mqtt.insecure", "true"),
        ):
            self.assertEqual(
                self.error({name: [text]}),
                f"--{name}: needs TLS: give --maestro-url as mqtts://host[:port]",
            )

    def test_error_when_something_is_missing(self) -> None:
        """A key wants a certificate, and a password a user name."""
        self.assertEqual(
            self.error(given(maestro_url="mqtts://host", mqtt__key_file=str(KEY))),
            "--mqtt.key-file: needs --mqtt.cert-file",
        )
        no_user = "--mqtt.username: there is a password, but no user name"
        self.assertEqual(self.error(given(maestro_url="mqtt://:hunter2@host")), no_user)
        self.assertEqual(self.error({}, {"MAESTRO_MQTT_PASSWORD": "hunter2"}), no_user)
        self.assertEqual(self.error(given(mqtt__password_file=self.file("x"))), no_user)

    def test_error_when_a_file_is_bad(self) -> None:
        """It is found at the start, not at the first connection."""
        self.assertEqual(
            self.error(given(mqtt__username="joe", mqtt__password_file="/does/not/exist")),
            "--mqtt.password-file: /does/not/exist: No such file or directory",
        )
        self.assertEqual(
            self.error(given(maestro_url="mqtts://host", mqtt__ca_file=str(KEY))),
            f"--mqtt.ca-file: {KEY}: no certificate in it",
        )

    def test_error_when_a_text_cannot_be_sent(self) -> None:
        """The password is not repeated, the user name is."""
        self.assertEqual(
            self.error({}, {"MAESTRO_MQTT_PASSWORD": "hunter2\0"}),
            f"$MAESTRO_MQTT_PASSWORD: {_TEXT}",
        )
        self.assertEqual(
            self.error(given(mqtt__username="joe\udcff")),
            f'--mqtt.username: "joe\\udcff": {_TEXT}',
        )

    def test_password_is_not_in_the_representation(self) -> None:
        """Wherever settings may be shown."""
        settings = load(given(maestro_url="mqtt://joe:hunter2@host"), {})
        self.assertNotIn("hunter2", f"{settings!r}{settings}")
