# SPDX-License-Identifier: Apache-2.0
"""How much of the catalogue a target file opens, and what it would take to open the rest.

Everything is worked out by the planner that runs use: a scenario counts as one that runs where it is planned
for the target and the guest can show it; a key of the target file opens those that are planned with it alone.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.contract.capabilities import missing
from harness.errors import UsageError
from harness.language.model import Pin, Scenario, Target
from harness.language.model.target import Answer
from harness.onboarding.pin_names import CATALOGUE_PINS
from harness.planning.expectations import MisspeltName
from harness.planning.plan import plan
from harness.planning.planned import Lack, NotApplicable, Plan, Sizes
from harness.rules import Rule

#: What guests of the two families say of themselves as far as it decides what they can show: with the client,
#: and the one with the reference ks.sys, the other with Windows' own and without Driver Verifier.
TYPICAL: Mapping[str, Mapping[str, Any]] = {
    "Wine": {
        "family": "wine",
        "agent": {"pointer_size": 8},
        "client": {"loaded": True},
        "ks": {"present": True, "ours": True},
        "verifier": None,
    },
    "Windows": {
        "family": "windows",
        "agent": {"pointer_size": 8},
        "client": {"loaded": True},
        "ks": {"present": True, "ours": False},
        "verifier": {"flags": 0, "drivers": []},
    },
}
#: Stands for a protocol of the user's in a target that is only thought of.
_SOME_PROTOCOL = uuid.UUID("c1f5a8d4-5b0e-4f0c-8a37-0c6f4e2b9d11")
_MOST_AT_ONCE = 8  # instances of a pin that a scenario of the catalogue opens
_MAX_ROUNDS = 24

#: What is asked of one scenario: None where a guest can show it, else the reason why not.
Shows = Callable[[Scenario], str | None]


@dataclass(frozen=True, slots=True)
class Opening:
    """A key of the target file that would open more.

    `alone` counts the scenarios that it opens by itself, `then` those that it opens beside all openings
    before it.
    """

    key: str
    alone: int
    then: int


@dataclass(frozen=True, slots=True)
class Outlook:
    """What becomes of the scenarios: those that run, and the others by the reason why they do not."""

    runs: tuple[str, ...]
    skipped: Mapping[str, tuple[str, ...]]
    wrong: Mapping[str, tuple[str, ...]]
    openings: tuple[Opening, ...] = ()
    judged: tuple[tuple[str, int], ...] = ()


@dataclass
class _Weighing:
    scenarios: Sequence[Scenario]
    shows: Shows
    sizes: Sizes = field(default_factory=Sizes)

    def planned(self, scenario: Scenario, target: Target) -> Plan | NotApplicable | UsageError:
        try:
            return plan(scenario, target, self.sizes)
        except (NotApplicable, UsageError) as why:
            return why


def outlook(target: Target, scenarios: Sequence[Scenario], info: Mapping[str, Any]) -> Outlook:
    """What becomes of scenarios with a target on guests with this `info`."""
    weighing = _Weighing(scenarios, lambda scenario: missing(scenario, info))
    runs: list[Scenario] = []
    skipped: dict[str, list[str]] = {}
    wrong: dict[str, list[str]] = {}
    waiting: dict[Lack, list[Scenario]] = {}
    for scenario in scenarios:
        unfit = weighing.shows(scenario)
        if unfit is not None:
            skipped.setdefault(unfit, []).append(scenario.id)
            continue
        found = weighing.planned(scenario, target)
        if isinstance(found, Plan):
            runs.append(scenario)
        elif isinstance(found, NotApplicable):
            reason = found.message if isinstance(found, MisspeltName) else str(found)
            skipped.setdefault(reason, []).append(scenario.id)
            if found.lack is not None:
                waiting.setdefault(found.lack, []).append(scenario)
        else:
            wrong.setdefault(str(found), []).append(scenario.id)
    return Outlook(
        runs=tuple(scenario.id for scenario in runs),
        skipped={reason: tuple(ids) for reason, ids in _by_size(skipped)},
        wrong={reason: tuple(ids) for reason, ids in _by_size(wrong)},
        openings=tuple(_openings(target, waiting, weighing)),
        judged=tuple(_judged(target, runs, weighing)),
    )


def _by_size(groups: Mapping[str, list[str]]) -> list[tuple[str, list[str]]]:
    return sorted(groups.items(), key=lambda item: -len(item[1]))


# ---- what would open more --------------------------------------------------------------------


def _openings(
    target: Target, waiting: Mapping[Lack, list[Scenario]], weighing: _Weighing
) -> Iterable[Opening]:
    """Keys in the order in which each opens most beside those before it.

    A scenario that waits for one thing may wait for another behind it: it is asked again with each key.
    """
    present = {lack: list(scenarios) for lack, scenarios in waiting.items() if _can_be(target, lack)}
    alone: dict[Lack, int] | None = None
    for _ in range(_MAX_ROUNDS):
        tried = {lack: _with(target, lack, present, weighing) for lack in present}
        if alone is None:
            alone = {lack: opened for lack, (_, opened, _) in tried.items()}
        if not tried:
            return
        lack = max(tried, key=lambda one: (tried[one][1], len(present[one])))
        edited, opened, left = tried[lack]
        yield Opening(_key(target, lack), alone.get(lack, 0), opened)
        target = edited
        for other in _met_by(lack):
            present.pop(other, None)
        for other, scenarios in left.items():
            if other != lack and _can_be(target, other):
                present.setdefault(other, []).extend(scenarios)


def _can_be(target: Target, lack: Lack) -> bool:
    """Whether a file could say it of this driver: a pin without a callback accepts nothing."""
    pin = target.find_pin(lack.name) if lack.kind == "accepts" else None
    return pin is None or pin.callback


def _met_by(lack: Lack) -> tuple[Lack, ...]:
    """What a target does not lack any more that has got what it lacked: any protocol is a protocol."""
    some = Lack("accepts")
    return (lack, some) if lack.kind in ("accepts", "protocol") and lack != some else (lack,)


def _with(
    target: Target, lack: Lack, waiting: Mapping[Lack, list[Scenario]], weighing: _Weighing
) -> tuple[Target, int, dict[Lack, list[Scenario]]]:
    """The target with what it lacks, how many of those that wait for it run then, what the others lack."""
    edited = _edited(target, lack)
    opened = 0
    left: dict[Lack, list[Scenario]] = {}
    for scenario in (one for met in _met_by(lack) for one in waiting.get(met, ())):
        found = weighing.planned(scenario, edited)
        if isinstance(found, Plan):
            opened += 1
        elif isinstance(found, NotApplicable) and found.lack is not None:
            left.setdefault(found.lack, []).append(scenario)
    return edited, opened, left


def _key(target: Target, lack: Lack) -> str:
    """What the file would say, and what must be true of the driver for it."""
    match lack.kind:
        case "behaviour":
            return "behaviour = true, where the driver has the property set of docs/avshs.md"
        case "protocol":
            return f'[protocols] {lack.name} = "...", another protocol that it knows'
        case "accepts":
            pin = target.find_pin(lack.name)
            if pin is None:
                return '[protocols] NAME = "...", a protocol that it knows'
            return f"pin[{target.pin.index(pin)}].accepts, a protocol that the pin accepts"
        case "instances":
            pin = target.find_pin(lack.name)
            assert pin is not None, "what a scenario has opened"
            more = _instances(pin)
            return f"pin[{target.pin.index(pin)}].max_instances = {more}, where so many can be open at once"
        case "pin":
            spare = _spare(target, lack.name)
            if spare is not None:
                return f'pin[{spare}].name = "{lack.name}", now {target.pin[spare].name}'
            return f"[[pin]] {lack.name}, another pin for data {_flow(lack.name)}"


def _edited(target: Target, lack: Lack) -> Target:
    """The target as it would be without a lack."""
    match lack.kind:
        case "behaviour":
            return target.model_copy(update={"behaviour": True})
        case "protocol":
            return target.model_copy(
                update={"protocol_table": {**target.protocol_table, str(lack.name): _SOME_PROTOCOL}}
            )
        case "accepts":
            protocols = target.protocol_table or {"some": _SOME_PROTOCOL}
            first = next(iter(protocols))
            pins = [
                pin.model_copy(update={"accepts": [first]}) if lack.name == pin.name else pin
                for pin in target.pin
            ]
            return target.model_copy(update={"protocol_table": protocols, "pin": pins})
        case "instances":
            pins = [
                pin.model_copy(update={"max_instances": _instances(pin)}) if lack.name == pin.name else pin
                for pin in target.pin
            ]
            return target.model_copy(update={"pin": pins})
        case "pin":
            return target.model_copy(update={"pin": _with_pin(target, lack.name)})


def _instances(pin: Pin) -> int:
    """As many of a pin as the catalogue opens at once, or twice what the file says."""
    return _MOST_AT_ONCE if pin.max_instances < _MOST_AT_ONCE else 2 * pin.max_instances


def _with_pin(target: Target, name: str | int) -> list[Any]:
    pins = list(target.pin)
    spare = _spare(target, name)
    if spare is not None:
        pins[spare] = pins[spare].model_copy(update={"name": name})
        return pins
    free = next(number for number in range(len(pins) + 1) if target.find_pin(number) is None)
    like = next((pin for pin in pins if pin.flow == _flow(name)), pins[0])
    chosen = {"id": name} if isinstance(name, int) else {"id": free, "name": name}
    named = {"name": f"pin{name}"} if isinstance(name, int) else {}
    return [*pins, like.model_copy(update={**chosen, **named, "flow": _flow(name)})]


def _flow(name: str | int) -> str:
    return "in" if str(name).startswith("sink") else "out"


def _spare(target: Target, name: str | int) -> int | None:
    """The place of a pin that may be called so: the catalogue knows its name no more than anybody's."""
    if isinstance(name, int) or name not in CATALOGUE_PINS:
        return None
    return next(
        (
            place
            for place, pin in enumerate(target.pin)
            if pin.flow == _flow(name) and pin.callback and pin.name not in CATALOGUE_PINS
        ),
        None,
    )


# ---- what would be judged instead of recorded --------------------------------------------------


def _judged(target: Target, runs: Sequence[Scenario], weighing: _Weighing) -> Iterable[tuple[str, int]]:
    """Keys that open nothing, and let more of what runs be judged; each with the number of scenarios."""
    if not runs:
        return
    able = [pin for pin in target.pin if pin.callback and pin.accepts and pin.answer is None]
    if not able:
        return
    answered = target.model_copy(
        update={
            "pin": [
                pin.model_copy(update={"answer": Answer(add=0, xor=0)}) if pin in able else pin
                for pin in target.pin
            ]
        }
    )
    more = sum(
        _expected(weighing.planned(one, answered)) > _expected(weighing.planned(one, target)) for one in runs
    )
    if more:
        keys = ", ".join(f"pin[{target.pin.index(pin)}].answer" for pin in able)
        yield f"{keys}, where the output is the input plus and xor a constant", more


def _expected(found: Plan | NotApplicable | UsageError) -> int:
    """How many fields of answers are compared, but for those of what prepares."""
    if not isinstance(found, Plan):
        return 0
    return sum(item.rule is not Rule.SETUP for step in found.steps for item in step.expected_fields)
