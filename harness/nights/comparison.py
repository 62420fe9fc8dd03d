# SPDX-License-Identifier: Apache-2.0
"""Two sides compared, scenario by scenario and field by field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.nights.conditions import Difference, differences
from harness.nights.field_words import value_words, values_in_words
from harness.nights.findings import ALARMS, Finding, Kind, Night, Side
from harness.nights.statistics import SIGNIFICANT, Counts, all_tries, could_tell, fisher
from harness.store import lists
from harness.store.lists import Change, Listed
from harness.store.queries import Outcome
from harness.store.values import Value
from harness.verdict import Verdict

#: A field that had so many values may have any.
_ANY = 3

Loader = Callable[[Collection[int]], Mapping[int, Listed]]
VaryingFields = Mapping[int, Mapping[tuple[int, str], Sequence[Value]]]


@dataclass(frozen=True)
class Told:
    """What is known beforehand: loader of lists, fields that vary, and fields that were first seen to."""

    load: Loader
    varying: VaryingFields = field(default_factory=dict)
    first: Sequence[tuple[str, int, str, str]] = ()


@dataclass
class _Scenario:
    """What both sides have of one scenario."""

    key: str
    before: list[Outcome] = field(default_factory=list)
    now: list[Outcome] = field(default_factory=list)

    @property
    def counts(self) -> tuple[Counts, Counts]:
        """Attempts that failed, on each side."""
        return all_tries([one.tries for one in self.before]), all_tries([one.tries for one in self.now])


def compare(
    before: Side, now: Side, outcomes: tuple[Iterable[Outcome], Iterable[Outcome]], told: Told
) -> Night:
    """Compares two sides.

    Args:
        before: what is held to be known.
        now: what is asked about.
        outcomes: of all runs of each side, the oldest run first.
        told: see there.
    """
    scenarios: dict[str, _Scenario] = {}
    for earlier in outcomes[0]:
        scenarios.setdefault(earlier.key, _Scenario(earlier.key)).before.append(earlier)
    for later in outcomes[1]:
        scenarios.setdefault(later.key, _Scenario(later.key)).now.append(later)
    differing = differences(before.conditions, now.conditions)
    alike = not any(difference.matters for difference in differing)
    findings: list[Finding] = []
    passed: list[_Scenario] = []
    for scenario in scenarios.values():
        finding = _verdict(scenario, alike, differing)
        if finding is not None:
            findings.append(finding)
        # What flakes has fields, too: those of the attempts that passed.
        if _both_passed(scenario) and (finding is None or finding.kind is not Kind.NEW_SCENARIO):
            passed.append(scenario)
    loud = {one.key for one in findings}
    quiet = [each for each in passed if each.key not in loud]
    uncompared = sum(any(one.torn for one in (*each.before, *each.now)) for each in quiet)
    changed, varied = _fields(passed, told)
    findings += changed
    names = {one.key for one in changed}
    same = len(scenarios) - len(loud | names)
    for key, position, name, seen in told.first:
        if key in scenarios and key not in names:
            words = f"step {position + 1}, {name}: {values_in_words(name, seen)} on identical inputs"
            findings.append(Finding(Kind.VARIES, key, words))
    findings = [replace(one, alarm=one.alarm or one.kind in ALARMS) for one in findings]
    ranks = {kind: rank for rank, kind in enumerate(Kind)}
    findings.sort(key=lambda one: ranks[one.kind])
    return Night(
        before,
        now,
        differing,
        findings,
        same,
        varied,
        uncompared,
        counts=Counter(one.kind for one in findings),
    )


# ---- verdicts -------------------------------------------------------------------------------------------


def _verdict(scenario: _Scenario, alike: bool, differing: Sequence[Difference]) -> Finding | None:
    """What there is to say of its verdicts; None where there is nothing, or only fields may differ."""
    key, before, now = scenario.key, scenario.before, scenario.now
    if not now:
        return Finding(Kind.MISSING, key, "it was run before, and is not in this run", scenario.counts[0])
    earlier, later = scenario.counts
    last = now[-1]
    if not before or _content_changed(before[-1], last):
        return _new_scenario(scenario, later)
    if later.n == 0:
        return _nothing_now(key, before[-1], last, earlier)
    if earlier.n == 0:
        return _nothing_before(key, before[-1], last, later)
    made: dict[str, Any] = {"key": key, "before": earlier, "now": later, "signature": last.signature}
    if later.failed == 0:
        return _passes(before[-1], earlier, made, alike)
    if earlier.failed == earlier.n and not later.mixed and not _other_signature(before, now):
        return Finding(Kind.STILL_FAILING, words=_why(last), **made)
    if not alike:
        what = " and ".join(difference.what for difference in differing if difference.matters)
        words = f"the {what} changed; failed in {earlier} before, in {later} now: {_why(last)}"
        return Finding(Kind.ELSEWHERE, words=words, alarm=True, **made)
    return _fails(scenario, earlier, later, made)


def _new_scenario(scenario: _Scenario, later: Counts) -> Finding:
    last = scenario.now[-1]
    what = "its content changed" if scenario.before else "it was not there before"
    bad = last.verdict not in (Verdict.PASSED, Verdict.SKIPPED)
    words = f"{what}; {last.verdict}" + (f": {_why(last)}" if bad else "")
    return Finding(
        Kind.NEW_SCENARIO, scenario.key, words, now=later, signature=last.signature, alarm=later.failed > 0
    )


def _nothing_now(key: str, before: Outcome, last: Outcome, earlier: Counts) -> Finding | None:
    """It ran, and nothing was learned of the driver."""
    if last.verdict == Verdict.ERROR:
        return Finding(Kind.INFRASTRUCTURE, key, _why(last), earlier, signature=last.signature)
    if earlier.n == 0:
        return None  # skipped then and now, or an error before
    return Finding(Kind.MISSING, key, f"it ran before, and is now skipped: {_why(last)}", earlier)


def _nothing_before(key: str, before: Outcome, last: Outcome, later: Counts) -> Finding:
    said = "was skipped" if before.verdict == Verdict.SKIPPED else "was an error of the harness"
    if later.failed == 0:
        return Finding(Kind.NEW_SCENARIO, key, f"it {said} before; passed", now=later)
    words = f"it {said} before, so that there is nothing to compare with; {_why(last)}"
    return Finding(Kind.TOO_SMALL, key, words, now=later, signature=last.signature, alarm=True)


def _passes(before: Outcome, earlier: Counts, made: dict[str, Any], alike: bool) -> Finding | None:
    if earlier.failed == 0:
        return None
    if earlier.flaky:
        return Finding(Kind.FLAKY, words=f"passed now; failed in {earlier} before", **made)
    words = f"failed in {earlier} before: {_why(before)}"
    if not alike:
        return Finding(Kind.ELSEWHERE, words=f"passes here; {words}", **made)
    return Finding(Kind.FIXED, words=words, **made)


def _fails(scenario: _Scenario, earlier: Counts, later: Counts, made: dict[str, Any]) -> Finding:
    """It fails, and did not before, or not always, or otherwise; like is compared with like."""
    last = scenario.now[-1]
    why = _why(next((one for one in reversed(scenario.now) if Verdict(one.verdict).is_driver_fault), last))
    p = fisher(earlier, later) if earlier.n + later.n > 2 else None
    counts = f"failed in {earlier} before, in {later} now"
    if earlier.failed == earlier.n:
        other = _other_signature(scenario.before, scenario.now)
        if other is not None:
            words = f"it failed otherwise before ({other}); now: {why}"
            return Finding(Kind.NEW_FAILURE, words=words, p=p, **made)
        return Finding(Kind.FLAKY, words=f"{counts}: {why}", p=p, **made)
    steady = earlier.failed == 0 and not later.mixed
    worse = p is not None and p < SIGNIFICANT
    if steady or worse or (later.broken and not earlier.broken):
        return Finding(Kind.NEW_FAILURE, words=f"{counts}: {why}", p=p, **made)
    if earlier.mixed and not could_tell(earlier, later):
        words = f"{counts}; it is flaky, and these are too few to say whether it became worse: {why}"
        return Finding(Kind.TOO_SMALL, words=words, p=p, **made)
    return Finding(Kind.FLAKY, words=f"{counts}: {why}", p=p, **made)


def _other_signature(before: Sequence[Outcome], now: Sequence[Outcome]) -> str | None:
    """How it failed before, where it never failed so as it does now."""
    known = {one.signature for one in before if Verdict(one.verdict).is_driver_fault}
    fresh = [one for one in now if Verdict(one.verdict).is_driver_fault]
    if not known or not fresh or any(one.signature in known for one in fresh):
        return None
    return next((_why(one) for one in reversed(before) if Verdict(one.verdict).is_driver_fault), None)


def _content_changed(before: Outcome, now: Outcome) -> bool:
    """Whether it is another scenario of the same name; what an earlier kshs did not record is the same."""
    return None not in (before.content, now.content) and before.content != now.content


def _both_passed(scenario: _Scenario) -> bool:
    sides = (scenario.before, scenario.now)
    return all(any(one.verdict == Verdict.PASSED for one in side) for side in sides)


def _why(outcome: Outcome) -> str:
    return outcome.reason or outcome.words or outcome.verdict


# ---- fields ---------------------------------------------------------------------------------------------


def _fields(passed: Sequence[_Scenario], told: Told) -> tuple[list[Finding], int]:
    """Changed characteristics of what passed on both sides; how many changes are known variation."""
    pairs: dict[str, tuple[set[int], set[int]]] = {}
    for scenario in passed:
        before, now = _lists(scenario.before), _lists(scenario.now)
        if before and now - before:
            pairs[scenario.key] = before, now - before
    if not pairs:
        return [], 0
    loaded = told.load({number for sides in pairs.values() for side in sides for number in side})
    findings, varied = [], 0
    for scenario in passed:
        if scenario.key not in pairs:
            continue
        before, now = pairs[scenario.key]
        changes = _changes([loaded[number] for number in before], [loaded[number] for number in now])
        known = _known_variation(scenario, told.varying)
        kept = tuple(change for change in changes if not is_known(change, known))
        varied += len(changes) - len(kept)
        if kept:
            findings.append(_changed(scenario, kept))
    return findings, varied


def _lists(outcomes: Sequence[Outcome]) -> set[int]:
    return {one.answers for one in outcomes if one.answers is not None and one.verdict == Verdict.PASSED}


def _changes(before: Sequence[Listed], now: Sequence[Listed]) -> list[Change]:
    """Fields that came as they never came before."""
    found: dict[tuple[int, str, Value], Change] = {}
    for listed in now:
        common: dict[tuple[int, str, Value], Change] | None = None
        for other in before:
            these = {(c.position, c.field, c.now): c for c in lists.differences(other, listed)}
            common = these if common is None else {at: c for at, c in common.items() if at in these}
        found |= common or {}
    return list(found.values())


def _known_variation(scenario: _Scenario, varying: VaryingFields) -> dict[tuple[int, str], Sequence[Value]]:
    known: dict[tuple[int, str], Sequence[Value]] = {}
    for number in {one.scenario for one in (*scenario.before, *scenario.now)}:
        known |= varying.get(number, {})
    return known


def is_known(change: Change, known: Mapping[tuple[int, str], Sequence[Value]]) -> bool:
    """Whether a change is to a value that the field was seen to have on identical inputs, or to any."""
    seen = known.get((change.position, change.field))
    return seen is not None and (change.now in seen or len(seen) >= _ANY)


def _changed(scenario: _Scenario, changes: tuple[Change, ...]) -> Finding:
    earlier, later = scenario.counts
    return Finding(Kind.CHANGED, scenario.key, in_words(changes), earlier, later, changes=changes)


def in_words(changes: Sequence[Change]) -> str:
    """The first change of a scenario, and how many there are."""
    first = changes[0]
    old, new = value_words(first.field, first.before), value_words(first.field, first.now)
    more = f" and {len(changes) - 1} more" if len(changes) > 1 else ""
    return f'step {first.position + 1}, "{first.step}": {first.field} {old} -> {new}{more}'
