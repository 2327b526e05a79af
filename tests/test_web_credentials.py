"""Passwords, checked in a thread that is played by the test."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import bcrypt
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from maestro_exporter.web import credentials
from maestro_exporter.web.credentials import Credentials

SALT = b"$2b$%02d$" + b"." * 22


def fake_hash(password: bytes, cost: int = 4) -> bytes:
    """Give a hash as the stand-in for bcrypt understands it."""
    return SALT % cost + password.hex().encode()


class Thread:
    """Runs jobs when it is told to.

    Attributes:
        jobs: that wait, with their results.
    """

    def __init__(self) -> None:
        self.jobs: list[tuple[Callable[[], bool], Deferred[bool]]] = []

    def __call__(self, job: Callable[[], bool]) -> Deferred[bool]:
        result: Deferred[bool] = Deferred()
        self.jobs.append((job, result))
        return result

    def run(self) -> None:
        """Run the job that has waited longest."""
        job, result = self.jobs.pop(0)
        try:
            right = job()
        except Exception:  # noqa: BLE001 - as the real pool does
            result.errback(Failure())
        else:
            result.callback(right)


class CredentialsTestCase(SynchronousTestCase):
    """What the tests share: bcrypt does not take its time."""

    def setUp(self) -> None:
        self.thread = Thread()
        self.checked: list[tuple[bytes, bytes]] = []
        self.patch(bcrypt, "checkpw", self.checkpw)

    def checkpw(self, password: bytes, hashed: bytes) -> bool:
        self.checked.append((password, hashed))
        self.assertLessEqual(len(password), 72)
        return hashed[29:] == password.hex().encode()

    def costs(self) -> list[int]:
        """Give the costs of the checks since the last time."""
        costs = [int(hashed.split(b"$")[2]) for _, hashed in self.checked]
        self.checked.clear()
        return costs

    def users(self, **passwords: bytes) -> Credentials:
        """Give credentials of users, all with the least cost."""
        return Credentials({u: fake_hash(p) for u, p in passwords.items()}, self.thread)

    def ask(self, users: Credentials, user: str, password: bytes) -> bool:
        """Give the answer, whether it takes a check or not."""
        known = users.check(user, password)
        if isinstance(known, Deferred):
            self.thread.run()
            return self.successResultOf(known)
        assert known is not None
        return known


class AnswerTests(CredentialsTestCase):
    """Right and wrong."""

    def test_right_and_wrong(self) -> None:
        """Both user and password have to be right, and belong together."""
        users = self.users(alice=b"a", bob=b"b")
        self.assertIs(self.ask(users, "alice", b"a"), True)
        self.assertIs(self.ask(users, "bob", b"b"), True)
        for user, password in (("alice", b"b"), ("eve", b"a"), ("Alice", b"a"), ("", b"a")):
            self.assertIs(self.ask(users, user, password), False)

    def test_costs_do_not_matter(self) -> None:
        """Users whose hashes differ in cost are all right."""
        users = Credentials({"a": fake_hash(b"a", 4), "b": fake_hash(b"b", 6)}, self.thread)
        self.assertTrue(self.ask(users, "a", b"a"))
        self.assertTrue(self.ask(users, "b", b"b"))
        self.assertFalse(self.ask(users, "b", b"a"))

    def test_decoy_that_fits(self) -> None:
        """Nobody gets in by what stands in for a hash."""
        self.patch(bcrypt, "checkpw", lambda _password, hashed: b"...." in hashed[29:])
        users = Credentials({"a": fake_hash(b"a", 4), "b": fake_hash(b"b", 6)}, self.thread)
        for user in ("a", "b", "c"):
            self.assertFalse(self.ask(users, user, b"x"))

    def test_users_are_copied(self) -> None:
        """What becomes of the mapping later does not matter."""
        users = {"a": fake_hash(b"a")}
        known = Credentials(users, self.thread)
        users["b"] = fake_hash(b"b")
        self.assertFalse(self.ask(known, "b", b"b"))

    def test_odd_passwords(self) -> None:
        """Any bytes are a password: too long ones count to the length that bcrypt looks at."""
        for password in (b"", b"a\x00b", "pässwörd".encode(), b"\xff\xfe", b"x" * 72, b":"):
            users = self.users(alice=password)
            self.assertTrue(self.ask(users, "alice", password), password)
            self.assertFalse(self.ask(users, "alice", b"?" + password), password)
        users = self.users(alice=b"x" * 72)
        self.assertTrue(self.ask(users, "alice", b"x" * 100))
        self.assertFalse(self.ask(users, "alice", b"x" * 71))

    def test_password_that_bcrypt_refuses(self) -> None:
        """It is wrong, as older versions refuse those with a NUL."""

        def refuse(_password: bytes, _hashed: bytes) -> bool:
            raise ValueError("NUL")

        self.patch(bcrypt, "checkpw", refuse)
        self.assertFalse(self.ask(self.users(alice=b"a"), "alice", b"\0"))


class RealTests(SynchronousTestCase):
    """The real bcrypt."""

    def test_real(self) -> None:
        """It knows right from wrong, and takes the stand-in for a hash and any bytes."""
        thread = Thread()
        users = Credentials({"alice": bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4))}, thread)
        for user, password, right in (
            ("alice", b"x" * 80, True),
            ("alice", b"y", False),
            ("eve", b"x" * 72, False),
            ("eve", b"\0\xff", False),
            ("eve", b"", False),
        ):
            known: Any = users.check(user, password)
            thread.run()
            self.assertIs(self.successResultOf(known), right)


class EffortTests(CredentialsTestCase):
    """What a check costs tells nothing."""

    def test_same_work(self) -> None:
        """There is one check of each cost that occurs, whoever asks."""
        users = Credentials(
            {
                "a": fake_hash(b"a", 4),
                "b": fake_hash(b"b", 6),
                "c": fake_hash(b"c", 6),
                "d": fake_hash(b"d", 8),
            },
            self.thread,
        )
        for user, password in (
            ("a", b"x"),
            ("b", b"x"),
            ("c", b"x"),
            ("d", b"x"),
            ("nobody", b"x"),
            ("a", b"a"),
            ("c", b"c"),
        ):
            self.ask(users, user, password)
            self.assertEqual(sorted(self.costs()), [4, 6, 8], user)

    def test_real_hash_is_checked(self) -> None:
        """With a user's own hash in place of that of its cost."""
        users = Credentials({"a": fake_hash(b"a", 4), "b": fake_hash(b"b", 6)}, self.thread)
        self.ask(users, "b", b"x")
        hashes = [hashed for _, hashed in self.checked]
        self.assertIn(fake_hash(b"b", 6), hashes)
        self.assertNotIn(fake_hash(b"a", 4), hashes)

    def test_decoys(self) -> None:
        """What stands in has the length of a hash, and bcrypt takes it."""
        users = Credentials({"a": fake_hash(b"a", 12)}, self.thread)
        self.ask(users, "nobody", b"x")
        ((_, decoy),) = self.checked
        self.assertEqual(decoy, b"$2b$12$" + b"." * 53)


