"""Fuzzing of what comes from the broker: from bytes to notes, and from histories to pages.

`oracle` says what must be true of any input; `fuzz_notes` and `fuzz_history` let libFuzzer (by
way of atheris) look for one of which it is not, guided by the lines of the package that it
reaches.  What it has found so far is in `corpus/`, and each run of the tests replays it.

    make fuzz                         5 minutes; FUZZ_SECONDS=3600 make fuzz
    python -m tests.fuzz              the same; says what is new and what broke, keeps both
    python -m tests.fuzz.fuzz_notes   one target, with libFuzzer's own options and folders

All that a run finds stays in `build/fuzz/`, and the next one goes on from there.  An input that
breaks something is a file `build/fuzz/NAME-crash-*` (or `-timeout-*`, `-oom-*`), and the run
exits with a status other than 0.  Then

    python -m tests.fuzz.fuzz_notes build/fuzz/notes-crash-...   shows the traceback again
    python -m tests.fuzz.corpus add notes build/fuzz/notes-crash-...

and once it is mended the tests have it for good.  `python -m tests.fuzz.corpus merge` makes the
corpus anew from itself and `build/fuzz/`: the fewest and shortest inputs that reach as much.

The corpus is one text file for each target, an input in hexadecimal on each line, the shortest
first.  libFuzzer would have a file for each; as lines they can be read in a diff, need no
attributes to stay as they are, and hundreds of tiny files do not hide the tests.
"""
