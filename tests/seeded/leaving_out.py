# SPDX-License-Identifier: Apache-2.0
"""``--leave-out-unchanged``: pytest's hooks for `tests.seeded.unchanged`."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import platformdirs
import pytest

from tests.seeded.unchanged import Known
from vm.words import counted

OPTION = "--leave-out-unchanged"
_TOLD = "seeded_known"
_LEFT_OUT = "seeded_left_out"


def folder() -> Path:
    """Of the records of what passed on this machine."""
    return platformdirs.user_cache_path("kshs") / "tests" / "passed"


def add_option(parser: pytest.Parser) -> None:
    parser.addoption(
        OPTION,
        action="store_true",
        help="leave out the seeded defects that nothing since they were last caught can have touched",
    )


class Hooks:
    """Decides once in a session, in the controller where there are workers; see the module above."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._told: dict[str, Any] | None = getattr(config, "workerinput", {}).get(_TOLD)
        self._passed: list[str] = []
        self._left_out = 0

    @functools.cached_property
    def _known(self) -> Known:
        if self._told is None:
            return Known.of_this_machine(folder())
        told = self._told
        return Known(told["digest"], told["same_as_main"], frozenset(told["records"]))

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Workers that looked for themselves, one after the other, could collect different tests."""
        known = self._known
        node.workerinput[_TOLD] = {
            "digest": known.digest,
            "same_as_main": known.same_as_main,
            "records": sorted(known.records),
        }

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self._left_out = max(self._left_out, getattr(node, "workeroutput", {}).get(_LEFT_OUT, 0))

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        if not config.getoption(OPTION):
            return
        seeded = [item for item in items if item.get_closest_marker("seeded")]
        left = [
            item
            for item in seeded
            if not item.get_closest_marker("representative") and self._known.needless(item.nodeid)
        ]
        if left:
            items[:] = [item for item in items if item not in left]
            config.hook.pytest_deselected(items=left)
            self._left_out = len(left)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
        report = yield
        if report.when == "call" and report.passed and item.get_closest_marker("seeded"):
            self._passed.append(item.nodeid)
        return report

    def pytest_sessionfinish(self) -> None:
        if self._passed:
            self._known.write_down(folder(), self._passed)
        if hasattr(self._config, "workeroutput"):
            self._config.workeroutput[_LEFT_OUT] = self._left_out

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._left_out:
            terminalreporter.write_line(
                f"left out: {counted(self._left_out, 'test')} of seeded defects, since nothing that they"
                " depend on has changed since they passed; all of them run with: make test-all"
            )
