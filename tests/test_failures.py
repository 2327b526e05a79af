"""What can go wrong with a connection, in words."""

from __future__ import annotations

import socket
import ssl

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.broker import BrokerError
from maestro_exporter.mqtt.failures import (
    REASONS,
    LinkError,
    of_connecting,
    of_disconnection,
    of_hanging_up,
    of_refusal,
)


def ssl_error(reason: str | None, text: str = "[SSL] something long (_ssl.c:1)") -> ssl.SSLError:
    """Give what OpenSSL raises."""
    error = ssl.SSLError(1, text)
    if reason is not None:
        error.reason = reason
    return error


class FailureTestCase(SynchronousTestCase):
    """What the tests of failures share."""

    def assert_failure(self, reason: str, message: str, error: LinkError) -> None:
        self.assertEqual((reason, message), (error.reason, str(error)))
        self.assertIn(reason, REASONS)
        self.assertEqual(1, len(message.splitlines()))


class ConnectingTests(FailureTestCase):
    """Exceptions of connecting."""

    def test_causes(self) -> None:
        """Each has a reason, and what the system says of it."""
        for error, reason, message in (
            (
                ConnectionRefusedError(111, "Connection refused"),
                "unreachable",
                "Connection refused",
            ),
            (OSError(113, "No route to host"), "unreachable", "No route to host"),
            (TimeoutError("timed out"), "unreachable", "timed out"),
            (OSError(), "unreachable", "OSError"),
            (
                socket.gaierror(-2, "Name or service not known"),
                "dns",
                "its name cannot be resolved: Name or service not known",
            ),
            (
                UnicodeError("label empty or too long"),
                "dns",
                "its name cannot be resolved: label empty or too long",
            ),
            (
                ssl_error("WRONG_VERSION_NUMBER"),
                "tls",
                "the TLS handshake failed: wrong version number",
            ),
            (ssl_error(None, "odd"), "tls", "the TLS handshake failed: odd"),
            (
                TimeoutError("_ssl.c:1015: The handshake operation timed out"),
                "tls",
                "the TLS handshake timed out",
            ),
            (
                BrokerError("--mqtt.ca-file: /ca.pem: no certificate in it"),
                "tls",
                "--mqtt.ca-file: /ca.pem: no certificate in it",
            ),
        ):
            self.assert_failure(reason, message, of_connecting(error, tls=True))

    def test_reset(self) -> None:
        """A server that does not speak TLS ends the connection when the handshake begins."""
        reset = ConnectionResetError(104, "Connection reset by peer")
        told = "it hung up in the TLS handshake"
        for error in (reset, BrokenPipeError(32, "Broken pipe")):
            self.assert_failure("tls", told, of_connecting(error, tls=True))
        self.assert_failure(
            "unreachable", "Connection reset by peer", of_connecting(reset, tls=False)
        )

    def test_certificate(self) -> None:
        """OpenSSL says what is wrong with it."""
        error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] long (_ssl.c:1)")
        error.verify_message = "self-signed certificate"
        self.assert_failure(
            "tls",
            "its certificate is not accepted: self-signed certificate",
            of_connecting(error, tls=True),
        )


class RefusalTests(FailureTestCase):
    """Answers to CONNECT."""

    def test_credentials(self) -> None:
        """Brokers say it in one of two ways, in both versions of MQTT."""
        for name in ("Bad user name or password", "Not authorized"):
            self.assert_failure(
                "credentials",
                f"it refused the connection: {name}",
                of_refusal(ReasonCode(PacketTypes.CONNACK, name)),
            )

    def test_others(self) -> None:
        """The broker's own word is in the text."""
        for name in ("Server unavailable", "Banned", "Client identifier not valid"):
            self.assert_failure(
                "refused",
                f"it refused the connection: {name}",
                of_refusal(ReasonCode(PacketTypes.CONNACK, name)),
            )


class HangingUpTests(FailureTestCase):
    """Ends of connections before an answer."""

    def test_without_and_with_words(self) -> None:
        """What paho says of the socket is shown."""
        hung_up = "it hung up instead of an answer"
        self.assert_failure("hung_up", hung_up, of_hanging_up(""))
        self.assert_failure("hung_up", f"{hung_up} (it broke)", of_hanging_up("it broke"))

    def test_certificate_of_ours(self) -> None:
        """By TLS 1.3 a server refuses it when the handshake is over for us."""
        self.assert_failure(
            "tls",
            "it refused us after the TLS handshake: tlsv13 alert certificate required",
            of_hanging_up(
                "failed to receive on socket: [SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 "
                "alert certificate required (_ssl.c:2580)"
            ),
        )


class DisconnectionTests(FailureTestCase):
    """Ends of connections."""

    def failure(self, name: str, *, by_broker: bool = False, own_id: bool = False) -> LinkError:
        code = ReasonCode(PacketTypes.DISCONNECT, name)
        return of_disconnection(code, by_broker=by_broker, own_id=own_id)

    def test_ends_that_paho_notices(self) -> None:
        """It has a name for some of them."""
        for name, reason, message in (
            ("Unspecified error", "lost", "it hung up, or the network did"),
            ("Success", "lost", "it hung up, or the network did"),
            ("Keep alive timeout", "timeout", "it gave no sign of life"),
            ("Protocol error", "protocol", "what came is not MQTT"),
        ):
            self.assert_failure(reason, message, self.failure(name))

    def test_ends_that_the_broker_tells(self) -> None:
        """What paho has a name for, the broker may say too: then it is the broker's word."""
        for name in ("Server shutting down", "Keep alive timeout", "Protocol error"):
            self.assert_failure(
                "closed", f"it disconnected us: {name}", self.failure(name, by_broker=True)
            )

    def test_id_of_another(self) -> None:
        """The broker may say so; where it cannot, the id may be the cause if others can have it."""
        other = "another client with the same --mqtt.client-id has connected"
        self.assert_failure(
            "taken_over", other, self.failure("Session taken over", by_broker=True, own_id=True)
        )
        self.assert_failure(
            "lost",
            f"it hung up, or the network did, or {other}",
            self.failure("Unspecified error", own_id=True),
        )
