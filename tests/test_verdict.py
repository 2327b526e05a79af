"""The verdict on a cluster as JSON for scripts."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.snapshot import ClockOffset, ExporterState, Run, Snapshot
from maestro_exporter.verdict import verdict_document
from tests.cluster_case import at
from tests.test_fitness import NOW, STATE, cluster, peer, silent, verdict


class DocumentTests(SynchronousTestCase):
    """The verdict as JSON."""

    maxDiff = None

    def page(self, snapshot: Snapshot, state: ExporterState = STATE, **demands: Any) -> bytes:
        return verdict_document(verdict(snapshot, state, **demands), snapshot, state, at(100.5))

    def document(self, snapshot: Snapshot, **demands: Any) -> Any:
        return json.loads(self.page(snapshot, **demands))

    def test_document(self) -> None:
        """All that was found is there, each finding on a line of its own."""
        off = ClockOffset(0.25, 0.003)
        snapshot = cluster(
            *[peer("agent", each, clock=off) for each in "abc"],
            peer("other", "d", clock=off),
            run=Run(number=1, start=at(0)),
        )
        state = STATE._replace(stages_ill=("drain",))
        clocks = ",\n".join(
            f'    {{"kind": "clock_offset", "peer": "worker@{host}", "type": "{type_}", "message": '
            f'"{type_} worker@{host} has a clock 250 ms \\u00b1 3 ms ahead; 5 ms are allowed"}}'
            for type_, host in (("agent", "a"), ("agent", "b"), ("agent", "c"), ("other", "d"))
        )
        expected = f"""{{
  "format": 1,
  "time": "2023-11-14T22:15:00.500Z",
  "fit": false,
  "broker": {{"address": "localhost:1883", "up": true}},
  "test_running": true,
  "demands": {{"senders": 2, "receivers": 0, "inspectors": null, "agents": null, \
"max_clock_offset_seconds": 0.005, "max_round_trip_seconds": 0.05}},
  "peers_up": {{"sender": 0, "receiver": 0, "inspector": 0, "agent": 3, "data-server": 0, \
"reports-server": 0, "exporter": 0, "other": 1}},
  "workers_without_role": 1,
  "common_clock_offset_seconds": 0.25,
  "reasons": [
    {{"kind": "too_few", "peer": null, "type": "sender", "message": \
"2 senders wanted, 0 answer, and 1 worker without a role"}},
{clocks}
  ],
  "warnings": [
    {{"kind": "ill", "peer": null, "type": null, "message": \
"drain has stopped working and is being started anew"}}
  ]
}}
"""
        self.assertEqual(expected, self.page(snapshot, state, senders=2, receivers=0).decode())

    def test_fit(self) -> None:
        """A cluster that is fit has no reasons; what is not known is null."""
        document = self.document(cluster(peer()), max_clock_offset=0.5, max_round_trip=1.0)

        self.assertEqual((True, [], []), tuple(document[k] for k in ("fit", "reasons", "warnings")))
        self.assertEqual(
            {
                "senders": None,
                "receivers": None,
                "inspectors": None,
                "agents": None,
                "max_clock_offset_seconds": 0.5,
                "max_round_trip_seconds": 1.0,
            },
            document["demands"],
        )
        self.assertIsNone(document["common_clock_offset_seconds"])

    def test_test_running(self) -> None:
        """A test runs from the start of a run to its end, its result known or not."""
        for run, running in (
            (None, False),
            (Run(number=1, start=at(0)), True),
            (Run(number=1, start=at(0), end=at(9)), False),
        ):
            self.assertEqual(running, self.document(cluster(peer(), run=run))["test_running"])

    def test_warnings(self) -> None:
        """Warnings are there beside the reasons, and have the same fields."""
        document = self.document(cluster(peer(), silent("agent", "b", last=40)), agents=0)

        self.assertEqual(
            [
                {
                    "kind": "silent",
                    "peer": "worker@b",
                    "type": "agent",
                    "message": "agent worker@b has not answered for 1 min",
                }
            ],
            document["warnings"],
        )
        self.assertEqual((True, []), (document["fit"], document["reasons"]))

    def test_common_offset(self) -> None:
        """Whether all clocks are off alike goes by the limit that was demanded."""
        snapshot = cluster(*[peer(host=each, clock=ClockOffset(0.25, 0.003)) for each in "abc"])

        self.assertEqual(0.25, self.document(snapshot)["common_clock_offset_seconds"])
        self.assertIsNone(
            self.document(snapshot, max_clock_offset=1.0)["common_clock_offset_seconds"]
        )

    def test_unready(self) -> None:
        """An exporter without a broker says so."""
        state = STATE._replace(broker_up=False)
        found = verdict(cluster(), state, "no broker")
        document = json.loads(verdict_document(found, cluster(), state, NOW))

        self.assertEqual({"address": "localhost:1883", "up": False}, document["broker"])
        self.assertEqual(
            [{"kind": "no_broker", "peer": None, "type": None, "message": "no broker"}],
            document["reasons"],
        )

    def test_hostile_names(self) -> None:
        """No name breaks the document or leaves ASCII; only lone surrogates are replaced."""
        lines = self.page(cluster(peer(round_trip=9.0))).count(b"\n")
        for host, seen in (
            ('"}],\n"fit": true', '"}],\n"fit": true'),
            ("\0\x1b[31m\x9b\u202e\u2028", "\0\x1b[31m\x9b\u202e\u2028"),
            ("Größe 🎻", "Größe 🎻"),
            ("a\udc80b\ud83c", "a?b?"),
        ):
            page = self.page(cluster(peer(host=host, round_trip=9.0)))
            (reason,) = json.loads(page)["reasons"]

            self.assertTrue(page.isascii())
            self.assertEqual(lines, page.count(b"\n"))
            self.assertEqual(f"worker@{seen}", reason["peer"])
            self.assertIn(f"sender worker@{seen} took 9 s", reason["message"])
