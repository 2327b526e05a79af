"""What a site may want to change: the job, the thresholds, where the runbooks are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What boards and rules have in common.

    Times that are numbers are seconds; those that are text are as PromQL spells them.

    Attributes:
        job: `job_name` of the exporters in Prometheus' configuration. The boards have a variable
            instead.
        runbooks: address of the folder docs/runbooks, for `runbook_url`; the default is where the
            Debian package has it.
        window: over what rates in rules are taken: four scrapes at least, and several rounds.
        memory: for how long an event, such as a failure, is alerted.
        forget: for how long a process that is gone is missed, where others still answer by its
            name; the exporter's default --peer-forget.
        blind: a test that begins within so many seconds of the exporter's own start may have begun
            before, with peers that the exporter has never heard of.
        clock_offset_good: a clock that is off by less seldom matters.
        clock_offset_bad: one that is off by more makes latencies of messages worthless; the limit
            of node_exporter's rule, too.
        round_trip_good, round_trip_bad: likewise for the time that a peer takes to answer a PING.
        drain_bad: a backlog that takes longer to drain is falling behind, not jitter.
        restarts: more restarts in `restarts_window` are a crash loop.
    """

    job: str = "maestro"
    runbooks: str = "file:///usr/share/doc/maestro-exporter/runbooks"
    window: str = "2m"
    memory: str = "10m"
    forget: str = "15m"
    blind: float = 60
    clock_offset_good: float = 0.005
    clock_offset_bad: float = 0.05
    round_trip_good: float = 0.05
    round_trip_bad: float = 0.5
    drain_bad: float = 30
    restarts: int = 2
    restarts_window: str = "15m"
