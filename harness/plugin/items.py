# SPDX-License-Identifier: Apache-2.0
"""Scenario files and scenarios as pytest's collectors and items."""

from __future__ import annotations

import contextlib
import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import HarnessError, UsageError
from harness.language.scenario_file import ScenarioError, load_located, with_request_time
from harness.language.toml_file import is_toml
from harness.planning.misspelt import is_portable, misspelt
from harness.plugin.report_words import Told
from harness.plugin.state import INFRASTRUCTURE, STATE
from harness.plugin.well_spelt import WellSpelt
from harness.results.cause import reason_first
from harness.results.record import ScenarioResult, StepResult
from harness.rules import CLAUSES
from harness.verdict import Verdict, after_retry

if TYPE_CHECKING:
    from _pytest._code.code import ExceptionInfo, TerminalRepr

    from harness.language.scenario_file import LocatedScenario
    from harness.plugin.earlier import Kept

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
    Names count in upper case, too.

    Args:
        path: of the file.
        chosen: whether the user named the file itself: what is wrong with it is then told.
        named: whether the user named the directory in which it lies.
    """
    if not is_toml(path):
        return False
    if chosen or path.name.lower().endswith(SUFFIX):
        return True
    if not named and path.parent.name.lower() not in DIRECTORIES:
        return False
    return _has_scenarios(path)


def _has_scenarios(path: Path) -> bool:
    """Also of a file that was meant to have some: a misspelt or broken one must be told, not left out."""
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
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

    @classmethod
    def of(cls, parent: pytest.Collector, path: Path) -> ScenarioFile:
        """The collector of a file; its node id is a path also where the file lies outside of the rootdir."""
        outside = not path.is_relative_to(parent.config.rootpath)
        more: dict[str, Any] = {"nodeid": str(path)} if outside else {}
        made: ScenarioFile = cls.from_parent(parent, path=path, **more)
        return made

    @property
    def shown(self) -> str:
        """Its path as messages and records have it: below the rootdir relative to it."""
        root = self.config.rootpath
        return str(self.path.relative_to(root) if self.path.is_relative_to(root) else self.path)

    def collect(self) -> Iterator[ScenarioItem]:
        """Its scenarios, cases and matrices worked out, and their names compared with the target's."""
        content = self._content()
        found = load_located(self.path)
        slips = list(self._slips(found, content))
        if slips:
            raise MisspeltError("\n".join(slips))
        milliseconds = self.config.stash[STATE].options.settings.limits.request_ms
        for located in found:
            scenario = with_request_time(located.scenario, milliseconds)
            located = replace(located, scenario=scenario)
            yield ScenarioItem.from_parent(self, name=located.scenario.id, located=located)

    def _content(self) -> bytes:
        """Read before the scenarios are: should it change meanwhile, they are not taken for this."""
        with contextlib.suppress(OSError):  # told by who reads the scenarios
            return self.path.read_bytes()
        return b""

    def _slips(self, found: list[LocatedScenario], content: bytes) -> Iterator[str]:
        """What the target of this session nearly has: told before any guest is made."""
        if all(map(is_portable, found)):
            return
        state = self.config.stash[STATE]
        target = state.provider.target()
        well_spelt = WellSpelt(state.options.settings.vm, target)
        if well_spelt.knows(self.path, content):
            return
        slips = [slip for located in found if (slip := misspelt(located, target, self.shown)) is not None]
        if not slips:
            well_spelt.remember(self.path, content)
        yield from slips

    def repr_failure(self, excinfo: ExceptionInfo[BaseException], style: Any = None) -> str | TerminalRepr:
        """A wrong file in its own words: file, line, key."""
        if isinstance(excinfo.value, (ScenarioError, UsageError)):
            return str(excinfo.value)
        return super().repr_failure(excinfo)


class MisspeltError(UsageError):
    """Names in a scenario file that the target has not, but nearly."""


