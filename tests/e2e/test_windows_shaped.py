# SPDX-License-Identifier: Apache-2.0
"""The disk of Windows' shape is made again after a failure; here nothing boots."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.e2e import windows_shaped
from vm.config import VmConfig


@pytest.mark.parametrize("killed", [False, True], ids=["a failure", "a kill"])
def test_what_failed_leaves_nothing_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    config = VmConfig(cache_dir=tmp_path, runtime_dir=Path("/tmp/kshs-shaped"))
    monkeypatch.setattr(windows_shaped.image, "ensure", lambda _: SimpleNamespace(digest="d", disk=tmp_path))
    monkeypatch.setattr(windows_shaped.double, "_kernel_package", lambda: "linux-image-1")
    monkeypatch.setattr(windows_shaped.double, "_kernel_tree", lambda *_: tmp_path)
    fails = [True]

    def write(_tree: Path, _package: str, _root: Path, work: Path) -> None:
        (work / "tree").mkdir()
        if fails.pop():
            raise OSError("no room")
        (work / "disk").write_bytes(b"disk")

    monkeypatch.setattr(windows_shaped, "_write", write)
    with pytest.raises(OSError, match="no room"):
        windows_shaped.disk(config)
    work = tmp_path / "windows-shaped/work"
    assert not work.exists()
    if killed:
        (work / "tree").mkdir(parents=True)
    fails.append(False)
    target, _ = windows_shaped.disk(config)
    assert target.read_bytes() == b"disk" and not work.exists()
