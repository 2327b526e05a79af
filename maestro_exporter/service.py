"""Builds the parts of the exporter and joins them into one service.

Data flows one way: bridge, ingest, cluster, exposition, web.  What goes the
other way are requests alone: poller to bridge.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
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

from maestro_exporter import clock, exposition, statuspage, systemd
from maestro_exporter.collector import Collector
from maestro_exporter.reloading import FileWatch
from maestro_exporter.rendering import (
    Discovery,
    MetricsPage,
    StatusDocument,
    StatusPage,
    Verdicts,
)
from maestro_exporter.settings import Settings
from maestro_exporter.sharing import Paced
from maestro_exporter.snapshot import ExporterState, Moment
from maestro_exporter.statuspage import Known
from maestro_exporter.systemd import Notifier
from maestro_exporter.threads import Worker, one_thread
from maestro_exporter.watchdog import Stage, Watchdog
from maestro_exporter.web.entrance import Entrance
from maestro_exporter.web.listening import Listener, from_systemd, on_address
from maestro_exporter.web.pages import Pages
from maestro_exporter.web.security import Security
from maestro_exporter.web.server import BoundedSite


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
    collector = Collector(settings, reactor, make_pool=make_pool, now=now)
    cluster, bridge, poller = collector.cluster, collector.bridge, collector.poller

    def state() -> ExporterState:
        return collector.state(
            web_config=security.last_reload,
            stages_ill=watchdog.ill,
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
        telemetry_path=settings.telemetry_path,
        status_page=StatusPage(
            lambda: Known(
                cluster.snapshot(), cluster.trails(), state(), now(), collector.unready()
            ),
            settings.telemetry_path,
            paced=Paced(page_worker.run, shared["seconds"], reactor.callLater),
            seconds=shared["seconds"],
        ),
        assets=statuspage.ASSETS,
        status=StatusDocument(cluster.snapshot, state, now, **shared),
        check=Verdicts(cluster.snapshot, state, now, collector.unready, **shared),
        discovery=Discovery(
            lambda: cluster.generation, cluster.snapshot, collector.unready, **shared
        ),
        unready=collector.unready,
        unhealthy=lambda: _unhealthy(watchdog.ill),
        max_requests=settings.max_requests,
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
    for service in (collector.garbage, page_worker, password_worker, security):
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
        trouble = _unhealthy(watchdog.ill) or collector.unready()
        return trouble or (
            f"connected to the Maestro broker at {collector.broker}; "
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


def _unhealthy(ill: Sequence[str]) -> str:
    """Say why the exporter is not healthy; nothing if it is."""
    return f"stopped working: {', '.join(ill)}" if ill else ""
