# SPDX-License-Identifier: Apache-2.0
"""Times for a request, a step and a scenario: one hangs, the others are over, and no driver is blamed."""

from __future__ import annotations

from typing import Any

import pytest

from harness.language.scenario_file import with_request_time
from harness.running.limits import Limits
from harness.verdict import Verdict
from tests.harness.fake_agent import Answer
from tests.harness.fake_guest import FakeProvider
from tests.harness.running.conftest import MakeRunner
from tests.harness.running.scenarios import STEP, bend_op, scenario

SLOW = bend_op("REQUEST", lambda number: Answer(record={}, delay=0.3))


@pytest.mark.parametrize(
    ("limits", "more", "step", "says"),
    [
        (Limits(scenario=0.2), {}, {}, "the 0.2 s of the scenario were over"),
        (Limits(), {"limit_s": 0.2}, {}, "the 0.2 s of the scenario were over"),
        (Limits(scenario=0.2), {"limit_s": 60}, {}, None),
        (Limits(step=0.1), {}, {}, "the 0.1 s of the step were over"),
        (Limits(), {}, {"limit_s": 0.1}, "the 0.1 s of the step were over"),
        (Limits(step=0.1), {}, {"limit_s": 60}, None),
        (Limits(step=60, scenario=60), {}, {}, None),
    ],
)
def test_what_takes_too_long_altogether_is_an_error(
    make_runner: MakeRunner, limits: Limits, more: dict[str, Any], step: dict[str, Any], says: str | None
) -> None:
    provider = FakeProvider(bend=SLOW)
    runner = make_runner(provider, limits=limits, margin=2.0)
    result = runner.run(scenario({**STEP, **step}, timeout_ms=5000, **more), file="t.toml")
    if says is None:
        assert result.ended is None
        return
    assert (result.verdict, result.ended, result.again) == (Verdict.ERROR, "limit", False)
    assert says in str(result.reason) and "kshs.toml" in str(result.reason)
    assert runner.lease is None, "what is still on its way there is nobody's any more"


def test_a_request_that_is_overdue_hangs_whatever_else_is_allowed(make_runner: MakeRunner) -> None:
    provider = FakeProvider(bend=bend_op("REQUEST", {0: Answer(silent=True)}))
    runner = make_runner(provider, limits=Limits(step=60, scenario=60))
    assert runner.run(scenario(timeout_ms=100), file="t.toml").verdict is Verdict.HUNG


def test_the_settings_time_counts_where_a_scenario_says_none() -> None:
    said = scenario(timeout_ms=300)
    assert with_request_time(said, 20_000) is said
    silent = said.model_validate(said.model_dump(exclude={"timeout_ms"}, exclude_unset=True))
    assert with_request_time(silent, 20_000).timeout_ms == 20_000
    assert with_request_time(silent, 10_000) is silent
