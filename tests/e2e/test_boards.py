"""What boards and rules ask, asked of a real Prometheus that watched a cluster in its troubles.

The cluster has two tests: one that hangs at first, and then succeeds; and one in which a receiver
dies, a C peer loses its connection, a sender is stuck and another reports a failure. A clock is
wrong, a peer is slow, of two workers with one name one dies, the broker goes and comes back, the
exporter starts again and again, and in the end is gone. On another broker, a test loses its only
peer. All waiting is for what Prometheus has seen of that.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt import publish

from maestro_exporter.notes import (
    Generation,
    Notification,
    Role,
    Test,
    TestFailure,
    TestStarted,
    TestSuccess,
    Topic,
)
from maestro_exporter.simulator import Peer, SimulatedCluster, Work
from tests.e2e.clusters import CPeer, page, simulated
from tests.grafana import promql
from tests.grafana.boards import (
    BOARDS,
    alerts,
    asked,
    label_values,
    load,
    marks,
    panel,
    panels,
    rules,
    value_columns,
    variables,
)
from tests.servers import Exporter, Mosquitto, Prometheus, Samples, wait_for

pytestmark = [pytest.mark.source, pytest.mark.long]

EACH_BOARD = pytest.mark.parametrize("name", BOARDS)
SCRAPE_SECONDS = 0.25
RATE_SECONDS = 3  # for $__rate_interval: at least four scrapes, and several rounds
WRONG_BY_SECONDS = 0.25
SLOW_BY_SECONDS = 0.7
CONNECTIONS = 3

#: What Prometheus says of each target itself.
OF_PROMETHEUS = {"up": {"job", "instance"}, "scrape_duration_seconds": {"job", "instance"}}

_TEST = Test(
    number=1, iteration=1, name="steady", script_name="Fixed.groovy", description="", comments=""
)


@dataclass(slots=True)
class Lab:
    """A cluster, who watches it, and when was what.

    Attributes:
        began, over: the time in which all happened.
        troubled: a moment in the second test, when all that can be wrong with a cluster is.
        exchanged: one at its end, when all has been polled that was sent and received.
        done: one when both tests have been counted.
        sent, received: messages of the second test, by the simulator's own count.
        starts: for each test, a time before and one after its begin.
        pages: pages of the exporter.
    """

    prometheus: Prometheus
    exporter: Exporter
    began: float
    over: float = 0.0
    troubled: float = 0.0
    exchanged: float = 0.0
    done: float = 0.0
    sent: int = 0
    received: int = 0
    starts: list[tuple[float, float]] = field(default_factory=list)
    pages: list[Samples] = field(default_factory=list)

    @property
    def instance(self) -> str:
        """What Prometheus calls the exporter of the cluster."""
        return self.exporter.address

    def wait(self, expr: str, expected: float, what: str) -> float:
        """Wait until Prometheus gives one value, this one; give the time."""

        def seen() -> bool:
            return list(self.prometheus.query(expr).values()) == [expected]

        wait_for(seen, f"{what}: {expr} to be {expected}", 30)
        return time.time()

    def of(self, name: str, matchers: str = "") -> str:
        """Give a selector of the exporter of the cluster."""
        return f'{name}{{instance="{self.instance}"{matchers and ", "}{matchers}}}'

    def noticed(self, names: str) -> str:
        """Give how many alerts of these names are pending, or fire."""
        return "count(" + self.of("ALERTS", f'alertname=~"Maestro({names})"') + ")"

    def expand(self, expr: str, at: float) -> str:
        """Put values into the place of Grafana's variables; the range shown ends at a time."""
        values = {
            "$__rate_interval": f"{RATE_SECONDS}s",
            "$__interval": "1s",
            "$__range": f"{math.ceil(at - self.began)}s",
        }
        values |= dict.fromkeys(("$job", "$instance", "$type", "$peer"), ".+")
        for name, value in values.items():
            expr = expr.replace(name, value)
        return expr

    def at(self, expr: str, when: float, instance: str = ".+") -> Samples:
        """Ask as a panel does that shows one moment."""
        return self.prometheus.query(self.expand(expr.replace("$instance", instance), when), when)

    def over_time(self, expr: str, instance: str = ".+") -> list[Any]:
        """Ask as a panel does that shows all the time."""
        expr = expr.replace("$instance", instance)
        return self.prometheus.query_range(
            self.expand(expr, self.over), self.began, self.over + SCRAPE_SECONDS, SCRAPE_SECONDS
        )

    def figure(self, title: str, when: float, query: int = 0) -> dict[str, float]:
        """Give what a panel of the first board shows of the cluster; by legend, or label values."""
        target = panel(load(BOARDS[0]), title)["targets"][query]
        return {
            " ".join(value for name, value in sorted(labels) if name not in ("job", "instance")): v
            for (_, labels), v in self.at(target["expr"], when, self.instance).items()
        }


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Let all happen; then only Prometheus is left."""
    with ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(extra=["sys_interval 1"]))
        times = ("--interval=300ms", "--peer-expiry=1500ms")
        exporter = Exporter(f"--maestro-url={broker.url}", *times)
        other_broker = stack.enter_context(Mosquitto())
        other = stack.enter_context(Exporter(f"--maestro-url={other_broker.url}", *times))
        began = time.time()
        prometheus = stack.enter_context(
            Prometheus(
                [exporter.address, other.address],
                f"{SCRAPE_SECONDS * 1000:g}ms",
                rule_files=[_rules(tmp_path_factory.mktemp("rules"))],
                job_name="maestro",
            )
        )
        lab = Lab(prometheus, exporter, began)
        with exporter:
            lab.wait(lab.of("maestro_up"), 1, "the exporter")
            with _test_without_an_end(other_broker):
                _two_tests(lab, broker)
            _outage_of_the_broker(lab, broker)
            _restarts(lab)
        lab.over = lab.wait(lab.noticed("ExporterDown"), 1, "the exporter to be missed")
        yield lab


def _rules(folder: Path) -> Path:
    """Give the rules, but that a test may begin soon after the exporter."""
    from grafana.generator.config import Config
    from grafana.generator.rules import as_text

    path = folder / "maestro.rules.yml"
    path.write_text(as_text(Config(blind=0)), "utf-8")
    return path


@contextmanager
def _test_without_an_end(broker: Mosquitto) -> Iterator[None]:
    """Let a test begin whose only peer dies."""
    peer = Peer(Generation.V1_5, Role.INSPECTOR, "alone")
    with simulated(broker, peer) as cluster:
        _say(cluster, TestStarted, [peer])
        wait_for(lambda: cluster.status().answers > 4, "it to be seen")
        cluster.kill(peer)
        yield


def _two_tests(lab: Lab, broker: Mosquitto) -> None:
    senders, receivers = _workers(Role.SENDER, 3), _workers(Role.RECEIVER, 2)
    inspector = Peer(Generation.V1_5, Role.INSPECTOR, "watch")
    agents = [
        Peer(Generation.V1_5, Role.AGENT, "wrong", clock_skew_seconds=WRONG_BY_SECONDS),
        Peer(Generation.V1_5, Role.AGENT, "slow", delay_seconds=SLOW_BY_SECONDS),
    ]
    spare = [Peer(Generation.V1_5, Role.OTHER, "spare") for _ in range(2)]  # of one name
    peers = [*senders, *receivers, inspector, *agents, *spare]
    c_peer = CPeer("receiver@c")
    with simulated(broker, *peers) as cluster, c_peer.living_on(broker):
        lab.wait(f"sum({lab.of('maestro_peers')})", len(peers) + 1, "all peers")

        # The first: all is well after a while, but for a sender that is stuck.
        members = [*senders, *receivers, inspector]
        _begin(lab, cluster, members)
        lab.wait(lab.noticed("TestStalled"), 1, "a test that hangs")
        for peer in (*senders[:2], *receivers):
            _work(cluster, peer, 100)
        lab.wait(f"{lab.of('maestro_test_messages', _SENT)} > bool 0", 1, "messages")
        _finish(cluster, [*senders[:2], *receivers])
        _say(cluster, TestSuccess, members)
        lab.wait(lab.of("maestro_tests_finished_total", 'result="success"'), 1, "success")

        # The second: receivers are slow, one of them dies, and a C peer vanishes.
        _begin(lab, cluster, members)
        for sender in senders[:2]:
            _work(cluster, sender, 100)
        _work(cluster, receivers[0], 20)
        _work(cluster, receivers[1], 20, still=True)
        lab.wait(f"count({lab.of('maestro_rate')} > 0)", 4, "all at work to have been polled")
        cluster.kill(receivers[1])
        cluster.kill(spare[1])
        c_peer.vanish()
        lab.wait(f"sum({lab.of('maestro_peer_up')} == bool 0)", 2, "two peers to be missed")
        lab.wait(lab.of("maestro_peer_abnormal_disconnect"), 1, "the will of the C peer")
        received = lab.of("maestro_test_messages", 'direction="received"')
        lab.wait(f"rate({received}[{RATE_SECONDS}s]) < bool 100", 1, "a steady pace")
        trouble = "ReceiverLag|WorkerStalled|PeerMissing|ProcessMissing|PeerClockSkew|PeerSlow"
        lab.troubled = lab.wait(lab.noticed(trouble), 7, "an alert for each trouble")
        lab.pages.append(page(lab.exporter))
        lab.sent = sum(_finish(cluster, senders[:2]))
        lab.received = sum(_finish(cluster, receivers))
        lab.wait(lab.of("maestro_test_messages", _SENT), lab.sent, "what was sent")
        lab.exchanged = lab.wait(received, lab.received, "what was received")
        _say(cluster, TestFailure, senders[:1])
        _say(cluster, TestSuccess, [*senders[1:], receivers[0], inspector])
        failures = lab.of("maestro_tests_finished_total", 'result="failure"')
        lab.wait(failures, 1, "failure")
        incomplete = 'sum(maestro_tests_finished_total{result="incomplete"})'
        lab.done = lab.wait(incomplete, 1, "a test without an end on the other broker")
        lab.pages.append(page(lab.exporter))


def _outage_of_the_broker(lab: Lab, broker: Mosquitto) -> None:
    # What comes is not always a note.
    publish.single(Topic.RESPONSES, b"\xc1", hostname="127.0.0.1", port=broker.port)
    rejected = lab.of("maestro_exporter_notes_rejected_total", 'reason="malformed"')
    lab.wait(rejected, 1, "what is no note")
    broker.stop()
    lab.wait(lab.of("maestro_up"), 0, "the broker to be missed")
    broker.start()
    lab.wait(lab.of("maestro_up"), 1, "the broker to be found again")
    # Nobody is left of the cluster.
    lab.wait(f"sum({lab.of('maestro_peers')})", 0, "all peers to be gone")


def _restarts(lab: Lab) -> None:
    for restarts in (1, 2, 3):
        lab.exporter.stop()
        lab.exporter.start()
        started = f"changes({lab.of('process_start_time_seconds')}[15m])"
        lab.wait(started, restarts, "a restart")
    lab.wait(lab.noticed("ExporterRestarting"), 1, "an alert about them")


_SENT = 'direction="sent"'


def _workers(role: Role, count: int) -> list[Peer]:
    return [Peer(Generation.V1_5, role, f"{role.name.lower()}-{i}") for i in range(count)]


def _begin(lab: Lab, cluster: SimulatedCluster, members: list[Peer]) -> None:
    before = time.time()
    _say(cluster, TestStarted, members)
    after = lab.wait(lab.of("maestro_test_running"), 1, "a test")
    lab.starts.append((before, after))


def _work(cluster: SimulatedCluster, peer: Peer, rate: float, *, still: bool = False) -> None:
    """Let a worker exchange messages, as if it had for a minute already; if `still`, no more."""
    began = cluster.now() - 60
    work = Work(
        started_at=began,
        rate=rate,
        lag_seconds=0.01 if peer.role is Role.RECEIVER else 0.0,
        parallel_count=CONNECTIONS,
        measures_latency=True,
    )
    peer.start(replace(work, ends_at=cluster.now() - 1) if still else work)


def _finish(cluster: SimulatedCluster, peers: list[Peer]) -> list[int]:
    """Let workers exchange nothing more; give what they have exchanged."""
    for peer in peers:
        assert peer.work is not None
        peer.work = replace(peer.work, ends_at=min(cluster.now(), peer.work.ends_at))
    return [peer.work.count(math.inf) for peer in peers if peer.work is not None]


def _say(cluster: SimulatedCluster, kind: type[Notification], peers: list[Peer]) -> None:
    for peer in peers:
        cluster.notify(peer, peer.say(kind, test=_TEST, message="Connection reset"))
        if kind is not TestStarted and peer.work is not None:
            peer.stop()


# --------------------------------------------------------------------- boards


@EACH_BOARD
def test_every_panel_has_something_to_show(lab: Lab, name: str) -> None:
    """No query of a panel is without a result: of one moment in the troubled test, or over all."""
    instance = lab.instance if name == BOARDS[0] else ".+"
    empty = [
        (each["title"], target["expr"])
        for each in panels(load(name))
        for target in each["targets"]
        if not (
            lab.at(target["expr"], lab.troubled, instance)
            if target["instant"]
            else lab.over_time(target["expr"], instance)
        )
    ]

    assert empty == []


@EACH_BOARD
def test_every_variable_has_values(lab: Lab, name: str) -> None:
    """Of each, all that there were can be chosen."""
    found = {}
    for each in variables(load(name)):
        selector, label = label_values(each["query"])
        selector = lab.expand(selector, lab.over)
        found[label] = set(lab.prometheus.label_values(label, selector, lab.began, lab.over))

    assert found["job"] == {"maestro"}
    assert lab.instance in found["instance"]
    assert len(found["instance"]) == 2
    if "type" in found:
        assert found["type"] == {"sender", "receiver", "inspector", "agent", "other"}
        assert {"receiver@c", "worker@sender-0", "worker@receiver-1", "agent@slow"} < found["peer"]


def test_what_happened_is_marked(lab: Lab) -> None:
    """Both tests are marked at their begin, the failure and the broken connection once each."""
    found = {each["name"]: lab.over_time(each["expr"]) for each in marks(load(BOARDS[0]))}

    assert len(found["Test started"]) == 2  # the other exporter has one, too
    (series,) = _of(found["Test started"], lab)
    began = sorted({float(value) / 1000 for _, value in series["values"]})
    assert len(began) == len(lab.starts)
    for moment, (before, after) in zip(began, lab.starts, strict=True):
        assert before - 0.1 <= moment <= after
    for name in ("Test failed", "Abnormal disconnect"):
        (series,) = found[name]
        assert _of(found[name], lab) == [series]
        times = [moment for moment, _ in series["values"]]
        assert times[-1] - times[0] <= RATE_SECONDS + 1  # one mark, and not one for each scrape


def _of(found: list[Any], lab: Lab) -> list[Any]:
    """Give the series that are about the exporter of the cluster."""
    return [each for each in found if each["metric"]["instance"] == lab.instance]


@pytest.mark.parametrize("name", BOARDS)
def test_what_is_asked_for_exists(lab: Lab, name: str) -> None:
    """Each metric and label of a board is on the exporter's page, or Prometheus' own."""
    _check_names(lab, [each.expr for each in asked(load(name))])


# ---------------------------------------------------------------- key figures


def test_overview_in_trouble(lab: Lab) -> None:
    """The figures at the top are what the simulator did, in the middle of the second test."""

    def figure(title: str) -> dict[str, float]:
        return lab.figure(title, lab.troubled)

    assert figure("Broker") == {"": 1}
    assert figure("Test") == {"": 1}
    assert figure("Peers that answer") == {
        "agent": 2,
        "inspector": 1,
        "other": 1,
        "receiver": 1,
        "sender": 3,
    }
    assert figure("Missing") == {"": 2}
    assert figure("Clocks agree within")[""] >= WRONG_BY_SECONDS
    assert figure("Slowest answer")[""] >= SLOW_BY_SECONDS
    assert figure("Time to drain")[""] > 30
    assert figure("Tests finished") == {"success": 1, "failure": 0, "incomplete": 0}
    assert figure("Abnormal disconnects") == {"": 1}


def test_what_was_exchanged(lab: Lab) -> None:
    """Sent, received and backlog are the simulator's own counts, those of the dead included."""
    figures = [lab.figure(each, lab.exchanged)[""] for each in ("Sent", "Received", "Backlog")]

    assert figures == [lab.sent, lab.received, lab.sent - lab.received]
    assert lab.sent > lab.received > 0


