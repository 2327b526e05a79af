"""Clusters on a real broker, who else is there, and what the exporter says of them all."""

from __future__ import annotations

import json
import math
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from uuid import uuid4

import msgpack
import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from maestro_exporter.notes import (
    AbnormalDisconnect,
    Generation,
    InternalError,
    Note,
    PingRequest,
    ProtocolError,
    Role,
    Sender,
    StatsRequest,
    StatsResponse,
    Topic,
    decode,
    encode,
)
from maestro_exporter.simulator import Peer, SimulatedCluster
from tests.servers import Exporter, Mosquitto, Samples, http_get, scrape, wait_for

INTERVAL = "--interval=300ms"
V1_3, V1_4, V1_5 = Generation.V1_3, Generation.V1_4, Generation.V1_5
GENERATIONS = pytest.mark.parametrize("generation", Generation, ids=lambda each: each.value)

#: A peer as the page names it: peer and type.
Label = tuple[str, str]

#: The four peers of the seed's sample: role and host.
SEED_PEERS = (
    (Role.RECEIVER, "perf-dev-node-05.host.com"),
    (Role.SENDER, "perf-dev-node-04.host.com"),
    (Role.INSPECTOR, "perf-dev-node-06.host.com"),
    (Role.AGENT, "perf-dev-node-07.host.com"),
)
SEED_GAUGES = (
    "maestro_message_count",
    "maestro_ping",
    "maestro_connection_count",
    "maestro_rate",
)
SEED_COUNTERS = (
    "maestro_test_success",
    "maestro_test_failures",
    "maestro_peer_abnormal_disconnect",
)
SEED_LABELS = {(f"{role.name.lower()}@{host}", role.name.lower()) for role, host in SEED_PEERS}


def seed_peers(generation: Generation) -> list[Peer]:
    """Give the peers of the seed's sample, with the names that they have there."""
    return [
        Peer(
            generation,
            role,
            host,
            name=role.name.lower() if generation is V1_5 else f"{role.name.lower()}@{host}",
        )
        for role, host in SEED_PEERS
    ]


def label(peer: Peer) -> Label:
    """Give what the page calls a simulated peer."""
    name = f"{peer.name}@{peer.host}" if peer.generation is V1_5 else peer.name
    return name, peer.role.name.lower()


@contextmanager
def simulated(broker: Mosquitto, *peers: Peer) -> Iterator[SimulatedCluster]:
    """Let peers live on a broker."""
    cluster = SimulatedCluster(broker.url, peers)
    cluster.start()
    try:
        assert cluster.wait_connected(20)
        yield cluster
    finally:
        cluster.stop()


# --------------------------------------------------------------- what the exporter says


def exporter_of(
    broker: Mosquitto,
    *options: str,
    launcher: str = "twistd",
    env: Mapping[str, str] | None = None,
) -> Exporter:
    return Exporter(f"--maestro-url={broker.url}", INTERVAL, *options, launcher=launcher, env=env)


def page(exporter: Exporter) -> Samples:
    """Give the samples of the page, which must be valid."""
    return scrape(f"{exporter.url}/metrics")


def status(exporter: Exporter) -> Any:
    """Give the status page, which must be JSON to the letter."""
    answer = http_get(f"{exporter.url}/api/v1/status")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    return json.loads(answer.body, parse_constant=_no_constant)


def _no_constant(word: str) -> object:
    raise AssertionError(f"{word} is not JSON")


def by_peer(samples: Samples, name: str) -> dict[Label, float]:
    """Give the values of a family by peer and type."""
    return {
        (dict(labels)["peer"], dict(labels)["type"]): value
        for (family, labels), value in samples.items()
        if family == name
    }


def by(samples: Samples, label_name: str, name: str) -> dict[str, float]:
    """Give the values of a family by its only label."""
    return {
        dict(labels)[label_name]: value
        for (family, labels), value in samples.items()
        if family == name
    }


def labels_of(samples: Samples, name: str) -> list[dict[str, str]]:
    """Give the labels of each sample of a family."""
    return [dict(labels) for family, labels in samples if family == name]


def single(samples: Samples, name: str, **labels: str) -> float | None:
    """Give a value, or None if it is not there."""
    return samples.get((name, frozenset(labels.items())))


def number(samples: Samples, name: str, **labels: str) -> float:
    """Give a value, which must be there."""
    return samples[name, frozenset(labels.items())]


def wait_for_page(exporter: Exporter, true: Callable[[Samples], object], what: str) -> Samples:
    """Wait for a page of which something is true; give it."""

    def look() -> Samples | None:
        samples = page(exporter)
        return samples if true(samples) else None

    return wait_for(look, what)


def wait_for_peers(exporter: Exporter, expected: set[Label]) -> Samples:
    """Wait until exactly these peers have all gauges of the seed; give that page."""
    return wait_for_page(
        exporter,
        lambda samples: all(set(by_peer(samples, name)) == expected for name in SEED_GAUGES),
        f"the gauges of {sorted(expected)}",
    )


