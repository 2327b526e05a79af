"""What the exporter makes of whole clusters: test runs, clocks, odd peers and odd times."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from operator import itemgetter
from pathlib import Path

import pytest
from paho.mqtt import publish

from maestro_exporter.notes import (
    DrainComplete,
    Generation,
    Notification,
    PingRequest,
    Reply,
    Role,
    StatsRequest,
    Test,
    TestFailure,
    TestStarted,
    TestSuccess,
    Topic,
    decode,
    encode,
)
from maestro_exporter.simulator import Peer, SimulatedCluster, Work
from maestro_exporter.snapshot import NOTIFICATIONS, RESULTS
from tests.e2e.clusters import (
    GENERATIONS,
    SEED_COUNTERS,
    SEED_GAUGES,
    V1_3,
    V1_4,
    V1_5,
    CPeer,
    Label,
    by,
    by_peer,
    check_with_promtool,
    exporter_of,
    label,
    labels_of,
    listening,
    number,
    page,
    simulated,
    single,
    status,
    wait_for_page,
    wait_for_peers,
    wait_for_value,
)
from tests.samples import stats_response
from tests.servers import Exporter, Mosquitto, Samples, wait_for

pytestmark = pytest.mark.long

SHORT_EXPIRY = "--peer-expiry=1500ms"

#: With the placeholders of upstream's scripts: the next test, the last iteration.
TEST = Test(
    number=-1,
    iteration=-2,
    name="throughput",
    script_name="FixedRateTest.groovy",
    description="",
    comments="",
)
#: What `maestro_test_info` makes of it.
TEST_LABELS = {
    "number": "next",
    "iteration": "last",
    "name": "throughput",
    "script": "FixedRateTest.groovy",
}


def workers(generation: Generation, senders: int, receivers: int) -> list[Peer]:
    """Give workers, each on a host of its own."""
    roles = [Role.SENDER] * senders + [Role.RECEIVER] * receivers
    return [Peer(generation, role, f"node-{i}") for i, role in enumerate(roles)]


def say(cluster: SimulatedCluster, kind: type[Notification], *peers: Peer, message: str) -> None:
    """Let peers publish a notification about the test."""
    for peer in peers:
        cluster.notify(peer, peer.say(kind, test=TEST, message=message))


def work(cluster: SimulatedCluster, *peers: Peer) -> None:
    """Let workers exchange messages, as if they had for a minute already.

    That is longer than any test here takes: what one has exchanged is more than what others
    exchange meanwhile.
    """
    for peer in peers:
        lag = 0.01 if peer.role is Role.RECEIVER else 0.0
        peer.start(Work(started_at=cluster.now() - 60, rate=100.0, lag_seconds=lag))


def pause(cluster: SimulatedCluster, *peers: Peer) -> dict[Label, int]:
    """Let workers exchange nothing more; give what they have exchanged."""
    final = {}
    for peer in peers:
        assert peer.work is not None
        peer.work = replace(peer.work, ends_at=cluster.now())
        final[label(peer)] = peer.work.count(math.inf)
    return final


def exchanged(samples: Samples) -> tuple[float, float]:
    """Give the messages of the run: sent, received."""
    name = "maestro_test_messages"
    return number(samples, name, direction="sent"), number(samples, name, direction="received")


def results(samples: Samples) -> dict[str, float]:
    """Give the runs that are over by result, without the results that none came to."""
    found = by(samples, "result", "maestro_tests_finished_total")
    assert set(found) == set(RESULTS)
    return {result: count for result, count in found.items() if count}


def notified(samples: Samples) -> dict[str, float]:
    """Give the notifications by kind, without the kinds that none was of."""
    found = by(samples, "kind", "maestro_notifications_total")
    assert set(found) == set(NOTIFICATIONS)
    return {kind: count for kind, count in found.items() if count}


def counts(samples: Samples) -> dict[Label, float]:
    """Give the messages of each peer's current test."""
    return by_peer(samples, "maestro_message_count")


def summed(values: Mapping[Label, float], members: Iterable[Peer]) -> tuple[float, float]:
    """Give the sums over the senders and over the receivers."""
    sums = dict.fromkeys((Role.SENDER, Role.RECEIVER), 0.0)
    for member in members:
        sums[member.role] += values[label(member)]
    return sums[Role.SENDER], sums[Role.RECEIVER]


