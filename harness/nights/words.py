# SPDX-License-Identifier: Apache-2.0
"""A comparison for people, as lines, and for programs, as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.nights.conditions import described
from harness.nights.field_words import value_words
from harness.nights.findings import Finding, Kind, Night, Side
from harness.store.lists import Change
from vm.words import counted

#: Scenarios of one kind that are named in full, and fields of one of them.
_NAMED = 30
_FIELDS = 6
#: Kinds of which only numbers and the first ones are shown: nobody has to do anything about them.
_SHORT = frozenset({Kind.STILL_FAILING, Kind.KNOWN, Kind.FIXED, Kind.VARIES, Kind.NEW_SCENARIO, Kind.MISSING})
_FEW = 5


def lines(night: Night) -> Iterator[str]:
    """For a terminal or a log."""
    yield f"before: {_side(night.before)}"
    yield f"now:    {_side(night.now)}"
    for difference in night.differences:
        yield f"  {difference}"
    if not night.alike:
        yield "  what differs may be the guest's doing: no regression is claimed"
    for note in night.notes:
        yield f"  {note}"
    for kind in Kind:
        of_kind = [finding for finding in night.findings if finding.kind is kind]
        if of_kind:
            yield f"{kind.value}: {len(of_kind)}"
            yield from _of_kind(kind, of_kind)
    yield summary(night)


def summary(night: Night) -> str:
    """One line."""
    said = [f"{night.counts[kind]} {kind.value}" for kind in Kind if night.counts.get(kind)]
    same = f"{counted(night.same, 'scenario')} as before"
    varied = [f"{counted(night.varied, 'field')} varied as known"] if night.varied else []
    blind = f"the fields of {counted(night.uncompared, 'scenario')} could not be compared"
    unknown = [blind] if night.uncompared else []
    return "; ".join(["nothing new" if not said else ", ".join(said), same, *unknown, *varied])


def _side(side: Side) -> str:
    if not side.runs:
        return "nothing to compare with"
    run = side.runs[-1]
    started = run.started.strftime("%Y-%m-%d %H:%M") if run.started else "at an unknown time"
    problem = f"; {run.problem}" if run.problem else ""
    several = f"runs {side.names}, the last" if len(side.runs) > 1 else f"run {run.name}"
    return f"{several} of {started}, {described(side.conditions)}{problem}"


def _of_kind(kind: Kind, findings: Sequence[Finding]) -> Iterator[str]:
    if kind is Kind.ELSEWHERE:
        yield from _grouped(findings)
        return
    if findings[0].changes:
        yield from _alike(findings)
        return
    limit = _FEW if kind in _SHORT else _NAMED
    for finding in findings[:limit]:
        p = f" (p = {finding.p:.3g})" if finding.p is not None else ""
        issue = f" [{finding.issue}]" if finding.issue else ""
        yield f"  {finding.key}: {finding.words}{p}{issue}"
    if len(findings) > limit:
        yield f"  and {len(findings) - limit} more; --json has all"


def _alike(findings: Sequence[Finding]) -> Iterator[str]:
    """Changes of fields: those that are the same in several scenarios once, with the names of these."""
    groups: dict[object, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(frozenset((c.field, c.before, c.now) for c in finding.changes), []).append(finding)
    ordered = sorted(groups.values(), key=len, reverse=True)
    for group in ordered[:_NAMED]:
        first = group[0]
        issue = f" [{first.issue}]" if first.issue else ""
        yield f"  {first.key}{issue}"
        yield from changes_in_words(first.changes)
        if len(group) > 1:
            names = ", ".join(one.key for one in group[1 : _FEW + 1])
            more = f" and {len(group) - 1 - _FEW} more" if len(group) - 1 > _FEW else ""
            yield f"    the same in {len(group) - 1} more: {names}{more}"
    if len(ordered) > _NAMED:
        rest = sum(map(len, ordered[_NAMED:]))
        yield f"  and {rest} more; --json has all"


def _grouped(findings: Sequence[Finding]) -> Iterator[str]:
    """By signature: a change of kernel is one thing, however many scenarios it shows in."""
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.signature or finding.words, []).append(finding)
    for group in sorted(groups.values(), key=len, reverse=True)[:_NAMED]:
        first = group[0]
        more = f", and {len(group) - 1} more alike" if len(group) > 1 else ""
        yield f"  {first.key}: {first.words}{more}"


def changes_in_words(changes: Sequence[Change]) -> Iterator[str]:
    """A line a field."""
    for change in changes[:_FIELDS]:
        old, new = value_words(change.field, change.before), value_words(change.field, change.now)
        yield f'    step {change.position + 1}, "{change.step}": {change.field} {old} -> {new}'
    if len(changes) > _FIELDS:
        yield f"    and {counted(len(changes) - _FIELDS, 'more field')}"


def as_json(night: Night) -> dict[str, Any]:
    """Everything, for programs (docs/nights.md)."""
    return {
        "schema": 1,
        "before": _side_json(night.before),
        "now": _side_json(night.now),
        "alike": night.alike,
        "differences": [dataclasses.asdict(difference) for difference in night.differences],
        "notes": list(night.notes),
        "counts": {kind.value: night.counts.get(kind, 0) for kind in Kind},
        "same": night.same,
        "varied": night.varied,
        "uncompared": night.uncompared,
        "findings": [_finding_json(finding) for finding in night.findings],
    }


def _side_json(side: Side) -> dict[str, Any]:
    conditions = dataclasses.asdict(side.conditions)
    kept = {key: value for key, value in conditions.items() if key not in ("guest_id", "target_id")}
    return {"runs": [run.name for run in side.runs], "conditions": kept}


def _finding_json(finding: Finding) -> Mapping[str, Any]:
    said = dataclasses.asdict(finding)
    for side in ("before", "now"):
        said[side] = {"failed": said[side]["failed"], "n": said[side]["n"]}
    return {**said, "kind": finding.kind.value}
