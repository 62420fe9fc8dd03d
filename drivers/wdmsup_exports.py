# SPDX-License-Identifier: Apache-2.0
"""What the support library for drivers on Wine supplies, as ``wdmsup/wdmsup.def`` says it.

Functions of the kernel are in groups.  Those of one group are taken one by one (``each``), all together
where one of them is needed (``family``: they share a state that Wine's own do not know), or whenever a driver
imports them (``always``: Wine has them, and gets them wrong).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

MODULE = "wdmsup.sys"
DEFINITION = Path(__file__).parent / "wdmsup" / "wdmsup.def"
KERNEL_MODULES = frozenset({"ntoskrnl.exe", "hal.dll"})
_KINDS = ("each", "family", "always")


@dataclass(frozen=True)
class Group:
    """Functions of ntoskrnl.exe and hal.dll; ``kind`` is when they are taken, ``reason`` why."""

    kind: str
    reason: str
    functions: frozenset[str]


@dataclass(frozen=True)
class Supplied:
    """All that is exported: ``groups`` for the kernel's modules, ``stubs`` by the module they stand for.

    A stub answers that it is not served, and its first call is put on record.
    """

    groups: tuple[Group, ...]
    stubs: dict[str, frozenset[str]] = field(default_factory=dict)

    @property
    def kernel(self) -> frozenset[str]:
        """Names that count as present in ntoskrnl.exe and hal.dll of a guest on Wine."""
        return frozenset().union(*(group.functions for group in self.groups))

    def taken(self, function: str, lacking: frozenset[str]) -> bool:
        """Whether an import from the kernel comes from the library.

        Args:
            function: the import.
            lacking: what the guest's Wine does not have or only pretends to have, of all that the driver
                imports from the kernel.
        """
        for group in self.groups:
            if function in group.functions:
                if group.kind == "each":
                    return function in lacking
                return group.kind == "always" or bool(group.functions & lacking)
        return False


@lru_cache(maxsize=2)
def supplied(definition: Path = DEFINITION) -> Supplied:
    """What a definition file exports, by its comments.

    Raises:
        ValueError: an export stands in no group.
    """
    groups: list[tuple[str, str, set[str]]] = []
    stubs: dict[str, set[str]] = {}
    current: set[str] | None = None
    for line in definition.read_text(encoding="utf-8").splitlines():
        text = line.strip()
        if text.startswith("; module "):
            current = stubs.setdefault(text.split()[2].lower(), set())
        elif text.startswith(";"):
            kind, colon, reason = text[1:].strip().partition(":")
            if colon and kind in _KINDS:
                current = set()
                groups.append((kind, reason.strip(), current))
        elif line.startswith(" ") and text:
            if current is None:
                raise ValueError(f"{definition}: {text} stands in no group")
            current.add(text.partition("=")[0])
    return Supplied(
        tuple(Group(kind, reason, frozenset(names)) for kind, reason, names in groups),
        {module: frozenset(names) for module, names in stubs.items()},
    )
