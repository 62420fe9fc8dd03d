# SPDX-License-Identifier: Apache-2.0
"""A site in a test's folder, and what its pages say, read as a program reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lxml import html

from harness.nights.findings import ALARMS, UNKNOWN, Kind
from harness.site import build, causes
from harness.site.build import Built
from harness.site.history import digest
from harness.store.database import Store
from harness.store.importing import Importer
from tests.harness.nights.folders import Results

#: What somebody has to look at.
LOUD = frozenset({*ALARMS, Kind.ELSEWHERE, Kind.STILL_FAILING})
#: Where each verdict of a scripted night stands; one that is too small a sample is no alarm in any of them.
SECTIONS: Mapping[str, frozenset[Kind]] = {
    "new": LOUD,
    "known": frozenset({Kind.KNOWN}),
    "flaky": frozenset({Kind.FLAKY, Kind.VARIES}),
    "unknown": UNKNOWN,
    "better": frozenset({Kind.NEW_SCENARIO, Kind.FIXED, Kind.ISSUE_GONE}),
}


class Site:
    """A store and its site.

    Args:
        folder: both lie there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "site"
        self.store = Store(str(folder / "store.db"), make=True)
        self._importer = Importer(self.store)

    def take(self, *runs: Results) -> None:
        """Runs into the store."""
        for run in runs:
            self._importer.take(run.write(self.folder / "made"))

    def build(self, known: Sequence[Any] = (), **words: Any) -> Built:
        """The site, or what is new of it."""
        return build.build(self.store, self.out, known, **words)

    def page(self, name: str = "index.html") -> Any:
        """One page, parsed."""
        return html.fromstring((self.out / name).read_text(encoding="utf-8"))

    def scenario(self, key: str) -> Any:
        """The page of a scenario."""
        return self.page(f"scenario/{digest(key)}.html")


def text(element: Any) -> str:
    """What people read of it, in one line."""
    return " ".join(element.text_content().split())


def of_class(element: Any, name: str) -> list[Any]:
    """Elements below one that have a class."""
    found: list[Any] = element.xpath(f".//*[contains(concat(' ', @class, ' '), ' {name} ')]")
    return found


def said(page: Any) -> dict[str, dict[str, list[str]]]:
    """Of a night's page: by section and kind the scenarios, by their keys."""
    found: dict[str, dict[str, list[str]]] = {}
    for section in of_class(page, "findings"):
        name = section.xpath("./h2/@id")[0].removeprefix("s-")
        for group in of_class(section, "item"):
            (kind,) = of_class(group, "k")
            keys = [text(key) for members in of_class(group, "members") for key in members.xpath(".//code")]
            found.setdefault(name, {}).setdefault(text(kind), []).extend(keys)
    return found


def counts(page: Any) -> dict[str, int]:
    """The tiles of a night's page."""
    (tally,) = of_class(page, "tally")
    tiles = tally.xpath(".//a")
    return {tile.get("href").removeprefix("#s-"): int(text(tile.xpath("./b")[0])) for tile in tiles}


def headline(told: Mapping[str, Kind], alarms: int) -> str:
    """What a night's page begins with."""
    if alarms:
        return f"{alarms} new"
    return "Nothing new, but less known" if UNKNOWN & set(told.values()) else "Nothing new"


def check_night(page: Any, told: Mapping[str, Kind], alarms: int) -> None:
    """That a night's page says what is scripted, in the section in which it belongs, and counts it.

    Args:
        page: parsed.
        told: kinds by scenario or issue, as the page names them.
        alarms: how much of it somebody has to look at.
    """
    wanted: dict[str, dict[str, list[str]]] = {}
    for key, kind in told.items():
        section = next(name for name, kinds in SECTIONS.items() if kind in kinds)
        wanted.setdefault(section, {}).setdefault(kind.value, []).append(key)
    found = {name: {kind: sorted(keys) for kind, keys in of.items()} for name, of in said(page).items()}
    assert found == {name: {kind: sorted(keys) for kind, keys in of.items()} for name, of in wanted.items()}
    sums = {name: sum(map(len, of.values())) for name, of in wanted.items()}
    assert counts(page) == {name: sums.get(name, 0) for name, *_ in causes.SECTIONS} | {"new": alarms}
    assert text(page.xpath("//h1")[0]) == headline(told, alarms)
