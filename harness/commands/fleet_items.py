# SPDX-License-Identifier: Apache-2.0
"""What a selection holds, item by item, for a run on other hosts; nothing is run."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.fleet.staging import FoundItem

if TYPE_CHECKING:
    import pytest

    from harness import config as settings
    from harness.commands.run import Selection

#: Seconds that an item is expected to take of which nothing is known.
_UNKNOWN = 0.5


@dataclass
class Collected:
    """`ours`: whether guests come from `vm`; `target` is the target in the record of a run."""

    items: list[FoundItem] = field(default_factory=list)
    ours: bool = True
    target: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    selection: str | None = None


def timed(found: Collected, seconds: Mapping[str, float]) -> Collected:
    """With how long scenarios took, by their keys in the store."""
    items = [
        replace(one, seconds=seconds.get(f"{one.path.name}::{one.name}") or one.seconds)
        if one.scenario
        else one
        for one in found.items
    ]
    return replace(found, items=items)


def collect(selection: Selection, config: settings.Config) -> Collected:
    """What pytest collects, in its order; how long it takes is not known (`timed`).

    Raises:
        UsageError: nothing is selected, a word is wrong, or a file cannot be read.
    """
    import pytest

    from harness.commands.front import call_pytest
    from harness.commands.run import collection_arguments

    if selection.pytest_args:
        raise UsageError("pytest's own arguments do not go to other hosts", where="--")
    looker, said = _Looker(), io.StringIO()
    words = ["--collect-only", "-q", *collection_arguments(selection, config)]
    words += [f"--kshs-target={selection.target or config.run.target}"]
    words += [f"--kshs-guest={selection.guest or config.run.guest}"]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        code = call_pytest(words, [looker])
    if looker.errors:
        raise UsageError("\n".join(looker.errors))
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise UsageError(said.getvalue().strip().removeprefix("kshs: ") or f"pytest ended with {code}")
    if not looker.found.items:
        raise UsageError(
            "nothing was selected", hint="look at -k and the paths; kshs list shows what there is"
        )
    return looker.found


class _Looker:
    """A plugin of the session that collects."""

    def __init__(self) -> None:
        self.found = Collected()
        self.errors: list[str] = []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that could not be read."""
        if report.failed:
            lines = str(report.longrepr).strip().splitlines() or ["cannot be collected"]
            toml = report.nodeid.lower().endswith(".toml")
            self.errors += lines if toml else [f"{report.nodeid}: {lines[-1]}"]

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """All that is left after the selection."""
        from harness.guests.provider import VmProvider
        from harness.plugin.state import STATE

        state = session.config.stash[STATE]
        self.found.ours = isinstance(state.guests.provider, VmProvider)
        self.found.target = state.guests.target_record()
        self.found.options = state.options.to_repeat()
        self.found.selection = state.options.selection
        self.found.items = [self._item(item) for item in session.items]

    def _item(self, item: pytest.Item) -> FoundItem:
        from harness.plugin.items import ScenarioItem
        from harness.results.record import begun_record

        if isinstance(item, ScenarioItem):
            begun = begun_record(item.blank(), order=item.order, worker="")
            key = f"{item.file}::{item.scenario.id}"
            return FoundItem(key, item.path.absolute(), item.scenario.id, begun, _UNKNOWN, True)
        name = item.nodeid.partition("::")[2]
        return FoundItem(item.nodeid, item.path.absolute(), name, {}, _UNKNOWN, False)
