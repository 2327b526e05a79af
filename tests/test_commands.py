"""`maestro-exporter check` and `once`, run in this process; the cluster is played by the test."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import signal
import stat
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter import clock
from maestro_exporter.cluster import Cluster
from maestro_exporter.commands import check, once, survey
from maestro_exporter.commands.survey import (
    EXPIRY,
    INTERVAL,
    LISTENING,
    QUIET,
    Progress,
    Survey,
    SurveyParser,
)
from maestro_exporter.exposition import encode
from maestro_exporter.metrics import cluster_page, exporter_page
from maestro_exporter.settings import Settings, load
from maestro_exporter.snapshot import TYPES, ClockOffset, Moment, Run, Series, Snapshot
from tests import fakes
from tests.cluster_case import at, process, shown
from tests.samples import exporter_state

NOW = at(100)
EMPTY = Cluster(expiry=1, forget=1, max_peers=1).snapshot()
TICK = 0.125  # seconds; there are no errors of rounding in its sums
EXACT = ClockOffset(0.0001, 0.0002)


def peer(name: str, type_: str = "sender", **values: Any) -> Series:
    """Give a peer of one process, which answers fast and by the right time unless told."""
    usual: dict[str, Any] = {"round_trip": 0.002, "clock": EXACT}
    return shown(process(name, 99.0, peer=name, type=type_, **(usual | values)))


def cluster(*series: Series, **fields: Any) -> Snapshot:
    """Give the snapshot of a cluster of these peers."""
    up = {type_: sum(each.type == type_ for each in series) for type_ in TYPES}
    return replace(EMPTY, series=series, peers_up=up, last_round=at(99), **fields)


class CommandTestCase(SynchronousTestCase):
    """What the tests of the commands share: a folder, and an environment without settings."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.patch(os, "environ", {})
        self.patch(clock, "now", lambda: NOW)

    def file(self, text: str, name: str = "file") -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def call(self, function: Callable[[], int | None]) -> tuple[int | None, str, str]:
        """Give what a function gives or exits with, and what it writes."""
        output = io.TextIOWrapper(io.BytesIO(), "utf-8")
        errors = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            try:
                status = function()
            except SystemExit as ending:
                assert isinstance(ending.code, int)
                status = ending.code
        output.flush()
        written = output.buffer
        assert isinstance(written, io.BytesIO)
        return status, written.getvalue().decode(), errors.getvalue()


# ----------------------------------------------------------------- command line


