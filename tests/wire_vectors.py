"""The captured payloads of `tests/wire/`, and what a decoded note should look like in them.

The vectors were made by upstream's own serializers.  Each has the payload (`hex`)
and its fields (`note`).  `as_vector` turns a decoded note into that form.  It does
so by tables of its own, written from the protocol's description and not derived
from the package, so that a slip in the package's tables cannot hide here.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgpack

from maestro_exporter.notes import Generation, Note, Reply, Role, requests
from maestro_exporter.notes import replies as r

WIRE = Path(__file__).parent / "wire"

V1_3, V1_4, V1_5 = Generation.V1_3, Generation.V1_4, Generation.V1_5
#: Where the requests of each generation travel.  Replies say their generation themselves.
TOPICS = {V1_3: "/mpt/daemon", V1_4: "/mpt/daemon", V1_5: "/mpt/peer"}


class Vector(NamedTuple):
    """One captured payload."""

    generation: Generation
    name: str
    payload: bytes
    note: dict[str, Any]

    @property
    def topic(self) -> str:
        return TOPICS[self.generation]

    @property
    def label(self) -> str:
        """What names it in a failure."""
        return f"{self.generation.value} {self.name}"


@cache
def load_vectors() -> tuple[Vector, ...]:
    """Read the vectors of all generations, oldest first."""
    return tuple(
        Vector(generation, case["name"], bytes.fromhex(case["hex"]), case["note"])
        for generation in Generation
        for case in json.loads((WIRE / f"maestro-{generation.value}.json").read_text("utf-8"))
    )


def find_vector(generation: Generation, name: str) -> Vector:
    """Give the vector of that name."""
    (found,) = [v for v in load_vectors() if (v.generation, v.name) == (generation, name)]
    return found


# ------------------------------------------------------------ msgpack by hand

#: Bytes behind the first one, for the formats of a fixed size.
_FIXED = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
#: Bytes of the length, for bin and str.
_SIZED = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
#: The integer formats with a size of their own.
_INTEGERS = {
    0xCC: ">B",
    0xCD: ">H",
    0xCE: ">I",
    0xCF: ">Q",
    0xD0: ">b",
    0xD1: ">h",
    0xD2: ">i",
    0xD3: ">q",
}


def split(payload: bytes) -> list[bytes]:
    """Cut a whole payload into its objects, which must be scalars."""
    objects = []
    while payload:
        head = payload[0]
        if head in _FIXED:
            size = 1 + _FIXED[head]
        elif head in _SIZED:
            body = 1 + _SIZED[head]
            size = body + int.from_bytes(payload[1:body], "big")
        elif 0xA0 <= head <= 0xBF:
            size = 1 + (head & 0x1F)
        elif head <= 0x7F or head >= 0xE0 or head in (0xC0, 0xC2, 0xC3):
            size = 1
        else:
            raise AssertionError(f"no scalar: {head:#x}")
        objects.append(payload[:size])
        payload = payload[size:]
    return objects


def boundaries(payload: bytes) -> list[int]:
    """Give the offsets at which an object ends, 0 first."""
    ends = [0]
    for each in split(payload):
        ends.append(ends[-1] + len(each))
    return ends


def pack_int(value: int, width: int) -> bytes | None:
    """Pack an integer in the format that begins with that byte; None if it does not fit."""
    try:
        return bytes([width]) + struct.pack(_INTEGERS[width], value)
    except struct.error:
        return None


def repack_ints(payload: bytes, width: int) -> bytes:
    """Pack every integer of a payload that fits it in the format that begins with that byte."""
    out = []
    for each in split(payload):
        value = msgpack.unpackb(each)
        packed = pack_int(value, width) if type(value) is int else None
        out.append(each if packed is None else packed)
    return b"".join(out)


def repack_strings(payload: bytes, head: int) -> bytes:
    """Pack every string of a payload behind that bin or str head."""
    out = []
    for each in split(payload):
        value = msgpack.unpackb(each)
        if type(value) is str:
            text = value.encode()
            each = bytes([head]) + len(text).to_bytes(_SIZED[head], "big") + text  # noqa: PLW2901
        out.append(each)
    return b"".join(out)


# -------------------------------------------------------- the note as a vector

#: Type, code and name of each note.
CODES: dict[type[Note], tuple[str, int, str]] = {
    requests.StartReceiver: ("request", 0, "START_RECEIVER"),
    requests.StopReceiver: ("request", 1, "STOP_RECEIVER"),
    requests.StartSender: ("request", 2, "START_SENDER"),
    requests.StopSender: ("request", 3, "STOP_SENDER"),
    requests.StartWorker: ("request", 0, "START_WORKER"),
    requests.StopWorker: ("request", 1, "STOP_WORKER"),
    requests.StartTest: ("request", 2, "START_TEST"),
    requests.StopTest: ("request", 3, "STOP_TEST"),
    requests.StartInspector: ("request", 4, "START_INSPECTOR"),
    requests.StopInspector: ("request", 5, "STOP_INSPECTOR"),
    requests.FlushRequest: ("request", 6, "FLUSH"),
    requests.SetRequest: ("request", 7, "SET"),
    requests.StatsRequest: ("request", 8, "STATS"),
    requests.HaltRequest: ("request", 9, "HALT"),
    requests.PingRequest: ("request", 10, "PING"),
    requests.GetRequest: ("request", 17, "GET"),
    requests.StartAgent: ("request", 18, "START_AGENT"),
    requests.StopAgent: ("request", 19, "STOP_AGENT"),
    requests.AgentSource: ("request", 21, "AGENT_SOURCE"),
    requests.UserCommandRequest: ("request", 30, "USER_COMMAND_1"),
    requests.LogRequest: ("request", 40, "LOG"),
    requests.DrainRequest: ("request", 41, "DRAIN"),
    requests.GroupJoin: ("request", 50, "GROUP_JOIN"),
    requests.GroupLeave: ("request", 51, "GROUP_LEAVE"),
    requests.RoleAssign: ("request", 60, "ROLE_ASSIGN"),
    requests.RoleUnassign: ("request", 61, "ROLE_UNASSIGN"),
    r.StatsResponse: ("response", 8, "STATS"),
    r.PingResponse: ("response", 10, "PING"),
    r.OkResponse: ("response", 11, "OK"),
    r.ProtocolError: ("response", 12, "PROTOCOL_ERROR"),
    r.InternalError: ("response", 13, "INTERNAL_ERROR"),
    r.GetResponse: ("response", 17, "GET"),
    r.UserCommandResponse: ("response", 30, "USER_COMMAND_1"),
    r.LogResponse: ("response", 40, "LOG"),  # data in 1.5
    r.AbnormalDisconnect: ("notification", 14, "ABNORMAL_DISCONNECT"),
    r.TestFailure: ("notification", 15, "NOTIFY_FAIL"),
    r.TestSuccess: ("notification", 16, "NOTIFY_SUCCESS"),
    r.DrainComplete: ("notification", 42, "NOTIFY_DRAIN_COMPLETE"),
    r.TestStarted: ("notification", 70, "NOTIFY_TEST_STARTED"),
}
#: Notes that not every generation has.
ONLY_IN: dict[type[Note], tuple[Generation, ...]] = {
    requests.StartReceiver: (V1_3, V1_4),
    requests.StopReceiver: (V1_3, V1_4),
    requests.StartSender: (V1_3, V1_4),
    requests.StopSender: (V1_3, V1_4),
    requests.FlushRequest: (V1_3, V1_4),
    requests.StartWorker: (V1_5,),
    requests.StopWorker: (V1_5,),
    requests.StartTest: (V1_5,),
    requests.StopTest: (V1_5,),
    requests.GroupJoin: (V1_5,),
    requests.GroupLeave: (V1_5,),
    requests.RoleAssign: (V1_5,),
    requests.RoleUnassign: (V1_5,),
    requests.DrainRequest: (V1_4, V1_5),
    r.DrainComplete: (V1_4, V1_5),
    r.TestStarted: (V1_5,),
}
_TYPE_CODES = {"request": 0, "response": 1, "notification": 2, "data": 3}
_ROLES = {
    Role.OTHER: ("other", 0),
    Role.SENDER: ("sender", 1),
    Role.RECEIVER: ("receiver", 2),
    Role.INSPECTOR: ("inspector", 3),
    Role.AGENT: ("agent", 4),
    Role.EXPORTER: ("exporter", 5),
    Role.REPORTS_SERVER: ("reports-server", 6),
}
_LOCATIONS = {0: "ANY", 1: "LAST_SUCCESS", 2: "LAST_FAILED", 3: "LAST"}
_ERRORS = {0: "UNSPECIFIED", 10: "TRY_AGAIN"}
_SET_OPTIONS = {
    0: "MAESTRO_NOTE_OPT_SET_BROKER",
    1: "MAESTRO_NOTE_OPT_SET_DURATION_TYPE",
    2: "MAESTRO_NOTE_OPT_SET_LOG_LEVEL",
    3: "MAESTRO_NOTE_OPT_SET_PARALLEL_COUNT",
    4: "MAESTRO_NOTE_OPT_SET_MESSAGE_SIZE",
    5: "MAESTRO_NOTE_OPT_SET_THROTTLE",
    6: "MAESTRO_NOTE_OPT_SET_RATE",
    7: "MAESTRO_NOTE_OPT_FCL",
    8: "MAESTRO_NOTE_OPT_SET_MI",
}
_GET_OPTIONS = {0: "MAESTRO_NOTE_OPT_GET_DS"}

Body = dict[str, Any]


def _named(names: dict[int, str], code: int) -> Body:
    return {"name": names[code], "code": code}


def _role(role: Role) -> Body:
    name, code = _ROLES[role]
    return {"name": name, "code": code}


def _double(value: float) -> float | str:
    if type(value) is not float:
        raise AssertionError(f"{value!r} is no double")
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _test(test: Any) -> Body:
    return {
        "test_number": test.number,
        "test_iteration": test.iteration,
        "test_name": test.name,
        "script_name": test.script_name,
        "test_details": {
            "test_description": test.description,
            "test_comments": test.comments,
        },
    }


def _sut(sut: Any) -> Body | None:
    if sut is None:
        return None
    return {
        "sut_id": sut.sut_id,
        "sut_name": sut.sut_name,
        "sut_version": sut.sut_version,
        "sut_jvm_version": sut.sut_jvm_version,
        "sut_other_info": sut.sut_other_info,
        "sut_tags": sut.sut_tags,
        "lab_name": sut.lab_name,
        "test_tags": sut.test_tags,
    }


def _stats(n: Any) -> Body:
    return {
        "child_count": n.child_count,
        **({} if n.generation is V1_5 else {"role": n.role}),
        "role_info": n.role_info,
        "stats_type": n.stats_type,
        "timestamp": n.timestamp,
        "count": n.count,
        "rate": _double(n.rate),
        "latency": _double(n.latency),
    }


def _internal_error(n: Any) -> Body:
    if n.generation is V1_3:
        return {}
    if n.generation is V1_4:
        return {"message": n.message}
    return {"error_code": _named(_ERRORS, int(n.error_code)), "message": n.message}


def _log(n: Any) -> Body:
    files = {"location_type_info": {"file_count": n.file_count, "index": n.file_index}}
    return {
        "location_type": _named(_LOCATIONS, n.location_type),
        **(files if n.generation is V1_5 else {}),
        "file_name": n.file_name,
        "index": n.index,
        "total": n.total,
        "file_size": n.file_size,
        "file_hash": n.file_hash,
        "data_hex": n.data.hex(),
    }


def _test_result(n: Any) -> Body:
    return {**({"test": _test(n.test)} if n.generation is V1_5 else {}), "message": n.message}


def _start_test(n: Any) -> Body:
    if n.execution is None:
        return {}
    test, sut = _test(n.execution.test), _sut(n.execution.sut)
    return {"test_execution_info": {"test": test, "sut_details": sut}}


def _drain(n: Any) -> Body:
    worker = {"worker_name": n.worker_name} if n.generation is V1_5 else {}
    return {
        "duration": n.duration,
        "url": n.url,
        "parallel_count": n.parallel_count,
        **worker,
    }


def _group_join(n: Any) -> Body:
    if n.info is None:
        return {}
    return {"group_info": {"member_name": n.info.member, "group_name": n.info.group}}


#: The body of each note; those that are not here have none.
_BODIES: dict[type[Note], Callable[[Any], Body]] = {
    requests.StartWorker: lambda n: {"worker_name": n.worker_name},
    requests.StartTest: _start_test,
    requests.StartInspector: lambda n: {"payload": n.payload},
    requests.SetRequest: lambda n: {"option": _named(_SET_OPTIONS, n.option), "value": n.value},
    requests.PingRequest: lambda n: {"sec": n.sec, "usec": n.usec},
    requests.GetRequest: lambda n: {"option": _named(_GET_OPTIONS, n.option)},
    requests.AgentSource: lambda n: {"source_url": n.source_url, "branch": n.branch},
    requests.UserCommandRequest: lambda n: {"option": n.option, "payload": n.payload},
    requests.LogRequest: lambda n: {
        "location_type": _named(_LOCATIONS, n.location_type),
        "type_name": n.type_name,
    },
    requests.DrainRequest: _drain,
    requests.GroupJoin: _group_join,
    requests.RoleAssign: lambda n: {"role": _role(n.role)},
    r.StatsResponse: _stats,
    r.PingResponse: lambda n: {"elapsed": n.elapsed},
    r.InternalError: _internal_error,
    r.GetResponse: lambda n: {"option": _named(_GET_OPTIONS, n.option), "value": n.value},
    r.UserCommandResponse: lambda n: {"status": n.status},
    r.LogResponse: _log,
    r.AbnormalDisconnect: lambda n: {} if n.message is None else {"message": n.message},
    r.TestFailure: _test_result,
    r.TestSuccess: _test_result,
    r.DrainComplete: lambda n: {"successful": n.successful, "message": n.message},
    r.TestStarted: lambda n: {"test": _test(n.test), "message": n.message},
}


def _peer(note: Reply) -> Body:
    sender = note.sender
    if sender is None:
        raise AssertionError("no sender")
    if note.generation is not V1_5:
        if (sender.host, sender.role, sender.member, sender.group) != ("", None, "", ""):
            raise AssertionError(f"fields of 1.5 in {sender}")
        return {"name": sender.name}
    if sender.role is None:
        raise AssertionError("no role")
    return {
        "member_name": sender.member,
        "group_name": sender.group,
        "role": _role(sender.role),
        "name": sender.name,
        "host": sender.host,
    }


def as_vector(note: Note) -> dict[str, Any]:
    """Say a note as the `note` of a vector does, its fields in the same order."""
    kind, code, name = CODES[type(note)]
    if isinstance(note, r.LogResponse) and note.generation is V1_5:
        kind = "data"
    out: dict[str, Any] = {
        "type": kind,
        "type_code": _TYPE_CODES[kind],
        "command": {"name": f"MAESTRO_NOTE_{name}", "code": code},
        "correlation_id": note.correlation_id,
        "message_id": note.message_id,
    }
    if isinstance(note, Reply):
        peer = _peer(note)
        out["id"] = note.sender.id if note.sender else None
        out["peer"] = peer
    body = _BODIES.get(type(note))
    return out | (body(note) if body else {})


def as_text(fields: dict[str, Any]) -> str:
    """Write a vector's fields so that 1, 1.0 and true differ, and -0.0 and 0.0."""
    return json.dumps(fields, indent=1, ensure_ascii=False)
