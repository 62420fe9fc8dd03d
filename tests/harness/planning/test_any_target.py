# SPDX-License-Identifier: Apache-2.0
"""Scenarios on targets that they were not written for: one pin of any name, no behaviour property set."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from harness.agent.frames import Record
from harness.language import scenario_file
from harness.language.model import Scenario, Target
from harness.planning.expectations import MisspeltName
from harness.planning.plan import plan
from harness.planning.planned import NotApplicable, Plan
from harness.running.step_result import judge_step
from harness.verdict import Verdict
from tests.harness.fake_guest import C
from tests.harness.planning.test_plan import AVSHS, scenario

HANDSHAKE = {"do": "handshake", "on": "source", "argument1": 1}
SEEN = {"do": "seen", "pin": "source", "expect": {"count": 1}}


def target(*names: str, **pin: Any) -> Target:
    """A driver of somebody else's: pins of these names, no behaviour property set."""
    return Target.model_validate(
        {
            "schema": 1,
            "name": "theirs",
            "package": ".",
            "hardware_id": r"Root\Theirs",
            "service": "theirs",
            "category": "6b2f7a11-52d3-4c0e-9e1b-0b9c1b7d5a01",
            "format": {
                "major": "6b2f7a14-52d3-4c0e-9e1b-0b9c1b7d5a01",
                "sub": "6b2f7a15-52d3-4c0e-9e1b-0b9c1b7d5a01",
            },
            "protocols": {"a": "6b2f7a12-52d3-4c0e-9e1b-0b9c1b7d5a01"},
            "pin": [
                {"id": number, "name": name, "flow": "out", "accepts": ["a"], **pin}
                for number, name in enumerate(names)
            ],
        }
    )


ONE = target("source")


def on(made_for: Target, *steps: dict[str, Any], **values: Any) -> Plan:
    return plan(scenario(*steps, **values), made_for)


def own(made: Plan) -> list[str]:
    return [item.kind for item in made.steps if item.index is not None]


def test_what_a_callback_saw_is_left_out_and_said() -> None:
    made = on(ONE, HANDSHAKE, SEEN, {"do": "reset", "pin": "source"}, HANDSHAKE)
    assert own(made) == ["handshake", "handshake"]
    assert [item.index for item in made.steps if item.index is not None] == [0, 3]
    first, second = (item.notes for item in made.steps if item.index is not None)
    assert first[0] == "what its callback saw is not looked at: target theirs has no behaviour property set"
    assert second == ()


def test_where_no_step_is_before_it_is_said_beside_the_next() -> None:
    made = on(
        ONE, SEEN, {"do": "open_pin", "name": "late", "pin": "source"}, {**HANDSHAKE, "on": "late"}, opened=()
    )
    assert "is not looked at" in made.steps[0].notes[0]
    assert not any(item.notes for item in made.steps[1:])


def test_on_the_sample_target_nothing_is_left_out() -> None:
    made = on(AVSHS, HANDSHAKE, SEEN)
    assert own(made) == ["handshake", "seen"]
    assert not any(item.notes or item.condition for item in made.steps)


@pytest.mark.parametrize(
    "step",
    [
        {"do": "behaviour", "pin": "source", "kind": "echo"},
        {"do": "unblock", "pin": "source"},
        {"do": "wait_inside", "pin": "source"},
    ],
)
def test_what_tells_a_callback_what_to_do_is_left_out_where_the_scenario_allows_it(
    step: dict[str, Any],
) -> None:
    with pytest.raises(NotApplicable, match="no behaviour property set"):
        on(ONE, step, HANDSHAKE)
    made = on(ONE, step, HANDSHAKE, bare=True)
    assert own(made) == ["handshake"]
    assert any(item.notes for item in made.steps)


@pytest.mark.parametrize("bare", [False, True])
def test_where_nothing_would_be_asked_it_is_not_run(bare: bool) -> None:
    with pytest.raises(NotApplicable, match="no behaviour property set"):
        on(ONE, SEEN, bare=bare)


def test_a_pin_handshake_cannot_be_left_out() -> None:
    two = target("source", "sink")
    with pytest.raises(NotApplicable, match="no behaviour property set"):
        on(two, {"do": "pin_handshake", "on": "source"}, HANDSHAKE, bare=True)


