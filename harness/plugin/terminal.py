# SPDX-License-Identifier: Apache-2.0
"""How the end of a run looks on the terminal: what failed, a block a cause, then counts, then a line each.

One wrong line in a driver fails hundreds of scenarios.  Of those with one cause (`harness.results.cause`) the
first is shown in full and the others by id.  Tests in Python are pytest's to show, as always.
"""

from __future__ import annotations

import textwrap
from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from harness.plugin.finishing import told_at_the_end
from harness.plugin.lost import NOT_RUN
from harness.plugin.report_words import is_scenario, told_of
from harness.plugin.state import STATE, PluginState
from harness.results import tally
from harness.results.cause import Cause, grouped, reason_first
from harness.results.parts import key_of
from harness.results.summary import lines as summary_lines
from harness.verdict import Verdict
from vm.words import counted

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

#: Ids that a block names beside the one that it shows; the short summary has them all.
_NAMED = 20
#: pytest's lists of reports that end as lines of ours, and the letters of ``-r`` that ask for them.
_OURS = {"failed": "f", "error": "E", "skipped": "s"}

Record = Mapping[str, Any]
Causes = dict[Cause, list[Record]]
Reports = dict[str, list[pytest.TestReport]]


class TerminalSummary:
    """A plugin of the session's process."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(
        self, terminalreporter: TerminalReporter, config: pytest.Config
    ) -> Generator[None, None, None]:
        """Around pytest's own summary, which neither shows nor counts scenarios meanwhile."""
        state = config.stash[STATE]
        if not state.records:
            _tell(terminalreporter, state)
            return (yield)
        taken = _take_scenarios(terminalreporter)
        steps = tally.steps_of(state.records)
        found = grouped(
            (scenario, steps.get((scenario["order"], scenario["id"]), []))
            for scenario in tally.of_kind(state.records, "scenario")
        )
        try:
            if config.option.tbstyle != "no":
                _write_blocks(terminalreporter, found, _by_key(taken))
            result = yield
            _write_lines(terminalreporter, steps, found)
        finally:
            _give_back(terminalreporter, taken)
        return result


class RunSummary:
    """The counts, where other plugins have theirs: between pytest's failures and its short summary."""

    def pytest_terminal_summary(self, terminalreporter: TerminalReporter, config: pytest.Config) -> None:
        """Counts by verdict, rule and route, reasons of skips, where the report is."""
        state = config.stash[STATE]
        if not state.records:
            return
        _tell(terminalreporter, state)
        terminalreporter.section("kshs")
        for line in summary_lines(state.records):
            terminalreporter.write_line(line)
        if state.out is not None and state.problem is None:
            if config.getoption("kshs_no_report"):
                terminalreporter.write_line(f"results: {state.out}")
            else:
                terminalreporter.write_line(f"report: {state.out / 'report.html'}")
            for line in state.coverage:
                terminalreporter.write_line(f"coverage of {line}")
            if state.coverage:
                terminalreporter.write_line(f"coverage: {state.out / 'coverage.html'}")


def _tell(reporter: TerminalReporter, state: PluginState) -> None:
    for text in told_at_the_end(state):
        reporter.write_line(f"kshs: {text}", red=True)


def _take_scenarios(reporter: TerminalReporter) -> Reports:
    """Scenarios' reports, out of the lists that pytest shows at its end."""
    taken: Reports = {}
    for name in _OURS:
        reports = reporter.stats.get(name, [])
        ours = [report for report in reports if is_scenario(report) and told_of(report) is not None]
        if ours:
            taken[name] = ours
            kept = [report for report in reports if report not in ours]
            if kept:
                reporter.stats[name] = kept
            else:
                del reporter.stats[name]
    return taken


def _give_back(reporter: TerminalReporter, taken: Reports) -> None:
    for name, reports in taken.items():
        reporter.stats[name] = [*reports, *reporter.stats.get(name, [])]


def _by_key(taken: Reports) -> dict[str, pytest.TestReport]:
    found: dict[str, pytest.TestReport] = {}
    for name in ("error", "failed"):
        for report in taken.get(name, ()):
            told = told_of(report)
            if told is not None:
                found.setdefault(told.key, report)
    return found


def _write_blocks(
    reporter: TerminalReporter, found: Causes, reports: Mapping[str, pytest.TestReport]
) -> None:
    for title, ours in (("ERRORS", True), ("FAILURES", False)):
        here = {c: all_of for c, all_of in found.items() if (c.verdict == Verdict.ERROR) is ours}
        shown = [(cause, all_of, _first(all_of, reports)) for cause, all_of in here.items()]
        if any(report is not None for *_, report in shown):
            reporter.write_sep("=", title)
        for cause, all_of, report in shown:
            if report is not None:
                _write_block(reporter, cause, all_of, report)


def _first(scenarios: Sequence[Record], reports: Mapping[str, pytest.TestReport]) -> pytest.TestReport | None:
    return next((reports[key_of(s)] for s in scenarios if key_of(s) in reports), None)


def _write_block(
    reporter: TerminalReporter, cause: Cause, scenarios: Sequence[Record], report: pytest.TestReport
) -> None:
    told = told_of(report)
    shown = told.key if told is not None else report.nodeid
    reporter.write_sep("_", f"{counted(len(scenarios), 'scenario')} {cause.verdict}", red=True, bold=True)
    reporter.write_line(shown, bold=True)
    # Not longreprtext, which begins with the worker: that says nothing here.
    reporter.write_line(str(report.longrepr))
    for name, content in report.sections:
        reporter.write_sep("-", name.removeprefix("Captured ").removesuffix(" call"))
        reporter.write_line(content.rstrip())
    others = [str(s["id"]) for s in scenarios if key_of(s) != shown]
    if others:
        reporter.write_line("")
        _write_ids(reporter, f"The same in {len(others)} more:", others)


def _write_ids(reporter: TerminalReporter, head: str, ids: Sequence[str]) -> None:
    named = [*ids[:_NAMED], *([f"and {len(ids) - _NAMED} more, listed below"] if len(ids) > _NAMED else [])]
    width = max(40, reporter._tw.fullwidth - 1)
    text = f"{head} {', '.join(named)}"
    # An id is copied from here: it is never cut.
    for line in textwrap.wrap(
        text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    ):
        reporter.write_line(line)


def _write_lines(
    reporter: TerminalReporter, steps: Mapping[tuple[int, str], Sequence[Record]], found: Causes
) -> None:
    """The node id and the reason of each, in one line that no width cuts: logs are searched."""
    told = {
        cause: all_of
        for cause, all_of in found.items()
        if ("E" if cause.verdict == Verdict.ERROR else "f") in reporter.reportchars
    }
    if not told:
        return
    if not any(reporter.stats.get(name) for name, letter in _OURS.items() if letter in reporter.reportchars):
        reporter.write_sep("=", "short test summary info", cyan=True, bold=True)
    for cause, all_of in told.items():
        unrun = [s for s in all_of if str(s.get("reason")).startswith(NOT_RUN)]
        if unrun:
            reporter.write(cause.verdict.upper(), red=True)
            reason = " ".join(str(unrun[0]["reason"]).split())
            reporter.write_line(f" {counted(len(unrun), 'scenario')} - {reason}")
        for scenario in (s for s in all_of if s not in unrun):
            reason = reason_first(scenario, steps.get((scenario["order"], scenario["id"]), []))
            reporter.write(cause.verdict.upper(), red=True)
            reporter.write_line(f" {key_of(scenario)} - {' '.join(reason.split())}")
