# SPDX-License-Identifier: Apache-2.0
"""Comparisons: each rule's violation is found and named, and only that."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from drivers.abi import load as load_abi
from harness.agent.status_block import Outcome, RecordFlag, StatusBlock
from harness.contract.handshake_data import HandshakeData
from harness.language import target
from harness.language.model import Scenario
from harness.planning.plan import plan
from harness.planning.planned import PlannedStep
from harness.running.comparison import judge
from tests.harness.blocks import POISON, VISIBLE, block, refused

ABI = load_abi()
AVSHS, _ = target.find("avshs")
PROTOCOL = AVSHS.protocols["a"]


def step(**values: Any) -> PlannedStep:
    table = {"do": "handshake", "on": "source", "route": "irp", "argument1": 41, "argument2": 0} | values
    made = plan(
        Scenario.model_validate(
            {"id": "x", "title": "abc", "rule": "H8", "open": ["source"], "steps": [table]}
        ),
        AVSHS,
    )
    return made.steps[-1]


def own_step(table: dict[str, Any], *opened: str) -> PlannedStep:
    values = {"id": "x", "title": "abc", "rule": "H8", "open": list(opened), "steps": [table]}
    return plan(Scenario.model_validate(values), AVSHS).steps[-1]


GOOD_OUTPUT = HandshakeData(PROTOCOL, 42, 0xFFFFFFFFFFFFFFFF).pack(8)


def wrong(planned: PlannedStep, answer: StatusBlock) -> dict[str, str | None]:
    return {item.field: item.rule for item in judge(planned, answer) if not item.ok}


def test_a_right_answer_has_nothing_wrong() -> None:
    found = judge(step(), block(output=GOOD_OUTPUT))
    assert found
    assert all(item.ok for item in found)
    assert not any(item.characteristic for item in found)


@pytest.mark.parametrize(
    ("planned", "answer", "expected"),
    [
        ({"repeat": 9}, {"output": GOOD_OUTPUT, "repeats": 9}, {}),
        # The record may show the right one of two answers: that they differ is wrong all the same.
        ({"repeat": 9}, {"output": GOOD_OUTPUT, "repeats": 2}, {"repeats": "H9"}),
        ({"repeat": 9, "expect": "record"}, {"output": GOOD_OUTPUT, "repeats": 2}, {}),
        ({"repeat": 9, "in_buffer": "null"}, {"output": GOOD_OUTPUT, "repeats": 2}, {}),
        (
            {"repeat": 9},
            {"output": GOOD_OUTPUT, "repeats": 2, "flags": VISIBLE | RecordFlag.CANCELLED},
            {},
        ),
        ({}, {"output": GOOD_OUTPUT, "raw_information": 0}, {"information": "H6"}),
        ({}, {"output": HandshakeData(PROTOCOL, 41, 2**64 - 1).pack(8)}, {"argument1": "H6"}),
        ({}, {"output": HandshakeData(uuid.UUID(int=0), 42, 2**64 - 1).pack(8)}, {"protocol": "H6"}),
        ({}, {"output": GOOD_OUTPUT, "irql_after": 2}, {"irql_after": "IO"}),
        ({}, {"output": GOOD_OUTPUT, "completions": 2}, {"completions": "IO"}),
        ({}, {"output": GOOD_OUTPUT, "completions": 0}, {"completions": "IO"}),
        ({}, {"output": GOOD_OUTPUT, "changed_last": 32}, {"last byte written": "IO"}),
        ({}, {"output": GOOD_OUTPUT, "flags": VISIBLE & ~RecordFlag.GUARD_HIGH}, {"guard bytes": "IO"}),
        ({}, {"output": GOOD_OUTPUT, "flags": VISIBLE & ~RecordFlag.GUARD_LOW}, {"guard bytes": "IO"}),
        ({}, {"output": GOOD_OUTPUT, "returned": 0xC0000001}, {"returned": "IO"}),
        (
            {},
            {"output": GOOD_OUTPUT, "flags": VISIBLE | RecordFlag.PENDING_RETURNED},
            {"IoMarkIrpPending": "IO"},
        ),
    ],
)  # fmt: skip
def test_each_violation_names_its_rule(
    planned: dict[str, Any], answer: dict[str, Any], expected: dict[str, str]
) -> None:
    assert wrong(step(**planned), block(**answer)) == expected


def test_h4_and_h5_and_h9_name_themselves() -> None:
    success = block(output=GOOD_OUTPUT)
    assert wrong(step(in_length="size-1"), success) == {"answer": "H4"}
    assert wrong(step(mode="user"), success) == {"answer": "H5"}
    assert wrong(step(protocol="unknown"), success) == {"answer": "H9"}
    assert wrong(step(in_length="size-1"), refused(0xC0000206)) == {}
    assert wrong(step(mode="user"), refused(0xC0000010)) == {}
    assert wrong(step(mode="user"), refused(0xC0000206)) == {"answer": "H5"}


def test_a_status_that_nobody_wrote_is_no_answer_of_an_irp() -> None:
    untouched = refused(
        0xC0000206, raw_status=POISON, flags=VISIBLE & ~(RecordFlag.STATUS_WRITTEN | RecordFlag.INFO_WRITTEN)
    )
    assert wrong(step(in_length=0), untouched) == {"IoStatus.Status": "IO"}


def test_the_returned_status_answers_where_the_route_shows_no_more() -> None:
    hidden = refused(
        0xC0000206,
        raw_status=POISON,
        completions=0,
        flags=VISIBLE & ~(RecordFlag.IOSB_VISIBLE | RecordFlag.STATUS_WRITTEN),
    )
    assert wrong(step(route="call", in_length=0), hidden) == {}


def test_pending_needs_a_mark_and_one_completion() -> None:
    pending = VISIBLE | RecordFlag.PENDING | RecordFlag.PENDING_RETURNED
    assert wrong(step(), block(output=GOOD_OUTPUT, flags=pending, returned=0x103)) == {}
    assert wrong(step(), block(output=GOOD_OUTPUT, flags=VISIBLE | RecordFlag.PENDING, returned=0x103)) == {
        "IoMarkIrpPending": "IO"
    }
    assert wrong(step(), block(output=GOOD_OUTPUT, raw_status=0x103, returned=0x103, flags=pending)) == {
        "answer is final": "IO",
        "answer": "H9",
    }


@pytest.mark.parametrize("route", ["event", "port", "apc"])
def test_a_pending_user_request_signals_once(route: str) -> None:
    pending = VISIBLE | RecordFlag.PENDING
    base = {"returned": 0x103}
    assert wrong(step(route=route), refused(0xC0000010, flags=pending | RecordFlag.SIGNALLED, **base)) == {}
    assert wrong(step(route=route), refused(0xC0000010, flags=pending, completions=0, **base)) == {
        "completions": "IO",
        "completion signal": "IO",
    }
    assert wrong(step(route=route), refused(0xC0000010, completions=2)) == {"completions": "IO"}
    assert wrong(step(route=route), refused(0xC0000010, completions=0)) == {}


def test_a_characteristic_is_recorded_and_judged_by_the_invariants_alone() -> None:
    planned = step(protocol="null")
    found = judge(planned, refused(0xC0000001))
    recorded = [item.field for item in found if item.characteristic]
    assert recorded == ["answer", "returned", "status", "information", "pending", "changed_bytes"]
    assert all(item.ok for item in found)
    assert wrong(planned, refused(0xC0000001, irql_after=1)) == {"irql_after": "IO"}


@pytest.mark.parametrize("status", [0xC0000010, 0xC0000206, 0xC0000005])
def test_what_breaks_two_rules_is_an_error_and_which_one_is_recorded(status: int) -> None:
    planned = step(mode="user", in_length="size-1")
    found = judge(planned, refused(status))
    judged = [item for item in found if item.field == "answer" and not item.characteristic]
    recorded = [item for item in found if item.field == "answer" and item.characteristic]
    assert [(item.ok, item.rule) for item in judged] == [(True, "H5")]
    assert [item.got_value for item in recorded] == [status]
    assert wrong(planned, block(output=GOOD_OUTPUT))["answer"] == "H5"
    only_recorded = step(mode="user", in_length="size-1", expect="record")
    assert "answer" not in wrong(only_recorded, block(output=GOOD_OUTPUT))


def test_record_judges_the_invariants_alone() -> None:
    planned = step(expect="record")
    assert wrong(planned, refused(0xC0000001)) == {}
    assert wrong(planned, refused(0xC0000001, completions=3)) == {"completions": "IO"}


@pytest.mark.parametrize(
    ("want", "status", "ok"),
    [
        ("success", 0, True),
        ("success", 0x40000000, True),
        ("success", 0xC0000001, False),
        ("error", 0xC0000001, True),
        ("error", 0x80000005, False),
        (["STATUS_CANCELLED", "STATUS_SUCCESS"], 0xC0000120, True),
        (["STATUS_CANCELLED", "STATUS_SUCCESS"], 0xC0000001, False),
    ],
)
def test_statuses_of_a_class_or_a_list(want: object, status: int, ok: bool) -> None:
    found = wrong(step(protocol="null", expect={"answer": want}), refused(status))
    assert found == ({} if ok else {"answer": "H8"})


def test_untouched_is_a_value() -> None:
    planned = step(protocol="null", route="event", expect={"status": "untouched", "information": "untouched"})
    flags = VISIBLE & ~(RecordFlag.STATUS_WRITTEN | RecordFlag.INFO_WRITTEN)
    assert wrong(planned, refused(0xC0000010, raw_status=POISON, flags=flags)) == {}
    assert wrong(planned, refused(0xC0000010)) == {"status": "H8", "information": "H8"}


def test_texts_have_names_and_clauses() -> None:
    (bad,) = [item for item in judge(step(in_length=0), refused(0xC0000010)) if not item.ok]
    assert bad.expected == "STATUS_INVALID_BUFFER_SIZE (0xC0000206)"
    assert bad.got == "STATUS_INVALID_DEVICE_REQUEST (0xC0000010)"
    assert bad.clause is not None
    assert "lengths" in bad.clause


@pytest.mark.parametrize(
    "outcome", [Outcome.HUNG, Outcome.LOST, Outcome.REFUSED, Outcome.UNSUPPORTED, Outcome.STARTED]
)
def test_another_outcome_is_the_only_thing_said(outcome: Outcome) -> None:
    assert wrong(step(), block(outcome=outcome)) == {"outcome": None}


# ---- structures of the target


def seen(**values: int) -> bytes:
    made = ABI.cs.kshs_seen(**values)
    return bytes(made.dumps())


def test_seen_is_compared_field_by_field() -> None:
    planned = own_step(
        {"do": "seen", "pin": "source", "expect": {"count": 1, "device_state": "run", "returned": "SUCCESS"}}
    )
    right = block(output=seen(count=1, device_state=3), raw_information=96)
    assert wrong(planned, right) == {}
    assert wrong(planned, block(output=seen(count=2, device_state=0, returned=0xC0000010))) == {
        "count": "H8",
        "device_state": "H8",
        "returned": "H8",
    }
    shown = {item.field: item.got for item in judge(planned, right)}
    assert shown["device_state"] == "run"


@pytest.mark.parametrize(
    ("what", "values", "rules"),
    [
        ("callback", {"count": 2}, {}),
        ("callback", {"count": 5, "finished": 2}, {}),
        ("callback", {"count": 2, "finished": 1}, {"inside": "H8"}),
        ("callback", {"changes_begun": 2}, {"inside": "H8"}),
        ("state", {"changes_begun": 3, "changes_ended": 1}, {}),
        ("state", {"count": 2}, {"inside": "H8"}),
    ],
)
def test_what_is_inside_is_what_has_begun_and_not_ended(
    what: str, values: dict[str, int], rules: dict[str, str]
) -> None:
    planned = own_step({"do": "wait_inside", "pin": "source", "what": what, "count": 2})
    assert wrong(planned, block(output=seen(**values))) == rules


def test_a_report_that_is_too_short_or_failed_is_a_failed_preparation() -> None:
    planned = own_step({"do": "seen", "pin": "source", "expect": {"count": 1}})
    assert wrong(planned, block(output=b"")) == {"data": "setup"}
    assert wrong(planned, refused(0xC0000010)) == {"answer": "setup"}


def test_pin_handshake_is_judged_by_h7() -> None:
    planned = own_step({"do": "pin_handshake", "on": "source", "argument1": 1}, "source -> sink")
    answer = ABI.cs.kshs_handshake(
        protocol=ABI.cs.kshs_guid(PROTOCOL.bytes_le), argument1=2, argument2=2**64 - 1
    )
    good = ABI.cs.kshs_pin_handshake(returned=0, out_written=1, answer=answer)
    assert wrong(planned, block(output=bytes(good.dumps()))) == {}
    bad = ABI.cs.kshs_pin_handshake(returned=0xC0000010, out_written=0, answer=answer)
    assert wrong(planned, block(output=bytes(bad.dumps()))) == {"returned": "H7"}
    assert wrong(planned, block(output=bytes(good.dumps()), completions=2)) == {"completions": "IO"}


# ---- the same as values


PENDING = VISIBLE | RecordFlag.PENDING
MARKED = PENDING | RecordFlag.PENDING_RETURNED


@pytest.mark.parametrize(
    ("planned", "answer", "field", "expected_values", "got_value"),
    [
        ({}, {}, "answer", (0,), 0),
        ({}, {}, "information", (32,), 32),
        ({}, {}, "argument1", (42,), 42),
        ({}, {"raw_status": 0x103}, "answer is final", None, 0x103),
        ({}, {"irql_after": 2}, "irql_after", (0,), 2),
        ({}, {"completions": 7}, "completions", (1,), 7),
        ({"route": "event"}, {"completions": 2}, "completions", (0, 1), 2),
        ({"route": "event"}, {"completions": 2, "flags": PENDING}, "completions", (1,), 2),
        ({}, {"returned": 0xC0000001}, "returned", (0,), 0xC0000001),
        ({}, {"flags": VISIBLE & ~RecordFlag.GUARD_LOW}, "guard bytes", (True,), False),
        ({}, {}, "guard bytes", (True,), True),
        ({}, {"changed_last": 40}, "last byte written", None, 40),
        ({}, {"flags": VISIBLE & ~RecordFlag.STATUS_WRITTEN}, "IoStatus.Status", (True,), False),
        ({}, {"flags": PENDING}, "IoMarkIrpPending", (True,), False),
        ({}, {"flags": MARKED}, "IoMarkIrpPending", (True,), True),
        ({}, {}, "IoMarkIrpPending", (False,), False),
        ({"route": "port"}, {"flags": PENDING}, "completion signal", (True,), False),
        ({"repeat": 9}, {"repeats": 4}, "repeats", (9,), 4),
        ({}, {"outcome": Outcome.HUNG, "detail": 0x102}, "outcome", ("done",), "hung"),
        ({"protocol": "null"}, {}, "status", None, 0),
        (
            {"protocol": "null"},
            {"flags": VISIBLE & ~RecordFlag.STATUS_WRITTEN},
            "status",
            None,
            "untouched",
        ),
        (
            {"protocol": "null"},
            {"flags": VISIBLE & ~(RecordFlag.STATUS_WRITTEN | RecordFlag.IOSB_VISIBLE)},
            "status",
            None,
            None,
        ),
    ],
)
def test_numbers_stand_beside_the_words(
    planned: dict[str, Any],
    answer: dict[str, Any],
    field: str,
    expected_values: tuple[object, ...] | None,
    got_value: object,
) -> None:
    (found,) = [c for c in judge(step(**planned), block(output=GOOD_OUTPUT, **answer)) if c.field == field]
    assert (found.expected_values, found.got_value) == (expected_values, got_value)
    assert type(found.got_value) is type(got_value), "a number is no truth, and the reverse"


def test_a_report_that_is_too_short_is_a_number_of_bytes_too() -> None:
    planned = own_step({"do": "seen", "pin": "source", "expect": {"count": 1}})
    (found,) = [c for c in judge(planned, block(output=b"xyz")) if c.field == "data"]
    assert (found.expected_values, found.got_value) == ((len(ABI.cs.kshs_seen),), 3)


def test_arguments_are_what_the_pointers_of_their_side_can_hold() -> None:
    planned = step(route="event", argument1="0xFFFFFFFFFFFFFFFF", expect={"argument1": "0x1FFFFFFFF"})
    output = HandshakeData(PROTOCOL, 0xFFFFFFFF, 0).pack(4)
    answer = block(output=output, pointer_size=4, raw_information=len(output))
    (found,) = [c for c in judge(planned, answer) if c.field == "argument1"]
    assert (found.ok, found.expected_values, found.got_value) == (True, (0xFFFFFFFF,), 0xFFFFFFFF)
    assert found.expected == found.got == "0xFFFFFFFF"


@pytest.mark.parametrize(
    "planned", [{}, {"route": "event"}, {"route": "call"}, {"repeat": 3}, {"in_length": 0}]
)
@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"completions": 2, "irql_after": 1, "repeats": 2, "returned": 0xC0000010},
        {"flags": MARKED},
        {"flags": VISIBLE & ~(RecordFlag.STATUS_WRITTEN | RecordFlag.GUARD_HIGH)},
        {"raw_status": 0xC0000206, "returned": 0xC0000206, "raw_information": 0},
    ],
)
def test_values_say_what_the_words_say(planned: dict[str, Any], answer: dict[str, Any]) -> None:
    found = judge(step(**planned), block(output=GOOD_OUTPUT, **answer))
    for item in found:
        if item.expected_values is not None:
            assert (item.got_value in item.expected_values) is item.ok, item
