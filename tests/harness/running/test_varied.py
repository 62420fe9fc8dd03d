# SPDX-License-Identifier: Apache-2.0
"""Handshakes whose repeats differ: the one that is wrong is named by its length or its bit."""

from __future__ import annotations

from typing import Any

import pytest

from harness.running.comparison import judge
from harness.verdict import Verdict
from tests.harness.blocks import block, refused
from tests.harness.fake_agent import Answer
from tests.harness.fake_guest import OPS, C, FakeProvider, Simulation
from tests.harness.planning.test_rows import rows
from tests.harness.running.conftest import MakeRunner
from tests.harness.running.scenarios import STEP, scenario

SIZE_ERROR, DEVICE_ERROR = 0xC0000206, 0xC0000010
EVERY = {**STEP, "in_length": 0, "in_stride": 1, "repeat": 4097}


class Accepts:
    """Of the lengths or bits that are asked for in a row, answers success to those of these numbers."""

    def __init__(self, *lengths: int) -> None:
        self.asked: list[tuple[int, int, int]] = []
        self._lengths = lengths

    def __call__(self, simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        if OPS[int(step.op)] != "REQUEST":
            return None
        first, count = int(step.in_length), int(step.repeat)
        self.asked.append((first, int(step.value), count))
        hit = next((one for one in self._lengths if first <= one < first + count and step.value), None)
        if hit is None:
            answer = simulation.request(step, data)
            return Answer(record={**(answer.record or {}), "repeats": count}, data=answer.data)
        answer = simulation.request(step, data, status=0)
        return Answer(record={**(answer.record or {}), "repeats": hit - first + 1}, data=answer.data)


def test_the_length_that_is_accepted_is_named(make_runner: MakeRunner) -> None:
    bend = Accepts(40)
    result = make_runner(FakeProvider(bend=bend)).run(scenario(EVERY), file="t.toml")
    # The first of each row goes alone, and the others begin behind it.
    assert bend.asked == [(0, 1, 1), (1, 1, 31), (32, 1, 1), (33, 1, 1), (34, 1, 4063)]
    assert result.verdict is Verdict.FAILED
    assert result.reason is not None and "with InLength 40" in result.reason
    failed = next(step for step in result.steps if step.verdict is Verdict.FAILED)
    assert failed.request["in_length"] == 40
    assert ("repeats", "4064 alike", "InLength 40 differs") in [
        (one.field, one.expected, one.got) for one in failed.comparisons
    ]
    assert failed.status_block is not None and failed.status_block["repeats"] == 8


def test_where_all_are_right_all_are_asked(make_runner: MakeRunner) -> None:
    bend = Accepts()
    result = make_runner(FakeProvider(bend=bend)).run(scenario(EVERY), file="t.toml")
    assert result.verdict is Verdict.PASSED, result.reason
    assert sum(count for _, _, count in bend.asked) == 4097


def test_the_first_of_a_row_is_named_when_it_goes_alone(make_runner: MakeRunner) -> None:
    result = make_runner(FakeProvider(bend=Accepts(33))).run(scenario(EVERY), file="t.toml")
    assert result.verdict is Verdict.FAILED
    assert result.reason is not None and "with InLength 33" in result.reason


def test_the_others_begin_with_the_next_bit(make_runner: MakeRunner) -> None:
    asked: list[tuple[int, int]] = []

    def bend(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        if OPS[int(step.op)] != "REQUEST":
            return None
        assert int(step.flags) & C["KSHS_STEP_FLIP"]
        asked.append((int(step.value), int(step.repeat)))
        answer = simulation.request(step, data, status=DEVICE_ERROR)
        return Answer(record={**(answer.record or {}), "repeats": int(step.repeat)}, data=answer.data)

    result = make_runner(FakeProvider(bend=bend)).run(
        scenario({**STEP, "vary": "protocol", "repeat": 128}), file="t.toml"
    )
    assert (result.verdict, asked) == (Verdict.PASSED, [(0, 1), (1, 127)])


def wrong(number: int, answer: Any, **values: Any) -> dict[str, str]:
    return {one.field: one.got for one in judge(rows(route="irp", **values)[number], answer) if not one.ok}


def test_what_is_written_is_held_against_the_length_of_that_very_request() -> None:
    values = {"out_length": 0, "out_stride": 1, "repeat": 4097}
    inside = refused(SIZE_ERROR, repeats=4064, changed_bytes=1, changed_first=4095, changed_last=4095)
    assert wrong(2, inside, **values) == {}
    beyond = refused(SIZE_ERROR, repeats=7, changed_bytes=1, changed_first=39, changed_last=39)
    assert wrong(2, beyond, **values) == {"last byte written": "39", "repeats": "OutLength 39 differs"}


def test_a_record_that_says_more_repeats_than_there_were_is_read_as_the_last() -> None:
    found = wrong(0, refused(SIZE_ERROR, repeats=99), in_length=0, in_stride=1, repeat=4097)
    assert found == {"repeats": "InLength 31 differs"}


def test_an_error_of_user_mode_is_an_error_whichever_it_is() -> None:
    values = {"mode": "user", "in_length": 0, "in_stride": 1, "repeat": 4097, "expect": {"answer": "error"}}
    for status in (SIZE_ERROR, DEVICE_ERROR):
        assert wrong(0, refused(status, repeats=32), **values) == {}
    accepted = wrong(2, block(repeats=8), **values)
    assert accepted == {"answer": "STATUS_SUCCESS (0x00000000)", "repeats": "InLength 40 differs"}


@pytest.mark.parametrize("bit", [0, 77, 127])
def test_a_bit_is_named_by_its_byte(bit: int) -> None:
    found = wrong(0, block(repeats=bit + 1), vary="protocol", repeat=128)
    assert found["answer"] == "STATUS_SUCCESS (0x00000000)"
    if bit < 127:
        assert found["repeats"] == f"bit {bit % 8} of the protocol's byte {bit // 8} differs"
