# SPDX-License-Identifier: Apache-2.0
"""Whatever leases a Windows guest looks at its evaluation first."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from harness.errors import UsageError
from harness.guests.source import usable_guest
from harness.progress import Progress
from tests.harness.commands.test_cli import kshs
from vm.config import VmConfig
from vm.windows import sealed
from vm.windows.profile import BUILTIN

REBUILD = "kshs provision win11 --iso /media/w.iso --rebuild"


def seal(cache: Path, days_left: float) -> VmConfig:
    """A sealed guest whose evaluation of 90 days ends in so many days (and a minute) from now."""
    config = VmConfig(cache_dir=cache)
    home = sealed.home(config, "win11")
    home.mkdir(parents=True)
    installed = datetime.now(UTC) + timedelta(days=days_left - 90, minutes=1)
    manifest = {
        "digest": "d",
        "name": "win11",
        "family": "windows",
        "profile": BUILTIN["win11"].model_dump(mode="json"),
        "installed": installed.isoformat(timespec="seconds"),
        "evaluation_days": 90,
        "medium": {"path": "/media/w.iso"},
        "disk_sha256": "s",
    }
    (home / "manifest.json").write_text(json.dumps(manifest))
    return config


@pytest.mark.parametrize(
    "words",
    [
        ("run", "-k", "H4", "--out", "o"),
        ("run", "-k", "H4", "--out", "o", "-n", "2"),
        ("shell",),
        ("shell", "--bare"),
        ("bench", "--quick", "--out", "o"),
    ],
)
def test_nothing_is_leased_after_its_end(tmp_path: Path, words: tuple[str, ...]) -> None:
    seal(tmp_path / "cache", -1)
    paths = {"KSHS_CACHE_DIR": str(tmp_path / "cache"), "XDG_CACHE_HOME": str(tmp_path / "none")}
    done = kshs(tmp_path, *words, "--guest", "win11", **paths)
    assert done.returncode == 2, done.stdout + done.stderr
    said = done.stdout + done.stderr
    assert "guest win11: its evaluation period ended on " in said and f"run: {REBUILD}" in said
    assert "Traceback" not in said
    assert not (tmp_path / "none" / "kshs" / "drivers").exists(), "nothing was built for it"
    assert not (tmp_path / "cache" / "templates").exists()


@pytest.mark.parametrize(("left", "warned"), [(15, False), (14, True), (0, True)])
def test_a_lease_warns_in_the_last_two_weeks(tmp_path: Path, left: int, warned: bool) -> None:
    config, said = seal(tmp_path, left), list[str]()
    assert usable_guest(config, "win11", said.append).facts() == {"evaluation_days_left": left}
    assert bool(said) is warned
    assert all(line.startswith("warning: guest win11: ") and REBUILD in line for line in said)


def test_a_lease_is_refused_a_day_after(tmp_path: Path) -> None:
    said = list[str]()
    with pytest.raises(UsageError, match="its evaluation period ended on"):
        usable_guest(seal(tmp_path, -1), "win11", said.append)
    assert said == []


def test_a_warning_stays_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    screen = io.StringIO()
    with Progress(Console(file=screen, force_terminal=True, width=100, highlight=False)) as progress:
        progress.say("building")
        progress.say("warning: it [ends] soon")
        progress.say("leasing")
    assert "kshs: warning: it [ends] soon\n" in screen.getvalue()
    assert "kshs: building" not in screen.getvalue()
