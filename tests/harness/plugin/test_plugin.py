# SPDX-License-Identifier: Apache-2.0
"""The pytest plugin, with guests of threads and memory."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests import warm

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[3]
INSTALLED = any(e.name == "kshs" for e in metadata.entry_points(group="pytest11"))

CONFTEST = """
import sys
sys.path.insert(0, {root!r})
from tests.harness.fake_guest import *
from tests.harness.fake_agent import Answer
from harness.guests import Evidence
from harness.plugin import guests
from harness.running import attribution

attribution._RECORDER_TIME = 0.1  # nobody's crash recorder needs its time here
guests.PAUSES = (0.0,)  # and no host gets better meanwhile
provider = FakeProvider({options})

def pytest_kshs_provider(config):
    return provider
"""

SCENARIOS = """
schema = 1

[[scenario]]
id = "h4.short"
title = "input one byte short"
rule = "H4"
open = ["source"]
timeout_ms = 300
steps = [{ do = "handshake", on = "source", in_length = "size-1", route = "irp" }]

[[scenario]]
id = "h5.user"
title = "from user mode"
rule = "H5"
tags = ["modes"]
open = ["source"]
timeout_ms = 300
steps = [{ do = "handshake", on = "source", mode = "user" }]

[[scenario]]
id = "h6.output"
title = "output holds the answer"
rule = "H6"
open = ["source"]
timeout_ms = 300
steps = [{ do = "handshake", on = "source", argument1 = 5 }]

