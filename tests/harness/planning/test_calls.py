# SPDX-License-Identifier: Apache-2.0
"""How often a callback must have been called, by what the contract says of the requests before."""

from __future__ import annotations

from typing import Any

import pytest

from harness.language import target
from harness.language.model import Scenario
from harness.planning.plan import plan
from harness.planning.planned import Answer

AVSHS, _ = target.find("avshs")
HANDSHAKE = {"do": "handshake", "on": "source", "route": "call"}
#: An instance without a callback beside one that has its own: nobody is asked.
MUTE = [
    {"do": "behaviour", "pin": "source", "kind": "no_callback"},
    {"do": "open_pin", "name": "mute", "pin": "source"},
    {"do": "handshake", "on": "mute", "route": "call"},
]
FIELDS = ("count", "device_state", "opened", "closed")
ASKED = {"do": "seen", "pin": "source", "expect": dict.fromkeys(FIELDS, "asked")}
OPEN = {"do": "open_pin", "name": "other", "pin": "source"}
CLOSE = {"do": "close", "on": "other"}


def looked(
    *steps: dict[str, Any], opened: tuple[str, ...] = ("source",), pin: str = "source"
) -> dict[str, Any]:
    """What the last look at a pin's callback expects, by field."""
    table = {"id": "x", "title": "a title", "rule": "H8", "open": list(opened)}
    scenario = Scenario.model_validate({**table, "steps": [*steps, {**ASKED, "pin": pin}]})
    (last,) = [step for step in plan(scenario, AVSHS).steps if step.index == len(steps)]
    assert last.answer is Answer.SEEN
    return {each.field: each.values for each in last.expected_fields if each.field != "answer"}


@pytest.mark.parametrize(
    ("steps", "count"),
    [
        ([], 0),
        ([HANDSHAKE, {**HANDSHAKE, "repeat": 5}], 6),
        ([HANDSHAKE, {**HANDSHAKE, "protocol": "unknown"}], 2),
        ([{**HANDSHAKE, "in_length": "size-1"}, HANDSHAKE], 1),
        ([{**HANDSHAKE, "mode": "user"}], 0),
        ([HANDSHAKE, {"do": "reset", "pin": "source"}, HANDSHAKE], 1),
        ([*MUTE, HANDSHAKE], 1),
    ],
)
def test_each_request_that_the_callback_is_to_answer_counts(steps: list[dict[str, Any]], count: int) -> None:
    assert looked(*steps)["count"] == (count,)


@pytest.mark.parametrize(
    "steps",
    [
        [{**HANDSHAKE, "in_buffer": "null"}],
        [{**HANDSHAKE, "start": "a"}, {"do": "wait", "request": "a"}],
    ],
)
def test_where_the_contract_is_silent_nobody_knows(steps: list[dict[str, Any]]) -> None:
    assert "count" not in looked(*steps)
    assert looked(*steps, {"do": "reset", "pin": "source"}, HANDSHAKE)["count"] == (1,)


def test_a_connected_pin_is_asked_and_its_source_is_not() -> None:
    asked = {"do": "pin_handshake", "on": "source"}
    assert looked(asked, asked, opened=("source -> sink",), pin="sink")["count"] == (2,)
    assert looked(asked, opened=("source -> sink",))["count"] == (0,)


def test_the_state_is_that_of_the_last_call() -> None:
    states = [{"do": "state", "on": "source", "to": state} for state in ("acquire", "pause")]
    assert looked(HANDSHAKE, *states)["device_state"] == (0,)
    assert looked(*states, HANDSHAKE)["device_state"] == (2,)
    assert "device_state" not in looked(*states), "nobody asked"


@pytest.mark.parametrize(
    ("steps", "opened", "closed"),
    [
        ([], 1, 0),
        ([OPEN], 2, 0),
        ([OPEN, CLOSE], 2, 1),
        ([OPEN, CLOSE, OPEN, CLOSE], 3, 2),
        ([OPEN, {"do": "reset", "pin": "source"}, CLOSE], 0, 1),
        ([{**OPEN, "expect": "record"}, CLOSE], None, 1),
        # What something else may still hold is closed later, or nobody knows when.
        ([OPEN, {**CLOSE, "keep": True}], 2, None),
        ([OPEN, {"do": "share", "on": "other", "name": "shared"}, CLOSE], 2, None),
        ([{**OPEN, "side": "user"}, CLOSE], 2, None),
        ([OPEN, {**HANDSHAKE, "on": "other", "start": "a"}, CLOSE, {"do": "wait", "request": "a"}], 2, None),
        ([OPEN, CLOSE, {"do": "device", "action": "restart"}], None, None),
    ],
)
def test_instances_are_counted(steps: list[dict[str, Any]], opened: int | None, closed: int | None) -> None:
    found = looked(*steps)
    assert (found.get("opened"), found.get("closed")) == tuple(
        None if count is None else (count,) for count in (opened, closed)
    )


def test_a_connection_holds_its_sink() -> None:
    close = {"do": "close", "on": "sink"}
    assert "closed" not in looked(close, opened=("source -> sink",), pin="sink")


def test_what_is_waited_for_is_counted_in_the_same_way() -> None:
    wait = {"do": "wait_inside", "pin": "source", "expect": {"count": "asked", "opened": "asked"}}
    table = {"id": "x", "title": "a title", "rule": "H8", "open": ["source"], "steps": [HANDSHAKE, wait]}
    (last,) = [step for step in plan(Scenario.model_validate(table), AVSHS).steps if step.index == 1]
    found = {each.field: each.values for each in last.expected_fields}
    assert (found["count"], found["opened"], found["inside"]) == ((1,), (1,), (True,))


def test_a_question_that_is_answered_later_is_another_one() -> None:
    table = {"id": "x", "title": "a title", "rule": "H8", "open": ["source"]}
    steps = [ASKED, {**ASKED, "later": True}]
    made = [s for s in plan(Scenario.model_validate({**table, "steps": steps}), AVSHS).steps if s.step]
    assert made[0].what == "read what the callback of source saw"
    assert made[1].what == "read what the callback of source saw, answered later"
    assert made[0].expected_fields == made[1].expected_fields and made[0].payload != made[1].payload
