# SPDX-License-Identifier: Apache-2.0
"""The first bad one of a row of candidates, where a failure may come in some plays only.

Both ends are played until the failure's rate is measured.  Then the candidate is played that is expected to
say most of what is not known yet (`harness.nights.change_point`), as often as that rate asks for, until one
place is likely enough.  That alone is not believed: the first bad one and the one before it must differ by
Fisher's exact test in their own plays, and no candidate may speak against a single change.  What cannot be
told is said so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.nights.change_point import ChangePoint, change_point
from harness.nights.statistics import Counts, fisher

#: Failures at the bad end by which the rate is measured.
_MEASURED = 3
#: Plays of one end that teach anything; the least of a good one.
_LEAST = 5
#: Below this a candidate speaks against a single change, divided by how many there are.
_MISFIT = 0.01
#: As long as one more play of a candidate says so much of what another would, it is not changed: that costs.
_WORTH = 0.3
#: Plays in a row that are to make sure.
_IN_A_ROW = 3
#: Plays that failed otherwise, after which a candidate is passed over.
_MASKED = 3


class PassedOverError(Exception):
    """A candidate that cannot be played: why, in one sentence."""


#: Plays the candidate of a number: True where it failed as is asked, False where it passed, or how it failed
#: otherwise, which says nothing of what is asked.
Play = Callable[[int], bool | str]
Say = Callable[[str], None]


@dataclass
class Tally:
    """What the plays of one candidate gave; `masked` says how it failed otherwise."""

    failed: int = 0
    passed: int = 0
    masked: list[str] = field(default_factory=list)

    @property
    def counts(self) -> Counts:
        """Of those that say something."""
        return Counts(self.failed, self.failed + self.passed)


@dataclass(frozen=True)
class Limits:
    """What is enough.

    `confidence` is asked of the answer; `rarest` is the lowest rate of failures that is looked for at the bad
    end; `plays` is how many there may be in all.
    """

    confidence: float = 0.99
    rarest: float = 0.1
    plays: int = 500


@dataclass(frozen=True)
class Answer:
    """The number of the first bad one, or None and why it cannot be told.

    `confidence` is the posterior of `first`.  `maybe` are candidates right before it that could not be
    played: it may have begun at any of them.
    """

    first: int | None
    confidence: float
    why: str | None
    tallies: Sequence[Tally]
    passed_over: dict[int, str]
    maybe: tuple[int, ...] = ()

    @property
    def plays(self) -> int:
        """How many there were."""
        return sum(one.counts.n + len(one.masked) for one in self.tallies)


class _CannotTellError(Exception):
    """Why there is no answer."""


class Bisection:
    """Looks for the first bad one.

    Args:
        names: of the candidates, from the good end to the bad one; two at least.
        play: plays one.
        limits: what is enough.
        say: is told what is played.
    """

    def __init__(
        self,
        names: Sequence[str],
        play: Play,
        limits: Limits | None = None,
        say: Say = lambda text: None,
    ) -> None:
        self._names = names
        self._play = play
        self._limits = limits or Limits()
        self._say = say
        self._left = self._limits.plays
        self._tallies = [Tally() for _ in names]
        self._over: dict[int, str] = {}
        self._last = len(names) - 1

    def run(self) -> Answer:
        """The answer."""
        try:
            repeats = self._ends()
            first, confidence = self._search(repeats)
        except _CannotTellError as why:
            return Answer(None, 0.0, str(why), self._tallies, self._over)
        maybe = tuple(range(self._before(first) + 1, first))
        return Answer(first, confidence, None, self._tallies, self._over, maybe)

    # ---- the ends -----------------------------------------------------------

    def _ends(self) -> int:
        """Plays both ends; how often a candidate is played before the next one is looked at."""
        rarest = _plays_to_see(self._limits.rarest)
        bad = self._tallies[self._last]
        while bad.failed < _MEASURED and bad.counts.n < rarest * (_MEASURED if bad.failed else 1):
            self._one(self._last)
        name = self._names[self._last]
        if not bad.failed:
            often = f"a failure in {self._limits.rarest:.0%} of the plays would have been seen"
            raise _CannotTellError(f"it does not fail with {name}: {bad.counts}; {often}")
        for more in (1, 2, 4, 8):
            repeats = max(_LEAST, _plays_to_see(bad.failed / bad.counts.n))
            self._up_to(0, repeats * more)
            self._up_to(self._last, repeats * more)
            good = self._tallies[0].counts
            if self._differ(0, self._last):
                said = f"fails in {bad.counts} plays, {self._names[0]} in {good}"
                self._say(f"{name} {said}: the ones between are played up to {2 * repeats} times")
                return repeats
            if good.failed == good.n:
                break
        raise _CannotTellError(
            f"it fails with {self._names[0]} as well: {good}, and {bad.counts} with {name}"
        )

    def _up_to(self, number: int, plays: int) -> None:
        while self._tallies[number].counts.n < plays:
            self._one(number)

    # ---- the search ---------------------------------------------------------

    def _search(self, repeats: int) -> tuple[int, float]:
        """The first bad one, and how likely it is."""
        while True:
            found = self._found()
            first = max(range(len(found.likely)), key=found.likely.__getitem__)
            if found.likely[first] < self._limits.confidence:
                self._most_telling(found, repeats)
                continue
            before = self._before(first)
            if self._differ(before, first):
                played = self._left
                self._begins_here(first)
                if self._left < played:
                    continue  # the place may look otherwise now
                self._fits(first)
                return first, found.likely[first]
            fewer = min((before, first), key=lambda one: self._tallies[one].counts.n)
            for _ in range(_IN_A_ROW):
                self._one(fewer, "to be sure")
                if self._differ(before, first):
                    break

    def _most_telling(self, found: ChangePoint, repeats: int) -> None:
        """Plays the candidate that says most; again while it is worth more than to change to another."""
        gains = self._gains(found)
        number = max(gains, key=gains.__getitem__)
        for _ in range(2 * repeats):
            self._one(number)
            if number in self._over:
                return
            found = self._found()
            gains = self._gains(found)
            if max(found.likely) >= self._limits.confidence or gains[number] < max(gains.values()) * _WORTH:
                return

    def _gains(self, found: ChangePoint) -> dict[int, float]:
        return {number: gain for number, gain in enumerate(found.gains()) if number not in self._over}

    def _found(self) -> ChangePoint:
        """One that was passed over gives its share to the next: it may have begun there, too."""
        weights, share = [], 0.0
        for number in range(len(self._names)):
            share += number > 0
            weights.append(0.0 if number in self._over else share)
            share = share if number in self._over else 0.0
        return change_point([t.failed for t in self._tallies], [t.passed for t in self._tallies], weights)

    def _before(self, number: int) -> int:
        return next(one for one in range(number - 1, -1, -1) if one not in self._over)

    def _differ(self, good: int, bad: int) -> bool:
        counts = self._tallies[good].counts, self._tallies[bad].counts
        return fisher(*counts) < 1 - self._limits.confidence

    def _fits(self, first: int) -> None:
        """That on either side all are alike.

        Raises:
            _CannotTellError: one is not, so that there is more than one change.
        """
        numbers = [n for n in range(len(self._names)) if self._tallies[n].counts.n]
        sides = [n for n in numbers if n < first], [n for n in numbers if n >= first]
        for side in sides:
            for number in side:
                own = self._tallies[number].counts
                rest = _sum([self._tallies[other].counts for other in side if other != number])
                if rest.n and min(fisher(rest, own), fisher(own, rest)) < _MISFIT / len(numbers):
                    where = "before" if side is sides[0] else "behind"
                    raise _CannotTellError(
                        f"it does not begin once: {self._names[number]} fails in {own} plays, and others"
                        f" {where} {self._names[first]} in {rest}"
                    )

    def _begins_here(self, first: int) -> None:
        """That it did not come before, if more rarely.

        The one before it is played until the rarest failure that is looked for would have been seen; where it
        fails now and then it must be so with the good end as well.

        Raises:
            _CannotTellError: it began before, and became worse.
        """
        enough = _plays_to_see(self._limits.rarest)
        before = self._before(first)
        self._up_to(before, enough)
        some = [n for n in range(1, first) if self._tallies[n].failed]
        if not some:
            return
        for number in (0, *some):
            self._up_to(number, enough)
        earliest = next(
            (n for n in some if fisher(self._tallies[0].counts, self._tallies[n].counts) < 0.05), None
        )
        if earliest is not None:
            name, good = self._names[earliest], self._tallies[0].counts
            raise _CannotTellError(
                f"it becomes worse with {self._names[first]}, and began before: {name} fails in"
                f" {self._tallies[earliest].counts} plays, {self._names[0]} in {good}"
            )

    # ---- plays --------------------------------------------------------------

    def _one(self, number: int, what: str = "") -> None:
        """One play.

        Raises:
            _CannotTellError: there are no more, or an end cannot be played.
        """
        if self._left <= 0:
            raise _CannotTellError(f"{self._limits.plays} plays were not enough{self._nearest()}")
        tally = self._tallies[number]
        try:
            came = self._play(number)
        except PassedOverError as why:
            self._pass_over(number, str(why))
            return
        self._left -= 1
        if isinstance(came, str):
            tally.masked.append(came)
            if len(tally.masked) >= _MASKED and len(tally.masked) > tally.counts.n:
                self._pass_over(number, f"it fails otherwise: {came}")
        elif came:
            tally.failed += 1
        else:
            tally.passed += 1
        said = f"failed in {tally.counts}" + (f", {len(tally.masked)} otherwise" if tally.masked else "")
        self._say(f"{self._names[number]}: {said}{', ' + what if what else ''}")

    def _pass_over(self, number: int, why: str) -> None:
        if number in (0, self._last):
            raise _CannotTellError(f"{self._names[number]} cannot be played: {why}")
        self._over[number] = why
        self._tallies[number].failed = self._tallies[number].passed = 0
        self._say(f"{self._names[number]} is passed over: {why}")

    def _nearest(self) -> str:
        """What is likely by now."""
        if not self._tallies[0].counts.n:
            return ""
        likely = self._found().likely
        ranked = sorted(range(len(likely)), key=likely.__getitem__, reverse=True)[:3]
        shown = ", ".join(f"{self._names[one]} ({likely[one]:.0%})" for one in ranked if likely[one] >= 0.01)
        return f"; the likeliest: {shown}" if shown else ""


def _plays_to_see(rate: float) -> int:
    """Plays in which a failure of this rate is seen with 95%."""
    return 1 if rate >= 1 else math.ceil(math.log(0.05) / math.log(1 - rate))


def _sum(counts: Sequence[Counts]) -> Counts:
    return Counts(sum(one.failed for one in counts), sum(one.n for one in counts))