class ParserTests(CommandTestCase):
    """The options that the commands share."""

    def settings(self, *arguments: str, **environ: str) -> Settings:
        """Give the settings of a survey."""
        parser = SurveyParser("look", "Looks.")
        parser.add_common_arguments()
        return parser.settings(parser.parse_args(arguments), environ)

    def refusal(self, *arguments: str, **environ: str) -> str:
        """Give the one line with which it ends for bad usage."""

        def parse() -> None:
            self.settings(*arguments, **environ)

        status, output, errors = self.call(parse)
        self.assertEqual((status, output, errors.count("\n")), (2, "", 1), errors)
        self.assertTrue(errors.startswith("maestro-exporter look: "), errors)
        return errors.removeprefix("maestro-exporter look: ")

    def test_secrets(self) -> None:
        """Secrets are refused on the command line, also cut short, and are not repeated."""
        for arguments in (
            ("--mqtt.password=hunter2",),
            ("--mqtt.password", "hunter2"),
            ("-m", "mqtt://h", "--mqtt.passw=hunter2"),
            ("--timeout", "x", "--mqtt.password=hunter2"),
            ("--mqtt.password=hunter2", "--help"),
        ):
            error = self.refusal(*arguments)
            self.assertNotIn("hunter2", error)
            self.assertIn("--mqtt.password: everybody can see command lines", error)
            self.assertIn("MAESTRO_MQTT_PASSWORD", error)

    def test_secrets_in_other_places(self) -> None:
        """What may be a password in an address is not repeated, wherever it slipped to."""
        for arguments in (
            ("-m", "http://joe:hunter2@h"),
            ("--maestro-url=mqtt://joe:hunter2@h:x",),
            ("--timeout", "mqtt://joe:hunter2@h"),
            ("--mqtt.version", "mqtt://joe:hunter2@h"),
            ("mqtt://joe:hunter2@h",),
        ):
            self.assertNotIn("hunter2", self.refusal(*arguments))
        self.assertNotIn("hunter2", self.refusal(MAESTRO_MQTT_PASSWORD="hunter2\0"))

    def test_broker(self) -> None:
        """All that says how the broker is reached counts."""
        password = self.file("hunter2\n")
        broker = self.settings(
            *("-m", "mqtts://h.example:1234", "--mqtt.username", "joe"),
            *("--mqtt.password-file", str(password), "--mqtt.insecure", "--mqtt.version", "3.1.1"),
        ).broker
        self.assertEqual(str(broker.address), "h.example:1234")
        self.assertEqual(broker.credentials(), ("joe", "hunter2"))
        self.assertEqual((broker.tls, broker.insecure, broker.version), (True, True, "3.1.1"))

    def test_certificates(self) -> None:
        """The files of TLS are read: what is missing is said before anybody is asked."""
        for option in ("--mqtt.ca-file", "--mqtt.cert-file"):
            path = str(self.folder / "missing")
            error = self.refusal("-m", "mqtts://h", option, path)
            self.assertEqual(error, f"{option}: {path}: No such file or directory\n")
        self.assertIn(
            "needs --mqtt.cert-file", self.refusal("-m", "mqtts://h", "--mqtt.key-file=k")
        )

    def test_environment_and_file(self) -> None:
        """The broker may be in the environment or in a file, as for the exporter, and that wins."""
        url = {"MAESTRO_BROKER": "mqtt://near", "MAESTRO_MQTT_USERNAME": "joe"}
        password = {"MAESTRO_MQTT_PASSWORD": "hunter2"}
        broker = self.settings(**url, **password).broker
        self.assertEqual((broker.address.host, broker.credentials()), ("near", ("joe", "hunter2")))
        path = self.file('MAESTRO_BROKER="mqtt://far:7"\nMAESTRO_EXPORTER_PORT="1"\n')
        self.assertEqual(self.settings("--config", str(path)).broker.address, ("far", 7))
        self.assertEqual(self.settings("--config", str(path), **url).broker.address.host, "near")
        self.assertEqual(self.settings("-m", "tcp://here", **url).broker.address.host, "here")

    def test_wrong_settings(self) -> None:
        """One line says where and why."""
        path = self.file("MAESTRO_BROKER=h\n")
        self.assertIn(f"(from MAESTRO_BROKER in {path}:1)", self.refusal("--config", str(path)))
        self.assertIn("(from $MAESTRO_BROKER)", self.refusal(MAESTRO_BROKER="h"))

    def test_client_id(self) -> None:
        """That of a configuration is not used: the exporter that has it would be thrown out."""
        path = self.file("MAESTRO_MQTT_CLIENT_ID=mine\n")
        self.assertEqual(load({"config": [str(path)]}, {}).broker.client_id, "mine")
        for arguments, environ in (
            (("--config", str(path)), {}),
            ((), {"MAESTRO_MQTT_CLIENT_ID": "mine"}),
        ):
            self.assertEqual(self.settings(*arguments, **environ).broker.client_id, "")
        self.refusal("--mqtt.client-id=mine")

    def test_timeout(self) -> None:
        """It is 15 s unless it is given, from three seconds to an hour."""
        parser = SurveyParser("look", "Looks.")
        parser.add_common_arguments()
        for arguments, seconds in (
            ((), 15.0),
            (("--timeout", "3s"), 3.0),
            (("--timeout=2m",), 120.0),
            (("--timeout", "3.5"), 3.5),
            (("--timeout", "1h"), 3600.0),
        ):
            self.assertEqual(parser.parse_args(arguments).timeout, seconds)
        for text in ("0", "2999ms", "61m", "-1s", "soon", ""):
            self.assertIn("from 3s to 1h", self.refusal(f"--timeout={text}"))

    def test_pace(self) -> None:
        """Rounds follow quickly, whatever the exporter's settings, and the silent are soon down."""
        for timeout in (3.0, 3600.0):
            settings = self.settings(
                f"--timeout={timeout}",
                MAESTRO_EXPORTER_INTERVAL="10m",
                MAESTRO_EXPORTER_PEER_EXPIRY="1h",
            )
            self.assertEqual((settings.interval, settings.peer_expiry), (INTERVAL, EXPIRY))
        self.assertEqual(EXPIRY, 5.0)
        self.assertGreater(EXPIRY, 2 * INTERVAL)  # a lost answer or two are no silence

    def test_no_abbreviations(self) -> None:
        """Options are spelled out, and those of what is not served are not there."""
        for arguments in (("--time", "2s"), ("--mqtt.user", "joe"), ("--port", "1"), ("-p", "1")):
            self.assertIn("unrecognized argument: ", self.refusal(*arguments))

    def test_help(self) -> None:
        """The help has every option, and says what can be in the environment."""
        for main in (check.main, once.main):

            def show(main: Callable[[Any], int] = main) -> int:
                return main(["--help"])

            status, output, errors = self.call(show)
            self.assertEqual((status, errors), (0, ""))
            for word in ("--maestro-url", "-m", "--timeout", "--mqtt.ca-file", "--config"):
                self.assertIn(word, output)
            self.assertIn("MAESTRO_MQTT_PASSWORD", output)
            self.assertNotIn("--mqtt.password ", output)


