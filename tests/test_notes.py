"""The Maestro wire codec, held against captured payloads and against hostile ones."""

from __future__ import annotations

import dataclasses
import math
import struct
import time
import tracemalloc
from typing import Any

import msgpack
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.notes import (
    COMMANDS,
    MAX_OBJECTS,
    MAX_PAYLOAD_BYTES,
    MAX_WORD_LENGTH,
    ErrorCode,
    Generation,
    Note,
    NoteError,
    Reason,
    Reply,
    Role,
    Sender,
    SystemUnderTest,
    Test,
    Topic,
    decode,
    encode,
    requests,
)
from maestro_exporter.notes import replies as r
from tests.wire_vectors import (
    CODES,
    ONLY_IN,
    TOPICS,
    V1_3,
    V1_4,
    V1_5,
    Vector,
    as_text,
    as_vector,
    boundaries,
    find_vector,
    load_vectors,
    pack_int,
    repack_ints,
    repack_strings,
    split,
)

#: The topics of section 6 that requests travel on, by what they say of the generation.
OLD_TOPICS = ("/mpt/daemon", "/mpt/daemon/sender", "/mpt/daemon/receiver", "/mpt/daemon/agent")
NEW_TOPICS = ("/mpt/peer", "/mpt/peer/worker", "/mpt/peer/by-role/sender", "/mpt/peer/by-id/x")
REPLY_TOPICS = ("/mpt/maestro", "/mpt/notifications", "/mpt/logs", "")

#: Every command code of any generation.
KNOWN_CODES = {*range(20), 21, 30, 40, 41, 42, 50, 51, 60, 61, 70}

_HEADER: dict[Generation, list[str | int]] = {
    V1_3: ["id", "name"],
    V1_4: ["corr", "msg", "id", "name"],
    V1_5: ["corr", "msg", "id", "member", "group", 1, "name", "host"],
}
_OLD_SENDER = Sender(id="id", name="name")
_SENDERS = {
    V1_3: _OLD_SENDER,
    V1_4: _OLD_SENDER,
    V1_5: Sender(
        id="id", name="name", host="host", role=Role.SENDER, member="member", group="group"
    ),
}


def _pack(*objects: Any) -> bytes:
    """Concatenate objects as upstream's packer does."""
    return b"".join(msgpack.packb(each) for each in objects)


def _changed(note: Note, **fields: Any) -> Note:
    """Give the note with other values in some fields."""
    return dataclasses.replace(note, **fields)


def _reply(generation: Generation, kind: int, code: int, *body: Any) -> bytes:
    return _pack(kind, code, *_HEADER[generation], *body)


def _heard(kind: type[Reply], generation: Generation, **fields: Any) -> Note:
    """Give the note that `_reply` packs."""
    ids = {} if generation is V1_3 else {"correlation_id": "corr", "message_id": "msg"}
    return kind(generation=generation, sender=_SENDERS[generation], **ids, **fields)


#: Captured payloads that objects behind them spoil.
_OPTIONAL = "its last field may be left out, and what comes next is taken for it"
NOT_IGNORED = {
    "1.3 abnormal_disconnect_java": _OPTIONAL,
    "1.3 agent_source": _OPTIONAL,
    "1.3 user_command_request_no_payload": _OPTIONAL,
    "1.3 log_request_last_success": _OPTIONAL,
    "1.4 abnormal_disconnect_java": _OPTIONAL,
    "1.4 agent_source": _OPTIONAL,
    "1.4 user_command_request_no_payload": _OPTIONAL,
    "1.4 log_request_last_success": _OPTIONAL,
    "1.5 agent_source": _OPTIONAL,
    "1.5 user_command_request_no_payload": _OPTIONAL,
    "1.5 log_request_last_success": _OPTIONAL,
    "1.5 legacy_abnormal_disconnect": _OPTIONAL,
    "1.5 legacy_group_join": _OPTIONAL,
    "1.5 legacy_stop_test": _OPTIONAL,
    "1.4 start_receiver": "with anything behind the ids it counts as START_WORKER of 1.5",
    "1.4 start_sender": "with anything behind the ids it counts as START_TEST of 1.5",
}

#: Commands that say nothing behind their header, or may.  Cut within the header one of
#: these still is a note, of an older generation with a shorter header.
HEADER_IS_ENOUGH = frozenset(
    {
        *("OK", "PROTOCOL_ERROR", "INTERNAL_ERROR"),
        *("STATS", "HALT", "FLUSH", "STOP_INSPECTOR", "START_AGENT", "STOP_AGENT"),
        *("START_RECEIVER", "STOP_RECEIVER", "START_SENDER", "STOP_SENDER"),
        *("START_WORKER", "STOP_WORKER", "START_TEST", "STOP_TEST"),  # the same codes
    }
)

#: Fields that the wire may leave out in any generation, so that None says something.
MAY_BE_NONE = {
    *((r.AbnormalDisconnect, "message"), (requests.GroupJoin, "info")),
    *((requests.StartInspector, "payload"), (requests.StartTest, "execution")),
    *((requests.AgentSource, "branch"), (requests.UserCommandRequest, "payload")),
    (requests.LogRequest, "type_name"),
}


class NotesTestCase(SynchronousTestCase):
    """Has the assertions that the tests below share."""

    def assert_refused(
        self, reason: Reason, payload: bytes, label: str = "", topic: str = ""
    ) -> NoteError:
        """The payload must be no note, for that reason."""
        try:
            note = decode(payload, topic)
        except NoteError as error:
            self.assertEqual((error.reason, label), (reason, label))
            return error
        return self.fail(f"{label or payload[:40].hex()} was taken for {note!r:.300}")

    def assert_unsayable(self, note: Note, label: str) -> None:
        """The note must be refused with ValueError."""
        try:
            packed = encode(note)
        except ValueError:
            return
        self.fail(f"{label}: {note!r:.300} was sent as {packed[:300].hex()}")

    def assert_same(self, got: Note, wanted: Note, label: str = "") -> None:
        """The notes must be the same, NaN and the sign of zero included."""
        self.assertEqual(repr(got), repr(wanted), label)
        self.assertIs(type(got), type(wanted), label)


