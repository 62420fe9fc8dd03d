# SPDX-License-Identifier: Apache-2.0
"""What programs compare is in results.jsonl, and not on the page that people read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.results import report
from harness.results.record import ScenarioResult
from harness.verdict import Verdict
from tests.harness.results.test_report import BLOCK, FINE, WRONG, kept, make, scenario, step

NUMBER, WANTED, GOT = 31415926535, 27182818284, 14142135623


def result(name: str, verdict: Verdict) -> ScenarioResult:
    said = replace(
        FINE if verdict is Verdict.PASSED else WRONG, expected_values=(WANTED, "success"), got_value=GOT
    )
    return scenario(
        name,
        verdict,
        replace(step(0, verdict, comparisons=(said,)), status_block={**BLOCK, "numbers": {"answer": NUMBER}}),
    )


def test_numbers_are_kept_for_programs_and_not_shown(tmp_path: Path) -> None:
    records = make(tmp_path, [result("h4.wrong", Verdict.FAILED), result("h4.fine", Verdict.PASSED)])
    steps = [record for record in records if record["kind"] == "step"]
    assert len(steps) == 2
    for record in steps:
        (comparison,) = record["comparisons"]
        assert (comparison["expected_values"], comparison["got_value"]) == ([WANTED, "success"], GOT)
        assert record["status_block"]["numbers"] == {"answer": NUMBER}
    page = report.render(records)
    shown = [page, *kept(page).values()]
    assert any("STATUS_INVALID_BUFFER_SIZE" in text for text in shown), "the words are"
    for number in (NUMBER, WANTED, GOT):
        assert not any(str(number) in text or f"{number:X}" in text for text in shown)
    assert not any(word in text for word in ("expected_values", "got_value") for text in shown)
