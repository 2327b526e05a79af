"""The parts of a fault, what a test does to them, and what it sees."""

from __future__ import annotations

import json
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from maestro_exporter.notes import Generation, Role, TestSuccess, Topic, encode
from maestro_exporter.simulator import Peer
from maestro_exporter.simulator.peers import route
from tests.faults.certificates import Certificates
from tests.faults.proxy import Proxy
from tests.servers import Exporter, Mosquitto, Samples, Server, http_get, parse_samples, wait_for

T = TypeVar("T")
ServerT = TypeVar("ServerT", bound=Server)

#: Seconds for anything; a frozen broker is noticed after half a minute, and backing off takes as
#: long, on a machine that has nothing else to do.
PATIENCE = 180.0
PACE = 0.1  # seconds between two looks
INTERVAL = "--interval=500ms"

SUCCESSES = "maestro_test_success"
ERRORS = "maestro_exporter_broker_errors_total"
SESSIONS_LOST = "maestro_exporter_broker_sessions_lost_total"
DROPPED = "maestro_broker_dropped_messages_total"


class Watched(Exporter):
    """An exporter whose pages are looked at again and again: they must be right at any time.

    Args:
        options: its own.
        launcher: of `Exporter`.
        prefix: comes before its command.
        env: is added to its environment.
        secrets: what nobody may see.
    """

    def __init__(
        self,
        *options: str,
        launcher: str = "console",
        prefix: Sequence[str] = (),
        env: dict[str, str] | None = None,
        secrets: Sequence[str] = (),
    ) -> None:
        super().__init__(INTERVAL, *options, launcher=launcher, env=env)
        self._prefix = prefix
        self._secrets = secrets
        self._past = ""

    def start(self) -> None:
        """Start it; it may have had a life before."""
        if (self.folder / "output.log").exists():
            self._past = self.output()
            (self.folder / "output.log").unlink()
        super().start()

    def command(self) -> list[str]:
        return [*self._prefix, *super().command()]

    def output(self) -> str:
        """All that it has printed in all its lives."""
        return self._past + super().output()

    def page(self) -> Samples:
        """Give the metrics."""
        return parse_samples(self._get("/metrics", 200))

    def value(self, name: str, **labels: str) -> float:
        """Give a value; 0 if it is not there."""
        return self.page().get((name, frozenset(labels.items())), 0.0)

    def status(self) -> Any:
        """Give the status page."""
        return json.loads(self._get("/api/v1/status", 200))

    def unready(self) -> str:
        """Give what it says why it is not ready; nothing if it is."""
        answer = http_get(f"{self.url}/-/ready")
        assert answer.status in {200, 503}, answer
        text = answer.body.decode()
        self._check_secrets(text)
        return text if answer.status == 503 else ""

    @property
    def up(self) -> bool:
        """Whether it says that it is connected."""
        return self.value("maestro_up") == 1

    def wait(self, true: Callable[[], T | None], what: str) -> T:
        """Wait for something, and look at its pages meanwhile."""

        def look() -> T | None:
            time.sleep(PACE)
            return true()

        return wait_for(look, what, PATIENCE)

    def wait_up(self) -> None:
        """Wait until it says that it is connected."""
        self.wait(lambda: self.up, "the link")

    def wait_value(self, value: float, name: str) -> None:
        """Wait until a counter has this value; it must not have more."""
        self.wait(lambda: self.value(name) >= value, f"{name} to be {value}")
        assert self.value(name) == value

    def wait_said(self, line: str, since: int = 0) -> None:
        """Wait for words in the log."""
        self.wait(lambda: line in self.output()[since:], f"the log to say {line!r}")

    def check(self) -> None:
        """See whether all that it has shown was fit to be seen."""
        assert self.process is not None, "it is not there"
        self._check_secrets(self.output())
        self._check_secrets(Path(f"/proc/{self.process.pid}/cmdline").read_text())
        assert self.status()["exporter"]["stages_ill"] == []
        assert set(self.status()["exporter"]["stage_restarts"].values()) == {0}
        assert self.status()["broker"]["results_dropped"] == 0
        assert "Traceback" not in self.output()

    def _get(self, path: str, status: int) -> str:
        answer = http_get(f"{self.url}{path}")
        assert answer.status == status, answer
        text = answer.body.decode()
        self._check_secrets(text)
        return text

    def _check_secrets(self, text: str) -> None:
        for secret in self._secrets:
            assert secret not in text, "a secret is shown"


