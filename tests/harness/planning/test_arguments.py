# SPDX-License-Identifier: Apache-2.0
"""Plans for protocols whose arguments are pointers: what is handed over, refused, and due at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drivers.abi import load as load_abi
from harness.errors import UsageError
from harness.language import scenario_file, target
from harness.language.model import Rule, Scenario, Target
from harness.planning.plan import plan
from harness.planning.planned import NotApplicable, Plan, PlannedStep, Sizes

ABI = load_abi()
C = ABI.constants
CLOCK = target.load(Path(__file__).resolve().parents[3] / "examples" / "clock" / "clock.toml")
AVSHS, _ = target.find("avshs")

HANDSHAKE = {"do": "handshake", "on": "source"}
MAKE = {"do": "make", "name": "mine"}
HAND = {**HANDSHAKE, "protocol": "interface", "hand": ["mine"]}
TAKE = {**HANDSHAKE, "protocol": "answered_interface", "take": "theirs"}
CLOSE = {"do": "close", "on": "source"}
INSPECT = {"do": "inspect", "what": "mine"}


def planned(*steps: dict[str, Any], of: Target = CLOCK, opened: tuple[str, ...] = ("source",)) -> Plan:
    table = {"id": "x", "title": "abc", "rule": "arguments", "open": list(opened), "steps": list(steps)}
    return plan(Scenario.model_validate(table), of)


def changed(**claims: Any) -> Target:
    """The clock with other claims about the first argument of its protocol clock, or of its answer."""
    table = CLOCK.model_dump(by_alias=True)
    for part, values in claims.items():
        table["protocols"]["clock"][part] = values
    return Target.model_validate(table)


def head(step: PlannedStep) -> Any:
    return ABI.cs.kshs_step(step.payload)


def of_kind(made: Plan, op: str) -> list[PlannedStep]:
    return [step for step in made.steps if head(step).op == C[f"KSHS_OP_{op}"]]


def due(step: PlannedStep) -> dict[str, object]:
    assert {wanted.rule for wanted in step.expected_fields} <= {Rule.ARGUMENTS}
    return {wanted.field: wanted.values[0] for wanted in step.expected_fields}


def test_a_handshake_that_says_nothing_gets_what_the_protocol_wants() -> None:
    made = planned(HANDSHAKE)
    mine, room = of_kind(made, "MAKE")
    (request,) = of_kind(made, "REQUEST")
    fields = head(request)
    assert (head(mine).value, head(room).value) == (C["KSHS_MADE_INTERFACE"], C["KSHS_MADE_TAKEN_INTERFACE"])
    assert fields.flags == C["KSHS_STEP_ARGUMENTS"] | C["KSHS_STEP_TAKE"]
    assert (fields.slot2, fields.slot3) == (head(mine).slot, C["KSHS_NO_SLOT"])
    assert (fields.value, fields.value2) == (head(room).slot, C["KSHS_NO_SLOT"])
    assert request.request is not None
    assert (request.request.data.argument1, request.request.data.argument2) == (0, 0)
    # What came is looked at and given back; then the pin is closed, and nothing may be held.
    assert [step.what for step in made.steps[made.steps.index(request) + 1 :]] == [
        "look at the driver's interface (protocols.clock.answer1)",
        "dereference the driver's interface (protocols.clock.answer1)",
        "close source to see what it gives back",
        "look at the client's interface (protocols.clock.argument1)",
    ]
    assert due(made.steps[-1]) == {"held": 0, "excess": 0, "stale": 0, "strangers": 0, "intact": True}
    assert head(made.steps[-1]).repeat == 2000
    assert {wanted.field for wanted in request.expected_fields} == {"answer", "information", "argument2"}


def test_numbers_stay_numbers() -> None:
    made = planned({**HANDSHAKE, "argument1": 5, "argument2": 6}, {**HANDSHAKE, "threads": 2}, of=AVSHS)
    requests = of_kind(made, "REQUEST")
    assert [head(step).flags & ~C["KSHS_STEP_ASYNC"] for step in requests] == [0, 0, 0]
    assert [step.request and step.request.data.argument1 for step in requests] == [5, 0, 1]
    assert not of_kind(made, "MAKE")


@pytest.mark.parametrize(
    ("step", "key"),
    [
        ({"argument1": 5}, "protocols.clock.argument1"),
        ({"argument1": 0}, "protocols.clock.argument1"),
        ({"argument2": 1}, "protocols.clock.argument2"),
        ({"protocol": "rate", "argument1": 1}, "protocols.rate.argument1"),
        ({"input": "206E1F8CD4518E4B9D37602AB815C701" + "00" * 16}, "protocols.clock.argument1"),
        ({"route": "sync"}, "protocols.clock.argument1"),
        ({"expect": {"argument1": 7}}, "protocols.clock.answer1"),
        ({"protocol": "rate", "hand": ["mine"]}, "protocols.rate.argument1"),
    ],
)
def test_no_number_goes_to_a_callback_that_follows_it(step: dict[str, Any], key: str) -> None:
    with pytest.raises(NotApplicable) as why:
        planned({**MAKE, "protocol": "clock"}, {**HANDSHAKE, **step})
    assert f"({key})" in str(why.value)


def test_other_protocols_take_any_number() -> None:
    made = planned({**HANDSHAKE, "protocol": "unknown", "argument1": 5})
    assert head(of_kind(made, "REQUEST")[0]).flags == 0


def test_pin_handshakes_hand_over_numbers_alone() -> None:
    with pytest.raises(NotApplicable, match="no behaviour property set"):
        planned({"do": "pin_handshake", "on": "source"})
    with pytest.raises(NotApplicable, match=r"a pin_handshake step, whose arguments are numbers"):
        planned({"do": "pin_handshake", "on": "source"}, of=CLOCK.model_copy(update={"behaviour": True}))


def test_what_is_due_follows_the_life_of_an_interface() -> None:
    steps = (MAKE, INSPECT, HAND, INSPECT, HAND, INSPECT, CLOSE, INSPECT)
    looks = [
        step for step in of_kind(planned(*steps), "INSPECT") if "mine" in step.what and step.index is not None
    ]
    assert [due(step).get("held") for step in looks] == [0, 1, None, 0]
    assert [head(step).repeat for step in looks] == [2000, 0, 0, 2000]


@pytest.mark.parametrize(
    ("claims", "held"),
    [
        ({"kind": "interface", "until": "call"}, [0, 0, 0]),
        ({"kind": "interface", "until": "close"}, [None, 0, 0]),
        ({"kind": "interface", "until": "device"}, [None, None, 0]),
    ],
)
def test_until_when_is_what_the_target_file_says(claims: dict[str, Any], held: list[int | None]) -> None:
    restart = {"do": "device", "action": "restart"}
    made = planned(MAKE, HAND, INSPECT, CLOSE, INSPECT, restart, INSPECT, of=changed(argument1=claims))
    looks = [step for step in of_kind(made, "INSPECT") if "mine" in step.what and step.index is not None]
    assert [due(step).get("held") for step in looks] == held


def test_the_last_of_two_pins_has_to_give_it_back() -> None:
    other = {**HAND, "on": "second"}
    made = planned(
        MAKE,
        HAND,
        other,
        CLOSE,
        INSPECT,
        {"do": "close", "on": "second"},
        INSPECT,
        opened=("source", "second = source"),
    )
    looks = [step for step in of_kind(made, "INSPECT") if "mine" in step.what and step.index is not None]
    assert [due(step).get("held") for step in looks] == [None, 0]


def test_requests_under_way_may_hold_it() -> None:
    made = planned(
        MAKE, {**HAND, "start": "one"}, INSPECT, {"do": "wait", "request": "one"}, INSPECT,
        of=changed(argument1={"kind": "interface", "until": "call"}),
    )  # fmt: skip
    looks = [step for step in of_kind(made, "INSPECT") if "mine" in step.what and step.index is not None]
    assert [due(step).get("held") for step in looks] == [None, 0]


def test_each_thread_s_answer_is_looked_at_and_given_back() -> None:
    made = planned({**HANDSHAKE, "threads": 3})
    assert [head(step).value for step in of_kind(made, "REQUEST")] == [1, 2, 3]
    assert len({head(step).slot2 for step in of_kind(made, "REQUEST")}) == 1
    assert len([step for step in of_kind(made, "REFERENCE") if head(step).value == 1]) == 3


def test_what_was_taken_by_name_is_given_back_once() -> None:
    made = planned(TAKE, {"do": "reference", "what": "theirs"}, {"do": "dereference", "what": "theirs"})
    calls = of_kind(made, "REFERENCE")
    assert [(head(step).value, head(step).value2, step.index) for step in calls] == [
        (0, 1, 1),
        (1, 1, 2),
        (1, 1, None),
    ]
    with pytest.raises(UsageError, match="the client holds no reference to it"):
        planned(TAKE, *[{"do": "dereference", "what": "theirs"}] * 2)
    with pytest.raises(UsageError, match="no interface of the driver's"):
        planned(MAKE, {"do": "reference", "what": "mine"})


def test_the_driver_s_interface_is_kept_no_longer_than_it_may_be() -> None:
    answer = {"kind": "interface", "functions": 1}
    with pytest.raises(NotApplicable, match=r"protocols\.clock\.answer1\.until"):
        planned(TAKE, CLOSE, of=changed(answer1=answer))
    planned(TAKE, {"do": "dereference", "what": "theirs"}, CLOSE, of=changed(answer1=answer))
    planned(TAKE, CLOSE, of=changed(answer1={**answer, "until": "released"}))


def test_a_block_vanishes_when_the_driver_has_no_more_use_for_it() -> None:
    block = {"do": "make", "name": "mine", "protocol": "pointer"}
    vanish = {"do": "vanish", "what": "mine"}
    hand = {**HANDSHAKE, "protocol": "pointer", "hand": ["mine"]}
    made = planned(block, hand, vanish)
    assert head(of_kind(made, "MAKE")[0]).in_kind == C["KSHS_BUFFER_PAGE_END"]
    assert not [step for step in of_kind(made, "INSPECT") if "block mine" in step.what]
    longer = changed(argument1={"kind": "pointer", "length": 4, "until": "close"})
    with pytest.raises(NotApplicable, match=r"may still use .*\(protocols\.clock\.argument1\.until\)"):
        planned(block, hand, vanish, of=longer)
    planned(block, hand, CLOSE, vanish, of=longer)
    with pytest.raises(UsageError, match="its memory is gone by then"):
        planned(block, hand, vanish, hand)
    with pytest.raises(NotApplicable, match="no block of non-paged memory"):
        planned(MAKE, {"do": "vanish", "what": "mine"})


def test_a_target_without_interfaces_says_so() -> None:
    with pytest.raises(
        NotApplicable, match="pin source of target avshs accepts no protocol with an interface"
    ):
        planned(MAKE, of=AVSHS)
    with pytest.raises(NotApplicable, match="answers no pointer"):
        planned({**HANDSHAKE, "take": "theirs"}, of=AVSHS)


def test_accepted_is_a_protocol_of_numbers_where_the_pin_has_one() -> None:
    """A pin may list a protocol of interfaces first: what gives numbers is sent by the other one."""
    number = "8C1F6E20-51D4-4B8E-9D37-602AB815C7FF"
    table = CLOCK.model_dump(by_alias=True)
    table["protocols"]["count"] = number
    for pin in table["pin"]:
        pin["accepts"] = [*pin["accepts"], "count"]
    both = Target.model_validate(table)
    assert both.accepted(both.pin[0]) == "count"
    assert CLOCK.accepted(CLOCK.pin[0]) == "clock" and CLOCK.accepted(None) == "clock"
    (request,) = of_kind(planned({**HANDSHAKE, "argument1": 5}, of=both), "REQUEST")
    assert request.request is not None and str(request.request.data.protocol).upper() == number
    with pytest.raises(NotApplicable, match="takes an interface as argument1"):
        planned({**HANDSHAKE, "argument1": 5})


def test_the_catalogue_never_hands_a_number_to_the_clock() -> None:
    sent = 0
    for located in scenario_file.load_all([scenario_file.CATALOGUE]):
        try:
            made = plan(located.scenario, CLOCK)
        except NotApplicable:
            continue
        for step in of_kind(made, "REQUEST"):
            found = step.request and CLOCK.protocol(step.request.data.protocol)
            if found:
                assert head(step).flags & C["KSHS_STEP_ARGUMENTS"], located.scenario.id
                sent += 1
    assert sent > 100


def test_nothing_is_said_of_what_was_given_back() -> None:
    look = {"do": "inspect", "what": "theirs"}
    back = {"do": "dereference", "what": "theirs"}
    made = planned(TAKE, look, back, look)
    assert [bool(step.expected_fields) for step in of_kind(made, "INSPECT") if step.index is not None] == [
        True,
        False,
    ]
    borrowed = {"kind": "interface", "functions": 1, "reference": "borrowed"}
    made = planned(TAKE, look, CLOSE, look, of=changed(answer1=borrowed))
    assert [bool(step.expected_fields) for step in of_kind(made, "INSPECT") if step.index is not None] == [
        True,
        False,
    ]


def test_what_the_client_makes_is_not_taken_for_a_leak() -> None:
    """What handshakes of the clock are given to take stays until the scenario's end."""
    count = {"do": "counters"}
    two = [HANDSHAKE, HANDSHAKE]
    assert len(of_kind(planned(HANDSHAKE, HANDSHAKE, HANDSHAKE, count, *two, count), "COUNTERS")) == 2
    many = [HANDSHAKE] * 6
    with pytest.raises(NotApplicable, match="what the client makes for them between two counts"):
        planned(count, *many, count)
    assert planned(count, *many, count, of=AVSHS)


def test_a_client_on_x86_cannot_implement_functions_whose_parameters_nobody_knows() -> None:
    table = {"id": "x", "title": "abc", "rule": "arguments", "open": ["source"], "steps": [HANDSHAKE]}
    claim = {"kind": "interface", "version": 1}
    more = changed(argument1={**claim, "functions": [0, 1]})
    with pytest.raises(NotApplicable, match=r"argument1\.functions.*x86.*without them it can"):
        plan(Scenario.model_validate(table), more, Sizes(kernel=4, user=4))
    assert plan(Scenario.model_validate(table), more, Sizes(kernel=8, user=4)).steps
    none = changed(argument1={**claim, "functions": 0})
    made = plan(Scenario.model_validate(table), none, Sizes(kernel=4, user=4))
    assert of_kind(made, "MAKE")
