# SPDX-License-Identifier: Apache-2.0
"""Plays a scenario on recorded leases until it fails, and keeps the recording of the failure.

What comes once in a thousand runs needs many of them.  Several are played on one lease, since a lease takes
longer than a play; a recording is bounded all the same, because it is replayed as a whole.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harness import version
from harness.capsule import recording
from harness.capsule.recording import DRIVERS, Module, Recording
from harness.capsule.seen import Seen
from harness.errors import HarnessError
from harness.replay.provider import RecordingProvider, Take
from harness.verdict import Verdict
from vm.recorder import ICOUNT
from vm.words import counted

if TYPE_CHECKING:
    from harness.capsule.playing import Player
    from harness.language.model.scenario import Scenario

#: Of one recording.
PLAYS = 25

Say = Callable[[str], None]


@dataclass
class Taken:
    """What came of it: every playing, and the folder of the failure's recording, where there is one."""

    seen: list[Seen] = field(default_factory=list)
    folder: Path | None = None
    leases: int = 0


@dataclass
class Taking:
    """Plays and records.

    Args:
        provider: whose leases are recorded.
        player: that plays on them.
        out: the folder that the recording of the first failure goes to; not there yet.
        say: is told about progress.
    """

    provider: RecordingProvider
    player: Player
    out: Path
    say: Say = field(default=lambda text: None)
    taken: Taken = field(default_factory=Taken)
    """What came of the last `play`, also of one that raised."""

    def play(self, scenario: Scenario, runs: int, *, until_failure: bool) -> Taken:
        """Plays it so many times, or until it fails.

        Args:
            scenario: to play.
            runs: at most.
            until_failure: several plays share a lease, and the first failure ends it all; else each play
                has a lease of its own.

        Raises:
            NotPlayableError: the guest cannot show it.
            HarnessError: our own infrastructure failed; a failure came and its recording is not whole.
        """
        taken = self.taken = Taken()
        self.player.before = self._mark
        together = PLAYS if until_failure else 1
        for number in range(runs):
            before = self.provider.last
            fresh = number % together == 0
            self.say(f"play {number + 1} of {'at most ' if until_failure else ''}{runs}")
            seen = self.player.play(scenario, fresh=fresh)
            taken.seen.append(seen)
            take = self.provider.last.take if self.provider.last is not None else None
            if before is not None and before is not self.provider.last:
                self._drop(before.take, taken)
            if seen.scenario["verdict"] == Verdict.PASSED or taken.folder is not None:
                continue
            self.player.leave()  # with the guest the recording ends, and is whole
            if take is None:
                raise HarnessError("a failure came, and no guest was recorded")
            self._keep(take, seen, taken)
            if until_failure:
                break
        taken.leases = self.provider.count
        return taken

    def _mark(self) -> None:
        if self.provider.last is not None:
            self.provider.last.mark()

    def _drop(self, take: Take, taken: Taken) -> None:
        if take.folder != taken.folder:
            self.provider.forget(take)

    def _keep(self, take: Take, seen: Seen, taken: Taken) -> None:
        if take.instructions is None:
            raise HarnessError(
                f"the failure was not recorded to its end: {take.why or 'the guest was lost'}",
                str(seen.scenario["id"]),
            )
        self.out.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(take.folder, self.out)
        recording.take_state(self.provider.state_disk, self.out)
        lines = (json.dumps(record) for record in seen.records() if record)
        (self.out / recording.RECORDS).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        modules = self._drivers()
        recording.save(
            self.out,
            Recording(
                schema=recording.SCHEMA,
                kshs=version(),
                qemu=self.provider.qemu,
                icount=ICOUNT,
                image=self.provider.image_digest,
                image_made=self.provider.image_made,
                package=self.provider.target_digest(),
                state=self.provider.state_digest,
                memory_mib=self.provider.memory_mib,
                scenario=str(seen.scenario["id"]),
                verdict=str(seen.scenario["verdict"]),
                reason=seen.scenario.get("reason"),
                started=datetime.now(UTC).isoformat(timespec="seconds"),
                plays=take.plays,
                instructions=take.instructions,
                modules=modules,
            ),
        )
        taken.folder = self.out
        self.say(f"recorded: {counted(len(take.plays), 'play')}, {take.instructions:,} instructions")

    def _drivers(self) -> list[Module]:
        """Copies of what was deployed and its PDBs, for whoever replays it; where each lies in the guest."""
        place = self.out / DRIVERS
        place.mkdir()
        files = self.provider.driver_files()
        images = {name.lower(): path for name, path in files.images.items()}
        pdbs = {path.stem.lower(): path for path in files.symbols if path.suffix.lower() == ".pdb"}
        kept = []
        for module in self.provider.modules:
            image = images.get(module.name.lower())
            if image is None:
                continue
            kept.append(module)
            shutil.copyfile(image, place / image.name)
            pdb = pdbs.get(image.stem.lower())
            if pdb is not None:
                shutil.copyfile(pdb, place / pdb.name)
        return kept
