# SPDX-License-Identifier: Apache-2.0
"""A target file against what its driver says of itself in a guest: what disagrees, key by key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from harness.agent.pin_facts import PinFacts
from harness.language.model import Pin, Target
from harness.language.model.problem import Problem
from harness.onboarding.discovery import FoundFilter, find_filters, why_not_connectable
from harness.onboarding.known_guids import shown
from harness.running.formats import resolve

if TYPE_CHECKING:
    from harness.agent.encode import Encoder
    from harness.agent.session import AgentSession


def disagreements(target: Target, session: AgentSession, encoder: Encoder) -> list[Problem]:
    """What the file says otherwise than the driver; empty where they agree.

    Every pin is opened as a run would open it.

    Raises:
        UsageError: the device has registered no interface.
        AgentError, StepHungError: the guest or its driver was lost on the way.
    """
    filters = find_filters(session, encoder, target.hardware_id)
    found = _meant(target, filters)
    if found is None:
        return [_no_filter(target, filters)]
    if found.unopened is not None:
        return [Problem(("category",), found.unopened)]
    facts = {pin.id: pin for pin in found.pins}
    resolved = resolve(target, session, encoder)
    said = [line for place, pin in enumerate(target.pin) for line in _of_pin(place, pin, facts)]
    for place, pin in enumerate(resolved.pin):
        why = resolved.why_unopened(pin)
        if why is not None and pin.id in facts:
            said.append(Problem(("pin", place), f"{pin.name} does not open: {why}"))
    return said


def _meant(target: Target, filters: Sequence[FoundFilter]) -> FoundFilter | None:
    """The filter that the file is for."""
    return next((one for one in filters if one.stands_at(target.category, target.instance)), None)


def _no_filter(target: Target, filters: Sequence[FoundFilter]) -> Problem:
    key = ("category",)
    if any(target.category in one.categories for one in filters):
        numbers = sorted(one.places[target.category] for one in filters if target.category in one.places)
        there = ", ".join(map(str, numbers))
        what = f"filter {target.instance} in {shown(target.category)} is not the device's"
        at = ("instance",) if target.instance else key
        return Problem(at, what, f"the device's there: {there}; the key instance says which")
    there = ", ".join(dict.fromkeys(shown(item) for one in filters for item in one.categories))
    return Problem(key, f"the device has no filter in {shown(target.category)}", f"there: {there}")


def _of_pin(place: int, pin: Pin, facts: dict[int, PinFacts]) -> Iterator[Problem]:
    said, key = facts.get(pin.id), ("pin", place)
    if said is None:
        there = ", ".join(map(str, facts)) or "none"
        yield Problem((*key, "id"), f"the filter has no pin {pin.id}", f"there: {there}")
        return
    if said.flow in ("in", "out") and said.flow != pin.flow:
        yield Problem((*key, "flow"), f"{pin.flow}, and the driver says {said.flow}")
    why = why_not_connectable(said)
    if why is not None:
        yield Problem(key, why)
    elif said.possible is not None and pin.max_instances > said.possible:
        more = f"{pin.max_instances}, and the driver says {said.possible}"
        yield Problem((*key, "max_instances"), more)


def not_in_the_file(target: Target, session: AgentSession, encoder: Encoder) -> list[str]:
    """Pins that could be opened and are not in the file: no mistake, and scenarios do without them."""
    filters = find_filters(session, encoder, target.hardware_id)
    found = _meant(target, filters)
    listed = {pin.id for pin in target.pin}
    return [
        f"pin {pin.id} (data {pin.flow}) is not in the file"
        for pin in (found.connectable if found is not None else ())
        if pin.id not in listed
    ]
