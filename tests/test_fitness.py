"""Whether a cluster is fit for a test: the verdict, and the warnings of the page."""

from __future__ import annotations

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
    unknown_clocks,
    warnings,
)
from maestro_exporter.querying import answers
from maestro_exporter.snapshot import (
    TYPES,
    ClockOffset,
    ExporterState,
    Process,
    Series,
    Snapshot,
)
from tests.cluster_case import at, process, shown
from tests.samples import exporter_state

EMPTY = Cluster(expiry=1, forget=1, max_peers=1).snapshot()
NOW = at(100)
#: Connected for as long as the peers have been heard: 30 s are the expiry, 10 s the interval.
STATE = exporter_state(broker_up=True, connected_at=at(0).monotonic)
REJECTED = STATE._replace(
    notes_rejected={"malformed": 1200, "unknown_command": 2, "overload": 0, "retained": 7},
    last_rejected=NOW.monotonic - 30,
)


def peer(type_: str = "sender", host: str = "a", **fields: Any) -> Process:
    """Give a process, heard from 0 s on, against which nothing speaks, but for the fields given."""
    well = {"round_trip": 0.004, "clock": ClockOffset(0.001, 0.003)}
    name = f"worker@{host}"
    return process(host, 0, 95, **{"type": type_, "peer": name, "host": host, **well, **fields})


def silent(type_: str = "sender", host: str = "a", last: float = 40) -> Series:
    """Give a peer that has not answered since some second."""
    plain = process(host, 0, last, type=type_, peer=f"worker@{host}", host=host)
    return shown(plain, up=False)


