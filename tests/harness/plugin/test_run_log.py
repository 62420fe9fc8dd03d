# SPDX-License-Identifier: Apache-2.0
"""kshs.log: what went on is in it, secrets and escapes are not, and it ends somewhere."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from harness.plugin import run_log
from harness.plugin.run_log import RunLog, keep, name_of, redacted
from tests.harness.plugin.project import Project

LOG = logging.getLogger("vm.some.room")
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAAsecretAAAA\n-----END OPENSSH PRIVATE KEY-----"


def written(path: Path) -> str:
    return path.read_text("utf-8")


def test_an_entry_has_time_level_module_and_text(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "kshs.log")
    LOG.debug("port %d", 7)
    log.close()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z DEBUG +MainThread vm\.some\.room: port 7\n",
        written(log.path),
    )
    LOG.error("afterwards")
    assert "afterwards" not in written(log.path)
    writing = [h for h in logging.getLogger("vm").handlers if isinstance(h, logging.FileHandler)]
    assert str(log.path) not in [handler.baseFilename for handler in writing]


def test_an_error_has_its_traceback_on_indented_lines(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "kshs.log")
    try:
        raise RuntimeError("the mirror\x1b[31m is gone")
    except RuntimeError as error:
        LOG.error("preparing", exc_info=error)
    log.close()
    first, *more = written(log.path).splitlines()
    assert first.endswith("preparing")
    assert more and all(line.startswith("    ") for line in more)
    assert "RuntimeError: the mirror" in more[-1]
    assert "\x1b" not in written(log.path)


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (KEY, "secret"),
        (KEY[:60], "secret"),
        ("password=hunter2 user=x", "hunter2"),
        ('{"passphrase": "hunter two"}', "two"),
        ("<Password>hunter2</Password>", "hunter2"),
        ("token: hunter2", "hunter2"),
    ],
)
def test_no_secret_is_written(tmp_path: Path, text: str, hidden: str) -> None:
    log = RunLog(tmp_path / "kshs.log")
    LOG.info("sent %s", text)
    log.close()
    assert hidden not in written(log.path)
    assert "[removed]" in written(log.path)


def test_what_is_no_secret_stays() -> None:
    for text in ("port 22 speaks", "the package's tokens", "a private function", "lease 7 given back"):
        assert redacted(text) == text


def test_it_ends_with_a_word_when_it_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log, "LIMIT", 2000)
    log = RunLog(tmp_path / "kshs.log")
    for number in range(500):
        LOG.info("entry %d", number)
    log.close()
    assert log.path.stat().st_size < 2500
    assert written(log.path).count("the log is full") == 1
    assert written(log.path).endswith("what follows is left out\n")


def test_logs_of_all_processes_are_kept_and_earlier_ones_go(tmp_path: Path) -> None:
    parts, out = tmp_path / "parts", tmp_path / "out"
    parts.mkdir()
    out.mkdir()
    (out / "kshs-gw7.log").write_text("old")
    (out / "kshs.log").write_text("old")
    for worker in ("main", "gw0"):
        (parts / name_of(worker)).write_text(worker)
    keep(parts, out)
    assert {path.name: path.read_text() for path in out.iterdir()} == {
        "kshs.log": "main",
        "kshs-gw0.log": "gw0",
    }


BROKEN = """
from vm.errors import VmError
def acquire():
    raise VmError("the hypervisor refuses")
provider.acquire = acquire
"""


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_leaves_its_log_beside_the_results(tmp_path: Path, workers: int) -> None:
    project = Project(tmp_path)
    words = ("-n", str(workers)) if workers else ()
    project.conftest(more=BROKEN)
    assert project.run(*words).returncode == 3
    logs = {path.name: written(path) for path in project.out.glob("kshs*.log")}
    said = [text for text in logs.values() if "VmError: the hypervisor refuses" in text]
    assert said, logs.keys()
    assert "Traceback (most recent call last)" in said[0]
    assert (len(logs) > 1) == bool(workers)
    project.conftest()
    assert project.run().returncode == 0
    assert {path.name for path in project.out.glob("kshs*.log")} == {"kshs.log"}
    text = written(project.out / "kshs.log")
    assert "the hypervisor refuses" not in text, "an earlier run's is gone"
    assert re.search(r"lease \S+ taken", text)


def test_what_only_lists_leaves_the_log_alone(tmp_path: Path) -> None:
    project = Project(tmp_path)
    assert project.run("--", "--collect-only").returncode == 0
    assert not list(tmp_path.rglob("kshs*.log"))
