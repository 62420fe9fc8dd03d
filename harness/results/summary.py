# SPDX-License-Identifier: Apache-2.0
"""The end of a run in a few lines: verdicts, then by rule and by route, then why things were skipped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.results import tally
from harness.results.rule_outcome import RECORDED, RECORDED_WORDS
from harness.verdict import Verdict
from vm.words import counted

_MAX_REASONS = 12


def lines(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Plain lines, without colours."""
    return list(_lines(records))


def in_words(counts: Mapping[str, int]) -> str:
    """Like ``41 passed, 2 failed``; nothing is said of what did not happen."""
    parts = [f"{counts[v.value]} {v.value}" for v in Verdict if counts.get(v.value)]
    if counts.get(RECORDED):
        parts.append(f"{counts[RECORDED]} {RECORDED_WORDS}")
    return ", ".join(parts) or "nothing ran"


def _lines(records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    scenarios = tally.of_kind(records, "scenario")
    tests = tally.of_kind(records, "test")
    if tests:
        yield f"tests in Python: {in_words(tally.counts(records, kind='test'))}"
    if not scenarios:
        return
    yield f"{counted(len(scenarios), 'scenario')}: {in_words(tally.counts(records))}"
    retried = [s for s in scenarios if len(s.get("attempts") or ()) > 1]
    if retried:
        yield f"  {counted(len(retried), 'scenario')} tried more than once, every attempt is on record"
    for rule, counts in tally.by_rule(records).items():
        if rule != tally.NONE:
            yield f"  {rule:<16}{in_words(counts)}"
    for route, counts in tally.by_route(records).items():
        yield f"  by {route:<13}{in_words(counts)}"
    reasons = tally.skipped(records)
    if reasons:
        yield "skipped, because:"
        for reason, which in list(reasons.items())[:_MAX_REASONS]:
            yield f"  {len(which)} x {reason}"
        if len(reasons) > _MAX_REASONS:
            yield f"  and {counted(len(reasons) - _MAX_REASONS, 'more reason')}, in the report"
    for environment in tally.of_kind(records, "environment"):
        names = environment.get("unimplemented_calls")
        if names:
            yield f"called, but not there in the reference ks.sys: {', '.join(names)}"