class VectorTests(NotesTestCase):
    """All captured payloads, both ways."""

    def test_count(self) -> None:
        """No vector is lost: there are 314, and each note there is stands in one of them."""
        vectors = load_vectors()
        self.assertEqual(len(vectors), 314)
        self.assertEqual(
            [len([v for v in vectors if v.generation is each]) for each in Generation],
            [93, 96, 125],
        )
        seen = {(type(decode(v.payload, v.topic)), v.generation) for v in vectors}
        there_are = {
            (kind, each) for kind in CODES for each in ONLY_IN.get(kind, tuple(Generation))
        }
        self.assertEqual(seen, there_are)

    def test_decode(self) -> None:
        """Each payload gives exactly the fields that upstream put into it, in their order."""
        for vector in load_vectors():
            note = decode(vector.payload, vector.topic)
            self.assertIs(note.generation, vector.generation, vector.label)
            self.assertEqual(as_text(as_vector(note)), as_text(vector.note), vector.label)

    def test_fields_of_other_generations_are_none(self) -> None:
        """What a generation does not say is None and nothing made up."""
        absent: dict[tuple[type[Note], Generation], tuple[str, ...]] = {
            (r.StatsResponse, V1_5): ("role",),
            (r.InternalError, V1_3): ("error_code", "message"),
            (r.InternalError, V1_4): ("error_code",),
            (r.TestSuccess, V1_3): ("test",),
            (r.TestSuccess, V1_4): ("test",),
            (r.TestFailure, V1_3): ("test",),
            (r.TestFailure, V1_4): ("test",),
            (r.LogResponse, V1_3): ("file_count", "file_index"),
            (r.LogResponse, V1_4): ("file_count", "file_index"),
            (requests.DrainRequest, V1_4): ("worker_name",),
        }
        for vector in load_vectors():
            note = decode(vector.payload, vector.topic)
            for name in absent.get((type(note), vector.generation), ()):
                self.assertIsNone(getattr(note, name), f"{vector.label} {name}")

    def test_encode(self) -> None:
        """Each note gives back the bytes that upstream made."""
        for vector in load_vectors():
            packed = encode(decode(vector.payload, vector.topic))
            self.assertEqual(packed.hex(), vector.payload.hex(), vector.label)

    def test_commands(self) -> None:
        """Each note's word is in the closed set to count by, and replies have one of their own."""
        for vector in load_vectors():
            note = decode(vector.payload, vector.topic)
            self.assertIn(note.command, COMMANDS, vector.label)
            self.assertEqual(note.command == "other", not isinstance(note, Reply), vector.label)
        self.assertEqual(len(set(COMMANDS)), len(COMMANDS))


class TruncationTests(NotesTestCase):
    """All captured payloads, cut short at every byte."""

    def test_within_an_object(self) -> None:
        """A payload that ends within an object is malformed."""
        cuts = 0
        for vector in load_vectors():
            whole = set(boundaries(vector.payload))
            for cut in range(len(vector.payload)):
                if cut not in whole:
                    cuts += 1
                    short = vector.payload[:cut]
                    label = f"{vector.label} cut at {cut}"
                    self.assert_refused(Reason.MALFORMED, short, label, vector.topic)
        self.assertGreater(cuts, 40_000)

    def test_between_objects(self) -> None:
        """A payload that ends between objects is malformed, or a complete note by itself.

        Complete: the note says exactly these bytes.  Two kinds of notes that need
        nothing behind their header are less exact, because objects after a note are
        ignored and because some error answers need no header at all.
        """
        for vector in load_vectors():
            for cut in boundaries(vector.payload)[:-1]:
                short = vector.payload[:cut]
                label = f"{vector.label} cut at {cut}"
                try:
                    note = decode(short, vector.topic)
                except NoteError as error:
                    self.assertIs(error.reason, Reason.MALFORMED, label)
                    continue
                self.assert_is_cut(note, short, vector, label)

    def assert_is_cut(self, note: Note, short: bytes, vector: Vector, label: str) -> None:
        """The note must be what the cut payload says, or its beginning."""
        name = vector.note["command"]["name"].removeprefix("MAESTRO_NOTE_")
        if isinstance(note, Reply) and note.sender is None:
            self.assertIn(name, ("OK", "PROTOCOL_ERROR", "INTERNAL_ERROR"), label)
            self.assertLess(len(split(short)), 4, label)
            return
        packed = encode(note)
        if packed != short:
            self.assertIn(name, HEADER_IS_ENOUGH, label)
            self.assertEqual(split(packed), split(short)[:-1], label)

    def test_measures(self) -> None:
        """A STATS, PING or LOG answer cut anywhere is malformed, never one with less in it."""
        for vector in load_vectors():
            if vector.note["type_code"] in (1, 3) and vector.note["command"]["code"] in (8, 10, 40):
                for cut in range(len(vector.payload)):
                    label = f"{vector.label} cut at {cut}"
                    self.assert_refused(Reason.MALFORMED, vector.payload[:cut], label, vector.topic)


class TrailingObjectTests(NotesTestCase):
    """All captured payloads, with something behind them."""

    # Nil first: the generation is told by the number of strings behind the codes, and
    # by an integer behind five.  A string behind a note that ends in strings, or an
    # integer behind a 1.4 note that ends in its fifth, would say another generation.
    TAIL = _pack(None, 7, "more", True, 1.5)

    def test_ignored(self) -> None:
        """Objects behind a note do not change it, but for the listed ones, which they spoil."""
        listed = set(NOT_IGNORED)
        for vector in load_vectors():
            payload = vector.payload + self.TAIL
            if vector.label in listed:
                listed.remove(vector.label)
                self.assert_refused(Reason.MALFORMED, payload, vector.label, vector.topic)
            else:
                note = decode(payload, vector.topic)
                self.assertEqual(
                    as_text(as_vector(note)), as_text(vector.note), f"{vector.label} with a tail"
                )
        self.assertEqual(listed, set())

    def test_integer_behind_five_strings(self) -> None:
        """A 1.4 note of five strings with an integer behind counts as a broken 1.5 one."""
        for kind, code in ((1, 13), (1, 30), (2, 14), (2, 15), (2, 16)):
            payload = _reply(V1_4, kind, code, "message")
            self.assertIs(decode(payload).generation, V1_4, str(code))
            self.assertIs(decode(payload + _pack(None, 7)).generation, V1_4, str(code))
            self.assert_refused(Reason.MALFORMED, payload + _pack(7), str(code))

    def test_broken(self) -> None:
        """Behind a note there must be whole objects: half a one spoils it."""
        for vector in load_vectors():
            for tail in (b"\xa4mor", b"\xcb\x00", b"\xc1"):
                self.assert_refused(
                    Reason.MALFORMED, vector.payload + tail, vector.label, vector.topic
                )


