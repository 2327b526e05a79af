"""One MQTT connection that many simulated peers share; the only module here that knows paho."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from threading import Event as Flag
from threading import Thread
from typing import Any
from uuid import uuid4

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from maestro_exporter.notes import Topic
from maestro_exporter.simulator.peers import Peer
from maestro_exporter.values import BrokerURL

# The requests of all generations, so that any peer may be added to any connection;
# the QoS is that of upstream's peers.
_SUBSCRIPTIONS = [(Topic.PEERS, 1), (Topic.WORKERS, 1), (Topic.DAEMONS, 0)]
_RECONNECT_SECONDS = (1, 2)


class Connection:
    """One MQTT connection, and the peers that speak through it.

    It connects, and comes back after the broker went away, by itself.

    Args:
        broker: where it is, and the user name and password that it wants.
        receive: called with this connection, topic and payload of each request, on
            the connection's own thread.

    Attributes:
        peers: an ordered set, which the owner keeps.
        ready: set while the connection is up and its subscriptions are acknowledged.
    """

    def __init__(
        self, broker: BrokerURL, receive: Callable[[Connection, str, bytes], None]
    ) -> None:
        self.peers: dict[Peer, None] = {}
        self.ready = Flag()
        self._address = broker.address
        self._receive = receive
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"maestro.exchange.{uuid4()}",
            protocol=MQTTProtocolVersion.MQTTv311,
        )
        if broker.username:
            self._client.username_pw_set(broker.username, broker.password)
        self._client.reconnect_delay_set(*_RECONNECT_SECONDS)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._client.on_socket_open = _send_at_once

    def open(self) -> None:
        """Connect as soon as the broker can be reached."""
        self._client.connect_async(self._address.host, self._address.port)
        self._client.loop_start()

    def close(self) -> Thread:
        """Disconnect; the thread that is given back ends when that is done."""
        self._client.disconnect()
        # paho's own wait has no limit, and its thread may be busy connecting.
        thread = Thread(target=self._client.loop_stop, daemon=True)
        thread.start()
        return thread

    def publish(self, topic: str, qos: int, retain: bool, payload: bytes) -> None:
        """Send a payload; while the broker is away it is lost."""
        if self.ready.is_set():
            self._client.publish(topic, payload, qos, retain)

    def _on_connect(
        self, client: Client, userdata: Any, flags: Any, code: ReasonCode, properties: Any
    ) -> None:
        if not code.is_failure:
            client.subscribe(_SUBSCRIPTIONS)

    def _on_subscribe(self, *_: Any) -> None:
        self.ready.set()

    def _on_disconnect(self, *_: Any) -> None:
        self.ready.clear()

    def _on_message(self, client: Client, userdata: Any, message: MQTTMessage) -> None:
        self._receive(self, message.topic, bytes(message.payload))


def _send_at_once(_client: Client, _userdata: Any, connection: Any) -> None:
    """Do not hold an answer back until the one before is acknowledged, which takes 40 ms."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
