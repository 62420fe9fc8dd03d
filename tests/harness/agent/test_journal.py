# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.agent.journal import Intent, Journal, unfinished


def test_what_has_ended_is_not_in_flight(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.jsonl") as journal:
        journal.begin("h4.short", "lease-1")
        journal.sending([Intent(1, "open"), Intent(2, "request")])
        journal.end("h4.short", "passed")
    assert unfinished(tmp_path / "j.jsonl") is None


def test_what_was_sent_is_known_after_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    code = (
        "import os, signal, sys; from pathlib import Path; from harness.agent.journal import *\n"
        "j = Journal(Path(sys.argv[1])); j.begin('a', 'l'); j.end('a', 'passed'); j.begin('b', 'l2')\n"
        "j.sending([Intent(1, 'open'), Intent(2, 'request')]); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=Path(__file__).parents[3], check=False
    )
    assert ended.returncode == -signal.SIGKILL
    left = unfinished(path)
    assert left is not None
    assert (left.scenario, left.lease) == ("b", "l2")
    assert left.sent == (Intent(1, "open"), Intent(2, "request"))


def test_one_write_and_one_fdatasync_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    write, sync = os.write, os.fdatasync
    with Journal(tmp_path / "j.jsonl") as journal:
        monkeypatch.setattr(os, "write", lambda fd, data: (calls.append("write"), write(fd, data))[1])
        monkeypatch.setattr(os, "fdatasync", lambda fd: (calls.append("fdatasync"), sync(fd))[1])
        journal.sending([Intent(n, "x" * 100) for n in range(64)])
    assert calls == ["write", "fdatasync"]


def test_a_torn_last_line_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with Journal(path) as journal:
        journal.begin("b", "l")
        journal.sending([Intent(1, "open")])
    with path.open("ab") as torn:
        torn.write(b'{"at": 1, "event": "se')
    left = unfinished(path)
    assert left is not None and left.sent == (Intent(1, "open"),)
    assert path.stat().st_mode & 0o077 == 0


def test_no_journal_nothing_unfinished(tmp_path: Path) -> None:
    assert unfinished(tmp_path / "none.jsonl") is None


def test_the_older_one_is_in_flight_while_the_next_was_sent_ahead(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with Journal(path) as journal:
        journal.begin("first", "lease-1")
        journal.sending([Intent(1, "a request")])
        journal.begin("second", "lease-1")
        journal.sending([Intent(2, "another")])
        left = unfinished(path)
        assert left is not None
        assert (left.scenario, left.sent) == ("first", (Intent(1, "a request"),))
        journal.end("first", "passed")
        left = unfinished(path)
        assert left is not None
        assert (left.scenario, left.sent) == ("second", (Intent(2, "another"),))
        journal.end("second", "recalled")
    assert unfinished(path) is None
