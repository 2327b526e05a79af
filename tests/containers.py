"""The files that containers are made of, as the tests read them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]


def text(name: str) -> str:
    """Give a file of the source tree."""
    return (ROOT / name).read_text("utf-8")


def from_yaml(name: str) -> dict[str, Any]:
    """Give what a file of the source tree says."""
    said: dict[str, Any] = yaml.safe_load(text(name))
    return said


def services() -> dict[str, dict[str, Any]]:
    """Give the services of compose.yaml by name."""
    found: dict[str, dict[str, Any]] = from_yaml("compose.yaml")["services"]
    return found


def health_check() -> list[str]:
    """Give the command by which the image is asked whether it is healthy."""
    found = re.search(r"^HEALTHCHECK .*\\\n +CMD (\[.*\])$", text("Dockerfile"), re.MULTILINE)
    assert found is not None
    command: list[str] = json.loads(found[1])
    return command
