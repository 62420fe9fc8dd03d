# SPDX-License-Identifier: Apache-2.0
"""Where guests come from, by the name of a recipe or of a sealed guest: one interface, whatever their family.

Whoever needs guests asks `find` and then its `GuestSource`; what differs between the embedded guest and a
Windows guest (how an image comes to be, what a template is, how a guest is leased from it) is known here and
in the modules below, and how one speaks to a guest is `vm.family`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from vm.config import OF_LEGS, VmConfig
from vm.errors import InputError
from vm.image import RECIPES, Image
from vm.image import ensure as ensure_image

if TYPE_CHECKING:
    from vm.hypervisor import Hypervisor
    from vm.lease import Lease
    from vm.progress import Progress
    from vm.template import Layer, Template
    from vm.windows.profile import Way
    from vm.windows.sealed import WindowsImage


def is_embedded(config: VmConfig, name: str) -> bool:
    """Whether guests of this name are made of Debian packages: a recipe's, or a leg's."""
    return name in RECIPES or name in config.legs


class GuestSource(Protocol):
    """Gives images, templates and leases of the guests of one name."""

    @property
    def name(self) -> str:
        """The recipe's, or the sealed guest's."""

    @property
    def family(self) -> str:
        """A name for `vm.family.family`."""

    @property
    def exclusive(self) -> bool:
        """Whether only one guest can run at a time: it holds a device of the host's."""

    def check(self, warn: Callable[[str], None]) -> None:
        """Whether a run may begin on these guests now; `warn` is told what will soon end that.

        Raises:
            InputError: it may not, with the command that mends it.
        """

    def image(self, progress: Progress | None = None) -> Image:
        """Their sealed disk, built where a recipe can build it.

        Raises:
            VmError: it cannot be had.
        """

    def template(
        self, hv: Hypervisor, image: Image, layer: Layer | None = None, progress: Progress | None = None
    ) -> Template:
        """The prepared guest that leases come from, made where it is not there yet.

        Raises:
            VmError: the guest does not come up, or ``layer.prepare`` raised one.
        """

    def lease(
        self, hv: Hypervisor, template: Template, *, evidence: Path | None = None, set_clock: bool = True
    ) -> Lease:
        """A clean guest; the arguments are those of `vm.lease.acquire`.

        ``set_clock`` False is a permission: where setting it costs nothing, it is set all the same.

        Raises:
            VmError: it does not start.
            GuestLost, GuestTimeout: it starts and does not answer.
        """

    def facts(self, template: Template | None = None) -> Mapping[str, Any]:
        """What a run's results say of these guests beside the image's digest."""


def find(config: VmConfig, name: str, *, way: Way | None = None, devices: Sequence[str] = ()) -> GuestSource:
    """The source of the guests of this name.

    Args:
        config: where images are kept.
        name: of a recipe, or of a guest that ``kshs provision`` sealed.
        way: the one in which guests of a sealed image are leased; by default the image's own, else the first
            that works (`vm.windows.lease`).
        devices: hardware that such guests get beside that on which they were installed
            (`vm.windows.devices`).

    Raises:
        InputError: there is no such guest, or it is not made yet.
        VmError: it is there, and damaged.
    """
    if name in RECIPES:
        return RecipeGuests(config, name)
    if name in config.legs:
        return RecipeGuests(config.of_leg(name), name, OF_LEGS)
    from vm.windows import profile, sealed

    image = sealed.find(config, name)
    if image is not None and config.image not in (None, image.digest):
        raise InputError(f"the guest {name} is not of the image that the settings name", hint="see vm.image")
    if image is not None:
        return SealedGuests(replace(image, devices=tuple(devices)), way)
    if name in profile.BUILTIN:
        raise InputError(f"the guest {name} is not made", hint=f"run: kshs provision {name} --iso FILE")
    known = f"recipes: {', '.join(RECIPES)}"
    legs = f"; vm.legs: {', '.join(sorted(config.legs))}" if config.legs else ""
    raise InputError(f"there is no guest {name!r}", hint=f"{known}{legs}; or kshs provision")


