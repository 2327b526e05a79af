"""The queue between the network thread and the reactor thread."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.deliveries import Delivery, DeliveryQueue

LENGTH, SIZE = 8, 800  # so that 2, and 200 bytes, can be set aside


def delivery(payload: bytes, qos: int = 0) -> Delivery:
    return Delivery("/t", payload, False, 0.0, qos)


class QueueTestCase(SynchronousTestCase):
    """A small queue."""

    def setUp(self) -> None:
        self.queue = DeliveryQueue(LENGTH, SIZE)

    def put(self, *payloads: bytes, qos: int = 0) -> list[bool]:
        return [self.queue.put(delivery(payload, qos)) for payload in payloads]

    def flood(self, count: int = LENGTH) -> None:
        self.put(*[b"reply"] * count)

    def take(self, most: int = 1000) -> list[bytes]:
        """Give the payloads that are taken; no more may be left."""
        taken, more = self.queue.take(most)
        self.assertFalse(more)
        return [each.payload for each in taken]

    def dropped(self) -> tuple[int, int]:
        return self.queue.dropped, self.queue.dropped_acknowledged


class OrderTests(QueueTestCase):
    """What goes in comes out."""

    def test_queue_that_is_empty(self) -> None:
        """Nothing can be taken from it."""
        self.assertEqual(([], False), self.queue.take(5))
        self.assertEqual((0, 0), self.dropped())

    def test_first_in_first_out(self) -> None:
        """Whatever the quality of service, as long as there is room."""
        self.put(b"a")
        self.put(b"b", qos=2)
        self.put(b"c", qos=1)
        self.assertEqual([b"a", b"b", b"c"], self.take())

    def test_all_of_the_delivery_comes_out(self) -> None:
        """It is the very same."""
        put = Delivery("/t", b"x", True, 7.0, 2)
        self.queue.put(put)
        self.assertEqual(([put], False), self.queue.take(1))

    def test_part_is_taken(self) -> None:
        """No more than was asked for, and it is told that there is more."""
        self.put(b"a", b"b", b"c")
        taken, more = self.queue.take(2)
        self.assertEqual(([b"a", b"b"], True), ([each.payload for each in taken], more))
        self.assertEqual([b"c"], self.take(1))

    def test_empty_queue_is_told(self) -> None:
        """At the first delivery, and at the first after all were taken."""
        self.assertEqual([True, False], self.put(b"a", b"b"))
        self.queue.take(1)
        self.assertEqual([False], self.put(b"c"))
        self.queue.take(2)
        self.assertEqual([True], self.put(b"d"))

    def test_queue_is_not_empty_while_something_is_set_aside(self) -> None:
        """Else it would be announced twice."""
        self.put(b"x" * SIZE, qos=0)
        self.queue.take(1)
        self.put(b"result", qos=2)
        self.put(b"y" * SIZE)  # which leaves no room for anything else
        self.put(b"z" * (SIZE + 1))  # nor for itself
        self.assertEqual([False], self.put(b"a"))
        self.assertEqual([b"result", b"a"], self.take())


class BoundTests(QueueTestCase):
    """What has to go where there is no room."""

    def test_oldest_goes_when_there_are_too_many(self) -> None:
        """The bound itself is allowed."""
        self.flood(LENGTH)
        self.assertEqual((0, 0), self.dropped())
        self.put(b"a", b"b")
        self.assertEqual((2, 0), self.dropped())
        self.assertEqual([*[b"reply"] * (LENGTH - 2), b"a", b"b"], self.take())

    def test_oldest_go_when_they_are_too_large(self) -> None:
        """As many as it takes for the newest."""
        self.put(b"a", b"b", b"x" * (SIZE - 2))
        self.assertEqual((0, 0), self.dropped())
        self.put(b"cc")
        self.assertEqual((2, 0), self.dropped())
        self.put(b"d")
        self.assertEqual((3, 0), self.dropped())
        self.assertEqual([b"cc", b"d"], self.take())

    def test_room_is_free_again(self) -> None:
        """What was taken counts no more, neither in number nor in bytes."""
        for _ in range(5):
            self.put(*[b"x" * (SIZE // LENGTH)] * LENGTH)
            self.take()
        self.assertEqual((0, 0), self.dropped())

    def test_delivery_that_never_fits(self) -> None:
        """It goes alone with all that is older; the queue goes on."""
        self.put(b"x" * (SIZE + 1))
        self.assertEqual([], self.take())
        self.put(b"a")
        self.assertEqual([b"a"], self.take())
        self.assertEqual((1, 0), self.dropped())


class AsideTests(QueueTestCase):
    """Test results, which nobody will say again."""

    def test_flood_pushes_no_result_out(self) -> None:
        """It is given first, since it is older than what has pushed it."""
        self.put(b"one", qos=2)
        self.flood(3)
        self.put(b"two", qos=2)
        self.flood(10 * LENGTH)
        self.assertEqual([b"one", b"two", *[b"reply"] * LENGTH], self.take())
        self.assertEqual((9 * LENGTH + 3, 0), self.dropped())

    def test_all_that_was_acknowledged_is_set_aside(self) -> None:
        """Reports of drains come with quality of service 1, and are not said again either."""
        self.put(b"one", qos=1)
        self.flood()
        self.assertEqual((0, 0), self.dropped())
        self.assertEqual([b"one", *[b"reply"] * LENGTH], self.take())

    def test_results_that_are_set_aside_are_bounded_in_number(self) -> None:
        """A quarter of the queue; what comes too much is counted as such, too."""
        self.put(b"1", b"2", b"3", b"4", qos=2)
        self.flood()
        self.assertEqual((2, 2), self.dropped())
        self.assertEqual([b"1", b"2"], self.take()[:2])

    def test_results_that_are_set_aside_are_bounded_in_bytes(self) -> None:
        """Likewise; a smaller one may still fit."""
        self.put(b"a" * 150, b"b" * 51, b"c" * 50, qos=2)
        self.flood()
        self.assertEqual((1, 1), self.dropped())
        self.assertEqual([b"a" * 150, b"c" * 50], self.take()[:2])

    def test_room_aside_is_free_again(self) -> None:
        """What was taken, and what did not fit, counts no more."""
        for _ in range(5):
            self.put(b"a" * 100, b"b" * 100, b"c" * 100, qos=2)
            self.flood()
            self.assertEqual([b"a" * 100, b"b" * 100], self.take()[:2])
        self.assertEqual((5, 5), self.dropped())

    def test_both_are_taken_in_parts(self) -> None:
        """First what was set aside, and never more than was asked for."""
        self.put(b"1", b"2", qos=2)
        self.flood()
        parts = [self.queue.take(most) for most in (1, 2, 100)]
        self.assertEqual(
            [([b"1"], True), ([b"2", b"reply"], True), ([b"reply"] * 7, False)],
            [([each.payload for each in taken], more) for taken, more in parts],
        )

    def test_what_is_only_aside_is_more(self) -> None:
        """It is told of like all else."""
        self.put(b"1", b"2", qos=2)
        self.put(b"x" * (SIZE + 1))
        taken, more = self.queue.take(1)
        self.assertEqual(([b"1"], True), ([each.payload for each in taken], more))

    @given(
        st.lists(
            st.one_of(
                st.tuples(st.sampled_from([0, 1, 2]), st.integers(0, SIZE + 50)),
                st.integers(1, 5),
            )
        )
    )
    def test_any_history(self, steps: list[tuple[int, int] | int]) -> None:
        """Order is kept, nothing is lost uncounted, and nothing comes twice."""
        queue = DeliveryQueue(LENGTH, SIZE)
        put = dropped = 0
        taken: list[Delivery] = []
        for step in [*steps, 1000]:
            if isinstance(step, int):
                taken += queue.take(step)[0]
            else:
                qos, size = step
                queue.put(Delivery("/t", b"x" * size, False, float(put), qos))
                put += 1
        dropped = queue.dropped
        arrivals = [each.arrived for each in taken]

        self.assertEqual(sorted(set(arrivals)), arrivals)
        self.assertEqual(put, len(taken) + dropped)
        self.assertTrue(0 <= queue.dropped_acknowledged <= dropped)