class ToleranceTests(NotesTestCase):
    """Payloads that say the same in other bytes, and peers that bend the rules."""

    def assert_means(self, payload: bytes, vector: Vector, how: str) -> None:
        """The payload must mean the vector's note."""
        note = decode(payload, vector.topic)
        self.assertEqual(as_text(as_vector(note)), as_text(vector.note), f"{vector.label} {how}")

    def test_integer_widths(self) -> None:
        """An integer may come in any format that holds it."""
        for vector in load_vectors():
            for width in (0xCC, 0xCD, 0xCE, 0xCF, 0xD0, 0xD1, 0xD2, 0xD3):
                payload = repack_ints(vector.payload, width)
                self.assertNotEqual(payload, vector.payload, vector.label)
                self.assert_means(payload, vector, f"with integers as {width:#x}")

    def test_string_widths(self) -> None:
        """A string may come with a length of any size, and as binary data."""
        for vector in load_vectors():
            for head in (0xDA, 0xDB, 0xC5, 0xC6):
                payload = repack_strings(vector.payload, head)
                self.assert_means(payload, vector, f"with strings as {head:#x}")

    def test_float32(self) -> None:
        """A rate or latency may come in single precision."""
        for name in ("stats_idle_sender", "stats_receiver_latency", "stats_rate_infinity"):
            for generation in Generation:
                vector = find_vector(generation, name)
                *before, rate, latency = split(vector.payload)
                for value in (1.5, -0.0, math.nan, math.inf):
                    single = b"\xca" + struct.pack(">f", value)
                    double = b"\xcb" + struct.pack(">d", value)
                    short = decode(b"".join([*before, single, latency]))
                    long = decode(b"".join([*before, double, latency]))
                    self.assert_same(short, long, vector.label)
                    short = decode(b"".join([*before, rate, single]))
                    long = decode(b"".join([*before, rate, double]))
                    self.assert_same(short, long, vector.label)

    def test_unsigned_elapsed(self) -> None:
        """A C peer's unsigned elapsed time of 2^63 or more is a negative one."""
        for generation in Generation:
            for packed, wanted in (
                ("cf7fffffffffffffff", 2**63 - 1),
                ("cf8000000000000000", -(2**63)),
                ("cfffffffffffffffff", -1),
                ("cffffffffffffffc18", -1000),
            ):
                note = decode(_reply(generation, 1, 10) + bytes.fromhex(packed))
                self.assertEqual(note, _heard(r.PingResponse, generation, elapsed=wanted))

    def test_other_unsigned_integers(self) -> None:
        """Only elapsed times wrap: a count of 2^63 is out of range."""
        vector = find_vector(V1_4, "stats_idle_sender")
        objects = split(vector.payload)
        for index in (6, 9, 11):  # child_count, stats_type, count
            spoilt = objects.copy()
            spoilt[index] = b"\xcf\x80" + bytes(7)
            self.assert_refused(Reason.MALFORMED, b"".join(spoilt), f"object {index}")

    def test_invalid_utf8(self) -> None:
        """Bytes that are no UTF-8 become U+FFFD, in a string and in binary data."""
        for head in (b"\xa3", b"\xc4\x03"):
            payload = _pack(1, 10) + head + b"a\xff\xfe" + _pack("name", 5)
            note = decode(payload)
            self.assertEqual(
                note,
                r.PingResponse(
                    generation=V1_3, sender=Sender(id="a\ufffd\ufffd", name="name"), elapsed=5
                ),
            )

    def test_unknown_role(self) -> None:
        """A role that 1.5.5 does not know is OTHER."""
        for code in (7, -1, 2**31 - 1, -(2**31)):
            payload = _pack(1, 11, "corr", "msg", "id", "", "all", code, "name", "host")
            note = decode(payload)
            assert isinstance(note, r.OkResponse)
            self.assertEqual(
                note.sender,
                Sender(id="id", name="name", host="host", role=Role.OTHER, group="all"),
                str(code),
            )

    def test_unknown_error_code(self) -> None:
        """An error code that 1.5.5 does not know is UNSPECIFIED."""
        for code in (5, -1, 11):
            self.assertEqual(
                decode(_reply(V1_5, 1, 13, code, "boom")),
                _heard(r.InternalError, V1_5, error_code=ErrorCode.UNSPECIFIED, message="boom"),
            )

    def test_unknown_numbers(self) -> None:
        """Options and log locations that nobody has are passed on as they are."""
        self.assertEqual(
            decode(_pack(0, 7, 99, "v")), requests.SetRequest(generation=V1_3, option=99, value="v")
        )
        self.assertEqual(
            decode(_pack(0, 40, 9)), requests.LogRequest(generation=V1_3, location_type=9)
        )

    def test_agent_without_identity(self) -> None:
        """An agent's INTERNAL_ERROR with empty id and name is a note from an empty sender."""
        nobody = Sender(id="", name="")
        self.assertEqual(
            decode(_pack(1, 13, "", "")), r.InternalError(generation=V1_3, sender=nobody)
        )
        self.assertEqual(
            decode(_pack(1, 13, "corr", "msg", "", "", "boom")),
            r.InternalError(
                generation=V1_4,
                correlation_id="corr",
                message_id="msg",
                sender=nobody,
                message="boom",
            ),
        )

    def test_protocol_error(self) -> None:
        """PROTOCOL_ERROR has the sender of its header."""
        for generation in Generation:
            self.assertEqual(decode(_reply(generation, 1, 12)), _heard(r.ProtocolError, generation))

    def test_answers_without_header(self) -> None:
        """OK and the errors are notes without a sender when their header is left out."""
        kinds: tuple[tuple[int, type[r.Response]], ...] = (
            (11, r.OkResponse),
            (12, r.ProtocolError),
            (13, r.InternalError),
        )
        for code, kind in kinds:
            for rest in ((), (None,), (5, "name"), ("id",), ("id", None)):
                note = decode(_pack(1, code, *rest))
                self.assertEqual(note, kind(generation=V1_3, sender=None), f"{code} {rest}")

    def test_other_answers_need_a_header(self) -> None:
        """No other reply is a note when its header is left out or spoilt."""
        for kind, code in ((1, 8), (1, 10), (1, 17), (1, 30), (1, 40), (2, 14), (2, 15), (2, 16)):
            for rest in ((), (None,), (5, "name"), ("id",), ("id", None)):
                self.assert_refused(Reason.MALFORMED, _pack(kind, code, *rest), f"{code} {rest}")

    def test_abnormal_disconnect(self) -> None:
        """ABNORMAL_DISCONNECT comes with a message and without, in each generation."""
        for generation in Generation:
            for body, message in (((), None), (("",), ""), (("gone",), "gone")):
                payload = _reply(generation, 2, 14, *body)
                note = _heard(r.AbnormalDisconnect, generation, message=message)
                self.assertEqual(decode(payload), note)
                self.assertEqual(encode(note), payload)

    def test_optional_fields(self) -> None:
        """A request's last field may be left out in each generation that has it."""
        for ids in ((), ("corr", "msg")):
            for code, before in ((4, ()), (21, ("url",)), (30, (1,)), (40, (0,))):
                short = decode(_pack(0, code, *ids, *before), Topic.DAEMONS)
                long = decode(_pack(0, code, *ids, *before, "last"), Topic.DAEMONS)
                (name,) = [
                    each.name
                    for each in dataclasses.fields(long)
                    if getattr(long, each.name) == "last"
                ]
                self.assertIsNone(getattr(short, name))
                self.assertEqual(_changed(short, **{name: "last"}), long)

    def test_command_beyond_32_bits(self) -> None:
        """Commands are looked up by their low 32 bits, as upstream does."""
        wanted = _heard(r.PingResponse, V1_4, elapsed=5)
        for code in (10, 2**32 + 10, 10 - 2**32):
            self.assertEqual(decode(_reply(V1_4, 1, code, 5)), wanted)

    def test_wrong_kinds(self) -> None:
        """No object is taken for another kind: true is no 1, 1 no 1.0, nil no string."""
        strangers = (None, True, 1, 1.5, "text", b"data")
        fits = {
            int: (int,),
            float: (float,),
            bool: (bool,),
            str: (str, bytes),
            bytes: (bytes,),
        }
        for name in ("stats_busy_sender", "drain_complete_true", "log_response", "ping_response_1"):
            for generation in Generation:
                if generation is V1_3 and name == "drain_complete_true":
                    continue
                vector = find_vector(generation, name)
                objects = split(vector.payload)
                first = {V1_3: 4, V1_4: 6, V1_5: 10}[generation]
                for index in range(first, len(objects)):
                    kind = type(msgpack.unpackb(objects[index]))
                    for stranger in strangers:
                        if type(stranger) in fits[kind]:
                            continue
                        spoilt = objects.copy()
                        spoilt[index] = _pack(stranger)
                        self.assert_refused(
                            Reason.MALFORMED,
                            b"".join(spoilt),
                            f"{vector.label} object {index} as {stranger!r}",
                        )

    def test_ranges(self) -> None:
        """An integer is taken up to the ends of its field's range and refused beyond."""
        for label, index, bits in (
            ("1.3 stats_idle_sender", 4, 32),  # child_count
            ("1.3 stats_idle_sender", 7, 16),  # stats_type
            ("1.3 stats_idle_sender", 9, 64),  # count
            ("1.5 stats_idle_sender", 7, 32),  # role
            ("1.5 stats_idle_sender", 10, 32),
            ("1.5 stats_idle_sender", 12, 16),
            ("1.5 stats_idle_sender", 14, 64),
            ("1.5 ping_response_1", 10, 64),  # elapsed, below only
            ("1.5 internal_error", 10, 32),  # error_code
            ("1.5 get_response", 10, 64),  # option
            ("1.5 test_started", 10, 32),  # test number
            ("1.5 test_started", 11, 32),  # test iteration
            ("1.5 start_test_with_sut", 11, 32),  # sut_id
            ("1.5 log_response", 14, 32),  # index
            ("1.5 log_response", 15, 32),  # total
            ("1.5 log_response", 16, 64),  # file_size
            ("1.5 ping_request", 4, 64),  # sec
            ("1.5 ping_request", 5, 64),  # usec
        ):
            (vector,) = [each for each in load_vectors() if each.label == label]
            objects = split(vector.payload)
            low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
            for value in (low, high):
                objects[index] = _pack(value)
                decode(b"".join(objects), vector.topic)
            for value in (low - 1, high + 1):
                packed = pack_int(value, 0xD3) or pack_int(value, 0xCF)
                if packed and "ping_response" not in label:
                    objects[index] = packed
                    self.assert_refused(
                        Reason.MALFORMED,
                        b"".join(objects),
                        f"{label} object {index} as {value}",
                        vector.topic,
                    )


