"""What peers report and cannot do, and what is written down of them, as sequences of notes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

from maestro_exporter.cluster.journal import LENGTH, MESSAGE_LENGTH
from maestro_exporter.cluster.tallies import REMEMBERED
from maestro_exporter.notes import (
    AbnormalDisconnect,
    DrainComplete,
    Generation,
    InternalError,
    Note,
    ProtocolError,
    Reply,
    Role,
    Sender,
    Test,
    TestFailure,
    TestStarted,
    TestSuccess,
)
from maestro_exporter.snapshot import ERRORS, NOTIFICATIONS, Event
from tests.cluster_case import (
    EXPIRY,
    V1_3,
    V1_4,
    V1_5,
    ClusterTestCase,
    at,
    old_process,
    old_stats,
    ping,
    process,
    shown,
    stats,
    worker,
)

TEST = Test(number=-1, iteration=-1, name="", script_name="", description="", comments="")


MAKERS: dict[str, Callable[..., Reply]] = {
    "test_started": partial(TestStarted, test=TEST, message=""),
    "test_success": partial(TestSuccess, message=""),
    "test_failure": partial(TestFailure, message=""),
    "drain_success": partial(DrainComplete, successful=True, message=""),
    "drain_failure": partial(DrainComplete, successful=False, message=""),
    "abnormal_disconnect": AbnormalDisconnect,
    "protocol_error": ProtocolError,
    "internal_error": InternalError,
}


def make(kind: str, generation: Generation = V1_5, **fields: Any) -> Reply:
    """Give a notification or an error of that kind, by a worker unless told."""
    return MAKERS[kind](generation=generation, **{"sender": worker("a"), **fields})


class CountTestCase(ClusterTestCase):
    """Gives what is counted."""

    def counts(self, seconds: float = 1) -> dict[str, int]:
        """Give all notifications and errors that are not 0, by kind."""
        snapshot = self.snapshot(seconds)
        self.assertEqual(list(NOTIFICATIONS), list(snapshot.notifications))
        self.assertEqual(list(ERRORS), list(snapshot.errors))
        both = {**snapshot.notifications, **snapshot.errors}
        return {kind: number for kind, number in both.items() if number}


class NotificationTests(CountTestCase):
    def test_counters(self) -> None:
        """Each success, failure and abnormal disconnect counts once, and makes no peer."""
        sender = worker("a")
        success = TestSuccess(generation=V1_5, sender=sender, message="")
        failure = TestFailure(generation=V1_4, sender=sender, message="")
        abnormal = AbnormalDisconnect(generation=V1_3, sender=sender)
        self.tell(1, success, success, success, failure, failure, abnormal)

        self.assertEqual(
            {"test_success": 3, "test_failure": 2, "abnormal_disconnect": 1}, self.counts()
        )
        self.assertEqual((), self.snapshot(1).series)

    def test_every_kind(self) -> None:
        """Every kind of notification has a count of its own, and makes no peer."""
        for number, kind in enumerate(NOTIFICATIONS, 1):
            self.tell(1, *[make(kind)] * number)

        self.assertEqual(
            {kind: number for number, kind in enumerate(NOTIFICATIONS, 1)}, self.counts()
        )
        self.assertEqual((), self.snapshot(1).series)

    def test_of_nobody(self) -> None:
        """A notification that does not say who sends it counts as well."""
        for kind in NOTIFICATIONS:
            self.tell(1, make(kind, sender=None), make(kind, sender=Sender(id="", name="")))

        self.assertEqual(dict.fromkeys(NOTIFICATIONS, 2), self.counts())

    def test_counters_outlive_peers(self) -> None:
        """Counters do not fall when peers are forgotten."""
        self.tell(0, stats(worker("a")))
        self.tell(0, TestSuccess(generation=V1_5, sender=worker("a"), message=""))
        self.tell(0, make("internal_error"))

        self.assertEqual({"test_success": 1, "internal_error": 1}, self.counts(1000))
        self.assertEqual([], self.series(1000))

    def test_keep_nobody_alive(self) -> None:
        """A notification is no answer: who sends nothing else falls silent."""
        self.tell(0, stats(worker("a")))
        self.tell(20, *[make(kind) for kind in NOTIFICATIONS])

        self.assertEqual([("worker@node", "sender", 0)], self.names(EXPIRY))


class ErrorTests(CountTestCase):
    def test_kinds(self) -> None:
        """Each error counts under its kind, whoever sends it."""
        self.tell(1, *[make("protocol_error", V1_3, sender=None)] * 2)
        self.tell(1, *[make("internal_error", V1_4, sender=Sender(id="c", name="mpt-sender"))] * 3)

        self.assertEqual({"protocol_error": 2, "internal_error": 3}, self.counts())

    def test_makes_a_peer(self) -> None:
        """A peer that can only answer with an error is up, with no values."""
        sender = Sender(id="c", name="mpt-sender")
        for kind in ERRORS:
            for generation in (V1_3, V1_4):
                self.cluster = self.make_cluster()
                self.tell(1, make(kind, generation, sender=sender))

                expected = old_process("c", "mpt-sender", 1, protocol=generation.value)
                self.assertEqual([shown(expected)], self.series(1))
            self.cluster = self.make_cluster()
            self.tell(1, make(kind))
            self.assertEqual([shown(process("a", 1))], self.series(1))

    def test_keeps_a_peer_alive(self) -> None:
        """An error is an answer: it changes no value, and puts the expiry off."""
        for kind in ERRORS:
            self.cluster = self.make_cluster()
            self.tell(0, old_stats("c", "mpt-sender", "sender"))
            self.tell(20, make(kind, V1_4, sender=Sender(id="c", name="mpt-sender")))

            (series,) = self.series(49.9)
            self.assertEqual(
                (0, "sender", at(20)), (series.messages, series.type, series.last_reply)
            )
            self.assertEqual([("mpt-sender", "sender", 0)], self.names(50))

    def test_of_nobody(self) -> None:
        """An error without a sender, or with an empty id and name, makes no peer."""
        for kind in ERRORS:
            self.tell(1, make(kind, V1_4, sender=Sender(id="", name="")))
            self.tell(1, make(kind, V1_3, sender=None))

        self.assertEqual([], self.series(1))
        self.assertEqual(dict.fromkeys(ERRORS, 2), self.counts())


class RepeatedTests(CountTestCase):
    """What a broker delivers more than once."""

    KINDS = (*NOTIFICATIONS, *ERRORS)

    def test_counts_once(self) -> None:
        """What is delivered again counts once, at whatever time."""
        for kind in self.KINDS:
            note = make(kind, correlation_id=f"c-{kind}", message_id="m")
            self.tell(1, note, note)
            self.tell(500, note)

        self.assertEqual(dict.fromkeys(self.KINDS, 1), self.counts(500))

    def test_changes_nothing(self) -> None:
        """What is delivered again leaves everything as it was, events included."""
        notes = [make(kind, correlation_id=f"c-{kind}", message_id="m") for kind in self.KINDS]
        self.tell(1, *notes)
        before = self.snapshot(2)
        self.tell(2, *notes)

        self.assertIs(before, self.snapshot(2))

    def test_others_count(self) -> None:
        """What differs in an id, its sender or its command is something else."""
        for kind in ("test_success", "test_failure", "protocol_error", "internal_error"):
            note = make(kind, correlation_id="c", message_id="m")
            self.tell(
                1,
                note,
                replace(note, message_id="n"),
                replace(note, correlation_id="d"),
                replace(note, sender=worker("b")),
                replace(note, sender=None),
            )

        self.assertEqual(
            dict.fromkeys(("test_success", "test_failure", "protocol_error", "internal_error"), 5),
            self.counts(),
        )

    def test_all_count_without_ids(self) -> None:
        """Where an id is missing, as both are in 1.3, nothing tells that it is delivered again."""
        for kind in self.KINDS:
            self.tell(
                1,
                *[make(kind, V1_3)] * 2,
                *[make(kind, correlation_id="c")] * 2,
                *[make(kind, correlation_id="", message_id="m")] * 2,
                *[make(kind, correlation_id="c", message_id="")] * 2,
            )

        self.assertEqual(dict.fromkeys(self.KINDS, 8), self.counts())

    def test_memory_is_bounded(self) -> None:
        """What is delivered again after very many others is not recognised any more."""

        def notes() -> Iterator[Note]:
            for number in count():
                yield make("test_success", sender=None, correlation_id="c", message_id=f"{number}")

        numbered = notes()
        first, second = next(numbered), next(numbered)
        self.tell(1, first, second, *(next(numbered) for _ in range(REMEMBERED - 1)))
        self.assertEqual({"test_success": REMEMBERED + 1}, self.counts())
        self.tell(1, second)
        self.assertEqual({"test_success": REMEMBERED + 1}, self.counts())
        self.tell(1, first)

        self.assertEqual({"test_success": REMEMBERED + 2}, self.counts())


class EventTests(ClusterTestCase):
    """What is written down, the newest first."""

    def events(self, seconds: float) -> list[Event]:
        return list(self.snapshot(seconds).events)

    def joined(self, seconds: float, type_: str = "sender", peer: str = "worker@node") -> Event:
        return Event(at(seconds), "peer_joined", peer, type_)

    def left(self, seconds: float, type_: str = "sender", peer: str = "worker@node") -> Event:
        return Event(at(seconds), "peer_left", peer, type_)

    def test_joined(self) -> None:
        """Each process joins once, with its first answer of whatever kind."""
        correlation = self.ask(0)
        self.tell(1, stats(worker("a")), stats(worker("a")))
        self.tell(2, ping(worker("b", Role.AGENT), 1, correlation))
        self.tell(3, make("protocol_error", V1_3, sender=Sender(id="c", name="mpt-sender")))
        self.tell(4, stats(worker("d")), stats(worker("a")))

        self.assertEqual(
            [
                self.joined(4),
                self.joined(3, "other", "mpt-sender"),
                self.joined(2, "agent"),
                self.joined(1),
            ],
            self.events(4),
        )

    def test_left(self) -> None:
        """Who falls silent leaves when that is noticed, once; nothing is told of its forgetting."""
        self.tell(0, stats(worker("a")))
        self.assertEqual([self.joined(0)], self.events(29.9))
        self.assertEqual([self.left(30.5), self.joined(0)], self.events(30.5))

        self.assertEqual([self.left(30.5), self.joined(0)], self.events(1000))

    def test_back(self) -> None:
        """Who comes back from silence joins again."""
        self.tell(0, stats(worker("a")))
        self.events(30)
        self.tell(31, stats(worker("a")))

        self.assertEqual([self.joined(31), self.left(30), self.joined(0)], self.events(31))

    def test_changed_role(self) -> None:
        """A change of role is told with both roles, and is no leaving and joining."""
        self.tell(0, stats(worker("a", Role.OTHER)))
        self.tell(1, stats(worker("a", Role.RECEIVER)))
        self.tell(2, stats(worker("a", Role.RECEIVER)))

        changed = Event(at(1), "peer_changed_role", "worker@node", "receiver", "was other")
        self.assertEqual([changed, self.joined(0, "other")], self.events(2))

    def test_changed_role_in_silence(self) -> None:
        """Who comes back in another role joins as that."""
        self.tell(0, stats(worker("a")))
        self.events(30)
        self.tell(31, stats(worker("a", Role.RECEIVER)))

        self.assertEqual(
            [self.joined(31, "receiver"), self.left(30), self.joined(0)], self.events(31)
        )

    def test_restart(self) -> None:
        """A successor joins at once; its predecessor leaves when it expires."""
        self.tell(0, stats(worker("old")))
        self.tell(10, stats(worker("new")))
        self.tell(20, stats(worker("new")))

        self.assertEqual([self.left(30), self.joined(10), self.joined(0)], self.events(30))

    def test_predecessor_gives_way(self) -> None:
        """Where all places are taken, a predecessor leaves with the coming of its successor."""
        self.cluster = self.make_cluster(max_peers=1)
        self.ask(0)
        self.tell(0, stats(worker("old")))
        self.ask(10)
        self.tell(11, stats(worker("new")))

        self.assertEqual([self.joined(11), self.left(11), self.joined(0)], self.events(11))

    def test_rejected(self) -> None:
        """Of who is not to be known nothing is written down."""
        self.cluster = self.make_cluster(max_peers=1)
        self.tell(0, stats(worker("a")), stats(worker("b")))

        self.assertEqual([self.joined(0)], self.events(0))

    def test_disconnected(self) -> None:
        """A broken connection is told with what the peer says of it, known or not."""
        known, unknown = Sender(id="c", name="mpt-1"), Sender(id="d", name="sender@h")
        self.tell(0, old_stats("c", "mpt-1", "receiver", V1_3))
        self.tell(1, make("abnormal_disconnect", V1_3, sender=known, message="broken"))
        self.tell(2, make("abnormal_disconnect", V1_3, sender=unknown))
        self.tell(3, make("abnormal_disconnect", sender=None))

        self.assertEqual(
            [
                Event(at(2), "peer_disconnected", "sender@h", "sender"),
                Event(at(1), "peer_disconnected", "mpt-1", "receiver", "broken"),
                self.joined(0, "receiver", "mpt-1"),
            ],
            self.events(3),
        )

    def test_link(self) -> None:
        """It is told when the link to the broker is found and lost."""
        self.cluster.link_changed(at(1), up=True)
        self.cluster.link_changed(at(2), up=False)

        self.assertEqual(
            [Event(at(2), "connection_lost"), Event(at(1), "connection_found")], self.events(2)
        )

    def test_bound(self) -> None:
        """The last hundred are remembered."""
        self.cluster = self.make_cluster(max_peers=LENGTH + 20)
        for number in range(LENGTH + 20):
            self.tell(number / 8, stats(worker(f"{number}", host=f"{number}")))

        expected = [
            self.joined(number / 8, peer=f"worker@{number}")
            for number in reversed(range(20, LENGTH + 20))
        ]
        self.assertEqual(expected, self.events(15))
        self.assertEqual(100, LENGTH)

    def test_comings_and_goings_are_bounded_apart(self) -> None:
        """However many peers come and go, what else happened is not pushed out by that."""
        self.cluster = self.make_cluster(max_peers=2 * LENGTH)
        self.cluster.link_changed(at(0), up=True)
        for number in range(2 * LENGTH):
            self.tell(1, stats(worker(f"{number}", host=f"{number}")))
        self.cluster.link_changed(at(2), up=False)
        kinds = [event.kind for event in self.events(2)]

        self.assertEqual(["connection_lost", *["peer_joined"] * LENGTH, "connection_found"], kinds)

    def test_long_message(self) -> None:
        """Of what a peer says the beginning is kept, and that it was more."""
        for length in (MESSAGE_LENGTH, MESSAGE_LENGTH + 1, 100_000):
            self.tell(0, make("abnormal_disconnect", message="x" * length))

        full = "x" * MESSAGE_LENGTH
        self.assertEqual(
            [full[:-1] + "…", full[:-1] + "…", full], [each.message for each in self.events(0)]
        )
