"""The board for one cluster: is it complete, are its clocks right, does all arrive, who is slow?"""

from __future__ import annotations

from grafana.generator import board, panels
from grafana.generator.board import Line, Row
from grafana.generator.config import Config
from grafana.generator.panels import (
    BAD,
    CONNECTION,
    DOUBTFUL,
    GOOD,
    IDLE,
    NEVER,
    RECEIVER,
    RUNNING,
    SENDER,
    WHILE_RUNNING,
    Json,
    alarming,
    colored,
    fixed,
    from_query,
    graded,
    named,
    now,
    over_time,
    stat,
    states,
    steps,
    timeseries,
    words,
)
from grafana.generator.promql import (
    MESSAGES,
    OF_TYPE,
    RATE_INTERVAL,
    RECEIVED,
    SENT,
    TEST_PEERS,
    WORKERS,
    connected,
    message_rate,
    missing_peers,
    of_exporter,
    of_peer,
)

UID = "maestro-test-cluster"
FAILED = 'result="failure"'

_PEER = "{{type}} {{peer}}"
_BACKLOG = f"sum({of_exporter(MESSAGES, SENT)}) - sum({of_exporter(MESSAGES, RECEIVED)})"
_BACKLOG_LEFT = f"clamp_min({_BACKLOG}, 0)"
_RATES = f"sum by (direction) ({message_rate(of_exporter, RATE_INTERVAL)})"
_RATE_RECEIVED = f"sum({message_rate(of_exporter, RATE_INTERVAL, RECEIVED)})"


def make(config: Config) -> Json:
    """Give the board."""
    return board.make(
        UID,
        "Maestro / Test cluster",
        "A cluster of the Maestro test system on one broker: who is there, what is sent and "
        "received, whose clock is wrong, what came of the tests.",
        [
            _overview(config),
            _timeline(),
            _throughput(),
            _peers(config),
            _exporter(),
        ],
        variables=board.peer_variables(),
        annotations=[
            board.annotation(
                "Test started",
                f"{of_exporter('maestro_test_start_timestamp_seconds')} * 1000",
                SENDER,
                at_value=True,
            ),
            board.annotation("Test failed", _happened("test_failure"), BAD),
            board.annotation("Abnormal disconnect", _happened("abnormal_disconnect"), DOUBTFUL),
        ],
    )


def _happened(kind: str) -> str:
    """Tell while a notification has just come; a restart of the exporter is none."""
    counter = of_exporter("maestro_notifications_total", f'kind="{kind}"')
    return f"ceil(increase({counter}[$__rate_interval])) > 0"


def _in_range(counter: str, *matchers: str) -> str:
    """Count what happened in the range that is shown."""
    return f"sum(round(increase({of_exporter(counter, *matchers)}[$__range])))"


# ------------------------------------------------------------------ overview


