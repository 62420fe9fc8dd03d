# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from harness import cli
from vm import reaper
from vm.config import VmConfig
from vm.errors import InputError, VmError
from vm.files import UseMark
from vm.windows import sealed, shelf
from vm.windows.profile import BUILTIN
from vm.windows.state import Failure, Record, State, StateFile

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def config(tmp_path: Path) -> Iterator[VmConfig]:
    with tempfile.TemporaryDirectory(prefix="kshs-s") as runtime:  # short: socket paths are limited
        yield VmConfig(cache_dir=tmp_path / "cache", runtime_dir=Path(runtime))


def seal(config: VmConfig, name: str = "win11", **changes: Any) -> Path:
    home = sealed.home(config, name)
    home.mkdir(parents=True)
    (home / "disk.qcow2").write_bytes(b"x" * 3_000_000)
    (home / "disk.qcow2").chmod(0o400)
    manifest = {
        "digest": "d",
        "name": name,
        "family": "windows",
        "profile": {**BUILTIN["win11"].model_dump(mode="json"), "name": name},
        "made": "2026-01-01T11:00:00+00:00",
        "installed": "2026-01-01T10:00:00+00:00",
        "evaluation_days": 90,
        "medium": {"path": "/media/w.iso"},
        "image": {"name": "Windows 11 Enterprise Evaluation", "build": 26200},
        "disk_sha256": "s",
        **changes,
    }
    (home / "manifest.json").write_text(json.dumps(manifest))
    return home


def work(config: VmConfig, name: str = "win11", failure: Failure | None = None) -> Path:
    folder = sealed.home(config, name).with_name(f"{name}.work")
    folder.mkdir(parents=True)
    record = Record(digest="d", state=State.PROVISIONING, failure=failure)
    StateFile(folder / "state.json", record).save()
    return folder


def template(config: VmConfig, image: Path, name: str = "win11-0123456789abcdef") -> Path:
    folder = config.templates_dir / name
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"digest": "t", "image": str(image)}))
    (folder / "in-use").touch()
    return folder


def test_what_is_sealed_says_how_long_it_lasts(config: VmConfig) -> None:
    assert shelf.kept(config) == []
    seal(config)
    (item,) = shelf.kept(config, NOW)
    assert (item.name, item.state) == ("win11", "sealed")
    assert item.bytes >= 2_900_000
    expected = "Windows 11 Enterprise Evaluation, build 26200; evaluation: 31 days left; sealed 2026-01-01T"
    assert item.detail.startswith(expected)
    (item,) = shelf.kept(config, datetime(2026, 6, 1, tzinfo=UTC))
    assert "evaluation: over; make it anew with: kshs provision win11" in item.detail


def test_what_is_half_made_says_how_it_stands(config: VmConfig) -> None:
    failure = Failure(state=State.PROVISIONING, reason="step openssh: 1603", evidence="/e", at="now")
    work(config, "a")
    work(config, "b", failure)
    work(config, "c")
    (config.cache_dir / "windows/d.work").mkdir()
    (config.cache_dir / "windows/e").mkdir()
    seal(config, "f", profile=3, installed=None)
    seal(config, "g.part")
    with FileLock(config.cache_dir / "windows/c.lock"):
        states = {item.name: (item.state, item.detail) for item in shelf.kept(config)}
    assert states["a"] == ("resumable", "interrupted in state provisioning")
    assert states["b"] == ("failed", "in state provisioning: step openssh: 1603; see /e")
    assert states["c"] == ("in the making", "a live run works on it")
    assert [states[name][0] for name in "def"] == ["damaged"] * 3
    assert set(states) == set("abcdef")


