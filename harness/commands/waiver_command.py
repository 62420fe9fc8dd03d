# SPDX-License-Identifier: Apache-2.0
"""``kshs waiver``: signed allowances, each for one failure (docs/gate.md); `harness.gate.waivers`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.commands.exit_codes import DONE, DRIVER
from harness.commands.gate_inputs import (
    CandidateOption,
    KeyOption,
    PolicyOption,
    asked,
    loaded_policy,
    signing_key,
)
from harness.commands.inputs import check_file, make_directory, unwritten
from harness.commands.known_option import KnownIssuesOption, QuarantineOption
from harness.commands.options import ConfigOption, say
from harness.commands.store_option import StoreOption, open_store
from harness.errors import UsageError
from vm.words import counted

if TYPE_CHECKING:
    from harness.gate.failures import Failure
    from harness.gate.waivers import Waiver, WaiverFile

waiver_app = typer.Typer(
    name="waiver", add_completion=False, rich_markup_mode=None, help="Lets one failure through the gate."
)

_POLICY = Path("gate.toml")
_ODD = re.compile(r"[^a-z0-9]+")


@waiver_app.command("add")
def add(
    scenario: Annotated[str, typer.Argument(metavar="SCENARIO", help="Id, or file::id.")],
    candidate: CandidateOption,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, for the statement.")],
    expires: Annotated[str, typer.Option("--expires", metavar="DATE", help="Last day, as in 2026-12-31.")],
    policy: PolicyOption = _POLICY,
    key: KeyOption = None,
    versions: Annotated[
        list[str] | None,
        typer.Option(
            "--version",
            metavar="VERSION",
            help="For this version of the driver's file, not for the package alone; repeatable.",
        ),
    ] = None,
    known_issues: KnownIssuesOption = None,
    quarantine: QuarantineOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> None:
    """Signs a waiver for what the gate says no to.

    It is bound to this failure, this driver and this guest; another answer is another failure.
    """
    from harness.gate import keys, waivers
    from harness.gate.deciding import left_open
    from harness.gate.policy import May
    from vm.files import write_whole

    if not why.strip():
        raise UsageError("is empty", "--why", "say why this may be released all the same")
    question = asked(policy, candidate, known_issues, quarantine, config)
    rule = question.loaded.policy.waivers
    if not rule.allowed:
        raise UsageError("the policy takes no waivers", f"{policy}: waivers.allowed")
    made = signing_key(key, config, keys.of_policy(question.loaded), May.WAIVE)
    if made is None:
        raise UsageError("a waiver is signed by its owner", "--key", "give a private key, or gate.key")
    day = _day(expires, rule.days, question.now)
    with open_store(store, config) as opened, opened.reading() as connection:
        _, looked = left_open(connection, question)
    open_ones = [one for one in looked.waived.open if _is(one.key, scenario)]
    folder = make_directory(question.loaded.path(rule.folder).absolute(), "waivers.folder")
    for one in _different(open_ones, scenario):
        waiver = _waiver(one, made[1].name, why, day, versions or [], question.now)
        file = folder / f"{waiver.id}{waivers.ENDING}"
        try:
            write_whole(file, waivers.write(waiver, made[0]), 0o644)
        except OSError as error:
            raise unwritten(file, error) from None
        say(f"{file}: {one}")


def _different(failures: Sequence[Failure], scenario: str) -> list[Failure]:
    """One of each failure that can be waived.

    Raises:
        UsageError: there is none.
    """
    found = {(one.key, one.identity, one.conditions.recipe): one for one in failures if one.identity}
    if found:
        return list(found.values())
    if failures:
        why = "not all of it is on record, or it was an attempt before the last"
        raise UsageError(f"{failures[0]}: it cannot be waived: {why}", scenario)
    raise UsageError(
        "the gate says no to nothing of this scenario that could be waived",
        scenario,
        "missing runs and errors are never waived; see kshs gate run",
    )


def _waiver(
    failure: Failure, owner: str, why: str, expires: date, versions: list[str], now: datetime
) -> Waiver:
    from pydantic import ValidationError

    conditions, identity = failure.conditions, failure.identity
    assert identity is not None
    if versions and conditions.version not in versions:
        version = conditions.version or "no version that is known"
        raise UsageError(f"the driver that failed is of {version}", "--version", "leave it out, or name it")
    words = _ODD.sub("-", failure.key.rpartition("::")[2].lower()).strip("-")[:40]
    # The same failure on two guests is two waivers.
    which = sha256(f"{identity} {conditions.recipe}".encode()).hexdigest()[:8]
    try:
        return _made(
            failure, f"{words or 'waiver'}-{which}-{now:%Y%m%d%H%M%S}", owner, why, expires, versions, now
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(f"{where}: {first['msg'].lower()}", "kshs waiver add") from None


def _made(
    failure: Failure,
    id_: str,
    owner: str,
    why: str,
    expires: date,
    versions: list[str],
    now: datetime,
) -> Waiver:
    from harness.gate.waivers import Waiver

    conditions, identity = failure.conditions, failure.identity
    assert identity is not None
    return Waiver(
        schema=1,
        id=id_,
        made=now.replace(microsecond=0),
        expires=expires,
        owner=owner,
        why=why,
        target=conditions.target,
        package=None if versions else conditions.package,
        versions=versions,
        guest=conditions.recipe,
        scenario=failure.key,
        what=failure.what,
        reason=failure.reason[:4000],
        signature=(failure.signature or "")[:4000] or None,
        failure=identity,
    )


def _day(said: str, most: int, now: datetime) -> date:
    try:
        day = date.fromisoformat(said)
    except ValueError:
        raise UsageError(f"{said} is no date", "--expires", "as in 2026-12-31") from None
    days = (day - now.astimezone(UTC).date()).days
    if not 0 <= days <= most:
        raise UsageError(f"{said} is {days} days from now", "--expires", f"the policy lets 0 to {most} be")
    return day


@waiver_app.command("list")
def list_waivers(policy: PolicyOption = _POLICY) -> None:
    """Says which waivers there are, and whether they count."""
    files = _load(policy)
    for file in files:
        waiver = file.waiver
        about = "" if waiver is None else f"{waiver.scenario} {waiver.what}, {waiver.owner}: {waiver.why}; "
        state = file.problem or (f"until {waiver.expires}" if waiver else "")
        second = f", second signer {file.second.name}" if file.second else ""
        say(f"{file.name}: {about}{'does not count: ' if file.problem else ''}{state}{second}")
    say(counted(len(files), "waiver"))


@waiver_app.command("check")
def check(
    candidate: CandidateOption,
    policy: PolicyOption = _POLICY,
    known_issues: KnownIssuesOption = None,
    quarantine: QuarantineOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> int:
    """Says what each waiver lets through of a package, and what is left.

    Ends with 1 where a waiver does not count or matches nothing, or where a failure has none.
    """
    from harness.gate.deciding import left_open

    question = asked(policy, candidate, known_issues, quarantine, config)
    with open_store(store, config) as opened, opened.reading() as connection:
        facts, looked = left_open(connection, question)
    for failure, file in looked.waived.covered:
        say(f"{file.name}: {failure}")
    idle = [file for file in facts.waivers if file not in looked.waived.used]
    for file in idle:
        say(f"{file.name}: {file.problem or 'matches nothing'}")
    for failure in looked.waived.open:
        say(f"no waiver: {failure}")
    say(f"{counted(len(facts.waivers), 'waiver')}, {len(idle)} of them for nothing")
    return DRIVER if idle or looked.waived.open else DONE


@waiver_app.command("sign")
def sign(
    waiver: Annotated[Path, typer.Argument(metavar="WAIVER", help="Its file.")],
    policy: PolicyOption = _POLICY,
    key: KeyOption = None,
    config: ConfigOption = None,
) -> None:
    """Signs a waiver as the second signer.

    The policy wants one where the same was waived in the last release.
    """
    from harness.gate import keys, waivers
    from harness.gate.policy import May
    from vm.files import write_whole

    check_file(waiver, "WAIVER")
    loaded = loaded_policy(policy)
    signers = keys.of_policy(loaded)
    made = signing_key(key, config, signers, May.SECOND)
    if made is None:
        raise UsageError("nobody signs without a key", "--key", "give a private key, or gate.key")
    found = waivers.load(waiver, signers, datetime.now(UTC), loaded.policy.waivers.days)
    if found.problem is not None or found.waiver is None:
        raise UsageError(f"it does not count: {found.problem}", str(waiver))
    if made[1].name == found.waiver.owner:
        raise UsageError(f"{made[1].name} owns it", str(waiver), "the second signer is somebody else")
    try:
        write_whole(waiver, waivers.sign_again(found, made[0]), 0o644)
    except OSError as error:
        raise unwritten(waiver, error) from None
    say(f"{waiver}: signed by {found.waiver.owner} and {made[1].name}")


def _load(policy: Path) -> list[WaiverFile]:
    from harness.gate import keys
    from harness.gate.waivers import load_folder

    loaded = loaded_policy(policy)
    rule = loaded.policy.waivers
    return load_folder(loaded.path(rule.folder), keys.of_policy(loaded), datetime.now(UTC), rule.days)


def _is(key: str, said: str) -> bool:
    """Whether a scenario is meant: its whole id, or file::id; patterns are not taken."""
    return said in (key, key.rpartition("::")[2])
