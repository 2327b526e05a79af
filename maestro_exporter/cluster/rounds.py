"""The rounds of requests: which reply answers which, and what has gone unanswered."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from maestro_exporter.notes import Generation
from maestro_exporter.snapshot import Moment

#: Rounds whose replies are still recognised as theirs.
REMEMBERED = 128
# Rounds that lie closer together than this share of the patience are not told apart when it
# comes to what has gone unanswered: a day's patience with rounds of 0.1 s would wait for
# 864,000 of them.
_GRAIN = 1 / 256


@dataclass(slots=True, kw_only=True)
class Round:
    """One round of requests.

    Attributes:
        number: counts rounds from 1.
        asked: when.
        pinged: the generation that was asked for a PING.
        replies: processes that have answered.
    """

    number: int
    asked: Moment
    pinged: Generation
    replies: int = 0


class Answers:
    """Which of the last rounds a process has answered: a sliding window of bits.

    It tells a repeated answer from the first as IPsec tells replayed packets
    (RFC 4303, section 3.4.3).
    """

    __slots__ = ("_bits", "newest")

    def __init__(self) -> None:
        self._bits = 0
        #: The newest round that was answered; 0 before the first.
        self.newest = 0

    def __contains__(self, number: int) -> bool:
        return bool(number <= self.newest and self._bits >> (self.newest - number) & 1)

    def add(self, number: int) -> bool:
        """Note an answer; tell whether it is the first one to that round."""
        if number in self:
            return False
        ahead = max(0, number - self.newest)
        self.newest += ahead
        window = (1 << REMEMBERED) - 1
        shifted = self._bits << min(ahead, REMEMBERED)
        self._bits = (shifted | 1 << (self.newest - number)) & window
        return True


class _Overdue:
    """The newest of some rounds that was asked at least so many seconds ago.

    Attributes:
        number: of that round; 0 before there is one.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._waiting: deque[tuple[int, float]] = deque()
        self.number = 0

    def asked(self, number: int, at: float) -> None:
        if not self._waiting or at - self._waiting[-1][1] >= self._patience * _GRAIN:
            self._waiting.append((number, at))

    def expire(self, at: float) -> bool:
        """Move on; tell whether that changed anything."""
        before = self.number
        while self._waiting and at - self._waiting[0][1] >= self._patience:
            self.number, _ = self._waiting.popleft()
        return self.number != before


class Rounds:
    """The rounds that were asked, the newest last.

    Args:
        patience: seconds after which a request counts as unanswered.

    Attributes:
        complete: the newest round but one; None before there is one.
        late: answers that came when a newer round had been asked.
    """

    def __init__(self, patience: float) -> None:
        # By the correlation of their requests.
        self._rounds: dict[str, Round] = {}
        self._newest: Round | None = None
        self._overdue = _Overdue(patience)
        self._overdue_pings = {generation: _Overdue(patience) for generation in Generation}
        self.complete: Round | None = None
        self.late = 0

    def begin(self, correlation_id: str, pinged: Generation, at: Moment) -> None:
        """Note that all peers are being asked now, and those of one generation for a PING."""
        self.complete = self._newest
        self._newest = Round(number=self.number + 1, asked=at, pinged=pinged)
        self._rounds[correlation_id] = self._newest
        if len(self._rounds) > REMEMBERED:
            del self._rounds[next(iter(self._rounds))]
        self._overdue.asked(self.number, at.monotonic)
        self._overdue_pings[pinged].asked(self.number, at.monotonic)

    def expire(self, at: Moment) -> bool:
        """Note what has gone unanswered for too long; tell whether there is more of it."""
        changed = self._overdue.expire(at.monotonic)
        for pings in self._overdue_pings.values():
            changed |= pings.expire(at.monotonic)
        return changed

    @property
    def number(self) -> int:
        """How many rounds were asked: the number of the newest."""
        return self._newest.number if self._newest is not None else 0

    def asked_by(self, at: Moment) -> Round | None:
        """Give the newest round that had been asked at some moment; None before the first.

        What arrived then may be taken in a little later, when the next was asked already.
        """
        newest = self._newest
        if newest is None or newest.asked.monotonic <= at.monotonic:
            return newest
        for each in reversed(self._rounds.values()):
            if each.asked.monotonic <= at.monotonic:
                return each
        return None

    @property
    def overdue(self) -> int:
        """Who has said nothing since this round has been asked in vain; 0 for nobody."""
        return self._overdue.number

    def overdue_ping(self, generation: Generation) -> int:
        """Give the same for the PINGs to one generation."""
        return self._overdue_pings[generation].number

    def correlated(self, correlation_id: str | None) -> Round | None:
        """Give the round whose requests carried a correlation; None if none of ours did."""
        return self._rounds.get(correlation_id or "")

    def uncorrelated(self, after: int, at: Moment) -> Iterator[Round]:
        """Give the rounds whose PING a 1.3 peer may answer, the newest first.

        Args:
            after: the number of the round at which to stop.
            at: rounds that were asked later are left out.
        """
        for each in reversed(self._rounds.values()):
            if each.number <= after:
                return
            if each.pinged is Generation.V1_3 and each.asked.monotonic <= at.monotonic:
                yield each

    def answered(self, round_: Round, kind: Answers, other: Answers, at: Moment) -> bool:
        """Count an answer of a process to a round; tell whether it was the first of its kind.

        Args:
            round_: what is answered.
            kind: which rounds the process has answered in this way.
            other: which it has answered in the other way.
            at: when the answer came.
        """
        if not kind.add(round_.number):
            return False
        if round_.number not in other:
            round_.replies += 1
        if round_ is not self.asked_by(at):
            self.late += 1
        return True
