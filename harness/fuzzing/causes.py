# SPDX-License-Identifier: Apache-2.0
"""By what a trip failed: every cause in it, each with the sequence that brought it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from harness.capsule.seen import Seen
from harness.evidence.signature import signature_of
from harness.fuzzing.trips import Landed
from harness.results.cause import Cause, cause_of
from harness.results.record import scenario_records
from harness.verdict import Verdict


def causes(landed: Landed) -> Iterator[tuple[Cause, int | None]]:
    """Each cause of a trip that failed, with the number of its sequence, None where it is nobody's alone."""
    scenario, *steps = scenario_records(landed.result, order=0, worker="-")
    owners = {
        step["index"]: landed.owner(result) for step, result in zip(steps, landed.result.steps, strict=True)
    }
    known: set[tuple[str, ...]] = set()
    if landed.result.verdict in (Verdict.CRASHED, Verdict.HUNG):
        whole = cause_of(scenario, steps)
        guilty = next((step for step in steps if step["verdict"] == landed.result.verdict), None)
        if whole is not None:
            known.add(whole.key)
            yield whole, owners.get(guilty["index"]) if guilty is not None else None
    for step in steps:
        if step["verdict"] != Verdict.FAILED:
            continue
        cause = cause_of({**scenario, "verdict": Verdict.FAILED.value}, [step])
        if cause is not None and cause.key not in known:
            known.add(cause.key)
            yield cause, owners.get(step["index"])


def signature(seen: Seen) -> str:
    """What names a find: the crash's own signature, else a digest of its cause."""
    record: Mapping[str, Any] = seen.scenario
    kept = record.get("signature")
    crash = signature_of(kept if isinstance(kept, Mapping) else None, record.get("crash"))
    if crash is not None:
        return crash.digest
    cause = seen.cause
    text = "|".join(cause.key) if cause is not None else str(record.get("reason"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
