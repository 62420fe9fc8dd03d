# SPDX-License-Identifier: Apache-2.0
"""A run that another session can go on with: what is written down for that, and what is not run again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.plugin.fixtures import uses_guest
from harness.plugin.items import ScenarioItem
from harness.plugin.observation import Item, Observer
from harness.plugin.report_words import blame_driver, claim, is_scenario_id
from harness.plugin.state import PluginState
from harness.results.parts import TEST_BEGUN
from harness.results.record import begun_record
from harness.results.run_files import (
    BegunRun,
    SelectedItem,
    read_facts,
    write_facts,
    write_items,
    write_run,
)
from harness.verdict import Verdict
from vm.files import digest_of, write_whole
from vm.words import counted

_NAMED = 3
_ANEW = "what has ended and what is left would not be of one run; start it anew: kshs run --out DIR"
_FACTS = {
    "target_digest": "the target package",
    "image": "the guest image",
    "build": "the build of our drivers",
}


def select(state: PluginState, items: Sequence[pytest.Item]) -> None:
    """Writes down what was selected; in a later session compares it, and marks what has ended.

    Called in each process that has items, once they are selected.  A worker leaves what is wrong to the
    controller (`refused_by_workers`).

    Raises:
        UsageError: it is not what the run had selected, or a file of the run is damaged.
    """
    ours = state.call is not None or state.is_worker or any(map(_is_ours, items))
    if not items or state.out is None or not ours:
        return
    try:
        _select(state, items)
    except UsageError as error:
        if not state.is_worker:
            raise
        write_whole(state.folder.make() / _refused(state), str(error))


def refused_by_workers(state: PluginState) -> str | None:
    """What the workers found wrong with what was selected; all of them have selected the same."""
    path = state.folder.path
    if path is not None and (path / _refused(state)).exists():
        return (path / _refused(state)).read_text(encoding="utf-8")
    return None


def _refused(state: PluginState) -> str:
    return f"refused-{state.folder.session}"


def _select(state: PluginState, items: Sequence[pytest.Item]) -> None:
    chosen = [_selected(item) for item in items]
    if state.folder.session == 1:
        write_items(state.folder.make(), chosen)
        return
    earlier = state.earlier
    if earlier.items is None:
        write_items(state.folder.make(), chosen)
    else:
        _compare(earlier.items, {item.key: item for item in chosen})
    for item in items:
        if isinstance(item, ScenarioItem):
            item.kept = earlier.kept.get(_key(item))
            item.attempts = list(earlier.tried.get(_key(item), ())) if item.kept is None else []


def begin(state: PluginState) -> None:
    """Writes down the run, in the process that the user has started, before anything of it is sent."""
    if state.out is None or state.call is None or state.folder.session > 1:
        return
    import harness

    run = BegunRun(
        schema=1,
        id=state.run.id,
        started=state.run.session_started,
        version=harness.version(),
        directory=str(Path.cwd()),
        call=dict(state.call.options),
    )
    write_run(state.folder.make(), run)


def check_facts(state: PluginState) -> None:
    """Writes down what the run is about to run on, or compares it with what it ran on before.

    Raises:
        UsageError: the target package, the guest image or the build is another one.
    """
    path = state.folder.path
    if path is None or state.call is None or state.folder.latched is not None:
        return
    host = state.provider.host()
    now = {"target_digest": state.provider.target_digest(), "image": host.get("image")}
    now["build"] = host.get("build")
    before = read_facts(path) if state.folder.session > 1 else None
    if before is None:
        write_facts(path, now)
        return
    for name, words in _FACTS.items():
        if before.get(name) != now[name]:
            raise UsageError(f"{words} has changed since the run began", where=str(state.out), hint=_ANEW)


def is_left(state: PluginState, nodeids: Iterable[str]) -> bool:
    """Whether any scenario among these is to be run."""
    kept = state.earlier.kept
    return any(is_scenario_id(nodeid) and _plain(nodeid) not in kept for nodeid in nodeids)


def replay(item: pytest.Item, record: Mapping[str, Any]) -> None:
    """Tells the reports of a test in Python that has ended in an earlier session."""
    verdict, reason = Verdict(record["verdict"]), str(record.get("reason") or "")
    hook, where = item.ihook, item.location
    hook.pytest_runtest_logstart(nodeid=item.nodeid, location=where)
    for report in _reports(item, verdict, str(record.get("traceback") or reason), reason):
        if record.get("ours"):
            claim(report)
        if report.when == "call":
            report.sections = [(r["title"], r["text"]) for r in record.get("requests") or ()]
        hook.pytest_runtest_logreport(report=report)
    hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=where)


class TestParts:
    """A plugin of the session's process: keeps what has become of tests in Python as soon as it is known.

    Args:
        state: of that process.
        observer: which hears of everything.
    """

    __test__ = False

    def __init__(self, state: PluginState, observer: Observer) -> None:
        self._state = state
        self._observer = observer

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """It is about to run."""
        if self._is_new(nodeid):
            self._state.folder.test_writer.write({"kind": TEST_BEGUN, "id": nodeid})

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """It has ended, durably."""
        item = self._observer.items.get(nodeid)
        if self._is_new(nodeid) and item is not None and item.verdict is not None:
            self._state.folder.test_writer.write(_record(item))
            self._state.folder.test_writer.sync()

    def _is_new(self, nodeid: str) -> bool:
        return not is_scenario_id(nodeid) and nodeid not in self._state.earlier.tests


def _record(item: Item) -> dict[str, Any]:
    return {**item.record(), "ours": item.ours}


def _reports(item: pytest.Item, verdict: Verdict, text: str, reason: str) -> Iterable[pytest.TestReport]:
    phase = {Verdict.ERROR: "setup", Verdict.SKIPPED: "setup"}.get(verdict, "call")
    for when in ("setup", "call", "teardown"):
        if when == "call" and phase == "setup":
            continue
        outcome: Any = "passed"
        told: Any = None
        if when == phase and verdict is Verdict.SKIPPED:
            outcome, told = "skipped", (str(item.path), item.location[1], reason)
        elif when == phase and verdict is not Verdict.PASSED:
            outcome, told = "failed", text
        report = pytest.TestReport(item.nodeid, item.location, {}, outcome, told, when)
        if when == phase and verdict.is_driver_fault:
            blame_driver(report)
        yield report


def _is_ours(item: pytest.Item) -> bool:
    return isinstance(item, ScenarioItem) or uses_guest(item)


def _selected(item: pytest.Item) -> SelectedItem:
    if isinstance(item, ScenarioItem):
        known = begun_record(item.blank(), order=item.order, worker="")
        digest = digest_of(item.scenario.model_dump(mode="json"))
        return SelectedItem(key=_key(item), digest=digest, scenario=known)
    try:
        digest = hashlib.sha256(item.path.read_bytes()).hexdigest()
    except OSError:  # of another plugin's making
        digest = ""
    return SelectedItem(key=item.nodeid, digest=digest)


def _key(item: ScenarioItem) -> str:
    return f"{item.file}::{item.scenario.id}"


def _plain(nodeid: str) -> str:
    head, separator, name = nodeid.rpartition("::")
    return f"{head}{separator}{name.partition('@')[0]}"


def _compare(before: Mapping[str, SelectedItem], now: Mapping[str, SelectedItem]) -> None:
    gone = [key for key in before if key not in now]
    new = [key for key in now if key not in before]
    changed = [key for key, item in before.items() if key in now and now[key].digest != item.digest]
    for keys, what in ((changed, "has changed"), (gone, "is gone"), (new, "is new")):
        if keys:
            named = ", ".join(keys[:_NAMED])
            more = f" and {counted(len(keys) - _NAMED, 'other')}" if len(keys) > _NAMED else ""
            raise UsageError(f"{what} since the run began", where=f"{named}{more}", hint=_ANEW)
