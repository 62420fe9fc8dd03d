# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from harness import cli
from harness.commands import run
from harness.commands.run import Selection, arguments, disagreement, exit_code
from harness.config import Config
from harness.errors import UsageError
from harness.plugin.observation import Item, Observer
from harness.results import parts
from harness.verdict import Verdict
from tests import warm
from tests.harness.commands.in_process import called
from tests.harness.plugin.test_plugin import CONFTEST, CRASH, HANG, KILL, SCENARIOS, WRONG_SIZE
from tests.harness.results.test_report import make
from vm.doctor import Check

ROOT = Path(__file__).parents[3]


def kshs(
    cwd: Path, *words: str, python: str | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python or warm.python(), "-m", "harness.cli", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "basic.toml").write_text(SCENARIOS)
    (tmp_path / "conftest.py").write_text(CONFTEST.format(root=str(ROOT), options=""))
    return tmp_path


@pytest.mark.parametrize(
    ("options", "words", "code", "says"),
    [
        ("", (), 0, "4 scenarios: 3 passed, 1 skipped"),
        (WRONG_SIZE, (), 1, "4 scenarios: 2 passed, 1 failed, 1 skipped"),
        (CRASH, (), 1, "1 crashed"),
        (HANG, (), 1, "1 hung"),
        (KILL, (), 3, "1 error"),
        ('fail="no room"', (), 3, "no room (kshs doctor)"),
        ("", ("-k", "nothing-like-this"), 2, "4 deselected"),
        ("", ("-k", "h9"), 3, "1 scenario: 1 skipped"),
    ],
)
def test_exit_codes_of_run(project: Path, options: str, words: tuple[str, ...], code: int, says: str) -> None:
    (project / "conftest.py").write_text(CONFTEST.format(root=str(ROOT), options=options))
    done = kshs(project, "run", "scenarios", "--out", "o", *words)
    assert (done.returncode, says in done.stdout) == (code, True), done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert (project / "o" / "junit.xml").exists() is (code != 2), "what runs nothing writes nothing"


@pytest.mark.parametrize(
    ("options", "words", "code"),
    [("", (), 0), (WRONG_SIZE, (), 1), ("", ("-k", "nothing-like-this"), 2), (KILL, (), 3)],
)
def test_exit_codes_of_a_process_that_is_started_as_users_start_it(
    project: Path, options: str, words: tuple[str, ...], code: int
) -> None:
    (project / "conftest.py").write_text(CONFTEST.format(root=str(ROOT), options=options))
    done = kshs(project, "run", "scenarios", "--out", "o", *words, python=sys.executable)
    assert done.returncode == code, done.stdout + done.stderr


def test_run_leaves_its_files_and_takes_pytest_arguments(project: Path) -> None:
    done = kshs(project, "run", "scenarios", "--out", "o", "--", "-v", "--maxfail=3")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "scenarios/basic.toml::h4.short PASSED" in done.stdout
    left = sorted(path.name for path in (project / "o").iterdir())
    assert left == ["junit.xml", "kshs.log", "report.html", "results.jsonl", "seal.json"]
    assert "kshs run scenarios --out o -- -v --maxfail=3" in (project / "o" / "report.html").read_text()


