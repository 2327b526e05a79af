"""Test runs, as tables of what peers say and when, and what that comes to."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.cluster import Cluster
from maestro_exporter.cluster.runs import REMEMBERED, SETTLING
from maestro_exporter.notes import (
    AbnormalDisconnect,
    DrainComplete,
    Generation,
    InternalError,
    Note,
    Role,
    Sender,
    Test,
    TestFailure,
    TestStarted,
    TestSuccess,
)
from maestro_exporter.snapshot import Moment, NamedTest, Run, Snapshot
from tests.samples import stats_response

V1_3, V1_4, V1_5 = Generation.V1_3, Generation.V1_4, Generation.V1_5
EXPIRY = 30.0
INTERVAL = 10.0
UNIX = 1_700_000_000.0

#: Who speaks: by a letter, a sender or a receiver on a host of its own.
ROLES = {"S": Role.SENDER, "R": Role.RECEIVER, "I": Role.INSPECTOR, "A": Role.AGENT}

#: A line of a scenario: seconds, who, and what: a count, or a word.
Line = tuple[float, str, Any]

_ids = count()


def at(seconds: float) -> Moment:
    return Moment(1000.0 + seconds, UNIX + seconds)


def sender_of(who: str, generation: Generation) -> Sender:
    """Give the identity of `S1`, `R2`, ...; the letter is the role, the whole the host."""
    role = ROLES[who[0]]
    if generation is V1_5:
        return Sender(id=who, name="worker", host=who, role=role, group="all")
    return Sender(id=who, name=f"{role.name.lower()}@{who}")


def note_of(who: str, what: Any, generation: Generation) -> Note:
    """Give what a peer says: its count of messages, or the notification of a word."""
    sender = sender_of(who, generation)
    head: dict[str, Any] = {"generation": generation, "sender": sender}
    if generation is not V1_3:
        head |= {"correlation_id": f"c{next(_ids)}", "message_id": "m"}
    if isinstance(what, int):
        role = None if generation is V1_5 else ROLES[who[0]].name.lower()
        fields = {key: value for key, value in head.items() if key not in ("generation", "sender")}
        return stats_response(sender, generation, role=role, count=what, **fields)
    test = Test(number=-1, iteration=-2, name="t", script_name="s", description="", comments="")
    named: dict[str, Any] = {"test": test} if generation is V1_5 else {}
    notes: dict[str, Note] = {
        "started": TestStarted(**head, test=test, message=""),
        "success": TestSuccess(**head, **named, message="Test completed successfully"),
        "failure": TestFailure(**head, **named, message="no route"),
        "drained": DrainComplete(**head, successful=True, message=""),
        "undrained": DrainComplete(**head, successful=False, message=""),
        "disconnected": AbnormalDisconnect(**head, message="will"),
        "error": InternalError(**head, message="busy"),
    }
    return notes[what]


class RunsTestCase(SynchronousTestCase):
    """Plays scenarios on a cluster that is asked every ten seconds."""

    def setUp(self) -> None:
        self.cluster = Cluster(expiry=EXPIRY, forget=900, max_peers=100)
        self.now = 0.0
        self.next_round = 0.0

    def pass_time(self, until: float, *, asked: bool = True) -> None:
        """Let the seconds pass, with rounds and expiries as they come."""
        while self.now <= until:
            if self.now >= self.next_round:
                self.next_round += INTERVAL
                if asked:
                    self.cluster.begin_round(f"round-{self.now}", V1_5, at(self.now))
            self.cluster.expire(at(self.now))
            self.now += 1.0
        self.cluster.expire(at(until))

    def play(self, lines: Sequence[Line], until: float, generation: Generation = V1_5) -> Snapshot:
        """Play a scenario, then let time pass; give the snapshot of that moment."""
        for seconds, who, what in lines:
            self.pass_time(seconds)
            self.cluster.apply(note_of(who, what, generation), at(seconds))
        self.pass_time(until)
        return self.cluster.snapshot()

    def keep_alive(self, whos: str, counts: int, first: float, last: float) -> list[Line]:
        """Give lines in which peers answer each round with one count."""
        return [
            (10.0 * number + 0.5, who, counts)
            for number in range(int(first // 10), int(last // 10) + 1)
            for who in whos.split()
            if first <= 10.0 * number + 0.5 <= last
        ]


def announced(**fields: Any) -> Run:
    """Give a run that 1.5 peers announced."""
    given: dict[str, Any] = {
        "number": 1,
        "test": NamedTest(number="next", iteration="last", name="t", script="s"),
    }
    return Run(**(given | fields))


class AnnouncedRunTests(RunsTestCase):
    def test_whole_run(self) -> None:
        """The first announcement begins a run; the last report ends it."""
        lines: list[Line] = [
            (1.0, "S1", "started"),
            (1.1, "R1", "started"),
            (10.1, "S1", 500),
            (10.2, "R1", 490),
        ]
        snapshot = self.play(lines, 11)
        self.assertEqual(announced(start=at(1.0), running=2, sent=500, received=490), snapshot.run)
        snapshot = self.play([(12.0, "S1", "success"), (12.5, "R1", "success")], 13)
        ended = announced(start=at(1.0), end=at(12.5), succeeded=2, sent=500, received=490)
        self.assertEqual((ended, ()), (snapshot.run, snapshot.finished))

        snapshot = self.play([(13.5, "R1", "drained")], 20)

        self.assertEqual("success", snapshot.run and snapshot.run.result)
        self.assertEqual(snapshot.run, snapshot.finished[0])
        self.assertEqual(1, snapshot.finished[0].drained)
        self.assertEqual({"success": 1, "failure": 0, "incomplete": 0}, dict(snapshot.results))
        self.assertEqual(
            {
                "test_started": 2,
                "test_success": 2,
                "test_failure": 0,
                "drain_success": 1,
                "drain_failure": 0,
                "abnormal_disconnect": 0,
            },
            dict(snapshot.notifications),
        )

    def test_idle_cluster(self) -> None:
        """Peers that answer and exchange nothing make no run."""
        snapshot = self.play(self.keep_alive("S1 R1", 0, 0, 30), 31)

        self.assertIsNone(snapshot.run)

    def test_before_the_first_message(self) -> None:
        """A run that was announced goes on while all counts are still 0."""
        lines: list[Line] = [(1.0, "S1", "started"), *self.keep_alive("S1", 0, 1, 100)]

        run = self.play(lines, 100).run
        self.assertEqual(announced(start=at(1.0), running=1), run)

    def test_announced_twice(self) -> None:
        """A peer that announces its test twice, since it was told twice, is in one run."""
        lines: list[Line] = [(1.0, "S1", "started"), (1.1, "S1", "started"), (2.0, "S1", "success")]

        self.assertEqual(1, sum(self.play(lines, 10).results.values()))

    def test_count_before_the_announcement(self) -> None:
        """The announcement may come after a count of the same test."""
        lines: list[Line] = [(1.0, "S1", 0), (11.0, "S1", 5), (11.1, "S1", "started")]

        self.assertEqual(announced(start=at(11.0), running=1, sent=5), self.play(lines, 12).run)

    def test_inspector(self) -> None:
        """An inspector that announced the test takes part in the run."""
        lines: list[Line] = [
            (1.0, "S1", "started"),
            (1.0, "I1", "started"),
            (2.0, "S1", "success"),
            *self.keep_alive("S1 I1", 0, 2, 30),
        ]
        run = self.play(lines, 31).run
        self.assertEqual(announced(start=at(1.0), running=1, succeeded=1), run)

        run = self.play([(32.0, "I1", "success")], 38).run
        self.assertEqual(announced(start=at(1.0), end=at(32.0), succeeded=2, result="success"), run)

    def test_bystanders(self) -> None:
        """Who announces the test and does nothing is waited for no longer than the expiry."""
        lines: list[Line] = [
            *[(1.0, who, "started") for who in ("S1", "R1", "I1", "A1")],
            (10.5, "S1", 9),
            (12.0, "S1", "success"),
            (13.0, "R1", "success"),
            *self.keep_alive("S1 R1 I1 A1", 0, 14, 60),
        ]
        run = self.play(lines, 61).run

        self.assertEqual(
            announced(start=at(1.0), end=at(13.0), succeeded=2, sent=9, result="success"), run
        )

    def test_bystanders_of_frequent_tests(self) -> None:
        """Nor do they make a run incomplete when the next begins before that."""
        lines: list[Line] = []
        for begin in (1.0, 11.0, 21.0):
            lines += [(begin, who, "started") for who in ("S1", "I1")]
            lines += [(begin + 1, who, 0) for who in ("S1", "I1")]
            lines += [(begin + 3, "S1", "success")]
        lines += self.keep_alive("S1 I1", 0, 30, 80)
        finished = self.play(lines, 81).finished

        self.assertEqual(
            [("success", at(24.0)), ("success", at(14.0)), ("success", at(4.0))],
            [(run.result, run.end) for run in finished],
        )

    def test_idle_workers(self) -> None:
        """A receiver that announced the test and has received nothing is waited for."""
        lines: list[Line] = [
            (1.0, "S1", "started"),
            (1.0, "R1", "started"),
            (2.0, "S1", "success"),
            *self.keep_alive("S1 R1", 0, 2, 300),
            (301.0, "R1", "success"),
        ]
        run = self.play(lines, 310).run

        self.assertEqual(
            announced(start=at(1.0), end=at(301.0), succeeded=2, result="success"), run
        )

    def test_nobody_reports(self) -> None:
        """While nobody has reported, all who announced the test are waited for."""
        lines: list[Line] = [(1.0, "I1", "started"), *self.keep_alive("I1", 0, 1, 100)]

        self.assertEqual(announced(start=at(1.0), running=1), self.play(lines, 101).run)

    def test_long_names(self) -> None:
        """Of a test's names no more is kept than fits a label."""
        test = Test(
            number=1,
            iteration=2,
            name="n" * 9999,
            script_name="s" * 9999,
            description="",
            comments="",
        )
        note = TestStarted(generation=V1_5, sender=sender_of("S1", V1_5), test=test, message="")
        self.cluster.apply(note, at(1))
        run = self.cluster.snapshot().run

        self.assertEqual(NamedTest("1", "2", "n" * 255, "s" * 255), run and run.test)

    def test_fails_before_others_begin(self) -> None:
        """A peer that fails at once, before another has begun, is in the same run as that."""
        lines: list[Line] = [
            (1.0, "S1", "started"),
            (1.1, "S1", "failure"),
            (1.2, "R1", "started"),
            (3.0, "R1", "success"),
        ]
        snapshot = self.play(lines, 10)

        self.assertEqual(
            (
                announced(
                    start=at(1.0),
                    end=at(3.0),
                    result="failure",
                    succeeded=1,
                    failed=1,
                    failure="worker@S1: no route",
                ),
            ),
            snapshot.finished,
        )

    def test_many_peers(self) -> None:
        """However the notifications of many peers overlap, they make one run."""
        peers = [f"S{number}" for number in range(20)]
        lines: list[Line] = [
            (1.0 + number / 10, who, "started") for number, who in enumerate(peers)
        ]
        lines += [(2.95 + number / 10, who, "success") for number, who in enumerate(peers)]

        snapshot = self.play(lines, 11)
        self.assertEqual({"success": 1, "failure": 0, "incomplete": 0}, dict(snapshot.results))
        self.assertEqual(20, snapshot.finished[0].succeeded)

    def test_one_after_the_other(self) -> None:
        """Tests that follow each other at once, with the same peers, are runs of their own."""
        lines: list[Line] = []
        for number in range(3):
            begin = 1.0 + 2 * number
            lines += [(begin, who, "started") for who in ("S1", "R1")]
            lines += [(begin + 1, who, "success") for who in ("S1", "R1")]

        self.assertEqual(3, self.play(lines, 12).results["success"])

    def test_newcomer_is_the_first(self) -> None:
        """A peer that is new may be the first of the next run: the last one is not its affair."""
        lines: list[Line] = [
            (1.0, "S1", "started"),
            (2.0, "S1", "success"),
            (3.0, "R1", "started"),
            (3.1, "S1", "started"),
            (4.0, "S1", "success"),
            (4.0, "R1", "success"),
        ]
        finished = self.play(lines, 10).finished

        self.assertEqual(
            [(2, at(3.0), at(4.0), "success", 2), (1, at(1.0), at(2.0), "success", 1)],
            [(run.number, run.start, run.end, run.result, run.succeeded) for run in finished],
        )

    def test_first_of_the_next_after_a_failure(self) -> None:
        """A failure that a peer reported before it began is not of the run that it began."""
        lines: list[Line] = [
            (0.5, "S1", 5),
            (1.0, "S1", "success"),
            (1.0, "R1", "failure"),
            (2.0, "R1", "started"),
            (2.1, "S1", "started"),
            (3.0, "R1", "success"),
            (3.0, "S1", "success"),
        ]
        finished = self.play(lines, 10).finished

        self.assertEqual(
            [("success", 2, 0), ("failure", 1, 0)],
            [(run.result, run.succeeded, run.failed) for run in finished],
        )

    def test_reports_that_were_lost(self) -> None:
        """When a peer begins again and another never reported, that run is incomplete."""
        lines: list[Line] = [
            (1.0, "S1", "started"),
            (1.0, "R1", "started"),
            (2.0, "S1", "success"),
            (6.0, "S1", "started"),
            (6.0, "R1", "started"),
        ]
        snapshot = self.play(lines, 7)

        self.assertEqual(["incomplete"], [run.result for run in snapshot.finished])
        self.assertEqual(2, snapshot.run and snapshot.run.running)

    def test_failure_stays(self) -> None:
        """A peer that has reported a failure has failed, whatever else it reports."""
        lines: list[Line] = [
            (1.0, "S1", "started"),
            (2.0, "S1", "failure"),
            (3.0, "S1", "success"),
        ]

        self.assertEqual(1, self.play(lines, 10).results["failure"])

    def test_history(self) -> None:
        """No more than the last hundred runs are remembered; all are counted."""
        for number in range(REMEMBERED + 5):
            begin = 20.0 * number
            self.play([(begin, "S1", "started"), (begin + 1, "S1", "success")], begin + 10)
        snapshot = self.cluster.snapshot()

        self.assertEqual(REMEMBERED, len(snapshot.finished))
        self.assertEqual(REMEMBERED + 5, snapshot.finished[0].number)
        self.assertEqual(REMEMBERED + 5, snapshot.results["success"])


