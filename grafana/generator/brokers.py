"""The board for several brokers: one row each, that leads to the board for its cluster."""

from __future__ import annotations

from grafana.generator import board, panels, test_cluster
from grafana.generator.board import Line, Row
from grafana.generator.config import Config
from grafana.generator.panels import (
    BAD,
    CONNECTION,
    GOOD,
    IDLE,
    RUNNING,
    WHILE_RUNNING,
    Json,
    colored,
    graded,
    named,
    over_time,
    states,
    steps,
    timeseries,
    words,
)
from grafana.generator.promql import (
    MESSAGES,
    RATE_INTERVAL,
    RECEIVED,
    SENT,
    connected,
    message_rate,
    missing_peers,
    of_exporter,
)

UID = "maestro-brokers"

# Whatever else a site adds to its targets stays in the result, and so in the table.
_BACKLOG = f"{of_exporter(MESSAGES, SENT)} - ignoring(direction) {of_exporter(MESSAGES, RECEIVED)}"
_TO_CLUSTER = {
    "title": "The cluster of this broker",
    "url": f"/d/{test_cluster.UID}?${{datasource:queryparam}}&var-job=${{__data.fields.Job}}"
    "&var-instance=${__value.text}&${__url_time_range}",
}


def make(config: Config) -> Json:
    """Give the board."""
    connection = states(
        "Connection to the broker",
        "When each exporter was connected to its broker.",
        over_time(of_exporter("maestro_up"), "{{instance}}"),
        mappings=CONNECTION,
    )
    tests = states(
        "Tests",
        "When a test ran on which broker.",
        over_time(of_exporter("maestro_test_running"), "{{instance}}"),
        mappings=WHILE_RUNNING,
    )
    received = timeseries(
        "Received",
        "Messages per second that all receivers of a cluster get.",
        over_time(message_rate(of_exporter, RATE_INTERVAL, RECEIVED), "{{instance}}"),
        unit="mps",
        minimum=0,
    )
    backlog = timeseries(
        "Backlog",
        "Messages that were sent and not received, of the current or last test of a cluster.",
        over_time(_BACKLOG, "{{instance}}"),
        unit="short",
        minimum=0,
    )
    return board.make(
        UID,
        "Maestro / Brokers",
        "All clusters of the Maestro test system at once, one exporter and one row each.",
        [
            Row("Brokers", [Line(8, [(24, _table(config))])]),
            Row(
                "Over time",
                [
                    Line(6, [(12, connection), (12, tests)]),
                    Line(9, [(12, received), (12, backlog)]),
                ],
            ),
        ],
    )


def _table(config: Config) -> Json:
    up = of_exporter("maestro_peer_up")
    offset = of_exporter("maestro_peer_clock_offset_seconds")
    error = of_exporter("maestro_peer_clock_offset_error_seconds")

    def happened(name: str, *matchers: str) -> str:
        return f"round(increase({of_exporter(name, *matchers)}[$__range]))"

    def raw(name: str) -> str:
        return f"max without (__name__) ({of_exporter(name)})"  # the name would keep rows apart

    bad_if_any = steps((None, IDLE), (1, BAD))
    return panels.table(
        "Brokers",
        "One exporter each, and what it says of its cluster now; tests that finished and failed in "
        "the range shown. Labels that your Prometheus gives to its targets have columns, too. The "
        "instance leads to the board for that cluster.",
        {
            "Exporter": raw("up"),
            "Broker": raw("maestro_up"),
            "Peers": f"sum without (type) ({of_exporter('maestro_peers')})",
            "Missing": f"count without (peer, type) ({missing_peers(of_exporter)})"
            f" or sum without (peer, type) ({up} {connected(of_exporter)}) * 0",
            "Clocks within": f"max without (peer, type) ({offset} + {error})"
            f" - min without (peer, type) ({offset} - {error})",
            "Test": raw("maestro_test_running"),
            "Sent": f"sum without (direction) ({of_exporter(MESSAGES, SENT)})",
            "Received": f"sum without (direction) ({of_exporter(MESSAGES, RECEIVED)})",
            "Backlog": _BACKLOG,
            "Finished": f"sum without (result) ({happened('maestro_tests_finished_total')})",
            "Failed": "sum without (result) ("
            f"{happened('maestro_tests_finished_total', test_cluster.FAILED)})",
        },
        labels={"job": "Job", "instance": "Instance"},
        sort_by="Instance",
        overrides=[
            named("Instance", custom__minWidth=180, links=[_TO_CLUSTER]),
            colored(
                "Exporter",
                mappings=words((0, "down", BAD), (1, "up", GOOD)),
                unit="none",
            ),
            colored(
                "Broker",
                mappings=CONNECTION,
                unit="none",
            ),
            named("Peers", unit="none"),
            colored("Missing", thresholds=bad_if_any, unit="none"),
            colored(
                "Clocks within",
                thresholds=graded(config.clock_offset_good, config.clock_offset_bad),
                unit="s",
            ),
            colored(
                "Test",
                mappings=RUNNING,
                unit="none",
            ),
            named("Sent", unit="short"),
            named("Received", unit="short"),
            named("Backlog", unit="short"),
            named("Finished", unit="none"),
            colored("Failed", thresholds=bad_if_any, unit="none"),
        ],
    )
