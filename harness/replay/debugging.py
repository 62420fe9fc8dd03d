# SPDX-License-Identifier: Apache-2.0
"""A recording under gdb, forwards and backwards, with the drivers' symbols where they lie in the guest."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.capsule.recording import COUNTED, DRIVERS, Recording
from harness.errors import UsageError
from harness.replay import symbol_file
from harness.replay.proving import ready, same_image, same_qemu
from vm.backwards import Backwards, Stand
from vm.errors import VmError
from vm.files import private_directory
from vm.gdb_remote import Link
from vm.recorded_machine import Machine

if TYPE_CHECKING:
    from vm.image import Image
    from vm.recorder import Recorder

SCRIPT = "replay.gdb"
_SOCKET = "gdb.sock"
#: Where our own sources lay when they were built, as their PDBs say.
_BUILT_AT = "/kshs/drivers"
_SOURCES = Path(__file__).resolve().parents[2] / "drivers"

Say = Callable[[str], None]


class _Replay(Machine):
    """A replay whose files go with it."""

    place: Path

    def quit(self) -> None:
        try:
            super().quit()
        except VmError:
            self.kill()
        shutil.rmtree(self.place, ignore_errors=True)


class Debugging:
    """A recording that one gdb can debug; a context.

    Args:
        recorder: has QEMU and a place.
        image: that the recording's disk lies on.
        folder: of the recording.
        said: what it says of itself.

    Raises:
        UsageError: it was recorded by another QEMU, or on another build of the image.
    """

    def __init__(self, recorder: Recorder, image: Image, folder: Path, said: Recording) -> None:
        same_qemu(recorder, folder, said)
        same_image(image, folder, said)
        self._recorder, self._image, self._folder, self._said = recorder, image, folder, said
        self.place = recorder.place()
        self.script = self.place / SCRIPT
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def __enter__(self) -> Debugging:
        self._listening.bind(str(self.place / _SOCKET))
        self._listening.listen(1)
        self.without = self._write_script()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()
        shutil.rmtree(self.place, ignore_errors=True)

    def serve(self, start: int | None = None) -> None:
        """Waits for a gdb and serves it until it leaves.

        Args:
            start: the instruction at which it finds the guest; by default the last one.

        Raises:
            VmError: QEMU does not start, or is gone.
        """
        stream, _ = self._listening.accept()
        debugger = Link(stream, "gdb")
        try:
            # The recording has at least one instruction more than it counts when it ends.
            Backwards(debugger, self._begin, self._said.instructions - 1).serve(start)
        finally:
            debugger.close()

    def _begin(self) -> Stand:
        place = self._recorder.place()
        stub = place / _SOCKET
        try:
            life = ready(self._folder, self._said, self._image, place, private_directory(place / "consoles"))
            more = ["-gdb", f"unix:{stub},server=on,wait=off"]
            machine = _Replay(
                self._recorder.qemu, self._image, self._said.memory_mib, place.name, place, life, more
            )
            machine.place = place
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        try:
            return Stand(machine, Link.to(stub, place.name))
        except BaseException:
            machine.quit()
            raise

    def _write_script(self) -> list[str]:
        """What gdb reads first: where symbols lie, and the socket; gives the drivers that have none."""
        without = []
        lines = ["set confirm off", "set architecture i386:x86-64", "set remotetimeout 36000"]
        lines += [f"set substitute-path {_BUILT_AT} {symbol_file.quoted(str(_SOURCES))}"]
        # A guest may write a driver's name with other capitals than the package has.
        files = {path.name.lower(): path for path in (self._folder / DRIVERS).glob("*")}
        for module in self._said.modules:
            stem = Path(module.name).stem
            pdb, driver = files.get(f"{stem}.pdb".lower()), files.get(module.name.lower())
            symbols = self.place / f"{stem}.o"
            if pdb is not None and symbol_file.write(pdb, symbols, driver):
                lines.append(f"add-symbol-file {symbol_file.quoted(str(symbols))} {module.base:#x}")
            else:
                without.append(module.name)
        lines.append(f"target remote {self.place / _SOCKET}")
        self.script.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return without


def debug(
    recorder: Recorder, image: Image, folder: Path, said: Recording, start: int | None, say: Say
) -> None:
    """Tells how to begin, and serves one gdb.

    Raises:
        UsageError: it cannot be debugged, or there is no such instruction.
        HarnessError, VmError: the symbols cannot be made; QEMU does not start, or is gone.
    """
    if said.schema_version < COUNTED:
        raise UsageError(
            "it was made by an older kshs: no debugger can stop in it", str(folder), "record again"
        )
    if start is not None and start >= said.instructions:
        raise UsageError(f"it has {said.instructions:,} instructions", "--at", "name an earlier one")
    with Debugging(recorder, image, folder, said) as debugging:
        for name in debugging.without:
            say(f"no symbols of {name}: its PDB is not in the recording")
        say(f"gdb -x {debugging.script}")
        debugging.serve(start)
