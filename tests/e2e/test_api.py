"""What `docs/openapi.yaml` says of the API is what the exporter answers, whatever it is asked."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from paho.mqtt import publish

from maestro_exporter import discovery, fitness
from maestro_exporter.notes import MAX_PAYLOAD_BYTES, Test, TestFailure, TestStarted, Topic
from maestro_exporter.snapshot import EVENTS
from tests.e2e.clusters import V1_5, exporter_of, seed_peers, simulated, status
from tests.e2e.web import NO_BROKER, Web, WebConfig, hashed
from tests.servers import Exporter, Mosquitto, Response, http_get, wait_for

pytestmark = [pytest.mark.source, pytest.mark.long]

PATH = Path(__file__).parents[2] / "docs" / "openapi.yaml"
DOCUMENT: Any = yaml.safe_load(PATH.read_text("utf-8")) if PATH.exists() else {}
SCHEMAS = DOCUMENT["components"]["schemas"] if DOCUMENT else {}
STATUS, CHECK, DISCOVERY = (f"/api/v1/{each}" for each in ("status", "check", "discovery"))

CHALLENGE = SCHEMAS and DOCUMENT["components"]["headers"]["Authenticate"]["schema"]["const"]

#: One for each reason for which a message is not taken in, but those that the broker has retained.
REJECTED = (b"\xc1", b"\x01\x63\xa2id\xa4name", b"\x01\x0b" + bytes(MAX_PAYLOAD_BYTES))
TEST = Test(
    number=1, iteration=2, name="throughput", script_name="a.groovy", description="", comments=""
)


@pytest.fixture(scope="module")
def exporter() -> Iterator[Exporter]:
    """Give the exporter of a cluster that has seen all there can be."""
    peers = seed_peers(V1_5)
    sender = peers[1]
    with Mosquitto(persistence=True) as broker:

        def say(payload: bytes, *, retain: bool = False) -> None:
            where: Any = {"hostname": "127.0.0.1", "port": broker.port}
            publish.single(Topic.RESPONSES, payload, qos=1, retain=retain, **where)

        say(b"\xc1", retain=True)
        broker.stop()
        with exporter_of(broker) as exporter:
            wait_for(lambda: status(exporter)["broker"]["last_error"], "no connection")
            broker.start()
            with simulated(broker, *peers) as cluster:
                wait_for(lambda: sum(status(exporter)["peers_up"].values()) == 4, "all peers")
                cluster.notify(sender, sender.say(TestStarted, test=TEST, message=""))
                cluster.notify(sender, sender.say(TestFailure, test=TEST, message="refused"))
                for payload in REJECTED:
                    say(payload)
                wait_for(lambda: status(exporter)["test"]["runs"], "the end of the run")
                yield exporter


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporter]:
    """Give an exporter that has a user."""
    users = {"reader": hashed("secret")}
    config = WebConfig(tmp_path_factory.mktemp("web"), basic_auth_users=users)
    with Exporter(NO_BROKER, config.option) as exporter:
        yield exporter


def assert_conforms(exporter: Exporter, folder: Path, *, examples: int, ready: bool = True) -> None:
    """Ask what the document allows, and what it does not; all answers must be as it says.

    Args:
        exporter: is asked.
        folder: for what Schemathesis leaves behind.
        examples: most random requests to each page.
        ready: whether it knows where the peers are.
    """
    unavailable = () if ready else (DISCOVERY,)
    operations = "".join(
        f"""
        [[operations]]  # 503 of a cluster that is not fit or not known, no error of the server
        include-path = "{path}"
        checks.not_a_server_error.expected-statuses = ["2xx", "4xx", 503]
        checks.positive_data_acceptance.expected-statuses = [200, 503]
        """
        for path in (CHECK, *unavailable)
    )
    (folder / "schemathesis.toml").write_text(
        f"""
        base-url = "{exporter.url}"
        color = false
        generation = {{ deterministic = true, database = "none", max-examples = {examples} }}
        warnings.fail-on = true
        checks.positive_data_acceptance.expected-statuses = [200]
        checks.negative_data_rejection.expected-statuses = [400]
        {operations}
        """
    )
    done = subprocess.run(
        [Path(sys.executable).with_name("schemathesis"), "run", PATH, "--checks=all"],
        cwd=folder,
        env={"NO_PROXY": "*", "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def documented(schema: Any, path: str = "") -> set[str]:
    """Give the paths of all fields that a schema has."""
    if "$ref" in schema:
        return documented(SCHEMAS[schema["$ref"].rpartition("/")[2]], path)
    found = {field for each in schema.get("anyOf", ()) for field in documented(each, path)}
    found |= documented(schema["items"], f"{path}[]") if "items" in schema else set()
    for name, member in schema.get("properties", {}).items():
        found |= {f"{path}.{name}", *documented(member, f"{path}.{name}")}
    return found


def present(value: Any, path: str = "") -> set[str]:
    """Give the paths of all fields that an answer has."""
    if isinstance(value, list):
        return {field for each in value for field in present(each, f"{path}[]")}
    members = value.items() if isinstance(value, dict) else ()
    within = {field for name, each in members for field in present(each, f"{path}.{name}")}
    return within | {f"{path}.{name}" for name, _ in members}


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Give all schemas of objects."""
    if isinstance(value, dict) and "required" in value and "properties" in value:
        yield value
    within = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in within:
        yield from objects(each)


