# SPDX-License-Identifier: Apache-2.0
"""All that the gate knows when it judges: gathered once, from the store and from files."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection

from harness.gate import keys, waivers
from harness.gate.candidate import Candidate
from harness.gate.candidate import load as load_candidate
from harness.gate.cells import Cell, cells_of
from harness.gate.evidence import Evidence, StoreSays, of_run
from harness.gate.policy import LoadedPolicy
from harness.gate.previous import Previous, previous_of
from harness.gate.suites import Suites
from harness.gate.waivers import WaiverFile
from harness.nights.known_file import KnownFile
from harness.store import queries
from harness.store.integrity import altered
from harness.store.proofs import (
    AttemptInfo,
    Proof,
    attempts,
    hardware_id,
    latest,
    package_files,
    proofs,
)
from harness.store.provenance import origin_kept, rows_digest
from harness.store.queries import RunInfo
from harness.store.selftests import SelfTestInfo, selftests


@dataclass(frozen=True)
class Facts:
    """What is known; times are UTC without saying so, as the store has them.

    `mine` are the runs of the candidate's very bytes, whatever guest they were on, `before` those of the
    released package that can be compared with, `others` are packages of the target that are neither.
    """

    loaded: LoadedPolicy
    now: datetime
    candidate: Candidate
    tested: Mapping[str, str]
    mine: Sequence[RunInfo]
    before: Sequence[RunInfo]
    others: Sequence[RunInfo]
    cells: Sequence[Cell]
    attempts: Mapping[int, Sequence[AttemptInfo]]
    proofs: Mapping[int, Proof]
    evidence: Mapping[int, Evidence]
    selftests: Sequence[SelfTestInfo]
    waivers: Sequence[WaiverFile]
    previous: Previous
    known: Sequence[KnownFile]
    latest: datetime | None
    touched: Mapping[Path, datetime] = field(default_factory=dict)
    """Of files that the verdict rests on, when the file system has last changed them."""

    @property
    def runs(self) -> dict[int, RunInfo]:
        """All runs that are looked at, by their ids."""
        return {run.id: run for run in (*self.mine, *self.before)}


@dataclass(frozen=True)
class Asked:
    """What the gate is asked, beside the policy.

    `now` is UTC; `request_ms` is limits.request_ms of the settings; `touched` may be left empty.
    """

    loaded: LoadedPolicy
    package: Path
    now: datetime
    known: Sequence[KnownFile] = ()
    request_ms: int = 10_000
    touched: Mapping[Path, datetime] = field(default_factory=dict)


def gather(connection: Connection, asked: Asked) -> Facts:
    """Looks at everything.

    Args:
        connection: of the store, that sees one state of it.
        asked: what is asked.

    Raises:
        UsageError: the package's directory is not there, or a file that the policy names is wrong.
    """
    loaded, policy = asked.loaded, asked.loaded.policy
    now = asked.now.astimezone(UTC).replace(tzinfo=None)
    device = policy.target.hardware_id or hardware_id(connection, policy.target.name)
    candidate = load_candidate(asked.package, device, policy.target.beside)
    signers = keys.of_policy(loaded)
    previous = previous_of(loaded, device, signers)
    every = queries.runs(connection)
    mine = [run for run in every if run.conditions.package == candidate.digest != ""]
    said = attempts(connection, [run.id for run in mine])
    known = proofs(connection, [run.id for run in mine])
    by_run = _by_run(said)
    cells = cells_of(loaded, mine, by_run, Suites(loaded, asked.request_ms), now)
    # A package that is held against itself has nothing new, whatever it does.
    released = previous.digest if previous.digest != candidate.digest else None
    by_run |= _before(connection, every, released, cells)
    before = list({run.id: run for cell in cells for run in cell.before}.values())
    known |= proofs(connection, [run.id for run in before])
    others = [
        run
        for run in every
        if run.conditions.target == policy.target.name
        and run.conditions.package not in (candidate.digest, previous.digest)
    ]
    return Facts(
        loaded,
        now,
        candidate,
        package_files(connection, candidate.digest),
        mine,
        before,
        others,
        cells,
        by_run,
        known,
        _evidence(connection, [*mine, *before], known, by_run),
        selftests(connection),
        waivers.load_folder(
            loaded.path(policy.waivers.folder), signers, now.replace(tzinfo=UTC), policy.waivers.days
        ),
        previous,
        asked.known,
        latest(connection),
        asked.touched,
    )


def _by_run(said: Collection[AttemptInfo]) -> dict[int, list[AttemptInfo]]:
    found: dict[int, list[AttemptInfo]] = {}
    for one in said:
        found.setdefault(one.run, []).append(one)
    return found


def _evidence(
    connection: Connection,
    runs: Sequence[RunInfo],
    known: Mapping[int, Proof],
    by_run: Mapping[int, Sequence[AttemptInfo]],
) -> dict[int, Evidence]:
    odd = altered(connection, [run.id for run in runs])
    found = {}
    for run in runs:
        rows, origin = rows_digest(connection, run.id), origin_kept(connection, run.id)
        store = StoreSays(rows, odd.get(run.id, ()), origin)
        found[run.id] = of_run(run.name, known[run.id], by_run.get(run.id, ()), store)
    return found


def _before(
    connection: Connection, every: Sequence[RunInfo], digest: str | None, cells: Sequence[Cell]
) -> dict[int, list[AttemptInfo]]:
    """Gives each cell the last whole runs of the released package, as many as it has; their attempts."""
    found: dict[int, list[AttemptInfo]] = {}
    for cell in cells:
        wanted = max(1, len(cell.counted))
        for run in reversed(every):
            if digest is None or run.conditions.package != digest or not cell.compares_with(run):
                continue
            said = found.get(run.id) or attempts(connection, [run.id])
            if cell.is_whole(run, said):
                found[run.id] = said
                cell.before.insert(0, run)
            if len(cell.before) == wanted:
                break
    return found