def test_scenarios_and_out_come_from_kshs_toml(project: Path) -> None:
    (project / "kshs.toml").write_text('[run]\nscenarios = ["scenarios"]\nout = "elsewhere"\n')
    done = kshs(project, "run", "-k", "h4")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (project / "elsewhere" / "report.html").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("run", "/nowhere"), "kshs: /nowhere: there is no such file or directory"),
        (("run", "--target", "nope"), "kshs: --target: there is no target 'nope'"),
        (("run", "-n", "many"), "kshs: Invalid value for '-n'"),
        (("run", "--config", "none.toml"), "kshs: none.toml: cannot be read"),
        (("report", "."), "kshs: .: there is no results.jsonl"),
        (("run", "--out", "/dev/null"), "kshs: /dev/null: results cannot be written there: File exists"),
        (("run", "--out", "/dev/null/x"), "kshs: /dev/null/x: results cannot be written there: Not a dir"),
        (("run", ".", "--out", "o"), "kshs: nothing was selected"),
        (("shell", "--guest", "nope"), "kshs: there is no guest 'nope' (recipes: wine; or kshs provision)"),
        (("shell", "--guest", "win11"), "kshs: the guest win11 is not made (run: kshs provision win11"),
        (("clean", "--guest", "nope"), "kshs: there is no Windows guest 'nope' on this machine; there"),
        (("build", "--driver", "/nowhere", "--out", "o"), "kshs: /nowhere: there is no such directory"),
        (("build", "--driver", ".", "--out", "o"), "kshs: {here}: holds no INF file (its INF says which"),
        (
            ("build", "--driver", ".", "--out", "/dev/null"),
            "kshs: /dev/null: nothing can be written there: File",
        ),
        (
            ("build", "--out", "/dev/null"),
            "kshs: /dev/null: nothing can be written there: File exists (check --out)",
        ),
        (
            ("build", "--out", "/dev/null/o"),
            "kshs: /dev/null/o: nothing can be written there: Not a directory",
        ),
        (("build", "--include", "x"), "kshs: --include, --define and --stand-in are for --driver"),
        (("build", "--out", "/dev/full"), "kshs: /dev/full: nothing can be written there: File exists"),
        (("fly",), "kshs: No such command 'fly'"),
        (("version", "--", "-x"), "kshs: only run takes arguments behind --"),
    ],
)
def test_bad_usage_is_one_clear_line_and_2(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    done = called(tmp_path, *words)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith(says.replace("{here}", str(tmp_path))), done.stderr
    assert words[0] != "build" or not (tmp_path / "o").exists()
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("guest", "says"),
    [
        ("nope", "kshs: there is no guest 'nope' (recipes: wine; or kshs provision)"),
        ("win11", "kshs: the guest win11 is not made (run: kshs provision win11 --iso FILE)"),
    ],
)
def test_a_guest_that_is_not_there_is_told_before_any_test(tmp_path: Path, guest: str, says: str) -> None:
    done = kshs(tmp_path, "run", "--guest", guest, "--out", "o", XDG_CACHE_HOME=str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr.strip()) == (2, "", says)


def test_who_brings_guests_names_them(project: Path) -> None:
    done = kshs(project, "run", "scenarios", "--guest", "ours", "--out", "o")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("words", "more", "code"), [((), "", 0), (("-k", "h4 and"), "", 2), ((), "[[scenario]]", 2)]
)
def test_guests_are_made_only_where_the_selection_is_right(
    project: Path, words: tuple[str, ...], more: str, code: int
) -> None:
    (project / "scenarios" / "other.toml").write_text(SCENARIOS.replace('id = "', 'id = "other.') + more)
    done = kshs(project, "run", "scenarios", "--out", "o", *words)
    said = done.stdout + done.stderr
    assert (done.returncode, "preparing nothing" in said) == (code, code == 0), said
    assert "Warning" not in said


def test_a_wrong_scenario_file_is_2(project: Path) -> None:
    (project / "scenarios" / "basic.toml").write_text(SCENARIOS.replace("input one", "").replace("H4", "H44"))
    done = kshs(project, "run", "scenarios", "--out", "o")
    assert done.returncode == 2
    assert "basic.toml:" in done.stdout and "Traceback" not in done.stdout


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (0, "all 2 prerequisites are met"),
        (1, "1 of 2 prerequisites is not met: a"),
        (2, "2 of 2 prerequisites are not met: a, b"),
    ],
)
def test_doctor_counts_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], bad: int, says: str
) -> None:
    found = [Check(name, number >= bad, "detail", "mend") for number, name in enumerate("ab")]
    monkeypatch.setattr("vm.doctor.checks", lambda config: found[:1])
    monkeypatch.setattr("drivers.doctor.checks", lambda: found[1:])
    with pytest.raises(SystemExit) as ended:
        cli.main(["doctor"])
    assert (ended.value.code, capsys.readouterr().out.splitlines()[-1]) == (3 if bad else 0, says)


