"""What asks a cluster and hears its answers: bridge, ingest, cluster and poller, joined."""

from __future__ import annotations

import platform
import uuid
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from twisted.python.threadpool import ThreadPool

import maestro_exporter
from maestro_exporter.bridge import Bridge, LinkStatus
from maestro_exporter.cluster import Cluster
from maestro_exporter.deliveries import Delivery
from maestro_exporter.garbage import GarbageCollection
from maestro_exporter.ingest import Ingest
from maestro_exporter.metrics import REJECTIONS
from maestro_exporter.mqtt.failures import LinkFailure
from maestro_exporter.notes import MAX_PAYLOAD_BYTES, Topic
from maestro_exporter.poller import Poller
from maestro_exporter.settings import Settings
from maestro_exporter.snapshot import ExporterState, LinkError, Moment, Reload

#: Replies are of use at once or never, so the broker keeps none for us; test results it keeps.
#: Not by quality of service 2: then paho acknowledges what it has not handed over yet, and that is
#: lost with this process, or this link.  By 1 it may come twice, which its ids show.
SUBSCRIPTIONS = {Topic.RESPONSES: 0, Topic.NOTIFICATIONS: 1}


class Collector:
    """Asks the peers of a cluster and knows what they have answered.

    Args:
        settings: all that can be set.
        reactor: runs it.
        make_pool: gives a pool of one thread, by name, for the MQTT network loop.
        now: gives the present moment.

    Attributes:
        cluster: what is known.
        bridge, poller, garbage: the services, to be started in the order of `services`.
    """

    def __init__(
        self,
        settings: Settings,
        reactor: Any,
        *,
        make_pool: Callable[[str], ThreadPool],
        now: Callable[[], Moment],
    ) -> None:
        self._settings = settings
        self._now = now
        self._started = now()
        self._versions = _versions()
        self._connected_at: float | None = None
        self._round_before = 0  # the connection
        self.cluster = Cluster(
            expiry=settings.peer_expiry, forget=settings.peer_forget, max_peers=settings.max_peers
        )
        self._ingest = Ingest(self.cluster, now)
        self.garbage = GarbageCollection(lambda: now().monotonic)
        self.bridge = Bridge(
            settings.broker,
            SUBSCRIPTIONS,
            longest=MAX_PAYLOAD_BYTES,
            receive=self._receive,
            changed=self._link_changed,
            reactor=reactor,
            make_pool=lambda: make_pool("mqtt"),
        )
        self.poller = Poller(
            self.cluster,
            self.bridge.publish,
            interval=settings.interval,
            now=now,
            make_id=lambda: str(uuid.uuid4()),
            clock=reactor,
            nothing_awaited=self.garbage.nothing_awaited,
        )

    def _receive(self, batch: Sequence[Delivery]) -> None:
        with self.garbage.lasting():
            self._ingest.receive(batch)

    def _link_changed(self, up: bool) -> None:
        now = self._now()
        self.cluster.link_changed(now, up=up)
        # Also when it goes down: the status is that of the network thread, which is ahead of this.
        self._round_before = self.cluster.round
        if up:
            self._connected_at = now.monotonic
            self.poller.link_came_up()

    @property
    def broker(self) -> str:
        """The address of the Maestro broker, `host:port`."""
        return str(self._settings.broker.address)

    def state(
        self,
        *,
        web_config: Reload | None = None,
        stages_ill: Sequence[str] = (),
        stage_restarts: Mapping[str, int] | None = None,
    ) -> ExporterState:
        """Give what is known of all this but the cluster; the arguments are what others know."""
        link = self.bridge.status
        settings, ingest = self._settings, self._ingest
        return ExporterState(
            started=self._started,
            broker=self.broker,
            broker_up=link.up,
            connected_at=self._connected_at,
            client_id=link.client_id,
            mqtt_version=link.version,
            connections=link.connections,
            connection_failures=link.failures,
            link_errors=link.errors,
            last_link_error=_link_error(link.last_error, self._now()),
            sessions_lost=link.sessions_lost,
            broker_dropped=link.broker_dropped,
            received_bytes=link.received_bytes,
            sent_bytes=link.sent_bytes,
            # Copies: these go on counting.
            notes_received=dict(ingest.received),
            notes_sent=dict(self.poller.sent),
            notes_rejected={
                **dict.fromkeys(REJECTIONS, 0),
                **ingest.rejected,
                "overload": link.dropped,
            },
            last_rejected=_latest(ingest.last_rejected, link.dropped_at),
            results_dropped=link.dropped_acknowledged,
            interval=settings.interval,
            expiry=settings.peer_expiry,
            forget=settings.peer_forget,
            max_peers=settings.max_peers,
            versions=self._versions,
            web_config=web_config,
            stages_ill=tuple(stages_ill),
            stage_restarts=stage_restarts or {},
        )

    def unready(self) -> str:
        """Say why it does not know yet how the cluster is; nothing if it does."""
        link: LinkStatus = self.bridge.status
        if not link.connected:
            why = f": {link.last_error.message}" if link.last_error is not None else ""
            return f"not connected to the Maestro broker at {self.broker}{why}"
        if not link.up:
            return "the broker has not granted the subscriptions"
        if self.cluster.complete_round <= self._round_before:
            # What is known from before the connection was lost may not be so any more.
            return "the first round of requests is not over"
        return ""


def _link_error(failure: LinkFailure | None, present: Moment) -> LinkError | None:
    if failure is None:
        return None
    at = Moment(failure.at, present.unix - (present.monotonic - failure.at))
    return LinkError(at, failure.reason, failure.message)


def _latest(*times: float | None) -> float | None:
    return max((each for each in times if each is not None), default=None)


def _versions() -> dict[str, str]:
    return {
        "version": maestro_exporter.__version__,
        "python": platform.python_version(),
        "twisted": version("twisted"),
        "paho": version("paho-mqtt"),
        "prometheus_client": version("prometheus-client"),
    }
