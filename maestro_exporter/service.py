"""Builds the parts of the exporter and joins them into one service.

Data flows one way: bridge, ingest, cluster, exposition, web.  What goes the
other way are requests alone: poller to bridge.
"""

from __future__ import annotations

import os
import platform
import uuid
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
)
from twisted.application.service import MultiService
from twisted.python.threadpool import ThreadPool

import maestro_exporter
from maestro_exporter import clock, exposition, systemd
from maestro_exporter.bridge import Bridge, LinkStatus
from maestro_exporter.cluster import Cluster
from maestro_exporter.deliveries import Delivery
from maestro_exporter.garbage import GarbageCollection
from maestro_exporter.ingest import Ingest
from maestro_exporter.mqtt.failures import LinkFailure
from maestro_exporter.notes import MAX_PAYLOAD_BYTES, Topic
from maestro_exporter.poller import Poller
from maestro_exporter.reloading import FileWatch
from maestro_exporter.rendering import MetricsPage, StatusPage
from maestro_exporter.settings import Settings
from maestro_exporter.snapshot import ExporterState, LinkError, Moment
from maestro_exporter.systemd import Notifier
from maestro_exporter.threads import Worker, one_thread
from maestro_exporter.watchdog import Stage, Watchdog
from maestro_exporter.web.entrance import Entrance
from maestro_exporter.web.listening import Listener, from_systemd, on_address
from maestro_exporter.web.pages import Pages
from maestro_exporter.web.security import Security
from maestro_exporter.web.server import BoundedSite

#: Replies are of use at once or never, so the broker keeps none for us; test results it keeps.
#: Not by quality of service 2: then paho acknowledges what it has not handed over yet, and that is
#: lost with this process, or this link.  By 1 it may come twice, which its ids show.
SUBSCRIPTIONS = {Topic.RESPONSES: 0, Topic.NOTIFICATIONS: 1}