def test_debug_shows_where_an_error_came_from(tmp_path: Path) -> None:
    done = called(tmp_path, "run", "/nowhere", KSHS_DEBUG="1")
    assert done.returncode == 2 and "Traceback" in done.stderr


def test_report_is_rendered_again(tmp_path: Path) -> None:
    make(tmp_path)
    done = called(tmp_path, "report", ".")
    assert done.returncode == 0, done.stderr
    assert "h4.short" in (tmp_path / "report.html").read_text()


def test_a_report_is_made_of_records_that_went_through_an_editor(tmp_path: Path) -> None:
    make(tmp_path)
    source = tmp_path / "results.jsonl"
    source.write_bytes(b"\xef\xbb\xbf" + source.read_bytes().replace(b"\n", b"\r\n"))
    done = called(tmp_path, "report", ".")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "results.jsonl: 0 runs in these records, one is needed"),
        (b"\0\xff\n", "results.jsonl:1: this line is no record of a run"),
        (b'{"kind": "run"}\n{"kind": "sce', "results.jsonl:2: this line is no record of a run"),
        (b'{"kind": "run", "schema": 99}\n', "results.jsonl: these results have schema 99"),
        (b'{"kind": "run", "schema": 1}\n', "results.jsonl: these are not the records of a run"),
        (b'{"kind": "run"}\n{"kind": "scenario"}\n', "results.jsonl: these are not the records of a run"),
        (b"[" * 100_000 + b"\n", "results.jsonl:1: this line is no record of a run"),
        ('{"kind": "run"}\n'.encode("utf-16"), "results.jsonl: is UTF-16, where UTF-8 is needed (save it as"),
    ],
)
def test_a_report_of_broken_results_is_2(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "results.jsonl").write_bytes(content)
    done = called(tmp_path, "report", ".")
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith(f"kshs: {says}"), done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "report.html").exists()


@pytest.mark.component
def test_sources_that_do_not_compile_are_2(tmp_path: Path) -> None:
    source = Path(ROOT / "drivers/avshs")
    for path in source.iterdir():
        if path.suffix == ".inf":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "wrong.c").write_text("int wrong(void) { return nothing; }\n")
    done = kshs(tmp_path, "build", "--driver", ".", "--out", "o")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "nothing" in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert not (tmp_path / "o").exists()


def test_help_and_version(tmp_path: Path) -> None:
    assert called(tmp_path).stdout.startswith("Usage: kshs")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for word in ("version", "--version"):
        done = called(tmp_path, word)
        assert done.returncode == 0 and done.stdout.startswith(f"kshs {project['version']}, ABI ")


def test_each_command_says_in_one_short_line_what_it_is_for(tmp_path: Path) -> None:
    said = called(tmp_path, "--help").stdout
    assert "..." not in said.replace("[ARGS]...", "")
    assert "Exit codes:" in said


def test_help_says_what_holds_where_an_option_is_left_out(tmp_path: Path) -> None:
    said = " ".join(called(tmp_path, "run", "--help").stdout.split())
    for default in ("run.guest, else wine", "run.target, else avshs", "run.out, else out/run"):
        assert f"[default: ({default})" in said


def test_arguments_behind_the_dashes_are_pytests() -> None:
    assert cli.split_arguments(["run", "a", "--", "-x", "--"]) == (["run", "a"], ["-x", "--"])
    assert cli.split_arguments(["run"]) == (["run"], [])


