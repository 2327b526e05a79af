"""The brokers of the tests let in, forbid, keep and forget what they are told to."""

from __future__ import annotations

import signal
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from paho.mqtt.client import Client, ConnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from tests.faults import processes
from tests.faults.brokers import PASSWORD, USER, ForbiddingMosquitto
from tests.faults.certificates import Certificates, Pair
from tests.servers import Mosquitto, wait_for

SECONDS = 10.0
NOT_AUTHORIZED, GRANTED = 0x87, 2
USERS = {"exporter": "a: b c", "other": "ö"}
FIRST, LAST = "the first message", "the last message"
AUTOSAVE = ("autosave_interval 1", "autosave_on_changes true")


class Guest:
    """A client of MQTT 5 that is connected once, and remembers what it is told."""

    def __init__(
        self,
        port: int,
        *,
        user: tuple[str, str] | None = None,
        context: ssl.SSLContext | None = None,
        session: str | None = None,
        level: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5,
    ) -> None:
        self._client = Client(
            CallbackAPIVersion.VERSION2, session or "", protocol=level, reconnect_on_failure=False
        )
        if user is not None:
            self._client.username_pw_set(*user)
        if context is not None:
            self._client.tls_set_context(context)
        self.reasons: list[str] = []
        self.present: list[bool] = []
        self.granted: list[int] = []
        self.heard: list[str] = []
        self._client.on_connect = self._welcome
        self._client.on_subscribe = lambda _, __, ___, reasons, ____: self.granted.extend(
            each.value for each in reasons
        )
        self._client.on_message = self._hear
        if level is MQTTProtocolVersion.MQTTv5:
            properties = Properties(PacketTypes.CONNECT)
            if session is not None:
                properties.SessionExpiryInterval = 600
            self._client.connect(
                "localhost", port, clean_start=session is None, properties=properties
            )
        else:
            self._client.connect("localhost", port)

    def __enter__(self) -> Guest:
        self._client.loop_start()
        wait_for(lambda: self.reasons, "the CONNACK", SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def subscribe(self, topic: str) -> int:
        """Give what the SUBACK says."""
        before = len(self.granted)
        self._client.subscribe(topic, 2)
        wait_for(lambda: len(self.granted) > before, "the SUBACK", SECONDS)
        return self.granted[-1]

    def publish(self, topic: str, payload: str) -> None:
        self._client.publish(topic, payload, 1).wait_for_publish(SECONDS)

    def wait_heard(self, *payloads: str) -> None:
        wait_for(lambda: self.heard == list(payloads), f"to hear {payloads}", SECONDS)

    def _welcome(
        self, _: Client, __: object, flags: ConnectFlags, reason: ReasonCode, ___: object
    ) -> None:
        self.present.append(flags.session_present)
        self.reasons.append(str(reason))

    def _hear(self, _: Client, __: object, message: MQTTMessage) -> None:
        self.heard.append(message.payload.decode())


def verdict(port: int, user: tuple[str, str] | None = None) -> str:
    """Give what the CONNACK says to a user."""
    with Guest(port, user=user) as guest:
        return guest.reasons[0]


def test_users() -> None:
    """Only users with their passwords are let in at the guarded port, anybody at the other."""
    with Mosquitto(users=USERS) as broker:
        for user in USERS.items():
            assert verdict(broker.guarded_port, user) == "Success"
        for stranger in (None, ("exporter", "wrong"), ("nobody", "ö")):
            assert verdict(broker.guarded_port, stranger) == "Not authorized"
        assert verdict(broker.port) == "Success"

        broker.write_users({"exporter": "new"})
        broker.signal(signal.SIGHUP)
        wait_for(lambda: "Reloading config" in broker.output(), "the reload")
        wait_for(
            lambda: verdict(broker.guarded_port, ("exporter", "new")) == "Success", "the new one"
        )
        assert verdict(broker.guarded_port, ("other", "ö")) == "Not authorized"


def test_acl() -> None:
    """What the acl_file forbids is not delivered at the guarded port."""
    with (
        Mosquitto(acl="topic read allowed\n") as broker,
        Guest(broker.guarded_port) as guest,
        Guest(broker.port) as anybody,
    ):
        guest.subscribe("forbidden")
        assert guest.subscribe("allowed") == GRANTED
        anybody.publish("forbidden", "no")
        anybody.publish("allowed", "yes")
        guest.wait_heard("yes")


def context(certificates: Certificates, client: Pair | None = None) -> ssl.SSLContext:
    """Give a client that trusts the right CA."""
    made = ssl.create_default_context(cafile=str(certificates.ca))
    if client is not None:
        made.load_cert_chain(client.certificate, client.key)
    return made


def test_tls(certificates: Certificates) -> None:
    """Who trusts the CA may come, and meets those of the plain port."""
    with (
        Mosquitto(tls=certificates.server.tls()) as broker,
        Guest(broker.guarded_port, context=context(certificates)) as guest,
        Guest(broker.port) as plain,
    ):
        assert broker.guarded_url == f"mqtts://localhost:{broker.guarded_port}"
        assert guest.subscribe("topic") == GRANTED
        plain.publish("topic", "hello")
        guest.wait_heard("hello")


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("other_name", "Hostname mismatch"),
        ("expired", "expired"),
        ("future", "not yet valid"),
        ("foreign", "unable to get local issuer"),
        ("self_signed", "self.signed"),
        ("client", "purpose"),
    ],
)
def test_bad_certificates(certificates: Certificates, name: str, complaint: str) -> None:
    """Each bad certificate is bad in its own way."""
    bad: Pair = getattr(certificates, name)
    with Mosquitto(tls=bad.tls()) as broker, pytest.raises(ssl.SSLError, match=complaint):
        Guest(broker.guarded_port, context=context(certificates))


