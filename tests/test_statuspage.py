"""The status page: what it is asked for, what it shows, and whatever peers say."""

from __future__ import annotations

import dataclasses
import math
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urljoin

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter import fitness
from maestro_exporter.cluster import Cluster
from maestro_exporter.fitness import KINDS, Finding
from maestro_exporter.querying import QueryError, answers
from maestro_exporter.snapshot import (
    TRAIL_STEP,
    TRAIL_STEPS,
    TYPES,
    ClockOffset,
    Event,
    ExporterState,
    LinkError,
    Moment,
    NamedTest,
    Run,
    Series,
    Trail,
)
from maestro_exporter.statuspage import ASSETS, PARAMETERS, Known, Question, page
from maestro_exporter.statuspage.question import COLUMNS, ORDERS, SHOWN
from maestro_exporter.statuspage.sparkline import HEIGHT, MARGIN, STEP_WIDTH, WIDTH, sparkline
from maestro_exporter.statuspage.view import (
    EVENTS,
    NOTHING,
    PEERS_A_PAGE,
    RUNS,
    Peers,
    natural,
    shown_time,
    view,
    warned,
)
from maestro_exporter.wording import span
from tests.cluster_case import at, process, shown
from tests.samples import exporter_state

NOW = at(100)  # 2023-11-14, 22:15:00 UTC
EMPTY = Cluster(expiry=1, forget=1, max_peers=1).snapshot()
STATE = exporter_state(broker_up=True, broker="broker.example.com:1883", mqtt_version="5")
PLAIN = Question()
EXACT = ClockOffset(0.0, 0.001)
#: The values of a peer of which there is nothing to say.
WELL: Mapping[str, Any] = {"round_trip": 0.001, "clock": EXACT}
#: Why nothing is known at first.
TOO_EARLY = "the first round of requests is not over"


def peer(
    name: str = "worker@node",
    type_: str = "sender",
    *,
    up: bool = True,
    last: float = 99.0,
    **values: Any,
) -> Series:
    """Give a peer of one process with these values."""
    return shown(process("id", 0.0, last, peer=name, type=type_, **values), up=up)


def trail(end: float) -> Trail:
    """Give a trail with values in its newest step alone."""
    nothing = [math.nan] * (TRAIL_STEPS - 1)
    return Trail(end, array("f", [*nothing, 2000.0]), array("f", [*nothing, 0.25]))


def known(
    *series: Series,
    state: ExporterState = STATE,
    trails: Mapping[tuple[str, str], Trail] | None = None,
    now: Moment = NOW,
    unready: str = "",
    **fields: Any,
) -> Known:
    """Give what there is to show of these peers, and with these fields of the snapshot."""
    up = {type_: sum(each.up and each.type == type_ for each in series) for type_ in TYPES}
    snapshot = dataclasses.replace(EMPTY, series=series, **({"peers_up": up} | fields))
    return Known(snapshot, trails or {}, state, now, unready)


def table(*series: Series, question: Question = PLAIN, **fields: Any) -> Peers:
    """Give the table of these peers."""
    peers: Peers = view(known(*series, **fields), question)["peers"]
    return peers


def names(*series: Series, **question: Any) -> list[str]:
    """Give the names in the table, in their order."""
    return [row.peer for row in table(*series, question=Question(**question)).rows]


# ---------------------------------------------------------------- the question


def ask(text: str) -> Question:
    """Give what an address asks for, as the site reads it."""
    query = parse_qs(text, keep_blank_values=True, errors="strict")
    return Question(**answers(query, PARAMETERS))


class QuestionTests(SynchronousTestCase):
    """What stands behind the `?`."""

    def test_nothing(self) -> None:
        """Who asks for nothing in particular sees all peers, sorted by type."""
        self.assertEqual(ask(""), Question())
        self.assertEqual(Question(), ("", "", "all", "type", "asc", 1))

    def test_everything(self) -> None:
        """Each parameter is taken as it is."""
        self.assertEqual(
            ask("q=a+b%26c&type=data-server&show=warned&sort=clock_offset&order=desc&page=12"),
            Question("a b&c", "data-server", "warned", "clock_offset", "desc", 12),
        )

    def test_closed_sets(self) -> None:
        """All words of the sets are taken."""
        for name, words in (("type", TYPES), ("show", SHOWN), ("sort", COLUMNS), ("order", ORDERS)):
            for word in words:
                self.assertEqual(getattr(ask(f"{name}={word}"), name), word)

    def test_empty_values(self) -> None:
        """A form sends what was left empty, too, which counts as not given."""
        self.assertEqual(ask("q=&type=&show=&sort=&order=&page="), Question())

    def test_refusals(self) -> None:
        """The error says which parameter, what was given, and what is allowed, in one line."""
        for text, error in (
            ("type=senders", f'type: "senders": give one of {", ".join(TYPES)}'),
            ("show=some", 'show: "some": give one of all, up, missing, warned'),
            ("sort=q", f'sort: "q": give one of {", ".join(COLUMNS)}'),
            ("order=ASC", 'order: "ASC": give one of asc, desc'),
            ("page=0", 'page: "0": give a whole number from 1 to 1000000000'),
            ("page=-1", 'page: "-1": give a whole number from 1 to 1000000000'),
            ("page=%D9%A1", 'page: "١": give a whole number from 1 to 1000000000'),
            ("page=1000000001", "page: .*"),
            (f"q={'x' * 201}", 'q: "x{200}": give at most 200 characters'),
            ("page=1&page=2", "page: give it once"),
            ("order=%1B%5B31m%0A", r'order: "\\x1b\[31m\\n": .*'),
        ):
            with self.subTest(text), self.assertRaises(QueryError) as caught:
                ask(text)
            self.assertRegex(str(caught.exception), rf"\A{error}\Z")

    def test_longest_name(self) -> None:
        """200 characters can be looked for, whatever their bytes."""
        self.assertEqual(ask(f"q={'%F0%9F%8E%BB' * 200}").q, "🎻" * 200)

    def test_address(self) -> None:
        """The address has only what is not so anyway."""
        self.assertEqual(Question().address(), "?")
        self.assertEqual(
            Question(q="a&b", sort="rate").address(order="desc"), "?q=a%26b&sort=rate&order=desc"
        )

    def test_address_of_another_order(self) -> None:
        """Whoever sorts anew begins on the first page."""
        self.assertEqual(Question(page=7).address(sort="peer"), "?sort=peer")
        self.assertEqual(Question(page=7).address(page=8), "?page=8")

    @given(
        st.builds(
            Question,
            q=st.text(max_size=200),
            type=st.sampled_from(("", *TYPES)),
            show=st.sampled_from(SHOWN),
            sort=st.sampled_from(COLUMNS),
            order=st.sampled_from(ORDERS),
            page=st.integers(1, 10**9),
        )
    )
    def test_address_is_understood(self, question: Question) -> None:
        """The address of a question asks for just that."""
        self.assertEqual(ask(question.address(page=question.page)[1:]), question)