class CountedRunTests(RunsTestCase):
    """Before 1.5 nobody announces a test; and in 1.5 an announcement may have been missed."""

    def test_whole_run(self) -> None:
        """A count that leaves 0 begins a run; the reports end it, in every generation."""
        for generation in Generation:
            self.setUp()
            lines: list[Line] = [
                *self.keep_alive("S1 R1", 0, 0, 5),
                (10.5, "S1", 100),
                (10.6, "R1", 90),
                (20.5, "S1", 300),
                (20.6, "R1", 290),
                (25.0, "R1", "success"),
                (25.2, "S1", "success"),
                (30.5, "S1", 0),
                (30.5, "R1", 0),
            ]
            self.assertEqual(
                Run(
                    number=1,
                    start=at(10.5),
                    end=at(25.2),
                    result="success",
                    succeeded=2,
                    sent=300,
                    received=290,
                ),
                self.play(lines, 31, generation).run,
                generation.value,
            )

    def test_seen_in_the_middle(self) -> None:
        """An exporter that starts during a test sees a run that goes on."""
        run = self.play([(1.0, "S1", 700)], 2, V1_4).run

        self.assertEqual(Run(number=1, start=at(1.0), running=1, sent=700), run)

    def test_idle_receivers(self) -> None:
        """A receiver joins the run of its senders when it receives its first message."""
        lines: list[Line] = [(10.5, "S1", 100), (10.6, "R1", 0), (20.5, "S1", 200), (20.6, "R1", 5)]

        self.assertEqual(
            Run(number=1, start=at(10.5), running=2, sent=200, received=5),
            self.play(lines, 21, V1_4).run,
        )

    def test_last_count_after_the_report(self) -> None:
        """A count that was under way when the peer reported belongs to its run, and begins none."""
        lines: list[Line] = [
            (0.5, "S1", 0),
            (10.5, "S1", 100),
            (12.0, "S1", "success"),
            (12.1, "S1", 120),
            (20.5, "S1", 0),
            (30.5, "S1", 0),
        ]
        snapshot = self.play(lines, 31, V1_4)

        self.assertEqual(1, snapshot.results["success"])
        self.assertEqual(120, snapshot.finished[0].sent)

    def test_second_run(self) -> None:
        """A count that leaves 0 again begins the next run, with counts of its own."""
        lines: list[Line] = [
            (10.5, "S1", 100),
            (12.0, "S1", "success"),
            (20.5, "S1", 0),
            (30.5, "S1", 7),
        ]
        snapshot = self.play(lines, 31, V1_3)

        self.assertEqual(Run(number=2, start=at(30.5), running=1, sent=7), snapshot.run)
        self.assertEqual(100, snapshot.finished[0].sent)

    def test_report_lost(self) -> None:
        """A peer that is idle again and has not reported for the expiry went without a word."""
        lines: list[Line] = [(10.5, "S1", 100), *self.keep_alive("S1", 0, 20, 70)]
        snapshot = self.play(lines, 71, V1_4)

        self.assertEqual({"success": 0, "failure": 0, "incomplete": 1}, dict(snapshot.results))

    def test_count_that_stumbles(self) -> None:
        """A count that is 0 for a moment and then goes on from where it was is of one test."""
        lines: list[Line] = [
            (10.5, "S1", 100),
            (20.5, "S1", 0),
            (30.5, "S1", 300),
            (31.0, "S1", "success"),
        ]

        self.assertEqual(
            {"success": 1, "failure": 0, "incomplete": 0}, dict(self.play(lines, 40, V1_4).results)
        )

    def test_next_test_between_two_polls(self) -> None:
        """A count that has fallen to another number than 0 is of the next test."""
        lines: list[Line] = [
            (0.5, "S1", 0),
            (10.5, "S1", 50_000),
            (12.0, "S1", "success"),
            (20.5, "S1", 3_000),
            (30.5, "S1", 9_000),
            (31.0, "S1", "success"),
        ]
        finished = self.play(lines, 40, V1_4).finished

        self.assertEqual(
            [(at(20.5), at(31.0), 9_000), (at(10.5), at(12.0), 50_000)],
            [(run.start, run.end, run.sent) for run in finished],
        )

    def test_next_test_after_a_lost_report(self) -> None:
        """So it is when the report of the test before was lost: that is incomplete."""
        for generation in Generation:
            self.setUp()
            lines: list[Line] = [
                (10.5, "S1", 50_000),
                (20.5, "S1", 300),
                (30.5, "S1", 9_000),
                (31.0, "S1", "success"),
            ]
            results = dict(self.play(lines, 40, generation).results)

            self.assertEqual({"success": 1, "failure": 0, "incomplete": 1}, results)

    def test_report_in_the_middle(self) -> None:
        """A worker that cannot begin a second test while one goes on is still at work."""
        lines: list[Line] = [
            (10.5, "S1", 100),
            (19.0, "S1", "failure"),
            (20.5, "S1", 200),
            (30.5, "S1", 300),
            (35.0, "S1", "success"),
        ]
        for line in lines:
            run = self.play([line], line[0], V1_4).run
            at_work = isinstance(line[2], int)
            self.assertEqual(None if at_work else at(line[0]), run and run.end)
        self.assertEqual(
            Run(
                number=1,
                start=at(10.5),
                end=at(35.0),
                result="failure",
                failed=1,
                sent=300,
                failure="sender@S1: no route",
            ),
            self.play([], 41).run,
        )

    def test_at_work_without_a_run(self) -> None:
        """A worker whose count goes on long after its report is at work, in a run."""
        lines: list[Line] = [(10.5, "S1", 100), (12.0, "S1", "failure"), (20.5, "S1", 200)]

        self.assertEqual(
            Run(number=2, start=at(20.5), running=1, sent=200), self.play(lines, 21, V1_4).run
        )

    def test_late_report(self) -> None:
        """A worker that reports long after all others does not make a run of its own."""
        cases: list[list[Line]] = [
            [(0.5, "R1", 0), (3.0, "S1", "failure"), (15.0, "R1", "success")],
            [
                (0.5, "S1", 1),
                (0.5, "R1", 1),
                *self.keep_alive("S1", 1, 10, 50),
                (50.6, "S1", "failure"),
                (95.0, "R1", "success"),
            ],
        ]
        for lines in cases:
            self.setUp()
            results = dict(self.play(lines, 110, V1_4).results)
            self.assertEqual({"success": 0, "failure": 1, "incomplete": 0}, results)

    def test_idle_c_peers(self) -> None:
        """A C peer that answers STATS with an error exchanges nothing."""
        sender = Sender(id="c", name="mpt-sender")
        fields = {"role": "sender", "role_info": "msg-perf-tool C test client"}
        first, second = (stats_response(sender, V1_3, count=n, **fields) for n in (500, 700))
        success = TestSuccess(generation=V1_3, sender=sender, message="")
        error = InternalError(generation=V1_3, sender=sender)
        said: list[tuple[float, Note]] = [(10.5, first), (12.0, success), (20.5, error)]
        said += [(30.5, second), *[(10.0 * number + 0.5, error) for number in range(4, 9)]]
        for seconds, note in said:
            self.pass_time(seconds)
            self.cluster.apply(note, at(seconds))
            if note is error:
                self.assertIsNone(self.cluster.snapshot().series[0].messages)
        finished = self.play([], 90).finished

        self.assertEqual(
            [(at(30.5), "incomplete", 700), (at(10.5), "success", 500)],
            [(run.start, run.result, run.sent) for run in finished],
        )

    def test_seen_by_its_end_alone(self) -> None:
        """A test so short that no round saw it is one run, by the reports of its workers."""
        lines: list[Line] = [
            (0.5, "S1", 0),
            (3.0, "S1", "failure"),
            (3.1, "R1", "success"),
            (3.2, "I1", "success"),
        ]
        snapshot = self.play(lines, 10, V1_4)

        self.assertEqual(
            (
                Run(
                    number=1,
                    start=at(3.0),
                    end=at(3.2),
                    result="failure",
                    succeeded=2,
                    failed=1,
                    failure="sender@S1: no route",
                ),
            ),
            snapshot.finished,
        )

    def test_reports_of_no_test(self) -> None:
        """An agent whose callback fails, or an inspector that ends late, makes no run."""
        snapshot = self.play([(1.0, "A1", "failure"), (2.0, "I1", "success")], 10, V1_4)

        self.assertIsNone(snapshot.run)
        self.assertEqual(1, snapshot.notifications["test_failure"])

    def test_report_in_a_run(self) -> None:
        """An inspector's failure during a run is the run's."""
        lines: list[Line] = [(10.5, "S1", 1), (11.0, "I1", "failure"), (12.0, "S1", "success")]

        self.assertEqual(1, self.play(lines, 20, V1_4).results["failure"])


