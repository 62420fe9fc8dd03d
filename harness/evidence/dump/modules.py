# SPDX-License-Identifier: Apache-2.0
"""Loaded and unloaded drivers, and which of them an address lies in."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from harness.evidence.image import DebugIdentity
from harness.guest_text import one_line

#: What the kernel's image is called in frames, whatever its file: ntoskrnl.exe, ntkrnlmp.exe and so on.
_KERNELS = frozenset({"ntoskrnl.exe", "ntkrnlmp.exe", "ntkrnlpa.exe", "ntkrpamp.exe", "ntkrla57.exe"})
MAX_NAME = 260


@dataclass(frozen=True, slots=True)
class Module:
    """A loaded driver.

    ``path`` is as the kernel has it, or only a file's name; ``time_stamp`` and ``check_sum`` are None where
    the
    dump does not tell them (the header of the image was paged out); ``debug`` only where the memory shows it.
    """

    path: str
    base: int
    size: int
    time_stamp: int | None
    check_sum: int | None
    debug: DebugIdentity | None = None

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.replace("/", "\\").rsplit("\\", 1)[-1] or "?"

    @property
    def is_kernel(self) -> bool:
        """Whether it is the kernel itself."""
        return self.name.lower() in _KERNELS


@dataclass(frozen=True, slots=True)
class Unloaded:
    """A driver that was unloaded before; ``cut``: the dump has room for twelve characters of its name."""

    name: str
    start: int
    end: int
    cut: bool


@dataclass(frozen=True)
class Modules:
    """The loaded drivers, in the order of the dump."""

    all: Sequence[Module]
    _sorted: list[Module] = field(init=False, repr=False)
    _bases: list[int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        ordered = sorted(self.all, key=lambda module: module.base)
        object.__setattr__(self, "_sorted", ordered)
        object.__setattr__(self, "_bases", [module.base for module in ordered])

    def __iter__(self) -> Iterator[Module]:
        return iter(self.all)

    def __len__(self) -> int:
        return len(self.all)

    def at(self, address: int) -> Module | None:
        """The driver that an address lies in."""
        index = bisect_right(self._bases, address) - 1
        if index < 0:
            return None
        module = self._sorted[index]
        return module if address - module.base < module.size else None


def utf16(data: bytes) -> str:
    """Text of a dump up to its first NUL, made harmless."""
    text = data[: 2 * MAX_NAME + len(data) % 2].decode("utf-16-le", "replace").split("\0")[0]
    return one_line(text, MAX_NAME)