# --------------------------------------------------------------- the sparkline

TOP, BOTTOM = MARGIN, HEIGHT - MARGIN
RIGHT = WIDTH - MARGIN


def steps(**values: float) -> list[float]:
    """Give steps without an answer, but for those that are named by how long ago they are."""
    numbers = [math.nan] * TRAIL_STEPS
    for name, value in values.items():
        numbers[-1 - int(name.removeprefix("ago"))] = value
    return numbers


def path(numbers: Sequence[float], steps_ago: int = 0, patience: float = 0.0) -> str:
    return sparkline(numbers, steps_ago, patience).path


class SparklineTests(SynchronousTestCase):
    """Lines without axes."""

    def test_nothing(self) -> None:
        """There is no line where nothing is known."""
        for numbers in ([], steps()):
            self.assertEqual(sparkline(numbers, 0, 30.0), ("", 0.0))

    def test_one_point(self) -> None:
        """A single value is a dot, at the top, since it is the largest."""
        self.assertEqual(sparkline(steps(ago0=7.0), 0, 30.0), (f"M{RIGHT} {TOP}h0", 7.0))

    def test_scale(self) -> None:
        """The largest value is at the top, and 0, not the smallest, at the bottom."""
        middle = (TOP + BOTTOM) // 2
        self.assertEqual(
            sparkline(steps(ago3=10.0, ago2=5.0, ago1=0.0, ago0=10.0), 0, 0.0),
            (f"M{RIGHT - 6} {TOP}h0L{RIGHT - 4} {middle}L{RIGHT - 2} {BOTTOM}L{RIGHT} {TOP}", 10.0),
        )

    def test_whole_line(self) -> None:
        """It goes from margin to margin."""
        line = path([1.0] * TRAIL_STEPS)
        self.assertTrue(line.startswith(f"M{MARGIN} {TOP}h0L"), line)
        self.assertTrue(line.endswith(f"L{WIDTH - MARGIN} {TOP}"), line)

    def test_gap(self) -> None:
        """The line breaks where there was no value for longer than the patience."""
        for patience, steps_joined in ((0.0, 1), (1.0, 2), (TRAIL_STEP, 2), (2 * TRAIL_STEP, 3)):
            joined = path(steps(**{f"ago{steps_joined}": 1.0}, ago0=1.0), 0, patience)
            self.assertEqual(joined.count("M"), 1, patience)
            broken = path(steps(**{f"ago{steps_joined + 1}": 1.0}, ago0=1.0), 0, patience)
            self.assertEqual(broken.count("M"), 2, patience)
            self.assertNotIn("L", broken)

    def test_not_finite(self) -> None:
        """An infinite value is not drawn, and is not the largest."""
        for value in (math.inf, -math.inf, math.nan):
            self.assertEqual(
                sparkline(steps(ago1=4.0, ago0=value), 0, 0.0), (f"M{RIGHT - 2} {TOP}h0", 4.0)
            )

    def test_past(self) -> None:
        """What ended a while ago moves to the left, and out of the picture."""
        numbers = steps(ago1=1.0, ago0=2.0)
        self.assertEqual(path(numbers, 10)[: len(f"M{RIGHT - 22}")], f"M{RIGHT - 22}")
        self.assertEqual(path(numbers, TRAIL_STEPS - 1), f"M{MARGIN} {TOP}h0")
        self.assertEqual(path(numbers, TRAIL_STEPS), "")

    def test_largest_that_is_shown(self) -> None:
        """What has moved out of the picture is not the largest value."""
        numbers = [100.0, *([1.0] * (TRAIL_STEPS - 1))]
        self.assertEqual(sparkline(numbers, 0, 0.0).most, 100.0)
        self.assertEqual(sparkline(numbers, 1, 0.0).most, 1.0)

    def test_zero(self) -> None:
        """A line of nothing but zeros is at the bottom."""
        self.assertEqual(
            sparkline(steps(ago1=0.0, ago0=0.0), 0, 0.0),
            (f"M{RIGHT - 2} {BOTTOM}h0L{RIGHT} {BOTTOM}", 0.0),
        )

    def test_smallest_numbers(self) -> None:
        """Even the smallest number that there is has a line."""
        least = math.ulp(0.0)
        self.assertEqual(
            sparkline(steps(ago1=0.0, ago0=least), 0, 0.0),
            (f"M{RIGHT - 2} {BOTTOM}h0L{RIGHT} {TOP}", least),
        )

    @given(
        st.lists(st.floats(), max_size=TRAIL_STEPS),
        st.integers(0, 2 * TRAIL_STEPS),
        st.floats(0.1, 86_400.0),
    )
    def test_any_numbers(self, numbers: list[float], steps_ago: int, patience: float) -> None:
        """The line is drawn whatever the numbers, and does not leave the picture."""
        line = path(numbers, steps_ago, patience)
        self.assertRegex(line, r"\A(M\d+ \d+h0(L\d+ \d+)*)*\Z")
        for x, y in re.findall(r"[ML](\d+) (\d+)", line):
            self.assertTrue(MARGIN <= int(x) <= RIGHT and TOP <= int(y) <= BOTTOM, line)


# -------------------------------------------------------------------- the view


