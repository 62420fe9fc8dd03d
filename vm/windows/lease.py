# SPDX-License-Identifier: Apache-2.0
"""Leases of sealed Windows images, behind the same `Lease` as those of the wine image.

Two ways.  *fork*: the prepared guest's memory and devices are saved once, and every lease goes on from there.
*boot*: the prepared guest is shut down once, and every lease starts from its disk.  A guest with a TPM boots,
because the TPM's state lies in another process, and a fork would share it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from vm.errors import VmError
from vm.family import Family
from vm.files import digest_of, locked, private_directory, remove_tree, write_json
from vm.hypervisor import Hypervisor
from vm.lease import Lease
from vm.progress import Progress, Silent
from vm.ssh import Endpoint, Shell, connect
from vm.template import Layer, Template, claim, overlay
from vm.windows.machine import Hardware, Machine
from vm.windows.sealed import WindowsImage

FORMAT = 1
"""Raised when the layout of a template's directory changes."""
Way = Literal["fork", "boot"]
_BOOT_SECONDS = {"kvm": 300.0, "tcg": 1800.0}
_SHUT_DOWN_SECONDS = {"kvm": 180.0, "tcg": 900.0}


@dataclass(frozen=True)
class WindowsTemplate(Template):
    """A prepared guest of a sealed Windows image."""

    image: WindowsImage

    @property
    def family(self) -> Family:
        """How to speak to its guests."""
        return self.image.speech

    @property
    def way(self) -> Way:
        """How leases come to be."""
        return "boot" if self.manifest["key"]["way"] == "boot" else "fork"

    @property
    def variables(self) -> Path:
        """UEFI variables as they were then; absent for BIOS."""
        return self.path / "uefi-vars.fd"

    def endpoint(self, port: int) -> Endpoint:
        """The SSH server of a guest behind `port`."""
        return self.image.endpoint(port)


def choose_way(image: WindowsImage) -> Way:
    """Fork where it works."""
    return "boot" if image.profile.tpm else "fork"


def ensure(
    hv: Hypervisor,
    image: WindowsImage,
    layer: Layer | None = None,
    progress: Progress | None = None,
    *,
    way: Way | None = None,
) -> WindowsTemplate:
    """The template of `image` with `layer`, made where it is not there yet; see `vm.template.ensure`.

    Raises:
        VmError: the guest does not come up, or ``layer.prepare`` raised one.
    """
    watcher = progress or Silent()
    key: dict[str, Any] = {
        "format": FORMAT,
        "image": image.digest,
        "disk": image.manifest["disk_sha256"],
        "layer": layer.digest if layer is not None else None,
        "qemu": hv.qemu_version,
        "accelerator": hv.accelerator.kind,
        "way": way or choose_way(image),
    }
    digest = digest_of(key)
    private_directory(hv.config.cache_dir)
    path = private_directory(hv.config.templates_dir) / f"{image.name}-{digest[:16]}"
    found = _open(path, digest, image)
    if found is not None:
        return found
    with locked(path.with_suffix(".lock"), watcher, "makes the same template"):
        found = _open(path, digest, image)
        if found is None:
            try:
                _make(hv, image, path, key, layer, watcher)
            except BaseException:
                remove_tree(path.with_suffix(".build"))
                raise
            found = _open(path, digest, image)
    if found is None:
        raise VmError("the template that was just made cannot be read", str(path))
    return found


def _open(path: Path, digest: str, image: WindowsImage) -> WindowsTemplate | None:
    claimed = claim(path, digest)
    if claimed is None:
        return None
    manifest, mark = claimed
    return WindowsTemplate(digest, path, manifest, image, image.profile.memory_mib, mark)


