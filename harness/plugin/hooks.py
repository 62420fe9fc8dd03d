# SPDX-License-Identifier: Apache-2.0
"""The pytest plugin (entry point ``kshs``): scenario files are collected, verdicts become outcomes.

passed and skipped are pytest's own.  failed, crashed and hung are failures.  error, that is a
failure of our own infrastructure, is a pytest *error*: never a failure of the driver.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import UsageError
from harness.plugin import hookspecs as plugin_hooks
from harness.plugin.fixtures import agent, guest, handshake, kshs_runner, target
from harness.plugin.items import ScenarioFailed, ScenarioFile, ScenarioItem, is_scenario_file
from harness.plugin.python_tests import is_scenario, is_scenario_id
from harness.plugin.state import INFRASTRUCTURE, STATE, PluginState, usage
from harness.progress import Progress
from harness.results import report
from harness.results.folder import RESULTS, claim, release
from harness.results.summary import lines as summary_lines
from harness.verdict import Verdict

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

__all__ = ["agent", "guest", "handshake", "kshs_runner", "target"]

_WORDS = {Verdict.CRASHED.value: ("C", "CRASHED"), Verdict.HUNG.value: ("H", "HUNG")}


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
    group.addoption("--kshs-command", metavar="TEXT", help="the command line for the report")


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
            state.check_guest()
    except UsageError as error:
        raise usage(error) from None
    if not state.is_worker:
        config.pluginmanager.register(state.python_tests, "kshs-python-tests")
        config.pluginmanager.register(state.what_ran, "kshs-what-ran")
    if config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(_XdistHooks(), "kshs-xdist")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """A folder of earlier results is ours from here on; ``kshs run`` has claimed it already."""
    state = session.config.stash[STATE]
    anew = not state.is_worker and not session.config.option.collectonly
    if anew and state.out is not None and state.out.is_dir():
        try:
            claim(state.out, RESULTS)
        except UsageError as error:
            raise usage(error) from None


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
        return ScenarioFile.from_parent(parent, path=file_path)
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


def pytest_collection_finish(session: pytest.Session) -> None:
    """The long work, once, where people can watch it; xdist's controller has its own place for it.

    Not where pytest is about to give up: for a wrong selection, or a file that could not be read.
    """
    state = session.config.stash[STATE]
    given_up = session.testsfailed and not session.config.option.continue_on_collection_errors
    ready = state.selected and not given_up
    wanted = ready and any(isinstance(item, ScenarioItem) for item in session.items)
    if wanted:
        # Items live to the end: the collector, which pefile and pytest call in full, may pass them over.
        gc.freeze()
    if wanted and not state.is_worker and not session.config.option.collectonly:
        _prepare(session.config)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Tells a scenario which one comes after it, so that it can be sent ahead."""
    if isinstance(item, ScenarioItem):
        item.upcoming = nextitem if isinstance(nextitem, ScenarioItem) else None


def _prepare(config: pytest.Config) -> None:
    state = config.stash[STATE]
    try:
        with Progress() as progress:
            state.prepare(progress.say)
    except UsageError as error:
        raise usage(error) from None