class SortTests(SynchronousTestCase):
    """In which order peers are shown."""

    def check(self, column: str, ascending: Sequence[str], *series: Series, last: int = 0) -> None:
        """See that a column sorts like this, but for so many without a value, which are last."""
        known_names = list(ascending[: len(ascending) - last])
        unknown = list(ascending[len(known_names) :])
        self.assertEqual(names(*series, sort=column), known_names + unknown)
        self.assertEqual(
            names(*series, sort=column, order="desc"), [*reversed(known_names), *unknown]
        )

    def test_numbers(self) -> None:
        """They go by size, and peers of which they are not known come last either way."""
        for column in ("rate", "messages", "connections", "round_trip"):
            values: dict[str, Any] = {"x": None, "b": 20, "c": 3, "d": 0, "a": None}
            series = [peer(name, **{column: value}) for name, value in values.items()]
            with self.subTest(column):
                self.check(column, "dcbax", *series, last=2)

    def test_not_a_number(self) -> None:
        """What is not a number is not known."""
        series = [peer("a", rate=math.nan), peer("b", rate=math.inf), peer("c", rate=-1.0)]
        self.check("rate", "cba", *series, last=1)

    def test_clocks(self) -> None:
        """They go by how far they are off, ahead or behind."""
        offsets = {"a": -0.5, "b": 0.1, "c": 0.7, "d": -0.2}
        series = [peer(name, clock=ClockOffset(value, 9.0)) for name, value in offsets.items()]
        self.check("clock_offset", "bdace", *series, peer("e"), last=1)

    def test_last_reply(self) -> None:
        """The one that has been silent longest is the least."""
        series = [peer("a", last=50.0), peer("b", last=10.0), peer("c", last=99.0)]
        self.check("last_reply", "bac", *series)

    def test_state(self) -> None:
        """Those that are missing come first."""
        self.check("up", "ba", peer("a"), peer("b", up=False))

    def test_types(self) -> None:
        """They have the order in which they matter, which is not that of the alphabet."""
        series = [peer(type_, type_) for type_ in sorted(TYPES)]
        self.check("type", TYPES, *series)

    def test_names(self) -> None:
        """They go by the numbers in them, and not by upper and lower case."""
        ascending = ["2", "10", "A-1", "a-2", "a-2-9", "a-2-10", "a-10", "b", "Größe-3", "ü"]
        self.check("peer", ascending, *(peer(name) for name in sorted(ascending)))

    def test_odd_names(self) -> None:
        """Numbers of any length and digits of other scripts sort, too."""
        odd = ["", "9" * 10_000, "1" * 10_000, "٣", "²", "\udc80", "0", "00"]
        self.assertEqual(sorted(names(*map(peer, odd), sort="peer")), sorted(odd))
        self.assertLess(natural("1" * 10_000), natural("2" * 10_000))

    def test_same_value(self) -> None:
        """Peers of the same value go by name, whichever the order."""
        series = [peer(name, rate=1.0) for name in ("n-10", "n-9", "n-1")]
        for order in ORDERS:
            self.assertEqual(
                names(*series, sort="rate", order=order), ["n-1", "n-9", "n-10"], order
            )

    def test_every_column(self) -> None:
        """Each column sorts, whatever is known."""
        series = [peer("a"), peer("b", up=False), peer("c", rate=1.0, messages=2, clock=EXACT)]
        for column in COLUMNS:
            self.assertEqual(sorted(names(*series, sort=column)), ["a", "b", "c"], column)


class FilterTests(SynchronousTestCase):
    """Which peers are shown."""

    def setUp(self) -> None:
        self.series = [
            peer("sender@Node-1", **WELL),
            peer("sender@node-12", round_trip=0.5, clock=EXACT),
            peer("receiver@node-2", "receiver", round_trip=0.001, clock=ClockOffset(1.0, 0.001)),
            peer("agent@node-2", "agent", up=False),
        ]

    def names(self, **question: Any) -> list[str]:
        return names(*self.series, **question)

    def test_name(self) -> None:
        """A part of the name is enough, whatever its case."""
        self.assertEqual(self.names(q="NODE-1"), ["sender@Node-1", "sender@node-12"])
        self.assertEqual(self.names(q="node-2"), ["receiver@node-2", "agent@node-2"])
        self.assertEqual(self.names(q=".*"), [])

    def test_type(self) -> None:
        """Only those of the type are shown."""
        self.assertEqual(self.names(type="receiver"), ["receiver@node-2"])
        self.assertEqual(self.names(type="inspector"), [])

    def test_state(self) -> None:
        """Those that are up, those that are missing, and all there are."""
        self.assertEqual(len(self.names(show="up")), 3)
        self.assertEqual(self.names(show="missing"), ["agent@node-2"])
        self.assertEqual(len(self.names(show="all")), 4)

    def test_warnings(self) -> None:
        """Those of which there is something to say, whatever it is."""
        self.assertEqual(
            self.names(show="warned"), ["sender@node-12", "receiver@node-2", "agent@node-2"]
        )

    def test_warnings_of_another_type(self) -> None:
        """A warning concerns a peer of its type, and none of the same name."""
        twin = peer("agent@node-2", "sender", **WELL)
        rows = table(*self.series, twin, question=Question(q="agent@")).rows
        self.assertEqual(
            [(row.type, row.warned) for row in rows],
            [("sender", frozenset()), ("agent", frozenset({"silent"}))],
        )

    def test_all_at_once(self) -> None:
        """Each filter narrows what the others leave; the counts say so."""
        shown = table(*self.series, question=Question(q="node-1", type="sender", show="warned"))
        self.assertEqual([row.peer for row in shown.rows], ["sender@node-12"])
        self.assertEqual((shown.total, shown.found, shown.first, shown.last), (4, 1, 1, 1))


class PagingTests(SynchronousTestCase):
    """Tables that are longer than a page."""

    def setUp(self) -> None:
        self.series = [peer(f"n-{each}") for each in range(2 * PEERS_A_PAGE + 5)]

    def table(self, page: int, **question: Any) -> Peers:
        return table(*self.series, question=Question(page=page, **question))

    def test_pages(self) -> None:
        """Together they have each peer once."""
        pages = [self.table(each) for each in (1, 2, 3)]
        self.assertEqual([row.peer for each in pages for row in each.rows], names_of(self.series))
        self.assertEqual(
            [(each.first, each.last, each.page, each.pages) for each in pages],
            [(1, 100, 1, 3), (101, 200, 2, 3), (201, 205, 3, 3)],
        )

    def test_beyond_the_last(self) -> None:
        """A page beyond the last one is the last, so that nobody stands before an empty table."""
        self.assertEqual(self.table(4), self.table(3))
        self.assertEqual(self.table(10**9).page, 3)
        self.assertEqual(self.table(3, q="n-7").page, 1)

    def test_full_page(self) -> None:
        """A page that is just full is followed by none."""
        self.series = self.series[:PEERS_A_PAGE]
        shown = self.table(2)
        self.assertEqual((shown.page, shown.pages, shown.last), (1, 1, PEERS_A_PAGE))

    def test_nobody(self) -> None:
        """Where there is nobody, there is one page without rows, from 0 to 0."""
        for nobody, total in ((self.table(2, q="x"), 205), (table(), 0)):
            self.assertEqual(nobody, ([], total, 0, 0, 0, 1, 1))


def names_of(series: Sequence[Series]) -> list[str]:
    return [each.peer for each in series]


