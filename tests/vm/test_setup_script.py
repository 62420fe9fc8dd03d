# SPDX-License-Identifier: Apache-2.0
"""scripts/setup.sh on machines that are played by a few stand-ins in PATH."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = [
    "awk",
    "bash",
    "cat",
    "cp",
    "dirname",
    "env",
    "find",
    "grep",
    "mkdir",
    "mktemp",
    "rm",
    "sed",
    "tail",
    "touch",
]
STAND_INS = {
    "dpkg-query": 'if [ -e "$WORLD/installed" ]; then for p in "${@:4}"; do echo "$p installed"; done; fi',
    "apt-config": "echo \"apt_lists='$WORLD/lists'\"",
    "apt-get": """\
echo "apt-get $*" >>"$WORLD/calls"
case " $* " in
    *" update "*) touch "$WORLD/lists/x_Packages"; exit "${UPDATE:-0}" ;;
    *" install "*) [ -e "$WORLD/lists/x_Packages" ] || { echo "E: Unable to locate package"; exit 100; }
        exit "${INSTALL:-0}" ;;
esac""",
    "getent": "echo libvirt-qemu",
    "id": 'if [ "$1" = -u ]; then echo "${WHO:-0}"; else echo somebody; fi',
    "sudo": 'exec "$@"',
    "python": """\
[ "$1" = --version ] && echo Python 3 && exit
mkdir -p .venv/bin && cp "$0" .venv/bin/python
[ "$1" = -m ] && [ "$2" = pip ] && echo "WARNING: nobody can act on this" >&2 && exit "${PIP:-0}"
exit 0""",
}


class World:
    """A machine: what is installed, which lists apt has, what its programs answer."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.project = place / "project"
        (self.project / "scripts").mkdir(parents=True)
        for name in ("setup.sh", "apt-packages.txt", "apt-packages-test.txt", "constraints.txt"):
            shutil.copy(ROOT / "scripts" / name, self.project / "scripts")
        (self.project / "pyproject.toml").touch()
        (place / "lists").mkdir()
        (place / "bin").mkdir()
        for name in TOOLS:
            (place / "bin" / name).symlink_to(shutil.which(name) or name)
        for name, text in STAND_INS.items():
            self.program(name, text)

    def program(self, name: str, text: str) -> None:
        (self.place / "bin" / name).write_text(f"#!/bin/bash\n{text}\n")
        (self.place / "bin" / name).chmod(0o755)

    def setup(self, level: str = "demo", **answers: int) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.place / "bin"), "WORLD": str(self.place)}
        environment |= {"PYTHON": "python", "TMPDIR": str(self.place)}
        environment |= {name: str(value) for name, value in answers.items()}
        return subprocess.run(
            [self.project / "scripts" / "setup.sh", level],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def calls(self) -> list[str]:
        """What was asked of apt-get: the verbs."""
        path = self.place / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return ["update" if " update" in line else "install" for line in lines]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_fresh_machine_has_no_lists_so_they_are_fetched_first(world: World) -> None:
    done = world.setup()
    assert done.returncode == 0, done.stderr
    assert world.calls == ["update", "install"]
    assert "Unable to locate" not in done.stdout + done.stderr


@pytest.mark.parametrize(("days", "calls"), [(0, ["install"]), (8, ["update", "install"])])
def test_lists_are_fetched_again_after_a_week(world: World, days: int, calls: list[str]) -> None:
    (world.place / "lists" / "x_Packages").touch()
    then = time.time() - days * 86400
    os.utime(world.place / "lists", (then, then))
    assert world.setup().returncode == 0
    assert world.calls == calls


def test_a_mirror_that_moved_on_is_asked_anew_once(world: World) -> None:
    (world.place / "lists" / "x_Packages").touch()
    done = world.setup(INSTALL=100)
    assert done.returncode == 3
    assert world.calls == ["install", "update", "install"]
    assert "setup: apt-get failed; the whole log is " in done.stderr


def test_a_refused_source_of_somebody_else_is_no_end(world: World) -> None:
    assert world.setup(UPDATE=100).returncode == 0
    assert world.calls == ["update", "install"]


def test_where_all_is_there_nothing_is_asked(world: World) -> None:
    (world.place / "installed").touch()
    assert world.setup().returncode == 0
    assert world.calls == []
    assert world.setup().stdout == "", "the second time there is nothing to say"


def test_pip_is_heard_only_when_it_fails(world: World) -> None:
    (world.place / "installed").touch()
    done = world.setup()
    assert done.returncode == 0
    assert "WARNING" not in done.stdout + done.stderr
    (world.project / ".venv" / ".kshs-demo").unlink()
    done = world.setup(PIP=1)
    assert done.returncode == 3
    assert "WARNING: nobody can act on this" in done.stderr
    assert "setup: the Python packages could not be installed; the whole log is " in done.stderr
    assert not (world.project / ".venv" / ".kshs-demo").exists()


def test_a_user_installs_with_sudo(world: World) -> None:
    assert world.setup(WHO=1000).returncode == 0
    assert world.calls == ["update", "install"]


def test_without_sudo_the_command_is_told(world: World) -> None:
    (world.place / "bin" / "sudo").unlink()
    done = world.setup(WHO=1000)
    assert done.returncode == 3
    assert "apt-get update && apt-get install -y --no-install-recommends clang " in done.stderr
    assert world.calls == []


def test_a_user_without_ranges_of_ids_is_told_the_command(world: World) -> None:
    (world.place / "installed").touch()
    done = world.setup(WHO=1000)
    assert done.returncode == 0
    assert "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 somebody" in done.stdout
