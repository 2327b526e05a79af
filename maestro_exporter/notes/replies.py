"""What peers say: responses to requests, and notifications of their own accord."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from maestro_exporter.notes.model import ErrorCode, Note, Sender, Test


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply(Note):
    """A peer says something.  `sender` is None where an error answer came without a header."""

    sender: Sender | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Response(Reply):
    """A peer answers a request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification(Reply):
    """A peer reports what happened to it, unasked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatsResponse(Response):
    """How a peer's test is going.

    Attributes:
        child_count: the configured parallel count, not the live connections.
        role: free text, up to 1.4; None in 1.5, where the header has it.
        count: messages since the current test began; 0 when none runs.
        rate: messages per second, averaged since the test began.
        latency: microseconds from Java peers, milliseconds from C peers; 0.0 when not measured.
    """

    command: ClassVar[str] = "stats"

    child_count: int
    role: str | None = None
    role_info: str
    stats_type: int
    timestamp: str
    count: int
    rate: float
    latency: float

    @property
    def latency_seconds(self) -> float | None:
        """The latency in seconds, whoever measured it; None where nobody did."""
        if self.latency == 0.0:
            return None
        return self.latency / (1e3 if self.is_of_c_peer else 1e6)

    @property
    def is_of_c_peer(self) -> bool:
        """Whether a C peer says it; Java peers send no `role_info`."""
        return self.role_info.startswith("msg-perf-tool")


@dataclass(frozen=True, slots=True, kw_only=True)
class PingResponse(Response):
    """`elapsed` is milliseconds from the asker's clock to the peer's: one way, plus clock skew."""

    command: ClassVar[str] = "ping"

    elapsed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OkResponse(Response):
    """Done."""

    command: ClassVar[str] = "ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolError(Response):
    """The peer could not read a request."""

    command: ClassVar[str] = "protocol_error"


@dataclass(frozen=True, slots=True, kw_only=True)
class InternalError(Response):
    """The peer could not do it.  `message` came with 1.4, `error_code` with 1.5."""

    command: ClassVar[str] = "internal_error"

    error_code: ErrorCode | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetResponse(Response):
    """The value of an option (0: the URL of the data server)."""

    command: ClassVar[str] = "get"

    option: int
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UserCommandResponse(Response):
    """What a user command came to."""

    command: ClassVar[str] = "user_command"

    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogResponse(Reply):
    """One chunk of a log file; data in 1.5, where `file_count` and `file_index` came."""

    command: ClassVar[str] = "log"

    location_type: int
    file_count: int | None = None
    file_index: int | None = None
    file_name: str
    index: int
    total: int
    file_size: int
    file_hash: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TestStarted(Notification):
    """A peer began a test (1.5 only)."""

    __test__: ClassVar[bool] = False
    command: ClassVar[str] = "test_started"

    test: Test
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TestSuccess(Notification):
    """A peer ended its part of a test well.  `test` came with 1.5."""

    __test__: ClassVar[bool] = False
    command: ClassVar[str] = "test_success"

    test: Test | None = None
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TestFailure(Notification):
    """A peer's part of a test failed.  `test` came with 1.5."""

    __test__: ClassVar[bool] = False
    command: ClassVar[str] = "test_failure"

    test: Test | None = None
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainComplete(Notification):
    """A receiver has emptied its queue, or has given up (1.4 and later)."""

    command: ClassVar[str] = "drain"

    successful: bool
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AbnormalDisconnect(Notification):
    """A peer's connection broke.  Java before 1.5.4 packs no message."""

    command: ClassVar[str] = "abnormal_disconnect"

    message: str | None = None


#: The words of `Note.command`, in the order of the protocol's codes.
COMMANDS: tuple[str, ...] = (
    *(
        kind.command
        for kind in (
            StatsResponse,
            PingResponse,
            OkResponse,
            ProtocolError,
            InternalError,
            AbnormalDisconnect,
            TestFailure,
            TestSuccess,
            GetResponse,
            UserCommandResponse,
            LogResponse,
            DrainComplete,
            TestStarted,
        )
    ),
    Note.command,
)
