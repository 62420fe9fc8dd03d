# SPDX-License-Identifier: Apache-2.0
"""Every block of code in the documents does what it says, or says itself why it is not run."""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import shutil
import subprocess
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import typer.main
from lxml import etree

from harness import cli, config
from harness.gate.policy import Policy
from harness.guests import GuestProvider
from harness.language import scenario_file, target
from harness.nights import known_file
from tests import warm
from tests.docs.pages import ROOT, Block, Command, blocks, commands

pytest_plugins = ["pytester"]

BLOCKS = blocks()
COMMANDS = commands()

#: By page: what is not run, and how many blocks that is.  A new one is added here on purpose or not at all.
NOT_RUN = {
    "README.md": {"what a run prints; lines are left out": 1},
    "architecture.md": {"a drawing": 1, "the shape of an answer, with its alternatives": 1},
    "gate.md": {"a test with a guest runs it, with all of this section": 1},
    "coverage.md": {"it stands on a run with coverage": 1},
    "field-bugs.md": {
        "it stands on a recording": 1,
        "it stands on a run that failed": 1,
        "it stands on a driver with a defect": 2,
        "it is typed on a customer's machine": 1,
        "it stands on a failure": 1,
    },
    "nights.md": {"it takes two runs of the catalogue": 1, "it stands on an archive of packages": 1},
    "tracing.md": {"it is typed on a customer's machine": 1},
    "fuzzing.md": {"it takes ten minutes and a guest": 1},
    "dumps.md": {"what it prints; lines are left out": 1},
    "performance.md": {"it takes two minutes and a guest": 1, "it takes hours": 1},
    "pytest.md": {"what a wrong call looks like": 1},
    "hosts.md": {"it installs from the network": 1, "programs that do not end by themselves": 1},
    "results.md": {"there is no such run here": 1},
    "scenarios.md": {
        "what a mistake looks like": 2,
        "the sample target has no protocol with an interface": 1,
    },
    "signing.md": {"a structure": 1},
    "tests.md": {"a line of a crontab": 1, "a CI's own file": 1, "a line at the end of the tests": 1},
    "your-driver.md": {"the sources are Microsoft's, and not here": 1},
    "windows.md": {"lines of a protocol": 1, "typed in a Windows guest": 1},
}

#: Guests of the documents' examples: the sample's target, which adds one to Argument1 and inverts Argument2.
CONFTEST = """
import sys
sys.path.insert(0, {root!r})
import dataclasses
import struct
from harness.language.target import find
from tests.harness.fake_guest import *

WORD = 0xFFFFFFFFFFFFFFFF

def sample(simulation, step, data):
    if OPS[int(step.op)] != "REQUEST":
        return None
    answer = simulation.row(step, data)
    if answer.record["returned"] != SUCCESS:
        return answer
    protocol, first, second = struct.unpack("<16sQQ", answer.data)
    changed = struct.pack("<16sQQ", protocol, (first + 1) & WORD, second ^ WORD)
    return dataclasses.replace(answer, data=changed)

class Provider(FakeProvider):
    def target(self):
        return find("avshs")[0]

provider = Provider(bend=sample)

def pytest_kshs_provider(config):
    return provider
"""


def of(*languages: str) -> list[Any]:
    return [
        pytest.param(block, id=str(block))
        for block in BLOCKS
        if block.reason is None and block.language in languages
    ]


def kind(block: Block) -> str:
    keys = tomllib.loads(block.text).keys()
    if "require" in keys:
        return "gate"
    if "issue" in keys or "quarantine" in keys:
        return "known"
    return "scenario" if "scenario" in keys else "target" if "hardware_id" in keys else "settings"


def test_every_block_is_run_or_says_why_not() -> None:
    known = {"toml", "python", "sh", "console", "json", "xml"}
    assert [str(block) for block in BLOCKS if block.reason is None and block.language not in known] == []


def test_what_is_not_run_is_listed() -> None:
    found: dict[str, Counter[str]] = {}
    for block in BLOCKS:
        if block.reason is not None:
            found.setdefault(block.page.name, Counter())[block.reason] += 1
    assert found == NOT_RUN


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    pytester.makeconftest(CONFTEST.format(root=str(ROOT)))
    return pytester


