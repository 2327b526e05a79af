"""Flatness: whether memory grows with the notes that have been taken in.

1,000 peers answer round after round, in process; what a poller and a scrape do happens in
between: rounds begin, the silent expire, pages are made.  The resident memory is read after the
first half of the notes and at the end: as it is, and after a garbage collection, which is what
must be flat: the first says when the collector last ran, too.
"""

from __future__ import annotations

import gc
import os
from typing import Any, NamedTuple

from bench.harness import Outcome, Target, in_child, mebibytes, memory_of
from bench.peers import Answers, at
from bench.rendering import rendered
from maestro_exporter.bridge import BATCH_LENGTH
from maestro_exporter.cluster import Cluster
from maestro_exporter.ingest import Ingest
from maestro_exporter.notes import Generation

MOST = 1.0  # MiB


class _Sizes(NamedTuple):
    peers: int
    notes: int


_FULL, _FAST = _Sizes(1000, 1_000_000), _Sizes(50, 5000)
_ROUNDS_PER_PAGE = 10


def run(fast: bool) -> Outcome:
    """Take the notes in."""
    sizes = _FAST if fast else _FULL
    found = in_child(__name__, 150, **sizes._asdict())
    growth = {way: found["end"][way] - found["half"][way] for way in ("as it is", "collected")}
    return Outcome(
        [
            Target(
                f"growth in the second half of {sizes.notes:,} notes",
                growth["collected"] / 2**20,
                MOST,
                at_most=True,
                unit=" MiB",
            )
        ],
        [
            ["resident memory", "after half", "at the end", "growth"],
            *(
                [
                    way,
                    mebibytes(found["half"][way]),
                    mebibytes(found["end"][way]),
                    mebibytes(growth[way]),
                ]
                for way in growth
            ),
        ],
        [f"{sizes.peers:,} peers, {found['rounds']:,} rounds, {found['pages']:,} pages."],
    )


def measure(peers: int, notes: int) -> dict[str, Any]:
    """Give the resident memory in bytes after half of the notes, and after all."""
    second = 0.0
    cluster = Cluster(expiry=30.0, forget=900.0, max_peers=peers)
    ingest = Ingest(cluster, lambda: at(second))
    answers = Answers(peers, BATCH_LENGTH)
    rounds = max(2, notes // (2 * peers))
    found: dict[str, Any] = {"rounds": rounds, "pages": 0}
    for number in range(1, rounds + 1):
        second += 1.0
        correlation_id = f"{number:036}"
        cluster.begin_round(correlation_id, Generation.V1_5, at(second))
        for batch in answers.batches(correlation_id, second):
            ingest.receive(batch)
        cluster.expire(at(second + 0.9))
        if number % _ROUNDS_PER_PAGE == 0:
            rendered(cluster.snapshot())
            found["pages"] += 1
        if number == rounds // 2:
            found["half"] = _memory()
    found["end"] = _memory()
    if ingest.rejected or sum(ingest.received.values()) != 2 * peers * rounds:
        raise RuntimeError(f"not all was taken in: {ingest.received}, {ingest.rejected}")
    return found


def _memory() -> dict[str, int]:
    as_it_is = memory_of(os.getpid())
    gc.collect()
    return {"as it is": as_it_is, "collected": memory_of(os.getpid())}
