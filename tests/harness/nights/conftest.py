# SPDX-License-Identifier: Apache-2.0
"""A store into which a test writes runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.nights.findings import Night
from harness.nights.known_file import KnownFile
from harness.nights.night import choose, compare_runs
from harness.store.database import Store
from harness.store.importing import Importer
from tests.harness.nights.folders import Results

Compare = Callable[..., Night]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "store.db"), make=True) as opened:
        yield opened


@pytest.fixture
def take(store: Store, tmp_path: Path) -> Callable[[Results], str]:
    """Takes runs into the store; the name of the last one."""
    importer = Importer(store)

    def taken(*runs: Results) -> str:
        return [importer.take(run.write(tmp_path)).run for run in runs][-1]

    return taken


@pytest.fixture
def compare(store: Store) -> Compare:
    """Compares two sides by their words."""

    def compared(before: str, now: str, *known: KnownFile) -> Night:
        with store.reading() as connection:
            later = choose(connection, now)
            return compare_runs(connection, choose(connection, before, later), later, known)

    return compared
