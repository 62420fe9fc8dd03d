# SPDX-License-Identifier: Apache-2.0
"""Results folders that no kshs has written: what cannot be is left out, and nothing ends in a traceback."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.site import build
from harness.store import queries
from harness.store.database import Store
from harness.store.exporting import records
from harness.store.importing import Imported, Importer
from tests.harness.nights.folders import Case, Results

Write = Callable[..., Path]
Take = Callable[[Path], Imported]
LONG = "x" * 1200


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "store.db"), make=True) as opened:
        yield opened


@pytest.fixture
def take(store: Store) -> Take:
    """Takes a folder twice, which is once; out of the store again it is the same run."""

    def taken(folder: Path) -> Imported:
        done = Importer(store).take(folder)
        assert Importer(store).take(folder).known
        with store.reading() as connection:
            (run,) = [one for one in queries.runs(connection) if one.name == done.run]
            lines = [json.dumps(record) + "\n" for record in records(connection, run.id)]
        again = folder / "again"
        again.mkdir()
        (again / "results.jsonl").write_text("".join(lines), encoding="utf-8")
        assert Importer(store).take(again).run == done.run
        return done

    return taken


@pytest.fixture
def written(tmp_path: Path) -> Write:
    """Writes a folder whose records of some kind say something else."""

    def write(name: str, kind: str, **changes: Any) -> Path:
        run = Results(id=name, cases=[Case("a"), Case("b", "failed", attempts=("failed", "failed"))])
        folder = run.write(tmp_path / "made")
        lines = []
        for record in run.records():
            of_kind = (
                record["status_block"] if kind == "block" == record["kind"].replace("step", kind) else record
            )
            if record["kind"] == kind or of_kind is not record:
                of_kind.update(changes)
            lines.append(json.dumps(record) + "\n")
        (folder / "results.jsonl").write_text("".join(lines), encoding="utf-8")
        return folder

    return write


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("run", {"started": "9999-12-31T23:59:59-14:00"}),
        ("run", {"started": "0001-01-01T00:00:00+14:00"}),
        ("run", {"host": {"image_made": "9999-12-31T23:59:59-14:00"}}),
        ("run", {"seconds": float("inf")}),
        ("run", {"seconds": float("nan")}),
        ("run", {"seconds": 10**400}),
        ("run", {"seconds": -5}),
        ("run", {"id": "half \ud800"}),
        ("run", {"id": "nul \0"}),
        ("run", {"id": LONG}),
        ("scenario", {"seconds": 10**400}),
        ("scenario", {"attempts": [{"verdict": "failed", "seconds": 10**400}, {"verdict": "failed"}]}),
        ("scenario", {"attempts": [{"verdict": ["x"], "reason": {}}, {"verdict": "failed"}]}),
        ("step", {"route": LONG, "mode": LONG}),
        ("block", {"seen": [1, 2]}),
        ("block", {"seen": "x"}),
    ],
    ids=lambda said: str(said)[:60],
)
def test_what_cannot_be_is_left_out(
    store: Store, take: Take, written: Write, tmp_path: Path, kind: str, changes: dict[str, Any]
) -> None:
    done = take(written("hostile", kind, **changes))
    assert done.scenarios == 2
    build.build(store, tmp_path / "site")
    with store.reading() as connection:
        assert len(queries.runs(connection)) == 1
        for outcome in queries.outcomes(connection, [1]):
            assert outcome.seconds is None or 0 <= outcome.seconds < 1e9


def test_runs_without_an_id_stay_apart(store: Store, take: Take, written: Write) -> None:
    """By what they say first: a folder whose first line is lost begins as those of all other nights do."""
    names = []
    for number, said in enumerate(({"id": None}, {"id": 7}, {"id": "  "})):
        folder = written(f"run{number}", "run", **said)
        done = take(folder)
        assert done.run.startswith("no-id-") and done.notes == ("the record of the run has no id",)
        names.append(done.run)
    for number in (3, 4):
        folder = written(f"run{number}", "scenario", seconds=number / 8)
        lines = (folder / "results.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        (folder / "results.jsonl").write_text("".join(lines[1:]), encoding="utf-8")
        done = take(folder)
        assert done.notes == ("the record of the run itself is missing",)
        names.append(done.run)
    assert len(set(names)) == 5
    with store.reading() as connection:
        assert len(queries.runs(connection)) == 5


def test_names_that_are_too_long_stay_apart(store: Store, take: Take, tmp_path: Path) -> None:
    cases = [Case(f"{LONG}{number}") for number in range(2)]
    runs = [Results(night=night, id=f"{LONG}{night}", cases=cases) for night in range(2)]
    # A file system has no such names.
    for number, run in enumerate(runs):
        (tmp_path / str(number)).mkdir()
        text = "".join(json.dumps(record) + "\n" for record in run.records())
        (tmp_path / str(number) / "results.jsonl").write_text(text, encoding="utf-8")
    names = {take(tmp_path / str(number)).run for number in range(2)}
    assert len(names) == 2
    with store.reading() as connection:
        assert len({one.key for one in queries.outcomes(connection, [1, 2])}) == 2
