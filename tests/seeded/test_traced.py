# SPDX-License-Identifier: Apache-2.0
"""From a customer's trace to the least scenario: each seeded defect, recorded, imported, played, minimised.

The traffic is that of the scenario that catches the defect, recorded by kstrace.sys on a guest with the
wrong driver.  What goes on is the capsule alone, as it would be sent.  `make test` plays few of them, `make
test-all` every one (`KSHS_TEST_TRACED`).
"""

from __future__ import annotations

import itertools
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

import drivers.build
from drivers.components import ROOT
from drivers.package import Package
from harness import config
from harness.capsule.agreement import Outcome, outcome
from harness.capsule.manifest import Role
from harness.capsule.minimizing import Minimized, Minimizer
from harness.capsule.opened import Capsule
from harness.capsule.playing import Player
from harness.capsule.scenario_text import read
from harness.capsule.seen import Seen, of_records
from harness.capsule.traced.opening import make_playable
from harness.guests.package import find_target
from harness.language.model import Route, Scenario
from harness.results import parts
from harness.verdict import Verdict
from tests.component.traced_guest import TracedProvider
from tests.seeded.hunt import SHORT_MS, catalogue, run
from tests.seeded.local_guest import LocalProvider
from tests.seeded.table import Defect, catchers, defects

pytestmark = pytest.mark.component

#: What is played in `make test`.
FEW = ("length-status-too-small",)
#: Steps that are left, and of those the one that opens the pin.
MOST_STEPS = 5
#: Where the defect does not allow that: something has to happen while KsPinHandshake is under way.  That
#: takes a connected pair, what the callback is to do, two steps that meet, a wait, and what shows it.
MORE_STEPS = {
    "second-pin-handshake-answered-by-the-wrong-end": 7,
    "pin-handshake-lost-when-a-state-changes-meanwhile": 7,
    # Both ends, what is asked before the close and after it, the close, and what the callback saw: 6.  What
    # the memory of a closed source holds is not the same each time: in one of eight cases that scenario does
    # not fail when it is measured, and the minimiser goes back to the one before, which has two more.
    "sink-calls-its-closed-source": 8,
    # Eight instances, and a request to the last.
    "no-callback-beyond-the-seventh-instance": 9,
    # The pin is shared with user mode, and asked twice between three counts.
    "file-object-kept-by-each-request-of-a-user-mode-caller": 6,
    # Twelve opens and closes between each two of three counts.
    "memory-of-a-pin-kept-after-its-close": 51,
}

#: What a filter cannot hand on, each with its reason (docs/tracing.md, "What it does not see").
OUT_OF_SIGHT = {
    "requests-counted-in-16-bits": "it takes more requests than the ring holds",
    "device-mutex-held-over-the-callback": "others wait for the callback, and then get their answers",
}


def chosen() -> list[Defect]:
    """The defects of this session."""
    wanted = os.environ.get("KSHS_TEST_TRACED", "")
    table = [defect for defect in defects() if defect.id not in OUT_OF_SIGHT]
    if wanted == "all":
        return table
    names = wanted.split(",") if wanted else FEW
    return [defect for defect in table if defect.id in names]


@dataclass(frozen=True)
class Told:
    """What became of one trace: the scenario, what it showed, and the least one."""

    scenario: Scenario
    then: Seen
    least: Minimized


def traced(defect: Defect, tree: Path, folder: Path) -> Path:
    """The capsule of the defect's traffic."""
    named = catchers()[defect.id]
    (scenario,) = [each for each in catalogue() if each.id == named]
    impatient = scenario.model_copy(update={"timeout_ms": min(scenario.timeout_ms, SHORT_MS)})
    capsule = folder / "field.capsule"
    provider = TracedProvider(tree, "records=16384", keep=capsule)
    for result in run(provider, [impatient], folder):
        assert result.verdict.value in defect.verdicts, result.reason
    assert capsule.exists(), "nothing was left of the tracer"
    return capsule


def imported(capsule: Path, folder: Path, route: Route, leaks: bool = False) -> tuple[Scenario, Seen]:
    """What `kshs capsule import` makes of it: the scenario, and what the trace shows of its answers."""
    target = find_target("avshs", config.load(None))
    played = folder / f"{route.value}{'.leaks' * leaks}.capsule"

    def package() -> Package:
        return target.package(drivers.build.build())

    with Capsule(capsule) as opened:
        make_playable(opened, target, package, played, route, leaks=leaks)
    with Capsule(played) as opened:
        opened.check()
        (scenario,) = read(opened.text(Role.SCENARIO) or "")
        records = played.with_suffix(".jsonl")
        records.write_text(opened.text(Role.RESULT) or "")
    return scenario, of_records(parts.stream(records), str(played))


def minimized(scenario: Scenario, then: Seen, tree: Path) -> Minimized | None:
    """The least scenario that fails the same way on the wrong driver; None where nothing fails there."""
    # A callback that was told to stay longer would hang with the sound driver, too.
    longest = max((getattr(step, "delay_ms", 0) for step in scenario.steps), default=0)
    impatient = scenario.model_copy(update={"timeout_ms": max(SHORT_MS, 2 * longest)})
    with Player(LocalProvider(tree), print) as player:
        first = player.play(impatient, fresh=True)
        if outcome(then, first) is not Outcome.REPRODUCED:
            print(f"{scenario.steps[-1].do}: {first.scenario['verdict']}, {first.scenario.get('reason')}")
            return None
        return Minimizer(player, then, runs=1, say=print).minimize(impatient)


def told(defect: Defect, folder: Path) -> Told:
    """The whole way, by the route by which it comes: an IRP does not tell how its sender made it.

    Where nothing is wrong once, what is left behind is asked for.
    """
    tree = folder / "drivers"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    defect.apply(tree)
    capsule = traced(defect, tree, folder)
    for leaks, route in itertools.product((False, True), (Route.IRP, Route.CALL)):
        scenario, then = imported(capsule, folder, route, leaks)
        least = minimized(scenario, then, tree)
        if least is not None:
            return Told(scenario, then, least)
    pytest.fail(f"{defect.id}: what was recorded does not fail when it is played")


@pytest.mark.parametrize("defect", [pytest.param(each, id=each.id) for each in chosen()])
def test_a_recorded_defect_becomes_a_scenario_of_a_few_steps(defect: Defect, tmp_path: Path) -> None:
    found = told(defect, tmp_path)
    steps = [step.model_dump(exclude_unset=True) for step in found.least.scenario.steps]
    print(
        f"{defect.id}: {len(found.scenario.steps)} steps, then {steps}; {found.least.seen.scenario['reason']}"
    )
    assert len(steps) <= MORE_STEPS.get(defect.id, MOST_STEPS), steps
    with Player(LocalProvider(), print) as player:
        sound = player.play(found.least.scenario, fresh=True)
    assert sound.scenario["verdict"] == Verdict.PASSED, sound.scenario["reason"]


def test_every_name_is_a_defects() -> None:
    assert {*FEW, *OUT_OF_SIGHT, *MORE_STEPS} <= {defect.id for defect in defects()}
