# SPDX-License-Identifier: Apache-2.0
"""Like with like: whether what differs between two runs can be laid to the driver alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.errors import UsageError
from harness.store.queries import Conditions, RunInfo

_SHOWN = 12


#: Of what a run has not said: it had no guest, or is of an earlier kshs.
NOT_KNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not the same; `matters` where no regression can be claimed across it."""

    what: str
    before: str
    now: str
    matters: bool

    def __str__(self) -> str:
        return f"{self.what} changed: {self.before} -> {self.now}"


def differences(before: Conditions, now: Conditions) -> list[Difference]:
    """What two runs differ in beside the scenarios, the most telling first.

    A ks.sys that is the reference class driver on both sides is under test as the target is (docs/results.md:
    a scenario fails where the driver, *or the class driver under it*, answers otherwise), so that another
    digest of it is told and does not keep runs from being compared.
    """
    under_test = bool(before.ks_ours and now.ks_ours)
    rows = (
        ("image family", before.recipe, now.recipe, True),
        ("kernel", before.kernel, now.kernel, True),
        ("ks.sys", short(before.ks_digest), short(now.ks_digest), not under_test),
        ("Driver Verifier", before.verifier, now.verifier, True),
        ("image", short(before.image), short(now.image), False),
        ("accelerator", before.accelerator, now.accelerator, False),
        ("target", before.target, now.target, True),
        ("package", _package(before), _package(now), False),
    )
    return [
        Difference(what, old or NOT_KNOWN, new or NOT_KNOWN, matters)
        for what, old, new, matters in rows
        if old != new
    ]


def common(runs: Sequence[RunInfo]) -> Conditions:
    """The conditions of several runs that stand for one side of a comparison: those of the last one.

    Raises:
        UsageError: they differ in what matters.
    """
    last = runs[-1]
    for run in runs[:-1]:
        found = next((d for d in differences(run.conditions, last.conditions) if d.matters), None)
        if found is not None:
            raise UsageError(
                f"runs {run.name} and {last.name} cannot stand together: {found}",
                hint="put runs of the same guest and target on one side",
            )
    return last.conditions


def build_key(build: str | None) -> tuple[int, ...]:
    """Orders kernel builds: 7601 before 26100.1742."""
    return tuple(int(part) for part in re.findall(r"\d+", build or ""))


def described(conditions: Conditions) -> str:
    """In one line."""
    ks = "reference ks.sys" if conditions.ks_ours else "ks.sys"
    parts: Iterable[str | None] = (
        conditions.kernel or "no guest was had",
        f"{ks} {short(conditions.ks_digest)}" if conditions.ks_digest else None,
        f"Verifier {conditions.verifier}" if conditions.verifier else None,
        f"target {conditions.target} {_package(conditions) or ''}".strip(),
    )
    return ", ".join(filter(None, parts))


def short(digest: str | None) -> str | None:
    """As much of a digest as people compare."""
    return digest[:_SHOWN] if digest else None


def _package(conditions: Conditions) -> str | None:
    package = short(conditions.package)
    if package is None:
        return None
    return f"{conditions.version} ({package})" if conditions.version else package