def test_client_certificates(certificates: Certificates) -> None:
    """Clients come in with a certificate of the CA, and with no other; passwords count too."""
    tls = certificates.server.tls(certificates.ca)
    with Mosquitto(tls=tls, users=USERS) as broker:
        good = context(certificates, certificates.client)
        for user, reason in ((("other", "ö"), "Success"), (None, "Not authorized")):
            with Guest(broker.guarded_port, context=good, user=user) as guest:
                assert guest.reasons == [reason]
        for bad in (None, certificates.expired_client, certificates.foreign_client):
            with pytest.raises(OSError, match=r"(?i)certificate|alert|EOF|reset"):
                refused(broker.guarded_port, context(certificates, bad))


def refused(port: int, client: ssl.SSLContext) -> None:
    """Say something, and read until the end; TLS 1.3 tells of a refusal after the handshake."""
    with (
        socket.create_connection(("localhost", port), SECONDS) as plain,
        client.wrap_socket(plain, server_hostname="localhost") as encrypted,
    ):
        encrypted.sendall(bytes.fromhex("100c00044d5154540402003c0000"))
        assert encrypted.recv(100) == b""
        raise ConnectionResetError


@contextmanager
def remembered(broker: Mosquitto) -> Iterator[None]:
    """Leave a session and two messages to a broker that is to live again."""
    with Guest(broker.guarded_port, session="session") as guest:
        assert guest.subscribe("topic") == GRANTED
    with Guest(broker.port) as other:
        for message in (FIRST, LAST):
            other.publish("topic", message)
    yield
    broker.start()


@pytest.mark.parametrize("extra", [(), AUTOSAVE])
@pytest.mark.parametrize("acl", [None, "topic read topic\n"])
def test_persistence(extra: Sequence[str], acl: str | None) -> None:
    """A session and its messages outlive the broker's end, and its death if it saves at once."""
    with Mosquitto(persistence=True, extra=extra, acl=acl) as broker:
        with remembered(broker):
            if extra:
                database = broker.folder / "mosquitto.db"
                wait_for(lambda: LAST.encode() in database.read_bytes(), "the last save")
                broker.kill()
            else:
                assert broker.stop() == 0
        with Guest(broker.guarded_port, session="session") as guest:
            assert guest.present == [True]
            guest.wait_heard(FIRST, LAST)


def test_kill() -> None:
    """A broker that is killed forgets its sessions, and says no goodbye."""
    with Mosquitto(persistence=True) as broker:
        with remembered(broker):
            broker.kill()
            assert "terminating" not in broker.output()
        with Guest(broker.port, session="session") as guest:
            assert guest.present == [False]


def test_forbidden_subscriptions() -> None:
    """The SUBACK says what is forbidden; that can change while clients are connected."""
    user = (USER, PASSWORD)
    with (
        ForbiddingMosquitto("/mpt/notifications") as broker,
        Guest(broker.port, user=user) as guest,
        Guest(broker.port, user=user, level=MQTTProtocolVersion.MQTTv311) as older,
        Guest(broker.port) as anybody,
    ):
        assert guest.subscribe("/mpt/notifications") == NOT_AUTHORIZED
        assert older.subscribe("/mpt/notifications") == 0x80
        assert guest.subscribe("/mpt/daemon") == GRANTED
        assert anybody.subscribe("/mpt/notifications") == GRANTED
        broker.allow()
        assert guest.subscribe("/mpt/notifications") == GRANTED
        broker.forbid("/mpt/daemon")
        assert guest.subscribe("/mpt/notifications") == GRANTED
        assert guest.subscribe("/mpt/daemon") == NOT_AUTHORIZED
        anybody.publish("/mpt/notifications", "hello")
        guest.wait_heard("hello")
        assert guest.reasons == ["Success"]
        assert verdict(broker.port, (USER, "wrong")) == "Not authorized"
        broker.stop()
        broker.start()
        with Guest(broker.port, user=user) as again:
            assert again.subscribe("/mpt/daemon") == NOT_AUTHORIZED


def test_processes() -> None:
    """The kernel says what a program has."""
    with Mosquitto() as broker:
        before = processes.descriptors(broker)
        assert before > 2
        assert processes.threads(broker) == 1
        assert 1_000 < processes.rss_kib(broker) < 100_000
        with Guest(broker.port):
            assert processes.descriptors(broker) == before + 1
