# SPDX-License-Identifier: Apache-2.0
"""The table of kernel calls (drivers/data/calls-*.json) is what this host's Wine answers (calls/)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

import drivers.build
from drivers import imports, kernel_calls
from drivers.kernel_calls import Answer, Calls
from drivers.package import Package
from tests.component.kernel_calls import as_deployed, ask, names, package, wine_number

pytestmark = pytest.mark.component

TRIES = 4

#: How drivers pace themselves, and what becomes of it with Wine's own timers.
PACING = {
    "KeSetTimer: by the timer's own DPC": "wedges: every driver",
    "KeSetTimer: while the timer's DPC runs": "wedges: every driver",
    "KeCancelTimer: by the timer's own DPC": "wedges: its thread",
    "KeCancelTimer: under a spin lock that the timer's DPC waits for": "wedges: its thread",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return package(tmp_path_factory.mktemp("calls"))


@pytest.fixture(scope="module")
def table() -> Calls:
    """Of this host's Wine and of no other."""
    known = kernel_calls.known(wine_number())
    if known.version != f"Wine {wine_number()}":
        pytest.fail(
            f"nobody has asked Wine {wine_number()} yet: python -m tests.component.kernel_calls",
            pytrace=False,
        )
    return known


def differing(
    build: drivers.build.Build, built: Package, driver: bytes, expected: Mapping[str, Answer]
) -> dict[str, tuple[str, str]]:
    """Expected and got, where they differ each time: a busy host may be late."""
    left = list(names())
    got: dict[str, Answer] = {}
    for _ in range(TRIES):
        got = ask(build, built, driver, left)
        left = [name for name in left if name not in expected or got[name].text != expected[name].text]
        if not left:
            break
    return {name: (expected[name].text if name in expected else "", got[name].text) for name in left}


def test_wine_answers_as_the_table_says(
    build: drivers.build.Build, built: Package, bare_template: Path, table: Calls
) -> None:
    assert differing(build, built, built.sys[0].read_bytes(), table.wine) == {}
    assert table.wine.keys() == set(names()), "the table has probes that are gone"


def test_drivers_that_are_deployed_get_the_answers_that_the_table_says(
    build: drivers.build.Build, built: Package, bare_template: Path, table: Calls
) -> None:
    assert differing(build, built, as_deployed(built), table.deployed) == {}


def test_every_call_is_an_import_and_nothing_that_a_header_has_inline(built: Package) -> None:
    imported = {function for _, function in imports.imports(built.sys[0])}
    asked = {name.partition(": ")[0] for name in names() if not name.partition(": ")[2].startswith("inline")}
    assert asked - imported == set()


def test_probes_have_one_name_each() -> None:
    assert len(names()) == len(set(names()))


def test_pacing_by_a_timer_wedges_without_the_library_and_runs_with_it(table: Calls) -> None:
    assert {name: table.wine[name].text for name in PACING} == PACING
    assert {table.deployed[name].text for name in PACING} == {"right"}