# ---------------------------------------------------------------- how it goes


class RecordedService(Service):
    """A service that takes a while to stop.

    Attributes:
        stopped: fires when it has.
    """

    def __init__(self) -> None:
        self.stopped: Deferred[None] = Deferred()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return self.stopped


class FakeReactor(fakes.FakeReactor):
    """A reactor whose time passes while it runs.

    Attributes:
        shutdown: what is to be called before it has stopped.
        end: seconds that it takes from `stop` until it has stopped.
    """

    def __init__(self) -> None:
        super().__init__()
        self.shutdown: list[Callable[[], object]] = []
        self.end = 1.0
        self.runs = self.stops = False

    def addSystemEventTrigger(self, phase: str, event: str, function: Any) -> None:
        if (phase, event) == ("before", "shutdown"):
            self.shutdown.append(function)

    def run(self) -> None:
        self.runs = True
        while not self.stops:
            assert self.seconds() < 3600, "it runs for ever"
            self.advance(TICK)
        for each in self.shutdown:
            each()
        self.pump([TICK] * int(self.end / TICK))

    def stop(self) -> None:
        if self.stops or not self.runs:
            raise ReactorNotRunning
        self.stops = True


class Terminal(io.StringIO):
    """A terminal, as far as a program can see."""

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return 7


