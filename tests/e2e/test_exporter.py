"""The exporter as its users run it: real twistd, real mosquitto, real Prometheus."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
from paho.mqtt import publish

from maestro_exporter.notes import (
    AbnormalDisconnect,
    Generation,
    Role,
    TestFailure,
    TestSuccess,
    Topic,
)
from maestro_exporter.simulator import Peer, Work
from tests.e2e.clusters import (
    GENERATIONS,
    INTERVAL,
    SEED_COUNTERS,
    SEED_GAUGES,
    SEED_LABELS,
    V1_3,
    V1_4,
    V1_5,
    by_peer,
    check_with_promtool,
    exporter_of,
    page,
    seed_peers,
    simulated,
    single,
    wait_for_peers,
    wait_for_value,
)
from tests.servers import Exporter, Mosquitto, Prometheus, Samples, http_get, wait_for

pytestmark = pytest.mark.long


def stored(prometheus: Prometheus, name: str) -> Samples:
    """Wait until Prometheus has a family; give it."""
    return wait_for(lambda: prometheus.query(name), f"{name} in Prometheus")


@GENERATIONS
def test_a_cluster_from_first_sight_to_the_return_of_the_broker(generation: Generation) -> None:
    """The seed's peers appear, a killed one leaves, and a broker that was away brings all back."""
    peers = seed_peers(generation)
    with (
        Mosquitto() as broker,
        simulated(broker, *peers) as cluster,
        exporter_of(broker, "--peer-expiry=1500ms") as exporter,
    ):
        samples = wait_for_peers(exporter, SEED_LABELS)
        for name in ("maestro_message_count", "maestro_connection_count", "maestro_rate"):
            assert by_peer(samples, name) == dict.fromkeys(SEED_LABELS, 0.0)
        assert all(abs(ms) < 1000 for ms in by_peer(samples, "maestro_ping").values())
        assert [single(samples, name) for name in SEED_COUNTERS] == [0.0, 0.0, 0.0]
        assert by_peer(samples, "maestro_peer_up") == dict.fromkeys(SEED_LABELS, 1.0)
        assert by_peer(samples, "maestro_peer_instances") == dict.fromkeys(SEED_LABELS, 1.0)

        # A second scraper takes nothing from the first.
        for second in (page(exporter), page(exporter)):
            assert second.keys() == samples.keys()
            for name in ("maestro_message_count", "maestro_connection_count", "maestro_rate"):
                assert by_peer(second, name) == by_peer(samples, name)

        cluster.kill(peers[0])
        dead = ("receiver@perf-dev-node-05.host.com", "receiver")
        samples = wait_for_peers(exporter, SEED_LABELS - {dead})
        assert by_peer(samples, "maestro_peer_up")[dead] == 0.0
        assert single(samples, "maestro_peers", type="receiver") == 0.0
        assert single(samples, "maestro_peers", type="sender") == 1.0

        broker.stop()
        wait_for_value(exporter, 0.0, "maestro_up")
        # Longer than the expiry, so that what is there afterwards is new.
        wait_for(
            lambda: not by_peer(page(exporter), "maestro_message_count"), "all peers to expire"
        )
        broker.start()
        wait_for_value(exporter, 1.0, "maestro_up")
        wait_for_peers(exporter, SEED_LABELS - {dead})
        assert (single(page(exporter), "maestro_exporter_broker_connections_total") or 0) >= 2


@GENERATIONS
def test_no_broker_at_the_start(generation: Generation) -> None:
    """Without a broker the exporter serves its page and says so; it connects once there is one."""
    broker = Mosquitto()
    with exporter_of(broker) as exporter:
        samples = page(exporter)
        assert single(samples, "maestro_up") == 0.0
        assert [single(samples, name) for name in SEED_COUNTERS] == [0.0, 0.0, 0.0]
        with broker, simulated(broker, *seed_peers(generation)):
            wait_for_peers(exporter, SEED_LABELS)
            failures = single(page(exporter), "maestro_exporter_broker_connection_failures_total")
            assert failures is not None
            assert failures >= 1