def _overview(config: Config) -> Row:
    offset = of_exporter("maestro_peer_clock_offset_seconds")
    error = of_exporter("maestro_peer_clock_offset_error_seconds")
    broker = stat(
        "Broker",
        "Whether the exporter is connected to the Maestro broker. While it is not, all else on "
        "this board is of the past. Without a value, Prometheus cannot reach the exporter.",
        now(f"min({of_exporter('maestro_up')})"),
        unit="none",
        mappings=CONNECTION,
        thresholds=steps((None, BAD), (1, GOOD)),
        filled=True,
        no_value="exporter down",
    )
    test = stat(
        "Test",
        "Whether a test runs. It does from the first peer that begins to the last that reports, "
        "or goes.",
        now(f"max({of_exporter('maestro_test_running')})"),
        unit="none",
        mappings=RUNNING,
    )
    up = stat(
        "Peers that answer",
        "Processes that have answered lately, by what they do; other are workers of 1.5 that have "
        "no role, as between tests. Compare with what the cluster should have.",
        now(
            f"sum by (type) ({of_exporter('maestro_peers', TEST_PEERS)})",
            "{{type}}",
        ),
        unit="none",
        text="value_and_name",
    )
    up_known = f"{of_exporter('maestro_peer_up')} {connected(of_exporter)}"
    missing = stat(
        "Missing",
        "Peers that did answer and have fallen silent. One that has been silent for long "
        "(--peer-forget) is forgotten, here too. Of processes that share a name, one that is gone "
        "shows in their number beside, and as an alert.",
        now(f"count({missing_peers(of_exporter)}) or sum({up_known}) * 0"),
        unit="none",
        thresholds=alarming(1, BAD),
    )
    clocks = stat(
        "Clocks agree within",
        "No two clocks of peers differ by more, the errors of the estimates included. Latencies "
        f"of messages are of that accuracy. Below {config.clock_offset_good * 1000:g} ms it seldom "
        "matters.",
        now(f"max({offset} + {error}) - min({offset} - {error})"),
        unit="s",
        thresholds=graded(config.clock_offset_good, config.clock_offset_bad),
    )
    slowest = stat(
        "Slowest answer",
        "The longest time that a peer took for its last answer to a PING, there and back. Slow "
        "peers are overloaded, or the broker between is.",
        now(f"max({of_exporter('maestro_peer_round_trip_seconds')})"),
        unit="s",
        thresholds=graded(config.round_trip_good, config.round_trip_bad),
    )
    sent = _count("Sent", "sent, by all senders", f"sum({of_exporter(MESSAGES, SENT)})", SENDER)
    received = _count(
        "Received",
        "received, by all receivers",
        f"sum({of_exporter(MESSAGES, RECEIVED)})",
        RECEIVER,
    )
    rate = stat(
        "Rate",
        "Messages per second of all senders and of all receivers, now.",
        now(_RATES, "{{direction}}"),
        unit="mps",
        text="value_and_name",
        overrides=[
            named("sent", thresholds=steps((None, SENDER))),
            named("received", thresholds=steps((None, RECEIVER))),
        ],
    )
    backlog = stat(
        "Backlog",
        "Messages of the current or last test that were sent and not received: what the broker "
        "still holds, or has lost. It wavers by what is exchanged between the answers of two "
        "peers. On a topic each receiver gets every message: there it is negative, and says "
        "nothing.",
        over_time(_BACKLOG, ""),
        unit="short",
        graph=True,
    )
    drain = stat(
        "Time to drain",
        "How long the backlog would take to be received, at the present rate, were nothing sent "
        f"any more; never, where nothing is received. Above {config.drain_bad:g} s the receivers "
        "fall behind. Without a value, there is neither a backlog nor anything received.",
        now(f"{_BACKLOG_LEFT} / {_RATE_RECEIVED} >= 0"),
        unit="s",
        mappings=[NEVER],
        thresholds=alarming(config.drain_bad, BAD),
    )
    finished = stat(
        "Tests finished",
        "Tests of the whole cluster that ended in the range shown: all peers reported success, "
        "one reported failure, or one went without a word (incomplete).",
        now(
            f"sum by (result) (round(increase("
            f"{of_exporter('maestro_tests_finished_total')}[$__range])))",
            "{{result}}",
        ),
        unit="none",
        text="value_and_name",
        overrides=[
            named("success", thresholds=steps((None, IDLE), (1, GOOD))),
            named("failure", thresholds=steps((None, IDLE), (1, BAD))),
            named("incomplete", thresholds=steps((None, IDLE), (1, DOUBTFUL))),
        ],
    )
    disconnects = stat(
        "Abnormal disconnects",
        "Peers whose connection broke without a goodbye, in the range shown, as the broker said "
        "for them. Only C peers have it say so: for others, look at Missing.",
        now(_in_range("maestro_notifications_total", 'kind="abnormal_disconnect"')),
        unit="none",
        thresholds=alarming(1, DOUBTFUL),
    )
    return Row(
        "Overview",
        [
            Line(4, [(4, broker), (3, test), (8, up), (3, missing), (3, clocks), (3, slowest)]),
            Line(4, [(4, sent), (4, received), (7, rate), (5, backlog), (4, drain)]),
            Line(3, [(16, finished), (8, disconnects)]),
        ],
    )


def _count(title: str, what: str, expr: str, color: str) -> Json:
    return stat(
        title,
        f"Messages {what}, in the current or last test, as they were last polled; those of peers "
        "that have gone since are among them.",
        over_time(expr, ""),
        unit="short",
        thresholds=steps((None, color)),
        graph=True,
    )


# ------------------------------------------------------------------ timeline


