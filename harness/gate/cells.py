# SPDX-License-Identifier: Apache-2.0
"""What the policy asks for, piece by piece, and the runs that are there for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path

from harness.gate.policy import LoadedPolicy, Require
from harness.gate.suites import Suites, Wanted
from harness.language.toml_file import is_toml
from harness.nights.conditions import NOT_KNOWN, differences
from harness.store.proofs import AttemptInfo
from harness.store.queries import RunInfo
from harness.verdict import Verdict
from vm.words import counted

_SHOWN = 3


@dataclass
class Cell:
    """One requirement on one kernel build.

    `runs` are those of the candidate that are of it, `counted` those of them that count as repeats,
    `not_counted` the others with the reason.  `before` are whole runs of the released package on the same
    inputs.
    """

    require: Require
    build: str | None
    wanted: frozenset[Wanted]
    runs: list[RunInfo] = field(default_factory=list)
    counted: list[RunInfo] = field(default_factory=list)
    not_counted: list[tuple[RunInfo, str]] = field(default_factory=list)
    before: list[RunInfo] = field(default_factory=list)

    @property
    def name(self) -> str:
        """For people."""
        return self.require.name if self.build is None else f"{self.require.name} on build {self.build}"

    @property
    def missing(self) -> int:
        """Whole runs that are not there."""
        return max(0, self.require.repeats - len(self.counted))

    def compares_with(self, run: RunInfo) -> bool:
        """Whether a run of another package is on the same inputs."""
        if not self.counted or _why_not_of(self.require, self.build, run) is not None:
            return False
        return not any(d.matters for d in differences(run.conditions, self.counted[-1].conditions))

    def why_not(self, target: str, run: RunInfo) -> str | None:
        """What of a run this one does not ask for; None where it is of it."""
        if run.conditions.target != target:
            return f"it is of target {run.conditions.target}, not {target}"
        return _why_not_of(self.require, self.build, run)

    def is_whole(self, run: RunInfo, attempts: Sequence[AttemptInfo]) -> bool:
        """Whether a run of another package holds all that this one's have to hold."""
        return _not_whole(run, attempts, self.wanted, 0) is None

    def asks_for(self, key: str) -> bool:
        """Whether a scenario is of the suite; tests in Python, which no suite lists, always are."""
        file, _, name = key.rpartition("::")
        wanted = {(other, id_) for other, id_, _ in self.wanted}
        return not is_toml(Path(file)) or (Path(file).name, name) in wanted


def cells_of(
    loaded: LoadedPolicy,
    runs: Sequence[RunInfo],
    attempts: Mapping[int, Sequence[AttemptInfo]],
    suites: Suites,
    now: datetime,
) -> list[Cell]:
    """The cells of a policy, with the runs of the candidate.

    Raises:
        UsageError: a suite holds nothing, or a file of it is wrong.
    """
    policy = loaded.policy
    of_target = [run for run in runs if run.conditions.target == policy.target.name]
    made = []
    for require in policy.require:
        wanted = suites.wanted(require.suite)
        builds: list[str | None] = [*require.kernel_builds] or [None]
        for build in builds:
            cell = Cell(
                require, build, wanted, [run for run in of_target if _why_not_of(require, build, run) is None]
            )
            whole = []
            for run in cell.runs:
                why = _not_whole(run, attempts.get(run.id, ()), wanted, require.suite.passed)
                why = why or _not_fresh(run, policy.evidence.run_days, now)
                if why is None:
                    whole.append(run)
                else:
                    cell.not_counted.append((run, why))
            for run in whole:
                # What differs in kernel or ks.sys is another thing: the last run says which is meant.
                other = next(
                    (d for d in differences(run.conditions, whole[-1].conditions) if d.matters), None
                )
                if other is None:
                    cell.counted.append(run)
                else:
                    cell.not_counted.append((run, f"since then: {other}"))
            made.append(cell)
    return made


def _why_not_of(require: Require, build: str | None, run: RunInfo) -> str | None:
    """What of a run a requirement does not ask for; None where it is of it."""
    had = run.conditions
    if had.recipe != require.guest:
        return f"it is on guest {had.recipe}, not {require.guest}"
    if build is not None and had.kernel_build != build:
        return f"it is on kernel build {had.kernel_build or NOT_KNOWN}, not {build}"
    if require.verifier is not None and not fnmatchcase(had.verifier or "", require.verifier):
        return f"Driver Verifier is {had.verifier or NOT_KNOWN!r}, not {require.verifier!r}"
    if require.accelerator is not None and had.accelerator != require.accelerator:
        return f"its accelerator is {had.accelerator or NOT_KNOWN}, not {require.accelerator}"
    if require.real_ks and had.ks_ours is not False:
        return "it is with the reference ks.sys"
    return None


def _not_whole(
    run: RunInfo, attempts: Sequence[AttemptInfo], wanted: frozenset[Wanted], passed: int
) -> str | None:
    """Why a run says too little; None where it says all that is asked for."""
    if run.problem or run.note:
        return run.problem or run.note
    if run.conditions.kernel is None or run.conditions.ks_digest is None:
        return "it does not say on which kernel and ks.sys it was"
    stands = [one for one in attempts if one.stands]
    errors = [one for one in stands if one.verdict == Verdict.ERROR]
    if errors:
        return f"{counted(len(errors), 'scenario')} ended in an error of ours, {errors[0].key} for one"
    torn = next((one for one in stands if one.torn), None)
    if torn is not None:
        return f"not all steps of {torn.key} are on record"
    there = {_place(one): one.content for one in stands if one.kind == "scenario"}
    there_too = {(*_place(one), one.content) for one in stands if one.kind == "scenario"}
    lacking = sorted(want for want in wanted if want not in there_too)
    if lacking:
        file, name, _ = lacking[0]
        what = "was run with another content" if (file, name) in there else "was not run"
        more = f"; {len(lacking) - 1} more are missing or other" if len(lacking) > 1 else ""
        return f"{file}::{name} {what}{more}"
    names = {(file, name) for file, name, _ in wanted}
    good = sum(one.verdict == Verdict.PASSED and _place(one) in names for one in stands)
    if good < passed:
        return f"{good} of its scenarios passed, where {passed} have to"
    return None


def _place(one: AttemptInfo) -> tuple[str, str]:
    file, _, name = one.key.rpartition("::")
    return Path(file).name, name


def _not_fresh(run: RunInfo, days: float, now: datetime) -> str | None:
    if run.started is None:
        return "it does not say when it was made"
    if now - run.started > timedelta(days=days):
        return f"it is of {run.started:%Y-%m-%d}, older than the {days:g} days of the policy"
    return None