@GENERATIONS
def test_results_are_counted(generation: Generation) -> None:
    """Each peer's success, failure and abnormal disconnect counts once, whatever its generation."""
    peers = seed_peers(generation)
    with (
        Mosquitto() as broker,
        simulated(broker, *peers) as cluster,
        exporter_of(broker) as exporter,
    ):
        wait_for_peers(exporter, SEED_LABELS)
        for peer in peers[:3]:
            cluster.notify(peer, peer.say(TestSuccess, message="Test completed successfully"))
        for peer in peers[:2]:
            cluster.notify(peer, peer.say(TestFailure, message="Connection refused"))
        # The last of all, and so the sign that all have come.
        cluster.notify(peers[0], peers[0].say(AbnormalDisconnect, message=None))

        wait_for_value(exporter, 1.0, "maestro_peer_abnormal_disconnect")
        samples = page(exporter)
        assert [single(samples, name) for name in SEED_COUNTERS] == [3.0, 2.0, 1.0]


def test_retained_results_are_old_news() -> None:
    """What 1.3 peers left retained on the broker is not counted again by who comes later."""
    peers = seed_peers(V1_3)
    with Mosquitto() as broker, simulated(broker, *peers) as cluster:
        with exporter_of(broker) as exporter:
            wait_for_peers(exporter, SEED_LABELS)
            cluster.notify(peers[0], peers[0].say(TestSuccess, message="Test completed"))
            wait_for_value(exporter, 1.0, "maestro_test_success")
        with exporter_of(broker) as exporter:
            wait_for_value(
                exporter, 1.0, "maestro_exporter_notes_rejected_total", reason="retained"
            )
            assert single(page(exporter), "maestro_test_success") == 0.0


def test_workers_of_one_name_and_their_restart() -> None:
    """Two workers of one host are summed; a restarted one replaces the one that it was."""
    first, second = (Peer(V1_5, Role.SENDER, "node") for _ in range(2))
    for peer in (first, second):
        peer.start(Work(started_at=0.0, rate=0.0, parallel_count=2))
    sender = ("worker@node", "sender")
    with (
        Mosquitto() as broker,
        simulated(broker, first, second) as cluster,
        exporter_of(broker, "--peer-expiry=60s") as exporter,
    ):

        def connections_and_instances(*expected: float) -> None:
            wait_for(
                lambda: (
                    (
                        by_peer(page(exporter), "maestro_connection_count").get(sender),
                        by_peer(page(exporter), "maestro_peer_instances").get(sender),
                    )
                    == expected
                ),
                f"connections and instances {expected}",
            )

        connections_and_instances(4.0, 2.0)
        cluster.kill(first)
        cluster.kill(second)
        restarted = Peer(V1_5, Role.SENDER, "node")
        restarted.start(Work(started_at=0.0, rate=0.0, parallel_count=3))
        cluster.add(restarted)
        # Long before the expiry of the dead.
        connections_and_instances(3.0, 1.0)


def test_a_worker_that_gets_a_role() -> None:
    """A worker that is given a role leaves its old type at once."""
    worker = Peer(V1_5, Role.OTHER, "node")
    with Mosquitto() as broker, simulated(broker, worker), exporter_of(broker) as exporter:
        wait_for_peers(exporter, {("worker@node", "other")})
        worker.assign(Role.RECEIVER)
        samples = wait_for_peers(exporter, {("worker@node", "receiver")})

        assert set(by_peer(samples, "maestro_peer_up")) == {("worker@node", "receiver")}


def test_garbage_is_counted_and_harms_nothing() -> None:
    """What is no note is counted by reason, while the peers stay on a page that is valid."""
    with (
        Mosquitto() as broker,
        simulated(broker, *seed_peers(V1_5)),
        exporter_of(broker) as exporter,
    ):
        wait_for_peers(exporter, SEED_LABELS)
        garbage = {
            "malformed": (b"", b"\xc1", b"\xdd\xff\xff\xff\xff", b'{"type": 1}', b"\x01\x08\xa2id"),
            "unknown_command": (b"\x01\x63\xa2id\xa4name",),
            "oversized": (b"\x01\x0b" + bytes(2 * 1024 * 1024),),
        }
        for payloads in garbage.values():
            for topic in (Topic.RESPONSES, Topic.NOTIFICATIONS):
                publish.multiple(
                    [(topic, payload, 1, False) for payload in payloads],
                    hostname="127.0.0.1",
                    port=broker.port,
                )
        for reason, payloads in garbage.items():
            name = "maestro_exporter_notes_rejected_total"
            wait_for_value(exporter, 2.0 * len(payloads), name, reason=reason)
        wait_for_peers(exporter, SEED_LABELS)
        assert "Traceback" not in exporter.output()


