# SPDX-License-Identifier: Apache-2.0
"""Sealed Windows images: where they are, what their manifest says, and how long their evaluation lasts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal

import paramiko
from pydantic import BaseModel, Field, ValidationError

from vm.config import VmConfig
from vm.errors import InputError, VmError
from vm.family import Family, family
from vm.files import read_json
from vm.image import Image, VerifierSettings
from vm.progress import WARNING
from vm.shell import Shell
from vm.ssh import Endpoint
from vm.windows import payload
from vm.windows.answer_file import ACCOUNT
from vm.windows.devices import parse as parse_device
from vm.windows.plan import Keys
from vm.windows.profile import Leg, WindowsProfile
from vm.windows.state import Moment
from vm.words import counted

WARN_DAYS = 14


def _anew(name: str) -> str:
    return f"make the guest anew: kshs clean --guest {name}, then kshs provision {name}"


class _Medium(BaseModel):
    path: str


class _WimFacts(BaseModel):
    name: str = ""
    build: int | None = None


class _Manifest(BaseModel):
    """What is read of ``manifest.json`` later; what else it says is for people."""

    digest: str
    name: str
    family: Literal["windows", "wine"]
    profile: WindowsProfile
    made: str = ""
    installed: Moment
    evaluation_days: Annotated[int, Field(ge=1, le=3650)] | None = None
    medium: _Medium
    image: _WimFacts | None = None
    disk_sha256: str | None = None


@dataclass(frozen=True)
class WindowsImage(Image):
    """A sealed disk that was installed from a medium; nothing in its directory changes any more.

    ``devices`` is hardware that its guests get beside that on which it was installed.
    """

    devices: tuple[str, ...] = ()

    @property
    def holds_host_devices(self) -> bool:
        """Whether a guest holds hardware of the host's, which no other has then and nothing saves."""
        return any(device.is_hosts for device in map(parse_device, self.devices))

    @property
    def name(self) -> str:
        """As in ``kshs provision NAME``."""
        return str(self.manifest["name"])

    @property
    def profile(self) -> WindowsProfile:
        """The machine that it was installed on."""
        return WindowsProfile.model_validate(self.manifest["profile"])

    @property
    def disk(self) -> Path:
        """The disk, qcow2 without a backing file; only ever read, below an overlay."""
        return self.path / "disk.qcow2"

    @property
    def disk_sha256(self) -> str:
        """The disk's digest, hex.

        Raises:
            VmError: the manifest does not say it.
        """
        digest = self.manifest.get("disk_sha256")
        if digest is None:
            raise VmError("disk_sha256 is missing", str(self.path / "manifest.json"), _anew(self.name))
        return str(digest)

    @property
    def variables(self) -> Path:
        """Its UEFI variables; absent for BIOS."""
        return self.path / "uefi-vars.fd"

    @property
    def tpm(self) -> Path:
        """The state of its TPM; absent without one.  Each guest gets a copy of its own."""
        return self.path / "tpm"

    @property
    def verifier(self) -> VerifierSettings | None:
        """As the verifier leg set it."""
        if Leg.VERIFIER not in self.profile.legs:
            return None
        return VerifierSettings(payload.VERIFIER_CLASSES, payload.verifier_drivers(self.profile))

    @property
    def speech(self) -> Family:
        """How to speak to its guests."""
        return family(self.family)

    def endpoint(self, port: int) -> Endpoint:
        """The SSH server of a guest of this image behind `port`."""
        return endpoint(self.path, port)

    @property
    def expires(self) -> datetime | None:
        """When the evaluation ends, counted from the day of the installation; None where none is known."""
        days = self.manifest.get("evaluation_days")
        if days is None:
            return None
        return datetime.fromisoformat(str(self.manifest["installed"])) + timedelta(days=int(days))

    def days_left(self, now: datetime | None = None) -> int | None:
        """Whole days until then; negative afterwards."""
        end = self.expires
        return None if end is None else (end - (now or datetime.now(UTC))).days


def endpoint(folder: Path, port: int) -> Endpoint:
    """The SSH server of the guest whose keys lie in `folder`.

    Raises:
        VmError: a key is missing or damaged.
    """
    keys = Keys.in_folder(folder)
    try:
        host_key = keys.host_public.read_text(encoding="ascii").strip()
        found = Endpoint(port, keys.client_key, host_key, user=ACCOUNT)
        if not found.pinned or not keys.client_key.is_file():
            raise ValueError
    except (OSError, ValueError, IndexError):
        raise VmError("the guest's SSH keys are missing or damaged", str(folder)) from None
    return found


def home(config: VmConfig, name: str) -> Path:
    """Where the sealed image of this name is or would be."""
    return config.cache_dir / "windows" / name


def find(config: VmConfig, name: str) -> WindowsImage | None:
    """The sealed image of this name; None where there is none.

    Raises:
        VmError: its manifest is damaged.
    """
    path = home(config, name)
    manifest = read_json(path / "manifest.json")
    if manifest is None:
        return None
    try:
        _Manifest.model_validate(manifest)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise VmError(
            f"cannot be used: {key}: {first['msg']}",
            str(path / "manifest.json"),
            _anew(name),
        ) from None
    return WindowsImage(manifest["digest"], path, manifest)


def rebuild_command(image: WindowsImage) -> str:
    """What makes the image anew."""
    return f"kshs provision {image.name} --iso {image.manifest['medium']['path']} --rebuild"


def guard(image: WindowsImage, warn: Callable[[str], None], now: datetime | None = None) -> None:
    """Lets no run begin on a guest whose evaluation is over, since Windows then turns itself off.

    Args:
        image: the image.
        warn: told, in its last two weeks, how long it lasts and how it is made anew.
        now: for tests.

    Raises:
        InputError: it is over.
    """
    left = image.days_left(now)
    if left is None or image.expires is None:
        return
    day = f"{image.expires:%Y-%m-%d}"
    if left < 0:
        raise InputError(
            f"its evaluation period ended on {day}", f"guest {image.name}", f"run: {rebuild_command(image)}"
        )
    if left <= WARN_DAYS:
        warn(
            f"{WARNING}guest {image.name}: its evaluation period ends {_in_days(left)} ({day});"
            f" make it anew with: {rebuild_command(image)}"
        )


def _in_days(left: int) -> str:
    return "today" if left == 0 else f"in {counted(left, 'day')}"


def remaining(image: WindowsImage, now: datetime | None = None) -> str:
    """How long it lasts, in words."""
    left = image.days_left(now)
    if left is None:
        return "evaluation: none known"
    if left < 0:
        return f"evaluation: over; make it anew with: {rebuild_command(image)}"
    return f"evaluation: {left} {'day' if left == 1 else 'days'} left"


def family_of(transport: paramiko.Transport) -> Family:
    """The family of the guest behind a connection: that of the shell which answers.

    Raises:
        VmError: neither cmd of Windows nor a POSIX shell with Wine behind it.
    """
    said = Shell(transport, family("windows"), "the guest").run("ver", timeout=60)
    if said.exit_code == 0 and "Microsoft Windows" in said.text:
        return family("windows")
    said = Shell(transport, family("wine"), "the guest").run(
        "test -x /usr/lib/wine/wine64 && uname -s", timeout=60
    )
    if said.text == "Linux":
        return family("wine")
    raise VmError("answers over SSH, and is neither Windows nor Wine", "the guest")
