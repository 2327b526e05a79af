"""The Maestro wire: payload bytes and frozen notes, in all generations (1.2 to 1.5).

`decode` and `encode` are the two ways through; everything else is vocabulary.
Nothing here imports Twisted, paho, Klein or prometheus_client, logs, or reads
a clock.
"""

from maestro_exporter.notes.codec import MAX_OBJECTS, Decoder, decode, encode
from maestro_exporter.notes.fields import MAX_PAYLOAD_BYTES, MAX_WORD_LENGTH
from maestro_exporter.notes.model import (
    ErrorCode,
    Generation,
    Note,
    NoteError,
    NoteType,
    Reason,
    Role,
    Sender,
    SystemUnderTest,
    Test,
    Topic,
)
from maestro_exporter.notes.replies import (
    COMMANDS,
    AbnormalDisconnect,
    DrainComplete,
    GetResponse,
    InternalError,
    LogResponse,
    Notification,
    OkResponse,
    PingResponse,
    ProtocolError,
    Reply,
    Response,
    StatsResponse,
    TestFailure,
    TestStarted,
    TestSuccess,
    UserCommandResponse,
)
from maestro_exporter.notes.requests import PingRequest, Request, StatsRequest

__all__ = [
    "COMMANDS",
    "MAX_OBJECTS",
    "MAX_PAYLOAD_BYTES",
    "MAX_WORD_LENGTH",
    "AbnormalDisconnect",
    "Decoder",
    "DrainComplete",
    "ErrorCode",
    "Generation",
    "GetResponse",
    "InternalError",
    "LogResponse",
    "Note",
    "NoteError",
    "NoteType",
    "Notification",
    "OkResponse",
    "PingRequest",
    "PingResponse",
    "ProtocolError",
    "Reason",
    "Reply",
    "Request",
    "Response",
    "Role",
    "Sender",
    "StatsRequest",
    "StatsResponse",
    "SystemUnderTest",
    "Test",
    "TestFailure",
    "TestStarted",
    "TestSuccess",
    "Topic",
    "UserCommandResponse",
    "decode",
    "encode",
]
