"""Each fault of the matrix, several at a time: most of them wait.

When the environment variable FAULTS_TABLE names a file, what came out is written there.
Where a test may not make a mount namespace, those of names replace Python's resolver instead;
see `resolving`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from maestro_exporter.mqtt.failures import REASONS
from tests.faults import table
from tests.faults.certificates import Certificates
from tests.faults.matrix import FAULTS, Fault, Outcome, run

pytestmark = [pytest.mark.long, pytest.mark.source]

WORKERS = 8
DOCUMENT = Path(__file__).parents[2] / "docs" / "reliability.md"

Outcomes = Mapping[str, "Future[Outcome]"]


@pytest.fixture(scope="session")
def outcomes(request: pytest.FixtureRequest, certificates: Certificates) -> Iterator[Outcomes]:
    """Begin with all faults that are to be tested, those that take longest first."""
    wanted = {item.name for item in request.session.items}
    chosen = [fault for fault in FAULTS if f"{test_fault.__name__}[{fault.name}]" in wanted]
    chosen.sort(key=lambda fault: -fault.seconds)
    with ThreadPoolExecutor(WORKERS, "fault") as pool:
        yield {fault.name: pool.submit(run, fault, certificates) for fault in chosen}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault(fault: Fault, outcomes: Outcomes) -> None:
    """It is noticed, said, survived; and no result is lost, or the loss is seen."""
    outcomes[fault.name].result()


def test_table(outcomes: Outcomes) -> None:
    """The document's table has exactly these faults; it is written before, if that is wanted."""
    if file := os.environ.get("FAULTS_TABLE"):
        table.write(Path(file), {name: each.result() for name, each in outcomes.items()})
    assert table.names(DOCUMENT) == [fault.name for fault in FAULTS]


def test_reasons() -> None:
    """The document says of each reason what to look at."""
    _, _, section = DOCUMENT.read_text("utf-8").partition("## For operators")
    listed = re.findall(r"^\| `(\w+)` \|", section.partition("\n## ")[0], re.MULTILINE)
    assert listed == list(REASONS)
