# SPDX-License-Identifier: Apache-2.0
"""The main job as a user runs it: a guest, the catalogue, verdicts that can be believed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from drivers.components import ROOT as DRIVERS
from harness.language import scenario_file
from tests.e2e.command import Ran, run

pytestmark = pytest.mark.e2e

RULES = [f"H{number}" for number in range(1, 11)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The whole catalogue against the sample target, two guests at once."""
    return run(tmp_path_factory.mktemp("whole") / "out", "-n", "2")


def test_the_sample_target_passes_but_for_what_the_guest_cannot_show(whole: Ran) -> None:
    """Each skip by id and reason: a scenario that is skipped by mistake would show nothing from then on."""
    assert whole.exit_code == 0, whole.output
    records = whole.of_kind("scenario")
    assert {record["verdict"] for record in records} == {"passed", "skipped"}
    (environment,) = whole.of_kind("environment")
    major = str(environment["guest"]["wine"]).partition(".")[0]
    data = Path(__file__).parent / "data" / f"skipped_on_wine_{major}.json"
    assert data.is_file(), f"what Wine {major} cannot show is not on record: make {data.name}"
    known = {(name, reason) for reason, names in json.loads(data.read_text()).items() for name in names}
    assert {(r["id"], r["reason"]) for r in records if r["verdict"] == "skipped"} == known
    catalogue = {located.scenario.id for located in scenario_file.load_all([scenario_file.CATALOGUE])}
    assert {record["id"] for record in records} == catalogue, "none of them is missing"


def test_every_rule_was_shown(whole: Ran) -> None:
    passed = {
        rule
        for record in whole.of_kind("scenario")
        if record["verdict"] == "passed"
        for rule in record["judged"]
    }
    assert passed >= set(RULES)


def test_what_is_skipped_says_why(whole: Ran) -> None:
    skipped = [record for record in whole.of_kind("scenario") if record["verdict"] == "skipped"]
    assert skipped
    assert all(record["reason"] for record in skipped)
    for record in skipped:
        assert record["reason"] in whole.output


def test_junit_says_the_same_and_who_was_tested(whole: Ran) -> None:
    verdicts = whole.verdicts()
    assert whole.junit() == {
        "tests": verdicts.total(),
        "failures": 0,
        "errors": 0,
        "skipped": verdicts["skipped"],
    }
    for case in whole.suite().iter("testcase"):
        names = {node.get("name") for node in case.iter("property")}
        assert {"rule", "verdict"} <= names, case.get("name")
    properties = {node.get("name") for node in whole.suite().iter("property")}
    assert {"guest", "kernel_build", "target_digest"} <= properties


def test_every_request_has_its_status_block(whole: Ran) -> None:
    handshakes = [
        record
        for record in whole.of_kind("step")
        if record["do"] == "handshake" and record["verdict"] == "passed"
    ]
    assert len(handshakes) > 100
    assert all(record["status_block"] for record in handshakes)


def test_the_report_is_one_file(whole: Ran) -> None:
    text = (whole.out / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", text)
    for rule in RULES:
        assert rule in text
    assert len(text.encode()) < 2_000_000, "it can be mailed: what passed is compressed in it"


def test_the_report_opens_in_a_browser_without_complaint(whole: Ran, tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.fail("chromium is not installed: apt-get install chromium", pytrace=False)
    shot = tmp_path / "report.png"
    done = subprocess.run(
        [
            chromium,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--enable-logging=stderr",
            "--window-size=1280,1600",
            f"--screenshot={shot}",
            (whole.out / "report.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ":CONSOLE" not in done.stderr, done.stderr
    assert shot.stat().st_size > 20_000


ALTERED = [
    pytest.param(
        "refks/handshake.c",
        "if (Irp->RequestorMode != KernelMode)                       /* H5 */",
        "if (Irp->RequestorMode > UserMode)",
        "H5",
        ("mode",),
        ("STATUS_INVALID_DEVICE_REQUEST (0xC0000010)", "STATUS_SUCCESS (0x00000000)"),
        id="mode-check-removed",
    ),
    pytest.param(
        "refks/handshake.c",
        "*Information = sizeof(KSHANDSHAKE);                     /* H6 */",
        "*Information = 0;",
        "H6",
        ("success", "returned"),
        ("32", "0"),
        id="information-zero",
    ),
    pytest.param(
        "refks/handshake.c",
        "if (stack->Parameters.DeviceIoControl.InputBufferLength != sizeof(KSHANDSHAKE) ||",
        "if (",
        "H4",
        ("lengths",),
        ("STATUS_INVALID_BUFFER_SIZE (0xC0000206)", ""),
        id="one-length-unchecked",
    ),
    pytest.param(
        "avshs/behaviour.c",
        "    return STATUS_INVALID_DEVICE_REQUEST;\n}",
        "    return STATUS_NOT_SUPPORTED;\n}",
        "H9",
        ("callback",),
        ("STATUS_INVALID_DEVICE_REQUEST (0xC0000010)", "STATUS_NOT_SUPPORTED (0xC00000BB)"),
        id="target-declines-otherwise",
    ),
]


@pytest.mark.parametrize(("file", "old", "new", "rule", "files", "expected_and_got"), ALTERED)
def test_an_altered_driver_fails_by_the_rule_it_breaks(
    tmp_path: Path,
    file: str,
    old: str,
    new: str,
    rule: str,
    files: tuple[str, ...],
    expected_and_got: tuple[str, str],
) -> None:
    """In those files of the catalogue that ask for it most; all of them look at it in tests/seeded."""
    tree = tmp_path / "drivers"
    shutil.copytree(DRIVERS, tree, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    text = (tree / file).read_text(encoding="utf-8")
    assert text.count(old) == 1, "the test's own premise"
    (tree / file).write_text(text.replace(old, new), encoding="utf-8")

    paths = [scenario_file.CATALOGUE / f"{name}.toml" for name in files]
    ran = run(tmp_path / "out", "--drivers", tree, "-k", rule, *paths)
    assert ran.exit_code == 1, ran.output
    verdicts = ran.verdicts()
    assert verdicts["failed"] > 0
    assert verdicts["passed"] > 0, "only what the defect touches may fail"
    assert not verdicts["error"], ran.output
    assert ran.junit()["errors"] == 0
    named = [
        comparison
        for step in ran.of_kind("step")
        for comparison in step["comparisons"]
        if not comparison["ok"] and comparison["rule"] == rule
    ]
    expected, got = expected_and_got
    assert any(comparison["expected"] == expected for comparison in named), named
    assert any(got in comparison["got"] for comparison in named), named
    assert f"{rule}:" in ran.output


def test_a_dead_agent_is_our_error_and_no_failure_of_the_driver(tmp_path: Path) -> None:
    ran = run(tmp_path / "out", Path(__file__).parent / "data" / "agent_dies.py")
    junit = ran.junit()
    assert (junit["errors"], junit["failures"]) == (1, 0), ran.output
    assert ran.exit_code == 3, ran.output
    assert junit["tests"] == 3, "a fresh lease serves the test after it"


def test_nothing_selected_is_no_success(tmp_path: Path) -> None:
    ran = run(tmp_path / "out", "-k", "no-such-scenario")
    assert ran.exit_code == 2, ran.output


def test_bad_usage_is_one_line(tmp_path: Path) -> None:
    ran = run(tmp_path / "out", "--target", "nobody")
    assert ran.exit_code == 2
    assert "Traceback" not in ran.output
    assert len(ran.output.strip().splitlines()) == 1, ran.output
