"""The whole exporter put together, and what runs it, on a reactor that opens no socket."""

from __future__ import annotations

import errno
import io
import json
import math
import os
import re
import signal
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bcrypt
import treq
from prometheus_client import CollectorRegistry
from treq.testing import RequestTraversalAgent
from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, LogPublisher, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers
from zope.interface import implementer

import maestro_exporter
from maestro_exporter import clock, collector, foreground, garbage, main, service, tap
from maestro_exporter.bridge import STOP_PATIENCE, Bridge, LinkStatus
from maestro_exporter.broker import Broker
from maestro_exporter.commands import check_config, demo
from maestro_exporter.deliveries import Delivery
from maestro_exporter.exposition import CONTENT_TYPE
from maestro_exporter.foreground import log_to_standard_output, run_service
from maestro_exporter.garbage import GarbageCollection
from maestro_exporter.ingest import Ingest
from maestro_exporter.logs import Log
from maestro_exporter.mqtt.failures import REASONS, LinkFailure
from maestro_exporter.notes import (
    MAX_PAYLOAD_BYTES,
    Role,
    Sender,
    Topic,
    encode,
)
from maestro_exporter.options import OPTIONS
from maestro_exporter.poller import Poller
from maestro_exporter.reloading import PERIOD, FileWatch
from maestro_exporter.service import Exporter, make_exporter, process_registry
from maestro_exporter.settings import Settings, StartError, load
from maestro_exporter.sharing import REST
from maestro_exporter.simulator import cli
from maestro_exporter.snapshot import Moment
from maestro_exporter.threads import Worker
from maestro_exporter.values import Address
from maestro_exporter.watchdog import MOST_RESTARTS, Watchdog
from maestro_exporter.web.listening import Listener, on_address
from maestro_exporter.web.security import Security
from maestro_exporter.web.server import BoundedSite
from tests import fakes
from tests.fakes import FakePool
from tests.samples import stats_response
from tests.servers import Samples, parse_samples

DEFAULTS = load({}, {})

#: What is done with Python's garbage collector when all objects are looked at.
ALL_LOOKED_AT = ["unfreeze", "collect 2", "freeze"]
NOTHING_RUNS = dict.fromkeys(("pages", "passwords"), (False, 0))  # that of MQTT is made later


class FakePort:
    """A port that listens on nothing; closing it takes until `closed` is fired.

    Args:
        host, port: what it says it listens on.
    """

    def __init__(self, host: str, port: int) -> None:
        self._address = SimpleNamespace(host=host, port=port)
        self.closed: Deferred[None] | None = None

    def getHost(self) -> Any:
        return self._address

    def stopListening(self) -> Deferred[None]:
        assert self.closed is None, "closed twice"
        self.closed = Deferred()
        return self.closed


