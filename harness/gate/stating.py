# SPDX-License-Identifier: Apache-2.0
"""From a yes to its statement."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC

from harness.gate.statement import (
    PREDICATE_TYPE,
    STATEMENT_TYPE,
    CandidateSaid,
    DigestSet,
    Evidence,
    PolicySaid,
    Predicate,
    RuleSaid,
    RunSaid,
    SelfTestSaid,
    Skip,
    Statement,
    Subject,
    WaiverSaid,
    shown,
    when,
)
from harness.gate.verdict import GateVerdict, RunUsed
from harness.verdict import Verdict


def statement_of(said: GateVerdict, kshs: str) -> Statement:
    """The statement of a yes.

    Args:
        said: the verdict.
        kshs: the version of this program.

    Raises:
        ValueError: it is no yes, or contradicts itself.
    """
    if not said.yes:
        raise ValueError("only a yes has a statement")
    files = sorted(said.candidate.files.items())
    return Statement(
        _type=STATEMENT_TYPE,
        predicateType=PREDICATE_TYPE,
        subject=[Subject(name=name, digest=DigestSet(sha256=digest)) for name, digest in files],
        predicate=_predicate(said, kshs),
    )


def _predicate(said: GateVerdict, kshs: str) -> Predicate:
    policy = said.policy
    return Predicate(
        schema=1,
        verdict="yes",
        created=said.at.replace(tzinfo=UTC, microsecond=0),
        kshs=kshs,
        policy=PolicySaid(name=policy.policy.name, sha256=policy.sha256),
        candidate=CandidateSaid(
            target=policy.policy.target.name,
            package=said.candidate.digest,
            version=said.version,
            catalogue=said.candidate.catalogue,
            beside=list(policy.policy.target.beside),
        ),
        released=said.released,
        rules=[
            RuleSaid(rule=one.rule, ok=one.ok, said=[shown(line) for line in one.said], runs=list(one.runs))
            for one in said.rules
        ],
        counts={Verdict(name): count for name, count in said.counts.items()},
        runs=[_run(one) for one in said.runs],
        selftests=[
            SelfTestSaid(sha256=one.digest, started=when(one.started), selected=one.selected, cases=one.cases)
            for one in said.selftests
        ],
        waivers=list(_waivers(said)),
        skipped=[Skip(scenario=name, reason=shown(reason)) for name, reason in said.not_covered.skipped],
        never_accepted=list(said.not_covered.never_accepted),
        not_counted=[shown(line) for line in said.not_covered.not_counted],
        evidence=[Evidence(name=name, sha256=digest) for name, (_, digest) in sorted(said.evidence.items())],
    )


def _run(used: RunUsed) -> RunSaid:
    run, proof, conditions = used.run, used.proof, used.run.conditions
    return RunSaid(
        name=run.name,
        role="candidate" if used.role == "candidate" else "released",
        counted=used.counted,
        started=when(run.started),
        guest=conditions.recipe,
        kernel=conditions.kernel,
        kernel_build=conditions.kernel_build,
        ks_sha256=conditions.ks_digest,
        ks_version=proof.ks_version,
        ks_ours=conditions.ks_ours,
        verifier=conditions.verifier,
        accelerator=conditions.accelerator,
        image=conditions.image,
        image_made=when(proof.image_made),
        image_expires=when(proof.image_expires),
        package=conditions.package,
        kshs=run.kshs,
        build=run.build,
        store_row=proof.digest,
        store_rows=proof.rows or "",
        results=proof.results or "",
        counts={verdict: used.counts.get(verdict.value, 0) for verdict in Verdict},
    )


def _waivers(said: GateVerdict) -> Iterator[WaiverSaid]:
    for scenario, failure, file in said.waived:
        waiver, second = file.waiver, file.second
        if waiver is not None:
            yield WaiverSaid(
                id=waiver.id,
                sha256=file.sha256,
                owner=waiver.owner,
                second=second.name if second is not None else None,
                expires=str(waiver.expires),
                scenario=scenario,
                failure=failure,
                why=waiver.why,
            )