def test_tests_are_counted(lab: Lab) -> None:
    """Afterwards there are a success and a failure, and how long the last test took."""
    assert lab.figure("Tests finished", lab.done) == {"success": 1, "failure": 1, "incomplete": 0}
    assert lab.figure("Test", lab.done) == {"": 0}
    before, _ = lab.starts[-1]
    assert 0 < lab.figure("Duration", lab.done)[""] < lab.done - before
    assert lab.figure("Current or last test", lab.done) == {"1 steady 1 Fixed.groovy": 1}


def test_table_of_peers(lab: Lab) -> None:
    """The table has a row for each peer, the dead by name; a wrong clock is known to its error."""
    columns = value_columns(panel(load(BOARDS[0]), "All peers"))

    def column(name: str) -> dict[str, float]:
        return {
            dict(labels)["peer"]: value
            for (_, labels), value in lab.at(columns[name], lab.troubled, lab.instance).items()
        }

    up = column("Up")
    assert {peer for peer, value in up.items() if not value} == {"worker@receiver-1", "receiver@c"}
    assert len(up) == 10
    alive = {peer for peer, value in up.items() if value}
    for name in ("Last reply", "Rate", "Messages", "Connections", "Processes", "Round trip"):
        assert set(column(name)) == alive, name
    offset, error = column("Clock offset")["agent@wrong"], column("± error")["agent@wrong"]
    assert abs(offset - WRONG_BY_SECONDS) <= error < 0.2
    assert column("Round trip")["agent@slow"] >= SLOW_BY_SECONDS
    assert column("Connections")["worker@sender-0"] == CONNECTIONS
    assert column("Messages")["worker@sender-2"] == 0
    assert 0 < column("Rate")["worker@receiver-0"] < column("Rate")["worker@sender-0"]
    assert column("Processes")["worker@spare"] == 1


