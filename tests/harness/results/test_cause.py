# SPDX-License-Identifier: Apache-2.0
"""Failures of one cause are one group, failures of two are two."""

from __future__ import annotations

from typing import Any

import pytest

from harness.results.cause import Cause, cause_of, grouped, reason_first

SUCCESS = "STATUS_SUCCESS (0x00000000)"
SIZE = "STATUS_INVALID_BUFFER_SIZE (0xC0000206)"
REQUEST = "STATUS_INVALID_DEVICE_REQUEST (0xC0000010)"


UNWRITTEN = "0xCCCCCCCCCCCCCCCC"


def comparison(field: str = "answer", expected: str = SIZE, got: str = SUCCESS, **more: Any) -> Any:
    wrong = {"field": field, "expected": expected, "got": got, "ok": False, "rule": "H4"}
    return {"characteristic": False, **wrong, **more}


def failure(
    name: str, *comparisons: dict[str, Any], verdict: str = "failed", do: str = "handshake", **more: Any
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    why, route = more.pop("why", None), more.pop("route", None)
    step = {"verdict": verdict, "do": do, "comparisons": comparisons, "reason": why, "route": route}
    fine = {"verdict": "passed", "do": "setup", "comparisons": (), "reason": None}
    return {"id": name, "verdict": verdict, "reason": None, "evidence": (), **more}, [fine, step]


def key(*case: Any, **more: Any) -> tuple[str, ...]:
    cause = cause_of(*failure("x", *case, **more))
    assert cause is not None
    return cause.key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (key(comparison(), title="in by irp"), key(comparison(), title="out by call")),
        (
            key(comparison("information", "32", "0", rule="H6")),
            key(comparison("information", "24", "0", rule="H6")),
        ),
        (
            key(verdict="crashed", why="exception 0xc0000005 at avshs.sys+0x12d7, write of 0x0 in a.exe"),
            key(verdict="crashed", why="exception 0xc0000005 at avshs.sys+0x12d7, write of 0x8 in a.exe"),
        ),
        (
            key(verdict="hung", why="no answer within 2.0 s"),
            key(verdict="hung", why="no answer within 5.0 s"),
        ),
        (
            key(comparison("output", "aa" * 32, "cc" * 32)),
            key(comparison("output", "ab" * 32, "00" * 32)),
        ),
        (key(comparison(), route="irp"), key(comparison(), do="wait", route="irp")),
        (key(comparison(), route="irp"), key(comparison(), do="wait", route="call")),
        (
            key(verdict="hung", why="no answer within 2.0 s", route="irp"),
            key(verdict="hung", why="no answer within 5.0 s", route="irp", do="wait"),
        ),
    ],
    ids=["title", "numbers", "fault", "time", "bytes", "waited for", "by another route", "hung at its wait"],
)
def test_what_varies_from_scenario_to_scenario_does_not_count(one: object, other: object) -> None:
    assert one == other


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (key(comparison()), key(comparison(got=REQUEST))),
        (key(comparison()), key(comparison(expected=REQUEST))),
        (key(comparison()), key(comparison(rule="H5"))),
        (key(comparison()), key(comparison("status"))),
        (key(comparison("information", "32", "0")), key(comparison("information", "32", "24"))),
        (
            key(comparison("argument1", "0x5", "0x0")),
            key(comparison("argument1", "0x5", UNWRITTEN)),
        ),
        (
            key(comparison("argument1", "0x5", "0x7")),
            key(comparison("argument1", "0x5", UNWRITTEN)),
        ),
        (key(comparison()), key(comparison(), do="pin_handshake")),
        (key(comparison()), key(comparison(), do="wait")),
        (key(comparison(), do="pin_handshake"), key(comparison(), do="wait", route="irp")),
        (key(comparison(), do="state"), key(comparison(), do="wait", route="irp")),
        (key(comparison(), do="wait"), key(comparison(), do="wait", route="irp")),
        (key(comparison()), key(comparison(rule="H5"), do="wait", route="irp")),
        (
            key(verdict="crashed", why="exception 0xc0000005 at avshs.sys+0x12d7"),
            key(verdict="crashed", why="exception 0xc0000005 at avshs.sys+0x9000"),
        ),
        (key(verdict="hung", why="no answer"), key(verdict="hung", why="no answer", do="close")),
        (key(comparison(), verdict="error", why="ssh"), key(verdict="error", why="no space")),
        (key(verdict="hung", why="x"), key(verdict="error", why="x")),
    ],
    ids=[
        "got",
        "expected",
        "rule",
        "field",
        "zero",
        "untouched",
        "wrong",
        "step",
        "no handshake waited for",
        "pin_handshake",
        "state",
        "both waited for",
        "rule at its wait",
        "fault",
        "hung",
        "error",
        "verdict",
    ],
)
def test_what_tells_causes_apart_does(one: object, other: object) -> None:
    assert one != other


def test_passed_and_skipped_have_no_cause() -> None:
    for verdict in ("passed", "skipped"):
        assert cause_of(*failure("x", verdict=verdict)) is None


def test_what_was_only_recorded_is_no_cause() -> None:
    noted = comparison("status", "", REQUEST, characteristic=True)
    assert key(noted, comparison()) == key(comparison())


def test_a_crash_is_placed_by_its_evidence() -> None:
    cause = cause_of(*failure("x", verdict="crashed", evidence=("driver log", "bugcheck 0xd1 in System")))
    assert cause is not None
    assert cause.words == "crash at bugcheck 0xd1"


def test_groups_begin_with_the_worst_and_then_the_largest() -> None:
    groups = grouped(
        [
            failure("a", comparison()),
            failure("b", comparison(rule="H5")),
            failure("c", comparison(rule="H5")),
            failure("d", verdict="passed"),
            failure("e", verdict="error", why="the guest was lost"),
            failure("f", verdict="crashed", why="exception 0x1 at x.sys+0x1"),
        ]
    )
    assert [[member["id"] for member in members] for members in groups.values()] == [
        ["f"],
        ["b", "c"],
        ["a"],
        ["e"],
    ]
    assert isinstance(next(iter(groups)), Cause)


def test_words_name_rule_field_and_both_answers() -> None:
    cause = cause_of(*failure("x", comparison()))
    assert cause is not None
    assert cause.words == f"H4: answer is {SUCCESS}, expected {SIZE}"


def test_the_reason_comes_before_the_step() -> None:
    step = {"verdict": "failed", "index": 3, "name": 'say "x": y'}
    said = {"verdict": "failed", "reason": 'step 4, "handshake": H4: answer is wrong'}
    assert reason_first(said, [step]) == 'H4: answer is wrong (step 4, "say "x": y")'
    assert reason_first({"verdict": "error", "reason": None}) == "no reason given"
    assert reason_first({"verdict": "error", "reason": "no disk"}, [step]) == "no disk"
