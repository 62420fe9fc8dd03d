# SPDX-License-Identifier: Apache-2.0
"""Guests whose every lease is recorded, as a `GuestProvider`."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.agent import waiting_agent
from harness.capsule.recording import Module
from harness.errors import HarnessError, UsageError
from harness.guest_text import GuestJsonError, load_object
from harness.guests.interface import Say, SayProgress
from harness.guests.kshsctl import Kshsctl
from harness.guests.provider import VmGuest, VmProvider
from harness.guests.source import usable_guest
from harness.replay.proving import made_of
from vm.errors import VmError
from vm.recorded_machine import SECOND_PORT

if TYPE_CHECKING:
    from vm.image import Image
    from vm.recorder import RecordedLease, Recorder
    from vm.shell import Shell
    from vm.template import Layer, Template

#: Seconds for the list of modules, for which a program is started in the guest.
_MODULES = 600.0


@dataclass
class Take:
    """One lease's recording: its folder, where each playing began, and how it ended.

    ``instructions`` is None while it runs, and where QEMU was gone before the log was whole.
    """

    folder: Path
    plays: list[int] = field(default_factory=list)
    instructions: int | None = None
    why: str | None = None


class RecordedGuest(VmGuest):
    """A lease whose recording is whole once the guest is given back."""

    def __init__(self, lease: RecordedLease, take: Take) -> None:
        super().__init__(lease)
        self._recorded = lease
        self.take = take

    @property
    def instructions(self) -> int:
        """How many the guest has executed so far."""
        return self._recorded.machine.instructions

    def mark(self) -> None:
        """A playing of the scenario begins now."""
        self.take.plays.append(self.instructions)

    def close(self) -> None:
        """Ends the recording, then the lease."""
        if self.take.instructions is None and self.take.why is None:
            try:
                self.take.instructions = self._recorded.finish()
            except (VmError, OSError) as error:
                self.take.why = str(error)
        super().close()


class RecordingProvider(VmProvider):
    """As `VmProvider`, with recorded leases; ``takes`` is a folder for their recordings."""

    takes: Path
    last: RecordedGuest | None = None
    _recorder: Recorder | None = None
    _count: int = 0

    def prepare(self, say: Say) -> None:
        """Builds, image, the QEMU that replays, the state; each only where it is not there yet."""
        if self._template is not None:
            return
        from vm.recorder import Recorder

        progress = SayProgress(say)
        self._guests = usable_guest(self._config, self._recipe, say, self._way, self._devices)
        if self._guests.family != "wine":
            raise UsageError(
                f"guest {self._recipe} cannot be recorded: only the embedded guest can, under TCG",
                hint="choose --guest wine",
            )
        build, package = self.build(say)
        self._image = self._guests.image(progress)
        self._recorder = self._stack.enter_context(Recorder(self._config, progress))
        layer = with_copies(self.layer(build, package, self._image, say))
        self._template = self._recorder.template(self._image, layer, driver_modules)

    @property
    def modules(self) -> list[Module]:
        """Where drivers lie in every recording: they come from one state."""
        facts = self._template.manifest.get("facts") if self._template is not None else None
        found = facts.get("modules") if isinstance(facts, Mapping) else None
        return [Module.model_validate(one) for one in found or ()]

    @property
    def count(self) -> int:
        """Leases that were recorded."""
        return self._count

    @property
    def state_disk(self) -> Path:
        """The disk that every recording begins with."""
        return self._made[0].disk

    @property
    def state_digest(self) -> str:
        """Names it."""
        return self._made[0].digest

    @property
    def memory_mib(self) -> int:
        """Of the guests."""
        return self._made[0].memory_mib

    @property
    def image_digest(self) -> str:
        """Of the image below it."""
        return str(self._made[1].digest)

    @property
    def image_made(self) -> str | None:
        """When it was built, by which builds of one image are told apart."""
        return made_of(self._made[1])

    @property
    def _made(self) -> tuple[Template, Image]:
        if self._template is None or self._image is None:
            raise HarnessError("the state to record from was not made")
        return self._template, self._image

    @property
    def qemu(self) -> str:
        """The version of the QEMU that records."""
        return self._recorder.qemu.version if self._recorder is not None else "none"

    def acquire_ahead(self) -> None:
        """Nothing: each recorded guest is forked when it is wanted."""

    def _fork(self) -> VmGuest:
        if self._recorder is None or self._template is None:
            raise HarnessError("the state to record from was not made")
        self._count += 1
        take = Take(self.takes / f"take-{self._count}")
        self.last = RecordedGuest(self._recorder.lease(self._template, take.folder), take)
        return self.last

    def forget(self, take: Take) -> None:
        """Removes a recording that nobody wants."""
        shutil.rmtree(take.folder, ignore_errors=True)

    def host(self) -> Mapping[str, Any]:
        """What `VmProvider.host` says, and that it was recorded."""
        said = dict(super().host())
        if self._recorder is not None:
            said["qemu"] = self.qemu
            said["accelerator"] = "tcg (recorded, by a clock of instructions)"
        return said


def with_copies(layer: Layer) -> Layer:
    """The layer with an agent whose frames also go to the second serial port, which a replay writes again.

    The connection to the agent is encrypted, and its host's end is not there in a replay.
    """
    from vm.template import Layer

    script = waiting_agent.copying_script(SECOND_PORT)

    def prepare(shell: Shell) -> None:
        layer.prepare(shell)
        shell.run(script, timeout=_MODULES, check=True)

    digest = hashlib.sha256(f"{layer.digest}\0{script}".encode()).hexdigest()
    return Layer(digest=digest, prepare=prepare)


def driver_modules(shell: Shell) -> Mapping[str, Any]:
    """Of a prepared guest the drivers in its memory, and where they lie; none where it does not say."""
    done = shell.run(Kshsctl(shell).command("threads"), timeout=_MODULES)
    found: dict[str, dict[str, Any]] = {}
    with contextlib.suppress(GuestJsonError, LookupError, TypeError, ValueError, AttributeError):
        for process in load_object(done.stdout)["processes"]:
            for module in process.get("modules", ()):
                name = str(module.get("name", ""))
                if name.lower().endswith(".sys"):
                    one = Module(name=name, base=int(module["base"], 16), size=int(module["size"], 16))
                    found.setdefault(name.lower(), one.model_dump())
    return {"modules": list(found.values())}
