# SPDX-License-Identifier: Apache-2.0
"""The parts of several workers made into one record of each scenario."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from harness.results import parts
from harness.results.parts import AGAIN, PartWriter, gather, join, write
from harness.results.record import (
    Comparison,
    ScenarioResult,
    StepResult,
    result_of_records,
    scenario_records,
)
from harness.verdict import Verdict


def result(verdict: Verdict, name: str = "a", file: str = "f.toml", steps: int = 1) -> ScenarioResult:
    """A scenario with this verdict; its steps are named after it."""
    made = tuple(
        StepResult(index=number, name=verdict.value, do="handshake", verdict=verdict)
        for number in range(steps)
    )
    return ScenarioResult(id=name, title=name, rules=(), verdict=verdict, file=file, steps=made)


def part(directory: Path, worker: str, *results: ScenarioResult) -> Path:
    writer = PartWriter(directory / f"results-{worker}.jsonl")
    for order, one in enumerate(results):
        writer.write_begun(one, order=order, worker=worker)
        writer.write_scenario(one, order=order, worker=worker)
    writer.close()
    return directory / f"results-{worker}.jsonl"


def kept(paths: list[Path]) -> list[dict[str, Any]]:
    return gather(paths).records()


P, F, C, E = Verdict.PASSED, Verdict.FAILED, Verdict.CRASHED, Verdict.ERROR


@pytest.mark.parametrize(
    ("by_worker", "stands"),
    [
        ([[F, P]], F),
        ([[C, F]], C),
        ([[F, C]], C),
        ([[E, P]], P),
        ([[E, F, P]], F),
        ([[P], [F]], F),
        ([[E], [P]], E),
        ([[E, P], [P]], P),
    ],
    ids=str,
)
def test_each_scenario_is_there_once_with_the_verdict_that_stands(
    tmp_path: Path, by_worker: list[list[Verdict]], stands: Verdict
) -> None:
    """One attempt after another within a worker; between workers there is no after."""
    paths = [
        part(tmp_path, f"gw{number}", *map(result, verdicts)) for number, verdicts in enumerate(by_worker)
    ]
    scenario, step = kept(paths)
    assert scenario["verdict"] == stands
    assert step["name"] == stands.value, "the steps are those of the attempt that stands"
    tried = [verdict.value for verdicts in by_worker for verdict in verdicts]
    assert [attempt["verdict"] for attempt in scenario["attempts"]] == tried


def test_what_was_tried_once_says_nothing_of_attempts(tmp_path: Path) -> None:
    (scenario, _) = kept([part(tmp_path, "main", result(P))])
    assert "attempts" not in scenario


def test_two_files_may_have_scenarios_of_one_name(tmp_path: Path) -> None:
    path = part(tmp_path, "main", result(P, file="a.toml"), result(F, file="b.toml"))
    scenarios = [record for record in kept([path]) if record["kind"] == "scenario"]
    assert [(r["file"], r["verdict"]) for r in scenarios] == [("a.toml", "passed"), ("b.toml", "failed")]


def test_steps_without_their_scenario_go_to_no_other(tmp_path: Path) -> None:
    path = part(tmp_path, "main", result(P, "a"), result(P, "b", steps=2))
    lines = [line for line in path.read_text().splitlines(True) if '"scenario","order":1' not in line]
    path.write_text("".join(lines))
    gathered = gather([path])
    assert [entry.key for entry in gathered.entries] == ["f.toml::a"]
    assert len(gathered.entries[0].steps) == 1
    assert set(gathered.begun) == {"f.toml::a", "f.toml::b"}, "it is known that b was about to run"


def test_what_only_the_parts_need_does_not_reach_the_results(tmp_path: Path) -> None:
    path = part(tmp_path, "main", result(P))
    writer = PartWriter(path)
    writer.write({"kind": AGAIN, "id": "f.toml::a"})
    writer.close()
    gathered = gather([path])
    assert gathered.again == {"f.toml::a"}
    records = write({"id": "r"}, gathered, tmp_path / "results.jsonl")
    assert [record["kind"] for record in records] == ["run", "scenario", "step"]
    assert parts.read(tmp_path / "results.jsonl") == records


def test_the_disk_has_a_scenario_before_the_next_one_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []

    def sync(fd: int) -> None:
        synced.append(os.fstat(fd).st_size)

    monkeypatch.setattr(os, "fdatasync", sync)
    writer = PartWriter(tmp_path / "results-main.jsonl")
    for order, name in enumerate("abc"):
        writer.write_scenario(result(P, name), order=order, worker="main")
        assert len(synced) >= order
    writer.close()
    assert len(synced) == 3 and synced[-1] == (tmp_path / "results-main.jsonl").stat().st_size


def test_a_disk_that_loses_a_scenario_is_told_with_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(fd: int) -> None:
        raise OSError(5, "Input/output error")

    writer = PartWriter(tmp_path / "results-main.jsonl")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", lost)
        writer.write_scenario(result(P, "a"), order=0, worker="main")
        with pytest.raises(OSError, match="Input/output"):
            writer.write_scenario(result(P, "b"), order=1, worker="main")
        writer.write_scenario(result(P, "c"), order=2, worker="main")
        with pytest.raises(OSError, match="Input/output"):
            writer.close()
    writer.close()


def test_a_disk_that_is_full_leaves_no_half_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    path = part(tmp_path, "main", result(P))
    (tmp_path / "results.jsonl").write_text("old")
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write({"id": "r"}, gather([path]), tmp_path / "results.jsonl")
    assert (tmp_path / "results.jsonl").read_text() == "old"
    assert [entry.name for entry in tmp_path.glob(".*")] == []


def test_sessions_of_one_run_are_tried_one_after_the_other(tmp_path: Path) -> None:
    first = gather([part(tmp_path, "main", result(F, "a"), result(P, "b"))])
    first.add(result(E, "c", steps=0), order=2, worker="main", lost=True)
    second = gather([part(tmp_path, "gw0", result(P, "a"), result(P, "c"))])
    whole = {
        record["id"]: record for record in join([first, second]).records() if record["kind"] == "scenario"
    }
    assert {name: record["verdict"] for name, record in whole.items()} == {
        "a": "failed",
        "b": "passed",
        "c": "passed",
    }
    assert [(a["verdict"], a.get("lost")) for a in whole["c"]["attempts"]] == [
        ("error", True),
        ("passed", None),
    ]
    assert [a["verdict"] for a in whole["a"]["attempts"]] == ["failed", "passed"]
    assert "attempts" not in whole["b"]


def test_a_result_comes_back_from_its_records_as_it_was(tmp_path: Path) -> None:
    compared = Comparison("answer", "0", "1", False, "H4", "clause", False, (0, True, "success"), 1)
    step = StepResult(
        0,
        "one",
        "handshake",
        F,
        "irp",
        "user",
        "H4",
        7,
        {"control": 3},
        {"x": None},
        (compared,),
        ("n",),
        "r",
    )
    whole = ScenarioResult(
        "a", "A", ("H4",), F, "f.toml", 3, ("t",), "why", (step,), ("e",), 1.5, 0.5, "l1", "overdue", True
    )
    head, *steps = json.loads(json.dumps(list(scenario_records(whole, order=1, worker="gw0"))))
    assert result_of_records(head, steps) == whole


def test_a_line_that_could_not_be_written_whole_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = PartWriter(tmp_path / "results-main.jsonl")
    writer.write_scenario(result(P), order=0, worker="main")
    before = (tmp_path / "results-main.jsonl").read_bytes()
    write = os.write

    def full(fd: int, data: bytes) -> int:
        if write(fd, bytes(data)[:10]) < len(data):
            raise OSError(28, "No space left on device")
        return 10

    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space left"):
        patched.setattr(os, "write", full)
        writer.write_scenario(result(F, "b"), order=1, worker="main")
    assert (tmp_path / "results-main.jsonl").read_bytes() == before
    writer.write_scenario(result(F, "c"), order=2, worker="main")
    assert [entry.key for entry in gather([tmp_path / "results-main.jsonl"]).entries] == [
        "f.toml::a",
        "f.toml::c",
    ]
