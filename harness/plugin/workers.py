# SPDX-License-Identifier: Apache-2.0
"""pytest-xdist: what the controller does for its workers, and what becomes of an item that killed one."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Sequence
from typing import Any

import pytest

from harness.plugin import resuming
from harness.plugin.report_words import is_rerun, is_scenario, is_scenario_id
from harness.plugin.state import STATE
from vm.words import counted

#: Workers that are replaced in a session for which nobody, and no number of workers, sets a limit.
_RESTARTS = 8


class XdistHooks:
    """Hooks of xdist's controller.

    Args:
        prepare: the long work before the first scenario.
    """

    def __init__(self, prepare: Callable[[pytest.Config, Sequence[str]], None]) -> None:
        self._prepare = prepare

    def pytest_configure_node(self, node: Any) -> None:
        """Tells a worker where its parts of the results go."""
        node.config.stash[STATE].tell_worker(node.workerinput)

    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        """Nothing is given to workers before this returns, so the long work is done here, once."""
        state = node.config.stash[STATE]
        if ids and not state.options.only_lists:
            resuming.begin(state)
        if any(map(is_scenario_id, ids)) and not state.options.only_lists:
            self._prepare(node.config, ids)

    @pytest.hookimpl(wrapper=True)
    def pytest_xdist_make_scheduler(self) -> Generator[None, Any, Any]:
        """A new worker is given two units of work, as the first ones were.

        xdist 3.8 gives one to the worker that replaces one that died, and a worker runs its last item only
        when it is told of another one: with ``--dist loadgroup`` the session then waits for ever.
        """
        from xdist.scheduler import LoadScopeScheduling  # a session without workers needs none of it

        made = yield
        if isinstance(made, LoadScopeScheduling):
            schedule = made.schedule

            def twice() -> None:
                later = made.collection is not None
                schedule()
                if later:
                    schedule()

            made.schedule = twice
        return made

    @pytest.hookimpl(trylast=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport) -> None:
        """It killed its worker: an error, and not tried again, whatever another plugin had in mind."""
        if is_scenario(report) and is_rerun(report):
            report.outcome = "failed"


def bound_restarts(config: pytest.Config) -> None:
    """xdist bounds them by the number of workers alone, and where that is not given not at all."""
    option = config.option
    if getattr(option, "maxworkerrestart", "") is None and not getattr(option, "numprocesses", None):
        option.maxworkerrestart = str(_RESTARTS)


def tell_lost_groups(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """xdist writes the name of a group into the node id, which some versions of pytest do not let it do."""
    if not getattr(config.option, "loadgroup", False):
        return
    grouped = [item for item in items if item.get_closest_marker("xdist_group") is not None]
    lost = [item for item in grouped if "@" not in item.nodeid.rpartition("::")[2]]
    if lost:
        text = (
            f"--dist loadgroup: the groups of {counted(len(lost), 'item')} are lost, as pytest"
            f" {pytest.__version__} takes no notice of them: put what belongs together into one file and use"
            " --dist loadfile"
        )
        warnings.warn(pytest.PytestWarning(text), stacklevel=1)
