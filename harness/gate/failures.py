# SPDX-License-Identifier: Apache-2.0
"""Failures as waivers are bound to them: the same scenario, the same verdict, the same answers."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection

from harness.store.lists import Listed, load_lists
from harness.store.proofs import AttemptInfo
from harness.store.queries import Conditions, RunInfo
from harness.verdict import Verdict

#: Of what kind a thing is that may be waived.
CHARACTERISTIC = "characteristic"


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that speaks against the driver, or a characteristic that nobody has accepted.

    `identity` is the digest of what makes it this one and no other; None of what cannot be told apart well
    enough to be waived: an attempt that was not the last, or not all of whose steps are on record.
    """

    run: str
    key: str
    what: str
    reason: str
    signature: str | None
    identity: str | None
    conditions: Conditions

    def __str__(self) -> str:
        return f"{self.key} {self.what} in run {self.run}: {self.reason}"


def of_attempts(
    connection: Connection, attempts: Iterable[AttemptInfo], runs: Mapping[int, RunInfo]
) -> list[Failure]:
    """The failures among attempts, in their order."""
    bad = [one for one in attempts if Verdict(one.verdict).is_driver_fault]
    lists = load_lists(connection, {one.answers for one in bad if one.answers is not None})
    return [
        Failure(
            runs[one.run].name,
            one.key,
            one.verdict if one.stands else f"{one.verdict} in an attempt before the last",
            one.reason or one.words or "no reason given",
            one.signature,
            _identity(one, lists.get(one.answers or -1, ())),
            runs[one.run].conditions,
        )
        for one in bad
    ]


def of_characteristic(run: RunInfo, key: str, changes: Collection[Mapping[str, Any]], words: str) -> Failure:
    """A value that the released package did not have, and that nobody has accepted."""
    said = sorted((str(one["step"]), str(one["field"]), repr(one["now"])) for one in changes)
    return Failure(run.name, key, CHARACTERISTIC, words, None, _digest(CHARACTERISTIC, said), run.conditions)


def _identity(attempt: AttemptInfo, listed: Listed) -> str | None:
    if not attempt.stands or attempt.torn or attempt.signature is None:
        return None
    bad = [step for step in listed if step.verdict not in (Verdict.PASSED, Verdict.SKIPPED)]
    if attempt.verdict != Verdict.FAILED:
        # What a crash or a hang leaves behind is its signature; answers before it may come or not.
        return _digest(attempt.verdict, attempt.version, attempt.signature)
    if attempt.kind == "scenario" and not bad:
        return None
    steps = [(s.position, s.do, s.name, s.verdict, s.reason, sorted(s.fields.items())) for s in bad]
    return _digest(attempt.verdict, attempt.version, attempt.signature, attempt.reason, steps)


def _digest(*content: Any) -> str:
    return sha256(json.dumps(content, sort_keys=True, ensure_ascii=True).encode()).hexdigest()