class MemoryTests(CredentialsTestCase):
    """What was right once."""

    def test_right_ones_are_remembered(self) -> None:
        """They are right at once; nothing is checked again."""
        users = self.users(alice=b"a", bob=b"b")
        for _ in range(3):
            self.assertTrue(self.ask(users, "alice", b"a"))
            self.assertTrue(self.ask(users, "bob", b"b"))
        self.assertEqual(len(self.checked), 2)
        self.assertIs(users.check("alice", b"a"), True)

    def test_wrong_ones_are_not(self) -> None:
        """They are checked each time."""
        users = self.users(alice=b"a")
        for _ in range(3):
            self.assertFalse(self.ask(users, "alice", b"x"))
        self.assertEqual(len(self.checked), 3)

    def test_they_are_remembered_together(self) -> None:
        """User and password do not run into each other, and all of the password counts."""
        users = self.users(a=b"b:c" + b"x" * 100, **{"a:b": b"c" + b"x" * 100})
        self.patch(bcrypt, "checkpw", lambda password, hashed: True)
        self.assertTrue(self.ask(users, "a", b"bc"))
        for user, password in (("ab", b"c"), ("a", b"b"), ("a", b"bcd"), ("", b"abc")):
            self.assertIsInstance(users.check(user, password), Deferred)

    def test_they_are_not_remembered_before_they_are_right(self) -> None:
        """While the check goes on, the same are checked again."""
        users = self.users(alice=b"a")
        self.assertIsInstance(users.check("alice", b"a"), Deferred)
        self.assertIsInstance(users.check("alice", b"a"), Deferred)

    def test_bound(self) -> None:
        """Those that were not used for longest are forgotten."""
        self.patch(credentials, "MOST_REMEMBERED", 3)
        names = ["a", "b", "c", "d"]
        users = self.users(**dict.fromkeys(names, b"x"))
        for name in names[:3]:
            self.ask(users, name, b"x")
        self.ask(users, "a", b"x")
        self.ask(users, "d", b"x")
        self.checked.clear()
        for name in ("a", "c", "d"):
            self.assertIs(users.check(name, b"x"), True)
        self.assertIsInstance(users.check("b", b"x"), Deferred)

    def test_bound_is_small(self) -> None:
        """Memory of right passwords has a bound, though one hash may fit many."""
        users = self.users(alice=b"x" * 72)
        for each in range(credentials.MOST_REMEMBERED * 2):
            self.assertTrue(self.ask(users, "alice", b"x" * 72 + b"%d" % each))
        again = sum(
            users.check("alice", b"x" * 72 + b"%d" % each) is True
            for each in range(credentials.MOST_REMEMBERED * 2 - credentials.MOST_PENDING)
        )
        self.assertLessEqual(again, credentials.MOST_REMEMBERED)

    def test_nothing_is_kept_in_plain(self) -> None:
        """No password is to be found; digests differ from process to process."""
        password = b"a secret that is long enough"
        users, others = self.users(alice=password), self.users(alice=password)
        for each in (users, others):
            self.ask(each, "alice", password)
            self.ask(each, "alice", password + b"!")
        self.checked.clear()
        gc.collect()
        for value in vars(users).values():
            self.assertNotIn(password.decode(), repr(value))
        self.assertNotEqual(users._key, others._key)
        self.assertEqual(len(users._right), 1)
        self.assertNotEqual(users._right, others._right)
        self.assertEqual([len(each) for each in users._right], [32])