class RowTests(SynchronousTestCase):
    """What the table says of a peer."""

    def test_what_is_known(self) -> None:
        """Figures have their units, and a clock how exactly it is known."""
        (row,) = table(
            peer(
                rate=1234.5,
                messages=1_000_000,
                connections=3,
                round_trip=0.0123,
                clock=ClockOffset(-0.002, 0.0005),
            )
        ).rows
        self.assertEqual(
            (row.rate, row.messages, row.connections, row.round_trip),
            ("1,234", "1,000,000", "3", "12.3 ms"),
        )
        self.assertEqual((row.clock_offset, row.clock_error), ("-2 ms", "± 500 µs"))
        self.assertEqual((row.up, row.last_reply.ago), (True, "1 s ago"))

    def test_what_is_not_known(self) -> None:
        """It is a dash, which 0 is not."""
        (unknown,) = table(peer(up=False)).rows
        (zero,) = table(peer(rate=0.0, messages=0, connections=0)).rows
        fields = ("rate", "messages", "connections")
        self.assertEqual([getattr(unknown, each) for each in fields], [NOTHING] * 3)
        self.assertEqual([getattr(zero, each) for each in fields], ["0"] * 3)
        self.assertEqual((unknown.round_trip, unknown.clock_offset), (NOTHING, NOTHING))
        self.assertEqual(unknown.clock_error, "")

    def test_lines(self) -> None:
        """They are those of the peer and its type, and the largest value is told in words."""
        newest_step = math.floor(NOW.monotonic / TRAIL_STEP) * TRAIL_STEP
        newest = trail(newest_step + TRAIL_STEP)
        row, other = table(
            peer(), peer(type_="receiver"), trails={("worker@node", "sender"): newest}
        ).rows
        self.assertEqual(row.rate_line, (f"M{RIGHT} {TOP}h0", 2000.0))
        self.assertEqual(row.round_trip_line, (f"M{RIGHT} {TOP}h0", 0.25))
        self.assertIn("at most 2,000 messages per second", row.rate_text)
        self.assertIn("at most 250 ms", row.round_trip_text)
        self.assertEqual((other.rate_line.path, other.round_trip_line.path), ("", ""))

    def test_lines_of_the_past(self) -> None:
        """A trail that ended is drawn where it was."""
        for since, behind in ((0.0, 1), (14.9, 1), (15.0, 2), (150.0, 11)):
            ended = trail(NOW.monotonic - since)
            (row,) = table(peer(), trails={("worker@node", "sender"): ended}).rows
            self.assertEqual(row.rate_line.path, f"M{RIGHT - STEP_WIDTH * behind} {TOP}h0", since)


class WarningTests(SynchronousTestCase):
    """What a person should look at."""

    def test_groups(self) -> None:
        """Findings of one kind are together; five are named and the others counted."""
        findings = [
            *(Finding("silent", f"is silent since {each}", "p", "agent") for each in range(8)),
            *(Finding("slow", f"is slow {each}", "q", "sender") for each in range(5)),
            Finding("rejected", "3 malformed"),
        ]
        groups = warned(findings)
        self.assertEqual([each.kind for each in groups], ["silent", "slow", "rejected"])
        self.assertEqual([each.title for each in groups], [KINDS[each.kind] for each in groups])
        self.assertEqual([len(each.sentences) for each in groups], [5, 5, 1])
        self.assertEqual([each.more for each in groups], [3, 0, 0])
        self.assertEqual(groups[0].sentences[4], "agent p is silent since 4")
        self.assertEqual(groups[2].sentences, ["3 malformed"])

    def test_summary(self) -> None:
        """It says how many there are and of which kinds, and stays while these do."""
        silent = [peer(f"n-{each}", up=False, last=50.0 + each) for each in range(3)]
        shown = view(known(*silent, peer(**WELL)), Question())
        self.assertEqual(shown["summary"], f"3 warnings: {KINDS['silent']}")
        later = view(known(*silent, peer(**WELL), now=at(110)), Question())
        self.assertEqual(later["summary"], shown["summary"])
        self.assertEqual(view(known(peer(**WELL)), Question())["summary"], "No warnings")

    def test_not_known_yet(self) -> None:
        """Before the first round after a connect, the only thing to say of peers is just that."""
        peers = (peer("a", up=False), peer("b", round_trip=9.0, clock=ClockOffset(9.0, 0.001)))
        shown = view(known(*peers, unready=TOO_EARLY), Question())
        self.assertEqual(shown["warned"], [("not_ready", KINDS["not_ready"], [TOO_EARLY], 0)])
        self.assertEqual(shown["summary"], f"1 warning: {KINDS['not_ready']}")
        self.assertEqual([row.warned for row in shown["peers"].rows], [frozenset()] * 2)
        later = view(known(*peers), Question())
        self.assertEqual(
            [each.kind for each in later["warned"]], ["silent", "clock_offset", "slow"]
        )

    def test_not_known_yet_of_the_exporter(self) -> None:
        """What the exporter knows of itself is told all the same."""
        shown = view(
            known(state=STATE._replace(stages_ill=("drain",)), unready=TOO_EARLY), Question()
        )
        self.assertEqual([each.kind for each in shown["warned"]], ["not_ready", "ill"])

    def test_unknown_clocks(self) -> None:
        """The processes are counted whose clock is not known well, if anything is known at all."""
        vague = ClockOffset(0.0, 0.02)
        peers = [
            peer("a", **WELL),
            peer("b", round_trip=0.04, clock=vague),
            peer("c"),
            shown(process("1", 0.0, clock=vague), process("2", 0.0)),
            peer("d", up=False),
        ]
        self.assertEqual(view(known(*peers), Question())["unknown_clocks"], 4)
        self.assertEqual(view(known(*peers, unready=TOO_EARLY), Question())["unknown_clocks"], 0)

    def test_filter(self) -> None:
        """What is looked for in the table leaves the warnings as they are."""
        everything = known(peer("a", up=False), peer("b"))
        self.assertEqual(
            view(everything, Question(q="b"))["warned"], view(everything, Question())["warned"]
        )

    def test_common_offset(self) -> None:
        """Clocks that are off alike are said to be; then ours may be the one that is wrong."""
        off = ClockOffset(2.0, 0.001)
        alike = [peer(f"n-{each}", round_trip=0.001, clock=off) for each in range(3)]
        self.assertEqual(view(known(*alike), Question())["common_offset"], "+2 s")
        self.assertEqual(view(known(*alike[:2]), Question())["common_offset"], "")