def wait_for_result(exporter: Exporter, result: str) -> Samples:
    """Wait for the first result; give that page."""
    samples = wait_for_page(exporter, results, "a run to be over")
    assert results(samples) == {result: 1}
    return samples


# ------------------------------------------------------------------------- test runs


@GENERATIONS
def test_a_run_in_which_a_worker_dies(generation: Generation) -> None:
    """A run begins, grows, keeps what a worker had exchanged that dies, and ends incomplete."""
    members = workers(generation, senders=2, receivers=2)
    *survivors, victim = members
    # Only 1.5 peers announce their tests; among these are the inspectors.
    inspectors = [Peer(V1_5, Role.INSPECTOR, "node-i")] if generation is V1_5 else []
    announced = [*members, *inspectors] if generation is V1_5 else []
    drained = [each for each in survivors if each.role is Role.RECEIVER and each.generation != V1_3]
    with (
        Mosquitto() as broker,
        simulated(broker, *members, *inspectors) as cluster,
        exporter_of(broker, SHORT_EXPIRY) as exporter,
    ):
        samples = wait_for_peers(exporter, {label(peer) for peer in (*members, *inspectors)})
        assert number(samples, "maestro_test_running") == 0
        assert single(samples, "maestro_test_start_timestamp_seconds") is None
        assert labels_of(samples, "maestro_test_messages") == []

        if announced:
            say(cluster, TestStarted, *announced, message="")
            samples = wait_for_value(exporter, 1, "maestro_test_running")
            assert exchanged(samples) == (0, 0)
        work(cluster, *members)
        samples = wait_for_growth(exporter, members)
        assert number(samples, "maestro_test_running") == 1
        start = number(samples, "maestro_test_start_timestamp_seconds")
        assert single(samples, "maestro_test_end_timestamp_seconds") is None
        assert labels_of(samples, "maestro_test_info") == ([TEST_LABELS] if announced else [])

        cluster.kill(victim)
        wait_for_loss(exporter, samples, victim, survivors)
        final = pause(cluster, *survivors)
        samples = wait_for_page(
            exporter,
            lambda samples: counts(samples).items() >= final.items(),
            "the last messages to be counted",
        )
        total = exchanged(samples)
        assert total[0] == summed(final, survivors)[0]

        say(cluster, TestSuccess, *survivors, *inspectors, message="Test completed successfully")
        for peer in survivors:
            peer.stop()
        for peer in drained:
            cluster.notify(peer, peer.say(DrainComplete, successful=True, message=""))
        samples = wait_for_value(exporter, 0, "maestro_test_running")
        assert number(samples, "maestro_test_end_timestamp_seconds") >= start
        assert exchanged(samples) == total

        samples = wait_for_result(exporter, "incomplete")
        reports = len(survivors) + len(inspectors)
        expected = {
            "test_started": len(announced),
            "test_success": reports,
            "drain_success": len(drained),
        }
        assert notified(samples) == {kind: count for kind, count in expected.items() if count}
        assert [single(samples, name) for name in SEED_COUNTERS] == [reports, 0, 0]
        assert all(counts(samples)[label(peer)] == 0 for peer in survivors)
        assert exchanged(samples) == total
        assert number(samples, "maestro_test_running") == 0
        assert number(samples, "maestro_test_start_timestamp_seconds") == start
        run = status(exporter)["test"]["run"]
        assert (run["number"], run["result"], run["failure"]) == (1, "incomplete", None)
        assert run["processes"] == {"running": 0, "succeeded": reports, "failed": 0, "lost": 1}
        assert run["messages"] == {"sent": total[0], "received": total[1]}
        assert run["drains"] == {"success": len(drained), "failure": 0}


def wait_for_growth(exporter: Exporter, members: Iterable[Peer]) -> Samples:
    """Wait until each member exchanges messages, and then more of them; give that page."""
    samples = wait_for_page(
        exporter,
        lambda samples: all(counts(samples)[label(member)] > 0 for member in members),
        "all to exchange messages",
    )
    sent, received = exchanged(samples)
    samples = wait_for_page(
        exporter,
        lambda samples: exchanged(samples)[0] > sent and exchanged(samples)[1] > received,
        "the messages of the run to grow",
    )
    assert exchanged(samples) == summed(counts(samples), members)
    return samples


