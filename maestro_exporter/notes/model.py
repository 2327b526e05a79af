"""The vocabulary of the wire: generations, types, roles, topics, and what all notes share.

The kinds of notes are in `replies` and `requests`, the order of their fields in
`layouts`.  Fields carry wire units and are named after the protocol's own words.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import ClassVar


class Generation(enum.Enum):
    """A dialect of the wire, named after the first upstream release of it that matters.

    `V1_3` is also spoken by 1.2 and by the C peers (msg-perf-tool).
    """

    V1_3 = "1.3"
    V1_4 = "1.4"
    V1_5 = "1.5"

    __hash__ = object.__hash__  # as good, and not in Python: it is looked up for each note


class NoteType(enum.IntEnum):
    """The first object of every note."""

    REQUEST = 0
    RESPONSE = 1
    NOTIFICATION = 2
    DATA = 3  # 1.5 only


class Role(enum.IntEnum):
    """What a 1.5 peer does at the moment; an unknown code decodes as `OTHER`."""

    OTHER = 0
    SENDER = 1
    RECEIVER = 2
    INSPECTOR = 3
    AGENT = 4
    EXPORTER = 5
    REPORTS_SERVER = 6


class ErrorCode(enum.IntEnum):
    """Why a 1.5 peer could not do it; an unknown code decodes as `UNSPECIFIED`."""

    UNSPECIFIED = 0
    TRY_AGAIN = 10


class Topic:
    """Where notes travel.  Topics are matched exactly; upstream uses no wildcards."""

    RESPONSES = "/mpt/maestro"
    NOTIFICATIONS = "/mpt/notifications"
    PEERS = "/mpt/peer"  # 1.5: all peers
    WORKERS = "/mpt/peer/worker"  # 1.5: workers only
    DAEMONS = "/mpt/daemon"  # 1.2 to 1.4: all peers


class Reason(enum.Enum):
    """Why a payload is not a note we can use."""

    MALFORMED = "malformed"
    OVERSIZED = "oversized"
    UNKNOWN_COMMAND = "unknown_command"


class NoteError(ValueError):
    """A payload is not a note.

    Attributes:
        reason: the closed set to count by; `str()` of the error says what was wrong
            and never quotes more than a few bytes of the payload.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """The process that speaks: who it says it is.

    Attributes:
        id: unique for one run of the process; empty for peers that could not say.
        name: `role@host` or free text up to 1.4; the bare name (`worker`) in 1.5.
        host, role, member, group: 1.5 only; `role` is None before 1.5.
    """

    id: str
    name: str
    host: str = ""
    role: Role | None = None
    member: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """Which test a 1.5 note is about.

    `number` and `iteration` are usually the placeholders -1 (next) and -2 (last).
    """

    __test__: ClassVar[bool] = False  # the word is the protocol's, not pytest's

    number: int
    iteration: int
    name: str
    script_name: str
    description: str
    comments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemUnderTest:
    """The messaging system that a 1.5 START_TEST says it measures."""

    sut_id: int
    sut_name: str
    sut_version: str
    sut_jvm_version: str
    sut_other_info: str
    sut_tags: str
    lab_name: str
    test_tags: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Anything said on the bus.

    Attributes:
        generation: the dialect it was said in.
        correlation_id, message_id: what a reply repeats; None in 1.3, which has neither.
        command: the closed set of words to count notes by.
    """

    command: ClassVar[str] = "other"

    generation: Generation
    correlation_id: str | None = None
    message_id: str | None = None