class RunTests(SynchronousTestCase):
    """Test runs."""

    def test_run_that_goes_on(self) -> None:
        """It lasts until now, has no end, and what has gone into it is spelled for people."""
        run = Run(number=3, start=at(10), running=2, lost=1, sent=5000, received=4990)
        shown = view(known(run=run), Question())["run"]
        self.assertTrue(shown["running"])
        self.assertEqual((shown["end"], shown["result"], shown["name"]), (None, None, ""))
        self.assertEqual(shown["duration"], "1 min 30 s")
        self.assertEqual((shown["sent"], shown["received"]), ("5,000", "4,990"))
        self.assertEqual(shown["balance"], "10")
        self.assertEqual(shown["processes"], [("at work", 2), ("lost", 1)])

    def test_run_that_is_over(self) -> None:
        """It took what it took; its test has a name where a peer has said so."""
        test = NamedTest("1", "2", "fixed rate", "/tests/rate.groovy")
        run = Run(number=3, start=at(10), end=at(12), result="failure", test=test, received=4)
        shown = view(known(run=run), Question())["run"]
        self.assertFalse(shown["running"])
        self.assertEqual(shown["duration"], "2 s")
        self.assertEqual(shown["name"], "fixed rate /tests/rate.groovy")
        self.assertEqual(shown["balance"], "-4")
        self.assertEqual(shown["end"].machine, "2023-11-14T22:13:32.000Z")

    def test_name_that_is_not_complete(self) -> None:
        """What is not said is left out."""
        for test, name in ((NamedTest("", "", "", "x"), "x"), (NamedTest("", "", "", ""), "")):
            run = Run(number=1, start=at(0), test=test)
            self.assertEqual(view(known(run=run), Question())["run"]["name"], name)

    def test_run_that_has_just_begun(self) -> None:
        """It has lasted no seconds."""
        run = Run(number=1, start=NOW)
        self.assertEqual(view(known(run=run), Question())["run"]["duration"], "0 s")

    def test_last_runs(self) -> None:
        """Only the newest are shown, the newest first."""
        finished = tuple(
            Run(number=20 - each, start=at(0), end=at(1), result="success") for each in range(15)
        )
        shown = view(known(finished=finished), Question())["runs"]
        self.assertEqual([each["number"] for each in shown], list(range(20, 20 - RUNS, -1)))

    def test_speeds(self) -> None:
        """What senders send and receivers receive in the last steps is added, apart."""
        nothing = math.nan
        steps = {
            ("a", "sender"): (9.0, 1000.0),
            ("b", "sender"): (500.0, nothing),
            ("c", "sender"): (nothing, nothing),
            ("d", "receiver"): (9.0, 1400.0),
            ("e", "agent"): (9.0, 7.0),
            ("gone", "sender"): (9.0, 900.0),
        }
        trails = {
            series: trail(1000.0)._replace(rates=array("f", rates))
            for series, rates in steps.items()
        }
        series = [peer(name, type_, up=name != "gone") for name, type_ in steps]
        shown = view(known(*series, peer("new"), trails=trails), Question())
        self.assertEqual(shown["speeds"], ("1,500/s", "1,400/s"))

    def test_speeds_that_are_not_known(self) -> None:
        """Where nobody has told one lately it is not known, which is not 0."""

        def speeds(*rates: float) -> tuple[str, str]:
            trails = {("a", "sender"): trail(1000.0)._replace(rates=array("f", rates))}
            each: tuple[str, str] = view(known(peer("a"), trails=trails), Question())["speeds"]
            return each

        fresh = [math.nan] * (math.ceil(STATE.expiry / TRAIL_STEP) + 1)
        self.assertEqual(view(known(), Question())["speeds"], (NOTHING, NOTHING))
        self.assertEqual(speeds(*fresh), (NOTHING, NOTHING))
        self.assertEqual(speeds(7.0, *fresh), (NOTHING, NOTHING))
        self.assertEqual(speeds(7.0, *fresh[1:]), ("7/s", NOTHING))
        self.assertEqual(speeds(0.0), ("0/s", NOTHING))


class EventTests(SynchronousTestCase):
    """What happened."""

    def test_event(self) -> None:
        """It says what, who and when, without underscores."""
        event = Event(at(40), "peer_changed_role", "worker@node", "sender", "was receiver")
        (shown,) = view(known(events=(event,)), Question())["events"]
        self.assertEqual(
            (shown["kind"], shown["who"], shown["message"], shown["at"].people),
            ("peer changed role", "sender worker@node", "was receiver", "22:14:00"),
        )

    def test_event_of_nobody(self) -> None:
        """Nobody is named where it concerns nobody in particular."""
        (shown,) = view(known(events=(Event(at(40), "connection_lost"),)), Question())["events"]
        self.assertEqual(shown["who"], "")

    def test_last_events(self) -> None:
        """Only the newest are shown, the newest first."""
        events = tuple(Event(at(-each), "peer_joined", str(each)) for each in range(EVENTS + 5))
        shown = view(known(events=events), Question())["events"]
        self.assertEqual([each["peer"] for each in shown], [str(each) for each in range(EVENTS)])


class TimeTests(SynchronousTestCase):
    """How times are shown."""

    def people(self, seconds: float, now: float = 100.0) -> str:
        return shown_time(at(seconds), at(now)).people

    def test_today(self) -> None:
        """A time of today has no date."""
        self.assertEqual(self.people(0), "22:13:20")
        self.assertEqual(self.people(-80_000), "00:00:00")

    def test_other_days(self) -> None:
        """A time of another day has its date, of yesterday as of tomorrow."""
        self.assertEqual(self.people(-80_001), "2023-11-13 23:59:59")
        self.assertEqual(self.people(6400), "2023-11-15 00:00:00")
        self.assertEqual(self.people(0, now=6400), "2023-11-14 22:13:20")

    def test_machines(self) -> None:
        """Machines get all of it, to the millisecond."""
        self.assertEqual(shown_time(at(0.25), NOW).machine, "2023-11-14T22:13:20.250Z")

    def test_ago(self) -> None:
        """How long ago it was goes by the clock that never steps, in whole seconds."""
        for monotonic, ago in ((0.0, "1 min 40 s"), (98.6, "1 s"), (99.6, "0 s"), (100.5, "0 s")):
            shown = shown_time(Moment(monotonic, 0.0), Moment(100.0, 1e9))
            self.assertEqual(shown.ago, f"{ago} ago")

    def test_clock_that_is_mad(self) -> None:
        """A time that cannot be spelled is unknown, and whatever it is, the others are shown."""
        for unix in (math.inf, math.nan, 1e300, -1e300):
            mad = Moment(NOW.monotonic, unix)
            self.assertEqual(shown_time(mad, NOW), ("", "at an unknown time", "0 s ago"))
            self.assertEqual(shown_time(at(0), mad).people, "2023-11-14 22:13:20")


# -------------------------------------------------------------------- the page

VOID = frozenset({"meta", "link", "input"})


