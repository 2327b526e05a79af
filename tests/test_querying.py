"""What is asked behind the `?` of a URL, and what is wrong with it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter import values
from maestro_exporter.querying import Parameter, Query, QueryError, answers

PARAMETERS = (
    Parameter("page", values.integer(1, 99), 1),
    Parameter("show", values.one_of(("all", "up")), None),
)


class AnswersTests(SynchronousTestCase):
    def error(self, query: Query) -> str:
        """Give what is said of a query that cannot be answered."""
        return str(self.assertRaises(QueryError, answers, query, PARAMETERS))

    def test_nothing_asked(self) -> None:
        """What is not given has its default."""
        self.assertEqual({"page": 1, "show": None}, answers({}, PARAMETERS))

    def test_given(self) -> None:
        """What is given is parsed; all else has its default."""
        self.assertEqual({"page": 7, "show": None}, answers({"page": ["7"]}, PARAMETERS))
        self.assertEqual(
            {"page": 7, "show": "up"}, answers({"show": ["up"], "page": ["7"]}, PARAMETERS)
        )

    def test_no_parameters(self) -> None:
        """Where nothing can be asked for, an empty query is answered."""
        self.assertEqual({}, answers({}, ()))

    def test_unknown(self) -> None:
        """What is no parameter is refused, with all that there are: it may be misspelled."""
        self.assertEqual(
            '"pages" is no parameter; there are page, show',
            self.error({"page": ["1"], "pages": ["7"]}),
        )

    def test_not_once(self) -> None:
        """A parameter is refused unless it is there once, even if both say the same."""
        for texts in (["1", "2"], ["1", "1"], []):
            self.assertEqual("page: give it once", self.error({"page": texts}))

    def test_bad_value(self) -> None:
        """A value that cannot be is refused, with what is allowed; an empty one is a value."""
        self.assertEqual(
            'page: "100": give a whole number from 1 to 99', self.error({"page": ["100"]})
        )
        self.assertEqual('show: "": give one of all, up', self.error({"show": [""]}))

    def test_hostile(self) -> None:
        """An error is one printable line, whatever the query says, and not much longer."""
        for query in (
            {"\n\x1b[31m\udc80": ["1"]},
            {"page": ["\n\x1b[31m\udc80"]},
            {"x" * 10_000: ["1"]},
            {"page": ["1" * 10_000]},
        ):
            error = self.error(query)

            self.assertTrue(error.isprintable(), error)
            self.assertLess(len(error), 300)

    def test_secrets(self) -> None:
        """What may be a password, in a URL that was pasted, is not repeated."""
        for query in (
            {"page": ["mqtt://me:secret@broker"]},
            {"mqtt://me:secret@broker": ["1"]},
        ):
            self.assertNotIn("secret", self.error(query))

    def test_value_error(self) -> None:
        """To others, an error is a ValueError that says what is wrong."""
        self.assertIsInstance(QueryError("no"), ValueError)
        self.assertEqual("a b: \\n", str(QueryError("a b: \n")))
