"""A stage of the exporter that dies or hangs is started anew, and one beyond help ends it.

The faults are planted into the real program.  Most tests shorten the watchdog's patience; some
have the real one.  They wait most of their time, so they do that together.
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from paho.mqtt import publish

from maestro_exporter.notes import Generation, Role, TestSuccess, Topic, encode
from maestro_exporter.simulator import Peer
from tests.e2e.clusters import (
    V1_5,
    by,
    by_peer,
    label,
    number,
    page,
    simulated,
    wait_for_page,
)
from tests.e2e.systemd import Systemd
from tests.faults.planting import Planted
from tests.servers import Exporter, Mosquitto, Samples, http_get, wait_for

pytestmark = pytest.mark.long

STAGES = ("network", "drain", "poller")
ENDS = 40.0  # seconds in which it gives up, or something is noticed

#: The watchdog waits for seconds instead of a quarter of a minute.
IMPATIENCE = """
import maestro_exporter.bridge as bridge
import maestro_exporter.mqtt.link as link
import maestro_exporter.poller as poller

bridge.DRAIN_PATIENCE = link.SERVE_PATIENCE = poller.PATIENCE = 4.0
"""

#: The network thread dies, of something that nobody catches, or hangs: once or each time.
NETWORK = """
import threading
from paho.mqtt.client import Client

_loop = Client.loop


def _ill(self, *args, **options):
    if triggered("die") or wanted("die each time"):
        raise SystemExit("planted")
    if triggered("hang") or wanted("hang each time"):
        threading.Event().wait()
    return _loop(self, *args, **options)


Client.loop = _ill
"""

#: The call that is to empty the queue is lost, once or each time.
DRAIN = """
from twisted.internet.epollreactor import EPollReactor

_call_later = EPollReactor.callLater


def _forgetful(self, delay, call, *args, **options):
    if getattr(call, "__name__", "") == "_drain" and (
        triggered("forget") or wanted("forget each time")
    ):
        return None
    return _call_later(self, delay, call, *args, **options)


EPollReactor.callLater = _forgetful
"""

#: The timers of the poller stop, or each of its rounds fails.
POLLER = """
from maestro_exporter.poller import Poller

_round = Poller._round
_expire = Poller._expire


def _stopping(self):
    if triggered("stop"):
        self._stop_loops()
    _expire(self)


def _failing(self):
    if wanted("fail each time"):
        raise RuntimeError("planted")
    _round(self)