@dataclass(frozen=True)
class RecipeGuests:
    """Guests whose image a recipe builds from packages; of a leg `name` is its own, and not the recipe's."""

    config: VmConfig
    name: str
    recipe: str = ""

    @property
    def family(self) -> str:
        """The recipe's."""
        return self.recipe or self.name

    @property
    def exclusive(self) -> bool:
        """They have no hardware but QEMU's."""
        return False

    def check(self, warn: Callable[[str], None]) -> None:
        """Such guests do not age."""

    def image(self, progress: Progress | None = None) -> Image:
        """See `vm.image.ensure`."""
        return ensure_image(self.config, self.family, progress)

    def template(
        self, hv: Hypervisor, image: Image, layer: Layer | None = None, progress: Progress | None = None
    ) -> Template:
        """See `vm.template.ensure`."""
        import vm.template

        return vm.template.ensure(hv, image, layer, progress, self.config)

    def lease(
        self, hv: Hypervisor, template: Template, *, evidence: Path | None = None, set_clock: bool = True
    ) -> Lease:
        """See `vm.lease.acquire`."""
        import vm.lease

        return vm.lease.acquire(hv, template, evidence=evidence, set_clock=set_clock)

    def facts(self, template: Template | None = None) -> Mapping[str, Any]:
        """Of a leg its size; of the others nothing: the image's digest names all that went in."""
        if not self.recipe:
            return {}
        return {"memory_mib": self.config.memory_mib, "cpus": self.config.cpus}


@dataclass(frozen=True)
class SealedGuests:
    """Guests of an image that was installed from a medium."""

    sealed: WindowsImage
    way: Way | None = None

    @property
    def name(self) -> str:
        """As in ``kshs provision NAME``."""
        return self.sealed.name

    @property
    def family(self) -> str:
        """Of the guest that answered when the image was sealed."""
        return self.sealed.family

    @property
    def exclusive(self) -> bool:
        """Where a device of the host's is passed through to it."""
        return self.sealed.holds_host_devices

    def check(self, warn: Callable[[str], None]) -> None:
        """Its evaluation period; see `vm.windows.sealed.guard`."""
        from vm.windows.sealed import guard

        guard(self.sealed, warn)

    def image(self, progress: Progress | None = None) -> Image:
        """It is there, or there would be no such source."""
        return self.sealed

    def template(
        self, hv: Hypervisor, image: Image, layer: Layer | None = None, progress: Progress | None = None
    ) -> Template:
        """See `vm.windows.lease.ensure`."""
        import vm.windows.lease

        return vm.windows.lease.ensure(hv, self.sealed, layer, progress, way=self.way)

    def lease(
        self, hv: Hypervisor, template: Template, *, evidence: Path | None = None, set_clock: bool = True
    ) -> Lease:
        """See `vm.windows.lease.acquire`."""
        import vm.windows.lease

        assert isinstance(template, vm.windows.lease.WindowsTemplate), "a template of this source"
        return vm.windows.lease.acquire(hv, template, evidence=evidence)

    def facts(self, template: Template | None = None) -> Mapping[str, Any]:
        """Days of its evaluation that are left, how it is leased, and which ways did not work."""
        from vm.windows.lease import WindowsTemplate

        facts: dict[str, Any] = {}
        if self.sealed.devices:
            facts["devices"] = list(self.sealed.devices)
        if self.sealed.days_left() is not None:
            facts["evaluation_days_left"] = self.sealed.days_left()
        if isinstance(template, WindowsTemplate):
            tried = template.ways_that_failed
            reasons = "; ".join(f"{way} does not work here: {reason}" for way, reason in tried.items())
            facts["leases"] = f"{template.way} ({reasons})" if reasons else str(template.way)
        return facts
