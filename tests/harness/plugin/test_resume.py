# SPDX-License-Identifier: Apache-2.0
"""``kshs run --resume``: what was killed goes on, and what was in flight is tried again and said."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.plugin.project import Project
from tests.harness.plugin.test_plugin import ROOT, WRONG_SIZE

#: Kills this process under the first request of a kind, once for each number in the file "kills".
_KILLS = """
import glob, os, pathlib, signal, time
def ended(number):
    return sum(pathlib.Path(p).read_text().count('"kind":"scenario"') for p in glob.glob(
        "o/.parts-*/results-*")) >= number
def killing(answer=None, when=lambda step: True, scenarios=1):
    def bend(simulation, step, data):
        left = pathlib.Path("kills")
        if OPS[int(step.op)] == "REQUEST" and when(step) and left.exists():
            until = time.monotonic() + 10  # it was sent ahead: the one before it comes to its end first
            while not ended(scenarios) and time.monotonic() < until:
                time.sleep(0.02)
            time.sleep(0.5)  # the records of earlier steps come to the journal meanwhile
            number = int(left.read_text()) - 1
            left.write_text(str(number)) if number else left.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return answer(simulation, step, data) if answer else None
    return bend
provider.bend = killing({answer}, {when}, {scenarios})
"""
_USER = "lambda step: int(step.mode) == C['KSHS_MODE_USER']"
_TESTS = """
def test_own(): pass
def test_wrong(): assert 1 == 2
def test_guest(handshake):
    assert handshake("source", mode="user", route="irp").answer == 0xC0000010
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def arm(
    project: Project, kills: int = 1, answer: str = "None", when: str = _USER, scenarios: int = 1
) -> None:
    project.conftest(more=_KILLS.format(answer=answer, when=when, scenarios=scenarios))
    (project.path / "kills").write_text(str(kills))


def resume(project: Project, *words: str) -> Any:
    return project.kshs("run", "--resume", "o", *words)


def attempts(project: Project, name: str) -> list[str]:
    (record,) = (record for record in project.records("scenario") if record["id"] == name)
    return [attempt["verdict"] for attempt in record.get("attempts", ())]


@pytest.fixture
def dead_guest(project: Project) -> Iterator[Path]:
    """What a killed process leaves of a guest: the files of a lease, in a slot that nobody holds."""
    runtime = Path(tempfile.mkdtemp(prefix="kshs-d"))  # short: its length is limited
    lease = runtime / "r0" / "leases" / "kshs-r0-ab12cd-1"
    lease.mkdir(parents=True)
    (runtime / "r0").chmod(0o700)
    (runtime / "r0.lock").touch()
    (lease / "disk.qcow2").touch()
    project.environment["KSHS_RUNTIME_DIR"] = str(runtime)
    yield lease
    shutil.rmtree(runtime)


def left(project: Project) -> list[str]:
    return sorted(path.name for path in project.out.glob(".*"))


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "workers"])
def test_what_was_in_flight_is_tried_again_and_both_attempts_stand(
    project: Project, workers: tuple[str, ...]
) -> None:
    arm(project, kills=2)
    assert project.run("-n", "0").returncode == -signal.SIGKILL
    assert resume(project, "-n", "0").returncode == -signal.SIGKILL
    assert not (project.out / "results.jsonl").exists()
    done = resume(project, *workers)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(project.verdicts().values()) == ["passed", "passed", "passed", "skipped"]
    assert attempts(project, "h5.user") == ["error", "error", "passed"]
    (record,) = (record for record in project.records("scenario") if record["id"] == "h5.user")
    lost = record["attempts"][0]
    assert lost["lost"] is True
    assert lost["reason"].startswith("the run ended while this scenario was in flight: step ")
    assert " from user mode (not known to have begun); last sent: " in lost["reason"]
    assert attempts(project, "h4.short") == [], "what had ended is not run again"
    assert project.records("run")[0]["sessions"] == 3
    assert sorted(project.junit().values()) == ["passed", "passed", "passed", "skipped"]
    (case,) = (case for case in project.cases() if "h5.user" in str(case.get("name")))
    said = [p.get("value", "") for p in case.iter("property") if p.get("name") == "attempt"]
    assert [text.partition(":")[0] for text in said] == ["error", "error", "passed"]
    page = (project.out / "report.html").read_text()
    assert page.count("the run ended while this scenario was in flight: step ") == 2
    assert left(project) == []


