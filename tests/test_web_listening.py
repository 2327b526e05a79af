"""Addresses to listen on, at a reactor in memory."""

from __future__ import annotations

import os
import socket
from typing import Any, NamedTuple
from unittest import mock

from OpenSSL.SSL import TLS_METHOD, Context
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.endpoints import (
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
)
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from maestro_exporter.settings import StartError
from maestro_exporter.snapshot import Moment
from maestro_exporter.values import Address
from maestro_exporter.web import server
from maestro_exporter.web.config import WebConfig
from maestro_exporter.web.listening import Listener, from_systemd, on_address
from maestro_exporter.web.security import Security
from maestro_exporter.web.server import BoundedSite
from tests.fakes import Log


class Port(NamedTuple):
    """A port that is listened on."""

    host: Any
    closed: list[bool]

    def getHost(self) -> Any:
        return self.host

    def stopListening(self) -> Deferred[None]:
        self.closed.append(True)
        return succeed(None)


class Transport(StringTransport):
    """A connection of TCP."""

    def setTcpNoDelay(self, _enabled: bool) -> None: ...


class Endpoint:
    """Listens, or fails to.

    Attributes:
        factories: what was to be served.
    """

    def __init__(self, result: Any) -> None:
        self.port = Port(result, [])
        self.error = result if isinstance(result, Exception) else None
        self.factories: list[Any] = []

    def listen(self, factory: Any) -> Deferred[Any]:
        self.factories.append(factory)
        return fail(self.error) if self.error else succeed(self.port)


