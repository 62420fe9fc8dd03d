# SPDX-License-Identifier: Apache-2.0
"""Whatever is drawn, what is composed of it can be planned, and asks a guest for nothing that it lacks."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from harness.contract import capabilities
from harness.fuzzing.composing import Composed, Composer
from harness.fuzzing.draft import Draft, dumped, loaded
from harness.fuzzing.drawing import Drawing
from harness.fuzzing.fitting import Fitting
from harness.fuzzing.mutating import Mutator
from harness.fuzzing.pool import pool
from harness.fuzzing.strategies import Strategies
from harness.guest_info import GuestInfo
from harness.language import target as targets
from harness.language.model import Handshake, Target
from harness.planning.plan import plan
from harness.planning.planned import NotApplicable, Sizes
from tests.harness.fake_guest import ABI, INFO, C

ROOT = Path(__file__).parents[3]
WINDOWS = {**INFO, "family": "windows", "wine": None, "ks": {**INFO["ks"], "ours": False}}  # type: ignore[dict-item]


def named(name: str) -> Target:
    """A target that comes with the project."""
    if name == "avshs":
        return targets.find(name)[0]
    return targets.find(str(ROOT / "examples" / name / f"{name}.toml"))[0]


def composer(target: Target, info: dict[str, object] = INFO, pointer_size: int = 8) -> Composer:
    lacks = frozenset(capabilities.absent(GuestInfo.of(info)))
    return Composer(target, pool(target), Fitting(target, lacks, pointer_size))


def drafts(target: Target, seed: int, rounds: int) -> list[Draft]:
    strategies = Strategies(target, pool(target))
    drawing = Drawing(strategies.sequences, random.Random(seed))
    return [draft for _ in range(rounds) for draft in drawing.draw()]


def composed(made: Composer, all_drafts: list[Draft]) -> list[Composed]:
    """All of them, each trip as full as it gets."""
    left, found = list(all_drafts), []
    while left:
        one = made.compose(left, "fuzz.trip", "Drawn")
        if one is None:
            break
        found.append(one)
        left = left[one.sequences :]
    return found


@pytest.mark.parametrize("info", [INFO, WINDOWS], ids=["wine", "windows"])
@pytest.mark.parametrize(("name", "pointer_size"), [("avshs", 8), ("avshs", 4), ("clock", 8)])
def test_all_that_is_drawn_can_be_planned(name: str, pointer_size: int, info: dict[str, object]) -> None:
    target = named(name)
    made = composer(target, info, pointer_size)
    trips = composed(made, drafts(target, 7, 4))
    assert len(trips) >= 2
    for trip in trips:
        assert capabilities.missing(trip.scenario, info) is None
        planned = plan(trip.scenario, target, Sizes(pointer_size, pointer_size))
        assert planned.spoils is None
        assert len(trip.owners) == len(trip.scenario.steps) <= 200


def test_what_mutations_make_can_be_planned() -> None:
    target = named("avshs")
    made = composer(target)
    source = random.Random(3)
    steps = Drawing(Strategies(target, pool(target)).steps, source)
    fresh = [step for _ in range(10) for step in steps.draw()]
    mutator = Mutator(source, lambda: source.choice(fresh))
    kept = drafts(target, 3, 4)
    changed = [mutator.mutate(source.choice(kept), kept) for _ in range(60)]
    assert sum(before == after for before, after in zip(kept, changed, strict=False)) < len(kept)
    for trip in composed(made, changed):
        plan(trip.scenario, target)


def test_no_number_stands_where_a_callback_follows_a_pointer() -> None:
    """The planner refuses one that the composer let through, so that nothing is drawn which it refuses."""
    target = named("clock")
    made = composer(target)
    numbers = 0
    for draft in drafts(target, 11, 8):
        one = made.compose([draft], "fuzz.trip", "Drawn")
        if one is None:
            continue
        try:
            planned = plan(one.scenario, target)
        except NotApplicable as why:
            pytest.fail(str(why))
        for step in planned.steps:
            if not isinstance(step.step, Handshake) or step.request is None:
                continue
            found = target.protocol(step.request.data.protocol)
            if found is not None and found[1].followed is not None:
                numbers += 1
                data = step.request.data
                assert (data.argument1, data.argument2)[found[1].followed - 1] == 0
                head = ABI.cs.kshs_step(step.payload)
                sent = int(head.op) == C["KSHS_OP_REQUEST"]
                assert not sent or int(head.flags) & C["KSHS_STEP_ARGUMENTS"]
    assert numbers > 3


def test_a_callback_that_blocks_is_never_waited_for_by_what_only_it_could_end() -> None:
    draft: Draft = (
        {
            "do": "inside",
            "on": "source",
            "route": "irp",
            "steps": [
                {"do": "handshake", "on": "source"},
                {"do": "handshake", "on": "source_second"},
                {"do": "handshake", "on": "source_to_sink"},
                {"do": "pin_handshake", "on": "source_to_sink"},
                {"do": "close", "on": "source"},
                {"do": "handshake", "on": "sink"},
            ],
        },
    )
    one = composer(named("avshs")).compose([draft], "fuzz.trip", "Drawn")
    assert one is not None
    steps = one.scenario.steps
    first = next(index for index, step in enumerate(steps) if step.do == "wait_inside")
    last = next(index for index, step in enumerate(steps) if step.do == "unblock")
    assert [
        (step.do, getattr(step, "on", None)) for step in steps[first + 1 : last] if step.do != "open_pin"
    ] == [("handshake", "sink")]


def test_what_callbacks_must_have_seen_is_expected_where_it_is_certain() -> None:
    made = composer(named("avshs"))
    sure: Draft = (
        {"do": "handshake", "on": "source", "argument1": 7, "repeat": 3},
        {"do": "handshake", "on": "source"},
    )
    wrong: Draft = (*sure, {"do": "handshake", "on": "source", "in_length": 5})
    for draft, count in ((sure, 4), (wrong, None)):
        one = made.compose([draft], "fuzz.trip", "Drawn")
        assert one is not None
        seen = [step.expect for step in one.scenario.steps if step.do == "seen"]
        assert [(each.count, each.after_close) for each in seen if not isinstance(each, str)] == [(count, 0)]


def test_a_sequence_is_written_and_read_again() -> None:
    for draft in drafts(named("avshs"), 1, 2):
        assert loaded(dumped(draft)) == draft
    for text in ('{"do": "x"}', "[1]", '[{"on": "x"}]', "["):
        with pytest.raises(ValueError):
            loaded(text)


def test_the_same_seed_draws_the_same() -> None:
    target = named("avshs")
    assert drafts(target, 5, 2) == drafts(target, 5, 2) != drafts(target, 6, 2)


def test_many_instances_are_opened_asked_and_closed() -> None:
    one = composer(named("avshs")).compose(
        [({"do": "many", "on": "source", "count": 9},)], "fuzz.trip", "Drawn"
    )
    assert one is not None
    kinds = [step.do for step in one.scenario.steps]
    assert [kinds.count(kind) for kind in ("open_pin", "handshake", "close")] == [9, 9, 9]
    assert kinds.index("close") > kinds.index("handshake") + 8


def test_a_sink_is_told_to_ask_its_source_and_nothing_is_judged_but_that_no_closed_pin_is_called() -> None:
    draft: Draft = (
        {"do": "pin_handshake", "on": "sink_of_source"},
        {"do": "open", "on": "source_to_sink"},
        {"do": "close", "on": "source_to_sink"},
        {"do": "pin_handshake", "on": "sink_of_source"},
    )
    one = composer(named("avshs")).compose([draft], "fuzz.trip", "Drawn")
    assert one is not None
    asked = [step for step in one.scenario.steps if step.do == "pin_handshake"]
    assert [(step.on, step.expect) for step in asked] == [("sink_of_source", "record")] * 2
    seen = [step for step in one.scenario.steps if step.do == "seen"]
    assert {(step.pin, step.expect.after_close) for step in seen} == {("source", 0), ("sink", 0)}  # type: ignore[union-attr]


def test_a_right_request_must_leave_its_input_as_it_was() -> None:
    draft: Draft = (
        {"do": "handshake", "on": "source"},
        {"do": "handshake", "on": "source", "out_buffer": "alias"},
        {"do": "handshake", "on": "source", "in_length": 5},
    )
    one = composer(named("avshs")).compose([draft], "fuzz.trip", "Drawn")
    assert one is not None
    asked = [step.expect for step in one.scenario.steps if isinstance(step, Handshake)]
    assert [isinstance(expect, str) or expect.input_intact for expect in asked] == [True, True, True]
    assert [isinstance(expect, str) for expect in asked] == [False, True, True]


def test_a_control_whose_buffers_are_copied_says_no_length_that_no_buffer_has() -> None:
    step = {"do": "handshake", "on": "source", "control": 0x002F001C, "in_length": 0xFFFFFFFF}
    one = composer(named("avshs")).compose([(step,)], "fuzz.trip", "Drawn")
    assert one is not None
    assert [each.in_length for each in one.scenario.steps if isinstance(each, Handshake)] == [65_536]
