# SPDX-License-Identifier: Apache-2.0
"""Sound runs in a row, two of them under load: none says anything new, and no field varies.

``KSHS_TEST_SOUND_RUNS`` says how many, ``KSHS_TEST_SOUND_SCENARIOS`` which files, with spaces between; by
default the whole catalogue.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.language.scenario_file import CATALOGUE
from harness.nights.findings import Kind
from harness.nights.history import compare_night
from harness.store import queries
from harness.store.database import Store
from harness.store.importing import Importer
from tests.e2e.command import run

pytestmark = [pytest.mark.e2e, pytest.mark.long]

RUNS = int(os.environ.get("KSHS_TEST_SOUND_RUNS", "3"))
SCENARIOS = os.environ.get("KSHS_TEST_SOUND_SCENARIOS", "").split() or [str(CATALOGUE)]
#: The runs that are disturbed: one in the middle, and the last one.
UNDER_LOAD = (RUNS // 2, RUNS - 1)


@contextlib.contextmanager
def load() -> Iterator[None]:
    """Twice as many busy processes as there are processors."""
    count = 2 * len(os.sched_getaffinity(0))
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for one in busy:
            one.kill()
            one.wait()


def test_sound_runs_say_nothing_new(tmp_path: Path) -> None:
    with Store(str(tmp_path / "nights.db"), make=True) as store:
        importer = Importer(store)
        for number in range(RUNS):
            with load() if number in UNDER_LOAD else contextlib.nullcontext():
                ran = run(tmp_path / f"run{number:02d}", *SCENARIOS)
            assert ran.exit_code == 0, ran.output
            name = importer.take(ran.out).run
            with store.reading() as connection:
                every = queries.runs(connection)
                own = [one for one in every if one.name == name]
                found = compare_night(connection, own, [one for one in every if one.name != name])
            kinds = {finding.kind for finding in found.findings}
            assert kinds == ({Kind.NEW_SCENARIO} if number == 0 else set()), found.findings
            assert found.alarms == 0 and found.unknowns == 0
            print(f"run {number + 1} of {RUNS}: {found.same} scenarios as before", flush=True)
        with store.reading() as connection:
            assert queries.all_varying(connection) == []
