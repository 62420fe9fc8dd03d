# SPDX-License-Identifier: Apache-2.0
"""The gate's judgement: every rule asked, every time, and what follows from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sqlalchemy import Connection

from harness.gate import rules_of_driver, rules_of_runs
from harness.gate.cells import Cell
from harness.gate.facts import Asked, Facts, gather
from harness.gate.looking import Looked, look
from harness.gate.policy import Require
from harness.gate.rules_of_runs import nearest_selftest
from harness.gate.statement import results_name
from harness.gate.verdict import GateVerdict, NotCovered, RuleResult, RunUsed
from harness.language.scenario_file import CATALOGUE
from harness.results.seal import SEAL, sha256
from harness.store.queries import RunInfo
from harness.store.selftests import SELFTEST


def decide(connection: Connection, asked: Asked, beside: Mapping[str, Path] | None = None) -> GateVerdict:
    """Yes or no.

    Args:
        connection: of the store, that sees one state of it.
        asked: what is asked.
        beside: further files that belong to the evidence, by their names: known issues, say.

    Raises:
        UsageError: the package's directory is not there, or a file that the policy names is wrong.
    """
    facts = gather(connection, asked)
    looked = look(connection, facts)
    waived = [(failure.key, failure.identity or "", file) for failure, file in looked.waived.covered]
    counted = {run.id for cell in facts.cells for run in cell.counted}
    versions = {run.conditions.version for run in facts.mine if run.conditions.version}
    return GateVerdict(
        policy=facts.loaded,
        candidate=facts.candidate,
        version=", ".join(sorted(versions)) or None,
        released=facts.previous.digest,
        at=facts.now,
        rules=rules(facts, looked),
        runs=[
            *(_used(facts, run, "candidate", run.id in counted) for run in facts.mine),
            *(_used(facts, run, "released", counted=False) for run in facts.before),
        ],
        selftests=rules_of_runs.used_selftests(facts),
        waived=waived,
        idle=list(_idle(facts, looked)),
        not_covered=NotCovered(
            rules_of_driver.skipped(facts),
            rules_of_driver.never_accepted(looked),
            list(_not_counted(facts)),
        ),
        todo=list(_todo(facts)),
        evidence=_evidence(facts, looked, beside or {}),
    )


def left_open(connection: Connection, asked: Asked) -> tuple[Facts, Looked]:
    """What is known, and which failures stand against a yes: what a waiver can be for.

    Raises:
        UsageError: see `decide`.
    """
    facts = gather(connection, asked)
    return facts, look(connection, facts)


def rules(facts: Facts, looked: Looked) -> list[RuleResult]:
    """All rules, in their order."""
    return [
        rules_of_runs.candidate(facts),
        rules_of_runs.clock(facts),
        rules_of_runs.coverage(facts),
        rules_of_runs.evidence(facts),
        rules_of_runs.selftest(facts),
        rules_of_runs.images(facts),
        rules_of_driver.failures(facts, looked),
        rules_of_driver.comparison(facts, looked),
        rules_of_driver.flakes(facts),
        rules_of_driver.known(facts),
        rules_of_driver.waivers(facts, looked),
    ]


def _used(facts: Facts, run: RunInfo, role: str, counted: bool) -> RunUsed:
    verdicts = Counter(one.verdict for one in facts.attempts.get(run.id, ()) if one.stands)
    return RunUsed(run, facts.proofs[run.id], role, counted, dict(verdicts), facts.evidence[run.id].files)


def _idle(facts: Facts, looked: Looked) -> Iterator[str]:
    """Waivers that do nothing, each with the reason."""
    for file in facts.waivers:
        if file.problem is not None:
            yield f"waiver {file.name} does not count: {file.problem}"
    for file in looked.waived.idle:
        yield f"waiver {file.name} matches nothing"
    if not facts.loaded.policy.waivers.allowed and facts.waivers:
        yield "the policy takes no waivers"


def _not_counted(facts: Facts) -> Iterator[str]:
    for cell in facts.cells:
        for run, why in cell.not_counted:
            yield f"{cell.name}: run {run.name}: {why}"
    asked = {run.id for cell in facts.cells for run in cell.runs}
    for run in facts.mine:
        if run.id not in asked:
            target = facts.loaded.policy.target.name
            whys = dict.fromkeys(cell.why_not(target, run) or "" for cell in facts.cells)
            yield f"run {run.name} on {run.conditions.recipe} is of no requirement: {'; '.join(whys)}"


# ---- what would have to be run --------------------------------------------------------------------------


def _todo(facts: Facts) -> Iterator[list[str]]:
    """Commands that make what is missing; results and self-tests then go into the store."""
    policy = facts.loaded.policy
    candidate = policy.target.run or policy.target.name
    for cell in facts.cells:
        for _ in range(cell.missing + _unsound(facts, cell)):
            yield _run(facts, cell.require, candidate)
        released = policy.released.run
        if not facts.previous.first and not cell.before and released is not None:
            yield _run(facts, cell.require, released)
    tested = any(one.rule == "selftest" and not one.ok for one in [rules_of_runs.selftest(facts)])
    if policy.selftest.required and tested:
        yield ["selftest", *(["--short"] if policy.selftest.cases == "short" else [])]


def _unsound(facts: Facts, cell: Cell) -> int:
    """Runs that have to be made anew since the self-test beside them failed."""
    if not facts.loaded.policy.selftest.required:
        return 0
    failed = [run for run in cell.counted if (one := nearest_selftest(facts, run)) is not None and one.wrong]
    return max(0, min(cell.require.repeats, len(cell.counted)) - (len(cell.counted) - len(failed)))


def _run(facts: Facts, require: Require, target: str) -> list[str]:
    suite = require.suite
    # By name, too, where the policy names none: without paths `kshs run` goes by its own settings.
    words = ["run", *(str(facts.loaded.path(path)) for path in suite.paths or [CATALOGUE])]
    for option, values in (("rule", suite.rule), ("tag", suite.tag), ("id", suite.id)):
        for value in values:
            words += [f"--{option}", str(value)]
    return [*words, "--guest", require.guest, "--target", target]


# ---- evidence -------------------------------------------------------------------------------------------


def _evidence(facts: Facts, looked: Looked, beside: Mapping[str, Path]) -> dict[str, tuple[Path, str]]:
    """Every file that an auditor needs, by the name that a bundle gives it."""
    found: dict[str, tuple[Path, str]] = {"gate.toml": (facts.loaded.file.absolute(), facts.loaded.sha256)}
    for run in (*facts.mine, *facts.before):
        said = facts.evidence[run.id]
        if said.folder is None or said.problems:
            continue
        place = results_name(run.name).rpartition("/")[0]
        for name, digest in said.files.items():
            found[f"{place}/{name}"] = (said.folder / name, digest)
        found |= _file(f"{place}/{SEAL}", said.folder / SEAL)
    for one in rules_of_runs.used_selftests(facts):
        found[f"selftests/{one.digest[:16]}/{SELFTEST}"] = (Path(one.folder) / SELFTEST, one.digest)
    for file in looked.waived.used:
        found[f"waivers/{file.file.name}"] = (file.file.absolute(), file.sha256)
    for name, path in beside.items():
        found |= _file(name, path.absolute())
    return found


def _file(name: str, path: Path) -> dict[str, tuple[Path, str]]:
    try:
        return {name: (path, sha256(path))}
    except OSError:
        return {}


def missing_evidence(evidence: Mapping[str, tuple[Path, str]]) -> Sequence[str]:
    """Files of it that are not there, or not what they were."""
    wrong = []
    for name, (path, digest) in evidence.items():
        try:
            if sha256(path) != digest:
                wrong.append(f"{name}: {path} is not what it was")
        except OSError as error:
            wrong.append(f"{name}: {path} cannot be read: {error.strerror}")
    return wrong
