# SPDX-License-Identifier: Apache-2.0
"""The pages, from templates: each with the one style and the one script, whose hashes its policy knows."""

from __future__ import annotations

import base64
import glob
import hashlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from harness import guest_text
from harness.nights.conditions import described
from harness.nights.findings import Kind
from harness.nights.words import summary
from harness.results.report import seconds
from harness.site import calendar, causes, plots, strips, views
from harness.site.history import digest
from harness.site.judging import Cell
from harness.site.memory import Memory, NightMark, Scenario
from harness.verdict import Verdict
from vm.words import counted

#: Scenarios of one cause that a night's page names, and causes of a section that are open from the beginning.
_MEMBERS, _OPEN = 200, 12
#: Pages that every page leads to, by their names.
_PLACES = (
    ("index.html", "Last night"),
    ("nights.html", "Nights"),
    ("scenarios.html", "Scenarios"),
    ("crashes.html", "Crashes"),
)
_GATES = ("gates.html", "Gates")
#: Verdicts that a plot of nights shows.
_LOUD = (Verdict.FAILED, Verdict.HUNG, Verdict.CRASHED, Verdict.ERROR)


@dataclass(frozen=True)
class Matrix:
    """Cells by guest and target."""

    guests: list[str]
    targets: list[str]
    cells: Mapping[tuple[str, str], list[Cell]]