@dataclasses.dataclass
class Element:
    """A part of the page."""

    tag: str
    attributes: dict[str, str | None]
    content: list[Element | str] = dataclasses.field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(each if isinstance(each, str) else each.text for each in self.content)

    @property
    def line(self) -> str:
        """The text with its white space as it is shown."""
        return " ".join(self.text.split())

    def all(self, tag: str = "") -> Iterator[Element]:
        """Give those within it, in their order; all of them, or those of a tag."""
        for each in self.content:
            if isinstance(each, Element):
                if tag in ("", each.tag):
                    yield each
                yield from each.all(tag)

    def of(self, id_: str) -> Element:
        """Give the one with an id."""
        (found,) = [each for each in self.all() if each.attributes.get("id") == id_]
        return found

    def values(self, *attributes: str) -> list[str]:
        """Give what stands in these attributes."""
        return [
            value or ""
            for each in self.all()
            for name, value in each.attributes.items()
            if name in attributes
        ]


class Reader(HTMLParser):
    """Reads a page strictly: each tag is closed where it should be, each attribute is there once.

    Attributes:
        root: what has been read.
    """

    def __init__(self) -> None:
        super().__init__()
        self.root = Element("", {})
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = self._add(tag, attrs)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._add(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self._open[-1].tag == tag, f"{self.getpos()}: {self._open[-1].tag} ends as {tag}"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        self._open[-1].content.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def handle_pi(self, data: str) -> None:
        raise AssertionError(f"an instruction: {data}")

    def close(self) -> None:
        super().close()
        assert self._open == [self.root], self._open[-1].tag

    def _add(self, tag: str, attrs: list[tuple[str, str | None]]) -> Element:
        assert len(dict(attrs)) == len(attrs), f"{self.getpos()}: an attribute is there twice"
        element = Element(tag, dict(attrs))
        self._open[-1].content.append(element)
        return element


def read(known: Known, question: Question = PLAIN, telemetry_path: str = "/metrics") -> Element:
    """Give the page as it is read."""
    reader = Reader()
    reader.feed(page(known, question, telemetry_path).decode())
    reader.close()
    return reader.root


def busy(text: str = "harmless", type_: str = "other") -> Known:
    """Give a cluster of which there is something to say everywhere; all free texts are this one."""
    off = ClockOffset(9.0, 0.001)
    series = [
        peer(text, type_, round_trip=1.0, clock=off, rate=5.0, messages=3, connections=2),
        *(peer(f"{text}{each}", "sender", up=False) for each in range(PEERS_A_PAGE)),
        peer(text, "agent", round_trip=1.0, clock=off),
        peer(text, "receiver", round_trip=1.0, clock=off),
    ]
    test = NamedTest(text, text, text, text)
    finished = Run(number=1, start=at(1), end=at(2), result="failure", test=test, failure=text)
    return known(
        *series,
        state=exporter_state(
            broker=text,
            client_id=text,
            mqtt_version="5",
            broker_up=True,
            last_link_error=LinkError(at(-9), "lost", text),
            stages_ill=("drain",),
            results_dropped=2,
            last_rejected=at(90).monotonic,
            notes_rejected={"malformed": 2},
        ),
        trails={(text, type_): trail(NOW.monotonic)},
        run=dataclasses.replace(finished, end=None, result=None, number=2),
        finished=(finished,),
        last_round=at(95),
        events=(Event(at(3), "peer_joined", text, type_, text), Event(at(1), "test_finished")),
    )


Structure = list[tuple[str, list[str]]]


def structure(root: Element) -> Structure:
    """Give the tags and the names of their attributes."""
    return [(each.tag, list(each.attributes)) for each in root.all()]


#: All that a page can look like.
PAGES: Mapping[str, tuple[Known, Question]] = {
    "nobody": (known(), Question()),
    "nothing is known": (known(state=exporter_state(), unready="no broker"), Question()),
    "nothing is known yet": (known(peer(), unready=TOO_EARLY), Question()),
    "all is well": (known(peer(**WELL)), Question()),
    "busy": (busy(), Question()),
    "busy, the last page": (busy(), Question(page=2, sort="rate", order="desc")),
    "filtered": (busy(), Question(q="1", type="sender", show="missing")),
    "nobody is like that": (busy(), Question(q="?", type="agent", show="up")),
    "a run is over": (
        known(run=Run(number=1, start=at(0), end=at(9), result="success")),
        Question(),
    ),
}

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=1>',
    "'><svg/onload=alert(1)>",
    "</title></textarea></select><!--",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "&lt;b&gt;&amp;&quot",
    " a\0b ",
    "a\ud83cb\udc80",
    "\u202egnorw\u2066\u200f",
    "\x1b[31m\x7f\x9b",
    "Größe 🎻",
)


def encodable(text: str) -> str:
    """Give a text as it is sent."""
    return text.encode(errors="replace").decode()


class PageTests(SynchronousTestCase):
    """What is true of each page, whatever it shows."""

    def pages(self) -> Iterator[Element]:
        for name, (known, question) in PAGES.items():
            with self.subTest(name):
                yield read(known, question)

    def test_document(self) -> None:
        """It is one document in UTF-8, of which each tag is closed in its place."""
        for root in self.pages():
            (html,) = [each for each in root.content if isinstance(each, Element)]
            self.assertEqual((html.tag, html.attributes), ("html", {"lang": "en"}))
            self.assertEqual(next(html.all("meta")).attributes, {"charset": "utf-8"})
        self.assertTrue(page(known(), Question(), "/metrics").startswith(b"<!DOCTYPE html>\n"))

    def test_no_code(self) -> None:
        """No script and no style stands in it: the page forbids itself to have any."""
        for root in self.pages():
            self.assertEqual(list(root.all("style")), [])
            (script,) = root.all("script")
            self.assertEqual((script.text, script.attributes["src"]), ("", "assets/status.js"))
            for each in root.all():
                bad = [name for name in each.attributes if re.match(r"on|style\Z", name)]
                self.assertEqual(bad, [], each.tag)

    def test_links(self) -> None:
        """All are relative, so that it also works below a proxy's path."""
        base = "https://proxy.example.com/below/here/"
        for root in self.pages():
            links = root.values("href", "src", "action")
            self.assertGreater(len(links), 10)
            for link in links:
                self.assertTrue(urljoin(base, link).startswith(base), link)

    def test_links_within_the_page(self) -> None:
        """What is referred to by its id is there."""
        for root in self.pages():
            ids = root.values("id")
            self.assertEqual(len(ids), len(set(ids)))
            anchors = {link.partition("#")[2] for link in root.values("href", "action")} - {""}
            self.assertLessEqual({*anchors, *root.values("aria-labelledby")}, set(ids))

    def test_assets(self) -> None:
        """Each file beside it is there, and each that is there is used."""
        root = read(known(), Question())
        used = [link for link in root.values("href", "src") if link.startswith("assets/")]
        self.assertEqual(sorted(used), sorted(f"assets/{name}" for name in ASSETS))

    def test_addresses(self) -> None:
        """Each link that asks for something else can be answered."""
        for root in self.pages():
            asked = [link for link in root.values("href") if link.startswith("?")]
            self.assertGreaterEqual(len(asked), len(COLUMNS))
            for link in asked:
                ask(link[1:].partition("#")[0])

    def test_live_parts(self) -> None:
        """What is kept up to date has an id, and is there on each page, but in no other such."""
        ids: set[tuple[str | None, ...]] = set()
        for root in self.pages():
            live = [each for each in root.all() if "data-live" in each.attributes]
            ids.add(tuple(each.attributes.get("id") for each in live))
            for each in live:
                self.assertTrue(each.attributes.get("id"), each.tag)
                self.assertEqual(each.values("data-live"), [])
        self.assertEqual(len(ids), 1)

    def test_refresh(self) -> None:
        """It is asked for again each interval, but not twice a second, nor after minutes only."""
        for interval, refresh in ((0.1, "1"), (2.5, "2.5"), (10.0, "5"), (3600.0, "5")):
            root = read(known(state=exporter_state(interval=interval)))
            self.assertEqual(next(root.all("body")).attributes["data-refresh"], refresh)

    def test_metrics(self) -> None:
        """The metrics are linked where they are."""
        for place in ("/metrics", "/a/b"):
            self.assertIn(place[1:], read(known(), telemetry_path=place).values("href"))


