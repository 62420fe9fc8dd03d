# SPDX-License-Identifier: Apache-2.0
"""Requests that were started and not waited for yet: a crash that another step notices may be theirs."""

from __future__ import annotations

from collections.abc import Sequence

from harness.planning.planned import PlannedStep

#: Kinds of steps that ask nothing of the pin under test: while a request is under way, a crash is its own.
_ASIDE = frozenset(
    {"wait", "cancel", "sleep", "behaviour", "seen", "wait_inside", "reset", "unblock", "counters"}
)


def under_way(steps: Sequence[PlannedStep], position: int) -> tuple[int, ...]:
    """The positions of what was started before a step of a plan and not waited for before it."""
    started: dict[str, list[int]] = {}
    for place, planned in enumerate(steps[:position]):
        step = planned.step
        name = getattr(step, "start", None)
        if isinstance(name, str):
            started.setdefault(name, []).append(place)
        elif step is not None and step.do == "wait":
            left = started.get(str(getattr(step, "request", "")))
            if left:
                left.pop(0)  # several that were started together are waited for in their order
    return tuple(sorted(place for places in started.values() for place in places))


def whose(step: PlannedStep, beside: Sequence[PlannedStep]) -> tuple[str, str]:
    """The kind of the request that a crash is of, and in words what was in flight.

    Args:
        step: that did not come back.
        beside: what was under way meanwhile.
    """
    if step.kind not in _ASIDE or not beside:
        return step.kind, step.what
    named = getattr(step.step, "request", None) if step.kind == "wait" else None
    own = [one for one in beside if getattr(one.step, "start", None) == named] if named else []
    kinds = {one.kind for one in own or beside}
    names = ", ".join(dict.fromkeys(one.what for one in own or beside))
    return kinds.pop() if len(kinds) == 1 else step.kind, f"{step.what} (under way: {names})"