class BoundsTests(NotesTestCase):
    """Payloads that want too much."""

    def test_payload_size(self) -> None:
        """A payload of MAX_PAYLOAD_BYTES is looked at; one byte more is oversized."""
        before = _reply(V1_4, 2, 15)
        text = b"x" * (MAX_PAYLOAD_BYTES - len(before) - 5)
        payload = before + b"\xdb" + len(text).to_bytes(4, "big") + text
        self.assertEqual(len(payload), MAX_PAYLOAD_BYTES)
        self.assertEqual(decode(payload), _heard(r.TestFailure, V1_4, message=text.decode()))
        self.assert_refused(Reason.OVERSIZED, payload + b"\xc0")
        self.assert_refused(Reason.OVERSIZED, bytes(MAX_PAYLOAD_BYTES + 1))

    def test_number_of_objects(self) -> None:
        """MAX_OBJECTS objects are read; one more is oversized."""
        full = _pack(0, 8, *[None] * (MAX_OBJECTS - 2))
        self.assertEqual(decode(full), requests.StatsRequest(generation=V1_3))
        self.assert_refused(Reason.OVERSIZED, full + b"\xc0")
        self.assert_refused(Reason.OVERSIZED, bytes(MAX_PAYLOAD_BYTES))
        longest = max(len(split(vector.payload)) for vector in load_vectors())
        self.assertLess(longest, MAX_OBJECTS)

    def test_identity_strings(self) -> None:
        """A string of the header may have MAX_WORD_LENGTH characters; more is oversized."""
        longest, longer = "\xe9" * MAX_WORD_LENGTH, "\xe9" * (MAX_WORD_LENGTH + 1)
        for generation, header in _HEADER.items():
            for index, each in enumerate(header):
                if type(each) is int:
                    continue
                objects = [1, 11, *header]
                objects[2 + index] = longest
                note = decode(_pack(*objects))
                self.assertEqual(encode(note), _pack(*objects))
                objects[2 + index] = longer
                self.assert_refused(Reason.OVERSIZED, _pack(*objects), f"{generation.value} {each}")
        stats = find_vector(V1_3, "stats_idle_sender")
        objects_of_stats = split(stats.payload)
        objects_of_stats[5] = _pack(longer)
        self.assert_refused(Reason.OVERSIZED, b"".join(objects_of_stats), "role")

    def test_long_texts(self) -> None:
        """Texts that identify nothing may be longer than MAX_WORD_LENGTH."""
        message = "at org.example.Main\n" * 1000
        for generation in (V1_3, V1_4):
            self.assertEqual(
                decode(_reply(generation, 2, 15, message)),
                _heard(r.TestFailure, generation, message=message),
            )

    def test_containers(self) -> None:
        """Arrays, maps and extensions are malformed, as a note, within and behind one."""
        for inner in (
            "9100",  # fixarray
            "dc000100",
            "dd0000000100",
            "81a16100",  # fixmap
            "de0001a16100",
            "df00000001a16100",
            "810000",
            "d40100",  # fixext
            "d5010000",
            "d600" + "00" * 4,
            "d700" + "00" * 8,
            "d800" + "00" * 16,
            "c7010100",  # ext
            "c800010100",
            "c9000000010100",
            "d6ff" + "00" * 4,  # a timestamp
            "d7ff" + "ff" * 8,
            "c70cff" + "ff" * 12,
        ):
            stranger = bytes.fromhex(inner)
            for payload in (
                stranger,
                stranger + _pack(8),
                _pack(0) + stranger,
                _pack(1, 10) + stranger + _pack("name", 5),
                _pack(1, 10, "id", "name") + stranger,
                _pack(1, 10, "id", "name", 5) + stranger,
            ):
                self.assert_refused(Reason.MALFORMED, payload, payload.hex())

    def test_empty_containers(self) -> None:
        """Nor is an empty array, map or extension a field."""
        for inner in ("90", "dc0000", "dd00000000", "80", "de0000", "df00000000", "c70001"):
            stranger = bytes.fromhex(inner)
            for vector in load_vectors():
                if vector.name not in ("stats_idle_sender", "test_started", "log_response"):
                    continue
                objects = split(vector.payload)
                for index in range(len(objects)):
                    spoilt = objects.copy()
                    spoilt[index] = stranger
                    label = f"{vector.label} object {index} as {inner}"
                    self.assert_refused(Reason.MALFORMED, b"".join(spoilt), label)

    def test_promised_sizes(self) -> None:
        """A length that the payload does not keep is malformed, and reserves no memory."""
        payloads = [
            before + bytes.fromhex(promise)
            for before in (b"", _pack(1), _pack(0, 8), _reply(V1_5, 1, 8))
            for promise in (
                "ddffffffff",
                "dfffffffff",
                "dcffff",
                "deffff",
                "dbffffffff",
                "c6ffffffff",
                "c9ffffffff01",
                "c9fffffffe01",
                "c97fffffff01",
                "ddffffffff" * 50,
            )
        ]
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for payload in payloads:
            self.assert_refused(Reason.MALFORMED, payload, payload[:60].hex())
        _, peak = tracemalloc.get_traced_memory()
        self.assertLess(peak, 4 * MAX_PAYLOAD_BYTES)

    def test_deep_nesting(self) -> None:
        """Containers in containers are malformed at the first, however many follow."""
        began = time.process_time()
        for head in (b"\x91", b"\x81", b"\x81\x00", b"\xdd\x00\x00\x00\x01", b"\x92\x90"):
            deep = (head * MAX_PAYLOAD_BYTES)[: MAX_PAYLOAD_BYTES - 8]
            for before in (b"", _pack(0, 8)):
                for _ in range(5):
                    self.assert_refused(Reason.MALFORMED, before + deep, head.hex())
        self.assertLess(time.process_time() - began, 5)

    def test_too_few_objects(self) -> None:
        """Nothing, one object and half an object are malformed."""
        for payload in (b"", b"\x00", b"\x01", b"\xa1x", b"\xc0", b"\xc1", b"\xcd\x00", b"\xcb"):
            self.assert_refused(Reason.MALFORMED, payload, payload.hex())

    def test_unknown_types(self) -> None:
        """The first object must be an integer from 0 to 3."""
        for first in (-1, 4, 9, 70000, 2**32 + 1, 2**64 - 1, -(2**63), True, 1.0, "1", b"1", None):
            self.assert_refused(Reason.MALFORMED, _pack(first, 10, "id", "name", 5), repr(first))

    def test_unknown_commands(self) -> None:
        """A command code that no generation has is an unknown command, in whatever type."""
        for kind in range(4):
            for code in (*range(256), -1, -10, 2**31, 2**32 - 1, 2**63 - 1, 2**32 + 20):
                if code in KNOWN_CODES:
                    continue
                for rest in ((), ("id", "name"), ("corr", "msg", "id", "name", 5)):
                    self.assert_refused(
                        Reason.UNKNOWN_COMMAND, _pack(kind, code, *rest), f"{kind} {code}"
                    )

    def test_commands_of_no_kind(self) -> None:
        """The second object must be an integer."""
        for code in (None, True, 10.0, "10", b"\x0a"):
            self.assert_refused(Reason.MALFORMED, _pack(1, code, "id", "name", 5), repr(code))

    def test_commands_under_the_wrong_type(self) -> None:
        """A known command is no note under a type that does not have it."""
        having = {
            (kind, code): generations
            for note, (name, code, _) in CODES.items()
            for kind, generations in [(name, ONLY_IN.get(note, tuple(Generation)))]
        }
        for kind, name in enumerate(("request", "response", "notification", "data")):
            for code in KNOWN_CODES:
                if (name, code) in having or (name, code) == ("data", 40):
                    continue
                for generation, header in _HEADER.items():
                    payload = _pack(kind, code, *header, -1, 1, "a", "b", "c", "d", 1.5)
                    label = f"{name} {code} in {generation.value}"
                    self.assert_refused(Reason.MALFORMED, payload, label)

    def test_errors_are_short(self) -> None:
        """What an error says of a payload stays short, whatever the payload."""
        for payload in (
            bytes(MAX_PAYLOAD_BYTES + 1),
            _pack(1, 10, "x" * 100_000, "name", 5),
            _pack(1, 10, "id", "name", "y" * 100_000),
            _pack("z" * 100_000, 10),
            b"\xdd\xff\xff\xff\xff",
            b"\xc1",
        ):
            with self.assertRaises(NoteError) as caught:
                decode(payload)
            self.assertTrue(0 < len(str(caught.exception)) < 100, str(caught.exception)[:200])


