"""Hand-made payloads: the codec is as tolerant as upstream's decoder, or says why not.

`tests/wire/java-tolerance.json` has, for each generation, payloads and what
upstream's decoder of that generation made of them.
"""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.notes import Generation, NoteError, decode
from tests.wire_vectors import TOPICS, V1_3, V1_4, V1_5, WIRE

#: A class and the generation it was seen in, or "refused".
Outcome = tuple[str, Generation] | str

_OTHER_DIALECT = "a decoder for all generations sees that a peer of another one said it"
_C_PEERS = "C peers write a negative time unsigned"
_BOTH_FORMS = "upstream's own serializer leaves the message out"
_NO_HEADER = "without a header it is in no generation's form; 1.3 takes it, so it counts as 1.3"
_CUT_HEADER = (
    "the strings before the odd object are the whole header of a 1.3 note, which ends there"
)
_HYBRID = "no strings follow the codes: it is a whole 1.3 request, with objects behind it"

#: Where the codec does other than upstream's decoder of the same generation.
DIFFERENT: dict[tuple[Generation, str], tuple[Outcome, str]] = {
    (V1_3, "elapsed_uint64_over_max"): (("PingResponse", V1_3), _C_PEERS),
    (V1_3, "abnormal_disconnect_no_message"): (("AbnormalDisconnect", V1_3), _BOTH_FORMS),
    (V1_3, "stats_request_1_4_style"): (("StatsRequest", V1_4), _OTHER_DIALECT),
    (V1_3, "ping_request_1_4_style"): (("PingRequest", V1_4), _OTHER_DIALECT),
    (V1_3, "ok_1_4_style"): (("OkResponse", V1_4), _OTHER_DIALECT),
    (V1_3, "ping_response_1_4_style"): (("PingResponse", V1_4), _OTHER_DIALECT),
    (V1_4, "elapsed_uint64_over_max"): (("PingResponse", V1_4), _C_PEERS),
    (V1_4, "abnormal_disconnect_no_message"): (("AbnormalDisconnect", V1_4), _BOTH_FORMS),
    (V1_4, "id_nil"): (("OkResponse", V1_3), _CUT_HEADER),
    (V1_4, "id_as_int"): (("PingResponse", V1_3), _CUT_HEADER),
    (V1_4, "protocol_error_header_only"): (("ProtocolError", V1_3), _NO_HEADER),
    (V1_4, "ok_header_only"): (("OkResponse", V1_3), _NO_HEADER),
    (V1_4, "stats_request_1_3_style"): (("StatsRequest", V1_3), _OTHER_DIALECT),
    (V1_4, "ping_request_1_3_style"): (("PingRequest", V1_3), _OTHER_DIALECT),
    (V1_4, "ping_request_hybrid"): (("PingRequest", V1_3), _HYBRID),
    (V1_4, "ok_1_3_style"): (("OkResponse", V1_3), _OTHER_DIALECT),
    (V1_4, "ok_1_5_style"): (("OkResponse", V1_5), _OTHER_DIALECT),
    (V1_4, "ping_response_1_5_style"): (("PingResponse", V1_5), _OTHER_DIALECT),
    (V1_5, "elapsed_uint64_over_max"): (("PingResponse", V1_5), _C_PEERS),
    (V1_5, "abnormal_disconnect_no_message"): (("AbnormalDisconnect", V1_5), _BOTH_FORMS),
    (V1_5, "id_nil"): (("OkResponse", V1_3), _CUT_HEADER),
    (V1_5, "id_as_int"): (("PingResponse", V1_3), _CUT_HEADER),
    (V1_5, "protocol_error_header_only"): (("ProtocolError", V1_3), _NO_HEADER),
    (V1_5, "ok_header_only"): (("OkResponse", V1_3), _NO_HEADER),
    (V1_5, "stats_request_1_3_style"): (("StatsRequest", V1_3), _OTHER_DIALECT),
    (V1_5, "ping_request_1_3_style"): (("PingRequest", V1_3), _OTHER_DIALECT),
    (V1_5, "ping_request_hybrid"): (("PingRequest", V1_3), _HYBRID),
    (V1_5, "role_as_string"): (
        ("OkResponse", V1_4),
        "five strings or more without an integer are a 1.4 header, and OK ends with that",
    ),
    (V1_5, "internal_error_1_4_style"): (("InternalError", V1_4), _OTHER_DIALECT),
    (V1_5, "ok_1_4_style"): (("OkResponse", V1_4), _OTHER_DIALECT),
    (V1_5, "start_test_no_body"): (
        ("StartTest", V1_5),
        "1.5.0 to 1.5.3 say so to stop a test",
    ),
    (V1_5, "group_join_no_body"): (
        ("GroupJoin", V1_5),
        "1.5.0 to 1.5.3 say so",
    ),
}


def _load() -> list[tuple[Generation, dict[str, Any]]]:
    cases = json.loads((WIRE / "java-tolerance.json").read_text("utf-8"))
    return [(generation, case) for generation in Generation for case in cases[generation.value]]


def _upstream(generation: Generation, case: dict[str, Any]) -> Outcome:
    """Tell what upstream's decoder of the generation did."""
    return (case["decodes_to"], generation) if case["accepted"] else "refused"


def _ours(generation: Generation, case: dict[str, Any]) -> Outcome:
    """Tell what the codec does, on the topic where the generation's requests travel."""
    try:
        note = decode(bytes.fromhex(case["hex"]), TOPICS[generation])
    except NoteError:
        return "refused"
    return type(note).__name__, note.generation


class UpstreamToleranceTests(SynchronousTestCase):
    """Each hand-made payload, against what upstream's decoder did."""

    def test_count(self) -> None:
        """No case is lost, and each has a name of its own."""
        cases = _load()
        self.assertEqual(len(cases), 155)
        self.assertEqual(len({(generation, case["name"]) for generation, case in cases}), 155)

    def test_as_upstream(self) -> None:
        """What upstream takes is a note of that class and what it refuses is none."""
        for generation, case in _load():
            if (generation, case["name"]) not in DIFFERENT:
                label = f"{generation.value} {case['name']}: {case['about']}"
                self.assertEqual(_ours(generation, case), _upstream(generation, case), label)

    def test_different(self) -> None:
        """The listed cases, and only they, come out as the list says and not as upstream's."""
        unseen = set(DIFFERENT)
        for generation, case in _load():
            key = generation, case["name"]
            if key in DIFFERENT:
                unseen.remove(key)
                wanted, reason = DIFFERENT[key]
                label = f"{generation.value} {case['name']}: {reason}"
                self.assertEqual(_ours(generation, case), wanted, label)
                self.assertNotEqual(_upstream(generation, case), wanted, f"{label}: not needed")
        self.assertEqual(unseen, set())

    def test_nothing_lost(self) -> None:
        """Whatever upstream's decoder of any generation takes is a note here."""
        for generation, case in _load():
            if case["accepted"]:
                label = f"{generation.value} {case['name']}"
                self.assertNotEqual(_ours(generation, case), "refused", label)