def wait_for_value(exporter: Exporter, value: float, name: str, **labels: str) -> Samples:
    """Wait for a value; give the page that has it."""
    return wait_for_page(
        exporter,
        lambda samples: single(samples, name, **labels) == value,
        f"{name} {labels} to be {value}",
    )


def check_with_promtool(exporter: Exporter) -> None:
    """Have the page read by promtool: it may complain of the seed's names and of nothing else."""
    checked = subprocess.run(
        ["promtool", "check", "metrics"],
        input=http_get(f"{exporter.url}/metrics").body,
        capture_output=True,
        timeout=60,
        check=False,
    )
    count = 'non-histogram and non-summary metrics should not have "_count" suffix'
    total = 'counter metrics should have "_total" suffix'
    assert sorted(checked.stderr.decode().splitlines()) == [
        f"maestro_connection_count {count}",
        f"maestro_message_count {count}",
        f"maestro_peer_abnormal_disconnect {total}",
        f"maestro_test_failures {total}",
        f"maestro_test_success {total}",
    ]
    assert checked.stdout == b""


# ------------------------------------------------------------- who else is on the broker


class Message(NamedTuple):
    """What was published: where and what."""

    topic: str
    payload: bytes


@contextmanager
def listening(broker: Mosquitto) -> Iterator[list[Message]]:
    """Hear all that is published, in its order; what is given grows."""
    heard: list[Message] = []
    client = _client(heard.append)
    with _running(client, broker, "/mpt/#", qos=2):
        yield heard


class CPeer:
    """A C peer (msg-perf-tool) on a connection of its own, which leaves a will.

    Args:
        name: free text, not necessarily with an at sign.
        clock_skew_seconds: how far its clock is ahead.
        stats: some fields of its STATS replies; None for an idle one, which has none to give.
    """

    def __init__(
        self,
        name: str,
        *,
        clock_skew_seconds: float = 0.0,
        stats: Mapping[str, object] | None = None,
    ) -> None:
        self.sender = Sender(id=str(uuid4()), name=name)
        self._clock_skew_seconds = clock_skew_seconds
        self._stats = stats
        self._client = _client(self._hear)
        will = AbnormalDisconnect(**self._header(), message="The client disconnected abnormally")
        self._client.will_set(Topic.NOTIFICATIONS, encode(will))

    @contextmanager
    def living_on(self, broker: Mosquitto) -> Iterator[None]:
        """Answer."""
        with _running(self._client, broker, Topic.DAEMONS, qos=0):
            yield

    def vanish(self) -> None:
        """Cut the connection without a goodbye: the broker then says the will."""
        self._client.loop_stop()
        connection = self._client.socket()
        assert connection is not None
        connection.close()

    def _header(self) -> dict[str, Any]:
        return {"generation": V1_3, "sender": self.sender}

    def _hear(self, message: Message) -> None:
        for answer in self._answers(decode(message.payload, message.topic)):
            self._client.publish(Topic.RESPONSES, answer)

    def _answers(self, request: Note) -> Iterator[bytes]:
        if isinstance(request, StatsRequest):
            yield encode(self._measure())
        elif isinstance(request, PingRequest) and request.generation is V1_3:
            here = time.time() + self._clock_skew_seconds
            elapsed = int((here - request.sec - request.usec / 1e6) * 1000)
            # It writes the time unsigned, so that a negative one is 2^63 or more.
            words = (1, 10, self.sender.id, self.sender.name, elapsed % 2**64)
            yield b"".join(map(msgpack.packb, words))
        else:
            yield encode(ProtocolError(**self._header()))  # it has ids, which it cannot read

    def _measure(self) -> Note:
        if self._stats is None:
            return InternalError(**self._header())
        fields: dict[str, Any] = {
            "child_count": 1,
            "role": "receiver",
            "role_info": "msg-perf-tool C test client",
            "stats_type": 1,
            "timestamp": "2018-05-02 12:34:56",
            "count": 0,
            "rate": 0.0,
            "latency": math.nan,
        }
        return StatsResponse(**self._header(), **(fields | dict(self._stats)))


def _client(receive: Callable[[Message], object]) -> Client:
    def on_message(_client: Client, _userdata: object, message: MQTTMessage) -> None:
        receive(Message(message.topic, bytes(message.payload)))

    client = Client(CallbackAPIVersion.VERSION2)
    client.on_message = on_message
    return client


@contextmanager
def _running(client: Client, broker: Mosquitto, topic: str, qos: int) -> Iterator[None]:
    """Keep a client connected and subscribed, on a thread of its own."""
    subscribed = threading.Event()

    def on_connect(*_: object) -> None:
        client.subscribe(topic, qos)

    def on_subscribe(*_: object) -> None:
        subscribed.set()

    client.on_connect = on_connect
    client.on_subscribe = on_subscribe
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    try:
        assert subscribed.wait(20)
        yield
    finally:
        client.disconnect()
        client.loop_stop()
