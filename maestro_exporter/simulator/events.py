"""What can happen to a simulated cluster: events that a script gives and a cluster carries out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from maestro_exporter.notes import Notification, Role
from maestro_exporter.simulator.peers import Peer, Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something happens `at` so many seconds after the scenario began."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """A test run begins; runs are numbered from 1."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded(Event):
    """The last peer of a run has reported, or died.

    Attributes:
        result: `success`; `failure` if a peer failed; else `incomplete` if one died.
    """

    number: int
    result: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerEvent(Event):
    """Something happens to one peer."""

    peer: Peer


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkStarted(PeerEvent):
    """A worker is given its role for the run and begins."""

    role: Role
    work: Work


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkStopped(PeerEvent):
    """A worker is idle again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said(PeerEvent):
    """A peer publishes a notification of a kind; `fields` is what `Peer.say` takes."""

    kind: type[Notification]
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Died(PeerEvent):
    """A process ends without a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined(PeerEvent):
    """A new process appears."""
