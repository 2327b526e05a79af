"""What `check` and `once` share: they connect, ask a few rounds, and stop; nothing is served."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Any, NoReturn, TextIO, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.internet.task import LoopingCall
from twisted.logger import globalLogBeginner

from maestro_exporter import clock, options, values
from maestro_exporter.arguments import OneLineParser, argument
from maestro_exporter.collector import Collector
from maestro_exporter.options import OPTIONS
from maestro_exporter.settings import Settings, SettingsError, load, refuse_secrets
from maestro_exporter.snapshot import Process
from maestro_exporter.stopping import stop_at_signals
from maestro_exporter.threads import one_thread
from maestro_exporter.wording import counted, span

T = TypeVar("T")

NO_BROKER_STATUS = 3
#: How commands end that somebody interrupts.
INTERRUPTED_STATUS = 130
#: Seconds between two rounds: a survey is over sooner than the first of an exporter's.
INTERVAL = 1.0
#: Seconds that it takes at least: who takes longer to answer may not be seen.
LISTENING = 5.0
#: Seconds without a newcomer at its end.
QUIET = 3.0
#: Seconds of silence after which a peer is down: it has missed five rounds.
EXPIRY = 5.0
#: Seconds between two looks at what has been answered.
PERIOD = 0.1
_DEFAULT_TIMEOUT = "15s"
#: The options of the exporter that say how the broker is reached.
_OFFERED = (
    options.URL,
    options.USERNAME,
    options.PASSWORD_FILE,
    options.CA_FILE,
    options.CERT_FILE,
    options.KEY_FILE,
    options.INSECURE,
    options.VERSION,
    options.CONFIG,
)


class SurveyParser(OneLineParser):
    """A command line with the options for the broker, and a timeout."""

    def __init__(self, command: str, description: str) -> None:
        super().__init__(
            prog=f"maestro-exporter {command}",
            description=description,
            epilog="The broker can also be given in the environment, or in a --config file, as for "
            "the exporter: "
            + ", ".join(
                option.variable
                for option in OPTIONS
                if option.name in (*_OFFERED, options.PASSWORD)
            )
            + ".",
            allow_abbrev=False,
        )

    def add_common_arguments(self) -> None:
        """Add those options; behind the command's own, since there are many."""
        self.add_argument(
            "--timeout",
            type=argument(values.duration("3s", "1h")),
            default=_DEFAULT_TIMEOUT,
            metavar="TIME",
            help="how long to try, seconds or a number with ms, s, m or h, 3s to 1h  "
            "[default: %(default)s]",
        )
        group = self.add_argument_group("the broker")
        for option in OPTIONS:
            if option.name not in _OFFERED:
                continue
            flags = [f"-{option.short}"] if option.short else []
            how: dict[str, Any] = (
                {"action": "append_const", "const": "true"}
                if option.flag
                else {"action": "append", "metavar": "VALUE"}
            )
            group.add_argument(
                *flags, f"--{option.name}", dest=option.name, help=option.help.strip(), **how
            )

    def parse_args(self, args: Sequence[str], namespace: None = None) -> argparse.Namespace:  # type: ignore[override]
        """Parse, or end the process with status 2 and one line on standard error."""
        try:
            refuse_secrets(args)
        except SettingsError as error:
            self._refuse(error)
        given, unknown = self.parse_known_args(args, namespace)
        if unknown:
            # Not what stands behind its name: it may be a secret whose option is misspelt.
            name, _, _ = unknown[0].partition("=")
            self.error(f"unrecognized argument: {values.shown(name)}")
        return given

    def settings(self, given: argparse.Namespace, environ: Mapping[str, str]) -> Settings:
        """Give the settings for a survey; end the process where they are wrong.

        Args:
            given: what was parsed.
            environ: the environment.
        """
        asked = {name: texts for name, texts in vars(given).items() if name in _OFFERED and texts}
        try:
            settings = load(asked, environ)
        except SettingsError as error:
            self._refuse(error)
        return replace(
            settings,
            # A client id is for one client at a time: with that of an exporter that runs, its
            # connection would be taken over.
            broker=replace(settings.broker, client_id=""),
            interval=INTERVAL,
            peer_expiry=EXPIRY,
        )

    def _refuse(self, error: SettingsError) -> NoReturn:
        self.exit(values.USAGE_STATUS, f"{self.prog}: {error}\n")


