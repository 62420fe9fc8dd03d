# SPDX-License-Identifier: Apache-2.0
"""Which models of an INF are for which system: the TargetOSVersion decorations of [Manufacturer].

``NT[Architecture][.[OSMajorVersion][.[OSMinorVersion][.[ProductType][.[SuiteMask][.[BuildNumber]]]]]]``, and
how Windows chooses among several, are on the public pages "INF Manufacturer Section" and "Combining Platform
Extensions with Operating System Versions" (Windows driver documentation, install).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_FORM = re.compile(
    r"nt(?P<architecture>x86|ia64|amd64|arm64|arm)?(?P<rest>(?:\.[0-9a-fx]*){0,5})", re.IGNORECASE
)


@dataclass(frozen=True)
class System:
    """A 64-bit system that a driver is installed on.

    ``product`` is VER_NT_WORKSTATION (1), VER_NT_DOMAIN_CONTROLLER (2) or VER_NT_SERVER (3), ``suites`` a
    mask of VER_SUITE_xxx; None where that is not known, and a decoration that asks for it is taken.
    """

    major: int
    minor: int
    build: int
    product: int | None = None
    suites: int | None = None

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.build}"


@dataclass(frozen=True)
class Decoration:
    """One TargetOSVersion, taken apart; None is what it leaves open."""

    architecture: str | None
    major: int | None = None
    minor: int | None = None
    product: int | None = None
    suites: int | None = None
    build: int | None = None

    @property
    def for_amd64(self) -> bool:
        """Whether it is for x86_64, or says nothing about the processor."""
        return self.architecture in (None, "amd64")

    def suits(self, system: System) -> bool:
        """Whether its models are for this system: a version is the lowest one, the rest must fit."""
        if not self.for_amd64:
            return False
        if self.major is not None:
            wanted, given = (self.major, self.minor or 0), (system.major, system.minor)
            # A build number counts only where the version before it is the very same.
            if wanted > given or (wanted == given and (self.build or 0) > system.build):
                return False
        if None not in (self.product, system.product) and self.product != system.product:
            return False
        return not (
            self.suites is not None
            and system.suites is not None
            and self.suites & system.suites != self.suites
        )

    @property
    def closeness(self) -> tuple[int, int, int, bool, bool, bool]:
        """Of two that suit, the greater one is chosen: the version first, product and suites last."""
        major = -1 if self.major is None else self.major
        named = (self.architecture is not None, self.product is not None, self.suites is not None)
        return (major, self.minor or 0, self.build or 0, *named)


def parse(text: str) -> Decoration | None:
    """A decoration, None where Windows does not know its form and therefore ignores it."""
    match = _FORM.fullmatch(text.strip())
    if not match:
        return None
    try:
        numbers = [_number(part) for part in match["rest"].split(".")[1:]]
    except ValueError:
        return None
    architecture = match["architecture"]
    return Decoration(architecture.lower() if architecture else None, *numbers)


def _number(text: str) -> int | None:
    """A field, decimal or with 0x, None where it is left open."""
    if not text:
        return None
    return int(text, 16) if text.lower().startswith("0x") else int(text, 10)


def chosen(decorations: Sequence[str], system: System | None) -> list[str]:
    """The decorations whose models sections count, "" for an undecorated one.

    For a system it is the one that Windows takes, if any; without, all for x86_64, whatever their version.
    """
    if not decorations:
        return [""]
    known = [(text, parsed) for text in decorations if (parsed := parse(text)) is not None]
    if system is None:
        return [text for text, parsed in known if parsed.for_amd64]
    suitable = [(parsed.closeness, text) for text, parsed in known if parsed.suits(system)]
    if not suitable:
        return []
    best = max(closeness for closeness, _ in suitable)
    return [next(text for closeness, text in suitable if closeness == best)]
