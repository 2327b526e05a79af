"""Builds the parts of the exporter and joins them into one service.

Data flows one way: bridge, ingest, cluster, exposition, web.  What goes the
other way are requests alone: poller to bridge.
"""

from __future__ import annotations

import platform
import uuid
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
)
from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from twisted.web.server import Site

import maestro_exporter
from maestro_exporter import clock, exposition, status
from maestro_exporter.bridge import Bridge, DaemonThreadPool
from maestro_exporter.cluster import Cluster
from maestro_exporter.exposition import Exposition
from maestro_exporter.ingest import Ingest
from maestro_exporter.metrics import REJECTIONS
from maestro_exporter.notes import MAX_PAYLOAD_BYTES, Topic
from maestro_exporter.poller import Poller
from maestro_exporter.settings import Settings
from maestro_exporter.snapshot import ExporterState, Moment
from maestro_exporter.values import Address
from maestro_exporter.web import Pages, QuietSite

SUBSCRIPTIONS = {Topic.RESPONSES: 1, Topic.NOTIFICATIONS: 2}


class StartError(Exception):
    """The exporter cannot start; `str()` is one line that says why."""


def process_registry() -> CollectorRegistry:
    """Give a registry with prometheus_client's collectors of the process and of Python."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def make_exporter(
    settings: Settings,
    reactor: Any,
    *,
    pool: ThreadPool | None = None,
    registry: CollectorRegistry | None = None,
    now: Callable[[], Moment] = clock.now,
) -> MultiService:
    """Give the whole exporter, not started.

    Args:
        settings: all that can be set.
        reactor: runs it.
        pool: runs the MQTT network loop; by default one of its own.
        registry: collectors of the process; by default prometheus_client's.
        now: gives the present moment.

    Starting it raises `StartError` when an address cannot be listened on.
    """
    cluster = Cluster(
        expiry=settings.peer_expiry, forget=settings.peer_forget, max_peers=settings.max_peers
    )
    ingest = Ingest(cluster, now)

    def link_changed(up: bool) -> None:
        cluster.link_changed(now(), up=up)
        if up:
            poller.link_came_up()

    bridge = Bridge(
        settings.broker.host,
        settings.broker.port,
        SUBSCRIPTIONS,
        longest=MAX_PAYLOAD_BYTES,
        receive=ingest.receive,
        changed=link_changed,
        reactor=reactor,
        pool=pool or DaemonThreadPool(minthreads=0, maxthreads=1, name="mqtt"),
    )
    poller = Poller(
        cluster,
        bridge.publish,
        interval=settings.interval,
        now=now,
        make_id=lambda: str(uuid.uuid4()),
        clock=reactor,
    )
    versions = _versions()
    started = now()

    def state() -> ExporterState:
        link = bridge.status
        rejected = Counter(ingest.rejected)
        rejected["overload"] = link.dropped
        return ExporterState(
            started=started,
            broker=str(settings.broker),
            broker_up=link.up,
            connections=link.connections,
            connection_failures=link.failures,
            received_bytes=link.received_bytes,
            sent_bytes=link.sent_bytes,
            notes_received=ingest.received,
            notes_sent=poller.sent,
            notes_rejected={reason: rejected[reason] for reason in REJECTIONS},
            interval=settings.interval,
            expiry=settings.peer_expiry,
            forget=settings.peer_forget,
            max_peers=settings.max_peers,
            versions=versions,
        )

    metrics = Exposition(cluster.snapshot, state, registry or process_registry())
    pages = Pages(
        metrics.render,
        content_type=exposition.CONTENT_TYPE,
        status=lambda: status.status(cluster.snapshot(), state(), now()),
        telemetry_path=settings.telemetry_path,
        version=maestro_exporter.__version__,
    )
    exporter = MultiService()
    server = QuietSite(pages.resource(), reactor=reactor)
    for address in settings.listen:
        Listener(address, server, reactor, settings.telemetry_path).setServiceParent(exporter)
    bridge.setServiceParent(exporter)
    poller.setServiceParent(exporter)
    return exporter


class Listener(Service):
    """Serves a site on one address, from before privileges are dropped to the stop."""

    log = Logger()

    def __init__(self, address: Address, server: Site, reactor: Any, path: str) -> None:
        self._address = address
        self._server = server
        self._reactor = reactor
        self._path = path
        self._port: IListeningPort | None = None

    def privilegedStartService(self) -> None:
        """Listen.

        Raises:
            StartError: the address cannot be listened on.
        """
        super().privilegedStartService()
        failures: list[Failure] = []
        listening = _endpoint(self._address, self._reactor).listen(self._server)
        listening.addCallbacks(self._listening, failures.append)
        if failures:
            raise StartError(_why_not(self._address, failures[0].value)) from None

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

    def _listening(self, port: IListeningPort) -> None:
        self._port = port
        bound: Any = port.getHost()
        self.log.info(
            "Serving http://{address}{path}",
            address=Address(self._address.host or "localhost", bound.port),
            path=self._path,
        )


def _endpoint(address: Address, reactor: Any) -> IStreamServerEndpoint:
    if ":" in address.host:
        return TCP6ServerEndpoint(reactor, address.port, interface=address.host)
    return TCP4ServerEndpoint(reactor, address.port, interface=address.host)


def _why_not(address: Address, error: BaseException | None) -> str:
    reason = error.socketError if isinstance(error, CannotListenError) else error
    text = getattr(reason, "strerror", None) or str(reason)
    return f"cannot listen on {address}: {text}; choose another with --port"


def _versions() -> dict[str, str]:
    return {
        "version": maestro_exporter.__version__,
        "python": platform.python_version(),
        "twisted": version("twisted"),
        "paho": version("paho-mqtt"),
        "prometheus_client": version("prometheus-client"),
    }