def wait_for_loss(
    exporter: Exporter, before: Samples, victim: Peer, survivors: Iterable[Peer]
) -> None:
    """Wait until a receiver is gone; what it had received must still be in the run."""
    share = counts(before)[label(victim)]
    samples = wait_for_page(
        exporter,
        lambda samples: by_peer(samples, "maestro_peer_up")[label(victim)] == 0,
        "the dead worker to expire",
    )
    assert label(victim) not in counts(samples)
    assert number(samples, "maestro_test_running") == 1
    sent, received = exchanged(samples)
    assert received >= summed(counts(samples), survivors)[1] + share
    # What is under way grows by what the dead one no longer receives, not by what it had.
    assert sent - received < exchanged(before)[0] - exchanged(before)[1] + share / 2


def test_a_run_that_fails() -> None:
    """One worker's failure is the run's, once, and what it said is there for people to read."""
    members = workers(V1_5, senders=2, receivers=2)
    failing, *others = members
    message = "Connection refused: amqp://sut:5672"
    with (
        Mosquitto() as broker,
        simulated(broker, *members) as cluster,
        exporter_of(broker) as exporter,
    ):
        wait_for_peers(exporter, set(map(label, members)))
        say(cluster, TestStarted, *members, message="")
        work(cluster, *members)
        wait_for_value(exporter, 1, "maestro_test_running")
        say(cluster, TestFailure, failing, message=message)
        say(cluster, TestSuccess, *others, message="Test completed successfully")
        for member in members:
            member.stop()

        samples = wait_for_result(exporter, "failure")
        assert notified(samples) == {"test_started": 4, "test_failure": 1, "test_success": 3}
        assert [single(samples, name) for name in SEED_COUNTERS] == [3, 1, 0]
        known = status(exporter)
        name, type_ = label(failing)
        assert known["test"]["finished"] == {"success": 0, "failure": 1, "incomplete": 0}
        assert known["test"]["run"]["failure"] == f"{name}: {message}"
        assert known["test"]["runs"] == [known["test"]["run"]]
        failures = [event for event in known["events"] if event["kind"] == "test_failed"]
        assert [(each["peer"], each["type"], each["message"]) for each in failures] == [
            (name, type_, message)
        ]


def test_a_run_of_many_that_overlap() -> None:
    """Workers that begin when others have already reported make one run, which succeeds once."""
    members = workers(V1_5, senders=5, receivers=5)
    quick, *others = members
    with (
        Mosquitto() as broker,
        simulated(broker, *members) as cluster,
        exporter_of(broker) as exporter,
    ):
        wait_for_peers(exporter, set(map(label, members)))
        say(cluster, TestStarted, quick, message="")
        say(cluster, TestSuccess, quick, message="Test completed successfully")
        ended = wait_for_page(
            exporter,
            lambda samples: single(samples, "maestro_test_end_timestamp_seconds"),
            "the first to be through",
        )
        rounds = "maestro_exporter_rounds_total"
        wait_for_value(exporter, number(ended, rounds) + 4, rounds)
        for one, earlier in zip([*others, None], [None, *others], strict=True):
            if one is not None:
                say(cluster, TestStarted, one, message="")
                work(cluster, one)
            if earlier is not None:
                say(cluster, TestSuccess, earlier, message="Test completed successfully")
                earlier.stop()
        for index, receiver in enumerate(members[5:]):
            drained = receiver.say(DrainComplete, successful=index > 0, message="")
            cluster.notify(receiver, drained)

        samples = wait_for_result(exporter, "success")
        assert notified(samples) == {
            "test_started": 10,
            "test_success": 10,
            "drain_success": 4,
            "drain_failure": 1,
        }
        test = status(exporter)["test"]
        assert len(test["runs"]) == 1
        assert test["run"]["processes"] == {
            "running": 0,
            "succeeded": 10,
            "failed": 0,
            "lost": 0,
        }
        assert test["run"]["drains"] == {"success": 4, "failure": 1}


