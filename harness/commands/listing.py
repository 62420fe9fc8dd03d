# SPDX-License-Identifier: Apache-2.0
"""``kshs list``: what a run with the same words would select; nothing is run, built, written or removed."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from harness import config as settings
from harness.commands.options import (
    ConfigOption,
    IdOption,
    KeywordOption,
    RouteOption,
    RuleOption,
    TagOption,
    console,
)
from harness.errors import UsageError
from vm.words import counted

if TYPE_CHECKING:
    import pytest


def list_scenarios(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PATHS",
            help="Scenario files, directories, Python tests.",
            show_default="run.scenarios, else the catalogue",
        ),
    ] = None,
    rule: RuleOption = None,
    route: RouteOption = None,
    tag: TagOption = None,
    id_: IdOption = None,
    keyword: KeywordOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: a list of objects.")] = False,
    config: ConfigOption = None,
) -> None:
    """Lists what run would select, with the same filters.

    Nothing is run, built, written or removed.
    """
    from harness.commands.run import Selection

    selection = Selection(
        paths=tuple(paths or ()),
        keyword=keyword,
        rules=tuple(rule or ()),
        routes=tuple(route or ()),
        tags=tuple(tag or ()),
        ids=tuple(id_ or ()),
        config=config,
    )
    found = collect(selection, settings.load(config))
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("id", "rules", "routes", "tags", "title"):
        table.add_column(heading, no_wrap=heading == "id", overflow="fold")
    for entry in found:
        words = (" ".join(entry[key]) for key in ("rules", "routes", "tags"))
        table.add_row(entry["id"], *words, entry["title"])
    console().print(table)
    console().print(counted(len(found), "item"))


def collect(selection: Any, config: settings.Config) -> list[dict[str, Any]]:
    """What pytest collects for a selection, in its order.

    Raises:
        UsageError: nothing is selected, a word is wrong, or a file cannot be read.
    """
    import pytest

    from harness.commands.front import call_pytest
    from harness.commands.run import collection_arguments

    seen, said = _Collected(), io.StringIO()
    words = ["--collect-only", *collection_arguments(selection, config)]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        code = call_pytest(words, [seen])
    if seen.errors:
        raise UsageError("\n".join(seen.errors))
    complaint = said.getvalue().strip().removeprefix("kshs: ")
    if complaint and code != pytest.ExitCode.OK:
        raise UsageError(complaint)
    if not seen.items:
        raise UsageError("nothing was selected", hint="look at -k and the paths")
    return [_entry(item) for item in seen.items]


class _Collected:
    """What there is at the end of the collection, and what could not be collected."""

    def __init__(self) -> None:
        self.items: list[pytest.Item] = []
        self.errors: list[str] = []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that could not be read; of a traceback its last line."""
        if report.failed:
            text = str(report.longrepr).strip()
            lines = text.splitlines() or ["cannot be collected"]
            self.errors += (
                lines if report.nodeid.lower().endswith(".toml") else [f"{report.nodeid}: {lines[-1]}"]
            )

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """All that is left after the selection."""
        self.items = list(session.items)


def _entry(item: pytest.Item) -> dict[str, Any]:
    from harness.plugin.items import ScenarioItem
    from harness.plugin.selection import describe

    facts = describe(item)
    file, line, _ = item.location
    return {
        "id": facts.id,
        "kind": "scenario" if isinstance(item, ScenarioItem) else "test",
        "title": item.scenario.title if isinstance(item, ScenarioItem) else item.nodeid,
        "rules": list(facts.rules),
        "routes": list(facts.routes),
        "tags": list(facts.tags),
        "file": file,
        "line": (line or 0) + 1,
    }
