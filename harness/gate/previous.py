# SPDX-License-Identifier: Apache-2.0
"""The release before this one: which package it was, and what was waived in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from harness.gate.candidate import load as load_candidate
from harness.gate.keys import Trusted
from harness.gate.policy import LoadedPolicy
from harness.gate.statement import StatementError, opened


@dataclass(frozen=True)
class Previous:
    """What is known of it; `waived` is None where nothing says what was waived in it.

    `wrong` says why nothing is known at all although the policy names it.
    """

    digest: str | None
    first: bool = False
    waived: frozenset[tuple[str, str]] | None = None
    at: datetime | None = None
    wrong: str | None = None


def previous_of(loaded: LoadedPolicy, hardware_id: str | None, signers: Sequence[Trusted]) -> Previous:
    """What the policy says of the released package."""
    released = loaded.policy.released
    if released.first:
        return Previous(None, first=True, waived=frozenset())
    if released.package is not None:
        path = loaded.path(released.package)
        found = load_candidate(path, hardware_id, ["*"])
        if found.wrong:
            return Previous(None, wrong=f"{path}: {found.wrong[0]}")
        named = Previous(found.digest)
    else:
        named = Previous(released.digest)
    if released.statement is None:
        return named
    path = loaded.path(released.statement)
    try:
        statement, _ = opened(path, signers)
    except StatementError as error:
        return Previous(None, wrong=f"{path}: {error}")
    digest = statement.predicate.candidate.package
    if named.digest not in (None, digest):
        return Previous(None, wrong=f"{path} is of package {digest[:12]}, not of {str(named.digest)[:12]}")
    waived = frozenset((one.scenario, one.failure) for one in statement.predicate.waivers)
    at = statement.predicate.created.astimezone(UTC).replace(tzinfo=None)
    return Previous(digest, waived=waived, at=at)
