# SPDX-License-Identifier: Apache-2.0
"""Leases of sealed Windows images, behind the same `Lease` as those of the wine image.

Three ways (`vm.windows.profile.Way`).  *fork*: the prepared guest's memory and devices are saved once, and
every lease goes on from there, its memory mapped from the template's.  *saved*: the same, but each lease
reads the memory from a file.  *boot*: the prepared guest is shut down once, and every lease starts from its
disk.

A way is tried when its template is made: a guest is leased and must answer.  Where it does not, that is on
record (`vm.windows.ways`) and the next way is taken.  A TPM's state travels with the devices' (QEMU asks
swtpm for it), so a guest with one can be forked like any other.
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
from typing import TYPE_CHECKING, Any

from vm.errors import VmError
from vm.files import digest_of, locked, private_directory, remove_tree, write_json
from vm.hypervisor import Hypervisor
from vm.lease import Lease
from vm.progress import WARNING, Progress, Silent
from vm.shell import Shell
from vm.ssh import Endpoint, connect
from vm.template import Layer, Template, claim, overlay, prune
from vm.windows import tpm, ways
from vm.windows.devices import parse as parse_device
from vm.windows.machine import Hardware, Machine
from vm.windows.profile import Way
from vm.windows.sealed import WindowsImage
from vm.windows.turn_off import shut_down

if TYPE_CHECKING:
    from vm.plugin.block_map import BlockMap

FORMAT = 2
"""Raised when the layout of a template's directory changes."""
_BOOT_SECONDS = {"kvm": 300.0, "tcg": 1800.0}
_SHUT_DOWN_SECONDS = {"kvm": 180.0, "tcg": 900.0}
_LOAD_SECONDS = 300.0


@dataclass(frozen=True)
class WindowsTemplate(Template):
    """A prepared guest of a sealed Windows image."""

    image: WindowsImage
    way: Way
    """How leases come to be."""

    @property
    def ways_that_failed(self) -> Mapping[str, str]:
        """What was tried before, with the reasons."""
        said = self.manifest.get("ways_that_failed")
        return {str(way): str(reason) for way, reason in said.items()} if isinstance(said, dict) else {}

    @property
    def variables(self) -> Path:
        """UEFI variables as they were then; absent for BIOS."""
        return self.path / "uefi-vars.fd"

    def endpoint(self, port: int) -> Endpoint:
        """The SSH server of a guest behind `port`."""
        return self.image.endpoint(port)


class WindowsLease(Lease):
    """A lease whose machine has more to be ended than QEMU: a TPM, sockets."""

    def __init__(
        self,
        hv: Hypervisor,
        template: WindowsTemplate,
        machine: Machine,
        shell: Shell,
        directory: Path,
        evidence: Path,
        counters: BlockMap | None = None,
    ) -> None:
        super().__init__(hv, template, machine.domain, machine.port, shell, directory, evidence, counters)
        self._machine = machine

    def release(self) -> None:
        """Ends the guest and its TPM and removes its disk; evidence that was asked for elsewhere stays."""
        if not self._released:
            self.shell.close()
            self._machine.end()
        super().release()


def ensure(
    hv: Hypervisor,
    image: WindowsImage,
    layer: Layer | None = None,
    progress: Progress | None = None,
    *,
    way: Way | None = None,
) -> WindowsTemplate:
    """The template of `image` with `layer`, made where it is not there yet; see `vm.template.ensure`.

    Args:
        hv: the open hypervisor.
        image: a sealed image.
        layer: what is put into the guest.
        progress: told what is done, and each way that did not work, with the reason.
        way: this one and no other; by default the image's own (``leases``), else the first that works.

    Raises:
        VmError: the guest does not come up, ``layer.prepare`` raised one, or the way that was asked for does
            not work, or cannot be with its devices.
    """
    watcher = progress or Silent()
    # What was sealed is no wish for guests that have since been given a device of the host's.
    asked = way or (None if image.holds_host_devices else image.profile.leases)
    tried = list(ways.candidates(hv, image, asked))
    while True:
        chosen = tried.pop(0)
        try:
            return _ensure(hv, image, layer, watcher, chosen)
        except ways.WayFailedError as error:
            ways.note(hv, image, error)
            if not tried:
                raise VmError(
                    f"its guests cannot be leased by '{chosen}': {error}",
                    f"guest {image.name}",
                    "leave out `leases` in kshs.toml, and kshs takes a way that works" if asked else None,
                ) from None
            watcher.step(
                f"{WARNING}guest {image.name}: leases by '{chosen}' do not work here ({error});"
                f" taking '{tried[0]}'"
            )


