# SPDX-License-Identifier: Apache-2.0
"""What the commands of the gate and of waivers are given: policy, package, keys, the time."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness import config as settings
from harness.commands.inputs import check_file
from harness.commands.known_option import known_files
from harness.errors import UsageError

if TYPE_CHECKING:
    from securesystemslib.signer import Signer as KeySigner

    from harness.gate.facts import Asked
    from harness.gate.keys import Trusted
    from harness.gate.policy import LoadedPolicy, May

PolicyOption = Annotated[
    Path, typer.Option("--policy", metavar="FILE", help="What has to hold (docs/gate.md).")
]
CandidateOption = Annotated[
    list[Path],
    typer.Option("--candidate", metavar="PACKAGE", help="Directory of the driver package, just one."),
]
KeyOption = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="KEY",
        help="Private key: a PEM file, or hsm:ID?label=TOKEN.",
        show_default="gate.key of kshs.toml",
    ),
]


def loaded_policy(path: Path) -> LoadedPolicy:
    """The policy.

    Raises:
        UsageError: there is none, or it is wrong.
    """
    from harness.gate.policy import load

    check_file(path, "--policy")
    return load(path)


def asked(
    policy: Path,
    candidate: list[Path],
    known_issues: Path | None,
    quarantine: Path | None,
    config: Path | None,
) -> Asked:
    """What the gate is asked.

    Raises:
        UsageError: a file is wrong, or several packages are given: an answer is for one.
    """
    from harness.gate.facts import Asked

    if len(candidate) != 1:
        raise UsageError(
            f"{len(candidate)} packages are given", "--candidate", "the gate judges one at a time"
        )
    loaded = loaded_policy(policy)
    package = candidate[0].absolute()
    waivers = loaded.path(loaded.policy.waivers.folder)
    files = [policy, *(waivers.glob("*") if waivers.is_dir() else ()), *_files(package)]
    return Asked(
        loaded,
        package,
        datetime.now(UTC),
        known_files(known_issues, quarantine),
        settings.load(config).limits.request_ms,
        touched(files),
    )


def _files(package: Path) -> list[Path]:
    return [path for path in package.rglob("*") if path.is_file()] if package.is_dir() else []


def touched(files: Iterable[Path]) -> dict[Path, datetime]:
    """When the file system has last changed files, in content or otherwise: nobody sets that back by hand."""
    found = {}
    for path in files:
        try:
            found[path] = datetime.fromtimestamp(path.stat().st_ctime, UTC).replace(tzinfo=None)
        except OSError:
            continue
    return found


def signing_key(
    said: str | None, config: Path | None, trusted: Iterable[Trusted], may: May
) -> tuple[KeySigner, Trusted] | None:
    """What signs, and whose it is; None where no key is given.

    Raises:
        UsageError: the key cannot be used, or is none whose owner may do that.
    """
    from harness.gate.keys import TokenSettings, by_keyid, signer

    table = settings.load(config).gate
    key = said or table.key
    if key is None:
        return None
    made = signer(key, TokenSettings(table.pkcs11, table.pin))
    owner = by_keyid(trusted).get(made.public_key.keyid)
    if owner is None:
        raise UsageError("it is the key of no signer of the policy", key, "[[signer]] names public keys")
    if owner.revoked is not None:
        raise UsageError(f"the key of {owner.name} counts no more since {owner.revoked}", key)
    if may not in owner.may:
        raise UsageError(f"{owner.name} may not do this: signer.may lacks {may.value}", key)
    return made, owner
