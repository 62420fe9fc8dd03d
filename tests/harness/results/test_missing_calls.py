# SPDX-License-Identifier: Apache-2.0
"""Functions that a driver called and the reference ks.sys does not have, on their way into the report."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.agent.missing_calls import ask
from harness.errors import AgentError
from harness.results import missing_calls, parts, report, summary, tally
from harness.results.record import ScenarioResult
from harness.verdict import Verdict
from tests.harness.results.test_report import RUN


def environment(*names: str) -> dict[str, Any]:
    return {
        "kind": "environment",
        "guest": {"kernel": "Wine 8.0"},
        "info": {"ks": {"present": True, "ours": True, "unimplemented_calls": list(names)}},
    }


def merge(directory: Path, *lists: list[dict[str, Any]]) -> list[dict[str, Any]]:
    paths = []
    for number, records in enumerate(lists):
        part = parts.PartWriter(directory / f"part-{number}.jsonl")
        for record in records:
            part.write(record)
        part.write_scenario(
            ScenarioResult(id=f"s{number}", title="t", rules=("H6",), verdict=Verdict.PASSED, file="f"),
            order=number,
            worker=str(number),
        )
        part.close()
        paths.append(directory / f"part-{number}.jsonl")
    return parts.write(RUN, parts.gather(paths), directory / "results.jsonl")


def test_what_every_worker_saw_at_any_time_is_in_the_environment_once(tmp_path: Path) -> None:
    late = {"kind": missing_calls.KIND, "names": ["KsPinSubmitFrame", "KsGenerateEvents"]}
    records = merge(tmp_path, [environment("KsAddEvent"), late], [environment("KsAddEvent")])
    (found,) = tally.of_kind(records, "environment")
    assert found["unimplemented_calls"] == ["KsAddEvent", "KsGenerateEvents", "KsPinSubmitFrame"]
    assert not tally.of_kind(records, missing_calls.KIND)
    line = "called, but not there in the reference ks.sys: KsAddEvent, KsGenerateEvents, KsPinSubmitFrame"
    assert line in summary.lines(records)
    page = tmp_path / "report.html"
    report.write(parts.read(tmp_path / "results.jsonl"), page)
    assert "KsAddEvent, KsGenerateEvents, KsPinSubmitFrame" in page.read_text(encoding="utf-8")


def test_nothing_is_said_where_nothing_was_asked_in_vain(tmp_path: Path) -> None:
    records = merge(tmp_path, [environment()])
    (found,) = tally.of_kind(records, "environment")
    assert "unimplemented_calls" not in found and missing_calls.ROW not in found["guest"]
    assert not any("not there" in line for line in summary.lines(records))


@pytest.mark.parametrize(
    "ks", [None, {}, {"unimplemented_calls": None}, {"unimplemented_calls": "KsAddEvent"}]
)
def test_a_guest_that_cannot_say_says_nothing(ks: Any) -> None:
    assert missing_calls.of_info({"ks": ks}) == []


def test_the_agent_is_asked_for_these_alone() -> None:
    steps = []

    def run(step: bytes, *, what: str, timeout: float) -> Any:
        steps.append(what)
        return SimpleNamespace(data=json.dumps(environment("KsB", "KsA")["info"]).encode())

    session: Any = SimpleNamespace(run=run)
    assert ask(session) == ["KsA", "KsB"]
    assert steps == ["functions called in vain"]
    session.run = lambda *arguments, **more: SimpleNamespace(data=b"torn{")
    with pytest.raises(AgentError, match="not one JSON object"):
        ask(session)
