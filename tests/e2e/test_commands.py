"""The commands, as a person or a script starts them."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import maestro_exporter
from tests.servers import Mosquitto, free_port, http_get, scrape, wait_for

BIN = Path(sys.executable).parent
CONSOLE = (str(BIN / "maestro-exporter"),)
TWISTD = (str(BIN / "twistd"), "-n", "--pidfile=", "maestro-exporter")
PAGES = ("/", "/metrics", "/api/v1/status", "/-/ready")
LAUNCHERS = pytest.mark.parametrize("launcher", [CONSOLE, TWISTD], ids=["console", "twistd"])


def run(*command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=cwd)


class Started:
    """A command that is running; its output goes to a file."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    def output(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def interrupt(self) -> int:
        """Do what Ctrl-C does; give the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(2)


@contextmanager
def started(folder: Path, *command: str) -> Iterator[Started]:
    log = folder / "output.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, cwd=folder
        )
    try:
        yield Started(process, log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@LAUNCHERS
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--interval", "soon"], '--interval: "soon": give seconds'),
        (["--port=123456"], '--port: "123456": give a whole number from 0 to 65535'),
        (["-m", "http://host"], '--maestro-url: "http://host": give mqtt://host[:port]'),
        (["-m", "mqtt://me:secret@host:x"], '--maestro-url: "***@host:***": give mqtt://'),
        (["--mqtt.password=secret"], "--mqtt.password: everybody can see command lines"),
        (["-mmqtts://host", "--mqtt.ca-file=/no.pem"], "--mqtt.ca-file: /no.pem: No such file"),
        (["--config", "/nowhere.conf"], "--config: /nowhere.conf: No such file"),
        (["--no-such-option"], "no-such-option"),
        (["surplus"], '"surplus": there are only options'),
    ],
)
def test_bad_usage(launcher: tuple[str, ...], options: list[str], expected: str) -> None:
    """Bad input is one line that names the option, exit status 2, and nothing is started."""
    done = run(*launcher, *options)

    assert done.returncode == 2, done
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "secret" not in done.stderr
    assert done.stdout == ""


@LAUNCHERS
def test_version(launcher: tuple[str, ...]) -> None:
    """--version says the version of the exporter."""
    done = run(*launcher, "--version")

    assert (done.returncode, done.stdout) == (
        0,
        f"maestro-exporter {maestro_exporter.__version__}\n",
    )


@LAUNCHERS
def test_help(launcher: tuple[str, ...]) -> None:
    """-h explains the options."""
    done = run(*launcher, "-h")

    assert done.returncode == 0
    assert "--web.listen-address=" in done.stdout
    assert "MAESTRO_BROKER" in done.stdout


@LAUNCHERS
def test_port_in_use(launcher: tuple[str, ...], tmp_path: Path) -> None:
    """A port that is taken is named, with status 1, and no traceback."""
    with taken_port() as port:
        done = run(*launcher, f"--web.listen-address=127.0.0.1:{port}", cwd=tmp_path)

    assert done.returncode == 1
    # twistd sends its standard error to the log, which is standard output here.
    lines = (done.stdout + done.stderr).splitlines()
    reason = f"cannot listen on 127.0.0.1:{port}: Address already in use"
    assert len([line for line in lines if reason in line]) == 1, lines
    assert not [line for line in lines if "Traceback" in line or "  File" in line], lines


@LAUNCHERS
def test_password_on_the_command_line(launcher: tuple[str, ...], tmp_path: Path) -> None:
    """It vanishes from the list of processes, and is neither in the output nor on the pages."""
    address = f"127.0.0.1:{free_port()}"
    options = (f"--web.listen-address={address}", "--log.level=debug")
    url = "-mmqtt://operator:hunter2 @x@127.0.0.1:1"
    with started(tmp_path, *launcher, *options, url) as exporter:
        folder = Path("/proc", str(exporter.process.pid))
        wait_for(lambda: http_get(f"http://{address}/-/healthy").status == 200, "the exporter")
        # While the broker is away, what it says of the connection is said by now, too.
        wait_for(lambda: "127.0.0.1:1" in exporter.output(), "the broker in the log")
        pages = [http_get(f"http://{address}{path}") for path in PAGES]
        title = (folder / "cmdline").read_text()
        name = (folder / "comm").read_text()
        exporter.interrupt()
        seen = [title, exporter.output(), *(str(page) for page in pages)]
    assert "-mmqtt://***@127.0.0.1:1" in title
    assert f"--web.listen-address={address}" in title
    assert name.strip() in launcher[0]
    for text in seen:
        assert "hunter2" not in text
        assert "operator" not in text


def test_password_on_the_command_line_of_the_simulator(tmp_path: Path) -> None:
    """It vanishes there, too."""
    url = "mqtt://operator:hunter2@127.0.0.1:1"
    with started(tmp_path, *CONSOLE, "simulate", "--maestro-url", url) as simulation:
        command_line = Path("/proc", str(simulation.process.pid), "cmdline")
        wait_for(lambda: "simulating" in simulation.output(), "the simulator")
        title = command_line.read_text()
        assert simulation.interrupt() == 0
        output = simulation.output()
    assert "simulate --maestro-url mqtt://***@127.0.0.1:1" in title
    assert "hunter2" not in title + output


def test_daemon(tmp_path: Path) -> None:
    """twistd makes a daemon of it, which logs to twistd's file, and begins a new one on SIGUSR1."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    done = run(
        str(BIN / "twistd"),
        "--logfile=exporter.log",
        "--pidfile=exporter.pid",
        "maestro-exporter",
        f"--web.listen-address={address}",
        "--log.format=json",
        "--maestro-url=mqtt://127.0.0.1:1",
        cwd=tmp_path,
    )
    pid_file = tmp_path / "exporter.pid"
    assert done.returncode == 0, done
    try:
        wait_for(lambda: http_get(f"http://{address}/-/healthy").status == 200, "the daemon")
        lines = (tmp_path / "exporter.log").read_text().splitlines()
        assert all(line.startswith('{"time": "') for line in lines), lines
        assert any(f"Serving http://{address}/metrics" in line for line in lines)
        pid = pid_file.read_text().strip()
        run("kill", "-USR1", pid)  # as logrotate may
        wait_for((tmp_path / "exporter.log.1").exists, "the log to be rotated")
        assert http_get(f"http://{address}/-/healthy").status == 200
    finally:
        run("kill", pid_file.read_text().strip())
    wait_for(lambda: not pid_file.exists(), "the daemon to remove its pid file")


