# SPDX-License-Identifier: Apache-2.0
"""Faults of the harness itself, put in on purpose: none of them goes unsaid, and none ends with 0."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.plugin.project import Project
from tests.harness.plugin.test_plugin import WRONG_SIZE

_DROP = """
from harness.results.parts import PartWriter
written = PartWriter.write
def write(self, record):
    if not ({condition}):
        written(self, record)
PartWriter.write = write
"""
_MERGE_DROPS = """
from harness.results import parts
whole = parts.Gathered.lines
def lines(self):
    return (line for line in whole(self) if line[0].get("id") != "h5.user")
parts.Gathered.lines = lines
"""
_DISK_DROPS = """
import pathlib
moved = pathlib.Path.replace
def replace(self, target):
    if pathlib.Path(target).name == "results.jsonl":
        kept = self.read_text().splitlines(True)
        self.write_text("".join(line for line in kept if '"id":"h5.user"' not in line))
    return moved(self, target)
pathlib.Path.replace = replace
"""
_SWALLOWS_RAISED = """
from harness.plugin.items import ScenarioItem
whole = ScenarioItem.runtest
def runtest(self):
    try:
        whole(self)
    except Exception:
        pass
ScenarioItem.runtest = runtest
"""
_SWALLOWS_REPORTED = """
import pytest
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    made = yield
    made.outcome = "passed"
    return made
"""
_SWALLOWS_STATUS = """
import pytest
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session):
    yield
    session.exitstatus = 0
"""
_KILL = """bend=lambda s, step, data: (
    Answer(die=137) if OPS[int(step.op)] == "REQUEST" and step.in_length != 32 else None)"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        (
            'record["kind"] != "begun" and "h5.user" in (record.get("id"), record.get("scenario"))',
            "",
        ),
        ('record["kind"] == "scenario" and record["id"] == "h5.user"', ""),
        ('"h5.user" in (record.get("id"), record.get("scenario"))', ""),
        (
            'record["kind"] == "step" and record["scenario"] == "h5.user" and record["index"] == 1',
            "not wholly on record: scenarios/basic.toml::h5.user (",
        ),
    ],
    ids=["scenario and steps", "scenario", "not even its begin", "one step"],
)
@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "workers"])
def test_lines_that_are_lost_are_missed(
    project: Project, condition: str, says: str, workers: tuple[str, ...]
) -> None:
    project.conftest(more=_DROP.format(condition=condition))
    done = project.run(*workers)
    assert done.returncode == 3, done.stdout + done.stderr
    assert len(project.verdicts()) == 4
    assert project.headline() == "error"
    if says:
        assert says in done.stdout
        assert says in project.records("run")[0]["problem"]
    else:
        assert project.verdicts()["h5.user"] == "error"


@pytest.mark.parametrize("fault", [_MERGE_DROPS, _DISK_DROPS], ids=["merging", "the disk"])
def test_what_lies_on_the_disk_is_read_back(project: Project, fault: str) -> None:
    project.conftest(more=fault)
    done = project.run()
    assert done.returncode == 3, done.stdout + done.stderr
    assert "not on record although it ran: scenarios/basic.toml::h5.user" in done.stdout


def test_a_failure_whose_lines_are_lost_has_failed(project: Project) -> None:
    project.conftest(WRONG_SIZE, _DROP.format(condition='record.get("id") == "h4.short"'))
    done = project.run()
    assert done.returncode == 1, done.stdout + done.stderr
    assert project.verdicts()["h4.short"] == "failed"


@pytest.mark.parametrize(("options", "code"), [(_KILL, 3), (WRONG_SIZE, 1)], ids=["error", "failure"])
@pytest.mark.parametrize(
    "fault", [_SWALLOWS_RAISED, _SWALLOWS_REPORTED, _SWALLOWS_STATUS], ids=["raised", "reported", "status"]
)
def test_what_is_swallowed_on_its_way_to_pytest_counts_all_the_same(
    project: Project, options: str, code: int, fault: str
) -> None:
    project.conftest(options, fault)
    done = project.run()
    assert done.returncode == code, done.stdout + done.stderr
    assert project.headline() == ("error" if code == 3 else "failed")


