# SPDX-License-Identifier: Apache-2.0
"""From a trip that failed to a find: it comes again on a fresh lease, as little as possible makes it come.

What does not come again is no find, whatever it was: it is put down as unconfirmed, and nobody is blamed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.capsule.minimizing import Minimizer, Rate
from harness.capsule.playing import NotPlayableError, Player
from harness.errors import HarnessError, UsageError
from harness.fuzzing.causes import Looked, signature
from harness.fuzzing.composing import Composer
from harness.fuzzing.draft import Draft
from harness.fuzzing.trips import Trip
from harness.verdict import Verdict

if TYPE_CHECKING:
    from harness.capsule.seen import Seen
    from harness.language.model import Scenario
    from harness.results.cause import Cause

#: Fresh leases on which it is tried, then tries on the last of them: some failures need a race.
_FRESH = 2
_ON_ONE = 8
#: Fresh leases on which the original and the least are measured.
_MEASURED = 2

Say = Callable[[str], None]


@dataclass(frozen=True)
class Find:
    """A failure that comes again: by which scenario, how often, and what is said of it.

    `signature` names it: two finds of one signature are one.
    """

    signature: str
    cause: Cause
    scenario: Scenario
    seen: Seen
    rate: Rate
    steps_before: int


class _Bounded(Player):
    """Plays candidates for a time; after it only what measures the result."""

    def __init__(self, player: Player, deadline: float) -> None:
        self._player = player
        self._deadline = deadline

    def play(self, scenario: Scenario, *, fresh: bool) -> Seen:
        if not fresh and time.monotonic() > self._deadline:
            raise NotPlayableError("there is no time left for smaller ones")
        try:
            return self._player.play(scenario, fresh=fresh)
        except HarnessError as error:
            if fresh:
                raise
            raise NotPlayableError(str(error)) from None  # one candidate; nothing is known of the others


class _For(Player):
    """Plays scenarios for one cause, whatever else they fail by."""

    def __init__(self, player: Player, wanted: tuple[str, ...]) -> None:
        self._player = player
        self._wanted = wanted

    def play(self, scenario: Scenario, *, fresh: bool) -> Looked:
        seen = self._player.play(scenario, fresh=fresh)
        return Looked(seen.run, seen.environment, seen.scenario, seen.steps, self._wanted)


@dataclass(frozen=True)
class Investigator:
    """Looks into one failure after the other.

    Args:
        player: plays scenarios on leases of its own, by the same runner as a run.
        composer: of scenarios.
        say: is told what takes long.
    """

    player: Player
    composer: Composer
    say: Say

    def look(self, trip: Trip, number: int | None, cause: Cause, seconds: float) -> Find | None:
        """What is behind it; None where nothing comes again.

        Args:
            trip: that failed.
            number: of the sequence in it, None where it is nobody's alone.
            cause: by which it failed, maybe among others.  Where only another one comes, that is found.
            seconds: for making it smaller.

        Raises:
            HarnessError: our own infrastructure failed.
        """
        player = _For(self.player, cause.key)
        other: tuple[Scenario, Seen] | None = None
        for scenario in self._suspects(trip, number):
            seen = self._again(player, scenario)
            if seen is not None and seen.came:
                return self._least(player, scenario, seen, time.monotonic() + seconds)
            if seen is not None and other is None:
                other = scenario, seen
        return self._least(self.player, *other, time.monotonic() + seconds) if other is not None else None

    def difference(self, trip: Trip, seconds: float) -> Find | None:
        """What differs, made small; None where nothing does, or not each time.

        Args:
            trip: of one sequence.
            seconds: for making it smaller.

        Raises:
            HarnessError: our own infrastructure failed.
        """
        scenario = trip.composed.scenario
        try:
            if self.player.play(scenario, fresh=False).scenario["verdict"] == Verdict.PASSED:
                return None
            again = self.player.play(scenario, fresh=True)
        except NotPlayableError:
            return None
        if again.scenario["verdict"] == Verdict.PASSED:
            return None
        find = self._least(self.player, scenario, again, time.monotonic() + seconds)
        return find if find.rate.hits == find.rate.runs else None

    def _suspects(self, trip: Trip, number: int | None) -> Iterator[Scenario]:
        """The sequence alone, then what had come before it, too; the whole trip at last."""
        name = trip.composed.scenario.id
        choices: list[Sequence[Draft]] = []
        if number is not None:
            choices += [trip.drafts[number : number + 1], trip.drafts[: number + 1]]
        tried: list[Scenario] = []
        for drafts in choices:
            composed = self.composer.compose(drafts, name, trip.composed.scenario.title)
            if composed is not None and composed.scenario not in tried:
                tried.append(composed.scenario)
                yield composed.scenario
        if trip.composed.scenario not in tried:
            yield trip.composed.scenario

    def _again(self, player: _For, scenario: Scenario) -> Looked | None:
        """As it failed by what is wanted; by something else where that comes, and what is wanted does not."""
        other: Looked | None = None
        for number in range(_FRESH + _ON_ONE):
            if other is not None and number >= _FRESH:
                break
            try:
                seen = player.play(scenario, fresh=number < _FRESH)
            except NotPlayableError:
                break
            if seen.scenario["verdict"] == Verdict.PASSED:
                continue
            if seen.came:
                return seen
            other = other or seen
        return other

    def _least(self, player: Player, scenario: Scenario, seen: Seen, deadline: float) -> Find:
        before = len(scenario.steps)
        rate = Rate(1, 1)
        try:
            bounded = _Bounded(player, deadline)
            found = Minimizer(bounded, seen, _MEASURED, say=self.say).minimize(scenario)
            scenario, seen, rate = found.scenario, found.seen, found.after
        except UsageError:
            rate = self._rarely(scenario)
        cause = seen.cause
        assert cause is not None  # it has not passed
        name = signature(seen)
        title = f"Found by kshs fuzz: {cause.words}"[:200]
        named = scenario.model_copy(update={"id": f"fuzz.find.{name}", "title": title})
        return Find(name, cause, named, seen, rate, before)

    def _rarely(self, scenario: Scenario) -> Rate:
        """How often it comes on one lease, where two fresh ones in a row did not show it."""
        seen = [self.player.play(scenario, fresh=False) for _ in range(_ON_ONE)]
        return Rate(sum(one.scenario["verdict"] != Verdict.PASSED for one in seen), _ON_ONE)
