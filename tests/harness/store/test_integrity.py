# SPDX-License-Identifier: Apache-2.0
"""What tells that a store was altered, or that results came again as others."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from harness.store import integrity, queries
from harness.store.database import Store
from harness.store.importing import OTHER_RESULTS, Importer
from harness.store.proofs import proofs
from harness.store.provenance import rows_digest
from tests.harness.nights.folders import DECLINED, Case, Results

CASES = (
    Case("length.short", requests=({}, {"answer": DECLINED, "information": 0})),
    Case("mode.user", "failed"),
    Case("needs.more", "skipped", requests=()),
    Case("wild", "crashed"),
    Case("flips", "failed", attempts=("failed", "passed")),
)
RUN = Results(cases=CASES, tests={"test_x.py::test_a": "passed", "test_x.py::test_b": "failed"})


class Undone(Exception):  # noqa: N818 - nothing is wrong
    """Takes back what was altered."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "store.db"), make=True) as opened:
        yield opened


def test_what_was_imported_is_what_its_digests_say_until_somebody_alters_it(
    store: Store, tmp_path: Path
) -> None:
    texts = "nul \0 half \ud800 " + "x" * 9000
    odd = Case("odd", "failed", ({"answer": -1}, {"information": (1 << 64) - 1}), reason=texts)
    importer = Importer(store)
    importer.take(RUN.but(cases=[*CASES, odd], kernel="half \ud800").write(tmp_path))
    importer.take(RUN.but(night=1).write(tmp_path))
    with store.reading() as connection:
        ids = [run.id for run in queries.runs(connection)]
        assert integrity.altered(connection, ids) == {}
        assert integrity.altered(connection, []) == {}
    for statement, what, runs in (
        ("UPDATE guest SET image = 'x' WHERE id = 1", ["guest"], ids[:1]),
        ("UPDATE target SET version = '9'", ["target"], ids),
        ("UPDATE scenario SET kind = 'test'", ["scenarios"], ids),
        ("UPDATE status_block SET status = 1", ["answers"], ids),
        ("UPDATE step SET request = '[]'", ["answers"], ids),
        ("UPDATE answer SET verdict = 'passed' WHERE verdict = 'failed'", ["answers"], ids),
        ("UPDATE answer SET status_block_id = NULL", ["answers"], ids),
        ("UPDATE signature SET text = 'x'", ["signatures of failures"], ids),
    ):
        with contextlib.suppress(Undone), store.writing() as connection:
            assert connection.execute(text(statement)).rowcount
            assert integrity.altered(connection, ids) == dict.fromkeys(runs, what), statement
            raise Undone


def test_whole_results_that_come_again_as_others_are_refused(store: Store, tmp_path: Path) -> None:
    importer = Importer(store)
    importer.take(RUN.write(tmp_path))

    def kept() -> tuple[object, ...]:
        with store.reading() as connection:
            (run,) = queries.runs(connection)
            return run, proofs(connection, [run.id]), rows_digest(connection, run.id)

    before = kept()
    seen: tuple[dict[str, Any], ...] = (
        {"image": "e" * 64},
        {"cases": [*CASES, Case("more")]},
    )
    for changes in seen:
        done = importer.take(RUN.but(**changes).write(tmp_path))
        assert done.refused == f"{OTHER_RESULTS}: left as it was"
        assert kept() == before
    # What the store keeps of it is the same; by which bytes it can be proven is not.
    assert importer.take(RUN.but(command="kshs run again").write(tmp_path)).refused is None
    assert kept() == before
    assert importer.take(RUN.write(tmp_path)).refused is None
    assert kept() == before