class SurveyTests(CommandTestCase):
    """How a survey goes."""

    def setUp(self) -> None:
        super().setUp()
        for number in (signal.SIGTERM, signal.SIGINT):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.reactor = FakeReactor()
        self.patch(clock, "now", lambda: Moment(self.reactor.seconds(), 0.0))
        self.services = [RecordedService() for _ in range(3)]
        self.state = exporter_state(broker_up=True, connected_at=0.0)
        self.unready = ""
        self.snapshot = EMPTY
        garbage, bridge, poller = self.services
        collector = SimpleNamespace(
            cluster=SimpleNamespace(snapshot=lambda: self.snapshot),
            state=lambda: self.state,
            unready=lambda: self.unready,
            garbage=garbage,
            bridge=bridge,
            poller=poller,
        )
        self.patch(survey, "Collector", lambda *_, **__: collector)
        self.patch(survey, "time", SimpleNamespace(monotonic=self.reactor.seconds))
        self.patch(survey, "PERIOD", TICK)
        self.patch(clock, "run_on_monotonic_time", lambda _: None)
        self.patch(os, "get_terminal_size", lambda _: os.terminal_size((80, 24)))
        self.logging: list[object] = []
        beginner = SimpleNamespace(beginLoggingTo=lambda to, **_: self.logging.append(to))
        self.patch(survey, "globalLogBeginner", beginner)
        self.terminal = Terminal()
        self.patch(sys, "stderr", self.terminal)
        self.survey = Survey(load({}, {}), 15.0, self.reactor)

    def run_survey(self, settled: Callable[[], bool] = lambda: True) -> float | None:
        """Give the time of the conclusion."""
        return self.survey.run(self.reactor.seconds, settled)

    def connect(self, since: float | None) -> None:
        """Let the link be up, since some time; or down."""
        connected_at = self.state.connected_at if since is None else since
        self.state = self.state._replace(broker_up=since is not None, connected_at=connected_at)

    def come(self, *seconds: float) -> None:
        """Let there be a peer that was heard first at each of these times."""
        heard = [process("id", 0)._replace(first_heard=Moment(each, 0.0)) for each in seconds]
        self.snapshot = cluster(*(shown(each) for each in heard))

    def shows(self) -> list[str]:
        """Give what stood on the terminal, one after the other."""
        texts = self.terminal.getvalue().split("\r\x1b[K")
        self.assertEqual(texts.pop(0), "")
        return texts

    def test_settled(self) -> None:
        """It is over as soon as there is nothing more to expect."""
        self.assertEqual(self.run_survey(lambda: self.reactor.seconds() >= 7.0), 7.0)
        self.assertFalse(any(each.running for each in self.services))
        self.assertEqual(self.logging, [[]])

    def test_listening(self) -> None:
        """It takes so long at least, since who takes that long to answer is still to be seen."""
        self.assertEqual(LISTENING, 5.0)
        asked: list[float] = []

        def settled() -> bool:
            asked.append(self.reactor.seconds())
            return True

        self.assertEqual(self.run_survey(settled), LISTENING)
        self.assertEqual(asked, [LISTENING])

    def test_usual_end(self) -> None:
        """Unless there is more to wait for, to have listened is enough."""
        self.assertEqual(self.survey.run(self.reactor.seconds), LISTENING)

    def test_listening_begins_with_the_link(self) -> None:
        """The time that it takes to connect does not count."""
        self.state = exporter_state()
        self.reactor.callLater(4.0, self.connect, 4.0)
        self.assertEqual(self.run_survey(), 4.0 + LISTENING)

    def test_listening_begins_anew(self) -> None:
        """While the link is down nobody can be heard, so it has to be listened once more."""
        self.reactor.callLater(4.0, self.connect, None)
        self.reactor.callLater(7.0, self.connect, 7.0)
        self.assertEqual(self.run_survey(), 7.0 + LISTENING)

    def test_link_that_stays_away(self) -> None:
        """It is tried until the time is up, also when there was one before."""
        self.reactor.callLater(4.0, self.connect, None)
        self.assertEqual(self.run_survey(), 15.0)

    def test_no_link(self) -> None:
        """Without one, it is tried until the time is up."""
        self.state = exporter_state()
        self.assertEqual(self.run_survey(), 15.0)

    def test_quiet(self) -> None:
        """Where a peer has just come, others may follow, but those that were there are old."""
        self.assertEqual(QUIET, 3.0)
        for newest, end in ((1.0, LISTENING), (2.0, LISTENING), (2.5, 5.5), (4.5, 7.5)):
            self.setUp()
            self.come(0.5)
            self.reactor.callLater(newest, self.come, 0.5, newest, 0.25)
            self.assertEqual(self.run_survey(), end, newest)

    def test_quiet_of_one_name(self) -> None:
        """Each process is a newcomer, also where it shares a name."""
        both = [process(str(each), 0)._replace(first_heard=at(0)) for each in range(2)]
        both = [each._replace(first_heard=Moment(2.0 * n, 0.0)) for n, each in enumerate(both, 1)]
        self.snapshot = cluster(shown(*both))
        self.assertEqual(self.run_survey(), 4.0 + QUIET)

    def test_time_is_up(self) -> None:
        """It ends when the time is up, however many come."""
        self.assertEqual(self.run_survey(lambda: False), 15.0)
        self.setUp()
        for each in range(15):
            self.reactor.callLater(each, self.come, float(each))
        self.assertEqual(self.run_survey(), 15.0)

    def test_time_that_is_short(self) -> None:
        """It is kept also where it is shorter than it should be listened."""
        self.survey = Survey(load({}, {}), 3.0, self.reactor)
        self.assertEqual(self.run_survey(), 3.0)

    def test_progress(self) -> None:
        """On a terminal it is told how it goes and how much is left; nothing of that remains."""
        self.come(0.0, 0.0)
        self.unready = "not connected\n"
        self.reactor.callLater(2.0, setattr, self, "unready", "")
        self.assertEqual(self.run_survey(lambda: False), 15.0)
        shows = self.shows()
        self.assertEqual((len(shows), shows[-1]), (121, ""))
        self.assertEqual(shows[0], "not connected\\n; 15 s left at most")
        self.assertEqual(shows[23], "2 processes up; 12 s left at most")
        self.assertEqual(shows[-2], "2 processes up; 1 s left at most")

    def test_stop_that_takes_long(self) -> None:
        """There is one conclusion, and nobody looks any more, while the connection ends."""
        self.reactor.end = 60.0
        conclusions: list[float] = []

        def conclude() -> int:
            conclusions.append(self.reactor.seconds())
            return len(conclusions)

        self.assertEqual(self.survey.run(conclude), 1)
        self.assertEqual(conclusions, [LISTENING])
        self.assertEqual(len(self.shows()), LISTENING / TICK + 1)
        self.assertEqual([each for each in self.reactor.getDelayedCalls() if each.active()], [])

    def test_interrupted(self) -> None:
        """Who interrupts gets no conclusion."""
        self.reactor.callLater(3.0, self.reactor.stop)
        self.assertIsNone(self.run_survey(lambda: False))
        self.assertEqual(self.shows()[-1], "")

    def test_interrupted_when_it_is_over(self) -> None:
        """Whoever stops it at the same instant breaks nothing."""

        def settled() -> bool:
            self.reactor.stop()
            return True

        self.assertEqual(self.run_survey(settled), LISTENING)

    def test_failure(self) -> None:
        """A defect ends it, and is not hidden; nor is the terminal left as it was."""

        def fail() -> bool:
            raise ZeroDivisionError

        for settled, conclude in ((fail, bool), (bool, fail)):
            self.setUp()
            with self.assertRaises(ZeroDivisionError):
                self.survey.run(conclude, lambda settled=settled: settled() or True)  # type: ignore[misc]
            self.assertFalse(any(each.running for each in self.services))
            self.assertEqual(self.shows()[-1], "")

    def test_failure_of_the_first_look(self) -> None:
        """Even that may fail."""
        self.snapshot = None  # type: ignore[assignment]
        with self.assertRaises(AttributeError):
            self.run_survey()
        self.assertEqual(self.reactor.seconds(), TICK + self.reactor.end)


