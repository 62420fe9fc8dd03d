# SPDX-License-Identifier: Apache-2.0
"""A run held against what was accepted: on its own kernel build, or on the nearest older one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from harness.nights.comparison import Loader, VaryingFields, is_known
from harness.nights.conditions import build_key
from harness.store.lists import Change, differences
from harness.store.queries import AcceptanceInfo, AcceptedList, Conditions, Outcome
from harness.store.values import Value
from harness.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Held:
    """One scenario against an acceptance: `own` says that it is of the same kernel, ks.sys and Verifier."""

    outcome: Outcome
    acceptance: AcceptanceInfo
    own: bool
    changes: tuple[Change, ...]


@dataclass
class Standing:
    """A run against the baseline.

    `differs`: accepted here, and another value came.  `first`: nothing is accepted for this kernel build,
    ks.sys and Verifier; it is shown against the nearest older build's, with what differs.  `unknown`: never
    accepted anywhere.  `same`: as accepted here.  What did not pass is in none of them.
    """

    differs: list[Held] = field(default_factory=list)
    first: list[Held] = field(default_factory=list)
    unknown: list[Outcome] = field(default_factory=list)
    same: list[Held] = field(default_factory=list)

    @property
    def to_accept(self) -> list[Outcome]:
        """What no acceptance covers as it is."""
        return [held.outcome for held in (*self.differs, *self.first)] + self.unknown


def usable(outcomes: Iterable[Outcome], pattern: str = "*") -> list[Outcome]:
    """What can be accepted: scenarios that passed, with all their steps on record."""
    return [
        outcome
        for outcome in outcomes
        if outcome.verdict == Verdict.PASSED and outcome.answers is not None and matches(outcome.key, pattern)
    ]


def matches(key: str, pattern: str) -> bool:
    """Whether a pattern means a scenario, by its id or by file::id."""
    return fnmatchcase(key, pattern) or fnmatchcase(key.rpartition("::")[2], pattern)


def is_own(acceptance: Conditions, run: Conditions) -> bool:
    """Whether an acceptance was made on this kernel build, with this ks.sys and these Verifier settings."""
    return (acceptance.kernel, acceptance.ks_digest, acceptance.verifier) == (
        run.kernel,
        run.ks_digest,
        run.verifier,
    )


def nearest_first(acceptances: Iterable[AcceptanceInfo], run: Conditions) -> list[AcceptanceInfo]:
    """Acceptances for this target and family of guests, the nearest first.

    Own ones come first, then the same kernel, then older builds from the newest down, then later ones; the
    latest acceptance of each first.
    """
    here = build_key(run.kernel_build)

    def rank(one: AcceptanceInfo) -> tuple[object, ...]:
        conditions = one.conditions
        build = build_key(conditions.kernel_build)
        older = build <= here
        distance = [-part for part in build] if older else list(build)
        return (
            not is_own(conditions, run),
            conditions.kernel != run.kernel,
            not older,
            distance,
            conditions.verifier != run.verifier,
            -one.id,
        )

    alike = (
        one
        for one in acceptances
        if (one.conditions.target, one.conditions.family) == (run.target, run.family)
    )
    return sorted(alike, key=rank)


def hold(
    outcomes: Iterable[Outcome],
    run: Conditions,
    acceptances: Sequence[AcceptanceInfo],
    accepted: Iterable[AcceptedList],
    load: Loader,
    varying: VaryingFields,
) -> Standing:
    """Holds what passed in a run against what was accepted.

    Args:
        outcomes: of the run.
        run: what it was made on.
        acceptances: all of the store.
        accepted: what these stand for.
        load: of lists.
        varying: fields that vary in fact.
    """
    near = nearest_first(acceptances, run)
    known: dict[int, dict[int, int]] = {}
    for one in accepted:
        known.setdefault(one.acceptance, {})[one.scenario] = one.answers
    standing = Standing()
    pairs: list[tuple[Outcome, AcceptanceInfo, int]] = []
    for outcome in usable(outcomes):
        found = next((one for one in near if outcome.scenario in known.get(one.id, {})), None)
        if found is None:
            standing.unknown.append(outcome)
        else:
            pairs.append((outcome, found, known[found.id][outcome.scenario]))
    differing = [pair for pair in pairs if pair[0].answers != pair[2]]
    lists = load({number for pair in differing for number in (pair[0].answers or 0, pair[2])})
    for outcome, acceptance, answers in pairs:
        changes: tuple[Change, ...] = ()
        if answers != outcome.answers:
            found_changes = differences(lists[answers], lists[outcome.answers or 0])
            changes = tuple(_unknown(found_changes, varying.get(outcome.scenario, {})))
        own = is_own(acceptance.conditions, run)
        held = Held(outcome, acceptance, own, changes)
        (standing.first if not own else standing.differs if changes else standing.same).append(held)
    return standing


def _unknown(changes: Iterable[Change], known: Mapping[tuple[int, str], Sequence[Value]]) -> Iterable[Change]:
    return (change for change in changes if not is_known(change, known))
