# SPDX-License-Identifier: Apache-2.0
"""``kshs fuzz`` as a command: what it says where it cannot go on."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from harness.commands import fuzz as command
from harness.fuzzing.keeping import CAMPAIGN
from harness.guests.provider import VmProvider


def fuzz(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["fuzz", *words])
    return int(ended.value.code or 0)


def test_a_full_disk_is_said_with_where_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*given: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(command._Work, "run", full)
    assert fuzz("--out", str(tmp_path)) == 3
    said = capsys.readouterr().err
    assert f"{tmp_path}: cannot be written: No space left on device" in said
    assert f"--resume {tmp_path}" in said and "unexpected" not in said


@pytest.mark.parametrize("text", ["{", "\xff", '{"schema": 1}', '{"schema": 7}'])
def test_a_damaged_campaign_is_bad_usage_and_stays_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (tmp_path / CAMPAIGN).write_bytes(text.encode("latin-1"))
    for words in (("--resume", str(tmp_path)), ("--out", str(tmp_path))):
        assert fuzz(*words) == 2
        said = capsys.readouterr().err
        assert len(said.splitlines()) == 1 and "no campaign's state" in said
    assert (tmp_path / CAMPAIGN).read_bytes() == text.encode("latin-1")


def test_wrong_words_are_bad_usage_with_their_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(VmProvider, "prepare", lambda *given: None)
    monkeypatch.setattr(VmProvider, "target_digest", lambda *given: "0" * 64)
    for words, said in (
        (("--drivers", str(tmp_path)), f"{tmp_path}: holds no drivers"),
        (("--against", "nobody"), "--against: there is no guest and no target 'nobody'"),
        (("--guest", "nobody"), "there is no guest 'nobody'"),
    ):
        assert fuzz("--out", str(tmp_path / "new"), *words) == 2
        assert said in capsys.readouterr().err


def test_only_a_campaign_is_said_to_be_one_that_can_be_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results.jsonl").touch()
    assert fuzz("--out", str(tmp_path)) == 2
    said = capsys.readouterr().err
    assert "not empty" in said and "--resume" not in said
