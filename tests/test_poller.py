"""The rounds, on a clock that the tests move."""

from __future__ import annotations

import math
from collections import Counter
from itertools import combinations, count

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.cluster import Cluster
from maestro_exporter.notes import Generation, Note, Reply, decode
from maestro_exporter.notes.model import Sender
from maestro_exporter.notes.requests import PingRequest, StatsRequest
from maestro_exporter.poller import EXPIRY_PERIOD, PATIENCE, Poller
from maestro_exporter.snapshot import Moment
from tests.samples import stats_response
from tests.wire_vectors import V1_3, V1_4, V1_5

INTERVAL = 10.0
EXPIRY = 35.0
EPOCH = 1_700_000_000.25  # what the wall clock reads when the other one reads 0
PEERS, DAEMONS = "/mpt/peer", "/mpt/daemon"


class Watched(Cluster):
    """A cluster that remembers what it was told of rounds and expiry, and may fail to expire."""

    def __init__(self) -> None:
        super().__init__(expiry=EXPIRY, forget=10 * EXPIRY, max_peers=2000)
        self.begun: list[tuple[str, Generation, Moment]] = []
        self.expired: list[Moment] = []
        self.fails = False

    def begin_round(self, correlation_id: str, pinged: Generation, at: Moment) -> None:
        self.begun.append((correlation_id, pinged, at))
        super().begin_round(correlation_id, pinged, at)

    def expire(self, at: Moment) -> None:
        self.expired.append(at)
        if self.fails:
            raise ZeroDivisionError
        super().expire(at)


def stats(generation: Generation, number: int) -> Reply:
    """Give the STATS reply of one peer."""
    ids = {} if generation is V1_3 else {"correlation_id": "", "message_id": ""}
    sender = Sender(id=f"{generation.value}-{number}", name="worker")
    return stats_response(sender, generation, **ids)


