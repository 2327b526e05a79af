"""The exporter as a service of systemd, which is played: its socket, its watchdog, its sockets."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from maestro_exporter.notes import Generation, Role
from maestro_exporter.simulator import Peer
from tests.e2e.clusters import simulated
from tests.e2e.systemd import Systemd
from tests.e2e.web import Web, activated
from tests.servers import Exporter, Mosquitto, free_port, http_get, wait_for

LAUNCHERS = pytest.mark.parametrize("launcher", ["console", "twistd"])


@LAUNCHERS
def test_from_start_to_stop(launcher: str, tmp_path: Path) -> None:
    """It is ready once it listens, says how it does, when it reloads, and that it stops."""
    port = free_port()
    answers: list[int] = []
    with Systemd(tmp_path) as systemd:
        exporter = Exporter(
            f"--maestro-url=mqtt://127.0.0.1:{port}",
            "--interval=500ms",
            launcher=launcher,
            env=systemd.env,
        )

        def connect() -> None:
            with socket.create_connection(("127.0.0.1", exporter.port), 1):
                answers.append(1)

        systemd.at("READY=1", connect)
        with exporter:
            wait_for(systemd.states, "to be ready")
            refused = f"not connected to the Maestro broker at 127.0.0.1:{port}: Connection refused"
            wait_for(lambda: systemd.statuses()[-1:] == [refused], "the reason")

            peers = [Peer(Generation.V1_5, Role.SENDER, name) for name in ("a", "b")]
            with Mosquitto(port) as broker, simulated(broker, *peers):
                well = f"connected to the Maestro broker at 127.0.0.1:{port}; 2 replies in the last"
                wait_for(lambda: systemd.statuses()[-1].startswith(well), "the replies", 60)
                exporter.signal(signal.SIGHUP)
                wait_for(lambda: len(systemd.states()) == 3, "the reload")
            assert exporter.stop() == 0
        assert systemd.states() == ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]
        assert answers == [1, 1]


@pytest.mark.long
def test_secrets(tmp_path: Path) -> None:
    """What it says of the broker has no user and no password."""
    with (
        Systemd(tmp_path) as systemd,
        Exporter("--maestro-url=mqtt://operator:hunter2@127.0.0.1:1", env=systemd.env),
    ):
        wait_for(lambda: "refused" in "".join(systemd.statuses()), "the reason")
        assert "hunter2" not in "".join(systemd.heard)
        assert "operator" not in "".join(systemd.heard)


@pytest.mark.long
def test_watchdog(tmp_path: Path) -> None:
    """It is alive again and again, and not while it is stopped."""
    with (
        Systemd(tmp_path, watchdog=400_000) as systemd,
        Exporter("--maestro-url=mqtt://127.0.0.1:1", env=systemd.env) as exporter,
    ):
        wait_for(lambda: systemd.heard.count("WATCHDOG=1") >= 5, "five times")
        exporter.signal(signal.SIGSTOP)
        wait_for(lambda: _is_stopped(exporter), "it to be stopped")
        before = len(systemd.heard)
        with pytest.raises(AssertionError):
            wait_for(lambda: len(systemd.heard) > before + 1, "nothing", 2)
        exporter.signal(signal.SIGCONT)
        wait_for(lambda: len(systemd.heard) > before + 5, "five more times")


def _is_stopped(exporter: Exporter) -> bool:
    assert exporter.process is not None
    return (
        Path(f"/proc/{exporter.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    )


@pytest.mark.long
def test_nobody_asked(tmp_path: Path) -> None:
    """Without a socket to tell it to, there is no word of systemd."""
    with Exporter("--maestro-url=mqtt://127.0.0.1:1") as exporter:
        assert http_get(f"{exporter.url}/-/healthy").status == 200
        assert "systemd" not in exporter.output()


@LAUNCHERS
@pytest.mark.long
def test_sockets_that_nobody_asked_for(launcher: str, tmp_path: Path) -> None:
    """A socket that is handed over is used without --web.systemd-socket, instead of any port."""
    port = free_port()
    with (
        socket.create_server(("127.0.0.1", 0)) as handed,
        activated(
            tmp_path,
            launcher,
            [handed],
            f"--web.listen-address=127.0.0.1:{port}",
            "--maestro-url=mqtt://127.0.0.1:1",
            asked_for=False,
        ) as exporter,
    ):
        assert b"maestro_up 0\n" in Web(f"127.0.0.1:{handed.getsockname()[1]}").ask().body
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        assert exporter.stop() == 0


@pytest.mark.long
def test_sockets_and_a_password(tmp_path: Path) -> None:
    """A password that is taken out of the list of processes does not take the sockets with it."""
    with (
        socket.create_server(("127.0.0.1", 0)) as handed,
        activated(tmp_path, "console", [handed], "-mmqtt://me:hunter2@127.0.0.1:1") as exporter,
    ):
        assert b"maestro_up 0\n" in Web(f"127.0.0.1:{handed.getsockname()[1]}").ask().body
        title = Path(f"/proc/{exporter.process.pid}/cmdline").read_text()
        assert "hunter2" not in title
        assert exporter.stop() == 0
