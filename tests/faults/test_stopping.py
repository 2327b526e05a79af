"""SIGTERM and SIGINT at any moment: it ends soon, with status 0, and says goodbye where it can."""

from __future__ import annotations

import itertools
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from maestro_exporter.notes import Generation, Role
from maestro_exporter.simulator import Peer
from tests.e2e.clusters import listening, number, page, simulated, wait_for_value
from tests.e2e.test_hostile_clients import LARGE, crowded, reader
from tests.faults.brokers import silent_server
from tests.faults.flood import Flood
from tests.faults.planting import (
    SIGNAL_WHILE_IMPORTING,
    SIGNAL_WHILE_LISTENING,
    SLOW_NAMES,
    Planted,
)
from tests.servers import Exporter, Mosquitto, wait_for

pytestmark = pytest.mark.long

LAUNCHERS = pytest.mark.parametrize("launcher", ["console", "twistd"])
SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda it: it.name)
HANGS = 8.0  # seconds after which it does not end any more: it takes a second or two


def show(what: str, began: float) -> None:
    """Show with `pytest -s` how long it took."""
    print(f"{what}: {time.monotonic() - began:.2f} s")  # noqa: T201


def ended(exporter: Exporter, what: str, number: signal.Signals = signal.SIGTERM) -> int:
    """Send a signal, and give the exit status."""
    assert exporter.process is not None
    began = time.monotonic()
    exporter.signal(number)
    exporter.process.wait(HANGS)
    show(what, began)
    assert "Traceback" not in exporter.output()
    return exporter.stop()


def said_goodbye(broker: Mosquitto) -> bool:
    """Wait until the broker has noticed the end of the exporter; tell whether it was told so."""

    def last_word() -> str | None:
        words = (" disconnected.", " closed its connection.", " disconnected: ")
        lines = [line for line in broker.output().splitlines() if "maestro-exporter-" in line]
        return next((line for line in lines if any(word in line for word in words)), None)

    return wait_for(last_word, "the broker to notice").endswith(" disconnected.")


@contextmanager
def connected(launcher: str, *options: str) -> Iterator[tuple[Mosquitto, Exporter]]:
    with (
        Mosquitto() as broker,
        Exporter(f"--maestro-url={broker.url}", *options, launcher=launcher) as exporter,
    ):
        wait_for_value(exporter, 1.0, "maestro_up")
        yield broker, exporter


# ------------------------------------------------------------------- at the start


def ended_after(delay: float, launcher: str, folder: Path) -> tuple[int, str]:
    """Start it, end it so many seconds later; give its exit status, and what it had said."""
    exporter = Exporter("--maestro-url=mqtt://127.0.0.1:1", launcher=launcher)
    log = folder / f"{delay:.3f}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            exporter.command(),
            cwd=folder,
            env=exporter.env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        time.sleep(delay)  # what is tested is any moment, not this one
        process.send_signal(signal.SIGTERM)
        return process.wait(HANGS), log.read_text()
    finally:
        process.kill()


@LAUNCHERS
def test_at_the_start(launcher: str, tmp_path: Path) -> None:
    """It ends by the signal before it has begun, or else with status 0; in no case by an error."""
    ends = {
        delay: ended_after(delay, launcher, tmp_path)
        for delay in (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.8)
    }
    print({delay: status for delay, (status, _) in ends.items()})  # noqa: T201
    for status, output in ends.values():
        assert status in (0, -signal.SIGTERM), output
        assert "Traceback" not in output
        assert "Error" not in output


@SIGNALS
@pytest.mark.parametrize(
    "code", [SIGNAL_WHILE_IMPORTING, SIGNAL_WHILE_LISTENING], ids=["importing", "listening"]
)
def test_where_exceptions_get_lost(code: str, number: signal.Signals, tmp_path: Path) -> None:
    """It ends with status 0 and no word, also where an exception of a handler would not get out."""
    planted = Planted(tmp_path, code)
    planted.trigger("signal", int(number))
    exporter = Exporter("--maestro-url=mqtt://127.0.0.1:1", launcher="console", env=planted.env)
    ended = subprocess.run(
        exporter.command(), capture_output=True, env=exporter.env, timeout=HANGS, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, b"")


# ------------------------------------------------------------- while it connects


