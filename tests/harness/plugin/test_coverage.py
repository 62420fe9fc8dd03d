# SPDX-License-Identifier: Apache-2.0
"""``kshs run --coverage`` with simulated guests: what each scenario executed, beside the results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.coverage.model import RunCoverage, read
from tests.harness.plugin.project import Project

COUNTED = """
from tests.harness.counted_guest import CountedProvider
provider = CountedProvider()
"""
BAD = """
from tests.harness.counted_guest import CountedProvider
provider = CountedProvider()
provider.said = {}
"""
SPOILT = """
from harness.coverage import outputs
def broken(*given, **named):
    raise OSError(28, "No space left on device")
outputs.write = broken
"""
TEST = """
def test_it(handshake):
    assert handshake("source").answer == 0
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.conftest(more=COUNTED)
    return made


def offsets(coverage: RunCoverage) -> dict[str, list[int]]:
    """By what ran, the offsets of its blocks."""
    blocks = coverage.modules[0].blocks
    return {
        one.id: sorted(blocks[n].offset for n in range(len(blocks)) if one.blocks.get("sim.sys", 0) >> n & 1)
        for one in coverage.ran
    }


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one", "workers"])
def test_each_scenario_has_what_it_executed(project: Project, workers: tuple[str, ...]) -> None:
    (project.path / "scenarios" / "test_more.py").write_text(TEST)
    done = project.run("--coverage", *workers)
    assert "coverage of sim.sys: functions 2 of 2 (100.0%)" in done.stdout, done.stdout + done.stderr
    found = read(project.out)
    (module,) = found.modules
    assert (module.name, module.why_no_lines) == ("sim.sys", "sim.sys names no PDB")
    assert [function.name for function in module.functions] == ["First", "Second"]
    ran = offsets(found)
    assert ran["deploying"] == [0x1002]
    assert ran["h4.short"] == [0x1000, 0x1010]
    assert ran["h9.native"] == [], "it was skipped"
    assert ran["scenarios/test_more.py::test_it"] == [0x1000, 0x1010]
    assert set(project.verdicts()) < set(ran)
    assert any("ks.sys is not counted: the guest does not say" in note for note in found.notes)
    for name in ("coverage.html", "coverage.info", "coverage.xml"):
        assert (project.out / name).exists()
    assert "coverage.html" in (project.out / "report.html").read_text()


def test_a_run_without_it_leaves_none_of_an_earlier_one(project: Project) -> None:
    project.run("--coverage")
    assert (project.out / "coverage.json").exists()
    project.run()
    assert not list(project.out.glob("coverage*"))
    (project.out / "coverage.xml").write_text("another tool's")
    project.run()
    assert (project.out / "coverage.xml").read_text() == "another tool's"


def test_guests_that_nobody_counts_say_so(tmp_path: Path) -> None:
    done = Project(tmp_path).run("--coverage")
    assert done.returncode == 3
    assert "what this guest executes is not counted" in done.stdout + done.stderr


def test_a_guest_that_does_not_say_where_drivers_are_is_told(project: Project) -> None:
    project.conftest(more=BAD)
    done = project.run("--coverage")
    assert done.returncode == 3
    assert "does not say where it has loaded sim.sys or ks.sys" in done.stdout + done.stderr


def test_options_of_coverage_without_it_are_refused(project: Project) -> None:
    done = project.run("--coverage-of", "ntoskrnl.exe")
    assert (done.returncode, "add --coverage" in done.stderr) == (2, True)
    done = project.run("--coverage", "--sources", "nowhere")
    assert done.returncode != 0 and "check --sources" in done.stdout + done.stderr


def test_select_names_what_to_run(project: Project) -> None:
    project.run("--coverage")
    (project.path / "new.c").write_text("int a;\n")
    done = project.kshs("select", "--changed", "new.c", "--coverage", "o")
    assert done.returncode == 0
    assert "scenarios/basic.toml::h4.short" in done.stdout.splitlines()
    assert "left out" in done.stderr
    said = json.loads(project.kshs("select", "--json", "--coverage", "o", "new.c").stdout)
    assert list(said["scenarios"]) == done.stdout.splitlines()
    assert project.kshs("select", "--coverage", "o").returncode == 2


@pytest.mark.parametrize("option", ["--sources", "--symbols"])
def test_a_folder_that_is_not_there_is_said_before_anything_runs(project: Project, option: str) -> None:
    project.run("--coverage")
    before = (project.out / "coverage.json").read_bytes()
    done = project.run("--coverage", option, "nowhere")
    assert done.returncode == 2
    assert f"nowhere: there is no such directory (check {option})" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert (project.out / "coverage.json").read_bytes() == before


def test_where_coverage_cannot_be_told_none_of_an_earlier_run_is_left(project: Project) -> None:
    project.run("--coverage")
    project.conftest(more=COUNTED + SPOILT)
    done = project.run("--coverage")
    assert done.returncode == 3 and "the coverage cannot be told" in done.stdout + done.stderr
    assert not list(project.out.glob("coverage*"))