class PendingTests(CredentialsTestCase):
    """Checks that are under way."""

    def test_bound(self) -> None:
        """There are so many at most, and again when one is over, however it ends."""
        users = self.users(alice=b"a")
        results: list[Any] = [users.check("eve", b"x") for _ in range(credentials.MOST_PENDING)]
        self.assertNotIn(None, results)
        self.assertIsNone(users.check("eve", b"x"))
        self.assertEqual(len(self.thread.jobs), credentials.MOST_PENDING)
        self.thread.run()
        self.assertIsInstance(users.check("eve", b"x"), Deferred)
        self.assertIsNone(users.check("eve", b"x"))

        def fail(_password: bytes, _hashed: bytes) -> bool:
            raise MemoryError

        self.patch(bcrypt, "checkpw", fail)
        self.thread.run()
        self.failureResultOf(results[1], MemoryError)
        self.assertIsInstance(users.check("eve", b"x"), Deferred)
        self.assertIsNone(users.check("eve", b"x"))

    def test_remembered_ones_are_let_in_meanwhile(self) -> None:
        """They need no check."""
        users = self.users(alice=b"a")
        self.ask(users, "alice", b"a")
        for _ in range(credentials.MOST_PENDING):
            users.check("eve", b"x")
        self.assertIs(users.check("alice", b"a"), True)

    def test_failure_is_not_remembered(self) -> None:
        """What could not be checked is not right."""
        users = self.users(alice=b"a")
        known: Any = users.check("alice", b"a")
        _, result = self.thread.jobs.pop()
        result.errback(ValueError())
        self.failureResultOf(known, ValueError)
        self.assertIsInstance(users.check("alice", b"a"), Deferred)
