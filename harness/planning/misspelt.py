# SPDX-License-Identifier: Apache-2.0
"""Names of pins and protocols that a target has not, but nearly: where they stand.

The catalogue is meant for every target: what one of them lacks is skipped there.  In scenarios of
one's own a name that is nearly right is a slip of the pen, and a skip would hide it.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from harness.language.model import Scenario, Target
from harness.language.model.check import shorthand
from harness.language.scenario_file import CATALOGUE, LocatedScenario
from harness.language.toml_file import key_text
from harness.language.toml_positions import Key
from harness.planning.expectations import MisspeltName
from harness.planning.plan import plan
from harness.planning.planned import NotApplicable

_NAMING = ("pin", "protocol")


def is_portable(located: LocatedScenario) -> bool:
    """Whether a scenario comes with the harness, and so is to run on targets of any names."""
    return located.file.resolve().is_relative_to(CATALOGUE.resolve())


def misspelt(located: LocatedScenario, target: Target, file: str) -> str | None:
    """What is misspelt in a scenario of one's own, in one line with its place; None if nothing is.

    Args:
        located: the scenario and where it stands.
        target: the driver under test.
        file: the scenario's file as it is to be shown.

    Raises:
        UsageError: the scenario contradicts itself.
    """
    if is_portable(located):
        return None
    try:
        plan(located.scenario, target)
    except MisspeltName as error:
        key = place(located.scenario, error.word)
        line = _line(located, key)
        return f"{file}:{line}: {located.scenario.id}, {key_text(key)}: {error.message} ({error.hint})"
    except NotApplicable:
        return None
    return None


def place(scenario: Scenario, word: str | int) -> Key:
    """The key of a scenario at which the name of a pin or protocol stands first; else that of its steps."""
    for position, text in enumerate(scenario.open):
        entry = shorthand(text)
        sink = shorthand(entry.connect_to).pin if entry.connect_to is not None else None
        if word in (entry.pin, entry.connect_to, sink):
            return ("open", position)
    for position, step in enumerate(scenario.steps):
        for key, value in _names(step, ()):
            if value == word:
                return ("steps", position, *key)
    return ("steps",)


def _names(model: BaseModel, base: Key) -> Iterator[tuple[Key, object]]:
    """The names of pins and protocols in a step and in what it expects."""
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _names(value, (*base, name))
        elif name in _NAMING:
            for item in value if isinstance(value, list) else [value]:
                yield (*base, name), item


def _line(located: LocatedScenario, key: Key) -> int:
    """The nearest line that is known of a key."""
    lines = {"open": located.open_lines, "steps": located.step_lines}.get(str(key[0]), ())
    position = key[1] if len(key) > 1 else None
    return lines[position] if isinstance(position, int) and position < len(lines) else located.line
