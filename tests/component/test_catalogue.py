# SPDX-License-Identifier: Apache-2.0
"""The whole catalogue against the real binaries: the sample target on the reference class driver keeps it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import drivers.build
from harness.agent.session import AgentSession
from harness.contract import capabilities
from harness.language import scenario_file, target
from harness.planning.plan import plan
from harness.planning.planned import Plan, PlannedStep
from harness.running.step_result import Before, judge_step
from harness.verdict import Verdict
from tests.component.agent import agent_of
from tests.component.conftest import start
from tests.component.wine import WineGuest

pytestmark = pytest.mark.component

#: Without `interfaces`: protocols that carry pointers are those of examples/clock (test_clock.py).
FILES = [file for file in sorted(scenario_file.CATALOGUE.glob("*.toml")) if file.stem != "interfaces"]
#: What only the reference class driver with the sample answers so.
FILES += [Path(__file__).with_name("reference_properties.toml")]


def run(session: AgentSession, steps: tuple[PlannedStep, ...]) -> list[str]:
    """What is wrong with the answers to these steps, one line each."""
    pending = [session.submit(item.payload, what=item.what, timeout=item.timeout) for item in steps]
    wrong, before = [], Before()
    for position, (item, waiting) in enumerate(zip(steps, pending, strict=True)):
        result, _ = judge_step(position, item, waiting.result(), before)
        if result.verdict is not Verdict.PASSED:
            wrong.append(f"{item.what}: {result.verdict.value}: {result.reason}")
    return wrong


def plans_of(guest: WineGuest, file: Path) -> tuple[list[Plan], list[Plan]]:
    """The plans of a file that this guest can show: those that leave it as it was, and those that do not."""
    sample, _ = target.find("avshs")
    info = guest.must("info")
    plans = [
        plan(located.scenario, sample)
        for located in scenario_file.load_located(file)
        if capabilities.missing(located.scenario, info) is None
    ]
    return [one for one in plans if one.spoils is None], [one for one in plans if one.spoils is not None]


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_the_sample_target_keeps_the_catalogue(wine_guest: WineGuest, file: Path) -> None:
    clean, _ = plans_of(wine_guest, file)
    assert clean
    wrong: dict[str, list[str]] = {}
    with agent_of(wine_guest) as agent:
        for planned in clean:
            found = [*run(agent.session, planned.steps), *run(agent.session, planned.cleanup)]
            if found:
                wrong[planned.scenario.id] = found
    assert not wrong, json.dumps(wrong, indent=1)


def test_scenarios_that_spoil_the_guest(broken_guest: WineGuest, build: drivers.build.Build) -> None:
    spoiling = [one for file in FILES for one in plans_of(broken_guest, file)[1]]
    assert spoiling
    for planned in spoiling:
        if not broken_guest.holding:
            start(broken_guest, build)
        with agent_of(broken_guest) as agent:
            assert not run(agent.session, planned.steps)
        broken_guest.stop()
