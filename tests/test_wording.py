"""How figures are spelled for people."""

from __future__ import annotations

import re
from math import inf, nan

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.wording import counted, number, span


class NumberTests(SynchronousTestCase):
    def test_small(self) -> None:
        """Below a hundred there is one digit after the point, unless the number is whole."""
        for value, spelled in (
            (0, "0"),
            (0.0, "0"),
            (7.0, "7"),
            (0.25, "0.2"),
            (12.34, "12.3"),
            (-3.5, "-3.5"),
            (99.94, "99.9"),
        ):
            self.assertEqual(spelled, number(value))

    def test_large(self) -> None:
        """From a hundred on there is none, and thousands are told apart."""
        for value, spelled in (
            (100.4, "100"),
            (999.6, "1,000"),
            (-1234.5678, "-1,235"),
            (1_000_000, "1,000,000"),
        ):
            self.assertEqual(spelled, number(value))

    def test_no_number(self) -> None:
        """What is not finite has a spelling, too: peers report what they like."""
        self.assertEqual(["NaN", "∞", "-∞"], [number(each) for each in (nan, inf, -inf)])


class SpanTests(SynchronousTestCase):
    def test_units(self) -> None:
        """A span has three digits of the largest unit of which there is one."""
        for seconds, spelled in (
            (0.000_000_05, "0.05 µs"),
            (0.000_001, "1 µs"),
            (0.000_999, "999 µs"),
            (0.001, "1 ms"),
            (0.012_345, "12.3 ms"),
            (0.1, "100 ms"),
            (0.999, "999 ms"),
            (1, "1 s"),
            (1.5, "1.5 s"),
            (59.6, "59.6 s"),
        ):
            self.assertEqual(spelled, span(seconds))

    def test_rounded_to_the_next_unit(self) -> None:
        """What three digits make a thousand, or a minute, is one of the next unit."""
        for seconds, spelled in (
            (0.000_999_4, "999 µs"),
            (0.000_999_6, "1 ms"),
            (0.999_4, "999 ms"),
            (0.999_6, "1 s"),
            (59.94, "59.9 s"),
            (59.96, "1 min"),
            (3599.4, "59 min 59 s"),
            (3599.6, "1 h"),
            (86_399.6, "1 d"),
        ):
            self.assertEqual(spelled, span(seconds))

    def test_long(self) -> None:
        """From a minute on it has two units, without the second one where that is 0."""
        for seconds, spelled in (
            (60, "1 min"),
            (60.4, "1 min"),
            (61, "1 min 1 s"),
            (200, "3 min 20 s"),
            (3600, "1 h"),
            (3659, "1 h"),
            (3660, "1 h 1 min"),
            (86_400, "1 d"),
            (90_000, "1 d 1 h"),
            (8_640_000, "100 d"),
        ):
            self.assertEqual(spelled, span(seconds))

    def test_nothing(self) -> None:
        """No time at all is 0 s, and has no sign."""
        for seconds in (0, 0.0, -0.0):
            self.assertEqual(["0 s", "0 s"], [span(seconds), span(seconds, signed=True)])

    def test_sign(self) -> None:
        """A minus is always there, a plus if it is asked for."""
        for seconds, spelled, signed in (
            (0.25, "250 ms", "+250 ms"),
            (-0.25, "-250 ms", "-250 ms"),
            (3600, "1 h", "+1 h"),
            (-3600, "-1 h", "-1 h"),
        ):
            self.assertEqual([spelled, signed], [span(seconds), span(seconds, signed=True)])

    def test_no_number(self) -> None:
        """What is not finite has a spelling, too."""
        self.assertEqual(["NaN s", "∞ s", "-∞ s"], [span(each) for each in (nan, inf, -inf)])
        self.assertEqual("+∞ s", span(inf, signed=True))

    @settings(derandomize=True, deadline=None, database=None)
    @given(st.floats(1e-6, 1e9))
    def test_any(self, seconds: float) -> None:
        """From a microsecond on, no span has an exponent, a leading 0 or a thousand of a unit."""
        pattern = r"[1-9]\d?(\.\d)?\d? ?(µs|ms|s)|[1-9]\.\d\d (µs|ms|s)|[1-9]\d\d (µs|ms)"
        long = r"[1-9]\d* d( \d+ h)?|[1-9]\d? h( \d+ min)?|[1-9]\d? min( \d+ s)?"

        self.assertRegex(span(seconds), re.compile(rf"\A({pattern}|{long})\Z"))


class CountedTests(SynchronousTestCase):
    def test_counted(self) -> None:
        """All but one are many; a noun may have a plural of its own."""
        self.assertEqual(
            ["0 senders", "1 sender", "2 senders", "1,000 senders"],
            [counted(each, "sender") for each in (0, 1, 2, 1000)],
        )
        self.assertEqual(
            ["1 process", "2 processes"],
            [counted(each, "process", "processes") for each in (1, 2)],
        )