def test_notifications_that_come_twice_or_are_old() -> None:
    """What is delivered twice counts once, and what the broker kept counts as nothing at all."""
    worker = Peer(V1_5, Role.SENDER, "node")

    with Mosquitto() as broker:

        def post(topic: str, payload: bytes, qos: int, retain: bool = False) -> None:
            publish.single(topic, payload, qos, retain, hostname="127.0.0.1", port=broker.port)

        started = worker.say(TestStarted, test=TEST, message="")
        post(Topic.NOTIFICATIONS, encode(started), qos=2, retain=True)
        measured = stats_response(worker.sender, correlation_id="c", message_id="m", count=9)
        post(Topic.RESPONSES, encode(measured), qos=1, retain=True)
        with exporter_of(broker) as exporter:
            rejected = "maestro_exporter_notes_rejected_total"
            samples = wait_for_value(exporter, 2, rejected, reason="retained")
            assert number(samples, "maestro_test_running") == 0
            assert single(samples, "maestro_test_start_timestamp_seconds") is None
            assert notified(samples) == {}
            assert by_peer(samples, "maestro_peer_up") == {}

            notes = [
                worker.say(TestStarted, test=TEST, message=""),
                worker.say(TestSuccess, message=""),
                worker.say(TestSuccess, message=""),
                worker.say(TestFailure, message=""),
                worker.say(DrainComplete, successful=True, message=""),
            ]
            for note in notes:
                for qos in (1, 2):
                    post(Topic.NOTIFICATIONS, encode(note), qos)
            received = "maestro_exporter_notes_received_total"
            for command, deliveries in (
                ("test_started", 2),
                ("test_success", 4),
                ("test_failure", 2),
                ("drain", 2),
            ):
                samples = wait_for_value(exporter, deliveries, received, command=command)
            assert notified(samples) == {
                "test_started": 1,
                "test_success": 2,
                "test_failure": 1,
                "drain_success": 1,
            }
            assert [single(samples, name) for name in SEED_COUNTERS] == [2, 1, 0]
            assert number(samples, rejected, reason="retained") == 2


# ----------------------------------------------------------------------------- times


def check_clocks(samples: Samples, skews: dict[Label, float]) -> bool:
    """Tell whether all clock offsets are known to half a second; they must be true then."""
    offsets = by_peer(samples, "maestro_peer_clock_offset_seconds")
    errors = by_peer(samples, "maestro_peer_clock_offset_error_seconds")
    if set(offsets) != set(skews) or not all(0 < error < 0.5 for error in errors.values()):
        return False
    for each, skew in skews.items():
        assert abs(offsets[each] - skew) <= errors[each], (each, offsets[each], errors[each])
    return True


def round_trips(samples: Samples, suffix: str, **labels: str) -> dict[str, float]:
    """Give the parts of the round trips' histogram by type."""
    return {
        dict(found)["type"]: value
        for (name, found), value in samples.items()
        if name == f"maestro_round_trip_seconds_{suffix}" and labels.items() <= found
    }


def test_clocks_that_are_wrong() -> None:
    """The clocks of all peers are known within the error that is said, however wrong they are."""
    roles = (Role.SENDER, Role.RECEIVER, Role.INSPECTOR, Role.AGENT, Role.SENDER)
    peers = [
        Peer(generation, role, f"node-{skew}-{generation.value}", clock_skew_seconds=skew)
        for generation in Generation
        for role, skew in zip(roles, (-3600.0, -0.25, 0.0, 0.25, 3600.0), strict=True)
    ]
    skews = {label(peer): peer.clock_skew_seconds for peer in peers}
    with Mosquitto() as broker, simulated(broker, *peers), exporter_of(broker) as exporter:
        samples = wait_for_page(
            exporter, lambda samples: check_clocks(samples, skews), "the clocks to be known"
        )
        trips = by_peer(samples, "maestro_peer_round_trip_seconds")
        assert set(trips) == set(skews)
        assert all(0 < seconds < 10 for seconds in trips.values())
        before = round_trips(samples, "count")
        types = {type_ for _, type_ in skews}
        assert all((count > 0) == (type_ in types) for type_, count in before.items())
        samples = wait_for_page(
            exporter,
            lambda samples: (
                all(round_trips(samples, "count")[type_] > before[type_] for type_ in types)
                and check_clocks(samples, skews)
            ),
            "more round trips of each type",
        )
        assert round_trips(samples, "count") == round_trips(samples, "bucket", le="+Inf")


