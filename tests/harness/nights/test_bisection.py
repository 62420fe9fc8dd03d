# SPDX-License-Identifier: Apache-2.0
"""The first bad one by plays that fail at some rate: how often it is wrong, and what is not claimed."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from harness.nights.bisection import Answer, Bisection, Limits, PassedOverError, Play
from harness.nights.change_point import change_point
from harness.nights.statistics import Counts, wilson


def looked(count: int, play: Play, limits: Limits | None = None) -> Answer:
    return Bisection([f"v{number}" for number in range(count)], play, limits).run()


def flaking(seed: int, first: int, before: float, after: float) -> Play:
    dice = random.Random(seed)
    return lambda number: dice.random() < (after if number >= first else before)


@pytest.mark.parametrize(
    ("count", "before", "after", "tries"),
    [(16, 0.0, 1.0, 40), (64, 0.02, 0.9, 40), (16, 0.0, 0.5, 40), (16, 0.05, 0.5, 40), (12, 0.0, 0.2, 40)],
)
def test_the_answer_is_wrong_as_rarely_as_it_says(
    count: int, before: float, after: float, tries: int
) -> None:
    """At the confidence that is the default, over all places where it can begin."""
    said: Counter[str] = Counter()
    plays = 0
    for seed in range(tries):
        first = 1 + seed * (count - 1) // tries
        answer = looked(count, flaking(seed, first, before, after))
        said["none" if answer.first is None else "right" if answer.first == first else "wrong"] += 1
        plays += answer.plays
        assert answer.first is None or answer.confidence >= Limits().confidence
    least, _ = wilson(Counts(said["wrong"], said["wrong"] + said["right"]))
    assert least <= 1 - Limits().confidence, said
    assert said["wrong"] <= 2 and said["none"] <= tries / 10, said
    assert plays / tries < (60 if after == 1 else 300), "it is a search, and no list"


def test_it_is_right_at_least_as_often_as_it_says() -> None:
    """Also where less is asked for."""
    sure, right = 0.0, 0
    for seed in range(80):
        first = 1 + seed % 15
        answer = looked(16, flaking(seed, first, 0.05, 0.6), Limits(confidence=0.7))
        if answer.first is not None:
            sure += answer.confidence - (answer.first == first)
            right += 1
    assert right > 60
    assert sure / right < 0.02


@pytest.mark.parametrize(("rate", "seeds"), [(0.3, 40), (0.1, 20)])
def test_no_place_is_named_where_there_is_none(rate: float, seeds: int) -> None:
    """Both ends fail alike: whatever it names is wrong."""
    said = [looked(16, flaking(seed, 16, rate, 1.0)) for seed in range(seeds)]
    named = [answer for answer in said if answer.first is not None]
    assert len(named) <= 1
    assert all(answer.why for answer in said if answer.first is None)


def test_one_that_always_fails_needs_few_plays() -> None:
    """A row of 64: its logarithm, times what one candidate needs, and the ends."""
    played: Counter[int] = Counter()

    def play(number: int) -> bool:
        played[number] += 1
        return number >= 41

    answer = looked(64, play)
    assert (answer.first, answer.why, answer.maybe) == (41, None, ())
    assert answer.confidence >= 0.99
    assert answer.plays == sum(played.values()) <= 70
    assert len(played) <= 12, "each candidate costs a template"


def test_repeats_follow_from_the_measured_rate() -> None:
    def plays_of_a_good_one(rate: float) -> int:
        played: Counter[int] = Counter()
        dice = random.Random(5)

        def play(number: int) -> bool:
            played[number] += 1
            return number >= 1 and dice.random() < rate

        assert looked(2, play).first == 1
        return played[0]

    assert plays_of_a_good_one(1.0) == 29, "or what is rarer would not have been seen"
    assert plays_of_a_good_one(0.2) > 29


def test_the_bad_end_that_does_not_fail() -> None:
    answer = looked(8, lambda number: False)
    assert answer.first is None
    assert answer.why == (
        "it does not fail with v7: 0 of 29; a failure in 10% of the plays would have been seen"
    )
    assert looked(8, lambda number: False, Limits(rarest=0.5)).plays == 5


def test_the_good_end_that_fails_as_well() -> None:
    answer = looked(8, lambda number: True)
    assert (answer.first, answer.why) == (None, "it fails with v0 as well: 5 of 5, and 5 of 5 with v7")


def test_what_cannot_be_played_is_passed_over_and_said() -> None:
    def play(number: int) -> bool:
        if number in (3, 4, 5, 12):
            raise PassedOverError("no catalogue")
        return number >= 5

    answer = looked(16, play)
    assert answer.first == 6, "the first one that can be played"
    assert answer.maybe == (3, 4, 5), "it began at any of these, or there"
    assert set(answer.passed_over.values()) == {"no catalogue"}
    assert set(answer.passed_over) >= {5}


def test_all_between_the_ends_may_be_passed_over() -> None:
    def play(number: int) -> bool:
        if 0 < number < 3:
            raise PassedOverError("no catalogue")
        return number == 3

    answer = looked(4, play)
    assert (answer.first, answer.maybe) == (3, (1, 2))


@pytest.mark.parametrize("end", [0, 7])
def test_an_end_that_cannot_be_played_is_no_answer(end: int) -> None:
    def play(number: int) -> bool:
        if number == end:
            raise PassedOverError("no catalogue")
        return number >= 4

    answer = looked(8, play)
    assert (answer.first, answer.why) == (None, f"v{end} cannot be played: no catalogue")


def test_another_failure_is_no_pass_and_no_failure() -> None:
    """From 4 on it fails otherwise, which hides what is asked for up to 9: not told as good, nor as bad."""

    def play(number: int) -> bool | str:
        return "H4: length" if 4 <= number < 9 else number >= 9

    answer = looked(12, play)
    assert answer.first == 9
    assert set(answer.maybe) >= {8}
    assert answer.passed_over[8] == "it fails otherwise: H4: length"


def test_one_that_becomes_worse_is_not_where_it_began() -> None:
    """From 5 on it fails in three plays of ten, from 10 on always: the latter is never called the first."""
    said: Counter[int | None] = Counter()
    for seed in range(40):
        dice = random.Random(seed)

        def play(number: int, dice: random.Random = dice) -> bool:
            return dice.random() < (0.0 if number < 5 else 0.3 if number < 10 else 1.0)

        answer = looked(16, play)
        said[answer.first] += 1
        assert answer.first is not None or answer.why
    assert sum(count for first, count in said.items() if first not in (None, 5)) <= 2, said


def test_a_stretch_that_does_not_fit_is_said() -> None:
    """What was played and speaks against one change is never passed in silence."""
    for stretch in range(1, 15):
        answer = looked(16, lambda number, stretch=stretch: number == stretch or number >= 12)  # type: ignore[misc]
        if answer.first is None:
            continue
        assert answer.first in (stretch, 12)
        told = answer.tallies[stretch].counts
        assert not told.n or answer.first == stretch or stretch >= 12, "it saw that one, and named another"


def test_too_few_plays_are_said_with_the_likeliest() -> None:
    answer = looked(32, flaking(1, 20, 0.0, 0.5), Limits(plays=24))
    assert answer.first is None and answer.plays == 24
    assert answer.why is not None and answer.why.startswith("24 plays were not enough; the likeliest: ")


def test_the_posterior_adds_up_and_knows_what_cannot_be() -> None:
    found = change_point([0, 0, 3, 4], [4, 3, 0, 0], [0, 1, 1, 1])
    assert sum(found.likely) == pytest.approx(1)
    assert found.likely[0] == 0
    assert found.likely[2] == max(found.likely) > 0.9
    assert all(low < high for low, high in zip(found.before[1:], found.after[1:], strict=True))
    gains = found.gains()
    assert all(gain >= -1e-12 for gain in gains)
    flat = change_point([0] * 4, [0] * 4, [0, 1, 1, 1])
    assert flat.likely[1:] == pytest.approx([1 / 3] * 3)
