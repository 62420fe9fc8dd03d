# SPDX-License-Identifier: Apache-2.0
"""The table of seeded defects fits the sources, and its page fits the table: cheap, without Wine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drivers.components import ROOT
from harness.language import scenario_file
from harness.language.model import Rule
from tests.seeded.fuzzed import table
from tests.seeded.table import PAGE, Defect, beyond, catchers, defects, not_shown, rebuilt, silent

ALL = [*defects(), *not_shown(), *silent(), rebuilt()]


@pytest.mark.parametrize("defect", ALL, ids=lambda defect: defect.id)
def test_the_text_to_change_stands_once_in_the_sources(defect: Defect) -> None:
    assert defect.occurrences(ROOT) == 1
    assert defect.replace != defect.find


def test_the_table_is_in_order() -> None:
    ids = [defect.id for defect in ALL]
    assert sorted(set(ids)) == sorted(ids)
    assert len(defects()) >= 40
    for defect in defects():
        assert defect.rules, defect.id
        assert set(defect.rules) <= {rule.value for rule in Rule}, defect.id
        assert set(defect.verdicts) <= {"failed", "crashed", "hung"}, defect.id
    assert all(defect.why for defect in not_shown())


def test_the_page_is_of_this_table_and_of_this_catalogue() -> None:
    caught = catchers()
    known = {defect.id for defect in defects()}
    scenarios = {
        located.scenario.id
        for file in scenario_file.CATALOGUE.glob("*.toml")
        for located in scenario_file.load_located(file)
    }
    assert set(caught) <= known
    assert set(caught.values()) <= scenarios, "write the page again: python -m tests.seeded.hunt"
    assert len(caught) >= 0.97 * len(known)
    text = PAGE.read_text(encoding="utf-8")
    assert f"{len(caught)} of {len(known)} defects are caught" in text
    for defect in not_shown():
        assert f"`{defect.id}`" in text


def test_what_is_beyond_the_plain_text_is_of_the_table_and_says_why() -> None:
    known = [defect.id for defect in defects()]
    pinned = beyond()
    assert set(pinned) <= set(known)
    assert len(pinned) >= 40 and all(len(why) > 10 for why in pinned.values())


def test_a_table_says_of_each_defect_after_how_many_sequences_it_was_found(tmp_path: Path) -> None:
    steered, blind = tmp_path / "steered", tmp_path / "blind"
    found = {"defect": "a", "found": "H4: ...", "after_sequences": 1234, "sequences": 1234}
    missed = {"defect": "a", "found": None, "after_sequences": None, "sequences": 5000}
    other = {"defect": "b", "found": None, "after_sequences": None, "sequences": 77}
    steered.write_text(f"{json.dumps(found)}\n{json.dumps(other)}\n")
    blind.write_text(f"{json.dumps(missed)}\n")
    assert table([steered, blind]).splitlines() == [
        "| `a` | 1,234 | not in 5,000 |",
        "| `b` | not in 77 | not run |",
        "| found | 1 of 2 | 0 of 1 |",
    ]
