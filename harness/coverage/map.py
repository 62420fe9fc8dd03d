# SPDX-License-Identifier: Apache-2.0
"""What one leased guest executes of the drivers that are of interest, while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.agent import modules as module_question
from harness.errors import HarnessError
from vm.plugin.block_map import digest

if TYPE_CHECKING:
    from harness.agent.encode import Encoder
    from harness.agent.modules import DriverProcess
    from harness.agent.session import AgentSession
    from harness.coverage.images import CodeImage
    from vm.plugin.block_map import BlockMap

#: An id is the number of its module above these bits, and the offset in it.
_OFFSET_BITS = 32
_OFFSET_MASK = (1 << _OFFSET_BITS) - 1
#: From here on addresses belong to the kernel, of which there is one (canonical addresses of x64).
_KERNEL = 1 << 63


@dataclass(frozen=True, slots=True)
class Loaded:
    """A module in the memory of a guest: its number among the modules, where it begins and ends."""

    module: int
    base: int
    end: int


@dataclass(frozen=True, slots=True)
class Executed:
    """A block that was executed: its module's name, where it begins in it, and its bytes.

    `whole` is False where its last instruction was never reached: an exception left it in between, and no
    more is known than that its first instruction, of `size` bytes then, began.
    """

    module: str
    offset: int
    size: int
    whole: bool = True


def places(
    processes: Sequence[DriverProcess], images: Mapping[str, CodeImage], names: Sequence[str]
) -> list[Loaded]:
    """Where modules of these names are loaded.

    Args:
        processes: as the guest says it.
        images: by the modules' names, in lower case; what has none is left out.
        names: of the modules, in lower case; their places in it are their numbers.
    """
    numbers = {name: number for number, name in enumerate(names)}
    found = []
    for process in processes:
        for module in process.modules:
            image = images.get(module.key)
            if module.key in numbers and module.base and image is not None:
                # The image knows its size; a guest that says another has another image.
                size = image.size
                found.append(Loaded(numbers[module.key], module.base, module.base + size))
    return found


class CoverageMap:
    """The blocks of some modules that one guest has executed since they were last forgotten.

    Args:
        counters: of the guest.
        names: of the modules, in lower case.
        images: of them; of a module whose image is not there nothing is known.
        loaded: where they lie in this guest.
    """

    def __init__(
        self,
        counters: BlockMap,
        names: Sequence[str],
        images: Mapping[str, CodeImage],
        loaded: Sequence[Loaded],
    ) -> None:
        self._counters = counters
        self.names = tuple(names)
        self._images = images
        self.loaded = tuple(loaded)
        self._ids = np.empty(0, np.int64)

    @classmethod
    def begin(
        cls,
        counters: BlockMap,
        session: AgentSession,
        encoder: Encoder,
        names: Sequence[str],
        images: Mapping[str, CodeImage],
        processes: Sequence[DriverProcess] | None = None,
    ) -> CoverageMap:
        """Begins counting in a guest with whose agent there is a session.

        Args:
            counters: of its lease (`vm.lease.Lease.counters`).
            session: with its agent; nothing else may be under way.
            encoder: of its ABI.
            names: of the modules, in lower case.
            images: of them.
            processes: where drivers are loaded, if that is known already; by default the agent is asked.

        Raises:
            HarnessError: the guest does not say where any of them is loaded, or QEMU does not begin to count.
            AgentError, StepHungError: the agent does not answer.
        """
        if processes is None:
            processes = module_question.ask(session, encoder)
        loaded = places(processes, images, names)
        if not loaded:
            raise HarnessError(
                f"the guest does not say where it has loaded {' or '.join(names)}, so that nothing of them"
                " can be counted"
            )
        counters.set_ranges([(one.base, one.end) for one in loaded])
        # Whatever it is that the agent does, the processor wakes up for it, and the plugin sees the ranges.
        session.run(encoder.step("NOP"), what="begin to count", timeout=30.0)
        if not counters.await_ranges():
            raise HarnessError("QEMU's plugin does not take over which addresses count")
        made = cls(counters, names, images, loaded)
        made.zero()
        return made

    def zero(self) -> None:
        """Forgets what was executed until now; takes microseconds."""
        self._counters.zero()

    def read(self) -> frozenset[int]:
        """The ids of the blocks that were executed since `zero`, as far as they are the modules' own.

        An id means the same block in every guest of the same modules: see `place`.  It takes well below a
        millisecond, but for blocks that are met for the first time.
        """
        touched = self._touched()
        ids = self._ids[touched]
        return frozenset(ids[ids >= 0].tolist())

    def counts(self) -> dict[int, int]:
        """The same with how often each block was begun."""
        touched = self._touched()
        found: dict[int, int] = {}
        for block, count in zip(
            self._ids[touched].tolist(), self._counters.counts(touched).tolist(), strict=True
        ):
            if block >= 0:
                found[block] = found.get(block, 0) + count
        return found

    def place(self, block: int) -> tuple[str, int]:
        """The module of an id, and the offset in it at which the block begins."""
        return self.names[block >> _OFFSET_BITS], block & _OFFSET_MASK

    def executed(self) -> list[Executed]:
        """The blocks that were executed since `zero`, with their bytes."""
        touched = self._touched()
        finished = self._counters.finished(touched).tolist()
        found = []
        for number, whole in zip(touched.tolist(), finished, strict=True):
            if (known := int(self._ids[number])) >= 0:
                block = self._counters.block(number)
                name, offset = self.place(known)
                found.append(Executed(name, offset, block.size if whole else block.first, whole))
        return found

    @property
    def lost(self) -> int:
        """Translations for which there was no room: where there are any, nothing can be said not to run."""
        return self._counters.lost

    def _touched(self) -> NDArray[np.intp]:
        """Numbers of the blocks that were executed since `zero`, all of which `_ids` knows."""
        touched = self._counters.touched()
        self._learn()  # behind it, for the guest may run: what comes meanwhile is for the next time
        return touched

    def _learn(self) -> None:
        """Which modules the blocks belong to that are new."""
        known, used = len(self._ids), self._counters.used
        if used == known:
            return
        ids = np.full(used - known, -1, np.int64)
        for place in self.loaded:
            for number in self._counters.within(place.base, place.end, known, used).tolist():
                block = self._counters.block(number)
                offset = block.address - place.base
                if block.address >= _KERNEL or self._is_own(place, offset, block.size, block.digest):
                    ids[number - known] = place.module << _OFFSET_BITS | offset
        self._ids = np.concatenate([self._ids, ids])

    def _is_own(self, place: Loaded, offset: int, size: int, wanted: int) -> bool:
        """Whether the bytes are the module's: another process may have other code at the same addresses."""
        data = self._images[self.names[place.module]].loaded_at(place.base, offset, size)
        return data is not None and digest(data) == wanted
