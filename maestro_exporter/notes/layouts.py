"""What stands in each note, in each generation: the tables of the protocol.

The order of the fields is the order on the wire, behind the note's type and
command code.  Source: upstream's serializers at tags 1.2.7, 1.3.7, 1.4.3,
1.5.0 and 1.5.5, and the C peers (msg-perf-tool at f087d71).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any, NamedTuple

from maestro_exporter.notes import replies, requests
from maestro_exporter.notes.fields import (
    BINARY,
    BOOL,
    DOUBLE,
    ELAPSED,
    ERROR_CODE,
    INT16,
    INT32,
    INT64,
    ROLE,
    TEXT,
    WORD,
    Fields,
    Flagged,
    Optional,
    Record,
    Remembered,
)
from maestro_exporter.notes.model import (
    Generation,
    Note,
    NoteType,
    Sender,
    SystemUnderTest,
    Test,
)

_V1_3, _V1_4, _V1_5 = Generation.V1_3, Generation.V1_4, Generation.V1_5
_OLD = (_V1_3, _V1_4)
_ALL = (_V1_3, _V1_4, _V1_5)

_TEST = Record(
    Test,
    (
        ("number", INT32),
        ("iteration", INT32),
        ("name", TEXT),
        ("script_name", TEXT),
        ("description", TEXT),
        ("comments", TEXT),
    ),
)
_SUT = Record(
    SystemUnderTest,
    (
        ("sut_id", INT32),
        ("sut_name", TEXT),
        ("sut_version", TEXT),
        ("sut_jvm_version", TEXT),
        ("sut_other_info", TEXT),
        ("sut_tags", TEXT),
        ("lab_name", TEXT),
        ("test_tags", TEXT),
    ),
)
_GROUP = Record(requests.GroupInfo, (("member", WORD), ("group", WORD)))
_EXECUTION = Record(requests.TestExecution, (("test", _TEST), ("sut", Flagged(_SUT))))

_IDS: Fields = (("correlation_id", WORD), ("message_id", WORD))
_OLD_SENDER = Record(Sender, (("id", WORD), ("name", WORD)))
_NEW_SENDER = Record(
    Sender,
    (
        ("id", WORD),
        ("member", WORD),
        ("group", WORD),
        ("role", ROLE),
        ("name", WORD),
        ("host", WORD),
    ),
)
_SENDER: Fields = (("sender", Remembered(_OLD_SENDER, str, str)),)
_SENDER_1_5: Fields = (("sender", Remembered(_NEW_SENDER, str, str, str, int, str, str)),)
_REQUEST_HEADERS: dict[Generation, Fields] = {_V1_3: (), _V1_4: _IDS, _V1_5: _IDS}
_REPLY_HEADERS: dict[Generation, Fields] = {
    _V1_3: _SENDER,
    _V1_4: _IDS + _SENDER,
    _V1_5: _IDS + _SENDER_1_5,
}

_MEASURES: Fields = (
    ("role_info", TEXT),
    ("stats_type", INT16),
    ("timestamp", TEXT),
    ("count", INT64),
    ("rate", DOUBLE),
    ("latency", DOUBLE),
)
_FILE: Fields = (
    ("file_name", TEXT),
    ("index", INT32),
    ("total", INT32),
    ("file_size", INT64),
    ("file_hash", TEXT),
    ("data", BINARY),
)
_MESSAGE: Fields = (("message", TEXT),)
_DRAIN_FIELDS: Fields = (("duration", TEXT), ("url", TEXT), ("parallel_count", TEXT))

_REQ, _RES = NoteType.REQUEST, NoteType.RESPONSE
_NOT, _DAT = NoteType.NOTIFICATION, NoteType.DATA

#: Every note there is: type, code, class, the generations that have it, its body.
_TABLE: tuple[tuple[NoteType, int, type[Note], tuple[Generation, ...], Fields], ...] = (
    (_RES, 8, replies.StatsResponse, _OLD, (("child_count", INT32), ("role", WORD), *_MEASURES)),
    (_RES, 8, replies.StatsResponse, (_V1_5,), (("child_count", INT32), *_MEASURES)),
    (_RES, 10, replies.PingResponse, _ALL, (("elapsed", ELAPSED),)),
    (_RES, 11, replies.OkResponse, _ALL, ()),
    (_RES, 12, replies.ProtocolError, _ALL, ()),
    (_RES, 13, replies.InternalError, (_V1_3,), ()),
    (_RES, 13, replies.InternalError, (_V1_4,), _MESSAGE),
    (_RES, 13, replies.InternalError, (_V1_5,), (("error_code", ERROR_CODE), *_MESSAGE)),
    (_RES, 17, replies.GetResponse, _ALL, (("option", INT64), ("value", TEXT))),
    (_RES, 30, replies.UserCommandResponse, _ALL, (("status", TEXT),)),
    (_RES, 40, replies.LogResponse, _OLD, (("location_type", INT32), *_FILE)),
    (
        _DAT,
        40,
        replies.LogResponse,
        (_V1_5,),
        (("location_type", INT32), ("file_count", INT32), ("file_index", INT32), *_FILE),
    ),
    (_NOT, 14, replies.AbnormalDisconnect, _ALL, (("message", Optional(TEXT)),)),
    (_NOT, 15, replies.TestFailure, _OLD, _MESSAGE),
    (_NOT, 15, replies.TestFailure, (_V1_5,), (("test", _TEST), *_MESSAGE)),
    (_NOT, 16, replies.TestSuccess, _OLD, _MESSAGE),
    (_NOT, 16, replies.TestSuccess, (_V1_5,), (("test", _TEST), *_MESSAGE)),
    (_NOT, 42, replies.DrainComplete, (_V1_4, _V1_5), (("successful", BOOL), *_MESSAGE)),
    (_NOT, 70, replies.TestStarted, (_V1_5,), (("test", _TEST), *_MESSAGE)),
    (_REQ, 0, requests.StartReceiver, _OLD, ()),
    (_REQ, 1, requests.StopReceiver, _OLD, ()),
    (_REQ, 2, requests.StartSender, _OLD, ()),
    (_REQ, 3, requests.StopSender, _OLD, ()),
    (_REQ, 0, requests.StartWorker, (_V1_5,), (("worker_name", TEXT),)),
    (_REQ, 1, requests.StopWorker, (_V1_5,), ()),
    (_REQ, 2, requests.StartTest, (_V1_5,), (("execution", Optional(_EXECUTION)),)),
    (_REQ, 3, requests.StopTest, (_V1_5,), ()),
    (_REQ, 4, requests.StartInspector, _ALL, (("payload", Optional(TEXT)),)),
    (_REQ, 5, requests.StopInspector, _ALL, ()),
    (_REQ, 6, requests.FlushRequest, _OLD, ()),
    (_REQ, 7, requests.SetRequest, _ALL, (("option", INT64), ("value", TEXT))),
    (_REQ, 8, requests.StatsRequest, _ALL, ()),
    (_REQ, 9, requests.HaltRequest, _ALL, ()),
    (_REQ, 10, requests.PingRequest, _ALL, (("sec", INT64), ("usec", INT64))),
    (_REQ, 17, requests.GetRequest, _ALL, (("option", INT64),)),
    (_REQ, 18, requests.StartAgent, _ALL, ()),
    (_REQ, 19, requests.StopAgent, _ALL, ()),
    (
        _REQ,
        21,
        requests.AgentSource,
        _ALL,
        (("source_url", TEXT), ("branch", Optional(TEXT))),
    ),
    (
        _REQ,
        30,
        requests.UserCommandRequest,
        _ALL,
        (("option", INT64), ("payload", Optional(TEXT))),
    ),
    (
        _REQ,
        40,
        requests.LogRequest,
        _ALL,
        (("location_type", INT32), ("type_name", Optional(TEXT))),
    ),
    (_REQ, 41, requests.DrainRequest, (_V1_4,), _DRAIN_FIELDS),
    (_REQ, 41, requests.DrainRequest, (_V1_5,), (*_DRAIN_FIELDS, ("worker_name", TEXT))),
    (
        _REQ,
        50,
        requests.GroupJoin,
        (_V1_5,),
        (("info", Optional(_GROUP)),),
    ),
    (_REQ, 51, requests.GroupLeave, (_V1_5,), ()),
    (_REQ, 60, requests.RoleAssign, (_V1_5,), (("role", ROLE),)),
    (_REQ, 61, requests.RoleUnassign, (_V1_5,), ()),
)

#: Answers that need no header: upstream reads none of it (1.3 of all three, any
#: generation of PROTOCOL_ERROR), so a sender may have left it out.
HEADERLESS: dict[tuple[NoteType, int], type[replies.Response]] = {
    (_RES, 11): replies.OkResponse,
    (_RES, 12): replies.ProtocolError,
    (_RES, 13): replies.InternalError,
}


class Layout(NamedTuple):
    """How a note is made.

    Attributes:
        kind: its class.
        readers: what sets and what reads its fields, in wire order behind the two codes.
        defaults: what sets the fields that are not on the wire, and their values.
    """

    kind: type[Note]
    readers: tuple[tuple[Callable[[Note, Any], None], Callable[[Iterator[Any]], Any]], ...]
    defaults: tuple[tuple[Callable[[Note, Any], None], Any], ...]


def _layout(kind: type[Note], generation: Generation, on_the_wire: Fields) -> Layout:
    values = {each.name: each.default for each in fields(kind)} | {"generation": generation}
    names = {name for name, _ in on_the_wire}
    return Layout(
        kind,
        tuple((getattr(kind, name).__set__, field.read) for name, field in on_the_wire),
        tuple(
            (getattr(kind, name).__set__, value)
            for name, value in values.items()
            if name not in names
        ),
    )


LAYOUTS: dict[tuple[NoteType, int, Generation], Layout] = {}
ENCODINGS: dict[tuple[type[Note], Generation], tuple[NoteType, int, Fields]] = {}
KNOWN_CODES: frozenset[int] = frozenset(code for _, code, _, _, _ in _TABLE)

for _type, _code, _kind, _generations, _body in _TABLE:
    for _generation in _generations:
        _headers = _REQUEST_HEADERS if _type is _REQ else _REPLY_HEADERS
        _all_fields = (*_headers[_generation], *_body)
        LAYOUTS[_type, _code, _generation] = _layout(_kind, _generation, _all_fields)
        ENCODINGS[_kind, _generation] = (_type, _code, _all_fields)
