# SPDX-License-Identifier: Apache-2.0
"""The smallest scenario that still fails the same way, and not more rarely than a stated bound.

Delta debugging (lithium's `Minimize`) over the pieces of `harness.capsule.smaller`, then counts and times
are halved.  A candidate counts only if it fails with the same cause.  Where the failure does not come every
time, a candidate is played as often as one that fails as often as the original needs to be seen failing with
95%, and the result is measured at the end: one that fails more rarely than the bound is given up for the
last one that does not (peers' reducers end at nothing, or at something rarer).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from lithium.strategies import Minimize, ReductionIterator
from lithium.testcases import Testcase

from harness.capsule.agreement import Outcome, outcome
from harness.capsule.counted import OFTEN, fails_in_a_count, holds_more, together
from harness.capsule.playing import NotPlayableError, Player
from harness.capsule.seen import Seen
from harness.capsule.smaller import JUDGED, build, is_held_for_ever, pieces, shrunk, simpler
from harness.errors import UsageError
from harness.language.model.scenario import Scenario
from harness.verdict import Verdict

#: What is left of the original's rate at least.
BOUND = 0.8
_MOST_PLAYS = 60
_MISSED = 0.05

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Rate:
    """How often it failed the same way."""

    hits: int
    runs: int

    @property
    def value(self) -> float:
        """From 0 to 1."""
        return self.hits / self.runs


@dataclass(frozen=True)
class Minimized:
    """The result: the scenario, its failure, rates before and after, and how many candidates were played."""

    scenario: Scenario
    seen: Seen
    before: Rate
    after: Rate
    candidates: int


class _Pieces(Testcase):
    """Pieces as lithium has its parts: by their numbers."""

    atom = "piece"

    def split_parts(self, data: bytes) -> None:
        """Never called: the parts are set."""
        raise NotImplementedError


@dataclass
class Minimizer:
    """Minimizes one failure.

    Args:
        player: of candidates.
        then: the failure that must come again.
        runs: how often the original and the result are played on fresh leases to measure their rates.
        bound: of the rate.
        say: is told about progress.
    """

    player: Player
    then: Seen
    runs: int
    bound: float = BOUND
    say: Say = field(default=lambda text: None)

    def __post_init__(self) -> None:
        self._candidates = 0
        self._best: list[tuple[Scenario, Seen]] = []
        self._plays = 1

    def minimize(self, scenario: Scenario) -> Minimized:
        """The smallest scenario.

        Raises:
            UsageError: the failure does not come here at all, or the guest cannot show it.
            HarnessError: our own infrastructure failed.
        """
        before, seen = self._measure(scenario)
        if seen is None:
            raise UsageError(
                f"the failure does not come here: 0 of {before.runs} runs", scenario.id, "see kshs repro"
            )
        if self.then.cause is None:
            self.then = seen  # a trace that shows no failure: what comes here is what must come again
        self._best = [(scenario, seen)]
        self._plays = _plays(before.value)
        self._make_smaller(counted=fails_in_a_count(seen))
        while True:
            smallest, seen = self._best[-1]
            after = before if len(self._best) == 1 else self._measure(smallest)[0]
            if after.value >= self.bound * before.value:
                return Minimized(smallest, seen, before, after, self._candidates)
            self.say(
                f"{after.hits} of {after.runs} are too few of {before.hits} of {before.runs}: one step back"
            )
            self._best.pop()

    def _make_smaller(self, *, counted: bool) -> None:
        """As small as it gets.

        Args:
            counted: what fails is a count: what is done between counts is done as often as before.
        """
        if counted:
            self._leave_out(self._best[-1][0], counted=True)
            return
        self._simplify()  # first, for it leaves fewer pieces to try
        self._leave_out(self._best[-1][0])
        while self._simplify():
            self._leave_out(self._best[-1][0])
        self._shrink()

    def _simplify(self) -> bool:
        """Whether anything came of it."""
        before = len(self._best)
        while any(self._try(smaller) for smaller in simpler(self._best[-1][0])):
            pass
        return len(self._best) > before

    def _leave_out(self, scenario: Scenario, *, counted: bool = False) -> None:
        # A hang or a crash comes before an answer is judged; a sound driver's is judged, and has to pass.
        judged = JUDGED if self._best[0][1].scenario["verdict"] in (Verdict.HUNG, Verdict.CRASHED) else ()
        fixed = OFTEN if counted else judged
        found = pieces(scenario, fixed)
        groups = together(scenario, found) if counted else [(piece,) for piece in found]
        start = _Pieces()
        start.parts = [str(number).encode() for number in range(len(groups))]
        start.reducible = [True] * len(groups)
        attempts = cast(ReductionIterator, Minimize().reduce(start))
        for attempt in attempts:
            kept = [piece for part in attempt.parts for piece in groups[int(part)]]
            attempts.feedback(self._try(build(scenario, kept, fixed)))

    def _shrink(self) -> None:
        again = True
        while again:
            smallest, seen = self._best[-1]
            limits = seen.scenario["verdict"] != Verdict.HUNG
            again = any(self._try(smaller) for smaller in shrunk(smallest, limits=limits))

    def _try(self, candidate: Scenario | None) -> bool:
        if candidate is None:
            return False
        whole = self._best[0][0]
        if any(odd(candidate) and not odd(whole) for odd in (is_held_for_ever, holds_more)):
            return False
        self._candidates += 1
        for _ in range(self._plays):
            seen = self._play(candidate, fresh=False)
            if seen is not None:
                self._best.append((candidate, seen))
                self.say(f"{len(candidate.steps)} steps still fail ({self._candidates} candidates)")
                return True
        return False

    def _measure(self, scenario: Scenario) -> tuple[Rate, Seen | None]:
        found = [self._play(scenario, fresh=True) for _ in range(self.runs)]
        hits = [seen for seen in found if seen is not None]
        return Rate(len(hits), self.runs), (hits[0] if hits else None)

    def _play(self, scenario: Scenario, *, fresh: bool) -> Seen | None:
        try:
            now = self.player.play(scenario, fresh=fresh)
        except NotPlayableError as why:
            if not self._best:  # it is the failure itself
                raise UsageError(f"this guest cannot show it: {why}", scenario.id) from None
            return None
        if now.scenario["verdict"] != Verdict.PASSED and outcome(self.then, now) is Outcome.REPRODUCED:
            return now
        return None


def _plays(rate: float) -> int:
    """How often a candidate is played before it is given up."""
    if rate >= 1:
        return 1
    return min(_MOST_PLAYS, max(1, math.ceil(math.log(_MISSED) / math.log(1 - rate))))
