"""The files in etc/ fit the program, and each other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from maestro_exporter.control.cli import _COMMANDS
from maestro_exporter.options import OPTIONS

pytestmark = pytest.mark.source

ETC = Path(__file__).parents[1] / "etc"


def test_configuration_names_every_setting() -> None:
    """The configuration file shows each setting once, but that of its own name."""
    text = (ETC / "maestro-exporter-service.conf").read_text("utf-8")
    shown = re.findall(r'^#?(MAESTRO\w+)="', text, re.MULTILINE)
    assert shown == [option.variable for option in OPTIONS if option.name != "config"]


def test_configuration_shows_the_defaults() -> None:
    """What is commented out there is the default, where there is one."""
    text = (ETC / "maestro-exporter-service.conf").read_text("utf-8")
    shown = dict(re.findall(r'^#?(MAESTRO\w+)="(.*)"$', text, re.MULTILINE))
    for option in OPTIONS:
        if option.default:
            assert shown[option.variable] == option.default
        elif option.variable in shown:
            option.parse(shown[option.variable].split()[0])


def directives(unit: str) -> list[str]:
    lines = (ETC / "systemd" / unit).read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_template() -> None:
    """The unit for several brokers is that for one, but for its name and its configuration."""
    one = directives("maestro-exporter.service")
    several = directives("maestro-exporter@.service")
    assert len(one) == len(several)
    different = [pair for pair in zip(one, several, strict=True) if pair[0] != pair[1]]
    assert [pair[0].partition("=")[0] for pair in different] == [
        "Description",
        "EnvironmentFile",
        "SyslogIdentifier",
    ]


@pytest.mark.parametrize("unit", ["maestro-exporter.service", "maestro-exporter@.service"])
def test_units_have_no_copy_of_the_settings(unit: str) -> None:
    """What an exporter is to do comes from its configuration alone."""
    found = directives(unit)
    assert "ExecStart=/usr/bin/maestro-exporter" in found
    assert not [line for line in found if line.startswith("Environment=")]


def test_port_of_the_socket() -> None:
    """The socket is on the port that the exporter has by default."""
    (port,) = [option.default for option in OPTIONS if option.name == "port"]
    assert f"ListenStream={port}" in directives("maestro-exporter.socket")


def test_init_script_passes_every_command_on() -> None:
    """It knows the commands of maestro-exporter-service but for logrotate's, and no others."""
    script = (ETC / "init.d/maestro-exporter").read_text("utf-8")
    (known,) = re.findall(r"^([a-z |-]+)\) ;;$", script, re.MULTILINE)
    assert sorted(known.split(" | ")) == sorted({*_COMMANDS} - {"reopen"})