def test_a_node_id_is_a_path(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text("")
    made = arguments(Selection(paths=(Path(f"{file}::one"),)), Config())
    assert made[-1] == f"{file}::one"
    with pytest.raises(UsageError, match="no such file"):
        arguments(Selection(paths=(tmp_path / "y.toml",)), Config())


def heard(*verdicts: str, recorded: str = "", uncollected: int = 0, ran: bool = True) -> Observer:
    """An observer that has heard of scenarios with these verdicts, and read others back from the results."""
    items = {name: Item(name, scenario=True, now=Verdict(name)) for name in verdicts}
    kept = Counter(recorded.split()) if recorded else None
    return Observer(items=items, uncollected=uncollected, ran=ran, recorded=kept)


@pytest.mark.parametrize(
    ("code", "observer", "expected"),
    [
        (0, heard("passed", "skipped"), run.DONE),
        (1, heard("passed", "failed", "error"), run.DRIVER),
        (1, heard("passed", "crashed"), run.DRIVER),
        (1, heard("passed", "error"), run.INFRASTRUCTURE),
        (0, heard("skipped"), run.INFRASTRUCTURE),
        (5, heard(), run.USAGE),
        (4, heard(), run.USAGE),
        (2, heard(uncollected=1), run.USAGE),
        (1, heard("passed", uncollected=1), run.USAGE),
        (1, heard("passed", "failed", uncollected=1), run.DRIVER),
        (2, heard("passed"), run.INFRASTRUCTURE),
        (3, heard("passed"), run.INFRASTRUCTURE),
        (0, heard(), run.INFRASTRUCTURE),
        # What was read back from the results counts as much as what pytest says, and the worse of the two.
        (0, heard("passed", recorded="passed error"), run.INFRASTRUCTURE),
        (0, heard("passed", recorded="passed failed"), run.DRIVER),
        (1, heard("passed", "failed", recorded="passed"), run.DRIVER),
        (1, heard("passed", recorded="passed"), run.INFRASTRUCTURE),
        (0, heard(ran=False), run.DONE),
        (2, heard(ran=False), run.INFRASTRUCTURE),
    ],
)
def test_nothing_that_did_not_run_is_passed(code: int, observer: Observer, expected: int) -> None:
    assert exit_code(code, observer) == expected


def test_an_exit_code_that_is_not_what_was_seen_is_said() -> None:
    said = disagreement(0, heard("passed", recorded="passed error"))
    assert said == "pytest ended with 0, but one of the verdicts is error: the worse of the two counts"
    assert "nothing is on record that failed" in (disagreement(1, heard("passed")) or "")
    assert disagreement(0, heard("passed", recorded="passed")) is None
    assert disagreement(1, heard("failed")) is None


def test_what_an_earlier_run_left_stays_until_something_has_run(tmp_path: Path) -> None:
    """Here nothing runs, for a broken scenario; the exit code says so, and nothing else is touched."""
    out = tmp_path / "out"
    (out / ".parts-dead").mkdir(parents=True)
    for name in ("junit.xml", "results.jsonl", "report.html", "notes.txt"):
        (out / name).write_text("old")
    broken = tmp_path / "broken.toml"
    broken.write_text("[[scenario]]\nid = 1\n")
    done = kshs(tmp_path, "run", str(broken), "--out", str(out))
    assert done.returncode == 2, done
    assert {path.name: path.read_text() for path in out.iterdir() if path.is_file()} == {
        "junit.xml": "old", "results.jsonl": "old", "report.html": "old", "notes.txt": "old",
    }  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "a CI that cancels"])
def test_a_run_that_is_told_to_stop_ends_in_order_and_says_so(project: Path, number: signal.Signals) -> None:
    (project / "test_long.py").write_text(
        "import pathlib, time\n"
        "def test_long(handshake):\n"
        "    handshake('sink')\n"
        "    pathlib.Path('begun').touch()\n"
        "    time.sleep(60)\n"
    )
    command = [sys.executable, "-m", "harness.cli", "run", "scenarios", "test_long.py", "--out", "o"]
    process = subprocess.Popen(
        # A shell starts what runs in its background with Ctrl-C ignored, and that is passed on.
        ["env", "--default-signal=INT", *command],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (project / "begun").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 3, output
    assert "Traceback" not in output
    found = parts.read(project / "o" / "results.jsonl")
    assert "interrupted" in found[0]["problem"]
    assert "<title>kshs: error" in (project / "o" / "report.html").read_text()
    left = [path.name.partition("-")[0] for path in (project / "o").iterdir() if path.name.startswith(".")]
    assert left == [".parts"] and "kshs run --resume" in output


def test_a_command_brings_nothing_of_the_others_along() -> None:
    said = "import sys; import harness.cli as c; c.application(['run']); print('sqlalchemy' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True, cwd=ROOT)
    assert told.stdout == "False\n"