class _XdistHooks:
    """What xdist's controller does for its workers."""

    def pytest_configure_node(self, node: Any) -> None:
        """Tells a worker where its parts of the results go."""
        state = node.config.stash[STATE]
        node.workerinput["kshs_parts"] = str(state.parts)
        node.workerinput["kshs_run"] = state.run_id

    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        """Nothing is given to workers before this returns, so the long work is done here, once."""
        if any(map(is_scenario_id, ids)) and not node.config.option.collectonly:
            _prepare(node.config)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Failures of our infrastructure become errors, whichever phase they come from.

    A mark hides none of them, and what a scenario showed of a driver is no mark's to change.
    """
    made = yield
    if isinstance(item, ScenarioItem):
        return _of_scenario(item, call, made)
    if call.excinfo is None or not isinstance(call.excinfo.value, INFRASTRUCTURE):
        return made
    return _error(made, str(call.excinfo.value))


def _of_scenario(
    item: ScenarioItem, call: pytest.CallInfo[None], made: pytest.TestReport
) -> pytest.TestReport:
    """A scenario fails by its verdict alone: whatever else is raised is no driver's doing."""
    raised = call.excinfo.value if call.excinfo is not None else None
    made.__dict__.pop("wasxfail", None)
    if raised is None:
        made.outcome, made.longrepr = "passed", None
    elif isinstance(raised, pytest.skip.Exception | pytest.xfail.Exception):
        # The scenario's own verdict, or a mark's: that one is put on record.
        item.put_on_record(Verdict.SKIPPED, raised.msg or "no reason given")
        made.outcome = "skipped"
        if not isinstance(made.longrepr, tuple):
            made.longrepr = (str(item.path), item.line, raised.msg or "")
    elif isinstance(raised, ScenarioFailed):
        made.outcome = "failed"
    else:
        ours = isinstance(raised, INFRASTRUCTURE)
        text = str(raised) if ours else f"{type(raised).__name__}: {raised}"
        item.put_on_record(Verdict.ERROR, text)
        _error(made, text)
    made.user_properties = list(item.user_properties)
    return made


def _error(made: pytest.TestReport, text: str) -> pytest.TestReport:
    """One line: where in pytest or in kshs it came from helps nobody mend a host."""
    made.__dict__.pop("wasxfail", None)
    made.outcome = "failed"
    made.longrepr = text
    if made.when == "call":
        # pytest, JUnit and xdist call a failure outside of the call phase an error.
        made.when = "setup"
    return made


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


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int | pytest.ExitCode) -> None:
    """Closes the lease; the controller then merges what all processes left."""
    state = session.config.stash[STATE]
    if state.is_worker:
        state.close()
        return
    records = None
    state.interrupted = exitstatus == pytest.ExitCode.INTERRUPTED
    state.shortfall = state.what_ran.shortfall(session)
    if state.shortfall and exitstatus == pytest.ExitCode.OK and state.what_ran.scenarios_ended:
        session.exitstatus = pytest.ExitCode.INTERRUPTED  # pytest.exit() may say 0
    with _forgiving(session):
        records = state.merge()
    # Ending the guest is mostly waiting for the hypervisor, and the report needs no guest.
    closing = threading.Thread(target=state.close, name="kshs-close")
    closing.start()
    try:
        if records is not None and state.out is not None:
            with _forgiving(session):
                report.write(records, state.out / "report.html")
    finally:
        closing.join()


@contextmanager
def _forgiving(session: pytest.Session) -> Iterator[None]:
    """Results that cannot be written make the run an error, and hide nothing that is known."""
    try:
        yield
    except Exception as error:  # whatever it is, what is known of the drivers is shown all the same
        state = session.config.stash[STATE]
        state.problem = f"the results cannot be written: {error}"
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    """Counts by verdict, rule and route, reasons of skips, where the report is."""
    state = config.stash[STATE]
    if state.problem is not None:
        terminalreporter.write_line(f"kshs: {state.problem}", red=True)
    if state.shortfall is not None and state.records:
        terminalreporter.write_line(f"kshs: {state.shortfall}", red=True)
    if not state.records:
        return
    terminalreporter.section("kshs")
    for line in summary_lines(state.records):
        terminalreporter.write_line(line)
    if state.out is not None and state.problem is None:
        terminalreporter.write_line(f"report: {state.out / 'report.html'}")


def pytest_report_header(config: pytest.Config) -> str | None:
    """Which guest and target, when somebody asked for one."""
    if not (config.getoption("kshs_target", default=None) or config.getoption("kshs_guest", default=None)):
        return None
    state = config.stash[STATE]
    return f"kshs: target {state.target_name}, guest {state.guest_name}"