class ScenarioItem(pytest.Item):
    """One scenario."""

    def __init__(self, *, located: LocatedScenario, **more: Any) -> None:
        super().__init__(**more)
        self.scenario = located.scenario
        self.line = located.line
        self.order = 0
        self.upcoming: ScenarioItem | None = None
        #: What became of each attempt; plugins and sessions of one run may make several.
        self.attempts: list[ScenarioResult] = []
        #: What an earlier session of the run has on record: it is told again, and not run.
        self.kept: Kept | None = None
        self._this: ScenarioResult | None = None
        self._unwritten: str | None = None
        words = [*(rule.value for rule in self.scenario.rules), *self.scenario.tags]
        routes = [step.route.value for step in self.scenario.steps if step.do == "handshake"]
        self.extra_keyword_matches.update([*words, *routes])

    @property
    def file(self) -> str:
        """The path of its file, as messages and records have it."""
        parent = self.parent
        return parent.shown if isinstance(parent, ScenarioFile) else str(self.path)

    def begin(self) -> None:
        """It is about to run: written down, so that it is missed should nothing more come of it."""
        with contextlib.suppress(OSError):  # a full disk is told with its result
            self.config.stash[STATE].begin(self.blank(), self.order)

    def setup(self) -> None:
        """A guest at hand; what fails here is ours, and pytest's error."""
        self.user_properties.clear()  # an earlier attempt's
        self._this = None
        if self.kept is not None:
            return
        if not self.config.stash[STATE].options.only_lists:
            self.config.stash[STATE].runner()

    def runtest(self) -> None:
        """Runs it, unless it has ended in an earlier session, and says what pytest understands."""
        if self.kept is not None:
            self._this = self.kept.result
            self.attempts = [self.kept.result]
            self._describe(self.kept.result)
        else:
            self._run()
        self._tell_pytest()

    def _run(self) -> None:
        """Tries it, a bounded number of times where a guest was lost on our side; all of it is on record."""
        state = self.config.stash[STATE]
        following = self.upcoming
        for left in reversed(range(state.options.settings.limits.tries)):
            result = state.runner().run(
                self.scenario,
                file=self.file,
                line=self.line,
                upcoming=following.scenario if following is not None else None,
                upcoming_file=following.file if following is not None else None,
            )
            self._record(result)
            if not result.again or not left:
                state.guests.note(result)
                return
            self.user_properties.clear()
            self._report_sections.clear()
            self.begin()

    def _tell_pytest(self) -> None:
        stands = self.stands
        match stands.verdict:
            case Verdict.PASSED | Verdict.SKIPPED if self._unwritten is not None:
                raise HarnessError(self._unwritten, hint="is the disk full?")
            case Verdict.PASSED:
                return
            case Verdict.SKIPPED:
                raise pytest.skip.Exception(stands.reason or "no reason given", _use_item_location=True)
            case Verdict.ERROR:
                raise ScenarioBroken(stands)
            case _:
                raise ScenarioFailed(stands)

    @property
    def stands(self) -> ScenarioResult:
        """What stands after all attempts: what spoke against the driver once still does."""
        first, *others = self.attempts
        kept = first
        for result in others:
            if after_retry(kept.verdict, result.verdict) is result.verdict:
                kept = result
        if len(self.attempts) == 1 or kept is self.attempts[-1]:
            return kept
        tries = ", ".join(result.verdict.value for result in self.attempts)
        return replace(kept, reason=f"{kept.reason} (in {len(self.attempts)} attempts: {tries})")

    def put_on_record(self, verdict: Verdict, reason: str) -> None:
        """Writes a result for an attempt that has none: it never ran, or not to its end."""
        if self._this is None:
            self._record(self._result(verdict, reason))

    @property
    def told(self) -> Told | None:
        """What goes to the controller with each report; None before anything is known."""
        if not self.attempts:
            return None
        stands = self.stands
        return Told(
            key=f"{self.file}::{self.scenario.id}",
            verdict=stands.verdict,
            steps=len(stands.steps),
            reason=stands.reason,
            unrecorded=self._unwritten,
        )

    def blank(self) -> ScenarioResult:
        """What is known of it before it runs."""
        return self._result(Verdict.ERROR, "")

    def _result(self, verdict: Verdict, reason: str) -> ScenarioResult:
        return ScenarioResult(
            id=self.scenario.id,
            title=self.scenario.title,
            rules=tuple(rule.value for rule in self.scenario.rules),
            verdict=verdict,
            file=self.file,
            line=self.line,
            tags=tuple(self.scenario.tags),
            reason=reason,
            content=self.scenario.content,
        )

    def _record(self, result: ScenarioResult) -> None:
        """One attempt's lines; what cannot be written goes to the controller with the report."""
        self._this = result
        self.attempts.append(result)
        try:
            self.config.stash[STATE].write(result, self.order)
        except OSError as error:
            self._unwritten = f"its result cannot be written: {error}"
        self._describe(self.stands)

    def _describe(self, result: ScenarioResult) -> None:
        """Report sections and JUnit properties."""
        state = self.config.stash[STATE]
        self.user_properties += [("rule", rule) for rule in result.rules]
        self.user_properties += [("route", route) for route in result.routes]
        self.user_properties.append(("verdict", result.verdict.value))
        if result.reason:
            self.user_properties.append(("reason", result.reason))
        self.user_properties += [("attempt", text) for text in self._tried()]
        self.user_properties += list(state.guests.junit_properties())
        for step in result.steps:
            if step.status_block is not None and step.do != "setup":
                block = json.dumps({"step": step.name, **step.status_block}, separators=(",", ":"))
                self.user_properties.append(("status_block", block))
        if result.verdict not in (Verdict.PASSED, Verdict.SKIPPED):
            telling = [s for s in result.steps if s.verdict is not Verdict.PASSED]
            if telling:
                text = "\n\n".join(_block_text(step) for step in telling)
                self.add_report_section("call", "status blocks", text)
        if result.evidence:
            self.add_report_section("call", "evidence", "\n".join(result.evidence))
        if result.said:
            self.add_report_section("call", "what the drivers printed", "\n".join(result.said))

    def _tried(self) -> list[str]:
        """Each attempt in one line, where there were several."""
        if self.kept is not None:
            said = [(str(attempt["verdict"]), attempt["reason"]) for attempt in self.kept.attempts]
        else:
            said = [(result.verdict.value, result.reason) for result in self.attempts]
        return [": ".join(filter(None, pair)) for pair in said] if len(said) > 1 else []

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
    """A scenario that speaks against the driver: the reason, then each field as expected and as it came.

    The title comes behind the reason: it says what should be, and reads as if it were.
    """
    steps = [{"index": s.index, "name": s.name, "verdict": s.verdict} for s in result.steps]
    reason = reason_first({"verdict": result.verdict, "reason": result.reason}, steps)
    lines = [reason, f"{result.verdict.value}, and should be: {result.title}"]
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