def test_rates(lab: Lab) -> None:
    """In the second test senders send more than receivers receive, and a stuck sender nothing."""
    for title in ("Rate", "Sent against received"):
        rates = lab.figure(title, lab.troubled)
        assert rates["sent"] > rates["received"] > 0
    by_peer = lab.figure("Rate by peer", lab.troubled)
    assert by_peer["worker@sender-2 sender"] == 0
    assert by_peer["worker@sender-0 sender"] > 0
    assert by_peer["worker@receiver-0 receiver"] > 0


def test_table_of_brokers(lab: Lab) -> None:
    """Each exporter has a row, and its columns tell them apart."""
    columns = value_columns(panel(load(BOARDS[1]), "Brokers"))
    seen = {
        name: {
            dict(labels)["instance"] == lab.instance: value
            for (_, labels), value in lab.at(expr, lab.done).items()
        }
        for name, expr in columns.items()
    }

    for name in ("Exporter", "Broker"):
        assert seen[name] == {True: 1, False: 1}
    assert seen["Test"] == {True: 0, False: 0}
    assert seen["Peers"] == {True: 8, False: 0}
    assert seen["Missing"] == {True: 2, False: 1}
    assert seen["Sent"] == {True: lab.sent, False: 0}
    assert seen["Received"] == {True: lab.received, False: 0}
    assert seen["Backlog"] == {True: lab.sent - lab.received, False: 0}
    assert seen["Finished"] == {True: 2, False: 1}
    assert seen["Failed"] == {True: 1, False: 0}