class Publisher:
    """Publishes test results of a peer of 1.5; a context manager.

    Args:
        port: of the broker.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._peer = Peer(Generation.V1_5, Role.SENDER, "host-1")
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._infos: list[Any] = []

    def __enter__(self) -> Publisher:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, count: int) -> None:
        """Publish so many, each of which is another; the broker may acknowledge them later."""
        for _ in range(count):
            note = self._peer.say(TestSuccess, message="Test completed successfully")
            assert route(note).qos == 2
            self._infos.append(self._client.publish(Topic.NOTIFICATIONS, encode(note), 2))

    def wait_acknowledged(self) -> None:
        """Wait until the broker has acknowledged all."""
        for info in self._infos:
            info.wait_for_publish(PATIENCE)
            assert info.is_published(), "the broker does not acknowledge"


class Lab:
    """The parts of one fault; a context manager.

    Attributes:
        certificates: good and bad ones.
        folder: for files.
        broker, proxy, exporter: the first of each; to be set.
        second: another exporter; to be set where there is one.
        proxies: all of them.
        publisher: lives as long as all; to be set likewise.
        meanwhile: results that were published since the fault began.
        expected: what the exporter's page must come to.
        seen: how long the exporter's output was when the fault began.
        dropped: what the broker had said by then that it had dropped.
    """

    broker: Mosquitto
    proxy: Proxy
    exporter: Watched
    second: Watched
    publisher: Publisher

    def __init__(self, certificates: Certificates) -> None:
        self.certificates = certificates
        self.meanwhile = 0
        self.expected = 0
        self.seen = 0
        self.dropped = 0.0
        self.proxies: list[Proxy] = []
        self._servers: list[Server] = []
        self._stack = ExitStack()
        self.folder = Path(self.enter(tempfile.TemporaryDirectory(prefix="fault-")))

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def enter(self, part: Any) -> Any:
        """Enter something that is left at the end."""
        return self._stack.enter_context(part)

    def own(self, server: ServerT) -> ServerT:
        """Take care of the end of a server that may not be started yet."""
        self._servers.append(server)
        self._stack.callback(server.__exit__, None, None, None)
        return server

    def start(self, server: ServerT) -> ServerT:
        """Start a server, which ends at the end."""
        self.own(server).start()
        return server

    def between(self, port: int) -> Proxy:
        """Give a network between a client and a port."""
        proxy: Proxy = self.enter(Proxy(port))
        self.proxies.append(proxy)
        return proxy

    def publish(self, count: int) -> None:
        """Publish so many results, past the proxy; the broker has all when this returns."""
        with Publisher(self.broker.port) as publisher:
            publisher.publish(count)
            publisher.wait_acknowledged()
        self.note(count)

    def note(self, count: int) -> None:
        """Take note that so many results were published."""
        self.meanwhile += count
        self.expected += count

    def check(self) -> None:
        """See whether all was as it always has to be; ends the exporters."""
        for proxy in self.proxies:
            assert proxy.most_open <= 1, f"{proxy.most_open} connections at a time"
        for exporter in self._servers:
            if isinstance(exporter, Watched) and exporter.process is not None:
                exporter.check()
                end = exporter.stop(30)
                assert end in {0, -signal.SIGTERM * (exporter.launcher == "twistd")}, end
                assert "Traceback" not in exporter.output()

    def outputs(self) -> str:
        """Give what all servers printed last, for people."""
        texts = []
        for server in self._servers:
            begun = (server.folder / "output.log").exists()
            lines = server.output().splitlines()[-40:] if begun else []
            texts.append("\n".join([f"--- {type(server).__name__} {server.address}", *lines]))
        return "\n".join(texts)
