"""Which version of MQTT is tried next."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.mqtt.dialect import V5, V311, Dialect


class DialectTests(SynchronousTestCase):
    """A dialect that is found out."""

    def setUp(self) -> None:
        self.dialect = Dialect()

    def assert_version(self, version: int, name: str) -> None:
        self.assertEqual((version, name), (self.dialect.version, self.dialect.name))

    def test_newest_version_is_first(self) -> None:
        """It alone says for how long a session is kept, and why a connection ends."""
        self.assert_version(V5, "5")

    def test_version_that_is_accepted_stays(self) -> None:
        """Whatever comes later, the broker knows it."""
        self.assertTrue(self.dialect.accepted())
        for _ in range(3):
            self.dialect.unanswered()
            self.assert_version(V5, "5")

    def test_version_that_is_refused(self) -> None:
        """There is one other, once; that is settled then."""
        self.assertTrue(self.dialect.refused())
        self.assert_version(V311, "3.1.1")
        self.assertFalse(self.dialect.refused())
        self.dialect.unanswered()
        self.assert_version(V311, "3.1.1")
        self.assertTrue(self.dialect.accepted())

    def test_version_that_is_not_answered(self) -> None:
        """The other one has its turn, again and again."""
        for version, name in ((V311, "3.1.1"), (V5, "5"), (V311, "3.1.1")):
            self.dialect.unanswered()
            self.assert_version(version, name)

    def test_older_version_is_doubted_once(self) -> None:
        """It was accepted, but the newer one only not answered; the second time it is settled."""
        self.dialect.unanswered()
        self.assertFalse(self.dialect.accepted())
        self.assert_version(V5, "5")
        self.dialect.unanswered()
        self.assert_version(V311, "3.1.1")
        self.assertTrue(self.dialect.accepted())
        self.dialect.unanswered()
        self.assert_version(V311, "3.1.1")

    def test_newer_version_is_taken_when_it_is_accepted_at_last(self) -> None:
        """It was only the broker that was away."""
        self.dialect.unanswered()
        self.dialect.accepted()
        self.assertTrue(self.dialect.accepted())
        self.dialect.unanswered()
        self.assert_version(V5, "5")

    def test_refusal_is_certain_whatever_came_before(self) -> None:
        """A broker that says that it does not know a version does not know it."""
        self.dialect.unanswered()
        self.dialect.unanswered()
        self.assertTrue(self.dialect.refused())
        self.assertTrue(self.dialect.accepted())
        self.assert_version(V311, "3.1.1")


class GivenDialectTests(SynchronousTestCase):
    """A dialect that somebody has decided on."""

    def test_version_stays(self) -> None:
        """Neither a refusal nor silence changes it, and what is accepted is not doubted."""
        for name, version in (("5", V5), ("3.1.1", V311)):
            dialect = Dialect(name)
            self.assertFalse(dialect.refused())
            dialect.unanswered()
            self.assertTrue(dialect.accepted())
            dialect.unanswered()
            self.assertEqual((version, name), (dialect.version, dialect.name))
