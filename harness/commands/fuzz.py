# SPDX-License-Identifier: Apache-2.0
"""``kshs fuzz``: sequences that nobody wrote (docs/fuzzing.md); `harness.fuzzing` does it."""

from __future__ import annotations

import errno
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness import config as settings
from harness.commands.exit_codes import DONE, DRIVER
from harness.commands.options import ConfigOption, GuestOption, TargetOption, say
from harness.errors import HarnessError, UsageError
from harness.progress import Progress
from harness.results.folder import claim, release
from vm.errors import InputError
from vm.words import counted

if TYPE_CHECKING:
    from harness.fuzzing.keeping import State
    from harness.fuzzing.setup import Asked
    from harness.guests.package import LoadedTarget
    from harness.guests.provider import VmProvider

_SECONDS = 600.0
_OUT = Path("out") / "fuzz"
#: What a disk says that takes no more.
_DISK = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ENOENT, errno.EACCES}
)


def fuzz(
    seconds: Annotated[
        float | None,
        typer.Option("--seconds", min=1, metavar="N", help="How long.", show_default="600"),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="N", help="Of what is drawn.", show_default="another each time"),
    ] = None,
    target: TargetOption = None,
    guest: GuestOption = None,
    drivers: Annotated[
        Path | None,
        typer.Option("--drivers", metavar="DIR", help="C sources to build instead of the installed ones."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against", metavar="GUEST|TARGET", help="Also finds what differs there, judged or not."
        ),
    ] = None,
    finds: Annotated[
        int | None, typer.Option("--finds", min=1, metavar="N", help="So many finds are enough.")
    ] = None,
    coverage: Annotated[
        bool,
        typer.Option("--coverage", help="Steered by the code that drivers execute, too (docs/coverage.md)."),
    ] = False,
    blind: Annotated[
        bool, typer.Option("--blind", help="Makes nothing of what was kept: all sequences are new ones.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="For corpus and finds.", show_default=str(_OUT)),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option("--resume", metavar="DIR", help="Goes on with one; --seconds is then its new total."),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Draws sequences of requests, and keeps those that fail.

    Whatever fails is played again on a fresh lease, made as small as it goes, and kept as a scenario and a
    capsule; what brought something new is kept as a corpus. `kshs run DIR` replays both.

    Ends with 1 where something was found.
    """
    if find_spec("hypothesis") is None:
        hint = "pip install 'kshs[fuzz]', or hypothesis by itself"
        raise UsageError("hypothesis is not installed, by which sequences are drawn", "kshs fuzz", hint)
    from harness.fuzzing.keeping import load_state
    from harness.fuzzing.setup import Asked

    if resume is not None and (seed is not None or out is not None):
        raise UsageError("--resume goes on with what was begun", hint="leave --seed and --out out")
    loaded = settings.load(config)
    folder = (resume or out or _OUT).absolute()
    if resume is not None and not resume.is_dir():
        raise UsageError("there is no such directory", str(resume), "give the --out of a campaign")
    claim(folder)
    try:
        before = load_state(folder)
        if resume is not None and before is None:
            raise UsageError("no campaign was begun there", str(folder), "leave --resume out, give --out")
        if resume is None and (before is not None or any(folder.iterdir())):
            hint = "give another --out"
            if before is not None:
                hint = f"go on with it by --resume {folder}, or {hint}"
            raise UsageError("the directory is not empty", str(folder), hint)
        limit = loaded.limits.request_ms or 10_000
        work = _Work(
            loaded, folder, Asked(limit, finds, steered=not blind), target, guest, drivers, against, coverage
        )
        state = work.run(before, seconds, seed)
    except OSError as error:
        if error.errno not in _DISK:
            raise
        hint = f"make room there, then go on with it by --resume {folder}"
        raise HarnessError(f"cannot be written: {error.strerror}", str(folder), hint) from None
    finally:
        release(folder)
    raise typer.Exit(_finish(folder, state))


@dataclass
class _Work:
    """One campaign with guests."""

    config: settings.Config
    folder: Path
    asked: Asked
    target: str | None
    guest: str | None
    drivers: Path | None
    against: str | None
    coverage: bool

    def run(self, before: State | None, seconds: float | None, seed: int | None) -> State:
        """To its end; what it is by then."""
        from drivers import abi
        from harness.fuzzing.counted import Counted
        from harness.fuzzing.describing import capsules
        from harness.fuzzing.keeping import Capsule
        from harness.fuzzing.setup import campaign
        from harness.fuzzing.trips import Trips
        from harness.guests.package import find_target

        target = self.target or (before.target_file if before is not None else None)
        loaded = find_target(target or self.config.run.target, self.config)
        guest = self.guest or (before.guest if before is not None else None) or self.config.run.guest
        with Progress() as progress:
            provider = self._provider(loaded, guest, counted=self.coverage)
            other = None
            try:
                provider.prepare(progress.say)
                state = before or _new(loaded, target, guest, seed)
                state.target_digest = _same(state, provider.target_digest())
                state.guest, state.target_file = guest, target  # a moved target file is where it is now
                state.against = self.against or state.against
                if state.against is not None:
                    other = self._other(state.against, loaded, guest)
                    other.prepare(progress.say)
                state.budget = seconds if seconds is not None else state.budget

                def capsule(trips: Trips) -> Capsule:
                    def info() -> Mapping[str, Any]:
                        return trips.lease.info

                    def package() -> Any:
                        return provider.build(progress.say)[1]

                    return capsules(provider, loaded, package, info, state)

                described = abi.load()
                with campaign(
                    provider,
                    described,
                    self.folder,
                    state,
                    progress.say,
                    self.asked,
                    capsule=capsule,
                    coverage=Counted(provider, described) if self.coverage else None,
                    against=other,
                ) as work:
                    work.run()
            finally:
                if other is not None:
                    other.close()
                provider.close()
        return state

    def _other(self, name: str, loaded: LoadedTarget, guest: str) -> VmProvider:
        """What is compared with: this target on a guest of that name, or that target on this guest."""
        from harness.guests.package import find_target
        from harness.guests.source import find_guest

        try:
            find_guest(self.config.vm, name)
        except (UsageError, InputError):
            try:
                other = find_target(name, self.config)
            except UsageError as error:
                if error.where != "--target":
                    raise
                hint = "give a guest of kshs guests, a target file, or a name of [targets]"
                raise UsageError(f"there is no guest and no target {name!r}", "--against", hint) from None
            return self._provider(other, guest)
        return self._provider(loaded, name)

    def _provider(self, loaded: LoadedTarget, guest: str, *, counted: bool = False) -> VmProvider:
        from harness.guests.provider import VmProvider
        from harness.guests.source import find_guest

        find_guest(self.config.vm, guest)
        return VmProvider(
            self.config.vm,
            loaded,
            guest,
            source=self.drivers or self.config.run.drivers,
            way=self.config.leases_of(guest),
            devices=self.config.devices_of(guest),
            counted=counted,
        )


def _new(loaded: LoadedTarget, target: str | None, guest: str, seed: int | None) -> State:
    from harness.fuzzing.keeping import State

    return State(
        seed=secrets.randbelow(1 << 32) if seed is None else seed,
        budget=_SECONDS,
        target=loaded.target.name,
        target_digest="",
        guest=guest,
        target_file=target,
        started=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def _same(state: State, digest: str) -> str:
    """That a campaign goes on with the driver that it was begun with.

    Raises:
        UsageError: it is another one.
    """
    if state.target_digest not in ("", digest):
        raise UsageError(
            f"the driver package is {digest[:12]} now, and was {state.target_digest[:12]}",
            "--resume",
            "begin a new campaign; kshs run replays the corpus of this one",
        )
    return digest


def _finish(folder: Path, state: State) -> int:
    from harness.fuzzing.keeping import FINDS, Keeper

    rate = state.sequences / state.seconds if state.seconds else 0.0
    say(
        f"seed {state.seed}: {counted(state.sequences, 'sequence')} in {state.seconds:.0f} s ({rate:.0f}/s),"
        f" {counted(state.requests, 'request')}, {counted(state.leases, 'lease')}"
    )
    if state.coverage_blocks is not None:
        say(f"{state.coverage_blocks} blocks of the target and ks.sys were reached")
    for name, why in state.unopened.items():
        say(f"left out, since it does not open: {name} ({why})")
    found = Keeper(folder).finds()
    for record in found:
        came = f"{record['hits']} of {record['runs']} runs"
        say(
            f"{record['signature']}  {record['verdict']}: {record['cause']} ({record['steps']} steps, {came})"
        )
    if state.unconfirmed:
        say(f"{counted(state.unconfirmed, 'failure')} did not come again: {folder / 'unconfirmed'}")
    if found:
        say(f"{counted(len(found), 'find')}: {folder / FINDS}")
    say(f"replay all of it: kshs run {folder}")
    return DRIVER if found else DONE
