"""The benchmarks run; how fast anything is, is none of the tests' business."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.source

ROOT = Path(__file__).parents[1]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m bench` from the source tree."""
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_every_benchmark_runs() -> None:
    """With tiny sizes each benchmark is run to its end, and has a table with figures."""
    names = [line.split()[0] for line in bench("--list").stdout.splitlines()]

    result = bench("--fast")

    assert result.returncode == 0, result.stdout + result.stderr
    assert len(names) == 11
    for name in names:
        shown = re.search(rf"\] {name} \.\.\. [\d.]+ s\n\n(\|.*\n)+", result.stdout)
        assert shown is not None, f"{name} is not in:\n{result.stdout}"
        assert re.search(r"\d", shown[0].partition("\n\n")[2]), shown[0]


def test_unknown_name_is_one_line() -> None:
    """A name that no benchmark has is refused with one line and the status of bad usage."""
    result = bench("no-such-thing")

    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert '"no-such-thing"' in result.stderr