class Pages:
    """Renders pages; `gates` says whether there are pages of gates to be linked."""

    def __init__(self, *, gates: bool) -> None:
        environment = Environment(
            loader=PackageLoader("harness.site"),
            autoescape=select_autoescape(default=True, default_for_string=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters["seconds"] = seconds
        environment.filters["night"] = calendar.in_words
        environment.filters["counted"] = lambda number, noun: counted(number, noun)
        environment.filters["tracked"] = tracked
        environment.filters["line"] = guest_text.one_line
        # What people copy into a shell, whatever somebody has called his scenarios and runs.
        environment.filters["quote"] = lambda text: shlex.quote(guest_text.one_line(text))
        environment.filters["pattern"] = lambda text: shlex.quote(glob.escape(guest_text.one_line(text)))
        environment.filters["page"] = lambda key: f"scenario/{digest(key)}.html"
        style, script = asset("site.css"), asset("site.js")
        environment.globals.update(
            style=Markup(style),  # noqa: S704 - ours
            script=Markup(script),  # noqa: S704 - ours
            style_hash=_hash(style),
            script_hash=_hash(script),
            places=[*_PLACES, *([_GATES] if gates else [])],
            verdicts=[verdict.value for verdict in Verdict],
        )
        self._environment = environment
        self._trend: tuple[object, list[plots.Plot]] = (None, [])

    def _render(self, template: str, root: str, here: str = "", **said: Any) -> str:
        return self._environment.get_template(template).render(root=root, here=here, **said)

    def night(
        self,
        root: str,
        night: str,
        cells: Sequence[Cell],
        memory: Memory,
    ) -> str:
        """A night: what is new first, then what is known, flaky and unknown, then its cells.

        Args:
            root: of the site, from the page.
            night: as `harness.site.calendar.night_of` calls it.
            cells: of it.
            memory: with this night as its last one.
        """
        mark = memory.nights[night]
        groups = causes.groups(cells, memory)
        return self._render(
            "night.html.j2",
            root,
            "" if root else "index.html",
            title=f"{self.headline(mark)}: night of {night}",
            headline=self.headline(mark),
            tone=tone(mark),
            night=night,
            mark=mark,
            older=memory.window[-2] if len(memory.window) > 1 else None,
            latest=root == "",
            cells=cells,
            matrix=matrix(cells),
            groups=groups,
            counts={
                name: (mark.alarms or 0) if name == "new" else causes.count(of_section)
                for name, of_section in groups.items()
            },
            sections=causes.SECTIONS,
            open=_OPEN,
            members=_MEMBERS,
            moved=_moved(cells),
            described=described,
            summary=summary,
            label=cell_label,
            loud=loud,
            plots=[] if root else self._trends(memory),
        )

    def _trends(self, memory: Memory) -> list[plots.Plot]:
        """Drawn once for all pages that show them."""
        drawn = list(memory.window)
        if self._trend[0] != drawn:
            self._trend = drawn, self._draw(memory)
        return self._trend[1]

    def _draw(self, memory: Memory) -> list[plots.Plot]:
        nights = memory.window
        marks = [memory.nights[night] for night in nights if night in memory.nights]
        if len(nights) < 2 or len(marks) != len(nights):
            return []
        failing: dict[str, list[float | None]] = {
            verdict.value: [mark.verdicts.get(verdict.value) for mark in marks] for verdict in _LOUD
        }
        unit, length = ("hours", 3600) if max(mark.seconds for mark in marks) > 7200 else ("minutes", 60)
        took: dict[str, Sequence[float | None]] = {unit: [mark.seconds / length or None for mark in marks]}
        made = []
        if any(any(values) for values in failing.values()):
            shown = {name: values for name, values in failing.items() if any(values)}
            title = "Scenarios that did not pass, over the nights"
            made.append(plots.bars(title, nights, shown, "scenarios"))
        title = "How long the cells took together"
        return [*made, plots.lines(title, nights, took, unit)]

    def headline(self, mark: NightMark) -> str:
        """A night in three words."""
        if mark.alarms:
            return f"{mark.alarms} new"
        if not mark.cells:
            return "Nothing is known"
        return "Nothing new, but less known" if mark.unknowns or mark.broken else "Nothing new"

    def scenario(self, key: str, scenario: Scenario, memory: Memory, drawn: Sequence[plots.Plot]) -> str:
        """A scenario over nights, guests and kernels."""
        file, _, name = key.rpartition("::")
        return self._render(
            "scenario.html.j2",
            "../",
            title=guest_text.one_line(name),
            name=name,
            file=file,
            key=key,
            scenario=scenario,
            rows=views.rows(memory, scenario),
            events=views.events(scenario),
            window=memory.window,
            plots=drawn,
            linked={night for night in memory.window if memory.nights[night].kinds is not None},
        )

    def scenarios(self, memory: Memory, listed: Sequence[views.ScenarioView]) -> str:
        """All scenarios."""
        rates = views.flaky(listed)
        title = "How often those failed that did both, with Wilson's intervals at 95%"
        return self._render(
            "scenarios.html.j2",
            "",
            "scenarios.html",
            title="Scenarios",
            listed=listed,
            window=memory.window,
            rates=rates,
            plot=plots.rates(title, rates) if rates else None,
            kinds=[kind.value for kind in Kind if any(kind.value in view.states for view in listed)],
            found=[v.value for v in Verdict if any(view.verdict == v.value for view in listed)],
        )

    def nights(self, memory: Memory) -> str:
        """All nights, the latest first."""
        marks = [(night, mark, self.headline(mark), tone(mark)) for night, mark in memory.nights.items()]
        return self._render(
            "nights.html.j2",
            "",
            "nights.html",
            title="Nights",
            marks=sorted(marks, reverse=True),
            plots=self._trends(memory),
        )

    def crashes(self, memory: Memory) -> str:
        """Crashes and hangs by what they have in common, the latest first."""
        grouped = sorted(
            memory.crashes.values(),
            key=lambda crash: (max(crash.nights), sum(crash.nights.values())),
            reverse=True,
        )
        shown = [
            (
                crash,
                min(crash.nights),
                max(crash.nights),
                strips_of(crash.nights, crash.verdict, memory.window),
            )
            for crash in grouped
        ]
        return self._render(
            "crashes.html.j2",
            "",
            "crashes.html",
            title="Crashes and hangs",
            crashes=shown,
            window=memory.window,
        )

    def empty(self) -> str:
        """Where there is no night yet."""
        return self._render("empty.html.j2", "", "index.html", title="No night yet")

    def gate_list(self, memory: Memory) -> str:
        """The verdicts of gates that were given."""
        return self._render(
            "gates.html.j2", "", "gates.html", title="Gates", pages=sorted(memory.gates.items(), reverse=True)
        )


def tracked(issue: str) -> tuple[str, str | None]:
    """An issue's id and owner, and its link where a browser may follow it: into the web, nowhere else."""
    words, _, link = issue.rpartition(", ")
    followed = link.startswith(("https://", "http://")) and " " not in link
    return (words, link) if followed else (issue, None)


def strips_of(nights: Mapping[str, int], verdict: str, window: Sequence[str]) -> Markup:
    """In which nights something was."""
    letter = strips.LETTERS[Verdict(verdict)]
    return strips.drawn("".join(letter if night in nights else strips.NOT_RUN for night in window))


def tone(mark: NightMark) -> str:
    """How a night is coloured: bad, unsure, good, or plain where it was not judged."""
    if mark.kinds is None:
        return "plain"
    if mark.alarms:
        return "bad"
    return "unsure" if mark.unknowns or mark.broken or not mark.cells else "good"


def matrix(cells: Sequence[Cell]) -> Matrix:
    """Cells by guest and target, in the order in which these first come."""
    found: dict[tuple[str, str], list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: (cell.guest, cell.target, cell.number)):
        found.setdefault((cell.guest, cell.target), []).append(cell)
    return Matrix(
        list(dict.fromkeys(guest for guest, _ in found)), sorted({target for _, target in found}), found
    )


def cell_label(cell: Cell) -> str:
    """A cell where there is little room."""
    name = f"{cell.guest.partition(':')[0]} · {cell.target}"
    return f"{name} · {cell.asked}" if cell.asked else name


def loud(cell: Cell) -> str:
    """The tone of a cell."""
    if cell.alarms:
        return "bad"
    if cell.unknowns:
        return "unsure"
    return "plain" if cell.base is None else "good"


def _moved(cells: Sequence[Cell]) -> list[tuple[str, list[int]]]:
    """What changed under the cells and keeps regressions from being claimed, with the cells' numbers."""
    found: dict[str, list[int]] = {}
    for cell in cells:
        for difference in cell.night.differences if cell.base else ():
            if difference.matters:
                found.setdefault(str(difference), []).append(cell.number)
    return list(found.items())


@cache
def asset(name: str) -> str:
    """One of the templates' own files."""
    return (resources.files("harness.site") / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
