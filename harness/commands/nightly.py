# SPDX-License-Identifier: Apache-2.0
"""``kshs nightly``: the cells of a matrix, beside each other as far as the host carries them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.config import Config, NightConfig
from harness.errors import UsageError
from harness.host_room import HostRoom
from harness.suite_settings import SuiteConfig
from vm.files import write_whole
from vm.windows.profile import BUILTIN

#: What is on record of a night, in its folder.
RECORD = "night.json"
#: Not kshs-*.log: those are replaced with the results.
LOG = "output.txt"
#: MiB of a cell beside its guests: pytest, libvirt, what QEMU needs itself.
_BESIDE = 400
#: Guests of one worker: the one in use, and the one that is forked ahead.
_GUESTS = 2
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Cell:
    """One guest with one target and one suite; `name` is that of its folder."""

    name: str
    guest: str
    target: str
    suite: str
    selection: SuiteConfig
    workers: int
    memory_mib: int
    alone: bool
    repeat: int = 1

    @property
    def group(self) -> str:
        """Names it and its repeats, which are compared together."""
        return self.name.rpartition(".")[0]

    @property
    def beside(self) -> tuple[str, str, int]:
        """What it has in common with the cells of other targets."""
        return self.guest, self.suite, self.repeat

    def arguments(self, config: Path | None, out: Path | None) -> list[str]:
        """Of ``kshs``."""
        words = ["run", *map(str, self.selection.paths)]
        for option in ("rule", "route", "tag", "id"):
            for value in getattr(self.selection, option):
                words += [f"--{option}", value]
        if self.selection.k is not None:
            words += ["-k", self.selection.k]
        words += ["--guest", self.guest, "--target", self.target]
        if self.workers > 1:
            words += ["-n", str(self.workers)]
        if out is not None:
            words += ["--out", str(out)]
        return words + (["--config", str(config)] if config is not None else [])


@dataclass
class Done:
    """What became of a cell: the exit code of ``kshs run``, None where it was not begun."""

    cell: str
    code: int | None = None
    seconds: float = 0.0
    said: str | None = None
    more: dict[str, Any] = field(default_factory=dict)


def cells_of(night: NightConfig, config: Config) -> list[Cell]:
    """The cells of a night, in the order of the file.

    Raises:
        UsageError: a guest or a target that the settings do not know.
    """
    from harness.guests.package import find_target
    from harness.guests.source import find_guest

    guests = night.guests or [config.run.guest]
    targets = night.targets or [config.run.target]
    suites = night.suites or {"all": SuiteConfig()}
    if night.released is not None and night.released not in targets:
        raise UsageError(
            f"released is {night.released}, which is none of the night's targets",
            hint=f"targets: {', '.join(targets)}",
        )
    for target in dict.fromkeys(targets):
        find_target(target, config)
    for guest in dict.fromkeys(guests):
        find_guest(config.vm, guest)
    made = []
    for repeat in range(1, night.repeats + 1):
        for guest in guests:
            for number, target in enumerate(targets, start=1):
                for suite, selection in suites.items():
                    label = _UNSAFE.sub("-", Path(target).stem)[:40]
                    same = [t for t in targets if _UNSAFE.sub("-", Path(t).stem)[:40] == label]
                    label = f"{label}-{number}" if len(same) > 1 else label
                    name = f"{guest}.{label}.{suite}.{repeat}"
                    devices = bool(config.devices_of(guest))
                    memory = _memory(guest, config) * _GUESTS * night.workers + _BESIDE
                    made.append(
                        Cell(name, guest, target, suite, selection, night.workers, memory, devices, repeat)
                    )
    return made


def _memory(guest: str, config: Config) -> int:
    if guest in config.vm.legs:
        return config.vm.of_leg(guest).memory_mib
    profile = config.guests.get(guest) or BUILTIN.get(guest)
    return profile.memory_mib if profile is not None else config.vm.memory_mib


def find_night(name: str, config: Config) -> NightConfig:
    """The settings of a night.

    Raises:
        UsageError: there is none of this name.
    """
    if name not in config.nights:
        known = ", ".join(sorted(config.nights)) or "none"
        raise UsageError(f"there is no night {name} in the settings", hint=f"known: {known}")
    return config.nights[name]


class Nightly:
    """Runs cells.

    Args:
        out: the night's folder; each cell has one of its own in it.
        host: which cells are beside each other goes by.
        command: the command line of a cell, with its folder.
        ended: told of each cell that has ended, in this thread; what it gives is kept with it.
        deadline: by `time.monotonic`: no cell is begun behind it.
    """

    def __init__(
        self,
        out: Path,
        host: HostRoom,
        command: Callable[[Cell, Path], list[str]],
        ended: Callable[[Cell, Done], dict[str, Any]],
        deadline: float | None = None,
    ) -> None:
        self._out = out
        self._host = host
        self._command = command
        self._ended = ended
        self._deadline = deadline
        self._children: list[subprocess.Popen[bytes]] = []
        self.done: dict[str, Done] = {}

    def load(self) -> None:
        """What an earlier call has left: cells that ended then are not run again.

        Raises:
            UsageError: there is no record of a night.
        """
        path = self._out / RECORD
        try:
            for row in json.loads(path.read_text(encoding="utf-8"))["cells"]:
                if row["code"] is not None:
                    self.done[row["cell"]] = Done(**row)
        except (OSError, ValueError, KeyError, TypeError):
            raise UsageError(f"there is no {RECORD} of a night", where=str(self._out)) from None

    def run(self, cells: Sequence[Cell]) -> list[Done]:
        """All cells that have not ended yet; what became of all, in their order.

        A cell that breaks is put on record, and the others go on.
        """
        waiting = [cell for cell in cells if cell.name not in self.done]
        running: dict[Future[Done], Cell] = {}
        with ThreadPoolExecutor(max_workers=max(1, len(waiting))) as pool:
            try:
                while waiting or running:
                    for cell in self._fitting(waiting, list(running.values())):
                        waiting.remove(cell)
                        running[pool.submit(self._run, cell)] = cell
                    if not running:
                        break  # out of time
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        cell = running.pop(future)
                        done = future.result()
                        self.take(cells, cell, done)
            except BaseException:
                for child in self._children:
                    child.terminate()
                raise
        for cell in waiting:
            self.done[cell.name] = Done(cell.name, said="out of time before it was begun")
        self.save(cells)
        return [self.done[cell.name] for cell in cells]

    def take(self, cells: Sequence[Cell], cell: Cell, done: Done) -> None:
        """A cell has ended: it is compared and put on record."""
        done.more = self._ended(cell, done)
        self.done[cell.name] = done
        self.save(cells)

    def _fitting(self, waiting: Iterable[Cell], running: list[Cell]) -> list[Cell]:
        """Those that may be begun now, in their order; one alone always fits."""
        if self._deadline is not None and time.monotonic() >= self._deadline:
            return []
        fitting: list[Cell] = []
        for cell in waiting:
            beside = [*running, *fitting]
            cores = sum(one.workers for one in beside) + cell.workers
            memory = sum(one.memory_mib for one in beside) + cell.memory_mib
            taken = cell.alone and any(one.guest == cell.guest for one in beside)
            if not beside or (cores <= self._host.cores and memory <= self._host.memory_mib and not taken):
                fitting.append(cell)
        return fitting

    def _run(self, cell: Cell) -> Done:
        began = time.monotonic()
        folder = self._out / cell.name
        done = Done(cell.name)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / LOG).open("wb") as log:
                words = self._command(cell, folder)
                child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
                self._children.append(child)
                done.code = child.wait()
                self._children.remove(child)
            if done.code not in (0, 1):
                done.said = _last_word(folder / LOG)
        except OSError as error:
            done.code, done.said = 3, f"it could not be run: {error}"
        done.seconds = round(time.monotonic() - began, 3)
        return done

    def save(self, cells: Sequence[Cell]) -> None:
        """The record, so far."""
        rows = [vars(self.done[cell.name]) for cell in cells if cell.name in self.done]
        write_whole(self._out / RECORD, json.dumps({"schema": 1, "cells": rows}, indent=2) + "\n")


def _last_word(log: Path) -> str | None:
    """What a command has said of its end."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-50:]
    ours = [line for line in lines if line.startswith("kshs: ")]
    last = ours[-1].removeprefix("kshs: ") if ours else next((line for line in reversed(lines) if line), None)
    return last and last[:400]


def kshs(cell: Cell, folder: Path, config: Path | None) -> list[str]:
    """The command line of a cell."""
    return [sys.executable, "-m", "harness.cli", *cell.arguments(config, folder)]