[[scenario]]
id = "h9.native"
title = "needs what Wine has not"
rule = "H9"
needs = ["bugcheck"]
open = ["source"]
steps = [{ do = "handshake", on = "source" }]
"""

WRONG_SIZE = """bend=lambda s, step, data: (
    s.request(step, data, status=0) if OPS[int(step.op)] == "REQUEST" and step.in_length != 32 else None)"""
CRASH = """bend=lambda s, step, data: (
    Answer(record={"outcome": C["KSHS_OUTCOME_LOST"]})
    if OPS[int(step.op)] == "REQUEST" and step.in_length != 32 else None),
    evidence=Evidence(driver=("exception 0xC0000005 at avshs.sys+0x10",))"""
HANG = """bend=lambda s, step, data: (
    Answer(record={"outcome": C["KSHS_OUTCOME_HUNG"]})
    if OPS[int(step.op)] == "REQUEST" and step.in_length != 32 else None)"""
KILL = """bend=lambda s, step, data: (
    Answer(die=137) if OPS[int(step.op)] == "REQUEST" and step.in_length != 32 else None)"""

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setattr("harness.running.attribution._RECORDER_TIME", 0.1)
    monkeypatch.setattr("sys.executable", warm.python())  # of xdist's workers

    def run(*args: str, options: str = "", scenarios: str | None = SCENARIOS, **files: str) -> Any:
        pytester.makeconftest(CONFTEST.format(root=str(ROOT), options=options))
        if scenarios is not None:
            pytester.mkdir("scenarios")
            (pytester.path / "scenarios" / "basic.toml").write_text(scenarios)
        if files:
            pytester.makepyfile(**files)
        loaded = [] if INSTALLED else ["-p", "harness.plugin.hooks"]
        return pytester.runpytest(*loaded, "-p", "no:randomly", *args)

    return run


def records(pytester: pytest.Pytester, out: str = "out") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (pytester.path / out / "results.jsonl").read_text().splitlines()]


def verdicts(pytester: pytest.Pytester) -> dict[str, str]:
    return {r["id"]: r["verdict"] for r in records(pytester) if r["kind"] == "scenario"}


def test_scenarios_are_items_and_verdicts_are_outcomes(pytester: pytest.Pytester, run: Run) -> None:
    result = run("-v", "--kshs-out=out")
    result.assert_outcomes(passed=3, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "*scenarios/basic.toml::h4.short PASSED*",
            "*scenarios/basic.toml::h9.native SKIPPED*bugcheck*",
            "4 scenarios: 3 passed, 1 skipped",
            "  H4              1 passed",
            "  by irp          1 passed",
            "skipped, because:",
            "  1 x needs bugcheck: Wine: *",
            "report: *out/report.html",
        ]
    )
    assert verdicts(pytester) == {
        "h4.short": "passed", "h5.user": "passed", "h6.output": "passed", "h9.native": "skipped",
    }  # fmt: skip
    assert "Wine 8.0 as NT 10.0.19043" in (pytester.path / "out/report.html").read_text()
    assert [p.name for p in (pytester.path / "out").iterdir() if p.name.startswith(".")] == []


def test_a_run_without_a_report_says_where_its_results_are(pytester: pytest.Pytester, run: Run) -> None:
    result = run("--kshs-out=out", "--kshs-no-report")
    result.stdout.fnmatch_lines(["results: *out"])
    assert sorted(p.name for p in (pytester.path / "out").iterdir()) == [
        "kshs.log", "results.jsonl", "seal.json",
    ]  # fmt: skip
    assert len(verdicts(pytester)) == 4


def test_there_is_one_record_a_step(pytester: pytest.Pytester, run: Run) -> None:
    run("--kshs-out=out")
    found = records(pytester)
    assert [r["kind"] for r in found[:2]] == ["run", "environment"]
    assert found[0]["target"]["digest"] == "ef" * 32
    for scenario in (r for r in found if r["kind"] == "scenario"):
        steps = [r for r in found if r["kind"] == "step" and r["scenario"] == scenario["id"]]
        assert [s["index"] for s in steps] == list(range(scenario["step_count"]))
    request = next(r for r in found if r["kind"] == "step" and r["do"] == "handshake")
    assert request["request"]["in_length"] == 31
    assert request["status_block"]["answer"] == "STATUS_INVALID_BUFFER_SIZE (0xC0000206)"
    assert request["comparisons"][0]["rule"] == "H4"


def test_a_failure_shows_rule_expected_and_got(pytester: pytest.Pytester, run: Run) -> None:
    result = run("--kshs-out=out", options=WRONG_SIZE)
    result.assert_outcomes(passed=2, failed=1, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "*field *expected *got *rule*",
            "*> *answer *STATUS_INVALID_BUFFER_SIZE (0xC0000206) *STATUS_SUCCESS (0x00000000) *H4*",
            "*H4: If the lengths are not both sizeof(KSHANDSHAKE)*",
            "*status blocks*",
        ]
    )
    assert "Traceback" not in result.stdout.str()


@pytest.mark.parametrize(
    ("options", "verdict", "word"), [(CRASH, "crashed", "CRASHED"), (HANG, "hung", "HUNG")]
)
def test_crashed_and_hung_are_failures_under_their_own_names(
    pytester: pytest.Pytester, run: Run, options: str, verdict: str, word: str
) -> None:
    result = run("-v", "--kshs-out=out", options=options)
    result.assert_outcomes(passed=2, failed=1, skipped=1)
    result.stdout.fnmatch_lines([f"*h4.short {word}*"])
    assert verdicts(pytester)["h4.short"] == verdict


def test_a_killed_agent_is_an_error_not_a_failure(pytester: pytest.Pytester, run: Run) -> None:
    result = run("-v", "--kshs-out=out", "--junitxml=junit.xml", options=KILL)
    result.assert_outcomes(passed=2, errors=1, skipped=1)
    result.stdout.fnmatch_lines(["*the agent is gone*exit code 137*"])
    assert verdicts(pytester)["h4.short"] == "error"
    case = next(c for c in junit(pytester) if c.get("name") == "h4.short")
    assert case.find("error") is not None and case.find("failure") is None
    assert "Traceback" not in result.stdout.str()


def junit(pytester: pytest.Pytester, name: str = "junit.xml") -> list[ElementTree.Element]:
    return list(ElementTree.parse(pytester.path / name).iter("testcase"))


def test_junit_carries_rule_guest_build_and_digest(pytester: pytest.Pytester, run: Run) -> None:
    run("--junitxml=junit.xml", options=WRONG_SIZE)
    case = next(c for c in junit(pytester) if c.get("name") == "h4.short")
    properties = [(p.get("name"), p.get("value")) for p in case.iter("property")]
    for wanted in (
        ("rule", "H4"),
        ("route", "irp"),
        ("verdict", "failed"),
        ("guest", "wine: Wine 8.0 as NT 10.0.19043"),
        ("kernel_build", "19043"),
        ("target", "sim"),
        ("target_digest", "ef" * 32),
    ):
        assert wanted in properties
    block = json.loads(dict(properties)["status_block"] or "")
    assert block["answer"] == "STATUS_SUCCESS (0x00000000)"


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["one process", "workers"])
def test_tests_in_python_are_in_the_results_too(
    pytester: pytest.Pytester, run: Run, workers: tuple[str, ...]
) -> None:
    run(
        "--kshs-out=out",
        *workers,
        test_it="""
        import pytest
        def test_good(handshake): pass
        def test_bad(handshake): assert 1 == 2, "the driver lies"
        def test_not(): pytest.skip("no time")
        @pytest.fixture
        def broken(): raise OSError("no file")
        def test_torn(broken): pass
        """,
    )
    found = {r["id"].split("::")[1]: r for r in records(pytester) if r["kind"] == "test"}
    assert {name: r["verdict"] for name, r in found.items()} == {
        "test_good": "passed",
        "test_bad": "failed",
        "test_not": "skipped",
        "test_torn": "error",
    }
    assert "the driver lies" in found["test_bad"]["reason"]
    assert "no time" in found["test_not"]["reason"]
    assert "<title>kshs: failed" in (pytester.path / "out/report.html").read_text()


def test_a_project_without_scenarios_is_left_nothing(
    pytester: pytest.Pytester, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("xdist")
    spare = pytester.mkdir("spare")
    monkeypatch.setattr("tempfile.tempdir", str(spare))
    result = run("-n", "1", "-p", "no:cacheprovider", scenarios=None, test_own="def test_own(): pass")
    result.assert_outcomes(passed=1)
    assert not list(spare.glob("kshs-*"))


def test_two_workers_have_a_lease_each_and_one_result(pytester: pytest.Pytester, run: Run) -> None:
    pytest.importorskip("xdist")
    result = run("-n2", "--kshs-out=out", "--junitxml=junit.xml", options=WRONG_SIZE)
    result.assert_outcomes(passed=2, failed=1, skipped=1)
    found = records(pytester)
    rows = [r for r in found if r["kind"] == "scenario"]
    assert [r["id"] for r in rows] == ["h4.short", "h5.user", "h6.output", "h9.native"]
    assert {r["worker"] for r in rows} == {"gw0", "gw1"}
    assert len([r for r in found if r["kind"] == "environment"]) == 1
    result.stdout.fnmatch_lines(["4 scenarios: 2 passed, 1 failed, 1 skipped"])
    case = next(c for c in junit(pytester) if c.get("name") == "h4.short")
    assert ("kernel_build", "19043") in [(p.get("name"), p.get("value")) for p in case.iter("property")]


def test_a_worker_that_dies_leaves_an_error_for_what_was_in_flight(
    pytester: pytest.Pytester, run: Run
) -> None:
    pytest.importorskip("xdist")
    options = (
        "bend=lambda s, step, data: (__import__('os')._exit(9) "
        "if OPS[int(step.op)] == 'REQUEST' and step.in_length != 32 else None)"
    )
    run("-n2", "--kshs-out=out", options=options)
    assert verdicts(pytester)["h4.short"] == "error"
    row = next(r for r in records(pytester) if r.get("id") == "h4.short")
    assert "while this scenario was in flight: step " in row["reason"]


@pytest.mark.parametrize(
    ("selection", "ids"),
    [
        ("h4", {"h4.short"}),
        ("H5 or H6", {"h5.user", "h6.output"}),
        ("irp", {"h4.short"}),
        ("modes", {"h5.user"}),
    ],
)
def test_rules_routes_and_tags_select(
    pytester: pytest.Pytester, run: Run, selection: str, ids: set[str]
) -> None:
    run("-k", selection, "--kshs-out=out")
    assert set(verdicts(pytester)) == ids
    assert records(pytester)[0]["selection"] == selection


def test_in_python_tests_a_crash_fails_and_a_lost_agent_errs(pytester: pytest.Pytester, run: Run) -> None:
    test = "def test_it(handshake):\n    handshake(in_length='size-1')\n"
    result = run(scenarios=None, options=CRASH, test_it=test)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*crashed: *avshs.sys+0x10*"])
    result = run(scenarios=None, options=KILL, test_it=test)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*the agent is gone*"])


def test_the_plugin_does_nothing_where_nobody_asks(pytester: pytest.Pytester, run: Run) -> None:
    result = run("--kshs-out=out", scenarios=None, options='fail="never"', test_x="def test_x(): pass")
    result.assert_outcomes(passed=1)
    assert not (pytester.path / "out").exists()
    assert not [line for line in result.outlines if line.startswith("kshs:") or "= kshs =" in line]


def test_wrong_settings_are_a_usage_error_in_one_line(pytester: pytest.Pytester, run: Run) -> None:
    (pytester.path / "kshs.toml").write_text("[run]\ngest = 'x'\n")
    result = run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: kshs.toml: run.gest: there is no such key (did you mean guest?)"])


@pytest.mark.parametrize("text", ["[[scenario\nid = 'x'\n", "schema = 1\n[[scenaro]]\nid = 'x'\n"])
def test_a_broken_file_among_scenarios_is_told_and_not_left_out(
    pytester: pytest.Pytester, run: Run, text: str
) -> None:
    (pytester.mkdir("scenarios") / "broken.toml").write_text(text)
    result = run(scenarios=None)
    assert result.ret not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    assert "broken.toml" in result.stdout.str() + result.stderr.str()
