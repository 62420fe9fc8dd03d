# SPDX-License-Identifier: Apache-2.0
"""The page of a whole night stays one that can be mailed and opened: under two megabytes."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import replace

from harness.agent.frames import Record
from harness.planning.planned import PlannedStep
from harness.results import report
from harness.results.record import ScenarioResult, StepResult, scenario_records
from harness.running.step_result import judge_step, step_result
from harness.verdict import Verdict
from tests.harness.fake_agent import Answer
from tests.harness.fake_guest import ABI, Simulation
from tests.harness.results.test_report import ENVIRONMENT, RUN, kept, scenario
from tests.harness.running.test_comparison import GOOD_OUTPUT, own_step

SCENARIOS = 800
#: What is wrong in some of them, each time another cause.
WRONG: tuple[dict[str, int], ...] = (
    {"irql_after": 2},
    {"completions": 2},
    {"information": 0},
    {"changed_last": 40},
    {"returned": 0xC0000001},
)
ROUTES = ("call", "irp", "sync", "event", "port", "apc")


def judged(position: int, planned: PlannedStep, chance: random.Random, **bent: int) -> StepResult:
    """A handshake as a target answers it: no two have the same times and thread."""
    head = ABI.cs.kshs_step(planned.payload)
    data = planned.payload[len(ABI.cs.kshs_step) :]
    answer: Answer = Simulation().request(head, data)
    fields = dict.fromkeys(Record.__dataclass_fields__, 0)
    assert answer.record is not None
    fields |= {**answer.record, "changed_last": 31, "op": int(head.op), "repeats": 1}
    fields |= {name: chance.getrandbits(40) for name in ("begin_ns", "duration_ns", "thread")} | bent
    output = GOOD_OUTPUT if fields["returned"] == 0 else answer.data
    return judge_step(position, planned, Record(**{**fields, "data": output}))[0]  # type: ignore[arg-type]


def night() -> Iterator[ScenarioResult]:
    """Eight hundred scenarios of eleven steps each, most of them passed."""
    chance = random.Random(7)
    plans = [
        own_step({"do": "handshake", "on": "source", "route": route, "argument1": 41}, "source")
        for route in ROUTES
    ]
    setup = [step_result(place, plans[0], Verdict.PASSED, block={"op": "property"}) for place in range(5)]
    good = [judged(5, chance.choice(plans), chance) for _ in range(300)]
    for number in range(SCENARIOS):
        steps = [*setup, *(replace(chance.choice(good), index=place) for place in range(5, 11))]
        if number % (SCENARIOS // len(WRONG)) == 0:
            steps[-1] = judged(10, plans[1], chance, **WRONG[number * len(WRONG) // SCENARIOS])
        verdict, reason = steps[-1].verdict, steps[-1].reason
        yield scenario(f"night.{number}", verdict, *steps, reason=reason, rules=("H6", "H9"))


def test_the_page_of_eight_hundred_scenarios_is_under_two_megabytes() -> None:
    lines = (scenario_records(result, order=n, worker="gw0") for n, result in enumerate(night()))
    records = [{"kind": "run", **RUN}, ENVIRONMENT, *itertools.chain.from_iterable(lines)]
    page = report.render(records)
    assert sum(record["kind"] == "scenario" for record in records) == SCENARIOS
    assert sum(map(len, kept(page).values())) > 10_000_000, "there is something to be kept small"
    assert len(page.encode()) < 2_000_000
    failed = [record["reason"] for record in records if record["kind"] == "scenario" and record["reason"]]
    assert len(set(failed)) == len(failed) == len(WRONG)
