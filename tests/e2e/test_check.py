"""Whether a cluster is fit for a test, asked of good and bad clusters on a real broker."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from paho.mqtt import publish

from maestro_exporter.notes import PingRequest, Role, StatsRequest, Topic, decode
from maestro_exporter.simulator import Peer, Work
from tests.e2e.clusters import (
    V1_3,
    V1_4,
    V1_5,
    by_peer,
    exporter_of,
    listening,
    simulated,
    wait_for_page,
    wait_for_value,
)
from tests.servers import Mosquitto, Server, http_get, parse_samples, scrape, wait_for

#: Of a check that has to fail.
SHORT = "--timeout=5s"
#: Of loopback, on a machine that does much else meanwhile.
PATIENT = ("--max-round-trip=2s", "--max-clock-offset=1s")
FIT, UNFIT, USAGE, NO_BROKER, INTERRUPTED = 0, 1, 2, 3, 130
SCRIPT = str(Path(sys.executable).parent / "maestro-exporter")


class Done(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


def command(*arguments: str, env: dict[str, str] | None = None) -> Done:
    """Run the command; no MAESTRO_ variable of the environment reaches it but those of `env`."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MAESTRO_")}
    done = subprocess.run(
        [SCRIPT, *arguments],
        env=clean | (env or {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def check(broker: Mosquitto, *arguments: str) -> Done:
    return command("check", f"--maestro-url={broker.url}", *arguments)


def verdict(broker: Mosquitto, *arguments: str) -> tuple[int, Any]:
    """Give the status of a check, and its verdict."""
    done = check(broker, "--format=json", *arguments)
    assert done.err == ""
    return done.status, json.loads(done.out)


def found(findings: Sequence[Any]) -> list[tuple[str, str | None]]:
    """Give the kind of each finding, and whom it concerns."""
    return [(each["kind"], each["peer"] or each["type"]) for each in findings]


def good_peers() -> list[Peer]:
    """Give a cluster with all that a test needs."""
    return [
        Peer(V1_5, Role.SENDER, "node-1"),
        Peer(V1_4, Role.SENDER, "node-2"),
        Peer(V1_5, Role.RECEIVER, "node-3"),
        Peer(V1_3, Role.RECEIVER, "node-4"),
        Peer(V1_5, Role.INSPECTOR, "node-5"),
        Peer(V1_5, Role.AGENT, "node-6"),
    ]


ALL = ("--senders=2", "--receivers=2", "--inspectors=1", "--agents=1")


class Deaf(Peer):
    """A peer that answers no PING."""

    def _ignores_ping(self) -> bool:
        return True


def test_good_cluster() -> None:
    """It is fit as soon as all have answered, of whatever generation; the table says how it is."""
    with Mosquitto() as broker, simulated(broker, *good_peers()):
        began = time.monotonic()
        done = check(broker, *ALL, *PATIENT, "--timeout=40s")

        assert (done.status, done.err) == (FIT, "")
        assert time.monotonic() - began < 30
        lines = [line.split() for line in done.out.splitlines()]
        assert lines[0][:3] == ["type", "wanted", "up"]
        assert [line[:3] for line in lines[1:5]] == [
            ["sender", "2", "2"],
            ["receiver", "2", "2"],
            ["inspector", "1", "1"],
            ["agent", "1", "1"],
        ]
        assert "Fit for a test." in done.out


@pytest.mark.long
def test_too_few_peers() -> None:
    """Each type of which there are too few is a reason, and with --format json no text."""
    with Mosquitto() as broker, simulated(broker, *good_peers()[:3]):
        status, answer = verdict(broker, *ALL, *PATIENT, SHORT)

        assert (status, answer["fit"]) == (UNFIT, False)
        assert found(answer["reasons"]) == [
            ("too_few", "agent"),
            ("too_few", "inspector"),
            ("too_few", "receiver"),
        ]
        assert answer["reasons"][2]["message"] == "2 receivers wanted, 1 answers"
        assert answer["peers_up"]["sender"] == 2


@pytest.mark.long
def test_workers_without_a_role() -> None:
    """What 1.5 workers are short of, those whom no test has given a role yet make good."""
    workers = [Peer(V1_5, Role.OTHER, f"node-{number}", name="worker") for number in range(3)]
    with Mosquitto() as broker, simulated(broker, *workers):
        status, answer = verdict(broker, "--senders=2", "--receivers=1", *PATIENT)
        assert (status, answer["workers_without_role"]) == (FIT, 3)

        status, answer = verdict(broker, "--senders=2", "--receivers=2", *PATIENT, "--timeout=3s")
        assert status == UNFIT
        assert [each["message"] for each in answer["reasons"]] == [
            "2 receivers wanted, 0 answer, and 3 workers without a role",
            "2 senders wanted, 0 answer, and 3 workers without a role",
        ]


@pytest.mark.long
def test_nobody() -> None:
    """A cluster of which nobody answers is fit for nothing."""
    with Mosquitto() as broker:
        done = check(broker, SHORT)

        assert done.status == UNFIT
        assert "Not fit for a test, for 1 reason:\n  no peer answers\n" in done.out


@pytest.mark.long
def test_wrong_clock() -> None:
    """A clock that is off by more than is allowed is a reason; the limit can be set."""
    late = Peer(V1_5, Role.AGENT, "node-7", name="late", clock_skew_seconds=-5.0)
    with Mosquitto() as broker, simulated(broker, *good_peers(), late):
        status, answer = verdict(broker, *PATIENT, SHORT)
        assert status == UNFIT
        assert found(answer["reasons"]) == [("clock_offset", "late@node-7")]
        message = answer["reasons"][0]["message"]
        assert re.fullmatch(
            r"agent late@node-7 has a clock (4\.9|5)[0-9.]* s ± .* behind; 1 s are allowed", message
        )

        assert verdict(broker, *PATIENT, "--max-clock-offset=6s")[0] == FIT


@pytest.mark.long
def test_slow_peer() -> None:
    """A peer that takes longer than is allowed is a reason; its clock is not known well then."""
    slow = Peer(V1_5, Role.AGENT, "node-7", name="slow", delay_seconds=0.5)
    with Mosquitto() as broker, simulated(broker, *good_peers(), slow):
        status, answer = verdict(
            broker, "--max-round-trip=400ms", "--max-clock-offset=200ms", SHORT
        )

        assert status == UNFIT
        assert found(answer["reasons"]) == [("slow", "slow@node-7")]
        assert found(answer["warnings"]) == [("clock_unknown", "slow@node-7")]


@pytest.mark.long
def test_very_slow_peer() -> None:
    """It is waited for whoever may be there, even if all that is demanded has answered."""
    slow = Peer(V1_5, Role.SENDER, "node-7", name="slow", delay_seconds=2.8)
    quick = Peer(V1_5, Role.SENDER, "node-8", name="quick")
    with Mosquitto() as broker, simulated(broker, slow, quick):
        status, answer = verdict(broker, "--senders=1", "--max-round-trip=1s", "--timeout=12s")

        assert status == UNFIT
        assert found(answer["reasons"]) == [("slow", "slow@node-7")]


@pytest.mark.long
def test_no_answer_to_ping() -> None:
    """Of a peer that answers STATS alone, neither round trip nor clock is known."""
    deaf = Deaf(V1_5, Role.AGENT, "node-7", name="deaf")
    with Mosquitto() as broker, simulated(broker, deaf):
        for timeout, kind in (("5s", "not_pinged"), ("9s", "no_ping")):
            status, answer = verdict(broker, *PATIENT, f"--timeout={timeout}")
            assert status == UNFIT
            assert found(answer["reasons"]) == [(kind, "deaf@node-7")]


@pytest.mark.long
def test_one_dies_and_another_comes() -> None:
    """Only who is there at the same time counts, however long it is waited."""
    one, other = (Peer(V1_5, Role.SENDER, f"node-{number}") for number in (1, 2))
    with Mosquitto() as broker, simulated(broker, one) as cluster:
        process = subprocess.Popen(
            [SCRIPT, "check", f"--maestro-url={broker.url}", "--senders=2", "--timeout=11s"],
            stdout=subprocess.PIPE,
            text=True,
        )
        with listening(broker) as heard:
            wait_for(lambda: Topic.RESPONSES in {each.topic for each in heard}, "an answer")
            cluster.kill(one)
            rounds = [each for each in heard if each.topic == Topic.DAEMONS]
            asked = len(rounds) + 3

            def is_later() -> bool:
                return len([each for each in heard if each.topic == Topic.DAEMONS]) > asked

            wait_for(is_later, "three more rounds")
            cluster.add(other)
            out, _ = process.communicate(timeout=40)
        assert process.returncode == UNFIT
        assert "  2 senders wanted, 1 answers\n" in out


@pytest.mark.long
def test_warnings() -> None:
    """What is odd, and no reason against a test, is said too: shared names, and nonsense."""
    twins = [Peer(V1_5, Role.SENDER, "node-7", name="twin") for _ in range(2)]
    with Mosquitto() as broker, simulated(broker, *twins) as cluster, ExitStack() as stack:
        twins[0].start(Work(started_at=cluster.now() - 60, rate=10.0))
        process = subprocess.Popen(
            [SCRIPT, "check", f"--maestro-url={broker.url}", "--senders=3", "--timeout=5s"],
            stdout=subprocess.PIPE,
            text=True,
        )
        stack.callback(process.kill)

        def say_nonsense() -> bool:
            publish.single(Topic.RESPONSES, b"nonsense", hostname="127.0.0.1", port=broker.port)
            return process.poll() is not None

        wait_for(say_nonsense, "the check to end")
        assert process.stdout is not None
        out = process.stdout.read()
        assert process.returncode == UNFIT
        assert "sender twin@node-7 is 2 processes\n" in out
        assert " malformed; the last of them " in out
        assert out.endswith("A test runs already.\n")


@pytest.mark.long
def test_no_broker() -> None:
    """It tries until the time is up, and says why there is none; so does a wrong password."""
    with Mosquitto(users={"joe": "open sesame"}) as broker:
        done = command(
            "check", f"--maestro-url=mqtt://joe:wrong@{broker.guarded_url[7:]}", "--timeout=3s"
        )
        assert done.status == NO_BROKER
        assert "Not authorized" in done.out
        assert "wrong" not in done.out
    status, answer = verdict(broker, "--timeout=3s")
    assert (status, answer["fit"], answer["broker"]["up"]) == (NO_BROKER, False, False)
    assert found(answer["reasons"]) == [("no_broker", None)]
    assert "Connection refused" in answer["reasons"][0]["message"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--senders=many"], '--senders: "many": give a whole number from 0 to 1000000'),
        (["--max-clock-offset=5"] * 2 + ["--timeout=2"], '"2": give seconds, or a number'),
        (["--sender=2"], "unrecognized argument: --sender;"),
        (["--format=xml"], "--format: invalid choice: 'xml'"),
        (["--maestro-url=http://joe:secret@host"], "give mqtt://host[:port], or mqtts://"),
        (["--mqtt.passwd", "secret"], "unrecognized argument: --mqtt.passwd;"),
        (["--mqtt.passwd=secret"], "unrecognized argument: --mqtt.passwd;"),
        (["--mqtt.password=secret"], "--mqtt.password: everybody can see command lines"),
        (["mqtt://joe:secret@host"], "unrecognized argument: ***@host;"),
    ],
)
def test_bad_usage(arguments: list[str], line: str) -> None:
    """It is said in one line, without secrets, and nothing is asked."""
    common = arguments[0].startswith(("--maestro", "--mqtt", "mqtt"))
    for name in ("check", "once") if common else ("check",):
        done = command(name, *arguments)
        assert (done.status, done.out) == (USAGE, "")
        assert done.err.startswith(f"maestro-exporter {name}: ")
        assert line in done.err
        assert done.err.count("\n") == 1
        assert "secret" not in done.err


def test_help() -> None:
    """It says what there is, with units and defaults, and what the status means."""
    text = " ".join(command("check", "--help").out.split())
    for part in (
        "--senders N at least so many senders [default: any number]",
        "--max-clock-offset TIME how far each clock may be off that of this machine, seconds or a "
        "number with ms, s, m or h [default: 5ms]",
        "--timeout TIME",
        "--maestro-url VALUE",
        "MAESTRO_BROKER",
        "Ends with 0 as soon as it is",
    ):
        assert part in text


@pytest.mark.long
def test_interruption() -> None:
    """Ctrl-C ends it at once, with a status of its own and no word."""
    with Mosquitto() as broker, simulated(broker):
        process = subprocess.Popen(
            [SCRIPT, "check", f"--maestro-url={broker.url}", "--timeout=60s"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_for(lambda: "maestro-exporter" in broker.output(), "the check to connect")
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20) == ("", "")
        assert process.returncode == INTERRUPTED


@pytest.mark.long
def test_output_that_cannot_be_written() -> None:
    """The status is that of the cluster nevertheless; why nothing is shown is one line."""
    with Mosquitto() as broker, open("/dev/full", "wb") as full:
        done = subprocess.run(
            [SCRIPT, "check", f"--maestro-url={broker.url}", "--timeout=3s"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == UNFIT
    assert done.stderr == ("maestro-exporter check: standard output: No space left on device\n")


@pytest.mark.long
def test_progress() -> None:
    """On a terminal a line says how far it is, and leaves nothing behind."""
    with Mosquitto() as broker:
        master, slave = pty.openpty()
        with os.fdopen(master, "rb") as terminal:
            process = subprocess.Popen(
                [SCRIPT, "check", f"--maestro-url={broker.url}", "--timeout=3s"],
                stdout=subprocess.DEVNULL,
                stderr=slave,
            )
            os.close(slave)
            shown = b""
            try:
                while part := terminal.read1(4096):
                    shown += part
            except OSError:  # on Linux, that the other end is closed
                pass
            assert process.wait(20) == UNFIT
    text = shown.decode()
    assert "the first round of requests is not over; 3 s left at most" in text
    assert "0 processes up; 1 s left at most" in text
    assert text.endswith("\r\x1b[K")
    assert "\n" not in text


@pytest.mark.long
def test_nobody_is_disturbed(tmp_path: Path) -> None:
    """A check asks STATS and PING alone, and takes the place of no exporter by its settings."""
    settings = tmp_path / "settings"
    with Mosquitto() as broker, simulated(broker, *good_peers()), listening(broker) as heard:
        settings.write_text(
            f'MAESTRO_BROKER="{broker.url}"\nMAESTRO_MQTT_CLIENT_ID="the-exporter"\n', "utf-8"
        )
        with exporter_of(broker, f"--config={settings}") as exporter:
            wait_for_value(exporter, 1, "maestro_up")
            done = command("check", f"--config={settings}", *ALL, *PATIENT, "--timeout=40s")
            assert done.status == FIT
            connections = "maestro_exporter_broker_connections_total"
            assert wait_for_value(exporter, 1, connections)
        requests = [each for each in heard if each.topic in (Topic.PEERS, Topic.DAEMONS)]
        assert {type(decode(each.payload, each.topic)) for each in requests} == {
            StatsRequest,
            PingRequest,
        }
        replies = {Topic.PEERS, Topic.DAEMONS, Topic.RESPONSES}
        assert {each.topic for each in heard} == replies


@pytest.mark.long
def test_question_to_an_exporter() -> None:
    """It has the same answer, with status 200 or 503, and knows of peers that have gone."""
    members = good_peers()
    question = "senders=2&receivers=2&max_clock_offset=1s&max_round_trip=2s"
    with (
        Mosquitto() as broker,
        simulated(broker, *members) as cluster,
        exporter_of(broker, "--peer-expiry=1500ms") as exporter,
    ):

        def ask(more: str = "") -> tuple[int, Any]:
            answer = http_get(f"{exporter.url}/api/v1/check?{question}{more}")
            assert answer.headers["Content-Type"] == "application/json"
            return answer.status, json.loads(answer.body)

        wait_for(lambda: ask()[0] == 200, "the cluster to be fit")
        status, answer = ask()
        assert (status, answer["fit"], answer["reasons"]) == (200, True, [])
        _, by_command = verdict(broker, "--senders=2", "--receivers=2", *PATIENT)
        assert set(by_command) == set(answer)
        assert by_command["demands"] == answer["demands"]

        status, answer = ask("&agents=2")
        assert (status, found(answer["reasons"])) == (503, [("too_few", "agent")])

        cluster.kill(members[5])
        wait_for(lambda: ask()[0] == 503, "the death of the agent")
        assert found(ask()[1]["reasons"]) == [("silent", "agent@node-6")]
        # Where a number is demanded, that decides, and the rest is said.
        status, answer = ask("&agents=0")
        assert (status, found(answer["warnings"])) == (200, [("silent", "agent@node-6")])

        broker.stop()
        wait_for(lambda: found(ask()[1]["reasons"])[0][0] == "no_broker", "the loss of the broker")


# ----------------------------------------------------------------------- once


def test_once() -> None:
    """It prints what the exporter would show of the cluster, and nothing of its own process."""
    with Mosquitto() as broker, simulated(broker, *good_peers()), exporter_of(broker) as exporter:
        wait_for_value(exporter, 2, "maestro_peers", type="sender")
        done = command("once", f"--maestro-url={broker.url}")

        assert (done.status, done.err) == (0, "")
        samples = parse_samples(done.out)
        shown = wait_for_page(
            exporter,
            lambda samples: len(by_peer(samples, "maestro_peer_round_trip_seconds")) == 6,
            "all round trips",
        )
        for name in ("maestro_peer_up", "maestro_message_count", "maestro_peer_round_trip_seconds"):
            assert set(by_peer(samples, name)) == set(by_peer(shown, name)), name
        own = {name for name, _ in shown if name.startswith(("process_", "python_"))}
        left_out = {name for name, _ in shown} - {name for name, _ in samples}
        assert own <= left_out
        assert {name.split("_stage_")[0] for name in left_out - own} <= {"maestro_exporter"}


@pytest.mark.long
def test_once_without_a_broker() -> None:
    """It prints maestro_up 0 nevertheless, so that somebody notices, and says why."""
    with Mosquitto() as broker:
        pass
    done = command("once", f"--maestro-url={broker.url}", "--timeout=3s")

    assert done.status == NO_BROKER
    assert parse_samples(done.out)["maestro_up", frozenset()] == 0
    assert "Connection refused" in done.err
    assert done.err.count("\n") == 1


@pytest.mark.long
def test_once_into_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    """The reason is one line, and nothing is left behind."""
    folder = tmp_path / "folder.prom"
    folder.mkdir()
    with Mosquitto() as broker, simulated(broker, *good_peers()[:1]):
        done = command("once", f"--maestro-url={broker.url}", f"--output={folder}")

    assert done == (1, "", f"maestro-exporter once: {folder}: Is a directory\n")
    assert list(tmp_path.iterdir()) == [folder]


class NodeExporter(Server):
    """Prometheus' exporter of a host, which here reads a folder of text files, and no host."""

    def __init__(self, textfiles: Path) -> None:
        super().__init__()
        self._textfiles = textfiles

    def command(self) -> list[str]:
        return [
            "prometheus-node-exporter",
            f"--web.listen-address={self.address}",
            "--collector.disable-defaults",
            "--collector.textfile",
            f"--collector.textfile.directory={self._textfiles}",
        ]

    def is_ready(self) -> bool:
        return http_get(f"{self.url}/metrics").status == 200


@pytest.mark.long
def test_once_for_the_textfile_collector(tmp_path: Path) -> None:
    """node_exporter takes the file as it is, beside its own metrics, in the place of an old one."""
    target = tmp_path / "maestro.prom"
    target.write_text("maestro_old 1\n", "utf-8")
    with (
        Mosquitto() as broker,
        simulated(broker, *good_peers()),
        NodeExporter(tmp_path) as node,
    ):
        done = command("once", f"--maestro-url={broker.url}", f"--output={target}")
        assert done == (0, "", "")
        samples = scrape(f"{node.url}/metrics")
    assert samples["node_textfile_scrape_error", frozenset()] == 0
    assert samples["maestro_up", frozenset()] == 1
    assert len(by_peer(samples, "maestro_peer_up")) == 6
    assert ("maestro_old", frozenset()) not in samples
    assert target.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [target]
