"""`python -m tests.fuzz.fuzz_notes [libFuzzer's options] [folders or files]`: one payload each."""

from __future__ import annotations

import re

from tests.fuzz.running import Marks, instrumented, run

with instrumented():
    from maestro_exporter.notes import Note
    from tests.fuzz import oracle
    from tests.fuzz.mutations import change_objects
    from tests.wire_vectors import load_vectors


def _change(data: bytes, seed: int) -> bytes:
    """Change some objects of the payload, and seldom where it comes or what is behind it."""
    first = data[:1] or b"\0"
    if seed % 32 == 0:
        first = bytes([seed >> 5 & 255])
    return first + change_objects(data[1:], seed, _PAYLOADS)


def _check(data: bytes) -> None:
    outcome = oracle.check_payload(data)
    if isinstance(outcome, Note):
        # Which note, and which of its fields that may be missing are there.
        missing = [getattr(outcome, name) is None for name in outcome.__dataclass_fields__]
        _MARKS.reached(f"{type(outcome).__name__} {outcome.generation} {missing}")
    else:
        # What was wrong with it, and as which note it began.
        reason, text = outcome
        begins = data[1:3].hex() if data[1:3] in _BEGINNINGS else ""
        _MARKS.reached(f"{reason} {re.sub('[0-9]+', '', text)} {begins}")


_PAYLOADS = [vector.payload for vector in load_vectors()]
_BEGINNINGS = frozenset(payload[:2] for payload in _PAYLOADS)
_MARKS = Marks()

if __name__ == "__main__":
    run(_check, _change, longest=4096)
