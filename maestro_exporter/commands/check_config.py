"""`maestro-exporter check-config FILE`: whether a file would be taken."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from maestro_exporter.arguments import OneLineParser
from maestro_exporter.settings import SettingsError, is_settings_file, load
from maestro_exporter.web import config
from maestro_exporter.web.config import WebConfigError

WRONG_STATUS = 1


def main(arguments: Sequence[str]) -> int:
    """Check the file; give the exit status: 0 right, 1 wrong, 2 bad usage."""
    path: Path = _parser().parse_args(arguments).file
    try:
        kind, warnings = _check(path)
    except (SettingsError, WebConfigError) as error:
        sys.stderr.write(f"maestro-exporter: {error}\n")
        return WRONG_STATUS
    for warning in warnings:
        sys.stderr.write(f"maestro-exporter: warning: {warning}\n")
    sys.stdout.write(f"{path}: {kind}, nothing wrong\n")
    return 0


def _check(path: Path) -> tuple[str, Sequence[str]]:
    """Give what kind of file it is, and the warnings; raise the error of a wrong one."""
    if not is_settings_file(path):
        return "a web configuration", config.load(path).warnings
    settings = load({"config": [str(path)]}, {})
    if settings.web_config is None:
        return "settings", ()
    return (
        f"settings, and the web configuration {settings.web_config}",
        config.load(settings.web_config).warnings,
    )


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="maestro-exporter check-config",
        description="Says whether a file for --web.config.file or for --config is right; "
        "ends with status 0 if it is, and with 1 and the reason if not.  Nothing is started.",
    )
    parser.add_argument("file", metavar="FILE", type=Path)
    return parser
