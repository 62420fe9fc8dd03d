# SPDX-License-Identifier: Apache-2.0
"""The script of the thirty nights with made results: ``kshs nightly`` says all of it, in seconds."""

from __future__ import annotations

import random
import shlex
from pathlib import Path

import pytest

from harness import cli
from harness.commands import nightly
from harness.commands.nightly import Cell
from harness.language.target import BUILTIN
from tests.e2e import thirty
from tests.e2e.thirty import Scripted
from tests.harness.nights.folders import Case, Results

FILE = "scenarios/relay.toml"
REFUSED = "H9: answer is STATUS_NOT_SUPPORTED (0xC00000BB), expected STATUS_SUCCESS (0x00000000)"
COUNTED = "H6: argument1 is 0xD5, expected 0xD4"
DICE = random.Random(4)


def cases(night: Scripted) -> list[Case]:
    """What the driver does."""
    bad = {"refusing": ("refuses", REFUSED), "miscounting": ("miscounts", COUNTED)}
    if night.package == "flaking" and DICE.random() < 0.3:
        bad["flaking"] = ("flakes", REFUSED)
    wrong, reason = bad.get(night.package, (None, None))
    names = [name for name in thirty.ALL if name != "goes" or not night.gone]
    if night.lab_is_down:
        return [Case(f"relay.{name}", "error", reason="no guest", file=FILE) for name in names]
    status = 0xC0000272 if night.package == "differing" else 0xC0000010
    return [
        Case(f"relay.{name}", "failed", reason=reason, file=FILE)
        if name == wrong
        else Case(f"relay.{name}", requests=[{"answer": status} if name == "differs" else {}], file=FILE)
        for name in names
    ]


def test_thirty_nights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "relay.toml").write_bytes((BUILTIN / "avshs.toml").read_bytes())

    def play(number: int, night: Scripted) -> tuple[int, str]:
        (tmp_path / "kshs.toml").write_text(thirty.settings(night))
        known = tmp_path / "known-issues.toml"
        known.unlink(missing_ok=True)
        text = thirty.issues(night)
        if text is not None:
            known.write_text(text)

        def command(cell: Cell, folder: Path, given: Path | None) -> list[str]:
            run = Results(
                id=f"run{number:02d}-{cell.repeat}",
                cases=cases(night),
                package=night.package,
                command=shlex.join(["kshs", *cell.arguments(given, folder)]),
                problem="no guest" if night.lab_is_down else None,
            )
            if night.suite is not None:
                run = run.but(kernel="Wine 10.0 as NT 10.0.19045", build="19045", ks="b" * 64)
            if night.lab_is_down:  # no guest was had that could say what it is
                run = run.but(kernel=None, build=None, ks=None, ours=None, verifier=None)
            made = run.at(thirty.tonight(number)).write(tmp_path / "made")
            code = 3 if night.lab_is_down else int(any(case.verdict == "failed" for case in run.cases))
            return ["sh", "-c", f"cp {made}/results.jsonl {folder}; exit {code}"]

        monkeypatch.setattr(nightly, "kshs", command)
        with pytest.raises(SystemExit) as ended:
            cli.main(["nightly", "lab", "--out", f"night{number:02d}"])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out + said.err

    thirty.played(tmp_path, play)
