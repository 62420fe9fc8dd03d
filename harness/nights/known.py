# SPDX-License-Identifier: Apache-2.0
"""Known issues and quarantines applied to what a comparison has found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from harness.nights.comparison import Loader, in_words
from harness.nights.field_words import value_words
from harness.nights.findings import Finding, Kind, Night
from harness.nights.known_file import Issue, Quarantine
from harness.nights.statistics import Counts
from harness.store.lists import Listed
from harness.store.queries import Outcome
from harness.verdict import Verdict

#: Of these the ones whose scenario fails now can be an issue's.
_FAILING = frozenset(
    {
        Kind.NEW_FAILURE,
        Kind.ELSEWHERE,
        Kind.STILL_FAILING,
        Kind.FLAKY,
        Kind.TOO_SMALL,
        Kind.NEW_SCENARIO,
    }
)

#: Of a scenario and a day: the run after that day in which it passed, with its date; None: there is none.
PassedSince = Callable[[str, date], str | None]


@dataclass(frozen=True)
class Knowledge:
    """What is known, and how to ask for more: the day of the run, its outcomes, lists, and history."""

    issues: Sequence[Issue]
    quarantines: Sequence[Quarantine]
    day: date
    outcomes: Sequence[Outcome]
    load: Loader
    passed_since: PassedSince = lambda key, day: None


def apply(night: Night, knowledge: Knowledge) -> Night:
    """The same night, with what is known told as such."""
    worker = _Applied(night, knowledge)
    found = [made for finding in night.findings for made in worker.finding(finding)]
    found += worker.gone()
    found += worker.overdue(found)
    ranks = {kind: rank for rank, kind in enumerate(Kind)}
    found.sort(key=lambda one: ranks[one.kind])
    return replace(night, findings=found, counts=Counter(one.kind for one in found))


class _Applied:
    def __init__(self, night: Night, knowledge: Knowledge) -> None:
        conditions = night.now.conditions
        self._knowledge = knowledge
        self._issues = [issue for issue in knowledge.issues if issue.applies(conditions)]
        self._quarantines = [one for one in knowledge.quarantines if one.applies(conditions)]
        self._by_key: dict[str, list[Outcome]] = {}
        for outcome in knowledge.outcomes:
            self._by_key.setdefault(outcome.key, []).append(outcome)
        self._lists = self._load_lists()
        self._failed: set[str] = set()
        """Issues of which something still fails."""
        self._mark()

    def _load_lists(self) -> Mapping[int, Listed]:
        """Lists of what an issue of a field is about, and no others."""
        wanted = {
            outcome.answers
            for key, outcomes in self._by_key.items()
            if any(issue.field is not None and issue.covers(key) for issue in self._issues)
            for outcome in outcomes
            if outcome.answers is not None
        }
        return dict(self._knowledge.load(wanted)) if wanted else {}

    def _mark(self) -> None:
        for key, outcomes in self._by_key.items():
            for issue in self._issues:
                if issue.covers(key) and any(self._is(issue, outcome) for outcome in outcomes):
                    self._failed.add(issue.id)

    def _is(self, issue: Issue, outcome: Outcome) -> bool:
        """Whether an outcome is what an issue is about."""
        if issue.field is not None:
            listed = self._lists.get(outcome.answers or -1)
            return listed is not None and issue.is_in(listed)
        failed = Verdict(outcome.verdict).is_driver_fault
        return failed and issue.is_signature(outcome.signature, outcome.words, outcome.reason)

    def finding(self, finding: Finding) -> Iterator[Finding]:
        """A finding as it is with what is known: sometimes two, where a part of its changes is known."""
        if finding.kind is Kind.CHANGED:
            yield from self._changed(finding)
        elif finding.kind in _FAILING and finding.now.failed:
            yield self._failing(finding)
        else:
            yield finding

    def _changed(self, finding: Finding) -> Iterator[Finding]:
        left = finding.changes
        for issue in self._issues:
            if issue.field is None or not issue.covers(finding.key):
                continue
            of_issue = tuple(change for change in left if issue.is_value(change.field, change.now))
            left = tuple(change for change in left if change not in of_issue)
            if of_issue:
                yield self._as_issue(replace(finding, changes=of_issue, words=in_words(of_issue)), issue)
        if left:
            yield replace(finding, changes=left, words=in_words(left))

    def _failing(self, finding: Finding) -> Finding:
        outcomes = [one for one in self._by_key.get(finding.key, []) if Verdict(one.verdict).is_driver_fault]
        covering = [issue for issue in self._issues if issue.covers(finding.key)]
        for issue in covering:
            if outcomes and all(self._is(issue, one) for one in outcomes):
                return self._as_issue(finding, issue)
        if covering and finding.kind is not Kind.STILL_FAILING:
            other = ", ".join(issue.id for issue in covering)
            finding = replace(finding, words=f"{finding.words} (not as {other} says)")
        for quarantine in self._quarantines:
            if quarantine.covers(finding.key):
                return self._as_quarantined(finding, quarantine)
        return finding

    def _as_issue(self, finding: Finding, issue: Issue) -> Finding:
        name = _name(issue)
        if self._knowledge.day > issue.expires:
            words = f"expired on {issue.expires}: {finding.words}"
            return replace(finding, kind=Kind.EXPIRED, words=words, issue=name, alarm=True)
        passed = None if issue.flaky else self._knowledge.passed_since(finding.key, issue.opened)
        if passed is not None and finding.kind is not Kind.CHANGED:
            words = f"was fixed ({passed}) and is back: {finding.words}"
            return replace(finding, kind=Kind.NEW_FAILURE, words=words, issue=name, alarm=True)
        return replace(finding, kind=Kind.KNOWN, issue=name, alarm=False)

    def _as_quarantined(self, finding: Finding, quarantine: Quarantine) -> Finding:
        name = f"{quarantine.owner}: {quarantine.reason}"
        if self._knowledge.day > quarantine.expires:
            words = f"its quarantine expired on {quarantine.expires}: {finding.words}"
            return replace(finding, kind=Kind.EXPIRED, words=words, issue=name, alarm=True)
        return replace(finding, kind=Kind.QUARANTINED, issue=name, alarm=False)

    def gone(self) -> Iterator[Finding]:
        """Issues of which nothing fails any more, although something that they are about ran."""
        for issue in self._issues:
            if issue.id in self._failed or issue.flaky:
                continue
            ran = [
                outcome
                for key, outcomes in self._by_key.items()
                if issue.covers(key)
                for outcome in outcomes
                if Counts.of(outcome.tries).n
            ]
            if ran:
                first = ran[0].key
                more = f" and {len(ran) - 1} more" if len(ran) > 1 else ""
                words = f"{first}{more} ran without it; take it out of the file ({issue.owner}, {issue.link})"
                yield Finding(Kind.ISSUE_GONE, issue.id, words)

    def overdue(self, found: Sequence[Finding]) -> Iterator[Finding]:
        """Issues of a field that are past their date, and whose value is there as it was before.

        That nothing came otherwise since then gives no finding that could be told as expired.
        """
        told = {one.issue for one in found if one.kind is Kind.EXPIRED}
        for issue in self._issues:
            name = _name(issue)
            if issue.field is None or self._knowledge.day <= issue.expires or name in told:
                continue
            keys = [
                key
                for key, outcomes in self._by_key.items()
                if issue.covers(key) and any(self._is(issue, one) for one in outcomes)
            ]
            if keys:
                more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
                value = value_words(issue.field, issue.value)
                words = f"expired on {issue.expires}: {issue.field} is {value} in {keys[0]}{more}"
                yield Finding(Kind.EXPIRED, issue.id, words, issue=name, alarm=True)


def _name(issue: Issue) -> str:
    return f"{issue.id}, {issue.owner}, {issue.link}"