def _timeline() -> Row:
    start = of_exporter("maestro_test_start_timestamp_seconds")
    end = of_exporter("maestro_test_end_timestamp_seconds")
    name = stat(
        "Current or last test",
        "Its name and its script, as 1.5 peers announce them. Older peers do not.",
        now(of_exporter("maestro_test_info"), "{{name}} ({{script}})"),
        unit="none",
        text="name",
        no_value="not announced",
    )
    duration = stat(
        "Duration",
        "How long the test has been running, or how long the last one took.",
        now(f"max({end} - {start} or time() - {start})"),
        unit="s",
    )
    tests = states(
        "Tests",
        "When a test ran. Its begin, failures and abnormal disconnects are marked on all panels.",
        over_time(of_exporter("maestro_test_running"), "{{instance}}"),
        mappings=WHILE_RUNNING,
    )
    peers = states(
        "Peers",
        "Which peers answered when. Red is a peer that has fallen silent; after 15 minutes, or "
        "--peer-forget, its bar ends. A hole in all bars is an outage of the broker, of the "
        "exporter or of Prometheus.",
        over_time(f"{of_peer('maestro_peer_up')} {connected(of_exporter)}", _PEER),
        mappings=words((0, "silent", BAD), (1, "answers", GOOD)),
        no_value="no peer has answered",
    )
    return Row(
        "Test timeline",
        [Line(4, [(8, name), (4, duration), (12, tests)]), Line(10, [(24, peers)])],
    )


# ---------------------------------------------------------------- throughput


def _throughput() -> Row:
    reported = f"sum by (type) ({of_exporter('maestro_rate', WORKERS)})"
    dashed = {"custom__lineStyle": {"dash": [4, 6], "fill": "dash"}, "custom__fillOpacity": 0}
    combined = timeseries(
        "Sent against received",
        "Messages per second of all senders and of all receivers: the lines should lie on each "
        "other, and while they do not, the backlog grows or shrinks. Dashed: the average since "
        "the test began, as the peers report it.",
        over_time(_RATES, "{{direction}}"),
        over_time(reported, "{{type}}s report"),
        unit="mps",
        fill=10,
        minimum=0,
        overrides=[
            from_query("B", **dashed),
            named("sent", color=fixed(SENDER)),
            named("received", color=fixed(RECEIVER)),
            named("senders report", color=fixed(SENDER)),
            named("receivers report", color=fixed(RECEIVER)),
        ],
    )
    backlog = timeseries(
        "Backlog",
        "Messages that were sent and not received, of the current or last test. It should stay "
        "level; what rises will not be delivered in time. On a topic it is negative, and says "
        "nothing.",
        over_time(_BACKLOG, "backlog"),
        unit="short",
        fill=25,
        minimum=0,
    )
    drain = timeseries(
        "Time to drain",
        "The backlog, over the rate at which messages are received. It has a hole where none are.",
        over_time(f"{_BACKLOG_LEFT} / ({_RATE_RECEIVED} > 0)", "time to drain"),
        unit="s",
        fill=10,
        minimum=0,
    )
    rates = timeseries(
        "Rate by peer",
        "Messages per second of each sender and receiver, now. One line apart from its fellows is "
        "a slow peer; one at 0 is stuck.",
        # Where processes share a series, one that goes takes its count out of it. To rate() that is
        # a counter that began anew, and so a peak: better none for a while.
        over_time(
            f"rate({of_peer('maestro_message_count', WORKERS)}[$__rate_interval]) "
            "unless on (job, instance, peer, type) "
            f"changes({of_peer('maestro_peer_instances', WORKERS)}[$__rate_interval]) > 0",
            _PEER,
        ),
        unit="mps",
        minimum=0,
        legend_right=True,
    )
    latencies = timeseries(
        "Latency of messages",
        "Mean latency of the messages, where receivers measure it: they do in tests that have a "
        "latency as a condition to fail. It has the difference between the clocks of sender and "
        "receiver in it.",
        over_time(of_peer("maestro_peer_latency_seconds"), _PEER),
        unit="s",
        minimum=0,
    )
    connections = timeseries(
        "Connections by peer",
        "Connections that each sender and receiver is configured for, on top of each other.",
        over_time(of_peer("maestro_connection_count", WORKERS), _PEER),
        unit="none",
        stacked=True,
        fill=40,
        minimum=0,
    )
    return Row(
        "Throughput",
        [
            Line(10, [(12, combined), (12, backlog)]),
            Line(10, [(24, rates)]),
            Line(11, [(8, drain), (8, latencies), (8, connections)]),
        ],
    )


# --------------------------------------------------------------------- peers


