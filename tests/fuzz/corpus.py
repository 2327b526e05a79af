"""The inputs that are kept, and `python -m tests.fuzz.corpus add|merge`, which changes them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterable
from hashlib import sha1
from pathlib import Path

#: What each input is held against, by the name of its target.
TARGETS = ("notes", "history")
FOLDER = Path(__file__).parent / "corpus"
ROOT = Path(__file__).parents[2]
#: Where runs keep what they find.
FOUND = ROOT / "build" / "fuzz"


def load(target: str) -> list[bytes]:
    """Read the inputs of a target: those that reach much, and those that once broke something."""
    return [*read(target), *read(f"{target}-broke")]


def read(name: str) -> list[bytes]:
    """Read a file of inputs, the shortest first."""
    text = (FOLDER / f"{name}.hex").read_text("ascii")
    return [bytes.fromhex(line) for line in text.splitlines()]


def write(name: str, inputs: Iterable[bytes]) -> None:
    """Write a file of inputs, each once."""
    ordered = sorted(set(inputs) - {b""}, key=lambda each: (len(each), each))
    text = "".join(f"{each.hex()}\n" for each in ordered)
    (FOLDER / f"{name}.hex").write_text(text, "ascii")


def unpack(inputs: Iterable[bytes], folder: Path) -> None:
    """Write each input into a file of its own, as libFuzzer wants them."""
    folder.mkdir(parents=True, exist_ok=True)
    for each in inputs:
        (folder / sha1(each, usedforsecurity=False).hexdigest()).write_bytes(each)


def merge(target: str) -> None:
    """Make the corpus anew: the fewest inputs of it, and of what runs found, that reach as much."""
    with tempfile.TemporaryDirectory() as temporary:
        kept, merged = Path(temporary, "kept"), Path(temporary, "merged")
        unpack(read(target), kept)
        merged.mkdir()
        found = FOUND / target
        found.mkdir(parents=True, exist_ok=True)
        # What a line is reached by counts, and not how often.
        arguments = ["-merge=1", "-use_counters=0", str(merged), str(kept), str(found)]
        subprocess.run(
            [sys.executable, "-m", f"tests.fuzz.fuzz_{target}", *arguments], cwd=ROOT, check=True
        )
        if not any(merged.iterdir()):  # it says so, but with a status of 0
            raise SystemExit(f"libFuzzer could not merge {found}")
        write(target, [each.read_bytes() for each in merged.iterdir()])


def main(arguments: list[str]) -> None:
    """Do what the command line says."""
    match arguments:
        case ["add", target, *files] if target in TARGETS and files:
            name = f"{target}-broke"
            write(name, [*read(name), *(Path(each).read_bytes() for each in files)])
        case ["merge"]:
            for target in TARGETS:
                merge(target)
        case _:
            raise SystemExit(f"add {'|'.join(TARGETS)} FILE...\nmerge")


if __name__ == "__main__":
    main(sys.argv[1:])
