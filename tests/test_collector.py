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
from maestro_exporter.notes import Topic
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
