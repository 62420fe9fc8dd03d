# SPDX-License-Identifier: Apache-2.0
"""``kshs capsule``: a failure as one file (docs/field-bugs.md); `harness.capsule` does it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from harness import config as settings
from harness.commands.inputs import check_file, check_output, make_directory, unwritten
from harness.commands.options import ConfigOption, TargetOption, console
from harness.errors import UsageError
from harness.guest_text import one_line
from harness.progress import Progress

capsule_app = typer.Typer(
    name="capsule",
    add_completion=False,
    rich_markup_mode=None,
    help="Makes, shows and imports capsules: a failure as one file.",
)

CapsuleArgument = Annotated[Path, typer.Argument(metavar="CAPSULE", help="The file.")]


@capsule_app.command("make")
def make(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Directory of a run, with results.jsonl.")],
    scenario: Annotated[str, typer.Argument(metavar="SCENARIO", help="Id of one that failed in it.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="The capsule.", show_default="SCENARIO.capsule"),
    ] = None,
    target: TargetOption = None,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key", metavar="FILE", help="Signs it: ed25519 private key in PEM.", show_default="no"
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Makes a capsule of a scenario that failed: its requests, what came, the driver package."""
    from drivers.build import build
    from harness.capsule import making, seen
    from harness.guests.package import find_target

    failure = seen.of_run(run, scenario)
    options = making.options_of(failure)
    chosen = settings.load(config or options.config)
    loaded = find_target(target or options.target or chosen.run.target, chosen)
    wanted = making.scenario_of(failure, Path.cwd())
    file = out or Path(f"{scenario}.capsule")
    check_output(file, "--out")
    with Progress() as progress:
        package = loaded.package(build(source=options.drivers, progress=progress.say))
    try:
        said = making.make(failure, wanted, loaded, package, file, key)
    except OSError as error:
        raise unwritten(file, error) from None
    say = console().print
    say(f"{file}: {len(said.files)} files, {file.stat().st_size:,} bytes{', signed' if key else ''}")
    for lack in said.lacks:
        say(f"  it lacks: {lack}")
    say(f"look at what is in it before you send it: kshs capsule show {file}")


@capsule_app.command("show")
def show(
    capsule: CapsuleArgument,
    as_json: Annotated[bool, typer.Option("--json", help="The manifest, as it is.")] = False,
    config: ConfigOption = None,
) -> None:
    """Lists every item of a capsule, after its digests and its signature were checked."""
    from harness.capsule.manifest import MEANING
    from harness.capsule.opened import Capsule

    check_file(capsule, "CAPSULE")
    keys = settings.load(config).capsule.keys
    with Capsule(capsule) as opened:
        signed = opened.signed(keys)
        opened.check()
        said = opened.manifest
    say = console().print
    if as_json:
        say(json.dumps(said.model_dump(mode="json", by_alias=True), indent=1))
        return
    kernel = ", ".join(filter(None, (said.kernel.name, said.kernel.build and f"build {said.kernel.build}")))
    for name, value in (
        ("scenario", said.origin.scenario),
        ("verdict", said.verdict.value),
        ("reason", said.reason),
        ("seen", f"run {said.origin.run}, {said.origin.started}, kshs {said.origin.kshs}"),
        ("kernel", kernel or None),
        ("ks.sys", said.kernel.ks_sha256),
        ("verifier", said.kernel.verifier),
        ("target", f"{said.target.title or said.target.name} ({said.target.hardware_id})"),
        ("package", said.target.digest),
        ("signed", _signed(signed.there, signed.key)),
    ):
        say(f"{name:<9} {one_line(str(value))}" if value is not None else f"{name:<9} not known")
    say("")
    for file in said.files:
        say(f"{file.size:>12,}  {one_line(file.name):<44}  {MEANING[file.role]}")
    for lack in said.lacks:
        say(f"it lacks: {one_line(lack)}")


@capsule_app.command("import")
def import_(
    capsule: CapsuleArgument,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where to; nothing there is replaced.")],
    config: ConfigOption = None,
) -> None:
    """Writes scenario, target file and driver package of a capsule into a directory."""
    from harness.capsule.opened import SCENARIO, TARGET, Capsule

    check_file(capsule, "CAPSULE")
    keys = settings.load(config).capsule.keys
    with Capsule(capsule) as opened:
        opened.signed(keys)
        opened.check()
        make_directory(out.absolute(), "--out")
        try:
            written = opened.unpack(out)
        except OSError as error:
            raise unwritten(out, error) from None
    say = console().print
    for path in written:
        say(str(path))
    names = {path.name for path in written}
    if {SCENARIO, TARGET} <= names:
        say(f"run it: kshs run --target {out / TARGET} {out / SCENARIO}")
    else:
        raise UsageError("it has no scenario that could be run", str(capsule), "see kshs capsule show")


def _signed(there: bool, key: Path | None) -> str:
    if not there:
        return "no"
    return f"yes, by {key}" if key is not None else "yes, and no key of capsule.keys says by whom"
