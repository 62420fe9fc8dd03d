# SPDX-License-Identifier: Apache-2.0
"""``kshs gate``: yes or no, its statement, and an auditor's file (docs/gate.md); `harness.gate` judges."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.commands.exit_codes import DONE, DRIVER
from harness.commands.gate_inputs import (
    CandidateOption,
    KeyOption,
    PolicyOption,
    asked,
    known_places,
    loaded_policy,
    signing_key,
)
from harness.commands.inputs import check_file, check_output, make_directory, unwritten
from harness.commands.known_option import KnownIssuesOption, QuarantineOption
from harness.commands.options import ConfigOption, say
from harness.commands.store_option import StoreOption, open_store
from harness.errors import HarnessError, UsageError
from vm.words import counted

if TYPE_CHECKING:
    from securesystemslib.signer import Signer as KeySigner

    from harness.gate.verdict import GateVerdict

gate_app = typer.Typer(
    name="gate", add_completion=False, rich_markup_mode=None, help="Says whether a driver may be released."
)

VERDICT, SUMMARY = "verdict.json", "summary.md"
#: Of the commands that the gate asks for.
SELFTEST = "selftest"
_POLICY = Path("gate.toml")
_FEW = 10


@gate_app.command("run")
def run(
    candidate: CandidateOption,
    policy: PolicyOption = _POLICY,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="For the verdict.")] = Path("out/gate"),
    key: KeyOption = None,
    run_missing: Annotated[bool, typer.Option("--run", help="Runs what is missing first.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    known_issues: KnownIssuesOption = None,
    quarantine: QuarantineOption = None,
    store: StoreOption = None,
    config: ConfigOption = None,
) -> int:
    """Says yes or no to a driver package.

    Each rule of the policy with its reasons; a yes is signed where a key is given.

    Ends with 0 for yes, 1 for no: what is missing, partial, stale or unreadable is a no.
    """
    from harness.gate import keys
    from harness.gate.deciding import decide
    from harness.gate.policy import May

    make_directory(out.absolute(), "--out")
    question = asked(policy, candidate, known_issues, quarantine, config)
    made = signing_key(key, config, keys.of_policy(question.loaded), May.RELEASE)
    _forget(out)
    beside = known_places(policy, known_issues, quarantine)
    with open_store(store, config, make=run_missing) as opened:
        with opened.reading() as connection:
            said = decide(connection, question, beside)
        todo = said.todo if run_missing else []
        while todo:
            from harness.commands.gate_runs import run_all

            run_all(todo, out, opened, config, quiet=as_json)
            tested = any(words[0] == SELFTEST for words in todo)
            question = asked(policy, candidate, known_issues, quarantine, config)
            with opened.reading() as connection:
                said = decide(connection, question, beside)
            # Beside new runs an earlier self-test may be too old; nothing else is tried twice.
            todo = [] if tested else [words for words in said.todo if words[0] == SELFTEST]
    page = _leave(out, said, made[0] if made else None)
    if as_json:
        typer.echo(json.dumps(page, indent=2))
    else:
        for line in _told(page, out):
            say(line)
    return DONE if said.yes else DRIVER


def _forget(out: Path) -> None:
    """Removes what an earlier call has said: a statement of it must not stand beside another verdict."""
    from harness.gate.bundle import PAGE, SOURCES, STATEMENT

    for name in (STATEMENT, VERDICT, SUMMARY, PAGE, SOURCES):
        try:
            (out / name).unlink(missing_ok=True)
        except OSError as error:
            raise UsageError(f"cannot be removed: {error.strerror}", str(out / name), "see --out") from None


def _leave(out: Path, said: GateVerdict, signer: KeySigner | None) -> dict[str, Any]:
    """Writes the verdict, and the statement of a yes; the verdict as data."""
    from hashlib import sha256

    from harness import version
    from harness.gate import page, stating
    from harness.gate.bundle import PAGE, SOURCES, STATEMENT, sources_text
    from harness.gate.statement import signed
    from vm.files import write_whole

    statement = None
    try:
        if said.yes and signer is not None:
            file = signed(stating.statement_of(said, version()), signer)
            statement = sha256(file).hexdigest()
            write_whole(out / STATEMENT, file, 0o644)
        made = page.data(said, statement)
        write_whole(out / VERDICT, json.dumps(made, indent=1) + "\n", 0o644)
        write_whole(out / SUMMARY, page.markdown(made), 0o644)
        write_whole(out / PAGE, page.html(made), 0o644)
        write_whole(out / SOURCES, sources_text(said.evidence), 0o644)
    except OSError as error:
        raise unwritten(out, error) from None
    except ValueError as error:
        (out / STATEMENT).unlink(missing_ok=True)
        raise HarnessError(f"the statement contradicts itself, and was not signed: {error}") from None
    return made


def _told(page: Mapping[str, Any], out: Path) -> Iterator[str]:
    from harness.gate.bundle import STATEMENT

    candidate = page["candidate"]
    version = f", version {candidate['version']}" if candidate["version"] else ""
    yield f"{candidate['target']}, package {str(candidate['package'] or 'not known')[:12]}{version}"
    for rule in page["rules"]:
        first, *rest = rule["said"] or [rule["title"]]
        yield f"{'ok' if rule['ok'] else 'NO':<3} {rule['rule']:<11} {first}"
        yield from (f"{'':<15} {line}" for line in rest)
    yield from page["idle_waivers"]
    yield ", ".join(f"{count} {verdict}" for verdict, count in page["counts"].items())
    yield from _listed("not tested", [f"{one['scenario']}: {one['reason']}" for one in page["skipped"]])
    yield from _listed("never accepted (kshs baseline accept)", page["never_accepted"])
    for words in page["todo"]:
        yield f"to be run: {' '.join(words)}"
    signed = f", signed: {out / STATEMENT}" if page["statement"] else ""
    unsigned = "; not signed, for no key was given" if page["verdict"] == "yes" and not signed else ""
    yield f"{page['verdict']}{signed}{unsigned}"


def _listed(title: str, rows: list[str]) -> Iterator[str]:
    if rows:
        yield f"{title}: {len(rows)}"
        yield from (f"  {row}" for row in rows[:_FEW])
    if len(rows) > _FEW:
        yield f"  and {len(rows) - _FEW} more; {SUMMARY} and the page have them"


@gate_app.command("verify")
def verify(
    statement: Annotated[Path, typer.Argument(metavar="STATEMENT", help="The signed file.")],
    package: Annotated[
        Path | None, typer.Option("--package", metavar="DIR", help="Must be what was released.")
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option("--bundle", metavar="ZIP", help="Must hold the evidence.")
    ] = None,
    key: Annotated[
        list[Path] | None,
        typer.Option("--key", metavar="FILE", help="Public key (PEM) that is trusted; repeatable."),
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(
            "--policy",
            metavar="FILE",
            help="Its signers are trusted.",
            show_default="gate.toml, where there is one and no --key",
        ),
    ] = None,
) -> int:
    """Checks a statement, offline.

    Who signed it, what it says, and what belongs to it.

    Ends with 0 where all that was looked at holds, with 1 where something does not.
    """
    from harness.gate import keys
    from harness.gate.verifying import utc_now
    from harness.gate.verifying import verify as verify_statement

    check_file(statement, "STATEMENT")
    if bundle is not None:
        check_file(bundle, "--bundle")
    if package is not None and not package.is_dir():
        raise UsageError("there is no such directory", str(package), "check --package")
    usual = _POLICY if not key and _POLICY.is_file() else None
    path = policy or usual
    loaded = loaded_policy(path, judging=False) if path is not None else None
    signers = keys.of_policy(loaded) if loaded is not None else []
    # What the policy says of a key, that it was revoked say, holds for one that is given by hand, too.
    known = keys.by_keyid(signers)
    trusted = [known.get(one.keyid, one) for one in keys.of_files(key)] if key else signers
    if not trusted:
        raise UsageError("no key is trusted", "--key", "give the public key of who signs, or --policy")
    found = verify_statement(
        statement, trusted, utc_now(), signers=signers, package=package, bundle_file=bundle, policy=loaded
    )
    for line in found.checked:
        say(f"ok  {line}")
    for line in found.wrong:
        say(f"NO  {line}")
    for line in found.not_checked:
        say(f"    not checked: {line}")
    say("verified" if found.good else "not verified")
    return DONE if found.good else DRIVER


@gate_app.command("bundle")
def make_bundle(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The --out of kshs gate run.")],
    out: Annotated[Path, typer.Option("--out", metavar="ZIP", help="The file that is written.")],
) -> None:
    """Collects all that an auditor needs in one file."""
    from harness.gate import bundle
    from harness.gate.statement import StatementError, unsigned

    path = folder / bundle.STATEMENT
    if not path.is_file():
        raise UsageError("there is no signed yes", str(path), "kshs gate run --key KEY --out DIR")
    check_output(out, "--out")
    try:
        number = bundle.make(folder, out, unsigned(path))
    except StatementError as error:
        raise UsageError(str(error), str(path)) from None
    except OSError as error:
        raise unwritten(out, error) from None
    say(f"{out}: {counted(number, 'file')}, {out.stat().st_size:,} bytes")
