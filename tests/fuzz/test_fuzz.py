"""The corpus of the fuzzer, changed vectors, and the fuzzer itself for some seconds.

Nothing but the runs of the fuzzer needs atheris.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import msgpack
import pytest
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter import exposition
from maestro_exporter.cluster import Cluster
from maestro_exporter.deliveries import Delivery
from maestro_exporter.ingest import Ingest
from maestro_exporter.notes import (
    MAX_PAYLOAD_BYTES,
    Note,
    NoteError,
    NoteType,
    Reason,
    Reply,
    Sender,
    codec,
    decode,
)
from maestro_exporter.notes.layouts import LAYOUTS
from tests.fuzz import corpus, oracle
from tests.fuzz.mutations import change_bytes, change_objects, cut
from tests.wire_vectors import CODES, V1_4, find_vector, load_vectors, split

ROOT = Path(__file__).parents[2]
T = TypeVar("T")

#: Of each vector, in each of two ways.
MUTANTS = 25
PING = find_vector(V1_4, "ping_response_1").payload


def fuzz(target: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a target by libFuzzer, the same way each time."""
    return python("-m", f"tests.fuzz.fuzz_{target}", "-seed=1", *map(str, arguments))


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=180,
        check=False,
    )


def new_folder(test: SynchronousTestCase) -> Path:
    """Give an empty folder that is gone after the test."""
    folder = tempfile.TemporaryDirectory()
    test.addCleanup(folder.cleanup)
    return Path(folder.name)


def met(check: Callable[[bytes], T], data: bytes, label: str) -> T:
    """Hold an input against a check, and name the input where it breaks something."""
    try:
        return check(data)
    except Exception as error:
        raise AssertionError(f"{label}: {data.hex()} broke: {error!r}") from error


class ReplayTests(SynchronousTestCase):
    """What the fuzzer has found in long runs, without it."""

    def test_corpus(self) -> None:
        """Every input that is kept still meets all that must be true."""
        for target, check in (("notes", oracle.check_payload), ("history", oracle.check_history)):
            for data in corpus.load(target):
                met(check, data, target)

    def test_corpus_is_worth_it(self) -> None:
        """Its payloads come out as each kind of note and each reason; and it is not large."""
        outcomes = [oracle.check_payload(data) for data in corpus.load("notes")]
        kinds = {type(each) for each in outcomes if not isinstance(each, tuple)}
        self.assertEqual(kinds, set(CODES))
        self.assertEqual({each[0] for each in outcomes if isinstance(each, tuple)}, set(Reason))
        self.assertGreater(len(corpus.load("history")), 50)
        for target in corpus.TARGETS:
            self.assertLess(sum(map(len, corpus.load(target))), 75_000, target)

    def test_add(self) -> None:
        """What once broke something is kept beside the rest, each input once."""
        folder = new_folder(self)
        self.patch(corpus, "FOLDER", folder)
        corpus.write("notes", [b"longer", b"short", b"short"])
        corpus.write("notes-broke", [])
        crash = folder / "crash"
        for data in (b"\0\xff", b"\n", b"\0\xff"):
            crash.write_bytes(data)
            corpus.main(["add", "notes", str(crash)])

        self.assertEqual(corpus.read("notes"), [b"short", b"longer"])
        self.assertEqual(corpus.load("notes"), [b"short", b"longer", b"\n", b"\0\xff"])

    def test_places(self) -> None:
        """An input stands for a topic and a payload, which can be larger than the input."""
        for place in oracle.PLACES:
            self.assertEqual(oracle.split_input(oracle.join_input(place, PING)), (place, PING))
        sizes = {len(oracle.split_input(bytes([first]))[1]) for first in range(256)}
        self.assertEqual(min(sizes), 0)
        self.assertEqual(max(sizes), MAX_PAYLOAD_BYTES)


