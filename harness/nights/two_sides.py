# SPDX-License-Identifier: Apache-2.0
"""Two runs beside each other, neither of which is held to be right: what differs, by rule and by field.

`harness.nights.comparison` asks what is new in one run against another; here nothing is new: two kernels, or
two drivers, were asked the same.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from harness.nights.conditions import Difference, described
from harness.nights.field_words import value_words
from harness.nights.findings import Kind
from harness.nights.night import compare_runs
from harness.store import queries
from harness.store.lists import Change
from harness.store.queries import Outcome, RunInfo
from harness.verdict import Verdict
from vm.words import counted

#: Of those of one rule, and of the values of one field.
_SCENARIOS, _VALUES = 12, 4
_NO_RULE = "no rule"


@dataclass(frozen=True, slots=True)
class Differing:
    """A scenario that came otherwise on the two sides: what it came to on each, or which fields differ."""

    key: str
    rules: tuple[str, ...]
    first: str
    second: str
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class TwoSides:
    """All that is said of two runs; of `unknown` scenarios one side says nothing, each with its reason."""

    runs: tuple[RunInfo, RunInfo]
    conditions: Sequence[Difference]
    differing: Sequence[Differing]
    same: int
    unknown: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


def diff(connection: Connection, first: RunInfo, second: RunInfo) -> TwoSides:
    """Compares two runs of a store.

    Raises:
        UsageError: they cannot be compared.
    """
    night = compare_runs(connection, [first], [second])
    changes = {one.key: one.changes for one in night.findings if one.kind is Kind.CHANGED}
    sides = [{one.key: one for one in queries.outcomes(connection, [run.id])} for run in (first, second)]
    keys = list(dict.fromkeys([*sides[0], *sides[1]]))
    numbers = {one.scenario for side in sides for one in side.values()}
    rules = queries.rules(connection, numbers)
    differing, unknown, same = [], {}, 0
    for key in keys:
        one, other = (side.get(key) for side in sides)
        why = next((why for why in (_unknown(one, "A"), _unknown(other, "B")) if why), None)
        if why is not None or one is None or other is None:
            unknown[key] = why or ""
        elif _alike(one, other) and key not in changes:
            same += 1
        else:
            of_rules = rules.get(other.scenario, ())
            differing.append(Differing(key, of_rules, _said(one), _said(other), changes.get(key, ())))
    return TwoSides((first, second), night.differences, differing, same, unknown, night.notes)


def lines(found: TwoSides) -> Iterator[str]:
    """For a terminal or a log."""
    for name, run in zip("AB", found.runs, strict=True):
        problem = f"; {run.problem}" if run.problem else ""
        yield f"{name}: run {run.name}, {described(run.conditions)}{problem}"
    for condition in found.conditions:
        yield f"  {condition.what}: A {condition.before}, B {condition.now}"
    for note in found.notes:
        yield f"  {note}"
    by_rule: dict[str, list[Differing]] = {}
    for each in found.differing:
        for rule in each.rules or (_NO_RULE,):
            by_rule.setdefault(rule, []).append(each)
    for rule in sorted(by_rule, key=_rule_order):
        yield f"{rule}: {counted(len(by_rule[rule]), 'scenario')}"
        yield from _of_rule(by_rule[rule])
    yield from _by_field(found.differing)
    for key, why in list(found.unknown.items())[:_SCENARIOS]:
        yield f"not known: {key}: {why}"
    if len(found.unknown) > _SCENARIOS:
        yield f"not known: and {len(found.unknown) - _SCENARIOS} more (--json has all)"
    yield summary(found)


def summary(found: TwoSides) -> str:
    """One line."""
    said = [f"{counted(len(found.differing), 'scenario')} differ" if found.differing else "nothing differs"]
    if len(found.differing) == 1:
        said = ["1 scenario differs"]
    said.append(f"{found.same} came alike")
    if found.unknown:
        said.append(f"of {len(found.unknown)} one side says nothing")
    return "; ".join(said)


def as_json(found: TwoSides) -> dict[str, Any]:
    """Everything, for programs (docs/nights.md)."""
    return {
        "schema": 1,
        "sides": {
            name: {"run": run.name, "conditions": _conditions(run)}
            for name, run in zip("AB", found.runs, strict=True)
        },
        "conditions": [
            {"what": each.what, "A": each.before, "B": each.now, "matters": each.matters}
            for each in found.conditions
        ],
        "differing": [
            {
                "key": each.key,
                "rules": list(each.rules),
                "A": each.first,
                "B": each.second,
                "fields": [
                    {
                        "position": one.position,
                        "step": one.step,
                        "field": one.field,
                        "A": one.before,
                        "B": one.now,
                    }
                    for one in each.changes
                ],
            }
            for each in found.differing
        ],
        "same": found.same,
        "unknown": dict(found.unknown),
        "notes": list(found.notes),
    }


def _conditions(run: RunInfo) -> dict[str, Any]:
    said = dataclasses.asdict(run.conditions)
    return {key: value for key, value in said.items() if key not in ("guest_id", "target_id")}


def _unknown(outcome: Outcome | None, side: str) -> str | None:
    """Why nothing is known of it on a side; None where something is."""
    if outcome is None:
        return f"it was not run on {side}"
    if outcome.verdict == Verdict.ERROR:
        return f"error of the harness on {side}: {outcome.reason or 'no reason given'}"
    if outcome.torn and outcome.verdict == Verdict.PASSED:
        return f"not all that came back on {side} is on record"
    return None


def _alike(one: Outcome, other: Outcome) -> bool:
    """Whether both came to the same, by the same cause; the fields of what passed are looked at elsewhere."""
    same = one.verdict == other.verdict
    return same and (not Verdict(one.verdict).is_driver_fault or one.signature == other.signature)


def _said(outcome: Outcome) -> str:
    if outcome.verdict == Verdict.PASSED:
        return outcome.verdict
    return f"{outcome.verdict}: {outcome.reason or outcome.words or 'no reason given'}"


def _rule_order(rule: str) -> tuple[bool, int, str]:
    number = rule.removeprefix("H")
    return rule == _NO_RULE, int(number) if number.isdigit() else 1 << 20, rule


def _of_rule(differing: Sequence[Differing]) -> Iterator[str]:
    for each in differing[:_SCENARIOS]:
        if each.changes:
            names = ", ".join(dict.fromkeys(change.field for change in each.changes))
            yield f"  {each.key}: passed on both; {names} differ"
        else:
            yield f"  {each.key}"
            yield f"    A {each.first}"
            yield f"    B {each.second}"
    if len(differing) > _SCENARIOS:
        yield f"  and {len(differing) - _SCENARIOS} more (--json has all)"


def _by_field(differing: Sequence[Differing]) -> Iterator[str]:
    """Each field once, with the values that it had, the most frequent first."""
    seen: dict[str, Counter[tuple[str, str]]] = {}
    for each in differing:
        for change in each.changes:
            pair = value_words(change.field, change.before), value_words(change.field, change.now)
            seen.setdefault(change.field, Counter())[pair] += 1
    for name, pairs in sorted(seen.items(), key=lambda item: -item[1].total()):
        yield f"{name}: {counted(pairs.total(), 'status block')}"
        for (old, new), count in pairs.most_common(_VALUES):
            yield f"  {count} times A {old}, B {new}"
        if len(pairs) > _VALUES:
            yield f"  and {len(pairs) - _VALUES} more pairs of values"
