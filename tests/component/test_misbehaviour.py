# SPDX-License-Identifier: Apache-2.0
"""The harness's own verdicts: drivers that crash, hang or break the rules are called what they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.abi import load
from harness.agent.journal import Journal
from harness.contract import capabilities
from harness.language import scenario_file
from harness.language.model import Scenario
from harness.running.runner import Runner
from tests.seeded.local_guest import LocalProvider

pytestmark = pytest.mark.component

SCENARIOS = [
    located.scenario for located in scenario_file.load_located(Path(__file__).with_name("misbehaviour.toml"))
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.id)
def test_the_verdict_is_what_the_driver_did_and_the_next_guest_is_clean(
    scenario: Scenario, tmp_path: Path
) -> None:
    runner = Runner(LocalProvider(), load(), Journal(tmp_path / "journal.jsonl"), fits=capabilities.missing)
    try:
        result = runner.run(scenario, file="misbehaviour.toml")
        assert [result.verdict.value] == list(scenario.tags), result.reason
        if result.verdict.value == "crashed":
            assert any("avshs" in line or "bugcheck" in line for line in result.evidence), result.evidence
        if result.verdict.value != "passed":
            assert result.reason
    finally:
        runner.close()


def test_they_are_no_part_of_the_catalogue() -> None:
    catalogue = {
        located.scenario.id
        for file in scenario_file.CATALOGUE.glob("*.toml")
        for located in scenario_file.load_located(file)
    }
    assert not catalogue & {scenario.id for scenario in SCENARIOS}
