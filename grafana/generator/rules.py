"""Alerts, and the recording rules that they need, as a rule file of Prometheus.

All are in one group, in which rules are evaluated in their order: an alert that reads what another
group records reads a value of the round before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import yaml

from grafana.generator.config import Config
from grafana.generator.promql import (
    MESSAGES,
    RECEIVED,
    SENT,
    WORKERS,
    Selecting,
    connected,
    message_rate,
    missing_peers,
    select,
)

Rule = dict[str, Any]

BACKLOG = "instance:maestro_test_backlog_messages:sum"
PROCESSES = "instance_peer:maestro_peer_instances:sum"
LASTING = "instance_peer:maestro_peer_instances:min"
RATE = "instance_direction:maestro_test_messages:rate"

#: What answers without taking part in any test.
_SERVERS = 'type!~"reports-server|data-server|exporter"'


class _Block(str):
    """Text that YAML shows as a block, line by line."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """Shows sequences indented, and a `_Block` as such."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        return super().increase_indent(flow, indentless=False)


_Dumper.add_representer(
    _Block,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|"),
)

_HEAD = """\
# Alerts about a Maestro cluster and its exporter.
#
# In prometheus.yml: rule_files: ["maestro.rules.yml"]. Every selector has job="{job}": where your
# job has another name, replace all of them. docs/runbooks has a page about each alert, and
# runbook_url should lead there.
#
# Made by grafana/generator; `make boards` makes it anew.

"""


def as_text(config: Config) -> str:
    """Give the rule file."""
    return _HEAD.format(job=config.job) + yaml.dump(
        make(config), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000
    )


def make(config: Config) -> dict[str, Any]:
    """Give what the rule file says."""
    of = partial(_of_job, config.job)
    rules = [*_recorded(config, of), *_alerts(config, of)]
    return {"groups": [{"name": "maestro", "rules": rules}]}


def _of_job(job: str, name: str, *matchers: str) -> str:
    return select(name, f'job="{job}"', *matchers)


def _recorded(config: Config, of: Selecting) -> list[Rule]:
    return [
        _record(f"{RATE}{config.window}", message_rate(of, config.window)),
        _record(PROCESSES, f"sum without (type) ({of('maestro_peer_instances')})"),
        # While one process takes the place of another, both may be there for a moment.
        _record(f"{LASTING}{config.window}", f"min_over_time({PROCESSES}[{config.window}])"),
        _record(
            BACKLOG,
            f"""
clamp_min(
    {of(MESSAGES, SENT)}
  - ignoring (direction)
    {of(MESSAGES, RECEIVED)},
  0
)""",
        ),
    ]