class ContentTests(SynchronousTestCase):
    """Where things stand on the page."""

    def test_nobody(self) -> None:
        """Where nobody has answered yet, each part says that there is nothing."""
        root = read(known(unready=TOO_EARLY))
        self.assertEqual(list(root.of("rows").all()), [])
        for id_, text in (
            ("found", "No peer has answered yet."),
            ("run", "none No test has run since the exporter was started."),
            ("runs", "None is over yet."),
            ("events", "Nothing has happened yet."),
            ("pages", ""),
        ):
            self.assertEqual(root.of(id_).line, text)
        self.assertEqual(root.of("warnings").line, f"{KINDS['not_ready']} {TOO_EARLY}")
        self.assertEqual(
            next(root.all("title")).text.partition(" – ")[0], "(1) Maestro test cluster"
        )

    def test_nothing_to_warn_of(self) -> None:
        """It says what is well, and within which limits, only where that is known."""
        root = read(known(peer(**WELL)))
        self.assertEqual(
            root.of("warnings").line,
            "none Nobody is missing, no clock is off by more than 5 ms for certain, nobody takes "
            "longer than 50 ms to answer.",
        )
        self.assertEqual(next(root.all("title")).text.partition(" – ")[0], "Maestro test cluster")
        for unknown in (known(), known(peer(**WELL), unready=TOO_EARLY)):
            self.assertNotIn("Nobody is missing", read(unknown).of("warnings").line)

    def test_limits(self) -> None:
        """They are those by which it is judged."""
        limits = fitness.Demands()
        offset, round_trip = span(limits.max_clock_offset), span(limits.max_round_trip)
        line = read(known(peer(**WELL))).of("warnings").line
        self.assertIn(f"off by more than {offset} for certain", line)
        self.assertIn(f"longer than {round_trip} to answer", line)
        self.assertIn(f"not known to {offset}:", read(known(peer())).of("warnings").line)

    def test_clocks_that_are_not_known(self) -> None:
        """A quiet line tells how many there are, below the warnings or instead of them."""
        vague = [
            peer(f"n-{each}", round_trip=0.04, clock=ClockOffset(0.0, 0.02)) for each in range(1200)
        ]
        for count, who in (
            (0, ""),
            (1, "1 process"),
            (2, "2 processes"),
            (1200, "1,200 processes"),
        ):
            for another, is_warned in ((peer("a", **WELL), False), (peer("a", up=False), True)):
                warnings = read(known(*vague[:count], peer("b", **WELL), another)).of("warnings")
                self.assertEqual(bool(list(warnings.all("h3"))), is_warned)
                notes = [each.line for each in warnings.all("p") if each.line.startswith("Of ")]
                self.assertEqual(
                    notes,
                    [
                        f"Of {who} the clock is not known to 5 ms: a PING tells it to half of its "
                        "round trip."
                    ]
                    if count
                    else [],
                )

    def test_held(self) -> None:
        """Beside the button it can be said that updates are held up; at first that is hidden."""
        root = read(known())
        (beside,) = [each for each in root.all("p") if each.attributes.get("class") == "refresh"]
        for id_ in ("held", "pause"):
            self.assertIn("hidden", beside.of(id_).attributes)
        self.assertTrue(beside.of("held").line)
        self.assertNotIn("data-live", beside.of("held").attributes)

    def test_thousand_peers(self) -> None:
        """A page of them is shown, with the ways to the pages beside it."""
        cluster = known(*(peer(f"n-{each}", rate=each) for each in range(1000)))
        for number, previous, following in (
            (1, None, "?sort=rate&page=2#peers"),
            (2, "?sort=rate#peers", "?sort=rate&page=3#peers"),
            (10, "?sort=rate&page=9#peers", None),
            (11, "?sort=rate&page=9#peers", None),
        ):
            root = read(cluster, Question(sort="rate", page=number))
            links = {each.attributes["rel"]: each for each in root.of("pages").all("a")}
            addresses = {rel: each.attributes["href"] for rel, each in links.items()}
            self.assertEqual((addresses.get("prev"), addresses.get("next")), (previous, following))
            self.assertEqual(len(list(root.of("rows").all("tr"))), PEERS_A_PAGE)
        self.assertEqual(root.of("found").line, "901 to 1,000 of 1,000 peers")

    def test_nobody_is_like_that(self) -> None:
        """Who filters for what there is not is told how many there are, and finds the way back."""
        root = read(known(peer()), Question(q="x", sort="rate"))
        self.assertEqual(root.of("found").line, "No peer is like that, out of 1.")
        (link,) = links_of(root, "Show all")
        self.assertEqual(link.attributes["href"], "?sort=rate#peers")
        self.assertEqual(links_of(read(known(peer()), Question(sort="rate")), "Show all"), [])

    def test_headings(self) -> None:
        """Each sorts by its column, the other way round where that is so already."""
        root = read(known(peer()), Question(q="w", sort="peer", page=2))
        for column, address, order in (
            ("peer", "?q=w&sort=peer&order=desc#peers", "ascending"),
            ("rate", "?q=w&sort=rate&order=desc#peers", None),
            ("type", "?q=w#peers", None),
        ):
            (heading,) = [each for each in root.all("th") if each.attributes.get("class") == column]
            self.assertEqual(heading.attributes.get("aria-sort"), order)
            self.assertEqual(next(heading.all("a")).attributes["href"], address)
        root = read(known(peer()), Question(sort="peer", order="desc"))
        self.assertEqual(root.of("sort-peer").attributes["href"], "?sort=peer#peers")

    def test_form(self) -> None:
        """It shows what is asked for, and keeps the order."""
        root = read(known(peer()), Question("a", "agent", "missing", "rate", "desc"))
        chosen = [each.text for each in root.all("option") if "selected" in each.attributes]
        self.assertEqual(chosen, ["agent", "those that are missing"])
        fields = {each.attributes["name"]: each.attributes["value"] for each in root.all("input")}
        self.assertEqual(fields, {"q": "a", "sort": "rate", "order": "desc"})

    def test_states_of_peers(self) -> None:
        """Up, missing, and down where nobody waits for it."""
        anew = process("id", 99.5, peer="b", type="other", **WELL)
        root = read(
            known(peer("a", up=False), peer("b", up=False), shown(anew)), Question(sort="peer")
        )
        cells = [[each.text for each in row.all("td")] for row in root.of("rows").all("tr")]
        self.assertEqual(
            [each[:2] for each in cells],
            [["sender", "missing"], ["sender", "down"], ["other", "up"]],
        )

    def test_warnings(self) -> None:
        """Each kind has its heading; the number of those that are not named leads to them."""
        root = read(known(*(peer(f"n-{each}", up=False) for each in range(1007)), peer(**WELL)))
        warnings = root.of("warnings")
        self.assertEqual([each.text for each in warnings.all("h3")], [KINDS["silent"]])
        self.assertEqual(len(list(warnings.all("bdi"))), 5)
        self.assertIn("and 1,002 more: see all peers with warnings", warnings.line)
        self.assertEqual(warnings.values("href"), ["?show=warned#peers"])
        self.assertTrue(next(root.all("title")).text.startswith("(1) "))

    def test_ways_to_the_warned(self) -> None:
        """Each kind that has more has a way of its own, so that the focus stays on it."""
        silent = [peer(f"n-{each}", up=False) for each in range(6)]
        slow = [peer(f"s-{each}", round_trip=1.0, clock=EXACT) for each in range(7)]
        shared = [peer(f"r-{each}", "receiver", clock=EXACT, round_trip=1.0) for each in range(2)]
        warnings = read(known(*silent, *slow, *shared)).of("warnings")
        self.assertEqual(
            {each.attributes["id"]: each.text for each in warnings.all("a")},
            dict.fromkeys(("more-silent", "more-slow"), "see all peers with warnings"),
        )

    def test_broker_that_is_away(self) -> None:
        """It is said at the top, as a warning, and with what went wrong last."""
        error = LinkError(at(40), "not_authorized", "go away")
        why = "not connected to the Maestro broker at localhost:1883: go away"
        root = read(known(state=exporter_state(last_link_error=error), unready=why))
        self.assertEqual(root.of("link").line, "not connected to the broker at localhost:1883")
        self.assertEqual(root.of("warnings").line, f"{KINDS['no_broker']} {why}")
        self.assertIn("not authorized22:14:00 UTC, 1 min ago: go away", root.of("broker").line)

    def test_time_that_is_unknown(self) -> None:
        """What a mad clock says stands in no attribute."""
        mad = peer()._replace(last_reply=Moment(NOW.monotonic, math.inf))
        root = read(known(mad, now=mad.last_reply))
        self.assertEqual(root.of("made").line, "as of at an unknown time UTC")
        self.assertNotIn("", root.values("datetime", "title"))