class TopicTests(NotesTestCase):
    """Requests are the same bytes in 1.4 and 1.5: where they came decides."""

    #: Code and body of the requests that mean the same in both generations.
    SAME_IN_BOTH: tuple[tuple[type[Note], int, tuple[Any, ...]], ...] = (
        (requests.StatsRequest, 8, ()),
        (requests.HaltRequest, 9, ()),
        (requests.PingRequest, 10, (1, 2)),
        (requests.SetRequest, 7, (0, "amqp://broker")),
        (requests.GetRequest, 17, (0,)),
        (requests.LogRequest, 40, (1,)),
        (requests.LogRequest, 40, (0, "name")),
        (requests.AgentSource, 21, ("url",)),
        (requests.AgentSource, 21, ("url", "branch")),
        (requests.UserCommandRequest, 30, (1,)),
        (requests.UserCommandRequest, 30, (1, "payload")),
        (requests.StartAgent, 18, ()),
        (requests.StopAgent, 19, ()),
        (requests.StartInspector, 4, ("ArtemisInspector",)),
        (requests.StopInspector, 5, ()),
    )

    def assert_heard(
        self, kind: type[Note], generation: Generation, topic: str, code: int, *body: Any
    ) -> None:
        """A request with ids must be of that class and generation on that topic."""
        note = decode(_pack(0, code, "corr", "msg", *body), topic)
        self.assertEqual((type(note), note.generation), (kind, generation), f"{code} on {topic!r}")
        self.assertEqual((note.correlation_id, note.message_id), ("corr", "msg"))

    def test_same_in_both(self) -> None:
        """A request that both have is a 1.4 one on /mpt/daemon, else a 1.5 one."""
        for kind, code, body in self.SAME_IN_BOTH:
            for topic in OLD_TOPICS:
                self.assert_heard(kind, V1_4, topic, code, *body)
            for topic in (*NEW_TOPICS, ""):
                self.assert_heard(kind, V1_5, topic, code, *body)

    def test_same_fields_in_both(self) -> None:
        """On the other topic a shared request has the same fields and the other generation."""
        shared = {kind for kind, _, _ in self.SAME_IN_BOTH}
        for vector in load_vectors():
            if vector.generation is V1_3:
                continue
            note = decode(vector.payload, vector.topic)
            if type(note) in shared:
                other = V1_5 if vector.generation is V1_4 else V1_4
                swapped = decode(vector.payload, TOPICS[other])
                self.assertEqual(swapped, dataclasses.replace(note, generation=other), vector.label)

    def test_stop(self) -> None:
        """Codes 1 and 3 stop receivers and senders in 1.4, workers and tests in 1.5."""
        for topic in OLD_TOPICS:
            self.assert_heard(requests.StopReceiver, V1_4, topic, 1)
            self.assert_heard(requests.StopSender, V1_4, topic, 3)
        for topic in (*NEW_TOPICS, ""):
            self.assert_heard(requests.StopWorker, V1_5, topic, 1)
            self.assert_heard(requests.StopTest, V1_5, topic, 3)

    def test_start_without_body(self) -> None:
        """Code 2 without a body starts senders in 1.4; on a 1.5 topic it is the old STOP_TEST."""
        for topic in OLD_TOPICS:
            self.assert_heard(requests.StartReceiver, V1_4, topic, 0)
            self.assert_heard(requests.StartSender, V1_4, topic, 2)
        for topic in NEW_TOPICS:
            self.assert_heard(requests.StartTest, V1_5, topic, 2)

    def test_start_without_body_on_no_topic(self) -> None:
        """Without a topic code 2 without a body is taken as 1.5, as each request in doubt is."""
        self.assert_heard(requests.StartTest, V1_5, "", 2)

    def test_start_receiver_anywhere(self) -> None:
        """Code 0 without a body is 1.4's START_RECEIVER wherever it came."""
        for topic in (*OLD_TOPICS, *NEW_TOPICS, ""):
            self.assert_heard(requests.StartReceiver, V1_4, topic, 0)

    def test_in_no_doubt(self) -> None:
        """Where the bytes tell the generation, the topic does not matter."""
        test = (-1, -1, "name", "script", "description", "comments", False)
        for topic in (*OLD_TOPICS, *NEW_TOPICS, *REPLY_TOPICS):
            self.assert_heard(requests.FlushRequest, V1_4, topic, 6)
            self.assert_heard(requests.StartWorker, V1_5, topic, 0, "JmsSender")
            self.assert_heard(requests.StartTest, V1_5, topic, 2, *test)
            self.assert_heard(requests.GroupJoin, V1_5, topic, 50)
            self.assert_heard(requests.GroupJoin, V1_5, topic, 50, "member", "group")
            self.assert_heard(requests.GroupLeave, V1_5, topic, 51)
            self.assert_heard(requests.RoleAssign, V1_5, topic, 60, 1)
            self.assert_heard(requests.RoleUnassign, V1_5, topic, 61)
            self.assert_heard(requests.DrainRequest, V1_4, topic, 41, "1", "url", "2")
            self.assert_heard(requests.DrainRequest, V1_5, topic, 41, "1", "url", "2", "worker")

    def test_old_requests(self) -> None:
        """A 1.3 request has no ids and is one on any topic."""
        for vector in load_vectors():
            if vector.generation is V1_3 and vector.note["type_code"] == 0:
                for topic in (*OLD_TOPICS, *NEW_TOPICS, ""):
                    note = decode(vector.payload, topic)
                    self.assertEqual(
                        as_text(as_vector(note)), as_text(vector.note), f"{vector.label} {topic}"
                    )
                    self.assertIs(note.generation, V1_3)

    def test_replies(self) -> None:
        """A reply says its generation itself, on any topic."""
        for vector in load_vectors():
            if vector.note["type_code"] != 0:
                for topic in (*OLD_TOPICS, *NEW_TOPICS, *REPLY_TOPICS):
                    note = decode(vector.payload, topic)
                    self.assertIs(note.generation, vector.generation, vector.label)
                    self.assertEqual(as_text(as_vector(note)), as_text(vector.note), vector.label)


