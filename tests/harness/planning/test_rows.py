# SPDX-License-Identifier: Apache-2.0
"""Handshakes whose repeats differ: rows that the contract predicts alike, and what the guest is told."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from harness.contract.prediction import PredictionKind
from harness.errors import UsageError
from harness.language.model.check import check
from harness.planning.plan import plan
from harness.planning.planned import PlannedStep
from tests.harness.planning.test_plan import AVSHS, C, planned, scenario, sent

SIZE_ERROR, DEVICE_ERROR = 0xC0000206, 0xC0000010
FLIP, ERRORS_ALIKE = C["KSHS_STEP_FLIP"], C["KSHS_STEP_ERRORS_ALIKE"]


def rows(on: str = "source", **values: Any) -> list[PlannedStep]:
    made = planned({"do": "handshake", "on": on, **values}, opened=(on,))
    return [item for item in made.steps if item.index == 0]


def told(item: PlannedStep) -> tuple[int, int, int, int, int]:
    step = sent(item)
    return int(step.in_length), int(step.value), int(step.out_length), int(step.value2), int(step.repeat)


def expected(item: PlannedStep) -> dict[str, object]:
    return {one.field: one.values[0] for one in item.expected_fields}


def test_every_input_length_is_three_rows_and_the_middle_one_is_the_right_length() -> None:
    made = rows(route="irp", in_length=0, in_stride=1, repeat=4097)
    assert [told(item) for item in made] == [(0, 1, 32, 0, 32), (32, 1, 32, 0, 1), (33, 1, 32, 0, 4064)]
    assert [expected(item)["answer"] for item in made] == [SIZE_ERROR, 0, SIZE_ERROR]
    assert all(item.prediction is not None for item in made)
    assert [item.what for item in made] == [
        "handshake source by irp from kernel mode, InLength 0 to InLength 31",
        "handshake source by irp from kernel mode, InLength 32",
        "handshake source by irp from kernel mode, InLength 33 to InLength 4096",
    ]
    assert not any(sent(item).flags for item in made)


def test_both_lengths_may_grow_and_meet_the_right_one_together() -> None:
    made = rows(in_length=0, in_stride=1, out_length=0, out_stride=1, repeat=4097)
    assert [told(item) for item in made] == [(0, 1, 0, 1, 32), (32, 1, 32, 1, 1), (33, 1, 33, 1, 4064)]
    apart = rows(in_length=0, in_stride=1, out_length=1, out_stride=1, repeat=100)
    assert [told(item) for item in apart] == [(0, 1, 1, 1, 100)]


def test_a_stride_that_never_meets_the_right_length_is_one_row() -> None:
    assert [told(item) for item in rows(in_length=1, in_stride=2, repeat=50)] == [(1, 2, 32, 0, 50)]
    assert [told(item) for item in rows(in_length=40, in_stride=1, repeat=5)] == [(40, 1, 32, 0, 5)]


def test_of_user_mode_the_contract_knows_the_right_length_and_the_scenario_says_the_rest() -> None:
    made = rows(route="sync", in_length=0, in_stride=1, repeat=4097, expect={"answer": "error"})
    assert [told(item)[4] for item in made] == [32, 1, 4064]
    assert [expected(item)["answer"] for item in made] == ["error", DEVICE_ERROR, "error"]
    assert [bool(int(sent(item).flags) & ERRORS_ALIKE) for item in made] == [True, False, True]


def test_where_nobody_says_what_is_answered_any_error_is_like_any_other() -> None:
    made = planned(
        {"do": "handshake", "on": "filter", "in_length": 0, "in_stride": 1, "repeat": 64}, opened=("filter",)
    )
    (row,) = (item for item in made.steps if item.index == 0)
    assert (row.expected_fields, int(sent(row).flags)) == ((), ERRORS_ALIKE)


def test_every_bit_of_the_protocol_is_one_row_where_none_is_supported() -> None:
    (row,) = rows(vary="protocol", repeat=128)
    step = sent(row)
    assert (int(step.value), int(step.value2), int(step.repeat), int(step.flags)) == (0, 0, 128, FLIP)
    assert expected(row) == {"answer": DEVICE_ERROR}
    assert row.request is not None
    assert row.request.nth(127).data.protocol == uuid.UUID("6b2f7a12-52d3-4c0e-9e1b-0b9c1b7d5a81")
    assert row.request.place(9) == "bit 1 of the protocol's byte 1"


def test_a_bit_that_makes_another_supported_protocol_is_a_row_of_its_own() -> None:
    accepted, others = rows("source2", vary="protocol", repeat=128)
    assert (int(sent(accepted).value), int(sent(accepted).repeat), expected(accepted)["answer"]) == (0, 1, 0)
    assert (int(sent(others).value), int(sent(others).repeat)) == (1, 127)


def test_requests_that_all_succeed_are_too_many_rows() -> None:
    steps = (
        {"do": "behaviour", "pin": "source", "kind": "echo"},
        {"do": "handshake", "on": "source", "vary": "protocol", "repeat": 128},
    )
    with pytest.raises(UsageError, match="128 rows"):
        planned(*steps)


def test_the_reason_is_of_the_first_of_a_row() -> None:
    first, _, _ = rows(in_length=0, in_stride=1, repeat=4097)
    assert first.prediction is not None and first.prediction.kind is PredictionKind.EXPECTED
    assert first.prediction.reason == "InLength is 0 and not 32, and so on"


@pytest.mark.parametrize(
    ("values", "key", "message"),
    [
        ({"in_stride": 1}, "in_stride", "no difference to a single request"),
        ({"in_stride": 1, "repeat": 9, "threads": 2}, "in_stride", "one after the other"),
        ({"out_stride": 1, "repeat": 9, "out_buffer": "page_end"}, "out_stride", "ordinary buffers"),
        ({"in_stride": 1, "repeat": 9, "control": 0x2F001C}, "in_stride", "METHOD_NEITHER"),
        ({"in_stride": 4096, "repeat": 17}, "in_stride", "last length is 65568"),
        ({"vary": "protocol", "repeat": 129}, "repeat", "128 bits"),
        ({"vary": "protocol", "repeat": 9, "in_stride": 1}, "in_stride", "two different rows"),
        ({"vary": "protocol", "repeat": 9, "input": "00"}, "vary", "not about raw input"),
    ],
)
def test_what_contradicts_itself_is_told_with_its_key(values: dict[str, Any], key: str, message: str) -> None:
    problems = check(scenario({"do": "handshake", "on": "source", **values}))
    assert [problem.path for problem in problems] == [("steps", 0, key)]
    assert message in problems[0].message


def test_the_last_length_that_a_buffer_has_is_allowed() -> None:
    fits = scenario({"do": "handshake", "on": "source", "in_length": 0, "in_stride": 4096, "repeat": 17})
    assert check(fits) == []
    assert plan(fits, AVSHS).steps


def calls(on: str, opened: str, **values: Any) -> list[PlannedStep]:
    made = planned({"do": "pin_handshake", "on": on, "vary": "protocol", **values}, opened=(opened,))
    return [item for item in made.steps if item.index == 0]


def test_each_bit_of_the_protocol_goes_to_the_connected_pin_in_one_step() -> None:
    (only,) = calls("source", "source -> sink")
    step = sent(only)
    assert (step.slot2, step.repeat, step.flags) == (0, 128, FLIP)
    assert expected(only)["repeats"] == 128
    assert expected(only)["returned"] == "error"


def test_a_bit_that_makes_another_supported_protocol_is_asked_by_itself() -> None:
    made = calls("sink2", "source2 -> sink2")
    assert [(int(sent(item).slot2), int(sent(item).repeat)) for item in made] == [(0, 1), (1, 127)]
    assert [expected(item)["returned"] for item in made] == [0, "error"]


def test_calls_that_differ_are_not_sent_at_once() -> None:
    step = {"do": "pin_handshake", "on": "source", "vary": "protocol", "threads": 2}
    (problem,) = check(scenario(step, opened=("source -> sink",)))
    assert "one after the other" in problem.message
