# SPDX-License-Identifier: Apache-2.0
"""The scripted history as `kshs nightly` tells it and as the site shows it, with every verdict and count.

Each scenario is held against the last night in which it passed: what failed already is still failing, and an
alarm until it is filed or fixed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.commands.nightly import Cell, Done
from harness.commands.nightly_keeper import Keeper
from harness.config import SuiteConfig
from harness.nights.findings import UNKNOWN, Kind
from harness.nights.known_file import load
from harness.nights.markdown import summary
from tests.harness.nights.folders import Case, Results
from tests.harness.nights.test_history import ISSUE, NAMES, night
from tests.harness.nights.test_history import SCRIPT as ONE_SCRIPT
from tests.harness.site.pages import LOUD, Site, check_night, of_class, text

NIGHTS = 30
#: One in five: it fails, and passes when it is tried again.
RETRIED = range(2, 24, 5)
EVERY = (*NAMES, "wobbly")
#: Night: what is told of each scenario; of all others nothing.
SCRIPT = {
    number: told | ({"wobbly": told[NAMES[0]]} if told.keys() == set(NAMES) else {})
    for number, told in ONE_SCRIPT.items()
}
#: Nights that were retried, and those behind them; of the 18th nothing is known.
WOBBLY = {2, 3, 7, 8, 12, 13, 17, 19, 22, 23}


def lab(number: int) -> Results:
    """The script's night, with one scenario more that is retried one night in five."""
    run = night(number)
    if number >= 24:
        wobbly = Case("wobbly", "failed", reason="H9: the kernel declines")
    elif number == 18:
        wobbly = Case("wobbly", "error")
    else:
        wobbly = Case("wobbly", attempts=("failed", "passed") if number in RETRIED else ())
    return run.but(cases=[*run.cases, wobbly], command="kshs run --guest wine --target relay")


