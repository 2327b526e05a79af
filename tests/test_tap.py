"""What twistd gets: the options, each given well and badly, and the service."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.application.service import Application, IServiceCollection, MultiService, Service
from twisted.internet import reactor
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel
from twisted.trial.unittest import SynchronousTestCase

import maestro_exporter
from maestro_exporter import tap
from maestro_exporter.broker import Broker
from maestro_exporter.logs import Log
from maestro_exporter.options import OPTIONS
from maestro_exporter.poller import Poller
from maestro_exporter.settings import Settings, StartError, load
from maestro_exporter.tap import Options, makeService
from maestro_exporter.values import Address
from maestro_exporter.web.listening import Listener
from tests import fakes

CERTIFICATES = Path(__file__).with_name("web_config") / "certificates"
CA, CERT, KEY = (CERTIFICATES / name for name in ("ca.pem", "client.pem", "client.key"))
LOCAL = Address("localhost", 1883)
SECURE = Broker(address=Address("h", 8883), tls=True)

_URL = (
    "give mqtt://host[:port], or mqtts:// for TLS; "
    "a user name and password may stand before the host"
)
_PORT = "give a whole number from 0 to 65535"
_PASSWORD = (
    "--mqtt.password: everybody can see command lines; give MAESTRO_MQTT_PASSWORD, or a file"
)
_TIME = "give seconds, or a number with ms, s, m or h, from"

#: Arguments, the field that they decide, and the value of that.
GOOD: tuple[tuple[Sequence[str], str, object], ...] = (
    (["--maestro-url", "mqtt://h:7"], "broker", Broker(address=Address("h", 7))),
    (["--maestro-url=mqtt://h:7"], "broker", Broker(address=Address("h", 7))),
    (["-m", "mqtt://h:7"], "broker", Broker(address=Address("h", 7))),
    (["-mmqtt://h:7"], "broker", Broker(address=Address("h", 7))),
    (
        ["-m", "mqtt://j:p w@h:7"],
        "broker",
        Broker(address=Address("h", 7), username="j", password="p w"),
    ),
    (["--mqtt.username=joe"], "broker", Broker(address=LOCAL, username="joe")),
    (
        ["--mqtt.username", "joe", f"--mqtt.password-file={CA}"],
        "broker",
        Broker(address=LOCAL, username="joe", password_file=CA),
    ),
    (
        ["--mqtt.username", "joe", f"--mqtt.password-f={CA}"],
        "broker",
        Broker(address=LOCAL, username="joe", password_file=CA),
    ),
    (["-m", "mqtts://h", "--mqtt.ca-file", f"{CA}"], "broker", replace(SECURE, ca_file=CA)),
    (
        ["-m", "mqtts://h", f"--mqtt.cert-file={CERT}", f"--mqtt.key-file={KEY}"],
        "broker",
        replace(SECURE, cert_file=CERT, key_file=KEY),
    ),
    (["-m", "mqtts://h", "--mqtt.insecure"], "broker", replace(SECURE, insecure=True)),
    (["--mqtt.version=5"], "broker", Broker(address=LOCAL, version="5")),
    (["--mqtt.client-id=lab"], "broker", Broker(address=LOCAL, client_id="lab")),
    (["--mqtt.session-expiry=1m"], "broker", Broker(address=LOCAL, session_expiry=60.0)),
    (["--port", "7"], "listen", (Address("", 7),)),
    (["--port=7"], "listen", (Address("", 7),)),
    (["-p", "7"], "listen", (Address("", 7),)),
    (["-p7"], "listen", (Address("", 7),)),
    (["-p", "6", "--port", "7"], "listen", (Address("", 7),)),
    (["--web.listen-address", "h:7"], "listen", (Address("h", 7),)),
    (
        ["--web.listen-address=:7", "--web.listen-address=[::1]:8"],
        "listen",
        (Address("", 7), Address("::1", 8)),
    ),
    (["--web.systemd-socket"], "systemd_socket", True),
    (["--web.systemd-socket", "--port=7"], "listen", ()),
    (["--web.config.file=web.yml"], "web_config", Path.cwd() / "web.yml"),
    (["--web.config.file", "/etc/web.yml"], "web_config", Path("/etc/web.yml")),
    (["--web.max-requests=7"], "max_requests", 7),
    (["--web.access-log"], "access_log", True),
    (["--web.access-log", "--web.access-log"], "access_log", True),
    (["--web.telemetry-path=/m"], "telemetry_path", "/m"),
    (["--interval=5s"], "interval", 5.0),
    (["--interval", "6"], "interval", 6.0),
    (["--peer-expiry=1m"], "peer_expiry", 60.0),
    (["--peer-forget=1h"], "peer_forget", 3600.0),
    (["--max-peers=7"], "max_peers", 7),
    (["--log.level=debug"], "log_level", "debug"),
    (["--log.format=json"], "log_format", "json"),
)

#: Arguments, and the line that they end in, without the program's name.
BAD: tuple[tuple[Sequence[str], str], ...] = (
    (["--maestro-url", "h:7"], f'--maestro-url: "h:7": {_URL}'),
    (["-m", "h:7"], f'--maestro-url: "h:7": {_URL}'),
    (
        ["-m", "mqtt://joe:hunter2@h:x"],
        f'--maestro-url: "***@h:***": {_URL}',
    ),
    (
        ["--mqtt.username=joe\0"],
        '--mqtt.username: "joe\\x00": give 1 to 65535 bytes of UTF-8 without NUL',
    ),
    (["--mqtt.password=hunter2"], _PASSWORD),
    (["--mqtt.password", "hunter2"], _PASSWORD),
    (["--mqtt.pass=hunter2"], _PASSWORD),
    (["--mqtt.passwords=hunter2"], "option --mqtt.passwords not recognized"),
    (
        ["--mqtt.username=joe", "--mqtt.password-file=/does/not/exist"],
        "--mqtt.password-file: /does/not/exist: No such file or directory",
    ),
    (
        [f"--mqtt.ca-file={CA}"],
        "--mqtt.ca-file: needs TLS: give --maestro-url as mqtts://host[:port]",
    ),
    (
        ["-m", "mqtts://h", f"--mqtt.cert-file={KEY}"],
        f"--mqtt.cert-file: {KEY}: no certificate in it",
    ),
    (["-m", "mqtts://h", f"--mqtt.key-file={KEY}"], "--mqtt.key-file: needs --mqtt.cert-file"),
    (["--mqtt.insecure=true"], "option --mqtt.insecure must not have an argument"),
    (["--mqtt.client-id="], "--mqtt.client-id: the value is empty"),
    (["--mqtt.version=4"], '--mqtt.version: "4": give one of auto, 5, 3.1.1'),
    (["--mqtt.session-expiry=0"], f'--mqtt.session-expiry: "0": {_TIME} 1s to 168h'),
    (["joe:hunter2 hunter2@h"], '"***@h": there are only options'),
    (["--maestro-urlmqtt://joe:hunter2 hunter2@h"], "option ***@h not recognized"),
    (["--port", "http"], f'--port: "http": {_PORT}'),
    (["-p", "-1"], f'--port: "-1": {_PORT}'),
    (
        ["--web.listen-address=:7", "--web.listen-address=8"],
        '--web.listen-address: "8": give host:port, [IPv6 address]:port or :port',
    ),
    (["--web.systemd-socket=true"], "option --web.systemd-socket must not have an argument"),
    (["--web.access-log=true"], "option --web.access-log must not have an argument"),
    (["--web.access-log", "true"], '"true": there are only options'),
    (["--web.config.file="], "--web.config.file: the value is empty"),
    (["--web.max-requests=0"], '--web.max-requests: "0": give a whole number from 1 to 1000'),
    (
        ["--web.telemetry-path", "m"],
        '--web.telemetry-path: "m": give a path such as /metrics, outside /-/, /api/ and /assets/',
    ),
    (["--interval", "0"], f'--interval: "0": {_TIME} 100ms to 1h'),
    (["--peer-expiry", "0"], f'--peer-expiry: "0": {_TIME} 100ms to 24h'),
    (["--peer-forget", "x"], f'--peer-forget: "x": {_TIME} 100ms to 8760h'),
    (["--max-peers", "0"], '--max-peers: "0": give a whole number from 1 to 1000000'),
    (["--config", "/does/not/exist"], "--config: /does/not/exist: No such file or directory"),
    (["--log.level", "loud"], '--log.level: "loud": give one of debug, info, warn, error'),
    (["--log.format", "xml"], '--log.format: "xml": give one of text, json'),
    (["--port="], "--port: the value is empty"),
    (["--port"], "option --port requires argument"),
    (["-p"], "option -p requires argument"),
    (["--bogus"], "option --bogus not recognized"),
    (["--bogus=mqtt://joe:hunter2@h"], "option --bogus not recognized"),
    (["-x"], "option -x not recognized"),
    (["--version=1"], "option --version must not have an argument"),
)


class OptionsTestCase(SynchronousTestCase):
    """What the tests of options share: an environment, standard output and error of their own."""

    def setUp(self) -> None:
        self.stdout, self.stderr = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", self.stdout)
        self.patch(sys, "stderr", self.stderr)
        self.environ: dict[str, str] = {}
        self.patch(tap, "os", SimpleNamespace(environ=self.environ))

    def parse(self, *arguments: str) -> Settings:
        """Give the settings that the arguments lead to."""
        options = Options()
        options.parseOptions(list(arguments))
        return options.settings

    def exit(self, *arguments: str) -> object:
        """Give the status with which the arguments end the process."""
        return self.assertRaises(SystemExit, Options().parseOptions, list(arguments)).code


class OptionsTests(OptionsTestCase):
    """The command line."""

    def test_defaults_when_nothing_is_given(self) -> None:
        """The exporter runs without any argument."""
        self.assertEqual(self.parse(), load({}, {}))

    def test_settings_when_an_option_is_given(self) -> None:
        """Each option, long and short, decides its setting."""
        for arguments, field, value in GOOD:
            self.assertEqual(getattr(self.parse(*arguments), field), value, arguments)

    def test_status_and_line_when_an_option_is_bad(self) -> None:
        """Bad usage ends with status 2 and exactly one line on standard error."""
        for arguments, line in BAD:
            self.stderr.seek(0)
            self.stderr.truncate()
            self.assertEqual(self.exit(*arguments), 2, arguments)
            self.assertEqual(self.stderr.getvalue(), f"maestro-exporter: {line}\n")
        self.assertEqual(self.stdout.getvalue(), "")

    def test_every_option_has_a_good_and_a_bad_use_above(self) -> None:
        """The tables leave no option out."""
        names = {f"--{option.name}" for option in OPTIONS if not option.secret}
        good = {text.partition("=")[0] for row in GOOD for text in row[0] if text[:2] == "--"}
        bad = {text.partition("=")[0] for row in BAD for text in row[0] if text[:2] == "--"}
        self.assertEqual(names - good, {"--config"})
        self.assertEqual(names - bad, set())

    def test_setting_from_a_file(self) -> None:
        """The file that --config names is read."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "exporter.conf")
            path.write_text('MAESTRO_BROKER="mqtt://h:7"\n', encoding="utf-8")
            self.assertEqual(self.parse("--config", str(path)).broker.address, Address("h", 7))

    def test_setting_from_the_environment(self) -> None:
        """A variable of the process counts."""
        self.environ["MAESTRO_BROKER"] = "mqtt://h:7"
        self.assertEqual(self.parse().broker.address, Address("h", 7))

    def test_flag_from_the_environment(self) -> None:
        """There it has a value, which the command line cannot take back."""
        for text, value in (("true", True), ("false", False), ("", False)):
            self.environ["MAESTRO_EXPORTER_ACCESS_LOG"] = text
            self.assertIs(self.parse().access_log, value)
            self.assertIs(self.parse("--web.access-log").access_log, True)

    def test_line_when_a_flag_in_the_environment_is_bad(self) -> None:
        """Only two words are allowed."""
        self.environ["MAESTRO_EXPORTER_ACCESS_LOG"] = "yes"
        self.assertEqual(self.exit(), 2)
        self.assertEqual(
            self.stderr.getvalue(),
            "maestro-exporter: --web.access-log (from $MAESTRO_EXPORTER_ACCESS_LOG): "
            '"yes": give true or false\n',
        )

    def test_command_line_beats_the_environment(self) -> None:
        """What is typed is nearest."""
        self.environ["MAESTRO_BROKER"] = "mqtt://h:6"
        self.assertEqual(self.parse("-m", "mqtt://h:7").broker.address, Address("h", 7))

    def test_line_when_a_variable_is_bad(self) -> None:
        """A bad variable ends the process as a bad option does."""
        self.environ["MAESTRO_EXPORTER_PORT"] = "http"
        self.assertEqual(self.exit(), 2)
        self.assertEqual(
            self.stderr.getvalue(),
            f'maestro-exporter: --port (from $MAESTRO_EXPORTER_PORT): "http": {_PORT}\n',
        )

    def test_line_names_the_argument_when_it_is_no_option(self) -> None:
        """Arguments that are not options are refused by name."""
        self.assertEqual(self.exit("bogus"), 2)
        self.assertRegex(self.stderr.getvalue(), r"\Amaestro-exporter: .*bogus.*\n\Z")

    def test_line_is_one_when_an_unknown_option_has_several(self) -> None:
        """Whatever is typed, the error is one line."""
        self.assertEqual(self.exit("--bo\ngus"), 2)
        self.assertEqual(self.stderr.getvalue().count("\n"), 1)

    def test_line_has_no_secret_when_the_name_of_an_option_runs_into_a_url(self) -> None:
        """A forgotten space shows no password."""
        self.assertEqual(self.exit("--maestro-urlmqtt://joe:hunter2@h"), 2)
        self.assertNotIn("hunter2", self.stderr.getvalue())

    def test_options_are_apart(self) -> None:
        """Parsing twice in one process mixes nothing."""
        self.parse("--web.listen-address=:7")
        self.assertEqual(self.parse(), load({}, {}))

    def test_version(self) -> None:
        """The version goes to standard output, and the status is 0."""
        self.assertEqual(self.exit("--version"), 0)
        version = f"maestro-exporter {maestro_exporter.__version__}\n"
        self.assertEqual((self.stdout.getvalue(), self.stderr.getvalue()), (version, ""))

    def test_version_when_the_environment_is_bad(self) -> None:
        """The version can be asked for, whatever is set."""
        self.environ["MAESTRO_EXPORTER_PORT"] = "http"
        self.assertEqual(self.exit("--version"), 0)

    def test_help(self) -> None:
        """The help goes to standard output, and the status is 0."""
        for argument in ("-h", "--help"):
            self.stdout.seek(0)
            self.stdout.truncate()
            self.assertEqual(self.exit(argument), 0)
            self.assertIn("--help", self.stdout.getvalue())
        self.assertEqual(self.stderr.getvalue(), "")

    def test_help_names_all_that_can_be_set(self) -> None:
        """Every option, its letter, its variable, its default and its text are in the help."""
        self.exit("--help")
        # Where lines are broken depends on the width of the terminal.
        text = re.sub(r"\s", "", self.stdout.getvalue())
        for option in OPTIONS:
            letter = f"-{option.short}," if option.short else ""
            help_ = re.sub(r"\s", "", option.help)
            if option.secret:
                self.assertIn(f"{option.variable}:{help_}", text)
                self.assertNotIn(f"--{option.name}=", text)
                continue
            self.assertIn(f"--{option.name}as{option.variable}", text)
            self.assertIn(help_, text)
            if option.flag:
                self.assertIn(f"{letter}--{option.name}{help_}", text)
                continue
            self.assertIn(f"{letter}--{option.name}=", text)
            if option.default:
                self.assertIn(f"[default:{option.default}]", text)
        self.assertIn("-h,--help", text)
        self.assertIn("--version", text)


