"""The package installed into a Debian without systemd: its life, from installation to purge."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import signal
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.package.roots import Done, Root
from tests.servers import Mosquitto, Samples, free_port, scrape, wait_for

pytestmark = [pytest.mark.source, pytest.mark.long]

NAME = "maestro-exporter"
CONFIGURATION = "/etc/maestro-exporter/maestro-exporter-service.conf"
LOG = "/var/log/maestro-exporter/maestro-exporter.log"
BUNDLE = "/usr/lib/maestro-exporter"
WRONG = '"many": give a whole number from 0 to 65535'
COMMANDS = pytest.mark.parametrize(
    "command", ["/etc/init.d/maestro-exporter", "maestro-exporter-service"]
)


class Machine:
    """A Debian that has the package, or is about to."""

    def __init__(self, root: Root, deb: Path, broker: Mosquitto) -> None:
        self.root = root
        self.broker = broker
        self.port = free_port()
        self.lab_port = free_port()
        shutil.copy(deb, root.path("/root/package.deb"))

    def start_another(self) -> None:
        """Starts a second exporter, by the name of lab."""
        self.write("lab", "lab", self.lab_port)
        self.root.path("/etc/maestro-exporter/lab.conf").chmod(0o644)
        done = self.service("start", "lab")
        assert done.status == 0, done

    def configure(self, **settings: str) -> None:
        """Writes the configuration, with these settings beside the usual ones."""
        self.write(NAME, "maestro-exporter-service", self.port, **settings)

    def write(self, name: str, file: str, port: int, **settings: str) -> None:
        """Writes the configuration of the exporter of this name."""
        usual = {
            "MAESTRO_BROKER": self.broker.url,
            "MAESTRO_EXPORTER_LISTEN_ADDRESS": f"127.0.0.1:{port}",
            "MAESTRO_MQTT_CLIENT_ID": f"package-{name}",
        }
        path = self.root.path(f"/etc/maestro-exporter/{file}.conf")
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f'{name}="{v}"\n' for name, v in (usual | settings).items()))

    def install(self, network: bool = True) -> Done:
        """Installs the package, or upgrades it; what is there of its configuration stays."""
        done = self.root.run(
            *("dpkg", "--force-confold", "--install", "/root/package.deb"), network=network
        )
        assert done.status == 0, done.output
        return done

    def dpkg(self, action: str) -> None:
        """Removes or purges the package."""
        done = self.root.run("dpkg", action, NAME)
        assert done.status == 0, done.output

    def service(self, action: str, *more: str) -> Done:
        """What the command for the daemon comes to."""
        return self.root.run("maestro-exporter-service", action, *more)

    def pid(self, name: str = NAME) -> int:
        """The number of the process, as its file has it."""
        return int(self.root.path(f"/run/maestro-exporter/{name}.pid").read_text())

    def page(self) -> Samples:
        """What the page says."""
        return scrape(f"http://127.0.0.1:{self.port}/metrics")

    def wait_until_up(self) -> None:
        """Waits until the exporter has connected to the broker."""
        wait_for(lambda: self.page()["maestro_up", frozenset()] == 1, "the broker to be connected")


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as mosquitto:
        yield mosquitto


@pytest.fixture(scope="module")
def untouched(root: Root, deb: Path, broker: Mosquitto) -> tuple[Machine, set[str]]:
    """A machine before the first installation, with its files."""
    machine = Machine(root, deb, broker)
    return machine, root.files()


@pytest.fixture
def machine(untouched: tuple[Machine, set[str]]) -> Machine:
    """A machine on which the daemon of the package runs, as it does after an installation."""
    machine = untouched[0]
    machine.configure()
    if not machine.root.path(f"{BUNDLE}/bin").exists():
        machine.install()
    done = machine.service("start")
    assert done.status == 0, done
    return machine


def test_installation_starts_it(untouched: tuple[Machine, set[str]]) -> None:
    """Once dpkg is done, the daemon runs as its own user and the page says that it is connected."""
    machine, _ = untouched
    machine.configure()
    machine.install()
    ids = machine.root.ids(NAME)
    owner = Path("/proc", str(machine.pid())).stat()
    assert (owner.st_uid, owner.st_gid) == ids
    machine.wait_until_up()


def test_others_can_read_neither_configuration_nor_log(machine: Machine) -> None:
    """The group of the daemon may read the one, that of administrators the other."""
    ids = machine.root.ids(NAME)
    assert ids is not None
    configuration = machine.root.path(CONFIGURATION).stat()
    assert stat.S_IMODE(configuration.st_mode) == 0o640
    assert (configuration.st_uid, configuration.st_gid) == (0, ids[1])
    logs = machine.root.path(LOG).parent.stat()
    assert stat.S_IMODE(logs.st_mode) == 0o2750
    assert (logs.st_uid, logs.st_gid) == (ids[0], 4)  # the group adm


def test_running_it_writes_nothing_beside_its_program(machine: Machine) -> None:
    """Neither bytecode nor Twisted's list of plugins is missing, so none is written at a start."""
    before = written(machine.root)
    assert machine.service("restart").status == 0
    assert written(machine.root) == before