def _make(
    hv: Hypervisor,
    image: WindowsImage,
    path: Path,
    key: Mapping[str, Any],
    layer: Layer | None,
    progress: Progress,
) -> None:
    part = path.with_suffix(".build")
    remove_tree(part)
    private_directory(part)
    begun = time.monotonic()
    fork = key["way"] == "fork"
    hardware = _hardware(image, part, image.disk, image.variables)
    progress.step(f"template: booting {image.name}", 0.1)
    with Machine(hv, hardware, part, ram=part / "ram" if fork else None, ram_shared=True) as machine:
        machine.resume()
        shell = _shell(hv, image, machine, booting=True)
        try:
            progress.step("template: preparing the guest", 0.5)
            # The guest's session began with its start; a first program loads what every later one needs.
            shell.run(shell.wine(["cmd", "/c", "ver"]), timeout=300, check=True)
            if layer is not None:
                layer.prepare(shell)
            shell.run(image.speech.settle, check=True)
            if not fork:
                progress.step("template: shutting the guest down", 0.8)
                _shut_down(hv, shell, machine)
        finally:
            shell.close()
        if fork:
            progress.step("template: saving", 0.9)
            machine.domain.await_no_connection()
            machine.domain.suspend()
            machine.domain.save_devices(part / "state", timeout=300)
    (part / "in-use").touch(mode=0o600)
    write_json(
        part / "manifest.json",
        {
            "digest": digest_of(dict(key)),
            "key": dict(key),
            "parent": None,
            "image": str(image.path),
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - begun, 2),
        },
    )
    remove_tree(path)
    part.rename(path)


def _hardware(image: WindowsImage, folder: Path, disk: Path, variables: Path) -> Hardware:
    """The machine on an overlay of `disk` and a copy of `variables`, both in `folder`."""
    overlay(folder / "disk.qcow2", disk, "qcow2")
    if variables.exists():
        shutil.copyfile(variables, folder / "uefi-vars.fd")
    return Hardware(image.profile, folder / "disk.qcow2", folder / "uefi-vars.fd")


def _shell(hv: Hypervisor, image: WindowsImage, machine: Machine, *, booting: bool) -> Shell:
    seconds = _BOOT_SECONDS[hv.accelerator.kind] if booting else hv.config.connect_timeout
    transport = connect(image.endpoint(machine.port), seconds, booting=booting)
    shell = Shell(transport, image.speech, machine.domain.name)
    # Windows' own commands depend on its locale; a clock that stays behind is no reason to have no guest.
    shell.run(image.speech.set_clock(time.time()))
    return shell


def _shut_down(hv: Hypervisor, shell: Shell, machine: Machine) -> None:
    command = "shutdown /s /t 0 /f" if shell.family.name == "windows" else "sync; poweroff"
    with contextlib.suppress(VmError):  # the answer may not come back any more
        shell.run(command, timeout=30)
    seconds = _SHUT_DOWN_SECONDS[hv.accelerator.kind]
    if not machine.domain.events.wait(lambda events: events.stopped, seconds):
        raise VmError(f"does not shut down within {seconds:.0f} s", machine.domain.name)


def acquire(hv: Hypervisor, template: WindowsTemplate, *, evidence: Path | None = None) -> Lease:
    """A clean guest of the template, connected to; see `vm.lease.acquire`.

    Raises:
        VmError: it does not start.
        GuestLost, GuestTimeout: it starts and does not answer.
    """
    unique = os.urandom(4).hex()
    directory = private_directory(private_directory(hv.slot / "leases") / f"{template.image.name}-{unique}")
    consoles = private_directory(evidence if evidence is not None else directory)
    fork = template.way == "fork"
    machine = None
    try:
        hardware = _hardware(template.image, directory, template.disk, template.variables)
        machine = Machine(hv, hardware, consoles, incoming=fork, ram=template.ram if fork else None)
        if fork:
            machine.domain.load_devices(template.state, timeout=300)
        machine.resume()
        shell = _shell(hv, template.image, machine, booting=not fork)
    except BaseException:
        if machine is not None:
            machine.end()
        remove_tree(directory)
        raise
    return Lease(hv, template, machine.domain, machine.port, shell, directory, consoles)
