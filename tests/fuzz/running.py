"""Runs a target under libFuzzer; what both targets share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from shlex import quote

import atheris

#: Seconds for one input, and MiB for the process: more is a finding.
LIMITS = ("-timeout=10", "-rss_limit_mb=1024")

#: Kinds of outcomes that are told apart; there are some 800, and any more share the last mark.
MARKS = 1024

Check = Callable[[bytes], object]
Change = Callable[[bytes, int], bytes]


def instrumented() -> AbstractContextManager[None]:
    """Let what is imported within tell libFuzzer which of its lines are reached."""
    guard: AbstractContextManager[None] = atheris.instrument_imports(include=["maestro_exporter"])
    return guard


class Marks:
    """Lets libFuzzer tell outcomes apart that are reached by way of the same lines.

    The codec reads all notes alike, by tables.  So each kind of outcome gets a function that
    does nothing, and is called.
    """

    def __init__(self) -> None:
        self._functions = [atheris.instrument_func(lambda: None) for _ in range(MARKS)]
        self._numbers: dict[str, int] = {}

    def reached(self, outcome: str) -> None:
        """Say that there was an outcome of that kind."""
        number = self._numbers.setdefault(outcome, len(self._numbers))
        self._functions[min(number, MARKS - 1)]()


def run(check: Check, change: Change, longest: int) -> None:
    """Hand inputs to a check as the command line says, until one breaks something.

    Args:
        check: raises for an input that breaks something.
        change: changes an input, by a seed; every second one is changed by libFuzzer itself.
        longest: bytes that an input may have.
    """

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        if seed % 2:
            changed: bytes = atheris.Mutate(data, most)
            return changed
        return change(data, seed)[:most]

    # By this libFuzzer starts itself again, where one of its options wants that.
    main = sys.modules["__main__"].__spec__
    itself = f"{quote(sys.executable)} -m {main.name}" if main is not None else sys.argv[0]
    options = [*LIMITS, f"-max_len={longest}", *sys.argv[1:]]  # of two alike the last one counts
    atheris.Setup([itself, *options], check, custom_mutator=mutate)
    atheris.Fuzz()
