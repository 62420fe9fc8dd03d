# SPDX-License-Identifier: Apache-2.0
"""Rules about what the verdict rests on: the package, times, runs, evidence, self-tests, images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from harness.gate.agreement import of_selftest
from harness.gate.candidate import differing
from harness.gate.facts import Facts
from harness.gate.rule_names import RuleName
from harness.gate.verdict import RuleResult
from harness.nights.conditions import described
from harness.store.queries import RunInfo
from harness.store.selftests import ALL, SHORT, SelfTestInfo
from vm.words import counted

#: Clocks of two machines may differ by so much.
SKEW = timedelta(minutes=5)
_SHOWN = 5


def ruled(
    rule: RuleName, wrong: Iterable[str], right: Iterable[str], runs: Iterable[RunInfo] = ()
) -> RuleResult:
    """A rule that holds where nothing is wrong; then it says what is right."""
    problems = list(wrong)
    return RuleResult(rule, not problems, problems or list(right), [run.name for run in runs])


def candidate(facts: Facts) -> RuleResult:
    """The package is whole, and its bytes are those that were tested."""
    said = facts.candidate
    right = f"package {said.digest[:12]}: {counted(len(said.files), 'file')}, each as it was tested"
    return ruled(RuleName.CANDIDATE, _candidate(facts), [right], facts.mine)


def _candidate(facts: Facts) -> Iterator[str]:
    said = facts.candidate
    yield from said.wrong
    if not said.digest:
        return
    if not facts.mine:
        yield f"no run in the store tested package {said.digest[:12]}{_other_bytes(facts)}"
        return
    if not facts.tested:
        yield "no run says which files it deployed: they are of an earlier kshs, and have to be made anew"
    elif facts.tested != dict(said.files):
        yield f"the files are not those that were tested: {', '.join(differing(said.files, facts.tested))}"


def _other_bytes(facts: Facts) -> str:
    """What else of the target was tested last: a package that was built anew has the same version."""
    if not facts.others:
        return ""
    last = facts.others[-1].conditions
    version = f" of version {last.version}" if last.version else ""
    return (
        f"; what was tested last of {last.target} is package {str(last.package)[:12]}{version}:"
        " a package that is built anew is another one"
    )


def clock(facts: Facts) -> RuleResult:
    """No time on record is still to come: a clock that was set back would make what is past its date good."""
    return ruled(
        RuleName.CLOCK, _clock(facts), [f"all that is on record is before {facts.now:%Y-%m-%d %H:%M} UTC"]
    )


def _clock(facts: Facts) -> Iterator[str]:
    limit = facts.now + SKEW
    now = f"{facts.now:%Y-%m-%d %H:%M}"
    if facts.latest is not None and facts.latest > limit:
        yield f"the clock says {now} UTC, and the store has something of {facts.latest:%Y-%m-%d %H:%M}"
    for path, when in facts.touched.items():
        if when > limit:
            yield f"the clock says {now} UTC, and {path} was changed at {when:%Y-%m-%d %H:%M}"
    if facts.previous.at is not None and facts.previous.at > limit:
        yield f"the clock says {now} UTC, and the last statement is of {facts.previous.at:%Y-%m-%d %H:%M}"
    for file in facts.waivers:
        if file.waiver is not None and file.waiver.made.astimezone(UTC).replace(tzinfo=None) > limit:
            yield f"the clock says {now} UTC, and waiver {file.name} was made later"
    for run in facts.mine:
        imported = facts.proofs[run.id].imported
        if run.started is not None and run.started > imported + SKEW:
            yield f"run {run.name} was begun after it was imported: the clock of one of the two was wrong"


def coverage(facts: Facts) -> RuleResult:
    """Everything that the policy asks for was run, as often as it asks."""
    right = [
        f"{cell.name}: {counted(len(cell.counted), 'run')} on {described(cell.counted[-1].conditions)}"
        for cell in facts.cells
        if cell.counted
    ]
    runs = {run.id: run for cell in facts.cells for run in cell.counted}
    return ruled(RuleName.COVERAGE, _coverage(facts), right, runs.values())


def _coverage(facts: Facts) -> Iterator[str]:
    target = facts.loaded.policy.target.name
    asked = {run.id for cell in facts.cells for run in cell.runs}
    for cell in facts.cells:
        if cell.missing:
            yield (
                f"{cell.name}: {len(cell.counted)} of {counted(cell.require.repeats, 'whole run')} of"
                f" {cell.require.guest} are there"
            )
            for run, why in cell.not_counted[:_SHOWN]:
                yield f"{cell.name}: run {run.name} does not count: {why}"
            for run in [run for run in facts.mine if run.id not in asked][-_SHOWN:]:
                yield f"{cell.name}: run {run.name} is not of it: {cell.why_not(target, run)}"


def evidence(facts: Facts) -> RuleResult:
    """What the runs have left is there, unchanged, and says what the store says."""
    runs = [*facts.mine, *facts.before]
    wrong = (f"run {run.name}: {one}" for run in runs for one in facts.evidence[run.id].problems)
    files = sum(len(facts.evidence[run.id].files) for run in runs)
    right = [f"{counted(files, 'file')} as the runs wrote them"]
    none = [] if runs else ["there is no run, and so nothing that could be shown"]
    lost = [one for one in map(of_selftest, used_selftests(facts)) if one is not None]
    return ruled(RuleName.EVIDENCE, [*wrong, *none, *lost], right, runs)


def selftest(facts: Facts) -> RuleResult:
    """Beside as many of the runs that count as are wanted, the self-test of the same kshs has passed.

    For a run the nearest one says whether the harness could be relied on: one that passes a day later does
    not make good what failed beside it.
    """
    rule = facts.loaded.policy.selftest
    if not rule.required:
        return RuleResult(RuleName.SELFTEST, True, ["the policy asks for none"])
    runs = {run.id: run for cell in facts.cells for run in cell.counted}.values()
    wrong: list[str] = []
    for cell in facts.cells:
        bad = [why for run in cell.counted if (why := selftest_problem(facts, run)) is not None]
        if cell.counted and len(cell.counted) - len(bad) < cell.require.repeats:
            wrong += bad
    if not runs:
        wrong.append("there is no run that counts, and so none with a self-test beside it")
    right = (
        f"{counted(one.cases, 'case')} of {one.started:%Y-%m-%d %H:%M} as they must be"
        for one in used_selftests(facts)
        if one.started
    )
    return ruled(RuleName.SELFTEST, dict.fromkeys(wrong), right, runs)


def used_selftests(facts: Facts) -> list[SelfTestInfo]:
    """Those that speak for a run that counts."""
    runs = {run.id: run for cell in facts.cells for run in cell.counted}.values()
    nearest = (nearest_selftest(facts, run) for run in runs)
    found = {one.digest: one for one in nearest if one is not None and not one.wrong}
    return list(found.values())


def _beside(facts: Facts, run: RunInfo) -> list[SelfTestInfo]:
    hours = timedelta(hours=facts.loaded.policy.selftest.hours)
    return [
        one
        for one in facts.selftests
        if one.started is not None
        and run.started is not None
        and abs(one.started - run.started) <= hours
        and (one.version, one.build) == (run.kshs, run.build)
        and one.build is not None
        # It runs on the embedded guest alone: of another one it cannot have the image.
        and (run.conditions.family != "wine" or one.image == run.conditions.image)
    ]


def selftest_problem(facts: Facts, run: RunInfo) -> str | None:
    """Why the self-test beside a run does not speak for it; None where it does."""
    nearest = nearest_selftest(facts, run)
    if nearest is None:
        rule = facts.loaded.policy.selftest
        return (
            f"within {rule.hours:g} hours of run {run.name} there is no self-test ({rule.cases} cases) of the"
            " same kshs, build and image"
        )
    if nearest.wrong or not nearest.cases:
        return (
            f"the self-test beside run {run.name}, of {nearest.started:%Y-%m-%d %H:%M}, has"
            f" {counted(nearest.wrong, 'case')} that did not come out as they must: both have to be made anew"
        )
    return None


def nearest_selftest(facts: Facts, run: RunInfo) -> SelfTestInfo | None:
    """That which is nearest to a run in time; one of fewer cases than are wanted counts where it failed."""
    wanted = (ALL,) if facts.loaded.policy.selftest.cases == ALL else (ALL, SHORT)
    fit = [one for one in _beside(facts, run) if one.selected in wanted or one.wrong]
    began = run.started
    if began is None:
        return None
    return min(fit, key=lambda one: abs((one.started or began) - began), default=None)


def images(facts: Facts) -> RuleResult:
    """No image was expired or too old when it was run."""
    runs = list({run.id: run for cell in facts.cells for run in cell.counted}.values())
    wrong = dict.fromkeys(one for run in runs for one in _image(facts, run))
    right = dict.fromkeys(
        f"image {str(run.conditions.image)[:12]} of {facts.proofs[run.id].image_made:%Y-%m-%d}"
        for run in runs
        if facts.proofs[run.id].image_made is not None
    )
    none = [] if runs else ["there is no run that counts, and so no image"]
    return ruled(RuleName.IMAGES, [*wrong, *none], right, runs)


def _image(facts: Facts, run: RunInfo) -> Iterator[str]:
    proof, days = facts.proofs[run.id], facts.loaded.policy.evidence.image_days
    name = f"image {str(run.conditions.image)[:12]} of run {run.name}"
    if run.conditions.image is None or proof.image_made is None or run.started is None:
        yield f"{name}: nothing says when it was made"
        return
    made: datetime = proof.image_made
    if made > run.started + SKEW:
        yield f"{name} was made after the run: a clock was wrong"
    if run.started - made > timedelta(days=days):
        yield f"{name} was {(run.started - made).days} days old, where the policy wants at most {days:g}"
    if proof.image_expires is not None and run.started > proof.image_expires:
        yield f"{name} had expired on {proof.image_expires:%Y-%m-%d}"
