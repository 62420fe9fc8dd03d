# SPDX-License-Identifier: Apache-2.0
"""What the commands of the gate and of waivers are given: policy, package, keys, the time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness import config as settings
from harness.commands.inputs import check_file
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


def loaded_policy(path: Path, *, judging: bool = True) -> LoadedPolicy:
    """The policy; `judging` as in `harness.gate.policy.load`.

    Raises:
        UsageError: there is none, or it is wrong.
    """
    from harness.gate.policy import load

    check_file(path, "--policy")
    return load(path, judging=judging)


def known_places(policy: Path, known_issues: Path | None, quarantine: Path | None) -> dict[str, Path]:
    """Files of known issues and quarantines by the names that evidence gives them.

    Those that are named; else those of the working directory, as other commands have it; else those beside
    the policy, which may be asked from anywhere.
    """
    from harness.nights.known_file import KNOWN_ISSUES, QUARANTINE

    found = {}
    for name, given in ((KNOWN_ISSUES, known_issues), (QUARANTINE, quarantine)):
        usual = (path for path in (Path(name), policy.parent / name) if path.is_file())
        path = given or next(usual, None)
        if path is not None:
            found[name] = path
    return found


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
    from harness.nights.known_file import load as load_known

    if len(candidate) != 1:
        raise UsageError(
            f"{len(candidate)} packages are given", "--candidate", "the gate judges one at a time"
        )
    loaded = loaded_policy(policy)
    package = candidate[0].absolute()
    places = known_places(policy, known_issues, quarantine)
    return Asked(
        loaded,
        package,
        datetime.now(UTC),
        [load_known(path) for path in places.values()],
        settings.load(config).limits.request_ms,
        touched([policy, *places.values(), *_files(package), *_named(loaded)]),
    )


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []


def _named(loaded: LoadedPolicy) -> Iterator[Path]:
    """Files that a policy names, and those of directories that it names."""
    policy = loaded.policy
    paths = [policy.waivers.folder, *(one.key for one in policy.signer), policy.released.statement]
    paths += [path for require in policy.require for path in require.suite.paths]
    for path in map(loaded.path, filter(None, paths)):
        yield from _files(path) if path.is_dir() else (path,)


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
