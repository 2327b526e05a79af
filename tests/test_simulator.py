"""Tests for the simulated cluster: its peers, its scenarios and its command line.

`SimulatedCluster` itself needs a broker: the end-to-end tests run it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
from collections.abc import Iterable
from typing import Any

from paho.mqtt.client import Client
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.notes import (
    AbnormalDisconnect,
    DrainComplete,
    Generation,
    InternalError,
    Note,
    Notification,
    OkResponse,
    PingRequest,
    PingResponse,
    Role,
    Sender,
    StatsRequest,
    StatsResponse,
    TestFailure,
    TestStarted,
    TestSuccess,
    decode,
    encode,
)
from maestro_exporter.notes.requests import HaltRequest
from maestro_exporter.simulator import Peer, Scenario, Script, SimulatedCluster, Status, Work, cli
from maestro_exporter.simulator.cli import Progress, main
from maestro_exporter.simulator.events import (
    Died,
    Event,
    Joined,
    PeerEvent,
    RunEnded,
    RunStarted,
    Said,
    WorkStarted,
    WorkStopped,
)
from maestro_exporter.simulator.peers import route

V1_3, V1_4, V1_5 = Generation
HOST = "perf-dev-node-05.host.com"
WALL = 1_700_000_000.25
IDS = {"correlation_id": "c", "message_id": "m"}


def make_stats_request(generation: Generation) -> StatsRequest:
    if generation is V1_3:
        return StatsRequest(generation=generation)
    return StatsRequest(generation=generation, **IDS)


def make_ping_request(generation: Generation, usec: int = 250_000) -> PingRequest:
    if generation is V1_3:
        return PingRequest(generation=generation, sec=1_700_000_000, usec=usec)
    return PingRequest(generation=generation, sec=1_700_000_000, usec=usec, **IDS)


def ask_stats(peer: Peer, now: float) -> StatsResponse:
    reply = peer.answer(make_stats_request(peer.generation), now, WALL)[0]
    assert isinstance(reply, StatsResponse)
    return reply


def ask_ping(peer: Peer, usec: int) -> int:
    reply = peer.answer(make_ping_request(peer.generation, usec), 0.0, WALL)[0]
    assert isinstance(reply, PingResponse)
    return reply.elapsed


class PeerTests(SynchronousTestCase):
    def test_answer_when_idle(self) -> None:
        """An idle 1.5 worker under any name answers STATS with zeros, correlated."""
        peer = Peer(V1_5, Role.OTHER, HOST, name="receiver", id="maestro.exchange.1")
        sender = Sender(
            id="maestro.exchange.1", name="receiver", host=HOST, role=Role.OTHER, group="all"
        )
        expected = StatsResponse(
            generation=V1_5,
            **IDS,
            sender=sender,
            child_count=0,
            role_info="",
            stats_type=0,
            timestamp="0",
            count=0,
            rate=0.0,
            latency=0.0,
        )
        self.assertEqual(peer.answer(make_stats_request(V1_5), 100.0, WALL), [expected])

    def test_names_and_ids(self) -> None:
        """Names and ids are those that upstream gives to a process of the generation."""
        cases = [
            (V1_3, Role.SENDER, f"sender@{HOST}"),
            (V1_4, Role.REPORTS_SERVER, f"data-server@{HOST}"),
            (V1_5, Role.SENDER, "worker"),
            (V1_5, Role.AGENT, "agent"),
            (V1_5, Role.REPORTS_SERVER, "reports-server"),
        ]
        for generation, role, name in cases:
            one, other = Peer(generation, role, HOST), Peer(generation, role, HOST)
            self.assertEqual(one.sender.name, name)
            self.assertNotEqual(one.id, other.id)
            self.assertEqual(one.id.startswith("maestro.exchange."), generation is not V1_3)
            self.assertEqual(one.sender.host, HOST if generation is V1_5 else "")

    def test_hears_its_generations_topics(self) -> None:
        """Peers before 1.5 hear /mpt/daemon; 1.5 peers /mpt/peer, workers /mpt/peer/worker too."""
        topics = ("/mpt/daemon", "/mpt/peer", "/mpt/peer/worker", "/mpt/maestro")
        cases = [
            (V1_3, Role.RECEIVER, [True, False, False, False]),
            (V1_4, Role.AGENT, [True, False, False, False]),
            (V1_5, Role.OTHER, [False, True, True, False]),
            (V1_5, Role.INSPECTOR, [False, True, False, False]),
        ]
        for generation, role, heard in cases:
            peer = Peer(generation, role, HOST)
            self.assertEqual([peer.hears(topic) for topic in topics], heard)

    def test_answer_carries_the_ids_its_generation_keeps(self) -> None:
        """1.3 has no ids, 1.4 keeps those of PING only, 1.5 those of both."""
        for generation, stats_kept, ping_kept in ((V1_4, False, True), (V1_5, True, True)):
            peer = Peer(generation, Role.RECEIVER, HOST)
            stats = peer.answer(make_stats_request(generation), 0.0, WALL)
            again = peer.answer(make_stats_request(generation), 0.0, WALL)
            ping = peer.answer(make_ping_request(generation), 0.0, WALL)
            self.assertEqual(stats[0].correlation_id == "c", stats_kept)
            self.assertEqual(stats[0].correlation_id == again[0].correlation_id, stats_kept)
            self.assertEqual(ping[0].correlation_id == "c", ping_kept)
            self.assertEqual(ping[0].message_id == "m", ping_kept)
        old = Peer(V1_3, Role.RECEIVER, HOST).answer(make_stats_request(V1_3), 0.0, WALL)
        self.assertIsNone(old[0].correlation_id)

    def test_answer_of_an_agent(self) -> None:
        """An agent adds an OK with the ids of its answer to STATS and to PING."""
        for generation in Generation:
            agent = Peer(generation, Role.AGENT, HOST)
            for request in (make_stats_request(generation), make_ping_request(generation)):
                first, second = agent.answer(request, 0.0, WALL)
                self.assertIsInstance(second, OkResponse)
                self.assertEqual(second.correlation_id, first.correlation_id)

    def test_answer_to_ping_by_reports_server(self) -> None:
        """The 1.5 reports server ignores PING; its 1.4 predecessor answers it."""
        new, old = (Peer(each, Role.REPORTS_SERVER, HOST) for each in (V1_5, V1_4))
        self.assertEqual(new.answer(make_ping_request(V1_5), 0.0, WALL), [])
        self.assertEqual(len(new.answer(make_stats_request(V1_5), 0.0, WALL)), 1)
        self.assertEqual(len(old.answer(make_ping_request(V1_4), 0.0, WALL)), 1)

    def test_answer_to_other_generations(self) -> None:
        """STATS with ids is understood by all, without by 1.3 and 1.4; PING by its own form."""
        for generation in Generation:
            peer = Peer(generation, Role.SENDER, HOST)
            self.assertTrue(peer.answer(make_stats_request(V1_4), 0.0, WALL))
            understood = bool(peer.answer(make_stats_request(V1_3), 0.0, WALL))
            self.assertEqual(understood, generation is not V1_5)
            understood = bool(peer.answer(make_ping_request(V1_3), 0.0, WALL))
            self.assertEqual(understood, generation is V1_3)
            understood = bool(peer.answer(make_ping_request(V1_5), 0.0, WALL))
            self.assertEqual(understood, generation is not V1_3)

    def test_silence(self) -> None:
        """A dead peer answers nothing, and a live one nothing but STATS and PING."""
        peer = Peer(V1_5, Role.SENDER, HOST)
        self.assertEqual(peer.answer(HaltRequest(generation=V1_5, **IDS), 0.0, WALL), [])
        peer.alive = False
        self.assertEqual(peer.answer(make_stats_request(V1_5), 0.0, WALL), [])

    def test_elapsed_is_truncated_toward_zero(self) -> None:
        """PING gives whole milliseconds between the clocks, its own skew included."""
        exact = Peer(V1_5, Role.SENDER, HOST)
        behind = Peer(V1_3, Role.SENDER, HOST, clock_skew_seconds=-2.0)
        self.assertEqual(ask_ping(exact, 248_001), 1)
        self.assertEqual(ask_ping(exact, 250_999), 0)
        self.assertEqual(ask_ping(exact, 251_999), -1)
        self.assertEqual(ask_ping(behind, 248_001), -1998)

    def test_count_and_rate(self) -> None:
        """The rate averages over whole seconds of the run: 0 in the first one and when idle."""
        peer = Peer(V1_4, Role.SENDER, HOST)
        work = Work(started_at=100.0, rate=100.0, parallel_count=7)
        peer.start(work)
        early, later = ask_stats(peer, 100.9), ask_stats(peer, 107.5)
        self.assertEqual(early.rate, 0.0)
        self.assertGreater(early.count, 0)
        self.assertEqual(later.count, work.count(107.5))
        self.assertEqual(later.rate, later.count / 7)
        self.assertEqual((later.child_count, later.role), (7, "sender"))
        peer.stop()
        idle = ask_stats(peer, 108.0)
        self.assertEqual((idle.count, idle.rate, idle.child_count), (0, 0.0, 7))

    def test_count_and_rate_in_1_3(self) -> None:
        """1.3 divides integers, and forgets the parallel count after the run."""
        peer = Peer(V1_3, Role.SENDER, HOST)
        peer.start(Work(started_at=0.0, rate=33.3, parallel_count=7))
        stats = ask_stats(peer, 7.5)
        self.assertEqual(stats.rate, float(stats.count // 7))
        self.assertNotEqual(stats.rate, stats.count / 7)
        peer.stop()
        self.assertEqual(ask_stats(peer, 8.0).child_count, 0)

    def test_latency(self) -> None:
        """Only a receiver reports latency, in µs, if configured and an interval is complete."""
        work = Work(started_at=0.0, rate=10.0, lag_seconds=0.002, measures_latency=True)
        silent = Work(started_at=0.0, rate=10.0, lag_seconds=0.002)
        sender, receiver = (Peer(V1_5, role, HOST) for role in (Role.SENDER, Role.RECEIVER))
        for peer in (sender, receiver):
            peer.start(work)
        self.assertEqual(ask_stats(sender, 25.0).latency, 0.0)
        self.assertEqual(ask_stats(receiver, 9.0).latency, 0.0)
        self.assertTrue(1000 < ask_stats(receiver, 25.0).latency < 3000)
        receiver.start(silent)
        self.assertEqual(ask_stats(receiver, 25.0).latency, 0.0)

    def test_received_follows_sent(self) -> None:
        """Counts never fall, a receiver's never pass its sender's, and meet them after the end."""
        sent = Work(started_at=5.0, rate=1000.0, ends_at=65.0, phase=2.0)
        received = Work(started_at=5.0, rate=1000.0, ends_at=65.0, phase=2.0, lag_seconds=0.5)
        instants = [each / 4 for each in range(280)]
        there, here = ([work.count(now) for now in instants] for work in (sent, received))
        self.assertEqual((there, here), (sorted(there), sorted(here)))
        self.assertTrue(all(one >= other for one, other in zip(there, here, strict=True)))
        self.assertGreater(sent.count(30.0), received.count(30.0))
        self.assertEqual(sent.count(66.0), received.count(66.0))

    def test_everything_said_fits_the_wire(self) -> None:
        """What a peer answers and says is decoded as the same note, in each generation."""
        for generation, role in itertools.product(Generation, Role):
            peer = Peer(generation, role, HOST)
            notes: list[Note] = [
                *peer.answer(make_stats_request(generation), 0.0, WALL),
                *peer.answer(make_ping_request(generation), 0.0, WALL),
                peer.say(TestSuccess, message="x"),
                peer.say(TestFailure, message="x"),
                peer.say(AbnormalDisconnect),
            ]
            if generation is not V1_3:
                notes.append(peer.say(DrainComplete, successful=True, message=""))
            for note in notes:
                self.assertEqual(decode(encode(note), route(note).topic), note)

    def test_route(self) -> None:
        """Topic, QoS and retain flag are those of the note's generation."""
        cases: list[tuple[Generation, type[Notification], int, bool]] = [
            (V1_3, TestSuccess, 0, True),
            (V1_3, AbnormalDisconnect, 0, False),
            (V1_4, TestFailure, 0, False),
            (V1_5, TestStarted, 2, False),
            (V1_5, TestFailure, 2, False),
        ]
        for generation, kind, qos, retain in cases:
            note = Peer(generation, Role.SENDER, HOST).say(kind, message="")
            self.assertEqual(route(note), ("/mpt/notifications", qos, retain))
        drain = Peer(V1_5, Role.RECEIVER, HOST).say(DrainComplete, successful=True, message="")
        self.assertEqual(route(drain).qos, 1)
        for generation, ok_qos in ((V1_3, 0), (V1_4, 0), (V1_5, 1)):
            agent = Peer(generation, Role.AGENT, HOST)
            answers = agent.answer(make_stats_request(generation), 0.0, WALL)
            routes = [("/mpt/maestro", 0, False), ("/mpt/maestro", ok_qos, False)]
            self.assertEqual([route(each) for each in answers], routes)
        error = InternalError(generation=V1_5, sender=None, message="")
        self.assertEqual(route(error), ("/mpt/maestro", 1, False))


