"""What one peer costs: in a large cluster as compared with a small one.

Three things are timed: rendering a snapshot, taking the snapshot, and the intake of real
payloads (decode, apply, count) when all peers are known.  The small and the large cluster live
in processes of their own, which take turns: in one process, the small one would pay for the
garbage collections of the large one.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from bench.harness import FEW, MANY, Outcome, Target, best_times, in_child, median_ratio
from bench.peers import Answers, at, filled_cluster
from bench.rendering import rendered
from maestro_exporter.bridge import BATCH_LENGTH
from maestro_exporter.cluster import Cluster
from maestro_exporter.ingest import Ingest
from maestro_exporter.notes import Generation

MOST = 1.3  # times the cost


class _Sizes(NamedTuple):
    few: int
    many: int
    notes: int
    turns: int


_FULL, _FAST = _Sizes(FEW, MANY, 4 * MANY, 3), _Sizes(10, 50, 400, 1)
_STEPS = ("rendering", "snapshot", "intake")
_UNITS = {"rendering": "peer", "snapshot": "peer", "intake": "note"}


def run(fast: bool) -> Outcome:
    """Compare a small and a large cluster."""
    sizes = _FAST if fast else _FULL
    found: dict[str, list[tuple[float, float]]] = {step: [] for step in _STEPS}
    for _ in range(sizes.turns):
        small = in_child(__name__, 60, peers=sizes.few, notes=sizes.notes)
        large = in_child(__name__, 60, peers=sizes.many, notes=sizes.notes)
        for step in _STEPS:
            found[step].append((large[step], small[step]))
    ratios = {step: median_ratio(pairs) for step, pairs in found.items()}
    clusters = f"{sizes.many:,} ÷ {sizes.few:,} peers"
    return Outcome(
        [
            Target(f"{step} per {_UNITS[step]}, {clusters}", ratios[step], MOST, at_most=True)
            for step in ("rendering", "intake")
        ],
        [
            ["step", f"at {sizes.few:,} peers", f"at {sizes.many:,} peers", "ratio"],
            *(
                [
                    step,
                    f"{min(few for _, few in found[step]) * 1e6:.2f} µs/{_UNITS[step]}",
                    f"{min(many for many, _ in found[step]) * 1e6:.2f} µs/{_UNITS[step]}",
                    f"{ratios[step]:.2f}",
                ]
                for step in _STEPS
            ),
        ],
    )


def measure(peers: int, notes: int) -> dict[str, Any]:
    """Give the seconds that each step takes per peer, or per note."""
    cluster = filled_cluster(peers)
    snapshot = cluster.snapshot()
    turns = max(1, notes // peers // 2)  # as much work for few peers as for many
    [rendering] = best_times(lambda: rendered(snapshot), repetitions=3 * turns)
    return {
        "rendering": rendering / peers,
        "snapshot": _snapshot(cluster, turns) / peers,
        "intake": _intake(peers, notes),
    }


def _snapshot(cluster: Cluster, turns: int) -> float:
    """Give the best time of taking a snapshot, seconds."""
    best = float("inf")
    for turn in range(3 * turns):
        cluster.link_changed(at(100.0 + turn), up=True)  # else it would be the one before
        start = time.perf_counter()
        cluster.snapshot()
        best = min(best, time.perf_counter() - start)
    return best


def _intake(peers: int, notes: int) -> float:
    """Give the best mean time of a note in seconds, out of five times so many notes."""
    cluster = Cluster(expiry=3600.0, forget=7200.0, max_peers=peers)
    second = 0.0
    ingest = Ingest(cluster, lambda: at(second))
    answers = Answers(peers, BATCH_LENGTH)
    best = float("inf")
    rounds = max(1, notes // (2 * peers))
    for turn in range(6):  # the first one makes the peers known
        spent = 0.0
        for _ in range(rounds):
            second += 1.0
            correlation_id = f"{second:036}"
            cluster.begin_round(correlation_id, Generation.V1_5, at(second))
            for batch in list(answers.batches(correlation_id, second)):
                start = time.perf_counter()
                ingest.receive(batch)
                spent += time.perf_counter() - start
        if turn:
            best = min(best, spent / (rounds * 2 * peers))
    if ingest.rejected or ingest.received["ping"] != 6 * rounds * peers:
        raise RuntimeError(f"not all was taken in: {ingest.received}, {ingest.rejected}")
    return best
