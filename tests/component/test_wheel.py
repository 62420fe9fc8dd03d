# SPDX-License-Identifier: Apache-2.0
"""A built wheel in another virtual environment is all of kshs: command, pytest plugin, sources and data."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import drivers.build

pytestmark = pytest.mark.component

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("drivers", "vm", "harness")
LEFT_OUT = shutil.ignore_patterns("__pycache__", ".*")


def run(*command: str | Path, cwd: Path) -> str:
    """What a command prints; it must succeed, and sees nothing of this checkout."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built in a copy, since building writes beside the sources."""
    work = tmp_path_factory.mktemp("wheel")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, work / "source" / name, ignore=LEFT_OUT)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, work / "source" / name)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", work, work / "source", cwd=work)
    (made,) = work.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a new environment; its dependencies are those that are installed here already."""
    home = tmp_path_factory.mktemp("environment") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", home, cwd=home.parent)
    python = home / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python)
    run(*pip, "install", "-q", "--no-deps", "--no-index", wheel, cwd=home.parent)
    (packages,) = home.glob("lib/python*/site-packages")
    # A directory of a .pth file is searched; the .pth files in it, and so our own checkout, are not.
    (packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return python.parent


def test_every_file_of_the_packages_is_in_it_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    tracked = {
        str(path.relative_to(ROOT))
        for name in PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    assert held == tracked


def test_the_command_works_outside_of_the_checkout(installed: Path, tmp_path: Path) -> None:
    assert run(installed / "kshs", "--version", cwd=tmp_path).startswith("kshs ")
    found = json.loads(run(installed / "kshs", "list", "--rule", "H5", "--json", cwd=tmp_path))
    assert {entry["kind"] for entry in found} == {"scenario"}
    assert all(str(installed.parent) in str((tmp_path / entry["file"]).resolve()) for entry in found)


def test_pytest_finds_the_plugin(installed: Path, tmp_path: Path) -> None:
    said = run(installed / "python", "-m", "pytest", "--help", cwd=tmp_path)
    assert "--kshs-target" in said and "--kshs-rule" in said
    (tmp_path / "test_it.py").write_text("def test_it(target):\n    assert target.name == 'avshs'\n")
    assert "1 passed" in run(installed / "python", "-m", "pytest", cwd=tmp_path)


def test_the_sources_of_the_drivers_are_those_of_the_checkout(installed: Path, tmp_path: Path) -> None:
    assert f"build {drivers.build.build().digest[:16]} " in run(installed / "kshs", "build", cwd=tmp_path)