def test_slow_peers() -> None:
    """Peers that take longer than the expiry to answer are up all along, with their true times."""
    peers = [Peer(each, Role.SENDER, "node", delay_seconds=2.0) for each in Generation]
    labels = set(map(label, peers))
    late = "maestro_exporter_late_replies_total"
    with (
        Mosquitto() as broker,
        simulated(broker, *peers),
        exporter_of(broker, SHORT_EXPIRY) as exporter,
    ):
        samples = wait_for_peers(exporter, labels)
        before = number(samples, late)

        def later(samples: Samples) -> bool:
            for name in SEED_GAUGES:
                assert set(by_peer(samples, name)) == labels
            assert by_peer(samples, "maestro_peer_up") == dict.fromkeys(labels, 1)
            # Whole milliseconds, and the wall clock may be slewed a little.
            assert all(ms >= 1990 for ms in by_peer(samples, "maestro_ping").values())
            trips = by_peer(samples, "maestro_peer_round_trip_seconds")
            assert set(trips) == labels
            assert all(seconds >= 2 for seconds in trips.values())
            return number(samples, late) > before + 12

        wait_for_page(exporter, later, "late replies")


#: Puts an offset that is read from a file onto the wall clock of a Python process.
STEPPED_CLOCK = """
import os
import time

_time = time.time


def _stepped():
    with open(os.environ["WALL_CLOCK_OFFSET"]) as file:
        return _time() + float(file.read())


time.time = _stepped
"""


def test_steps_of_the_wall_clock(tmp_path: Path) -> None:
    """Whatever happens to the exporter's wall clock, it asks, measures and expires as before."""
    (tmp_path / "sitecustomize.py").write_text(STEPPED_CLOCK)
    offset = tmp_path / "offset"

    def step_to(seconds: float) -> None:
        fresh = tmp_path / "fresh"
        fresh.write_text(f"{seconds}")
        fresh.replace(offset)

    step_to(0.0)
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    env = {"PYTHONPATH": path, "WALL_CLOCK_OFFSET": str(offset)}
    living = [Peer(generation, Role.SENDER, generation.value) for generation in Generation]
    first, second = (Peer(V1_5, Role.RECEIVER, f"node-{i}") for i in range(2))
    with (
        Mosquitto() as broker,
        simulated(broker, *living, first, second) as cluster,
        exporter_of(broker, SHORT_EXPIRY, env=env) as exporter,
    ):

        def step_and_kill(ahead: float, victim: Peer, survivors: list[Peer]) -> Samples:
            """Set the clock and let a peer die; wait until the exporter has coped with both."""
            before = number(page(exporter), "maestro_exporter_rounds_total")
            step_to(ahead)
            cluster.kill(victim)
            skews = {label(peer): -ahead for peer in survivors}

            def coped(samples: Samples) -> bool:
                up = by_peer(samples, "maestro_peer_up")
                assert all(up[label(peer)] == 1 for peer in survivors)
                asked = number(samples, "maestro_exporter_last_round_timestamp_seconds")
                offsets = by_peer(samples, "maestro_peer_clock_offset_seconds")
                return (
                    number(samples, "maestro_exporter_rounds_total") > before + 5
                    and abs(asked - time.time() - ahead) < 600  # the clock was stepped indeed
                    and up[label(victim)] == 0
                    and all(abs(offsets.get(each, 0) - skews[each]) < 600 for each in skews)
                    and check_clocks(samples, skews)
                )

            return wait_for_page(exporter, coped, f"all to go on with a clock {ahead} s ahead")

        wait_for_peers(exporter, {label(peer) for peer in (*living, first, second)})
        step_and_kill(3600.0, first, [*living, second])
        samples = step_and_kill(-3600.0, second, living)

        counted = round_trips(samples, "count")
        assert counted["sender"] > 0
        assert round_trips(samples, "bucket", le="10.0") == counted
        # One that was negative would count as none at all.
        assert not any(round_trips(samples, "bucket", le="0.0001").values())


# ------------------------------------------------------------------- who is in a cluster