def test_a_verdict_that_is_softened_on_its_way_to_the_disk_is_seen(project: Project) -> None:
    fault = (
        "from harness.results.parts import PartWriter\n"
        "written = PartWriter.write\n"
        "def write(self, record):\n"
        "    written(self, {**record, 'verdict': 'passed'} if record['kind'] == 'scenario' else record)\n"
        "PartWriter.write = write\n"
    )
    project.conftest(WRONG_SIZE, fault)
    done = project.run()
    assert done.returncode == 1, done.stdout + done.stderr
    said = "on record with another verdict: scenarios/basic.toml::h4.short (passed, pytest has failed)"
    assert said in done.stdout


def test_a_template_whose_pins_are_not_reset_blames_no_driver(project: Project) -> None:
    project.conftest(
        'bend=lambda s, step, data: seen() if OPS[int(step.op)] == "PROPERTY" and step.value2 == 1 else None',
        "def seen():\n"
        "    report = bytes(ABI.cs.kshs_seen(count=2).dumps())\n"
        "    record = {'information': len(report), 'flags': C['KSHS_REC_INFO_WRITTEN']}\n"
        "    return Answer(record=record, data=report)\n",
    )
    done = project.run()
    assert done.returncode == 3, done.stdout + done.stderr
    assert set(project.verdicts().values()) == {"error", "skipped"}
    assert "count is 2, expected 0: this guest was not made ready" in done.stdout


def test_a_record_that_is_never_given_out_is_said_and_tried_again(project: Project) -> None:
    fault = (
        "import harness.agent.pending as pending\n"
        "pending.LOOK = 0.02\n"
        "given, taken = pending.Pending.resolve, []\n"
        "def resolve(self, record):\n"
        "    taken.append(self)\n"
        "    if len(taken) != 5:\n"
        "        given(self, record)\n"
        "pending.Pending.resolve = resolve\n"
    )
    project.conftest(more=fault)
    done = project.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 scenario tried more than once, every attempt is on record" in done.stdout
    (tried,) = (record["attempts"] for record in project.records("scenario") if "attempts" in record)
    assert [attempt["verdict"] for attempt in tried] == ["error", "passed"]
    assert "the session has lost this step" in tried[0]["reason"]


@pytest.mark.parametrize(
    "error", ["KeyError('x')", "RecursionError('deep')", "OSError(28, 'No space')", "SystemExit(0)"]
)
def test_a_provider_that_raises_what_it_likes(project: Project, error: str) -> None:
    project.conftest(more=f"def acquire():\n    raise {error}\nprovider.acquire = acquire\n")
    done = project.run()
    assert done.returncode == 3, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_two_files_may_have_scenarios_of_one_name(project: Project) -> None:
    """One of them is lost with its worker: the other one's record is not its record."""
    pytest.importorskip("xdist")
    text = (project.path / "scenarios" / "basic.toml").read_text()
    (project.path / "scenarios" / "other.toml").write_text(text)
    project.conftest(
        more="import os\ndef pytest_runtest_setup(item):\n"
        "    if item.nodeid == 'scenarios/other.toml::h4.short':\n        os._exit(9)\n"
    )
    done = project.run("-n", "1")
    assert done.returncode == 3, done.stdout + done.stderr
    rows = {(r["file"], r["id"]): r for r in project.records("scenario")}
    assert len(rows) == 8
    lost = rows["scenarios/other.toml", "h4.short"]
    assert (lost["verdict"], lost["title"], lost["rules"]) == ("error", "input one byte short", ["H4"])
    assert rows["scenarios/basic.toml", "h4.short"]["verdict"] == "passed"
    assert [r["order"] for r in project.records("scenario")] == list(range(8)), (
        "it has its place and its file"
    )


def test_a_scenario_file_that_vanishes_takes_no_verdict_along(project: Project) -> None:
    project.conftest(
        WRONG_SIZE,
        "import pathlib\ndef pytest_runtest_setup(item):\n"
        "    pathlib.Path('scenarios/basic.toml').unlink(missing_ok=True)\n",
    )
    done = project.run()
    assert done.returncode == 1, done.stdout + done.stderr
    assert project.verdicts() == {
        "h4.short": "failed", "h5.user": "passed", "h6.output": "passed", "h9.native": "skipped",
    }  # fmt: skip
