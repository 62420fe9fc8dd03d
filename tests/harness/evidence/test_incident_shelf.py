# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from harness.evidence.incident_folder import IncidentFolder, folder_name, run_name
from harness.evidence.incident_shelf import IncidentShelf, NoRoomError
from harness.incident_settings import IncidentsConfig


def keep(out: Path, run: str, name: str, size: int = 10, days: float = 0, **settings: int) -> Path:
    path, _ = IncidentShelf(out, run, IncidentsConfig(**settings)).take(name)
    (path / "incident.json").write_bytes(b"x" * size)
    then = time.time() - days * 86400
    os.utime(path, (then, then))
    return path


@pytest.mark.parametrize(
    "scenario",
    [
        "../../etc/passwd",
        "/absolute",
        "a\0b",
        "x" * 5000,
        "\x1b[31m",
        "..",
        "",
        "a/b",
        "\ud800",
        "CON",
        "a b",
    ],
)
def test_a_name_is_never_a_way_elsewhere(tmp_path: Path, scenario: str) -> None:
    name = folder_name(scenario, "file.toml")
    assert name == Path(name).name and name not in (".", "..") and len(name) < 100
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    (tmp_path / name).mkdir()
    assert run_name(scenario) == Path(run_name(scenario)).name


def test_two_scenarios_never_share_a_folder(tmp_path: Path) -> None:
    assert folder_name("a.b", "one.toml") != folder_name("a-b", "one.toml")
    assert folder_name("a.b", "one.toml") != folder_name("a.b", "two.toml")
    first, second = (keep(tmp_path, "run", "same") for _ in range(2))
    assert (first.name, second.name) == ("same", "same-2")
    assert first.stat().st_mode & 0o077 == 0


def test_earlier_runs_give_way_and_the_oldest_first(tmp_path: Path) -> None:
    old = [keep(tmp_path, "earlier", f"s{number}", days=3 - number) for number in range(3)]
    kept = keep(tmp_path, "now", "mine", keep=3)
    assert not old[0].exists() and old[1].exists() and old[2].exists() and kept.exists()
    keep(tmp_path, "now", "other", keep=2)
    assert not any(path.exists() for path in old) and kept.exists()
    assert not (tmp_path / "incidents" / "earlier").exists()


def test_what_is_too_old_goes_and_ones_own_stays(tmp_path: Path) -> None:
    young = keep(tmp_path, "earlier", "young", days=29)
    old = keep(tmp_path, "earlier", "old", days=31)
    own = keep(tmp_path, "now", "own", days=31)
    old.mkdir(parents=True, exist_ok=True)  # gone with the incident before
    os.utime(old, (0, 0))
    IncidentShelf(tmp_path, "now", IncidentsConfig(keep_days=30)).prune()
    assert not old.exists() and own.exists() and young.exists()


def test_the_incidents_of_the_run_itself_are_never_removed_for_more_of_them(tmp_path: Path) -> None:
    kept = [keep(tmp_path, "now", f"s{number}", keep=2) for number in range(2)]
    with pytest.raises(NoRoomError, match=r"2 incidents of this run .* \(incidents\.keep\)"):
        keep(tmp_path, "now", "more", keep=2)
    assert all(path.exists() for path in kept)
    keep(tmp_path, "now", "large", size=2 << 20)
    with pytest.raises(NoRoomError, match=r"budget_mib"):
        keep(tmp_path, "now", "more", budget_mib=1)


def test_the_budget_makes_room_among_earlier_runs(tmp_path: Path) -> None:
    old = [keep(tmp_path, "earlier", f"s{number}", size=300 << 10, days=2 - number) for number in range(2)]
    shelf = IncidentShelf(tmp_path, "now", IncidentsConfig(budget_mib=1, file_kib=64))
    _, room = shelf.take("mine")
    assert not old[0].exists() and old[1].exists()
    assert 0 < room <= (1 << 20) - (300 << 10)


def test_a_piece_is_bounded_and_its_end_counts(tmp_path: Path) -> None:
    folder = IncidentFolder(tmp_path / "one", limit=100, room=150)
    folder.add("serial.log", b"a" * 50 + b"b" * 100, size=5000)
    folder.add("session.log", b"c" * 80)
    folder.add("agent.log", b"d")
    folder.add("empty.log", b"")
    assert (tmp_path / "one" / "serial.log").read_bytes() == b"b" * 100
    assert (tmp_path / "one" / "session.log").read_bytes() == b"c" * 50
    assert folder.files == {
        "serial.log": {"bytes": 100, "cut": True},
        "session.log": {"bytes": 50, "cut": True},
    }
    assert folder.missing == {"agent.log": "the budget of incidents is used up"}
    assert not (tmp_path / "one" / "empty.log").exists()