def _ensure(
    hv: Hypervisor, image: WindowsImage, layer: Layer | None, progress: Progress, way: Way
) -> WindowsTemplate:
    key: dict[str, Any] = {
        "format": FORMAT,
        "image": image.digest,
        "disk": image.disk_sha256,
        "layer": layer.digest if layer is not None else None,
        "qemu": hv.qemu_version,
        "accelerator": hv.accelerator.kind,
        "way": str(way),
        **({"devices": list(image.devices)} if image.devices else {}),
        **({"plugin": hv.plugin.digest} if hv.plugin is not None and layer is not None else {}),
    }
    digest = digest_of(key)
    private_directory(hv.config.cache_dir)
    path = private_directory(hv.config.templates_dir) / f"{image.name}-{digest[:16]}"
    found = _open(path, digest, image, way)
    if found is not None:
        return found
    with locked(path.with_suffix(".lock"), progress, "makes the same template"):
        found = _open(path, digest, image, way)
        if found is None:
            try:
                _make(hv, image, path, key, layer, progress)
            except BaseException:
                remove_tree(path.with_suffix(".build"))
                raise
            found = _open(path, digest, image, way)
    if found is None:
        raise VmError("the template that was just made cannot be read", str(path))
    prune(hv.config)
    return found


def _open(path: Path, digest: str, image: WindowsImage, way: Way) -> WindowsTemplate | None:
    claimed = claim(path, digest)
    if claimed is None:
        return None
    manifest, mark = claimed
    return WindowsTemplate(digest, path, manifest, image, image.profile.memory_mib, mark, way)


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
    way = Way(key["way"])
    hardware = _hardware(image, part, image.disk, image.path)
    ram = part / "ram" if way is Way.FORK else None
    progress.step(f"template: booting {image.name}", 0.1)
    _, plugin = hv.counters(part, drivers_of=image.family) if layer is not None else (None, None)
    with Machine(hv, hardware, part, ram=ram, ram_shared=True, plugin=plugin) as machine:
        machine.resume()
        shell = _shell(hv, image, machine, booting=True)
        try:
            progress.step("template: preparing the guest", 0.5)
            # The guest's session began with its start; a first program loads what every later one needs.
            shell.run(shell.wine(["cmd", "/c", "ver"]), timeout=300, check=True)
            if layer is not None:
                layer.prepare(shell)
            shell.run(image.speech.settle, check=True)
            if way is Way.BOOT:
                progress.step("template: shutting the guest down", 0.8)
                _shut_down(hv, shell, machine)
        finally:
            shell.close()
        if way is not Way.BOOT:
            progress.step("template: saving", 0.85)
            _save(machine, way, part / "state")
    if way is not Way.BOOT:
        progress.step("template: leasing a guest from it, to see that it lives", 0.95)
        _try_out(hv, image, way, part)
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
            "ways_that_failed": dict(ways.failed(hv, image)),
        },
    )
    remove_tree(path)
    part.rename(path)


def _save(machine: Machine, way: Way, state: Path) -> None:
    machine.domain.await_no_connection()
    try:
        machine.domain.suspend()
        if way is Way.FORK:
            machine.domain.save_devices(state, timeout=_LOAD_SECONDS)
        else:
            machine.domain.save_all(state)
    except VmError as error:
        raise ways.WayFailedError(way, error) from None


