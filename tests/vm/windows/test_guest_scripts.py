# SPDX-License-Identifier: Apache-2.0
"""The guest's scripts as files: line ends, language, labels; what they do is tested in tests/component."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vm.windows import payload
from vm.windows.profile import BUILTIN, Leg

SCRIPTS = sorted(payload.SCRIPTS.rglob("*.cmd"))


def relative(path: Path) -> str:
    return path.relative_to(payload.SCRIPTS).as_posix()


def test_every_step_has_a_script_and_every_script_a_step() -> None:
    everything = BUILTIN["win11"].model_copy(update={"legs": frozenset(Leg)})
    steps = {f"steps/{name}.cmd" for name in payload.step_names(everything)}
    assert {relative(path) for path in SCRIPTS} == steps | {"first.cmd", "provision.cmd"}


@pytest.mark.parametrize("path", SCRIPTS, ids=relative)
def test_lines_end_as_cmd_wants_them(path: Path) -> None:
    data = path.read_bytes()
    data.decode("ascii")
    assert data.endswith(b"\r\n")
    assert data.count(b"\r\n") == data.count(b"\n") == data.count(b"\r")
    assert not re.search(rb"[ \t]\r\n", data), "a blank at the end of set or echo would be part of it"


@pytest.mark.parametrize("path", SCRIPTS, ids=relative)
def test_nothing_but_cmd(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"powershell|pwsh|wmic|cscript|wscript", text, re.IGNORECASE)
    # Wine's cmd runs what follows these also after a success, so no test would see what Windows does.
    code = "\n".join(line for line in text.splitlines() if not line.startswith("rem "))
    assert "||" not in code
    assert "&&" not in code
    # A quoted pattern is never expanded there.
    assert not re.search(r'in \("[^)]*\*', code)


@pytest.mark.parametrize("path", SCRIPTS, ids=relative)
def test_labels_are_there_and_used(path: Path) -> None:
    text = path.read_text()
    labels = re.findall(r"^:(\w+)$", text, re.MULTILINE)
    assert len(labels) == len(set(labels))
    assert set(labels) == set(re.findall(r"(?:goto|call) :(\w+)", text))


@pytest.mark.parametrize("path", SCRIPTS, ids=relative)
def test_head_and_quoting(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert lines[0] == "@echo off"
    assert "setlocal" in lines
    for line in lines:
        assert line.count('"') % 2 == 0, line
        # A value outside of quotes could contain & or a blank.
        assert not re.match(r"\s*set [^\"/]", line), line


def test_the_number_of_starts_is_told_once() -> None:
    text = (payload.SCRIPTS / "provision.cmd").read_text()
    assert f'set "MAXIMUM_STARTS={payload.MAXIMUM_STARTS}"' in text
