"""Paho's client, made and spoken to as we want it."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from maestro_exporter.broker import Broker
from maestro_exporter.mqtt.dialect import V5

KEEPALIVE = 15  # seconds; a frozen broker is noticed after about twice that
LARGEST_PACKET = 16 * 1024 * 1024  # bytes; by MQTT 5 the broker sends nothing larger
GOODBYE_TIMEOUT = 0.3  # seconds, for each of its two parts
CONNECT_TIMEOUT = 5.0  # seconds for each address of the broker, and for the TLS handshake


class Callbacks(Protocol):
    """What paho calls in the network thread, with its own arguments."""

    @property
    def on_connect(self) -> Callable[..., None]: ...
    @property
    def on_subscribe(self) -> Callable[..., None]: ...
    @property
    def on_disconnect(self) -> Callable[..., None]: ...
    @property
    def on_message(self) -> Callable[..., None]: ...
    @property
    def on_socket_close(self) -> Callable[..., None]: ...


def make_client(
    factory: Callable[..., Client],
    broker: Broker,
    client_id: str,
    version: MQTTProtocolVersion,
    callbacks: Callbacks,
    *,
    clean: bool,
) -> Client:
    """Give a client that is not connected.

    Args:
        factory: paho's class.
        broker: says whether to speak TLS.
        client_id: never empty.
        version: of MQTT.
        callbacks: for what happens.
        clean: by MQTT 3.1.1, whether to keep no session.
    """
    client = factory(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        clean_session=None if version == V5 else clean,
        protocol=version,
        reconnect_on_failure=False,  # else it connects again by itself, for MQTT 3.1
    )
    if broker.tls:
        client.tls_set_context(_FreshContext(broker))  # type: ignore[arg-type]
    client.connect_timeout = CONNECT_TIMEOUT
    client.on_connect = callbacks.on_connect
    client.on_subscribe = callbacks.on_subscribe
    client.on_disconnect = callbacks.on_disconnect
    client.on_message = callbacks.on_message
    # With this set, `publish` leaves the writing to the network thread;
    # without it, the reactor thread would write to the same socket.
    client.on_socket_register_write = _leave_it
    client.on_socket_open = _send_at_once
    client.on_socket_close = callbacks.on_socket_close
    return client


def connect(client: Client, broker: Broker, *, clean: bool) -> None:
    """Connect; raises what paho and the TLS context raise.

    Args:
        client: of `make_client`.
        broker: where it is.
        clean: by MQTT 5, whether to begin a new session.
    """
    options: dict[str, Any] = {}
    if client.protocol == V5:
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = int(broker.session_expiry)
        properties.MaximumPacketSize = LARGEST_PACKET
        options = {"clean_start": clean, "properties": properties}
    host, port = broker.address
    client.connect(host, port, keepalive=KEEPALIVE, **options)


def subscribe(
    client: Client, subscriptions: Sequence[tuple[str, int]], *, retained: bool
) -> int | None:
    """Ask for topics; give the number of the request, to know its answer by.

    Args:
        client: connected.
        subscriptions: pairs of topic and quality of service.
        retained: whether to get what the broker keeps for new subscribers; by MQTT 3.1.1, it is
            always sent.
    """
    if retained or client.protocol != V5:
        return client.subscribe(list(subscriptions))[1]
    retain = SubscribeOptions.RETAIN_DO_NOT_SEND
    options = [
        (topic, SubscribeOptions(qos, retainHandling=retain)) for topic, qos in subscriptions
    ]
    return client.subscribe(options)[1]


def disconnect(client: Client, *, end_session: bool) -> None:
    """Say goodbye; by MQTT 5, with word whether to end the session."""
    properties = None
    if end_session and client.protocol == V5:
        properties = Properties(PacketTypes.DISCONNECT)
        properties.SessionExpiryInterval = 0
    client.disconnect(properties=properties)


def flush(client: Client) -> None:
    """Write what waits to be written, for a moment."""
    deadline = time.monotonic() + GOODBYE_TIMEOUT
    client.loop_write()
    while client.want_write() and time.monotonic() < deadline:
        connection = client.socket()
        if connection is None:
            return
        select.select([], [connection], [], max(0.0, deadline - time.monotonic()))
        client.loop_write()


def let_read(connection: Any) -> None:
    """Wait a moment for the broker to read what it was sent, and to close the connection.

    One that is closed with something unread is reset, and then the broker may not get to read
    a goodbye.
    """
    deadline = time.monotonic() + GOODBYE_TIMEOUT
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        while (left := deadline - time.monotonic()) > 0:
            connection.settimeout(left)
            if not connection.recv(65536):
                break


class _FreshContext:
    """Stands for the TLS context: paho takes one for all connections, but files are renewed."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.check_hostname = not broker.insecure

    def wrap_socket(self, *args: Any, **options: Any) -> ssl.SSLSocket:
        context = self._broker.tls_context()
        assert context is not None  # noqa: S101 - it is the reason why we are here
        return context.wrap_socket(*args, **options)


def _leave_it(_client: Client, _userdata: object, _socket: object) -> None:
    """Let the network loop find by itself that there is something to write."""


def _send_at_once(_client: Client, _userdata: object, connection: Any) -> None:
    """Do not hold back the second request of a round until the first is acknowledged.

    With Nagle's algorithm that costs 40 ms on loopback, which PING would measure.
    """
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