def _peers(config: Config) -> Row:
    histogram = of_exporter("maestro_round_trip_seconds_bucket", OF_TYPE)  # of all peers of a type
    buckets = f"sum by (le) (rate({histogram}[$__rate_interval]))"
    round_trips = timeseries(
        "Round trip by peer",
        "Time from a PING to its answer. A peer that is slow is overloaded, or far; if all are, it "
        "is the broker.",
        over_time(of_peer("maestro_peer_round_trip_seconds"), _PEER),
        unit="s",
        minimum=0,
    )
    quantiles = timeseries(
        "Round trip, quantiles",
        "Of all answers to PINGs, by the peers of the chosen types: half were faster than p50, one "
        "in a hundred was slower than p99. As exact as the buckets of the histogram, whose bounds "
        "lie a factor of 2 or 2.5 apart.",
        *(
            over_time(f"histogram_quantile({share}, {buckets}) >= 0", f"p{round(share * 100)}")
            for share in (0.5, 0.9, 0.99)
        ),
        unit="s",
        minimum=0,
        overrides=[
            named("p50", color=fixed(GOOD)),
            named("p90", color=fixed(DOUBTFUL)),
            named("p99", color=fixed(BAD)),
        ],
    )
    offsets = timeseries(
        "Clock offset",
        "How far the clock of each peer is ahead of the exporter's. Lines that slope are clocks "
        "that nothing disciplines; steps are clocks that were set.",
        over_time(of_peer("maestro_peer_clock_offset_seconds"), _PEER),
        unit="s",
    )
    errors = timeseries(
        "Clock offset, error",
        "How far the true offset is from the one beside at most. It is half of the round trip, and "
        "a millisecond: for a peer that answers slowly, little can be said of its clock.",
        over_time(of_peer("maestro_peer_clock_offset_error_seconds"), _PEER),
        unit="s",
        minimum=0,
    )
    pings = timeseries(
        "Ping",
        "What Maestro calls ping: the time from the exporter's clock to the peer's, one way, with "
        "the difference of the two clocks in it; so it may be negative. Round trip and clock "
        "offset are what it is made of.",
        over_time(of_peer("maestro_ping"), _PEER),
        unit="ms",
    )
    return Row(
        "Peers",
        [
            Line(12, [(24, _peer_table(config))]),
            Line(11, [(12, round_trips), (12, quantiles)]),
            Line(11, [(8, offsets), (8, errors), (8, pings)]),
        ],
    )


def _peer_table(config: Config) -> Json:
    def each(expr: str) -> str:
        return f"max by (instance, type, peer) ({expr})"  # rows join by just these labels

    def value(name: str) -> str:
        return each(of_peer(name))

    offset, error = "Clock offset", "± error"
    return panels.table(
        "All peers",
        "What is known of each peer now. Of one that has fallen silent, nothing is but its name. "
        "Rate is the average since its test began, as it reports it.",
        {
            "Up": value("maestro_peer_up"),
            "Last reply": each(f"time() - {of_peer('maestro_peer_last_reply_timestamp_seconds')}"),
            "Round trip": value("maestro_peer_round_trip_seconds"),
            "Ping": value("maestro_ping"),
            offset: value("maestro_peer_clock_offset_seconds"),
            error: value("maestro_peer_clock_offset_error_seconds"),
            "Rate": value("maestro_rate"),
            "Messages": value("maestro_message_count"),
            "Connections": value("maestro_connection_count"),
            "Processes": value("maestro_peer_instances"),
        },
        labels={"type": "Type", "peer": "Peer"},
        last={"instance": "Exporter"},
        sort_by="Type",
        overrides=[
            named("Peer", custom__minWidth=260),
            named("Exporter", custom__minWidth=160),
            colored(
                "Up",
                mappings=words((0, "silent", BAD), (1, "up", GOOD)),
                unit="none",
            ),
            named("Last reply", unit="s", decimals=0),
            colored(
                "Round trip",
                thresholds=graded(config.round_trip_good, config.round_trip_bad),
                unit="s",
            ),
            named("Ping", unit="ms"),
            colored(
                offset,
                thresholds=steps(
                    (None, IDLE),
                    (-1e9, BAD),
                    (-config.clock_offset_bad, DOUBTFUL),
                    (-config.clock_offset_good, GOOD),
                    (config.clock_offset_good, DOUBTFUL),
                    (config.clock_offset_bad, BAD),
                ),
                unit="s",
            ),
            named(error, unit="s"),
            named("Rate", unit="mps"),
            named("Messages", unit="short"),
            named("Connections", unit="none"),
            named("Processes", unit="none"),
        ],
    )


