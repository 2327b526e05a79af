"""The soak, for a short while."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.faults import soak
from tests.faults.soak import Result, Usage

pytestmark = pytest.mark.long

SECONDS = 5


def test_after_random_faults_all_is_counted_and_nothing_is_left_behind() -> None:
    """What `make soak` does for minutes holds for seconds too."""
    lines: list[str] = []
    result = soak.run(SECONDS, seed=7, say=lines.append, warm_up=2)
    assert result.faults, lines
    assert sum(result.counted.values()) > 100
    assert result.problems == [], lines


def test_a_lost_report_a_leak_and_a_restart_are_problems() -> None:
    usage = Usage(60_000, 2, 13)
    good = Result(
        faults=Counter(cut=1),
        published={"test_success": 2},
        counted={"test_success": 2},
        sessions_lost=0,
        results_dropped=0,
        restarts=0,
        before=usage,
        after=usage,
    )
    assert good.problems == []
    for bad in (
        good._replace(counted={"test_success": 1}),
        good._replace(counted={}),
        good._replace(sessions_lost=1),
        good._replace(results_dropped=1),
        good._replace(restarts=1),
        good._replace(after=usage._replace(memory=60_000 + soak.MEMORY_SLACK + 1)),
        good._replace(after=usage._replace(threads=3)),
        good._replace(after=usage._replace(descriptors=14)),
    ):
        assert len(bad.problems) == 1, bad