class LostPeerTests(RunsTestCase):
    def test_receiver_dies(self) -> None:
        """A receiver that dies keeps its last count in the balance; the run is incomplete."""
        lines: list[Line] = [
            (10.5, "S1", 100),
            (10.6, "R1", 40),
            (10.7, "R2", 50),
            *[
                line
                for number in range(2, 8)
                for line in (
                    (10.0 * number + 0.5, "S1", 100 * number),
                    (10.0 * number + 0.6, "R1", 40 * number),
                )
            ],
        ]
        balances = []
        for line in lines:
            run = self.play([line], line[0], V1_4).run
            balances.append(run and (run.sent, run.received))
        self.assertEqual([(700, 240 + 50), (700, 280 + 50)], balances[-2:])
        lines = [(75.0, "S1", "success"), (75.0, "R1", "success")]
        run = self.play(lines, 81, V1_4).run

        self.assertEqual(
            Run(
                number=1,
                start=at(10.5),
                end=at(75.0),
                result="incomplete",
                succeeded=2,
                lost=1,
                sent=700,
                received=330,
            ),
            run,
        )

    def test_everybody_dies(self) -> None:
        """A run ends when the last that took part is gone."""
        run = self.play([(1.0, "S1", "started"), (10.5, "S1", 9)], 60).run

        self.assertEqual("incomplete", run and run.result)
        self.assertEqual(at(50.0), run and run.end)

    def test_restarted(self) -> None:
        """The process that takes a dead one's place does not take its part in the run."""
        restarted = Sender(id="S1-again", name="worker", host="S1", role=Role.SENDER)
        self.play([(1.0, "S1", "started"), (10.5, "S1", 100)], 11)
        for second in (20.5, 30.5, 40.5, 50.5, 60.5):
            self.pass_time(second)
            self.cluster.apply(stats_response(restarted), at(second))
        run = self.play([], 61).run

        self.assertEqual(("incomplete", 100), (run and run.result, run and run.sent))

    def test_comes_back(self) -> None:
        """A peer that was only silent goes on in its run while that lasts."""
        lines: list[Line] = [
            (10.5, "S1", 100),
            *self.keep_alive("R1", 7, 10, 100),
            (100.6, "S1", 1000),
            (101.0, "S1", "success"),
            (101.0, "R1", "success"),
        ]
        snapshot = self.play(lines, 110, V1_4)

        self.assertEqual({"success": 1, "failure": 0, "incomplete": 0}, dict(snapshot.results))
        self.assertEqual(1000, snapshot.finished[0].sent)

    def test_outage_of_the_broker(self) -> None:
        """While nobody is asked, silence is no sign: the run goes on when peers are back."""
        self.play([(10.5, "S1", 100)], 11, V1_4)
        self.pass_time(500, asked=False)
        self.assertEqual(
            Run(number=1, start=at(10.5), running=1, sent=100), self.cluster.snapshot().run
        )
        run = self.play([(510.5, "S1", 5000), (511.0, "S1", "success")], 520, V1_4).run

        self.assertEqual(
            Run(number=1, start=at(10.5), end=at(511.0), result="success", succeeded=1, sent=5000),
            run,
        )

    def test_outage_that_is_noticed_late(self) -> None:
        """Rounds that were asked before the link was known to be broken were not in vain."""
        self.play([(10.5, "S1", 100)], 46, V1_4)
        self.cluster.link_changed(at(46), up=False)
        self.pass_time(300, asked=False)
        self.cluster.link_changed(at(300), up=True)
        lines: list[Line] = [(301, "S1", 5000), (311, "S1", 6000), (312, "S1", "success")]
        run = self.play(lines, 320, V1_4).run

        self.assertEqual(
            Run(number=1, start=at(10.5), end=at(312), result="success", succeeded=1, sent=6000),
            run,
        )

    def test_dead_after_an_outage(self) -> None:
        """Who does not answer after an outage is gone."""
        self.play([(10.5, "S1", 100)], 46, V1_4)
        self.cluster.link_changed(at(46), up=False)
        self.pass_time(300, asked=False)
        self.cluster.link_changed(at(300), up=True)

        self.assertEqual(1, self.play([], 345).results["incomplete"])

    def test_disconnected(self) -> None:
        """A peer whose connection broke is gone at once."""
        snapshot = self.play([(10.5, "S1", 100), (12.0, "S1", "disconnected")], 13, V1_3)

        self.assertEqual(
            Run(number=1, start=at(10.5), end=at(12.0), lost=1, sent=100), snapshot.run
        )

    def test_answers_after_disconnecting(self) -> None:
        """A peer that answers again is not gone."""
        lines: list[Line] = [
            (10.5, "S1", 100),
            (12.0, "S1", "disconnected"),
            (13.0, "S1", "error"),
        ]
        run = self.play(lines, 14, V1_3).run

        self.assertEqual((1, None), (run and run.running, run and run.end))

    def test_errors_keep_alive(self) -> None:
        """A peer that answers with errors alone is not gone."""
        lines: list[Line] = [(10.5, "S1", 100)]
        lines += [(10.0 * number + 0.5, "S1", "error") for number in range(2, 12)]
        run = self.play(lines, 112, V1_4).run

        self.assertEqual(Run(number=1, start=at(10.5), running=1, sent=100), run)