# ------------------------------------------------------------------ exporter


def _exporter() -> Row:
    def per_second(name: str) -> str:
        return f"rate({of_exporter(name)}[$__rate_interval])"

    def grown(name: str) -> str:
        return f"increase({of_exporter(name)}[$__rate_interval])"

    scrape = timeseries(
        "Scrape duration",
        "How long Prometheus needs to get the page of the exporter.",
        over_time(of_exporter("scrape_duration_seconds"), "{{instance}}"),
        unit="s",
        minimum=0,
    )
    rounds = timeseries(
        "Rounds",
        "Processes that are up, and those that have answered the last round of requests. Where "
        "fewer answer, some are slower than the interval (then their answers are late), or dead "
        "and not given up yet.",
        over_time(f"sum({of_exporter('maestro_peers')})", "up"),
        over_time(f"sum({of_exporter('maestro_exporter_last_round_replies')})", "answered"),
        over_time(f"sum({grown('maestro_exporter_late_replies_total')})", "late answers"),
        unit="none",
        minimum=0,
    )
    notes = timeseries(
        "Notes received",
        "Messages of Maestro that came and were understood, by kind.",
        over_time(
            f"sum by (command) ({per_second('maestro_exporter_notes_received_total')}) > 0",
            "{{command}}",
        ),
        unit="mps",
        minimum=0,
        legend_right=True,
    )
    losses = timeseries(
        "Not counted",
        "What came and was not taken in, by reason; results of tests that were dropped; times that "
        "the broker had not kept what it was asked to; what it dropped, to any of its clients; "
        "answers of peers beyond --max-peers. All should be at 0, but for `retained`: that is old "
        "news, and no loss.",
        over_time(
            f"sum by (reason) ({grown('maestro_exporter_notes_rejected_total')})", "{{reason}}"
        ),
        over_time(f"sum({grown('maestro_exporter_results_dropped_total')})", "results dropped"),
        over_time(f"sum({grown('maestro_exporter_broker_sessions_lost_total')})", "sessions lost"),
        over_time(
            f"sum({grown('maestro_broker_dropped_messages_total')})", "dropped by the broker"
        ),
        over_time(f"sum({grown('maestro_exporter_peers_rejected_total')})", "peers rejected"),
        unit="short",
        minimum=0,
        legend_right=True,
    )
    load = timeseries(
        "Load on the broker",
        "What the exporter itself adds to the traffic of the Maestro broker: payloads, in bytes "
        "per second.",
        over_time(f"sum({per_second('maestro_exporter_broker_received_bytes_total')})", "received"),
        over_time(f"sum({per_second('maestro_exporter_broker_sent_bytes_total')})", "sent"),
        unit="Bps",
        minimum=0,
    )
    connection = timeseries(
        "Trouble with the broker",
        "Connections that did not come about, or ended, by reason. The exporter tries again for "
        "ever; /-/ready says why it cannot.",
        over_time(
            f"sum by (reason) ({grown('maestro_exporter_broker_errors_total')}) > 0", "{{reason}}"
        ),
        unit="short",
        minimum=0,
        legend_right=True,
        no_value="no trouble",
    )
    stages = states(
        "Parts of the exporter",
        "Whether each part works. One that does not is started anew by the exporter itself.",
        over_time(of_exporter("maestro_exporter_stage_up"), "{{stage}} {{instance}}"),
        mappings=words((0, "ill", BAD), (1, "works", GOOD)),
    )
    cpu = timeseries(
        "CPU",
        "Share of one core that the exporter uses.",
        over_time(per_second("process_cpu_seconds_total"), "{{instance}}"),
        unit="percentunit",
        minimum=0,
    )
    memory = timeseries(
        "Memory",
        "Memory that the exporter has in use. It should be level while the cluster is.",
        over_time(of_exporter("process_resident_memory_bytes"), "{{instance}}"),
        unit="bytes",
        minimum=0,
    )
    return Row(
        "Exporter",
        [
            Line(8, [(12, rounds), (12, load)]),
            Line(8, [(12, notes), (12, losses)]),
            Line(8, [(12, connection), (12, stages)]),
            Line(8, [(8, scrape), (8, cpu), (8, memory)]),
        ],
        folded=True,
    )
