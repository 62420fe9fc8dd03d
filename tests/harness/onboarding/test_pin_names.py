# SPDX-License-Identifier: Apache-2.0
"""Names of pins are unique, and such that scenarios can say them, whatever a driver calls its pins."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.agent.pin_facts import PinFacts
from harness.language.model.values import NAME_PATTERN
from harness.onboarding.pin_names import name_pins


def pin(number: int, flow: str = "out", name: str | None = None) -> PinFacts:
    return PinFacts(number, flow=flow, name=name)


def test_the_first_that_opens_of_each_direction_has_the_catalogue_s_name() -> None:
    pins = [pin(0), pin(1), pin(2, "in"), pin(3, "in")]
    assert name_pins(pins, {1, 2}) == {0: "pin0", 1: "source", 2: "sink", 3: "pin3"}
    assert name_pins(pins, ()) == {0: "source", 1: "pin1", 2: "sink", 3: "pin3"}


def test_further_ones_are_called_as_their_driver_calls_them() -> None:
    pins = [pin(0), pin(1, name="Video Preview"), pin(2, name="Video Preview"), pin(3, name="9")]
    assert name_pins(pins, {0}) == {0: "source", 1: "video_preview", 2: "pin2", 3: "pin3"}


def test_words_that_scenarios_know_otherwise_are_no_names() -> None:
    pins = [pin(0), *(pin(n, name=name) for n, name in enumerate(("Sink", "source2", "filter", "pin7"), 1))]
    assert name_pins(pins, {0}) == {0: "source", 1: "pin1", 2: "pin2", 3: "pin3", 4: "pin4"}


def test_what_the_user_says_holds() -> None:
    pins = [pin(0), pin(1), pin(2, "in")]
    assert name_pins(pins, {0, 1, 2}, {1: "source"}) == {0: "pin0", 1: "source", 2: "sink"}
    assert name_pins(pins, {0, 1, 2}, {0: "mine"}) == {0: "mine", 1: "source", 2: "sink"}


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(["in", "out"]), st.none() | st.text(max_size=60)), max_size=12))
def test_any_driver_gets_good_names(said: list[tuple[str, str | None]]) -> None:
    names = name_pins([pin(number, *facts) for number, facts in enumerate(said)], ())
    assert sorted(names) == list(range(len(said)))
    assert len(set(names.values())) == len(names)
    assert all(re.fullmatch(NAME_PATTERN, name) and len(name) <= 40 for name in names.values())
