"""What clients ask of peers, and tell them to do.

The exporter sends only `StatsRequest` and `PingRequest`; the rest is here
because the simulated peers hear it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from maestro_exporter.notes.model import Note, Role, SystemUnderTest, Test


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Note):
    """A client asks or tells the peers something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatsRequest(Request):
    """Asks every peer that hears it for a `StatsResponse`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PingRequest(Request):
    """Asks for a `PingResponse`; `sec` and `usec` are the asker's wall clock since the epoch."""

    sec: int
    usec: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRequest(Request):
    """Sets a test option (0 broker, 1 duration, 3 parallel count, 6 rate, ...)."""

    option: int
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GetRequest(Request):
    """Asks for an option."""

    option: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HaltRequest(Request):
    """Ends the peer's process; gets no answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlushRequest(Request):
    """Flushes reports (gone in 1.5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartReceiver(Request):
    """Starts receiving (up to 1.4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopReceiver(Request):
    """Stops receiving (up to 1.4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartSender(Request):
    """Starts sending (up to 1.4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopSender(Request):
    """Stops sending (up to 1.4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartWorker(Request):
    """Loads a worker class (1.5)."""

    worker_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StopWorker(Request):
    """Ends the workers (1.5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestExecution:
    """A test to run, and what it measures, where that was said."""

    __test__: ClassVar[bool] = False  # the word is the protocol's, not pytest's

    test: Test
    sut: SystemUnderTest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StartTest(Request):
    """Starts a test (1.5).  Without an execution: what 1.5.0 to 1.5.3 sent to stop one."""

    execution: TestExecution | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StopTest(Request):
    """Stops the test (1.5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartInspector(Request):
    """Starts an inspector of the type that `payload` names (1.2 sent none)."""

    payload: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StopInspector(Request):
    """Stops the inspectors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartAgent(Request):
    """Starts the agents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopAgent(Request):
    """Stops the agents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSource(Request):
    """Gives agents a repository of extension points."""

    source_url: str
    branch: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserCommandRequest(Request):
    """Runs a user command on agents."""

    option: int
    payload: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRequest(Request):
    """Asks for log files (location 0 any, 1 last success, 2 last failed, 3 last)."""

    location_type: int
    type_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainRequest(Request):
    """Empties a queue.  `worker_name` came with 1.5."""

    duration: str
    url: str
    parallel_count: str
    worker_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleAssign(Request):
    """Gives a worker a role (1.5)."""

    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleUnassign(Request):
    """Takes a worker's role away (1.5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupInfo:
    """A group, and the name of the member in it."""

    member: str
    group: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupJoin(Request):
    """Puts a worker into a group (1.5; before 1.5.4 without saying which)."""

    info: GroupInfo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupLeave(Request):
    """Takes a worker out of its group (1.5)."""
