# SPDX-License-Identifier: Apache-2.0
"""``kshs capsule``: a failure as one file (docs/field-bugs.md); `harness.capsule` does it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness import config as settings
from harness.commands.capsule_import import CapsuleArgument, import_
from harness.commands.inputs import check_file, check_output, unwritten
from harness.commands.options import ConfigOption, TargetOption, console
from harness.errors import UsageError
from harness.guest_text import one_line
from harness.progress import Progress
from vm.words import counted

if TYPE_CHECKING:
    from harness.capsule.manifest import Manifest
    from harness.capsule.recording import Recording

capsule_app = typer.Typer(
    name="capsule",
    add_completion=False,
    rich_markup_mode=None,
    help="Makes, shows and imports capsules: a failure as one file.",
)


@capsule_app.command("make")
def make(
    run: Annotated[
        Path | None,
        typer.Argument(metavar="RUN", help="Directory of a run, with results.jsonl.", show_default=False),
    ] = None,
    scenario: Annotated[
        str | None,
        typer.Argument(metavar="SCENARIO", help="Id of one that failed in it.", show_default=False),
    ] = None,
    dump: Annotated[
        Path | None,
        typer.Option("--dump", metavar="FILE", help="Instead of a run: a memory dump of Windows."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="The capsule.", show_default="SCENARIO or FILE.capsule"),
    ] = None,
    target: TargetOption = None,
    recording: Annotated[
        Path | None,
        typer.Option(
            "--recording",
            metavar="DIR",
            help="Of the failure, to go along: what kshs repro --record left, say.",
            show_default="that of the run, if it has one",
        ),
    ] = None,
    without_recording: Annotated[
        bool, typer.Option("--without-recording", help="Leave it out: it has some hundred MB.")
    ] = False,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key", metavar="FILE", help="Signs it: ed25519 private key in PEM.", show_default="no"
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Makes a capsule of a scenario that failed: its requests, what came, the driver package."""
    if dump is not None:
        if run is not None:
            raise UsageError("a capsule is made of a run or of a dump", "--dump", "leave one of them")
        if recording is not None:
            raise UsageError("a dump has no recording", "--recording", "leave it out")
        _of_dump(dump, out or Path(f"{dump.stem}.capsule"), key)
        return
    if run is None or scenario is None:
        raise UsageError("it is made of RUN and SCENARIO, or of --dump FILE", "kshs capsule make")
    if recording is not None and without_recording:
        raise UsageError("it goes along, or it does not", "--recording", "leave out --without-recording")
    if recording is None and not without_recording:
        from harness.commands.recording_inputs import of_failure

        recording = of_failure(run, scenario)
    _of_run(run, scenario, out or Path(f"{scenario}.capsule"), target, recording, key, config)


def _of_dump(dump: Path, file: Path, key: Path | None) -> None:
    from harness.capsule import dumped
    from harness.commands.dump import known_symbols
    from harness.evidence.dump import read
    from harness.evidence.dump_crash import named

    check_file(dump, "--dump")
    check_output(file, "--out")
    found = named(read(dump), known_symbols([]))
    try:
        said = dumped.make(found, dump, file, key)
    except OSError as error:
        raise unwritten(file, error) from None
    _say_made(file, said, key)


def _of_run(
    run: Path,
    scenario: str,
    file: Path,
    target: str | None,
    recording: Path | None,
    key: Path | None,
    config: Path | None,
) -> None:
    from drivers.build import build
    from harness.capsule import making, seen
    from harness.guests.package import find_target

    failure = seen.of_run(run, scenario)
    options = making.options_of(failure)
    chosen = settings.load(config or options.config)
    loaded = find_target(target or options.target or chosen.run.target, chosen)
    wanted = making.scenario_of(failure, Path.cwd())
    check_output(file, "--out")
    with Progress() as progress:
        package = loaded.package(build(source=options.drivers, progress=progress.say))
    try:
        said = making.make(failure, wanted, loaded, package, file, key, recording)
    except OSError as error:
        raise unwritten(file, error) from None
    _say_made(file, said, key)


def _say_made(file: Path, said: Manifest, key: Path | None) -> None:
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
        said, recorded = opened.manifest, opened.recording()
    say = console().print
    if as_json:
        say(json.dumps(said.model_dump(mode="json", by_alias=True), indent=1))
        return
    kernel = ", ".join(filter(None, (said.kernel.name, said.kernel.build and f"build {said.kernel.build}")))
    for name, value in (
        ("scenario", said.origin.scenario),
        ("verdict", said.verdict.value if said.verdict is not None else None),
        ("reason", said.reason),
        ("seen", _where(said)),
        ("kernel", kernel or None),
        ("ks.sys", said.kernel.ks_sha256),
        ("verifier", said.kernel.verifier),
        ("target", _target(said)),
        ("package", said.target.digest),
        ("signed", _signed(signed.there, signed.key)),
        ("recording", _recorded(recorded) if recorded is not None else "none"),
    ):
        say(f"{name:<9} {one_line(str(value))}" if value is not None else f"{name:<9} not known")
    say("")
    for file in said.files:
        say(f"{file.size:>12,}  {one_line(file.name):<44}  {MEANING[file.role]}")
    for lack in said.lacks:
        say(f"it lacks: {one_line(lack)}")


capsule_app.command("import")(import_)


def _where(said: Manifest) -> str:
    if said.origin.run is None:
        return f"{said.origin.started}, written by {said.origin.kshs}"
    return f"run {said.origin.run}, {said.origin.started}, kshs {said.origin.kshs}"


def _recorded(said: Recording) -> str:
    plays = counted(len(said.plays), "play")
    return f"{said.verdict} in the last of {plays}, {said.instructions:,} instructions, QEMU {said.qemu}"


def _target(said: Manifest) -> str:
    name = said.target.title or said.target.name
    return name if said.target.hardware_id is None else f"{name} ({said.target.hardware_id})"


def _signed(there: bool, key: Path | None) -> str:
    if not there:
        return "no"
    return f"yes, by {key}" if key is not None else "yes, and no key of capsule.keys says by whom"