class PollerTestCase(SynchronousTestCase):
    """A poller whose requests are kept."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.cluster = Watched()
        self.published: list[tuple[str, bytes]] = []
        self.refused: list[str] = []
        self.link_is_up = True
        self.room = math.inf  # requests until the link goes down
        self.takes = 0.0  # seconds that pass while a request is handed over
        self.taken = 0.0  # seconds that have passed so
        self.fails = False
        ids = count(1)
        self.poller = Poller(
            self.cluster,
            self.publish,
            interval=INTERVAL,
            now=self.now,
            make_id=lambda: f"id-{next(ids)}",
            clock=self.clock,
        )

    def now(self) -> Moment:
        return Moment(self.clock.seconds() + self.taken, EPOCH + self.clock.seconds() + self.taken)

    def publish(self, topic: str, payload: bytes) -> bool:
        if self.fails:
            raise ZeroDivisionError
        self.taken += self.takes
        self.link_is_up = self.link_is_up and self.room > 0
        if not self.link_is_up:
            self.refused.append(topic)
            return False
        self.room -= 1
        self.published.append((topic, payload))
        return True

    def hear(self, *generations: Generation, peers: int = 1) -> None:
        """Let so many peers of each generation answer."""
        for generation in generations:
            for number in range(peers):
                self.cluster.apply(stats(generation, number), self.now())

    def ask(self) -> list[tuple[str, Note]]:
        """Let the link come up, and give what is asked: topics and decoded requests."""
        self.published.clear()
        if not self.poller.running:
            self.poller.startService()
        self.poller.link_came_up()
        return self.requests()

    def requests(self) -> list[tuple[str, Note]]:
        return [(topic, decode(payload, topic)) for topic, payload in self.published]

    def pings(self) -> list[tuple[str, Generation]]:
        """Ask, and give where and in which form PING went."""
        return [
            (topic, request.generation)
            for topic, request in self.ask()
            if isinstance(request, PingRequest)
        ]

    def turns(self, rounds: int) -> list[Generation]:
        """Ask so many rounds, and give the generations that PING asked."""
        return [generation for _ in range(rounds) for _, generation in self.pings()]

    @property
    def rounds(self) -> int:
        return self.cluster.snapshot().rounds

    def pass_time(self, seconds: float) -> None:
        """Let time pass, a quarter of a second at a time."""
        self.clock.pump([0.25] * int(seconds * 4))


class TimingTests(PollerTestCase):
    """When it asks."""

    def test_nothing_is_asked_when_started(self) -> None:
        """Before the link is up there is nobody to ask."""
        self.poller.startService()

        self.assertEqual([], self.published)

    def test_first_round_is_asked_when_link_comes_up(self) -> None:
        """Whoever starts the exporter does not wait an interval."""
        self.poller.startService()
        self.pass_time(3)
        self.poller.link_came_up()

        self.assertEqual(1, self.rounds)
        self.assertEqual(3, len(self.published))

    def test_next_rounds_are_an_interval_apart(self) -> None:
        """The interval counts from the moment at which the link came up."""
        self.poller.startService()
        self.pass_time(3)
        self.poller.link_came_up()
        self.pass_time(INTERVAL - 0.25)
        self.assertEqual(1, self.rounds)
        self.pass_time(0.25)
        self.assertEqual(2, self.rounds)
        self.pass_time(5 * INTERVAL)
        self.assertEqual(7, self.rounds)

    def test_rounds_begin_again_when_link_comes_up_again(self) -> None:
        """A new connection is asked at once, and then an interval later."""
        self.ask()
        self.pass_time(INTERVAL / 2)
        self.poller.link_came_up()
        self.assertEqual(2, self.rounds)
        self.pass_time(INTERVAL - 0.25)
        self.assertEqual(2, self.rounds)
        self.pass_time(0.25)
        self.assertEqual(3, self.rounds)

    def test_one_round_is_asked_when_the_process_was_held_up(self) -> None:
        """Rounds that were missed are not made up for."""
        self.ask()
        self.clock.advance(10 * INTERVAL)

        self.assertEqual(2, self.rounds)

    def test_no_round_is_counted_while_link_is_down(self) -> None:
        """A round that could not be asked is none; it is tried with one request."""
        self.ask()
        self.link_is_up = False
        self.pass_time(5 * INTERVAL)
        self.assertEqual(1, self.rounds)
        self.assertEqual([PEERS] * 5, self.refused)

        self.link_is_up = True
        self.pass_time(INTERVAL)
        self.assertEqual(2, self.rounds)

    def test_nothing_is_asked_when_link_comes_up_while_stopped(self) -> None:
        """A link that comes up before the start or after the stop is not used."""
        self.poller.link_came_up()
        self.poller.startService()
        self.poller.stopService()
        self.poller.link_came_up()

        self.assertEqual([], self.published)

    def test_timers_end_when_stopped(self) -> None:
        """After the stop nothing is left on the clock."""
        self.ask()
        self.poller.stopService()

        self.assertEqual([], self.clock.getDelayedCalls())

    def test_stop_is_harmless_when_not_started(self) -> None:
        """There are no timers to stop, once or twice."""
        self.poller.stopService()
        self.ask()
        self.poller.stopService()
        self.poller.stopService()

        self.assertEqual([], self.clock.getDelayedCalls())

    def test_rounds_go_on_when_started_again(self) -> None:
        """A poller that was stopped can be started."""
        self.ask()
        self.poller.stopService()
        self.poller.startService()
        self.pass_time(INTERVAL)

        self.assertEqual(2, self.rounds)


class StageTests(PollerTestCase):
    """When a step has to have succeeded, and what helps when it has not."""

    def due_in(self) -> float:
        """Give the seconds until it is overdue."""
        return self.poller.due() - self.clock.seconds()

    def test_nothing_is_due_while_it_does_not_run(self) -> None:
        """Before the start and after the stop."""
        self.assertEqual(math.inf, self.poller.due())
        self.ask()
        self.poller.stopService()
        self.assertEqual(math.inf, self.poller.due())

    def test_round_is_due(self) -> None:
        """Each that succeeds puts it off; expiry, which comes more often, does not."""
        self.poller.startService()
        self.assertEqual(INTERVAL + PATIENCE, self.due_in())
        self.pass_time(INTERVAL - 0.25)
        self.assertEqual(PATIENCE + 0.25, self.due_in())
        self.pass_time(0.25)
        self.assertEqual(INTERVAL + PATIENCE, self.due_in())

    def test_expiry_that_fails_puts_nothing_off(self) -> None:
        """The timer runs, but nobody expires: that is overdue, whatever becomes of rounds."""
        self.poller.startService()
        self.cluster.fails = True
        self.pass_time(EXPIRY_PERIOD + PATIENCE - 0.25)
        self.assertEqual(INTERVAL + PATIENCE - 0.75, self.due_in())
        self.pass_time(0.25)
        self.assertEqual(0.0, self.due_in())
        self.pass_time(2 * INTERVAL)
        self.assertEqual(-2 * INTERVAL, self.due_in())
        self.assertEqual(3, self.rounds)
        self.assertEqual(31, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.cluster.fails = False
        self.pass_time(EXPIRY_PERIOD)
        self.assertEqual(INTERVAL + PATIENCE - 2, self.due_in())

    def test_round_that_fails_puts_nothing_off(self) -> None:
        """Likewise: expiry alone keeps no promise of rounds, nor makes another."""
        self.poller.startService()
        self.fails = True
        due = self.poller.due()
        for _ in range(int(INTERVAL + PATIENCE + 15)):
            self.pass_time(1)
            self.assertEqual(due, self.poller.due())
        self.assertEqual(-15.0, self.due_in())
        self.assertEqual(35, len(self.cluster.expired))
        self.flushLoggedErrors(ZeroDivisionError)
        self.fails = False
        self.poller.link_came_up()
        self.assertEqual(INTERVAL + PATIENCE, self.due_in())

    def test_round_without_a_link_succeeds(self) -> None:
        """It is not the poller that does not work."""
        self.poller.startService()
        self.link_is_up = False
        self.pass_time(5 * INTERVAL)
        self.assertEqual(INTERVAL + PATIENCE, self.due_in())

    def test_timers_that_are_dead_are_noticed(self) -> None:
        """Each of them alone is enough, by its own interval."""
        for name, patience in (("_expiries", EXPIRY_PERIOD), ("_rounds", INTERVAL)):
            self.setUp()
            self.poller.startService()
            getattr(self.poller, name).stop()
            self.pass_time(patience + PATIENCE - 0.25)
            self.assertGreater(self.due_in(), 0.0, name)
            self.pass_time(0.25)
            self.assertEqual(0.0, self.due_in(), name)

    def kill(self) -> None:
        """Stop the timers, as a defect might."""
        for loop in (self.poller._rounds, self.poller._expiries):
            loop.stop()

    def test_restart_runs_the_timers_anew(self) -> None:
        """Whether they are dead or not: there are two of them, and they have time."""
        for dead in (True, False):
            self.setUp()
            self.ask()
            self.pass_time(2 * PATIENCE if dead else INTERVAL / 2)
            if dead:
                self.kill()
            expired, rounds = len(self.cluster.expired), self.rounds
            self.poller.restart()
            self.assertEqual(INTERVAL + PATIENCE, self.due_in())
            self.assertEqual(2, len(self.clock.getDelayedCalls()))
            self.pass_time(INTERVAL)
            self.assertEqual(rounds + 1, self.rounds)
            self.assertEqual(expired + INTERVAL / EXPIRY_PERIOD, len(self.cluster.expired))

    def test_link_that_comes_up_while_timers_are_dead(self) -> None:
        """The round is asked; a timer that is dead cannot be put off."""
        self.poller.startService()
        self.kill()
        self.poller.link_came_up()
        self.assertEqual(1, self.rounds)
        self.assertEqual([], self.clock.getDelayedCalls())


class RequestTests(PollerTestCase):
    """What it asks."""

    def test_stats_go_to_all_topics(self) -> None:
        """One STATS asks the peers of 1.5, the same bytes those before it."""
        self.ask()

        (first, second, _) = self.published
        self.assertEqual((PEERS, DAEMONS), (first[0], second[0]))
        self.assertEqual(first[1], second[1])
        for topic, payload in ((PEERS, first[1]), (DAEMONS, second[1])):
            request = decode(payload, topic)
            self.assertIsInstance(request, StatsRequest)
            self.assertEqual("id-1", request.correlation_id)

    def test_requests_of_a_round_share_their_correlation(self) -> None:
        """The requests that have ids carry the round's correlation and ids of their own."""
        self.hear(V1_4, V1_5)
        message_ids: set[str | None] = set()
        for correlation_id in ("id-1", "id-4"):  # each round has another form of PING
            requests = [request for _, request in self.ask()]

            self.assertEqual({correlation_id}, {request.correlation_id for request in requests})
            ids = [request.message_id for request in requests]
            self.assertEqual(2, len(set(ids)))  # STATS is one note on two topics
            message_ids.update(ids)

        self.assertEqual({"id-2", "id-3", "id-5", "id-6"}, message_ids)

    def test_each_round_has_a_correlation_of_its_own(self) -> None:
        """Answers to an older round can be told from those to a newer one."""
        first = {request.correlation_id for _, request in self.ask()}
        second = {request.correlation_id for _, request in self.ask()}

        self.assertEqual((1, 1), (len(first), len(second)))
        self.assertNotEqual(first, second)

    def test_ping_goes_to_peers_when_nobody_is_heard(self) -> None:
        """The newest generation is asked on suspicion."""
        self.assertEqual([(PEERS, V1_5)], self.pings())

    def test_ping_goes_to_peers_when_1_5_is_heard(self) -> None:
        """Peers of 1.5 are asked in their form on their topic."""
        self.hear(V1_5)

        self.assertEqual([(PEERS, V1_5)], self.pings())

    def test_ping_goes_to_daemons_when_1_4_is_heard(self) -> None:
        """Peers of 1.4 are asked in their form, and nobody else."""
        self.hear(V1_4)

        self.assertEqual([(DAEMONS, V1_4)], self.pings())

    def test_ping_goes_to_daemons_when_1_3_is_heard(self) -> None:
        """Peers of 1.3 are asked in their form, which has no ids, and nobody else."""
        self.hear(V1_3)

        self.assertEqual([(DAEMONS, V1_3)], self.pings())

    def test_ping_has_each_form_that_is_heard(self) -> None:
        """A mixed cluster is asked in one form at a time, and each form has its turn."""
        self.hear(V1_5, V1_3, V1_4)
        turns = [self.pings() for _ in range(6)]

        self.assertEqual([[(DAEMONS, V1_3)], [(DAEMONS, V1_4)], [(PEERS, V1_5)]] * 2, turns)

    def test_ping_takes_turns_between_two_generations(self) -> None:
        """Of two generations each is asked in every other round, whichever they are."""
        for pair in combinations(Generation, 2):
            self.setUp()
            self.hear(*pair)

            self.assertEqual(list(pair) * 3, self.turns(6))

    def test_ping_goes_to_a_newcomer_first(self) -> None:
        """Who was never asked, or not for longest, is before those that were asked lately."""
        self.hear(V1_5)
        self.assertEqual([V1_5] * 3, self.turns(3))
        self.hear(V1_4)
        self.assertEqual([V1_4, V1_5, V1_4], self.turns(3))
        self.hear(V1_3)

        self.assertEqual([V1_3, V1_5, V1_4, V1_3], self.turns(4))

    def test_ping_turn_is_kept_through_silence(self) -> None:
        """A generation that was silent for a while is asked next when it is back."""
        self.hear(V1_3, V1_4)
        self.assertEqual([V1_3, V1_4], self.turns(2))
        self.pass_time(EXPIRY / 2)
        self.hear(V1_3)
        self.pass_time(EXPIRY / 2 + EXPIRY_PERIOD)
        self.assertEqual([V1_3] * 3, self.turns(3))
        self.hear(V1_4)

        self.assertEqual([V1_4, V1_3, V1_4], self.turns(3))

    def test_ping_turn_is_kept_when_the_round_cannot_be_asked(self) -> None:
        """A round that is none takes nobody's turn."""
        self.hear(V1_3, V1_4, V1_5)
        self.assertEqual([V1_3], self.turns(1))
        self.link_is_up = False
        self.assertEqual([], self.turns(4))
        self.link_is_up = True

        self.assertEqual([V1_4, V1_5, V1_3], self.turns(3))

    def test_ping_form_is_dropped_when_its_peers_are_silent(self) -> None:
        """Who has expired is no longer asked in a form of his own."""
        self.hear(V1_3)
        self.poller.startService()
        self.pass_time(EXPIRY + EXPIRY_PERIOD)

        self.assertEqual([(PEERS, V1_5)], self.pings())

    def test_ping_says_the_wall_clock(self) -> None:
        """Seconds and microseconds are those since the epoch, in every form."""
        self.hear(V1_3, V1_4, V1_5)
        self.poller.startService()
        self.clock.advance(1.5)
        pings = [
            each for _ in Generation for _, each in self.ask() if isinstance(each, PingRequest)
        ]

        self.assertEqual([V1_3, V1_4, V1_5], [each.generation for each in pings])
        self.assertEqual([(1_700_000_001, 750_000)] * 3, [(each.sec, each.usec) for each in pings])

    def test_round_begins_when_its_ping_is_made(self) -> None:
        """What the requests before PING take is no part of its round trip; both clocks agree."""
        self.takes = 0.25
        self.hear(V1_3, V1_4, V1_5)
        for turn in Generation:
            before = self.now()
            pings = [each for _, each in self.ask() if isinstance(each, PingRequest)]

            ((_, pinged, at),) = self.cluster.begun[-1:]
            self.assertEqual(before.monotonic + 2 * self.takes, at.monotonic)
            self.assertEqual(before.unix + 2 * self.takes, at.unix)
            self.assertEqual(
                [(turn, at.unix)], [(p.generation, p.sec + p.usec / 1e6) for p in pings]
            )
            self.assertIs(turn, pinged)

    def test_cluster_is_told_the_correlation_of_the_requests(self) -> None:
        """Answers find the round by what its requests carry."""
        (correlation,) = {request.correlation_id for _, request in self.ask()}

        self.assertEqual([correlation], [each for each, _, _ in self.cluster.begun])

    def test_cluster_knows_the_round_before_its_pings_are_sent(self) -> None:
        """An answer that is there at once finds its round."""
        rounds: list[tuple[str, int]] = []
        publish = self.publish

        def note_round(topic: str, payload: bytes) -> bool:
            rounds.append((type(decode(payload, topic)).__name__, self.rounds))
            return publish(topic, payload)

        poller = Poller(
            self.cluster,
            note_round,
            interval=INTERVAL,
            now=self.now,
            make_id=lambda: "id",
            clock=self.clock,
        )
        poller.startService()
        poller.link_came_up()

        self.assertEqual(("PingRequest", 1), rounds[-1])

    def test_three_requests_suffice_however_many_peers(self) -> None:
        """The load on the measured broker does not grow with the cluster."""
        for size in range(len(Generation) + 1):
            for heard in combinations(Generation, size):
                self.setUp()
                self.hear(*heard, peers=500)
                for _ in range(len(heard) + 1):
                    kinds = Counter(type(request) for _, request in self.ask())

                    self.assertEqual({StatsRequest: 2, PingRequest: 1}, kinds, heard)

    def test_nothing_but_stats_and_ping_is_asked(self) -> None:
        """No request that changes a peer is sent, whoever comes and goes."""
        self.poller.startService()
        self.poller.link_came_up()
        for generations in ((V1_5,), (V1_3, V1_4), (), (V1_3, V1_4, V1_5), ()):
            self.hear(*generations, peers=3)
            self.pass_time(2 * EXPIRY)

        requests = self.requests()
        self.assertGreater(len(requests), 100)
        self.assertEqual({StatsRequest, PingRequest}, {type(request) for _, request in requests})
        self.assertEqual({PEERS, DAEMONS}, {topic for topic, _ in requests})