class ListeningTestCase(SynchronousTestCase):
    """What the tests share."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.log = Log(self)
        self.site = BoundedSite(Resource(), self.reactor)
        unused: Any = None
        self.security = Security(None, unused, lambda: Moment(0.0, 0.0))

    def listener(self, endpoint: Any, name: str = "the name") -> Listener:
        return Listener(endpoint, name, self.site, self.security, "/metrics")

    def line(self, host: Any) -> str:
        """Give the log line of a start."""
        self.listener(Endpoint(host)).startService()
        (line,) = self.log.lines()
        self.log.events.clear()
        return line


class ListenerTests(ListeningTestCase):
    """Start and stop."""

    def test_start(self) -> None:
        """The site is served, once, before privileges are dropped."""
        endpoint = Endpoint(IPv4Address("TCP", "127.0.0.1", 9))
        listener = self.listener(endpoint)
        listener.privilegedStartService()
        self.assertEqual(endpoint.factories, [self.site])
        listener.startService()
        self.assertEqual(endpoint.factories, [self.site])
        self.assertTrue(listener.running)

    def test_start_without_privileges(self) -> None:
        """Where there are no privileges to drop, it is served as well."""
        endpoint = Endpoint(IPv4Address("TCP", "127.0.0.1", 9))
        self.listener(endpoint).startService()
        self.assertEqual(endpoint.factories, [self.site])

    def test_stop(self) -> None:
        """The port is closed; to stop before the start, or twice, is no error."""
        endpoint = Endpoint(IPv4Address("TCP", "127.0.0.1", 9))
        listener = self.listener(endpoint)
        self.assertIsNone(listener.stopService())
        listener.startService()
        stopping: Any = listener.stopService()
        self.successResultOf(stopping)
        self.assertEqual(endpoint.port.closed, [True])
        self.assertIsNone(listener.stopService())
        listener.startService()
        self.assertEqual(len(endpoint.factories), 2)

    def test_line(self) -> None:
        """The log says where the metrics are."""
        for host, shown in (
            (IPv4Address("TCP", "127.0.0.1", 9120), "127.0.0.1:9120"),
            (IPv4Address("TCP", "0.0.0.0", 9120), "localhost:9120"),
            (IPv6Address("TCP", "::1", 9120), "[::1]:9120"),
            (IPv6Address("TCP", "::", 9120), "localhost:9120"),
            (IPv6Address("TCP", "fe80::1%eth0", 9120), "[fe80::1%eth0]:9120"),
        ):
            self.assertEqual(self.line(host), f"Serving http://{shown}/metrics")
        self.assertIn("/run/x.sock", self.line(UNIXAddress("/run/x.sock")))

    def test_tls(self) -> None:
        """With a certificate it is served over TLS, as the security has it, and said so."""
        self.security.config = WebConfig(context=Context(TLS_METHOD))
        endpoint = Endpoint(IPv4Address("TCP", "127.0.0.1", 9))
        self.listener(endpoint).startService()
        (factory,) = endpoint.factories
        self.assertIsInstance(factory, TLSMemoryBIOFactory)
        self.assertIs(factory.wrappedFactory, self.site)
        self.assertEqual(self.log.lines(), ["Serving https://127.0.0.1:9/metrics"])
        contexts = []
        for context in (self.security.config.context, Context(TLS_METHOD)):
            self.security.config = WebConfig(context=context)
            protocol: Any = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 5))
            protocol.makeConnection(Transport())
            contexts.append(protocol._tlsConnection.get_context() is context)
        self.assertEqual(contexts, [True, True])

    def test_limit_of_connections_over_tls(self) -> None:
        """It holds there, too, without an error."""
        self.patch(server, "MOST_CONNECTIONS", 0)
        self.security.config = WebConfig(context=Context(TLS_METHOD))
        endpoint = Endpoint(IPv4Address("TCP", "127.0.0.1", 9))
        self.listener(endpoint).startService()
        self.assertIsNone(endpoint.factories[0].buildProtocol(IPv4Address("TCP", "1.2.3.4", 5)))

    def test_failure(self) -> None:
        """An address that cannot be listened on is an error of one line."""
        for error, reason in (
            (
                CannotListenError("h", 1, OSError(98, "Address already in use")),
                "Address already in use",
            ),
            (
                CannotListenError("h", 1, socket.gaierror(-2, "Name or service not known")),
                "Name or",
            ),
            (OSError(13, "Permission denied"), "Permission denied"),
            (ValueError("bad"), "bad"),
        ):
            error_raised = self.assertRaises(
                StartError, self.listener(Endpoint(error), "host:1").startService
            )
            text = str(error_raised)
            self.assertTrue(text.startswith(f"cannot listen on host:1: {reason}"), text)
            self.assertTrue(text.endswith("; choose another with --port"), text)
            self.assertNotIn("\n", text)
        self.assertEqual(self.flushLoggedErrors(), [])


class AddressTests(ListeningTestCase):
    """Endpoints of addresses."""

    def test_kinds(self) -> None:
        """A host with a colon is one of IPv6."""
        for address, kind, name in (
            (Address("", 9120), TCP4ServerEndpoint, ":9120"),
            (Address("localhost", 9120), TCP4ServerEndpoint, "localhost:9120"),
            (Address("::1", 9120), TCP6ServerEndpoint, "[::1]:9120"),
        ):
            endpoint, found = on_address(address, self.reactor)
            self.assertIsInstance(endpoint, kind)
            self.assertEqual(found, name)
            self.listener(endpoint, found).startService()
            port, factory, _, interface = self.reactor.tcpServers.pop()
            self.assertEqual((port, interface, factory), (9120, address.host, self.site))


class SystemdTests(ListeningTestCase):
    """Sockets that systemd has opened."""

    def environ(self, **changes: str) -> dict[str, str]:
        return {
            "LISTEN_PID": str(os.getpid()),
            "LISTEN_FDS": "2",
            "LISTEN_FDNAMES": "a:b",
        } | changes

    def test_sockets(self) -> None:
        """There is an endpoint for each, of the socket's own family."""
        families = {3: socket.AF_INET, 4: socket.AF_INET6}
        probes: list[mock.MagicMock] = []

        def fromfd(descriptor: int, _family: int, _kind: int) -> mock.MagicMock:
            probe = mock.MagicMock()
            probe.__enter__.return_value.getsockopt.side_effect = lambda level, option: (
                families[descriptor]
                if (level, option) == (socket.SOL_SOCKET, socket.SO_DOMAIN)
                else -1
            )
            probes.append(probe)
            return probe

        self.patch(socket, "fromfd", fromfd)
        found = from_systemd(self.reactor, self.environ(), required=False)
        self.assertEqual([name for _, name in found], ["descriptor 3", "descriptor 4"])
        endpoints: list[Any] = [endpoint for endpoint, _ in found]
        for endpoint in endpoints:
            self.assertTrue(IStreamServerEndpoint.providedBy(endpoint))
        for endpoint, (descriptor, family) in zip(endpoints, families.items(), strict=True):
            self.assertIn(descriptor, vars(endpoint).values())
            self.assertIn(family, vars(endpoint).values())
        for probe in probes:
            probe.__exit__.assert_called_once()

    def test_none(self) -> None:
        """Sockets for this very process may be missing, unless they are required."""
        for environ in (
            {},
            self.environ(LISTEN_PID=str(os.getpid() + 1)),
            self.environ(LISTEN_FDS="0"),
            self.environ(LISTEN_FDS="x"),
        ):
            self.assertEqual(from_systemd(self.reactor, environ, required=False), [])
            error = self.assertRaises(
                StartError, from_systemd, self.reactor, environ, required=True
            )
            self.assertEqual(
                str(error),
                "--web.systemd-socket: systemd has handed over no socket; "
                "start the socket unit, not the command",
            )

    def test_no_socket(self) -> None:
        """A descriptor that is no socket is an error of one line."""

        def fromfd(*_: int) -> Any:
            raise OSError(88, "Socket operation on non-socket")

        self.patch(socket, "fromfd", fromfd)
        error = self.assertRaises(
            StartError, from_systemd, self.reactor, self.environ(), required=False
        )
        self.assertEqual(
            str(error), "--web.systemd-socket: descriptor 3: Socket operation on non-socket"
        )
