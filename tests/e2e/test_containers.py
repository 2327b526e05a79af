"""What runs in the containers of compose.yaml, run without them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.containers import health_check, services, text
from tests.servers import Exporter, Mosquitto, Server, free_port, scrape, wait_for

pytestmark = pytest.mark.source

BIN = Path(sys.executable).parent


def status_of_the_check(port: int) -> int:
    """Run the image's health check as if the pages were on a port; give its exit status."""
    # A proxy at which nothing listens: the check must not ask it.
    env = {"PATH": f"{BIN}:{os.environ['PATH']}", "http_proxy": "http://127.0.0.1:9"}
    done = subprocess.run(
        health_check(),
        env=env | {"MAESTRO_EXPORTER_PORT": str(port)},
        capture_output=True,
        timeout=20,
        check=False,
    )
    return done.returncode


class _Unhealthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(503)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def unhealthy_pages() -> Iterator[int]:
    """Answer 503 to all, as an exporter that has a broken part does; give the port."""
    with HTTPServer(("127.0.0.1", 0), _Unhealthy) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


class ComposeBroker(Mosquitto):
    """A broker with docker/mosquitto.conf, but for the port and the folder."""

    def __init__(self) -> None:
        super().__init__()
        lines, changes = re.subn(
            r"^listener 1883$",
            f"listener {self.port} 127.0.0.1",
            text("docker/mosquitto.conf"),
            flags=re.MULTILINE,
        )
        assert changes == 1
        lines = lines.replace("/mosquitto/data/", f"{self.folder}/")
        lines += "user root\n" if os.geteuid() == 0 else ""  # it may write to its folder
        (self.folder / "mosquitto.conf").write_text(lines, "utf-8")


class ComposeSimulator(Server):
    """The simulator with the arguments that compose.yaml gives it, on this broker."""

    def __init__(self, broker: Mosquitto) -> None:
        super().__init__()
        service = services()["simulator"]
        self._arguments = [
            each.replace("mqtt://mosquitto:1883", broker.url) for each in service["command"]
        ]
        assert broker.url in self._arguments

    def command(self) -> list[str]:
        return [str(BIN / "maestro-exporter"), *self._arguments]

    def is_ready(self) -> bool:
        return "simulating" in self.output()


def test_health_check() -> None:
    """The image's check succeeds while the exporter is healthy, and fails when it is not."""
    with Exporter("--maestro-url=mqtt://127.0.0.1:9", launcher="console") as exporter:
        assert status_of_the_check(exporter.port) == 0
    assert status_of_the_check(free_port()) == 1
    with unhealthy_pages() as port:
        assert status_of_the_check(port) == 1


def test_services_find_each_other() -> None:
    """With the broker, the simulator and the exporter as compose.yaml has them, peers are seen."""
    with ComposeBroker() as broker, ComposeSimulator(broker) as simulator:
        environment = services()["exporter"]["environment"]
        assert environment["MAESTRO_BROKER"] == "mqtt://mosquitto:1883"
        with Exporter(
            launcher="console", env=environment | {"MAESTRO_BROKER": broker.url}
        ) as exporter:
            wait_for(
                lambda: any(
                    value > 0
                    for (name, _), value in scrape(exporter.url + "/metrics").items()
                    if name == "maestro_peers"
                ),
                "a peer on the page",
            )
        assert simulator.stop() == 0