CALM = Scenario(seed=1, failure_share=0.0, dying_share=0.0, slow_share=0.0, skew_seconds=0.0)


def take_runs(script: Script, runs: int) -> list[Event]:
    """Give the events up to the start of the run after so many."""
    return list(
        itertools.takewhile(
            lambda event: not (isinstance(event, RunStarted) and event.number > runs),
            script.events(),
        )
    )


def pick_said(events: Iterable[Event], *kinds: type[Notification]) -> list[Said]:
    return [event for event in events if isinstance(event, Said) and event.kind in kinds]


def make_scenario(**changes: Any) -> Scenario:
    return dataclasses.replace(CALM, **changes)


class ScenarioTests(SynchronousTestCase):
    def test_same_seed_same_events(self) -> None:
        """A seed decides ids, times and everything else; another decides otherwise."""
        scenario = Scenario(peers=30, seed=7, dying_share=0.2, slow_share=0.2)
        one, same = (repr(take_runs(Script(scenario), 5)) for _ in range(2))
        other = repr(take_runs(Script(Scenario(peers=30, seed=8, dying_share=0.2)), 5))
        self.assertEqual(one, same)
        self.assertNotEqual(one, other)

    def test_events_in_order(self) -> None:
        """Events come in the order of time, runs in the order of their numbers."""
        scenario = Scenario(peers=40, seed=2, dying_share=0.3, failure_share=0.5)
        events = take_runs(Script(scenario), 6)
        instants = [event.at for event in events]
        self.assertEqual(instants, sorted(instants))
        runs = [(type(e), e.number) for e in events if isinstance(e, RunStarted | RunEnded)]
        expected = [(kind, number) for number in range(1, 7) for kind in (RunStarted, RunEnded)]
        self.assertEqual(runs, expected)

    def test_proportions(self) -> None:
        """Four peers are one of each kind; of twenty, nine send and nine receive."""
        for peers, counts in ((1, [1, 0, 0, 0]), (4, [1, 1, 1, 1]), (20, [9, 9, 1, 1])):
            roles = [peer.role for peer in Script(make_scenario(peers=peers)).peers]
            kinds = (Role.SENDER, Role.RECEIVER, Role.INSPECTOR, Role.AGENT)
            self.assertEqual([roles.count(kind) for kind in kinds], counts)

    def test_generations_share_evenly(self) -> None:
        """A mixed cluster has as many peers of each generation, to one."""
        scenario = make_scenario(peers=13, protocols=(V1_5, V1_4, V1_3))
        generations = [peer.generation for peer in Script(scenario).peers]
        self.assertEqual([generations.count(each) for each in (V1_5, V1_4, V1_3)], [5, 4, 4])

    def test_hosts(self) -> None:
        """Up to 1,000 peers have a host each; more share 1,000."""
        for peers, hosts in ((1, 1), (1000, 1000), (2500, 1000)):
            script = Script(make_scenario(peers=peers))
            self.assertEqual(len({peer.host for peer in script.peers}), hosts)
            self.assertEqual(len({peer.id for peer in script.peers}), peers)

    def test_slow_and_skewed_peers(self) -> None:
        """Slow peers take 0.5 to 3 s; some clocks are wrong by no more than was asked."""
        peers = Script(make_scenario(peers=400, slow_share=0.1, skew_seconds=2.0)).peers
        delays = [peer.delay_seconds for peer in peers if peer.delay_seconds]
        skews = [peer.clock_skew_seconds for peer in peers if peer.clock_skew_seconds]
        self.assertTrue(20 < len(delays) < 60 and 20 < len(skews) < 60)
        self.assertTrue(0.5 <= min(delays) <= max(delays) <= 3.0)
        self.assertTrue(-2.0 <= min(skews) < 0 < max(skews) <= 2.0)

    def test_run_that_succeeds(self) -> None:
        """All workers and inspectors say so once, at the end; receivers say they drained."""
        for generation in Generation:
            script = Script(make_scenario(peers=40, protocols=(generation,), test_seconds=60.0))
            events = take_runs(script, 1)
            members = {peer for peer in script.peers if peer.role is not Role.AGENT}
            receivers = {peer for peer in script.peers if peer.role is Role.RECEIVER}
            started = [event.peer for event in pick_said(events, TestStarted)]
            self.assertCountEqual(started, members if generation is V1_5 else [])
            ended = pick_said(events, TestSuccess)
            self.assertCountEqual([event.peer for event in ended], members)
            self.assertTrue(all(65.0 <= event.at <= 65.5 for event in ended))
            drained = [event.peer for event in pick_said(events, DrainComplete)]
            self.assertCountEqual(drained, receivers if generation is not V1_3 else [])
            self.assertEqual(pick_said(events, TestFailure), [])
            results = [event.result for event in events if isinstance(event, RunEnded)]
            self.assertEqual(results, ["success"])

    def test_run_that_fails(self) -> None:
        """One peer says why it failed, the others that they ended well, before the time."""
        script = Script(make_scenario(failure_share=1.0))
        events = take_runs(script, 1)
        (failure,) = pick_said(events, TestFailure)
        self.assertIn("failed", failure.fields["message"])
        others = {peer for peer in script.peers if peer.role is not Role.AGENT} - {failure.peer}
        successes = pick_said(events, TestSuccess)
        self.assertCountEqual([event.peer for event in successes], others)
        self.assertTrue(all(event.at >= failure.at for event in successes))
        end = events[-1]
        assert isinstance(end, RunEnded)
        self.assertEqual(end.result, "failure")
        self.assertLess(end.at, 5.0 + CALM.test_seconds)

    def test_peers_die_and_are_replaced(self) -> None:
        """A dead peer says nothing more; a process with a new id joins in the pause."""
        script = Script(make_scenario(peers=100, dying_share=0.2))
        events = take_runs(script, 1)
        dead = [event.peer for event in events if isinstance(event, Died)]
        joined = [event for event in events if isinstance(event, Joined)]
        (end,) = (event for event in events if isinstance(event, RunEnded))
        self.assertTrue(5 < len(dead) < 40)
        self.assertEqual(end.result, "incomplete")
        self.assertCountEqual([peer.host for peer in dead], [event.peer.host for event in joined])
        self.assertFalse({peer.id for peer in script.peers} & {event.peer.id for event in joined})
        self.assertTrue(all(end.at <= event.at <= end.at + 30.0 for event in joined))
        gone: set[Peer] = set()
        for event in events:
            if isinstance(event, Died):
                gone.add(event.peer)
            elif isinstance(event, PeerEvent):
                self.assertNotIn(event.peer, gone)

    def test_new_workers_role(self) -> None:
        """A new 1.5 worker has no role until the next run gives it its predecessor's."""
        script = Script(make_scenario(peers=2, dying_share=1.0))
        events = take_runs(script, 2)
        joined = [event.peer for event in events if isinstance(event, Joined)][:2]
        self.assertEqual([peer.role for peer in joined], [Role.OTHER, Role.OTHER])
        roles = {
            event.peer: event.role
            for event in events
            if isinstance(event, WorkStarted) and event.peer in joined
        }
        self.assertCountEqual(roles.values(), [Role.SENDER, Role.RECEIVER])

    def test_sent_and_received(self) -> None:
        """All in all somewhat less is received than was sent, near the rate that was asked."""
        for dying in (0.0, 0.3):
            script = Script(make_scenario(peers=100, dying_share=dying, rate=50.0))
            works = [event for event in take_runs(script, 1) if isinstance(event, WorkStarted)]
            totals = dict.fromkeys((Role.SENDER, Role.RECEIVER), 0)
            for event in works:
                totals[event.role] += event.work.count(65.0)
            sent, received = totals[Role.SENDER], totals[Role.RECEIVER]
            self.assertTrue(0.99 * sent < received < sent)
            if not dying:
                self.assertTrue(0.8 < sent / (45 * 50.0 * 60) < 1.2)

    def test_workers_are_idle_between_runs(self) -> None:
        """Each worker that began a run stops when it ends."""
        script = Script(make_scenario(failure_share=0.5))
        busy: set[Peer] = set()
        for event in take_runs(script, 4):
            if isinstance(event, WorkStarted):
                busy.add(event.peer)
            elif isinstance(event, WorkStopped):
                busy.remove(event.peer)
            elif isinstance(event, RunEnded):
                self.assertEqual(busy, set())


