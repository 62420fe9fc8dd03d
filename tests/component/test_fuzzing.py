# SPDX-License-Identifier: Apache-2.0
"""Campaigns on the real binaries: a defect is found, and the sound sample has none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drivers.abi import load as load_abi
from harness.fuzzing.keeping import FOUND, State
from harness.fuzzing.setup import Asked, campaign
from harness.language import scenario_file
from harness.verdict import Verdict
from tests.seeded.fuzzed import tree_of
from tests.seeded.hunt import run
from tests.seeded.local_guest import LocalProvider
from tests.seeded.table import defects

pytestmark = pytest.mark.component


def fuzz(folder: Path, provider: LocalProvider, sequences: int) -> tuple[State, list[str]]:
    """One campaign, of the same draws each time; what it is by then, and what it said."""
    folder.mkdir()
    said: list[str] = []
    asked = Asked(timeout_ms=10_000, finds=1, sequences=sequences)
    state = State(4, 600.0, "avshs", provider.target_digest(), "local")
    with campaign(provider, load_abi(), folder, state, said.append, asked) as work:
        work.run()
    return state, said


def found(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in folder.glob("finds/*/find.json")]


def test_the_sound_sample_gives_no_find(tmp_path: Path) -> None:
    state, said = fuzz(tmp_path / "out", LocalProvider(), 120)
    assert (found(tmp_path / "out"), state.unconfirmed, state.errors) == ([], 0, 0), said
    assert state.sequences >= 120 and state.leases == 1, said
    assert state.unopened == {}, "every object of the pool opens on the sample"


def test_a_defect_is_found_and_its_scenario_fails_in_a_run_and_passes_on_the_sound_sample(
    tmp_path: Path,
) -> None:
    """One that no answer tells: the callback gets one buffer for request and answer."""
    defect = next(one for one in defects() if one.id == "one-buffer-for-request-and-answer")
    provider = LocalProvider(tree_of(defect, tmp_path))
    _, said = fuzz(tmp_path / "out", provider, 300)
    record = found(tmp_path / "out")[0]
    assert "aliased" in record["cause"] and record["hits"] == record["runs"] == 2, said
    scenario = scenario_file.load(tmp_path / "out" / "finds" / record["signature"] / FOUND)[0]
    assert len(scenario.steps) <= 4
    broken, sound = (next(run(one, [scenario], tmp_path)) for one in (provider, LocalProvider()))
    assert (broken.verdict, sound.verdict) == (Verdict.FAILED, Verdict.PASSED)
