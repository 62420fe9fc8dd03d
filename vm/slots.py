# SPDX-License-Identifier: Apache-2.0
"""Slots: numbered directories of the runtime directory, each of one live process.

A slot's lock is held for as long as its process lives.  So a slot whose lock is free is of a dead run,
and whatever runs or lies in it may be removed, unless a guest is kept there (`vm.keeper`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import BaseFileLock

from vm import keeper
from vm.config import VmConfig
from vm.domain import kill_process
from vm.errors import VmError
from vm.files import private_directory, remove_tree, try_lock

SLOTS = 64
KEPT = ("cache", "etc")
"""What libvirt found out about QEMU, and its settings: they outlive a process."""
_MACHINE, _TPM = "qemu-system-", "swtpm"


@dataclass
class Slot:
    """A slot that this process holds."""

    directory: Path
    lock: BaseFileLock
    kept: bool = False

    def release(self) -> None:
        """Empties it, unless a guest is kept there, and lets another process have it, unless it is kept.

        libvirt may be removing the same files just now; what is then left is removed by the next to take it.
        """
        if not keeper.is_kept(self.directory):
            with contextlib.suppress(OSError):
                empty(self.directory)
        if not self.kept:
            self.lock.release()


_kept: dict[Path, Slot] = {}
"""By runtime directory: what this process keeps until it ends."""


def keep(config: VmConfig) -> Slot:
    """`take`, and the same slot each time, which stays this process's own when it is released.

    libvirt's embedded driver takes no other root directory in the life of a process.  Were the slot given
    back meanwhile, another run could have it, and this process would never again open its hypervisor.

    Raises:
        VmError: all are taken.
    """
    slot = _kept.get(config.runtime_dir)
    if slot is None:
        slot = _kept[config.runtime_dir] = take(config)
        slot.kept = True
    elif keeper.is_kept(slot.directory):
        raise VmError(
            "this process keeps a guest, and has no other slot", str(slot.directory), "use another process"
        )
    else:
        private_directory(private_directory(config.runtime_dir) / slot.directory.name)
        empty(slot.directory)
    return slot


def take(config: VmConfig) -> Slot:
    """The first free slot, emptied of what a dead run left.

    Raises:
        VmError: all are taken.
    """
    runtime = private_directory(config.runtime_dir)
    for number in range(SLOTS):
        directory = runtime / f"r{number}"
        lock = try_lock(runtime / f"r{number}.lock")
        if lock is None:
            continue
        if keeper.is_kept(directory):
            lock.release()
            continue
        private_directory(directory)
        empty(directory)
        return Slot(directory, lock)
    raise VmError(f"all {SLOTS} slots are in use", str(runtime), "end another run")


def empty(directory: Path) -> list[str]:
    """Ends the machines of a slot whose lock is held here, and removes their files; says what there was."""
    gone = []
    running = list(_processes())
    for pid, name in machines(directory, running):
        if kill_process(pid, f"{directory}/"):
            gone.append(f"guest {name} (process {pid})")
    gone += [f"TPM of a guest (process {pid})" for pid in end_helpers(f"{directory}/", running)]
    gone += [f"files of {path.name}" for path in sorted(directory.glob("leases/*"))]
    for entry in directory.iterdir() if directory.is_dir() else []:
        if entry.name not in KEPT:
            remove_tree(entry)
    keeper.forget(directory)
    return gone


def machines(
    directory: Path, running: Iterable[tuple[int, list[bytes]]] | None = None
) -> Iterator[tuple[int, str]]:
    """Process ids and names of the QEMU processes that work below ``directory``."""
    mark = f"{directory}/".encode()
    for pid, arguments in _processes() if running is None else running:
        if _program(arguments).startswith(_MACHINE) and mark in b"\0".join(arguments):
            yield pid, _guest_name(arguments)


def end_helpers(mark: Path | str, running: Iterable[tuple[int, list[bytes]]] | None = None) -> list[int]:
    """Ends the TPMs whose command line holds ``mark``; they end by themselves when their machine does."""
    sought = os.fsencode(mark)
    found = [
        pid
        for pid, arguments in (_processes() if running is None else running)
        if _program(arguments) == _TPM and sought in b"\0".join(arguments)
    ]
    return [pid for pid in found if kill_process(pid, str(mark))]


def find_process(mark: str) -> int | None:
    """The id of the QEMU process on this host whose command line holds ``mark``."""
    wanted = mark.encode()
    for pid, arguments in _processes():
        if _program(arguments).startswith(_MACHINE) and wanted in arguments:
            return pid
    return None


def _program(arguments: list[bytes]) -> str:
    return Path(os.fsdecode(arguments[0])).name


def _processes() -> Iterator[tuple[int, list[bytes]]]:
    """Machines and TPMs of our own mount namespace and root directory; a path elsewhere only looks like ours.

    Containers have namespaces of their own, a changed root (chroot) has not.
    """
    here, root = Path("/proc/self/ns/mnt").readlink(), Path("/proc/self/root").stat()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            arguments = (entry / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
            if not _program(arguments).startswith((_MACHINE, _TPM)):
                continue
            elsewhere = (entry / "ns" / "mnt").readlink() != here
            elsewhere = elsewhere or not os.path.samestat((entry / "root").stat(), root)
        except OSError:
            continue
        if not elsewhere:
            yield int(entry.name), arguments


def _guest_name(arguments: list[bytes]) -> str:
    for argument in arguments:
        if argument.startswith(b"guest="):
            return os.fsdecode(argument[len(b"guest=") :].split(b",")[0])
    return "without a name"