class Away:
    """Stands in for a cluster whose broker is away."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def status(self) -> Status:
        return Status(connected=0, connections=1, peers=4, requests=0, answers=0)


class CommandTests(SynchronousTestCase):
    def test_bad_options(self) -> None:
        """A bad option gives status 2 and one line that names option, value and what is allowed."""
        cases = [
            (["--peers", "0"], '--peers: "0": give a whole number from 1 to 10000'),
            (["--peers", "10001"], '--peers: "10001": give'),
            (["--rate", "nan"], '--rate: "nan": give a number from 0 to 1000000'),
            (["--failures", "1.5"], '--failures: "1.5": give a number from 0 to 1'),
            (["--test-seconds", "0"], '--test-seconds: "0": give a number from 1 to 86400'),
            (["--protocol", "1.5,1.6"], '--protocol: "1.5,1.6": give 1.5, 1.4 or 1.3'),
            (["-m", "http://h"], '--maestro-url: "http://h": give mqtt://host[:port]'),
            (["-m", "mqtt://h:65536"], "give mqtt://host[:port]"),
            (["-m", "mqtt://a..b"], "give mqtt://host[:port]"),
            (["-m", "mqtt://me:secret@h:x"], '--maestro-url: "***@h:***": give mqtt://'),
            (["-m", "mqtts://me:secret@h"], '"***@h": the simulator speaks mqtt:// only'),
            (["-m", "mqtt://:secret@h"], '"***@h": there is a password, but no user name'),
            (["mqtt://me:secret@h"], "unrecognized arguments: ***@h"),
            (["--duration"], "--duration: expected one argument"),
            (["--no\nsuch"], "--no such"),
        ]
        for argv, message in cases:
            with contextlib.redirect_stderr(io.StringIO()) as stderr:
                self.assertEqual(self.assertRaises(SystemExit, main, argv).code, 2)
            self.assertIn(message, stderr.getvalue())
            self.assertEqual(stderr.getvalue().count("\n"), 1)
            self.assertNotIn("usage:", stderr.getvalue())
            self.assertNotIn("secret", stderr.getvalue())

    def test_password_is_not_shown(self) -> None:
        """Neither at the start nor while the broker is away."""
        self.patch(cli, "SimulatedCluster", Away)
        self.patch(cli, "_LINE_SECONDS", 0.0)
        with contextlib.redirect_stderr(io.StringIO()) as stderr:
            main(["-m", "mqtt://me:secret word@h", "--duration=0.01"])
        shown = stderr.getvalue().splitlines()
        self.assertTrue(shown[0].startswith("simulating 20 peers on ***@h, "), shown)
        self.assertTrue(shown[1].startswith("connecting to ***@h | "), shown)
        self.assertNotIn("secret", stderr.getvalue())

    def test_help(self) -> None:
        """The help names every option."""
        with contextlib.redirect_stdout(io.StringIO()) as stdout:
            self.assertRaises(SystemExit, main, ["--help"])
        for option in ("-m", "--peers", "--protocol", "--seed", "--rate", "--clock-skew"):
            self.assertIn(option, stdout.getvalue())

    def test_progress_that_is_no_terminal(self) -> None:
        """Elsewhere than on a terminal runs are told at once, and the state every 30 s."""
        stream = io.StringIO()
        progress = Progress(stream, "mqtt://h", due_at=1.0)
        away = Status(connected=0, connections=1, peers=4, requests=0, answers=0)
        there = Status(connected=1, connections=1, peers=4, requests=2, answers=8)
        for now in (0.0, 1.0, 2.0):
            progress.show(away, now)
        progress.tell(RunStarted(at=3.0, number=1))
        progress.show(there, 30.9)
        progress.show(there, 31.0)
        progress.tell(RunEnded(at=32.0, number=1, result="success"))
        self.assertEqual(
            stream.getvalue().splitlines(),
            [
                "connecting to mqtt://h | no run yet | 4 peers alive"
                " | 0 requests heard | 0 answers sent",
                "run 1 running",
                "run 1 running | 4 peers alive | 2 requests heard | 8 answers sent",
                "run 1 ended: success",
            ],
        )


class ClusterTests(SynchronousTestCase):
    def test_bad_url(self) -> None:
        """A URL that is none is refused at once."""
        self.assertRaises(ValueError, SimulatedCluster, "localhost:1883")
        self.assertRaises(ValueError, SimulatedCluster, "mqtts://localhost")

    def test_user_name_and_password(self) -> None:
        """They are those of the URL, if it has any."""
        given: list[tuple[str, str]] = []
        self.patch(Client, "username_pw_set", lambda _self, *texts: given.append(texts))
        SimulatedCluster("mqtt://localhost")
        SimulatedCluster("mqtt://joe:p%20@w@localhost")
        self.assertEqual(given, [("joe", "p @w")])

    def test_stop_before_start(self) -> None:
        """A cluster that was never started may be stopped, twice."""
        cluster = SimulatedCluster("mqtt://localhost", [Peer(V1_5, Role.SENDER, HOST)])
        self.assertEqual(cluster.status(), Status(0, 1, 1, 0, 0))
        cluster.stop()
        cluster.stop()
