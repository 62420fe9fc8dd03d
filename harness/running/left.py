# SPDX-License-Identifier: Apache-2.0
"""Judges what a scenario left behind, counted before its first open and after its last close.

Exact are references to file objects whose handles are closed, and who the reference class driver says is
inside an object or a device: one more than before keeps it from ever being finished.  Other references may
soundly grow by a few, where a driver takes one when it is first used, or keeps memory for later; as many as
the scenario has sent requests are a leak.  Pool and
handles are recorded: one interval does not tell a leak from a cache that fills, three do
(`harness.running.leaks`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from drivers.abi import load
from harness.agent.encode import Encoder
from harness.language.model import Device, Rule
from harness.planning.planned import Plan
from harness.results.record import Comparison
from harness.rules import CLAUSES
from harness.running.block_fields import characteristic
from vm.words import counted

#: Of these one more is a leak.
_INSIDE = ("class_object_inside", "class_device_inside")
#: Of these some more are none.
_REFERENCES = (
    "class_object_references",
    "class_device_references",
    "device_references",
    "base_references",
)
_RECORDED = ("pool_blocks", "pool_bytes", "handles")
#: Growth by less is none where a driver may take something once.
_TAKEN_ONCE = 8
_ONE_INTERVAL = "one interval does not tell a leak from a cache that fills"


def read(output: bytes) -> dict[str, Any] | None:
    """`kshs_left` as plain values, None where the client has counted nothing."""
    return Encoder(load()).read_left(output)


def judge(left: Mapping[str, Any], plan: Plan, more: int = 0) -> Iterator[Comparison]:
    """What of it is a leak, and what is only recorded.

    Args:
        left: of `read`.
        plan: of the scenario, all of whose steps have answered.
        more: requests that were sent beside those of the plan.
    """
    yield _files(left)
    before, after = left["before"], left["after"]
    grown = {name: after[name] - before[name] for name in before.keys() & after.keys()}
    if not any(isinstance(step, Device) for step in plan.scenario.steps):
        for name in _INSIDE:
            if name in grown:
                yield _growth(name, grown[name], 1)
        least = max(_TAKEN_ONCE, _requests(plan) + more)
        for name in _REFERENCES:
            if name in grown:
                yield _growth(name, grown[name], least)
    for name in _RECORDED:
        if name in grown:
            yield characteristic(f"{name} grown", grown[name], _ONE_INTERVAL)


def _requests(plan: Plan) -> int:
    """How many requests the scenario has sent."""
    return sum(step.request.repeat for step in plan.steps if step.request is not None)


def _files(left: Mapping[str, Any]) -> Comparison:
    """That whoever has taken a reference to a file object has given it back."""
    kept = int(left["kept"])
    got = (
        f"{kept} of {left['looked']}, with {counted(int(left['references']), 'reference')} left"
        if kept
        else f"none of {left['looked']}"
    )
    return _io("file objects kept", "none of those whose handles are closed", got, not kept, kept)


def _growth(name: str, grown: int, least: int) -> Comparison:
    expected = "no more than before" if least == 1 else f"grown by less than {least}"
    return _io(name, expected, f"{grown:+d}", grown < least, grown)


def _io(name: str, expected: str, got: str, ok: bool, value: int) -> Comparison:
    return Comparison(name, expected, got, ok, Rule.IO.value, CLAUSES[Rule.IO], got_value=value)
