# SPDX-License-Identifier: Apache-2.0
"""What is tried or handed out more than once: it counts once, and what it showed first still stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.plugin.project import Project

pytest.importorskip("xdist")
pytest.importorskip("pytest_rerunfailures")

_ONCE = """bend=lambda s, step, data: once(s, step, data) if OPS[int(step.op)] == "REQUEST" else None"""
_WRONG_ONCE = """
seen = []
def once(s, step, data):
    if step.in_length != 32 and not seen:
        seen.append(1)
        return s.request(step, data, status=0)
"""
_CRASH_ONCE = """
provider.evidence = Evidence(driver=("exception 0xC0000005 at x.sys+0x10",))
seen = []
def once(s, step, data):
    if step.in_length != 32 and not seen:
        seen.append(1)
        return Answer(record={"outcome": C["KSHS_OUTCOME_LOST"]})
"""
_GONE_ONCE = _CRASH_ONCE.replace(
    'Answer(record={"outcome": C["KSHS_OUTCOME_LOST"]})', "Answer(die=1)"
).replace('Evidence(driver=("exception 0xC0000005 at x.sys+0x10",))', "Evidence()")
_FLAKY = """
import pytest
def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.flaky(reruns=2))
"""
_KILLS = """
import os
def pytest_runtest_setup(item):
    if item.name == "h5.user":
        with open("killed", "a") as file:
            file.write("x")
        os._exit(9)
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.mark.parametrize(
    ("fault", "verdict"), [(_WRONG_ONCE, "failed"), (_CRASH_ONCE, "crashed")], ids=["failed", "crashed"]
)
@pytest.mark.parametrize(
    ("words", "more"),
    [(("--", "--reruns", "1"), ""), ((), _FLAKY), (("-n", "1", "--", "--reruns", "1"), "")],
    ids=["option", "mark", "worker"],
)
def test_a_retry_hides_nothing(
    project: Project, fault: str, verdict: str, words: tuple[str, ...], more: str
) -> None:
    project.conftest(_ONCE, fault + more)
    done = project.run(*words)
    assert done.returncode == 1, done.stdout + done.stderr
    assert project.verdicts()["h4.short"] == verdict
    row = next(r for r in project.records("scenario") if r["id"] == "h4.short")
    assert row["attempts"][0]["verdict"] == verdict
    assert {a["verdict"] for a in row["attempts"][1:]} == {"passed"}
    assert project.junit() == {
        "h4.short": "failure", "h5.user": "passed", "h6.output": "passed", "h9.native": "skipped",
    }  # fmt: skip
    case = next(case for case in project.cases() if case.get("name") == "h4.short")
    assert [p.get("value") for p in case.iter("property") if p.get("name") == "verdict"] == [verdict]
    assert f"4 scenarios: 2 passed, 1 {verdict}, 1 skipped" in done.stdout
    assert project.records("run")[0]["counts"][verdict] == 1


def test_a_fault_of_ours_may_be_mended_by_a_retry(project: Project) -> None:
    project.conftest(_ONCE, _GONE_ONCE)
    done = project.run("--", "--reruns", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    row = next(r for r in project.records("scenario") if r["id"] == "h4.short")
    assert [a["verdict"] for a in row["attempts"]] == ["error", "passed"]
    assert project.junit()["h4.short"] == "passed"


@pytest.mark.parametrize("fault", [_WRONG_ONCE, _CRASH_ONCE], ids=["failed", "crashed"])
def test_a_retry_hides_nothing_of_a_test_in_python_either(project: Project, fault: str) -> None:
    project.conftest(_ONCE, fault)
    (project.path / "test_it.py").write_text(
        "import pytest\n"
        "@pytest.mark.flaky(reruns=1)\n"
        "def test_it(handshake):\n"
        "    assert handshake('source', in_length='size-1').answer == 0xC0000206\n"
    )
    done = project.kshs("run", "test_it.py", "--out", "o")
    assert done.returncode == 1, done.stdout + done.stderr
    assert project.verdicts("test") == {"test_it": "failed"}
    assert project.junit() == {"test_it": "failure"}


@pytest.mark.parametrize(
    "words",
    [("-n", "2", "--", "--dist", "each"), ("--", "--keep-duplicates", "scenarios")],
    ids=["each", "keep-duplicates"],
)
def test_what_is_handed_out_to_several_runs_once(project: Project, words: tuple[str, ...]) -> None:
    done = project.run(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(project.verdicts()) == len(project.cases()) == 4
    assert "4 scenarios: 3 passed, 1 skipped" in done.stdout
    assert "kshs: 4 items were handed out more than once, and ran once" in done.stdout


@pytest.mark.parametrize("way", ["load", "loadfile", "loadscope", "loadgroup", "worksteal"])
def test_what_killed_its_worker_is_not_handed_to_the_next(project: Project, way: str) -> None:
    project.conftest(more=_KILLS)
    done = project.run("-n", "2", "--", "--dist", way, "--reruns", "1")
    assert done.returncode == 3, done.stdout + done.stderr
    assert (project.path / "killed").read_text() == "x"
    assert project.verdicts() == {
        "h4.short": "passed", "h5.user": "error", "h6.output": "passed", "h9.native": "skipped",
    }  # fmt: skip
    assert [case.get("name") for case in project.cases()].count("h5.user") == 1
    assert project.headline() == "error"


def test_groups_that_are_lost_are_told(project: Project) -> None:
    """pytest 9.2 takes no notice of what xdist 3.8 writes into a node id."""
    project.conftest(
        more="import pytest\ndef pytest_collection_modifyitems(items):\n"
        "    for item in items:\n        item.add_marker(pytest.mark.xdist_group('one'))\n"
    )
    done = project.run("-n", "2", "--", "--dist", "loadgroup")
    assert done.returncode == 0, done.stdout + done.stderr
    together = len({row["worker"] for row in project.records("scenario")}) == 1
    assert together or "--dist loadgroup: the groups of 4 items are lost" in done.stdout
