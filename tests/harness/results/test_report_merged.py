# SPDX-License-Identifier: Apache-2.0
"""Parts of workers made into the results of one run."""

import json
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.results import parts, report, tally
from harness.verdict import Verdict
from tests.harness.results.test_report import RUN, SCENARIOS, make, scenario


def test_merge_is_in_the_order_of_collection_whatever_the_workers_did(tmp_path: Path) -> None:
    records = make(tmp_path)
    assert [r["id"] for r in tally.of_kind(records, "scenario")] == [s.id for s in SCENARIOS]
    assert records[0]["kind"] == "run" and records[0]["schema"] == parts.SCHEMA
    assert records[0]["counts"] == {
        "passed": 2, "failed": 1, "crashed": 1, "hung": 1, "skipped": 1, "error": 0,
    }  # fmt: skip
    assert len(tally.of_kind(records, "environment")) == 1
    assert len(tally.of_kind(records, "step")) == 6
    assert parts.read(tmp_path / "results.jsonl") == json.loads(json.dumps(records))


def test_a_torn_part_of_a_dead_worker_is_merged(tmp_path: Path) -> None:
    make(tmp_path)
    with (tmp_path / "part-gw1.jsonl").open("a") as part:
        part.write('{"kind": "scenario", "ord')
    records = parts.write(RUN, parts.gather(list(tmp_path.glob("part-*"))), tmp_path / "results.jsonl")
    assert len(tally.of_kind(records, "scenario")) == len(SCENARIOS)


def test_rubbish_in_results_is_named(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text('{"kind": "run"}\nrubbish\n{"kind": "step"}\n')
    with pytest.raises(HarnessError, match=r"r\.jsonl:2: this line is no record"):
        parts.read(tmp_path / "r.jsonl")


def test_what_ends_a_line_elsewhere_ends_none_here(tmp_path: Path) -> None:
    odd = "next\u0085line\u2028paragraph\u2029 half of a pair \ud800 \r\x0c\x1e"
    records = make(tmp_path, [scenario("h4.odd", Verdict.FAILED, reason=odd)])
    assert tally.of_kind(records, "scenario")[0]["reason"] == odd
    assert parts.read(tmp_path / "results.jsonl") == records
    report.write(records, tmp_path / "report.html")
    assert "half of a pair ?" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_merging_changes_no_line_of_a_worker(tmp_path: Path) -> None:
    make(tmp_path)
    written = {line for part in tmp_path.glob("part-*") for line in part.read_text().splitlines()}
    merged = (tmp_path / "results.jsonl").read_text().splitlines()
    assert {line for line in merged if '"kind":"run"' not in line} == written