def test_two_workers_of_one_name() -> None:
    """Two workers of one host and name are one series: sums, the worst of times, and both ids."""
    twins = [Peer(V1_5, Role.SENDER, "node", clock_skew_seconds=skew) for skew in (0.0, 3600.0)]
    # A run that was over before they joined: their counts stand still.
    works = [Work(started_at=-10.0, ends_at=0.0, rate=rate, parallel_count=3) for rate in (50, 70)]
    for twin, each in zip(twins, works, strict=True):
        twin.start(each)
    sender = label(twins[0])
    with Mosquitto() as broker, simulated(broker, *twins), exporter_of(broker) as exporter:
        samples = wait_for_page(
            exporter,
            lambda samples: (
                by_peer(samples, "maestro_peer_instances").get(sender) == 2
                and counts(samples)[sender] == sum(each.count(math.inf) for each in works)
                and by_peer(samples, "maestro_ping").get(sender, 0) > 3_000_000
            ),
            "both workers",
        )
        assert by_peer(samples, "maestro_peer_up") == {sender: 1}
        assert by_peer(samples, "maestro_connection_count") == {sender: 6}
        assert by_peer(samples, "maestro_peer_clock_offset_seconds")[sender] > 3000
        assert by(samples, "type", "maestro_peers")["sender"] == 2
        assert sorted(labels_of(samples, "maestro_peer_info"), key=itemgetter("id")) == [
            {
                "peer": "worker@node",
                "type": "sender",
                "id": id_,
                "name": "worker",
                "host": "node",
                "group": "all",
                "member": "",
                "protocol": "1.5",
            }
            for id_ in sorted(twin.id for twin in twins)
        ]


def test_all_generations_on_one_broker() -> None:
    """Peers of all generations are there with all gauges, for three requests in each round."""
    roles = (Role.SENDER, Role.RECEIVER, Role.INSPECTOR, Role.AGENT)
    peers = [
        Peer(generation, role, f"node-{generation.value}")
        for generation in Generation
        for role in roles
    ]
    with (
        Mosquitto() as broker,
        listening(broker) as heard,
        simulated(broker, *peers),
        exporter_of(broker) as exporter,
    ):
        wait_for_peers(exporter, set(map(label, peers)))
        answers = {Topic.RESPONSES, Topic.NOTIFICATIONS}

        def all_heard(samples: Samples) -> bool:
            """Tell whether nothing is under way, some rounds on."""
            rounds = number(samples, "maestro_exporter_rounds_total")
            sent = by(samples, "command", "maestro_exporter_notes_sent_total")
            requests = sum(message.topic not in answers for message in heard)
            return rounds >= 9 and requests == sum(sent.values())

        samples = wait_for_page(exporter, all_heard, "all requests to be heard")
        rounds = number(samples, "maestro_exporter_rounds_total")
        sent = by(samples, "command", "maestro_exporter_notes_sent_total")
        assert sent == {"stats": 2 * rounds, "ping": rounds}

        forms = set()
        for message in tuple(heard):
            note = decode(message.payload, message.topic)
            if message.topic in answers:
                assert isinstance(note, Reply)
            else:
                assert isinstance(note, StatsRequest | PingRequest)
                forms.add((message.topic, type(note), note.generation))
        assert forms == {
            (Topic.PEERS, StatsRequest, V1_5),
            (Topic.DAEMONS, StatsRequest, V1_4),
            (Topic.PEERS, PingRequest, V1_5),
            (Topic.DAEMONS, PingRequest, V1_4),
            (Topic.DAEMONS, PingRequest, V1_3),
        }


