# SPDX-License-Identifier: Apache-2.0
"""By what a trip failed: every cause in it, each with the sequence that brought it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.capsule.seen import Seen
from harness.evidence.signature import signature_of
from harness.fuzzing.trips import Landed
from harness.results.cause import Cause, cause_of
from harness.results.record import scenario_records
from harness.verdict import Verdict

#: The field that is wrong where not all requests of one step are answered alike.
_ROW = "repeats"


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
    for cause, step in _failed(scenario, steps):
        if cause.key not in known:
            known.add(cause.key)
            yield cause, owners.get(step["index"])


def _failed(
    scenario: Mapping[str, Any], steps: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[Cause, Mapping[str, Any]]]:
    for step in steps:
        if step["verdict"] == Verdict.FAILED:
            cause = cause_of({**scenario, "verdict": Verdict.FAILED.value}, [step])
            if cause is not None:
                yield cause, step


@dataclass(frozen=True)
class Looked(Seen):
    """A scenario that was played for one cause: that is its cause wherever it stands among others."""

    wanted: tuple[str, ...] = ()

    @property
    def cause(self) -> Cause | None:
        """The one that is wanted; where it did not come, whatever it failed by."""
        first = cause_of(self.scenario, self.steps)
        every = [first, *(cause for cause, _ in _failed(self.scenario, self.steps))]
        return next((one for one in every if one is not None and one.key == self.wanted), first)

    @property
    def came(self) -> bool:
        """Whether what is wanted came."""
        return self.cause is not None and self.cause.key == self.wanted


def signature(seen: Seen) -> str:
    """What names a find: the crash's own signature, else a digest of its cause."""
    record: Mapping[str, Any] = seen.scenario
    kept = record.get("signature")
    crash = signature_of(kept if isinstance(kept, Mapping) else None, record.get("crash"))
    cause = seen.cause
    if crash is not None and (cause is None or cause.verdict == record["verdict"]):
        return crash.digest
    text = "|".join(cause.key) if cause is not None else str(record.get("reason"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def may_come_otherwise(cause: Cause) -> bool:
    """Whether it is told otherwise when it comes again: a crash may be, and a run sends each one of a row."""
    return cause.verdict != Verdict.FAILED or _ROW in cause.key