class ProgressTests(SynchronousTestCase):
    """A line that is written over."""

    def setUp(self) -> None:
        self.columns = 20
        self.asked: list[int] = []
        self.patch(os, "get_terminal_size", self.size)

    def size(self, descriptor: int) -> os.terminal_size:
        self.asked.append(descriptor)
        return os.terminal_size((self.columns, 24))

    def test_terminal(self) -> None:
        """Each text takes the place of the one before, and none is left behind."""
        terminal = Terminal()
        progress = Progress(terminal)
        progress.show("1 peer")
        progress.show("2 peers")
        progress.clear()
        self.assertEqual(terminal.getvalue(), "\r\x1b[K1 peer\r\x1b[K2 peers\r\x1b[K")
        self.assertEqual(self.asked, [7, 7])

    def test_long_text(self) -> None:
        """It is cut, so that it does not wrap; a terminal that does not know its width has 80."""
        for columns, length in ((20, 19), (0, 79)):
            self.columns = columns
            terminal = Terminal()
            Progress(terminal).show("x" * 200)
            self.assertEqual(terminal.getvalue(), f"\r\x1b[K{'x' * length}")

    def test_hostile_text(self) -> None:
        """No text steers the terminal; it has room for what stands for what it may not show."""
        terminal = Terminal()
        Progress(terminal).show("\x1b]0;x\a\n\r\u202e" * 9)
        text = terminal.getvalue().removeprefix("\r\x1b[K")
        self.assertEqual(text, "\\x1b]0;x\\x07\\n\\r\\u2"[:19])

    def test_elsewhere(self) -> None:
        """Nothing is written where it is no terminal."""
        stream = io.StringIO()
        progress = Progress(stream)
        progress.show("1 peer")
        progress.clear()
        self.assertEqual((stream.getvalue(), self.asked), ("", []))


# ------------------------------------------------------------------- commands


