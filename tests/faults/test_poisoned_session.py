"""A message that MQTT allows and paho cannot read, which a kept session brings again and again."""

from __future__ import annotations

import socket
import struct

import pytest
from paho.mqtt import publish

from maestro_exporter.notes import Generation, Role, TestSuccess, Topic, encode
from maestro_exporter.simulator import Peer
from tests.e2e.clusters import number, page, wait_for_value
from tests.servers import Exporter, Mosquitto, wait_for

pytestmark = pytest.mark.long


@pytest.mark.parametrize("retained", [False, True], ids=["once", "retained"])
def test_session_that_cannot_be_read_is_given_up(retained: bool) -> None:
    """After some attempts the exporter goes on without it, and says what that cost."""
    with (
        Mosquitto() as broker,
        Exporter(f"--maestro-url={broker.url}", "--interval=1s", launcher="console") as exporter,
    ):
        wait_for_value(exporter, 1.0, "maestro_up")
        publish_poison(broker.port, retained=retained)

        def is_over() -> bool:
            samples = page(exporter)
            lost = number(samples, "maestro_exporter_broker_sessions_lost_total")
            return lost == 1 and number(samples, "maestro_up") == 1

        wait_for(is_over, "the session to be given up", 90)
        assert (
            number(page(exporter), "maestro_exporter_broker_errors_total", reason="protocol") >= 3
        )
        assert "are lost" in exporter.output()

        peer = Peer(Generation.V1_5, Role.SENDER, "host")
        success = encode(peer.say(TestSuccess, message=""))
        publish.single(Topic.NOTIFICATIONS, success, 2, hostname="127.0.0.1", port=broker.port)
        wait_for_value(exporter, 1.0, "maestro_test_success")


def publish_poison(port: int, *, retained: bool) -> None:
    """Publish with a property that has U+FEFF in it, which section 1.5.4 of MQTT 5 allows."""
    properties = b"\x26" + _text("a\ufeffb") + _text("c")
    connect = _text("MQTT") + b"\x05\x02\x00\x3c\x00" + _text("poisoner")
    message = _text(Topic.NOTIFICATIONS) + struct.pack(">HB", 1, len(properties)) + properties
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(_packet(0x10, connect))
        assert connection.recv(100)[0] == 0x20  # CONNACK
        connection.sendall(_packet(0x32 | retained, message + b"x"))
        assert connection.recv(100)[0] == 0x40  # PUBACK


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">H", len(encoded)) + encoded


def _packet(kind: int, body: bytes) -> bytes:
    assert len(body) < 128, "one byte of length"
    return bytes([kind, len(body)]) + body
