# SPDX-License-Identifier: Apache-2.0
"""``kshs provision``: a Windows guest from an evaluation medium (docs/windows.md)."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from harness import config as settings
from harness.commands.inputs import check_file, make_directory
from harness.errors import HarnessError, UsageError
from harness.progress import Progress
from vm.windows.plan import Plan
from vm.windows.plan import Request as PlanRequest
from vm.windows.profile import BUILTIN, WindowsProfile
from vm.windows.state import State


def provision(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The guest: built in, or of kshs.toml.")],
    iso: Annotated[Path, typer.Option("--iso", metavar="FILE", help="The evaluation medium.")],
    openssh: Annotated[
        Path | None,
        typer.Option("--openssh", metavar="FILE", help="OpenSSH for systems without (MSI, zip or CAB)."),
    ] = None,
    virtio_win: Annotated[
        Path | None, typer.Option("--virtio-win", metavar="FILE", help="virtio-win ISO, for disk_bus virtio.")
    ] = None,
    sha256: Annotated[
        str | None, typer.Option("--sha256", metavar="HEX", help="Vouches for an ISO that is not known.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan, write answer file, CD and domain XML.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last good state.")] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Replace a sealed guest of this name.")] = False,
    limit: Annotated[
        list[str] | None,
        typer.Option("--limit", metavar="STATE=MIN", help='Time limit of a state: "first boot=90".'),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Where --dry-run writes; out/NAME by default.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Settings; kshs.toml by default.")
    ] = None,
) -> None:
    """Makes a Windows guest from an evaluation medium.

    Unattended, offline, to a sealed image (docs/windows.md).
    """
    loaded = settings.load(config)
    sha256 = sha256 if sha256 is None else sha256.strip()
    profile = find_profile(name, loaded)
    limits = time_limits(limit or [])
    for file, option in ((iso, "--iso"), (openssh, "--openssh"), (virtio_win, "--virtio-win")):
        if file is not None:
            check_file(file, option)
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise UsageError(f"--sha256 {sha256!r} is no SHA-256", hint="64 hexadecimal digits; see sha256sum")
    if out is not None and not dry_run:
        raise UsageError(
            "--out is where --dry-run writes; the guest itself goes into the cache",
            hint="leave it out, or add --dry-run",
        )
    if dry_run:
        out = make_directory((out or Path("out") / name).absolute(), "--out")
    width = None if sys.stdout.isatty() else 200
    console = Console(highlight=False, markup=False, soft_wrap=True, width=width)
    with Progress() as progress:
        plan = make_plan(profile, iso, openssh, virtio_win, sha256.lower() if sha256 else None, progress)
        if out is not None:
            lines = write_plan(plan, out, loaded)
        else:
            lines = make_guest(plan, loaded, limits, progress, resume=resume, rebuild=rebuild)
    for line in lines:
        console.print(line)


def find_profile(name: str, config: settings.Config) -> WindowsProfile:
    """The guest of this name, of the settings or built in.

    Raises:
        UsageError: there is none.
    """
    profile = config.guests.get(name) or BUILTIN.get(name)
    if profile is None:
        known = ", ".join(sorted({*BUILTIN, *config.guests}))
        raise UsageError(
            f"there is no Windows guest {name!r}", hint=f"known: {known}; or add [guests.{name}] to kshs.toml"
        )
    return profile


def time_limits(given: list[str]) -> Mapping[State, float]:
    """Seconds by state from ``STATE=MINUTES``.

    Raises:
        UsageError: no such state, or no positive number.
    """
    from vm.windows.strategy import LIMITS

    limits: dict[State, float] = {}
    for text in given:
        word, _, number = text.partition("=")
        try:
            state, minutes = State(word.strip()), float(number)
        except ValueError:
            state, minutes = State.ABSENT, 0.0
        if state not in LIMITS or not 0 < minutes < math.inf:
            states = ", ".join(LIMITS)
            raise UsageError(f"--limit {text!r} is not STATE=MINUTES", hint=f"states: {states}")
        limits[state] = minutes * 60
    return limits


def make_plan(
    profile: WindowsProfile,
    iso: Path,
    openssh: Path | None,
    virtio_win: Path | None,
    sha256: str | None,
    progress: Progress,
) -> Plan:
    """Builds the agent, reads the medium, chooses the image.

    Raises:
        VmError, BuildError: see `vm.windows.plan.make` and `drivers.build.build`.
    """
    import drivers.build
    import vm.windows.plan

    built = drivers.build.build(progress=progress.say)
    request = PlanRequest(
        profile=profile,
        iso=iso,
        agent=built.agent,
        certificates=tuple(built.avshs.certificates),
        openssh=openssh,
        virtio_win=virtio_win,
        sha256=sha256,
    )
    return vm.windows.plan.make(request, progress.say)


def write_plan(plan: Plan, out: Path, config: settings.Config) -> list[str]:
    """Everything but booting."""
    import vm.accel
    import vm.windows.plan

    return list(vm.windows.plan.dry_run(plan, out, config.vm, vm.accel.probe(config.vm)))


def make_guest(
    plan: Plan,
    config: settings.Config,
    limits: Mapping[State, float],
    progress: Progress,
    *,
    resume: bool,
    rebuild: bool,
) -> list[str]:
    """Boots it, to the sealed image."""
    from harness.guests import SayProgress
    from vm.hypervisor import Hypervisor
    from vm.windows import sealed, strategy
    from vm.windows.plan import describe

    with Hypervisor(config.vm) as hypervisor:
        for line in describe(plan, hypervisor.accelerator):
            progress.say(line)
        options = strategy.Options(resume=resume, rebuild=rebuild, limits=limits)
        try:
            image = strategy.provision(hypervisor, plan, options, SayProgress(progress.say))
        except KeyboardInterrupt:
            # Said here, because typer would end with an exit code and no word.
            raise HarnessError(
                "interrupted", where=plan.profile.name, hint="repeat the command with --resume to go on"
            ) from None
    return [
        f"sealed: {image.path}",
        f"digest: {image.digest}",
        sealed.remaining(image),
        f"use it with: kshs run --guest {image.name}",
    ]
