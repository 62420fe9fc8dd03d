# SPDX-License-Identifier: Apache-2.0
"""Bytes of an output that are nobody's are counted, and judged where no answer is due."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.abi import load as load_abi
from harness.agent.frames import Record
from harness.agent.status_block import RecordFlag
from harness.contract.handshake_data import HandshakeData
from harness.language import target
from harness.language.model import Scenario
from harness.planning.plan import plan
from harness.planning.planned import PlannedStep
from harness.results.record import StepResult
from harness.running.step_result import Before, judge_step

ABI = load_abi()
C = ABI.constants
AVSHS, _ = target.find("avshs")
PROTOCOL = AVSHS.protocols["a"]
FILL = bytes([C["KSHS_OUT_FILL"]])
#: An address of a kernel, as it lies in memory.
ADDRESS = 0xFFFFA803_11223344.to_bytes(8, "little")
SUCCESS = 0
WRONG_LENGTH = 0xC0000206
REFUSED = 0xC0000010


def steps(*tables: dict[str, Any]) -> tuple[PlannedStep, ...]:
    values = {"id": "x", "title": "abc", "rule": "H6", "open": ["source"], "steps": list(tables)}
    made = plan(Scenario.model_validate(values), AVSHS)
    return made.steps[-len(tables) :]


def request(**values: Any) -> PlannedStep:
    return steps({"do": "handshake", "on": "source", "route": "irp", "argument1": 0x41} | values)[0]


def record(status: int, output: bytes, **values: int) -> Record:
    flags = (
        RecordFlag.IOSB_VISIBLE
        | RecordFlag.STATUS_WRITTEN
        | RecordFlag.INFO_WRITTEN
        | RecordFlag.GUARD_LOW
        | RecordFlag.GUARD_HIGH
        | RecordFlag.IN_INTACT
        | RecordFlag.OUT_VISIBLE
    )
    blank = dict.fromkeys(
        (name for name in Record.__dataclass_fields__ if name not in {"data", "seq", "op"}), 0
    )
    numbers = {"flags": int(flags), "returned": status, "status": status, "completions": 1, "repeats": 1}
    last = {"changed_first": 0xFFFFFFFF, "changed_last": 0xFFFFFFFF}
    return Record(seq=1, op=C["KSHS_OP_REQUEST"], data=output, **blank | numbers | last | values)


def judged(step: PlannedStep, status: int, output: bytes) -> tuple[int | None, StepResult]:
    result, block = judge_step(0, step, record(status, output))
    assert block is not None
    assert block.numbers()["disclosed_bytes"] == block.disclosed
    return block.disclosed, result


def told(result: StepResult) -> list[tuple[bool, bool]]:
    return [(c.ok, c.characteristic) for c in result.comparisons if c.field == "disclosed_bytes"]


@pytest.mark.parametrize(
    ("values", "status"),
    [({"mode": "user"}, REFUSED), ({"in_length": 31}, WRONG_LENGTH), ({"out_length": 64}, WRONG_LENGTH)],
)
def test_a_refused_request_tells_nothing(values: dict[str, Any], status: int) -> None:
    step = request(**values)
    own = step.request.data.pack(8) if step.request is not None else b""
    for harmless in (FILL * 32, bytes(32), own, own[:16] + bytes(8) + FILL * 8):
        number, result = judged(step, status, harmless)
        assert number == 0
        assert told(result) == [(True, False)]
    number, result = judged(step, status, FILL * 16 + ADDRESS + FILL * 8)
    assert number == 8 - ADDRESS.count(0x41)
    assert told(result) == [(False, False)]
    assert result.reason == "IO: disclosed_bytes is 8, expected 0"


def test_what_a_callback_is_known_to_put_out_is_its_answer_even_then() -> None:
    step = request(in_length=31)
    assert step.callback is not None
    assert step.callback.output is not None
    number, result = judged(step, WRONG_LENGTH, step.callback.output.pack(8))
    assert number == 0
    assert told(result) == [(True, False)]


def test_a_declined_request_is_put_on_record() -> None:
    number, result = judged(request(protocol="unknown"), REFUSED, ADDRESS + FILL * 24)
    assert number == 8
    assert told(result) == [(True, True)]
    shown = {c.field: c.got_value for c in result.comparisons if c.characteristic}
    assert {"information", "changed_bytes"} <= shown.keys()
    number, result = judged(request(protocol="unknown"), REFUSED, FILL * 32)
    assert (number, told(result)) == (0, [])


def test_of_a_success_whose_output_nobody_knows_nothing_is_said() -> None:
    tables = {"do": "behaviour", "pin": "source", "kind": "decline", "status": 0}
    step = steps(tables, {"do": "handshake", "on": "source", "route": "irp"})[1]
    number, result = judged(step, SUCCESS, ADDRESS * 4)
    assert (number, told(result)) == (None, [])


def test_a_right_answer_discloses_nothing() -> None:
    output = HandshakeData(PROTOCOL, 0x42, 0xFFFFFFFFFFFFFFFF).pack(8)
    assert judged(request(), SUCCESS, output)[0] == 0


# ---- whose buffers the callback gets -----------------------------------------------------------------------


def seen(in_pointer: int, out_pointer: int, expect: Any = "record", shared: int = 0) -> StepResult:
    sent, asked = steps(
        {"do": "handshake", "on": "source", "route": "irp", "argument1": 0x41},
        {"do": "seen", "pin": "source", "expect": expect},
    )
    before = Before()
    output = HandshakeData(PROTOCOL, 0x42, 0xFFFFFFFFFFFFFFFF).pack(8)
    values = {"in_pointer": 0x1000, "out_pointer": 0x2000, "information": 32}
    judge_step(0, sent, record(SUCCESS, output, **values), before)
    report = ABI.cs.kshs_seen(count=1, finished=1, in_pointer=in_pointer, out_pointer=out_pointer)
    report.shared = shared
    return judge_step(1, asked, record(SUCCESS, bytes(report)), before)[0]


@pytest.mark.parametrize(
    ("pointers", "aliased", "own"),
    [
        ((0x1000, 0x2000), 0, (1, 1)),
        ((0x1000, 0x1000), 1, (1, 0)),
        ((0x5000, 0x6000), 0, (0, 0)),
        ((0x5000, 0x2000), 0, (0, 1)),
    ],
)
def test_the_callback_s_buffers_are_put_on_record(
    pointers: tuple[int, int], aliased: int, own: tuple[int, int]
) -> None:
    result = seen(*pointers)
    fields = {c.field: c.got_value for c in result.comparisons if c.characteristic}
    assert fields["aliased"] == aliased
    assert (fields["in_callers"], fields["out_callers"]) == own
    assert result.verdict.value == "passed"


def test_one_buffer_for_both_is_wrong_where_the_scenario_asks() -> None:
    assert seen(0x1000, 0x2000, {"aliased": False}).verdict.value == "passed"
    failed = seen(0x5000, 0x5000, {"aliased": False})
    assert failed.verdict.value == "failed"
    assert failed.reason is not None
    assert failed.reason.startswith("H6: aliased is ")


@pytest.mark.parametrize(
    ("pointers", "shared"), [((0x1000, 0x1017), 0), ((0x1017, 0x1000), 0), ((0x1000, 0x2000), 1)]
)
def test_memory_that_both_have_is_wrong_wherever_they_point(pointers: tuple[int, int], shared: int) -> None:
    assert seen(*pointers, {"aliased": False}, shared).verdict.value == "failed"