class FakeSurvey:
    """A survey whose outcome is known beforehand.

    Attributes:
        settings, timeout: it was made with.
        settled: what it was told when it asked whether it is over.
        interrupted: somebody does.
    """

    def __init__(self, test: SurveyedTestCase) -> None:
        self._test = test
        self.settings: Settings | None = None
        self.timeout = 0.0
        self.settled: bool | None = None
        self.interrupted = False
        status = SimpleNamespace(up=test.state.broker_up)
        self.collector = SimpleNamespace(
            cluster=SimpleNamespace(snapshot=lambda: test.snapshot),
            state=lambda: test.state,
            unready=lambda: test.unready,
            bridge=SimpleNamespace(status=status),
        )

    def __call__(self, settings: Settings, timeout: float, _reactor: object) -> FakeSurvey:
        self.settings, self.timeout = settings, timeout
        return self

    def run(self, conclude: Callable[[], Any], settled: Callable[[], bool] = lambda: True) -> Any:
        self.settled = settled()
        return None if self.interrupted else conclude()


class SurveyedTestCase(CommandTestCase):
    """What the tests of the commands share that ask a cluster."""

    main: Callable[[list[str]], int]

    def setUp(self) -> None:
        super().setUp()
        self.state = exporter_state(broker_up=True)
        self.unready = ""
        self.snapshot = cluster(peer("a@node"), peer("b@node", "receiver"))

    def away(self, unready: str) -> None:
        """Let there be no broker."""
        self.snapshot, self.state, self.unready = EMPTY, exporter_state(), unready

    def run_main(self, *arguments: str, interrupted: bool = False) -> tuple[int | None, str, str]:
        """Give status, standard output and standard error."""
        self.survey = FakeSurvey(self)
        self.survey.interrupted = interrupted
        for module in (check, once):
            self.patch(module, "Survey", self.survey)
        return self.call(lambda: type(self).main(list(arguments)))


