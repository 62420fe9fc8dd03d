# SPDX-License-Identifier: Apache-2.0
"""A statement held against keys, a package and a bundle: offline, without the store, a year later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from harness.capsule.archive import CapsuleError
from harness.gate import bundle_check
from harness.gate.candidate import file_digest, is_beside, names_in
from harness.gate.keys import Trusted
from harness.gate.policy import LoadedPolicy, May
from harness.gate.statement import Statement, StatementError, opened
from vm.words import counted

_SKEW = timedelta(minutes=5)


@dataclass(frozen=True)
class Verified:
    """What came of it: what was checked and holds, what does not, and what nobody has looked at."""

    checked: Sequence[str]
    wrong: Sequence[str]
    not_checked: Sequence[str]
    statement: Statement | None

    @property
    def good(self) -> bool:
        """Whether everything that was looked at holds."""
        return self.statement is not None and not self.wrong


def verify(
    file: Path,
    trusted: Sequence[Trusted],
    now: datetime,
    *,
    signers: Sequence[Trusted] = (),
    package: Path | None = None,
    bundle_file: Path | None = None,
    policy: LoadedPolicy | None = None,
) -> Verified:
    """Checks a statement.

    Args:
        file: the statement.
        trusted: whose signatures of it count.
        signers: those of waivers; without any of them waivers are held by digest alone.
        now: with its time zone.
        package: a directory that must be what was released.
        bundle_file: that must hold the evidence.
        policy: that the statement is held against, where one is given.

    """
    try:
        statement, signed = opened(file, trusted)
        data = file.read_bytes()
    except (StatementError, OSError) as error:
        return Verified((), (f"{file}: {error}",), (), None)
    said = statement.predicate
    by = ", ".join(one.name for one in signed.by)
    checked = [
        f"signed by {by}",
        f"it says yes to package {said.candidate.package} of {said.candidate.target}",
        f"all {len(said.rules)} rules hold, and counts, runs, files and package agree with each other",
    ]
    wrong: list[str] = []
    if said.created > now + _SKEW:
        wrong.append(f"it was made at {said.created:%Y-%m-%d %H:%M} UTC, which is still to come")
    not_checked = []
    if policy is None:
        not_checked.append(f"the policy, {said.policy.sha256}: --policy")
    elif policy.sha256 == said.policy.sha256:
        checked.append("judged by this very policy")
    else:
        not_checked.append(f"judged by policy {said.policy.sha256}; the one here is {policy.sha256}")
    if package is None:
        not_checked.append("the files of the package: --package DIR")
    else:
        found = list(_wrong_package(package, statement))
        wrong += [f"{package}: {one}" for one in found]
        if not found:
            checked.append(f"{package} holds these {counted(len(statement.subject), 'file')}, byte for byte")
    if bundle_file is None:
        not_checked.append("the evidence: --bundle ZIP")
    else:
        found = list(_wrong_bundle(bundle_file, data, statement, signers))
        wrong += [f"{bundle_file}: {one}" for one in found]
        if not found:
            runs, files = counted(len(said.runs), "run"), counted(len(said.evidence), "piece")
            if said.waivers and not any(May.WAIVE in one.may for one in signers):
                signed_by = counted(len({one.id for one in said.waivers}), "waiver")
                not_checked.append(f"who has signed {signed_by}: --policy")
            checked.append(
                f"{bundle_file} holds all {files} of evidence; counts, guests and images of {runs} are theirs"
            )
    return Verified(checked, wrong, not_checked, statement)


def _wrong_package(directory: Path, statement: Statement) -> Iterator[str]:
    wanted = {subject.name: subject.digest.sha256 for subject in statement.subject}
    if not directory.is_dir():
        yield "there is no such directory"
        return
    try:
        there = names_in(directory)
    except OSError as error:
        yield str(error)
        return
    for name, digest in wanted.items():
        path = directory / name
        if not path.exists():
            yield f"{name} is missing"
        elif not _is(path, digest):
            yield f"{name} is not what was released"
    beside = statement.predicate.candidate.beside
    for name in there:
        if name not in wanted and not is_beside(name, beside):
            yield f"{name} was not released"


def _wrong_bundle(path: Path, data: bytes, statement: Statement, signers: Sequence[Trusted]) -> Iterator[str]:
    try:
        yield from bundle_check.wrong(path, data, statement, signers)
    except CapsuleError as error:  # what cannot be read holds nothing
        yield error.message


def _is(path: Path, digest: str) -> bool:
    """Whether it is a file, no link to one and no pipe, of these bytes."""
    try:
        return path.is_file() and not path.is_symlink() and file_digest(path) == digest
    except OSError:
        return False


def utc_now() -> datetime:
    """The present time."""
    return datetime.now(UTC)
