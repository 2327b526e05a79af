"""Whatever peers do, in whatever order: the cluster against a model that knows what was said."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.cluster import Cluster, journal, processes, rounds, runs, tallies
from maestro_exporter.exposition import Encoder, encode
from maestro_exporter.metrics import cluster_page
from maestro_exporter.notes import (
    AbnormalDisconnect,
    DrainComplete,
    Generation,
    InternalError,
    PingResponse,
    ProtocolError,
    Reply,
    Response,
    Role,
    Sender,
    StatsResponse,
    Test,
    TestFailure,
    TestStarted,
    TestSuccess,
)
from maestro_exporter.snapshot import Moment, Snapshot
from tests.samples import stats_response
from tests.servers import Samples, parse_samples

V1_3, V1_5 = Generation.V1_3, Generation.V1_5
EXPIRY, FORGET = 30.0, 90.0
TEST = Test(number=-1, iteration=1, name="t", script_name="s", description="", comments="")
SETTINGS = settings(
    derandomize=True, database=None, deadline=None, max_examples=100, stateful_step_count=60
)

#: What peers say besides answers, and the counter that it adds to.
SAID: dict[str, tuple[type[Reply], dict[str, Any]]] = {
    "test_started": (TestStarted, {"test": TEST, "message": ""}),
    "test_success": (TestSuccess, {"message": ""}),
    "test_failure": (TestFailure, {"message": "no route"}),
    "drain_success": (DrainComplete, {"successful": True, "message": ""}),
    "drain_failure": (DrainComplete, {"successful": False, "message": ""}),
    "abnormal_disconnect": (AbnormalDisconnect, {}),
    "protocol_error": (ProtocolError, {}),
    "internal_error": (InternalError, {}),
}


def new_cluster(max_peers: int = 1000) -> Cluster:
    return Cluster(expiry=EXPIRY, forget=FORGET, max_peers=max_peers)


#: Samples that never fall.
GROWING = {
    family.name + suffix
    for family, _ in cluster_page(new_cluster().snapshot())
    for suffix in {"counter": [""], "histogram": ["_bucket", "_count", "_sum"]}.get(family.kind, [])
}


def page_of(snapshot: Snapshot) -> str:
    """Give the page, made by an encoder that has not seen another."""
    return b"".join(encode(cluster_page(snapshot))).decode()


def timeless(snapshot: Snapshot) -> str:
    """Give all of a snapshot but the times of the wall clock."""
    return re.sub(r"unix=[-+.\de]+", "", repr(snapshot))


@dataclass
class Heard:
    """What a process has said: where it belongs, when it spoke first and last, its STATS."""

    series: tuple[str, str]
    since: float
    at: float
    stats: StatsResponse | None = None


class ClusterMachine(RuleBasedStateMachine):
    """Tells a cluster what happens, and its twin the same by a wall clock that nobody sets."""

    peers: Bundle[tuple[Generation, Sender]] = Bundle("peers")
    notes: Bundle[Reply] = Bundle("notes")
    roles = st.sampled_from([Role.SENDER, Role.RECEIVER, Role.INSPECTOR])
    generations = st.sampled_from(Generation)

    def __init__(self) -> None:
        super().__init__()
        self.cluster, self.twin = new_cluster(), new_cluster()
        self.numbers = count(1)
        self.now, self.step = 1000.0, 0.0
        self.asked: list[str] = []
        self.asked_at: list[float] = []
        self.heard: dict[str, Heard] = {}
        self.said: Counter[str] = Counter()
        self.delivered: set[tuple[Any, ...]] = set()
        self.encoder = Encoder()
        self.before: Samples = {}

    def both(self, method: str, *arguments: Any, **options: Any) -> None:
        for cluster, step in ((self.cluster, self.step), (self.twin, 0.0)):
            getattr(cluster, method)(*arguments, Moment(self.now, self.now + step), **options)

    # ------------------------------------------------------------------- what happens

    @rule(target=peers, generation=generations, role=roles, name=st.sampled_from("ab"))
    def join(self, generation: Generation, role: Role, name: str) -> tuple[Generation, Sender]:
        """A process comes; often several have one name."""
        sender = Sender(id=str(next(self.numbers)), name=name, host="h", role=role)
        return generation, sender if generation is V1_5 else replace(sender, host="")

    @rule(target=peers, peer=consumes(peers))
    def restart(self, peer: tuple[Generation, Sender]) -> tuple[Generation, Sender]:
        """A process ends, and another takes its name."""
        return peer[0], replace(peer[1], id=str(next(self.numbers)))

    @rule(target=peers, peer=consumes(peers), role=roles)
    def change_role(self, peer: tuple[Generation, Sender], role: Role) -> Any:
        return peer[0], replace(peer[1], role=role)

    @rule(
        target=notes,
        peer=peers,
        messages=st.sampled_from([0, 1, 20, 300]),
        back=st.integers(0, 3),
    )
    def answer_stats(
        self, peer: tuple[Generation, Sender], messages: int, back: int
    ) -> StatsResponse:
        """A process answers a round of ours, or another client."""
        generation, sender = peer
        old = generation is not V1_5
        assert sender.role is not None
        note = stats_response(
            replace(sender, role=None) if old else sender,
            generation,
            **self.ids(generation, back),
            role=sender.role.name.lower() if old else None,
            count=messages,
            rate=messages / 4,
            child_count=messages % 7,
        )
        self.tell(note)
        return note

    @rule(target=notes, peer=peers, elapsed=st.integers(-5000, 5000), back=st.integers(0, 3))
    def answer_ping(self, peer: tuple[Generation, Sender], elapsed: int, back: int) -> PingResponse:
        generation, sender = peer
        note = PingResponse(
            generation=generation,
            sender=sender if generation is V1_5 else replace(sender, role=None),
            elapsed=elapsed,
            **self.ids(generation, back),
        )
        self.tell(note)
        return note

    @rule(target=notes, peer=peers, kind=st.sampled_from(sorted(SAID)))
    def say(self, peer: tuple[Generation, Sender], kind: str) -> Reply:
        generation, sender = peer
        made, fields = SAID[kind]
        note = made(
            generation=generation,
            sender=sender if generation is V1_5 else replace(sender, role=None),
            **self.ids(generation, 99),
            **fields,
        )
        self.tell(note)
        return note

    @rule(note=notes)
    def deliver_again(self, note: Reply) -> None:
        self.tell(note)

    @rule(generation=generations)
    def ask(self, generation: Generation) -> None:
        self.asked.insert(0, f"round {len(self.asked)}")
        self.asked_at.append(self.now)
        self.both("begin_round", self.asked[0], generation)

    @rule(seconds=st.sampled_from([0.25, 5.0, 10.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.both("expire")

    @rule(up=st.booleans())
    def change_link(self, up: bool) -> None:
        self.both("link_changed", up=up)

    @rule(hours=st.sampled_from([-1, 1]))
    def set_the_wall_clock(self, hours: int) -> None:
        self.step += 3600.0 * hours

    def ids(self, generation: Generation, back: int) -> dict[str, str]:
        """Give the ids of an answer to an earlier round, or to nothing of ours."""
        if generation is V1_3:
            return {}
        theirs = f"theirs {next(self.numbers)}"
        return {
            "correlation_id": self.asked[back] if back < len(self.asked) else theirs,
            "message_id": "m",
        }

    def tell(self, note: Reply) -> None:
        """Let a note arrive, and remember what it says."""
        before = self.cluster.snapshot()
        self.both("apply", note)
        # Of a PING that answers none of ours, and of what was said already, nothing is taken in.
        taken = self.cluster.snapshot() is not before
        if not isinstance(note, (StatsResponse, PingResponse)):
            assert note.sender is not None
            identity = (note.command, note.sender.id, note.correlation_id)
            assert taken is (note.generation is V1_3 or identity not in self.delivered)
            self.delivered.add(identity)
            if taken:
                kind = note.command
                if isinstance(note, DrainComplete):
                    kind = "drain_success" if note.successful else "drain_failure"
                self.said[kind] += 1
        if taken and isinstance(note, Response):
            self.remember(note)

    def remember(self, answer: Response) -> None:
        sender = answer.sender
        assert sender is not None
        heard = self.heard.get(sender.id)
        if heard is None or self.now - heard.at >= EXPIRY:
            heard = self.heard[sender.id] = Heard(("", "other"), since=self.now, at=self.now)
        new = answer.generation is V1_5
        role = sender.role.name.lower() if sender.role else getattr(answer, "role", None)
        peer = f"{sender.name}@{sender.host}" if new else sender.name
        heard.series, heard.at = (peer, role or heard.series[1]), self.now
        if isinstance(answer, StatsResponse):
            heard.stats = answer

    # -------------------------------------------------------------- what must be true

    @invariant()
    def nothing_falls(self) -> None:
        """No series is there twice, and no counter falls."""
        page = parse_samples(page_of(self.cluster.snapshot()))
        for (name, labels), value in self.before.items():
            assert name not in GROWING or page[name, labels] >= value, name
        self.before = page

    @invariant()
    def encoder_keeps_up(self) -> None:
        """What an encoder remembers of earlier pages is never on a later one."""
        snapshot = self.cluster.snapshot()
        assert b"".join(self.encoder.encode(cluster_page(snapshot))).decode() == page_of(snapshot)

    @invariant()
    def generation_is_that_of_the_snapshot(self) -> None:
        """What can be asked without making a snapshot is what that would say."""
        generation = self.cluster.generation
        assert generation == self.cluster.snapshot().generation

    @invariant()
    def counters_count(self) -> None:
        snapshot = self.cluster.snapshot()
        shown = Counter({**snapshot.notifications, **snapshot.errors})
        assert shown == self.said
        assert snapshot.rounds == len(self.asked)
        over = sum(snapshot.results.values())
        assert over == (snapshot.run.number - (snapshot.run.result is None) if snapshot.run else 0)

    @invariant()
    def series_show_what_was_said(self) -> None:
        """Sums are those of the processes that live, each where it last said that it belongs."""
        for series in self.cluster.snapshot().series:
            heard = [self.heard[process.id] for process in series.processes]
            assert {each.series for each in heard} == {(series.peer, series.type)}
            alive = [self.now - each.at < EXPIRY for each in heard]
            assert alive == [series.up] * len(heard)
            stats = [
                each.stats
                for each, process in zip(heard, series.processes, strict=True)
                if process.messages is not None
            ]
            for value, name in (
                (series.messages, "count"),
                (series.connections, "child_count"),
                (series.rate, "rate"),
            ):
                assert value == (sum(getattr(each, name) for each in stats) if stats else None)

    @invariant()
    def who_lives_is_shown(self) -> None:
        """All who answered within the expiry are, but for those that a newer one replaced."""
        snapshot = self.cluster.snapshot()
        shown = {process.id for each in snapshot.series if each.up for process in each.processes}
        assert sum(snapshot.peers_up.values()) == len(shown)
        for id_, heard in self.heard.items():
            if self.now - heard.at < EXPIRY and id_ not in shown:
                namesakes = (each for each in self.heard.values() if each.series == heard.series)
                assert any(each.since > heard.at for each in namesakes)

    @invariant()
    def who_was_replaced_is_not_shown(self) -> None:
        """Nobody is added to a newer process who was asked in vain before that appeared."""
        for series in self.cluster.snapshot().series:
            newest = max(process.first_heard.monotonic for process in series.processes)
            for process in series.processes:
                last = process.last_heard.monotonic
                assert not any(last < at < newest for at in self.asked_at)

    @invariant()
    def nothing_of_the_forgotten_remains(self) -> None:
        known = {each.series[0] for each in self.heard.values() if self.now - each.at < FORGET}
        assert {dict(labels).get("peer") for _, labels in self.before} <= {*known, None}

    @invariant()
    def setting_the_clock_changes_nothing(self) -> None:
        assert timeless(self.cluster.snapshot()) == timeless(self.twin.snapshot())


class HistoryTests(SynchronousTestCase):
    def test_any_history(self) -> None:
        """Whatever peers do, the cluster shows what they said, once, and nothing else."""
        run_state_machine_as_test(ClusterMachine, settings=SETTINGS)

    def play(self) -> None:
        """Let a machine see a short history, without chance."""
        machine = ClusterMachine()

        def happens(step: Callable[..., Any], *arguments: Any) -> Any:
            result = step(machine, *arguments)
            for check in machine.invariants:
                check.function(machine)
            return result

        peer = happens(ClusterMachine.join, V1_5, Role.SENDER, "a")
        happens(ClusterMachine.ask, V1_5)
        happens(ClusterMachine.answer_stats, peer, 20, 0)
        happens(ClusterMachine.answer_ping, peer, 3, 0)
        note = happens(ClusterMachine.say, peer, "test_success")
        happens(ClusterMachine.deliver_again, note)
        happens(ClusterMachine.wait, 30.0)
        happens(ClusterMachine.answer_stats, peer, 1, 0)
        happens(ClusterMachine.wait, 60.0)
        happens(ClusterMachine.wait, 60.0)

    def test_defects(self) -> None:
        """What must not be is found: who stays, what falls, what counts twice."""
        self.play()
        for place, name, defect in (
            (processes.Processes, "expire", lambda *_: False),
            (processes.Processes, "_leave_series", lambda *_: None),
            (tallies.RoundTrips, "add", lambda self, _: setattr(self, "_sum", self._sum - 1)),
            (tallies.Recent, "add", lambda *_: True),
        ):
            self.patch(place, name, defect)
            self.assertRaises(AssertionError, self.play)
            self.doCleanups()

    @settings(SETTINGS)
    @given(st.lists(st.tuples(st.integers(0, 50), st.sampled_from(sorted(SAID))), max_size=200))
    def test_bounds(self, said: list[tuple[int, str]]) -> None:
        """However many ids come, no more than the cap are remembered, and no more of a history."""
        cluster = new_cluster(max_peers=6)
        for number, (id_, kind) in enumerate(said):
            now = Moment(number / 4, 0.0)
            sender = Sender(id=str(id_), name=str(id_), host="h", role=Role.SENDER)
            made, fields = SAID[kind]
            ids = {"correlation_id": str(number), "message_id": "m"}
            cluster.begin_round(str(number), V1_5, now)
            cluster.apply(stats_response(sender, count=number), now)
            cluster.apply(made(generation=V1_5, sender=sender, **ids, **fields), now)
            cluster.expire(now)
        snapshot = cluster.snapshot()
        run = snapshot.run

        self.assertLessEqual(sum(len(each.processes) for each in snapshot.series), 6)
        self.assertLessEqual(run.running + run.succeeded + run.failed + run.lost if run else 0, 6)
        self.assertLessEqual(len(snapshot.events), 2 * journal.LENGTH)
        self.assertLessEqual(len(snapshot.finished), runs.REMEMBERED)
        self.assertLessEqual(len(cluster._rounds._rounds), rounds.REMEMBERED)
        self.assertLessEqual(len(cluster._recent._seen), tallies.REMEMBERED)
