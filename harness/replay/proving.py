# SPDX-License-Identifier: Apache-2.0
"""A recording replayed, and held against what was recorded: consoles byte by byte, status blocks by field."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from harness.agent.frames import FrameParser, Record
from harness.capsule.recording import CONSOLES, Recording
from harness.errors import AgentError, HarnessError, UsageError
from vm.errors import VmError
from vm.files import private_directory
from vm.recorded_machine import BLOCKS, Life, Machine
from vm.recorder import LOG, STATE_DISK, replaying
from vm.state_disk import set_base
from vm.words import counted

if TYPE_CHECKING:
    from drivers.abi import Abi
    from vm.image import Image
    from vm.recorder import Recorder

Say = Callable[[str], None]
#: Seconds without an instruction after which a replay stands still: the host may have much else to do.
STANDSTILL = 180.0
_LOOK = 0.5
_MOST_CONSOLE = 64 << 20


@dataclass(frozen=True)
class Proof:
    """What a replay gave again: how many instructions and status blocks, in how many seconds.

    ``differences`` is empty where all came the same, to the last byte.
    """

    instructions: int
    seconds: float
    blocks: int
    bytes_compared: int
    differences: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether the replay was the recording."""
        return not self.differences


class Replayed:
    """The machine of a recording, replayed; a context manager that ends it.

    Args:
        recorder: has QEMU and a place.
        image: that the recording's disk lies on.
        folder: of the recording.
        said: what it says of itself.
    """

    def __init__(self, recorder: Recorder, image: Image, folder: Path, said: Recording) -> None:
        same_qemu(recorder, folder, said)
        same_image(image, folder, said)
        self._said = said
        self.place = recorder.place()
        self.consoles = private_directory(self.place / "consoles")
        life = dataclasses.replace(ready(folder, said, image, self.place, self.consoles), paused=False)
        self.machine = Machine(
            recorder.qemu, image, said.memory_mib, f"replay-{self.place.name}", self.place, life
        )

    def __enter__(self) -> Replayed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.machine.kill()
        shutil.rmtree(self.place, ignore_errors=True)

    def to_the_end(self, say: Say = lambda text: None) -> int:
        """Until the log is at its end, at which QEMU ends; the last number of instructions that it told.

        Raises:
            HarnessError: it stands still, or ended otherwise.
        """
        last, since = -1, time.monotonic()
        while not self.machine.wait(_LOOK):
            try:
                now = self.machine.instructions
            except VmError:
                if self.machine.wait(5.0):
                    break
                raise
            if now != last:
                last, since = now, time.monotonic()
                say(self._progress(now))
            elif time.monotonic() - since > STANDSTILL:
                raise HarnessError(f"the replay stands still at {self._progress(now)}", self.machine.name)
        if self.machine.exit_code != 0:
            raise HarnessError(f"QEMU ended the replay by itself: {self.machine.said}", self.machine.name)
        return last

    def _progress(self, now: int) -> str:
        begin, end = self._said.plays[0], self._said.instructions
        part = (now - begin) / max(1, end - begin)
        return f"replaying: instruction {now:,} of {end:,} ({max(0.0, min(1.0, part)):.0%})"


def same_qemu(recorder: Recorder, folder: Path, said: Recording) -> None:
    """Asks for the QEMU that recorded.

    Raises:
        UsageError: here is another one.
    """
    if recorder.qemu.version != said.qemu:
        raise UsageError(
            f"it was recorded by QEMU {said.qemu}, and here is {recorder.qemu.version}:"
            " another version executes another number of instructions",
            str(folder),
            "replay it where it was recorded",
        )


def made_of(image: Image) -> str | None:
    """When an image was built; None of one that does not say."""
    made = image.manifest.get("made")
    return None if made is None else str(made)


def same_image(image: Image, folder: Path, said: Recording) -> None:
    """Asks for the very image: what is built anew of the same recipe has other bytes.

    Raises:
        UsageError: here is another build of it.
    """
    here = made_of(image)
    if said.image_made not in (None, here):
        raise UsageError(
            f"its guest's image {said.image[:16]} was built {said.image_made}, and the one here {here}:"
            " other bytes are other instructions",
            str(folder),
            f"replay it where it was recorded, or bring {image.path} from there",
        )


def ready(folder: Path, said: Recording, image: Image, place: Path, consoles: Path) -> Life:
    """What a machine needs to stand at a recording's first instruction; it has a disk of its own.

    Raises:
        VmError: the recording's disk is none that a state is kept in.
    """
    disk = place / "disk.qcow2"
    shutil.copyfile(folder / STATE_DISK, disk)
    set_base(disk, str(image.disk))  # the image may lie elsewhere by now
    return Life(replaying(folder / LOG, said.icount), disk, consoles, paused=True)


def prove(recorder: Recorder, image: Image, folder: Path, said: Recording, say: Say) -> Proof:
    """Replays a recording to its end and compares.

    Raises:
        UsageError: it was recorded by another QEMU.
        HarnessError: the replay stands still, or QEMU ended otherwise.
        VmError: it does not start.
    """
    from drivers import abi

    begun = time.monotonic()
    with Replayed(recorder, image, folder, said) as replayed:
        instructions = replayed.to_the_end(say)
        seconds = time.monotonic() - begun
        found = list(_differences(folder, replayed.consoles, abi.load()))
        sizes = sum((folder / name).stat().st_size for name in (*CONSOLES, BLOCKS))
        blocks = len(_records(folder / BLOCKS, abi.load()))
    return Proof(instructions, round(seconds, 2), blocks, sizes, tuple(found))


def _differences(then: Path, now: Path, abi: Abi) -> Iterator[str]:
    """In words, the status blocks first."""
    if _read(then / BLOCKS) != _read(now / BLOCKS):
        yield from _block_differences(_records(then / BLOCKS, abi), _records(now / BLOCKS, abi))
    for name in CONSOLES:
        old, new = _read(then / name), _read(now / name)
        if old != new:
            place = next((at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), None)
            at = min(len(old), len(new)) if place is None else place
            yield f"{name} differs at byte {at:,}: {len(old):,} bytes were recorded, {len(new):,} came"


def _block_differences(old: list[Record], new: list[Record]) -> Iterator[str]:
    before = len(old)
    if len(new) != before:
        yield f"{counted(before, 'record')} were recorded, {len(new)} came"
    for number, (one, other) in enumerate(zip(old, new, strict=False)):
        fields = [name for name in one.__dataclass_fields__ if getattr(one, name) != getattr(other, name)]
        if fields:
            name = fields[0]
            yield f"record {number}: {name} was {getattr(one, name)!r}, is {getattr(other, name)!r}"
            return
    if len(new) == before:
        yield "the agent's frames differ beside the records"


def _records(path: Path, abi: Abi) -> list[Record]:
    """The answers of the agent that a file of frames holds; up to the first byte that is no frame."""
    found: list[Record] = []
    try:
        for frame in FrameParser(abi).feed(_read(path)):
            if isinstance(frame, Record):
                found.append(frame)
    except AgentError:
        pass
    return found


def _read(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_MOST_CONSOLE)
