"""What can go wrong with a connection: a reason for metrics, and words for people."""

from __future__ import annotations

import re
import socket
import ssl
from typing import NamedTuple

from paho.mqtt.reasoncodes import ReasonCode

from maestro_exporter.broker import BrokerError

#: Why a connection did not come about, or why it ended.
REASONS = (
    "dns",  # the name cannot be resolved
    "unreachable",  # refused, no route, timed out
    "tls",  # no TLS there, or a certificate that is not accepted
    "credentials",  # unknown, wrong or unreadable
    "refused",  # for another reason
    "silent",  # no answer in time
    "hung_up",  # before an answer
    "subscription",  # is not allowed
    "lost",  # without a word
    "timeout",  # no sign of life
    "closed",  # by the broker, which said why
    "taken_over",  # by another client with the same id
    "protocol",  # what came is not MQTT
)


class LinkFailure(NamedTuple):
    """Why there is no connection, or why the last one ended.

    Attributes:
        reason: one of `REASONS`.
        message: for people; one line.
        at: monotonic seconds.
    """

    reason: str
    message: str
    at: float


class LinkError(Exception):
    """There is no connection, or no more; `str()` is one line that says why.

    Attributes:
        reason: one of `REASONS`.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def of_connecting(error: Exception, *, tls: bool) -> LinkError:
    """Give the failure that an exception of `connect` stands for.

    Args:
        error: the exception.
        tls: whether there was to be a TLS handshake.
    """
    system = getattr(error, "strerror", None) or str(error) or type(error).__name__
    match error:
        case BrokerError():
            return LinkError("tls", str(error))
        case ssl.SSLError():
            return LinkError("tls", _of_handshake(error))
        case socket.gaierror() | UnicodeError():
            return LinkError("dns", f"its name cannot be resolved: {system}")
        case TimeoutError() if "handshake" in system:
            return LinkError("tls", "the TLS handshake timed out")
        case ConnectionResetError() | BrokenPipeError() if tls:
            return LinkError("tls", "it hung up in the TLS handshake")
    return LinkError("unreachable", system)


def _of_handshake(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    reason = getattr(error, "reason", None) or str(error)  # there is none from Python code
    return f"the TLS handshake failed: {reason.replace('_', ' ').lower()}"


def of_refusal(code: ReasonCode) -> LinkError:
    """Give the failure that a CONNACK stands for."""
    known = ("Bad user name or password", "Not authorized")
    reason = "credentials" if code.getName() in known else "refused"
    return LinkError(reason, f"it refused the connection: {code.getName()}")


def of_hanging_up(words: str) -> LinkError:
    """Give the failure of a connection that ended before an answer.

    Args:
        words: paho's, of the error on the socket; empty if there was none.
    """
    # By TLS 1.3, a server judges our certificate when the handshake is over for us.
    if found := re.search(r"\[SSL: (\w+)\]", words):
        alert = found[1].replace("_", " ").lower()
        return LinkError("tls", f"it refused us after the TLS handshake: {alert}")
    why = f" ({words})" if words else ""
    return LinkError("hung_up", f"it hung up instead of an answer{why}")


_SAME_ID = "another client with the same --mqtt.client-id has connected"


def of_disconnection(code: ReasonCode, *, by_broker: bool, own_id: bool) -> LinkError:
    """Give the failure that paho reports when a connection ends that the broker had accepted.

    Args:
        code: paho's, or the broker's of MQTT 5.
        by_broker: whether the broker has said so.
        own_id: whether the client id is one that others may have too.  Brokers of MQTT 3.1.1
            cannot say that these have connected; mosquitto 2.0 does not by MQTT 5 either.
    """
    name = code.getName()
    if by_broker and name == "Session taken over":
        return LinkError("taken_over", _SAME_ID)
    if by_broker:
        return LinkError("closed", f"it disconnected us: {name}")
    if name == "Keep alive timeout":
        return LinkError("timeout", "it gave no sign of life")
    if name == "Protocol error":
        return LinkError("protocol", "what came is not MQTT")
    return LinkError("lost", f"it hung up, or the network did{f', or {_SAME_ID}' * own_id}")
