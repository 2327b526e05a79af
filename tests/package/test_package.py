"""The package itself, and what it is without being installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import maestro_exporter
from tests.grafana.boards import BOARDS, alerts
from tests.package.roots import Done
from tests.servers import Mosquitto, free_port, scrape, wait_for

pytestmark = [pytest.mark.source, pytest.mark.long]

SOURCE = Path(__file__).parents[2]
NOBODY = 65534


def run(*command: str | Path, user: int | None = None) -> Done:
    """Runs a program, as another user if one is given."""
    done = subprocess.run(
        command,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        env={"PATH": os.environ["PATH"]},
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    return Done(done.returncode, done.stdout)


@pytest.fixture(scope="module")
def tree(deb: Path, workplace: Path) -> Path:
    """The package as an ordinary user unpacks it."""
    folder = workplace / "some where"
    folder.mkdir()
    user = NOBODY if os.geteuid() == 0 else None
    if user is not None:
        os.chown(folder, user, user)
    copy = workplace / deb.name
    copy.write_bytes(deb.read_bytes())
    done = run("dpkg", "-x", copy, folder, user=user)
    assert done.status == 0, done
    return folder


def test_its_version_is_that_of_the_exporter() -> None:
    """The newest entry of debian/changelog has the version of the Python package."""
    line = (SOURCE / "debian/changelog").read_text().splitlines()[0]
    found = re.fullmatch(r"maestro-exporter \((.+)\) \S+; urgency=\w+", line)
    assert found is not None, line
    assert found[1] == maestro_exporter.__version__


def test_requirements_are_pinned_for_all_that_is_bundled() -> None:
    """Each requirement has one version and at least one hash, and names no server."""
    text = (SOURCE / "requirements.txt").read_text()
    entries = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    for entry in entries:
        assert re.fullmatch(r"[a-z0-9-]+==\S+(\s+--hash=sha256:[0-9a-f]{64})+", entry), entry
    assert "://" not in text


def test_lintian_finds_no_errors(deb: Path) -> None:
    """Debian's own checker of packages has nothing to call an error."""
    done = run("lintian", "--allow-root", "--fail-on", "error", deb.with_suffix(".changes"))
    assert done.status == 0, done.output


def test_an_ordinary_user_runs_it_where_it_was_unpacked(tree: Path) -> None:
    """Without an installation it starts, answers, says how it is and stops."""
    user = NOBODY if os.geteuid() == 0 else None
    service = tree / "usr/bin/maestro-exporter-service"
    port = free_port()
    with Mosquitto() as broker:
        (tree / "etc/maestro-exporter/maestro-exporter-service.conf").write_text(
            f'MAESTRO_BROKER="{broker.url}"\nMAESTRO_EXPORTER_LISTEN_ADDRESS="127.0.0.1:{port}"\n'
        )
        started = run(service, "start", user=user)
        try:
            assert started.status == 0, started
            wait_for(lambda: is_up(port), "the broker to be connected")
            assert run(service, "status", user=user).status == 0
        finally:
            stopped = run(service, "stop", user=user)
        assert stopped.status == 0, stopped
        assert run(service, "status", user=user).status == 3


def is_up(port: int) -> bool:
    """Whether the exporter on this port is connected to its broker."""
    return scrape(f"http://127.0.0.1:{port}/metrics")["maestro_up", frozenset()] == 1


def test_the_command_says_its_version_where_it_was_unpacked(tree: Path) -> None:
    """Called through the link, too, it runs with what was unpacked beside it."""
    done = run(tree / "usr/bin/maestro-exporter", "--version")
    assert done == Done(0, f"maestro-exporter {maestro_exporter.__version__}\n")


def test_boards_rules_and_runbooks_are_where_they_are_said_to_be(tree: Path) -> None:
    """Each alert leads to a page of the package, and Grafana's provisioning to the boards."""
    share = tree / "usr/share/maestro-exporter/grafana"
    urls = [each["annotations"]["runbook_url"] for each in alerts().values()]
    provider = (share / "provisioning/dashboards/maestro.yml").read_text()

    for url in urls:
        assert (tree / url.removeprefix("file:///")).is_file(), url
    assert f"path: /{(share / 'dashboards').relative_to(tree)}\n" in provider
    assert {path.stem for path in (share / "dashboards").iterdir()} == set(BOARDS)
    assert (share / "prometheus/maestro.rules.yml").is_file()
    assert sorted(path.name for path in share.iterdir()) == [
        "dashboards",
        "prometheus",
        "provisioning",
    ]


WITH_SYSTEMD = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze"
)


@WITH_SYSTEMD
@pytest.mark.parametrize(
    "unit", ["maestro-exporter.service", "maestro-exporter.socket", "maestro-exporter@x.service"]
)
def test_systemd_finds_nothing_wrong_with_a_unit(unit: str, tree: Path) -> None:
    """All that a unit says is known, and the programs that it names are there."""
    kill = tree / "bin/kill"  # of procps
    kill.parent.mkdir(exist_ok=True)
    if not kill.exists():
        kill.write_text("#!/bin/sh\n")
        kill.chmod(0o755)
    done = run(
        *("systemd-analyze", "verify", f"--root={tree}", "--man=no", "--recursive-errors=no", unit)
    )
    assert done == Done(0, "")


@WITH_SYSTEMD
@pytest.mark.parametrize("unit", ["maestro-exporter.service", "maestro-exporter@.service"])
def test_systemd_takes_a_service_for_well_protected(unit: str, tree: Path) -> None:
    """Of 100 points of exposure a service has at most 20."""
    done = run(
        *("systemd-analyze", "security", "--offline=true", f"--root={tree}", "--threshold=20"),
        *("--no-pager", unit),
    )
    assert done.status == 0, done.output
