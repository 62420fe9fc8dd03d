# SPDX-License-Identifier: Apache-2.0
"""Scenario files: TOML in, validated scenarios out, every mistake with its line.

The format is described in docs/scenarios.md and, for editors, in schemas/scenario.schema.json.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from harness.language.expansion import Expanded, ExpansionError, expand
from harness.language.model.check import check
from harness.language.model.problem import Problem
from harness.language.model.scenario import Scenario
from harness.language.needs import unknown_needs
from harness.language.toml_file import Complaint, TomlFile, TomlFileError, is_toml
from harness.language.toml_positions import Key
from harness.language.toml_problems import nearest, validation_problems

#: The version of the format that this harness reads.
SCHEMA = 1

#: The scenarios that come with the harness.
CATALOGUE = Path(__file__).parents[1] / "catalogue"

_TOP_KEYS = ("schema", "about", "scenario")


class ScenarioError(TomlFileError):
    """A scenario file is wrong; see `TomlFileError` for what it carries."""


@dataclass(frozen=True, slots=True)
class LocatedScenario:
    """A scenario and where it stands: the file, the lines of its table, its steps, the entries of `open`."""

    scenario: Scenario
    file: Path
    line: int
    step_lines: tuple[int, ...]
    open_lines: tuple[int, ...]


def with_request_time(scenario: Scenario, milliseconds: int) -> Scenario:
    """The scenario, with this time for each request where it says none."""
    if "timeout_ms" in scenario.model_fields_set or milliseconds == scenario.timeout_ms:
        return scenario
    return scenario.model_copy(update={"timeout_ms": milliseconds})


def load(path: Path) -> list[Scenario]:
    """The scenarios of one file, in its order.

    Raises:
        ScenarioError: all that is wrong with the file, each with its line.
    """
    return [located.scenario for located in load_located(path)]


def load_located(path: Path) -> list[LocatedScenario]:
    """As `load`, with the lines."""
    file = TomlFile(path, ScenarioError)
    complaints = list(_top(file))
    if complaints:
        raise file.fail(complaints)
    result: list[LocatedScenario] = []
    for index, table in enumerate(file.data["scenario"]):
        base: Key = ("scenario", index)
        try:
            variants = expand(table)
        except ExpansionError as error:
            complaints += [file.complaint((*base, *o.key), o.message, o.hint) for o in error.oddities]
            continue
        for variant in variants:
            scenario = _validate(file, base, variant, complaints)
            if scenario is not None:
                result.append(
                    LocatedScenario(
                        scenario,
                        path,
                        file.line(base),
                        tuple(file.line((*base, "steps", step)) for step in range(len(scenario.steps))),
                        tuple(file.line((*base, "open", entry)) for entry in range(len(scenario.open))),
                    )
                )
    complaints += _twice(file, result)
    if complaints:
        raise file.fail(complaints)
    return result


def load_all(paths: Iterable[Path]) -> list[LocatedScenario]:
    """The scenarios of several files, or of all ``*.toml`` in directories (in upper or lower case).

    Raises:
        ScenarioError: the first file that is wrong, or two files that use one id.
    """
    result: list[LocatedScenario] = []
    seen: dict[str, LocatedScenario] = {}
    for path in paths:
        for file in sorted(filter(is_toml, path.iterdir())) if path.is_dir() else [path]:
            for located in load_located(file):
                name = located.scenario.id
                if name in seen:
                    other = f"{seen[name].file}:{seen[name].line}"
                    raise ScenarioError(
                        file,
                        [Complaint(located.line, "id", f"{name!r} is used in {other} already", "rename one")],
                    )
                seen[name] = located
                result.append(located)
    return result


def _top(file: TomlFile) -> Iterable[Complaint]:
    data = file.data
    for key in data:
        if key not in _TOP_KEYS:
            yield file.complaint(
                (key,), f"unknown key {key!r}", nearest(key, _TOP_KEYS) or "see docs/scenarios.md"
            )
    version = data.get("schema")
    if version is None:
        yield file.complaint((), "the file does not say which format it has", "begin it with: schema = 1")
    elif version != SCHEMA or isinstance(version, bool):
        yield file.complaint(
            ("schema",), f"format {version!r} is not known to this harness", f"it reads schema = {SCHEMA}"
        )
    if not isinstance(data.get("about", ""), str):
        yield file.complaint(("about",), "must be a text")
    tables = data.get("scenario")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        yield file.complaint(
            ("scenario",), "there is no scenario in this file", "begin each with: [[scenario]]"
        )


def _validate(file: TomlFile, base: Key, variant: Expanded, complaints: list[Complaint]) -> Scenario | None:
    in_case = f" (in case {variant.case!r})" if variant.case else ""

    def complain(problems: Iterable[tuple[Key, str, str | None]]) -> None:
        for key, message, hint in problems:
            source, note = _origin(key, variant)
            # The same mistake in every case is one mistake.
            new = file.complaint((*base, *source), message + (in_case if note else ""), hint)
            if new not in complaints:
                complaints.append(new)

    try:
        scenario = Scenario.model_validate(variant.table)
    except ValidationError as error:
        complain(validation_problems(error, Scenario, variant.table))
        return None
    problems = check(scenario)
    problems += [
        Problem(("needs", position), f"no capability is called {name!r}", near and f"did you mean {near!r}?")
        for position, name, near in unknown_needs(scenario)
    ]
    complain((problem.path, problem.message, problem.hint) for problem in problems)
    return None if problems else scenario


def _origin(key: Key, variant: Expanded) -> tuple[Key, bool]:
    """Where the value of a key was written: in the scenario itself, or in one of its cases."""
    for end in range(len(key), 0, -1):
        found = variant.origin.get(key[:end])
        if found is not None:
            return (*found, *key[end:]), True
    return key, False


def _twice(file: TomlFile, located: Sequence[LocatedScenario]) -> Iterable[Complaint]:
    seen: dict[str, int] = {}
    for item in located:
        name = item.scenario.id
        if name in seen:
            yield Complaint(item.line, "id", f"{name!r} is used in line {seen[name]} already", "rename one")
        seen.setdefault(name, item.line)