class SentTests(PollerTestCase):
    """What it counts."""

    def test_requests_are_counted_by_command(self) -> None:
        """Each round adds two of STATS and one of PING, over all rounds."""
        self.hear(V1_3, V1_4, V1_5)
        self.assertEqual(Counter(), self.poller.sent)
        for number in (1, 2, 3, 4):
            self.ask()

            self.assertEqual({"stats": 2 * number, "ping": number}, self.poller.sent)

    def test_nothing_is_counted_while_link_is_down(self) -> None:
        """A request that was refused is not sent."""
        self.link_is_up = False
        self.ask()
        self.pass_time(5 * INTERVAL)

        self.assertEqual(Counter(), self.poller.sent)
        self.assertEqual(6, len(self.refused))

    def test_requests_before_the_loss_are_counted(self) -> None:
        """When the link goes down within a round, what went out before is sent, and no more."""
        for room, sent in (
            (1, {"stats": 1}),
            (2, {"stats": 2}),
            (3, {"stats": 2, "ping": 1}),
        ):
            self.setUp()
            self.room = room
            self.ask()
            self.pass_time(2 * INTERVAL)

            self.assertEqual(Counter(sent), self.poller.sent)

    def test_requests_that_raise_are_not_counted(self) -> None:
        """What could not be handed over is not sent."""
        self.fails = True
        self.ask()

        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.assertEqual(Counter(), self.poller.sent)


