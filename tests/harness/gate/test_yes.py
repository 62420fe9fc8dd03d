# SPDX-License-Identifier: Apache-2.0
"""What a yes says, and what it does not hide."""

from __future__ import annotations

from harness.gate.rule_names import RuleName
from tests.harness.gate.scene import Scene


def test_all_is_as_it_must_be(scene: Scene) -> None:
    scene.take()
    said = scene.judge()
    assert {one.rule: (one.ok, one.said) for one in said.rules if not one.ok} == {}
    assert said.yes and [one.rule for one in said.rules] == list(RuleName)
    assert said.counts == {"passed": 6, "failed": 0, "crashed": 0, "hung": 0, "skipped": 0, "error": 0}
    assert said.todo == []
    assert [one.run.name for one in said.runs if one.counted] == ["new1", "new2"]
