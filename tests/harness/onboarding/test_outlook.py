# SPDX-License-Identifier: Apache-2.0
"""What `kshs target check` says of the catalogue is what a run does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.contract.capabilities import missing
from harness.errors import UsageError
from harness.language import target
from harness.language.model import Scenario, Target
from harness.language.scenario_file import CATALOGUE, load_all
from harness.onboarding.outlook import TYPICAL, outlook
from harness.planning.plan import plan
from harness.planning.planned import NotApplicable

DATA = Path(__file__).parents[2] / "e2e" / "data"
SAMPLE, _ = target.find("avshs")
A = {"a": "6b2f7a12-52d3-4c0e-9e1b-0b9c1b7d5a01"}
STEERED = {"protocols": A, "behaviour": True}
SOURCE = {"id": 0, "name": "source", "flow": "out", "accepts": ["a"]}


@pytest.fixture(scope="module")
def whole() -> list[Scenario]:
    return [located.scenario for located in load_all([CATALOGUE])]


@pytest.fixture(scope="module")
def catalogue(whole: list[Scenario]) -> list[Scenario]:
    """Some of every file: all of it is planned once, which takes a second."""
    return whole[::7]


def like(**more: Any) -> Target:
    """A foreign target with one pin."""
    data: dict[str, Any] = {
        "schema": 1,
        "name": "one",
        "package": "package",
        "hardware_id": r"Root\One",
        "service": "One",
        "category": "6994AD05-93EF-11D0-A3CC-00A0C9223196",
        "pin": [{"id": 0, "name": "source", "flow": "out"}],
    }
    return Target.model_validate({**data, **more})


def runs(of: Target, scenarios: list[Scenario], family: str = "Windows") -> set[str]:
    """The ids of those that a run would send, worked out without what is tested."""
    sent = set()
    for scenario in scenarios:
        if missing(scenario, TYPICAL[family]) is not None:
            continue
        try:
            plan(scenario, of)
        except (NotApplicable, UsageError):
            continue
        sent.add(scenario.id)
    return sent


def test_the_sample_skips_on_wine_what_real_guests_skip(whole: list[Scenario]) -> None:
    found = outlook(SAMPLE, whole, TYPICAL["Wine"])
    recorded = json.loads((DATA / "skipped_on_wine_8.json").read_text())
    assert {reason: sorted(ids) for reason, ids in found.skipped.items()} == recorded
    assert not found.wrong and not found.openings and not found.judged
    assert len(found.runs) + sum(map(len, recorded.values())) == len(whole)


@pytest.mark.parametrize("family", sorted(TYPICAL))
def test_every_scenario_runs_or_is_skipped_with_its_reason(catalogue: list[Scenario], family: str) -> None:
    found = outlook(like(), catalogue, TYPICAL[family])
    ids = [name for group in (found.runs, *found.skipped.values(), *found.wrong.values()) for name in group]
    assert sorted(ids) == sorted(scenario.id for scenario in catalogue)
    assert set(found.runs) == runs(like(), catalogue, family)


def test_each_key_opens_what_it_is_said_to_open(catalogue: list[Scenario]) -> None:
    """One pin that accepts nothing: with all keys together everything runs that the sample runs."""
    found = outlook(like(), catalogue, TYPICAL["Windows"])
    keys = [opening.key for opening in found.openings]
    assert len(set(keys)) == len(keys)
    assert any(key.startswith("behaviour = true") for key in keys)
    assert any("[[pin]] sink, another pin for data in" in key for key in keys)
    assert any(key.startswith("pin[0].accepts") for key in keys)
    now = runs(like(), catalogue)
    assert sum(opening.then for opening in found.openings) + len(now) == len(runs(SAMPLE, catalogue))
    first = found.openings[0]
    assert first.alone == first.then == max(opening.alone for opening in found.openings)


@pytest.mark.parametrize(
    ("before", "after", "key"),
    [
        ({}, {"behaviour": True}, "behaviour = true"),
        (
            {**STEERED, "pin": [SOURCE]},
            {**STEERED, "pin": [SOURCE, {**SOURCE, "id": 1, "name": "sink", "flow": "in"}]},
            "[[pin]] sink,",
        ),
        (
            {"protocols": A},
            {"protocols": A, "pin": [SOURCE]},
            "pin[0].accepts",
        ),
    ],
)
def test_alone_is_what_the_file_with_that_key_alone_would_run_more(
    catalogue: list[Scenario], before: dict[str, Any], after: dict[str, Any], key: str
) -> None:
    found = outlook(like(**before), catalogue, TYPICAL["Windows"])
    (opening,) = (one for one in found.openings if one.key.startswith(key))
    assert opening.alone == len(runs(like(**after), catalogue)) - len(runs(like(**before), catalogue)) > 0


def test_a_pin_of_another_name_is_offered_the_catalogue_s(catalogue: list[Scenario]) -> None:
    pins = [
        {"id": 0, "name": "source", "flow": "out"},
        {"id": 1, "name": "monitor", "flow": "out"},
    ]
    found = outlook(like(pin=pins), catalogue, TYPICAL["Windows"])
    assert any(one.key == 'pin[1].name = "source2", now monitor' for one in found.openings)


def test_an_answer_lets_outputs_be_judged(catalogue: list[Scenario]) -> None:
    accepting = like(
        protocols=A,
        pin=[SOURCE],
    )
    ((key, number),) = outlook(accepting, catalogue, TYPICAL["Wine"]).judged
    assert key.startswith("pin[0].answer") and number > 0
    assert outlook(like(), catalogue, TYPICAL["Wine"]).judged == ()