class RereadTests(OptionsTestCase):
    """The settings, read again while the exporter runs."""

    def setUp(self) -> None:
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name, "exporter.conf")
        self.write()
        self.stream = io.StringIO()
        self.log = Log(self.stream, "info", "text")
        self.logged = fakes.Log(self)

    def write(self, *lines: str) -> None:
        """Let the file have these lines."""
        self.path.write_text("\n".join(lines), encoding="utf-8")

    def options(self, *arguments: str) -> Options:
        options = Options()
        options.parseOptions([f"--config={self.path}", *arguments])
        return options

    def written(self) -> list[str]:
        """Give which levels are written to the log."""
        self.stream.seek(0)
        self.stream.truncate()
        log = Logger("test", observer=self.log.observer)
        levels = ("debug", "info", "warn", "error")
        for level in levels:
            log.emit(LogLevel.lookupByName(level), f"<{level}>")
        return [level for level in levels if f"<{level}>" in self.stream.getvalue()]

    def test_log_level(self) -> None:
        """It is taken over, each time that it has changed, back to the default too."""
        options = self.options()
        for level, count in (("debug", 4), ("error", 1), ("warn", 2), ("", 3)):
            self.write(f"MAESTRO_EXPORTER_LOG_LEVEL={level}")
            options.reread(self.log)
            self.assertEqual(len(self.written()), count, level)
        self.assertEqual(self.logged.lines(), [])

    def test_log_level_that_is_set_nearer(self) -> None:
        """The command line still beats the file, and so does the environment."""
        self.write("MAESTRO_EXPORTER_LOG_LEVEL=debug")
        self.options("--log.level=warn").reread(self.log)
        self.assertEqual(self.written(), ["warn", "error"])
        self.environ["MAESTRO_EXPORTER_LOG_LEVEL"] = "error"
        self.options().reread(self.log)
        self.assertEqual(self.written(), ["error"])

    def test_files_are_found_from_another_folder(self) -> None:
        """twistd may change to one after the settings were read."""
        here = Path.cwd()
        self.addCleanup(os.chdir, here)
        os.chdir(self.path.parent)
        options = Options()
        Path("password").write_text("x")
        self.environ["MAESTRO_MQTT_USERNAME"] = "joe"
        self.environ["MAESTRO_MQTT_PASSWORD_FILE"] = "password"
        options.parseOptions([f"--config={self.path.name}", "--web.config.file=web.yml"])
        os.chdir("/")
        self.write('MAESTRO_EXPORTER_LOG_LEVEL="debug"')
        options.reread(self.log)

        self.assertEqual(self.logged.lines(), [])
        self.assertEqual(len(self.written()), 4)

    def test_log_that_is_not_ours(self) -> None:
        """Its level is left alone."""
        options = self.options()
        self.write("MAESTRO_EXPORTER_LOG_LEVEL=debug")
        options.reread(None)
        self.assertEqual(self.written(), ["info", "warn", "error"])
        self.assertEqual(self.logged.lines(), [])

    def test_other_settings(self) -> None:
        """That they have changed is logged, for they stay as they are, however often it is said."""
        options = self.options()
        before = options.settings
        self.write("MAESTRO_EXPORTER_LOG_LEVEL=error", "MAESTRO_EXPORTER_INTERVAL=5s")
        for _ in range(2):
            options.reread(self.log)
        self.assertEqual(self.written(), ["error"])
        self.assertIs(options.settings, before)
        self.assertEqual(
            self.logged.lines(),
            ["Other settings than the log level have changed; they take a restart"] * 2,
        )

    def test_nothing_that_has_changed(self) -> None:
        """Nothing is said."""
        options = self.options("--interval=5s")
        options.reread(self.log)
        self.assertEqual(self.logged.lines(), [])

    def test_bad_file(self) -> None:
        """All stays as it is, and the log says in a line what is wrong; the process goes on."""
        options = self.options()
        for line, error in (
            ("MAESTRO_EXPORTER_INTERVAL=soon", '"soon": give seconds'),
            ("nonsense", 'give one NAME="value" a line'),
            ("MAESTRO_BROKER=mqtt://joe:hunter2@h:x", '"***@h:***": give mqtt://host[:port]'),
            ("MAESTRO_MQTT_PASSWORD_FILE=/does/not/exist", "there is a password"),
        ):
            self.write("MAESTRO_EXPORTER_LOG_LEVEL=error", line)
            options.reread(self.log)
            said = self.logged.lines()[-1]
            self.assertTrue(said.startswith("The settings stay as they were: --"), said)
            self.assertIn(error, said)
            self.assertEqual(len(said.splitlines()), 1)
        self.assertEqual(self.written(), ["info", "warn", "error"])
        self.assertEqual(len(self.logged.lines(LogLevel.error)), 4)

    def test_file_that_is_gone(self) -> None:
        """So it is when there is no file for a while."""
        options = self.options()
        self.path.unlink()
        options.reread(self.log)
        (line,) = self.logged.lines()
        self.assertIn("No such file or directory", line)
        self.write("MAESTRO_EXPORTER_LOG_LEVEL=error")
        options.reread(self.log)
        self.assertEqual(self.written(), ["error"])


