# SPDX-License-Identifier: Apache-2.0
"""Sealed Windows guests by their names, and what a run says of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError
from harness.guests.interface import Say

if TYPE_CHECKING:
    from vm.config import VmConfig
    from vm.image import Image
    from vm.template import Template
    from vm.windows.sealed import WindowsImage


def windows_facts(image: Image, template: Template | None) -> Mapping[str, Any]:
    """Of a Windows guest: days of its evaluation that are left, how it is leased, and what did not work."""
    from vm.windows.lease import WindowsTemplate
    from vm.windows.sealed import WindowsImage

    facts: dict[str, Any] = {}
    if isinstance(image, WindowsImage) and image.days_left() is not None:
        facts["evaluation_days_left"] = image.days_left()
    if isinstance(template, WindowsTemplate):
        tried = template.manifest.get("ways_that_failed") or {}
        reasons = "; ".join(f"{way} does not work here: {reason}" for way, reason in tried.items())
        facts["leases"] = f"{template.way} ({reasons})" if reasons else str(template.way)
    return facts


def find_guest(config: VmConfig, name: str) -> WindowsImage | None:
    """The sealed Windows guest of this name; None where it is the name of a recipe.

    Raises:
        UsageError: there is no such guest, or it is not made yet.
    """
    import vm.image
    from vm.windows import profile, sealed

    if name in vm.image.RECIPES:
        return None
    image = sealed.find(config, name)
    if image is None:
        if name in profile.BUILTIN:
            raise UsageError(f"the guest {name} is not made", hint=f"run: kshs provision {name} --iso FILE")
        raise UsageError(
            f"there is no guest {name!r}", hint=f"recipes: {', '.join(vm.image.RECIPES)}; or kshs provision"
        )
    return image


def windows_image(config: VmConfig, name: str, say: Say) -> WindowsImage | None:
    """As `find_guest`, for somebody who is about to use it.

    Raises:
        UsageError: also where its evaluation period is over.
    """
    from vm.errors import InputError
    from vm.windows import sealed

    image = find_guest(config, name)
    if image is None:
        return None
    try:
        sealed.guard(image, say)
    except InputError as error:
        raise UsageError(error.message, where=error.where, hint=error.hint) from None
    return image