def _alerts(config: Config, of: Selecting) -> list[Rule]:
    rate = f"{RATE}{config.window}"
    incomplete = of("maestro_tests_finished_total", 'result="incomplete"')
    running = f"and on (job, instance) {of('maestro_test_running')} == 1"
    alerts = [
        _Alert(
            "MaestroExporterDown",
            expr=f"{of('up')} == 0",
            hold="5m",
            severity="critical",
            summary="The Maestro exporter cannot be scraped.",
            description="Prometheus fails to scrape {{ $labels.instance }}; nothing is known of "
            "its cluster.",
        ),
        _Alert(
            "MaestroExporterAbsent",
            expr=f"absent({of('up')})",
            hold="10m",
            severity="warning",
            summary="Prometheus has no Maestro exporter to scrape.",
            description="No target is known under the job {{ $labels.job }}: it is not configured, "
            "has another name, or discovery finds none.",
        ),
        _Alert(
            "MaestroExporterRestarting",
            expr=f"changes({of('process_start_time_seconds')}[{config.restarts_window}])"
            f" > {config.restarts}",
            severity="info",
            summary="The Maestro exporter starts again and again.",
            description="{{ $labels.instance }} was restarted {{ $value }} times in "
            f"{config.restarts_window}; its counters began at 0 each time.",
        ),
        _Alert(
            "MaestroBrokerDisconnected",
            expr=f"{of('maestro_up')} == 0",
            hold="1m",
            severity="critical",
            summary="The Maestro exporter has lost its MQTT broker.",
            description="{{ $labels.instance }} is not connected to the Maestro broker; peers and "
            "tests are not watched.",
        ),
        _Alert(
            "MaestroNoPeersAnswering",
            expr=f"""
sum without (type) ({of("maestro_peers", _SERVERS)}) == 0
{connected(of)}""",
            hold="5m",
            severity="warning",
            summary="No Maestro peer answers.",
            description="{{ $labels.instance }} is connected to its broker, but no worker, "
            "inspector or agent answers.",
        ),
        _Alert(
            "MaestroPeerMissing",
            expr=missing_peers(of),
            hold="2m",
            severity="warning",
            summary="A Maestro peer has fallen silent.",
            description="{{ $labels.type }} {{ $labels.peer }} did answer, and does no more (seen "
            "by {{ $labels.instance }}).",
        ),
        _Alert(
            "MaestroProcessMissing",
            expr=f"""
max_over_time({LASTING}{config.window}[{config.forget}]) - {PROCESSES} > 0
{connected(of)}""",
            hold="2m",
            severity="warning",
            summary="Fewer Maestro processes answer by a name than did.",
            description="Of the processes that are called {{ $labels.peer }}, {{ $value }} did "
            "answer, and do no more (seen by {{ $labels.instance }}).",
        ),
        _Alert(
            "MaestroTestFailed",
            expr=f"increase({of('maestro_test_failures')}[{config.memory}]) > 0",
            severity="warning",
            summary="A Maestro test has failed.",
            description="Failures that peers reported to {{ $labels.instance }} in the last "
            f'{config.memory}: {{{{ printf "%.0f" $value }}}}.',
        ),
        _Alert(
            "MaestroTestIncomplete",
            expr=f"increase({incomplete}[{config.memory}]) > 0",
            severity="warning",
            summary="A Maestro test has ended without a word of all its peers.",
            description="Tests that {{ $labels.instance }} saw end so in the last "
            f'{config.memory}: {{{{ printf "%.0f" $value }}}}.',
        ),
        _Alert(
            "MaestroTestStalled",
            expr=f"""
sum without (direction) ({rate}) == 0
{running}
{connected(of)}""",
            hold="5m",
            severity="warning",
            summary="A Maestro test runs, and nothing is exchanged.",
            description="In the test that {{ $labels.instance }} watches, no message is sent or "
            "received.",
        ),
        _Alert(
            "MaestroPeerAbnormalDisconnect",
            expr=f"increase({of('maestro_peer_abnormal_disconnect')}[{config.memory}]) > 0",
            severity="warning",
            summary="A Maestro peer has lost its connection without a goodbye.",
            description="Abnormal disconnects that {{ $labels.instance }} heard of in the last "
            f'{config.memory}: {{{{ printf "%.0f" $value }}}}.',
        ),
        _Alert(
            "MaestroPeerClockSkew",
            expr=f"""
abs({of("maestro_peer_clock_offset_seconds")})
  - {of("maestro_peer_clock_offset_error_seconds")}
> {config.clock_offset_bad}""",
            hold="10m",
            severity="warning",
            summary="The clock of a Maestro peer is wrong, and so are latencies measured with it.",
            description="The clock of {{ $labels.type }} {{ $labels.peer }} is "
            "{{ $value | humanizeDuration }} or more off that of {{ $labels.instance }}.",
        ),
        _Alert(
            "MaestroReceiverLag",
            # Where nothing is received this is +Inf, which is right: it would never drain. The last
            # lines leave out what an exporter that was restarted in the middle of a test cannot
            # know, and tests without receivers.
            expr=f"""
{BACKLOG} / ignoring (direction) {rate}{{{RECEIVED}}} > {config.drain_bad:g}
{running}
{connected(of)}
and on (job, instance) {of("maestro_peers", 'type="receiver"')} > 0
unless on (job, instance)
  {of("maestro_test_start_timestamp_seconds")}
    - {of("process_start_time_seconds")} < {config.blind:g}""",
            hold="2m",
            severity="warning",
            summary="Maestro's receivers fall behind its senders.",
            description="At the present rate the backlog that {{ $labels.instance }} sees would "
            "take {{ $value | humanizeDuration }} to drain.",
        ),
        _Alert(
            "MaestroWorkerStalled",
            expr=f"""
rate({of("maestro_message_count", WORKERS)}[{config.window}]) == 0
and on (job, instance) {rate}{{{SENT}}} > 0""",
            hold="2m",
            severity="info",
            summary="A Maestro worker exchanges nothing while others do.",
            description="{{ $labels.type }} {{ $labels.peer }} exchanges no messages while senders "
            "send (seen by {{ $labels.instance }}).",
        ),
        _Alert(
            "MaestroPeerSlow",
            expr=f"{of('maestro_peer_round_trip_seconds')} > {config.round_trip_bad}",
            hold="5m",
            severity="info",
            summary="A Maestro peer answers slowly.",
            description="{{ $labels.type }} {{ $labels.peer }} takes "
            "{{ $value | humanizeDuration }} to answer a PING of {{ $labels.instance }}.",
        ),
        _Alert(
            "MaestroResultsLost",
            expr=f"""
increase({of("maestro_exporter_broker_sessions_lost_total")}[{config.memory}]) > 0
or increase({of("maestro_exporter_results_dropped_total")}[{config.memory}]) > 0""",
            severity="warning",
            summary="Results of Maestro tests may not have been counted.",
            description="The broker did not keep what was published while {{ $labels.instance }} "
            "was away, or more came at once than could be taken in.",
        ),
    ]
    return [alert.rule(config.runbooks) for alert in alerts]


@dataclass(frozen=True, slots=True)
class _Alert:
    """An alert.

    Attributes:
        expr: what gives a value for each thing that is wrong.
        hold: for how long that must be so; none where `expr` looks back by itself.
        severity: `critical` (look now), `warning` (in working hours) or `info` (when asking why).
        summary: a sentence that is the same for all that it is about, so that they group.
        description: a sentence about the one thing.
    """

    name: str
    expr: str = field(kw_only=True)
    hold: str | None = field(kw_only=True, default=None)
    severity: str = field(kw_only=True)
    summary: str = field(kw_only=True)
    description: str = field(kw_only=True)

    def rule(self, runbooks: str) -> Rule:
        """Give it as Prometheus wants it."""
        return {
            "alert": self.name,
            "expr": _block(self.expr),
            **({} if self.hold is None else {"for": self.hold}),
            "labels": {"severity": self.severity},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{runbooks}/{self.name}.md",
            },
        }


def _record(name: str, expr: str) -> Rule:
    return {"record": name, "expr": _block(expr)}


def _block(expr: str) -> str:
    """Give an expression as YAML should show it: on one line, or line by line."""
    expr = expr.strip("\n")
    return _Block(expr + "\n") if "\n" in expr else expr