def test_c_peers() -> None:
    """C peers are understood with all that is odd about them, and their last will counts once."""
    measuring = CPeer(
        'a "C" receiver \\ one',
        stats={"child_count": 4, "count": 1000, "rate": 50.0, "latency": 12.5},
    )
    childless = CPeer("C receiver two", clock_skew_seconds=-0.25, stats={})
    idle = CPeer("C")
    first, second, third = (
        (peer.sender.name, type_)
        for peer, type_ in ((measuring, "receiver"), (childless, "receiver"), (idle, "other"))
    )
    errors = "maestro_peer_errors_total"
    with (
        Mosquitto() as broker,
        # It is asked for PINGs that C peers cannot read.
        simulated(broker, Peer(V1_4, Role.SENDER, "node")),
        measuring.living_on(broker),
        childless.living_on(broker),
        idle.living_on(broker),
        exporter_of(broker, SHORT_EXPIRY) as exporter,
    ):
        samples = wait_for_page(
            exporter,
            lambda samples: (
                {first, second, third} <= set(by_peer(samples, "maestro_ping"))
                and {first, second} == set(by_peer(samples, "maestro_peer_latency_seconds"))
                and by_peer(samples, "maestro_ping")[second] < 0
                and number(samples, errors, kind="internal_error") > 0
                and number(samples, errors, kind="protocol_error") > 0
                and number(samples, "maestro_test_running") == 1
            ),
            "the C peers, and all that they say",
        )
        latencies = by_peer(samples, "maestro_peer_latency_seconds")
        assert latencies[first] == 0.0125
        assert math.isnan(latencies[second])
        assert counts(samples)[first] == 1000
        assert third not in counts(samples)
        assert by_peer(samples, "maestro_ping")[second] >= -250
        clocks = by_peer(samples, "maestro_peer_clock_offset_seconds")
        bounds = by_peer(samples, "maestro_peer_clock_offset_error_seconds")
        assert abs(clocks[second] + 0.25) <= bounds[second]
        check_with_promtool(exporter)
        known = {peer["peer"]: peer for peer in status(exporter)["peers"]}
        assert known[childless.sender.name]["latency_seconds"] == "NaN"

        measuring.vanish()
        samples = wait_for_value(exporter, 1, "maestro_peer_abnormal_disconnect")
        assert number(samples, "maestro_test_running") == 0
        samples = wait_for_page(
            exporter,
            lambda samples: by_peer(samples, "maestro_peer_up")[first] == 0,
            "the C peer to expire",
        )
        assert notified(samples) == {"abnormal_disconnect": 1}
        broken = [
            event for event in status(exporter)["events"] if event["kind"] == "peer_disconnected"
        ]
        assert [(event["peer"], event["message"]) for event in broken] == [
            (measuring.sender.name, "The client disconnected abnormally")
        ]
        rejected = by(samples, "reason", "maestro_exporter_notes_rejected_total")
        assert set(rejected.values()) == {0}
        check_with_promtool(exporter)


def events(exporter: Exporter) -> list[tuple[str, str | None, str | None]]:
    """Give what the status page says that happened, the newest first: what, and to whom."""
    return [(each["kind"], each["peer"], each["type"]) for each in status(exporter)["events"]]


def test_status_and_what_happened() -> None:
    """The status page names each process, and tells who came and went, and what went on when."""
    peers = [Peer(generation, Role.SENDER, generation.value) for generation in Generation]
    newcomer = Peer(V1_5, Role.RECEIVER, "node")
    with (
        Mosquitto() as broker,
        simulated(broker, *peers) as cluster,
        exporter_of(broker, SHORT_EXPIRY) as exporter,
    ):
        wait_for_peers(exporter, set(map(label, peers)))
        known = status(exporter)
        assert known["broker"]["up"] is True
        assert {(each["id"], each["peer"], each["protocol"]) for each in known["peers"]} == {
            (peer.id, label(peer)[0], peer.generation.value) for peer in peers
        }
        assert all(each["up"] for each in known["peers"])
        assert sorted(events(exporter)) == sorted(
            [("connection_found", None, None), *(("peer_joined", *label(peer)) for peer in peers)]
        )

        cluster.add(newcomer)
        wait_for(
            lambda: events(exporter)[0] == ("peer_joined", *label(newcomer)), "the newcomer to join"
        )
        cluster.kill(newcomer)
        wait_for(
            lambda: events(exporter)[0] == ("peer_left", *label(newcomer)), "the newcomer to leave"
        )
        known = {each["id"]: each["up"] for each in status(exporter)["peers"]}
        assert known == {newcomer.id: False, **{peer.id: True for peer in peers}}

        work(cluster, *peers)
        wait_for(lambda: events(exporter)[0][0] == "test_started", "a run to begin")
        broker.stop()
        wait_for(lambda: ("connection_lost", None, None) in events(exporter), "the loss")
        assert status(exporter)["broker"]["up"] is False
        broker.start()
        wait_for(lambda: status(exporter)["broker"]["up"], "the connection to be found again")
        wait_for_peers(exporter, set(map(label, peers)))
        test = status(exporter)["test"]
        assert (test["running"], test["run"]["number"], test["runs"]) == (True, 1, [])
        assert [each for each, *_ in reversed(events(exporter)) if each.startswith("conn")] == [
            "connection_found",
            "connection_lost",
            "connection_found",
        ]
        times = [each["time"] for each in status(exporter)["events"]]
        assert times == sorted(times, reverse=True)
