# SPDX-License-Identifier: Apache-2.0
"""Counts over the records of a run: by verdict, by rule and route, by reason of a skip."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.results.rule_outcome import standing
from harness.verdict import Verdict


def of_kind(records: Iterable[Mapping[str, Any]], kind: str) -> list[Mapping[str, Any]]:
    """The records of one kind, in their order."""
    return [record for record in records if record["kind"] == kind]


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
        for rule in record["rules"] or ["-"]:
            for route in record["routes"] or ["-"]:
                table.setdefault(rule, {}).setdefault(route, Counter())[standing(record, rule)] += 1
    return dict(sorted(table.items(), key=lambda item: rule_key(item[0])))


def rule_key(rule: str) -> tuple[int, int, str]:
    """Sorts H2 before H10, and rules before everything else."""
    number = rule[1:]
    return (0, int(number), "") if rule[:1] == "H" and number.isdigit() else (1, 0, rule)


def skip_reasons(records: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """Why scenarios were skipped, and how often."""
    return Counter(
        str(record.get("reason") or "no reason given")
        for record in of_kind(records, "scenario")
        if record["verdict"] == Verdict.SKIPPED
    )
