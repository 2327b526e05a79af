"""What asks and hears, by itself; how it works within the exporter is in `test_service.py`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter import collector
from maestro_exporter.bridge import LinkStatus
from maestro_exporter.collector import Collector
from maestro_exporter.deliveries import Delivery
from maestro_exporter.metrics import REJECTIONS
from maestro_exporter.mqtt.failures import LinkFailure
from maestro_exporter.notes import Generation, Topic
from maestro_exporter.settings import load
from maestro_exporter.snapshot import ExporterState, LinkError, Moment, Reload

STATUS = LinkStatus(
    client_id="me",
    connected=True,
    up=True,
    version="5",
    connections=1,
    failures=0,
    errors={},
    last_error=None,
    received_bytes=0,
    sent_bytes=0,
    sessions_lost=0,
    broker_dropped=None,
    dropped=0,
    dropped_acknowledged=0,
    dropped_at=None,
)


class CollectorTests(SynchronousTestCase):
    """What it knows of itself."""

    def setUp(self) -> None:
        self.at = 1000.0
        self.joints: dict[str, Any] = {}
        self.bridge = SimpleNamespace(status=STATUS, publish=lambda *_: True)
        self.patch(collector, "Bridge", self.make_bridge)
        self.collector = Collector(
            load({"maestro-url": ["mqtt://h:7"]}, {}),
            Clock(),
            make_pool=lambda _: SimpleNamespace(),  # type: ignore[arg-type,return-value]
            now=lambda: Moment(self.at, self.at + 1e9),
        )

    def make_bridge(self, *_: object, **joints: Any) -> Any:
        self.joints = joints
        return self.bridge

    def deliver(self, payload: bytes, arrived: float, *, retained: bool = False) -> None:
        self.joints["receive"]([Delivery(Topic.RESPONSES, payload, retained, arrived)])

    def link(self, *, up: bool, told: bool = True) -> None:
        """Let the link come up, or go down; `told` tells whether the collector has heard it."""
        self.bridge.status = STATUS._replace(connected=up, up=up)
        if told:
            self.joints["changed"](up)

    def ask(self) -> None:
        """Begin a round of requests."""
        self.collector.cluster.begin_round(
            f"at {self.at}", Generation.V1_5, Moment(self.at, self.at + 1e9)
        )

    def state(self) -> ExporterState:
        return self.collector.state()

    def test_nothing_rejected(self) -> None:
        """As long as all was taken in, there is no time at which something was not."""
        self.assertIsNone(self.state().last_rejected)

    def test_rejected(self) -> None:
        """The last time is that of what was no note, or of what there was no room for."""
        self.deliver(b"nonsense", 900.0)
        self.assertEqual(self.state().last_rejected, 900.0)
        for dropped_at, latest in ((800.0, 900.0), (950.0, 950.0)):
            self.bridge.status = STATUS._replace(dropped=1, dropped_at=dropped_at)
            self.assertEqual(self.state().last_rejected, latest)
        self.assertEqual(self.state().notes_rejected["overload"], 1)

    def test_only_dropped(self) -> None:
        """It is enough that there was no room."""
        self.bridge.status = STATUS._replace(dropped=1, dropped_at=950.0)
        self.assertEqual(self.state().last_rejected, 950.0)

    def test_retained(self) -> None:
        """What the broker retained is counted, but is no news."""
        self.deliver(b"nonsense", 900.0, retained=True)
        self.assertIsNone(self.state().last_rejected)
        self.assertEqual(self.state().notes_rejected["retained"], 1)

    def test_what_others_know(self) -> None:
        """It is in the state as it is told; without it, nothing is ill."""
        self.assertEqual(self.state()[-3:], (None, (), {}))
        reload = Reload(True, Moment(1.0, 2.0))
        state = self.collector.state(
            web_config=reload, stages_ill=["drain"], stage_restarts={"drain": 2}
        )
        self.assertEqual(state[-3:], (reload, ("drain",), {"drain": 2}))

    def test_state_does_not_change(self) -> None:
        """What is counted later is not in it."""
        before = self.state()
        self.deliver(b"nonsense", 900.0)
        self.assertEqual(before.notes_rejected, dict.fromkeys(REJECTIONS, 0))
        self.assertEqual(self.state().notes_rejected, {**before.notes_rejected, "malformed": 1})

    def test_times(self) -> None:
        """It was started when it was made; an error of the link has its time on both clocks."""
        failure = LinkFailure(at=990.0, reason="lost", message="it hung up")
        self.bridge.status = STATUS._replace(last_error=failure)
        self.at = 2000.0
        state = self.state()
        self.assertEqual(state.started, Moment(1000.0, 1e9 + 1000.0))
        self.assertEqual(
            state.last_link_error, LinkError(Moment(990.0, 1e9 + 990.0), "lost", "it hung up")
        )
        self.assertEqual(state.broker, "h:7")

    def test_connected_at(self) -> None:
        """It knows when the link last came up, also when it is down again."""
        seen = [self.state().connected_at]
        for self.at, up in ((1001.0, True), (1002.0, False), (1003.0, True), (1004.0, False)):
            self.link(up=up)
            seen.append(self.state().connected_at)
        self.assertEqual(seen, [None, 1001.0, 1001.0, 1003.0, 1003.0])

    NOT_OVER = "the first round of requests is not over"

    def test_unready_without_a_link(self) -> None:
        """Without a link it says so, and why if that is known."""
        said = "not connected to the Maestro broker at h:7"
        failure = LinkFailure(at=990.0, reason="lost", message="it hung up")
        for error, expected in ((None, said), (failure, f"{said}: it hung up")):
            self.bridge.status = STATUS._replace(connected=False, up=False, last_error=error)
            self.assertEqual(self.collector.unready(), expected)
        self.bridge.status = STATUS._replace(up=False)
        self.assertEqual(self.collector.unready(), "the broker has not granted the subscriptions")

    def test_unready_before_a_round_is_over(self) -> None:
        """It knows how the cluster is when a round is over, that is, when the next begins."""
        self.link(up=True)
        seen = [self.collector.unready()]
        for _ in range(3):
            self.ask()
            seen.append(self.collector.unready())
        self.assertEqual(seen, [self.NOT_OVER, self.NOT_OVER, "", ""])

    def test_unready_after_each_connection(self) -> None:
        """A round that began before the link came up says nothing: it may have been cut off."""
        self.link(up=True)
        for _ in range(5):
            self.ask()
        for _ in range(2):
            self.assertEqual(self.collector.unready(), "")
            self.link(up=False)
            self.assertIn("not connected", self.collector.unready())
            self.link(up=True)
            seen = [self.collector.unready()]
            for _ in range(2):
                self.ask()
                seen.append(self.collector.unready())
            self.assertEqual(seen, [self.NOT_OVER, self.NOT_OVER, ""])

    def test_unready_before_it_was_told(self) -> None:
        """Nor is anything known while the link is up again, and that has yet to be told."""
        self.link(up=True)
        self.ask()
        self.ask()
        self.link(up=False)
        self.link(up=True, told=False)
        self.assertEqual(self.collector.unready(), self.NOT_OVER)

    def test_first_round(self) -> None:
        """The round that is asked as soon as the link is up is the first that counts."""
        self.collector.poller.startService()
        self.addCleanup(self.collector.poller.stopService)
        for _ in range(2):
            self.link(up=True)
            self.assertEqual(self.collector.unready(), self.NOT_OVER)
            self.ask()
            self.assertEqual(self.collector.unready(), "")
            self.link(up=False)
