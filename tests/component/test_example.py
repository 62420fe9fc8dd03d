# SPDX-License-Identifier: Apache-2.0
"""The worked example of a team's own driver (docs/your-driver.md), from its sources to its verdicts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import harness.commands.run
from drivers import folder, imports
from drivers.errors import BuildError, PackageError
from harness.language import target

pytestmark = pytest.mark.component

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "relay"

CONFTEST = """
from tests.component.package_guest import PackageProvider


def pytest_kshs_provider(config):
    return PackageProvider(config.getoption("--kshs-target"))
"""


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example with its package built."""
    copied = tmp_path_factory.mktemp("example") / "relay"
    shutil.copytree(EXAMPLE, copied, ignore=shutil.ignore_patterns("out", "package", "__pycache__"))
    folder.package(copied / "driver", copied / "package")
    return copied


def test_the_package_is_complete_and_built_the_same_again(relay: Path) -> None:
    first = folder.package(relay / "driver", relay / "package")
    assert first.name == "relay"
    assert [path.name for path in first.sys] == ["relay.sys"]
    assert folder.package(relay / "driver", relay / "package").digest == first.digest
    loaded, file = target.find(str(relay / "relay.toml"))
    assert target.package_directory(loaded, file) == first.directory
    assert ("ks.sys", "KsPinRegisterHandshakeCallback") in imports.imports(first.sys[0])


def test_folders_that_are_no_driver_are_refused_in_one_line(relay: Path, tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="holds no INF file"):
        folder.package(tmp_path, tmp_path / "out")
    shutil.copyfile(relay / "driver" / "relay.inf", tmp_path / "relay.inf")
    with pytest.raises(BuildError, match=r"holds no C or C\+\+ sources"):
        folder.package(tmp_path, tmp_path / "out")
    with pytest.raises(BuildError, match="no earlier package"):
        folder.package(relay / "driver", relay / "scenarios")
    (tmp_path / "relay.c").write_text("int broken(void) { return 0 }\n", encoding="utf-8")
    with pytest.raises(BuildError, match=r"does not compile: .*relay.c:1"):
        folder.package(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_scenarios_pass_and_say_what_they_skip(relay: Path) -> None:
    """The INF names no load order group: that the client reaches the target at all is the agent's doing."""
    work = relay.parent
    (work / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    plugin = [] if harness.commands.run.installed() else ["-p", "harness.plugin.hooks"]
    command = [sys.executable, "-m", "pytest", *plugin, f"--rootdir={work}", "-rs", "-v"]
    command += ["--kshs-target=relay/relay.toml", "--kshs-out=out", "relay/scenarios"]
    done = subprocess.run(
        command,
        cwd=work,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    records = [json.loads(line) for line in (work / "out/results.jsonl").read_text().splitlines()]
    check_verdicts(records)
    assert done.stdout.count("test_a_rate_survives_the_way_there_and_back") >= 4
    assert "test_the_agent_answers_steps_of_its_own PASSED" in done.stdout
    assert "called, but not there in the reference ks.sys: KsGenerateEvents" in done.stdout


def check_verdicts(records: list[dict[str, Any]]) -> None:
    """All scenarios of the example, and what it asks of the reference class driver in vain."""
    verdicts = {r["id"]: (r["verdict"], r["reason"]) for r in records if r["kind"] == "scenario"}
    skipped = verdicts.pop("relay.blocked")
    assert skipped == ("skipped", "target relay has no behaviour property set (docs/avshs.md)")
    assert len(verdicts) == 9
    assert {verdict for verdict, _ in verdicts.values()} == {"passed"}, verdicts
    (environment,) = (r for r in records if r["kind"] == "environment")
    assert environment["unimplemented_calls"] == ["KsGenerateEvents"]


def test_warnings_stop_nothing_and_what_is_ignored_is_said(relay: Path, tmp_path: Path) -> None:
    source = tmp_path / "driver"
    shutil.copytree(relay / "driver", source)
    (source / "more.cpp").write_text(
        '#include <ntddk.h>\nstruct Base { virtual int Of() = 0; };\nstatic int unused = 1;\n'
        'struct Real : Base { int Of() override { return 7; } };\n'
        'extern "C" int More() { static Real real; Base *made = new Real; int of = made ? made->Of() : 0;'
        " delete made; return of + real.Of(); }\n",
        encoding="utf-8",
    )  # fmt: skip
    (source / "old.c++").write_text("", encoding="utf-8")
    (source / "notes").mkdir()
    (source / "Inc").mkdir()
    (source / "Inc" / "Shared.h").write_text("", encoding="utf-8")
    said: list[str] = []
    package = folder.package(source, tmp_path / "package", progress=said.append)
    assert any("more.cpp:3" in line and "warning: unused variable" in line for line in said)
    assert [line for line in said if line.startswith("ignored: ")] == [
        "ignored: folder notes: no source in it is compiled, and no INF copies it",
        "ignored: file old.c++ is no source of a kind that is built, and no INF copies it",
    ]
    assert package.name == "relay"
