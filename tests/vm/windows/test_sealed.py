from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from vm.config import VmConfig
from vm.errors import VmError
from vm.family import Wine
from vm.windows import sealed
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


def test_evaluation_warns_two_weeks_before_its_end(image: sealed.WindowsImage) -> None:
    assert _guard(image, 0) == []
    assert _guard(image, 165) == []
    (warning,) = _guard(image, 166)
    assert "ends in 14 days, on 2026-06-30" in warning
    assert "kshs provision server2025 --iso /media/server.iso --rebuild" in warning
    assert "in 0 days" in _guard(image, 179.5)[0]


def test_evaluation_refuses_after_its_end(image: sealed.WindowsImage) -> None:
    with pytest.raises(VmError, match=r"ended on 2026-06-30; run: kshs provision server2025 .* --rebuild"):
        _guard(image, 180.1)


def test_without_an_evaluation_period_nothing_ends(image: sealed.WindowsImage) -> None:
    manifest = {**image.manifest, "evaluation_days": None}
    endless = sealed.WindowsImage(image.digest, image.path, manifest)
    assert endless.days_left() is None
    assert _guard(endless, 10_000) == []


def test_family_speaks_to_cmd() -> None:
    windows = Windows()
    assert windows.command_line(["C:\\kshs\\kshsctl.exe", "info"]) == "C:\\kshs\\kshsctl.exe info"
    assert windows.command_line(["a b", "c"]) == '"a b" c'
    assert windows.command_line(["a&b"]) == "a^&b"
    with pytest.raises(VmError, match="cmd cannot be given"):
        windows.command_line(["%PATH%"])
    assert windows.sftp_path(r"C:\kshs\x.log") == "/C:/kshs/x.log"
    with pytest.raises(VmError, match="drive"):
        windows.sftp_path("/tmp/x")
    assert windows.set_clock(0) == "date 01-01-1970 & time 00:00:00"
    assert Wine().name != windows.name