def scripted(number: int) -> dict[str, Kind]:
    """What is told of a night."""
    told = dict(SCRIPT.get(number, {}))
    if number in WOBBLY:
        told["wobbly"] = Kind.FLAKY
    failing = number in (20, 21, 22)
    if number != 18 and not failing:
        told["KS-1"] = Kind.ISSUE_GONE  # its file is there from the beginning
    return told


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, list[dict[str, Any]]]]:
    """All nights, each kept, told and shown as soon as it is over; of each what is on record."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "known-issues.toml").write_text(ISSUE)
    known = [load(folder / "known-issues.toml")]
    cell = Cell("wine.relay.all.1", "wine", "relay", "all", SuiteConfig(), 1, 1000, False)
    site = Site(folder)
    rows = []
    with site.store:
        for number in range(NIGHTS):
            place = folder / f"out{number:02d}"
            lab(number).write(folder / "made").rename(place)
            (place / cell.name).mkdir()
            (place / "results.jsonl").rename(place / cell.name / "results.jsonl")
            done = Done(cell.name, code=0)
            done.more = Keeper(site.store, place, known).ended(cell, done)
            rows.append(vars(done))
            built = site.build(known)
            assert (built.nights, built.all_nights) == (1, number + 1), "each night is judged once"
        yield site, rows


def of_night(number: int) -> str:
    return f"night/2026-01-{number + 1:02d}.html"


@pytest.mark.parametrize("number", range(NIGHTS))
def test_a_night_is_as_scripted(history: tuple[Site, list[dict[str, Any]]], number: int) -> None:
    site, rows = history
    told = scripted(number)
    more = rows[number]["more"]
    kinds = list(told.values())
    loud = sorted(key for key, kind in told.items() if kind in LOUD)
    # A guest that changed is one thing to look at, and so is what fails since.
    alarms = 1 if number >= 24 else len(loud)
    unknowns = sum(kind in UNKNOWN for kind in kinds)
    if number:  # the first night has nothing that it could be compared with
        assert more["counts"] == {kind.value: kinds.count(kind) for kind in Kind if kind in kinds}
    assert (more["alarms"], more["unknowns"]) == (alarms, unknowns)
    named = loud[:1] if number >= 24 else loud
    assert len(more["new"]) == alarms
    assert {one["key"].rpartition("::")[2] for one in more["new"]} <= set(loud)
    lines = summary("lab", [rows[number]]).splitlines()
    assert lines[0] == (f"## Night `lab`: {alarms} new" if alarms else "## Night `lab`: nothing new")
    listed = [line for line in lines if line.startswith("- ")]
    assert len(set(re.findall(r"::(\w+)`", "\n".join(listed))) & set(loud)) == len(named)
    keys = {name if name == "KS-1" else f"basic.toml::{name}": kind for name, kind in told.items()}
    check_night(site.page(of_night(number)), keys, alarms)


def test_a_change_of_kernel_is_told_as_one(history: tuple[Site, list[dict[str, Any]]]) -> None:
    site, _ = history
    for number in (24, 29):
        page = site.page(of_night(number))
        (group,) = [one for one in of_class(page, "item") if "g-new" in one.get("class")]
        assert "7 scenarios, 1 cell" in text(group) and "H9: the kernel declines" in text(group)
        changed = "kernel changed: Wine 8.0 as NT 6.1.7601 -> Windows 26200" in text(page)
        assert changed == (number == 24)
        assert ("since 2026-01-25" in text(group)) == (number == 29)


def test_the_history_of_a_scenario(history: tuple[Site, list[dict[str, Any]]]) -> None:
    site, _ = history
    page = site.scenario("basic.toml::defect")
    (table,) = of_class(page, "history")
    now, before = ([text(cell) for cell in row.xpath("./*")] for row in table.xpath(".//tbody/tr"))
    assert now[0] == "wine Windows 26200" and before[0] == "wine Wine 8.0 as NT 6.1.7601"
    assert (now[2], before[2]) == ("failed", "not run")
    assert now[4].startswith("6 of 6") and before[4].startswith("4 of 23")
    strips = [svg.get("aria-label") for svg in table.xpath(".//svg")]
    assert strips[1] == "30 nights, the oldest first: 19 passed, 1 error, 4 failed, 6 not run"
    events = [" ".join(text(one).split()) for one in of_class(page, "event")]
    assert any(one.startswith("new failure 2026-01-04 to 2026-01-15, 2 nights") for one in events)
    assert any(one.startswith("still failing 2026-01-05 to 2026-01-06, 2 nights") for one in events)
    wobbly = site.scenario("basic.toml::wobbly").xpath(
        "//table[contains(@class, 'history')]//svg/@aria-label"
    )
    assert wobbly[1] == "30 nights, the oldest first: 18 passed, 1 error, 5 both, 6 not run"
    changes = site.scenario("basic.toml::silent").xpath("//table[@class='changes']/tbody/tr")
    step = "step 1: handshake source by irp from kernel mode"
    assert [[text(cell) for cell in row.xpath("./*")] for row in changes] == [
        [step, "information", "0", "32"],
        [step, "information", "32", "0"],
    ], "the latest first"


def test_what_was_brought_up_to_date_each_night_is_what_is_made_at_once(
    history: tuple[Site, list[dict[str, Any]]], tmp_path: Path
) -> None:
    site, _ = history
    known = [load(site.folder / "known-issues.toml")]
    there = site.out
    site.out = tmp_path / "site"
    try:
        assert site.build(known).nights == NIGHTS
        pages = sorted(path.relative_to(there) for path in there.rglob("*.html"))
        assert len(pages) == NIGHTS + len(EVERY) + 4
        assert pages == sorted(path.relative_to(site.out) for path in site.out.rglob("*.html"))
        for page in pages:
            assert (there / page).read_bytes() == (site.out / page).read_bytes(), page
    finally:
        site.out = there
