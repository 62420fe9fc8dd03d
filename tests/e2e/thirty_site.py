# SPDX-License-Identifier: Apache-2.0
"""What the site says of the thirty nights: the same results with a day for each night.

All nights are played within minutes, and the site makes one night of what lies between two noons.  So the
folders that the runs have left are taken into a store of their own, each with a day of its own on record;
nothing else of them is changed.  The site is brought up to date behind each night.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from harness.nights.findings import Kind
from harness.nights.known_file import KnownFile, load
from harness.site.strips import MIXED, NOT_RUN
from harness.site.strips import said as in_words
from harness.store.importing import Importer
from tests.harness.site.pages import Site, check_night, headline, of_class, text

FIRST = datetime(2026, 1, 1, 2, tzinfo=UTC)


@dataclass(frozen=True)
class Told:
    """What a night says: kinds by scenario or issue, and how much of it is new."""

    kinds: Mapping[str, Kind]
    alarms: int


class Shown:
    """A site of nights that are a day apart.

    Args:
        place: its store and its pages are made there.
    """

    def __init__(self, place: Path) -> None:
        place.mkdir()
        self._site = Site(place)
        self._importer = Importer(self._site.store)
        self._told: list[Told] = []

    @staticmethod
    def day(number: int) -> datetime:
        """When a night began."""
        return FIRST + timedelta(days=number)

    def night(self, number: int, folder: Path, issues: str | None, told: Told) -> None:
        """Takes a night, and looks at its page.

        Args:
            number: of the night, from 0.
            folder: of the night, with a folder for each cell in it.
            issues: known-issues.toml of that night; None where there is none.
            told: what its page has to say.
        """
        for cell, results in enumerate(sorted(folder.glob("*/results.jsonl"))):
            self._importer.take(self._moved(results, number, cell))
        built = self._site.build(self._known(issues))
        assert (built.nights, built.all_nights) == (1, number + 1), "each night is judged once"
        self._told.append(told)
        for name in ("index.html", f"night/{self.day(number):%Y-%m-%d}.html"):
            # That all is new where nothing was before says nothing.
            check_night(self._site.page(name), told.kinds if number else {}, told.alarms)

    def end(self, strips: Mapping[str, Mapping[str, str]]) -> None:
        """Looks at the list of nights, and at the histories of scenarios.

        Args:
            strips: by scenario and kernel, one letter a night (`harness.site.strips.LETTERS`).
        """
        rows = self._site.page("nights.html").xpath("//tr[contains(@class, 'item')]")
        assert len(rows) == len(self._told)
        for number, row in enumerate(reversed(rows)):
            told = self._told[number]
            day, says, *_ = (text(cell) for cell in row.xpath("./*"))
            assert day == f"{self.day(number):%Y-%m-%d}"
            kinds = list(told.kinds.values()) if number else []
            numbers = ", ".join(f"{kinds.count(kind)} {kind}" for kind in Kind if kind in kinds)
            heading = headline(told.kinds, told.alarms)
            assert says.startswith(heading) and _parts(says.removeprefix(heading)) == _parts(numbers), number
        for key, of_kernels in strips.items():
            page = self._site.scenario(key)
            (table,) = of_class(page, "history")
            found = {
                text(row.xpath("./th")[0]).split(" ", 1)[1]: row.xpath(".//svg/@aria-label")[0]
                for row in table.xpath(".//tbody/tr")
            }
            assert found == {kernel: in_words(strip) for kernel, strip in of_kernels.items()}, key
        self._site.store.close()

    def _moved(self, results: Path, number: int, cell: int) -> Path:
        """The results of a cell, with another time of its begin."""
        head, *rest = results.read_bytes().splitlines(keepends=True)
        record: dict[str, Any] = json.loads(head)
        assert record["kind"] == "run"
        record["started"] = f"{self.day(number) + timedelta(minutes=cell):%Y-%m-%dT%H:%M:%SZ}"
        folder = self._site.folder / f"night{number:02d}" / results.parent.name
        folder.mkdir(parents=True)
        (folder / results.name).write_bytes(b"".join([json.dumps(record).encode() + b"\n", *rest]))
        return folder

    def _known(self, issues: str | None) -> Sequence[KnownFile]:
        if issues is None:
            return []
        path = self._site.folder / "known-issues.toml"
        path.write_text(issues, encoding="utf-8")
        return [load(path)]


def _parts(numbers: str) -> set[str]:
    return {part.strip() for part in numbers.split(",") if part.strip()}


def letter(failed: int, n: int) -> str:
    """Of a night in which a scenario ran so often, and failed so often."""
    if not n:
        return NOT_RUN
    return MIXED if 0 < failed < n else "f" if failed else "p"
