# SPDX-License-Identifier: Apache-2.0
"""What the gate says: yes or no, each rule with its reasons and the runs behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.gate.candidate import Candidate
from harness.gate.policy import LoadedPolicy
from harness.gate.rule_names import RuleName
from harness.gate.waivers import WaiverFile
from harness.store.proofs import Proof
from harness.store.queries import RunInfo
from harness.store.selftests import SelfTestInfo
from harness.verdict import Verdict


@dataclass(frozen=True)
class RuleResult:
    """One rule: whether it holds, why or why not, and the runs that it rests on."""

    rule: RuleName
    ok: bool
    said: Sequence[str]
    runs: Sequence[str] = ()


@dataclass(frozen=True)
class RunUsed:
    """A run behind the verdict; `counts` are its scenarios and tests by verdict.

    `role` is candidate or released; `counted` says whether it counts as one of the policy's repeats.
    """

    run: RunInfo
    proof: Proof
    role: str
    counted: bool
    counts: Mapping[str, int]
    files: Mapping[str, str]


@dataclass(frozen=True)
class NotCovered:
    """What even a yes does not say: each with its reason or the number of scenarios."""

    skipped: Sequence[tuple[str, str]] = ()
    never_accepted: Sequence[str] = ()
    not_counted: Sequence[str] = ()


@dataclass(frozen=True)
class GateVerdict:
    """Everything that the gate says of one candidate."""

    policy: LoadedPolicy
    candidate: Candidate
    version: str | None
    released: str | None
    at: datetime
    rules: Sequence[RuleResult]
    runs: Sequence[RunUsed]
    selftests: Sequence[SelfTestInfo]
    waived: Sequence[tuple[str, str, WaiverFile]]
    idle: Sequence[str]
    not_covered: NotCovered
    todo: Sequence[Sequence[str]]
    evidence: Mapping[str, tuple[Path, str]] = field(default_factory=dict)
    """By the name that a bundle gives it: where a file lies, and its SHA-256."""

    @property
    def yes(self) -> bool:
        """Whether every rule is there and holds: what is missing is a no."""
        return {one.rule for one in self.rules if one.ok} == set(RuleName) and all(r.ok for r in self.rules)

    @property
    def counts(self) -> dict[str, int]:
        """Scenarios and tests of the counted runs by verdict, all six."""
        counted = [one.counts for one in self.runs if one.counted]
        return {verdict.value: sum(c.get(verdict.value, 0) for c in counted) for verdict in Verdict}

    def as_dict(self) -> dict[str, Any]:
        """For programs and pages: `harness.gate.page.data`."""
        from harness.gate.page import data

        return data(self)
