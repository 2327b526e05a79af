"""`make fuzz`: each target for a while, from the corpus and what earlier runs have found."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.corpus import FOUND, ROOT, TARGETS, load, unpack


def run(target: str, seconds: int) -> int:
    """Run a target for so long; give its status, which is 0 unless it found a defect."""
    found = FOUND / target
    found.mkdir(parents=True, exist_ok=True)
    before = len(list(found.iterdir()))
    with tempfile.TemporaryDirectory() as corpus:
        unpack(load(target), Path(corpus))
        status = subprocess.run(
            [
                *("nice", sys.executable, "-m", f"tests.fuzz.fuzz_{target}"),
                f"-max_total_time={seconds}",
                f"-artifact_prefix={FOUND}/{target}-",
                "-print_final_stats=1",
                *(str(found), corpus),
            ],
            cwd=ROOT,
            check=False,
        ).returncode
    new = len(list(found.iterdir())) - before
    outcome = "nothing broke" if status == 0 else f"status {status}: see {FOUND}/{target}-*"
    sys.stdout.write(f"{target}: {outcome}; {new} new inputs in {found}\n")
    return status


def main() -> None:
    """Run all targets, each for its share of FUZZ_SECONDS."""
    seconds = int(os.environ.get("FUZZ_SECONDS") or 300)
    statuses = [run(target, max(1, seconds // len(TARGETS))) for target in TARGETS]
    raise SystemExit(1 if any(statuses) else 0)


if __name__ == "__main__":
    main()
