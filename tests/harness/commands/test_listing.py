# SPDX-License-Identifier: Apache-2.0
"""`kshs list` says what a run would select, and does nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.commands.listing import collect
from harness.commands.run import Selection
from harness.config import Config
from harness.errors import UsageError
from harness.results import parts
from tests.harness.commands.test_cli import kshs, project
from tests.harness.plugin.test_plugin import SCENARIOS

__all__ = ["project"]


def test_the_table_has_what_a_selection_goes_by(project: Path) -> None:
    (project / "test_more.py").write_text("def test_pin(handshake): ...\n")
    (project / "out/run").mkdir(parents=True)
    for name in ("results.jsonl", "report.html", "junit.xml"):
        (project / "out/run" / name).write_text("earlier")
    done = kshs(project, "list", ".")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["id", "rules", "routes", "tags", "title"]
    assert ["h5.user", "H5", "call", "modes", "from", "user", "mode"] in lines
    assert ["test_pin", "test_more.py::test_pin"] in lines
    assert lines[-1] == ["5", "items"]
    assert {path.read_text() for path in (project / "out/run").iterdir()} == {"earlier"}
    assert "preparing" not in done.stdout + done.stderr


def test_for_programs_it_is_json(project: Path) -> None:
    done = kshs(project, "list", "scenarios", "--rule", "H5", "--rule", "h4", "--route", "irp", "--json")
    assert json.loads(done.stdout) == [
        {
            "id": "h4.short",
            "kind": "scenario",
            "title": "input one byte short",
            "rules": ["H4"],
            "routes": ["irp"],
            "tags": [],
            "file": "scenarios/basic.toml",
            "line": 4,
        }
    ]


@pytest.mark.parametrize("command", [("list",), ("run", "--out", "o")], ids=["list", "run"])
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--tag", "mods"), "kshs: --tag: none of the 4 items there has mods (did you mean modes?)"),
        (("--rule", "H12"), "kshs: --rule: there is no rule 'H12' (there are: H1, H2,"),
        (("-k", "nope"), "kshs: nothing was selected ("),
    ],
)
def test_list_and_run_say_alike_what_is_wrong(
    project: Path, command: tuple[str, ...], words: tuple[str, ...], says: str
) -> None:
    done = kshs(project, command[0], "scenarios", *command[1:], *words)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith(says), done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "preparing nothing" not in done.stdout


def test_workers_say_once_what_is_wrong(project: Path) -> None:
    done = kshs(project, "run", "scenarios", "--out", "o", "-n", "2", "--tag", "mods")
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr == "kshs: --tag: none of the 4 items there has mods (did you mean modes?)\n"
    assert "preparing nothing" not in done.stdout


@pytest.mark.parametrize("command", ["list", "run"])
def test_a_wrong_expression_is_told_as_any_other_mistake(project: Path, command: str) -> None:
    done = kshs(project, command, "scenarios", "-k", "h1 and")
    assert (done.returncode, done.stderr.splitlines()[0][:38]) == (
        2,
        "kshs: Wrong expression passed to '-k':",
    )


def test_run_takes_the_same_filters_and_keeps_them_in_its_command(project: Path) -> None:
    done = kshs(project, "run", "scenarios", "--out", "o", "--id", "h[46].*", "--route", "call")
    assert "1 scenario: 1 passed" in done.stdout, done.stdout + done.stderr
    run = parts.read(project / "o" / "results.jsonl")[0]
    assert run["selection"] == "--route call --id h[46].*"
    assert run["command"] == "kshs run scenarios --route call --id 'h[46].*' --out o"


def found(path: Path, **said: Any) -> list[str]:
    return [entry["id"] for entry in collect(Selection(paths=(path,), **said), Config())]


def test_what_cannot_be_read_is_told_and_nothing_is_listed(tmp_path: Path) -> None:
    (tmp_path / "wrong.scenario.toml").write_text(SCENARIOS.replace("H4", "H44"))
    with pytest.raises(
        UsageError, match=r"wrong\.scenario\.toml:7: scenario\[0\]\.rule: 'H44' is not one of"
    ):
        found(tmp_path)


def test_names_in_capitals_are_files_like_others(tmp_path: Path) -> None:
    folder = tmp_path / "SCENARIOS"
    folder.mkdir()
    (folder / "BASIC.TOML").write_bytes(b"\xef\xbb\xbf" + SCENARIOS.replace("\n", "\r\n").encode())
    (folder / "TARGET.TOML").write_bytes(b"\xef\xbb\xbfschema = 1\r\nhardware_id = 'x'\r\n")
    assert found(tmp_path) == ["h4.short", "h5.user", "h6.output", "h9.native"]
