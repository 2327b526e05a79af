"""`maestro-exporter-service` in a folder of its own, with the real twistd and mosquitto."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from maestro_exporter.control.places import places
from tests.e2e.clusters import number
from tests.e2e.web import Authority
from tests.servers import Mosquitto, free_port, http_get, scrape, wait_for

COMMAND = Path(sys.executable).parent / "maestro-exporter-service"
NAME = "maestro-exporter"
long = pytest.mark.long
NOWHERE = "mqtt://127.0.0.1:1"


class Service:
    """A service whose files are all in one folder.

    Attributes:
        files: where.
        port: of the pages.
    """

    def __init__(self, root: Path, name: str = NAME) -> None:
        self.root, self.name = root, name
        self.files = places(root, name)
        self.port = free_port()
        self.files.configuration.parent.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def configure(self, broker: str = NOWHERE, *lines: str) -> None:
        """Write the configuration: the broker, an address that is free, and these lines."""
        address = f'MAESTRO_EXPORTER_LISTEN_ADDRESS="127.0.0.1:{self.port}"'
        text = "\n".join([f'MAESTRO_BROKER="{broker}"', address, *lines, ""])
        self.files.configuration.write_text(text)

    def command(self, *arguments: str) -> Sequence[str]:
        user = ["--user=root"] if os.geteuid() == 0 else []
        return [str(COMMAND), f"--root={self.root}", *user, *arguments, self.name]

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run a command; give the exit status and what it printed."""
        done = subprocess.run(
            self.command(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stdout
        return done.returncode, done.stdout

    def pid(self) -> int:
        return int(self.files.pid.read_text())

    def log(self) -> str:
        return self.files.log.read_text()

    def answers(self) -> bool:
        with suppress(OSError):
            return http_get(f"{self.url}/-/healthy").status == 200
        return False


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with ending(Service(tmp_path)) as one:
        one.configure()
        yield one


@contextmanager
def ending(service: Service) -> Iterator[Service]:
    try:
        yield service
    finally:
        service.run("stop")


def test_from_start_to_stop(service: Service) -> None:
    """Each command does what it says, once or twice, and what it says is so."""
    with Mosquitto() as broker:
        service.configure(broker.url, 'MAESTRO_EXPORTER_INTERVAL="500ms"')
        assert service.run("status") == (3, f"{NAME}: it does not run\n")

        status, said = service.run("start")
        page = f"{service.url}/metrics"
        assert (status, said) == (0, f"{NAME}: OK (process {service.pid()}): {page}\n")
        assert service.answers()
        again = (0, f"{NAME}: it runs already (process {service.pid()}): {page}\n")
        assert service.run("start") == again

        wait_for(lambda: "is ready" in service.run("status")[1], "it to be ready")
        assert service.run("status") == (
            0,
            f"{NAME}: it runs (process {service.pid()}): {page}\nmaestro-exporter is ready.\n",
        )
        assert number(scrape(page), "maestro_up") == 1

        first = service.pid()
        assert service.run("restart")[0] == 0
        assert service.pid() != first
        assert service.answers()
        assert service.run("try-restart")[0] == 0

        assert service.run("stop") == (0, f"{NAME}: stopped\n")
        assert not service.answers()
        assert not service.files.pid.exists()
        assert service.run("stop") == (0, f"{NAME}: it does not run\n")
        assert service.run("status")[0] == 3


@long
def test_broker_away(service: Service) -> None:
    """It starts without its broker, and its status says why that is away."""
    assert service.run("start")[0] == 0
    reason = "not ready: not connected to the Maestro broker at 127.0.0.1:1: Connection refused"
    wait_for(lambda: reason in service.run("status")[1], "the reason")


@long
def test_wrong_configuration(service: Service) -> None:
    """A restart and a reload with a wrong one say why, and leave alone what runs."""
    assert service.run("start")[0] == 0
    first = service.pid()
    service.configure(NOWHERE, 'MAESTRO_EXPORTER_INTERVAL="soon"')
    for command in ("restart", "reload"):
        status, said = service.run(command)
        assert status == 6
        assert f'MAESTRO_EXPORTER_INTERVAL in {service.files.configuration}:3): "soon"' in said
        assert len(said.splitlines()) == 1
    assert service.pid() == first
    assert service.answers()
    status, said = service.run("status")
    assert status == 0
    assert "it runs" in said
    assert '"soon"' in said


@long
@pytest.mark.parametrize("form", ["text", "json"])
def test_port_in_use(form: str, service: Service, tmp_path: Path) -> None:
    """One that cannot listen has failed, with the reason, and leaves nothing behind."""
    with ending(Service(tmp_path, "other")) as other:
        other.configure()
        assert other.run("start")[0] == 0
        service.port = other.port
        service.configure(NOWHERE, f'MAESTRO_EXPORTER_LOG_FORMAT="{form}"')
        assert service.run("start") == (
            1,
            f"{NAME}: failed: cannot listen on 127.0.0.1:{service.port}: Address already in use; "
            "choose another with --port\n",
        )
        assert service.run("status")[0] == 3
        assert other.run("status")[0] == 0


@long
def test_reload(service: Service) -> None:
    """The log level and the web configuration are taken over without a restart."""
    web = service.files.configuration.with_name("web.yml")
    web.write_text("http_server_config:\n  headers:\n    X-Frame-Options: deny\n")
    service.configure(NOWHERE, 'MAESTRO_EXPORTER_WEB_CONFIG="web.yml"')
    assert service.run("start")[0] == 0
    first = service.pid()
    web.write_text("http_server_config:\n  headers:\n    X-Frame-Options: sameorigin\n")
    assert service.run("reload")[0] == 0

    def header() -> str | None:
        return http_get(f"{service.url}/-/healthy").headers["X-Frame-Options"]

    wait_for(lambda: header() == "sameorigin", "the new header")
    assert service.pid() == first


@long
def test_killed(service: Service) -> None:
    """One that was killed has status 1, and is started anew, whoever has its number by now."""
    assert service.run("start")[0] == 0
    os.kill(service.pid(), signal.SIGKILL)
    wait_for(lambda: service.run("status")[0] == 1, "its death")
    service.files.pid.write_text(str(os.getpid()))  # as if this were the one to get it
    status, said = service.run("start")
    assert (status, "OK" in said) == (0, True), said
    assert service.pid() != os.getpid()
    assert service.run("status")[0] == 0


@long
def test_does_not_end(service: Service) -> None:
    """One that does not end in time is killed, which is said."""
    assert service.run("start")[0] == 0
    os.kill(service.pid(), signal.SIGSTOP)
    assert service.run("stop", "--timeout=1s") == (0, f"{NAME}: killed, since it did not end\n")
    assert not service.answers()
    assert service.run("status")[0] == 3


@long
def test_pid_file_is_gone(service: Service) -> None:
    """Without its pid file it is still known to run, and is ended by its lock."""
    assert service.run("start")[0] == 0
    service.files.pid.unlink()
    assert service.run("status")[0] == 0
    assert service.run("stop", "--timeout=2s") == (0, f"{NAME}: stopped\n")
    assert not service.answers()


@long
def test_pid_file_is_forged(service: Service) -> None:
    """A number that was put there gets no signal, whosever it is, and the daemon is ended."""
    assert service.run("start")[0] == 0
    with subprocess.Popen(["sleep", "60"]) as other:
        for number in ("0", "-1", "99999999999999999999", str(other.pid)):
            service.files.pid.write_text(number)
            for command in ("reload", "reopen"):
                status, said = service.run(command)
                assert (status, len(said.splitlines())) == (1, 1), said
        assert service.run("stop", "--timeout=2s")[0] == 0
        assert not service.answers()
        assert other.poll() is None
        other.kill()


@long
def test_stop_while_it_starts(service: Service) -> None:
    """Who stops it while another starts it waits for that, and nothing runs then."""
    with subprocess.Popen(service.command("start"), stdout=subprocess.PIPE) as starting:
        wait_for(lambda: service.run("status")[0] == 0, "it to be started")
        assert service.run("stop")[0] == 0
        starting.communicate(timeout=60)
    assert service.run("status")[0] == 3
    assert not service.answers()


@long
def test_interrupt(service: Service) -> None:
    """Ctrl-C while it starts is one line with status 130, and leaves nothing behind."""
    with subprocess.Popen(
        service.command("start"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as starting:
        wait_for(service.files.lock.exists, "the lock")
        os.killpg(starting.pid, signal.SIGINT)
        said = starting.communicate(timeout=60)[0]
    assert (starting.returncode, said) == (130, "maestro-exporter-service: interrupted\n")
    assert service.run("status")[0] in (1, 3)
    assert not service.answers()


@long
@pytest.mark.parametrize("where", ["| true", "> /dev/full", ">&-"])
def test_nobody_reads(where: str, service: Service) -> None:
    """That its words cannot be read changes no status."""
    for command, expected in (("start", 0), ("status", 0), ("stop", 0), ("status", 3)):
        line = f"{shlex.join(service.command(command))} {where}; exit ${{PIPESTATUS[0]}}"
        done = subprocess.run(
            ["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False
        )
        assert (command, done.returncode, done.stderr) == (command, expected, "")


@long
def test_surroundings(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a secret nor an umask of who starts it is the daemon's."""
    monkeypatch.setenv("SECRET_OF_THE_SHELL", "hunter2")
    before = os.umask(0)
    try:
        assert service.run("start")[0] == 0
    finally:
        os.umask(before)
    assert "hunter2" not in Path(f"/proc/{service.pid()}/environ").read_text()
    assert service.files.log.stat().st_mode & 0o022 == 0
    assert service.files.log.parent.stat().st_mode & 0o777 == 0o755


@long
def test_port_was_changed(service: Service) -> None:
    """One that runs by an older configuration is not started twice, and that is said."""
    assert service.run("start")[0] == 0
    service.port, port = free_port(), service.port
    service.configure()
    status, said = service.run("start", "--timeout=1s")
    assert status == 0
    assert "it runs already" in said
    assert f"{service.url}/metrics does not answer; if that was changed, restart it" in said
    assert service.run("restart")[0] == 0
    assert service.answers()
    service.port = port
    assert not service.answers()


@long
def test_two_at_once(service: Service) -> None:
    """Of several starts at the same time one starts it, and all say that it runs."""
    together = [
        subprocess.Popen(service.command("start"), stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    said = [process.communicate(timeout=60)[0] for process in together]
    assert [process.returncode for process in together] == [0] * 4, said
    assert sum(": OK (process" in line for line in said) == 1, said
    assert sum("it runs already" in line for line in said) == 3, said
    assert service.answers()


@long
def test_several(service: Service, tmp_path: Path) -> None:
    """Those of other names have files of their own, and are not touched."""
    with ending(Service(tmp_path, "lab")) as lab:
        lab.configure()
        assert service.run("start")[0] == lab.run("start")[0] == 0
        assert service.pid() != lab.pid()
        assert service.run("stop")[0] == 0
        assert lab.answers()
        assert lab.run("status")[0] == 0


@long
def test_only_its_file_counts(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings in the environment of who starts it are not its own."""
    monkeypatch.setenv("MAESTRO_EXPORTER_LISTEN_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("MAESTRO_EXPORTER_INTERVAL", "soon")
    assert service.run("start")[0] == 0
    assert service.answers()


@long
def test_tls(service: Service) -> None:
    """Pages over TLS are waited for, and asked, too."""
    folder = service.files.configuration.parent
    certificate, key = Authority().issue().save(folder, "server")
    (folder / "web.yml").write_text(
        f"tls_server_config:\n  cert_file: {certificate}\n  key_file: {key}\n"
    )
    service.configure(NOWHERE, 'MAESTRO_EXPORTER_WEB_CONFIG="web.yml"')
    status, said = service.run("start")
    assert (status, f"https://127.0.0.1:{service.port}/metrics" in said) == (0, True), said
    wait_for(lambda: "not connected" in service.run("status")[1], "the page of readiness")


@long
def test_log_is_moved_away(service: Service) -> None:
    """After logrotate has renamed it, a new one is begun; else the present one is renamed."""
    assert service.run("start")[0] == 0
    wait_for(lambda: "Cannot connect" in service.log(), "a line")
    moved = service.files.log.with_suffix(".log-1")
    service.files.log.rename(moved)
    assert service.run("reopen") == (0, "")
    wait_for(service.files.log.exists, "a new log")
    assert "Cannot connect" in moved.read_text()

    assert service.run("reopen") == (0, "")
    wait_for(service.files.log.with_suffix(".log.1").exists, "another")


@long
def test_not_allowed() -> None:
    """Who may not write where its files are is told so, with status 4."""
    with tempfile.TemporaryDirectory() as folder:
        one = Service(Path(folder))
        one.configure()
        Path(folder).chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", _AS_NOBODY, f"--root={folder}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        Path(folder).chmod(0o755)
    lines = [f"{NAME}: it does not run\n", f"{NAME}: failed: {folder}/run: Permission denied\n"]
    assert (done.returncode, done.stdout) == (4, "".join(lines))


#: As root, this process takes the rights of another user once all is imported.
_AS_NOBODY = """
import encodings.utf_8_sig
import os
import sys
import sysconfig
sysconfig.get_path("scripts")
from maestro_exporter.control import cli
cli.run([*sys.argv[1:], "--user=root", "status"])
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
sys.exit(cli.run([*sys.argv[1:], "start"]))
"""
