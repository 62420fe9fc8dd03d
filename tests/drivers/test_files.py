# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from drivers.files import find, write_atomically


def test_a_file_is_there_whole_with_its_mode(tmp_path: Path) -> None:
    write_atomically(tmp_path / "new" / "key", b"secret", 0o600)
    assert (tmp_path / "new" / "key").read_bytes() == b"secret"
    assert stat.S_IMODE((tmp_path / "new" / "key").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["key"]


def test_what_was_there_stays_until_the_new_file_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_atomically(tmp_path / "x", b"old")

    def full(descriptor: int, mode: str) -> object:
        os.close(descriptor)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdopen", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(tmp_path / "x", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_bytes() == b"old"


def test_names_are_found_as_windows_finds_them(tmp_path: Path) -> None:
    (tmp_path / "Bin").mkdir()
    (tmp_path / "Bin" / "A.sys").touch()
    (tmp_path / "bin.txt").touch()
    assert find(tmp_path, "bin/a.SYS") == tmp_path / "Bin" / "A.sys"
    assert find(tmp_path, "BIN") == tmp_path / "Bin"
    assert find(tmp_path, "bin.txt/a.sys") is None
    assert find(tmp_path, "bin/b.sys") is None


def test_the_exact_name_goes_first(tmp_path: Path) -> None:
    for name in ("a.sys", "A.SYS"):
        (tmp_path / name).touch()
    assert [find(tmp_path, name) for name in ("a.sys", "A.SYS")] == [tmp_path / "a.sys", tmp_path / "A.SYS"]