def test_killed_when_everything_had_ended(project: Project, dead_guest: Path) -> None:
    project.conftest(
        WRONG_SIZE,
        "import os, signal\nfrom harness.results import report\n"
        "report.write = lambda *given: os.kill(os.getpid(), signal.SIGKILL)\n",
    )
    assert project.run().returncode == -signal.SIGKILL
    project.conftest('fail="a guest was asked for"')
    done = resume(project)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "cleaned up: files of kshs-r0-ab12cd-1" in done.stdout and not dead_guest.exists()
    assert sorted(project.verdicts().values()) == ["failed", "passed", "passed", "skipped"]
    assert len(project.junit()) == 4 and project.headline() == "failed"
    assert not any("attempts" in record for record in project.records("scenario"))
    assert left(project) == []


def test_what_failed_before_the_kill_is_in_the_exit_code_and_in_all_results(project: Project) -> None:
    arm(project, answer=WRONG_SIZE.removeprefix("bend="))
    assert project.run().returncode == -signal.SIGKILL
    done = resume(project)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 2 passed, 1 skipped" in done.stdout
    assert project.verdicts()["h4.short"] == "failed"
    assert list(project.junit().values()).count("failure") == 1
    (whole,) = (record for record in project.records("scenario") if record["id"] == "h4.short")
    assert len([s for s in project.records("step") if s["scenario"] == "h4.short"]) == whole["step_count"]