def process_registry() -> CollectorRegistry:
    """Give a registry with prometheus_client's collectors of the process and of Python."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class Exporter(MultiService):
    """The whole exporter.

    Args:
        watch: looks at the files that can change while it runs.
        reactor: runs it.

    Attributes:
        reload: reads these files again.
        failed: it has stopped the reactor since it cannot go on.
    """

    def __init__(self, watch: FileWatch, reactor: Any) -> None:
        super().__init__()
        watch.setServiceParent(self)
        self.reload: Callable[[], object] = watch.reload
        self.failed = False
        self._reactor = reactor

    def give_up(self) -> None:
        """End the process; the supervisor may start another."""
        self.failed = True
        self._reactor.stop()


def make_exporter(
    settings: Settings,
    reactor: Any,
    *,
    make_pool: Callable[[str], ThreadPool] = one_thread,
    registry: CollectorRegistry | None = None,
    now: Callable[[], Moment] = clock.now,
    reread: Callable[[], object] = lambda: None,
    environ: Mapping[str, str] = os.environ,
) -> Exporter:
    """Give the whole exporter, not started.

    Args:
        settings: all that can be set.
        reactor: runs it.
        make_pool: gives a pool of one thread, by name: for the MQTT network loop, for large
            pages, for passwords.
        registry: collectors of the process; by default prometheus_client's.
        now: gives the present moment.
        reread: reads the configuration file again, as far as it can change while we run.
        environ: the environment, which says whether systemd wants to be told how we do.

    Starting it raises `StartError` when an address cannot be listened on, or the web
    configuration is wrong.

    Raises:
        StartError: systemd has handed over no socket, and should have.
    """
    cluster = Cluster(
        expiry=settings.peer_expiry, forget=settings.peer_forget, max_peers=settings.max_peers
    )
    ingest = Ingest(cluster, now)

    garbage = GarbageCollection(lambda: now().monotonic)

    def receive(batch: Sequence[Delivery]) -> None:
        with garbage.lasting():
            ingest.receive(batch)

    def link_changed(up: bool) -> None:
        cluster.link_changed(now(), up=up)
        if up:
            poller.link_came_up()

    bridge = Bridge(
        settings.broker,
        SUBSCRIPTIONS,
        longest=MAX_PAYLOAD_BYTES,
        receive=receive,
        changed=link_changed,
        reactor=reactor,
        make_pool=lambda: make_pool("mqtt"),
    )
    poller = Poller(
        cluster,
        bridge.publish,
        interval=settings.interval,
        now=now,
        make_id=lambda: str(uuid.uuid4()),
        clock=reactor,
        nothing_awaited=garbage.nothing_awaited,
    )
    versions = _versions()
    broker = str(settings.broker.address)
    started = now()

    def state() -> ExporterState:
        link = bridge.status
        return ExporterState(
            started=started,
            broker=broker,
            broker_up=link.up,
            client_id=link.client_id,
            mqtt_version=link.version,
            connections=link.connections,
            connection_failures=link.failures,
            link_errors=link.errors,
            last_link_error=_link_error(link.last_error, now()),
            sessions_lost=link.sessions_lost,
            broker_dropped=link.broker_dropped,
            received_bytes=link.received_bytes,
            sent_bytes=link.sent_bytes,
            # Copies: these go on counting.
            notes_received=dict(ingest.received),
            notes_sent=dict(poller.sent),
            notes_rejected={**ingest.rejected, "overload": link.dropped},
            results_dropped=link.dropped_acknowledged,
            interval=settings.interval,
            expiry=settings.peer_expiry,
            forget=settings.peer_forget,
            max_peers=settings.max_peers,
            versions=versions,
            web_config=security.last_reload,
            stages_ill=tuple(watchdog.ill),
            stage_restarts=watchdog.restarts,
        )

    page_worker = Worker(reactor, make_pool("pages"))
    password_worker = Worker(reactor, make_pool("passwords"))
    security = Security(settings.web_config, password_worker.run, now)
    shared: Any = {"in_thread": page_worker.run, "seconds": lambda: now().monotonic}
    pages = Pages(
        MetricsPage(
            lambda: cluster.generation,
            cluster.snapshot,
            state,
            registry or process_registry(),
            **shared,
        ),
        content_type=exposition.CONTENT_TYPE,
        status=StatusPage(cluster.snapshot, state, now, **shared),
        telemetry_path=settings.telemetry_path,
        unready=lambda: _unready(bridge.status, cluster, broker),
        unhealthy=lambda: _unhealthy(watchdog.ill),
        max_requests=settings.max_requests,
        version=maestro_exporter.__version__,
    )

    def files() -> list[Path]:
        return [*security.files, *([settings.file] if settings.file is not None else [])]

    def changed() -> None:
        security.reload()
        reread()

    exporter = Exporter(FileWatch(files, changed, reactor), reactor)
    watchdog = Watchdog(
        [
            Stage("network", bridge.network_due, bridge.restart_network),
            Stage("drain", bridge.drain_due, bridge.restart_drain),
            Stage("poller", poller.due, poller.restart),
        ],
        seconds=lambda: now().monotonic,
        give_up=exporter.give_up,
        clock=reactor,
    )
    site = BoundedSite(
        Entrance(pages.resource(), security), reactor, access_log=settings.access_log
    )
    for service in (garbage, page_worker, password_worker, security):
        service.setServiceParent(exporter)
    # Here, and not when they start: a daemon is another process by then, which systemd does not
    # mean.
    endpoints = from_systemd(reactor, required=settings.systemd_socket)
    if not endpoints:
        endpoints = [on_address(address, reactor) for address in settings.listen]
    for endpoint, name in endpoints:
        listener = Listener(endpoint, name, site, security, settings.telemetry_path)
        listener.setServiceParent(exporter)
    bridge.setServiceParent(exporter)
    poller.setServiceParent(exporter)
    watchdog.setServiceParent(exporter)

    def describe() -> str:
        trouble = _unhealthy(watchdog.ill) or _unready(bridge.status, cluster, broker)
        return trouble or (
            f"connected to the Maestro broker at {broker}; "
            f"{cluster.last_round_replies} replies in the last round"
        )

    tell = systemd.to_systemd(environ)
    if tell is not None:
        notifier = Notifier(
            tell,
            describe=describe,
            works=lambda: not watchdog.ill,
            patience=systemd.patience(environ),
            clock=reactor,
        )
        exporter.reload = notifier.reloading(exporter.reload)
        notifier.setServiceParent(exporter)
    return exporter


def _link_error(failure: LinkFailure | None, present: Moment) -> LinkError | None:
    if failure is None:
        return None
    at = Moment(failure.at, present.unix - (present.monotonic - failure.at))
    return LinkError(at, failure.reason, failure.message)


def _unready(link: LinkStatus, cluster: Cluster, broker: str) -> str:
    """Say why the exporter is not ready; nothing if it is."""
    if not link.connected:
        why = f": {link.last_error.message}" if link.last_error is not None else ""
        return f"not connected to the Maestro broker at {broker}{why}"
    if not link.up:
        return "the broker has not granted the subscriptions"
    if cluster.last_round_replies is None:
        return "the first round of requests is not over"
    return ""


def _unhealthy(ill: Sequence[str]) -> str:
    """Say why the exporter is not healthy; nothing if it is."""
    return f"stopped working: {', '.join(ill)}" if ill else ""


def _versions() -> dict[str, str]:
    return {
        "version": maestro_exporter.__version__,
        "python": platform.python_version(),
        "twisted": version("twisted"),
        "paho": version("paho-mqtt"),
        "prometheus_client": version("prometheus-client"),
    }