def test_source_is_the_first_pin_with_a_callback_where_no_pin_is_called_so() -> None:
    theirs = target("preview", "capture")
    theirs = theirs.model_copy(
        update={"pin": [theirs.pin[0].model_copy(update={"callback": False}), theirs.pin[1]]}
    )
    made = on(theirs, HANDSHAKE, SEEN)
    assert "open pin capture as source by the kernel side" in [item.what for item in made.steps]


def test_source_stands_for_nothing_beside_another_pin_or_a_similar_name() -> None:
    with pytest.raises(NotApplicable, match="no pin source"):
        on(target("sink"), HANDSHAKE, opened=("source", "sink"))
    with pytest.raises(MisspeltName):
        on(target("sourcd"), HANDSHAKE)
    with pytest.raises(NotApplicable, match="no pin other"):
        on(ONE, {"do": "handshake", "on": "other"}, opened=("other",))


def test_more_instances_than_the_target_file_allows_are_not_opened() -> None:
    opened = ("source", "second = source")
    with pytest.raises(NotApplicable, match=r"can be open 1 time at once \(max_instances\)"):
        on(ONE, HANDSHAKE, opened=opened)
    assert on(target("source", max_instances=2), HANDSHAKE, opened=opened)
    again = [
        {"do": "close", "on": "source"},
        {"do": "open_pin", "name": "again", "pin": "source"},
        {"do": "handshake", "on": "again"},
    ]
    assert on(ONE, *again)


def test_instances_are_counted_for_each_filter() -> None:
    """InstancesPossible is of one filter, and the client and a user-mode caller have each their own."""
    user = {"do": "handshake", "on": "mine", "route": "sync"}
    assert on(ONE, HANDSHAKE, user, opened=("source", "mine = source"))


def verdict_of_state(made: Plan, status: int) -> tuple[Verdict, str | None]:
    """What it means that the change of state was answered so."""
    item = next(one for one in made.steps if one.kind == "state")
    flags = C["KSHS_REC_IOSB_VISIBLE"] | C["KSHS_REC_STATUS_WRITTEN"]
    fields = dict.fromkeys(("seq", "outcome", "detail", "completions", "information", "changed_bytes"), 0)
    answer = Record(
        op=C["KSHS_OP_PROPERTY"],
        flags=flags,
        returned=status,
        status=status,
        changed_first=0xFFFFFFFF,
        changed_last=0xFFFFFFFF,
        irql_after=0,
        begin_ns=1,
        duration_ns=1,
        thread=1,
        repeats=1,
        data=b"",
        **fields,
    )
    result, _ = judge_step(0, item, answer)
    return result.verdict, result.reason


STATE = {"do": "state", "on": "source", "to": "run"}


def test_a_foreign_driver_may_refuse_a_state() -> None:
    made = on(ONE, STATE, HANDSHAKE)
    assert [item.condition for item in made.steps if item.kind == "state"] == [True]
    started = on(ONE, {**STATE, "start": "s"}, HANDSHAKE, {"do": "wait", "request": "s"})
    assert [item.condition for item in started.steps if item.kind == "wait"] == [True]
    demanded = on(ONE, {**STATE, "expect": {"answer": "success"}}, HANDSHAKE)
    assert not any(item.condition for item in demanded.steps)
    verdict, reason = verdict_of_state(made, 0xC0000184)
    assert verdict is Verdict.SKIPPED
    assert reason is not None and "STATUS_INVALID_DEVICE_STATE" in reason and "nobody forbids" in reason
    assert verdict_of_state(demanded, 0xC0000184)[0] is Verdict.FAILED
    assert verdict_of_state(made, 0)[0] is Verdict.PASSED


def test_no_driver_may_end_a_change_of_state_with_pending() -> None:
    for made in (on(ONE, STATE, HANDSHAKE), on(AVSHS, STATE, HANDSHAKE)):
        verdict, reason = verdict_of_state(made, 0x103)
        assert verdict is Verdict.FAILED
        assert reason == "IO: answer is final is STATUS_PENDING (0x00000103), expected not STATUS_PENDING"


def catalogue() -> list[Scenario]:
    return [one.scenario for one in scenario_file.load_all([scenario_file.CATALOGUE])]


def test_more_than_half_of_the_catalogue_asks_a_driver_of_one_pin() -> None:
    asked: Counter[str] = Counter()
    for item in catalogue():
        try:
            plan(item, target("source", max_instances=8))
        except NotApplicable as why:
            asked[str(why)] += 1
        else:
            asked["asked"] += 1
    assert asked["asked"] > sum(asked.values()) / 2, asked
