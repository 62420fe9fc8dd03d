# SPDX-License-Identifier: Apache-2.0
"""Every seeded defect fails a scenario of the catalogue; the sound sources pass all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.verdict import Verdict
from tests.seeded.hunt import catalogue, hunt, ordered, plainly, run, variant
from tests.seeded.local_guest import LocalProvider
from tests.seeded.table import BEYOND, Defect, beyond, catchers, defects, representatives

pytestmark = pytest.mark.component


def marked(table: list[Defect]) -> list[Any]:
    """As parameters; one of each kind is never left out."""
    always = {defect.id for defect in representatives(table)}
    return [
        pytest.param(one, id=one.id, marks=[pytest.mark.representative] if one.id in always else [])
        for one in table
    ]


@pytest.mark.seeded
def test_the_sound_sources_pass_all(tmp_path: Path) -> None:
    results = list(run(LocalProvider(), catalogue(), tmp_path))
    good = (Verdict.PASSED, Verdict.SKIPPED)
    assert {result.id: result.reason for result in results if result.verdict not in good} == {}
    assert sum(result.verdict.value == "passed" for result in results) >= 150


@pytest.mark.seeded
@pytest.mark.parametrize("defect", marked(defects()))
def test_a_seeded_defect_is_caught_by_the_scenario_that_the_page_names(
    defect: Defect, tmp_path: Path
) -> None:
    everything = catalogue()
    named = catchers().get(defect.id)
    scenarios = [one for one in everything if one.id == named] or ordered(everything, defect)
    with variant(defect, tmp_path) as runner:
        catch, others = hunt(defect, scenarios, runner)
        plain = plainly(runner) if catch is not None else None
    if catch is None:
        pytest.fail(
            f"{named or 'no scenario'} did not end as {defect.verdicts} for a rule of {defect.rules};"
            f" what ended badly otherwise: {others or 'nothing'}."
            " If another scenario catches it now: python -m tests.seeded.hunt"
        )
    print(f"caught by {catch.scenario}: {catch.verdict} [{', '.join(catch.rules)}]")
    is_plain = "a scenario of plain.toml shows it" if defect.id in beyond() else "none of plain.toml shows it"
    assert (plain is None) == (defect.id in beyond()), f"{is_plain} ({plain}): mend {BEYOND.name}"
