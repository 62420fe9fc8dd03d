# SPDX-License-Identifier: Apache-2.0
"""Memory templates: the point of a guest's life from which leases are forked.

The memory of a template in the making is a shared mapping of a file, so saving it means writing the
devices' state alone (QEMU's capability ``x-ignore-shared``), and a fork maps the same file privately:
pages are copied when they are written, and the file never changes again.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vm.commands import run
from vm.config import VmConfig
from vm.domain import Domain, LinuxGuest
from vm.errors import VmError
from vm.family import Family, family
from vm.files import (
    UseMark,
    digest_of,
    last_use,
    locked,
    private_directory,
    read_json,
    remove_tree,
    write_json,
)
from vm.hypervisor import COUNTERS, Hypervisor
from vm.image import Image
from vm.ports import with_free_port
from vm.progress import Progress, Silent
from vm.ssh import Endpoint, connect

if TYPE_CHECKING:
    from vm.shell import Shell

FORMAT = 1
"""Raised when the layout of a template's directory, or the guest's hardware, changes."""


@dataclass(frozen=True)
class Layer:
    """What a template has on top of a warm guest.

    ``digest`` names all that ``prepare`` puts into the guest; equal digests must mean equal guests.
    """

    digest: str
    prepare: Callable[[Shell], None]


@dataclass(frozen=True)
class Template:
    """A saved guest; forking never changes it.  It stays in use (is not pruned) while this object lives."""

    digest: str
    path: Path
    manifest: Mapping[str, Any]
    image: Image
    memory_mib: int
    in_use: UseMark = field(repr=False, compare=False)

    @property
    def family(self) -> Family:
        """How to speak to guests forked from it."""
        return family(self.image.family)

    @property
    def cpus(self) -> int:
        """Processors of the guest."""
        return int(self.manifest["key"].get("cpus", 1))

    @property
    def disk(self) -> Path:
        """The lowest layer but one: what the guest had written when it was saved."""
        return self.path / "disk.qcow2"

    @property
    def ram(self) -> Path:
        """The memory (sparse)."""
        return self.path / "ram"

    @property
    def state(self) -> Path:
        """The devices."""
        return self.path / "state"

    @property
    def counters(self) -> Path | None:
        """What ran while the layer was prepared (`vm.plugin.block_map`); None where nobody counted."""
        path = self.path / COUNTERS
        return path if path.exists() else None

    def endpoint(self, port: int) -> Endpoint:
        """The SSH server of a guest of this image behind ``port``."""
        return Endpoint(port, self.image.client_key, self.image.host_key)


def ensure(
    hv: Hypervisor,
    image: Image,
    layer: Layer | None = None,
    progress: Progress | None = None,
    config: VmConfig | None = None,
) -> Template:
    """The template of ``image`` with ``layer``, made where it is not there yet.

    One process makes it, others wait.  Old templates that nobody uses are pruned.
    ``config`` says how large the guest is; by default the hypervisor's settings do.

    Raises:
        VmError: the guest does not come up, or ``layer.prepare`` raised one.
    """
    watcher = progress or Silent()
    size = config or hv.config
    key = {
        "format": FORMAT,
        "image": image.digest,
        "layer": layer.digest if layer is not None else None,
        "qemu": hv.qemu_version,
        "accelerator": hv.accelerator.kind,
        "machine": hv.config.machine,
        "memory_mib": size.memory_mib,
        "warm_up": list(family(image.family).warm_up),
        **({"cpus": size.cpus} if size.cpus > 1 else {}),
        # The guest would be the same; what is known of how it came to be is more.
        **({"plugin": hv.plugin.digest} if hv.plugin is not None and layer is not None else {}),
    }
    digest = digest_of(key)
    private_directory(hv.config.cache_dir)
    directory = private_directory(hv.config.templates_dir)
    path = directory / f"{image.family}-{'layer' if layer else 'warm'}-{digest[:16]}"
    found = _open(path, digest, image, size)
    if found is not None:
        return found
    with locked(path.with_suffix(".lock"), watcher, "makes the same template"):
        found = _open(path, digest, image, size)
        if found is None:
            parent = ensure(hv, image, None, watcher, size) if layer is not None else None
            try:
                _make(hv, image, path, key, layer, parent, watcher, size)
            except BaseException:
                remove_tree(path.with_suffix(".build"))
                raise
            finally:
                if parent is not None:
                    parent.in_use.close()
            found = _open(path, digest, image, size)
    if found is None:
        raise VmError("the template that was just made cannot be read", str(path))
    prune(hv.config)
    return found


def prune(config: VmConfig) -> list[Path]:
    """Removes the templates that were least recently used, but for those that are needed and the last few."""
    known = {
        path: manifest
        for path in config.templates_dir.glob("*-*")
        if path.is_dir() and path.suffix == "" and (manifest := read_json(path / "manifest.json")) is not None
    }
    newest = sorted(known, key=lambda path: last_use(path / "in-use"), reverse=True)
    needed = set(newest[: config.keep_templates])
    needed |= {path for path in known if UseMark.is_held(path / "in-use")}
    needed |= {Path(parent) for path in list(needed) if (parent := known[path].get("parent")) is not None}
    return [path for path in newest if path not in needed and UseMark.remove_unused(path, path / "in-use")]


def _open(path: Path, digest: str, image: Image, config: VmConfig) -> Template | None:
    claimed = claim(path, digest)
    return Template(digest, path, claimed[0], image, config.memory_mib, claimed[1]) if claimed else None


def claim(path: Path, digest: str) -> tuple[Mapping[str, Any], UseMark] | None:
    """The manifest of the complete template at ``path``, marked as in use from now on.

    None where there is none, or one of another digest.
    """
    if not (path / "manifest.json").exists():
        return None
    try:
        mark = UseMark(path / "in-use")
    except FileNotFoundError:
        return None
    # Only now is it safe from being pruned, so only now is what it says worth reading.
    manifest = read_json(path / "manifest.json")
    if manifest is None or manifest.get("digest") != digest:
        mark.close()
        return None
    os.utime(path / "in-use")
    return manifest, mark


def _make(
    hv: Hypervisor,
    image: Image,
    path: Path,
    key: Mapping[str, Any],
    layer: Layer | None,
    parent: Template | None,
    progress: Progress,
    size: VmConfig,
) -> None:
    part = path.with_suffix(".build")
    remove_tree(part)
    private_directory(part)
    speech = family(image.family)
    begun = time.monotonic()
    seconds: dict[str, float] = {}

    def lap(name: str) -> None:
        seconds[name] = round(time.monotonic() - begun - sum(seconds.values()), 2)

    if parent is None:
        progress.step("template: booting the image", 0.1)
        overlay(part / "disk.qcow2", image.disk, "raw")
    else:
        progress.step("template: copying the warm guest", 0.1)
        overlay(part / "disk.qcow2", parent.disk, "qcow2")
        run(
            ["cp", "--sparse=always", "--reflink=auto", str(parent.ram), str(part / "ram")],
            what="copying the warm guest's memory",
        )
    _, plugin = hv.counters(part, drivers_of=image.family) if layer is not None else (None, None)
    with _running(hv, image, part, size, incoming=parent is not None, plugin=plugin) as (domain, port):
        if parent is not None:
            domain.load_devices(parent.state)
        domain.resume()
        endpoint = Endpoint(port, image.client_key, image.host_key)
        timeout = hv.config.boot_timeout if parent is None else hv.config.connect_timeout
        transport = connect(endpoint, timeout, booting=parent is None)
        from vm.shell import Shell  # not before it is needed: a run that has its template needs none here

        shell = Shell(transport, speech, domain.name)
        try:
            shell.run(speech.set_clock(time.time()), check=True)
            lap("up")
            if layer is None:
                progress.step("template: starting the guest's services", 0.5)
                for line in speech.warm_up:
                    shell.run(line, timeout=120, check=True)
            else:
                progress.step("template: preparing the guest", 0.5)
                layer.prepare(shell)
            shell.run(speech.settle, check=True)
            lap("prepared")
        finally:
            shell.close()
        progress.step("template: saving", 0.9)
        domain.await_no_connection()
        domain.suspend()
        domain.save_devices(part / "state")
        lap("saved")
    sizes = {name: (part / name).stat().st_blocks * 512 for name in ("ram", "state", "disk.qcow2")}
    (part / "in-use").touch(mode=0o600)
    manifest = {
        "digest": digest_of(key),
        "key": dict(key),
        "parent": str(parent.path) if parent is not None else None,
        "image": str(image.path),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "bytes_on_disk": sizes,
        "seconds": seconds,
    }
    write_json(part / "manifest.json", manifest)
    remove_tree(path)
    part.rename(path)


@contextlib.contextmanager
def _running(
    hv: Hypervisor, image: Image, part: Path, size: VmConfig, *, incoming: bool, plugin: str | None
) -> Iterator[tuple[Domain, int]]:
    """The machine that becomes a template; ended in any case."""

    def start(port: int) -> Domain:
        name, unique = hv.new_identity()
        guest = guest_of(
            hv, image, name, unique, disk=part / "disk.qcow2", ram=part / "ram", ram_shared=True,
            port=port, evidence=part, incoming=incoming, plugin=plugin,
            memory_mib=size.memory_mib, cpus=size.cpus,
        )  # fmt: skip
        return hv.start(guest.xml(), name, unique)

    domain, port = with_free_port(start)
    try:
        yield domain, port
    finally:
        domain.kill()
        hv.forget(domain)


def guest_of(hv: Hypervisor, image: Image, name: str, unique: str, **how: Any) -> LinuxGuest:
    """The one description from which a template and all of its forks are started."""
    return LinuxGuest(
        name=name,
        uuid=unique,
        emulator=hv.emulator,
        machine=hv.config.machine,
        accelerator=hv.accelerator,
        kernel=image.kernel,
        initrd=image.initrd,
        **how,
    )


def overlay(path: Path, backing: Path, form: str) -> None:
    """An empty disk on top of ``backing``, which is only read from then on."""
    run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-F", form, "-b", str(backing), str(path)],
        what="making a disk overlay",
    )
    path.chmod(0o600)