def assert_problem(answer: Response, status: int, title: str, detail: str | None = None) -> None:
    """An answer is a problem, and says this."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = {"type": "about:blank", "title": title, "status": status}
    assert json.loads(answer.body) == problem | ({"detail": detail} if detail else {})
    assert answer.status == status


# ----------------------------------------------------------------- the document


def test_document() -> None:
    """It is OpenAPI 3.1, and all fields that it has are always there but a problem's detail."""
    import schemathesis

    schemathesis.openapi.from_path(PATH).validate()
    for schema in objects(SCHEMAS):
        assert set(schema["properties"]) - set(schema["required"]) <= {"detail"}


def test_parameters() -> None:
    """Its parameters are those that are parsed, with their defaults."""
    for path, parameters in ((CHECK, fitness.PARAMETERS), (DISCOVERY, discovery.PARAMETERS)):
        listed = {
            each["name"]: each["schema"].get("default")
            for each in DOCUMENT["paths"][path]["parameters"]
        }
        assert list(listed) == [each.name for each in parameters]
        for each in parameters:
            default = listed[each.name]
            assert (default and each.parse(str(default))) == each.default


@given(st.from_regex(r"[0-9]{0,9}(\.[0-9]{0,2})?(ms|[smhd])?", fullmatch=True))
@example("24h")
@example("24.01h")
@example("25h")
@example("1440.m")
@example("1440.5m")
@example("086400.0")
@example("86400.1s")
@example("86400000ms")
@example("86400001ms")
def test_durations(text: str) -> None:
    """Its patterns of durations match what is accepted, and nothing else."""
    try:
        accepted = fitness.PARAMETERS[-1].parse(text) is not None
    except ValueError:
        accepted = False
    patterns = [each["pattern"] for each in SCHEMAS["Duration"]["anyOf"]]

    assert any(re.fullmatch(each, text) for each in patterns) == accepted


def test_kinds() -> None:
    """It names all kinds of events and of findings."""
    assert SCHEMAS["Event"]["properties"]["kind"]["examples"] == list(EVENTS)
    assert SCHEMAS["Finding"]["properties"]["kind"]["examples"] == list(fitness.KINDS)


@pytest.mark.parametrize(
    ("question", "schema"),
    [(STATUS, "Status"), (f"{CHECK}?senders=9", "Verdict"), (DISCOVERY, "Targets")],
)
def test_fields(exporter: Exporter, question: str, schema: str) -> None:
    """It has each field that is answered, and each field that it has is answered."""
    answer = http_get(exporter.url + question)

    assert present(json.loads(answer.body)) == documented(SCHEMAS[schema])


# ----------------------------------------------------------------- the answers


def test_conformance(exporter: Exporter, tmp_path: Path) -> None:
    """All that is asked of a busy exporter, right or wrong, is answered as the document says."""
    assert_conforms(exporter, tmp_path, examples=150)


def test_conformance_at_the_start(tmp_path: Path) -> None:
    """So is what is asked of one that knows nothing yet."""
    with Exporter(NO_BROKER) as exporter:
        assert_conforms(exporter, tmp_path, examples=10, ready=False)


@pytest.mark.parametrize(
    ("question", "detail"),
    [
        (f"{CHECK}?senders=-1", 'senders: "-1": give a whole number from 0 to 1000000'),
        (f"{CHECK}?senders=1&senders=1", "senders: give it once"),
        (f"{DISCOVERY}?prot=1", '"prot" is no parameter; there are port'),
        (f"{DISCOVERY}?port=%ff", "the query is not UTF-8"),
    ],
)
def test_wrong_queries(exporter: Exporter, question: str, detail: str) -> None:
    """A problem says what is wrong with a query, and what is allowed."""
    answer = http_get(exporter.url + question)

    assert_problem(answer, 400, "Bad Request", detail)
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/api/", "/api/v1/", "/api/v1/nothing", f"{STATUS}/"])
def test_unknown_paths(exporter: Exporter, path: str) -> None:
    """A path that there is not is a problem, too."""
    assert_problem(http_get(exporter.url + path), 404, "Not Found")


@pytest.mark.parametrize("path", [STATUS, CHECK, DISCOVERY])
def test_wrong_methods(exporter: Exporter, path: str) -> None:
    """So is a method that there is not; it is told which there are."""
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"):
        answer = Web(exporter.address).ask(path, method=method)
        assert_problem(answer, 405, "Method Not Allowed")
        assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD"}


@pytest.mark.parametrize("path", [STATUS, CHECK, DISCOVERY])
def test_passwords(guarded: Exporter, path: str) -> None:
    """Where there are users, only these are answered; others get a problem that asks for one."""
    for user in (None, ("reader", "guessed")):
        answer = Web(guarded.address, user=user).ask(path)
        assert_problem(answer, 401, "Unauthorized")
        assert answer.headers["WWW-Authenticate"] == CHALLENGE
    answer = Web(guarded.address, user=("reader", "secret")).ask(path)
    assert answer.status == (200 if path == STATUS else 503)  # of one that has no broker