class CheckTests(SurveyedTestCase):
    """Whether a cluster is fit for a test."""

    main = staticmethod(check.main)

    def lines(self, *arguments: str, status: int) -> list[str]:
        """Give the lines of the report, after seeing how it ended."""
        ending, output, errors = self.run_main(*arguments)
        self.assertEqual((ending, errors), (status, ""), output)
        self.assertTrue(output.endswith("\n"))
        return output[:-1].split("\n")

    def test_fit(self) -> None:
        """The table has a line for each type that a test is made of; then comes the verdict."""
        self.assertEqual(
            self.lines("--senders", "1", status=0),
            [
                "type       wanted  up  slowest round trip  largest clock offset",
                "sender          1   1                2 ms      +100 µs ± 200 µs",
                "receiver        -   1                2 ms      +100 µs ± 200 µs",
                "inspector       -   0                   -                     -",
                "agent           -   0                   -                     -",
                "",
                "Fit for a test.",
            ],
        )
        self.assertTrue(self.survey.settled)

    def test_unfit(self) -> None:
        """Every reason has a line of its own."""
        slow = peer("c@node", "agent", round_trip=0.25, clock=ClockOffset(-0.9, 0.1))
        self.snapshot = cluster(peer("a@node"), slow)
        lines = self.lines("--senders=2", "--max-round-trip=100ms", status=1)
        verdict = lines.index("Not fit for a test, for 3 reasons:")
        self.assertEqual([line[:2] for line in lines[verdict + 1 :]], ["  "] * 3)
        self.assertIn("  agent c@node took 250 ms to answer; 100 ms are allowed", lines)
        self.assertRegex(lines[4], r"\Aagent +- +1 +250 ms +-900 ms ± 100 ms\Z")
        self.assertFalse(self.survey.settled)

    def test_other_types(self) -> None:
        """Others have a line where there are any."""
        self.snapshot = cluster(peer("a@node"), peer("d@node", "data-server"))
        self.assertEqual(
            [line.split()[0] for line in self.lines(status=0)[1:-2]],
            ["sender", "receiver", "inspector", "agent", "data-server"],
        )

    def test_nobody(self) -> None:
        """Without a peer there is a table only where some are wanted."""
        self.snapshot = cluster()
        self.assertEqual(self.lines(status=1)[0], "Not fit for a test, for 1 reason:")
        self.assertEqual(len(self.lines("--agents=1", status=1)[0].split()), 9)

    def test_warnings(self) -> None:
        """What does not speak against a test is told below."""
        both = shown(
            process("1", 99.0, round_trip=0.001, clock=EXACT),
            process("2", 99.0, round_trip=0.001, clock=EXACT),
        )
        self.snapshot = cluster(both, run=Run(number=1, start=at(0)))
        self.assertEqual(
            self.lines(status=0)[-4:],
            [
                "Fit for a test.",
                "1 warning:",
                "  sender worker@node is 2 processes",
                "A test runs already.",
            ],
        )

    def test_common_offset(self) -> None:
        """Where all clocks are off alike, it is said that ours may be the wrong one."""
        off = ClockOffset(3.0, 0.001)
        self.snapshot = cluster(*(peer(name, clock=off) for name in "abc"))
        (line,) = [each for each in self.lines(status=1) if each.startswith("All clocks")]
        self.assertIn("by about +3 s", line)

    def test_no_broker(self) -> None:
        """It is the only reason, and has a status of its own."""
        self.away("not connected to the Maestro broker at h:1: it sleeps")
        self.assertEqual(
            self.lines(status=3),
            [
                "Not fit for a test, for 1 reason:",
                "  not connected to the Maestro broker at h:1: it sleeps",
            ],
        )

    def test_hostile_names(self) -> None:
        """No name steers a terminal, or makes a line that looks like one of ours."""
        name = "x\x1b[2J\r\n\x9b\u202eFit for a test.\n\ud83c\0"
        self.snapshot = cluster(peer(name, round_trip=9.0))
        status, output, _ = self.run_main()
        self.assertEqual(status, 1)
        self.assertTrue(all(each.isprintable() for each in output.split("\n")), ascii(output))
        self.assertNotIn("Fit for a test.", output.split("\n"))
        self.assertIn(r"x\x1b[2J\r\n\x9b\u202eFit for a test.\n\ud83c\x00", output)
        self.away(f"the broker says {name}")
        self.assertTrue(self.run_main()[1].isascii())

    def test_encoding(self) -> None:
        """What standard output cannot show is escaped."""
        output = io.TextIOWrapper(io.BytesIO(), "ascii")
        with contextlib.redirect_stdout(output):
            survey.write("Größe\n")
        output.seek(0)
        self.assertEqual(output.read(), "Gr\\xf6\\xdfe\n")

    def test_json(self) -> None:
        """The document is that of the API, with the same status."""
        for arguments, ending in (((), 0), (("--agents=1",), 1)):
            status, output, errors = self.run_main("--format=json", *arguments)
            self.assertEqual((status, errors), (ending, ""))
            document = json.loads(output)
            self.assertEqual(document["fit"], status == 0)
            self.assertEqual(document["time"], "2023-11-14T22:15:00.000Z")

    def test_demands(self) -> None:
        """What is wanted is as for the API; what cannot be is bad usage."""
        self.run_main("--max-clock-offset=1m", "--timeout=7s", "-m", "mqtt://h:7")
        settings = self.survey.settings
        assert settings is not None
        self.assertEqual((self.survey.timeout, str(settings.broker.address)), (7.0, "h:7"))
        for argument in ("--senders=x", "--max-clock-offset=25h", "--format=xml", "--sender=1"):
            status, output, errors = self.run_main(argument)
            self.assertEqual((status, output, errors.count("\n")), (2, "", 1), errors)

    def test_interrupted(self) -> None:
        """Nothing is said then."""
        self.assertEqual(self.run_main(interrupted=True), (130, "", ""))

    def test_patience(self) -> None:
        """As long as anything speaks against a test, it is waited for what may come."""
        self.snapshot = cluster(peer("a@node"), peer("b@node", round_trip=None, clock=None))
        self.run_main()
        self.assertFalse(self.survey.settled)
        self.snapshot = cluster(peer("a@node"))
        for unready, settled in (("the first round of requests is not over", False), ("", True)):
            self.unready = unready
            self.run_main()
            self.assertEqual(self.survey.settled, settled)


