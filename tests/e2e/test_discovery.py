"""A real Prometheus that asks the exporter where the peers are, and scrapes what is beside them."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from maestro_exporter.notes import Role
from maestro_exporter.simulator import Peer
from tests.containers import from_yaml
from tests.e2e.clusters import V1_4, V1_5, exporter_of, simulated
from tests.servers import Exporter, Mosquitto, Prometheus, http_get, scrape, wait_for

pytestmark = pytest.mark.source

EXAMPLE = "etc/prometheus/workers.yml"
JOB = "maestro-workers"


def jobs_of_example(exporter: Exporter) -> list[Any]:
    """Give the example's jobs, with the exporter's address in it, and in haste.

    What is beside each peer is the exporter itself: all peers say that they are on this host.
    """
    one, workers = copy.deepcopy(from_yaml(EXAMPLE)["scrape_configs"])
    one["static_configs"][0]["targets"] = [exporter.address]
    (discovery,) = workers["http_sd_configs"]
    discovery["url"] = discovery["url"].replace(
        "http://maestro.exporter.host.com:9120", exporter.url
    )
    assert discovery["url"].startswith(exporter.url)
    discovery["url"] = discovery["url"].replace("port=9100", f"port={exporter.port}")
    discovery["refresh_interval"] = "1s"
    for job in (one, workers):
        job["scrape_interval"] = job["scrape_timeout"] = "500ms"
    return [one, workers]


def own(prometheus: Prometheus, name: str) -> float:
    """Give the sum of a family of Prometheus' own."""
    samples = scrape(f"{prometheus.url}/metrics")
    return sum(value for (family, _), value in samples.items() if family == name)


def test_workers_are_found_and_joined() -> None:
    """Each host is scraped under its peer's name, is joined to the peer, and goes with it."""
    sender = Peer(V1_5, Role.SENDER, "127.0.0.1", name="worker")
    receiver = Peer(V1_4, Role.RECEIVER, "localhost", name="receiver@localhost")
    hostile = Peer(V1_5, Role.AGENT, "a/b c", name="<script>")
    nameless = Peer(V1_4, Role.INSPECTOR, "", name="inspector")
    with (
        Mosquitto() as broker,
        simulated(broker, sender, receiver, hostile, nameless) as cluster,
        exporter_of(broker, "--peer-expiry=1500ms") as exporter,
    ):
        url = f"{exporter.url}/api/v1/discovery"
        wait_for(
            lambda: len(json.loads(http_get(url).body)) == 2, "two peers whose hosts are known"
        )
        answer = http_get(url)
        assert answer.headers["Content-Type"] == "application/json"
        assert json.loads(answer.body) == [
            {
                "targets": ["localhost:9100"],
                "labels": {
                    "__meta_maestro_peer": "receiver@localhost",
                    "__meta_maestro_type": "receiver",
                },
            },
            {
                "targets": ["127.0.0.1:9100"],
                "labels": {
                    "__meta_maestro_peer": "worker@127.0.0.1",
                    "__meta_maestro_type": "sender",
                },
            },
        ]

        with Prometheus(jobs=jobs_of_example(exporter)) as prometheus:

            def up() -> set[str]:
                found = prometheus.query(f'up{{job="{JOB}"}} == 1')
                return {dict(labels)["peer"] for _, labels in found}

            wait_for(lambda: up() == {"worker@127.0.0.1", "receiver@localhost"}, "both scraped", 40)
            discovered = {
                each["discoveredLabels"]["__meta_maestro_type"]: each["labels"]
                for each in prometheus.targets()
                if each["labels"]["job"] == JOB
            }
            assert discovered == {
                "sender": {
                    "instance": f"127.0.0.1:{exporter.port}",
                    "job": JOB,
                    "peer": "worker@127.0.0.1",
                },
                "receiver": {
                    "instance": f"localhost:{exporter.port}",
                    "job": JOB,
                    "peer": "receiver@localhost",
                },
            }
            # As in the example, with what the exporter has in the place of node_load1.
            joined = (
                f'process_resident_memory_bytes{{job="{JOB}"}} * on (peer) group_left(type) '
                'maestro_peer_up{job="maestro", type="receiver"}'
            )
            wait_for(lambda: prometheus.query(joined), "what is joined")
            ((_, labels),) = prometheus.query(joined)
            assert {"peer": "receiver@localhost", "type": "receiver"}.items() <= dict(
                labels
            ).items()

            # While nothing is known, Prometheus is told so, and goes on with what it knew.
            broker.stop()
            wait_for(lambda: http_get(url).status == 503, "the loss of the broker to be told")
            problem = http_get(url)
            assert problem.headers["Content-Type"] == "application/problem+json"
            assert "not connected" in json.loads(problem.body)["detail"]
            refused = "prometheus_sd_http_failures_total"
            wait_for(lambda: own(prometheus, refused) >= 2, "Prometheus to be told", 40)
            assert up() == {"worker@127.0.0.1", "receiver@localhost"}
            broker.start()
            wait_for(lambda: http_get(url).status == 200, "the peers to be known again")

            cluster.kill(receiver)
            wait_for(lambda: up() == {"worker@127.0.0.1"}, "the dead one to go", 40)
