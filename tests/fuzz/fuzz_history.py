"""`python -m tests.fuzz.fuzz_history [libFuzzer's options] [folders or files]`: histories.

Each input is a history of a cluster: deliveries, rounds, pauses, scrapes.
"""

from __future__ import annotations

from tests.fuzz.running import instrumented, run

with instrumented():
    from tests.fuzz import oracle
    from tests.fuzz.mutations import change_steps


def _change(data: bytes, seed: int) -> bytes:
    return change_steps(data, seed, oracle.STEP)


if __name__ == "__main__":
    run(oracle.check_history, _change, longest=oracle.MOST_STEPS * oracle.STEP)
