# SPDX-License-Identifier: Apache-2.0
"""``kshs diff``: two sides that are asked the same, and what it says of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import cli
from harness.commands import nightly
from harness.commands.nightly import Cell
from tests.harness.nights.folders import Case, Results

HERE = Results(
    cases=[
        Case("a"),
        Case("b", rule="H10"),
        Case("c", requests=[{}, {}], rule="H4"),
        Case("d", "failed", rule="H9"),
        Case("e"),
        Case("f", "skipped"),
        Case("g"),
    ]
)
THERE = HERE.but(
    night=1,
    kernel="Wine 10.0 as NT 10.0.19045",
    cases=[
        Case("a"),
        Case("b", "crashed", rule="H10"),
        Case("c", requests=[{"information": 0}, {"information": 0, "answer": 0xC0000010}], rule="H4"),
        Case("d", "failed", rule="H9"),
        Case("e", "error", reason="the guest was lost"),
        Case("f"),
    ],
)

Kshs = Callable[..., tuple[int, str]]


@pytest.fixture
def kshs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Kshs:
    """Runs a command whose sides leave what the test says; its exit code, and all that it says."""
    monkeypatch.chdir(tmp_path)
    sides = {"A": HERE.write(tmp_path / "made"), "B": THERE.write(tmp_path / "made")}
    asked = tmp_path / "asked"

    def command(cell: Cell, folder: Path, config: Path | None) -> list[str]:
        with asked.open("a") as file:
            print(cell.name, *cell.arguments(config, None), file=file)
        return ["cp", "-r", f"{sides[cell.name]}/.", str(folder)]

    monkeypatch.setattr(nightly, "kshs", command)

    def called(*words: str | Path) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(list(map(str, words)))
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out + said.err

    return called


def test_two_targets_on_one_guest(kshs: Kshs, tmp_path: Path) -> None:
    code, said = kshs(
        "diff", "--target", "avshs", "--target", "avshs", "--rule", "H4", "-k", "x", "--out", "both"
    )
    assert code == 1
    assert sorted((tmp_path / "asked").read_text().splitlines()) == [
        f"{side} run --rule H4 -k x --guest wine --target avshs" for side in "AB"
    ]
    lines = said.splitlines()
    # Both at a time, where the host has the room.
    assert {line.split(": ")[0] for line in lines[:2]} == {"side A", "side B"}
    assert lines[2].startswith("A: run night00, Wine 8.0") and lines[3].startswith(
        "B: run night01, Wine 10.0"
    )
    assert lines[4] == "  kernel: A Wine 8.0 as NT 6.1.7601, B Wine 10.0 as NT 10.0.19045"
    assert lines[5:] == [
        "H4: 1 scenario",
        "  basic.toml::c: passed on both; information, answer differ",
        "H6: 1 scenario",
        "  basic.toml::f",
        "    A skipped: not here",
        "    B passed",
        "H10: 1 scenario",
        "  basic.toml::b",
        "    A passed",
        "    B crashed: H10: answer is wrong",
        "information: 2 status blocks",
        "  2 times A 32, B 0",
        "answer: 1 status block",
        "  1 times A STATUS_SUCCESS (0x00000000), B STATUS_INVALID_DEVICE_REQUEST (0xC0000010)",
        "not known: basic.toml::e: error of the harness on B: the guest was lost",
        "not known: basic.toml::g: it was not run on B",
        "3 scenarios differ; 2 came alike; of 2 one side says nothing",
    ]
    assert (tmp_path / "both/A/results.jsonl").is_file()
    code, said = kshs("diff", "--target", "avshs", "--target", "avshs", "--out", "both")
    assert code == 2 and "nothing is replaced" in said


def test_as_json(kshs: Kshs) -> None:
    code, said = kshs("diff", "--target", "avshs", "--target", "avshs", "--json")
    found = json.loads(said)
    assert code == 1 and found["same"] == 2 and set(found["unknown"]) == {"basic.toml::e", "basic.toml::g"}
    c = next(one for one in found["differing"] if one["key"] == "basic.toml::c")
    assert c["rules"] == ["H4"] and (c["fields"][0]["A"], c["fields"][0]["B"]) == (32, 0)
    assert found["sides"]["B"]["conditions"]["kernel"] == "Wine 10.0 as NT 10.0.19045"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "two sides are compared: two guests or two targets"),
        (("--guest", "wine"), "two sides are compared"),
        (("--guest", "wine", "--guest", "wine", "--target", "a", "--target", "b"), "two sides are compared"),
        (("--guest", "wine", "--guest", "none"), "there is no guest 'none'"),
        (("--target", "avshs", "--target", "avsh"), "there is no target 'avsh'"),
    ],
)
def test_what_is_refused(kshs: Kshs, words: tuple[str, ...], says: str) -> None:
    code, said = kshs("diff", *words)
    assert code == 2 and says in said and said.count("\n") == 1


def test_a_side_that_cannot_be_run(kshs: Kshs, monkeypatch: pytest.MonkeyPatch) -> None:
    for code in (2, 3):
        command = ["sh", "-c", f"echo 'kshs: no room'; exit {code}"]
        monkeypatch.setattr(nightly, "kshs", lambda cell, folder, config, command=command: command)
        ended, said = kshs("diff", "--target", "avshs", "--target", "avshs", "--out", f"both{code}")
        assert ended == code and f"both{code}/A/output.txt: side A was not run: no room" in said
