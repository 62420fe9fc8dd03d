# SPDX-License-Identifier: Apache-2.0
"""Runners with guests of threads and memory, and short times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.agent.journal import Journal
from harness.running import attribution
from harness.running.runner import Runner
from tests.harness.fake_guest import ABI, FakeProvider

MakeRunner = Callable[..., Runner]


@pytest.fixture
def make_runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeRunner]:
    """Makes runners of a provider, and closes them at the end."""
    monkeypatch.setattr(attribution, "_RECORDER_TIME", 0.1)
    monkeypatch.setattr(attribution, "_RECORDER_POLL", 0.02)
    monkeypatch.setattr("harness.agent.pending.LOOK", 0.05)
    made: list[Runner] = []

    def make(provider: FakeProvider, **more: Any) -> Runner:
        runner = Runner(provider, ABI, Journal(tmp_path / "journal.jsonl"), **{"margin": 0.2, **more})
        made.append(runner)
        return runner

    yield make
    for runner in made:
        runner.close()
