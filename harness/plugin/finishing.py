# SPDX-License-Identifier: Apache-2.0
"""The end of a session: results and report written, and an exit status that is no better than any of them."""

from __future__ import annotations

import contextlib
import logging
import shlex
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from harness.plugin import coverage
from harness.plugin.junit_messages import NAME as JUNIT
from harness.plugin.junit_messages import JunitMessages
from harness.plugin.report_words import is_scenario_id
from harness.plugin.state import STATE, PluginState
from harness.results import report
from harness.results.folder import RESULTS, remove_left
from harness.verdict import Verdict, worst
from vm.words import counted

#: Seconds for ending the last guest; what is left of it then is the reaper's.
_CLOSING = 60.0
_LOG = logging.getLogger(__name__)
_OK, _FAILED = pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED


def finish(session: pytest.Session) -> None:
    """What the controller does at the end of a session."""
    state = session.config.stash[STATE]
    state.interrupted = state.observer.interrupted
    records = None
    with _forgiving(session):
        records = state.finish()
    state.shortfall = _shortfall(state)
    if records is not None and state.out is not None:
        _write_coverage(session, state, records)
    # Ending the guest is mostly waiting for the hypervisor, and the report needs no guest.
    closing = threading.Thread(target=state.close, name="kshs-close", daemon=True)
    closing.start()
    try:
        if records is not None and state.out is not None:
            if not session.config.getoption("kshs_no_report"):
                with _forgiving(session):
                    report.write(records, state.out / "report.html")
            remove_left(state.out, state.folder.path)
    finally:
        closing.join(_CLOSING)
    _agree(session, state)


def without_idle_hypothesis(config: pytest.Config) -> None:
    """Takes Hypothesis's plugin out of the end of a session in which nothing has imported Hypothesis.

    Its part of the summary would import all of it to find nothing to say, which takes longer than many a
    scenario (findings/hypothesis-imported-at-end.sh).
    """
    plugin = config.pluginmanager.get_plugin("hypothesispytest")
    if plugin is not None and "hypothesis" not in sys.modules:
        config.pluginmanager.unregister(plugin)


def tell_unrun(session: pytest.Session) -> None:
    """Before junit.xml is written: what was selected and could not run, where no guest can be had."""
    state = session.config.stash[STATE]
    junit: JunitMessages | None = session.config.pluginmanager.get_plugin(JUNIT)
    latched = state.folder.latched
    if junit is not None and latched is not None and state.observer.items:
        junit.add_unrun(filter(is_scenario_id, state.observer.missing()), latched)


def put_away(session: pytest.Session) -> None:
    """The folder of the parts goes, but where another session can go on with the run."""
    state = session.config.stash[STATE]
    if state.can_go_on and not session.shouldfail:
        state.folder.close()
    else:
        state.folder.remove()


def told_at_the_end(state: PluginState) -> Iterator[str]:
    """What is wrong with the run as a whole, a line each."""
    latched = state.folder.latched
    if latched is not None and not any(
        latched in (item.reason or "") for item in state.observer.items.values()
    ):
        yield latched
    if state.log_of_no_run is not None:
        yield f"what was done until then: {state.log_of_no_run}"
    for text in (state.problem, state.observer.problem):
        if text is not None:
            yield text
    if state.shortfall is not None and (state.records or latched is not None or state.interrupted):
        yield state.shortfall
    if state.can_go_on and state.out is not None:
        yield f"kshs run --resume {shlex.quote(str(state.out))} goes on with this run"
    again = [record for record in state.records or () if record["kind"] == "run"]
    count = len(again[0].get("handed_out_again", ())) if again else 0
    if count:
        what = "was" if count == 1 else "were"
        yield f"{counted(count, 'item')} {what} handed out more than once, and ran once"


def _shortfall(state: PluginState) -> str | None:
    """What has not run; what was in flight when somebody pressed Ctrl-C is named as that."""
    if not state.interrupted:
        return state.observer.shortfall()
    flying = [
        str(record["id"])
        for record in state.records or ()
        if record["kind"] == "scenario" and str(record.get("reason")).startswith("interrupted ")
    ]
    words = "it counts" if len(flying) == 1 else "they count"
    more = f"in flight: {', '.join(flying)} ({words} as error: nothing is known of the driver)"
    said = state.observer.shortfall([more] if flying else [])
    return f"interrupted: {said}" if said else None


def _agree(session: pytest.Session, state: PluginState) -> None:
    """pytest's exit status from what was recorded, too: the worse of the two."""
    observer = state.observer
    if not observer.ran:
        return
    kept = observer.recorded
    recorded = [verdict for verdict in Verdict if kept is not None and kept[verdict.value]]
    known = worst([*recorded, *observer.verdicts])
    if session.exitstatus not in (_OK, _FAILED):
        return
    if known.is_driver_fault or (known is Verdict.ERROR and session.exitstatus == _OK):
        session.exitstatus = _FAILED
    elif session.exitstatus == _OK and (state.folder.latched is not None or observer.problem is not None):
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
    elif session.exitstatus == _OK and state.shortfall is not None and observer.scenarios:
        session.exitstatus = pytest.ExitCode.INTERRUPTED  # pytest.exit() may say 0


def _write_coverage(session: pytest.Session, state: PluginState, records: list[dict[str, Any]]) -> None:
    """What cannot be told of coverage makes the run an error; its results stay as they are."""
    try:
        coverage.write(state, records)
    except Exception as error:  # whatever it is, verdicts do not depend on it
        _LOG.error("no coverage", exc_info=error)
        state.problem = state.problem or f"the coverage cannot be told: {error}"
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
        if state.out is not None:
            coverage.remove(state.out)  # an earlier run's would pass for this one's


@contextlib.contextmanager
def _forgiving(session: pytest.Session) -> Iterator[None]:
    """Results that cannot be written make the run an error, and hide nothing that is known."""
    try:
        yield
    except Exception as error:  # whatever it is, what is known of the drivers is shown all the same
        state = session.config.stash[STATE]
        state.problem = f"the results cannot be written: {error}"
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
        if state.out is not None:
            # An earlier run's would pass for this one's.
            for name in RESULTS:
                with contextlib.suppress(OSError):
                    (state.out / name).unlink(missing_ok=True)