def test_the_same_results_as_of_a_run_that_nobody_disturbed(project: Project) -> None:
    arm(project)
    assert project.run().returncode == -signal.SIGKILL
    assert resume(project).returncode == 0
    resumed = project.all_records()
    project.conftest()
    assert project.run().returncode == 0
    drop = {"seconds", "guest_seconds", "lease", "attempts", "started", "id", "sessions", "begin_ns"}

    def plain(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        named = [{**r, "id": r.get("id")} for r in records if r["kind"] in ("scenario", "step")]
        return [{k: v for k, v in r.items() if k not in drop or k == "id"} for r in named]

    assert plain(resumed) == plain(project.all_records())


def test_tests_in_python_are_kept_too(project: Project) -> None:
    arm(project, when="lambda step: int(step.route) == C['KSHS_ROUTE_IRP']", scenarios=0)
    (project.path / "test_it.py").write_text(_TESTS)
    killed = project.kshs("run", "test_it.py", "--out", "o")
    assert killed.returncode == -signal.SIGKILL
    (project.path / "once").touch()
    done = resume(project)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 2 passed" in done.stdout
    assert project.verdicts("test") == {"test_own": "passed", "test_wrong": "failed", "test_guest": "passed"}
    (lost,) = (record for record in project.records("test") if "attempts" in record)
    assert lost["id"].endswith("test_guest") and [a["verdict"] for a in lost["attempts"]] == [
        "error",
        "passed",
    ]
    (wrong,) = (record for record in project.records("test") if record["id"].endswith("test_wrong"))
    assert "assert 1 == 2" in wrong["traceback"] and "ours" not in wrong


def test_a_driver_fault_whose_record_was_lost_is_never_made_good(project: Project) -> None:
    arm(project)
    assert project.run().returncode == -signal.SIGKILL
    (journal,) = project.out.glob(".parts-*/journal-main.jsonl")
    ended = {"event": "end", "scenario": "h5.user", "file": "scenarios/basic.toml", "verdict": "crashed"}
    with journal.open("a") as lines:
        lines.write(json.dumps(ended) + "\n")
    assert resume(project).returncode == 1
    assert project.verdicts()["h5.user"] == "crashed"
    assert attempts(project, "h5.user") == ["crashed", "passed"]


def test_a_failure_whose_lines_were_torn_stays_one(project: Project) -> None:
    arm(project, answer=WRONG_SIZE.removeprefix("bend="))
    assert project.run().returncode == -signal.SIGKILL
    (part,) = project.out.glob(".parts-*/results-main.jsonl")
    lines = part.read_text().splitlines(True)
    last = next(n for n, line in enumerate(lines) if '"kind":"step"' in line and '"h4.short"' in line)
    part.write_text("".join(lines[:last]) + lines[last][:30])
    project.conftest()
    done = resume(project)
    assert done.returncode == 1, done.stdout + done.stderr
    assert attempts(project, "h4.short") == ["failed", "passed"]
    assert project.verdicts()["h4.short"] == "failed"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda p: _replace(p / "scenarios/basic.toml", "from user mode", "as a user"),
            "h5.user: has changed",
        ),
        (lambda p: _replace(p / "scenarios/basic.toml", '"h5.user"', '"h5.person"'), "h5.user: is gone"),
        (lambda p: _replace(p / "conftest.py", "provider.bend", _OTHER), "the target package has changed"),
        (lambda p: _replace(_in(p, "run.json"), '"id":"', '"id":"x'), "run.json: is damaged: id: "),
        (lambda p: _in(p, "run.json").write_bytes(b"\xff\x00"), "run.json: is damaged: "),
        (lambda p: _replace(_in(p, "run.json"), '"workers"', '"guest": 7, "workers"'), "is damaged: call"),
        (lambda p: _replace(_in(p, "run.json"), '"version":"', '"version":"0.0+'), "was begun by kshs 0.0+"),
        (lambda p: _in(p, "items.jsonl").write_text("{}\n"), "items.jsonl: is damaged: key: "),
        (lambda p: _in(p, "facts.json").write_text("[]"), "facts.json: is damaged: is no object"),
        (
            lambda p: _replace(_in(p, "results-main.jsonl"), '"kind":"scenario"', "#"),
            "results-main.jsonl:",
        ),
        (
            lambda p: _replace(_in(p, "results-main.jsonl"), '"verdict":"passed"', '"verdict":"good"'),
            "is damaged",
        ),
    ],
)
@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "workers"])
def test_what_has_changed_or_is_damaged_is_one_clear_line(
    project: Project, change: Any, says: str, workers: tuple[str, ...]
) -> None:
    arm(project)
    assert project.run().returncode == -signal.SIGKILL
    change(project.path)
    before = {path: path.read_bytes() for path in project.out.rglob("*.json*")}
    done = resume(project, *workers)
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said
    assert done.returncode == 2, said
    assert said.count(says) == 1, said
    assert {path: path.read_bytes() for path in project.out.rglob("*.json*") if path in before} == before


_OTHER = "provider.target_digest = lambda: 'other'\nprovider.bend"


def _in(path: Path, name: str) -> Path:
    (found,) = path.glob(f"o/.parts-*/{name}")
    return found


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, text
    path.write_text(text.replace(old, new, 1))


def test_a_run_that_has_ended_says_so_with_its_exit_code(project: Project, dead_guest: Path) -> None:
    project.conftest(WRONG_SIZE)
    assert project.run().returncode == 1
    before = {path.name: path.read_bytes() for path in project.out.iterdir()}
    done = resume(project)
    assert done.returncode == 1
    assert "cleaned up: files of kshs-r0-ab12cd-1" in done.stdout and not dead_guest.exists()
    assert "has ended (2 passed, 1 failed, 1 skipped): nothing is left to run" in done.stdout
    assert {path.name: path.read_bytes() for path in project.out.iterdir()} == before


def test_where_there_is_nothing_to_go_on_with(project: Project) -> None:
    done = resume(project)
    assert done.returncode == 2 and "o: there is no such directory" in done.stderr
    project.out.mkdir()
    done = resume(project)
    assert done.returncode == 2 and "holds no run that could be gone on with" in done.stderr
    done = resume(project, "--rule", "H5")
    assert done.returncode == 2 and "--resume: goes with -n alone" in done.stderr