@pytest.mark.parametrize("block", of("toml"))
def test_toml(block: Block, project: pytest.Pytester) -> None:
    """Scenarios are run, targets and settings are read."""
    names = {"scenario": "block.scenario.toml", "settings": "kshs.toml"}
    name = names.get(kind(block), "block.toml")
    path = project.path / name
    path.write_text(block.text)
    match kind(block):
        case "scenario":
            result = project.runpytest(name)
            result.assert_outcomes(passed=len(scenario_file.load(path)))
        case "target":
            assert target.load(path).find_pin("source")
        case "gate":
            assert Policy.model_validate(tomllib.loads(block.text)).require
        case "known":
            assert known_file.load(path).model_fields_set
        case _:
            assert config.load(path).model_fields_set


@pytest.mark.parametrize("block", of("python"))
def test_python(block: Block, project: pytest.Pytester) -> None:
    """Tests are run; a provider is made; of joints that are merely named every name is there."""
    if "def test_" in block.text:
        project.makepyfile(test_block=block.text)
        result = project.runpytest("test_block.py")
        result.assert_outcomes(passed=block.text.count("def test_"))
    elif "def pytest_kshs_provider" in block.text:
        names: dict[str, Any] = {}
        exec(compile(block.text, str(block), "exec"), names)
        made = names["pytest_kshs_provider"](None)
        wanted = {name for name in vars(GuestProvider) if not name.startswith("_")}
        assert wanted and all(callable(getattr(made, name, None)) for name in wanted)
    else:
        named = re.findall(r"^((?:drivers|vm|harness)(?:\.\w+)+)", block.text, re.MULTILINE)
        assert named
        assert [name for name in named if not is_there(name)] == []


def is_there(name: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            if not hasattr(found, part) and part not in getattr(found, "__annotations__", {}):
                return False
            found = getattr(found, part, None)
        return True
    return False


@pytest.mark.parametrize("block", of("json", "xml"))
def test_data(block: Block) -> None:
    if block.language == "json":
        json.loads(block.text)
    else:
        etree.fromstring(block.text)


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_commands_are_there_with_their_options(command: Command) -> None:
    program, *words = command.words
    if program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(words) <= set(targets)
    elif program == "kshs":
        parse(words)
    else:
        assert program in ("git", "cd", "apt-get"), "mark the block: <!-- not run: REASON -->"


def parse(words: list[str]) -> None:
    """Lets the real command line read them; nothing is run."""
    ours, theirs = cli.split_arguments(words)
    assert not theirs or ours[0] == "run"
    ours = [word for word in ours if word != "--help"]  # it ends everything, and every command has it
    group: Any = typer.main.get_command(cli.application())
    context = group.make_context("kshs", ["version"] if ours in ([], ["--version"]) else ours)
    if not ours:
        return
    while True:
        words = [*context._protected_args, *context.args]
        if not (hasattr(group, "resolve_command") and words):
            return
        name, group, rest = group.resolve_command(context, words)
        if not rest:
            return  # a sentence that names the command, and says nothing of its arguments
        context = group.make_context(name, list(rest), parent=context)


HARMLESS = [c for c in COMMANDS if c.words[:2] in (("kshs", "list"), ("kshs", "version"), ("kshs", "guests"))]


@pytest.mark.parametrize("command", HARMLESS, ids=str)
def test_what_needs_no_guest_is_run(command: Command, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "harness/catalogue", tmp_path / "harness/catalogue")
    shutil.copytree(ROOT / "examples/relay/scenarios", tmp_path / "scenarios")
    done = subprocess.run(
        [warm.python(), "-m", "harness.cli", *command.words[1:]],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "KSHS_CACHE_DIR": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_this_test_sees_what_is_wrong() -> None:
    """A command, an option or a name that is gone is noticed."""
    with pytest.raises(Exception, match="No such option"):
        parse(["run", "--rul", "H1"])
    with pytest.raises(Exception, match="No such command"):
        parse(["fly"])
    assert not is_there("harness.cli.fly") and not is_there("harness.fly") and is_there("harness.cli.main")
    assert ast.parse(CONFTEST.format(root=""))
