# SPDX-License-Identifier: Apache-2.0
"""`kshs guests` says what is kept on disk, where, and what removes it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from harness.commands.inventory import inventory, places, remove_prefixes
from vm.config import VmConfig
from vm.files import try_lock


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> VmConfig:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "builds"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return VmConfig(cache_dir=tmp_path / "cache", runtime_dir=Path("/tmp/kshs-nobody"))


def test_where_nothing_is_kept_it_says_where_it_will_be(config: VmConfig) -> None:
    assert places(config) == [f"nothing yet; images and templates will go to {config.cache_dir}"]
    assert set(map(str, inventory(config))) == {"images", "Windows guests", "templates", "live guests"}


def test_every_place_has_its_size_and_what_removes_it(config: VmConfig, tmp_path: Path) -> None:
    places_of_tests = ("builds/kshs/component-prefix-wine-8.0", "cache/other")
    for place in ("cache/images/wine-1", "builds/kshs/drivers", "data/kshs/signing", *places_of_tests):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "file").write_bytes(b"x" * (2 << 20))
    with (tmp_path / "cache/images/wine-1/sparse").open("wb") as sparse:
        sparse.truncate(1 << 40)  # a length, and no room on disk
    lines = [line.split(maxsplit=3) for line in places(config)]
    assert [(line[0], line[3]) for line in lines[:-1]] == [
        (str(tmp_path / "cache/images"), "images: kshs clean --all"),
        (str(tmp_path / "builds/kshs/drivers"), "builds of drivers: kshs clean --all"),
        (
            str(tmp_path / "data/kshs/signing"),
            "your test certificate and its key: removed by hand only (docs/signing.md)",
        ),
        (
            str(tmp_path / "builds/kshs/component-prefix-wine-8.0"),
            "Wine prefixes of the project's own tests: kshs clean --all",
        ),
        (str(tmp_path / "cache/other"), "of the project's own tests: remove it by hand"),
    ]
    assert {line[1] for line in lines[:-1]} == {"2"}
    assert places(config)[-1].split()[:2] == ["in", "all"]
    assert places(config)[-1].split()[2:] == ["10", "MiB"]


def test_prefixes_of_tests_go_but_for_those_in_use(config: VmConfig, tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    free, used, making = (tmp_path / f"builds/kshs/component-prefix-{name}" for name in ("a", "b", "c"))
    for home, copy in ((free, ended.pid), (used, os.getpid()), (making, ended.pid)):
        (home / f"copy-{copy}-x/drive_c").mkdir(parents=True)
        (home / "template").mkdir()
    lock = try_lock(making / "lock")
    assert lock is not None
    assert remove_prefixes() == [f"Wine prefixes of tests {free}"]
    lock.release()
    assert (free.exists(), used.exists(), making.exists()) == (False, True, True)
    assert remove_prefixes() == [f"Wine prefixes of tests {making}"]