def links_of(root: Element, text: str) -> list[Element]:
    return [each for each in root.all("a") if each.text == text]


class HostileTextTests(SynchronousTestCase):
    """Whatever peers and the broker say is text, and nothing but text."""

    def check(self, root: Element, harmless: Structure) -> None:
        """See that a page has the structure of a harmless one."""
        found = structure(root)
        for each, expected in zip(found, harmless, strict=False):
            self.assertEqual(each, expected)
        self.assertEqual(len(found), len(harmless))

    def test_structure(self) -> None:
        """No text brings an element or an attribute with it."""
        question = Question(sort="up", order="desc")
        harmless = structure(read(busy(), question))
        self.assertGreater(len(harmless), 1000)
        for text in HOSTILE:
            with self.subTest(text):
                self.check(read(busy(text), question), harmless)

    def test_text(self) -> None:
        """Each text is shown as it was said, but for halves of surrogate pairs."""
        for text in HOSTILE:
            root = read(busy(text), Question(sort="up", order="desc"))
            shown = encodable(text)
            with self.subTest(text):
                self.assertIn(f"other {shown} ", root.of("warnings").text)
                self.assertIn(f", {shown} {shown}, since", root.of("run").text)
                self.assertIn(f"Failed: {shown}", root.of("run").text)
                self.assertIn(f": {shown}", root.of("broker").text)
                self.assertIn(shown, [each.text for each in root.of("rows").all("bdi")])
                runs = [each.text for each in root.of("runs").all("bdi")]
                self.assertEqual(runs, [f"{shown} {shown}", shown])
                events = [each.text for each in root.of("events").all("bdi")]
                self.assertEqual(events, [f"other {shown}".strip(), shown, NOTHING, NOTHING])

    def test_reason(self) -> None:
        """What the broker says when it takes nobody is text, too."""
        harmless = structure(read(known(state=exporter_state(), unready="harmless")))
        for text in HOSTILE:
            root = read(known(state=exporter_state(), unready=text))
            self.check(root, harmless)
            (said,) = [each.text for each in root.of("warnings").all("bdi")]
            self.assertEqual(said, encodable(text))

    def test_attribute(self) -> None:
        """What was looked for stands in the form again, to the letter."""
        harmless = structure(read(known(), Question(q="harmless")))
        for text in HOSTILE:
            root = read(known(), Question(q=encodable(text)))
            self.check(root, harmless)
            field = next(root.all("input"))
            self.assertEqual(field.attributes["name"], "q")
            self.assertEqual(field.attributes["value"], encodable(text))

    def test_direction(self) -> None:
        """A text that is read from right to left turns round nothing but itself."""
        text = "\u202egnorw"
        root = read(busy(text))
        self.assertGreater(sum(text in each.text for each in root.all("bdi")), 100)
        for section in root.all("section"):
            outside = [each for each in loose_texts(section) if text in each]
            self.assertEqual(outside, [])


def loose_texts(element: Element) -> Iterator[str]:
    """Give the texts that stand in no `bdi`."""
    for each in element.content:
        if isinstance(each, str):
            yield each
        elif each.tag != "bdi":
            yield from loose_texts(each)
