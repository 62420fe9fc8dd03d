# SPDX-License-Identifier: Apache-2.0
"""Outputs that cannot be written are told before anything takes time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.bench import measure as bench
from harness.commands import bench as bench_cli
from harness.commands.inputs import check_output
from harness.errors import UsageError


def test_a_new_file_and_an_old_one_are_taken_and_left_alone(tmp_path: Path) -> None:
    new, old = tmp_path / "a" / "new", tmp_path / "old"
    old.write_text("kept")
    check_output(new, "--out")
    check_output(old, "--out")
    assert new.parent.is_dir()
    assert not new.exists()
    assert old.read_text() == "kept"


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/proc/x/y", "nothing can be written there"),
        ("/dev/null", "no regular file"),
        ("/dev/null/x", "nothing can be written there"),
        ("/tmp", "a directory, where a file is wanted"),
    ],
)
@pytest.mark.parametrize("option", ["--out", "--plot"])
def test_bench_measures_nothing_whose_figures_it_cannot_keep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, says: str, option: str
) -> None:
    def measure(*_: Any, **__: Any) -> None:
        raise AssertionError("it was measured")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bench, "measure", measure)
    with pytest.raises(UsageError, match=says) as caught:
        if option == "--out":
            bench_cli.bench(out=Path(path))
        else:
            bench_cli.bench(out=tmp_path / "bench.json", plot=Path(path))
    assert caught.value.hint == f"check {option}"