def test_two_at_once_are_refused(project: Project) -> None:
    arm(project)
    assert project.run().returncode == -signal.SIGKILL
    more = (
        "import subprocess, sys, os\n"
        "def pytest_collection_finish(session):\n"
        "    if 'KSHS_INNER' not in os.environ:\n"
        "        done = subprocess.run([sys.executable, '-m', 'harness.cli', 'run', '--resume', 'o'],\n"
        "            env={**os.environ, 'KSHS_INNER': '1'}, capture_output=True, text=True)\n"
        "        open('second', 'w').write(f'{done.returncode} {done.stderr}')\n"
    )
    project.conftest(more=more)
    assert resume(project).returncode == 0
    second = (project.path / "second").read_text()
    assert second.startswith("2 ") and "another run is writing its results there" in second


def test_a_new_run_in_the_same_place_is_a_new_one(project: Project) -> None:
    arm(project)
    assert project.run().returncode == -signal.SIGKILL
    assert project.run().returncode == 0
    assert project.records("run")[0]["sessions"] == 1
    assert left(project) == []
    assert "has ended" in resume(project).stdout


def test_a_host_that_was_mended_is_gone_on_with(project: Project) -> None:
    project.conftest(
        'fail="no more guests", fail_from=1',
        "\nprovider.bend = lambda s, step, data: (\n"
        "    Answer(die=137) if OPS[int(step.op)] == 'REQUEST' and step.in_length != 32 else None)\n",
    )
    done = project.run()
    assert done.returncode == 3, done.stdout + done.stderr
    assert "kshs run --resume" in done.stdout
    rest = {r["reason"] for r in project.records("scenario") if str(r["reason"]).startswith("not run: ")}
    assert rest == {"not run: no more guests (kshs doctor)"}
    project.conftest()
    done = resume(project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(project.verdicts().values()) == ["passed", "passed", "passed", "skipped"]
    assert attempts(project, "h4.short") == ["error", "error", "passed"], "its second try never had a guest"
    assert left(project) == []
    shutil.rmtree(project.out)


def test_killed_at_random_moments(project: Project) -> None:
    """As `tests/e2e/test_killed_and_resumed.py` does it with guests; ``KSHS_TEST_KILLS`` moments."""
    slow = "bend=lambda s, step, data: __import__('time').sleep(0.02)"
    project.conftest(slow)
    begun = time.monotonic()
    kill_after(project, 120, "run", "scenarios", "--out", "o")
    whole, expected = time.monotonic() - begun, outcome(project)
    dice = random.Random(1)
    for _ in range(int(os.environ.get("KSHS_TEST_KILLS", "2"))):
        shutil.rmtree(project.out)
        kill_after(project, dice.uniform(0, whole), "run", "scenarios", "--out", "o")
        if list(project.out.glob(".parts-*/run.json")) and dice.random() < 0.5:
            kill_after(project, dice.uniform(0, whole), "run", "--resume", "o")
        begun_at_all = project.out.is_dir() and (
            list(project.out.glob(".parts-*/run.json")) or (project.out / "results.jsonl").exists()
        )
        done = resume(project) if begun_at_all else project.run()
        assert done.returncode == 0, done.stdout + done.stderr
        assert outcome(project) == expected
        assert left(project) == []


def outcome(project: Project) -> list[tuple[Any, ...]]:
    """What must not depend on who disturbed the run; what was tried again was lost before."""
    found = []
    for record in project.records("scenario"):
        assert all(attempt.get("lost") for attempt in record.get("attempts", [])[:-1]), record
        steps = [step["name"] for step in project.records("step") if step["scenario"] == record["id"]]
        found.append((record["order"], record["id"], record["verdict"], record["reason"], steps))
    return [*found, sorted(project.junit().items())]


def kill_after(project: Project, seconds: float, *words: str) -> None:
    process = subprocess.Popen(
        # No fork of the warm process: that would outlive the one that is killed here.
        [sys.executable, "-m", "harness.cli", *words],
        cwd=project.path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
