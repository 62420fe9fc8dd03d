# SPDX-License-Identifier: Apache-2.0
"""Rules about what the driver did: failures, what is new, what is flaky, what is known, what is waived."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

from harness.gate.cells import Cell
from harness.gate.facts import Facts
from harness.gate.failures import CHARACTERISTIC, Failure
from harness.gate.looking import Looked
from harness.gate.rule_names import RuleName
from harness.gate.rules_of_runs import ruled
from harness.gate.verdict import RuleResult
from harness.gate.waivers import WaiverFile
from harness.nights.findings import UNKNOWN, Finding, Kind
from harness.nights.statistics import Counts, wilson
from harness.store.proofs import AttemptInfo
from harness.verdict import Verdict
from vm.words import counted

_SHOWN = 30


def failures(facts: Facts, looked: Looked) -> RuleResult:
    """Every failure of these bytes, on whatever guest, is let through by a waiver or by the policy."""
    wrong = [f"{one}{_why_open(one, facts)}" for one in looked.waived.open if one.what != CHARACTERISTIC]
    let = [f"waived by {file.name}: {one}" for one, file in looked.waived.covered]
    known = [f"let through by the policy: {one}" for one in looked.excused]
    right = _some([*let, *known])
    none = [] if facts.mine else ["there is no run: nothing is known of the driver"]
    return ruled(
        RuleName.FAILURES, [*_some(wrong), *none], right or ["nothing failed, crashed or hung"], facts.mine
    )


def _why_open(failure: Failure, facts: Facts) -> str:
    """Which waiver looks as if it were for it, and is not."""
    for file in facts.waivers:
        waiver = file.waiver
        if waiver is None or waiver.scenario != failure.key:
            continue
        if not facts.loaded.policy.waivers.allowed:
            return " (the policy takes no waivers)"
        if file.problem is not None:
            return f" (waiver {file.name}: {file.problem})"
        if failure.identity is None:
            return f" (waiver {file.name}: what is not wholly on record cannot be waived)"
        return f" (waiver {file.name} is for another failure, driver or guest)"
    return ""


def comparison(facts: Facts, looked: Looked) -> RuleResult:
    """Against the released package on the same inputs nothing is new, and nothing is not known."""
    runs = [*{run.id: run for cell in facts.cells for run in cell.counted}.values(), *facts.before]
    if facts.previous.first:
        right = "nothing was released before: there is nothing to compare with"
    else:
        right = f"as in package {str(facts.previous.digest)[:12]}"
    return ruled(RuleName.COMPARISON, _some(list(_comparison(facts, looked))), [right], runs)


def _comparison(facts: Facts, looked: Looked) -> Iterator[str]:
    yield from looked.errors
    for one in looked.waived.open:
        if one.what == CHARACTERISTIC:
            yield f"{one.key}: {one.reason} (kshs baseline accept, or a waiver)"
    if facts.previous.wrong is not None:
        yield facts.previous.wrong
    if facts.previous.first:
        if not any(cell.counted for cell in facts.cells):
            yield "there is no run that counts"
        return
    if facts.previous.digest == facts.candidate.digest:
        yield "the policy names this very package as the released one: there is nothing to compare with"
        return
    open_keys = {one.key for one in looked.waived.open}
    for number, cell in enumerate(facts.cells):
        night = looked.nights.get(number)
        if night is None and not cell.counted:
            yield f"{cell.name}: nothing to compare: no run of the candidate counts"
        elif night is None:
            name = facts.loaded.policy.released.run
            how = f"kshs run --target {name}" if name else "released.run of the policy says what runs call it"
            yield (
                f"{cell.name}: nothing to compare with: the released package was not run on the same inputs"
                f" ({how})"
            )
        if night is None:
            continue
        for finding in night.findings:
            if _speaks(finding, cell, open_keys):
                yield f"{cell.name}: {finding.kind.value}: {finding.key}: {finding.words}"
        if night.uncompared:
            yield f"{cell.name}: the fields of {counted(night.uncompared, 'scenario')} cannot be compared"


def _speaks(finding: Finding, cell: Cell, open_keys: set[str]) -> bool:
    """Whether a finding stands against a yes; what fails is there already, and let through or not."""
    if finding.kind is Kind.CHANGED:
        return False  # told above, unless somebody has accepted or waived it
    if finding.kind is Kind.MISSING and not cell.asks_for(finding.key):
        return False
    if finding.now.failed:
        return (finding.alarm or finding.kind in UNKNOWN) and finding.key in open_keys
    return finding.alarm or finding.kind in UNKNOWN


def flakes(facts: Facts) -> RuleResult:
    """At the upper end of the interval, scenarios fail no more often than the policy lets them."""
    rule = facts.loaded.policy.flakes
    wrong: list[str] = []
    right: list[str] = []
    for cell in facts.cells:
        counts = _counts(facts, cell)
        mixed = Counts(
            sum(one.failed for one in counts.values() if one.mixed), sum(c.n for c in counts.values())
        )
        high = wilson(mixed)[1]
        said = f"{cell.name}: {mixed} attempts are flakes, at most {high:.2%}"
        if high > rule.suite:
            wrong.append(f"{said}, where {rule.suite:.2%} are let through{_more(mixed, rule.suite)}")
        else:
            right.append(said)
        for key, count in counts.items():
            if rule.scenario is not None and count.n and wilson(count)[1] > rule.scenario:
                if count.failed == count.n:
                    continue  # it is broken: that is another rule's
                wrong.append(
                    f"{cell.name}: {key} failed in {count}, at most {wilson(count)[1]:.2%}, where"
                    f" {rule.scenario:.2%} are let through{_more(count, rule.scenario)}"
                )
    return ruled(RuleName.FLAKES, _some(wrong), right, [run for cell in facts.cells for run in cell.counted])


def _counts(facts: Facts, cell: Cell) -> dict[str, Counts]:
    """All attempts of a cell's runs that were on the same inputs, by scenario."""
    alike = {run.id for run in cell.counted} | {
        run.id
        for run in cell.runs
        if cell.counted and run.conditions.guest_id == cell.counted[-1].conditions.guest_id
    }
    verdicts: dict[str, list[str]] = {}
    for number in sorted(alike):
        for one in facts.attempts.get(number, ()):
            verdicts.setdefault(one.key, []).append(one.verdict)
    return {key: Counts.of(said) for key, said in verdicts.items()}


