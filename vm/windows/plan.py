# SPDX-License-Identifier: Apache-2.0
"""What `kshs provision` will do, worked out on the host before anything boots."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from vm.accel import Accelerator
from vm.config import VmConfig
from vm.errors import InputError, VmError
from vm.files import digest_of, private_directory, write_whole
from vm.windows import answer_rules, cd, media, payload, virtio
from vm.windows import domain as description
from vm.windows.profile import Firmware, WindowsProfile
from vm.windows.wim import WimImage
from vm.words import counted

FORMAT = 1
"""Raised when the same inputs would give another guest."""
_PASSWORD_BYTES = 18


@dataclass(frozen=True)
class Request:
    """What the user gave, and the agent that goes into the guest."""

    profile: WindowsProfile
    iso: Path
    agent: Path
    certificates: tuple[Path, ...] = ()
    openssh: Path | None = None
    virtio_win: Path | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Plan:
    """A request whose medium was read and accepted."""

    request: Request
    medium: media.Media
    image: WimImage
    inputs: dict[str, object] = field(repr=False)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of all that decides what the guest will be, but for its random keys and password."""
        return digest_of(self.inputs)

    @property
    def profile(self) -> WindowsProfile:
        """The guest."""
        return self.request.profile


@dataclass(frozen=True)
class Keys:
    """Made anew for each image; both private keys are files of mode 0600."""

    client_key: Path
    host_key: Path
    host_public: Path
    client_public: Path
    password: Path

    @classmethod
    def in_folder(cls, folder: Path) -> Keys:
        """Where they are, in the folder of a guest in the making or of a sealed one."""
        return cls(
            folder / "client_key",
            folder / "host_key",
            folder / "host_key.pub",
            folder / "client_key.pub",
            folder / "password",
        )

    def make(self) -> None:
        """Writes new ones."""
        for private, public in ((self.client_key, self.client_public), (self.host_key, self.host_public)):
            key = Ed25519PrivateKey.generate()
            write_whole(private, key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
            write_whole(public, key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b"\n")
        # Windows' complexity rule wants three of four kinds of characters.
        write_whole(self.password, f"Ks1-{secrets.token_urlsafe(_PASSWORD_BYTES)}")

    def secrets(self) -> payload.Secrets:
        """For the CD."""
        return payload.Secrets(
            password=self.password.read_text(),
            host_key=self.host_key.read_bytes(),
            host_public_key=self.host_public.read_text().strip(),
            authorized_key=self.client_public.read_text().strip() + " kshs",
        )


def make(request: Request, progress: Callable[[str], None] | None = None) -> Plan:
    """Reads the medium and chooses the image.

    Raises:
        VmError: a file is missing, the medium is another one than asked for, or no image fits.
    """
    say = progress or (lambda text: None)
    profile = request.profile
    for path, option in ((request.openssh, "--openssh"), (request.virtio_win, "--virtio-win")):
        if path is not None and not path.is_file():
            raise InputError("there is no such file", str(path), f"check {option}")
    if profile.disk_bus == "virtio" and request.virtio_win is None:
        raise InputError(
            "its disk is on virtio, for which Windows has no driver",
            profile.name,
            "give --virtio-win FILE, or set disk_bus = 'sata'",
        )
    say(f"reading {request.iso.name}")
    medium = media.read(request.iso, profile.known)
    image = media.choose(medium, profile.wanted(), expected_sha256=request.sha256, known=profile.known)
    if profile.disk_bus == "virtio":
        virtio.folder_of(image)  # refuses what virtio-win has no driver for
    scratch = _anonymous(request, image)
    inputs: dict[str, object] = {
        "format": FORMAT,
        # How it is leased later makes it no other guest.
        "profile": profile.model_dump(mode="json", exclude={"leases", "devices"}),
        "iso": medium.sha256,
        "image": image.index,
        "cd": scratch,
        "virtio_win": media.digest(request.virtio_win) if request.virtio_win else None,
    }
    return Plan(request, medium, image, inputs)


def _anonymous(request: Request, image: WimImage) -> str:
    """The digest of the CD's content, which does not depend on keys and password."""
    nobody = payload.Secrets("", b"", "", "")
    return _payload(request, image, nobody).digest


def _payload(
    request: Request, image: WimImage, who: payload.Secrets, drivers: Path | None = None
) -> payload.Payload:
    return payload.build(
        request.profile,
        image_index=image.index,
        server=image.server,
        secrets=who,
        agent=request.agent,
        certificates=request.certificates,
        openssh=request.openssh,
        drivers=drivers,
        settle_seconds=request.profile.settle_seconds,
    )


@dataclass(frozen=True)
class Layout:
    """Where a guest in the making keeps its things."""

    folder: Path

    @property
    def answer_file(self) -> Path:
        """A copy of what is on the CD, for people."""
        return self.folder / cd.ANSWER_FILE

    @property
    def cd(self) -> Path:
        """The provisioning CD."""
        return self.folder / "provisioning.iso"

    @property
    def disk(self) -> Path:
        """The guest's disk."""
        return self.folder / "disk.qcow2"

    @property
    def variables(self) -> Path:
        """The guest's UEFI variables."""
        return self.folder / "uefi-vars.fd"

    @property
    def tpm(self) -> Path:
        """The state of the guest's TPM."""
        return self.folder / "tpm"

    @property
    def domain(self) -> Path:
        """The domain's XML, for people."""
        return self.folder / "domain.xml"

    @property
    def keys(self) -> Keys:
        """SSH keys and the account's password."""
        return Keys.in_folder(self.folder)


def write(plan: Plan, folder: Path) -> tuple[Layout, payload.Payload]:
    """Makes keys, answer file and CD in `folder`.

    Raises:
        VmError: a file cannot be read, or the answer file breaks a rule.
    """
    layout = Layout(private_directory(folder))
    layout.keys.make()
    drivers = None
    if plan.profile.disk_bus == "virtio" and plan.request.virtio_win is not None:
        drivers = virtio.extract(plan.request.virtio_win, plan.image, layout.folder / "drivers")
    content = _payload(plan.request, plan.image, layout.keys.secrets(), drivers)
    answers = content.files[cd.ANSWER_FILE]
    assert isinstance(answers, bytes)
    breaches = answer_rules.check(answers)
    if breaches:
        first = breaches[0]
        raise VmError(f"the answer file breaks the rule {first.rule!r}: {first.message}", first.place)
    write_whole(layout.answer_file, answers)
    cd.write(layout.cd, content.files)
    return layout, content


def media_of(plan: Plan, layout: Layout) -> tuple[Path, ...]:
    """The CDs in the order of the SATA ports: the medium, ours."""
    return (plan.request.iso.absolute(), layout.cd)


def domain_xml(plan: Plan, layout: Layout, accelerator: Accelerator, emulator: str) -> str:
    """The machine as it will be started; the port is chosen at each start and stands here as 0."""
    placement = description.Placement(
        name=f"kshs-{plan.profile.name}",
        disk=layout.disk,
        folder=layout.folder,
        ssh_port=0,
        cds=media_of(plan, layout),
    )
    firmware = description.firmware_pair() if plan.profile.firmware is Firmware.UEFI else None
    return description.build(
        plan.profile, placement, accelerator=accelerator.kind, emulator=emulator, firmware=firmware
    )


def dry_run(plan: Plan, folder: Path, config: VmConfig, accelerator: Accelerator) -> Sequence[str]:
    """Writes answer file, CD and domain XML; the plan as lines for people.

    Raises:
        VmError: as `write`; or the folder holds a guest in the making.
    """
    if (folder / "state.json").exists():
        raise InputError("a guest in the making lies here", str(folder), "choose another folder")
    layout, content = write(plan, folder)
    emulator = shutil.which(config.qemu) or config.qemu
    write_whole(layout.domain, domain_xml(plan, layout, accelerator, emulator), 0o644)
    return (
        *describe(plan, accelerator),
        f"steps: {', '.join(content.steps)}",
        f"written: {layout.answer_file}, {layout.cd}, {layout.domain}",
    )


def describe(plan: Plan, accelerator: Accelerator) -> Sequence[str]:
    """The plan as lines for people."""
    profile, image = plan.profile, plan.image
    known = profile.known
    trust = "a known medium" if known and known.sha256 == plan.medium.sha256 else "vouched for by --sha256"
    processors = counted(profile.cpus, "CPU")
    devices = f"{profile.disk_gib} GiB {profile.disk_bus} disk, e1000e"
    return (
        f"guest: {profile.name}, {profile.firmware}, {processors}, {profile.memory_mib} MiB, {devices}"
        + (", TPM 2.0" if profile.tpm else ""),
        f"medium: {plan.medium.path} ({plan.medium.size:,} bytes, SHA-256 {plan.medium.sha256}, {trust})",
        f"image: {image}, {image.version}, {image.architecture}, {', '.join(image.languages)}",
        f"OpenSSH: {plan.request.openssh or 'that of the medium'}",
        f"evaluation: {counted(profile.evaluation_days, 'day') if profile.evaluation_days else 'none known'}",
        f"runs on: {accelerator.kind} ({accelerator.reason})",
        f"image digest: {plan.digest}",
    )