def test_prometheus() -> None:
    """A real Prometheus takes the page: all families of the seed, with their types."""
    with (
        Mosquitto() as broker,
        simulated(broker, *seed_peers(V1_5)),
        exporter_of(broker) as exporter,
    ):
        wait_for_peers(exporter, SEED_LABELS)
        with Prometheus([exporter.address]) as prometheus:
            for name in SEED_GAUGES:
                found = stored(prometheus, name)
                assert set(by_peer(found, name)) == SEED_LABELS
            for name in SEED_COUNTERS:
                found = stored(prometheus, name)
                assert list(found.values()) == [0.0]
            assert list(prometheus.query("up").values()) == [1.0]
            metadata = prometheus.metadata()
            assert {name: metadata[name][0]["type"] for name in SEED_COUNTERS} == dict.fromkeys(
                SEED_COUNTERS, "counter"
            )
            assert {name: metadata[name][0]["type"] for name in SEED_GAUGES} == dict.fromkeys(
                SEED_GAUGES, "gauge"
            )
            assert metadata["maestro_test_success"][0]["help"] == "Test success"


def test_promtool() -> None:
    """promtool complains of the seed's names and of nothing else."""
    with (
        Mosquitto() as broker,
        simulated(broker, *seed_peers(V1_5)),
        exporter_of(broker) as exporter,
    ):
        wait_for_peers(exporter, SEED_LABELS)
        check_with_promtool(exporter)


@pytest.mark.parametrize("launcher", ["twistd", "console"])
def test_pages(launcher: str) -> None:
    """GET and HEAD get the pages with their headers; all else gets a status and no traceback."""
    with Mosquitto() as broker, exporter_of(broker, launcher=launcher) as exporter:
        answer = http_get(f"{exporter.url}/metrics")
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert answer.headers["Content-Length"] == str(len(answer.body))
        assert answer.headers["Vary"] == "Accept-Encoding"
        head = http_get(f"{exporter.url}/metrics", method="HEAD")
        assert (head.status, head.body) == (200, b"")
        assert int(head.headers["Content-Length"]) > 0
        people = http_get(f"{exporter.url}/")
        assert people.headers["Content-Type"] == "text/html; charset=utf-8"
        assert b'<a href="metrics">' in people.body
        for name in re.findall(rb'"(assets/[a-z.]+)"', people.body):
            assert http_get(f"{exporter.url}/{name.decode()}").status == 200, name
        assert http_get(f"{exporter.url}/-/healthy").status == 200
        missing = http_get(f"{exporter.url}/nothing")
        assert (missing.status, missing.body) == (404, b"404 Not Found\n")
        refused = http_get(f"{exporter.url}/metrics", method="DELETE")
        assert (refused.status, refused.body) == (405, b"405 Method Not Allowed\n")


def test_configuration_file(tmp_path: Path) -> None:
    """The seed's configuration file names the broker."""
    with Mosquitto() as broker, simulated(broker, *seed_peers(V1_4)):
        file = tmp_path / "maestro-exporter-service.conf"
        file.write_text(f'# The URL of the Maestro broker\nMAESTRO_BROKER="{broker.url}" \n')
        with Exporter(f"--config={file}", INTERVAL) as exporter:
            wait_for_peers(exporter, SEED_LABELS)


@pytest.mark.parametrize("launcher", ["twistd", "console"])
def test_sigterm_while_connected(launcher: str) -> None:
    """SIGTERM ends the exporter with status 0, and the broker is told goodbye."""
    with Mosquitto() as broker, exporter_of(broker, launcher=launcher) as exporter:
        wait_for_value(exporter, 1.0, "maestro_up")
        assert exporter.stop(2) == 0
        wait_for(
            lambda: any(
                line.endswith("disconnected.") and "maestro-exporter-" in line
                for line in broker.output().splitlines()
            ),
            "the broker to see a DISCONNECT",
        )


def test_sigterm_while_the_broker_says_nothing() -> None:
    """SIGTERM ends the command at once, though the broker has accepted and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"mqtt://127.0.0.1:{silent.getsockname()[1]}"
        with Exporter(f"--maestro-url={url}", launcher="console") as exporter:
            connection, _ = silent.accept()
            with connection:
                assert exporter.stop(2) == 0


@pytest.mark.parametrize("launcher", ["twistd", "console"])
def test_sigterm_while_the_connection_hangs(launcher: str) -> None:
    """SIGTERM ends the command at once, though the attempt to connect hangs."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        # Fill the backlog: the next attempts are not answered at all.
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(address)
        url = f"mqtt://127.0.0.1:{address[1]}"
        with Exporter(f"--maestro-url={url}", launcher=launcher) as exporter:
            assert exporter.stop(2) == 0
        for each in waiting:
            each.close()
