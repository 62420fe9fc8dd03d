# SPDX-License-Identifier: Apache-2.0
"""What a night says, once a cause: findings of all cells that have one cause are one thing to look at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from harness import guest_text
from harness.nights.findings import UNKNOWN, Finding, Kind
from harness.site import history
from harness.site.history import changes_of, why
from harness.site.judging import Cell
from harness.site.memory import Memory
from harness.store.queries import Outcome
from harness.verdict import Verdict

#: Sections of a night's page in their order: id, heading, and what it is for.
SECTIONS = (
    ("new", "New", "Somebody has to look at these."),
    ("known", "Known", "Filed, put aside, or failing as before."),
    ("flaky", "Flaky", "Both outcomes on identical inputs, and no more failures than chance explains."),
    (
        "unknown",
        "Infrastructure and missing",
        "Less is known than before; none of it speaks against a driver.",
    ),
    ("better", "Fixed and added", "For the better, or there for the first time."),
)
_KNOWN = frozenset({Kind.KNOWN, Kind.QUARANTINED, Kind.STILL_FAILING})
_FLAKY = frozenset({Kind.FLAKY, Kind.VARIES})
_LONG = 1000


@dataclass
class Member:
    """One scenario of a cause, with the cells in which it is so."""

    key: str
    words: str
    cells: list[int]
    p: float | None = None
    since: str = ""


@dataclass
class Group:
    """One cause."""

    section: str
    kind: str
    verdict: str | None
    words: str
    issue: str | None
    changes: list[list[str]]
    members: dict[str, Member] = field(default_factory=dict)

    @property
    def since(self) -> str:
        """The night since which it is so, of that scenario which came last."""
        return max((member.since for member in self.members.values()), default="")

    @property
    def cells(self) -> list[int]:
        """In which it is, by number."""
        return sorted({number for member in self.members.values() for number in member.cells})


def section_of(finding: Finding, verdict: str | None) -> str:
    """Where a finding stands; `verdict` is that of its scenario, if it ran."""
    if finding.alarm:
        return "new"
    if finding.kind is Kind.NEW_SCENARIO and verdict == Verdict.ERROR:
        return "unknown"
    if finding.kind in _KNOWN:
        return "known"
    if finding.kind in _FLAKY:
        return "flaky"
    return "unknown" if finding.kind in UNKNOWN else "better"


def groups(cells: Sequence[Cell], memory: Memory) -> dict[str, list[Group]]:
    """By section: what came last night comes first, then by kind, those of most scenarios first.

    Args:
        cells: of the last night.
        memory: with this night as its last one.
    """
    found: dict[tuple[object, ...], Group] = {}
    for cell in cells:
        outcomes = {outcome.key: outcome for outcome in cell.outcomes}
        for finding in cell.night.findings:
            if cell.tells(finding):
                _take(found, cell, finding, outcomes.get(finding.key), memory)
    ranks = {kind.value: rank for rank, kind in enumerate(Kind)}
    tonight = memory.window[-1]
    ordered = sorted(
        found.values(), key=lambda one: (one.since < tonight, ranks[one.kind], -len(one.members))
    )
    return {name: [one for one in ordered if one.section == name] for name, *_ in SECTIONS}


def _take(
    found: dict[tuple[object, ...], Group],
    cell: Cell,
    finding: Finding,
    outcome: Outcome | None,
    memory: Memory,
) -> None:
    ran = outcome.verdict if outcome is not None else None
    section = section_of(finding, ran)
    verdict = None if finding.changes else ran
    loud = outcome is not None and outcome.verdict not in (Verdict.PASSED, Verdict.SKIPPED)
    words = guest_text.one_line(why(finding, outcome), _LONG)
    key: tuple[object, ...]
    if finding.changes:
        key = (finding.kind, section, finding.issue, _values(finding))
    elif loud and outcome is not None and outcome.signature:
        key = (finding.kind, section, finding.issue, outcome.verdict, outcome.signature)
    else:
        key = (finding.kind, section, finding.issue, words)
    group = found.get(key)
    if group is None:
        issue = guest_text.one_line(finding.issue, _LONG) if finding.issue else None
        group = Group(section, finding.kind.value, verdict, words, issue, changes_of(finding.changes))
        found[key] = group
    member = group.members.get(finding.key)
    if member is None:
        # What all of one cause have in common stands above them.
        said = guest_text.one_line(finding.words, _LONG).removesuffix(group.words).rstrip(": ")
        member = group.members[finding.key] = Member(finding.key, said, [], finding.p)
        member.since = history.since(memory, finding.key, history.event_of(finding, outcome))
    if cell.number not in member.cells:
        member.cells.append(cell.number)


def _values(finding: Finding) -> frozenset[tuple[object, ...]]:
    return frozenset((change.field, change.before, change.now) for change in finding.changes)


def count(groups_of: Iterable[Group]) -> int:
    """Findings in groups: each scenario in each cell."""
    return sum(len(member.cells) for group in groups_of for member in group.members.values())
