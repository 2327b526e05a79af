"""The addresses on which the pages are served."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from twisted.application.service import Service
from twisted.internet import fdesc, unix
from twisted.internet.defer import Deferred, execute, succeed
from twisted.internet.endpoints import (
    AdoptedStreamServerEndpoint,
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
)
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from maestro_exporter import start
from maestro_exporter.settings import StartError
from maestro_exporter.values import Address
from maestro_exporter.web.security import Security

_FIRST_DESCRIPTOR = 3  # of those that systemd hands over


class Listener(Service):
    """Serves a site on one address, from before privileges are dropped to the stop.

    Args:
        endpoint: of the address.
        name: of the address, for errors.
        site: what is served.
        security: says whether it is served over TLS.
        path: of the metrics, for the log.
    """

    log = Logger()

    def __init__(
        self,
        endpoint: IStreamServerEndpoint,
        name: str,
        site: Factory[Any],
        security: Security,
        path: str,
    ) -> None:
        self._endpoint = endpoint
        self._name = name
        self._site = site
        self._security = security
        self._path = path
        self._port: IListeningPort | None = None

    def privilegedStartService(self) -> None:
        """Listen.

        Raises:
            StartError: the address cannot be listened on.
        """
        super().privilegedStartService()
        failures: list[Failure] = []
        listening = self._endpoint.listen(self._served())
        listening.addCallbacks(self._listening, failures.append)
        if failures:
            raise StartError(_why_not(self._name, failures[0].value)) from None

    def startService(self) -> None:
        """Listen, unless that was done already."""
        super().startService()
        if self._port is None:
            self.privilegedStartService()

    def stopService(self) -> Deferred[None] | None:
        """Close the port."""
        super().stopService()
        port, self._port = self._port, None
        return port.stopListening() if port is not None else None

    def _served(self) -> IProtocolFactory:
        if self._security.config.context is None:
            return self._site
        return _TLSFactory(self._security, False, self._site)

    def _listening(self, port: IListeningPort) -> None:
        self._port = port
        self.log.info(
            "Serving {scheme}://{address}{path}",
            scheme="http" if self._security.config.context is None else "https",
            address=_shown(port.getHost()),
            path=self._path,
        )


class _TLSFactory(TLSMemoryBIOFactory):
    """Gives connections over TLS."""

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Give a connection, or None where the site gives none, of which Twisted knows nothing."""
        protocol = super().buildProtocol(addr)
        return protocol if protocol.wrappedProtocol is not None else None


def on_address(address: Address, reactor: Any) -> tuple[IStreamServerEndpoint, str]:
    """Give the endpoint of an address, and its name."""
    kind = TCP6ServerEndpoint if ":" in address.host else TCP4ServerEndpoint
    return kind(reactor, address.port, interface=address.host), str(address)


def from_systemd(
    reactor: Any, environ: Mapping[str, str] | None = None, *, required: bool
) -> Sequence[tuple[IStreamServerEndpoint, str]]:
    """Give the endpoints of the sockets that systemd has opened for this process.

    Source: sd_listen_fds(3).

    Args:
        reactor: waits on the sockets.
        environ: the environment; by default that which the process was started with.
        required: whether there must be some.

    Raises:
        StartError: there are none, and must be; or they are no sockets.
    """
    found = _handed_over(start.environment() if environ is None else environ)
    if required and not found:
        raise StartError(
            "--web.systemd-socket: systemd has handed over no socket; "
            "start the socket unit, not the command"
        )
    return [_adopted(reactor, descriptor) for descriptor in found]


def _handed_over(environ: Mapping[str, str]) -> Sequence[int]:
    # Twisted's ListenFDs wants names of the sockets too, which not all who hand over give.
    count = environ.get("LISTEN_FDS", "")
    if environ.get("LISTEN_PID") != str(os.getpid()) or not re.fullmatch("[0-9]{1,4}", count):
        return ()
    return range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + int(count))


def _adopted(reactor: Any, descriptor: int) -> tuple[IStreamServerEndpoint, str]:
    try:
        with socket.fromfd(descriptor, socket.AF_INET, socket.SOCK_STREAM) as probe:
            family = probe.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN)
    except OSError as error:
        raise StartError(
            f"--web.systemd-socket: descriptor {descriptor}: {error.strerror}"
        ) from None
    endpoint = _SystemdEndpoint(reactor, descriptor, socket.AddressFamily(family))
    return endpoint, f"descriptor {descriptor}"


class _SystemdEndpoint(AdoptedStreamServerEndpoint):
    """A socket that systemd shares with us."""

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listen on a copy of the descriptor, which is closed."""
        return execute(self._listen, factory)

    def _listen(self, factory: IProtocolFactory) -> IListeningPort:
        fdesc.setNonBlocking(self.fileno)
        port: Any
        if self.addressFamily == socket.AF_UNIX:
            port = _UnixPort._fromListeningDescriptor(self.reactor, self.fileno, factory)
            port.startListening()
        else:
            port = self.reactor.adoptStreamPort(self.fileno, self.addressFamily, factory)
        os.close(self.fileno)
        return _SystemdPort(port)


class _UnixPort(unix.Port):
    """One of Twisted's that leaves the mode of its file as it is.

    Twisted's own makes the file writable for everybody when it begins to listen, unless its name
    begins with NUL, which is in no file system.
    """

    def __init__(self, fileName: str | bytes, *args: Any, **kwargs: Any) -> None:  # noqa: N803
        super().__init__(b"\0" + os.fsencode(fileName), *args, **kwargs)


@implementer(IListeningPort)
class _SystemdPort:
    """One of Twisted's that stops without an end to the socket, which systemd goes on to use.

    Twisted's own calls shutdown(), which ends it in all processes, and removes its file.
    """

    def __init__(self, port: Any) -> None:
        self._port = port

    def startListening(self) -> None:
        """It listens already."""

    def stopListening(self) -> Deferred[None]:
        """Accept no more; who connects now waits for the next process."""
        self._port.stopReading()
        return succeed(None)

    def getHost(self) -> Any:
        """Give its address."""
        return self._port.getHost()


def _shown(bound: Any) -> str:
    if not hasattr(bound, "port"):  # a socket in the file system
        return os.fsdecode(getattr(bound, "name", None) or b"")
    everywhere = ip_address(bound.host).is_unspecified
    return str(Address("localhost" if everywhere else bound.host, bound.port))


def _why_not(name: str, error: BaseException | None) -> str:
    reason = error.socketError if isinstance(error, CannotListenError) else error
    text = getattr(reason, "strerror", None) or str(reason)
    return f"cannot listen on {name}: {text}; choose another with --port"