class EncodeTests(NotesTestCase):
    """Notes that cannot be said."""

    def test_other_generations(self) -> None:
        """A note that a generation does not have is refused."""
        refused = 0
        for vector in load_vectors():
            note = decode(vector.payload, vector.topic)
            for generation in Generation:
                if generation in ONLY_IN.get(type(note), tuple(Generation)):
                    continue
                self.assert_unsayable(
                    _changed(note, generation=generation),
                    f"{vector.label} in {generation.value}",
                )
                refused += 1
        self.assertGreater(refused, 50)

    def test_no_note(self) -> None:
        """A note of no class of its own is refused."""
        for generation in Generation:
            for note in (
                Note(generation=generation),
                requests.Request(generation=generation),
                r.Response(generation=generation, sender=_SENDERS[generation]),
            ):
                self.assert_unsayable(note, type(note).__name__)

    def test_ranges(self) -> None:
        """An integer goes out up to the ends of its field's range and is refused beyond."""
        for label, name, bits in (
            ("1.3 stats_idle_sender", "child_count", 32),
            ("1.4 stats_idle_sender", "stats_type", 16),
            ("1.5 stats_idle_sender", "count", 64),
            ("1.3 ping_response_1", "elapsed", 64),
            ("1.4 get_response", "option", 64),
            ("1.5 log_response", "location_type", 32),
            ("1.5 log_response", "file_count", 32),
            ("1.5 log_response", "file_index", 32),
            ("1.5 log_response", "index", 32),
            ("1.5 log_response", "total", 32),
            ("1.5 log_response", "file_size", 64),
            ("1.3 ping_request", "sec", 64),
            ("1.5 ping_request", "usec", 64),
            ("1.4 set_rate", "option", 64),
            ("1.4 user_command_request", "option", 64),
        ):
            (vector,) = [each for each in load_vectors() if each.label == label]
            note = decode(vector.payload, vector.topic)
            low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
            for value in (low, high):
                changed = _changed(note, **{name: value})
                self.assertEqual(decode(encode(changed), vector.topic), changed, f"{label} {name}")
            for value in (low - 1, high + 1, 2**64, -(2**70)):
                self.assert_unsayable(
                    _changed(note, **{name: value}),
                    f"{label} {name} {value}",
                )

    def test_test_numbers(self) -> None:
        """A test's numbers have 32 bits."""
        note = decode(find_vector(V1_5, "test_started").payload)
        assert isinstance(note, r.TestStarted)
        for name in ("number", "iteration"):
            for value in (2**31, -(2**31) - 1):
                fields: dict[str, Any] = {name: value}
                test = dataclasses.replace(note.test, **fields)
                self.assert_unsayable(_changed(note, test=test), f"{name} {value}")

    def test_whole_doubles(self) -> None:
        """A whole number as a rate or latency goes out as a double: peers refuse integers."""
        note = decode(find_vector(V1_3, "stats_idle_sender").payload)
        packed = encode(_changed(note, rate=7, latency=0))
        self.assertEqual(split(packed)[-2:], [_pack(7.0), _pack(0.0)])

    def test_surrogates(self) -> None:
        """A string that UTF-8 cannot hold is refused."""
        note = r.OkResponse(generation=V1_3, sender=Sender(id="\ud800", name="name"))
        self.assert_unsayable(note, type(note).__name__)

    def test_none(self) -> None:
        """A field that its generation needs must not be None: there is no nil on the wire."""
        wrong = set()
        for vector in load_vectors():
            note = decode(vector.payload, vector.topic)
            for name in self.none_by_type(note):
                label = f"{vector.generation.value} {type(note).__name__}.{name}"
                try:
                    encode(_changed(note, **{name: None}))
                    wrong.add(f"{label} was sent")
                except ValueError:
                    pass
                except TypeError:
                    wrong.add(f"{label} raised TypeError")
        self.assertEqual(sorted(wrong), [])

    def none_by_type(self, note: Note) -> list[str]:
        """Name the fields that hold something, and that mypy would let be None."""
        return [
            each.name
            for each in dataclasses.fields(note)
            if "None" in str(each.type)
            and getattr(note, each.name) is not None
            and (type(note), each.name) not in MAY_BE_NONE
        ]

    def test_sender_without_role(self) -> None:
        """A 1.5 note needs its sender's role."""
        self.assert_unsayable(_changed(_heard(r.OkResponse, V1_5), sender=_OLD_SENDER), "no role")


