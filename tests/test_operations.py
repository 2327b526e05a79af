"""The operations guide says what the program says and does."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from maestro_exporter.cluster import Cluster
from maestro_exporter.metrics import cluster_page, exporter_page
from maestro_exporter.options import OPTIONS
from tests.samples import exporter_state

pytestmark = pytest.mark.source

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "docs/operations.md"
TEXT = GUIDE.read_text("utf-8") if GUIDE.exists() else ""
LEVELS = ("debug", "info", "warn", "error", "critical", "failure")

#: What differs from line to line, in the guide.
GAP = "…"


def rows(section: str) -> dict[str, str]:
    """Give the log lines of the guide, with their level."""
    body = TEXT.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `(.+?)` \| (\w*) \|", body, re.MULTILINE))


def log_lines() -> Iterator[tuple[str, str]]:
    """Give level and text of each line that the exporter can log, with gaps."""
    for path in (ROOT / "maestro_exporter").rglob("*.py"):
        if {"simulator", "control"} & set(path.parts):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            name, arguments = node.func.attr, node.args
            first = (
                arguments[0].value if arguments and isinstance(arguments[0], ast.Constant) else ""
            )
            if name == "_say" and first in LEVELS:
                yield str(first), _text(arguments[1])
            elif name in LEVELS and "log" in ast.unparse(node.func.value).lower():
                yield ("critical" if name == "failure" else name), _text(arguments[0])


def _text(node: ast.expr) -> str:
    """Give a text, with gaps for what is put into it here or by the log."""
    if isinstance(node, ast.Constant):
        return re.sub(r"\{[^}]*\}", GAP, str(node.value))
    if isinstance(node, ast.JoinedStr):
        parts = [each.value if isinstance(each, ast.Constant) else GAP for each in node.values]
        return re.sub(r"\{[^}]*\}", GAP, "".join(map(str, parts)))
    return GAP


def fits(text: str, row: str) -> bool:
    """Tell whether a row of the guide can be this text: gaps stand for anything."""
    fragments = [re.escape(each) for each in text.split(GAP)]
    return re.fullmatch(".*".join(fragments), row) is not None


def test_every_log_line_is_explained() -> None:
    """Each line that the exporter can log is in the guide, with its level, and no others."""
    listed = rows("Log lines")
    logged = list(log_lines())
    assert len(logged) > 30
    for level, text in logged:
        if text == GAP:  # the warnings about a web configuration
            continue
        found = [row for row in listed if fits(text, row)]
        assert {listed[row] for row in found} == {level}, (level, text)
    for row, level in listed.items():
        if level:
            assert any(fits(text, row) for _, text in logged if text != GAP), row


def test_metrics_exist() -> None:
    """Each metric that the guide names is on the page."""
    snapshot = Cluster(expiry=1, forget=1, max_peers=1).snapshot()
    names = {
        family.name for family, _ in [*cluster_page(snapshot), *exporter_page(exporter_state())]
    }
    alternatives = re.search(r'"maestro_\((\S+)\)"', TEXT)  # of the federation
    assert alternatives is not None
    patterns = {f"maestro_{each}" for each in alternatives[1].split("|")}
    named = {found[0] for found in re.finditer(r"\bmaestro_\w+(?!\w*\()", TEXT)} - {"maestro_"}
    assert len(named) > 10
    for pattern in patterns:
        assert any(re.fullmatch(pattern, name) for name in names), pattern
    assert {name for name in named if name not in names} == set()


def test_options_and_variables_exist() -> None:
    """So is each option and each variable."""
    options = {f"--{option.name}" for option in OPTIONS}
    service = {"--help"}  # of maestro-exporter-service
    others = {"--build", "--now", "--system", "--group", "--no-create-home"}
    named = set(re.findall(r"(?<![\w-])(--[a-z][a-z.-]*[a-z])", TEXT))
    assert named - options - service - others == set()
    variables = {option.variable for option in OPTIONS}
    assert set(re.findall(r"\bMAESTRO_[A-Z_]*[A-Z]\b", TEXT)) <= variables


def test_files_exist() -> None:
    """Each file that the guide leads to is there."""
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", TEXT):
        assert (GUIDE.parent / target).exists(), target
