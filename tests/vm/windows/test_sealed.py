# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vm.config import VmConfig
from vm.errors import InputError, VmError
from vm.family import Wine
from vm.windows import sealed, shelf
from vm.windows.family import Windows
from vm.windows.profile import BUILTIN

INSTALLED = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def image(tmp_path: Path) -> sealed.WindowsImage:
    config = VmConfig(cache_dir=tmp_path)
    home = sealed.home(config, "server2025")
    home.mkdir(parents=True)
    manifest = {
        "digest": "d",
        "name": "server2025",
        "family": "windows",
        "profile": BUILTIN["server2025"].model_dump(mode="json"),
        "installed": INSTALLED.isoformat(),
        "evaluation_days": 180,
        "medium": {"path": "/media/server.iso"},
    }
    (home / "manifest.json").write_text(json.dumps(manifest))
    found = sealed.find(config, "server2025")
    assert found is not None
    assert sealed.find(config, "win11") is None
    return found


def _guard(image: sealed.WindowsImage, days: float) -> list[str]:
    said: list[str] = []
    sealed.guard(image, said.append, INSTALLED + timedelta(days=days))
    return said


def test_the_profile_comes_back_as_it_went_in(image: sealed.WindowsImage) -> None:
    assert image.profile == BUILTIN["server2025"]
    assert isinstance(image.speech, Windows)


REBUILD = "kshs provision server2025 --iso /media/server.iso --rebuild"


@pytest.mark.parametrize(
    ("left", "says"),
    [(15, None), (14, "in 14 days"), (13.5, "in 13 days"), (1, "in 1 day"), (0.5, "today"), (0, "today")],
)
def test_evaluation_warns_two_weeks_before_its_end(
    image: sealed.WindowsImage, left: float, says: str | None
) -> None:
    assert _guard(image, 0) == []
    said = _guard(image, 180 - left)
    if says is None:
        assert said == []
    else:
        warning = f"warning: guest server2025: its evaluation period ends {says} (2026-06-30)"
        assert said == [f"{warning}; make it anew with: {REBUILD}"]


@pytest.mark.parametrize("left", [-1 / 86400, -0.1, -1, -400])
def test_evaluation_refuses_after_its_end(image: sealed.WindowsImage, left: float) -> None:
    with pytest.raises(InputError) as refused:
        _guard(image, 180 - left)
    expected = f"guest server2025: its evaluation period ended on 2026-06-30; run: {REBUILD}"
    assert str(refused.value) == expected
    assert REBUILD in sealed.remaining(image, INSTALLED + timedelta(days=180 - left))


def test_remaining_days_in_words(image: sealed.WindowsImage) -> None:
    said = [sealed.remaining(image, INSTALLED + timedelta(days=day)) for day in (0, 179, 179.5, 180)]
    assert said == [f"evaluation: {text} left" for text in ("180 days", "1 day", "0 days", "0 days")]


def test_without_an_evaluation_period_nothing_ends(image: sealed.WindowsImage) -> None:
    manifest = {**image.manifest, "evaluation_days": None}
    endless = sealed.WindowsImage(image.digest, image.path, manifest)
    assert endless.days_left() is None
    assert _guard(endless, 10_000) == []
    assert sealed.remaining(endless) == "evaluation: none known"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("digest", None),
        ("digest", 7),
        ("family", "nt"),
        ("profile", {"name": "server2025", "memory_mib": "much"}),
        ("profile", None),
        ("installed", "yesterday"),
        ("installed", "2026-01-01"),
        ("installed", None),
        ("evaluation_days", "long"),
        ("evaluation_days", 10**12),
        ("medium", {}),
        ("medium", "x"),
        ("image", {"build": "new"}),
        ("disk_sha256", 5),
    ],
)
def test_a_damaged_manifest_is_told_with_its_key(image: sealed.WindowsImage, key: str, value: object) -> None:
    config = VmConfig(cache_dir=image.path.parents[1])
    (image.path / "manifest.json").write_text(json.dumps({**image.manifest, key: value}))
    with pytest.raises(VmError, match=rf"manifest\.json: cannot be used: {key}.*kshs clean --guest") as told:
        sealed.find(config, "server2025")
    assert "\n" not in str(told.value)
    (item,) = shelf.kept(config)
    assert item.state == "damaged" and key in item.detail


@pytest.mark.parametrize("key", ["", "ssh-ed25519", "ssh-ed25519 %%%", "\xe9 \xe9", None])
def test_damaged_keys_are_told(image: sealed.WindowsImage, key: str | None) -> None:
    (image.path / "client_key").write_text("private")
    public = image.path / "host_key.pub"
    public.write_text("ssh-ed25519 QUJD kshs")
    assert image.endpoint(22).pinned == b"ABC"
    public.unlink() if key is None else public.write_text(key)
    with pytest.raises(VmError, match="SSH keys are missing or damaged"):
        image.endpoint(22)


def test_family_speaks_to_cmd() -> None:
    windows = Windows()
    assert windows.command_line(["C:\\kshs\\kshsctl.exe", "info"]) == "C:\\kshs\\kshsctl.exe info"
    assert windows.command_line(["a b", "c"]) == '"a b" c'
    assert windows.command_line(["x", "a&b"]) == 'x "a&b"'
    assert windows.sftp_path(r"C:\kshs\x.log") == "/C:/kshs/x.log"
    with pytest.raises(VmError, match="drive"):
        windows.sftp_path("/tmp/x")
    assert windows.set_clock(0) == "date 01-01-1970 & time 00:00:00"
    assert Wine().name != windows.name