def test_only_its_name_removes_a_sealed_guest(config: VmConfig) -> None:
    home, other = seal(config), seal(config, "server2025")
    half, made = work(config), template(config, home)
    foreign = template(config, config.images_dir / "wine-1", "win11-layer-1")
    (config.cache_dir / "windows/win11.leases.json").write_text("{}")
    (config.cache_dir / "windows/win11.leases/fork").mkdir(parents=True)
    reaper.reap(config)
    assert home.exists() and half.exists() and made.exists()
    assert shelf.remove(config, "win11") == [
        f"template {made.name}",
        "guest in the making win11.work",
        "sealed guest win11",
    ]
    assert not home.exists() and not half.exists() and not made.exists()
    left = sorted(path.name for path in (config.cache_dir / "windows").iterdir())
    assert left == ["server2025", "win11.lock"]
    assert other.exists() and foreign.exists()
    with pytest.raises(InputError, match="no Windows guest 'win11' on this machine; there are: server2025"):
        shelf.remove(config, "win11")
    with pytest.raises(InputError, match="no Windows guest"):
        shelf.remove(config, "../windows/server2025")
    assert other.exists()


def test_everything_is_all_but_sealed_guests(config: VmConfig) -> None:
    home, half = seal(config), work(config)
    made = template(config, home)
    part = home.with_name("old.part")
    part.mkdir()
    gone = reaper.clean(config)
    assert f"template {made.name}" in gone and "half-sealed Windows guest old.part" in gone
    assert home.exists() and half.exists()


HOLDER = """
import sys
from pathlib import Path
from vm.files import UseMark
mark = UseMark(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def used(config: VmConfig) -> Iterator[Path]:
    """A sealed guest of which another process has a template in use."""
    home = seal(config)
    mark = template(config, home) / "in-use"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(mark)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert holder.stdin is not None and holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    yield home
    holder.communicate()
    assert not UseMark.is_held(mark)
    assert shelf.remove(config, "win11"), "nobody uses it any more"


def test_what_is_in_use_stays(config: VmConfig, used: Path) -> None:
    with pytest.raises(VmError, match="guest win11: is in use by a live run"):
        shelf.remove(config, "win11")
    assert used.exists() and list(config.templates_dir.iterdir())


def test_what_is_being_prepared_stays(config: VmConfig) -> None:
    home = seal(config)
    part = config.templates_dir / "win11-0123456789abcdef.build"
    part.mkdir(parents=True)
    with (
        FileLock(part.with_suffix(".lock")),
        pytest.raises(VmError, match="guest win11: is in use by a live run"),
    ):
        shelf.remove(config, "win11")
    assert home.exists()
    shelf.remove(config, "win11")
    assert not home.exists()


def test_what_is_being_made_stays(config: VmConfig) -> None:
    folder = work(config)
    with (
        FileLock(config.cache_dir / "windows/win11.lock"),
        pytest.raises(VmError, match="guest win11: is being made by a live run"),
    ):
        shelf.remove(config, "win11")
    assert folder.exists()


def test_the_commands(
    config: VmConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KSHS_CACHE_DIR", str(config.cache_dir))
    monkeypatch.setenv("KSHS_RUNTIME_DIR", str(config.runtime_dir))
    monkeypatch.setattr("harness.commands.inventory.remove_builds", list)
    monkeypatch.chdir(tmp_path)

    def kshs(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(list(words))
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out + said.err

    home, half = seal(config), work(config, "server2022")
    code, said = kshs("guests")
    assert code == 0
    assert "  win11  sealed, 3 MiB on disk; Windows 11 Enterprise Evaluation, build 26200; " in said
    assert "  server2022  resumable, 0 MiB on disk; interrupted in state provisioning" in said
    assert kshs("clean") == (0, "nothing to remove\n")
    code, said = kshs("clean", "--all")
    assert code == 0 and home.exists() and half.exists()
    assert "kept Windows guest win11 (sealed): kshs clean --guest win11" in said
    assert kshs("clean", "--guest", "win11") == (0, "removed sealed guest win11\n")
    assert not home.exists() and half.exists()
    code, said = kshs("clean", "--guest", "win11")
    assert code == 2 and said.startswith("kshs: there is no Windows guest 'win11' on this machine")
