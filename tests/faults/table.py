"""The matrix of faults and how they went, in Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from tests.faults.matrix import FAULTS, Fate, Fault, Outcome

BEGIN, END = "<!-- faults: written by `make faults` -->", "<!-- end of the faults -->"

_HEAD = (
    "| fault | `reason`, and what is said | to notice | to recover | results published meanwhile "
    "| lost |\n|---|---|---:|---:|---:|---:|"
)
_SEEN_BY = {
    Fate.KEPT: "",
    Fate.FORGOTTEN: "; then `maestro_exporter_broker_sessions_lost_total`",
    Fate.DROPPED: "; then `maestro_broker_dropped_messages_total`",
    Fate.UNKNOWN: "",
}


def write(path: Path, outcomes: Mapping[str, Outcome]) -> None:
    """Put the table between the two comments of a file."""
    rows = "\n".join(_row(fault, outcomes[fault.name]) for fault in FAULTS)
    text = path.read_text("utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    path.write_text(f"{before}{BEGIN}\n\n{_HEAD}\n{rows}\n\n{END}{after}", "utf-8")


def names(path: Path) -> list[str]:
    """Give the first cells of the table of a file."""
    _, rest = path.read_text("utf-8").split(BEGIN)
    table, _ = rest.split(END)
    return [cell for cell in re.findall(r"^\| (.+?) \|", table, re.MULTILINE) if cell != "fault"]


def _row(fault: Fault, outcome: Outcome) -> str:
    cells = (
        fault.name,
        _reason(fault),
        _seconds(outcome.notice),
        _seconds(outcome.recover if fault.mends or outcome.notice is not None else None),
        f"{outcome.published:,}" if outcome.published else "–",
        "unknown" if outcome.lost is None else f"{outcome.lost:,}" if outcome.published else "–",
    )
    return f"| {' | '.join(cells)} |"


def _reason(fault: Fault) -> str:
    if fault.reason is None:
        return "nothing to be noticed"
    label = f"`{fault.reason}`" if fault.reason else "one or the other"
    said = f": {fault.message}" if fault.message else ""
    return f"{label}{said}{_SEEN_BY[fault.fate]}"


def _seconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds:.1f} s"