def cluster(*peers: Process | Series, **fields: Any) -> Snapshot:
    """Give what is known of these peers."""
    series = tuple(each if isinstance(each, Series) else shown(each) for each in peers)
    peers_up = dict.fromkeys(TYPES, 0)
    for each in series:
        peers_up[each.type] += len(each.processes) if each.up else 0
    return replace(EMPTY, series=series, peers_up=peers_up, **fields)


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
        """What is as far off as is allowed at most, its error included, is allowed."""
        for offset, error in ((0.005, 0.0), (-0.005, 0.0), (0.0, 0.005), (-0.003, 0.002)):
            self.assert_fit(cluster(peer(round_trip=0.05, clock=ClockOffset(offset, error))))

    def test_own_limits(self) -> None:
        """The limits are those that were demanded."""
        snapshot = cluster(peer(round_trip=1.0, clock=ClockOffset(-2.0, 0.5)))

        self.assertFalse(verdict(snapshot).fit)
        self.assert_fit(snapshot, max_round_trip=1.0, max_clock_offset=2.5)

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

    def test_whole_seconds(self) -> None:
        """Digits after the point would only flicker."""
        for last, said in ((67.25, "33 s"), (67.75, "32 s"), (99.75, "0 s")):
            (found,) = verdict(cluster(peer(), silent("agent", "b", last=last))).reasons
            self.assertEqual(f"has not answered for {said}", found.message)

    def test_of_a_demanded_type(self) -> None:
        """Where a number of its type is demanded it is a warning: that number decides."""
        snapshot = cluster(peer(host="a"), silent("sender", "b"), silent("agent", "c"))
        sender, agent = ("silent", "sender", "worker@b"), ("silent", "agent", "worker@c")

        cases: tuple[tuple[dict[str, Any], list[Any], list[Any]], ...] = (
            ({}, [agent, sender], []),
            ({"senders": 0}, [agent], [sender]),
            ({"senders": 1}, [agent], [sender]),
            ({"senders": 1, "agents": 0}, [], [agent, sender]),
            ({"senders": 2, "agents": 0}, [("too_few", "sender", "")], [agent, sender]),
        )
        for demands, reasons, others in cases:
            found = verdict(snapshot, **demands)
            self.assertEqual((reasons, others), (kinds(found.reasons), kinds(found.warnings)))

    def test_back(self) -> None:
        """A worker that was started anew since it fell silent is not missing, whatever its type."""
        for type_ in ("other", "receiver", "agent"):
            back = peer(type_, "a", first_heard=at(41))
            self.assert_fit(cluster(back, silent("sender", "a", last=40)))
            self.assertEqual(
                (), warnings(cluster(back, silent("sender", "a", last=40)), STATE, NOW)
            )

    def test_not_back(self) -> None:
        """It is missing if that is another worker, is silent, too, or was there all the time."""
        missing = ("silent", "sender", "worker@a")
        for other in (
            peer("other", "b", first_heard=at(41)),
            silent("other", "a", last=50),
            peer("other", "a", first_heard=at(40)),
            peer("receiver", "a", first_heard=at(0)),
        ):
            snapshot = cluster(peer("agent", "z"), other, silent("sender", "a", last=40))

            self.assertIn(missing, kinds(verdict(snapshot).reasons))
            self.assertIn(missing, kinds(warnings(snapshot, STATE, NOW)))

    def test_back_beside_others(self) -> None:
        """Of all processes of its name that are up, the newest may be the one that is back."""
        old, new = (peer("agent", "a", id=f"{at_}", first_heard=at(at_)) for at_ in (0, 41))
        gone, other = silent("sender", "a", last=40), peer("receiver", "a", first_heard=at(0))
        for up in ([shown(old, new)], [shown(new, old)], [new, other], [other, new]):
            self.assertNotIn("silent", [each.kind for each in verdict(cluster(*up, gone)).reasons])


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
        """A clock is off, or right, only if it is so whatever the error; else it is not known."""
        for offset, error, found in (
            (0.0, 0.0, []),
            (0.5, 0.0, []),
            (0.0, 0.5, []),
            (0.25, 0.25, []),
            (0.5625, 0.0, ["clock_offset"]),
            (0.5, 0.0625, ["clock_unknown"]),
            (0.0, 0.5625, ["clock_unknown"]),
            (0.5625, 0.0625, ["clock_unknown"]),
            (0.625, 0.0625, ["clock_offset"]),
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
            found = Finding("no_ping", "has answered no PING", "worker@a", "sender")
            self.assert_reasons(cluster(mute), found)
            self.assertEqual((found,), warnings(cluster(mute), STATE, NOW))

    def test_not_pinged(self) -> None:
        """So does one that may not have been asked for a PING yet; the page is patient with it."""
        new = peer(first_heard=at(90), round_trip=None, clock=None)
        self.assert_reasons(
            cluster(new),
            Finding("not_pinged", "has not answered a PING yet", "worker@a", "sender"),
        )
        self.assertEqual((), warnings(cluster(new), STATE, NOW))

    def mute(self, *others: Process, first: float = 0, connected: float | None = 0) -> str:
        """Give what is found of an agent that answers no PING.

        Args:
            others: who is there, too.
            first, connected: seconds at which it was first heard, and the link came up.
        """
        agent = peer("agent", "z", first_heard=at(first), round_trip=None, clock=None)
        up_since = None if connected is None else at(connected).monotonic
        state = STATE._replace(connected_at=up_since)
        (found,) = verdict(cluster(agent, *others), state).reasons
        return found.kind

    def test_when_a_ping_must_have_come(self) -> None:
        """It is given an interval and the expiry, from the later of its coming and the link's."""
        for first, connected, kind in (
            (59.9, 0, "no_ping"),
            (60, 0, "not_pinged"),
            (0, 59.9, "no_ping"),
            (0, 60, "not_pinged"),
            (60, 59.9, "not_pinged"),
            (59.9, 60, "not_pinged"),
            (59.9, None, "no_ping"),
            (60, None, "not_pinged"),
        ):
            found = self.mute(first=first, connected=connected)
            self.assertEqual(kind, found, (first, connected))

    def test_generations(self) -> None:
        """It is given an interval more for each other generation, since they take turns."""
        old, older = peer(host="b", protocol="1.4"), peer(host="c", protocol="1.3")
        for others, patience in (
            ([], 40),
            ([peer(host="a")], 40),
            ([old], 50),
            ([old, peer(host="d", protocol="1.4")], 50),
            ([old, older], 60),
            ([peer("exporter", "e", protocol="1.4")], 50),
        ):
            for waiting, kind in ((patience, "not_pinged"), (patience + 0.1, "no_ping")):
                self.assertEqual(kind, self.mute(*others, first=100 - waiting), (others, waiting))

    def test_generations_of_the_silent(self) -> None:
        """Who is silent has no turn."""
        gone = shown(peer("exporter", "b", protocol="1.4"), up=False)
        mute = peer("agent", "z", first_heard=at(59), round_trip=None, clock=None)

        self.assertIn(("no_ping", "agent", "worker@z"), kinds(verdict(cluster(mute, gone)).reasons))

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

    def test_not_admitted(self) -> None:
        """Answers of peers that were not admitted are counted, with the most that may be known."""
        for rejected, said in ((1, "1 answer"), (1200, "1,200 answers")):
            self.assert_warnings(
                cluster(peer(), peers_rejected=rejected),
                Finding(
                    "not_admitted",
                    f"{said} of other peers came since the exporter was started, and --max-peers "
                    "2,500 were known already",
                ),
                state=STATE._replace(max_peers=2500),
            )

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
            state=REJECTED._replace(last_rejected=NOW.monotonic - 30.25),
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
            silent("inspector", "l"),
            peer("agent", "b", first_heard=at(90), clock=None),
            peers_rejected=1,
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
                ("not_pinged", "agent", "worker@b"),
            ],
            kinds(found.reasons),
        )
        self.assertEqual(
            [
                ("ill", "", ""),
                ("silent", "inspector", "worker@l"),
                ("not_admitted", "", ""),
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
            peer("agent", "f", clock=None),
            peers_rejected=1,
        )
        state = REJECTED._replace(stages_ill=("drain",), results_dropped=1)

        self.assertEqual(
            [
                ("ill", "", ""),
                ("silent", "receiver", "worker@e"),
                ("not_admitted", "", ""),
                ("clock_offset", "sender", "worker@a"),
                ("no_ping", "agent", "worker@f"),
                ("slow", "agent", "worker@b"),
                ("shared_name", "agent", "worker@c"),
                ("results_lost", "", ""),
                ("rejected", "", ""),
            ],
            kinds(warnings(snapshot, state, NOW)),
        )

    def test_uncertain(self) -> None:
        """Nothing is said of peers of which PINGs say nothing yet, or nothing certain."""
        snapshot = cluster(
            peer(host="a", first_heard=at(90), clock=None),
            peer(host="b", clock=ClockOffset(0.0, 9.0)),
        )

        self.assertEqual((), warnings(snapshot, STATE, NOW))

    def test_nobody(self) -> None:
        """It is said that nobody answers, beside who did."""
        nobody = Finding("nobody", "no peer answers")

        self.assertEqual((nobody,), warnings(cluster(), STATE, NOW))
        self.assertEqual(
            (nobody, Finding("silent", "has not answered for 1 min", "worker@a", "sender")),
            warnings(cluster(silent()), STATE, NOW),
        )

    def test_unready(self) -> None:
        """What is not known is not said; what concerns the exporter itself is."""
        snapshot = cluster(
            silent(),
            peer(host="b", round_trip=9.0, clock=ClockOffset(9.0, 0.001)),
            peer(host="c", clock=None),
            shown(peer(host="d"), peer(host="d", id="e")),
            peers_rejected=1,
        )
        for up, kind in ((False, "no_broker"), (True, "not_ready")):
            state = REJECTED._replace(broker_up=up, stages_ill=("network",), results_dropped=1)
            for known in (snapshot, replace(snapshot, series=(), peers_up=cluster().peers_up)):
                found = warnings(known, state, NOW, "it sleeps")

                self.assertEqual(
                    [kind, "ill", "not_admitted", "results_lost", "rejected"],
                    [each.kind for each in found],
                )
                self.assertEqual(Finding(kind, "it sleeps"), found[0])


class UnknownClocksTests(SynchronousTestCase):
    """How many clocks are not known well enough for anything to be said."""

    def test_unknown(self) -> None:
        """Each clock counts that may be right or wrong, or of which nothing is known."""
        for clock, number in (
            (None, 1),
            (ClockOffset(0.0, 0.006), 1),
            (ClockOffset(0.004, 0.002), 1),
            (ClockOffset(-0.006, 0.002), 1),
            (ClockOffset(0.003, 0.002), 0),
            (ClockOffset(-9.0, 0.5), 0),
        ):
            self.assertEqual(number, unknown_clocks(cluster(peer(clock=clock))), clock)

    def test_who_counts(self) -> None:
        """Each process counts that is up and takes part in tests."""
        both = shown(peer(clock=None), peer(id="b", clock=ClockOffset(0.0, 9.0)), peer(id="c"))
        snapshot = cluster(
            both, peer("other", "d", clock=None), peer("exporter", "e", clock=None), silent()
        )

        self.assertEqual(3, unknown_clocks(snapshot))
        self.assertEqual(0, unknown_clocks(cluster()))


class CommonClockOffsetTests(SynchronousTestCase):
    """By how much all clocks are off alike."""

    def common(self, *offsets: float | None, limit: float = 0.5) -> float | None:
        clocks = [None if each is None else ClockOffset(each, 0.0) for each in offsets]
        peers = [peer(host=f"{number}", clock=each) for number, each in enumerate(clocks)]
        return common_clock_offset(cluster(*peers), limit)

    def test_alike(self) -> None:
        """If all are off alike it is the one in the middle, ahead or behind."""
        self.assertEqual(2.25, self.common(2.5, 2.0, 2.25))
        self.assertEqual(-2.25, self.common(-2.5, -2.0, -2.25))
        self.assertEqual(2.125, self.common(2.0, 2.25, 2.0, 2.25))

    def test_limit(self) -> None:
        """All are within the limit of the one in the middle, and all are beyond it."""
        self.assertEqual(2.5, self.common(2.0, 2.5, 3.0))
        self.assertIsNone(self.common(2.0, 2.5, 3.0625))
        self.assertIsNone(self.common(1.9375, 2.5, 3.0))
        self.assertIsNone(self.common(0.5, 0.5, 0.5))
        self.assertIsNone(self.common(0.5625, 0.5625, 0.5))
        self.assertEqual(0.5625, self.common(0.5625, 0.5625, 0.5625))

    def test_certain(self) -> None:
        """One clock that may be right is enough for nothing to be said."""
        for error, common in ((1.4375, 2.0), (1.5, None), (9.0, None)):
            peers = [
                peer(host=host, clock=ClockOffset(2.0, each))
                for host, each in (("a", 0.0), ("b", error), ("c", 0.0))
            ]
            self.assertEqual(common, common_clock_offset(cluster(*peers), 0.5), error)

    def test_shared_name(self) -> None:
        """Each of the processes that share a name has a clock; together they are one peer."""
        off, right = ClockOffset(2.0, 0.0), ClockOffset(0.0, 0.0)
        for clock, common in ((off, 2.0), (right, None), (None, 2.0)):
            both = shown(peer(clock=off), peer(id="z", clock=clock), clock=off)
            others = [peer(host=host, clock=off) for host in "bc"]

            self.assertEqual(common, common_clock_offset(cluster(both, *others), 0.5), clock)
            self.assertIsNone(common_clock_offset(cluster(both, others[0]), 0.5))

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
