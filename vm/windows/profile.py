# SPDX-License-Identifier: Apache-2.0
"""What a Windows guest of the configuration is: edition, size, firmware and the options of its set-up."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from vm.errors import VmError
from vm.windows import cd
from vm.windows.devices import parse as parse_device
from vm.windows.media import KNOWN_MEDIA, KnownMedia, Wanted


class Firmware(StrEnum):
    """How the machine boots: ``uefi`` (OVMF) or ``bios`` (SeaBIOS)."""

    UEFI = "uefi"
    BIOS = "bios"


class Leg(StrEnum):
    """A setting of the whole guest under which the same scenarios are run once more."""

    HVCI = "hvci"
    VERIFIER = "verifier"


class Way(StrEnum):
    """How a clean guest comes from a prepared one (`vm.windows.lease`)."""

    FORK = "fork"
    """Its memory is mapped from a file, its devices' state is loaded."""
    SAVED = "saved"
    """Memory and devices are loaded from one file."""
    BOOT = "boot"
    """It starts from the disk."""


def _device(text: str) -> str:
    try:
        parse_device(text)
    except VmError as error:
        raise ValueError(error.message) from None
    return text


class WindowsProfile(BaseModel):
    """A Windows guest; the configuration's ``[guests.NAME]`` with ``family = "windows"``.

    Sizes: ``disk_gib`` in GiB, ``memory_mib`` in MiB.  ``edition`` is the EDITIONID of the WIM,
    ``installation`` its INSTALLATIONTYPE; the image must agree with them also where ``image_index`` or
    ``image_name`` chooses it.  ``settle_seconds``: how long the new
    system must be at rest before it is sealed, and how long that is waited for at most.  ``leases``:
    the one way in which guests come from the image; without it the first that works.
    ``verifier_drivers``: file names that Driver Verifier watches from every start on, besides our own;
    a target's driver that is not among them is added when it is deployed (docs/windows.md).
    ``devices``: hardware that leased guests get, `vm.windows.devices`; Setup runs without it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,30}$")]
    edition: Annotated[str, Field(min_length=1)] | None = None
    installation: Literal["Client", "Server", "Server Core"] | None = None
    image_index: Annotated[int, Field(ge=1)] | None = None
    image_name: Annotated[str, Field(min_length=1)] | None = None
    minimum_build: Annotated[int, Field(ge=0)] = 0
    maximum_build: Annotated[int, Field(ge=0)] | None = None
    locale: Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z]{4})?-[A-Z]{2}$")] = "en-US"
    keyboard: Annotated[str, Field(pattern=r"^[0-9A-Fa-f]{4}:[0-9A-Fa-f]{8}$")] = "0409:00000409"
    disk_gib: Annotated[int, Field(ge=32, le=2048)] = 64
    memory_mib: Annotated[int, Field(ge=2048, le=262_144)] = 4096
    cpus: Annotated[int, Field(ge=1, le=64)] = 2
    firmware: Firmware = Firmware.UEFI
    tpm: bool = False
    disk_bus: Literal["sata", "virtio"] = "sata"
    bypass_requirements: bool = False
    evaluation_days: Annotated[int, Field(ge=1, le=3650)] | None = None
    product_key: Annotated[str, Field(pattern=r"^([A-Z0-9]{5}-){4}[A-Z0-9]{5}$")] | None = None
    settle_seconds: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0, le=7200)]] = (60, 900)
    files: dict[str, Path] = Field(default_factory=dict)
    legs: frozenset[Leg] = frozenset()
    verifier_drivers: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,59}\.[sS][yY][sS]$")], ...] = ()
    leases: Way | None = None
    devices: tuple[Annotated[str, AfterValidator(_device)], ...] = ()

    @model_validator(mode="after")
    def _one_way_to_choose(self) -> WindowsProfile:
        if self.image_index is not None and self.image_name is not None:
            raise ValueError("give image_index or image_name, not both")
        return self

    @model_validator(mode="after")
    def _ranges_rise(self) -> WindowsProfile:
        if self.maximum_build is not None and self.maximum_build < self.minimum_build:
            raise ValueError(
                f"maximum_build {self.maximum_build} is below minimum_build {self.minimum_build}"
            )
        quiet, limit = self.settle_seconds
        if quiet > limit:
            raise ValueError(f"settle_seconds [{quiet}, {limit}] must rise")
        return self

    @model_validator(mode="after")
    def _no_device_is_saved(self) -> WindowsProfile:
        if self.leases not in (None, Way.BOOT) and any(parse_device(text).is_hosts for text in self.devices):
            raise ValueError(
                f"leases = '{self.leases}' cannot be with a device of the host's, whose state nobody can"
                " save; leave it out, or say 'boot'"
            )
        return self

    @field_validator("name")
    @classmethod
    def _not_a_recipe(cls, value: str) -> str:
        if value == "wine":
            raise ValueError("wine is the embedded guest; choose another name")
        return value

    @field_validator("files")
    @classmethod
    def _names_for_the_cd(cls, value: dict[str, Path]) -> dict[str, Path]:
        seen: dict[str, str] = {}
        for name in value:
            try:
                cd.check_name(name)
            except VmError as error:
                raise ValueError(f"{name!r}: {error.message}") from None
            if (other := seen.setdefault(name.casefold(), name)) != name:
                raise ValueError(f"{name!r} and {other!r} are one name to Windows")
        return value

    @property
    def known(self) -> KnownMedia | None:
        """The table's medium for this guest, if there is one."""
        return KNOWN_MEDIA.get(self.name)

    def wanted(self) -> Wanted:
        """What the medium must offer."""
        return Wanted(
            name=self.name,
            edition=self.edition,
            installation=self.installation,
            image_index=self.image_index,
            image_name=self.image_name,
            minimum_build=self.minimum_build,
            maximum_build=self.maximum_build,
            language=self.locale,
            evaluation=self.evaluation_days is not None,
            licensed=self.product_key is not None,
        )


# The edition ids of the evaluation images are those of the two public image builders' answer files; they
# were not read from a medium here (docs/windows.md, first contact).
BUILTIN: dict[str, WindowsProfile] = {
    profile.name: profile
    for profile in (
        WindowsProfile(
            name="server2025",
            edition="ServerStandardEval",
            installation="Server",
            minimum_build=26100,
            maximum_build=26199,
            evaluation_days=180,
        ),
        WindowsProfile(
            name="server2022",
            edition="ServerStandardEval",
            installation="Server",
            minimum_build=20348,
            maximum_build=20348,
            evaluation_days=180,
        ),
        WindowsProfile(
            name="win11",
            edition="EnterpriseEval",
            installation="Client",
            minimum_build=22000,
            bypass_requirements=True,
            evaluation_days=90,
        ),
        WindowsProfile(
            name="win11-ltsc",
            edition="EnterpriseSEval",
            installation="Client",
            minimum_build=26100,
            maximum_build=26199,
            bypass_requirements=True,
            evaluation_days=90,
        ),
    )
}
