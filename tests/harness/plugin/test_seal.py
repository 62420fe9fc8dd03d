# SPDX-License-Identifier: Apache-2.0
"""A run seals what it has left, by digest, and the store takes a run with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.gate.evidence import StoreSays, of_run
from harness.gate.results_scan import scan
from harness.results import seal
from harness.store.database import Store
from harness.store.importing import Importer
from harness.store.integrity import altered
from harness.store.proofs import attempts, proofs
from harness.store.provenance import origin_kept, rows_digest
from harness.store.queries import runs
from tests.harness.plugin.project import Project


def test_a_run_seals_its_results(tmp_path: Path) -> None:
    project = Project(tmp_path)
    assert project.run().returncode == 0
    made = seal.read(project.out)
    (head,) = project.records("run")
    assert made.run == head["id"] and "results.jsonl" in made.files
    assert list(seal.broken(project.out, made)) == []
    scanned = scan((project.out / "results.jsonl").read_bytes())
    assert scanned.counts == {verdict: count for verdict, count in head["counts"].items() if count}
    with Store(str(tmp_path / "store.db"), make=True) as store:
        Importer(store).take(project.out)
        with store.reading() as connection:
            (run,) = runs(connection)
            proof = proofs(connection, [run.id])[run.id]
            said = attempts(connection, [run.id])
            odd = altered(connection, [run.id])
            store_says = StoreSays(
                rows_digest(connection, run.id), odd.get(run.id, ()), origin_kept(connection, run.id)
            )
    assert of_run(run.name, proof, said, store_says).problems == ()
    path = project.out / "results.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"passed"', b'"failed"', 1))
    assert list(seal.broken(project.out, made)) == ["results.jsonl is not what the run wrote"]
    path.unlink()
    assert list(seal.broken(project.out, made)) == ["results.jsonl is missing"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        json.dumps({"schema": 2, "run": "a", "files": {"results.jsonl": "0" * 64}}),
        '{"schema": 1, "run": "a", "files": {}}',
        '{"schema": 1, "run": "a", "files": {"results.jsonl": "0"}}',
        json.dumps({"schema": 1, "run": "a", "files": {"results.jsonl": "0" * 64, "../x": "0" * 64}}),
        "[" * 100_000,
    ],
)
def test_what_is_no_seal_is_refused(text: str) -> None:
    with pytest.raises(seal.SealError, match="no seal"):
        seal.parse(text.encode())


def test_a_seal_reaches_no_file_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "secret").write_text("x")
    (tmp_path / "out" / "results.jsonl").symlink_to(tmp_path / "secret")
    made = seal.Seal("a", {"results.jsonl": seal.sha256(tmp_path / "secret")})
    assert list(seal.broken(tmp_path / "out", made)) == ["results.jsonl lies elsewhere"]
