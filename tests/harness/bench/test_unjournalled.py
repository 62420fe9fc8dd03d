# SPDX-License-Identifier: Apache-2.0
"""A run without a journal: as much of one as says when the first request was sent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.agent.journal import Intent, Journal, story
from harness.bench.suite import first_send
from harness.bench.unjournalled import leave_out


def test_a_journal_ends_with_the_first_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[int] = []
    monkeypatch.setattr(os, "fdatasync", waited.append)
    monkeypatch.setattr(os, "fsync", waited.append)
    monkeypatch.setattr(Journal, "_write", Journal._write)  # put back as it is now
    leave_out()
    with Journal(tmp_path / "journal.jsonl", {"run": "r"}) as journal:
        journal.lease("one")
        journal.sending([Intent(1, "a question before any scenario")])
        journal.begin("first", "one", "f")
        journal.sending([Intent(2, "open")])
        journal.end("first", "passed", "f")
        journal.begin("second", "one", "f")
        journal.sending([Intent(3, "open")])
    text = (tmp_path / "journal.jsonl").read_text()
    assert first_send(text) is not None
    assert [event for event in ("run", "lease", "scenario", "send", "end") if f'"{event}"' in text] == [
        "run",
        "lease",
        "scenario",
        "send",
    ]
    assert text.count('"send"') == 2, "the question, and what the first scenario sends"
    (unfinished,) = story(tmp_path / "journal.jsonl").unfinished
    assert unfinished.scenario == "first"
    assert not waited, "nobody waits for the disk"
