# SPDX-License-Identifier: Apache-2.0
"""Scenario files and scenarios as pytest's collectors and items."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import HarnessError
from harness.language.scenario_file import ScenarioError, load_located
from harness.planning.misspelt import misspelt
from harness.plugin.observation import UNRECORDED
from harness.plugin.state import INFRASTRUCTURE, STATE
from harness.results.record import ScenarioResult, StepResult
from harness.rules import CLAUSES
from harness.verdict import Verdict

if TYPE_CHECKING:
    from _pytest._code.code import ExceptionInfo, TerminalRepr

    from harness.language.scenario_file import LocatedScenario

RESULT = pytest.StashKey[ScenarioResult]()

#: Directories whose TOML files are scenario files.
DIRECTORIES = frozenset({"catalogue", "scenarios"})
#: What a scenario file may be called anywhere else.
SUFFIX = ".scenario.toml"

_TABLE = re.compile(r"^\s*\[\[\s*scenario\s*\]\]", re.MULTILINE)


class ScenarioFailed(Exception):  # noqa: N818 - what happened to the driver, not an error of ours
    """The driver failed, crashed or hung: a failure in pytest's words."""

    def __init__(self, result: ScenarioResult) -> None:
        super().__init__(f"{result.verdict.value}: {result.reason}")
        self.result = result


class ScenarioBroken(HarnessError):  # noqa: N818
    """The harness failed under a scenario: an error in pytest's words."""

    def __init__(self, result: ScenarioResult) -> None:
        super().__init__(result.reason or "the harness failed")
        self.result = result


def is_scenario_file(path: Path, *, chosen: bool, named: bool) -> bool:
    """Whether a file is to be collected.

    A TOML file is, when the user named it, when it is called ``*.scenario.toml``, or when it has a
    ``[[scenario]]`` table and lies in a directory called ``catalogue`` or ``scenarios``, or directly
    in a directory that the user named.  There a file that cannot be read as TOML, or that has a
    ``schema`` and is no target file, is collected as well, so that what is wrong with it is told.

    Args:
        path: of the file.
        chosen: whether the user named the file itself: what is wrong with it is then told.
        named: whether the user named the directory in which it lies.
    """
    if path.suffix != ".toml":
        return False
    if chosen or path.name.endswith(SUFFIX):
        return True
    if not named and path.parent.name not in DIRECTORIES:
        return False
    return _has_scenarios(path)


