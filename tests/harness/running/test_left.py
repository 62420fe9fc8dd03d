# SPDX-License-Identifier: Apache-2.0
"""What a scenario leaves behind fails it, where that can be told exactly; all else is recorded."""

from __future__ import annotations

from typing import Any

import pytest

from harness.agent.encode import Encoder
from harness.language import target
from harness.language.model import Scenario
from harness.planning.plan import plan
from harness.planning.planned import Answer as Kind
from harness.running import left
from harness.verdict import Verdict
from tests.harness.fake_agent import Answer
from tests.harness.fake_guest import ABI, OPS, C, FakeProvider, Simulation
from tests.harness.running.conftest import MakeRunner
from tests.harness.running.scenarios import STEP, scenario

ALL = sum(C[f"KSHS_COUNTED_{part}"] for part in ("POOL", "HANDLES", "DEVICE", "CLASS"))
HELD = {"object_inside": 1, "object_references": 2, "device_inside": 3, "device_references": 4}


def now(counted: int = ALL, **values: int) -> Any:
    held = ABI.cs.kshs_held(**HELD | {k: v for k, v in values.items() if k in HELD})
    more = {k: v for k, v in values.items() if k not in HELD}
    return ABI.cs.kshs_held_now(
        **{"counted": counted, "handles": 40, "pool_blocks": 100, "pool_bytes": 5000, "held": held, **more}
    )


def data(after: Any = None, **values: int) -> bytes:
    head = {"looked": 2, "first": C["KSHS_NO_SLOT"], **values}
    return bytes(ABI.cs.kshs_left(**head, before=now(), after=after or now()).dumps())


def leaving(what: bytes) -> Any:
    """A guest whose first RELEASE_ALL says this, if it is asked."""
    asked: list[int] = []

    def bend(simulation: Simulation, step: Any, _: bytes) -> Answer | None:
        if OPS[int(step.op)] != "RELEASE_ALL" or not int(step.flags) & C["KSHS_STEP_COUNT"]:
            return None
        assert int(step.out_length) == len(ABI.cs.kshs_left)
        asked.append(len(asked))
        return Answer(record={}, data=what) if asked == [0] else None

    return bend


def test_what_was_taken_is_seen_before_and_after_every_scenario(make_runner: MakeRunner) -> None:
    result = make_runner(FakeProvider(bend=leaving(data()))).run(scenario(), file="t.toml")
    assert result.verdict is Verdict.PASSED
    last = result.steps[-1]
    assert last.name == "what is left when everything is closed"
    assert last.index == len(result.steps) - 1
    assert last.status_block is not None
    assert last.status_block["seen"]["before"]["class_device_inside"] == 3


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (data(kept=1, references=3), "IO: file objects kept is 1 of 2, with 3 references left"),
        (data(now(device_inside=4)), "IO: class_device_inside is +1, expected no more than before"),
        (data(now(object_inside=2)), "IO: class_object_inside is +1"),
        (data(now(object_references=10)), "IO: class_object_references is +8"),
        (data(now(base_references=8)), "IO: base_references is +8, expected grown by less than 8"),
    ],
    ids=["file", "device", "object", "memory", "base"],
)
def test_a_leak_fails_the_scenario_and_costs_no_lease(
    make_runner: MakeRunner, what: bytes, said: str
) -> None:
    provider = FakeProvider(bend=leaving(what))
    made = make_runner(provider)
    result = made.run(scenario(), file="t.toml")
    assert result.verdict is Verdict.FAILED
    assert result.reason is not None
    assert said in result.reason
    assert made.run(scenario(), file="t.toml").verdict is Verdict.PASSED
    assert len(provider.guests) == 1


@pytest.mark.parametrize(
    "what",
    [
        data(now(device_inside=2, object_inside=0)),
        data(now(base_references=7, device_references=11)),
        data(now(pool_blocks=9000, pool_bytes=10**8, handles=400)),
        data(now(C["KSHS_COUNTED_POOL"], device_inside=9, base_references=90)),
        data(unseen=2, looked=0),
        b"",
    ],
    ids=["less", "once", "pool", "not-counted", "unseen", "an agent that counts nothing"],
)
def test_what_cannot_be_told_is_no_verdict(make_runner: MakeRunner, what: bytes) -> None:
    result = make_runner(FakeProvider(bend=leaving(what))).run(scenario(), file="t.toml")
    assert result.verdict is Verdict.PASSED


def test_many_requests_may_hold_devices_as_often_and_no_more() -> None:
    counts = left.read(data(now(base_references=99)))
    assert counts is not None
    for repeat, ok in ((99, False), (100, True)):
        plan_ = plan(scenario({**STEP, "repeat": repeat}), target.find("avshs")[0])
        found = {c.field: c.ok for c in left.judge(counts, plan_)}
        assert found["base_references"] is ok


def test_a_device_that_went_is_not_compared_with_itself() -> None:
    counts = left.read(data(now(device_inside=9)))
    assert counts is not None
    values = {
        "id": "x",
        "title": "abc",
        "rule": "H6",
        "open": ["filter"],
        "steps": [{"do": "device", "action": "restart"}],
    }
    plan_ = plan(Scenario.model_validate(values), target.find("avshs")[0])
    assert {c.field for c in left.judge(counts, plan_) if not c.characteristic} == {"file objects kept"}


def test_the_kernel_side_is_closed_last_and_counts() -> None:
    theirs = {"do": "handshake", "on": "source", "route": "sync"}
    other = {"do": "open_pin", "name": "other", "pin": "source"}
    values = {
        "id": "x",
        "title": "abc",
        "rule": "H5",
        "open": ["source"],
        "steps": [other, theirs, STEP | {"on": "other"}],
    }
    last = plan(Scenario.model_validate(values), target.find("avshs")[0]).cleanup[-2:]
    assert [step.answer for step in last] == [Kind.PLAIN, Kind.LEFT]


def test_too_few_bytes_are_no_counts() -> None:
    assert Encoder(ABI).read_left(data()[:-1]) is None
