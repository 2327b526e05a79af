"""The status page as JSON: what is in it, in which order, and whatever peers say."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.cluster import Cluster
from maestro_exporter.metrics import REJECTIONS
from maestro_exporter.mqtt.failures import REASONS
from maestro_exporter.snapshot import (
    ERRORS,
    EVENTS,
    NOTIFICATIONS,
    RESULTS,
    TYPES,
    ClockOffset,
    Event,
    LinkError,
    Moment,
    NamedTest,
    Process,
    Run,
    Series,
    Snapshot,
)
from maestro_exporter.status import status
from tests.samples import exporter_state

ROOT = Path(__file__).parents[1]


def at(seconds: float) -> Moment:
    """Give the moment so many seconds after 10:00:00 UTC on the day of these tests."""
    return Moment(seconds, 1_795_428_000.0 + seconds)


EMPTY = Cluster(expiry=1, forget=1, max_peers=1).snapshot()
NOW = at(100.5)
STATE = exporter_state(
    started=at(-3600),
    broker="broker.example.com:1883",
    broker_up=True,
    client_id="me",
    mqtt_version="5",
    connections=2,
    connection_failures=1,
    link_errors={"lost": 1, "dns": 0},
    last_link_error=LinkError(at(-5), "lost", "it hung up"),
    sessions_lost=3,
    broker_dropped=4,
    received_bytes=1000,
    sent_bytes=200,
    notes_received={"stats": 5, "ping": 4},
    notes_sent={"stats": 3, "ping": 2},
    notes_rejected={"malformed": 1, "overload": 0},
    results_dropped=6,
    stages_ill=("drain",),
    stage_restarts={"network": 0, "drain": 7},
    forget=900.0,
    max_peers=500,
    versions={"version": "1.2.3", "python": "3.10"},
)
SENDER = Process(
    id="id-1",
    peer="sender@node-1",
    type="sender",
    name="sender",
    host="node-1",
    group="all",
    member="one",
    protocol="1.5",
    first_heard=at(-60),
    last_heard=at(98.123),
    messages=1200,
    connections=4,
    rate=12.5,
    latency=0.25,
    ping=8,
    round_trip=0.004,
    clock=ClockOffset(0.006, 0.003),
)
RECEIVER = Process(
    id="id-2",
    peer="receiver@node-2",
    type="receiver",
    name="receiver",
    host="node-2",
    group="",
    member="",
    protocol="1.3",
    first_heard=at(-60),
    last_heard=at(30),
)
RUN = Run(number=3, start=at(40), running=1, sent=1200, received=1100)
FINISHED = Run(
    number=2,
    start=at(-50),
    end=at(-10.25),
    result="failure",
    test=NamedTest("7", "1", "Größe", "/tests/fixed-rate.groovy"),
    succeeded=1,
    failed=2,
    lost=3,
    sent=4000,
    received=3900,
    drained=1,
    undrained=2,
    failure="receiver@node-2: no more messages",
)


def series_of(*processes: Process, up: bool = True) -> Series:
    first = processes[0]
    return Series(
        peer=first.peer, type=first.type, up=up, processes=processes, last_reply=first.last_heard
    )


BUSY = dataclasses.replace(
    EMPTY,
    series=(series_of(SENDER), series_of(RECEIVER, up=False)),
    peers_up={**EMPTY.peers_up, "sender": 1},
    peers_rejected=6,
    notifications={**EMPTY.notifications, "test_failure": 2},
    errors={**EMPTY.errors, "internal_error": 1},
    rounds=10,
    late_replies=1,
    last_round=at(90),
    last_round_replies=2,
    run=RUN,
    finished=(FINISHED,),
    results={**EMPTY.results, "failure": 1},
    events=(
        Event(at(40), "test_started", "sender@node-1", "sender"),
        Event(at(-10.25), "test_finished", message="failure"),
    ),
)

BUSY_DOCUMENT = {
    "format": 1,
    "time": "2026-11-23T10:01:40.500Z",
    "exporter": {
        "version": "1.2.3",
        "started": "2026-11-23T09:00:00.000Z",
        "stages_ill": ["drain"],
        "stage_restarts": {"network": 0, "drain": 7},
    },
    "broker": {
        "address": "broker.example.com:1883",
        "up": True,
        "client_id": "me",
        "mqtt_version": "5",
        "connections": 2,
        "connection_failures": 1,
        "errors": {"lost": 1, "dns": 0},
        "last_error": {
            "time": "2026-11-23T09:59:55.000Z",
            "reason": "lost",
            "message": "it hung up",
        },
        "sessions_lost": 3,
        "dropped_messages": 4,
        "received_bytes": 1000,
        "sent_bytes": 200,
        "notes_received": 9,
        "notes_sent": 5,
        "notes_rejected": {"malformed": 1, "overload": 0},
        "results_dropped": 6,
    },
    "settings": {
        "interval_seconds": 10.0,
        "peer_expiry_seconds": 30.0,
        "peer_forget_seconds": 900.0,
        "max_peers": 500,
    },
    "rounds": {
        "asked": 10,
        "late_replies": 1,
        "last": {"asked": "2026-11-23T10:01:30.000Z", "replies": 2},
    },
    "peers_up": {
        "sender": 1,
        "receiver": 0,
        "inspector": 0,
        "agent": 0,
        "data-server": 0,
        "reports-server": 0,
        "exporter": 0,
        "other": 0,
    },
    "peers_rejected": 6,
    "peers": [
        {
            "peer": "receiver@node-2",
            "type": "receiver",
            "up": False,
            "id": "id-2",
            "name": "receiver",
            "host": "node-2",
            "group": None,
            "member": None,
            "protocol": "1.3",
            "first_reply": "2026-11-23T09:59:00.000Z",
            "last_reply": "2026-11-23T10:00:30.000Z",
            "messages": None,
            "connections": None,
            "rate": None,
            "latency_seconds": None,
            "ping_milliseconds": None,
            "round_trip_seconds": None,
            "clock_offset_seconds": None,
            "clock_offset_error_seconds": None,
        },
        {
            "peer": "sender@node-1",
            "type": "sender",
            "up": True,
            "id": "id-1",
            "name": "sender",
            "host": "node-1",
            "group": "all",
            "member": "one",
            "protocol": "1.5",
            "first_reply": "2026-11-23T09:59:00.000Z",
            "last_reply": "2026-11-23T10:01:38.123Z",
            "messages": 1200,
            "connections": 4,
            "rate": 12.5,
            "latency_seconds": 0.25,
            "ping_milliseconds": 8,
            "round_trip_seconds": 0.004,
            "clock_offset_seconds": 0.006,
            "clock_offset_error_seconds": 0.003,
        },
    ],
    "test": {
        "running": True,
        "finished": {"success": 0, "failure": 1, "incomplete": 0},
        "notifications": {
            "test_started": 0,
            "test_success": 0,
            "test_failure": 2,
            "drain_success": 0,
            "drain_failure": 0,
            "abnormal_disconnect": 0,
        },
        "errors": {"protocol_error": 0, "internal_error": 1},
        "run": {
            "number": 3,
            "start": "2026-11-23T10:00:40.000Z",
            "end": None,
            "running": True,
            "result": None,
            "test": None,
            "processes": {"running": 1, "succeeded": 0, "failed": 0, "lost": 0},
            "messages": {"sent": 1200, "received": 1100},
            "drains": {"success": 0, "failure": 0},
            "failure": None,
        },
        "runs": [
            {
                "number": 2,
                "start": "2026-11-23T09:59:10.000Z",
                "end": "2026-11-23T09:59:49.750Z",
                "running": False,
                "result": "failure",
                "test": {
                    "number": "7",
                    "iteration": "1",
                    "name": "Größe",
                    "script": "/tests/fixed-rate.groovy",
                },
                "processes": {"running": 0, "succeeded": 1, "failed": 2, "lost": 3},
                "messages": {"sent": 4000, "received": 3900},
                "drains": {"success": 1, "failure": 2},
                "failure": "receiver@node-2: no more messages",
            }
        ],
    },
    "events": [
        {
            "time": "2026-11-23T10:00:40.000Z",
            "kind": "test_started",
            "peer": "sender@node-1",
            "type": "sender",
            "message": None,
        },
        {
            "time": "2026-11-23T09:59:49.750Z",
            "kind": "test_finished",
            "peer": None,
            "type": None,
            "message": "failure",
        },
    ],
}

EMPTY_PAGE = b"""{
  "format": 1,
  "time": "2026-11-23T10:01:40.500Z",
  "exporter": {
    "version": "1.2.3",
    "started": "2026-11-23T09:00:00.000Z",
    "stages_ill": [
      "drain"
    ],
    "stage_restarts": {"network": 0, "drain": 7}
  },
  "broker": {"address": "broker.example.com:1883", "up": true, "client_id": "me", \
"mqtt_version": "5", "connections": 2, "connection_failures": 1, \
"errors": {"lost": 1, "dns": 0}, "last_error": {"time": "2026-11-23T09:59:55.000Z", \
"reason": "lost", "message": "it hung up"}, "sessions_lost": 3, "dropped_messages": 4, \
"received_bytes": 1000, "sent_bytes": 200, "notes_received": 9, "notes_sent": 5, \
"notes_rejected": {"malformed": 1, "overload": 0}, "results_dropped": 6},
  "settings": {"interval_seconds": 10.0, "peer_expiry_seconds": 30.0, \
"peer_forget_seconds": 900.0, "max_peers": 500},
  "rounds": {"asked": 0, "late_replies": 0, "last": null},
  "peers_up": {"sender": 0, "receiver": 0, "inspector": 0, "agent": 0, "data-server": 0, \
"reports-server": 0, "exporter": 0, "other": 0},
  "peers_rejected": 0,
  "peers": [],
  "test": {
    "running": false,
    "finished": {"success": 0, "failure": 0, "incomplete": 0},
    "notifications": {"test_started": 0, "test_success": 0, "test_failure": 0, \
"drain_success": 0, "drain_failure": 0, "abnormal_disconnect": 0},
    "errors": {"protocol_error": 0, "internal_error": 0},
    "run": null,
    "runs": []
  },
  "events": []
}
"""


def refuse(name: str) -> object:
    """Refuse what Python reads though it is no JSON: NaN and the infinities."""
    raise ValueError(name)


def read(page: bytes) -> Any:
    """Give what a page says; it must be JSON to the letter."""
    return json.loads(page.decode(), parse_constant=refuse)


def document_of(snapshot: Snapshot) -> Any:
    return read(status(snapshot, STATE, NOW))


def peer_of(process: Process) -> Any:
    """Give how a process that is up is shown, when there is no other."""
    (peer,) = document_of(dataclasses.replace(EMPTY, series=(series_of(process),)))["peers"]
    return peer


class DocumentTests(SynchronousTestCase):
    """What is in the document."""

    maxDiff = None

    def test_document(self) -> None:
        """All that is known is there, in the order of the documentation."""
        document = document_of(BUSY)

        self.assertEqual(document, BUSY_DOCUMENT)
        self.assertEqual(json.dumps(document), json.dumps(BUSY_DOCUMENT))

    def test_document_when_nothing_is_known(self) -> None:
        """Every object is there, but for a round and a run; lists are empty."""
        self.assertEqual(status(EMPTY, STATE, NOW), EMPTY_PAGE)

    def test_link_that_never_was(self) -> None:
        """What is not known of the broker is null; what it did not lose is 0."""
        state = exporter_state(versions={"version": "1"})
        document = read(status(EMPTY, state, NOW))

        for name in ("mqtt_version", "last_error", "dropped_messages"):
            self.assertIsNone(document["broker"][name], name)
        self.assertEqual(document["broker"]["sessions_lost"], 0)
        self.assertEqual(document["broker"]["errors"], dict.fromkeys(REASONS, 0))
        self.assertEqual(document["exporter"]["stages_ill"], [])

    def test_layout(self) -> None:
        """Peers, runs and events have a line each, so that people can read and grep them."""
        lines = status(BUSY, STATE, NOW).decode().splitlines()

        for start, count in (
            ('    {"peer": ', 2),
            ('    "run": {"number": 3', 1),
            ('      {"number": 2', 1),
            ('    {"time": ', 2),
        ):
            self.assertEqual(sum(line.startswith(start) for line in lines), count, start)

    def test_order_of_peers(self) -> None:
        """Peers go by name, type, whether they are up, and id: not by who appeared first."""
        processes = [
            SENDER._replace(peer=peer, type=type_, id=id_)
            for peer, type_, id_ in (
                ("b", "agent", "1"),
                ("a", "sender", "4"),
                ("a", "receiver", "3"),
                ("a", "receiver", "2"),
            )
        ]
        snapshot = dataclasses.replace(
            EMPTY,
            series=(
                series_of(processes[0]),
                series_of(processes[1]),
                series_of(processes[2]),
                series_of(processes[3], up=False),
            ),
        )

        self.assertEqual(
            [(each["peer"], each["type"], each["id"]) for each in document_of(snapshot)["peers"]],
            [
                ("a", "receiver", "3"),
                ("a", "receiver", "2"),
                ("a", "sender", "4"),
                ("b", "agent", "1"),
            ],
        )

    def test_processes_that_share_a_peer(self) -> None:
        """Each process is there on its own: nothing is summed."""
        processes = (SENDER._replace(id="2", messages=20), SENDER._replace(id="1", messages=10))
        snapshot = dataclasses.replace(EMPTY, series=(series_of(*processes),))

        self.assertEqual(
            [(each["id"], each["messages"]) for each in document_of(snapshot)["peers"]],
            [("1", 10), ("2", 20)],
        )

    def test_run_that_seems_to_be_over(self) -> None:
        """It runs no more, and has no result before that is certain."""
        run = dataclasses.replace(RUN, end=at(99), running=0)
        test = document_of(dataclasses.replace(EMPTY, run=run))["test"]

        self.assertEqual(test["running"], False)
        self.assertEqual(test["run"]["running"], False)
        self.assertEqual(test["run"]["end"], "2026-11-23T10:01:39.000Z")
        self.assertEqual(test["run"]["result"], None)


class ValueTests(SynchronousTestCase):
    """How odd values are spelt."""

    def test_hostile_names(self) -> None:
        """No name breaks the document or steers a terminal; only lone surrogates are replaced."""
        for name, shown in (
            ('"}],\n"peers": [{', '"}],\n"peers": [{'),
            ("\\\\u0000\\", "\\\\u0000\\"),
            ("\0\x1b[31m\x7f\x9b\u202e\u2028", "\0\x1b[31m\x7f\x9b\u202e\u2028"),
            ("Größe 🎻", "Größe 🎻"),
            ("</script>", "</script>"),
            ("\ud83c", "?"),
            ("a\udc80b", "a?b"),
            ("", None),
        ):
            peer = peer_of(SENDER._replace(peer=name, host=name))
            self.assertEqual((peer["peer"], peer["host"]), (shown, shown))

    def test_page_is_ascii(self) -> None:
        """Whatever peers and the broker say, each line is one of ours, and plain text."""
        text = "\x9b\u202e\u2028\n\r\udc80é\ud83c🎻\x1b"
        peer = SENDER._replace(id=text, peer=text, name=text, host=text, group=text, member=text)
        run = dataclasses.replace(RUN, test=NamedTest(text, text, text, text), failure=text)
        snapshot = dataclasses.replace(
            EMPTY,
            series=(series_of(peer),),
            run=run,
            finished=(run,),
            events=(Event(at(0), "peer_joined", text, "other", text),),
        )
        error = LinkError(at(0), "closed", text)
        page = status(snapshot, STATE._replace(client_id=text, last_link_error=error), NOW)

        self.assertEqual(re.findall(rb"[^\n\x20-\x7e]", page), [])
        # The empty page, and for each of three lists an item and a line of its own for "]".
        self.assertEqual(page.count(b"\n"), EMPTY_PAGE.count(b"\n") + 6)
        read(page)

    @given(st.text(st.characters()))
    def test_any_name(self, name: str) -> None:
        """A name comes out as it went in, if it can be spelt at all."""
        shown = peer_of(SENDER._replace(name=name))["name"]
        self.assertEqual(shown, name.encode(errors="replace").decode() or None)

    def test_numbers_that_json_cannot_spell(self) -> None:
        """They are strings, and the document stays JSON."""
        for value, shown in ((math.nan, "NaN"), (math.inf, "+Inf"), (-math.inf, "-Inf")):
            peer = peer_of(
                SENDER._replace(
                    rate=value, latency=value, round_trip=value, clock=ClockOffset(value, value)
                )
            )
            for name in (
                "rate",
                "latency_seconds",
                "round_trip_seconds",
                "clock_offset_seconds",
                "clock_offset_error_seconds",
            ):
                self.assertEqual(peer[name], shown)

    def test_numbers_that_are_zero(self) -> None:
        """They are known, and not null."""
        peer = peer_of(
            SENDER._replace(
                messages=0,
                connections=0,
                rate=0.0,
                latency=0.0,
                ping=0,
                round_trip=0.0,
                clock=ClockOffset(0.0, 0.0),
            )
        )
        values = list(peer.values())[list(peer).index("messages") :]
        self.assertEqual(values, [0] * 8)

    def test_times(self) -> None:
        """Times are UTC, in whole milliseconds; null where a clock says what has no spelling."""
        for unix, shown in (
            (0.0, "1970-01-01T00:00:00.000Z"),
            (1_795_428_000.123, "2026-11-23T10:00:00.123Z"),
            (1_795_428_000.9996, "2026-11-23T10:00:00.999Z"),
            (-1.0, "1969-12-31T23:59:59.000Z"),
            (-62_135_596_800.0, "0001-01-01T00:00:00.000Z"),
            (253_402_300_799.0, "9999-12-31T23:59:59.000Z"),
            (-62_135_596_801.0, None),
            (253_402_300_800.0, None),
            (1e15, None),
            (-1e300, None),
            (math.inf, None),
            (math.nan, None),
        ):
            document = read(status(EMPTY, STATE, Moment(0.0, unix)))
            self.assertEqual(document["time"], shown, unix)

    @given(st.floats())
    def test_any_time(self, unix: float) -> None:
        """No clock breaks the document."""
        time = read(status(EMPTY, STATE, Moment(0.0, unix)))["time"]
        self.assertTrue(time is None or re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z", time))


#: Objects whose names are words of a closed set, and how the documentation spells these.
WORDS = {
    "exporter.stage_restarts": "<stage>",
    "broker.errors": "<reason>",
    "broker.notes_rejected": "<reason>",
    "peers_up": "<type>",
    "test.finished": "<result>",
    "test.notifications": "<kind>",
    "test.errors": "<kind>",
}


def paths(value: Any, path: str = "") -> list[str]:
    """Give the dotted paths of what a document says: of all that is no object and no list."""
    if isinstance(value, list):
        return [each for item in value for each in paths(item, f"{path}[]")]
    if isinstance(value, dict):
        members = {WORDS[path]: 0} if path in WORDS else value
        prefix = f"{path}." if path else ""
        return [each for key, item in members.items() for each in paths(item, f"{prefix}{key}")]
    return [path]


def all_paths() -> set[str]:
    """Give the paths that there can be; what may be null instead of an object has one itself."""
    other_way_round = dataclasses.replace(BUSY, run=FINISHED, finished=(RUN,))
    documents = [document_of(each) for each in (EMPTY, BUSY, other_way_round)]
    documents.append(read(status(EMPTY, STATE._replace(last_link_error=None), NOW)))
    return {path for document in documents for path in paths(document)}


@pytest.mark.source
class DocumentationTests(SynchronousTestCase):
    """What `docs/api.md` says is what the page has."""

    def setUp(self) -> None:
        text = (ROOT / "docs" / "api.md").read_text("utf-8")
        self.text, _, _ = text.partition("\n## `/api/v1/check`\n")

    def test_fields(self) -> None:
        """The tables list each field that there can be, and no others."""
        rows = re.findall(r"^\| (`[^|]+) \|", self.text, re.MULTILINE)
        listed = [path for row in rows for path in re.findall(r"`([^`]+)`", row)]

        self.assertEqual(sorted(listed), sorted(all_paths()))

    def test_words(self) -> None:
        """It names every word of the closed sets."""
        for word in (*TYPES, *REJECTIONS, *RESULTS, *NOTIFICATIONS, *ERRORS, *EVENTS):
            self.assertIn(f"`{word}`", self.text)

    def test_example(self) -> None:
        """The example is JSON, and has only fields that there can be."""
        (example,) = re.findall(r"```json\n(.+?)```", self.text, re.DOTALL)
        self.assertLessEqual(set(paths(json.loads(example))), all_paths())