def _has_scenarios(path: Path) -> bool:
    """Also of a file that was meant to have some: a misspelt or broken one must be told, not left out."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    if _TABLE.search(text):
        return True
    try:
        keys = tomllib.loads(text).keys()
    except tomllib.TOMLDecodeError:
        return True
    return "schema" in keys and "hardware_id" not in keys


class ScenarioFile(pytest.File):
    """One TOML file of scenarios."""

    def collect(self) -> Iterator[ScenarioItem]:
        """Its scenarios, cases and matrices worked out."""
        for located in load_located(self.path):
            yield ScenarioItem.from_parent(self, name=located.scenario.id, located=located)

    def repr_failure(self, excinfo: ExceptionInfo[BaseException], style: Any = None) -> str | TerminalRepr:
        """A wrong file in its own words: file, line, key."""
        if isinstance(excinfo.value, ScenarioError):
            return str(excinfo.value)
        return super().repr_failure(excinfo)


class ScenarioItem(pytest.Item):
    """One scenario."""

    def __init__(self, *, located: LocatedScenario, **more: Any) -> None:
        super().__init__(**more)
        self.scenario = located.scenario
        self.line = located.line
        self.located = located
        self.order = 0
        self.upcoming: ScenarioItem | None = None
        words = [*(rule.value for rule in self.scenario.rules), *self.scenario.tags]
        routes = [step.route.value for step in self.scenario.steps if step.do == "handshake"]
        self.extra_keyword_matches.update([*words, *routes])

    def setup(self) -> None:
        """A guest at hand; what fails here is ours, and pytest's error."""
        self.config.stash[STATE].runner()

    def runtest(self) -> None:
        """Runs it and says what pytest understands."""
        state = self.config.stash[STATE]
        try:
            following = self.upcoming.scenario if self.upcoming is not None else None
            result = state.runner().run(self.scenario, file=self._file(), line=self.line, upcoming=following)
        except INFRASTRUCTURE as error:
            state.latch(error)
            raise
        if result.verdict is Verdict.SKIPPED:
            slip = misspelt(self.located, state.provider.target(), self._file())
            if slip is not None:
                result = replace(result, verdict=Verdict.ERROR, reason=slip)
        self.stash[RESULT] = result
        unwritten = self._write(result)
        self._describe(result)
        match result.verdict:
            case Verdict.PASSED | Verdict.SKIPPED if unwritten is not None:
                raise unwritten
            case Verdict.PASSED:
                return
            case Verdict.SKIPPED:
                raise pytest.skip.Exception(result.reason or "no reason given", _use_item_location=True)
            case Verdict.ERROR:
                raise ScenarioBroken(result)
            case _:
                raise ScenarioFailed(result)

    def put_on_record(self, verdict: Verdict, reason: str) -> None:
        """Writes a result for a scenario that has none: it never ran, or not to its end."""
        if RESULT in self.stash:
            return
        result = ScenarioResult(
            id=self.scenario.id,
            title=self.scenario.title,
            rules=tuple(rule.value for rule in self.scenario.rules),
            verdict=verdict,
            file=self._file(),
            line=self.line,
            tags=tuple(self.scenario.tags),
            reason=reason,
        )
        self.stash[RESULT] = result
        self._write(result)
        self._describe(result)

    def _write(self, result: ScenarioResult) -> HarnessError | None:
        """Its lines; what cannot be written goes to the controller with the report."""
        try:
            self.config.stash[STATE].write(result, self.order)
        except OSError as error:
            self.user_properties.append((UNRECORDED, f"its result cannot be written: {error}"))
            return HarnessError(f"the result cannot be written: {error}", hint="is the disk full?")
        return None

    def _file(self) -> str:
        try:
            return str(self.path.relative_to(self.config.rootpath))
        except ValueError:
            return str(self.path)

    def _describe(self, result: ScenarioResult) -> None:
        """Report sections and JUnit properties."""
        state = self.config.stash[STATE]
        self.user_properties += [("rule", rule) for rule in result.rules]
        self.user_properties += [("route", route) for route in result.routes]
        self.user_properties.append(("verdict", result.verdict.value))
        if result.reason:
            self.user_properties.append(("reason", result.reason))
        self.user_properties += list(state.junit_properties())
        for step in result.steps:
            if step.status_block is not None and step.do != "setup":
                block = json.dumps({"step": step.name, **step.status_block}, separators=(",", ":"))
                self.user_properties.append(("status_block", block))
        if result.verdict not in (Verdict.PASSED, Verdict.SKIPPED):
            telling = [s for s in result.steps if s.do != "setup" or s.verdict is not Verdict.PASSED]
            if telling:
                text = "\n\n".join(_block_text(step) for step in telling)
                self.add_report_section("call", "status blocks", text)
        if result.evidence:
            self.add_report_section("call", "evidence", "\n".join(result.evidence))

    def repr_failure(self, excinfo: ExceptionInfo[BaseException], style: Any = None) -> str | TerminalRepr:
        """Field by field for a failed scenario, one line for an error of ours."""
        if isinstance(excinfo.value, ScenarioFailed):
            return explain(excinfo.value.result)
        if isinstance(excinfo.value, INFRASTRUCTURE):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where the scenario stands in its file; headings get its title.

        Not the bare id: pytest would take the dots in it for those of Python's modules.
        """
        return self.path, self.line - 1, f"{self.name} - {self.scenario.title}"


def explain(result: ScenarioResult) -> str:
    """A scenario that speaks against the driver: rule, step, each field as expected and as it came."""
    lines = [f"{result.verdict.value}: {result.title}"]
    if result.reason:
        lines.append(result.reason)
    for step in result.steps:
        if not step.verdict.is_driver_fault:
            continue
        sent = ", ".join(f"{key} {value}" for key, value in step.request.items())
        lines += ["", f"step {step.index + 1}: {step.name}"]
        if step.route:
            lines.append(f"  sent by {step.route}, {step.mode} mode: {sent}")
        if step.reason and not step.mismatches:
            lines.append(f"  {step.reason}")
        lines += _table(step)
        for rule in dict.fromkeys(c.rule for c in step.mismatches if c.rule):
            clause = next((c.clause for c in step.mismatches if c.rule == rule), None)
            lines.append(f"  {rule}: {clause or _clause(rule)}")
    return "\n".join(lines)


def _table(step: StepResult) -> list[str]:
    judged = [c for c in step.comparisons if not c.characteristic]
    if not judged:
        return []
    rows = [("", "field", "expected", "got", "rule")]
    rows += [("  " if c.ok else "> ", c.field, c.expected, c.got, c.rule or "") for c in judged]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _clause(rule: str) -> str:
    return next((text for key, text in CLAUSES.items() if key.value == rule), "")


def _block_text(step: StepResult) -> str:
    head = f"step {step.index + 1}: {step.name} [{step.verdict.value}]"
    if step.status_block is None:
        return f"{head}\n  {step.reason or 'no record'}"
    shown = {key: value for key, value in step.status_block.items() if value not in (None, "", [])}
    return "\n".join([head, *(f"  {key}: {value}" for key, value in shown.items())])