# ------------------------------------------------------------------- any bytes

#: The same examples in each run, and none kept.
_SETTINGS = settings(derandomize=True, deadline=None, database=None, max_examples=400)

_words = st.text(max_size=40)
_texts = st.text(max_size=300)
_int16 = st.integers(-(2**15), 2**15 - 1)
_int32 = st.integers(-(2**31), 2**31 - 1)
_int64 = st.integers(-(2**63), 2**63 - 1)
_doubles = st.floats()
_roles = st.sampled_from(Role)
_none = st.none()

_old_senders = st.builds(Sender, id=_words, name=_words)
_new_senders = st.builds(
    Sender, id=_words, name=_words, host=_words, role=_roles, member=_words, group=_words
)
_tests = st.builds(
    Test,
    number=_int32,
    iteration=_int32,
    name=_texts,
    script_name=_texts,
    description=_texts,
    comments=_texts,
)
_suts = st.builds(
    SystemUnderTest,
    sut_id=_int32,
    sut_name=_texts,
    sut_version=_texts,
    sut_jvm_version=_texts,
    sut_other_info=_texts,
    sut_tags=_texts,
    lab_name=_texts,
    test_tags=_texts,
)
_executions = st.builds(requests.TestExecution, test=_tests, sut=_none | _suts)

_Fields = dict[str, st.SearchStrategy[Any]]


def _ids(generation: Generation) -> _Fields:
    if generation is V1_3:
        return {"correlation_id": _none, "message_id": _none}
    return {"correlation_id": _words, "message_id": _words}


def _replies(generation: Generation) -> st.SearchStrategy[Note]:
    """Give any reply of a generation."""
    old, new = generation is not V1_5, generation is V1_5
    sender = _old_senders if old else _new_senders
    test: _Fields = {"test": _tests if new else _none}
    bodies: dict[type[Reply], _Fields] = {
        r.StatsResponse: {
            "child_count": _int32,
            "role": _words if old else _none,
            "role_info": _texts,
            "stats_type": _int16,
            "timestamp": _texts,
            "count": _int64,
            "rate": _doubles,
            "latency": _doubles,
        },
        r.PingResponse: {"elapsed": _int64},
        r.OkResponse: {},
        r.ProtocolError: {},
        r.InternalError: {
            "error_code": st.sampled_from(ErrorCode) if new else _none,
            "message": _none if generation is V1_3 else _texts,
        },
        r.GetResponse: {"option": _int64, "value": _texts},
        r.UserCommandResponse: {"status": _texts},
        r.LogResponse: {
            "location_type": _int32,
            "file_count": _int32 if new else _none,
            "file_index": _int32 if new else _none,
            "file_name": _texts,
            "index": _int32,
            "total": _int32,
            "file_size": _int64,
            "file_hash": _texts,
            "data": st.binary(max_size=300),
        },
        r.AbnormalDisconnect: {"message": _none | _texts},
        r.TestFailure: {**test, "message": _texts},
        r.TestSuccess: {**test, "message": _texts},
    }
    if generation is not V1_3:
        bodies[r.DrainComplete] = {"successful": st.booleans(), "message": _texts}
    if new:
        bodies[r.TestStarted] = {**test, "message": _texts}
    return st.one_of(
        [
            st.builds(kind, generation=st.just(generation), sender=sender, **_ids(generation), **b)
            for kind, b in bodies.items()
        ]
    )