class FakeReactor(MemoryReactorClock):
    """A reactor on which time passes by `advance`, and ports can be taken.

    Attributes:
        ports: those that listen, by interface and number, in the order of listening.
        taken: what listening there ends in.
        from_threads: what was to be called from other threads.
    """

    FREE_PORT = 40000

    def __init__(self) -> None:
        super().__init__()
        self.ports: dict[tuple[str, int], FakePort] = {}
        self.taken: dict[tuple[str, int], Exception] = {}
        self.from_threads: list[Callable[[], object]] = []

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        if (interface, port) in self.taken:
            raise self.taken[interface, port]
        super().listenTCP(port, factory, backlog, interface)
        bound = {"": "0.0.0.0", "localhost": "127.0.0.1"}.get(interface, interface)
        self.ports[interface, port] = FakePort(bound, port or self.FREE_PORT)
        return self.ports[interface, port]

    def callFromThread(self, function: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        self.from_threads.append(lambda: function(*args, **kwargs))


class ExporterTestCase(SynchronousTestCase):
    """What the tests of the exporter share: a reactor and pools that do nothing real."""

    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.pools: dict[str, FakePool] = {}
        self.agents: list[RequestTraversalAgent] = []
        self.collector: list[str] = []  # what was done with Python's garbage collector
        stand_in = SimpleNamespace(
            get_threshold=lambda: (1, 2, 3),
            set_threshold=lambda *_: self.collector.append("set"),
            freeze=lambda: self.collector.append("freeze"),
            unfreeze=lambda: self.collector.append("unfreeze"),
            collect=lambda generation=2: self.collector.append(f"collect {generation}"),
            get_freeze_count=lambda: 0,
        )
        self.patch(garbage, "gc", stand_in)
        self.reread = 0  # times that the settings were
        self.log: list[str] = []

        @implementer(ILogObserver)
        def observe(event: LogEvent) -> None:
            self.log.append(formatEvent(event))

        self.patch(Listener, "log", Logger("test", observer=observe))

    def make_pool(self, name: str) -> Any:
        assert name not in self.pools, "a pool is not shared"
        self.pools[name] = FakePool()
        return self.pools[name]

    def has_read_settings(self) -> None:
        self.reread += 1

    def make(self, *listen: Address, **settings: Any) -> Exporter:
        """Give the exporter for these addresses and settings, not started."""
        if listen:
            settings["listen"] = listen
        return make_exporter(
            replace(DEFAULTS, **settings),
            self.reactor,
            make_pool=self.make_pool,
            registry=CollectorRegistry(),
            reread=self.has_read_settings,
        )

    def start(self, *listen: Address, **settings: Any) -> Exporter:
        """Give the exporter, started as a program starts it."""
        exporter = self.make(*listen, **settings)
        exporter.privilegedStartService()
        exporter.startService()
        return exporter

    def in_pools(self) -> dict[str, tuple[bool, int]]:
        """Give of each pool whether it runs, and how much waits there."""
        return {name: (pool.running, pool.waiting) for name, pool in self.pools.items()}

    def file(self, text: str) -> Path:
        """Give a file with this content, which lasts for the test."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = Path(folder.name, "file")
        path.write_text(text, encoding="utf-8")
        return path

    def hear_threads(self) -> None:
        """Let the reactor hear what threads have done, and clients what it sends then."""
        calls, self.reactor.from_threads = self.reactor.from_threads, []
        for call in calls:
            call()
        for agent in self.agents:
            agent.flush()

    def end_thread(self) -> None:
        """Let the network thread end, and the reactor hear of it."""
        self.pools["mqtt"].run(instead=lambda: None)
        self.hear_threads()

    def site(self) -> Any:
        """Give the HTTP server that listens."""
        return self.reactor.tcpServers[0][1]

    def ask(self, target: bytes, **headers: str) -> Deferred[Any]:
        """Ask the site that listens; give what fires with the response."""
        self.agents.append(RequestTraversalAgent(self.site().resource))
        responding: Deferred[Any] = self.agents[-1].request(
            b"GET",
            b"http://exporter.test" + target,
            Headers({name.replace("_", "-"): [value] for name, value in headers.items()}),
        )
        return responding

    def get(self, target: bytes) -> tuple[Any, str]:
        """Give the response of the site that listens, and its body."""
        response = self.successResultOf(self.ask(target))
        return response, self.successResultOf(treq.content(response)).decode()


class ListenTests(ExporterTestCase):
    """On which addresses the exporter listens."""

    def listens(self) -> list[tuple[str, int]]:
        """Give interface and number of the ports that listen."""
        return list(self.reactor.ports)

    def test_every_ipv4_interface_when_no_host_is_given(self) -> None:
        """That is the default."""
        self.start()
        self.assertEqual(self.listens(), [("", 9120)])

    def test_interface_of_an_address(self) -> None:
        """IPv4 and IPv6 addresses and host names are interfaces."""
        for host, interface in (
            ("127.0.0.1", "127.0.0.1"),
            ("0.0.0.0", "0.0.0.0"),
            ("localhost", "localhost"),
            ("::1", "::1"),
            ("::", "::"),
        ):
            self.reactor, self.pools = FakeReactor(), {}
            self.start(Address(host, 7))
            self.assertEqual(self.listens(), [(interface, 7)])

    def test_all_addresses_when_there_are_several(self) -> None:
        """All are served, by one site."""
        self.start(Address("127.0.0.1", 7), Address("::1", 7), Address("", 8))
        self.assertEqual(self.listens(), [("127.0.0.1", 7), ("::1", 7), ("", 8)])
        sites = {id(server[1]) for server in self.reactor.tcpServers}
        self.assertEqual(len(sites), 1)
        self.assertIsInstance(self.site(), BoundedSite)

    def test_nothing_when_not_started(self) -> None:
        """Making the exporter does nothing outside."""
        self.make()
        self.assertEqual(self.listens(), [])
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.in_pools(), NOTHING_RUNS)
        self.assertEqual(self.collector, [])

    def test_listening_when_privileges_are_not_dropped_yet(self) -> None:
        """Low ports can be taken; all else waits for the start proper."""
        self.make().privilegedStartService()
        self.assertEqual(self.listens(), [("", 9120)])
        self.assertEqual(self.in_pools(), NOTHING_RUNS)

    def test_listening_when_only_started(self) -> None:
        """Who starts without the privileged step is served as well, and once."""
        self.make().startService()
        self.assertEqual(len(self.reactor.tcpServers), 1)

    def test_listening_once_when_started_in_two_steps(self) -> None:
        """The second step does not listen again."""
        self.start()
        self.assertEqual(len(self.reactor.tcpServers), 1)

    def test_log_says_where_pages_are(self) -> None:
        """The line is a link that can be followed, with what was really taken."""
        self.start(
            Address("", 0),
            Address("::", 6),
            Address("192.0.2.1", 7),
            Address("::1", 8),
            Address("localhost", 9),
            telemetry_path="/m",
        )
        self.assertEqual(
            self.log,
            [
                f"Serving http://localhost:{FakeReactor.FREE_PORT}/m",
                "Serving http://localhost:6/m",
                "Serving http://192.0.2.1:7/m",
                "Serving http://[::1]:8/m",
                "Serving http://127.0.0.1:9/m",
            ],
        )


class CannotListenTests(ExporterTestCase):
    """What happens when an address cannot be listened on."""

    def taken(self, host: str, port: int, reason: Exception) -> None:
        """Listening there is going to fail for this reason."""
        self.reactor.taken[host, port] = CannotListenError(host, port, reason)

    def test_error_when_the_port_is_in_use(self) -> None:
        """The error is one line: the address, the reason, and the options that help."""
        self.taken("", 9120, OSError(errno.EADDRINUSE, "Address already in use"))
        self.assertEqual(
            str(self.assertRaises(StartError, self.make().privilegedStartService)),
            "cannot listen on :9120: Address already in use; choose another with --port",
        )

    def test_error_when_an_ipv6_port_may_not_be_used(self) -> None:
        """The address is spelled as it was given."""
        self.taken("::1", 80, PermissionError(errno.EACCES, "Permission denied"))
        self.assertEqual(
            str(
                self.assertRaises(StartError, self.make(Address("::1", 80)).privilegedStartService)
            ),
            "cannot listen on [::1]:80: Permission denied; choose another with --port",
        )

    def test_error_when_the_reason_has_no_number(self) -> None:
        """Any reason has a text."""
        self.reactor.taken["host", 80] = UnicodeError("label too long")
        error = self.assertRaises(StartError, self.make(Address("host", 80)).privilegedStartService)
        self.assertIn("cannot listen on host:80: label too long; ", str(error))

    def test_error_when_one_of_several_is_in_use(self) -> None:
        """One that fails is enough, and nothing else is begun."""
        self.taken("", 8, OSError(errno.EADDRINUSE, "Address already in use"))
        exporter = self.make(Address("", 7), Address("", 8))
        error = self.assertRaises(StartError, exporter.privilegedStartService)
        self.assertIn("cannot listen on :8: ", str(error))
        self.assertEqual(self.in_pools(), NOTHING_RUNS)

    def test_error_when_started_without_the_privileged_step(self) -> None:
        """It is the same error."""
        self.taken("", 9120, OSError(errno.EADDRINUSE, "Address already in use"))
        self.assertRaises(StartError, self.make().startService)

    def test_error_has_no_traceback_of_another(self) -> None:
        """What Twisted raised is in the text."""
        self.taken("", 9120, OSError(errno.EADDRINUSE, "Address already in use"))
        error = self.assertRaises(StartError, self.make().privilegedStartService)
        self.assertTrue(error.__suppress_context__)


class StopTests(ExporterTestCase):
    """How the exporter stops."""

    def test_everything_ends_when_stopped(self) -> None:
        """Ports are closed, timers are gone, pools are stopped; stopping waits for all that."""
        exporter = self.start(Address("", 7), Address("::1", 8))
        stopped: Any = exporter.stopService()
        ports = [port.closed for port in self.reactor.ports.values()]
        self.assertNoResult(stopped)
        self.end_thread()
        self.assertNoResult(stopped)
        for closed in ports:
            assert closed is not None
            closed.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.in_pools(), {"mqtt": (False, 0), **NOTHING_RUNS})
        self.assertFalse(any(part.running for part in exporter))
        self.assertEqual(self.collector, ["set", "freeze", "set", "unfreeze"])

    def test_threads_that_are_busy_are_left_behind(self) -> None:
        """A page or a password that is being made or checked does not hold up the end."""
        path = self.file(USERS)
        exporter = self.start(web_config=path)
        self.ask(b"/metrics", Accept_Encoding="gzip", Authorization=JOE)
        stopped: Any = exporter.stopService()
        self.end_thread()
        self.reactor.ports["", 9120].closed.callback(None)  # type: ignore[union-attr]
        self.successResultOf(stopped)
        self.assertEqual(
            self.in_pools(), {"mqtt": (False, 0), "pages": (False, 0), "passwords": (True, 1)}
        )

    def test_thread_is_left_behind_when_it_does_not_end(self) -> None:
        """Stopping the bridge takes no longer than its patience, which is no error."""
        (bridge,) = (part for part in self.start() if isinstance(part, Bridge))
        stopped: Any = bridge.stopService()
        self.reactor.advance(STOP_PATIENCE - 0.01)
        self.assertNoResult(stopped)
        self.reactor.advance(0.01)
        self.assertIs(self.successResultOf(stopped), None)

    def test_stopping_when_not_started(self) -> None:
        """There is nothing to end."""
        self.successResultOf(self.make().stopService())

    def test_port_is_closed_once_when_stopped_twice(self) -> None:
        """The second time, there is no port."""
        security = Security(None, lambda _: Deferred(), clock.now)
        site: Any = object()
        listener = Listener(*on_address(Address("", 7), self.reactor), site, security, "/m")
        listener.startService()
        self.assertIsNot(listener.stopService(), None)
        self.assertIs(listener.stopService(), None)


def link_status(**fields: Any) -> LinkStatus:
    """Give the status of a link that has done nothing yet, but for the fields given."""
    fresh: dict[str, Any] = {
        "client_id": "me",
        "connected": False,
        "up": False,
        "version": "",
        "connections": 0,
        "failures": 0,
        "errors": dict.fromkeys(REASONS, 0),
        "last_error": None,
        "received_bytes": 0,
        "sent_bytes": 0,
        "sessions_lost": 0,
        "broker_dropped": None,
        "dropped": 0,
        "dropped_acknowledged": 0,
        "dropped_at": None,
    }
    return LinkStatus(**(fresh | fields))


class FakeBridge(Service):
    """A bridge to nowhere, which keeps what it was given.

    Attributes:
        published: topics that were published to.
        dues: when each of its stages has to have come round.
        restarts: the stages that were started anew.
    """

    made: FakeBridge

    def __init__(self, broker: Broker, subscriptions: Any, **joints: Any) -> None:
        FakeBridge.made = self
        self.broker = broker
        self.subscriptions = subscriptions
        self.joints = joints
        self.published: list[str] = []
        self.status = link_status(
            connected=True,
            up=True,
            version="5",
            connections=2,
            failures=3,
            received_bytes=4,
            sent_bytes=5,
            dropped=6,
        )
        self.dues = {"network": math.inf, "drain": math.inf}
        self.restarts: list[str] = []

    def publish(self, topic: str, payload: bytes) -> bool:
        self.published.append(topic)
        return True

    def network_due(self) -> float:
        return self.dues["network"]

    def restart_network(self) -> None:
        self.restarts.append("network")

    def drain_due(self) -> float:
        return self.dues["drain"]

    def restart_drain(self) -> None:
        self.restarts.append("drain")


class WiredTestCase(ExporterTestCase):
    """What the tests of a whole exporter share whose bridge leads nowhere."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(collector, "Bridge", FakeBridge)
        self.at = 1000.0

    def make(self, *listen: Address, **settings: Any) -> Exporter:
        return make_exporter(
            replace(DEFAULTS, **settings),
            self.reactor,
            make_pool=self.make_pool,
            now=lambda: Moment(self.at, self.at + 1e9),
            reread=self.has_read_settings,
        )

    def hear(self, *hosts: str) -> None:
        """Let a worker on each host answer STATS."""
        payloads = [
            encode(
                stats_response(
                    Sender(id=host, name="worker", host=host, role=Role.SENDER),
                    correlation_id="c",
                    message_id="m",
                    child_count=1,
                    count=2,
                    rate=3.0,
                )
            )
            for host in hosts
        ]
        FakeBridge.made.joints["receive"](
            [Delivery(Topic.RESPONSES, payload, False, self.at) for payload in payloads]
        )

    def samples(self) -> Samples:
        return parse_samples(self.get(b"/metrics")[1])

    def status(self) -> Any:
        return json.loads(self.get(b"/api/v1/status")[1])

    def value(self, name: str, **labels: str) -> float | None:
        return self.samples().get((name, frozenset(labels.items())))


class WiringTests(WiredTestCase):
    """What goes from part to part."""

    def test_bridge_is_told_what_to_connect_to(self) -> None:
        """The broker is that of the settings; results are heard with QoS 1, answers with 0."""
        broker = Broker(address=Address("broker.test", 1884), client_id="me")
        self.start(broker=broker)
        self.assertIs(FakeBridge.made.broker, broker)
        self.assertEqual(
            FakeBridge.made.subscriptions, {"/mpt/maestro": 0, "/mpt/notifications": 1}
        )
        self.assertIs(FakeBridge.made.joints["make_pool"](), self.pools["mqtt"])
        self.assertEqual(FakeBridge.made.joints["longest"], MAX_PAYLOAD_BYTES)
        self.assertIs(FakeBridge.made.joints["reactor"], self.reactor)

    def test_link_is_on_the_page(self) -> None:
        """Each number of the link stands under its own name."""
        self.start()
        self.assertEqual(
            [
                self.value("maestro_up"),
                self.value("maestro_exporter_broker_connections_total"),
                self.value("maestro_exporter_broker_connection_failures_total"),
                self.value("maestro_exporter_broker_received_bytes_total"),
                self.value("maestro_exporter_broker_sent_bytes_total"),
                self.value("maestro_exporter_notes_rejected_total", reason="overload"),
            ],
            [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        )

    def test_deliveries_reach_the_page(self) -> None:
        """What the bridge hands over is on the next page, with its time on both clocks."""
        self.start()
        self.hear("node")
        labels = {"peer": "worker@node", "type": "sender"}
        self.assertEqual(self.value("maestro_message_count", **labels), 2.0)
        self.assertEqual(
            self.value("maestro_peer_last_reply_timestamp_seconds", **labels), 1000001000.0
        )
        self.assertEqual(self.value("maestro_exporter_notes_received_total", command="stats"), 1.0)

    def test_rejections_reach_the_page(self) -> None:
        """What is no note is counted there."""
        self.start()
        self.patch(Ingest, "log", Logger("test", observer=LogPublisher()))
        FakeBridge.made.joints["receive"]([Delivery(Topic.RESPONSES, b"", False, self.at)])
        self.assertEqual(
            self.value("maestro_exporter_notes_rejected_total", reason="malformed"), 1.0
        )

    def test_expiry_and_forgetting_follow_the_settings(self) -> None:
        """A silent peer is down after the expiry, and gone after the time to forget."""
        self.start(interval=5.0, peer_expiry=20.0, peer_forget=50.0)
        self.hear("node")
        labels = {"peer": "worker@node", "type": "sender"}
        seen = []
        for self.at in (1019.0, 1021.0, 1049.0, 1051.0):
            self.reactor.advance(1.0)
            seen.append(self.value("maestro_peer_up", **labels))
        self.assertEqual(seen, [1.0, 0.0, 0.0, None])

    def test_peers_are_limited_by_the_settings(self) -> None:
        """No more than --max-peers are on the page."""
        self.start(max_peers=2)
        self.hear("one", "two", "three")
        self.assertEqual(self.value("maestro_peers", type="sender"), 2.0)
        self.assertEqual(self.value("maestro_exporter_peers_rejected_total"), 1.0)

    def test_link_that_comes_up_begins_a_round(self) -> None:
        """The peers are asked as soon as the bridge says that it is up."""
        self.start()
        FakeBridge.made.joints["changed"](True)
        self.assertEqual(FakeBridge.made.published, ["/mpt/peer", "/mpt/daemon", "/mpt/peer"])
        self.assertEqual(self.value("maestro_exporter_rounds_total"), 1.0)

    def test_garbage_is_collected_before_a_round(self) -> None:
        """Not while answers are awaited; and only after a while."""
        self.start(interval=5.0)
        FakeBridge.made.joints["changed"](True)
        self.collector.clear()
        for after, before_round, with_round in ((5.0, 0, 0), (garbage.PERIOD, 0, 1), (601.0, 1, 1)):
            self.at = 1000.0 + after
            self.reactor.advance(4.0)
            self.assertEqual(self.collector, ALL_LOOKED_AT * before_round)
            self.reactor.advance(1.0)
            self.assertEqual(self.collector, ALL_LOOKED_AT * with_round)

    def test_what_answers_leave_is_set_aside(self) -> None:
        """The garbage collector does not look at it again and again."""
        self.start()
        self.collector.clear()
        self.hear("node")
        self.assertEqual(self.collector, ["collect 0", "freeze"])

    def test_link_that_goes_down_begins_no_round(self) -> None:
        """There is nobody to ask."""
        self.start()
        FakeBridge.made.joints["changed"](False)
        self.assertEqual(FakeBridge.made.published, [])
        self.assertEqual(self.value("maestro_exporter_rounds_total"), 0.0)

    def test_changes_of_the_link_are_events(self) -> None:
        """Each time that the link came up or went down is written down, the newest first."""
        self.start()
        for self.at, up in ((1001.0, True), (1002.5, False), (1004.0, True)):
            FakeBridge.made.joints["changed"](up)
        self.assertEqual(
            [(each["time"], each["kind"]) for each in self.status()["events"]],
            [
                ("2001-09-09T02:03:24.000Z", "connection_found"),
                ("2001-09-09T02:03:22.500Z", "connection_lost"),
                ("2001-09-09T02:03:21.000Z", "connection_found"),
            ],
        )

    def test_requests_reach_the_page(self) -> None:
        """What was handed over to the bridge is counted there by command."""
        self.start()
        FakeBridge.made.joints["changed"](True)
        sent = "maestro_exporter_notes_sent_total"
        self.assertEqual(
            (self.value(sent, command="stats"), self.value(sent, command="ping")), (2.0, 1.0)
        )

    def test_status_page(self) -> None:
        """It is served as JSON and shows the present, the settings, the link and the peers."""
        self.start(
            broker=Broker(address=Address("broker.test", 1884)),
            interval=5.0,
            peer_expiry=20.0,
            peer_forget=50.0,
            max_peers=7,
        )
        self.hear("node")
        self.at = 1001.0
        response, _ = self.get(b"/api/v1/status")
        self.assertEqual(response.code, 200)
        self.assertEqual(response.headers.getRawHeaders("Content-Type"), ["application/json"])
        status = self.status()
        self.assertEqual(
            (status["time"], status["exporter"]["started"]),
            ("2001-09-09T02:03:21.000Z", "2001-09-09T02:03:20.000Z"),
        )
        self.assertEqual(status["exporter"]["version"], maestro_exporter.__version__)
        self.assertEqual(
            (status["broker"]["address"], status["broker"]["up"]), ("broker.test:1884", True)
        )
        self.assertEqual(
            status["settings"],
            {
                "interval_seconds": 5.0,
                "peer_expiry_seconds": 20.0,
                "peer_forget_seconds": 50.0,
                "max_peers": 7,
            },
        )
        self.assertEqual([each["peer"] for each in status["peers"]], ["worker@node"])

    def test_process_is_on_the_page(self) -> None:
        """Where no registry is given, the page has the metrics of the process and of Python."""
        self.start()
        names = {name for name, _ in self.samples()}
        self.assertTrue({"process_start_time_seconds", "python_info"} <= names, names)


class LinkPageTests(WiredTestCase):
    """What the pages say of the link."""

    def setUp(self) -> None:
        super().setUp()
        self.start()

    def link(self, **fields: Any) -> None:
        FakeBridge.made.status = link_status(**fields)

    def test_who_we_are_to_the_broker(self) -> None:
        """Its log can be searched for that."""
        self.link(client_id="me", version="3.1.1")
        broker = self.status()["broker"]
        self.assertEqual((broker["client_id"], broker["mqtt_version"]), ("me", "3.1.1"))

    def test_errors(self) -> None:
        """Each reason is counted on both pages, and the newest is told with its time."""
        failure = LinkFailure("tls", "the TLS handshake timed out", 990.5)
        errors = dict.fromkeys(REASONS, 0) | {"tls": 2}
        self.link(errors=errors, last_error=failure)
        self.at = 1001.0
        broker = self.status()["broker"]
        self.assertEqual(broker["errors"], errors)
        self.assertEqual(
            broker["last_error"],
            {
                "time": "2001-09-09T02:03:10.500Z",
                "reason": "tls",
                "message": "the TLS handshake timed out",
            },
        )
        name = "maestro_exporter_broker_errors_total"
        self.assertEqual(
            [self.value(name, reason=reason) for reason in REASONS],
            [float(errors[reason]) for reason in REASONS],
        )

    def test_losses(self) -> None:
        """Sessions, what the broker dropped, and what the queue had no room for."""
        names = (
            "maestro_exporter_broker_sessions_lost_total",
            "maestro_broker_dropped_messages_total",
            "maestro_exporter_results_dropped_total",
        )
        seen = [[self.value(name) for name in names]]
        self.link(sessions_lost=1, broker_dropped=2, dropped=4, dropped_acknowledged=3)
        seen.append([self.value(name) for name in names])
        self.assertEqual(seen, [[0.0, None, 0.0], [1.0, 2.0, 3.0]])
        broker = self.status()["broker"]
        self.assertEqual(
            [broker[name] for name in ("sessions_lost", "dropped_messages", "results_dropped")],
            [1, 2, 3],
        )
        self.assertEqual(broker["notes_rejected"]["overload"], 4)


class HealthTests(WiredTestCase):
    """Stages that stop working."""

    STAGES = ("network", "drain", "poller")

    def setUp(self) -> None:
        super().setUp()
        self.logged = fakes.Log(self)
        self.exporter = self.start()

    def pass_time(self, seconds: int) -> None:
        """Let time pass on both clocks."""
        for _ in range(seconds):
            self.at += 1.0
            self.reactor.advance(1.0)

    def health(self) -> tuple[int, str]:
        response, text = self.get(b"/-/healthy")
        return response.code, text

    def of_stages(self, name: str) -> list[float | None]:
        return [self.value(name, stage=stage) for stage in self.STAGES]

    def poller(self) -> Poller:
        (poller,) = (part for part in self.exporter if isinstance(part, Poller))
        return poller

    def test_all_is_well(self) -> None:
        """Each stage is on the page from the start."""
        self.pass_time(100)
        self.assertEqual(self.health(), (200, "maestro-exporter is healthy.\n"))
        self.assertEqual(self.of_stages("maestro_exporter_stage_up"), [1.0] * 3)
        self.assertEqual(self.of_stages("maestro_exporter_stage_restarts_total"), [0.0] * 3)
        self.assertEqual(self.status()["exporter"]["stage_restarts"], dict.fromkeys(self.STAGES, 0))
        self.assertEqual(self.status()["exporter"]["stages_ill"], [])
        self.assertEqual(FakeBridge.made.restarts, [])

    def test_stage_of_the_bridge(self) -> None:
        """It is started anew, and ill until it has come round."""
        for number, stage in enumerate(("network", "drain")):
            FakeBridge.made.dues[stage] = self.at + 0.5
            self.pass_time(1)
            self.assertEqual(FakeBridge.made.restarts, [stage])
            FakeBridge.made.restarts.clear()
            self.assertEqual(
                self.health(),
                (503, f"maestro-exporter is not healthy: stopped working: {stage}.\n"),
            )
            up = self.of_stages("maestro_exporter_stage_up")
            self.assertEqual([place for place, value in enumerate(up) if not value], [number])
            self.assertEqual(self.status()["exporter"]["stages_ill"], [stage])
            restarts = self.of_stages("maestro_exporter_stage_restarts_total")
            self.assertEqual(restarts[number], 1.0)
            self.assertEqual(self.status()["exporter"]["stage_restarts"][stage], 1)
            FakeBridge.made.dues[stage] = math.inf
            self.assertEqual(self.health()[0], 200)

    def test_several_stages(self) -> None:
        """All are named."""
        FakeBridge.made.dues.update(network=self.at, drain=self.at)
        self.assertEqual(
            self.health()[1], "maestro-exporter is not healthy: stopped working: network, drain.\n"
        )

    def test_poller(self) -> None:
        """Timers that are dead are started anew, and rounds come again."""
        FakeBridge.made.joints["changed"](True)
        for loop in (self.poller()._rounds, self.poller()._expiries):
            loop.stop()
        self.pass_time(12)
        self.assertEqual(self.of_stages("maestro_exporter_stage_restarts_total"), [0.0, 0.0, 1.0])
        before = self.value("maestro_exporter_rounds_total")
        self.pass_time(10)
        self.assertEqual(self.health()[0], 200)
        self.assertEqual((before, self.value("maestro_exporter_rounds_total")), (1.0, 2.0))

    def test_stage_that_is_beyond_help(self) -> None:
        """The exporter has failed, and stops the reactor, once."""
        stops: list[bool] = []
        self.patch(self.reactor, "stop", lambda: stops.append(self.exporter.failed))
        FakeBridge.made.dues["network"] = 0.0
        self.pass_time(MOST_RESTARTS)
        self.assertEqual((self.exporter.failed, stops), (False, []))
        self.pass_time(10)
        self.assertEqual((self.exporter.failed, stops), (True, [True]))
        self.assertEqual(FakeBridge.made.restarts, ["network"] * MOST_RESTARTS)
        (line,) = self.logged.lines(LogLevel.critical)
        self.assertIn("the stage network has stopped working", line)

    def test_stages_may_stand_still_when_stopped(self) -> None:
        """Nothing is started anew then."""
        self.exporter.stopService()
        FakeBridge.made.dues["network"] = 0.0
        self.pass_time(10)
        self.assertEqual((FakeBridge.made.restarts, self.exporter.failed), ([], False))


class ReadyTests(WiredTestCase):
    """What has to be true before a supervisor may take the exporter for ready."""

    error: LinkFailure | None = None

    def ready(self) -> tuple[int, str]:
        response, text = self.get(b"/-/ready")
        return response.code, text

    def link(self, *, connected: bool, up: bool) -> None:
        FakeBridge.made.status = link_status(connected=connected, up=up, last_error=self.error)

    def test_without_a_connection(self) -> None:
        """The broker is named, so that whoever reads it knows where to look."""
        self.start(broker=Broker(address=Address("broker.test", 1884)))
        self.link(connected=False, up=False)
        self.assertEqual(
            self.ready(),
            (
                503,
                "maestro-exporter is not ready: "
                "not connected to the Maestro broker at broker.test:1884.\n",
            ),
        )

    def test_without_a_connection_for_a_reason(self) -> None:
        """What went wrong last is there, for people."""
        self.start()
        self.error = LinkFailure("unreachable", "Connection refused", 999.0)
        self.link(connected=False, up=False)
        self.assertEqual(
            self.ready()[1],
            "maestro-exporter is not ready: not connected to the Maestro broker at "
            "localhost:1883: Connection refused.\n",
        )

    def test_reason_of_another_time(self) -> None:
        """A link that is there again is not judged by it."""
        self.test_ready()
        self.error = LinkFailure("lost", "it hung up", 999.0)
        self.link(connected=True, up=True)
        self.assertEqual(self.ready()[0], 200)

    def test_without_subscriptions(self) -> None:
        """A broker that accepts and grants nothing gives no data."""
        self.start()
        self.link(connected=True, up=False)
        self.assertEqual(
            self.ready(),
            (
                503,
                "maestro-exporter is not ready: the broker has not granted the subscriptions.\n",
            ),
        )

    def test_without_a_complete_round(self) -> None:
        """Before the answers to the first round are in, the page shows a cluster of nobody."""
        self.start(interval=5.0)
        FakeBridge.made.joints["changed"](True)
        reason = "the first round of requests is not over"
        self.assertEqual(self.ready(), (503, f"maestro-exporter is not ready: {reason}.\n"))
        self.at += 4.0
        self.reactor.advance(4.0)
        self.assertEqual(self.ready()[0], 503)

    def test_ready(self) -> None:
        """From the first complete round on it is, whether or not anybody has answered."""
        self.start(interval=5.0)
        FakeBridge.made.joints["changed"](True)
        self.at += 5.0
        self.reactor.advance(5.0)
        self.assertEqual(self.ready(), (200, "maestro-exporter is ready.\n"))

    def test_ready_again(self) -> None:
        """After a new connection it is from the first round on that is over since then."""
        self.test_ready()
        self.link(connected=False, up=False)
        FakeBridge.made.joints["changed"](False)
        self.link(connected=True, up=True)
        FakeBridge.made.joints["changed"](True)
        reason = "the first round of requests is not over"
        self.assertEqual(self.ready(), (503, f"maestro-exporter is not ready: {reason}.\n"))
        self.at += 5.0
        self.reactor.advance(5.0)
        self.assertEqual(self.ready()[0], 200)

    def test_no_longer_ready(self) -> None:
        """What is shown without a broker is getting old."""
        self.test_ready()
        self.link(connected=False, up=False)
        self.assertEqual(self.ready()[0], 503)


class AnswerTests(WiredTestCase):
    """What people and scripts are answered, and at which pace."""

    TOO_EARLY = "the first round of requests is not over"

    def complete_round(self) -> None:
        """Let there be a round that is over since the link came up."""
        FakeBridge.made.joints["changed"](True)
        self.at += 5.0
        self.reactor.advance(5.0)

    def body_of(self, asked: Deferred[Any]) -> str:
        """Give the body of what has been answered."""
        return self.successResultOf(treq.content(self.successResultOf(asked))).decode()

    def look(self) -> str:
        """Give the page for people."""
        asked = self.ask(b"/")
        self.pools["pages"].run()
        self.hear_threads()
        self.at += 1.0
        return self.body_of(asked)

    def test_discovery(self) -> None:
        """There is none before the first round is over, and then one of those who are there."""
        self.start(interval=5.0)
        FakeBridge.made.joints["changed"](True)
        self.hear("node")
        response, body = self.get(b"/api/v1/discovery")
        self.assertEqual((response.code, json.loads(body)["detail"]), (503, self.TOO_EARLY))
        self.complete_round()
        response, body = self.get(b"/api/v1/discovery")
        self.assertEqual(
            (response.code, [each["targets"] for each in json.loads(body)]), (200, [["node:9100"]])
        )

    def test_status_page_before_the_first_round(self) -> None:
        """It says that nothing is known yet, and warns of nobody, until that round is over."""
        self.start(interval=5.0)
        FakeBridge.made.joints["changed"](True)
        page = self.look()
        self.assertIn(self.TOO_EARLY, page)
        self.assertNotIn("no peer answers", page)
        self.complete_round()
        self.reactor.advance(REST)
        page = self.look()
        self.assertNotIn(self.TOO_EARLY, page)
        self.assertIn("no peer answers", page)

    def test_pace_of_status_pages(self) -> None:
        """The thread makes one at a time, and rests, so that scrapes have their turn meanwhile."""
        self.start()
        asked = [self.ask(b"/?page=%d" % each) for each in (1, 2)]
        metrics = self.ask(b"/metrics", Accept_Encoding="gzip")
        self.assertEqual(self.in_pools()["pages"], (True, 2))
        self.at += 0.5  # it works
        for _ in range(2):
            self.pools["pages"].run()
            self.hear_threads()
        self.assertIn("<!DOCTYPE html>", self.body_of(asked[0]))
        self.assertEqual(self.successResultOf(metrics).code, 200)
        self.reactor.advance(0.5 * REST - 0.01)
        self.assertEqual(self.in_pools()["pages"], (True, 0))
        self.assertNoResult(asked[1])
        self.reactor.advance(0.01)
        self.assertEqual(self.in_pools()["pages"], (True, 1))
        self.pools["pages"].run()
        self.hear_threads()
        self.assertIn("<!DOCTYPE html>", self.body_of(asked[1]))


#: A web configuration whose user joe has the password secret.
USERS = f"basic_auth_users:\n  joe: {bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()}\n"
JOE = f"Basic {b64encode(b'joe:secret').decode()}"


class WebConfigTests(WiredTestCase):
    """A file that says who may ask, and what comes of its changes."""

    RELOADS = (
        "maestro_exporter_web_config_last_reload_successful",
        "maestro_exporter_web_config_last_reload_success_timestamp_seconds",
    )

    def setUp(self) -> None:
        super().setUp()
        self.logged = fakes.Log(self)

    def reloads(self) -> list[float | None]:
        """Give what the page says of the file."""
        return [self.value(name) for name in self.RELOADS]

    def test_no_metrics_without_a_file(self) -> None:
        """A file that is not there was not read; the families are there, for who looks for them."""
        self.start().reload()
        self.assertEqual(self.reloads(), [None, None])
        for name in self.RELOADS:
            self.assertIn(f"# TYPE {name} gauge\n", self.get(b"/metrics")[1])

    def test_metrics_of_a_file(self) -> None:
        """They say how it went last, and when it went well last."""
        path = self.file("http_server_config:\n  http2: true\n")
        exporter = self.start(web_config=path)
        seen = [self.reloads()]
        for self.at, text in ((1001.0, "nonsense"), (1002.0, "{}"), (1003.5, "")):
            path.write_text(text, encoding="utf-8")
            exporter.reload()
            seen.append(self.reloads())
        self.assertEqual(
            seen,
            [
                [1.0, 1000001000.0],
                [0.0, 1000001000.0],
                [1.0, 1000001002.0],
                [1.0, 1000001003.5],
            ],
        )
        (line,) = self.logged.lines(LogLevel.error)
        self.assertIn(f"The web configuration stays as it was: {path}:1: give a mapping", line)

    def test_what_the_file_says_holds(self) -> None:
        """From the start on, and after a change for the next request."""
        path = self.file("http_server_config:\n  headers: {X-Frame-Options: deny}\n")
        exporter = self.start(web_config=path)
        seen = [self.get(b"/metrics")[0].headers.getRawHeaders("X-Frame-Options")]
        path.write_text("http_server_config:\n  headers: {X-Frame-Options: sameorigin}\n")
        exporter.reload()
        seen.append(self.get(b"/metrics")[0].headers.getRawHeaders("X-Frame-Options"))
        self.assertEqual(seen, [["deny"], ["sameorigin"]])

    def test_passwords_are_given_to_their_pool(self) -> None:
        """The answer comes when the password is checked, which holds up no page."""
        self.start(web_config=self.file(USERS))
        self.assertEqual(self.get(b"/metrics")[0].code, 401)
        asked = self.ask(b"/metrics", Authorization=JOE)
        self.assertEqual(self.in_pools()["passwords"], (True, 1))
        self.assertEqual(self.in_pools()["pages"], (True, 0))
        self.pools["passwords"].run()
        self.assertNoResult(asked)
        self.hear_threads()
        self.assertEqual(self.successResultOf(asked).code, 200)

    def test_supervisors_need_no_password(self) -> None:
        """They ask for nothing that is worth one."""
        self.start(web_config=self.file(USERS))
        self.assertEqual(self.get(b"/-/healthy")[0].code, 200)
        self.assertEqual(self.get(b"/-/ready")[0].code, 503)

    def test_wrong_file(self) -> None:
        """It is why the exporter cannot start, and nothing listens before that is known."""
        path = self.file("tls_server_config: 1\n")
        for start in ("privilegedStartService", "startService"):
            self.pools = {}
            error = self.assertRaises(StartError, getattr(self.make(web_config=path), start))
            self.assertEqual(
                str(error), f"--web.config.file: {path}:1: tls_server_config: give a mapping"
            )
            self.assertEqual(self.reactor.ports, {})

    def test_changes_are_noticed(self) -> None:
        """Whichever of the files has changed, all are read, once it is the same for a while."""
        web, settings = self.file("{}"), self.file("")
        self.start(web_config=web, file=settings)
        self.reactor.pump([PERIOD] * 3)
        self.assertEqual(self.reread, 0)
        for times, path in enumerate((web, settings), 1):
            self.at += 10.0
            path.write_text("# changed\n", encoding="utf-8")
            self.reactor.advance(PERIOD)
            self.assertEqual(self.reread, times - 1)
            self.reactor.pump([PERIOD] * 3)
            self.assertEqual(self.reread, times)
            self.assertEqual(self.reloads(), [1.0, self.at + 1e9])

    def test_reload(self) -> None:
        """All files are read whether or not they have changed, wherever they are."""
        exporter = self.start(web_config=self.file("{}"))
        self.at += 10.0
        exporter.reload()
        self.assertEqual((self.reread, self.reloads()[1]), (1, self.at + 1e9))
        self.reactor.pump([PERIOD] * 3)
        self.assertEqual(self.reread, 1)

    def test_settings_are_read_again_without_a_web_configuration(self) -> None:
        """Neither file needs the other."""
        self.start().reload()
        self.assertEqual(self.reread, 1)

    def test_settings_are_read_again_when_the_web_configuration_is_wrong(self) -> None:
        """One error does not hide what else has changed."""
        path = self.file("{}")
        exporter = self.start(web_config=path)
        path.write_text("nonsense", encoding="utf-8")
        exporter.reload()
        self.assertEqual(self.reread, 1)


class PartsTests(ExporterTestCase):
    """How the parts are joined."""

    def test_parts(self) -> None:
        """What listens comes behind what it needs, and before what needs no privilege."""
        kinds = [type(part) for part in self.make(Address("", 7), Address("", 8))]
        self.assertEqual(
            kinds,
            [
                *(FileWatch, GarbageCollection, Worker, Worker, Security),
                *(Listener, Listener, Bridge, Poller, Watchdog),
            ],
        )

    def test_network_loop_is_given_to_its_pool(self) -> None:
        """It is the only thing that runs in a thread when nobody asks."""
        self.start()
        self.assertEqual(
            self.in_pools(), {"mqtt": (True, 1), "pages": (True, 0), "passwords": (True, 0)}
        )

    def test_small_pages_take_no_thread(self) -> None:
        """Nor does what is not compressed."""
        self.start()
        for target in (b"/metrics", b"/api/v1/status", b"/api/v1/check", b"/-/ready"):
            self.get(target)
        self.assertEqual(self.in_pools()["pages"], (True, 0))

    def test_compression_is_given_to_the_pool_of_pages(self) -> None:
        """The answer comes when that is done."""
        self.start()
        asked = [
            self.ask(target, Accept_Encoding="gzip") for target in (b"/metrics", b"/api/v1/status")
        ]
        self.assertEqual(
            self.in_pools(), {"mqtt": (True, 1), "pages": (True, 2), "passwords": (True, 0)}
        )
        for each in asked:
            self.pools["pages"].run()
            self.assertNoResult(each)
            self.hear_threads()
            response = self.successResultOf(each)
            self.assertEqual(response.code, 200)
            self.assertEqual(response.headers.getRawHeaders("Content-Encoding"), ["gzip"])

    def test_pages_on_their_way_are_limited_by_the_settings(self) -> None:
        """Who comes beyond --web.max-requests is to come again."""
        self.start(max_requests=2)
        for _ in range(2):
            self.assertNoResult(self.ask(b"/metrics", Accept_Encoding="gzip"))
        self.assertEqual(self.get(b"/metrics")[0].code, 503)
        self.pools["pages"].run()
        self.hear_threads()
        self.assertEqual(self.get(b"/metrics")[0].code, 200)

    def test_requests_are_logged_if_the_settings_say_so(self) -> None:
        """By default they are not."""
        for wanted in (False, True):
            self.reactor, self.pools = FakeReactor(), {}
            self.start(access_log=wanted)
            log = fakes.Log(self)
            protocol = self.site().buildProtocol(None)
            protocol.makeConnection(StringTransport())
            protocol.dataReceived(b"GET /-/healthy HTTP/1.0\r\n\r\n")
            lines = [line for line in log.lines() if "GET /-/healthy 200" in line]
            self.assertEqual(len(lines), wanted)

    def test_sockets_of_systemd(self) -> None:
        """The addresses are none then; and if there are no sockets, that is why it cannot start."""
        self.patch(os, "environ", {})
        error = self.assertRaises(StartError, self.make, systemd_socket=True, listen=())
        self.assertIn("--web.systemd-socket: systemd has handed over no socket", str(error))

    def test_sockets_of_systemd_are_listened_on(self) -> None:
        """One listener for each that is handed over, instead of the addresses, asked for or not."""
        for settings in ({"systemd_socket": True, "listen": ()}, {"systemd_socket": False}):
            self.reactor, self.pools = FakeReactor(), {}
            endpoints = [on_address(Address("", port), self.reactor) for port in (7, 8)]
            self.patch(service, "from_systemd", lambda reactor, required: endpoints)  # noqa: B023
            self.start(**settings)
            self.assertEqual(list(self.reactor.ports), [("", 7), ("", 8)])

    def test_metrics(self) -> None:
        """The page is served where the settings say, and shows what is in force."""
        self.start(telemetry_path="/m", interval=5.0, peer_expiry=20.0)
        response, body = self.get(b"/m")
        self.assertEqual(response.code, 200)
        self.assertEqual(response.headers.getRawHeaders("Content-Type"), [CONTENT_TYPE])
        for pattern in (
            r'(?m)^maestro_exporter_build_info\{.*\bversion="'
            + re.escape(maestro_exporter.__version__)
            + r'".*\} 1$',
            r"(?m)^maestro_up 0$",
            r"(?m)^maestro_exporter_poll_interval_seconds 5\.0$",
            r"(?m)^maestro_exporter_peer_expiry_seconds 20\.0$",
        ):
            self.assertRegex(body, pattern)

    def test_metrics_have_the_collectors_of_the_registry(self) -> None:
        """What the registry collects is on the page; here it is nothing."""
        self.start()
        self.assertNotIn("python_info", self.get(b"/metrics")[1])

    def test_status_page(self) -> None:
        """It is made in the pool of pages, of what is known, and names the version that runs."""
        self.start(telemetry_path="/m")
        asked = self.ask(b"/")
        self.assertEqual(self.in_pools()["pages"], (True, 1))
        self.pools["pages"].run()
        self.hear_threads()
        body = self.successResultOf(treq.content(self.successResultOf(asked))).decode()
        self.assertIn(f"maestro-exporter {maestro_exporter.__version__}", body)
        self.assertIn('href="m"', body)
        for name in ("status.css", "status.js", "icon.svg"):
            self.assertIn(f'"assets/{name}"', body)
            self.assertEqual(self.get(f"/assets/{name}".encode())[0].code, 200)

    def test_questions_of_scripts(self) -> None:
        """They are answered of what is known, at once where the cluster is small."""
        self.start()
        response, body = self.get(b"/api/v1/check")
        self.assertEqual(response.code, 503)
        self.assertEqual(json.loads(body)["reasons"][0]["kind"], "no_broker")
        response, body = self.get(b"/api/v1/discovery")
        self.assertEqual(response.code, 503)
        self.assertEqual(
            json.loads(body)["detail"], "not connected to the Maestro broker at localhost:1883"
        )
        self.assertEqual(response.headers.getRawHeaders("Retry-After"), ["1"])

    def test_time_outs_of_the_site_run_on_the_reactor(self) -> None:
        """Nothing uses another reactor than the one given."""
        self.start()
        self.assertIs(self.site().reactor, self.reactor)

    def test_timers_run_on_the_reactor(self) -> None:
        """The poller's two, that of the files and that of the watchdog are the only ones."""
        self.start()
        self.assertEqual(len(self.reactor.getDelayedCalls()), 4)

    def test_rounds_go_on_when_the_broker_is_away(self) -> None:
        """A poller that cannot publish keeps trying; nothing fails."""
        self.start(interval=5.0, peer_expiry=15.0)
        self.reactor.pump([1.0] * 30)
        self.assertEqual(len(self.reactor.getDelayedCalls()), 4)
        self.assertEqual(self.get(b"/metrics")[0].code, 200)

    def test_promises_about_the_link(self) -> None:
        """A stop takes less than two seconds."""
        self.assertLess(STOP_PATIENCE, 2)

    def test_process_registry(self) -> None:
        """It has the process, the platform and the garbage collector, and is no shared one."""
        registry = process_registry()
        self.assertIsNot(
            registry.get_sample_value("python_gc_collections_total", {"generation": "0"}), None
        )
        names = {family.name for family in registry.collect()}
        self.assertTrue({"python_info", "python_gc_collections", "process_open_fds"} <= names)
        self.assertIsNot(registry, process_registry())

    def test_both_clocks(self) -> None:
        """A moment is on the monotonic clock and on the calendar's."""
        self.patch(clock, "time", SimpleNamespace(monotonic=lambda: 1.0, time=lambda: 2.0))
        self.assertEqual((clock.now().monotonic, clock.now().unix), (1.0, 2.0))


class Recorder(Service):
    """A service that tells what is done with it.

    Args:
        error: what the privileged start ends in.
        look: called at that start, before it ends so.
    """

    def __init__(
        self, error: Exception | None = None, look: Callable[[], object] = lambda: None
    ) -> None:
        self.steps: list[str] = []
        self._error = error
        self._look = look

    def privilegedStartService(self) -> None:
        self.steps.append("privileged start")
        self._look()
        if self._error is not None:
            raise self._error

    def startService(self) -> None:
        self.steps.append("start")

    def stopService(self) -> None:
        self.steps.append("stop")


class RunServiceTests(SynchronousTestCase):
    """A service in the foreground."""

    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.reactor.hasRun = False  # older ones say True from the start
        self.stdout, self.stderr = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", self.stdout)
        self.patch(sys, "stderr", self.stderr)
        self.observers: list[ILogObserver] = []
        self.options: dict[str, bool] = {}
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.log = Log(io.StringIO(), "info", "text")
        beginner = SimpleNamespace(beginLoggingTo=self.begin)
        self.patch(foreground, "globalLogBeginner", beginner)

    def begin(self, observers: Sequence[ILogObserver], **options: bool) -> None:
        """Keep what logging was begun with."""
        self.observers += observers
        self.options.update(options)

    def shut_down(self) -> None:
        """Do what a reactor does before it shuts down."""
        for function, args, kwargs in self.reactor.triggers["before"]["shutdown"]:
            function(*args, **kwargs)

    def test_status_when_it_ran(self) -> None:
        """The service starts with the reactor, stops before it shuts down, and the status is 0."""
        recorder = Recorder()
        self.assertEqual(run_service(recorder, self.log, self.reactor), 0)
        self.assertTrue(self.reactor.hasRun)
        self.assertEqual(recorder.steps, ["privileged start", "start"])
        self.shut_down()
        self.assertEqual(recorder.steps, ["privileged start", "start", "stop"])
        self.assertEqual((self.stdout.getvalue(), self.stderr.getvalue()), ("", ""))

    def test_status_when_it_cannot_start(self) -> None:
        """The reason is one line on standard error, the status is 1, and nothing runs."""
        recorder = Recorder(StartError("no room; make some"))
        self.assertEqual(run_service(recorder, self.log, self.reactor), 1)
        self.assertFalse(self.reactor.hasRun)
        self.assertEqual(recorder.steps, ["privileged start"])
        self.assertEqual(self.stderr.getvalue(), "maestro-exporter: no room; make some\n")
        self.assertEqual(self.stdout.getvalue(), "")

    def test_defect_is_not_hidden(self) -> None:
        """What is no reason not to start is shown as it is."""
        recorder = Recorder(ZeroDivisionError())
        self.assertRaises(ZeroDivisionError, run_service, recorder, self.log, self.reactor)

    def test_timers_do_not_follow_the_wall_clock(self) -> None:
        """The reactor runs on the clock that never steps, before anything is started."""
        seen: list[object] = []
        run_service(
            Recorder(look=lambda: seen.append(self.reactor.seconds)), self.log, self.reactor
        )
        self.assertEqual(seen, [time.monotonic])
        self.assertIs(self.reactor.seconds, time.monotonic)

    def test_timers_are_due_by_the_clock_that_never_steps(self) -> None:
        """What a service schedules when it starts is due so long after the monotonic now."""
        self.patch(clock, "time", SimpleNamespace(monotonic=lambda: 1e6))
        run_service(Recorder(look=lambda: self.reactor.callLater(7.0, int)), self.log, self.reactor)
        timers: list[Any] = list(self.reactor.getDelayedCalls())
        times = {timer.func: timer.getTime() for timer in timers}
        self.assertEqual(times[int], 1e6 + 7.0)

    def test_log_lines(self) -> None:
        """Lines go to standard output in the form and from the level that is set."""
        settings = replace(DEFAULTS, log_level="warn", log_format="json")
        run_service(Recorder(), log_to_standard_output(settings), self.reactor)
        (observer,) = self.observers
        log = Logger("test", observer=observer)
        log.info("less")
        log.warn("more")
        self.assertRegex(self.stdout.getvalue(), r'\A\{.*"message": "more"\}\n\Z')
        self.assertEqual(self.options, {"redirectStandardIO": False})

    def test_log_lines_that_the_terminal_cannot_show(self) -> None:
        """They are escaped, and not lost."""
        buffer = io.BytesIO()
        self.patch(sys, "stdout", io.TextIOWrapper(buffer, encoding="ascii"))
        Logger("test", observer=log_to_standard_output(DEFAULTS).observer).info("caf\xe9")
        self.assertTrue(buffer.getvalue().endswith(b"caf\\xe9\n"))

    def test_end(self) -> None:
        """SIGTERM and SIGINT stop the reactor, in its own thread, once it runs."""
        signal.signal(signal.SIGINT, signal.default_int_handler)  # make may have it ignored
        for number in (signal.SIGTERM, signal.SIGINT):
            self.reactor = FakeReactor()
            before = signal.getsignal(number)
            run_service(Recorder(), self.log, self.reactor)
            self.assertIs(signal.getsignal(number), before)
            timers: list[Any] = list(self.reactor.getDelayedCalls())
            for timer in timers:
                timer.func(*timer.args, **timer.kw)
            handler: Any = signal.getsignal(number)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self.reactor.hasStopped = False  # this one does not run for long
            handler(number, None)
            self.assertFalse(self.reactor.hasStopped)
            (call,) = self.reactor.from_threads
            call()
            self.assertTrue(self.reactor.hasStopped)

    def test_signals_are_left_alone_when_it_cannot_start(self) -> None:
        """The process ends by itself."""
        run_service(Recorder(StartError("no room")), self.log, self.reactor)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def hang_up(self) -> None:
        """Do what SIGHUP does, up to where the reactor takes over."""
        handler: Any = signal.getsignal(signal.SIGHUP)
        handler(signal.SIGHUP, None)

    def test_reload(self) -> None:
        """SIGHUP reloads, in the reactor thread, each time."""
        reloads: list[str] = []
        run_service(Recorder(), self.log, self.reactor, lambda: reloads.append("reload"))
        self.assertEqual((reloads, self.reactor.from_threads), ([], []))
        self.hang_up()
        self.hang_up()
        self.assertEqual(reloads, [])
        for call in self.reactor.from_threads:
            call()
        self.assertEqual(reloads, ["reload"] * 2)

    def test_nothing_to_reload(self) -> None:
        """SIGHUP is left to do what it does."""
        before = signal.getsignal(signal.SIGHUP)
        run_service(Recorder(), self.log, self.reactor)
        self.assertIs(signal.getsignal(signal.SIGHUP), before)

    def test_no_reload_when_it_cannot_start(self) -> None:
        """What did not start is not reloaded either."""
        before = signal.getsignal(signal.SIGHUP)
        run_service(Recorder(StartError("no room")), self.log, self.reactor)
        self.assertIs(signal.getsignal(signal.SIGHUP), before)


class FakeExporter(MultiService):
    """Stands in for the exporter."""

    failed = False

    def reload(self) -> None:
        raise AssertionError("nobody asked for it")


class UnderTwistdTests(SynchronousTestCase):
    """The end of an exporter that twistd runs."""

    def setUp(self) -> None:
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.at_exit: list[Callable[[], object]] = []
        self.patch(tap, "atexit", SimpleNamespace(register=self.at_exit.append))
        self.reactor = FakeReactor()
        self.exporter = FakeExporter()

    def end(self, *, failed: bool) -> None:
        """Start the service, and do what the reactor does after it has shut down."""
        tap._UnderTwistd(self.exporter, None, self.reactor).startService()  # type: ignore[arg-type]
        self.exporter.failed = failed
        self.assertEqual(self.at_exit, [])
        for function, args, kwargs in self.reactor.triggers["after"]["shutdown"]:
            function(*args, **kwargs)

    def test_ordinary_end(self) -> None:
        """The status is twistd's own."""
        self.end(failed=False)
        self.assertEqual(self.at_exit, [])

    def test_end_of_an_exporter_that_has_failed(self) -> None:
        """The status is 1 at the very last, when all that was said is written."""
        done: list[object] = []
        self.end(failed=True)
        self.patch(tap, "os", SimpleNamespace(_exit=done.append))
        for name in ("stdout", "stderr"):
            self.patch(sys, name, SimpleNamespace(flush=lambda name=name: done.append(name)))
        (exit_,) = self.at_exit
        exit_()
        self.assertEqual(done, ["stdout", "stderr", 1])


class MainTests(SynchronousTestCase):
    """The command."""

    def setUp(self) -> None:
        self.stdout, self.stderr = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", self.stdout)
        self.patch(sys, "stderr", self.stderr)
        self.patch(sys, "argv", ["maestro-exporter"])
        self.environ: dict[str, str] = {}
        self.patch(tap, "os", SimpleNamespace(environ=self.environ))
        self.made: list[Settings] = []
        self.run_with: list[tuple[object, object]] = []
        self.logs: list[Log] = []
        self.rereads: list[Callable[[], object]] = []
        self.service = FakeExporter()
        self.patch(service, "make_exporter", self.make)
        self.patch(foreground, "run_service", self.run_service)

    def make(
        self, settings: Settings, _reactor: object, *, reread: Callable[[], object]
    ) -> FakeExporter:
        """Stand in for making the exporter."""
        self.made.append(settings)
        self.rereads.append(reread)
        return self.service

    def run_service(self, given: object, log: Log, _reactor: object, reload: object) -> int:
        """Stand in for running it."""
        self.run_with.append((given, reload))
        self.logs.append(log)
        return 7

    def status(self, *arguments: str) -> object:
        """Give the status with which the command ends itself."""
        return self.assertRaises(SystemExit, main.run, arguments).code

    def test_exporter_is_run_with_its_settings(self) -> None:
        """The command has the options of twistd's; its status is that of the run."""
        self.assertEqual(main.run(["-p", "7", "--log.level=debug"]), 7)
        settings = replace(DEFAULTS, listen=(Address("", 7),), log_level="debug")
        self.assertEqual(self.made, [settings])
        self.assertEqual(self.run_with, [(self.service, self.service.reload)])

    def test_status_when_the_exporter_has_failed(self) -> None:
        """It ended itself, and a supervisor has to hear of it."""

        def run_service(*_: object) -> int:
            self.service.failed = True
            return 0

        self.patch(foreground, "run_service", run_service)
        self.assertEqual(main.run([]), 1)

    def test_log_is_that_of_the_settings(self) -> None:
        """It goes to standard output; when the settings are read again, it takes over its level."""
        main.run(["--log.format=json"])
        log = Logger("test", observer=self.logs[0].observer)
        for self.environ["MAESTRO_EXPORTER_LOG_LEVEL"] in ("error", "warn"):
            self.rereads[0]()
            log.warn("at {least}", least=self.environ["MAESTRO_EXPORTER_LOG_LEVEL"])
        (line,) = self.stdout.getvalue().splitlines()
        self.assertEqual(json.loads(line)["message"], "at warn")

    def test_status_when_the_exporter_cannot_be_made(self) -> None:
        """It is that of one that cannot start: one line on standard error, and status 1."""

        def make(*_: object, **__: object) -> FakeExporter:
            raise StartError("no socket; give one")

        self.patch(service, "make_exporter", make)
        self.assertEqual(main.run([]), 1)
        self.assertEqual(self.stderr.getvalue(), "maestro-exporter: no socket; give one\n")
        self.assertEqual((self.run_with, self.stdout.getvalue()), ([], ""))

    def test_exporter_is_run_when_nothing_is_given(self) -> None:
        """The defaults suffice."""
        main.run([])
        self.assertEqual(self.made, [DEFAULTS])

    def test_nothing_is_made_when_an_option_is_bad(self) -> None:
        """Bad usage is one line and status 2."""
        for arguments in (["--port", "x"], ["--bogus"], ["bogus"], ["--config", "/does/not/exist"]):
            self.assertEqual(self.status(*arguments), 2)
        lines = self.stderr.getvalue().splitlines()
        self.assertEqual([line.partition(":")[0] for line in lines], ["maestro-exporter"] * 4)
        self.assertEqual((self.made, self.run_with, self.stdout.getvalue()), ([], [], ""))

    def test_help_begins_with_the_usage(self) -> None:
        """The first line says how the command is called."""
        self.assertEqual(self.status("--help"), 0)
        first = self.stdout.getvalue().splitlines()[0]
        self.assertRegex(first, r"\A[Uu]sage: maestro-exporter \[options\]")

    def test_help_names_the_options(self) -> None:
        """It is the help of the options; what is secret is no option, but a variable."""
        self.assertEqual(self.status("-h"), 0)
        for option in OPTIONS:
            if option.secret:
                self.assertIn(f"{option.variable}:", self.stdout.getvalue())
                continue
            end = r"\s" if option.flag else "="
            self.assertRegex(self.stdout.getvalue(), rf"--{re.escape(option.name)}{end}")

    def test_help_has_a_line_for_each_subcommand(self) -> None:
        """What else the command does can be found at a glance."""
        self.status("--help")
        self.assertRegex(self.stdout.getvalue(), r"(?m)^ +maestro-exporter simulate +A simulated")
        self.assertRegex(self.stdout.getvalue(), r"(?m)^ +maestro-exporter demo +A broker")
        self.assertRegex(
            self.stdout.getvalue(), r"(?m)^ +maestro-exporter check-config FILE\s+Whether a web"
        )

    def test_help_of_the_options_stays_as_it_was(self) -> None:
        """Subcommands are those of this command, and no matter of twistd's."""
        self.status("--help")
        self.assertNotIn("simulate", tap.Options.longdesc)

    def test_version(self) -> None:
        """It is shown without anything being made."""
        self.assertEqual(self.status("--version"), 0)
        version = f"maestro-exporter {maestro_exporter.__version__}\n"
        self.assertEqual((self.stdout.getvalue(), self.made), (version, []))

    def test_subcommands(self) -> None:
        """A subcommand gets the arguments behind its name, and its status counts."""
        calls: list[tuple[str, list[str]]] = []

        def take(name: str, status: int) -> Callable[[Sequence[str]], int]:
            def command(arguments: Sequence[str]) -> int:
                calls.append((name, list(arguments)))
                return status

            return command

        self.patch(cli, "main", take("simulate", 3))
        self.patch(demo, "main", take("demo", 4))
        self.patch(check_config, "main", take("check-config", 5))
        self.assertEqual(main.run(["simulate", "-x", "demo"]), 3)
        self.assertEqual(main.run(["demo"]), 4)
        self.assertEqual(main.run(["check-config", "web.yml"]), 5)
        self.assertEqual(
            calls,
            [("simulate", ["-x", "demo"]), ("demo", []), ("check-config", ["web.yml"])],
        )
        self.assertEqual(self.made, [])

    def test_process_ends_with_the_status(self) -> None:
        """The arguments are those of the process."""
        self.patch(sys, "argv", ["maestro-exporter", "-p", "7"])
        self.assertEqual(self.assertRaises(SystemExit, main.main).code, 7)
        self.assertEqual(self.made[0].listen, (Address("", 7),))