def _try_out(hv: Hypervisor, image: WindowsImage, way: Way, part: Path) -> None:
    """One guest of the template in the making: whatever it lacks, the way is to blame.

    Its consoles, and what its display shows, are kept where it fails.

    Raises:
        WayFailedError: it does not start, or does not answer.
    """
    evidence = ways.evidence_of(image, way)
    remove_tree(evidence)
    private_directory(evidence.parent)
    directory = private_directory(hv.slot / "leases" / f"{image.name}-{os.urandom(4).hex()}")
    try:
        machine, shell = _start(hv, image, way, part, directory, evidence)
        try:
            shell.run(shell.wine(["cmd", "/c", "ver"]), timeout=300, check=True)
        finally:
            shell.close()
            machine.end()
        remove_tree(evidence)
    except VmError as error:
        raise ways.WayFailedError(way, error, evidence) from None
    finally:
        remove_tree(directory)


def _hardware(image: WindowsImage, folder: Path, disk: Path, source: Path) -> Hardware:
    """The machine on an overlay of `disk`, and with copies of what else is in `source`; all in `folder`."""
    overlay(folder / "disk.qcow2", disk, "qcow2")
    if (source / "uefi-vars.fd").exists():
        shutil.copyfile(source / "uefi-vars.fd", folder / "uefi-vars.fd")
    if image.profile.tpm:
        tpm.copy(source / "tpm", folder / "tpm")
    devices = tuple(map(parse_device, image.devices))
    return Hardware(image.profile, folder / "disk.qcow2", folder / "uefi-vars.fd", devices=devices)


def _start(
    hv: Hypervisor,
    image: WindowsImage,
    way: Way,
    source: Path,
    directory: Path,
    consoles: Path,
    plugin: str | None = None,
) -> tuple[Machine, Shell]:
    """A guest of the template in `source`, running and connected to.

    `consoles` gets ``com1.log`` and ``debugcon.log``, and ``screenshot.png`` of one that does not answer.

    Raises:
        VmError: it does not start.
        GuestLost, GuestTimeout: it starts and does not answer.
    """
    hardware = _hardware(image, directory, source / "disk.qcow2", source)
    ram = source / "ram" if way is Way.FORK else None
    machine = Machine(hv, hardware, consoles, incoming=way is not Way.BOOT, ram=ram, plugin=plugin)
    try:
        if way is Way.FORK:
            machine.domain.load_devices(source / "state", timeout=_LOAD_SECONDS)
        elif way is Way.SAVED:
            machine.domain.load_all(source / "state")
        machine.resume()
        return machine, _shell(hv, image, machine, booting=way is Way.BOOT)
    except BaseException as error:
        if isinstance(error, VmError) and machine.domain.events.wait(lambda events: events.stopped, 1.0):
            error.message += f" ({machine.ended})"  # the reason of what else was noticed
        else:
            with contextlib.suppress(VmError):
                machine.domain.screenshot(consoles / "screenshot.png")
        machine.end()
        raise


def _shell(hv: Hypervisor, image: WindowsImage, machine: Machine, *, booting: bool) -> Shell:
    seconds = _BOOT_SECONDS[hv.accelerator.kind] if booting else hv.config.connect_timeout
    transport = connect(image.endpoint(machine.port), seconds, booting=booting)
    shell = Shell(transport, image.speech, machine.domain.name)
    # Windows' own commands depend on its locale; a clock that stays behind is no reason to have no guest.
    shell.run(image.speech.set_clock(time.time()))
    return shell


def _shut_down(hv: Hypervisor, shell: Shell, machine: Machine) -> None:
    seconds = _SHUT_DOWN_SECONDS[hv.accelerator.kind]
    if not shut_down(shell, machine, seconds):
        raise VmError(f"does not shut down within {seconds:.0f} s", machine.domain.name)


def acquire(hv: Hypervisor, template: WindowsTemplate, *, evidence: Path | None = None) -> Lease:
    """A clean guest of the template, connected to; see `vm.lease.acquire`.

    Raises:
        VmError: it does not start.
        GuestLost, GuestTimeout: it starts and does not answer.
    """
    image = template.image
    directory = private_directory(
        private_directory(hv.slot / "leases") / f"{image.name}-{os.urandom(4).hex()}"
    )
    consoles = private_directory(evidence if evidence is not None else directory)
    counters, plugin = hv.counters(directory)
    try:
        machine, shell = _start(hv, image, template.way, template.path, directory, consoles, plugin)
    except BaseException:
        remove_tree(directory)
        raise
    return WindowsLease(hv, template, machine, shell, directory, consoles, counters)
