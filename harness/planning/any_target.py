# SPDX-License-Identifier: Apache-2.0
"""What a scenario is on a target that it was not written for: other pins, no behaviour property set.

A foreign driver is asked what it can be asked.  What only looks into the sample target is left out and said;
what tells a callback what to do cannot be left out unless the scenario says that it may be (`bare`).
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.language.model import (
    Behaviour,
    Handshake,
    Make,
    OpenPin,
    Pin,
    PropertyGet,
    PropertySet,
    Reset,
    Scenario,
    Seen,
    Step,
    Target,
    Unblock,
    WaitInside,
)
from harness.language.model.check import shorthand
from harness.language.toml_problems import nearest

#: Steps that look at what a callback saw, or forget it: what the client itself sees is judged without them.
_LOOKING = (Seen, Reset)
#: Steps that tell a callback what to do, and that wait for it.
_TELLING = (Behaviour, Unblock, WaitInside)
#: Steps that ask the driver something: one of them must be left.
_ASKING = (Handshake, PropertyGet, PropertySet)

#: The catalogue's first pin; the first pin with a callback stands for it where no pin is called so.
FIRST_PIN = "source"


def pin_refs(scenario: Scenario) -> Iterator[str | int]:
    """Every pin that a scenario names, in the order in which it does, some of them more than once."""
    for text in scenario.open:
        entry = shorthand(text)
        if entry.pin is not None:
            yield entry.pin
        if entry.connect_to is not None and not any(
            shorthand(other).name == entry.connect_to for other in scenario.open
        ):
            yield shorthand(entry.connect_to).pin or entry.connect_to
    for step in scenario.steps:
        if isinstance(step, OpenPin | Make | Behaviour | Reset | Unblock | Seen | WaitInside):
            yield step.pin


def stand_in(scenario: Scenario, target: Target) -> Pin | None:
    """The pin that `FIRST_PIN` means to a scenario of one pin, where the target has none of that name.

    None where it has one, or one whose name is so similar that another was probably meant.
    """
    if set(pin_refs(scenario)) != {FIRST_PIN} or target.find_pin(FIRST_PIN) is not None:
        return None
    if nearest(FIRST_PIN, [pin.name for pin in target.pin]) is not None:
        return None
    return next((pin for pin in target.pin if pin.callback), None)


def left_out(scenario: Scenario, target: Target) -> frozenset[int]:
    """The places of the steps that a target without the behaviour property set is not asked.

    None where nothing would be left that asks the driver anything.
    """
    if target.behaviour:
        return frozenset()
    kinds = (*_LOOKING, *_TELLING) if scenario.bare else _LOOKING
    gone = frozenset(index for index, step in enumerate(scenario.steps) if isinstance(step, kinds))
    asks = any(isinstance(step, _ASKING) for index, step in enumerate(scenario.steps) if index not in gone)
    return gone if asks else frozenset()


def not_asked(step: Step, target: Target) -> str:
    """What is said in the place of a step that is left out."""
    what = {
        "seen": "what its callback saw is not looked at",
        "reset": "what its callback saw is not forgotten",
        "behaviour": "its callback answers as it does",
        "unblock": "its callback answers as it does",
        "wait_inside": "nobody waits until its callback is inside",
    }[step.do]
    return f"{what}: target {target.name} has no behaviour property set"
