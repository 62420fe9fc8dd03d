# SPDX-License-Identifier: Apache-2.0
"""How long a step may take whose request is repeated: for the guest, for the session, and in words."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.abi import load as load_abi
from harness.agent.frames import Record
from harness.language import target
from harness.language.model import Scenario
from harness.planning.plan import plan
from harness.planning.planned import Answer, PlannedStep
from harness.running.step_result import judge_step
from harness.verdict import Verdict

ABI = load_abi()
C = ABI.constants
AVSHS, _ = target.find("avshs")


def steps(**fields: Any) -> list[PlannedStep]:
    """The steps of one handshake of this kind."""
    step = {"do": "handshake", "on": "source", **fields}
    table = {"id": "x", "title": "a title", "rule": "H6", "open": ["source"], "steps": [step]}
    return [item for item in plan(Scenario.model_validate(table), AVSHS).steps if item.index is not None]


def header(item: PlannedStep) -> Any:
    return ABI.cs.kshs_step(item.payload)


@pytest.mark.parametrize(
    ("fields", "each", "whole"),
    [
        ({}, 10, 10),
        ({"timeout_ms": 300}, 0.3, 0.3),
        ({"timeout_ms": 300, "repeat": 8}, 0.3, 2.4),
        ({"repeat": 60}, 10, 600),
        # Ten minutes are enough for all, and a guest that stands still is noticed.
        ({"repeat": 100_000}, 10, 600),
        ({"repeat": 2, "timeout_ms": 600_000}, 600, 600),
    ],
)
def test_each_request_has_the_time_and_all_have_theirs(
    fields: dict[str, Any], each: float, whole: float
) -> None:
    (item,) = steps(**fields)
    sent = header(item)
    assert (sent.timeout_ms, sent.repeat) == (each * 1000, fields.get("repeat", 1))
    assert (item.each, item.timeout) == (each, whole)


def test_what_is_started_has_it_when_it_is_waited_for() -> None:
    items = steps(threads=2, repeat=8, timeout_ms=300)
    assert [item.answer for item in items] == [Answer.STARTED] * 2 + [Answer.REQUEST] * 2
    assert [(header(item).repeat, item.timeout) for item in items] == [(8, 0.3)] * 2 + [(8, 2.4)] * 2


@pytest.mark.parametrize(
    ("fields", "crowded"),
    [({}, False), ({"repeat": 60}, False), ({"repeat": 61}, True), ({"repeat": 8, "timeout_ms": 300}, False)],
)
def test_a_step_is_crowded_where_all_have_less_time_than_each(fields: dict[str, Any], crowded: bool) -> None:
    (item,) = steps(**fields)
    assert item.crowded is crowded


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"timeout_ms": 300}, "no answer within 0.3 s"),
        ({"repeat": 1000}, "no answer to one of 1000 requests within 10 s"),
    ],
)
def test_a_hang_says_what_was_waited_for(fields: dict[str, Any], words: str) -> None:
    (item,) = steps(**fields)
    values = dict.fromkeys(Record.__dataclass_fields__, 0) | {"outcome": C["KSHS_OUTCOME_HUNG"], "data": b""}
    result, _ = judge_step(0, item, Record(**values))  # type: ignore[arg-type]
    assert (result.verdict, result.reason) == (Verdict.HUNG, words)
