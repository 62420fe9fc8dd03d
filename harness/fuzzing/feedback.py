# SPDX-License-Identifier: Apache-2.0
"""What tells a sequence that is worth keeping from one that is not: something came that never came before.

Two sources.  The answers themselves are always there: which kind of request under which circumstances was
answered how.  Where a guest's hypervisor counts the blocks of code that drivers execute, these tell more; who
counts them need only be a `Coverage`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from harness.guests import Guest
from harness.results.record import StepResult

if TYPE_CHECKING:
    from harness.agent.session import AgentSession

#: Fields of a status block that are kinds of answers; others are values.
_FIELDS = ("answer", "returned", "status", "information", "pending", "completions", "cancelled")

#: Lengths at which something may turn: none, sizeof(KSHANDSHAKE) on both kinds of kernels; and a buffer's.
_TURNS = (0, 24, 32)
_LONG = 65_536

Feature = tuple[Any, ...]


class Coverage(Protocol):
    """Counts what drivers execute in one guest, from outside of it."""

    def zero(self) -> None:
        """Forgets what was executed up to now."""

    def read(self) -> Collection[int]:
        """The blocks that were executed since, each by a number that it has in every guest."""


class CoverageSource(Protocol):
    """Gives the coverage of guests, where they have one."""

    def of(self, guest: Guest, session: AgentSession, info: Mapping[str, Any]) -> Coverage | None:
        """Of a guest to which nothing was sent yet; None where nobody counts in it.

        Args:
            guest: of a fresh lease.
            session: with its agent.
            info: what it says of itself.
        """


def features(steps: Collection[StepResult]) -> frozenset[Feature]:
    """What the answers to the steps of a sequence were like, as far as it can be the same another time."""
    found: set[Feature] = set()
    before = "-"
    for step in steps:
        block = step.status_block or {}
        numbers = block.get("numbers") or {}
        outcome = block.get("outcome")
        answer = (outcome, *(numbers.get(name) for name in _FIELDS))
        found.add(("answer", step.do, step.route, step.mode, *_request(step.request), *answer))
        after = f"{step.do}: {numbers.get('answer', outcome)}"
        found.add(("after", before, after))
        before = after
    return frozenset(found)


def _request(request: Mapping[str, Any]) -> Iterator[Any]:
    if not request:
        return
    for name in ("in_length", "out_length"):
        yield _class_of_length(int(request[name]))
    yield request["in_buffer"]
    yield request["out_buffer"]


def _class_of_length(value: int) -> str:
    """Lengths that say the same of a driver are one."""
    if value in _TURNS:
        return str(value)
    return "short" if value < _TURNS[-1] else "long" if value <= _LONG else "huge"