class OnceTests(SurveyedTestCase):
    """The metrics as they are now."""

    main = staticmethod(once.main)

    def setUp(self) -> None:
        super().setUp()
        self.path = self.folder / "maestro.prom"

    def expected(self) -> str:
        pages = (cluster_page(self.snapshot), exporter_page(self.state))
        return b"".join(text for page in pages for text in encode(page)).decode()

    def files(self) -> dict[str, str]:
        """Give the files of the folder, and what is in them."""
        return {each.name: each.read_text() for each in self.folder.iterdir()}

    def test_standard_output(self) -> None:
        """They are written there, without those of the process, which node_exporter has itself."""
        self.assertEqual(self.run_main(), (0, self.expected(), ""))
        self.assertTrue(self.survey.settled)
        self.assertIn("maestro_up 1\n", self.expected())
        self.assertNotIn("process_cpu", self.expected())

    def test_no_broker(self) -> None:
        """They say so, too, so that an alert can tell; the reason is one line of plain text."""
        self.away("not connected: \x1b[31m\nit sleeps")
        self.assertEqual(
            self.run_main(),
            (
                3,
                self.expected(),
                "maestro-exporter once: not connected: \\x1b[31m\\nit sleeps\n",
            ),
        )
        self.assertIn("maestro_up 0\n", self.expected())

    def test_file(self) -> None:
        """They take the place of what was in the file, and nothing else is left there."""
        for before in (None, "old"):
            if before is not None:
                self.path.write_text(before)
            self.assertEqual(self.run_main("-o", str(self.path)), (0, "", ""))
            self.assertEqual(self.files(), {"maestro.prom": self.expected()})

    def test_permissions(self) -> None:
        """Others can read it, whatever the mask: node_exporter is another user."""
        self.addCleanup(os.umask, os.umask(0o077))
        self.run_main("--output", str(self.path))
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o644)

    def test_file_that_is_not_whole(self) -> None:
        """It has its final permissions and content before it has its name, not ending in .prom."""
        seen: list[tuple[str, str, int]] = []

        def look(source: str, target: Path) -> None:
            path = Path(source)
            self.assertEqual((path.parent, target), (self.folder, self.path))
            seen.append((path.suffix, path.read_text(), stat.S_IMODE(path.stat().st_mode)))
            path.rename(target)

        self.patch(os, "replace", look)
        self.run_main("-o", str(self.path))
        self.assertEqual(seen, [(".new", self.expected(), 0o644)])

    def test_failure(self) -> None:
        """What was there stays as it was, nothing is left beside it, and one line says why."""
        self.path.write_text("old")

        def fail(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        for function in ("fchmod", "replace"):
            patch = self.patch(os, function, fail)
            self.assertEqual(
                self.run_main("-o", str(self.path)),
                (1, "", f"maestro-exporter once: {self.path}: No space left on device\n"),
            )
            patch.restore()
            self.assertEqual(self.files(), {"maestro.prom": "old"})

    def test_defect(self) -> None:
        """Nothing is left behind by what is no matter of files, either."""

        def fail(*_: object) -> None:
            raise KeyboardInterrupt

        self.patch(os, "replace", fail)
        with self.assertRaises(KeyboardInterrupt):
            self.run_main("-o", str(self.path))
        self.assertEqual(self.files(), {})

    def test_places_that_are_none(self) -> None:
        """A folder that is not there, or stands where the file should, is one line."""
        missing = self.folder / "missing" / "x.prom"
        for path, why in ((missing, "No such file"), (self.folder, "Is a directory")):
            status, output, errors = self.run_main("-o", str(path))
            self.assertEqual((status, output), (1, ""))
            self.assertRegex(errors, rf"\Amaestro-exporter once: {path}: {why}[^\n]*\n\Z")
        self.assertEqual(self.files(), {})

    def test_standard_output_that_is_full(self) -> None:
        """It is one line, too."""

        def fail(_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        self.patch(once, "write", fail)
        self.assertEqual(
            self.run_main(),
            (1, "", "maestro-exporter once: standard output: No space left on device\n"),
        )

    def test_no_broker_and_a_file(self) -> None:
        """The file says that there is none, instead of what it said before."""
        self.path.write_text("maestro_up 1\n")
        self.away("not connected")
        self.assertEqual(self.run_main("-o", str(self.path))[0], 3)
        self.assertEqual(self.files(), {"maestro.prom": self.expected()})

    def test_interrupted(self) -> None:
        """Nothing is written then."""
        self.path.write_text("old")
        self.assertEqual(self.run_main("-o", str(self.path), interrupted=True), (130, "", ""))
        self.assertEqual(self.files(), {"maestro.prom": "old"})
