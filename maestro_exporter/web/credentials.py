"""Whether a user name and a password are right; bcrypt takes its time in a thread."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TypeAlias

from twisted.internet.defer import Deferred

InThread: TypeAlias = Callable[[Callable[[], bool]], "Deferred[bool]"]

MOST_REMEMBERED = 100  # credentials that were right
MOST_PENDING = 16  # checks; each takes about 60 ms of a processor with the usual cost of 10
_LONGEST = 72  # bytes of a password that bcrypt looks at


class Credentials:
    """The users who may ask.

    What was right once is right at once the next time; it is remembered as a digest whose key
    is gone with the process.  What is wrong takes as long whichever part is wrong.

    Args:
        users: bcrypt hashes by user name; not empty.
        in_thread: runs a check in another thread.
    """

    def __init__(self, users: Mapping[str, bytes], in_thread: InThread) -> None:
        self._users = dict(users)
        self._in_thread = in_thread
        # No password gives these: they stand in where a user has none of that cost.
        self._decoys = {_cost(each): _decoy(_cost(each)) for each in users.values()}
        self._key = os.urandom(32)
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._pending = 0

    def check(
        self, user: str, password: bytes, wanted: Callable[[], bool] = lambda: True
    ) -> bool | Deferred[bool] | None:
        """Tell whether they are right; None if too many are being checked already.

        In the thread, `wanted` tells whether somebody still waits for the answer.
        """
        digest = hmac.new(self._key, f"{user}:".encode() + password, hashlib.sha256).digest()
        if digest in self._right:
            self._right.move_to_end(digest)
            return True
        if self._pending >= MOST_PENDING:
            return None
        self._pending += 1

        def checked(right: bool) -> bool:
            if right:
                self._right[digest] = None
                if len(self._right) > MOST_REMEMBERED:
                    self._right.popitem(last=False)
            return right

        def over(result: bool) -> bool:
            self._pending -= 1
            return result

        return (
            self._in_thread(lambda: wanted() and self._is_right(user, password))
            .addBoth(over)
            .addCallback(checked)
        )

    def _is_right(self, user: str, password: bytes) -> bool:
        """Check against one hash of each cost that there is: the same work for everybody."""
        import bcrypt

        true_hash = self._users.get(user)
        right = False
        for cost, decoy in self._decoys.items():
            is_it = true_hash is not None and _cost(true_hash) == cost
            hashed = true_hash if is_it and true_hash is not None else decoy
            try:
                right |= bcrypt.checkpw(password[:_LONGEST], hashed) and is_it
            except ValueError:  # a password with a NUL, for older versions of bcrypt
                continue
        return right


def _cost(hashed: bytes) -> int:
    return int(hashed.split(b"$")[2])


def _decoy(cost: int) -> bytes:
    return b"$2b$%02d$" % cost + b"." * 53
