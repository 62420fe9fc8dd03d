# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from pathlib import Path

import pytest

from drivers import doctor, toolchain


@pytest.mark.component
def test_a_driver_is_built_to_see_that_it_can_be(home: None) -> None:
    (check,) = doctor.checks()
    assert check.ok, check.detail
    assert "linked and signed" in check.detail


@pytest.mark.component
def test_a_compiler_that_is_there_and_fails_is_bad(
    home: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = tmp_path / "bin"
    only.mkdir()
    for name in ("ld.lld", "llvm-dlltool", "llvm-rc"):
        (only / name).symlink_to(toolchain.find_program(name, "llvm"))
    (only / "clang").write_text("#!/bin/sh\necho 'error: no space left' >&2\nexit 1\n")
    (only / "clang").chmod(0o755)
    monkeypatch.setenv("PATH", f"{only}:{os.environ['PATH']}")
    (check,) = doctor.checks()
    assert not check.ok
    assert "no space left" in check.detail


@pytest.mark.parametrize("user", [0, 1000])
def test_a_missing_tool_is_named_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "getuid", lambda: user)
    (check,) = doctor.checks()
    assert not check.ok
    assert check.fix == ("" if user == 0 else "sudo ") + "apt-get install -y clang"
