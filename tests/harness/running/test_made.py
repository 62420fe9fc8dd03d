# SPDX-License-Identifier: Apache-2.0
"""What is said of blocks and interfaces, from `kshs_made` as the client sends it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drivers.abi import load as load_abi
from harness.agent.encode import Encoder
from harness.language import target
from harness.language.model import Scenario
from harness.planning.plan import plan
from harness.planning.planned import Answer, PlannedStep
from harness.running.comparison import judge
from tests.harness.blocks import block

ABI = load_abi()
C = ABI.constants
CLOCK = target.load(Path(__file__).resolve().parents[3] / "examples" / "clock" / "clock.toml")
GOOD = ("PRESENT", "READABLE", "INTACT", "IMAGE", "INSIDE")


def looks() -> tuple[PlannedStep, PlannedStep]:
    """At the driver's interface, and at the client's when its pin is closed."""
    table = {"id": "x", "title": "abc", "rule": "arguments", "open": ["source"]}
    steps = [{"do": "handshake", "on": "source", "protocol": "interface"}]
    made = plan(Scenario.model_validate(table | {"steps": steps}), CLOCK)
    theirs, mine = (step for step in made.steps if step.answer is Answer.MADE)
    return theirs, mine


THEIRS, MINE = looks()


def record(*flags: str, **values: int) -> Any:
    whole = {"size": 40, "version": 256, "outside": 0xFFFFFFFF} | values
    made = ABI.cs.kshs_made(flags=sum(C[f"KSHS_LOOK_{flag}"] for flag in flags), **whole)
    return block(op="inspect", output=bytes(made))


def wrong(step: PlannedStep, *flags: str, **values: int) -> dict[str, tuple[str, str | None]]:
    return {
        item.field: (item.got, item.rule) for item in judge(step, record(*flags, **values)) if not item.ok
    }


def test_what_is_right_is_not_blamed() -> None:
    assert wrong(MINE, *GOOD) == {}
    assert wrong(THEIRS, *GOOD) == {}


@pytest.mark.parametrize(
    ("values", "field", "got"),
    [
        ({"held": 1, "references": 2, "dereferences": 1}, "held", "1 (2 references, 1 dereference)"),
        ({"excess": 1, "references": 0, "dereferences": 1}, "excess", "1 (0 references, 1 dereference)"),
        ({"stale": 3}, "stale", "3"),
        ({"strangers": 1}, "strangers", "1"),
    ],
)
def test_counts_of_the_client_s_interface(values: dict[str, int], field: str, got: str) -> None:
    assert wrong(MINE, *GOOD, **values) == {field: (got, "arguments")}


def test_an_interface_that_was_written_into() -> None:
    assert wrong(MINE, "PRESENT", "READABLE") == {"intact": ("no", "arguments")}


@pytest.mark.parametrize(
    ("index", "named"),
    [(0, "InterfaceReference"), (1, "InterfaceDereference"), (2, "function 1 behind InterfaceDereference")],
)
def test_a_function_outside_the_driver_is_named(index: int, named: str) -> None:
    found = wrong(THEIRS, "PRESENT", "READABLE", "IMAGE", outside=index)
    assert found == {"inside": (f"no: {named} is elsewhere", "arguments")}


def test_the_driver_s_structure_is_compared() -> None:
    assert wrong(THEIRS, *GOOD, size=32, version=1) == {
        "size": ("32", "arguments"),
        "version": ("1", "arguments"),
    }
    assert wrong(THEIRS, "PRESENT", "IMAGE") == {"readable": ("no", "arguments")}


def test_what_no_answer_brought_is_no_failure_of_its_own() -> None:
    (only,) = judge(THEIRS, record())
    assert only.ok and only.characteristic and only.field == "present"


def test_what_the_guest_cannot_say_is_recorded() -> None:
    assert wrong(THEIRS, "PRESENT", "UNSURE", size=0, version=0) == {}
    found = judge(THEIRS, record("PRESENT", "READABLE"))
    assert {item.field for item in found if item.characteristic} == {"inside"}
    assert all(item.ok for item in found)


def test_a_record_without_the_structure_blames_nobody_s_references() -> None:
    (only,) = judge(MINE, block(op="inspect", output=b"\x00" * 8))
    assert (only.ok, only.rule) == (False, "setup")


def test_make_is_a_structure_of_the_abi() -> None:
    made = ABI.cs.kshs_make(Encoder(ABI).make(256, (7, 8), given=True, elsewhere=True, length=12))
    assert (made.flags, made.version, made.functions, made.length) == (3, 256, 2, 12)
    assert list(made.returns) == [7, 8, 0, 0, 0, 0, 0, 0]
    with pytest.raises(ValueError, match="9 functions are more than the 8"):
        Encoder(ABI).make(returns=range(9))
