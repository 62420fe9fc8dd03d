# SPDX-License-Identifier: Apache-2.0
"""The worked example of docs/nights.md: its commands say, word for word, what the page says."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from harness import cli
from tests.docs.pages import ROOT, Block, blocks
from tests.harness.nights.folders import DECLINED, Case, Results

EXAMPLE = [block for block in blocks() if block.page.name == "nights.md"]
SESSION = [block for block in EXAMPLE if block.language == "console" and block.reason is None]
KNOWN = next(block for block in EXAMPLE if "KS-12" in block.text and block.language == "toml")

FILE = "harness/catalogue/characteristics.toml"
REFUSED = {"answer": DECLINED, "returned": DECLINED, "status": DECLINED, "information": 0}
ACCEPTED = {**REFUSED, "answer": 0, "information": 32}


def night(name: str, number: int, ks: str, filtered: dict[str, int], declined: int) -> Results:
    cases = [
        Case("silent.filter.irp", requests=[filtered], file=FILE),
        Case("silent.declined", requests=[{}, {**REFUSED, "information": declined}], file=FILE),
        Case("length.short", file="harness/catalogue/lengths.toml"),
        Case("mode.user", file="harness/catalogue/mode.toml"),
    ]
    return Results(night=number, id=name, ks=ks * 64, cases=cases)


def steps(block: Block) -> list[tuple[str, list[str]]]:
    """Each command of a block, with the lines behind it."""
    found: list[tuple[str, list[str]]] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def agrees(shown: list[str], said: list[str]) -> bool:
    """Whether lines are those of the page; ... stands for any lines, or for the end of one."""
    if not shown:
        return not said
    first, *rest = shown
    if first == "...":
        return any(agrees(rest, said[skip:]) for skip in range(len(said) + 1))
    head, cut, _ = first.partition("...")
    alike = bool(said) and (said[0].startswith(head) if cut else said[0] == first)
    return alike and agrees(rest, said[1:])


def test_the_worked_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kshs.toml").write_text('[store]\nurl = "nights.db"\n')
    for name, run in (
        ("monday", night("5c1f0a6e2b11", 4, "a", REFUSED, 0)),
        ("tuesday", night("8d20b7714c02", 5, "b", ACCEPTED, 32)),
    ):
        run.write(tmp_path / "out").rename(tmp_path / "out" / name)
    assert len(SESSION) == 2
    for number, block in enumerate(SESSION):
        if number:
            (tmp_path / "known-issues.toml").write_text(KNOWN.text)
        for command, shown in steps(block):
            with pytest.raises(SystemExit):
                cli.main(shlex.split(command)[1:])
            said = capsys.readouterr()
            lines = (said.out + said.err).splitlines()
            assert agrees(shown, lines), f"$ {command}\n" + "\n".join(lines)


def test_the_page_has_every_verdict() -> None:
    from harness.nights.findings import Kind

    text = (ROOT / "docs" / "nights.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]
    assert [row for row in rows if row in set(Kind)] == [kind.value for kind in Kind]
