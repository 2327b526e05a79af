"""Calls `measure` of a benchmark's module in this process: `python -m bench.child MODULE`.

Its arguments come as a line of JSON on standard input, and so goes what it gives.
"""

from __future__ import annotations

import importlib
import json
import sys


def main() -> None:
    """Measure once."""
    measure = importlib.import_module(sys.argv[1]).measure
    arguments = json.loads(sys.stdin.readline())
    sys.stdout.write(json.dumps(measure(**arguments)) + "\n")


if __name__ == "__main__":
    main()
