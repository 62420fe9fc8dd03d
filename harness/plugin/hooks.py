# SPDX-License-Identifier: Apache-2.0
"""The pytest plugin (entry point ``kshs``): scenario files are collected, verdicts become outcomes.

passed and skipped are pytest's own.  failed, crashed and hung are failures.  error, that is a
failure of our own infrastructure, is a pytest *error*: never a failure of the driver.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Generator, Sequence
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.plugin import hookspecs as plugin_hooks
from harness.plugin import resuming
from harness.plugin.finishing import finish, put_away, tell_unrun, without_idle_hypothesis
from harness.plugin.fixtures import agent, guest, handshake, kshs_runner, target, uses_guest
from harness.plugin.items import ScenarioFile, ScenarioItem, is_scenario_file
from harness.plugin.junit_file import JunitFile
from harness.plugin.junit_messages import NAME as JUNIT
from harness.plugin.junit_messages import JunitMessages
from harness.plugin.observation import NAME as OBSERVER
from harness.plugin.refusal import refuse
from harness.plugin.report_words import as_told, is_scenario
from harness.plugin.report_words import claim as claim_report
from harness.plugin.reports import error_report, guest_test_report, scenario_report
from harness.plugin.run_log import keep_apart
from harness.plugin.state import INFRASTRUCTURE, STATE, PluginState
from harness.plugin.terminal import RunSummary, TerminalSummary
from harness.plugin.workers import XdistHooks, bound_restarts, tell_lost_groups
from harness.progress import Progress
from harness.results.folder import claim, release
from harness.verdict import Verdict

__all__ = ["agent", "guest", "handshake", "kshs_runner", "target"]

_WORDS = {Verdict.CRASHED.value: ("C", "CRASHED"), Verdict.HUNG.value: ("H", "HUNG")}

_LOG = logging.getLogger(__name__)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options; kshs.toml has their defaults."""
    group = parser.getgroup("kshs", "KS handshake harness")
    group.addoption("--kshs-config", metavar="FILE", help="settings (default: kshs.toml, where it is)")
    group.addoption("--kshs-guest", metavar="NAME", help="recipe of the guest (default: wine)")
    group.addoption(
        "--kshs-target", metavar="NAME|FILE", help="driver under test (default: avshs, the sample)"
    )
    group.addoption(
        "--kshs-out", metavar="DIR", help="write results.jsonl and report.html there (default: nowhere)"
    )
    group.addoption(
        "--kshs-drivers", metavar="DIR", help="build these C sources instead of the installed ones"
    )
    group.addoption(
        "--kshs-coverage", action="store_true", help="count which lines of drivers each scenario reaches"
    )
    group.addoption(
        "--kshs-coverage-of", metavar="MODULE", action="append", help="and of this module, say ntoskrnl.exe"
    )
    group.addoption("--kshs-sources", metavar="DIR", action="append", help="sources of drivers, for coverage")
    group.addoption("--kshs-symbols", metavar="DIR", action="append", help="PDBs of drivers, for coverage")
    group.addoption("--kshs-command", metavar="TEXT", help="the command line for the report")
    group.addoption(
        "--kshs-no-report", action="store_true", help="no report.html; `kshs report DIR` makes it at any time"
    )


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Ours."""
    pluginmanager.add_hookspecs(plugin_hooks)


def pytest_configure(config: pytest.Config) -> None:
    """State; wrong settings, targets and guests are told before anything else is done."""
    try:
        state = config.stash[STATE] = PluginState(config)
        if config.getoption("kshs_target", default=None):
            state.provider.target()
        if config.getoption("kshs_guest", default=None):
            state.guests.check_guest()
        for kind in ("sources", "symbols"):
            state.options.folders(kind)
    except UsageError as error:
        raise refuse(config, error) from None
    if not state.is_worker and not config.pluginmanager.hasplugin(OBSERVER):
        config.pluginmanager.register(state.observer, OBSERVER)
    if not state.is_worker:
        config.pluginmanager.register(TerminalSummary(), "kshs-terminal")
        config.pluginmanager.register(RunSummary(), "kshs-summary")
        if state.call is not None and not state.options.only_lists:
            config.pluginmanager.register(resuming.TestParts(state, state.observer), "kshs-tests")
        if config.pluginmanager.hasplugin("junitxml"):
            config.pluginmanager.register(JunitMessages(config), JUNIT)
    if config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(XdistHooks(_prepare), "kshs-xdist")
        bound_restarts(config)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """A folder of earlier results is held from here on; ``kshs run`` has claimed it already."""
    keep_apart(session.config)
    state = session.config.stash[STATE]
    if not state.is_worker and not state.options.only_lists and state.out is not None and state.out.is_dir():
        try:
            claim(state.out)
        except UsageError as error:
            raise refuse(session.config, error) from None


def pytest_unconfigure(config: pytest.Config) -> None:
    """Everything is given back, whatever happened."""
    state = config.stash.get(STATE, None)
    if state is not None:
        state.close()
        if state.out is not None:
            release(state.out)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> ScenarioFile | None:
    """Scenario files; see `is_scenario_file` for which they are."""
    session = parent.session
    chosen, named = session.isinitpath(file_path), session.isinitpath(file_path.parent)
    if is_scenario_file(file_path, chosen=chosen, named=named):
        return ScenarioFile.of(parent, file_path)
    return None


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Generator[None, None, None]:
    """Remembers the order before anybody selects: results are merged in it."""
    for order, item in enumerate(items):
        if isinstance(item, ScenarioItem):
            item.order = order
    yield
    config.stash[STATE].selected = True
    tell_lost_groups(config, items)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """The long work, once, where people can watch it; xdist's controller has its own place for it.

    Not where pytest is about to give up: for a wrong selection, or a file that could not be read.
    """
    state = session.config.stash[STATE]
    given_up = session.testsfailed and not session.config.option.continue_on_collection_errors
    ready = state.selected and not given_up
    if ready and session.items and not state.options.only_lists:
        _select(session.config, session.items)
    wanted = ready and any(isinstance(item, ScenarioItem) for item in session.items)
    if wanted:
        # Items live to the end: the collector, which pefile and pytest call in full, may pass them over.
        gc.freeze()
    if wanted and not state.is_worker and not state.options.only_lists:
        _prepare(session.config, [item.nodeid for item in session.items])


def _select(config: pytest.Config, items: list[pytest.Item]) -> None:
    state = config.stash[STATE]
    try:
        if not state.is_worker:
            resuming.begin(state)
        resuming.select(state, items)
    except UsageError as error:
        raise refuse(config, error) from None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """What needs a guest runs once, and only while there are guests.

    Tells a scenario which one comes after it, so that it can be sent ahead.
    """
    scenario = isinstance(item, ScenarioItem)
    state = item.config.stash[STATE]
    if isinstance(item, ScenarioItem) and item.kept is not None:
        return None
    if item.nodeid in state.earlier.tests and not state.options.only_lists:
        resuming.replay(item, state.earlier.tests[item.nodeid])
        return True
    if not (scenario or uses_guest(item)) or state.options.only_lists:
        return None
    if not state.may_run(item.nodeid):
        return True
    if isinstance(item, ScenarioItem):
        following = nextitem if isinstance(nextitem, ScenarioItem) and nextitem.kept is None else None
        item.upcoming = following
        item.begin()
    return None


def _prepare(config: pytest.Config, nodeids: Sequence[str]) -> None:
    """What is done once before the first scenario; nothing where all of them have ended already."""
    state = config.stash[STATE]
    try:
        said = resuming.refused_by_workers(state)
        if said is not None:
            raise UsageError(said)
        if not resuming.is_left(state, nodeids):
            return
        with Progress() as progress:
            state.guests.prepare(progress.say)
        resuming.check_facts(state)
    except UsageError as error:
        raise refuse(config, error) from None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """What an item executes in its guest is its own, where that is counted."""
    recorder = item.config.stash[STATE].guests.recorder
    kept = isinstance(item, ScenarioItem) and item.kept is not None
    if recorder is None or kept or not (isinstance(item, ScenarioItem) or uses_guest(item)):
        return (yield)
    recorder.begin()
    try:
        return (yield)
    finally:
        if isinstance(item, ScenarioItem):
            recorder.end(file=item.file, name=item.scenario.id, scenario=True)
        else:
            recorder.end(file="", name=item.nodeid, scenario=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Failures of our infrastructure become errors, whichever phase they come from.

    A mark hides none of them, and what a scenario showed of a driver is no mark's to change.
    """
    made = yield
    if call.excinfo is not None and isinstance(call.excinfo.value, INFRASTRUCTURE):
        _LOG.error("%s, %s", item.nodeid, call.when, exc_info=call.excinfo.value)
    if isinstance(item, ScenarioItem):
        return scenario_report(item, call, made)
    if uses_guest(item):
        claim_report(made)
    if call.excinfo is not None and isinstance(call.excinfo.value, INFRASTRUCTURE):
        return error_report(made, str(call.excinfo.value))
    return guest_test_report(item, call, made) if uses_guest(item) else made


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Before it goes to anybody."""
    as_told(report)


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Letters and words for crashed and hung; they count as failed.  A worker's death is an error."""
    if str(report.when) == "???" and is_scenario(report):  # xdist's word for what a worker had in hand
        return "error", "E", "ERROR"
    if report.when != "call" or not report.failed:
        return None
    verdict = dict(report.user_properties).get("verdict")
    if verdict not in _WORDS:
        return None
    letter, word = _WORDS[str(verdict)]
    return "failed", letter, word


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_sessionfinish(
    session: pytest.Session, exitstatus: int | pytest.ExitCode
) -> Generator[None, None, None]:
    """Closes the lease; the controller merges what all processes left, and sees that all of it agrees."""
    state = session.config.stash[STATE]
    if state.is_worker:
        yield
        state.close()
        return
    without_idle_hypothesis(session.config)
    junit = JunitFile(session.config, state.out)
    junit.set_aside()
    try:
        tell_unrun(session)
        yield
    finally:
        # Inside of the terminal's wrapper: it shows what comes of this.
        finish(session)
        try:
            junit.put_in_place(ran=state.observer.ran and bool(state.observer.items))
        finally:
            put_away(session)


def pytest_report_header(config: pytest.Config) -> str | None:
    """Which guest and target, when somebody asked for one."""
    if not (config.getoption("kshs_target", default=None) or config.getoption("kshs_guest", default=None)):
        return None
    state = config.stash[STATE]
    return f"kshs: target {state.target_name}, guest {state.guest_name}"
