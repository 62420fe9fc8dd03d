# SPDX-License-Identifier: Apache-2.0
"""What the site of nights costs: ``python -m harness.bench.site [NIGHTS [SCENARIOS]]``.

A store is made of so many nights (1,000) of 20 cells, each of so many scenarios (100): ten guests with two
targets.  One in 300 attempts fails, a handful of scenarios in every attempt for some nights, and each night
has another package.  Then the site is made at once, and three more nights are added, one at a time, each by a
process of its own as users start it.  What a browser takes to open the pages is measured where there is
Chromium with its driver.  Seconds are the processor's where a key says ``cpu``.
"""

from __future__ import annotations

import hashlib
import json
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert

from harness.site.history import digest
from harness.store.database import Store
from harness.store.interning import table_of
from harness.store.models import (
    Answer,
    Answers,
    Guest,
    Run,
    Scenario,
    Signature,
    StatusBlock,
    Step,
    Target,
)

NIGHTS, SCENARIOS, GUESTS, TARGETS, MORE = 1000, 100, 10, 2, 3
_BEGAN = datetime(2024, 1, 1, 2)
_ONE_IN = 300
_STEPS = 4


class Lab:
    """A store whose nights are made up.

    Args:
        store: empty.
        scenarios: of each cell.
    """

    def __init__(self, store: Store, scenarios: int) -> None:
        self._store = store
        self._scenarios = scenarios
        self._random = random.Random(7)  # noqa: S311 - the same nights each time
        self._attempt = 0
        with store.writing() as connection:
            self._begin(connection)

    def _begin(self, connection: Connection) -> None:
        """What all nights share: guests, scenarios, lists of answers, signatures."""
        names = [f"mode.case.{number}" for number in range(self._scenarios)]
        rows: dict[type[Any], list[dict[str, Any]]] = {
            Guest: [
                {"recipe": f"lab{n}", "family": "windows", "kernel": f"Windows 10.0.2{n}000",
                 "kernel_build": f"2{n}000", "ks_digest": f"{n:064x}", "ks_ours": False, "verifier": "off"}
                for n in range(GUESTS)
            ],
            Scenario: [
                {"key": f"mode.toml::{name}", "name": name, "file": "mode.toml", "content": digest(name),
                 "title": f"About {name}", "rules": "H5", "kind": "scenario"}
                for name in names
            ],
            Step: [
                {"do": "handshake", "name": f"handshake by irp, step {n}", "route": "irp", "mode": "kernel",
                 "request": "{}"}
                for n in range(_STEPS)
            ],
            StatusBlock: [{"outcome": "done", "answer": 0, "information": n} for n in range(64)],
            Answers: [{} for _ in range(2 * self._scenarios)],
            Signature: [
                {"version": "1", "text": f"failed|H5|{n}", "words": f"H5: answer is STATUS_SUCCESS, case {n}"}
                for n in range(10)
            ],
        }  # fmt: skip
        for model, some in rows.items():
            made = [{"id": n, "digest": _digest(model, n), **row} for n, row in enumerate(some, start=1)]
            connection.execute(insert(table_of(model)), made)
        answers = [
            {"answers_id": n, "position": at, "step_id": at + 1, "verdict": "passed",
             # The second list of a scenario differs from the first one in one field.
             "status_block_id": 1 + (n % 7 + at + (17 if n > self._scenarios and at == 1 else 0)) % 64}
            for n in range(1, 2 * self._scenarios + 1)
            for at in range(_STEPS)
        ]  # fmt: skip
        connection.execute(insert(table_of(Answer)), answers)

    def add(self, nights: Sequence[int]) -> None:
        """Nights, by their numbers."""
        with self._store.writing() as connection:
            for night in nights:
                self._add(connection, night)

    def _add(self, connection: Connection, night: int) -> None:
        began = _BEGAN + timedelta(days=night)
        targets = [
            {"id": 1 + night * TARGETS + n, "digest": _digest(Target, night * TARGETS + n),
             "name": f"relay{n}", "package": f"{night * TARGETS + n:064x}"}
            for n in range(TARGETS)
        ]  # fmt: skip
        connection.execute(insert(table_of(Target)), targets)
        runs: list[dict[str, Any]] = []
        attempts: list[tuple[Any, ...]] = []
        for cell in range(GUESTS * TARGETS):
            number = 1 + night * GUESTS * TARGETS + cell
            guest, target = cell % GUESTS, cell // GUESTS
            runs.append(
                {"id": number, "name": f"run{number:08d}", "digest": _digest(Run, number), "imported": began,
                 "started": began + timedelta(minutes=cell), "seconds": 900.0 + self._random.random() * 60,
                 "version": "0.1.0", "command": f"kshs run --guest lab{guest} --target relay{target}",
                 "guest_id": guest + 1, "target_id": targets[target]["id"]}
            )  # fmt: skip
            attempts += self._attempts(number, night)
        connection.execute(insert(table_of(Run)), runs)
        connection.exec_driver_sql(_ATTEMPT, attempts)

    def _attempts(self, run: int, night: int) -> Iterator[tuple[Any, ...]]:
        for scenario in range(1, self._scenarios + 1):
            self._attempt += 1
            # A defect of some nights, now and then, in a few scenarios; and what fails now and then.
            broken = night % 50 < 3 and scenario <= 5
            failed = broken or self._random.randrange(_ONE_IN) == 0
            changed = night % 20 == 19 and scenario % 40 == 0
            answers = scenario + (self._scenarios if changed else 0)
            yield (
                self._attempt, run, scenario, 0, scenario, True, False, "failed" if failed else "passed",
                "H5: answer is STATUS_SUCCESS" if failed else None, 0.4 + self._random.random() / 5,
                answers, 1 + scenario % 10 if failed else None,
            )  # fmt: skip


