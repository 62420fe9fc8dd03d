# SPDX-License-Identifier: Apache-2.0
"""Counts over the records of a run: by verdict, by rule and route, by reason of a skip.

The one place that counts: the terminal, the report and ``results.jsonl`` show the same numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from harness.results.rule_outcome import rule_outcome
from harness.verdict import Verdict

_T = TypeVar("_T")

#: In the place of a rule or a route, for a scenario that has none.
NONE = "-"


def of_kind(records: Iterable[Mapping[str, Any]], kind: str) -> list[Mapping[str, Any]]:
    """The records of one kind, in their order."""
    return [record for record in records if record["kind"] == kind]


def steps_of(records: Iterable[Mapping[str, Any]]) -> dict[tuple[int, str], list[Mapping[str, Any]]]:
    """The records of steps by the order and the id of their scenario."""
    steps: dict[tuple[int, str], list[Mapping[str, Any]]] = {}
    for step in of_kind(records, "step"):
        steps.setdefault((step["order"], step["scenario"]), []).append(step)
    return steps


def counts(records: Iterable[Mapping[str, Any]], kind: str = "scenario") -> Counter[str]:
    """Scenarios (or tests in Python) by verdict; every verdict is a key, in the order of `Verdict`."""
    tally = Counter({verdict.value: 0 for verdict in Verdict})
    tally.update(record["verdict"] for record in records if record["kind"] == kind)
    return tally


def matrix(records: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Counter[str]]]:
    """Rule, then route, then scenarios by what they say of the rule (`harness.results.rule_outcome`).

    A scenario counts once for each of its rules and routes; one without a request (all its steps
    skipped, say) counts under the route ``-``.
    """
    table: dict[str, dict[str, Counter[str]]] = {}
    for record in of_kind(records, "scenario"):
        for rule in record["rules"] or [NONE]:
            for route in record["routes"] or [NONE]:
                table.setdefault(rule, {}).setdefault(route, Counter())[rule_outcome(record, rule)] += 1
    return _sorted(table)


def by_rule(records: Iterable[Mapping[str, Any]]) -> dict[str, Counter[str]]:
    """Rule, then scenarios by what they say of it: one with three routes is still one scenario."""
    table: dict[str, Counter[str]] = {}
    for record in of_kind(records, "scenario"):
        for rule in record["rules"] or [NONE]:
            table.setdefault(rule, Counter())[rule_outcome(record, rule)] += 1
    return _sorted(table)


def by_route(records: Iterable[Mapping[str, Any]]) -> dict[str, Counter[str]]:
    """Route, then scenarios by verdict, in the order in which the routes came first."""
    table: dict[str, Counter[str]] = {}
    for record in of_kind(records, "scenario"):
        for route in record["routes"]:
            table.setdefault(route, Counter())[record["verdict"]] += 1
    return table


def skipped(records: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Why scenarios were skipped, and which, the most frequent reason first."""
    reasons: dict[str, list[Mapping[str, Any]]] = {}
    for record in of_kind(records, "scenario"):
        if record["verdict"] == Verdict.SKIPPED:
            reasons.setdefault(str(record.get("reason") or "no reason given"), []).append(record)
    return dict(sorted(reasons.items(), key=lambda item: -len(item[1])))


def rule_key(rule: str) -> tuple[int, int, str]:
    """Sorts H2 before H10, and rules before everything else."""
    number = rule[1:]
    return (0, int(number), "") if rule[:1] == "H" and number.isdigit() else (1, 0, rule)


def _sorted(table: Mapping[str, _T]) -> dict[str, _T]:
    return dict(sorted(table.items(), key=lambda item: rule_key(item[0])))
