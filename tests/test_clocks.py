"""What PING replies say of a peer's clock."""

from __future__ import annotations

import math
from itertools import pairwise
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.cluster.clocks import (
    DRIFT,
    SAMPLES,
    TRUNCATION,
    ClockFilter,
    offset_of,
)
from maestro_exporter.notes import Generation, PingRequest, Role
from maestro_exporter.simulator import Peer
from maestro_exporter.snapshot import ClockOffset

#: Room for the rounding of floats.
ROUNDING = 1e-9

delays = st.floats(0, 5)
skews = st.floats(-86400, 86400)


def elapsed_of(offset: float, there: float) -> int:
    """Give what a peer says, whose clock is ahead by `offset`, `there` seconds after a request."""
    return math.trunc((offset + there) * 1000)


class OffsetTests(SynchronousTestCase):
    @settings(derandomize=True, deadline=None, database=None)
    @given(skews, delays, delays)
    def test_bound(self, skew: float, there: float, back: float) -> None:
        """However a round trip divides into there and back, the true offset is in the bound."""
        offset, error = offset_of(elapsed_of(skew, there), there + back)

        self.assertLessEqual(abs(offset - skew), error + ROUNDING)

    def test_estimate(self) -> None:
        """The estimate takes the way there for half of the round trip, the wire's ms included."""
        self.assertEqual(ClockOffset(0.495, 0.005 + TRUNCATION), offset_of(500, 0.01))


class FilterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.filter = ClockFilter()

    def ping(self, at: float, offset: float, there: float, back: float) -> ClockOffset:
        """Let one reply arrive; give the estimate."""
        self.filter.add(elapsed_of(offset, there), there + back, at)
        assert self.filter.offset is not None
        return self.filter.offset

    def test_nothing_known(self) -> None:
        """Before the first reply there is no estimate."""
        self.assertIsNone(self.filter.offset)

    def test_quickest_wins(self) -> None:
        """The reply with the shortest round trip decides, also when slower ones follow."""
        self.ping(0, 0.25, 0.4, 0.1)
        best = self.ping(10, 0.25, 0.0005, 0.0005)
        after = self.ping(20, 0.25, 0.2, 3.0)

        self.assertEqual(best.seconds, after.seconds)
        self.assertAlmostEqual(0.0005 + TRUNCATION + (0.001 + 10) * DRIFT, after.error)

    def test_last_eight(self) -> None:
        """The quickest reply counts for as long as it is one of the last eight."""
        best = self.ping(0, 0.0, 0.0005, 0.0005)
        for number in range(1, SAMPLES):
            self.assertEqual(best.seconds, self.ping(number, 0.0, 0.05, 0.0).seconds)

        self.assertNotEqual(best.seconds, self.ping(SAMPLES, 0.0, 0.05, 0.0).seconds)

    def test_way_back(self) -> None:
        """The way back of the best reply is known up to the offset of the clocks."""
        self.assertEqual(0.0, self.filter.way_back)
        self.ping(0, 7.0, 0.25, 0.5)
        self.assertAlmostEqual(0.5 - 7.0, self.filter.way_back)

    def test_step(self) -> None:
        """When a clock is set, what was measured before counts no more."""
        self.ping(0, 0.0, 0.0005, 0.0005)
        self.assertLess(abs(self.ping(10, 3600.0, 0.01, 0.01).seconds - 3600), 0.02)
        self.assertLess(abs(self.ping(20, 0.0, 0.05, 0.05).seconds), 0.06)

    @settings(derandomize=True, deadline=None, database=None)
    @given(
        skews,
        st.floats(-DRIFT, DRIFT),
        st.lists(st.tuples(st.floats(0.1, 60), delays, delays), min_size=1, max_size=30),
    )
    def test_drift(
        self, skew: float, drift: float, replies: list[tuple[float, float, float]]
    ) -> None:
        """While a clock drifts, the true offset at the last reply is inside its bound."""
        self.filter = ClockFilter()
        now = 0.0
        for pause, there, back in replies:
            now += pause + there + back
            handled = now - back
            offset, error = self.ping(now, skew + drift * handled, there, back)
            true = skew + drift * now
            self.assertLessEqual(abs(offset - true), error + ROUNDING)

    def test_better_than_the_last_reply(self) -> None:
        """Under jitter the filter is seldom worse, and on average better, than each reply alone."""
        random = Random(1)
        filtered, single = [], []
        for number in range(500):
            there, back = random.expovariate(50), random.expovariate(50)
            offset, _ = self.ping(10.0 * number, 0.25, there, back)
            filtered.append(abs(offset - 0.25))
            single.append(abs(offset_of(elapsed_of(0.25, there), there + back).seconds - 0.25))

        self.assertLess(sum(filtered), sum(single) / 2)

    def test_no_jumps_on_a_quiet_network(self) -> None:
        """With even delays the estimate stays within the wire's millisecond."""
        estimates = [self.ping(10.0 * n, 0.0425, 0.0002, 0.0003).seconds for n in range(50)]

        self.assertTrue(all(abs(b - a) <= TRUNCATION for a, b in pairwise(estimates)))


class SimulatedPeerTests(SynchronousTestCase):
    def test_a_peer_on_the_wire(self) -> None:
        """What a peer with a wrong clock answers to a PING gives its offset."""
        for skew in (-3600.0, -0.25, 0.0, 0.0004, 7.5):
            peer = Peer(Generation.V1_5, Role.SENDER, "host", clock_skew_seconds=skew)
            ping = PingRequest(
                generation=Generation.V1_5,
                correlation_id="c",
                message_id="m",
                sec=1_700_000_000,
                usec=250_000,
            )
            (reply,) = peer.answer(ping, now=0.0, wall=1_700_000_000.26)
            offset, error = offset_of(getattr(reply, "elapsed"), 0.012)  # noqa: B009

            self.assertLessEqual(abs(offset - skew), error)
            self.assertEqual(0.006 + TRUNCATION, error)