# ---------------------------------------------------------------------- rules


def test_prometheus_could_evaluate_each_rule(lab: Lab) -> None:
    """None ended in an error, and each recording rule has recorded."""
    evaluated = lab.prometheus.rules()

    assert len(evaluated) == len(rules())
    assert {each["health"] for each in evaluated} == {"ok"}
    for rule in rules():
        if "record" in rule:
            assert lab.over_time(rule["record"]), rule["record"]


@pytest.mark.parametrize("alert", alerts())
def test_each_alert_has_noticed(lab: Lab, alert: str) -> None:
    """Prometheus saw the expression of each alert come true: it was pending, or has fired."""
    assert lab.over_time(f'ALERTS{{alertname="{alert}"}}')


def test_alerts_name_the_right_peers(lab: Lab) -> None:
    """In the second test, those are named that had the trouble, and no others."""

    def peers(alert: str) -> set[str]:
        expr = lab.of("ALERTS", f'alertname="{alert}"')
        return {dict(labels)["peer"] for _, labels in lab.at(expr, lab.troubled)}

    assert peers("MaestroPeerMissing") == {"worker@receiver-1", "receiver@c"}
    assert peers("MaestroProcessMissing") == {"worker@spare"}
    assert peers("MaestroPeerClockSkew") == {"agent@wrong"}
    assert peers("MaestroWorkerStalled") == {"worker@sender-2"}
    assert peers("MaestroPeerSlow") == {"agent@slow"}


def test_what_rules_ask_for_exists(lab: Lab) -> None:
    """Each metric and label of a rule is on the exporter's page, Prometheus' own, or recorded."""
    _check_names(lab, [each["expr"] for each in rules()])


def _check_names(lab: Lab, exprs: list[str]) -> None:
    known: dict[str, set[str]] = {name: set(labels) for name, labels in OF_PROMETHEUS.items()}
    for samples in lab.pages:
        for name, labels in samples:
            known.setdefault(name, {"job", "instance"}).update(dict(labels))
    for rule in rules():
        if "record" in rule:
            known[rule["record"]] = {"job", "instance", "direction", "peer"}
    for expr in exprs:
        selectors = promql.selectors(expr)
        for selector in selectors:
            assert selector.name in known, expr
            assert selector.labels <= known[selector.name], expr
        at_hand = set().union(*(known[selector.name] for selector in selectors))
        assert promql.labels_named(expr) <= at_hand | {"__name__"}, expr
