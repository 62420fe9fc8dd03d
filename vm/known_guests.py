# SPDX-License-Identifier: Apache-2.0
"""Every guest that can be leased on this machine, and what is known of its kernel without starting it."""

from __future__ import annotations

from dataclasses import dataclass

from vm.config import VmConfig
from vm.errors import VmError
from vm.image import RECIPES
from vm.windows import sealed


@dataclass(frozen=True)
class KnownGuest:
    """One name that `vm.guests.find` takes.

    ``build`` is the kernel's build number as the installation medium said it, None where none did;
    ``verifier`` says whether its Driver Verifier watches drivers.
    """

    name: str
    family: str
    build: int | None = None
    verifier: bool = False


def known(config: VmConfig) -> list[KnownGuest]:
    """Recipes first, then sealed guests by name; one whose manifest is damaged is none."""
    found = [KnownGuest(name, recipe.family) for name, recipe in RECIPES.items()]
    for path in sorted(sealed.home(config, "any").parent.glob("*")):
        if path.suffix or not path.is_dir():
            continue
        try:
            image = sealed.find(config, path.name)
            if image is not None:
                medium = image.manifest.get("image") or {}
                found.append(
                    KnownGuest(image.name, image.family, medium.get("build"), image.verifier is not None)
                )
        except VmError:
            continue
    return found
