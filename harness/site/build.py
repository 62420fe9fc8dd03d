# SPDX-License-Identifier: Apache-2.0
"""A site built, or brought up to date: what is there already stays as it is."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from sqlalchemy import Connection

from harness.errors import HarnessError, UsageError
from harness.nights.known_file import KnownFile
from harness.site import history, views
from harness.site import memory as memories
from harness.site.broken import Broken, merged
from harness.site.calendar import nights_of
from harness.site.gates import take as take_gates
from harness.site.judging import Judge, kinds
from harness.site.memory import Memory, NightMark
from harness.site.pages import Pages
from harness.store import queries
from harness.store.database import Store
from harness.store.marks import RunMark, durations, marks, titles
from vm.words import counted

#: Nights that pages show.
NIGHTS = 60
#: Scenarios that get plots: those that fail most often.
PLOTTED = 10
INDEX = "index.html"
_NIGHT = re.compile(r"\d{4}-\d\d-\d\d\.html")
_SCENARIO = re.compile(r"[0-9a-f]{20}\.html")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Built:
    """What was done: nights that were judged, and pages that were written."""

    index: Path
    nights: int
    pages: int
    all_nights: int

    def __str__(self) -> str:
        if not self.pages:
            return f"{self.index}: nothing new, {counted(self.all_nights, 'night')}"
        done = f"{counted(self.nights, 'night')} of {self.all_nights} judged"
        return f"{self.index}: {done}, {counted(self.pages, 'page')} written"


def build(
    store: Store,
    out: Path,
    known: Sequence[KnownFile] = (),
    *,
    broken: Broken | None = None,
    gates: Sequence[Path] = (),
    limit: int = NIGHTS,
    say: Say = lambda text: None,
) -> Built:
    """Builds the site of a store.

    Args:
        store: opened.
        out: the site's folder; it is made.
        known: known issues and quarantines, by which nights are told that were not yet.
        broken: cells of nights of which the store knows nothing.
        gates: pages of gates' verdicts, to be kept and linked.
        limit: nights that pages show.
        say: told what begins.

    Raises:
        UsageError: there is another site in the folder, or nothing can be written there.
    """
    try:
        with _uncollected():
            return _Builder(store, out, known, limit, say).build(broken or Broken(), gates)
    except OSError as error:
        raise HarnessError(f"cannot be written: {error.strerror}", str(error.filename or out)) from None


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Without the garbage collector: its passes over all that was read are a sixth of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


class _Builder:
    def __init__(self, store: Store, out: Path, known: Sequence[KnownFile], limit: int, say: Say) -> None:
        self._store = store
        self._out = out
        self._known = known
        self._limit = limit
        self._say = say
        self._look = _look(store.shown, limit)
        self._told = hashlib.sha256("".join(one.model_dump_json() for one in known).encode()).hexdigest()
        self._pages = 0

    def build(self, broken: Broken, gates: Sequence[Path]) -> Built:
        old = memories.load(self._out)
        if old is None and (self._out / INDEX).exists() and not (self._out / memories.FILE).exists():
            raise UsageError("there is a site of somebody else", where=str(self._out), hint="see --out")
        for folder in ("night", "scenario", "gate"):
            (self._out / folder).mkdir(parents=True, exist_ok=True)
        with self._store.reading() as connection:
            nights = nights_of(marks(connection))
            memory, fresh = self._plan(old, nights, broken)
            known_gates = dict(memory.gates)
            take_gates(memory, gates, self._out)
            pages = Pages(gates=bool(memory.gates))
            if fresh or memory.gates != known_gates or not (self._out / INDEX).exists():
                self._add(connection, memory, pages, nights, fresh)
                self._rest(memory, pages)
                memory.look, memory.known = self._look, self._told
                memory.save(self._out)
        return Built(self._out / INDEX, len(fresh), self._pages, len(memory.nights))

    # ---- what is to be done -----------------------------------------------------------------------------

    def _plan(
        self, old: Memory | None, nights: Mapping[str, list[RunMark]], broken: Broken
    ) -> tuple[Memory, list[str]]:
        """A memory, and the nights that are to be put into it, in their order."""
        told = merged(old.nights if old else {}, broken)
        wanted = sorted({*nights, *told})
        fresh = None if old is None else self._fresh(old, nights, told)
        if old is None or fresh is None:
            memory = Memory(self._look, gates=old.gates if old else {})
            fresh = wanted[-self._limit :]
        else:
            memory = old
            for night in fresh:
                memory.drop(night)
            for night in set(memory.nights) - set(wanted):
                del memory.nights[night]  # before the window: `_fresh` has seen to it
        for night in fresh:
            memory.nights[night] = NightMark(
                _names(nights.get(night, [])), {}, 0.0, broken=told.get(night, [])
            )
        return memory, fresh

    def _fresh(
        self, old: Memory, nights: Mapping[str, list[RunMark]], told: Mapping[str, list[list[str]]]
    ) -> list[str] | None:
        """Nights that are not yet as the store has them; None where that is not only the last ones."""
        if old.look != self._look or not old.window:
            return None
        last = old.window[-1]
        wanted = {*nights, *told}
        if any(night >= old.window[0] for night in old.nights.keys() - wanted):
            return None
        fresh = []
        for night in sorted(wanted):
            mark = old.nights.get(night)
            same = mark is not None and mark.runs == _names(nights.get(night, []))
            if same and mark is not None and mark.broken == told.get(night, []):
                continue
            if night < last:
                return None
            fresh.append(night)
        if old.known != self._told and not fresh:
            fresh.append(last)  # with a new night behind it, it is an earlier one, and stays as it was told
        return fresh

    # ---- doing it ---------------------------------------------------------------------------------------

    def _add(
        self,
        connection: Connection,
        memory: Memory,
        pages: Pages,
        nights: Mapping[str, list[RunMark]],
        fresh: Sequence[str],
    ) -> None:
        self._count(connection, memory, nights, fresh)
        judge = Judge(connection, self._known)
        for number, night in enumerate(fresh, start=1):
            self._say(f"night {number} of {len(fresh)}: {night}")
            cells = judge.cells([run.id for run in nights.get(night, [])])
            mark = memory.nights[night]
            mark.cells, mark.kinds = len(cells), dict(kinds(cells))
            mark.alarms = sum(cell.alarms for cell in cells)
            mark.unknowns = sum(cell.unknowns for cell in cells)
            scenarios = {outcome.scenario for cell in cells for outcome in cell.outcomes}
            history.add(memory, night, cells, titles(connection, scenarios), self._limit)
            self._write(f"night/{night}.html", pages.night("../", night, cells, memory))
            if night == fresh[-1]:
                self._write(INDEX, pages.night("", night, cells, memory))

    def _count(
        self,
        connection: Connection,
        memory: Memory,
        nights: Mapping[str, list[RunMark]],
        fresh: Sequence[str],
    ) -> None:
        """Numbers of nights, those before the window among them."""
        new = [night for night in nights if night in fresh or night not in memory.nights]
        ids = {run.id: night for night in new for run in nights[night]}
        every = len(ids) > sum(map(len, nights.values())) // 2
        counts = queries.verdict_counts(connection, None if every else list(ids))
        took = durations(connection, ids)
        for night in new:
            mark = memory.nights.setdefault(night, NightMark(_names(nights[night]), {}, 0.0))
            mark.cells = len(nights[night])
            mark.seconds = round(sum(took.get(run.id, 0.0) for run in nights[night]), 3)
            for run in nights[night]:
                for verdict, count in counts.get(run.id, {}).items():
                    mark.verdicts[verdict] = mark.verdicts.get(verdict, 0) + count
        memory.nights = dict(sorted(memory.nights.items()))

    def _rest(self, memory: Memory, pages: Pages) -> None:
        """The pages that every night changes."""
        self._say(f"pages of {counted(len(memory.scenarios), 'scenario')}")
        listed = views.listed(memory)
        most = sorted(listed, key=lambda view: -view.failed)[:PLOTTED]
        plotted = {view.key for view in most if view.failed or memory.scenarios[view.key].events}
        for key, scenario in memory.scenarios.items():
            drawn = views.plotted(memory, scenario) if key in plotted else []
            self._write(f"scenario/{history.digest(key)}.html", pages.scenario(key, scenario, memory, drawn))
        self._write("scenarios.html", pages.scenarios(memory, listed))
        self._write("nights.html", pages.nights(memory))
        self._write("crashes.html", pages.crashes(memory))
        if memory.gates:
            self._write("gates.html", pages.gate_list(memory))
        if not (self._out / INDEX).exists():
            self._write(INDEX, pages.empty())
        self._remove(memory)

    def _remove(self, memory: Memory) -> None:
        """Pages of which nothing leads here any more; only such as are called by us."""
        nights = {f"{night}.html" for night, mark in memory.nights.items() if mark.kinds is not None}
        scenarios = {f"{history.digest(key)}.html" for key in memory.scenarios}
        for folder, pattern, kept in (("night", _NIGHT, nights), ("scenario", _SCENARIO, scenarios)):
            for path in (self._out / folder).iterdir():
                if pattern.fullmatch(path.name) and path.name not in kept:
                    path.unlink()

    def _write(self, name: str, text: str) -> None:
        path = self._out / name
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        # Half of a surrogate pair cannot be written; all else can.
        fresh.write_text(text, encoding="utf-8", errors="replace")
        fresh.replace(path)
        self._pages += 1


def _names(runs: Sequence[RunMark]) -> list[list[str]]:
    return [[run.name, run.digest] for run in runs]


def _look(store: str, limit: int) -> str:
    """Of what makes pages from a store: another of it makes all of them anew."""
    made = hashlib.sha256(f"{store}\n{limit}\n".encode())
    for package in ("harness.site", "harness.nights"):
        for folder in (resources.files(package), resources.files(package) / "templates"):
            for file in sorted(folder.iterdir(), key=lambda one: one.name) if folder.is_dir() else ():
                if file.is_file() and not file.name.endswith(".pyc"):
                    made.update(file.read_bytes())
    return made.hexdigest()