Poller._expire, Poller._round = _stopping, _failing
"""


class Patient:
    """An exporter that may be made ill, and the peers that it watches."""

    def __init__(self, broker: Mosquitto, exporter: Exporter, planted: Planted) -> None:
        self.broker, self.exporter, self.planted = broker, exporter, planted
        self._peer = Peer(V1_5, Role.SENDER, "reporter")

    def page(self) -> Samples:
        return page(self.exporter)

    def report(self, count: int) -> None:
        """Publish so many test results."""
        payloads = [encode(self._peer.say(TestSuccess, message="")) for _ in range(count)]
        publish.multiple(
            [(Topic.NOTIFICATIONS, each, 2, False) for each in payloads],
            hostname="127.0.0.1",
            port=self.broker.port,
        )

    def is_healthy(self) -> bool:
        return http_get(f"{self.exporter.url}/-/healthy").status == 200

    def wait_ill(self, stage: str, seconds: float = ENDS) -> None:
        """Wait until it says that a stage is ill, on its page of health; others are not.

        What is well again sooner than can be seen was started anew, and that is counted.
        """
        before = self._restarts()[stage]
        diagnosis = f"maestro-exporter is not healthy: stopped working: {stage}.\n".encode()

        def says_so() -> bool:
            answer = http_get(f"{self.exporter.url}/-/healthy")
            assert answer.status == 200 or answer.body == diagnosis, answer
            return answer.status == 503 or self._restarts()[stage] > before

        wait_for(says_so, f"{stage} to be ill", seconds)

    def _restarts(self, samples: Samples | None = None) -> dict[str, float]:
        return by(samples or self.page(), "stage", "maestro_exporter_stage_restarts_total")

    def wait_well(self, **restarts: int) -> None:
        """Wait until it is healthy; it must have started stages anew as often as that."""
        wait_for(self.is_healthy, "health", ENDS)
        samples = wait_for_page(
            self.exporter,
            lambda samples: set(by(samples, "stage", "maestro_exporter_stage_up").values()) == {1},
            "all stages",
        )
        assert self._restarts(samples) == {
            **dict.fromkeys(STAGES, 0),
            **restarts,
        }

    def wait_values(self, results: int) -> None:
        """Wait until another two rounds are answered, and all results are counted."""
        before = number(self.page(), "maestro_exporter_rounds_total")
        samples = wait_for_page(
            self.exporter,
            lambda samples: (
                number(samples, "maestro_exporter_rounds_total") > before + 2
                and number(samples, "maestro_exporter_last_round_replies") == len(PEERS)
                and number(samples, "maestro_test_success") == results
            ),
            f"more rounds, and {results} results",
        )
        assert set(by_peer(samples, "maestro_message_count")) == set(map(label, PEERS))
        assert number(samples, "maestro_exporter_broker_sessions_lost_total") == 0
        assert number(samples, "maestro_exporter_results_dropped_total") == 0

    def end(self) -> int:
        """Wait for its end; give the exit status."""
        assert self.exporter.process is not None
        return self.exporter.process.wait(ENDS)


PEERS = [Peer(each, Role.SENDER, each.value) for each in Generation]


@contextmanager
def patient(
    folder: Path, *code: str, launcher: str = "console", env: Mapping[str, str] | None = None
) -> Iterator[Patient]:
    """Give one that is healthy, has counted three results, and can be given these illnesses."""
    planted = Planted(folder, *code)
    with (
        Mosquitto() as broker,
        simulated(broker, *PEERS),
        Exporter(
            f"--maestro-url={broker.url}",
            "--interval=500ms",
            launcher=launcher,
            env={**planted.env, **(env or {})},
        ) as exporter,
    ):
        ill = Patient(broker, exporter, planted)
        wait_for_page(exporter, lambda samples: number(samples, "maestro_up") == 1, "the link")
        ill.report(3)
        ill.wait_values(3)
        ill.wait_well()
        yield ill


# ----------------------------------------------------------------- all at the same time

Scenario = Callable[[Path], object]

AT_A_TIME = 5
_scenarios: dict[str, Scenario] = {}


@pytest.fixture(scope="module")
def under_way(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Future[object]]]:
    """Start the scenarios of all tests that are to run, the first ones first."""
    wanted = {item.name for item in request.session.items}
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        yield {
            name: pool.submit(scenario, tmp_path_factory.mktemp(name))
            for name, scenario in _scenarios.items()
            if name in wanted
        }


def together(scenario: Scenario) -> Callable[[Mapping[str, Future[object]]], None]:
    """Make a test of a scenario that goes on while others do."""
    name = scenario.__name__
    _scenarios[name] = scenario

    def test(under_way: Mapping[str, Future[object]]) -> None:
        under_way[name].result()

    test.__name__, test.__doc__ = name, scenario.__doc__
    return test


@together
def test_the_network_thread_dies(folder: Path) -> None:
    """Another one is started, and counts what was published meanwhile."""
    with patient(folder, NETWORK) as ill:
        ill.planted.trigger("die")
        wait_for(lambda: ill.planted.has_come("die"), "its death")
        ill.report(5)
        ill.wait_values(8)
        ill.wait_well(network=1)
        output = ill.exporter.output()
        assert "The network thread ended:" in output
        assert "It is started anew: the stage network has stopped working" in output


@together
def test_the_network_thread_hangs(folder: Path) -> None:
    """That is noticed in the real time that it has, and another one takes its place."""
    with patient(folder, NETWORK) as ill:
        began = time.monotonic()
        ill.planted.trigger("hang")
        wait_for(lambda: ill.planted.has_come("hang"), "it to hang")
        ill.report(5)
        ill.wait_ill("network")
        print(f"noticed after {time.monotonic() - began:.1f} s")  # noqa: T201
        ill.wait_values(8)
        ill.wait_well(network=1)


@together
def test_the_network_thread_hangs_thrice(folder: Path) -> None:
    """So often that it is nearly given up, it is well again in the end; threads are left behind."""
    with patient(folder, IMPATIENCE, NETWORK) as ill:
        for times in (1, 2, 3):
            ill.planted.trigger("hang")
            ill.wait_ill("network")
            ill.report(1)
            ill.wait_values(3 + times)
            ill.wait_well(network=times)


@together
def test_the_drain_is_lost(folder: Path) -> None:
    """What is in the queue waits until the drain is started anew, and nothing is lost."""
    with patient(folder, IMPATIENCE, DRAIN) as ill:
        ill.planted.trigger("forget")
        ill.report(5)
        ill.wait_ill("drain")
        ill.wait_values(8)
        ill.wait_well(drain=1)


@together
def test_the_timers_stop(folder: Path) -> None:
    """They are started anew, and asking goes on."""
    with patient(folder, IMPATIENCE, POLLER) as ill:
        ill.planted.trigger("stop")
        ill.wait_ill("poller")
        ill.report(1)
        ill.wait_values(4)
        ill.wait_well(poller=1)


@together
def test_rounds_fail_for_a_while(folder: Path) -> None:
    """Restarts do not mend what makes each round fail, and are counted until it is gone."""
    with patient(folder, IMPATIENCE, POLLER) as ill:
        ill.planted.trigger("fail each time")
        ill.wait_ill("poller")
        wait_for_page(
            ill.exporter,
            lambda samples: (
                by(samples, "stage", "maestro_exporter_stage_restarts_total")["poller"] == 1
            ),
            "the restart",
        )
        ill.planted.relent("fail each time")
        ill.wait_well(poller=1)
        ill.wait_values(3)


def beyond_help(folder: Path, launcher: str) -> None:
    cases = {
        "network": ("die each time", NETWORK),
        "drain": ("forget each time", DRAIN),
        "poller": ("fail each time", POLLER),
    }
    with ExitStack() as stack:
        patients = {}
        for stage, (illness, code) in cases.items():
            (folder / stage).mkdir()
            ill = stack.enter_context(patient(folder / stage, IMPATIENCE, code, launcher=launcher))
            ill.planted.trigger(illness)
            patients[stage] = ill
        for stage, ill in patients.items():
            assert ill.end() == 1, stage
            lines = ill.exporter.output().splitlines()
            last = (
                f"The exporter ends: the stage {stage} has stopped working, "
                "and 3 restarts in a row have not helped"
            )
            assert sum(last in line for line in lines) == 1
            assert sum("It is started anew" in line for line in lines) == 3


@together
def test_beyond_help_as_a_command(folder: Path) -> None:
    """A stage that three restarts have not helped is the end, with status 1 and a line of why."""
    beyond_help(folder, "console")


@together
def test_beyond_help_under_twistd(folder: Path) -> None:
    """Likewise."""
    beyond_help(folder, "twistd")


@together
def test_a_network_thread_that_hangs_each_time(folder: Path) -> None:
    """It is given up, too; the threads that hang do not keep the process."""
    with patient(folder, IMPATIENCE, NETWORK) as ill:
        ill.planted.trigger("hang each time")
        assert ill.end() == 1


@together
def test_what_systemd_hears_of_it(folder: Path) -> None:
    """While a stage is ill it is not told that the exporter is alive, but what is wrong."""
    with (
        Systemd(folder, watchdog=500_000) as systemd,
        patient(folder, IMPATIENCE, POLLER, env=systemd.env) as ill,
    ):
        assert "WATCHDOG=1" in systemd.heard
        ill.planted.trigger("fail each time")
        words = "stopped working: poller"
        wait_for(lambda: systemd.statuses()[-1] == words, "the word of it", ENDS)
        ill.planted.relent("fail each time")
        wait_for(lambda: systemd.statuses()[-1] != words, "the end of it", ENDS)
        wait_for(lambda: systemd.heard[-1] == "WATCHDOG=1", "a sign of life")
        began = systemd.heard.index(f"STATUS={words}")
        after = systemd.heard[began + 1 :]
        # What is said first after that is that it is well again: each look says both.
        assert after[0] == "WATCHDOG=1"
        assert after[1].startswith("STATUS=connected to the Maestro broker")


@together
def test_a_suspension(folder: Path) -> None:
    """That the whole process was stopped for a while is not taken for an illness."""
    with patient(folder) as ill:
        ill.exporter.signal(signal.SIGSTOP)
        time.sleep(20)  # what is tested is that much time
        ill.report(5)
        ill.exporter.signal(signal.SIGCONT)
        ill.wait_values(8)
        ill.wait_well()
        (seconds,) = re.findall(
            r"Nothing ran for (\d+)\.\d s: the process was stopped, or starved",
            ill.exporter.output(),
        )
        assert int(seconds) >= 19
