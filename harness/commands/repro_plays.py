# SPDX-License-Identifier: Apache-2.0
"""The plays of ``kshs repro``: on plain guests, of which the last may be kept, or on recorded ones."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness.capsule.playing import NotPlayableError, Player, Say
from harness.commands.inputs import make_directory
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.capsule.seen import Seen
    from harness.commands.replay_inputs import Unpacked
    from vm.keeper import KeptGuest

RECORDINGS = Path("out/recordings")


@dataclass
class Played:
    """What came of each play, and what is left: a guest that was kept, a recording's folder."""

    seen: list[Seen] = field(default_factory=list)
    kept: KeptGuest | None = None
    recording: Path | None = None


def plain(unpacked: Unpacked, runs: int, say: Say, *, keep: bool) -> Played:
    """Each on a fresh lease.

    Raises:
        UsageError: the guest cannot show it.
        HarnessError, VmError: our own infrastructure failed.
    """
    played = Played()
    with unpacked.player(say) as player:
        for number in range(runs):
            say(f"run {number + 1} of {runs}")
            try:
                played.seen.append(player.play(unpacked.scenario, fresh=True))
            except NotPlayableError as why:
                raise _unplayable(unpacked, why) from None
        if keep:
            player.leave()
            played.kept = unpacked.keep()
    return played


def recorded(unpacked: Unpacked, runs: int, out: Path | None, say: Say, *, until_failure: bool) -> Played:
    """On recorded leases; see `harness.replay.taking`.

    Args:
        unpacked: what is played.
        runs: at most.
        out: the folder for the recording of the first failure; one that is there is never replaced.
        say: is told about progress.
        until_failure: the first failure ends it.

    Raises:
        UsageError: the guest cannot be recorded, or cannot show it; the folder is there already.
        HarnessError, VmError: our own infrastructure failed.
    """
    from harness.replay.taking import Taking

    folder = (out or _free(RECORDINGS / unpacked.scenario.id)).absolute()
    if folder.exists():
        raise UsageError("is there already, and nothing is replaced", str(folder), "name another --recording")
    make_directory(folder.parent, "--recording")
    takes = Path(tempfile.mkdtemp(prefix=".takes-", dir=folder.parent))
    try:
        provider = unpacked.recording_provider(takes)
        with Player(provider, say) as player:
            taken = Taking(provider, player, folder, say).play(
                unpacked.scenario, runs, until_failure=until_failure
            )
    except NotPlayableError as why:
        raise _unplayable(unpacked, why) from None
    finally:
        shutil.rmtree(takes, ignore_errors=True)
    return Played(taken.seen, None, taken.folder)


def _free(wanted: Path) -> Path:
    """A folder of this name, or with a number behind it, that is not there yet."""
    found, number = wanted, 2
    while found.exists():
        found, number = wanted.with_name(f"{wanted.name}-{number}"), number + 1
    return found


def _unplayable(unpacked: Unpacked, why: NotPlayableError) -> UsageError:
    return UsageError(
        f"guest {unpacked.guest} cannot show it: {why}", str(unpacked.capsule), "choose another --guest"
    )
