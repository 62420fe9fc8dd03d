# SPDX-License-Identifier: Apache-2.0
"""The command ``kshs``.

Exit codes of every command: 0 done (``run``: everything that ran has passed), 1 a driver failed,
crashed or hung, 2 bad usage or configuration, 3 our own infrastructure failed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from jinja2 import TemplateError
from rich.console import Console
from rich.table import Table

from drivers.errors import BuildError, SigningError, ToolMissing
from harness import config as settings
from harness import version
from harness.commands import bench as bench_cli
from harness.commands.inputs import check_file, make_directory
from harness.commands.provision import provision
from harness.errors import HarnessError, UsageError
from harness.progress import Progress
from vm.errors import InputError, VmError

DONE, DRIVER, USAGE, INFRASTRUCTURE = 0, 1, 2, 3

app = typer.Typer(
    name="kshs",
    help="KS handshake harness: end-to-end tests of IOCTL_KS_HANDSHAKE on real kernels.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Settings; kshs.toml by default.")
]
GuestOption = Annotated[str | None, typer.Option("--guest", metavar="NAME", help="Recipe of the guest.")]
TargetOption = Annotated[
    str | None,
    typer.Option(
        "--target",
        metavar="NAME|FILE",
        help="Driver under test: a name in kshs.toml, avshs, a target file.",
    ),
]


def out() -> Console:
    """Where people read; made anew each time, since tests and pytest replace stdout."""
    width = None if sys.stdout.isatty() else 200
    return Console(highlight=False, markup=False, soft_wrap=True, width=width)


@app.command()
def run(
    context: typer.Context,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Scenario files, directories, Python tests; without any, the catalogue."),
    ] = None,
    keyword: Annotated[
        str | None,
        typer.Option("-k", metavar="EXPR", help='Only these, by id, rule, route or tag: "H4 and irp".'),
    ] = None,
    guest: GuestOption = None,
    target: TargetOption = None,
    workers: Annotated[
        int, typer.Option("-n", "--workers", min=0, max=32, metavar="N", help="Guests at the same time.")
    ] = 0,
    drivers: Annotated[
        Path | None,
        typer.Option(
            "--drivers",
            metavar="DIR",
            help="C sources to build instead of the installed ones: an altered copy of drivers/.",
        ),
    ] = None,
    out_directory: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="For junit.xml, results.jsonl and report.html."),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Runs scenarios; what stands behind -- goes to pytest."""
    from harness.commands.run import Selection
    from harness.commands.run import run as run_pytest

    selection = Selection(
        paths=tuple(paths or ()),
        keyword=keyword,
        guest=guest,
        target=target,
        workers=workers,
        drivers=drivers,
        out=out_directory,
        config=config,
        pytest_args=tuple(context.obj or ()),
    )
    try:
        code = run_pytest(selection)
    except BrokenPipeError:
        # To click it would be 1, which here speaks against the driver.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise HarnessError("whoever read the output is gone, and the run ended there") from None
    raise typer.Exit(code)


@app.command()
def build(
    out_directory: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Where to; the user's cache by default.")
    ] = None,
    driver: Annotated[
        Path | None,
        typer.Option(
            "--driver", metavar="DIR", help="Instead: a package from C sources and an INF of yours."
        ),
    ] = None,
) -> None:
    """Builds and signs everything that runs inside the guest; a second call does nothing."""
    import drivers.build

    if driver is not None:
        build_package(driver, out_directory)
        return
    if out_directory is not None:
        make_directory(out_directory.absolute(), "--out")
    with Progress() as progress:
        built = drivers.build.build(out_directory, progress=progress.say)
    console = out()
    console.print(f"build {built.digest[:16]} in {built.directory}")
    for path in (built.agent, built.client, built.refks, *built.avshs.sys, built.avshs.inf, built.avshs.cat):
        console.print(f"  {path.relative_to(built.directory)}  {path.stat().st_size:,} bytes")


def build_package(folder: Path, out_directory: Path | None) -> None:
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
            made = driver_folder.package(folder, out_directory, progress=progress.say)
    except BuildError as error:
        if new:
            with contextlib.suppress(OSError):
                out_directory.rmdir()
        if isinstance(error, (ToolMissing, SigningError)):
            raise
        # Sources and INF are the user's own.
        raise UsageError(error.message, where=error.where, hint=error.hint or "see --driver") from error
    console = out()
    console.print(f"package {made.name} {made.digest[:16]} in {made.directory}")
    for path in (*made.sys, made.inf, made.cat, *made.certificates):
        console.print(f"  {path.name}  {path.stat().st_size:,} bytes")


@app.command()
def doctor(config: ConfigOption = None) -> None:
    """Says what is missing on this machine and the command that mends it."""
    import drivers.doctor
    import vm.doctor

    found: list[vm.doctor.Check | drivers.doctor.Check]
    found = [*vm.doctor.checks(settings.load(config).vm), *drivers.doctor.checks()]
    console = out()
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in found:
        table.add_row(
            "ok" if check.ok else "BAD", check.name, check.detail, style=None if check.ok else "bold red"
        )
        if check.fix and not check.ok:
            table.add_row("", "", f"mend it with: {check.fix}")
    console.print(table)
    bad = [check.name for check in found if not check.ok]
    if bad:
        are = "is" if len(bad) == 1 else "are"
        console.print(f"{len(bad)} of {len(found)} prerequisites {are} not met: {', '.join(bad)}")
        raise typer.Exit(INFRASTRUCTURE)
    console.print(f"all {len(found)} prerequisites are met")


