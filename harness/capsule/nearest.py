# SPDX-License-Identifier: Apache-2.0
"""The guest of this machine that is nearest to the one on which a failure was seen."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.capsule.manifest import Kernel
from harness.errors import UsageError

if TYPE_CHECKING:
    from vm.known_guests import KnownGuest

_BUILD = re.compile(r"\s*(\d{1,9})(?:\.|\s|$)")
#: What the manifest's `verifier` says where nothing was watched (`harness.guests.verifier.summary`).
_OFF = (None, "off")
_FAR = 1 << 40
_MAKE = 'make a Windows guest with legs = ["verifier"]: docs/windows.md, "Driver Verifier"'


@dataclass(frozen=True, slots=True)
class Choice:
    """A guest by its name, and why it and no other, in one sentence for people."""

    name: str
    why: str


def choose(kernel: Kernel, guests: Sequence[KnownGuest], default: str, *, verifier: bool = False) -> Choice:
    """The nearest guest: by family, then by kernel build, then by Driver Verifier, then by name.

    Args:
        kernel: where the failure was seen, as the capsule says it.
        guests: that there are.
        default: of the settings, where none is of that family.
        verifier: only those that Driver Verifier watches.

    Raises:
        UsageError: Driver Verifier was asked for, and no guest here has it.
    """
    fits = [guest for guest in guests if guest.verifier or not verifier]
    if not fits:
        raise UsageError(
            "no guest here has Driver Verifier: the kernel of the embedded one is Wine", hint=_MAKE
        )
    family = kernel.family
    of_family = [guest for guest in fits if family is None or guest.family == family]
    if family is None or not of_family:
        named = next((guest for guest in fits if guest.name == default), fits[0])
        if family is None:
            return Choice(named.name, "the capsule does not say where it was seen")
        return Choice(named.name, f"it was seen on a guest of family {family}, and there is none of it here")
    wanted = build_number(kernel.build)
    watched = verifier or kernel.verifier not in _OFF

    def distance(guest: KnownGuest) -> tuple[int, bool, bool, str]:
        if wanted is None or guest.build is None:  # as of recipes, which have a name and no build
            far = 0 if guest.name == kernel.recipe else _FAR
        else:
            far = abs(wanted - guest.build)
        return far, guest.verifier != watched, guest.name != kernel.recipe, guest.name

    best = min(of_family, key=distance)
    return Choice(best.name, _why(best, wanted, watched))


def without_verifier(name: str, guests: Sequence[KnownGuest]) -> UsageError:
    """What to say where Driver Verifier was asked for on this guest, which has none."""
    others = [guest.name for guest in guests if guest.verifier]
    wine = any(guest.name == name and guest.family == "wine" for guest in guests)
    why = "its kernel is Wine, which has none" if wine else "it was made without the leg"
    hint = f"with it: {', '.join(others)}" if others else _MAKE
    return UsageError(f"guest {name} has no Driver Verifier: {why}", hint=hint)


def build_number(said: str | None) -> int | None:
    """The number of a kernel's build: of 22631.3007 it is 22631; None where it is none."""
    found = _BUILD.match(said or "")
    return int(found[1]) if found else None


def _why(best: KnownGuest, wanted: int | None, watched: bool) -> str:
    if wanted is None or best.build is None:
        said = f"family {best.family}"
    elif best.build == wanted:
        said = f"build {wanted}, as then"
    else:
        said = f"build {best.build}, the nearest to {wanted}"
    if watched != best.verifier:
        said += ", without Driver Verifier, which watched then" if watched else ", with Driver Verifier"
    elif watched:
        said += ", with Driver Verifier"
    return said
