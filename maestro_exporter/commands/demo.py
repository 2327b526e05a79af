"""`maestro-exporter demo`: a broker, a simulated cluster and the exporter, in one process.

The broker is amqtt (the `demo` extra): it needs no server on the machine, and
is loose enough on quality of service and keepalive that nothing but the demo
should rely on it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import socket
import sys
import threading
from collections.abc import Sequence
from typing import Any

from twisted.application.service import MultiService, Service

from maestro_exporter import values
from maestro_exporter.arguments import OneLineParser, argument
from maestro_exporter.foreground import log_to_standard_output, run_service
from maestro_exporter.service import make_exporter
from maestro_exporter.settings import StartError, load
from maestro_exporter.simulator import Scenario, Script, SimulatedCluster

START_PATIENCE = 10.0  # seconds
STOP_PATIENCE = 1.0  # seconds


class EmbeddedBroker(Service):
    """An MQTT broker on a free port of 127.0.0.1, in a thread with an event loop of its own.

    Raises:
        ImportError: amqtt is not installed.
    """

    def __init__(self) -> None:
        from amqtt.broker import Broker

        logging.getLogger("amqtt").setLevel(logging.CRITICAL)
        logging.getLogger("transitions").setLevel(logging.CRITICAL)
        self.port = _free_port()
        self._make_broker = Broker
        self._broker: Any = None
        self._loop = asyncio.new_event_loop()

    def startService(self) -> None:
        """Start the broker and wait until it listens.

        Raises:
            StartError: it does not.
        """
        super().startService()
        threading.Thread(target=self._loop.run_forever, daemon=True, name="broker").start()
        try:
            asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(START_PATIENCE)
        except Exception as error:
            raise StartError(f"the embedded broker does not start: {error}") from error

    def stopService(self) -> None:
        """Stop the broker, without waiting for long."""
        super().stopService()
        with contextlib.suppress(Exception):  # the process ends in any case
            stopped = asyncio.run_coroutine_threadsafe(self._broker.shutdown(), self._loop)
            stopped.result(STOP_PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _start(self) -> None:
        self._broker = self._make_broker(
            {
                "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{self.port}"}},
                "plugins": {
                    "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}
                },
            }
        )
        await self._broker.start()


class Simulation(Service):
    """A simulated cluster that runs one test after the other.

    Args:
        url: the broker.
        scenario: what befalls the cluster.
        pages: where to look, for the line that is shown.
    """

    def __init__(self, url: str, scenario: Scenario, pages: str) -> None:
        script = Script(scenario)
        self._cluster = SimulatedCluster(url, script.peers, events=script.events())
        self._text = (
            f"A simulated cluster of {scenario.peers} peers is on {url}.\n"
            f"Look at {pages}/, or let Prometheus scrape {pages}/metrics.  "
            "Ctrl-C ends everything.\n"
        )

    def startService(self) -> None:
        """Start the cluster and say where to look."""
        super().startService()
        self._cluster.start()
        sys.stdout.write(self._text)
        sys.stdout.flush()

    def stopService(self) -> None:
        """Stop the cluster."""
        super().stopService()
        self._cluster.stop()


def main(arguments: Sequence[str]) -> int:
    """Run until Ctrl-C; give the exit status: 0 stopped, 1 could not start, 2 bad usage."""
    from twisted.internet import reactor

    options = _parser().parse_args(arguments)
    try:
        broker = EmbeddedBroker()
    except ImportError:
        sys.stderr.write("maestro-exporter: the demo needs amqtt: install maestro-exporter[demo]\n")
        return 1
    url = f"mqtt://127.0.0.1:{broker.port}"
    given = {
        "maestro-url": [url],
        "mqtt.version": ["3.1.1"],  # to MQTT 5, amqtt is silent
        "interval": ["2s"],
        "port": [str(options.port)],
    }
    settings = load(given, {})
    everything = MultiService()
    # They start in this order; but the exporter's port is taken before any of them
    # does, so that nothing is started when it cannot be.
    broker.setServiceParent(everything)
    exporter = make_exporter(settings, reactor)
    exporter.setServiceParent(everything)
    pages = f"http://localhost:{settings.listen[0].port}"
    scenario = Scenario(peers=options.peers, seed=options.seed, test_seconds=60, pause_seconds=15)
    Simulation(url, scenario, pages).setServiceParent(everything)
    status = run_service(everything, log_to_standard_output(settings), reactor)
    return values.FAILED_STATUS if exporter.failed else status


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="maestro-exporter demo",
        description="Runs an MQTT broker, a simulated Maestro cluster and the exporter "
        "in one process, with nothing else needed, until Ctrl-C.",
    )
    parser.add_argument(
        "-p",
        "--port",
        type=argument(values.integer(1, 65535)),
        default=9120,
        help="TCP port of the pages  [default: 9120]",
    )
    parser.add_argument(
        "--peers",
        type=argument(values.integer(1, 100)),
        default=20,
        metavar="N",
        help="simulated peers, 1 to 100  [default: 20]",
    )
    parser.add_argument(
        "--seed",
        type=argument(values.integer(0, 2**32 - 1)),
        default=0,
        help="seed of the simulation  [default: 0]",
    )
    return parser


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