def _requests(generation: Generation) -> st.SearchStrategy[Note]:
    """Give any request of a generation."""
    bodies: dict[type[Note], _Fields] = {
        requests.StatsRequest: {},
        requests.HaltRequest: {},
        requests.PingRequest: {"sec": _int64, "usec": _int64},
        requests.SetRequest: {"option": _int64, "value": _texts},
        requests.GetRequest: {"option": _int64},
        requests.StartInspector: {"payload": _none | _texts},
        requests.StopInspector: {},
        requests.StartAgent: {},
        requests.StopAgent: {},
        requests.AgentSource: {"source_url": _texts, "branch": _none | _texts},
        requests.UserCommandRequest: {"option": _int64, "payload": _none | _texts},
        requests.LogRequest: {"location_type": _int32, "type_name": _none | _texts},
    }
    if generation is V1_5:
        bodies |= {
            requests.StartWorker: {"worker_name": _texts},
            requests.StopWorker: {},
            requests.StartTest: {"execution": _none | _executions},
            requests.StopTest: {},
            requests.RoleAssign: {"role": _roles},
            requests.RoleUnassign: {},
            requests.GroupJoin: {
                "info": st.none() | st.builds(requests.GroupInfo, member=_words, group=_words)
            },
            requests.GroupLeave: {},
        }
    else:
        bodies |= {
            requests.FlushRequest: {},
            requests.StartReceiver: {},
            requests.StopReceiver: {},
            requests.StartSender: {},
            requests.StopSender: {},
        }
    if generation is not V1_3:
        bodies[requests.DrainRequest] = {
            "duration": _texts,
            "url": _texts,
            "parallel_count": _texts,
            "worker_name": _texts if generation is V1_5 else _none,
        }
    return st.one_of(
        [
            st.builds(kind, generation=st.just(generation), **_ids(generation), **body)
            for kind, body in bodies.items()
        ]
    )


_topics = st.sampled_from((*OLD_TOPICS, *NEW_TOPICS, *REPLY_TOPICS))
_scalars = st.one_of(
    _none,
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.integers(0, 80),
    _doubles,
    st.text(max_size=5),
    st.binary(max_size=5),
)
_edits = st.lists(
    st.tuples(
        st.sampled_from(("flip", "insert", "delete")),
        st.integers(0, 1200),
        st.integers(1, 255),
    ),
    min_size=1,
    max_size=4,
)


def _edit(payload: bytes, edits: list[tuple[str, int, int]]) -> bytes:
    """Change some bytes of a payload."""
    changed = bytearray(payload)
    for how, where, what in edits:
        at = where % (len(changed) + 1)
        if how == "insert":
            changed.insert(at, what)
        elif at < len(changed) and how == "flip":
            changed[at] ^= what
        elif at < len(changed):
            del changed[at]
    return bytes(changed)


class AnyBytesTests(NotesTestCase):
    """Whatever comes, it is a note or a NoteError."""

    def assert_note_or_error(self, payload: bytes, topic: str) -> None:
        """A note must come out which can be said again, or a NoteError, the same each time."""
        try:
            note = decode(payload, topic)
        except NoteError as error:
            self.assertIsInstance(error.reason, Reason)
            self.assert_refused(error.reason, payload, topic=topic)
            return
        if isinstance(note, Reply) and note.sender is None:
            return  # what nobody says cannot be said again
        self.assert_same(decode(encode(note), topic), note, payload.hex())

    @_SETTINGS
    @given(payload=st.binary(max_size=200), topic=_topics)
    def test_any_bytes(self, payload: bytes, topic: str) -> None:
        """Any bytes give a note or a NoteError."""
        self.assert_note_or_error(payload, topic)

    @_SETTINGS
    @given(
        kind=st.integers(0, 3),
        code=st.sampled_from(sorted(KNOWN_CODES)),
        rest=st.lists(_scalars, max_size=MAX_OBJECTS),
        topic=_topics,
    )
    def test_any_objects(self, kind: int, code: int, rest: list[Any], topic: str) -> None:
        """Any objects behind a known command give a note or a NoteError."""
        self.assert_note_or_error(_pack(kind, code, *rest), topic)

    @_SETTINGS
    @given(
        kind=st.integers(0, 3),
        code=st.sampled_from(sorted(KNOWN_CODES)),
        generation=st.sampled_from(Generation),
        rest=st.lists(_scalars, max_size=9),
        topic=_topics,
    )
    def test_any_body(
        self, kind: int, code: int, generation: Generation, rest: list[Any], topic: str
    ) -> None:
        """Any objects behind a good header give a note or a NoteError."""
        self.assert_note_or_error(_reply(generation, kind, code, *rest), topic)

    @settings(_SETTINGS, max_examples=1500)
    @given(vector=st.sampled_from(load_vectors()), edits=_edits)
    def test_changed_vectors(self, vector: Vector, edits: list[tuple[str, int, int]]) -> None:
        """A payload with bytes changed, added or lost gives a note or a NoteError."""
        self.assert_note_or_error(_edit(vector.payload, edits), vector.topic)


class RoundTripTests(NotesTestCase):
    """What is said is heard."""

    @_SETTINGS
    @given(note=st.one_of([_replies(each) for each in Generation]), topic=_topics)
    def test_replies(self, note: Note, topic: str) -> None:
        """A reply of any generation comes back the same, on any topic."""
        self.assert_same(decode(encode(note), topic), note)

    @_SETTINGS
    @given(note=st.one_of([_requests(each) for each in Generation]))
    def test_requests(self, note: Note) -> None:
        """A request of any generation comes back the same on its generation's topic."""
        self.assert_same(decode(encode(note), TOPICS[note.generation]), note)