class ExpiryTests(PollerTestCase):
    """When it drops the silent."""

    def test_cluster_expires_every_second(self) -> None:
        """Silence is looked for more often than peers are asked, at the present moment."""
        self.poller.startService()
        self.pass_time(3)

        self.assertEqual(
            [Moment(second, EPOCH + second) for second in (1.0, 2.0, 3.0)], self.cluster.expired
        )

    def test_cluster_expires_while_link_is_down(self) -> None:
        """Peers expire during an outage, too."""
        self.link_is_up = False
        self.hear(V1_5)
        self.poller.startService()
        self.pass_time(EXPIRY - EXPIRY_PERIOD)
        self.assertEqual(frozenset({V1_5}), self.cluster.generations)
        self.pass_time(EXPIRY_PERIOD)
        self.assertEqual(frozenset(), self.cluster.generations)

    def test_expiry_goes_on_when_link_comes_up(self) -> None:
        """A link that comes up again and again does not put expiry off."""
        self.poller.startService()
        for _ in range(8):
            self.pass_time(0.5)
            self.poller.link_came_up()

        self.assertEqual(4, len(self.cluster.expired))


class FailureTests(PollerTestCase):
    """A step that raises."""

    def assert_failed(self, times: int) -> None:
        self.assertEqual(times, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_next_round_is_asked_when_one_raises(self) -> None:
        """A round that fails is logged and costs itself alone."""
        self.ask()
        self.fails = True
        self.pass_time(2 * INTERVAL)
        self.assert_failed(2)
        self.fails = False
        self.pass_time(INTERVAL)

        self.assertEqual(2, self.rounds)

    def test_rounds_begin_when_the_first_raises(self) -> None:
        """A failure when the link comes up reaches neither the bridge nor the next round."""
        self.fails = True
        self.ask()
        self.assert_failed(1)
        self.fails = False
        self.pass_time(INTERVAL)

        self.assertEqual(1, self.rounds)

    def test_next_expiry_comes_when_one_raises(self) -> None:
        """An expiry that fails is logged; the next one and the rounds come."""
        self.ask()
        self.cluster.fails = True
        self.pass_time(2)
        self.assert_failed(2)
        self.cluster.fails = False
        self.hear(V1_4)
        self.pass_time(EXPIRY + EXPIRY_PERIOD)

        self.assertEqual(frozenset(), self.cluster.generations)
        self.assertEqual(4, self.rounds)

    def test_expiry_goes_on_when_rounds_raise(self) -> None:
        """The two timers do not depend on each other."""
        self.fails = True
        self.poller.startService()
        self.pass_time(INTERVAL + 2)
        self.assert_failed(1)

        self.assertEqual(12, len(self.cluster.expired))

    def test_timers_end_when_stopped_after_a_failure(self) -> None:
        """A failure leaves nothing behind that the stop does not find."""
        self.fails = self.cluster.fails = True
        self.ask()
        self.pass_time(1)
        self.poller.stopService()
        self.assert_failed(2)

        self.assertEqual([], self.clock.getDelayedCalls())