def written(root: Root) -> dict[str, int]:
    """All files of the program, with the time at which each was last changed."""
    return {name: os.lstat(root.path(name)).st_ctime_ns for name in root.files(BUNDLE)}


@COMMANDS
def test_starting_it_again(command: str, machine: Machine) -> None:
    """It says that it runs already, which is no error."""
    pid = machine.pid()
    done = machine.root.run(command, "start")
    assert done.status == 0
    assert "it runs already" in done.output
    assert machine.pid() == pid


@COMMANDS
def test_status(command: str, machine: Machine) -> None:
    """It names the process, and says whether the broker is connected."""
    machine.wait_until_up()
    done = machine.root.run(command, "status")
    assert done.status == 0
    assert f"process {machine.pid()}" in done.output
    assert "not connected" not in done.output

    machine.configure(MAESTRO_BROKER=f"mqtt://127.0.0.1:{free_port()}")
    assert machine.service("restart").status == 0
    done = machine.root.run(command, "status")
    assert done.status == 0
    assert "not connected to the Maestro broker" in done.output
    machine.configure()
    assert machine.service("restart").status == 0


def test_reload(machine: Machine) -> None:
    """The same process reads its configuration again, and says what takes a restart."""
    pid = machine.pid()
    machine.configure(MAESTRO_EXPORTER_INTERVAL="20s")
    done = machine.root.run("/etc/init.d/maestro-exporter", "reload")
    assert done.status == 0, done
    log = machine.root.path(LOG)
    wait_for(lambda: "they take a restart" in log.read_text(), "that in the log")
    assert machine.pid() == pid


def test_logrotate(machine: Machine) -> None:
    """It moves the logs of all that run away, and they begin new ones; it compresses the old."""
    machine.start_another()
    pids = [machine.pid(), machine.pid("lab")]
    folder = machine.root.path(LOG).parent
    for times in (1, 2):
        # More than a second: C's time() may be a tick behind Python's.
        later = time.time() + 1.1
        wait_for(lambda: time.time() > later, "another second, which is in the names")  # noqa: B023
        for name in (NAME, "lab"):
            with (folder / f"{name}.log").open("a") as log:
                log.write(f"mark {times}\n")
        done = machine.root.run("logrotate", "--force", "/etc/logrotate.d/maestro-exporter")
        assert done == Done(0, "")
        for name in (NAME, "lab"):
            wait_for((folder / f"{name}.log").exists, "a new log")
            assert len(list(folder.glob(f"{name}.log-*"))) == times
    assert [machine.pid(), machine.pid("lab")] == pids
    (compressed,) = folder.glob("lab.log-*.gz")
    assert b"mark 1\n" in gzip.decompress(compressed.read_bytes())
    (other,) = (path for path in folder.glob("lab.log-*") if path.suffix != ".gz")
    assert "mark 2\n" in other.read_text()
    assert machine.service("stop", "lab").status == 0
    assert "Received SIGTERM" in (folder / "lab.log").read_text()
    assert "Received SIGTERM" not in other.read_text()


@pytest.mark.parametrize("action", ["restart", "reload"])
def test_a_wrong_configuration_does_not_stop_it(action: str, machine: Machine) -> None:
    """The reason is said, with status 6, and the daemon goes on."""
    pid = machine.pid()
    machine.configure(MAESTRO_EXPORTER_PORT="many")
    done = machine.root.run("/etc/init.d/maestro-exporter", action)
    assert done.status == 6
    assert WRONG in done.output
    assert machine.pid() == pid
    machine.page()


