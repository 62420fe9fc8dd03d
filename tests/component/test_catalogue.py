"""The whole catalogue against the real binaries: the sample target on the reference class driver keeps it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drivers.abi import load as load_abi
from harness import capabilities, scenario_file, target
from harness.encode import Encoder
from harness.plan import plan
from harness.planned import PlannedStep
from harness.runner import judge_step
from harness.session import AgentSession
from harness.verdict import Verdict
from tests.component.agent import agent_of
from tests.component.wine import WineGuest

pytestmark = pytest.mark.component

FILES = sorted(scenario_file.CATALOGUE.glob("*.toml"))


def run(session: AgentSession, steps: tuple[PlannedStep, ...]) -> list[str]:
    """What is wrong with the answers to these steps, one line each."""
    pending = [session.submit(item.payload, what=item.what, timeout=item.timeout) for item in steps]
    wrong = []
    for position, (item, waiting) in enumerate(zip(steps, pending, strict=True)):
        result, _ = judge_step(position, item, waiting.result())
        if result.verdict is not Verdict.PASSED:
            wrong.append(f"{item.what}: {result.verdict.value}: {result.reason}")
    return wrong


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_the_sample_target_keeps_the_catalogue(wine_guest: WineGuest, file: Path) -> None:
    sample, _ = target.find("avshs")
    wrong: dict[str, list[str]] = {}
    shown = 0
    with agent_of(wine_guest) as agent:
        info = json.loads(agent.session.run(Encoder(load_abi()).step("INFO"), what="info").data)
        for located in scenario_file.load_located(file):
            if capabilities.missing(located.scenario, info):
                continue
            planned = plan(located.scenario, sample)
            found = [*run(agent.session, planned.steps), *run(agent.session, planned.cleanup)]
            shown += 1
            if found:
                wrong[located.scenario.id] = found
    assert not wrong, json.dumps(wrong, indent=1)
    assert shown > 0
