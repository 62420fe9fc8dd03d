# SPDX-License-Identifier: Apache-2.0
"""``kshs build``: what runs inside the guest, or a team's own driver (docs/your-driver.md)."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from drivers.errors import BuildError, SigningError, ToolMissing
from harness.commands.inputs import make_directory
from harness.commands.options import console
from harness.errors import HarnessError, UsageError
from harness.progress import Progress


def build(
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Where to.", show_default="the user's cache"),
    ] = None,
    driver: Annotated[
        Path | None,
        typer.Option(
            "--driver", metavar="DIR", help="Instead: a package from C sources and an INF of yours."
        ),
    ] = None,
    include: Annotated[
        list[Path] | None,
        typer.Option("--include", "-I", metavar="DIR", help="With --driver: more headers. Repeatable."),
    ] = None,
    define: Annotated[
        list[str] | None,
        typer.Option("--define", "-D", metavar="NAME[=VALUE]", help="With --driver: a macro. Repeatable."),
    ] = None,
    stand_in: Annotated[
        list[str] | None,
        typer.Option(
            "--stand-in",
            metavar="FILE",
            help="With --driver: a file of this name without function, for one that the INF copies and"
            " another project makes. Repeatable.",
        ),
    ] = None,
) -> None:
    """Builds and signs what runs in the guest, or your own driver.

    A second call does nothing.
    """
    import drivers.build

    if driver is not None:
        build_package(driver, out, include or [], define or [], stand_in or [])
        return
    if include or define or stand_in:
        raise UsageError(
            "--include, --define and --stand-in are for --driver", hint="kshs build --driver DIR --out DIR"
        )
    if out is not None:
        make_directory(out.absolute(), "--out")
    with Progress() as progress:
        built = drivers.build.build(out, progress=progress.say)
    say = console().print
    say(f"build {built.digest[:16]} in {built.directory}")
    for path in (built.agent, built.client, built.refks, *built.avshs.sys, built.avshs.inf, built.avshs.cat):
        say(f"  {path.relative_to(built.directory)}  {path.stat().st_size:,} bytes")
    say(build_plugin())


def build_plugin() -> str:
    """QEMU's plugin that counts what guests execute; what became of it, in a line.

    Only ``kshs run --coverage`` needs it, and the drivers are built without QEMU, too.
    """
    from harness import config as settings
    from vm import trials
    from vm.errors import VmError

    try:
        return f"coverage plugin: {trials.plugin(settings.load(None).vm)}"
    except (HarnessError, VmError, OSError) as error:
        return f"coverage plugin: not built, and kshs run --coverage cannot be had: {error}"


def build_package(
    folder: Path, out_directory: Path | None, includes: list[Path], defines: list[str], stand_ins: list[str]
) -> None:
    """A team's own driver, from its sources to a signed package (docs/your-driver.md)."""
    from drivers import folder as driver_folder

    if out_directory is None:
        raise UsageError("--driver wants to know where to", hint="kshs build --driver DIR --out DIR")
    if not folder.is_dir():
        raise UsageError("there is no such directory", where=str(folder), hint="see --driver")
    new = not out_directory.exists()
    make_directory(out_directory.absolute(), "--out")
    try:
        with Progress() as progress:
            made = driver_folder.package(
                folder,
                out_directory,
                includes=includes,
                defines=defines,
                stand_ins=stand_ins,
                progress=progress.say,
            )
    except BuildError as error:
        if new:
            with contextlib.suppress(OSError):
                out_directory.rmdir()
        if isinstance(error, (ToolMissing, SigningError)):
            raise
        # Sources and INF are the user's own.
        raise UsageError(error.message, where=error.where, hint=error.hint or "see --driver") from error
    say = console().print
    say(f"package {made.name} {made.digest[:16]} in {made.directory}")
    for path in (*made.sys, made.inf, made.cat, *made.certificates):
        say(f"  {path.name}  {path.stat().st_size:,} bytes")