@contextmanager
def full_server() -> Iterator[int]:
    """Give the port of a server that does not answer attempts to connect."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        yield full.getsockname()[1]
        for each in waiting:
            each.close()


@LAUNCHERS
def test_while_the_connection_hangs(launcher: str) -> None:
    """It ends though nobody answers the attempt to connect."""
    with (
        full_server() as port,
        Exporter(f"--maestro-url=mqtt://127.0.0.1:{port}", launcher=launcher) as exporter,
    ):
        assert ended(exporter, "connecting") == 0


@LAUNCHERS
def test_while_the_broker_is_silent(launcher: str) -> None:
    """It ends though the broker has accepted the connection and says nothing."""
    with (
        silent_server() as server,
        Exporter(f"--maestro-url={server.url}", launcher=launcher) as exporter,
    ):
        wait_for(lambda: server.open == 1, "the connection")
        assert ended(exporter, "silent broker") == 0


@LAUNCHERS
def test_in_the_tls_handshake(launcher: str) -> None:
    """It ends though the server does not answer the handshake."""
    with (
        silent_server() as server,
        Exporter(f"--maestro-url={server.tls_url}", launcher=launcher) as exporter,
    ):
        wait_for(lambda: server.open == 1, "the connection")
        assert ended(exporter, "TLS handshake") == 0


@LAUNCHERS
def test_in_name_resolution(launcher: str, tmp_path: Path) -> None:
    """It ends though the name of the broker is still being looked up."""
    planted = Planted(tmp_path, SLOW_NAMES)
    url = "mqtt://broker.example"
    with Exporter(f"--maestro-url={url}", launcher=launcher, env=planted.env) as exporter:
        wait_for(lambda: planted.has_been("asked"), "the name to be asked for")
        assert ended(exporter, "name resolution") == 0


# ------------------------------------------------------------- while it is connected


@LAUNCHERS
@SIGNALS
def test_in_a_round(launcher: str, number: signal.Signals) -> None:
    """In the middle of a round it tells the broker goodbye."""
    peers = [Peer(each, role, "host") for each in Generation for role in Role]
    with (
        connected(launcher, "--interval=500ms") as (broker, exporter),
        simulated(broker, *peers),
        listening(broker) as heard,
    ):
        wait_for(lambda: len(heard) > 100, "some rounds")
        before = len(heard)
        wait_for(lambda: len(heard) > before, "the next to begin")
        assert ended(exporter, "round", number) == 0
        assert said_goodbye(broker)


@LAUNCHERS
def test_twice(launcher: str) -> None:
    """A second signal changes nothing."""
    for first, second in itertools.product((signal.SIGTERM, signal.SIGINT), repeat=2):
        with connected(launcher) as (broker, exporter):
            assert exporter.process is not None
            began = time.monotonic()
            exporter.signal(first)
            while exporter.process.poll() is None and time.monotonic() < began + HANGS:
                exporter.signal(second)
                time.sleep(0.005)  # any moment until its end
            show(f"{first.name}, then {second.name}", began)
            assert exporter.process.returncode == 0
            assert "Traceback" not in exporter.output()
            assert said_goodbye(broker)


@LAUNCHERS
def test_in_a_flood(launcher: str) -> None:
    """In a flood, too, it ends and tells the broker goodbye."""
    quiet = ("log_type none", "log_type notice", "log_type information")
    with (
        Mosquitto(extra=quiet) as broker,
        Exporter(f"--maestro-url={broker.url}", launcher=launcher) as exporter,
        Flood(broker.port, "notes", number=500_000, pace=50_000) as flood,
    ):
        wait_for(
            lambda: number(page(exporter), "maestro_exporter_broker_received_bytes_total") > 1e7,
            "the flood",
        )
        assert ended(exporter, "flood") == 0
        assert not flood.is_over
        assert said_goodbye(broker)


# ------------------------------------------------------------- while it is asked


def read_on(client: socket.socket) -> int:
    """Read to the end, whichever it is; give how much there was."""
    length = 0
    try:
        while piece := client.recv(65536):
            length += len(piece)
    except ConnectionResetError:
        pass
    return length


class Slow:
    """Who reads a page at a few kilobytes a second, until the stream ends."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client
        self.over = threading.Event()
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            while self._client.recv(4096):
                self._hurry.wait(0.05)
        except OSError:
            pass
        self.over.set()

    def hurry(self) -> None:
        """Read on without pauses."""
        self._hurry.set()


@LAUNCHERS
@SIGNALS
def test_in_a_scrape(launcher: str, number: signal.Signals) -> None:
    """Who reads slowly, or not at all, is cut off; all see the end of the stream."""
    with crowded(launcher) as exporter:
        stalled = [reader(exporter) for _ in range(3)]
        slow = Slow(reader(exporter))
        for each in stalled:
            assert each.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 200"
        kept = socket.create_connection(("127.0.0.1", exporter.port), 10)
        kept.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n")
        assert kept.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 200"
        assert ended(exporter, "scrape", number) == 0
        began = time.monotonic()
        slow.hurry()
        assert slow.over.wait(HANGS)
        for each in (*stalled, kept):
            assert read_on(each) < LARGE
            each.close()
        show("end of the streams", began)


# ------------------------------------------------------------- two of them


@LAUNCHERS
def test_a_second_one(launcher: str, tmp_path: Path) -> None:
    """A second one at the same address ends with status 1 and one line; the first goes on."""
    with connected("console", "--interval=500ms") as (broker, first):
        second = Exporter(f"--maestro-url={broker.url}", launcher=launcher)
        second.address = first.address
        done = subprocess.run(
            second.command(),
            cwd=tmp_path,
            env=second.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 1
        reason = f"cannot listen on {first.address}: Address already in use"
        # twistd sends its standard error to the log, which is standard output here.
        lines = (done.stderr if launcher == "console" else done.stdout).splitlines()
        assert sum(reason in line for line in lines) == 1, lines
        if launcher == "console":
            assert len(lines) == 1
        assert "Traceback" not in done.stdout + done.stderr
        rounds = number(page(first), "maestro_exporter_rounds_total")
        wait_for(
            lambda: number(page(first), "maestro_exporter_rounds_total") > rounds + 1, "rounds"
        )
        assert number(page(first), "maestro_exporter_broker_connections_total") == 1
        assert "maestro-exporter" in broker.output()
        assert ended(first, "the first") == 0
