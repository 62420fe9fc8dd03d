# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.agent.journal import Intent, Journal, story


def test_what_has_ended_is_not_in_flight(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.jsonl") as journal:
        journal.begin("h4.short", "lease-1")
        journal.sending([Intent(1, "open"), Intent(2, "request")])
        journal.end("h4.short", "passed")
    assert story(tmp_path / "j.jsonl").in_flight is None


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
    left = story(path).in_flight
    assert left is not None
    assert (left.scenario, left.lease) == ("b", "l2")
    assert left.sent == (Intent(1, "open"), Intent(2, "request"))


def test_one_write_and_one_fdatasync_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    write, sync = os.pwrite, os.fdatasync
    with Journal(tmp_path / "j.jsonl") as journal:
        monkeypatch.setattr(
            os, "pwrite", lambda fd, data, at: (calls.append("write"), write(fd, data, at))[1]
        )
        monkeypatch.setattr(os, "fdatasync", lambda fd: (calls.append("fdatasync"), sync(fd))[1])
        journal.sending([Intent(n, "x" * 100) for n in range(64)])
    assert calls == ["write", "fdatasync"]


def test_the_file_does_not_grow_with_each_batch_and_is_as_long_as_its_lines_in_the_end(
    tmp_path: Path,
) -> None:
    path = tmp_path / "j.jsonl"
    with Journal(path) as journal:
        size = path.stat().st_size
        for number in range(1000):
            journal.sending([Intent(number, "x" * 20)])
            assert path.stat().st_size == size or number > 500
        (left,) = [story(path)]
        assert left.unfinished == ()
    text = path.read_bytes()
    assert b"\0" not in text and text.count(b"\n") == 1000 and path.stat().st_size < size


def test_a_journal_that_was_never_closed_is_gone_on_with_behind_its_last_line(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    code = (
        "import os, signal, sys; from pathlib import Path; from harness.agent.journal import *\n"
        "j = Journal(Path(sys.argv[1])); j.begin('a', 'l'); j.sending([Intent(1, 'open')])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], cwd=Path(__file__).parents[3], check=False)
    assert path.read_bytes().endswith(b"\0"), "there is room behind its lines"
    with Journal(path) as journal:
        journal.sending([Intent(2, "request")])
    left = story(path).in_flight
    assert left is not None and left.sent == (Intent(1, "open"), Intent(2, "request"))
    assert b"\0" not in path.read_bytes()


def test_a_line_that_was_torn_costs_no_other(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with Journal(path) as journal:
        journal.begin("b", "l")
    with path.open("ab") as torn:
        torn.write(b'{"at": 1, "event": "se')
    with Journal(path) as journal:
        journal.sending([Intent(1, "open")])
    left = story(path).in_flight
    assert left is not None and left.sent == (Intent(1, "open"),)


def test_a_torn_last_line_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with Journal(path) as journal:
        journal.begin("b", "l")
        journal.sending([Intent(1, "open")])
    with path.open("ab") as torn:
        torn.write(b'{"at": 1, "event": "se')
    left = story(path).in_flight
    assert left is not None and left.sent == (Intent(1, "open"),)
    assert path.stat().st_mode & 0o077 == 0


def test_no_journal_nothing_unfinished(tmp_path: Path) -> None:
    assert story(tmp_path / "none.jsonl").in_flight is None


def test_the_older_one_is_in_flight_while_the_next_was_sent_ahead(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with Journal(path) as journal:
        journal.begin("first", "lease-1")
        journal.sending([Intent(1, "a request")])
        journal.begin("second", "lease-1")
        journal.sending([Intent(2, "another")])
        left = story(path).in_flight
        assert left is not None
        assert (left.scenario, left.sent) == ("first", (Intent(1, "a request"),))
        journal.end("first", "passed")
        left = story(path).in_flight
        assert left is not None
        assert (left.scenario, left.sent) == ("second", (Intent(2, "another"),))
        journal.end("second", "recalled")
    assert story(path).in_flight is None


def test_the_step_in_flight_is_known_by_what_the_guest_has_begun_and_answered(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    sent = [Intent(n, f"step {n}", n - 1, 100 + n, bytes([n])) for n in range(1, 5)]
    with Journal(path, {"run": "r1", "session": 1, "worker": "main"}) as journal:
        journal.lease("lease-1")
        journal.begin("a", "lease-1", "f.toml")
        journal.sending(sent)
        (left,) = story(path).unfinished
        assert left.sent == tuple(sent) and left.in_flight == sent[0]
        assert left.words == "step 1, step 1 (not known to have begun); last sent: step 4"
        journal.seen(3, 2)
        (left,) = story(path).unfinished
        assert left.words == "step 3, step 3 (begun in the guest); last sent: step 4"
        journal.seen(4, 4)
        (left,) = story(path).unfinished
        assert left.in_flight is None and left.words == "last sent: step 4, which was answered"
    assert json.loads(path.read_text().splitlines()[0])["run"] == "r1"


def test_what_was_seen_on_one_lease_says_nothing_of_the_next(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with Journal(path) as journal:
        journal.lease("lease-1")
        journal.begin("a", "lease-1")
        journal.sending([Intent(1, "open")])
        journal.seen(1, 1)
        journal.end("a", "crashed")
        journal.lease("lease-2")
        journal.begin("b", "lease-2")
        journal.sending([Intent(1, "open again")])
        (left,) = story(path).unfinished
    assert left.in_flight == Intent(1, "open again")
    assert story(path).ended == {("", "a"): "crashed"}


@pytest.mark.parametrize(
    "damage",
    ['{"event": "send"}', '{"event": "seen", "begun": []}', "[]", "[" * 100_000, "\x00", '{"event": 3}'],
)
def test_a_damaged_line_is_passed_over(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "j.jsonl"
    with Journal(path) as journal:
        journal.begin("b", "l")
    with path.open("a") as lines:
        lines.write(damage + "\n")
    with Journal(path) as journal:
        journal.sending([Intent(1, "open")])
    left = story(path).in_flight
    assert left is not None and left.sent == (Intent(1, "open"),)


def test_threads_do_not_write_over_each_others_lines(tmp_path: Path) -> None:
    """What is sent is written by one thread, what is begun by another."""
    count, threads = 300, 4
    with Journal(tmp_path / "journal.jsonl") as journal, ThreadPoolExecutor(threads) as pool:

        def write(thread: int) -> None:
            for number in range(count):
                journal.lease(f"{thread}-{number}")

        list(pool.map(write, range(threads)))
    lines = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    assert sorted(line["lease"] for line in lines) == sorted(
        f"{thread}-{number}" for thread in range(threads) for number in range(count)
    )