class MakeServiceTests(OptionsTestCase):
    """The service for twistd."""

    def setUp(self) -> None:
        super().setUp()
        # It is the reactor of this process that gets another clock, until the end of the test.
        self.patch(reactor, "seconds", time.time)
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            self.addCleanup(signal.signal, number, signal.getsignal(number))

    def make(self, *arguments: str, twistd: Any = None) -> MultiService:
        """Give the service that these arguments, and those of twistd, lead to."""
        options = Options()
        options.parseOptions(list(arguments))
        options.parent = twistd
        service = makeService(options)
        assert isinstance(service, MultiService)
        return service

    def observer(self, **twistd: Any) -> ILogObserver | None:
        """Give the log observer that the application gets, if any."""
        application = Application("maestro-exporter")
        before = application.getComponent(ILogObserver)
        self.assertIs(before, None)
        self.make("--log.format=json", twistd=twistd).setServiceParent(application)
        found: ILogObserver | None = application.getComponent(ILogObserver)
        return found

    def test_service_is_the_whole_exporter(self) -> None:
        """What is made listens where the options say; nothing is started."""
        service = self.make("--web.listen-address=:7", "--web.listen-address=:8")
        (exporter,) = service
        kinds = [type(part) for part in exporter]
        self.assertEqual(kinds.count(Listener), 2)
        self.assertEqual(kinds.count(Poller), 1)
        self.assertFalse(any(part.running for part in (service, exporter, *exporter)))

    def test_timers_do_not_follow_the_wall_clock(self) -> None:
        """Twistd's reactor runs on the clock that never steps, before the exporter is made."""
        seen: list[tuple[object, object]] = []

        def make_exporter(_settings: Settings, given: Any, **_: Any) -> FakeExporter:
            seen.append((given, given.seconds))
            return FakeExporter()

        self.patch(tap, "make_exporter", make_exporter)
        self.make()
        self.assertEqual(seen, [(reactor, time.monotonic)])
        self.assertIs(reactor.seconds, time.monotonic)

    def test_service_joins_the_application(self) -> None:
        """Twistd starts and stops it with the application."""
        application = Application("maestro-exporter")
        service = self.make(twistd={})
        service.setServiceParent(application)
        self.assertEqual(list(IServiceCollection(application)), [service])

    def test_service_joins_another_service(self) -> None:
        """A parent that is no application needs no log observer."""
        parent = MultiService()
        service = self.make(twistd={})
        service.setServiceParent(parent)
        self.assertEqual(list(parent), [service])

    def test_log_lines_go_to_standard_output_in_the_foreground(self) -> None:
        """With `twistd -n`, or `--logfile -`, lines have our form."""
        for twistd in ({"nodaemon": True}, {"logfile": "-", "nodaemon": False}):
            self.stdout.seek(0)
            self.stdout.truncate()
            observer = self.observer(**twistd)
            assert observer is not None
            observer(event("it runs"))
            self.assertEqual(
                self.stdout.getvalue(),
                '{"time": "1970-01-01T00:00:00.000Z", "level": "info", '
                '"logger": "us", "message": "it runs"}\n',
            )

    def test_log_lines_go_to_the_file_that_twistd_is_told_of(self) -> None:
        """The option --logfile of twistd is obeyed, daemon or not."""
        for nodaemon in (True, False):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "exporter.log")
                observer = self.observer(logfile=str(path), nodaemon=nodaemon)
                assert observer is not None
                observer(event("caf\xe9"))
                (line,) = path.read_text("utf-8").splitlines()
                self.assertEqual(json.loads(line)["message"], "caf\xe9")
        self.assertEqual(self.stdout.getvalue(), "")

    def test_log_lines_are_left_to_twistd_when_it_has_an_observer(self) -> None:
        """With --logger or --syslog, twistd's own choice stays."""
        self.assertIs(self.observer(logger="some.observer", nodaemon=True), None)
        self.assertIs(self.observer(syslog=True, nodaemon=True), None)

    def test_start_error_leaves_no_traceback(self) -> None:
        """When the exporter cannot start, twistd shows the reason alone."""
        self.addCleanup(setattr, sys, "tracebacklimit", getattr(sys, "tracebacklimit", 1000))
        service = self.make()
        Unstartable().setServiceParent(service)
        for part in service.services[:-1]:
            part.disownServiceParent()
        error = self.assertRaises(StartError, service.privilegedStartService)
        self.assertEqual((str(error), sys.tracebacklimit), ("no room", 0))

    def test_exporter_that_cannot_be_made_leaves_no_traceback(self) -> None:
        """It is no other error than of one that cannot start."""

        def make_exporter(*_: Any, **__: Any) -> FakeExporter:
            raise StartError("no socket")

        self.patch(tap, "make_exporter", make_exporter)
        self.addCleanup(setattr, sys, "tracebacklimit", getattr(sys, "tracebacklimit", 1000))
        error = self.assertRaises(StartError, self.make)
        self.assertEqual((str(error), sys.tracebacklimit), ("no socket", 0))

    def test_settings_are_read_again_into_our_log(self) -> None:
        """What the exporter is given to do so changes the level of what it logs from then on."""
        rereads: list[Callable[[], object]] = []

        def make_exporter(*_: Any, reread: Callable[[], object]) -> FakeExporter:
            rereads.append(reread)
            return FakeExporter()

        self.patch(tap, "make_exporter", make_exporter)
        for twistd in ({"nodaemon": True}, {"syslog": True}):
            observer = self.observer(**twistd)
            for self.environ["MAESTRO_EXPORTER_LOG_LEVEL"] in ("error", "info"):
                rereads[-1]()
                if observer is not None:
                    observer(event(f"at {self.environ['MAESTRO_EXPORTER_LOG_LEVEL']}"))
        (line,) = self.stdout.getvalue().splitlines()
        self.assertEqual(json.loads(line)["message"], "at info")