class Progress:
    """A line on a terminal that is written over again and again; nothing elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._wanted = stream.isatty()

    def show(self, text: str) -> None:
        """Show a text."""
        if self._wanted:
            # A line that wraps could not be written over.
            columns = os.get_terminal_size(self._stream.fileno()).columns or 80
            self._stream.write(f"\r\x1b[K{values.printable(text)[: columns - 1]}")
            self._stream.flush()

    def clear(self) -> None:
        """Leave no line behind."""
        if self._wanted:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


class Survey:
    """Asks a cluster until it is settled, or time is up.

    Args:
        settings: how.
        timeout: seconds.
        reactor: runs it.

    Attributes:
        collector: knows what was answered.
    """

    def __init__(self, settings: Settings, timeout: float, reactor: Any) -> None:
        self._timeout = timeout
        self._reactor = reactor
        self._progress = Progress(sys.stderr)
        self.collector = Collector(settings, reactor, make_pool=one_thread, now=clock.now)

    def run(
        self, conclude: Callable[[], T], settled: Callable[[], bool] = lambda: True
    ) -> T | None:
        """Ask, until nothing more is to be expected; give the conclusion.

        Args:
            conclude: draws the conclusion, while the connection still stands; it does not when
                somebody interrupts, and then there is None.
            settled: tells whether that is so; asked only when it has been listened long enough.
        """
        conclusions: list[T] = []
        # What goes wrong is in the result; a log beside it would only be in the way.
        globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)
        clock.run_on_monotonic_time(self._reactor)
        services = (self.collector.garbage, self.collector.bridge, self.collector.poller)
        for service in services:
            service.startService()
        deadline = time.monotonic() + self._timeout

        def stop() -> None:
            with contextlib.suppress(ReactorNotRunning):  # a signal has just stopped it
                self._reactor.stop()

        def step() -> None:
            left = deadline - time.monotonic()
            self._show(max(0.0, left))
            if left <= 0 or (self._has_listened() and settled()):
                conclusions.append(conclude())
                stop()

        looks = LoopingCall(step)
        looks.clock = self._reactor
        failed: list[BaseException] = []

        def fail(failure: Any) -> None:
            failed.append(failure.value)
            stop()

        def look_no_more() -> None:
            if looks.running:
                looks.stop()

        # Not at once: what does not run yet cannot be stopped.
        ended: Deferred[Any] = looks.start(PERIOD, now=False)
        ended.addErrback(fail)
        stop_at_signals(self._reactor)
        # It takes seconds to stop where a host does not answer, and there is nothing to see then.
        self._reactor.addSystemEventTrigger("before", "shutdown", look_no_more)
        for service in services:
            self._reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
        self._reactor.run()
        self._progress.clear()
        if failed:
            raise failed[0]
        return conclusions[0] if conclusions else None

    def _show(self, left: float) -> None:
        up = sum(self.collector.cluster.snapshot().peers_up.values())
        known = self.collector.unready() or f"{counted(up, 'process', 'processes')} up"
        self._progress.show(f"{known}; {span(max(1, round(left)))} left at most")

    def _has_listened(self) -> bool:
        """Tell whether who is there has been seen, as far as can be told."""
        now, state = clock.now().monotonic, self.collector.state()
        if not state.broker_up or state.connected_at is None:
            return False
        if now - state.connected_at < LISTENING:
            return False
        newest = max((each.first_heard.monotonic for each in self._processes()), default=-inf)
        return now - newest >= QUIET

    def _processes(self) -> list[Process]:
        snapshot = self.collector.cluster.snapshot()
        return [process for series in snapshot.series for process in series.processes]


def write(text: str | bytes) -> None:
    """Write a result to standard output; what that cannot show is escaped."""
    if isinstance(text, str):
        text = text.encode(sys.stdout.encoding or "utf-8", "backslashreplace")
    sys.stdout.buffer.write(text)
    sys.stdout.flush()