class MutantTests(SynchronousTestCase):
    """Every captured payload, changed in ways that are the same in each run."""

    def test_mutants(self) -> None:
        """With objects or stretches of bytes changed it is a note or none, and no worse."""
        vectors = load_vectors()
        payloads = [vector.payload for vector in vectors]
        notes = refused = 0
        for number, vector in enumerate(vectors):
            for seed in range(number * MUTANTS, (number + 1) * MUTANTS):
                for payload in (
                    change_objects(vector.payload, seed, payloads),
                    change_bytes(vector.payload, seed),
                ):
                    data = oracle.join_input(vector.topic, payload)
                    outcome = met(oracle.check_payload, data, f"{vector.label}, seed {seed}")
                    refused += isinstance(outcome, tuple)
                    notes += not isinstance(outcome, tuple)
        # As many that go far as such that go wrong at once.
        self.assertGreater(notes, 3000)
        self.assertGreater(refused, 3000)

    def test_cut(self) -> None:
        """The objects of a payload are those that it has, and what is broken is the last."""
        for vector in load_vectors():
            self.assertEqual(cut(vector.payload), split(vector.payload), vector.label)
            self.assertEqual(b"".join(cut(vector.payload[:-1])), vector.payload[:-1])
        self.assertEqual(cut(b"\x01\xa9x"), [b"\x01", b"\xa9x"])


class OracleTests(SynchronousTestCase):
    """Planted defects: each is found in an input that meets it."""

    def assert_found(self, expected: str, payload: bytes = PING, first: int = 0) -> None:
        """The payload must break something."""
        with self.assertRaisesRegex((AssertionError, ValueError, UnicodeError), expected):
            oracle.check_payload(bytes([first]) + payload)

    def assert_found_in_history(self, expected: str, data: str) -> None:
        """The history must break something, and nothing without the defect."""
        with self.assertRaisesRegex((AssertionError, ValueError, LookupError), expected):
            oracle.check_history(bytes.fromhex(data))
        self.doCleanups()
        oracle.check_history(bytes.fromhex(data))

    def test_sound(self) -> None:
        """Without a defect there is nothing to find."""
        oracle.check_payload(b"\0" + PING)

    def test_other_exceptions(self) -> None:
        """Whatever is no NoteError comes through."""

        def defective(_objects: object, _topic: str) -> None:
            raise ValueError("planted")

        self.patch(codec, "_read", defective)
        self.assert_found("planted")

    def test_tails(self) -> None:
        """A decoder that keeps what is left of a payload is noticed."""
        unpacker = codec._new_unpacker()
        self.patch(codec, "_new_unpacker", lambda: unpacker)
        self.patch(oracle, "_kept", codec.Decoder())
        for cut_at in range(3, len(PING) - 1):
            self.assert_found("it kept a tail", PING[:cut_at])
            unpacker = codec._new_unpacker()
            self.patch(oracle, "_kept", codec.Decoder())

    def test_errors(self) -> None:
        """A long error, one of two lines and one without a reason are noticed."""
        for text, expected in (("x" * 100, "100 characters"), ("a\nb", "lines"), ("", "0 char")):
            self.patch(codec, "malformed", lambda _, text=text: NoteError(Reason.MALFORMED, text))
            self.assert_found(expected, b"\xc1")

    def test_field_types(self) -> None:
        """A field that holds something else than it says is noticed."""
        key = NoteType.RESPONSE, 10, V1_4
        layout = LAYOUTS[key]
        *readers, (set_elapsed, _) = layout.readers
        changed = layout._replace(readers=(*readers, (set_elapsed, lambda each: str(next(each)))))
        self.patch(codec, "LAYOUTS", {**LAYOUTS, key: changed})
        self.assert_found("PingResponse.elapsed")

    def test_surrogates(self) -> None:
        """A string that is no label is noticed."""

        def unpacker() -> object:
            return msgpack.Unpacker(raw=False, unicode_errors="surrogateescape")

        self.patch(codec, "_new_unpacker", unpacker)
        self.patch(oracle, "_kept", codec.Decoder())
        self.assert_found("surrogates", msgpack.packb(1) + b"\x0b\xa1\xff\xa1x")

    def test_senders(self) -> None:
        """A sender that was remembered of another note is noticed."""
        real, other = codec._read, Sender(id="another", name="another")

        def defective(objects: list[object], topic: str) -> Note:
            note = real(objects, topic)
            return replace(note, sender=other) if isinstance(note, Reply) else note

        self.patch(codec, "_read", defective)
        self.patch(oracle, "_PROBE_SAYS", repr(decode(oracle._PROBE)))
        self.assert_found("another")

    def test_lost_notes(self) -> None:
        """A defect of the cluster, which costs a note, is noticed though Ingest goes on."""

        def defective(*_: object, **__: object) -> None:
            raise LookupError("planted")

        self.patch(Cluster, "_heard", defective)
        self.assert_found_in_history("planted", "00000000")

    def test_pages(self) -> None:
        """A page that is not in the format is noticed."""
        self.patch(exposition, "_escaped", lambda value: value + '"')
        self.assert_found_in_history("not a sample", "00000000")

    def test_lines(self) -> None:
        """A line that quotes the payload is noticed."""

        class Quoting(Ingest):
            def _reject(self, reason: str, delivery: Delivery, error: NoteError) -> None:
                super()._reject(reason, delivery, NoteError(error.reason, "x" * 500))

        self.patch(oracle, "Ingest", Quoting)
        self.assert_found_in_history("characters", "0f00010000c1")


