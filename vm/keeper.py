# SPDX-License-Identifier: Apache-2.0
"""Guests that outlive the process that leased them, for a person to look at.

Such a guest's slot is held by its *keeper*: a process that waits for the end of QEMU and holds the slot's
mark for as long.  So what is kept is told from what a dead run left (`vm.slots`), and is reaped like that as
soon as the guest has ended, or its keeper.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from vm.files import UseMark, read_json, remove_tree, write_json

_CHILD = Path(__file__).with_name("keeper_child.py")
_FACTS = "kept.json"


@dataclass(frozen=True)
class KeptGuest:
    """How a person gets at it.

    ``shell`` is a command line; ``gdb`` is the socket of QEMU's gdb stub, for gdb's ``target remote``;
    ``serial`` and ``debugcon`` are what the guest writes to its consoles.
    """

    name: str
    shell: str
    serial: Path
    debugcon: Path
    gdb: Path

    def lines(self) -> list[str]:
        """For people, one thing a line."""
        return [
            f"guest {self.name} is kept; kshs clean --kept ends it",
            f"  shell:    {self.shell}",
            f"  console:  {self.serial}",
            f"  debugcon: {self.debugcon}",
            f"  gdb stub: {self.gdb} (gdb -ex 'target remote {shlex.quote(str(self.gdb))}')",
        ]


def mark_of(slot: Path) -> Path:
    """The mark that a keeper holds, beside its slot."""
    return slot.with_name(f"{slot.name}.kept")


def is_kept(slot: Path) -> bool:
    """Whether a keeper holds this slot."""
    return UseMark.is_held(mark_of(slot))


def start(slot: Path, pid: int, guest: KeptGuest) -> None:
    """Leaves the guest, whose QEMU has this process id, to a keeper of its own.

    Raises:
        OSError: no process can be started.
    """
    mark = mark_of(slot)
    mark.touch(mode=0o600)
    held = UseMark(mark)
    try:
        facts = {"name": guest.name, "shell": guest.shell}
        facts |= {"serial": str(guest.serial), "debugcon": str(guest.debugcon), "gdb": str(guest.gdb)}
        write_json(slot / _FACTS, facts)
        # The lock goes with the open file, which the keeper inherits: at no moment is it nobody's.
        child = subprocess.Popen(
            [sys.executable, "-I", "-B", str(_CHILD), str(pid)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            pass_fds=[held.descriptor],
        )
        assert child.stdout is not None
        with child.stdout:
            child.stdout.read()  # it has QEMU by a descriptor, or that has ended
    finally:
        held.close()


def facts(slot: Path) -> KeptGuest | None:
    """What is kept in this slot; None where nothing is."""
    said = read_json(slot / _FACTS) if is_kept(slot) else None
    if said is None:
        return None
    paths = {name: Path(str(said.get(name, "-"))) for name in ("serial", "debugcon", "gdb")}
    return KeptGuest(str(said.get("name", "-")), str(said.get("shell", "-")), **paths)


def forget(slot: Path) -> None:
    """Removes the mark of a slot that was emptied."""
    if not is_kept(slot):
        remove_tree(mark_of(slot))
