# SPDX-License-Identifier: Apache-2.0
"""One scenario played again and again: a hang is a hang each time, and no row that is skipped."""

from __future__ import annotations

import pytest

from harness.capsule.playing import Player
from harness.running import hanging
from harness.verdict import Verdict
from tests.harness.fake_guest import FakeProvider
from tests.harness.running.scenarios import STEP, scenario
from tests.harness.running.test_hanging import hangs

PLAYS = hanging.IN_A_ROW + 2


@pytest.mark.parametrize("fresh", [True, False])
def test_a_hang_comes_as_often_as_it_is_played(fresh: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.running import attribution

    for name in ("_RECORDER_TIME", "_RECORDER_POLL"):
        monkeypatch.setattr(attribution, name, 0.02, raising=False)
    monkeypatch.setattr("harness.agent.pending.LOOK", 0.05)
    provider = FakeProvider(bend=hangs)
    with Player(provider, lambda text: None) as player:
        seen = [player.play(scenario(STEP), fresh=fresh) for _ in range(PLAYS)]
    assert [one.scenario["verdict"] for one in seen] == [Verdict.HUNG] * PLAYS
    assert len(provider.guests) >= PLAYS, "a guest that hung is of no use any more"
