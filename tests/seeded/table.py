# SPDX-License-Identifier: Apache-2.0
"""The table of seeded defects, and the page that says which scenario catches which."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from drivers.components import ROOT

TABLE = Path(__file__).with_name("defects.toml")
#: Those that are not in the contract's plain text, each with what it takes to see it.
BEYOND = TABLE.with_name("beyond.toml")
PAGE = ROOT.parent / "docs" / "seeded-defects.md"

_HEAD = """# Seeded defects

A harness that cannot fail proves nothing. Each line below is one defect: one change to the real sources of
the reference class driver or of the sample target (`tests/seeded/defects.toml`), which is built, loaded and
run. The scenario beside it is the first of the catalogue that fails because of it, and the rules are those
that its report names. The sound sources pass the whole catalogue.

`pytest tests/seeded` builds every defect and runs it against its scenario; `make test` leaves out those that
nothing can have touched ([tests.md](tests.md)). `python -m tests.seeded.hunt` looks for the scenarios anew,
through the whole catalogue, and writes this page.
"""
_ROW = re.compile(
    r"^\| `(?P<defect>[^`]+)` \| [^|]+ \| `(?P<scenario>[^`]+)` \| [^|]+ \| [^|]+ \|$", re.MULTILINE
)


@dataclass(frozen=True)
class Defect:
    """One change to one source; `rules` and `verdicts` are what a scenario may end with because of it.

    Of a silent one `characteristic` is a scenario and a field that come otherwise.
    """

    id: str
    file: str
    find: str
    replace: str
    rules: tuple[str, ...] = ()
    verdicts: tuple[str, ...] = ("failed",)
    why: str = ""
    characteristic: tuple[str, ...] = ()

    def occurrences(self, tree: Path) -> int:
        """How often `find` stands in a tree's source; the table is right while that is once."""
        return (tree / self.file).read_text(encoding="utf-8").count(self.find)

    def apply(self, tree: Path) -> None:
        """Makes the change in a copy of the sources."""
        assert self.occurrences(tree) == 1, (
            f"{self.id}: 'find' must stand once in {self.file}: mend the table"
        )
        path = tree / self.file
        path.write_text(path.read_text(encoding="utf-8").replace(self.find, self.replace), encoding="utf-8")


@dataclass(frozen=True)
class Catch:
    """The scenario that failed, how, and the rules that its report names."""

    scenario: str
    verdict: str
    rules: tuple[str, ...]


def _read(kind: str) -> list[Defect]:
    rows = tomllib.loads(TABLE.read_text(encoding="utf-8"))[kind]
    return [
        Defect(**{key: tuple(value) if isinstance(value, list) else value for key, value in row.items()})
        for row in rows
    ]


def defects() -> list[Defect]:
    """Those that some scenario must catch."""
    return _read("defect")


def beyond() -> dict[str, str]:
    """What it takes to see each defect that no scenario of plain.toml shows."""
    return dict(tomllib.loads(BEYOND.read_text(encoding="utf-8"))["beyond"])


def representatives(table: list[Defect]) -> list[Defect]:
    """The first of each source file, rule and verdict, as they stand in the table."""
    first: dict[tuple[object, ...], Defect] = {}
    for defect in table:
        first.setdefault((defect.file, defect.rules[0], defect.verdicts), defect)
    return list(first.values())


def not_shown() -> list[Defect]:
    """Those that no scenario can catch on Wine, each with its measured reason."""
    return _read("not-shown-by-wine")


def silent() -> list[Defect]:
    """Those that pass every scenario, and that a comparison of runs must say."""
    return _read("silent")


def rebuilt() -> Defect:
    """A change of the binary and of nothing that it does."""
    return _read("rebuilt")[0]


def catchers() -> dict[str, str]:
    """The scenario that the page names for each defect."""
    if not PAGE.exists():
        return {}
    return {row["defect"]: row["scenario"] for row in _ROW.finditer(PAGE.read_text(encoding="utf-8"))}


def page(caught: Mapping[str, Catch]) -> str:
    """docs/seeded-defects.md for what was caught."""
    lines = [_HEAD]
    known = defects()
    lines.append(f"{len(caught)} of {len(known)} defects are caught.\n")
    lines.append("| defect | source | caught by | ends as | rules named |")
    lines.append("|---|---|---|---|---|")
    for defect in known:
        catch = caught.get(defect.id)
        what = (
            f"`{catch.scenario}` | {catch.verdict} | {', '.join(catch.rules)}"
            if catch
            else "**nothing** | - | -"
        )
        lines.append(f"| `{defect.id}` | {defect.file} | {what} |")
    lines.append("\n## Defects that Wine cannot show\n")
    lines += [f"- `{defect.id}` ({defect.file}): {defect.why}" for defect in not_shown()]
    return "\n".join(lines) + "\n"