@app.command()
def guests(config: ConfigOption = None) -> None:
    """Lists images, Windows guests, templates and live leases."""
    from harness.commands.inventory import inventory

    console = out()
    for title, rows in inventory(settings.load(config).vm).items():
        console.print(f"{title}:" if rows else f"{title}: none")
        for row in rows:
            console.print(f"  {row}")


@app.command()
def shell(
    guest: GuestOption = None,
    target: TargetOption = None,
    bare: Annotated[
        bool, typer.Option("--bare", help="A guest without drivers, as the image was sealed.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Opens a shell in a fresh guest with everything deployed; the guest goes when the shell ends."""
    from harness.commands.shell import interact

    raise typer.Exit(interact(settings.load(config), guest, target, bare=bare))


@app.command()
def clean(
    everything: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Templates, builds and the embedded image, too, which the next run makes anew;"
            " Windows guests stay.",
        ),
    ] = False,
    guest: Annotated[
        str | None,
        typer.Option(
            "--guest", metavar="NAME", help="This Windows guest, too: its sealed image, or what is half made."
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Removes what dead runs left behind."""
    import vm.reaper
    from harness.commands.inventory import remove_builds
    from vm.windows import shelf

    vm_config = settings.load(config).vm
    gone = shelf.remove(vm_config, guest) if guest is not None else []
    gone += vm.reaper.clean(vm_config) + remove_builds() if everything else vm.reaper.reap(vm_config)
    console = out()
    for line in gone:
        console.print(f"removed {line}")
    if not gone:
        console.print("nothing to remove")
    if everything:
        for item in shelf.kept(vm_config):
            console.print(f"kept Windows guest {item.name} ({item.state}): kshs clean --guest {item.name}")


@app.command()
def report(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Directory of a run, with results.jsonl.")],
) -> None:
    """Renders report.html anew from results.jsonl."""
    from harness.results import parts
    from harness.results import report as page

    source = directory / "results.jsonl"
    if not source.is_file():
        raise UsageError("there is no results.jsonl", where=str(directory), hint="give the --out of a run")
    check_file(source, "DIR")
    make_directory(directory, "DIR")
    try:
        page.write(parts.read(source), directory / "report.html")
    except HarnessError as error:
        raise UsageError(
            error.message, where=error.where or str(source), hint="give the --out of a run"
        ) from error
    except (LookupError, TypeError, ValueError, AttributeError, TemplateError) as error:
        # Records of the right kinds that lack what every run writes: somebody has edited them.
        raise UsageError(
            f"these are not the records of a run: {error}", where=str(source), hint="give the --out of a run"
        ) from error
    out().print(str(directory / "report.html"))


@app.command("version")
def show_version() -> None:
    """Prints the version."""
    from drivers import abi

    out().print(f"kshs {version()}, ABI {abi.load().version}")


app.command()(provision)


app.command()(bench_cli.bench)


def split_arguments(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Ours, and those behind ``--``, which are pytest's."""
    if "--" not in arguments:
        return arguments, []
    place = arguments.index("--")
    return arguments[:place], arguments[place + 1 :]


def main(arguments: list[str] | None = None) -> None:
    """Runs a command; every error is one clear line, and KSHS_DEBUG=1 shows where it came from."""
    ours, theirs = split_arguments(sys.argv[1:] if arguments is None else arguments)
    if arguments is None:
        signal.signal(signal.SIGTERM, _terminate)
    try:
        if theirs and ours[:1] != ["run"]:
            raise UsageError("only run takes arguments behind --", hint="kshs run [PATHS...] -- PYTEST_ARGS")
        code = app(args=ours or ["--help"], prog_name="kshs", obj=theirs, standalone_mode=False)
    except (HarnessError, VmError, BuildError) as error:
        code = _fail(
            str(error), error, USAGE if isinstance(error, (UsageError, InputError)) else INFRASTRUCTURE
        )
    except (KeyboardInterrupt, typer.Abort) as error:
        code = _fail("interrupted", error, INFRASTRUCTURE)
    except BrokenPipeError:
        # Whoever read our output is gone; nothing may be written any more, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = DONE
    except Exception as error:
        shown = getattr(error, "format_message", None)
        if shown is not None:  # what click says of wrong arguments
            code = _fail(shown(), error, USAGE)
        else:
            code = _fail(f"unexpected {type(error).__name__}: {error}", error, INFRASTRUCTURE)
    sys.exit(code or DONE)


def _terminate(_number: int, _frame: object) -> None:
    """As Ctrl-C: a CI that cancels a job must not leave guests behind.  A second one ends at once."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    raise KeyboardInterrupt


def _fail(text: str, error: BaseException, code: int) -> int:
    if os.environ.get("KSHS_DEBUG"):
        import traceback

        traceback.print_exception(error)
    for number, line in enumerate(text.splitlines() or ["failed"]):
        print(f"kshs: {line}" if number == 0 else f"      {line}", file=sys.stderr)
    if isinstance(error, Exception) and code == INFRASTRUCTURE and not os.environ.get("KSHS_DEBUG"):
        unexpected = not isinstance(error, (HarnessError, VmError, BuildError))
        if unexpected:
            print("      KSHS_DEBUG=1 shows where", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
