# SPDX-License-Identifier: Apache-2.0
"""A scenario as the text of a scenario file, with a comment that says where it comes from."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.language import scenario_file
from harness.language.model.scenario import Scenario
from harness.language.scenario_file import SCHEMA
from harness.language.toml_literal import comment, literal

#: Texts that people read come first, in the order of the documents.
_FIRST = ("id", "title", "why", "rule", "also", "tags", "needs", "open")
_STATUSES = ("status", "returned", "answer")


def render(scenarios: Sequence[Scenario], origin: Sequence[str] = (), *, about: str | None = None) -> str:
    """A scenario file with these scenarios; each line of ``origin`` is a comment before the first.

    Raises:
        HarnessError: what was written is not what is read: a fault of this module.
    """
    lines = ["# SPDX-License-Identifier: Apache-2.0", f"schema = {SCHEMA}"]
    if about is not None:
        lines.append(f"about = {literal(about)}")
    lines += ["", *map(comment, origin)]
    for scenario in scenarios:
        lines += [*_table(scenario), ""]
    text = "\n".join(lines)
    if read(text) != list(scenarios):
        raise HarnessError("the scenario cannot be written as a file", scenarios[0].id)
    return text


def read(text: str, name: str = "scenario.toml") -> list[Scenario]:
    """The scenarios of a file's text.

    Raises:
        ScenarioError: all that is wrong with it.
    """
    with tempfile.TemporaryDirectory(prefix="kshs-") as folder:
        path = Path(folder) / name
        path.write_text(text, encoding="utf-8")
        return scenario_file.load(path)


def _table(scenario: Scenario) -> list[str]:
    table = scenario.model_dump(exclude_unset=True)
    steps = table.pop("steps")
    ordered = [*(key for key in _FIRST if key in table), *(key for key in table if key not in _FIRST)]
    lines = ["[[scenario]]", *(f"{key} = {literal(table[key])}" for key in ordered), "steps = ["]
    lines += [f"  {literal(_shown(step))}," for step in steps]
    return [*lines, "]"]


def _shown(value: Any, key: str = "") -> Any:
    """As a file says it: bytes in hexadecimal, statuses as documents write them, and nothing that is None."""
    if isinstance(value, dict):
        return {name: _shown(item, name) for name, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_shown(item, key) for item in value]
    if isinstance(value, bytes):
        return value.hex(" ")
    if isinstance(value, Enum):
        return value.value
    if key in _STATUSES and isinstance(value, int) and not isinstance(value, bool):
        return f"0x{value & 0xFFFFFFFF:08X}"
    return value