@pytest.mark.long
@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed")
class FuzzerTests(SynchronousTestCase):
    """The fuzzer, from the corpus and from next to nothing."""

    def numbers(self, result: subprocess.CompletedProcess[str]) -> tuple[int, int, int]:
        """Give the places that the seeds reached, those at the end, and how many runs there were.

        Places are the ways between lines of the package, and kinds of outcomes.
        """
        self.assertEqual(result.returncode, 0, result.stderr[-3000:])
        seeds = re.search(r"#\d+\s+INITED cov: (\d+) ", result.stderr)
        end = re.search(r"#\d+\s+DONE\s+cov: (\d+) ", result.stderr)
        runs = re.search(r"^Done (\d+) runs", result.stderr, re.MULTILINE)
        assert seeds, result.stderr[-3000:]
        assert end, result.stderr[-3000:]
        assert runs, result.stderr[-3000:]
        return int(seeds[1]), int(end[1]), int(runs[1])

    def test_from_the_corpus(self) -> None:
        """Some thousand inputs like those of the corpus break nothing."""
        for target, runs, floor in (("notes", 15_000, 740), ("history", 500, 680)):
            folder = new_folder(self)
            corpus.unpack(corpus.load(target), folder)
            reached, _, ran = self.numbers(fuzz(target, f"-runs={runs}", folder))
            self.assertGreaterEqual(ran, runs, target)
            # Less would mean that the corpus is worn out: `python -m tests.fuzz.corpus merge`.
            self.assertGreater(reached, floor, target)

    def test_guidance(self) -> None:
        """From one input it finds the way to others that reach much more."""
        folder = new_folder(self)
        corpus.unpack([oracle.join_input("", PING)], folder)
        before, after, ran = self.numbers(fuzz("notes", "-runs=4000", folder))
        self.assertGreaterEqual(ran, 4000)
        self.assertGreater(after, before + 100)
        self.assertGreater(len(list(folder.iterdir())), 50)

    def test_defect(self) -> None:
        """It finds a planted defect, says so, and keeps the input."""
        folder = new_folder(self)
        corpus.unpack([oracle.join_input("", PING)], folder)
        script = f"""
import sys
from tests.fuzz import fuzz_notes, running
from maestro_exporter.notes import codec, requests

def defective(objects, topic):
    note = read(objects, topic)
    if isinstance(note, requests.SetRequest):
        raise ValueError("planted")
    return note

read, codec._read = codec._read, defective
sys.argv = ["fuzz", "-seed=1", "-runs=50000", "-artifact_prefix={folder}/found-"]
sys.argv.append("{folder}")
running.run(fuzz_notes._check, fuzz_notes._change, longest=4096)
"""
        result = python("-c", script)

        self.assertNotEqual(result.returncode, 0, result.stderr[-3000:])
        self.assertIn("ValueError: planted", result.stdout + result.stderr)
        (found,) = folder.glob("found-crash-*")
        oracle.check_payload(found.read_bytes())  # here there is no such defect
