# SPDX-License-Identifier: Apache-2.0
"""The smallest scenario that still fails the same way."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, cast

import pytest

from harness.capsule import agreement
from harness.capsule.agreement import Outcome
from harness.capsule.minimizing import Minimized, Minimizer
from harness.capsule.playing import NotPlayableError, Player
from harness.capsule.scenario_text import read, render
from harness.capsule.seen import of_result
from harness.capsule.smaller import JUDGED, build, is_held_for_ever, pieces, shrunk, simpler
from harness.errors import UsageError
from harness.language.model.scenario import Scenario
from harness.language.scenario_file import CATALOGUE, load
from harness.results import rates
from tests.harness.capsule.made import failure, result, scenario, wrong


class FakePlayer:
    """Fails where a predicate says so."""

    def __init__(self, fails: Callable[[Scenario], bool], comparison: Any = None) -> None:
        self.fails = fails
        self.comparison = comparison
        self.played: list[Scenario] = []

    def play(self, played: Scenario, *, fresh: bool) -> Any:
        self.played.append(played)
        return of_result(result(played, fails=self.fails(played), comparison=self.comparison))


def has(of: Scenario, **wanted: Any) -> bool:
    return any(all(getattr(step, key, None) == value for key, value in wanted.items()) for step in of.steps)


def handshakes(of: Scenario) -> bool:
    return any(step.do == "handshake" for step in of.steps)


def minimize(fails: Callable[[Scenario], bool], start: Scenario | None = None, runs: int = 3) -> Minimized:
    player = FakePlayer(lambda of: handshakes(of) and fails(of))
    return Minimizer(cast("Player", player), failure(), runs).minimize(start or scenario())


def long_scenario() -> Scenario:
    steps: list[dict[str, Any]] = [{"do": "handshake", "on": "source", "argument1": n} for n in range(1, 30)]
    steps[17] |= {"route": "irp", "repeat": 64, "argument2": 9, "note": "this one"}
    return scenario(steps=[*steps, {"do": "seen", "pin": "source"}])


def handshake_results(of: Scenario) -> bool:
    return has(of, do="handshake", route="irp", argument2=9)


def test_one_step_of_thirty_and_only_the_keys_that_matter() -> None:
    def fails(of: Scenario) -> bool:
        return any(
            step.do == "handshake" and step.route == "irp" and step.argument2 == 9 and step.repeat >= 5
            for step in of.steps
        )

    found = minimize(fails, long_scenario())
    assert [step.model_dump(exclude_unset=True) for step in found.scenario.steps] == [
        {"do": "handshake", "on": "source", "route": "irp", "argument2": 9, "repeat": 8}
    ]
    assert found.after.value == found.before.value == 1
    assert found.candidates < 120
    assert read(render([found.scenario])) == [found.scenario]


def test_what_was_concurrent_becomes_one_pin_and_one_request_under_way() -> None:
    """Two are asked at the same time: the second need not be started, nor has it a pin of its own."""
    steps: list[dict[str, Any]] = [
        *({"do": "open_pin", "name": name, "pin": "source"} for name in ("one", "two", "three")),
        {"do": "handshake", "on": "one", "argument1": 1, "start": "first"},
        {"do": "handshake", "on": "two", "argument1": 2, "start": "second"},
        {"do": "handshake", "on": "three", "argument1": 3, "start": "third"},
        *({"do": "wait", "request": name} for name in ("first", "second", "third")),
    ]

    def fails(of: Scenario) -> bool:
        under_way: set[str] = set()
        for step in of.steps:
            if step.do == "handshake" and under_way:
                return True
            if step.do == "handshake" and step.start is not None:
                under_way.add(step.start)
            elif step.do == "wait":
                under_way.discard(step.request)
        return False

    found = minimize(fails, scenario(steps=steps, open=[]))
    kinds = [step.do for step in found.scenario.steps]
    assert kinds == ["open_pin", "handshake", "handshake", "wait"]
    first, second = (step for step in found.scenario.steps if step.do == "handshake")
    assert first.on == second.on and first.start is not None and second.start is None


def test_an_object_goes_with_all_that_is_asked_of_it() -> None:
    """No step of it can go alone, and they do not stand side by side."""
    names = ("one", "two", "three")
    steps: list[dict[str, Any]] = [
        *({"do": "open_pin", "name": name, "pin": pin} for name, pin in zip(names, (0, 1, 2), strict=True)),
        *({"do": "handshake", "on": name, "start": f"{name}_asked"} for name in names),
        *({"do": "wait", "request": f"{name}_asked"} for name in names),
        *({"do": "close", "on": name} for name in names),
    ]
    found = minimize(lambda of: has(of, do="close"), scenario(steps=steps, open=[]))
    assert [step.do for step in found.scenario.steps] == ["open_pin", "handshake", "close"]


def test_two_steps_that_need_each_other_stay() -> None:
    def fails(of: Scenario) -> bool:
        numbers = [step.argument1 for step in of.steps if step.do == "handshake"]
        return 3 in numbers and 25 in numbers and numbers.index(3) < numbers.index(25)

    found = minimize(fails, long_scenario())
    assert [getattr(step, "argument1", None) for step in found.scenario.steps] == [3, 25]


BLOCKED: list[dict[str, Any]] = [
    {"do": "behaviour", "pin": "source", "kind": "block"},
    {"do": "handshake", "on": "source", "start": "r1"},
    {"do": "handshake", "on": "source", "argument1": 3, "start": "r2"},
    {"do": "unblock", "pin": "source"},
    {"do": "wait", "request": "r1"},
    {"do": "wait", "request": "r2"},
]


def test_a_request_that_hangs_with_every_driver_is_no_smaller_failure() -> None:
    """Without `unblock` the wait is in vain whatever the driver is, and the verdict would be the same."""
    found = minimize(lambda of: has(of, do="wait") and has(of, kind="block"), scenario(steps=BLOCKED))
    assert [step.do for step in found.scenario.steps] == ["behaviour", "handshake", "unblock", "wait"]


def test_a_scenario_that_hangs_by_itself_may_go_on_doing_so() -> None:
    found = minimize(
        lambda of: has(of, do="wait") and has(of, kind="block"), scenario(steps=[*BLOCKED[:3], *BLOCKED[4:]])
    )
    assert [step.do for step in found.scenario.steps] == ["behaviour", "handshake", "wait"]


@pytest.mark.parametrize(
    ("steps", "held"),
    [
        (BLOCKED, False),
        ([*BLOCKED[:3], BLOCKED[4]], True),
        ([*BLOCKED[:2], {"do": "cancel", "request": "r1"}, BLOCKED[4]], False),
        ([BLOCKED[0], {"do": "handshake", "on": "source"}], True),
        ([{**BLOCKED[0], "delay_ms": 50}, {"do": "handshake", "on": "source"}], False),
        ([{**BLOCKED[0], "delay_ms": 60_000}, *BLOCKED[1:3], *BLOCKED[4:]], True),
        ([{**BLOCKED[0], "delay_ms": 60_000}, *BLOCKED[1:]], False),
        ([BLOCKED[0], {"do": "reset", "pin": "source"}, {"do": "handshake", "on": "source"}], False),
        (
            [BLOCKED[0], {"do": "behaviour", "pin": "source", "kind": "echo"}, *BLOCKED[1:3], *BLOCKED[4:]],
            False,
        ),
    ],
)
def test_what_blocks_for_ever(steps: list[dict[str, Any]], held: bool) -> None:
    assert is_held_for_ever(scenario(steps=steps)) is held
    named = [{"do": "open_pin", "name": "mine", "pin": "source"}]
    on = [step | {"on": "mine"} if "on" in step else step for step in steps]
    assert is_held_for_ever(scenario(steps=[*named, *on], open=[])) is held


def test_what_fails_otherwise_is_no_smaller_failure() -> None:
    """Without its second request it fails by another rule."""

    class Other(FakePlayer):
        def play(self, played: Scenario, *, fresh: bool) -> Any:
            whole = has(played, protocol="unknown")
            comparison = wrong() if whole else wrong(0xC0000001, "H6", "information")
            return (
                of_result(result(played, fails=handshakes(played), comparison=comparison))
                if handshakes(played)
                else of_result(result(scenario(), fails=False))
            )

    found = Minimizer(cast("Player", Other(handshakes)), failure(), 2).minimize(scenario())
    assert has(found.scenario, protocol="unknown")
    assert len(found.scenario.steps) == 1


def test_a_failure_that_does_not_come_here() -> None:
    with pytest.raises(UsageError, match="does not come here: 0 of 3 runs"):
        minimize(lambda of: False)


def test_a_guest_that_cannot_show_it() -> None:
    class No(FakePlayer):
        def play(self, played: Scenario, *, fresh: bool) -> Any:
            raise NotPlayableError("it has no second pin")

    with pytest.raises(UsageError, match="this guest cannot show it: it has no second pin"):
        Minimizer(cast("Player", No(handshakes)), failure(), 2).minimize(scenario())


def test_the_rate_is_not_lowered_beyond_the_bound() -> None:
    """Without the sleep it fails in one of twenty runs only: the sleep stays."""
    dice = random.Random(5)

    def fails(of: Scenario) -> bool:
        return dice.random() < (0.7 if any(step.do == "sleep" for step in of.steps) else 0.02)

    found = minimize(fails, runs=40)
    assert any(step.do == "sleep" for step in found.scenario.steps)
    assert found.after.value >= 0.8 * found.before.value


def test_only_what_is_a_scenario_is_played() -> None:
    start = scenario()
    kept = [piece for piece in pieces(start) if piece[0] != "open"]
    assert build(start, kept) is None, "a request on a pin that nobody opened"
    assert build(start, []) is None
    assert build(start, pieces(start)) == start


def test_pieces_of_the_whole_catalogue_make_it_again() -> None:
    for file in sorted(CATALOGUE.glob("*.toml")):
        for each in load(file):
            assert build(each, pieces(each)) == each


def test_counts_are_made_smaller() -> None:
    smaller = [step.repeat for each in shrunk(scenario()) for step in each.steps if step.do == "handshake"]
    assert 1 in smaller
    assert 4 in smaller


# ---- agreement ------------------------------------------------------------------------------------


def test_what_a_step_may_take_is_no_count() -> None:
    """Of a step that hangs: with a limit of 1 ms it would hang with every driver."""
    start = scenario(steps=[{"do": "handshake", "on": "source", "timeout_ms": 500}])
    assert {step.timeout_ms for of in shrunk(start) for step in of.steps} == {1, 250}
    assert shrunk(start, limits=False) == []
    repeated = scenario(steps=[{"do": "handshake", "on": "source", "timeout_ms": 500, "repeat": 2}])
    assert [step.timeout_ms for of in shrunk(repeated, limits=False) for step in of.steps] == [500]


def test_requests_at_once_become_threads_of_one() -> None:
    """What takes 20 requests at once takes one step that sends them."""
    sent = [
        {"do": "handshake", "on": "source", "route": "irp", "argument1": 100 + n, "start": f"r{n}"}
        for n in range(24)
    ]
    waits = [{"do": "wait", "request": f"r{n}"} for n in range(24)]

    def fails(of: Scenario) -> bool:
        under_way = [step for step in of.steps if step.do == "handshake" and step.start is not None]
        return sum(step.threads or 1 for step in under_way) >= 20

    found = minimize(fails, scenario(steps=[*sent, {"do": "seen", "pin": "source"}, *waits]))
    assert [step.do for step in found.scenario.steps] == ["handshake", "wait"]
    (step, _) = found.scenario.steps
    assert step.threads is not None and 20 <= step.threads <= 24


def test_requests_at_once_are_joined_with_those_waited_for_where_they_are_sent() -> None:
    """The last of many under way were refused at once, and need not be started: the same step sends them."""
    asked = {"do": "handshake", "on": "source", "route": "irp"}
    started = [{**asked, "argument1": 100 + n, "start": f"r{n}"} for n in range(24)]
    looks = [{"do": "wait_inside", "pin": "source", "expect": "record"}, {"do": "sleep", "ms": 50}]
    waits = [step for n in range(24) for step in ({"do": "wait", "request": f"r{n}"}, *looks)]
    steps = [*started, *({**asked, "argument1": n} for n in (124, 125)), *waits]
    looked = 0

    def fails(of: Scenario) -> bool:
        nonlocal looked
        looked += any(step.do == "wait_inside" for step in of.steps)
        return sum(step.threads for step in of.steps if step.do == "handshake") >= 25

    found = minimize(fails, scenario(steps=steps))
    (step,) = found.scenario.steps
    assert step.do == "handshake" and step.start is None and step.threads in (25, 26)
    assert looked == 3, "what waits in vain was played on and on"


def test_requests_one_after_another_are_not_sent_at_once() -> None:
    steps = [{"do": "handshake", "on": "source", "argument1": n} for n in range(4)]
    assert all(getattr(step, "threads", 1) == 1 for of in simpler(scenario(steps=steps)) for step in of.steps)


@pytest.mark.parametrize(("count", "most"), [(64, [64]), (70, [64, 6])])
def test_no_more_are_joined_than_one_step_may_send(count: int, most: list[int]) -> None:
    steps = [{"do": "handshake", "on": "source", "argument1": n, "start": f"r{n}"} for n in range(count)]
    waits = [{"do": "wait", "request": f"r{n}"} for n in range(count)]
    joined = [
        step.threads
        for of in simpler(scenario(steps=[*steps, *waits]))
        for step in of.steps
        if step.do == "handshake" and step.threads > 1
    ]
    assert joined == most


def test_what_is_expected_may_stay_with_its_step() -> None:
    """A driver that hangs never comes to it, and for a sound one it decides."""
    step = {"do": "handshake", "on": "source", "expect": "record", "timeout_ms": 500, "argument1": 3}
    start = scenario(steps=[step, step])
    kept = [piece for piece in pieces(start, JUDGED) if piece[0] == "open" or piece[:2] == ("step", 1)]
    assert {key for kind, _, key in pieces(start, JUDGED) if kind == "key"} == {"argument1"}
    found = build(start, kept, JUDGED)
    assert found is not None
    (left,) = found.steps
    assert left.model_dump(exclude_unset=True) == {key: step[key] for key in step if key != "argument1"}


def test_outcomes() -> None:
    then = failure()
    assert agreement.outcome(then, of_result(result(scenario()))) is Outcome.REPRODUCED
    assert agreement.outcome(then, of_result(result(scenario(), fails=False))) is Outcome.NOT_REPRODUCED
    otherwise = of_result(result(scenario(), comparison=wrong(0xC0000001, "H6", "information")))
    assert agreement.outcome(then, otherwise) is Outcome.DIFFERENT


def test_differences_by_field() -> None:
    then, now = failure(), of_result(result(scenario(), information=32))
    found = {(each.step, each.field, each.then, each.now) for each in agreement.differences(then, now)}
    assert found == {("handshake 0", "information", 0, 32), ("handshake 2", "information", 0, 32)}


def test_rates_have_an_interval() -> None:
    low, high = rates.wilson(3, 3)
    assert 0.4 < low < 0.5 and high == 1
    counts = agreement.tally([Outcome.REPRODUCED, Outcome.DIFFERENT, Outcome.REPRODUCED])
    assert [counts[each] for each in Outcome] == [2, 1, 0]


@pytest.mark.parametrize("file", sorted(CATALOGUE.glob("*.toml")), ids=lambda path: path.stem)
def test_every_scenario_of_the_catalogue_can_be_written_and_read(file: Any) -> None:
    scenarios = load(file)
    assert read(render(scenarios, ["from the catalogue"], about="all of it")) == scenarios
