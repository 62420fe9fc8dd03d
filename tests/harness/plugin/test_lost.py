# SPDX-License-Identifier: Apache-2.0
"""What is said of a scenario that left no lines, by what the journal of its process knows."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.agent.journal import Journal
from harness.plugin.lost import add_lost
from harness.results.parts import Gathered

BEGUN: dict[str, Any] = {"id": "t.one", "title": "x", "rules": [], "file": "t.toml", "line": 1, "tags": []}


@pytest.mark.parametrize(
    ("word", "verdict", "reason"),
    [
        ("crashed", "crashed", "it crashed, and the run ended before more of it was written"),
        ("hung", "hung", "it hung, and the run ended before more of it was written"),
        ("failed", "failed", "it failed, and the run ended before more of it was written"),
        ("passed", "error", "the run ended before its result was written"),
        ("broken", "error", "the run ended before anything was sent for this scenario"),
    ],
)
def test_a_worker_that_died_over_its_evidence_leaves_the_verdict(
    tmp_path: Path, word: str, verdict: str, reason: str
) -> None:
    journal = tmp_path / "journal-gw0.jsonl"
    with Journal(journal) as writing:
        writing.begin("t.one", "lease", "t.toml")
        writing.end("t.one", word, "t.toml")
    gathered = Gathered()
    gathered.begun["t.toml::t.one"] = {**BEGUN, "order": 0, "worker": "gw0"}
    folder = SimpleNamespace(journals=[journal])
    observer = SimpleNamespace(scenarios=[], selected=[], interrupted=False)
    add_lost(gathered, cast(Any, folder), cast(Any, observer), cast(Any, SimpleNamespace(kept={})))
    (entry,) = gathered.entries
    assert (entry.scenario[0]["verdict"], entry.scenario[0]["reason"]) == (verdict, reason)
