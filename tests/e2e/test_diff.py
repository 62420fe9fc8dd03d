# SPDX-License-Identifier: Apache-2.0
"""``kshs diff`` with real guests: two builds of a driver, and two kinds of guest."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import archived, command

pytestmark = [pytest.mark.e2e, pytest.mark.long]

LEG = """
[vm.legs.roomy]
memory_mib = 512
"""


def differing(folder: Path, *words: str) -> tuple[int, dict[str, Any]]:
    """What the command ends with, and what it says for programs."""
    done = subprocess.run(
        command.command_line("diff", "scenarios.toml", *words, "--out", "both", "--json"),
        cwd=folder,
        env=command.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * command.RUN_TIMEOUT,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.returncode, json.loads(done.stdout)


def test_two_builds_of_a_driver(tmp_path: Path) -> None:
    (tmp_path / "scenarios.toml").write_text(archived.SCENARIOS)
    for name, changes in (("sound", ()), ("wrong", ("refuses", "differs"))):
        archived.archive(tmp_path / "archive" / name, changes)
        (tmp_path / f"{name}.toml").write_text(archived.TARGET.format(package=f"archive/{name}"))
    code, found = differing(tmp_path, "--target", "sound.toml", "--target", "wrong.toml")
    assert code == 1 and found["unknown"] == {} and found["same"] == 2, found
    refused, differs = sorted(found["differing"], key=lambda one: str(one["key"]), reverse=True)
    assert refused["key"].endswith("relay.refuses") and "H9" in refused["rules"]
    assert refused["A"] == "passed" and refused["B"].startswith("failed"), refused
    # Where the contract is silent both pass, and the fields say what differs.
    assert differs["key"].endswith("relay.differs")
    assert "answer" in {one["field"] for one in differs["fields"]}
    assert {path.name for path in (tmp_path / "both").iterdir()} >= {"A", "B"}


def test_two_kinds_of_guest(tmp_path: Path) -> None:
    (tmp_path / "kshs.toml").write_text(LEG)
    (tmp_path / "scenarios.toml").write_text(archived.SCENARIOS)
    archived.archive(tmp_path / "archive" / "sound", ())
    (tmp_path / "relay.toml").write_text(archived.TARGET.format(package="archive/sound"))
    code, found = differing(tmp_path, "--target", "relay.toml", "--guest", "wine", "--guest", "roomy")
    assert code == 0 and found["differing"] == [] and found["unknown"] == {}, found
    assert found["same"] == 4
    assert [found["sides"][side]["conditions"]["recipe"] for side in "AB"] == ["wine", "roomy"]
