# SPDX-License-Identifier: Apache-2.0
"""What ``kshs fuzz`` refuses, before anything takes time."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import cli


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a wrong call gets."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["fuzz", *arguments])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1 and "Traceback" not in said
    return said


def test_there_is_nothing_to_go_on_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no such directory" in refused(capsys, "--resume", str(tmp_path / "none"))
    assert "no campaign was begun there" in refused(capsys, "--resume", str(tmp_path))


def test_results_of_another_campaign_are_not_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    assert "the directory is not empty" in refused(capsys, "--out", str(tmp_path))
    assert (tmp_path / "mine.txt").read_text() == "kept"


def test_a_campaign_keeps_its_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "--resume", str(tmp_path), "--seed", "4")
    assert "--resume goes on with what was begun" in said


def test_without_hypothesis_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.commands.fuzz.find_spec", lambda name: None)
    assert "hypothesis is not installed" in refused(capsys)