def test_demo(tmp_path: Path) -> None:
    """The demo shows a cluster without any server at hand, and ends cleanly with Ctrl-C."""
    port = free_port()
    with started(tmp_path, *CONSOLE, "demo", f"--port={port}", "--peers=8") as demo:

        def peers() -> bool:
            samples = scrape(f"http://127.0.0.1:{port}/metrics")
            return sum(name == "maestro_rate" for name, _ in samples) == 8

        wait_for(peers, "eight peers on the page")
        assert demo.interrupt() == 0
        output = demo.output()
    assert f"http://localhost:{port}/metrics" in output
    assert "Traceback" not in output


def test_demo_port_in_use(tmp_path: Path) -> None:
    """A port that is taken is one clear line."""
    # The demo listens on every interface, so the port must be taken on all.
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        done = run(*CONSOLE, "demo", f"--port={port}", cwd=tmp_path)

    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"maestro-exporter: cannot listen on :{port}: Address already in use; "
        "choose another with --port"
    ]


def test_demo_usage() -> None:
    """Bad input to the demo is one line with status 2."""
    done = run(*CONSOLE, "demo", "--peers=1000")

    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        'maestro-exporter demo: argument --peers: "1000": give a whole number from 1 to 100; '
        "see maestro-exporter demo --help"
    ]


@pytest.mark.parametrize("protocol", ["1.5", "1.4", "1.3", "1.5,1.3"])
def test_simulate(protocol: str, tmp_path: Path) -> None:
    """The simulator puts a cluster on a broker, says how it goes, and ends cleanly with Ctrl-C."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    with (
        Mosquitto() as broker,
        started(
            tmp_path,
            *(*CONSOLE, "simulate", "-m", broker.url),
            *("--peers=12", "--seed=1", f"--protocol={protocol}"),
            *("--test-seconds=2", "--pause-seconds=1", "--failures=0", "--dying=0", "--slow=0"),
        ) as simulation,
    ):
        folder = tmp_path / "exporter"
        folder.mkdir()
        options = (f"--web.listen-address={address}", f"-m{broker.url}", "--interval=300ms")
        with started(folder, *CONSOLE, *options) as exporter:

            def tested() -> bool:
                samples = scrape(f"http://{address}/metrics")
                up = sum(v for (name, _), v in samples.items() if name == "maestro_peers")
                sent = sum(v for (name, _), v in samples.items() if name == "maestro_message_count")
                successes = samples["maestro_test_success", frozenset()]
                return up == 12 and sent > 0 and successes >= 2

            wait_for(tested, "twelve peers that have tested", 30)
            assert exporter.interrupt() == 0
        assert simulation.interrupt() == 0
        output = simulation.output()
    assert "12" in output
    assert "Traceback" not in output
