# SPDX-License-Identifier: Apache-2.0
"""What a comparison says of a scenario: the verdicts of a night."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from harness.nights.conditions import Difference
from harness.nights.statistics import NO_COUNTS, Counts
from harness.store.lists import Change
from harness.store.queries import Conditions, RunInfo


class Kind(StrEnum):
    """The verdicts of a night, those that somebody has to look at first."""

    NEW_FAILURE = "new failure"
    """It passed on the same inputs but for the package, or failed otherwise; now it fails."""
    EXPIRED = "known issue expired"
    """It fails as a known issue or a quarantine says that is past its date."""
    ELSEWHERE = "differs with the guest"
    """Its verdict is another, and so is the kernel, ks.sys or the like: no regression is claimed."""
    CHANGED = "changed characteristic"
    """It passed on both sides, and a field came otherwise."""
    NEW_SCENARIO = "new scenario"
    """It was not there, or was another by its content."""
    MISSING = "missing"
    """It was run, and now was not."""
    INFRASTRUCTURE = "infrastructure"
    """The harness failed under it: nothing is known."""
    TOO_SMALL = "sample too small"
    """Too few runs are behind it to say whether it became worse."""
    FLAKY = "flaky"
    """Both outcomes on identical inputs, and no more failures than chance explains."""
    QUARANTINED = "quarantined"
    """It fails, and somebody has put it aside for a while; it ran all the same."""
    KNOWN = "known"
    """It fails as a known issue says."""
    STILL_FAILING = "still failing"
    """It failed before in the same way."""
    FIXED = "fixed"
    """It failed, and now passes."""
    ISSUE_GONE = "known issue stopped failing"
    """Nothing fails any more of what an issue is about."""
    VARIES = "varies"
    """A field was seen to differ on identical inputs for the first time."""


#: Those that always say something new against the driver: `kshs compare` ends with 1.
ALARMS = frozenset({Kind.NEW_FAILURE, Kind.EXPIRED, Kind.CHANGED})
#: Those after which less is known than before: it ends with 3 where nothing is an alarm.
UNKNOWN = frozenset({Kind.MISSING, Kind.INFRASTRUCTURE, Kind.TOO_SMALL})


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is said of a scenario (or of an issue, whose id is then `key`).

    `before` and `now` count attempts that failed; `p` is Fisher's, where more than one run is behind it.
    `alarm`: somebody has to look at it.
    """

    kind: Kind
    key: str
    words: str
    before: Counts = NO_COUNTS
    now: Counts = NO_COUNTS
    p: float | None = None
    signature: str | None = None
    changes: tuple[Change, ...] = ()
    issue: str | None = None
    alarm: bool = False


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: one run, or several on the same inputs."""

    runs: tuple[RunInfo, ...]
    conditions: Conditions

    @property
    def names(self) -> str:
        """Of its runs."""
        return ", ".join(run.name for run in self.runs)


@dataclass(frozen=True)
class Night:
    """All that is said of two sides; `same` scenarios gave nothing to be told.

    `uncompared` are those of `same` that passed on both sides, and of whose fields one side has no record.
    """

    before: Side
    now: Side
    differences: Sequence[Difference]
    findings: Sequence[Finding]
    same: int
    varied: int = 0
    uncompared: int = 0
    notes: Sequence[str] = ()
    counts: Mapping[Kind, int] = field(default_factory=dict)

    @property
    def alike(self) -> bool:
        """Whether like was compared with like."""
        return not any(difference.matters for difference in self.differences)

    @property
    def alarms(self) -> int:
        """Findings that somebody has to look at."""
        return sum(finding.alarm for finding in self.findings)

    def way(self, finding: Finding) -> Hashable | None:
        """What a finding has in common with others that are one thing to look at; None where it is one alone.

        What still fails, or fails since guest or kernel changed, is one thing for each way in which it fails;
        what came otherwise since then, for each change.
        """
        if finding.kind in (Kind.ELSEWHERE, Kind.STILL_FAILING):
            return finding.kind, finding.signature or finding.words
        if finding.kind is Kind.CHANGED and not self.alike:
            return finding.kind, frozenset((one.field, one.before, one.now) for one in finding.changes)
        return None

    @property
    def unknowns(self) -> int:
        """Scenarios of which less is known than before."""
        return sum(finding.kind in UNKNOWN for finding in self.findings) + self.uncompared
