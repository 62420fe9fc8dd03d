# SPDX-License-Identifier: Apache-2.0
"""Whether what a run has left is there, is what it wrote, and says what the store says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.gate import agreement
from harness.results.seal import RESULTS, SEAL, Seal, SealError, broken
from harness.results.seal import read as read_seal
from harness.store.proofs import AttemptInfo, Proof


@dataclass(frozen=True)
class StoreSays:
    """What the store says of a run beside its attempts.

    `rows` is the digest of its rows as they are now, `altered` names what is not as it was imported of what
    it shares with other runs, `origin` is where it comes from (`harness.store.provenance.origin_kept`).
    """

    rows: str
    altered: Sequence[str]
    origin: Mapping[str, Any]


@dataclass(frozen=True)
class Evidence:
    """The evidence of one run: where it lies, its files by digest, and what is wrong with it."""

    run: str
    folder: Path | None
    files: Mapping[str, str]
    problems: tuple[str, ...]


def of_run(name: str, proof: Proof, attempts: Iterable[AttemptInfo], store: StoreSays) -> Evidence:
    """Looks at what a run has left.

    Args:
        name: the run's id.
        proof: what the store knows of it.
        attempts: as the store has them.
        store: what else it says.
    """
    if proof.folder is None or proof.rows is None:
        why = "nothing says what its results were: an earlier kshs imported it (kshs store import DIR)"
        return Evidence(name, None, {}, (why,))
    folder = Path(proof.folder)
    if proof.results is None:
        why = (
            f"{folder}: it had left no {RESULTS} when it was imported (kshs run --resume, kshs store import)"
        )
        return Evidence(name, folder, {}, (why,))
    try:
        seal = read_seal(folder)
    except SealError as error:
        return Evidence(name, folder, {}, (f"{folder}: {error}: its results cannot be told from others",))
    problems = [f"{folder}: {one}" for one in _of_seal(name, folder, seal, proof)]
    if store.rows != proof.rows:
        problems.append("its rows in the store are not what was imported")
    if store.altered:
        problems.append(f"in the store these are not what was imported: {', '.join(store.altered)}")
    if not problems:
        problems += agreement.of_results(folder / RESULTS, name, attempts, store.origin)
    return Evidence(name, folder, {**seal.files}, tuple(problems))


def _of_seal(name: str, folder: Path, seal: Seal, proof: Proof) -> Iterator[str]:
    if seal.run != name:
        yield f"{SEAL} is of run {seal.run}"
    yield from broken(folder, seal)
    if seal.files[RESULTS] != proof.results:
        yield f"{RESULTS} is not what was imported"
