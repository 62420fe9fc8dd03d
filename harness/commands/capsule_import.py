# SPDX-License-Identifier: Apache-2.0
"""``kshs capsule import``: what is in a capsule, ready for ``kshs run``; a trace becomes a scenario."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness import config as settings
from harness.commands.inputs import check_file, make_directory, unwritten
from harness.commands.options import ConfigOption, TargetOption, console
from harness.config import Config
from harness.errors import UsageError
from harness.guest_text import one_line
from harness.progress import Progress

if TYPE_CHECKING:
    from harness.capsule.opened import Capsule

CapsuleArgument = Annotated[Path, typer.Argument(metavar="CAPSULE", help="The file.")]
_ROUTES = ("irp", "call")


def import_(
    capsule: CapsuleArgument,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where to; nothing there is replaced.")],
    target: TargetOption = None,
    route: Annotated[
        str,
        typer.Option(
            "--route", metavar="ROUTE", help="Of a trace: how requests of drivers are sent, irp or call."
        ),
    ] = "irp",
    leaks: Annotated[
        bool,
        typer.Option(
            "--leaks", help="Of a trace: what it shows is done over and over, and what is kept of it counted."
        ),
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Writes scenario, target file and driver package of a capsule into a directory.

    A trace becomes a scenario first: --target says by which target file its pins and protocols are known.
    """
    from harness.capsule.manifest import Role
    from harness.capsule.opened import Capsule

    check_file(capsule, "CAPSULE")
    if route not in _ROUTES:
        raise UsageError(f"--route is irp or call, not {route!r}")
    chosen = settings.load(config)
    with Capsule(capsule) as opened:
        opened.signed(chosen.capsule.keys)
        opened.check()
        make_directory(out.absolute(), "--out")
        if opened.manifest.of(Role.TRACE) and not opened.manifest.of(Role.SCENARIO):
            played = out / f"{capsule.stem}.played.capsule"
            _play(opened, target or chosen.run.target, chosen, route, leaks, played)
            with Capsule(played) as made:
                _unpack(made, out)
            return
        if leaks:
            raise UsageError(
                "it has a scenario, and --leaks makes one of a trace", str(capsule), "leave out --leaks"
            )
        _unpack(opened, out)


def _play(opened: Capsule, target: str, chosen: Config, route: str, leaks: bool, out: Path) -> None:
    """Makes a capsule that can be played, and says what the trace has become."""
    from drivers.build import build
    from harness.capsule.traced.opening import make_playable
    from harness.guests.package import find_target
    from harness.language.model import Route

    if out.exists():
        raise UsageError("is there already, and nothing is replaced", str(out), "name another --out")
    loaded = find_target(target, chosen)
    with Progress() as progress:
        try:
            made = make_playable(
                opened,
                loaded,
                lambda: loaded.package(build(progress=progress.say)),
                out,
                Route(route),
                leaks=leaks,
            )
        except OSError as error:
            raise unwritten(out, error) from None
    say = console().print
    say(f"{len(made.imported.scenario.steps)} steps of {opened.path.name}")
    say(f"  {one_line(made.imported.reason)}")
    for remark in made.imported.remarks:
        say(f"  {one_line(remark)}")
    if not leaks and not made.imported.failed:
        say("  does it leave anything behind: import it with --leaks")


def _unpack(opened: Capsule, out: Path) -> None:
    from harness.capsule.manifest import Role
    from harness.capsule.opened import SCENARIO, TARGET

    try:
        written = opened.unpack(out)
    except OSError as error:
        raise unwritten(out, error) from None
    say = console().print
    if opened.manifest.of(Role.TRACE):
        say(str(opened.path))
    for path in written:
        say(str(path))
    lacking = [name for name in (SCENARIO, TARGET) if out / name not in written]
    if lacking:
        why = f"it has no {' and no '.join(lacking)}, so that nothing of it could be run"
        raise UsageError(why, str(opened.path), "see kshs capsule show")
    say(f"run it: kshs run --target {out / TARGET} {out / SCENARIO}")
    if opened.manifest.of(Role.TRACE):
        say(f"does it come here: kshs repro {opened.path}")