def test_a_wrong_configuration_does_not_start_it(machine: Machine) -> None:
    """The reason is said, with status 6, and nothing runs."""
    assert machine.service("stop").status == 0
    machine.configure(MAESTRO_EXPORTER_PORT="many")
    done = machine.root.run("/etc/init.d/maestro-exporter", "start")
    assert done.status == 6
    assert WRONG in done.output
    assert machine.root.processes() == []


def test_a_port_in_use(machine: Machine) -> None:
    """The reason is said, with status 1, and nothing runs."""
    assert machine.service("stop").status == 0
    with socket.create_server(("127.0.0.1", machine.port)):
        done = machine.root.run("/etc/init.d/maestro-exporter", "start")
    assert done.status == 1
    reason = f"cannot listen on 127.0.0.1:{machine.port}: Address already in use"
    assert reason in done.output
    assert "Traceback" not in done.output
    wait_for(lambda: not machine.root.processes(), "the daemon to have ended")


@COMMANDS
def test_stopping_it(command: str, machine: Machine) -> None:
    """It ends at once, stopping it again is no error, and its status is 3 then."""
    assert machine.root.run(command, "stop").status == 0
    assert machine.root.processes() == []
    assert machine.root.run(command, "stop").status == 0
    assert machine.root.run(command, "status").status == 3


def test_after_a_sudden_death(machine: Machine) -> None:
    """A pid file that was left behind gives status 1, and does not keep it from starting."""
    pid = machine.pid()
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not machine.root.processes(), "the daemon to have died")
    assert machine.service("status").status == 1
    machine.root.path("/run/maestro-exporter/maestro-exporter.pid").write_text(f"{os.getpid()}\n")
    done = machine.service("start")
    assert done.status == 0, done
    machine.wait_until_up()
    assert machine.pid() not in (pid, os.getpid())


def test_upgrade(machine: Machine) -> None:
    """The daemons run anew, and the configuration is as the administrator has left it."""
    machine.start_another()
    before = [machine.pid(), machine.pid("lab")]
    path = machine.root.path(CONFIGURATION)
    path.chmod(0o644)
    text = path.read_text()

    machine.install()

    assert path.read_text() == text
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    after = [machine.pid(), machine.pid("lab")]
    assert sorted(after) == sorted(machine.root.processes())
    assert not set(before) & set(after)
    machine.wait_until_up()


def test_upgrade_with_a_wrong_configuration(machine: Machine) -> None:
    """The upgrade is done, says why the daemon was not started anew, and the old one goes on."""
    pid = machine.pid()
    machine.configure(MAESTRO_EXPORTER_PORT="many")
    done = machine.install()
    assert WRONG in done.output
    assert machine.pid() == pid
    machine.page()


def test_removal(machine: Machine) -> None:
    """The daemons end, the program is gone, and configuration and log stay."""
    machine.start_another()
    machine.dpkg("--remove")
    assert machine.root.processes() == []
    assert not machine.root.path(BUNDLE).exists()
    assert machine.root.path(CONFIGURATION).exists()
    assert machine.root.path(LOG).exists()


def test_purge(machine: Machine, untouched: tuple[Machine, set[str]]) -> None:
    """No file, no user, no group and no process is left."""
    machine.dpkg("--purge")
    assert machine.root.files() == untouched[1]
    assert machine.root.processes() == []
    for table in ("passwd", "shadow", "group", "gshadow"):
        assert not re.search(NAME, machine.root.path(f"/etc/{table}").read_text())


def test_installation_takes_no_network(untouched: tuple[Machine, set[str]]) -> None:
    """With no network at all it installs, and where no daemon is to be started starts none."""
    machine, files = untouched
    if machine.root.path(BUNDLE).exists():
        machine.dpkg("--purge")
    machine.root.path("/etc/default/maestro-exporter").write_text('INSTANCES=""\n')
    machine.install(network=False)
    assert machine.root.processes() == []
    machine.dpkg("--purge")
    assert machine.root.files() == files
