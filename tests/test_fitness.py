"""Whether a cluster is fit for a test: the verdict, the warnings of the page, and both in words."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.cluster import Cluster
from maestro_exporter.fitness import (
    KINDS,
    PARAMETERS,
    Demands,
    Finding,
    Verdict,
    common_clock_offset,
    free_workers,
    judge,
    verdict_document,
    warnings,
)
from maestro_exporter.querying import answers
from maestro_exporter.snapshot import (
    TYPES,
    ClockOffset,
    ExporterState,
    LinkError,
    Process,
    Run,
    Series,
    Snapshot,
)
from tests.cluster_case import at, process, shown
from tests.samples import exporter_state

EMPTY = Cluster(expiry=1, forget=1, max_peers=1).snapshot()
NOW = at(100)
STATE = exporter_state(broker_up=True)
REJECTED = STATE._replace(
    notes_rejected={"malformed": 1200, "unknown_command": 2, "overload": 0, "retained": 7},
    last_rejected=NOW.monotonic - 30,
)


def peer(type_: str = "sender", host: str = "a", **fields: Any) -> Process:
    """Give a process against which nothing speaks, but for the fields given."""
    well = {"round_trip": 0.004, "clock": ClockOffset(0.001, 0.003)}
    name = f"worker@{host}"
    return process(host, 0, 95, **{"type": type_, "peer": name, "host": host, **well, **fields})


def silent(type_: str = "sender", host: str = "a", last: float = 40) -> Series:
    """Give a peer that has not answered since some second."""
    plain = process(host, 0, last, type=type_, peer=f"worker@{host}", host=host)
    return shown(plain, up=False)


def cluster(*peers: Process | Series, **fields: Any) -> Snapshot:
    """Give what is known of these peers; a round of requests has been asked."""
    series = tuple(each if isinstance(each, Series) else shown(each) for each in peers)
    peers_up = dict.fromkeys(TYPES, 0)
    for each in series:
        peers_up[each.type] += len(each.processes) if each.up else 0
    return replace(EMPTY, series=series, peers_up=peers_up, last_round=at(95), **fields)


def verdict(
    snapshot: Snapshot, state: ExporterState = STATE, unready: str = "", **demands: Any
) -> Verdict:
    return judge(snapshot, state, NOW, Demands(**demands), unready)


def kinds(findings: Iterable[Finding]) -> list[tuple[str, str, str]]:
    """Give what was found, of whom."""
    return [(each.kind, each.type, each.peer) for each in findings]


class VerdictTestCase(SynchronousTestCase):
    """Tells what is expected of a cluster."""

    def assert_fit(self, snapshot: Snapshot, state: ExporterState = STATE, **demands: Any) -> None:
        found = verdict(snapshot, state, **demands)
        self.assertEqual((True, (), ()), (found.fit, found.reasons, found.warnings))

    def assert_reasons(self, snapshot: Snapshot, *reasons: Finding, **demands: Any) -> None:
        """Check that this speaks against a cluster, and nothing else is to be said."""
        found = verdict(snapshot, **demands)
        self.assertEqual((False, reasons, ()), (found.fit, found.reasons, found.warnings))

    def assert_warnings(
        self, snapshot: Snapshot, *others: Finding, state: ExporterState = STATE, **demands: Any
    ) -> None:
        """Check that this is worth a word, and speaks against nobody."""
        found = verdict(snapshot, state, **demands)
        self.assertEqual((True, (), others), (found.fit, found.reasons, found.warnings))


class FitTests(VerdictTestCase):
    """What does not speak against a test."""

    def test_fit(self) -> None:
        """A cluster is fit if all is well; the verdict says what was demanded."""
        snapshot = cluster(*[peer(each, each) for each in TYPES])

        self.assertEqual(Verdict(Demands(senders=1), (), ()), verdict(snapshot, senders=1))
        self.assert_fit(snapshot)

    def test_limits(self) -> None:
        """What is as far off as is allowed is allowed."""
        for offset in (0.005, -0.005):
            self.assert_fit(cluster(peer(round_trip=0.05, clock=ClockOffset(offset, 0.005))))

    def test_own_limits(self) -> None:
        """The limits are those that were demanded."""
        snapshot = cluster(peer(round_trip=1.0, clock=ClockOffset(-2.0, 0.5)))

        self.assertFalse(verdict(snapshot).fit)
        self.assert_fit(snapshot, max_round_trip=1.0, max_clock_offset=2.0)

    def test_bystanders(self) -> None:
        """What takes no part in tests need not be quick, nor have a clock, nor answer PING."""
        for type_ in ("data-server", "reports-server", "exporter"):
            far = ClockOffset(9.0, 0.001)
            self.assert_fit(
                cluster(
                    peer(type_, "slow", round_trip=9.0, clock=far),
                    peer(type_, "mute", round_trip=None, clock=None),
                )
            )


class NumberTests(VerdictTestCase):
    """How many peers there have to be."""

    def test_nobody(self) -> None:
        """A cluster of nobody is not fit, whatever is demanded."""
        self.assert_reasons(cluster(), Finding("nobody", "no peer answers"))
        self.assert_reasons(cluster(), Finding("nobody", "no peer answers"), senders=0)

    def test_at_least(self) -> None:
        """As many as are demanded are enough, and more of them, or of others, do no harm."""
        snapshot = cluster(
            peer("sender", "a"), peer("sender", "b"), peer("receiver", "c"), peer("agent", "d")
        )
        for senders in (0, 1, 2):
            self.assert_fit(snapshot, senders=senders, receivers=1, agents=1, inspectors=0)

    def test_too_few(self) -> None:
        """Of each type of which there are fewer it is said how many there are."""
        self.assert_reasons(
            cluster(peer("sender", "a"), peer("receiver", "b"), peer("receiver", "c")),
            Finding("too_few", "1 agent wanted, 0 answer", type="agent"),
            Finding("too_few", "2 inspectors wanted, 0 answer", type="inspector"),
            Finding("too_few", "1,000 receivers wanted, 2 answer", type="receiver"),
            Finding("too_few", "2 senders wanted, 1 answers", type="sender"),
            senders=2,
            receivers=1000,
            inspectors=2,
            agents=1,
        )

    def test_processes(self) -> None:
        """Processes that share a name count each; silent peers do not."""
        both = shown(peer("sender", "a"), peer("sender", "a", id="b"))

        self.assertEqual((), verdict(cluster(both, silent(host="b")), senders=2).reasons)
        self.assertEqual(
            [("too_few", "sender", "")],
            kinds(verdict(cluster(both, silent(host="b")), senders=3).reasons),
        )


class WorkersWithoutRoleTests(VerdictTestCase):
    """By 1.5, a test makes senders and receivers of workers that have no role yet."""

    def test_fill_in(self) -> None:
        """They make good whatever senders and receivers are short of, together."""
        snapshot = cluster(peer("sender", "a"), peer("other", "b"), peer("other", "c"))

        for senders, receivers in ((3, 0), (2, 1), (1, 2), (0, 2)):
            self.assert_fit(snapshot, senders=senders, receivers=receivers)

    def test_too_few(self) -> None:
        """If they do not suffice for both, it is said how many there are."""
        self.assert_reasons(
            cluster(peer("other", "a")),
            Finding(
                "too_few",
                "1 receiver wanted, 0 answer, and 1 worker without a role",
                type="receiver",
            ),
            Finding(
                "too_few", "1 sender wanted, 0 answer, and 1 worker without a role", type="sender"
            ),
            senders=1,
            receivers=1,
        )

    def test_enough_of_one(self) -> None:
        """More receivers than are demanded are no senders."""
        snapshot = cluster(*[peer("receiver", each) for each in "abc"])

        self.assertEqual(
            [("too_few", "sender", "")], kinds(verdict(snapshot, senders=1, receivers=1).reasons)
        )

    def test_no_workers(self) -> None:
        """They are neither inspectors nor agents."""
        self.assert_reasons(
            cluster(peer("other", "a")),
            Finding("too_few", "1 agent wanted, 0 answer", type="agent"),
            Finding("too_few", "1 inspector wanted, 0 answer", type="inspector"),
            inspectors=1,
            agents=1,
        )

    def test_free(self) -> None:
        """Only those that are up and speak 1.5 are free; of those that share a name, each."""
        both = shown(peer("other", "a"), peer("other", "a", id="b"))
        old = peer("other", "c", protocol="1.4")
        snapshot = cluster(both, old, silent("other", "d"))

        self.assertEqual(2, free_workers(snapshot))


class MissingTests(VerdictTestCase):
    """Peers that have answered before, and do no more."""

    def test_silent(self) -> None:
        """A silent peer speaks against a test, and it is said for how long it is silent."""
        self.assert_reasons(
            cluster(peer(), silent("agent", "b", last=-100)),
            Finding("silent", "has not answered for 3 min 20 s", "worker@b", "agent"),
        )

    def test_of_a_demanded_type(self) -> None:
        """It does not where a number is demanded of its type: who is there is enough, or is not."""
        snapshot = cluster(peer(host="a"), silent("sender", "b"), silent("agent", "c"))

        for least in (0, 1):
            self.assertEqual(
                [("silent", "agent", "worker@c")], kinds(verdict(snapshot, senders=least).reasons)
            )
        self.assertEqual(
            [("too_few", "sender", "")], kinds(verdict(snapshot, senders=2, agents=0).reasons)
        )

    def test_without_a_role(self) -> None:
        """A worker that is back, and has no role yet, is not missing."""
        self.assert_fit(cluster(peer("other", "a"), silent("sender", "a")))

    def test_not_back(self) -> None:
        """It is missing if that is another worker, if that is silent, too, or has a role."""
        for other in (peer("other", "b"), silent("other", "a"), peer("receiver", "a")):
            snapshot = cluster(peer("agent", "z"), other, silent("sender", "a"))

            self.assertIn(("silent", "sender", "worker@a"), kinds(verdict(snapshot).reasons))


class PingTests(VerdictTestCase):
    """What PINGs say against a peer."""

    def test_slow(self) -> None:
        """A peer that is slow to answer speaks against a test."""
        self.assert_reasons(
            cluster(peer("agent", "a", round_trip=0.0501)),
            Finding("slow", "took 50.1 ms to answer; 50 ms are allowed", "worker@a", "agent"),
        )

    def test_clock_offset(self) -> None:
        """So does a clock that is off, either way."""
        for offset, said in ((0.25, "250 ms ± 3 ms ahead"), (-0.25, "250 ms ± 3 ms behind")):
            self.assert_reasons(
                cluster(peer(clock=ClockOffset(offset, 0.003))),
                Finding(
                    "clock_offset",
                    f"has a clock {said}; 5 ms are allowed",
                    "worker@a",
                    "sender",
                ),
            )

    def test_clock_unknown(self) -> None:
        """A clock that may be right or wrong is worth a warning, and is never a reason."""
        self.assert_warnings(
            cluster(peer(round_trip=0.02, clock=ClockOffset(0.004, 0.011))),
            Finding(
                "clock_unknown",
                "has a clock that is known to ± 11 ms only, since it took 20 ms to answer: "
                "it may be 15 ms off",
                "worker@a",
                "sender",
            ),
        )

    def test_clock(self) -> None:
        """A clock is known if the error is no more than the limit, or if it is off for certain."""
        for offset, error, found in (
            (0.0, 0.0, []),
            (0.5, 0.5, []),
            (0.5625, 0.5, ["clock_offset"]),
            (0.0, 0.5625, ["clock_unknown"]),
            (0.5, 0.75, ["clock_unknown"]),
            (1.25, 0.75, ["clock_unknown"]),
            (1.3125, 0.75, ["clock_offset"]),
        ):
            for seconds in (offset, -offset):
                snapshot = cluster(peer(clock=ClockOffset(seconds, error)))
                judged = verdict(snapshot, max_clock_offset=0.5)

                self.assertEqual(
                    found,
                    [each.kind for each in judged.reasons + judged.warnings],
                    (seconds, error),
                )
                self.assertEqual("clock_offset" not in found, judged.fit)

    def test_no_ping(self) -> None:
        """A peer that answers no PING speaks against a test: nothing is known of its clock."""
        for mute in (peer(round_trip=None, clock=None), peer(clock=None), peer(round_trip=None)):
            self.assert_reasons(
                cluster(mute),
                Finding("no_ping", "has answered no PING", "worker@a", "sender"),
            )

    def test_who_partakes(self) -> None:
        """That goes for all that take part in tests, those without a role included."""
        for type_ in ("sender", "receiver", "inspector", "agent", "other"):
            self.assertEqual(
                [("slow", type_, "worker@a")],
                kinds(verdict(cluster(peer(type_, round_trip=1.0))).reasons),
            )

    def test_both(self) -> None:
        """A peer may be slow and have a clock that is off; the clock matters more."""
        snapshot = cluster(peer(round_trip=1.0, clock=ClockOffset(9.0, 0.5)))

        self.assertEqual(
            ["clock_offset", "slow"], [each.kind for each in verdict(snapshot).reasons]
        )

    def test_each_process(self) -> None:
        """Each of the processes that share a name is looked at."""
        both = shown(
            peer(round_trip=1.0, clock=ClockOffset(0.0, 0.001)),
            peer(id="b", clock=ClockOffset(9.0, 0.001)),
        )

        self.assertEqual(
            ["clock_offset", "slow"], [each.kind for each in verdict(cluster(both)).reasons]
        )


class UnreadyTests(VerdictTestCase):
    """An exporter that does not know yet."""

    def test_no_broker(self) -> None:
        """Without a broker nothing is known, and nothing else is said."""
        found = verdict(
            cluster(silent()), REJECTED._replace(broker_up=False), "no broker", agents=1
        )

        self.assertEqual(
            Verdict(Demands(agents=1), (Finding("no_broker", "no broker"),), ()), found
        )
        self.assertFalse(found.fit)

    def test_not_ready(self) -> None:
        """Nor is it before the first round of requests is over."""
        found = verdict(cluster(peer()), REJECTED, "not yet")

        self.assertEqual(Verdict(Demands(), (Finding("not_ready", "not yet"),), ()), found)


class WarningTests(VerdictTestCase):
    """What is worth a word though it speaks against nobody."""

    def test_ill(self) -> None:
        """Each part of the exporter that does not work is named."""
        self.assert_warnings(
            cluster(peer()),
            Finding("ill", "drain has stopped working and is being started anew"),
            Finding("ill", "poller has stopped working and is being started anew"),
            state=STATE._replace(stages_ill=("drain", "poller")),
        )

    def test_shared_name(self) -> None:
        """Processes that share a name are counted, also of those that take no part in tests."""
        for type_ in ("sender", "exporter"):
            both = shown(peer(type_), peer(type_, id="b"))
            self.assert_warnings(
                cluster(both), Finding("shared_name", "is 2 processes", "worker@a", type_)
            )

    def test_shared_name_of_the_dead(self) -> None:
        """Of silent peers nothing is said but that they are."""
        both = shown(peer(), peer(id="b"), up=False)

        self.assertEqual((), verdict(cluster(peer(host="z"), both)).warnings)

    def test_results_lost(self) -> None:
        """Test results that the exporter lost are counted."""
        for lost, said in ((1, "1 test result"), (1200, "1,200 test results")):
            self.assert_warnings(
                cluster(peer()),
                Finding(
                    "results_lost",
                    f"{said} came faster than they could be taken in, since the exporter was "
                    "started",
                ),
                state=STATE._replace(results_dropped=lost),
            )

    def test_rejected(self) -> None:
        """Messages that were not taken in are counted by reason; what was retained is no news."""
        self.assert_warnings(
            cluster(peer()),
            Finding(
                "rejected",
                "since the exporter was started, 1,200 malformed, 2 unknown command; "
                "the last of them 30 s ago",
            ),
            state=REJECTED,
        )

    def test_rejected_lately(self) -> None:
        """That is said for a quarter of an hour, and only if there was any but retained ones."""
        for last, found in (
            (NOW.monotonic, ["rejected"]),
            (NOW.monotonic - 900, ["rejected"]),
            (NOW.monotonic - 900.5, []),
            (None, []),
        ):
            state = REJECTED._replace(last_rejected=last)
            self.assertEqual(
                found, [each.kind for each in verdict(cluster(peer()), state).warnings], last
            )


class OrderTests(SynchronousTestCase):
    def test_order(self) -> None:
        """Findings come by kind, those that matter most first, then by type and name."""
        far, unsure = ClockOffset(9.0, 0.001), ClockOffset(0.0, 9.0)
        snapshot = cluster(
            peer("sender", "d", clock=far),
            peer("sender", "c", clock=far),
            peer("agent", "e", clock=far),
            peer("agent", "f", round_trip=9.0),
            peer("agent", "g", clock=None),
            peer("agent", "h", clock=unsure),
            shown(peer("agent", "i"), peer("agent", "i", id="j")),
            silent("receiver", "k"),
        )
        state = REJECTED._replace(stages_ill=("drain",), results_dropped=1)
        found = verdict(snapshot, state, inspectors=1)

        self.assertEqual(
            [
                ("too_few", "inspector", ""),
                ("silent", "receiver", "worker@k"),
                ("clock_offset", "agent", "worker@e"),
                ("clock_offset", "sender", "worker@c"),
                ("clock_offset", "sender", "worker@d"),
                ("no_ping", "agent", "worker@g"),
                ("slow", "agent", "worker@f"),
            ],
            kinds(found.reasons),
        )
        self.assertEqual(
            [
                ("ill", "", ""),
                ("clock_unknown", "agent", "worker@h"),
                ("shared_name", "agent", "worker@i"),
                ("results_lost", "", ""),
                ("rejected", "", ""),
            ],
            kinds(found.warnings),
        )
        for each in found.reasons + found.warnings:
            self.assertIn(each.kind, KINDS)

    def test_sentence(self) -> None:
        """A finding about a peer begins with its type and name; any other is what it says."""
        self.assertEqual(
            ["sender worker@a is slow", "no peer answers"],
            [
                Finding("slow", "is slow", "worker@a", "sender").sentence,
                Finding("nobody", "no peer answers").sentence,
            ],
        )


class PageTests(SynchronousTestCase):
    """What a person is told unasked."""

    def test_all_is_well(self) -> None:
        """Where all is well nothing is said."""
        self.assertEqual((), warnings(cluster(peer()), STATE, NOW))

    def test_warnings(self) -> None:
        """All is said that a person can do something about, whatever its kind."""
        snapshot = cluster(
            peer("sender", "a", clock=ClockOffset(9.0, 0.001)),
            peer("agent", "b", round_trip=9.0),
            shown(peer("agent", "c"), peer("agent", "c", id="d")),
            silent("receiver", "e"),
        )
        state = REJECTED._replace(stages_ill=("drain",), results_dropped=1)

        self.assertEqual(
            [
                ("ill", "", ""),
                ("silent", "receiver", "worker@e"),
                ("clock_offset", "sender", "worker@a"),
                ("slow", "agent", "worker@b"),
                ("shared_name", "agent", "worker@c"),
                ("results_lost", "", ""),
                ("rejected", "", ""),
            ],
            kinds(warnings(snapshot, state, NOW)),
        )

    def test_uncertain(self) -> None:
        """Nothing is said of peers of which PINGs say nothing, or nothing certain."""
        snapshot = cluster(peer(host="a", clock=None), peer(host="b", clock=ClockOffset(0.0, 9.0)))

        self.assertEqual((), warnings(snapshot, STATE, NOW))

    def test_nobody(self) -> None:
        """That nobody answers is said once a round of requests is over."""
        self.assertEqual((), warnings(EMPTY, STATE, NOW))
        self.assertEqual(
            (
                Finding("nobody", "no peer has answered the last round of requests"),
                Finding("silent", "has not answered for 1 min", "worker@a", "sender"),
            ),
            warnings(cluster(silent()), STATE, NOW),
        )

    def test_no_broker(self) -> None:
        """Without a broker nothing is said of peers, since nobody asks them."""
        snapshot = cluster(silent(), peer(host="b", round_trip=9.0))
        state = REJECTED._replace(broker_up=False, stages_ill=("network",), results_dropped=1)

        self.assertEqual(
            ["no_broker", "ill", "results_lost", "rejected"],
            [each.kind for each in warnings(snapshot, state, NOW)],
        )

    def test_why_there_is_no_broker(self) -> None:
        """It is said which broker, and why, if that is known."""
        state = STATE._replace(broker_up=False, broker="example.com:1883")
        said = "not connected to the Maestro broker at example.com:1883"
        for error, expected in (
            (None, said),
            (LinkError(at(0), "dns", ""), said),
            (LinkError(at(0), "dns", "unknown host"), f"{said}: unknown host"),
        ):
            self.assertEqual(
                (Finding("no_broker", expected),),
                warnings(cluster(), state._replace(last_link_error=error), NOW),
            )


class CommonClockOffsetTests(SynchronousTestCase):
    """By how much all clocks are off alike."""

    def common(self, *offsets: float | None, limit: float = 0.5) -> float | None:
        clocks = [None if each is None else ClockOffset(each, 0.001) for each in offsets]
        peers = [peer(host=f"{number}", clock=each) for number, each in enumerate(clocks)]
        return common_clock_offset(cluster(*peers), limit)

    def test_alike(self) -> None:
        """If all are off alike it is the one in the middle, ahead or behind."""
        self.assertEqual(2.25, self.common(2.5, 2.0, 2.25))
        self.assertEqual(-2.25, self.common(-2.5, -2.0, -2.25))
        self.assertEqual(2.125, self.common(2.0, 2.25, 2.0, 2.25))

    def test_limit(self) -> None:
        """All are within the limit of the one in the middle, which itself is beyond it."""
        self.assertEqual(2.5, self.common(2.0, 2.5, 3.0))
        self.assertIsNone(self.common(2.0, 2.5, 3.0625))
        self.assertIsNone(self.common(1.9375, 2.5, 3.0))
        self.assertIsNone(self.common(0.5, 0.5, 0.5))
        self.assertEqual(0.5625, self.common(0.5625, 0.5625, 0.5))

    def test_too_few(self) -> None:
        """Two clocks are too few to tell; one that is not known tells nothing."""
        self.assertIsNone(self.common())
        self.assertIsNone(self.common(2.0, 2.0))
        self.assertIsNone(self.common(2.0, 2.0, None))
        self.assertEqual(2.0, self.common(2.0, None, 2.0, 2.0))

    def test_who_counts(self) -> None:
        """Those count that are up and take part in tests."""
        off, right = ClockOffset(2.0, 0.001), ClockOffset(0.0, 0.001)
        snapshot = cluster(
            *[peer(host=each, clock=off) for each in "abc"], peer("exporter", "d", clock=right)
        )

        self.assertEqual(2.0, common_clock_offset(snapshot, 0.5))
        self.assertIsNone(common_clock_offset(cluster(*snapshot.series[:2], silent(host="e")), 0.5))


class ParameterTests(SynchronousTestCase):
    def test_defaults(self) -> None:
        """What is not asked for is demanded as usual."""
        self.assertEqual(Demands(), Demands(**answers({}, PARAMETERS)))

    def test_all(self) -> None:
        """Each demand can be asked for."""
        query = dict(
            zip(Demands._fields, (["1"], ["2"], ["3"], ["4"], ["7ms"], ["8"]), strict=True)
        )

        self.assertEqual(Demands(1, 2, 3, 4, 0.007, 8.0), Demands(**answers(query, PARAMETERS)))

    def test_peers(self) -> None:
        """Only numbers that are demanded are there, 0 included."""
        self.assertEqual({}, Demands().peers)
        self.assertEqual({"sender": 0, "agent": 2}, Demands(senders=0, agents=2).peers)


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
