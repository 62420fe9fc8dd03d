# SPDX-License-Identifier: Apache-2.0
"""Pins that stay open for a whole bulk of sequences: the steps that open them, and their slots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from drivers.abi import load
from harness.agent.structures import codec
from harness.fuzzing.draft import Draft
from harness.language.model import OpenFilter, OpenPin, Side
from harness.planning.plan import plan

if TYPE_CHECKING:
    from harness.fuzzing.composing import Composer
    from harness.fuzzing.pool import Place
    from harness.planning.planned import Plan, PlannedStep, Sizes

#: Objects of one bulk: each costs its opening and closing once.
_MOST = 12


@dataclass(frozen=True)
class Standing:
    """`plan` opens the objects and closes them again; `slots` says where each of them is."""

    plan: Plan
    slots: Mapping[str, int]


def head_of(step: PlannedStep) -> tuple[int, int]:
    """The op and the slot of a planned step."""
    head = codec(load().cs.kshs_step).unpack(step.payload)
    return int(head.op), int(head.slot)


def standing(composer: Composer, sizes: Sizes) -> Standing | None:
    """The objects of the kernel side that requests may be sent to without a word beforehand; None: none is.

    Second handles are left out, which a scenario closes with each sequence, and so are user mode's: each of
    its requests goes through the guest's own kernel, and ends what travels together.
    """
    names = [name for name, place in composer.places.items() if _stands(composer, place)][:_MOST]
    opens: Draft = tuple({"do": "open", "on": name} for name in names)
    for name in names:
        composed = composer.compose([(*opens, {"do": "handshake", "on": name})], "fuzz.bulk", "A bulk")
        if composed is not None:
            made = plan(composed.scenario, composer.target, sizes)
            return Standing(made, _slots(made.steps))
    return None


def _stands(composer: Composer, place: Place) -> bool:
    banned = {("open", place.name), ("handshake", place.name), ("open", "*"), ("handshake", "*")}
    return place.side is Side.KERNEL and place.shared is None and composer.banned.isdisjoint(banned)


def _slots(steps: Sequence[PlannedStep]) -> dict[str, int]:
    abi = load()
    ops = {abi.constants[f"KSHS_OP_{name}"] for name in ("OPEN_PIN", "OPEN_FILTER")}
    found: dict[str, int] = {}
    for step in steps:
        op, slot = head_of(step)
        if isinstance(step.step, OpenFilter | OpenPin) and op in ops:
            found[step.step.name] = slot  # a pin's own filter is opened before it, for the same step
    return found