_ATTEMPT = (
    "INSERT INTO attempt (id, run_id, scenario_id, number, position, stands, torn, verdict, reason, seconds,"
    " answers_id, signature_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def _digest(model: type[Any], number: int) -> bytes:
    return hashlib.sha256(f"{model.__name__} {number}".encode()).digest()[:16]


def measure(folder: Path, nights: int = NIGHTS, scenarios: int = SCENARIOS) -> dict[str, float]:
    """The figures: seconds and megabytes."""
    path, out = folder / "store.db", folder / "site"
    with Store(str(path), make=True) as store:
        lab = Lab(store, scenarios)
        for first in range(0, nights, 50):
            lab.add(range(first, min(nights, first + 50)))
        made, _ = _built(path, out)
        walls, cpus = [], []
        for night in range(nights, nights + MORE):
            lab.add([night])
            wall, cpu = _built(path, out)
            walls.append(wall)
            cpus.append(cpu)
    files = [file for file in out.rglob("*") if file.is_file()]
    return {
        "nights": nights + MORE,
        "cells": GUESTS * TARGETS,
        "scenarios": scenarios,
        "store_mb": path.stat().st_size / 1e6,
        "site_mb": sum(file.stat().st_size for file in files) / 1e6,
        "pages": sum(file.suffix == ".html" for file in files),
        "first_build_s": made,
        "night_added_s": statistics.median(walls),
        "night_added_worst_s": max(walls),
        "night_added_cpu_s": statistics.median(cpus),
        **opened(out),
    }


def _built(store: Path, out: Path) -> tuple[float, float]:
    """Seconds, and those of the processor, of one call as users make it."""
    words = [sys.executable, "-m", "harness.cli", "site", "build", "--store", str(store), "--out", str(out)]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, cwd=out.parent)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def opened(out: Path) -> dict[str, float]:
    """Seconds until pages are there in Chromium, the slowest of five times each; nothing without Chromium."""
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ModuleNotFoundError:
        return {}
    programs = shutil.which("chromium"), shutil.which("chromedriver")
    if None in programs:
        return {}
    scenario = max((out / "scenario").iterdir(), key=lambda path: path.stat().st_size)
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0] or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options=options, service=Service(programs[1]))
    took = {}
    try:
        for name, page in (
            ("night", out / "index.html"),
            ("nights", out / "nights.html"),
            ("scenarios", out / "scenarios.html"),
            ("crashes", out / "crashes.html"),
            ("scenario", scenario),
        ):
            took[f"open_{name}_s"] = max(_open(driver, page) for _ in range(5))
    finally:
        driver.quit()
    return took


def _open(driver: Any, page: Path) -> float:
    driver.get("about:blank")
    driver.get(page.as_uri())
    # Until it has been laid out behind its script, too.
    return float(
        driver.execute_async_script(
            "const done = arguments[0];"
            "requestAnimationFrame(() => setTimeout(() => done(performance.now() / 1000)))"
        )
    )


def main(arguments: list[str]) -> int:
    """Prints the figures as JSON."""
    if len(arguments) > 2 or not all(word.isdecimal() and int(word) for word in arguments):
        print("usage: python -m harness.bench.site [NIGHTS [SCENARIOS]]", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="kshs-site-") as folder:
        figures = measure(Path(folder), *map(int, arguments))
    print(json.dumps({name: round(figure, 3) for name, figure in figures.items()}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
