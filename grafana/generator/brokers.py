"""The board for several brokers: one row each, that leads to the board for its cluster."""

from __future__ import annotations

from grafana.generator import board, panels, test_cluster
from grafana.generator.board import Line, Row
from grafana.generator.config import Config
from grafana.generator.panels import (
    BAD,
    GOOD,
    IDLE,
    SENDER,
    Json,
    graded,
    named,
    over_time,
    states,
    steps,
    timeseries,
    words,
)
from grafana.generator.promql import (
    CONNECTED,
    RECEIVED,
    SENT,
    message_rate,
    missing_peers,
    of_exporter,
)

UID = "maestro-brokers"

_MESSAGES = "maestro_test_messages"
# Whatever else a site adds to its targets stays in the result, and so in the table.
_BACKLOG = (
    f"{of_exporter(_MESSAGES, SENT)} - ignoring(direction) {of_exporter(_MESSAGES, RECEIVED)}"
)
_TO_CLUSTER = {
    "title": "The cluster of this broker",
    "url": f"/d/{test_cluster.UID}?${{datasource:queryparam}}&var-job=${{__data.fields.Job}}"
    "&var-instance=${__value.text}&${__url_time_range}",
}


def make(config: Config) -> Json:
    """Give the board."""
    return board.make(
        UID,
        "Maestro / Brokers",
        "All clusters of the Maestro test system at once, one exporter and one row each.",
        [
            Row("Brokers", [Line(8, [(24, _table(config))])]),
            Row(
                "Over time",
                [
                    Line(
                        6,
                        [
                            (
                                12,
                                states(
                                    "Connection to the broker",
                                    "When each exporter was connected to its broker.",
                                    over_time(of_exporter("maestro_up"), "{{instance}}"),
                                    mappings=words(
                                        (0, "disconnected", BAD), (1, "connected", GOOD)
                                    ),
                                ),
                            ),
                            (
                                12,
                                states(
                                    "Tests",
                                    "When a test ran on which broker.",
                                    over_time(of_exporter("maestro_test_running"), "{{instance}}"),
                                    mappings=words(
                                        (0, "idle", "transparent"), (1, "running", SENDER)
                                    ),
                                ),
                            ),
                        ],
                    ),
                    Line(
                        9,
                        [
                            (
                                12,
                                timeseries(
                                    "Received",
                                    "Messages per second that all receivers of a cluster get.",
                                    over_time(
                                        message_rate(RECEIVED),
                                        "{{instance}}",
                                    ),
                                    unit="mps",
                                    minimum=0,
                                ),
                            ),
                            (
                                12,
                                timeseries(
                                    "Backlog",
                                    "Messages that were sent and not received, of the current or "
                                    "last test of a cluster.",
                                    over_time(_BACKLOG, "{{instance}}"),
                                    unit="short",
                                    minimum=0,
                                ),
                            ),
                        ],
                    ),
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

    text = {"type": "color-text"}
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
            "Missing": f"count without (peer, type) ({missing_peers()})"
            f" or sum without (peer, type) ({up} {CONNECTED}) * 0",
            "Clocks within": f"max without (peer, type) ({offset} + {error})"
            f" - min without (peer, type) ({offset} - {error})",
            "Test": raw("maestro_test_running"),
            "Sent": f"sum without (direction) ({of_exporter(_MESSAGES, SENT)})",
            "Received": f"sum without (direction) ({of_exporter(_MESSAGES, RECEIVED)})",
            "Backlog": _BACKLOG,
            "Finished": f"sum without (result) ({happened('maestro_tests_finished_total')})",
            "Failed": "sum without (result) ("
            f"{happened('maestro_tests_finished_total', test_cluster.FAILED)})",
        },
        labels={"job": "Job", "instance": "Instance"},
        sort_by="Instance",
        overrides=[
            named("Instance", custom__minWidth=180, links=[_TO_CLUSTER]),
            named(
                "Exporter",
                custom__cellOptions=text,
                mappings=words((0, "down", BAD), (1, "up", GOOD)),
                unit="none",
            ),
            named(
                "Broker",
                custom__cellOptions=text,
                mappings=words((0, "disconnected", BAD), (1, "connected", GOOD)),
                unit="none",
            ),
            named("Peers", unit="none"),
            named("Missing", custom__cellOptions=text, thresholds=bad_if_any, unit="none"),
            named(
                "Clocks within",
                custom__cellOptions=text,
                thresholds=graded(config.clock_offset_good, config.clock_offset_bad),
                unit="s",
            ),
            named(
                "Test",
                custom__cellOptions=text,
                mappings=words((0, "idle", IDLE), (1, "running", SENDER)),
                unit="none",
            ),
            named("Sent", unit="short"),
            named("Received", unit="short"),
            named("Backlog", unit="short"),
            named("Finished", unit="none"),
            named("Failed", custom__cellOptions=text, thresholds=bad_if_any, unit="none"),
        ],
    )
