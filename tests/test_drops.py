"""What the broker says that it dropped, and when a fresh start is owed: numbers and times only."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.mqtt.drops import (
    BURSTS,
    MOST,
    PERIOD,
    PRESSURE,
    QUIET,
    START_PERIOD,
    Drops,
)

NOW = 1000.0


class WordsTests(SynchronousTestCase):
    """What is known, and worth a line."""

    def setUp(self) -> None:
        self.drops = Drops()

    def lines(self, *payloads: bytes, now: float = NOW) -> list[int]:
        """Give how many drops are worth a line after each word."""
        return [self.drops.hear(payload, now) for payload in payloads]

    def test_nothing_is_known_before_the_broker_says_so(self) -> None:
        """None is not 0."""
        self.assertIsNone(self.drops.total)
        self.assertEqual(0, self.drops.unsaid(NOW))

    def test_first_number_says_nothing(self) -> None:
        """It may be about clients of last year; it is known from then on."""
        self.assertEqual([0, 0], self.lines(b"7", b"7"))
        self.assertEqual(7, self.drops.total)

    def test_growth_is_worth_a_line(self) -> None:
        """With how many more there are."""
        self.assertEqual([0, 3], self.lines(b"7", b"10"))
        self.assertEqual(10, self.drops.total)

    def test_growth_is_worth_a_line_once_in_a_while(self) -> None:
        """What came meanwhile is in the next line."""
        self.assertEqual([0, 1, 0, 0], self.lines(b"0", b"1", b"3", b"6"))
        self.assertEqual([0], self.lines(b"10", now=NOW + PERIOD - 0.1))
        self.assertEqual([14], self.lines(b"15", now=NOW + PERIOD))
        self.assertEqual([0], self.lines(b"15", now=NOW + 2 * PERIOD))
        self.assertEqual([1], self.lines(b"16", now=NOW + 3 * PERIOD))

    def test_what_was_not_said_is_said_later(self) -> None:
        """Once, when it is time, also if nothing more is heard."""
        self.lines(b"0", b"1", b"3")
        self.assertEqual(0, self.drops.unsaid(NOW + PERIOD - 0.1))
        self.assertEqual(2, self.drops.unsaid(NOW + PERIOD))
        self.assertEqual(0, self.drops.unsaid(NOW + 3 * PERIOD))

    def test_what_is_said_later_has_its_time_too(self) -> None:
        """The next line comes no sooner after it than after any other."""
        self.lines(b"0", b"1", b"3")
        said = NOW + PERIOD + 7.0
        self.assertEqual(2, self.drops.unsaid(said))
        self.assertEqual([0], self.lines(b"8", now=said + PERIOD - 0.1))
        self.assertEqual(5, self.drops.unsaid(said + PERIOD))

    def test_first_number_is_not_said_later(self) -> None:
        """It stays what was there before."""
        self.lines(b"7")
        self.assertEqual(0, self.drops.unsaid(NOW + PERIOD))

    def test_broker_that_restarts_counts_anew(self) -> None:
        """A number that is smaller is the first of another life."""
        self.assertEqual([0, 0, 1], self.lines(b"7", b"2", b"3"))
        self.assertEqual(3, self.drops.total)

    def test_restart_forgets_what_was_not_said(self) -> None:
        """The difference of two lives is no number of drops."""
        self.lines(b"7", b"8", b"20", b"2")
        self.assertEqual(0, self.drops.unsaid(NOW + PERIOD))

    def test_garbage_is_no_news(self) -> None:
        """What is no number, or none that a broker would count to, changes nothing."""
        self.lines(b"7")
        huge = (b"%d" % MOST, b"9" * 19, b"9" * 400, b"9" * 5000)
        for garbage in (b"", b"x", b"\xff", b"1.5", b"-1", b"nan", b"7 8", *huge):
            self.assertEqual([0], self.lines(garbage), garbage)
            self.assertEqual(7, self.drops.total, garbage)

    def test_largest_number(self) -> None:
        """What can be shown is shown."""
        self.lines(b"%d" % (MOST - 1))
        self.assertEqual(MOST - 1, self.drops.total)


class FreshStartTests(SynchronousTestCase):
    """When a fresh start is owed."""

    def setUp(self) -> None:
        self.drops = Drops()
        self.total = 7
        self.drops.hear(b"7", 0.0)

    def dropped(self, now: float) -> None:
        """Let the broker say that it dropped one more."""
        self.total += 1
        self.drops.hear(b"%d" % self.total, now)

    def bursts(self, count: int, now: float) -> None:
        """Let so many come in a row."""
        for _ in range(count):
            self.drops.burst(now)

    def pressed(self, now: float) -> None:
        """Do not keep up, and then keep up again."""
        self.bursts(BURSTS, now)
        self.drops.relief()

    def pressed_and_dropped(self, now: float) -> None:
        """Do not keep up, and hear of it as late as makes a fresh start due when it is quiet."""
        self.pressed(now - QUIET)
        self.dropped(now)

    def owed(self, now: float) -> bool:
        return self.drops.owes_a_fresh_start(now)

    def never_owed(self) -> bool:
        """Tell whether none is owed for a day."""
        return not any(self.owed(NOW + second) for second in range(86400))

    def test_none_at_first(self) -> None:
        """Nothing was dropped."""
        self.assertTrue(self.never_owed())

    def test_one_when_it_is_quiet(self) -> None:
        """So long after the last word of drops that there are no more of them."""
        self.pressed_and_dropped(NOW)
        self.assertFalse(self.owed(NOW))
        self.assertFalse(self.owed(NOW + QUIET - 0.1))
        self.assertTrue(self.owed(NOW + QUIET))

    def test_quiet_begins_at_the_last_word(self) -> None:
        """What is dropped then would be missed."""
        self.pressed_and_dropped(NOW)
        self.dropped(NOW + QUIET - 0.1)
        self.assertFalse(self.owed(NOW + QUIET))
        self.assertTrue(self.owed(NOW + 2 * QUIET - 0.1))

    def test_word_without_growth_changes_nothing(self) -> None:
        """The broker repeats itself."""
        self.pressed(NOW)
        self.drops.hear(b"7", NOW)
        self.assertTrue(self.never_owed())

    def test_first_number_owes_none(self) -> None:
        """Nobody knows when that was, nor after a restart of the broker."""
        self.pressed(NOW)
        self.drops.hear(b"3", NOW)
        self.assertTrue(self.never_owed())
        self.drops = Drops()
        self.pressed(NOW)
        self.drops.hear(b"3", NOW)
        self.assertTrue(self.never_owed())

    def test_garbage_owes_none(self) -> None:
        """It is no news of drops."""
        self.pressed(NOW)
        for garbage in (b"x", b"-1", b"9" * 5000):
            self.drops.hear(garbage, NOW)
        self.assertTrue(self.never_owed())

    def test_none_where_we_kept_up(self) -> None:
        """The drops are somebody else's."""
        self.dropped(NOW)
        self.assertTrue(self.never_owed())

    def test_none_after_few_bursts(self) -> None:
        """Each round of a large cluster is one or two."""
        self.bursts(BURSTS - 1, NOW)
        self.dropped(NOW)
        self.assertTrue(self.never_owed())

    def test_none_after_bursts_that_are_not_in_a_row(self) -> None:
        """We kept up in between."""
        for _ in range(10):
            self.bursts(BURSTS - 1, NOW)
            self.drops.relief()
        self.dropped(NOW)
        self.assertTrue(self.never_owed())

    def test_row_goes_on_over_time(self) -> None:
        """It is over when there was less, and not before; its last burst is what counts."""
        for number in range(BURSTS + 1):
            self.drops.burst(NOW + 100.0 * number)
        self.dropped(NOW + 100.0 * BURSTS + PRESSURE - 0.1)
        self.assertTrue(self.owed(NOW + 100.0 * BURSTS + PRESSURE - 0.1 + QUIET))

    def test_none_where_we_did_not_keep_up_long_ago(self) -> None:
        """The broker would have spoken of it before."""
        self.pressed(NOW - PRESSURE)
        self.dropped(NOW)
        self.assertTrue(self.never_owed())

    def test_one_where_we_did_not_keep_up_lately(self) -> None:
        """The broker speaks a while after it has dropped."""
        self.pressed(NOW - PRESSURE + 0.1)
        self.dropped(NOW)
        self.assertTrue(self.owed(NOW + QUIET))

    def test_none_where_we_do_not_keep_up_later(self) -> None:
        """What we cannot take in now was not dropped then."""
        self.dropped(NOW)
        self.pressed(NOW + 0.1)
        self.assertTrue(self.never_owed())

    def test_line_that_is_not_due_makes_no_difference(self) -> None:
        """What is owed does not depend on what is logged."""
        self.dropped(NOW - 1.0)  # which has its line
        self.pressed_and_dropped(NOW)
        self.assertTrue(self.owed(NOW + QUIET))

    def test_none_while_we_do_not_keep_up(self) -> None:
        """It would be dropped again."""
        self.pressed_and_dropped(NOW)
        self.pressed(NOW + 1.0)
        self.assertFalse(self.owed(NOW + QUIET))
        self.assertFalse(self.owed(NOW + 1.0 + QUIET - 0.1))
        self.assertTrue(self.owed(NOW + 1.0 + QUIET))

    def test_one_at_last_though_we_do_not_keep_up(self) -> None:
        """Results must not wait for the end of a flood that has none."""
        self.pressed_and_dropped(NOW)
        due = NOW + QUIET + START_PERIOD
        self.pressed(due - 0.1)
        self.assertFalse(self.owed(due - 0.1))
        self.assertTrue(self.owed(due))

    def test_one_at_last_though_drops_go_on_as_well(self) -> None:
        """A flood without an end is one of which the broker speaks each 10 seconds."""
        starts = []
        for second in range(0, 600, 10):
            self.pressed(NOW + second)
            self.dropped(NOW + second)
            starts += [each for each in range(second, second + 10) if self.owed(NOW + each)]
        self.assertNotEqual([], starts)

    def test_each_is_owed_once(self) -> None:
        """However long it takes to make it."""
        self.pressed_and_dropped(NOW)
        self.assertTrue(self.owed(NOW + QUIET))
        self.assertTrue(self.never_owed())

    def test_one_in_a_while(self) -> None:
        """Each costs the replies of a moment."""
        self.pressed_and_dropped(NOW)
        self.assertTrue(self.owed(NOW + QUIET))
        self.drops.connected()
        self.pressed_and_dropped(NOW + 2 * QUIET)
        due = NOW + QUIET + START_PERIOD
        self.assertFalse(self.owed(due - 0.1))
        self.assertTrue(self.owed(due))

    def test_none_on_a_connection_that_began_since(self) -> None:
        """All was said again on it."""
        self.pressed_and_dropped(NOW)
        self.drops.connected()
        self.assertTrue(self.never_owed())

    def test_one_for_what_is_dropped_on_the_next_connection(self) -> None:
        """It is as lost as before."""
        self.drops.connected()
        self.pressed_and_dropped(NOW)
        self.assertTrue(self.owed(NOW + QUIET))
