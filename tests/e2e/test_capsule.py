# SPDX-License-Identifier: Apache-2.0
"""A failure in a real guest, as one file: played again, minimised, and gone with the sound driver."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from harness.language import scenario_file
from tests.e2e import command

pytestmark = pytest.mark.e2e

DECLINES = "    return STATUS_INVALID_DEVICE_REQUEST;\n}"
OTHERWISE = "    return STATUS_NOT_SUPPORTED;\n}"


def kshs(folder: Path, *words: str | Path, seconds: float = command.RUN_TIMEOUT) -> tuple[int, str]:
    done = subprocess.run(
        command.command_line(*words),
        cwd=folder,
        env=command.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=seconds,
    )
    return done.returncode, done.stdout


def wrong_drivers(tmp_path: Path) -> Path:
    """Sources of drivers with a defect."""
    altered = tmp_path / "altered"  # not "drivers": it would be imported from the working directory
    shutil.copytree(command.ROOT / "drivers", altered, ignore=shutil.ignore_patterns("__pycache__"))
    source = altered / "avshs" / "behaviour.c"
    text = source.read_text("utf-8")
    assert text.count(DECLINES) == 1
    source.write_text(text.replace(DECLINES, OTHERWISE), "utf-8")
    return altered


def failed_capsule(tmp_path: Path) -> str:
    """Runs a scenario on drivers with a defect, and makes a capsule of its failure; gives the file's name."""
    altered = wrong_drivers(tmp_path)
    scenario = "success.alternating"
    code, said = kshs(tmp_path, "run", "--drivers", altered, "--id", scenario, "--out", "out")
    assert code == 1, said
    code, said = kshs(tmp_path, "capsule", "make", "out", scenario)
    assert code == 0, said
    return f"{scenario}.capsule"


def test_from_a_failed_run_to_the_least_scenario(tmp_path: Path) -> None:
    capsule = failed_capsule(tmp_path)
    code, said = kshs(tmp_path, "repro", capsule, "--runs", "2")
    assert code == 1 and "reproduced: 2 of 2 runs" in said, said
    code, said = kshs(tmp_path, "minimize", capsule, "--runs", "2", "--out", "least.toml")
    assert code == 0, said
    (least,) = scenario_file.load(tmp_path / "least.toml")
    assert [step.model_dump(exclude_unset=True) for step in least.steps] == [
        {"do": "handshake", "on": "source", "protocol": "unknown"}
    ]
    code, said = kshs(tmp_path, "repro", capsule, "--runs", "1", "--target", "avshs")
    assert code == 0 and "not reproduced: 0 of 1 runs" in said, said
    code, said = kshs(tmp_path, "run", "--out", "sound", "least.toml")
    assert code == 0, said