class SignalReactor(MemoryReactorClock):
    """A reactor that keeps what it is to call from signal handlers.

    Attributes:
        from_signals: that.
    """

    def __init__(self) -> None:
        super().__init__()
        self.from_signals: list[Callable[[], object]] = []
        self.hasStopped = False  # older ones say True from the start

    def callFromThread(self, function: Callable[[], object]) -> None:
        self.from_signals.append(function)


class FakeExporter(MultiService):
    """Stands in for the exporter.

    Attributes:
        reloads: how often it was told to reload.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reloads = 0

    def reload(self) -> None:
        self.reloads += 1


class SignalTests(SynchronousTestCase):
    """What signals do under twistd."""

    def setUp(self) -> None:
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        signal.signal(signal.SIGINT, signal.default_int_handler)  # make may have it ignored
        self.reactor = SignalReactor()
        self.exporter = FakeExporter()
        exporter: Any = self.exporter
        self.service = tap._UnderTwistd(exporter, None, self.reactor)

    def start(self) -> None:
        self.service.privilegedStartService()
        self.service.startService()

    def send(self, number: signal.Signals) -> None:
        """Do what the signal does, up to where the reactor takes over."""
        handler: Any = signal.getsignal(number)
        handler(number, None)

    def test_nothing_is_touched_before_the_start(self) -> None:
        """twistd may only want to know what the service is."""
        numbers = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)
        before = [signal.getsignal(number) for number in numbers]
        self.service.privilegedStartService()
        self.reactor.advance(1)
        after = [signal.getsignal(number) for number in numbers]
        self.assertEqual(after, before)

    def test_reload(self) -> None:
        """SIGHUP reloads, in the reactor thread, each time."""
        self.start()
        for times in (1, 2):
            self.send(signal.SIGHUP)
            self.assertEqual(self.exporter.reloads, times - 1)
            self.reactor.from_signals.pop()()
            self.assertEqual(self.exporter.reloads, times)

    def test_end(self) -> None:
        """SIGTERM and SIGINT stop the reactor, by handlers that come after the reactor's own."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self.setUp()
            before = signal.getsignal(number)
            self.start()
            self.assertIs(signal.getsignal(number), before)
            self.reactor.advance(0)
            self.send(number)
            self.assertFalse(self.reactor.hasStopped)
            (call,) = self.reactor.from_signals
            call()
            self.assertTrue(self.reactor.hasStopped)


def event(text: str) -> LogEvent:
    """Give a log event of the year 1970."""
    return {
        "log_time": 0.0,
        "log_level": LogLevel.info,
        "log_namespace": "us",
        "log_format": text,
    }


class Unstartable(Service):
    """A service that cannot start."""

    def privilegedStartService(self) -> None:
        raise StartError("no room")