def _more(counts: Counts, ceiling: float) -> str:
    """How much is missing where nothing failed."""
    if counts.failed:
        return ""
    n = max(1, counts.n)
    while wilson(Counts(0, n))[1] > ceiling:
        n *= 2
    return f": nothing failed, but {counted(counts.n, 'attempt')} are too few to say so ({n} would do)"


def known(facts: Facts) -> RuleResult:
    """No known issue and no quarantine of this target is past its date."""
    name, today = facts.loaded.policy.target.name, facts.now.date()
    issues = [one for file in facts.known for one in file.issue if fnmatchcase(name, one.target)]
    quarantines = [one for file in facts.known for one in file.quarantine if fnmatchcase(name, one.target)]
    wrong = [
        f"known issue {one.id} ({one.owner}) expired on {one.expires}"
        for one in issues
        if one.expires < today
    ]
    wrong += [
        f"the quarantine of {one.scenario} ({one.owner}) expired on {one.expires}"
        for one in quarantines
        if one.expires < today
    ]
    right = (
        f"{counted(len(issues), 'known issue')} and {counted(len(quarantines), 'quarantine')}, all in date"
        if facts.known
        else "no file of known issues or quarantines is there, or was given"
    )
    return ruled(RuleName.KNOWN, wrong, [right])


def waivers(facts: Facts, looked: Looked) -> RuleResult:
    """What was waived in the last release, too, has a second signer."""
    right = [f"{file.name} of {_owner(file)}, until {_expires(file)}" for file in looked.waived.used]
    return ruled(RuleName.WAIVERS, _waivers(facts, looked), right or ["none is needed"])


def _waivers(facts: Facts, looked: Looked) -> Iterator[str]:
    again = facts.previous.waived
    if looked.waived.used and again is None:
        yield (
            "nothing says what was waived in the last release: name its statement (released.statement of the"
            " policy)"
        )
        return
    for file in looked.waived.used:
        if again and file.waiver is not None and file.waiver.matter in again and file.second is None:
            yield (
                f"{file.name}: the same was waived in the last release: kshs waiver sign, by a second signer"
            )


def never_accepted(looked: Looked) -> list[str]:
    """Scenarios whose values nobody has ever accepted for this kernel, ks.sys and Verifier."""
    found: dict[str, None] = {}
    for standing in looked.standings.values():
        found |= dict.fromkeys(one.key for one in standing.unknown)
        found |= dict.fromkeys(held.outcome.key for held in standing.first)
    return sorted(found)


def skipped(facts: Facts) -> list[tuple[str, str]]:
    """What was skipped in a run that counts, with the reason."""
    found: dict[tuple[str, str], None] = {}
    for cell in facts.cells:
        for run in cell.counted:
            found |= dict.fromkeys(_skipped(facts.attempts.get(run.id, ())))
    return sorted(found)


def _skipped(attempts: Iterable[AttemptInfo]) -> Iterator[tuple[str, str]]:
    for one in attempts:
        if one.stands and one.verdict == Verdict.SKIPPED:
            yield one.key, one.reason or "no reason given"


def _owner(file: WaiverFile) -> str:
    return file.waiver.owner if file.waiver is not None else "nobody"


def _expires(file: WaiverFile) -> str:
    return str(file.waiver.expires) if file.waiver is not None else "never"


def _some(lines: Sequence[str]) -> list[str]:
    if len(lines) <= _SHOWN:
        return list(lines)
    return [*lines[:_SHOWN], f"and {len(lines) - _SHOWN} more"]
