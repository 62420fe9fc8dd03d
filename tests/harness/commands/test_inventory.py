# SPDX-License-Identifier: Apache-2.0
"""`kshs guests` says what is kept on disk, where, and what removes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.commands.inventory import inventory, places
from vm.config import VmConfig


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> VmConfig:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "builds"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return VmConfig(cache_dir=tmp_path / "cache", runtime_dir=Path("/tmp/kshs-nobody"))


def test_where_nothing_is_kept_it_says_where_it_will_be(config: VmConfig) -> None:
    assert places(config) == [f"nothing yet; images and templates will go to {config.cache_dir}"]
    assert set(map(str, inventory(config))) == {"images", "Windows guests", "templates", "live guests"}


def test_every_place_has_its_size_and_what_removes_it(config: VmConfig, tmp_path: Path) -> None:
    for place in ("cache/images/wine-1", "builds/kshs/drivers", "data/kshs/signing", "cache/prefix"):
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
        (str(tmp_path / "cache/prefix"), "of the project's own tests: remove it by hand"),
    ]
    assert {line[1] for line in lines[:-1]} == {"2"}
    assert places(config)[-1].split()[:2] == ["in", "all"]
    assert places(config)[-1].split()[2:] == ["8", "MiB"]