class SettlingTests(RunsTestCase):
    def test_counted_when_certain(self) -> None:
        """The result counts when no more peers can be expected, five seconds after the end."""
        self.play([(1.0, "S1", "started"), (2.0, "S1", "success")], 2)
        self.assertEqual(0, self.play([], 2 + SETTLING - 0.1).results["success"])
        self.assertEqual(1, self.play([], 2 + SETTLING).results["success"])

    def test_full(self) -> None:
        """No more peers than may be known take part in a run."""
        self.cluster = Cluster(expiry=EXPIRY, forget=900, max_peers=2)
        lines: list[Line] = [(1.0, f"S{number}", "started") for number in range(5)]
        run = self.play(lines, 2).run

        self.assertEqual(2, run and run.running)


class JournalTests(RunsTestCase):
    def test_run(self) -> None:
        """Begin, failures with their messages, and end of a run are events."""
        lines: list[Line] = [
            (1.0, "S1", "started"),
            (1.1, "R1", "started"),
            (2.0, "S1", "failure"),
            (2.1, "R1", "success"),
        ]
        events = self.play(lines, 10).events

        self.assertEqual(
            [
                (at(8.0), "test_finished", "", "", "failure"),
                (at(2.0), "test_failed", "worker@S1", "sender", "no route"),
                (at(1.0), "test_started", "worker@S1", "sender", ""),
            ],
            [tuple(event) for event in events],
        )

    def test_long_messages(self) -> None:
        """Of a failure that quotes a stack trace the beginning is kept."""
        failure = TestFailure(generation=V1_3, sender=sender_of("S1", V1_3), message="x" * 5000)
        self.cluster.apply(failure, at(1))
        snapshot = self.cluster.snapshot()

        self.assertEqual("x" * 999 + "…", snapshot.events[0].message)
        self.assertEqual(1000, len(getattr(snapshot.run, "failure", "")))
