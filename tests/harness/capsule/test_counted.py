# SPDX-License-Identifier: Apache-2.0
"""Leaks are minimised without being asked less often: counts, repeats and rounds stay."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, cast

import pytest

from harness.capsule.counted import fails_in_a_count, holds_more, together
from harness.capsule.minimizing import Minimized, Minimizer
from harness.capsule.playing import Player
from harness.capsule.seen import Seen, of_result
from harness.capsule.smaller import build, pieces
from harness.language.model.scenario import Scenario
from harness.language.scenario_file import CATALOGUE, load
from harness.results.record import Comparison, ScenarioResult, StepResult
from harness.verdict import Verdict
from tests.harness.capsule.made import failure, scenario

#: What is kept by a driver: of a scenario's step, how many units.
Kept = Callable[[Any], int]
#: By how much a counter has to grow in both intervals (docs/scenarios.md, "What is kept").
LEAST = 8


class Leaking:
    """A driver that keeps something, and the harness that counts it."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self.played: list[Scenario] = []

    def play(self, played: Scenario, *, fresh: bool) -> Seen:
        self.played.append(played)
        held, counts, steps = 0, [], []
        for place, step in enumerate(played.steps):
            held += self.kept(step)
            bad = False
            if step.do == "counters":
                counts = [*counts, held] if step.events else [held]
                grown = [after - before for before, after in pairwise(counts)]
                bad = len(grown) == 2 and min(grown) >= LEAST
            wrong = Comparison("pool_blocks", "not grown", "+9 in 9", False, "IO")
            verdict = Verdict.FAILED if bad else Verdict.PASSED
            steps.append(
                StepResult(place, step.do, step.do, verdict, comparisons=(wrong,) if bad else (), reason="IO")
            )
            if bad:
                break
        verdict = Verdict.FAILED if any(s.verdict is Verdict.FAILED for s in steps) else Verdict.PASSED
        return of_result(
            ScenarioResult(played.id, played.title, ("H6",), verdict, "x.toml", steps=tuple(steps))
        )


def minimize(kept: Kept, start: Scenario) -> tuple[Minimized, int]:
    player = Leaking(kept)
    then = player.play(start, fresh=True)
    assert fails_in_a_count(then)
    return Minimizer(cast("Player", player), then, 1).minimize(start), len(player.played)


def rounds(start: int, count: int) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = []
    for number in range(start, start + count):
        name = f"source_r{number}"
        steps += [
            {"do": "open_pin", "name": name, "pin": "source"},
            {"do": "handshake", "on": name, "argument1": number},
            {"do": "close", "on": name},
        ]
    return steps


ASKED: dict[str, Any] = {"do": "handshake", "on": "source", "route": "irp", "argument2": 5}
COUNT: dict[str, Any] = {"do": "counters", "on": "source"}
LEAKS = scenario(
    open=["source", "filter"],
    steps=[
        {**ASKED, "repeat": 200},
        {**ASKED, "protocol": "unknown", "repeat": 200},
        COUNT,
        *[
            {**ASKED, "repeat": 2000},
            {**ASKED, "protocol": "unknown", "repeat": 2000},
            COUNT | {"events": 2000},
        ]
        * 2,
        {"do": "close", "on": "source"},
        *rounds(1, 2),
        {"do": "counters", "on": "filter"},
        *rounds(3, 12),
        {"do": "counters", "on": "filter", "events": 12},
        *rounds(15, 12),
        {"do": "counters", "on": "filter", "events": 12},
    ],
)


def test_a_leak_of_requests_is_five_steps_that_repeat_as_often_as_before() -> None:
    def kept(step: Any) -> int:
        return step.repeat // 10 if step.do == "handshake" and step.protocol == "unknown" else 0

    found, played = minimize(kept, LEAKS)
    steps = [step.model_dump(exclude_unset=True) for step in found.scenario.steps]
    asked = {"do": "handshake", "on": "source", "route": "irp", "protocol": "unknown", "repeat": 2000}
    counted = {**COUNT, "events": 2000}
    assert steps == [COUNT, asked, counted, asked, counted]
    assert found.scenario.open == ["source"] and played < 40


def test_a_leak_of_opens_keeps_all_of_its_rounds() -> None:
    """Eight would do, and `events` would not be true of them."""
    found, played = minimize(lambda step: int(step.do == "close"), LEAKS)
    counts = [step.events for step in found.scenario.steps if step.do == "counters"]
    assert counts == [0, 12, 12] and played < 60
    opens = [step.name for step in found.scenario.steps if step.do == "open_pin"]
    assert opens == [f"source_r{number}" for number in range(3, 27)]
    assert len(found.scenario.steps) == 3 + 2 * 24


def test_what_stays_open_is_no_smaller_leak() -> None:
    """Without the closes more is held at each count, by a sound driver too."""
    found, _ = minimize(lambda step: int(step.do == "open_pin"), LEAKS)
    kinds = [step.do for step in found.scenario.steps]
    assert kinds.count("open_pin") == kinds.count("close") == 24


@pytest.mark.parametrize(
    ("between", "more"),
    [
        (rounds(1, 1), False),
        (rounds(1, 1)[:2], True),
        ([*rounds(1, 1)[:2], {"do": "close", "on": "source_r1", "keep": True}], True),
        ([{**rounds(1, 1)[0], "expect": "record"}], False),
        ([{**ASKED, "start": "r1"}, {"do": "wait", "request": "r1"}], False),
        ([{**ASKED, "start": "r1"}], True),
        ([{"do": "close", "on": "source"}], False),
    ],
)
def test_what_holds_more_at_the_next_count(between: list[dict[str, Any]], more: bool) -> None:
    counts: list[dict[str, Any]] = [{"do": "counters"}, {"do": "counters", "events": 12}]
    waits = (
        [{"do": "wait", "request": "r1"}] if {"start", "request"} & between[-1].keys() == {"start"} else []
    )
    found = scenario(steps=[counts[0], *between, counts[1], *waits])
    assert holds_more(found) is more
    assert not holds_more(scenario(steps=[*between, *counts, *waits])), "before the first count"


def test_what_is_done_before_the_counts_goes_by_itself() -> None:
    """The warming up is no part of what the counts are held against."""
    groups = together(LEAKS, pieces(LEAKS, {"repeat", "events"}))
    steps = [[place for kind, place, _ in group if kind == "step"] for group in groups]
    assert [0] in steps and [3, 6] in steps, "once before, and once in each interval"
    assert [2] in steps and [5] in steps, "each count by itself"
    opened = [group for group in steps if group and LEAKS.steps[group[0]].do == "open_pin"]
    assert [len(group) for group in opened] == [2, 24]


def test_pieces_of_the_catalogue_s_leaks_make_it_again() -> None:
    for each in load(CATALOGUE / "leaks.toml"):
        groups = together(each, pieces(each))
        assert sorted(piece for group in groups for piece in group) == sorted(pieces(each))
        assert build(each, [piece for group in groups for piece in group]) == each


def test_another_failure_is_none_of_a_count() -> None:
    assert not fails_in_a_count(failure())
