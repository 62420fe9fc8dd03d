# SPDX-License-Identifier: Apache-2.0
"""A driver that always hangs is told in a minute, and what stands on the step that hangs is skipped."""

from __future__ import annotations

from collections import Counter
from typing import Any

from harness.language.model import Scenario
from harness.results.record import ScenarioResult
from harness.running import hanging
from harness.running.runner import Runner
from harness.verdict import Verdict
from tests.harness.fake_agent import Answer
from tests.harness.fake_guest import OPS, C, FakeProvider, Simulation
from tests.harness.running.conftest import MakeRunner
from tests.harness.running.scenarios import STEP, scenario

HUNG = Answer(record={"outcome": C["KSHS_OUTCOME_HUNG"], "detail": 0x102})


def hangs(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
    """Every request."""
    return HUNG if OPS[int(step.op)] == "REQUEST" else None


def many(runner: Runner, number: int, *steps: dict[str, Any]) -> list[ScenarioResult]:
    """So many scenarios of these steps, each sent ahead as pytest's items are."""
    named = [scenario(*steps, name=f"t.s{position}") for position in range(number)]
    following: list[Scenario | None] = [*named[1:], None]
    return [
        runner.run(one, file="t.toml", upcoming=after) for one, after in zip(named, following, strict=True)
    ]


def test_after_three_in_a_row_the_rest_is_skipped_with_that_reason(make_runner: MakeRunner) -> None:
    results = many(make_runner(FakeProvider(bend=hangs)), 10)
    assert [r.verdict for r in results] == [Verdict.HUNG] * 3 + [Verdict.SKIPPED] * 7
    assert {r.reason for r in results[3:]} == {
        "handshake by call from kernel mode hung in 3 scenarios in a row, first in t.s0:"
        " what stands on it is not run"
    }


def test_it_is_tried_again_ever_more_rarely(make_runner: MakeRunner) -> None:
    provider = FakeProvider(bend=hangs)
    results = many(make_runner(provider), 100)
    tried = [number for number, result in enumerate(results) if result.verdict is Verdict.HUNG]
    assert tried == [0, 1, 2, 22, 62]
    assert len(provider.guests) < 10


def test_one_answer_ends_the_row(make_runner: MakeRunner) -> None:
    provider = FakeProvider(bend=hangs)
    made = make_runner(provider)
    assert [r.verdict for r in many(made, 2)] == [Verdict.HUNG] * 2
    provider.bend = None
    made.discard()
    assert [r.verdict for r in many(made, 1)] == [Verdict.PASSED]
    provider.bend = hangs
    made.discard()
    assert [r.verdict for r in many(made, 2)] == [Verdict.HUNG] * 2, "the row began anew"


def test_another_route_is_still_tried_until_no_route_answers(make_runner: MakeRunner) -> None:
    made = make_runner(FakeProvider(bend=hangs))
    many(made, 4)
    irp = many(made, 4, {**STEP, "route": "irp"})
    assert Counter(r.verdict for r in irp) == {Verdict.HUNG: 3, Verdict.SKIPPED: 1}
    (other,) = many(made, 1, {**STEP, "mode": "user", "route": "irp"})
    assert other.verdict is Verdict.SKIPPED
    assert other.reason is not None and other.reason.startswith("handshake by any route hung in 6 scenarios")


def test_what_does_not_stand_on_it_runs(make_runner: MakeRunner) -> None:
    made = make_runner(FakeProvider(bend=hangs))
    many(made, 4)
    (result,) = many(made, 1, {"do": "sleep", "ms": 1})
    assert result.verdict is Verdict.PASSED


def test_cleaning_up_that_hangs_counts_too(make_runner: MakeRunner) -> None:
    def bend(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        return HUNG if OPS[int(step.op)] == "RELEASE_ALL" else None

    results = many(make_runner(FakeProvider(bend=bend)), 5)
    assert [r.verdict for r in results] == [Verdict.HUNG] * hanging.IN_A_ROW + [Verdict.SKIPPED] * 2


def test_what_is_only_started_is_no_answer(make_runner: MakeRunner) -> None:
    def bend(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        started = Answer(record={"outcome": C["KSHS_OUTCOME_STARTED"]})
        return {"REQUEST": started, "WAIT": HUNG}.get(OPS[int(step.op)])

    results = many(make_runner(FakeProvider(bend=bend)), 5, {**STEP, "threads": 2, "route": "irp"})
    assert [r.verdict for r in results] == [Verdict.HUNG] * hanging.IN_A_ROW + [Verdict.SKIPPED] * 2


def test_a_crash_in_between_is_no_hang(make_runner: MakeRunner) -> None:
    def bend(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        if OPS[int(step.op)] != "REQUEST":
            return None
        return Answer(record={"outcome": C["KSHS_OUTCOME_LOST"]})

    results = many(make_runner(FakeProvider(bend=bend)), 6)
    assert {r.verdict for r in results} == {Verdict.CRASHED}
