# SPDX-License-Identifier: Apache-2.0
"""What can be set about guests."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal

from platformdirs import user_cache_path
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from vm.debian import host_suite
from vm.errors import InputError

SOCKET_PATH_LIMIT = 107
"""Bytes that fit into ``sockaddr_un.sun_path`` with its NUL (unix(7))."""

_LONGEST_SOCKET = len("/r99/lib/qemu/domain-9999-abcdefghijklmnopqrst/monitor.sock")


VARIABLES = {"cache_dir": "KSHS_CACHE_DIR", "runtime_dir": "KSHS_RUNTIME_DIR"}
"""Variables of the environment from which a setting's default comes."""


OF_LEGS = "wine"
"""The recipe of which legs are."""
_LEG = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


def _default_cache_dir() -> Path:
    override = os.environ.get(VARIABLES["cache_dir"])
    return Path(override) if override else user_cache_path("kshs")


def _default_runtime_dir() -> Path:
    override = os.environ.get(VARIABLES["runtime_dir"])
    return Path(override) if override else Path(f"/tmp/kshs-{os.getuid()}")  # noqa: S108 - owner is checked


class LegConfig(BaseModel):
    """Another kind of the embedded guest; what it does not say is as the table above it has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    memory_mib: int | None = Field(default=None, ge=256, le=65536, description="Memory, MiB.")
    cpus: int | None = Field(default=None, ge=1, le=16, description="Processors.")
    suite: str | None = Field(
        default=None, pattern=r"^[a-z][a-z0-9.-]*$", description="Debian release: bookworm or trixie."
    )


class VmConfig(BaseModel):
    """Settings of this room; every default works on a plain Debian machine."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    uri: str = Field(
        default="qemu:///embed",
        description="libvirt connection. qemu:///embed needs no daemon; its root is chosen by us.",
    )
    cache_dir: Path = Field(
        default_factory=_default_cache_dir,
        description="Where images and templates are kept (several GB). Environment: KSHS_CACHE_DIR.",
    )
    runtime_dir: Path = Field(
        default_factory=_default_runtime_dir,
        description="Short path for sockets and the disks of running guests. Environment: KSHS_RUNTIME_DIR.",
    )
    memory_mib: int = Field(default=448, ge=256, le=65536, description="Memory of a wine guest, MiB.")
    cpus: int = Field(
        default=1,
        ge=1,
        le=16,
        description="Processors of a wine guest; without KVM one is faster than two.",
    )
    accelerator: Literal["auto", "kvm", "tcg"] = Field(
        default="auto", description="auto: KVM where a trial guest proves that it works, else TCG."
    )
    qemu: str = Field(default="qemu-system-x86_64", description="The emulator: a name in PATH or a path.")
    machine: str = Field(default="q35", description="QEMU machine type of wine guests.")
    suite: str = Field(
        default_factory=lambda: host_suite(),
        pattern=r"^[a-z][a-z0-9.-]*$",
        description="Debian release that the wine image is made of: bookworm (Wine 8) or trixie (Wine 10). "
        "Default: the host's, trixie on a host that is not Debian.",
    )
    image: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{64}$",
        description="Digest of the one image that guests may be of: no other is used, and none is built.",
    )
    apt_sources: Path | None = Field(
        default=None,
        description="A sources file (one-line or deb822) for the image; default: the host's own sources.",
    )
    keep_templates: int = Field(default=6, ge=1, description="Templates kept beside those in use.")
    boot_timeout: float = Field(default=180, gt=0, description="Seconds until a booting guest must answer.")
    connect_timeout: float = Field(default=60, gt=0, description="Seconds until a forked guest must answer.")

    legs: dict[str, LegConfig] = Field(
        default_factory=dict, description="Wine guests of another size or release, by name."
    )

    def of_leg(self, name: str) -> VmConfig:
        """These settings, with what a leg says otherwise."""
        return self.model_copy(update=self.legs[name].model_dump(exclude_none=True))

    @field_validator("legs")
    @classmethod
    def _named(cls, value: dict[str, LegConfig]) -> dict[str, LegConfig]:
        """A leg's name is asked for as a guest's."""
        for name in value:
            if name == OF_LEGS:
                raise ValueError(f"{name} is the guest itself: memory_mib and the like stand in vm")
            if not _LEG.fullmatch(name):
                raise ValueError(f"{name} is no name of a guest: a to z, digits, dashes")
        return value

    @field_validator("cache_dir", "runtime_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        try:
            path = value.expanduser().absolute()
        except RuntimeError:
            raise ValueError(f"there is no user whose home {value.parts[0]} would be") from None
        there = next(above for above in (path, *path.parents) if os.path.lexists(above))
        if not there.is_dir():
            raise ValueError(f"{there} is no directory")
        return path

    @field_validator("runtime_dir")
    @classmethod
    def _short_enough(cls, value: Path) -> Path:
        if len(os.fsencode(value)) + _LONGEST_SOCKET > SOCKET_PATH_LIMIT:
            limit = SOCKET_PATH_LIMIT - _LONGEST_SOCKET
            raise ValueError(f"runtime_dir must be at most {limit} bytes long (socket paths are limited)")
        return value

    @property
    def images_dir(self) -> Path:
        """Sealed images, one directory each."""
        return self.cache_dir / "images"

    @property
    def templates_dir(self) -> Path:
        """Memory templates, one directory each."""
        return self.cache_dir / "templates"


def of_environment() -> VmConfig:
    """The defaults, and what the environment says.

    Raises:
        InputError: a variable of it is wrong, with its name.
    """
    try:
        return VmConfig()
    except ValidationError as error:
        first = error.errors()[0]
    text = first["msg"].removeprefix("Value error, ")
    key = str(first["loc"][0]) if first["loc"] else ""
    variable = VARIABLES.get(key)
    if variable is None or not os.environ.get(variable):
        raise InputError(text, key or None)
    raise InputError(
        f"{text}: {os.environ[variable]}", f"environment variable {variable}", "unset it, or choose another"
    )
