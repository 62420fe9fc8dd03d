# SPDX-License-Identifier: Apache-2.0
"""`kshs target init` is the only author of the target files that these runs are made with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

import drivers.build
import harness.commands.run
from drivers import folder
from harness.commands.target_check import check
from harness.commands.target_init import Request, Written, author
from harness.config import Config
from harness.errors import UsageError
from harness.guests.package import find_target
from harness.onboarding import protocol_tables, wishes
from tests.component.package_guest import PackageProvider
from tests.component.test_example import CONFTEST

pytestmark = pytest.mark.component

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


@dataclass(frozen=True)
class Example:
    """A driver of ours, and what its authors say of it because nobody can be asked for it."""

    name: str
    protocols: tuple[str, ...]
    pins: tuple[str, ...] = ()
    without_callback: tuple[str, ...] = ()
    tables: bool = False
    """Whether its arguments are pointers, said in ``protocols.toml``."""

    def options(self) -> wishes.Wishes:
        wished = wishes.read(self.protocols, self.pins, self.without_callback)
        if not self.tables:
            return wished
        tables = protocol_tables.read(EXAMPLES / self.name / "protocols.toml")
        return wished.with_tables(tables.protocols, tables.entries, tables.text)


EXAMPLES_OF_OURS = (
    Example("camera", ("frame=5F0C8E11-7C1B-4B61-9A2E-305B7D11C401",)),
    Example("audio", ("rate=5F0C8E11-7C1B-4B61-9A2E-305B7D11C402",)),
    Example(
        "relay",
        (
            "clock=A7C1D2E0-3B54-4F6A-8C90-5D2E71B40601:sink,source",
            "layout=A7C1D2E0-3B54-4F6A-8C90-5D2E71B40602:source",
        ),
        ("2=monitor",),
        ("monitor",),
    ),
    Example("componentised", ("gain=C2A4E7B0-51D6-4F0E-8B3C-7E1092D56401",)),
    Example("clock", (), tables=True),
)


@pytest.fixture(params=EXAMPLES_OF_OURS, ids=lambda example: example.name)
def example(request: pytest.FixtureRequest) -> Example:
    chosen: Example = request.param
    return chosen


@pytest.fixture
def place(example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the example with its package built, and without a target file."""
    copied = tmp_path / example.name
    shutil.copytree(
        EXAMPLES / example.name,
        copied,
        ignore=shutil.ignore_patterns("out", "package", "*.toml", "__pycache__"),
    )
    scenarios = EXAMPLES / example.name / "scenarios"
    if scenarios.is_dir():
        shutil.copytree(scenarios, copied / "scenarios", dirs_exist_ok=True)
    folder.package(copied / "driver", copied / "package")
    monkeypatch.chdir(copied)
    return copied


def init(example: Example) -> Written:
    return author(Request(Path("package"), wishes=example.options()), PackageProvider, lambda text: None)


def test_what_it_writes_is_what_stands_in_the_examples(example: Example, place: Path) -> None:
    """Whoever changes a driver or what is written runs init again; the first line is the licence's."""
    written = init(example)
    assert written.to_fill_in == ()
    ours = (EXAMPLES / example.name / f"{example.name}.toml").read_text("utf-8")
    assert written.file.read_text("utf-8") == ours.partition("\n")[2]


def test_a_run_with_it_is_green(example: Example, place: Path) -> None:
    written = init(example)
    checked = check(find_target(str(written.file), Config()))
    expected = checked.outlooks["Wine"]
    done = plugin_run(place, written.file, ROOT / "harness" / "catalogue")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    records = [json.loads(line) for line in (place / "out" / "results.jsonl").read_text().splitlines()]
    scenarios = [record for record in records if record["kind"] == "scenario"]
    verdicts = Counter(record["verdict"] for record in scenarios)
    assert set(verdicts) == {"passed", "skipped"}, [r for r in scenarios if r["verdict"] not in verdicts]
    assert {r["id"] for r in scenarios if r["verdict"] == "passed"} == set(expected.runs)
    assert verdicts["passed"] > 100


def plugin_run(
    place: Path, file: Path, scenarios: Path, guests: str = CONFTEST, *options: str
) -> subprocess.CompletedProcess[str]:
    """Scenarios against a target, by the plugin, on Wine of this host; results go to ``out``."""
    (place / "local_guests.py").write_text(guests, encoding="utf-8")
    plugin = [] if harness.commands.run.installed() else ["-p", "harness.plugin.hooks"]
    return subprocess.run(
        [
            *[sys.executable, "-m", "pytest", *plugin, "-p", "local_guests", "-p", "no:cacheprovider"],
            *[f"--rootdir={place}", f"--kshs-target={file}", "--kshs-out=out", *options, str(scenarios)],
        ],
        cwd=place,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(place), str(ROOT)])},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_a_target_file_that_init_wrote_agrees_with_the_driver(
    place: Path, example: Example, build: drivers.build.Build
) -> None:
    written = init(example)
    found = find_target(str(written.file), Config())
    checked = check(found, PackageProvider, "local")
    assert checked.spare == ()
    text = written.file.read_text("utf-8")
    written.file.write_text(text.replace("max_instances = ", "max_instances = 9", 1), encoding="utf-8")
    with pytest.raises(UsageError, match=r"max_instances: 9\d+, and the driver says"):
        check(find_target(str(written.file), Config()), PackageProvider, "local")
