# SPDX-License-Identifier: Apache-2.0
"""What ``kshs repro`` and ``kshs minimize`` play: a capsule, unpacked for as long as that takes."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from harness import config as settings
from harness.capsule.manifest import Manifest, Role
from harness.capsule.nearest import Choice, choose, without_verifier
from harness.capsule.opened import SCENARIO, TARGET, Capsule
from harness.capsule.playing import Player, Say
from harness.capsule.seen import Seen, of_records
from harness.commands.inputs import check_file
from harness.config import Config
from harness.errors import UsageError
from harness.guests.kept import KeepingProvider
from harness.guests.package import LoadedTarget, find_target
from harness.guests.provider import VmProvider
from harness.guests.source import find_guest
from harness.language.model.scenario import Scenario
from harness.language.scenario_file import load
from harness.results import parts

if TYPE_CHECKING:
    from harness.replay.provider import RecordingProvider
    from vm.keeper import KeptGuest


@dataclass(frozen=True)
class Asked:
    """What the command line says."""

    capsule: Path
    guest: str | None = None
    target: str | None = None
    drivers: Path | None = None
    config: Path | None = None
    verifier: bool = False
    keep: bool = False


class Unpacked:
    """A capsule in a temporary folder; a context, at whose end the folder is gone.

    Raises:
        UsageError: it is no capsule that can be played.
    """

    def __init__(self, asked: Asked) -> None:
        check_file(asked.capsule, "CAPSULE")
        self._asked = asked
        self.config: Config = settings.load(asked.config)
        self._folder = tempfile.TemporaryDirectory(prefix="kshs-capsule-")
        try:
            self._open(Path(self._folder.name))
        except BaseException:
            self._folder.cleanup()
            raise

    def __enter__(self) -> Unpacked:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.cleanup()

    def _open(self, folder: Path) -> None:
        capsule = self._asked.capsule
        with Capsule(capsule) as opened:
            opened.signed(self.config.capsule.keys)
            opened.check()
            self.manifest: Manifest = opened.manifest
            missing = [
                role.value
                for role in (Role.SCENARIO, Role.TARGET, Role.PACKAGE, Role.RESULT)
                if not opened.manifest.of(role)
            ]
            if missing:
                raise UsageError(f"it has no {', no '.join(missing)}: it cannot be played", str(capsule))
            _ = self.choice  # what cannot be had is said before anything is unpacked
            opened.unpack(folder)
            result = opened.text(Role.RESULT) or ""
        (folder / "result.jsonl").write_text(result, encoding="utf-8")
        self.then: Seen = of_records(parts.stream(folder / "result.jsonl"), str(capsule))
        scenarios = load(folder / SCENARIO)
        if len(scenarios) != 1:
            raise UsageError(f"it has {len(scenarios)} scenarios, where one is played", str(capsule))
        self.scenario: Scenario = scenarios[0]
        self.target: LoadedTarget = find_target(self._asked.target or str(folder / TARGET), self.config)

    @property
    def guest(self) -> str:
        """Its name: the one that was asked for, or the nearest to that of the failure."""
        return self.choice.name

    @cached_property
    def choice(self) -> Choice:
        """The guest, and why it.

        Raises:
            UsageError: Driver Verifier was asked for, and it has none.
        """
        from vm.known_guests import known

        guests = known(self.config.vm)
        name, verifier = self._asked.guest, self._asked.verifier
        if name is None:
            return choose(self.manifest.kernel, guests, self.config.run.guest, verifier=verifier)
        if verifier and not any(guest.name == name and guest.verifier for guest in guests):
            find_guest(self.config.vm, name)
            raise without_verifier(name, guests)
        return Choice(name, "as --guest says")

    def player(self, say: Say) -> Player:
        """Plays on that guest.

        Raises:
            UsageError: there is no such guest, or the target cannot run on it.
        """
        find_guest(self.config.vm, self.guest)
        provider = (KeepingProvider if self._asked.keep else VmProvider)(
            self.config.vm,
            self.target,
            self.guest,
            source=self._asked.drivers or self.config.run.drivers,
            way=self.config.leases_of(self.guest),
            devices=self.config.devices_of(self.guest),
        )
        self._provider = provider
        return Player(provider, say)

    @property
    def capsule(self) -> Path:
        """Its file."""
        return self._asked.capsule

    def recording_provider(self, takes: Path) -> RecordingProvider:
        """Of guests that are recorded into a folder.

        Raises:
            UsageError: there is no such guest, or the target cannot run on it.
        """
        from harness.replay.provider import RecordingProvider

        find_guest(self.config.vm, self.guest)
        provider = RecordingProvider(
            self.config.vm,
            self.target,
            self.guest,
            source=self._asked.drivers or self.config.run.drivers,
        )
        provider.takes = takes
        return provider

    def keep(self) -> KeptGuest:
        """Leaves the last guest of the player running; to be called before the player is left.

        Raises:
            HarnessError, VmError: it has ended, or cannot be kept.
        """
        assert isinstance(self._provider, KeepingProvider), "asked for by Asked.keep"
        return self._provider.keep()
