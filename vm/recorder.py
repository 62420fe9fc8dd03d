# SPDX-License-Identifier: Apache-2.0
"""Recorded guests: the state that recordings begin with, and leases of it that are recorded.

The state is an internal snapshot (savevm) of a qcow2 disk, made once: image, warm-up, drivers, as for every
template.  It is made while QEMU records, since only then does it hold the count of instructions as a
recording has it; without that a replay never reaches an instruction that it is told to stop at.  Each
recording and each replay goes on from a copy of that disk, so a recording is the state, which never changes,
and a log of some hundred kilobytes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from vm import reaper, slots
from vm.config import VmConfig
from vm.domain import option_value
from vm.errors import VmError
from vm.events import GuestEvents
from vm.family import family
from vm.files import digest_of, locked, private_directory, remove_tree, write_json
from vm.image import Image
from vm.lease import Lease
from vm.ports import with_free_port
from vm.progress import Progress, Silent
from vm.recorded_machine import Life, Machine
from vm.replay_qemu import ReplayQemu
from vm.replay_qemu import ensure as ensure_qemu
from vm.shell import Shell
from vm.ssh import Endpoint, connect
from vm.template import Layer, Template, claim, overlay, prune

FORMAT = 2
"""Raised when the machine, or the layout of the state's directory, changes."""
STATE = "base"
"""The snapshot of the state's disk."""
STATE_DISK = "state.qcow2"
ICOUNT = "shift=auto,sleep=on"
"""The clock of instructions follows the host's, and an idle guest waits as long as it would: with another
shift, or without sleep, guests that wait for their host come up late or never."""
LOG = "replay.log"
BOOT_LOG = "boot.log"
_DEPLOY = 600.0
_UP = "kshs: the guest is up"


def recording(log: Path) -> str:
    """The value of QEMU's ``-icount`` that records into a log."""
    return f"{ICOUNT},rr=record,rrfile={option_value(log.absolute())}"


def replaying(log: Path, icount: str = ICOUNT) -> str:
    """The one that replays it, from the state on.

    It is named here and not with ``-loadvm``: else QEMU saves one more where a debugger comes.
    """
    return f"{icount},rr=replay,rrfile={option_value(log.absolute())},rrsnapshot={STATE}"


class Recorder:
    """Makes recorded guests; a context that has a slot of the runtime directory.

    Args:
        config: of this room.
        progress: told what takes long.

    Raises:
        VmError: on entering, where no QEMU can be had that replays.
    """

    def __init__(self, config: VmConfig, progress: Progress | None = None) -> None:
        self.config = config
        self._progress = progress or Silent()
        self._slot: slots.Slot | None = None
        self._leases: list[RecordedLease] = []
        self._counter = 0
        self.qemu: ReplayQemu = ReplayQemu(Path("/nonexistent"), "none")

    def __enter__(self) -> Recorder:
        self.qemu = ensure_qemu(self.config, self._progress)
        reaper.reap(self.config)
        self._slot = slots.take(self.config)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for lease in list(self._leases):
            lease.release()
        slot, self._slot = self._slot, None
        if slot is not None:
            slot.release()

    @property
    def slot(self) -> Path:
        """The directory that is this process's alone."""
        if self._slot is None:
            raise VmError("the recorder is not open", hint="use it in a with statement")
        return self._slot.directory

    def place(self) -> Path:
        """A new directory for one guest, with a short path."""
        self._counter += 1
        leases = private_directory(self.slot / "leases")
        return private_directory(leases / f"rr{self._counter}-{os.urandom(2).hex()}")

    def template(
        self,
        image: Image,
        layer: Layer,
        facts: Callable[[Shell], Mapping[str, Any]] = lambda shell: {},
    ) -> Template:
        """The state with this layer, made where it is not there yet.

        Args:
            image: of the embedded guest.
            layer: what is put into it.
            facts: asks the prepared guest for what stays on record, in the manifest.

        Raises:
            VmError: the guest does not come up, or `layer` or `facts` raised one.
        """
        if not family(image.family).runs_on_linux:
            raise VmError("only the embedded guest is recorded", f"guest {image.name}", "choose --guest wine")
        key = {
            "format": FORMAT,
            "recorded": ICOUNT,
            "image": image.digest,
            "layer": layer.digest,
            "qemu": self.qemu.version,
            "memory_mib": self.config.memory_mib,
            "warm_up": list(family(image.family).warm_up),
        }
        digest = digest_of(key)
        private_directory(self.config.cache_dir)
        path = private_directory(self.config.templates_dir) / f"{image.family}-recorded-{digest[:16]}"
        found = self._open(path, digest, image)
        if found is not None:
            return found
        with locked(path.with_suffix(".lock"), self._progress, "makes the same state to record from"):
            found = self._open(path, digest, image)
            if found is None:
                try:
                    self._make(image, path, key, layer, facts)
                except BaseException:
                    remove_tree(path.with_suffix(".build"))
                    raise
                found = self._open(path, digest, image)
        if found is None:
            raise VmError("the state that was just made cannot be read", str(path))
        prune(self.config)
        return found

    def lease(self, template: Template, folder: Path) -> RecordedLease:
        """A clean guest that is recorded into a folder, connected to.

        Raises:
            VmError: it does not start.
            GuestLost, GuestTimeout: it starts and does not answer.
        """
        place = self.place()
        private_directory(folder)
        try:
            shutil.copyfile(template.disk, place / "disk.qcow2")

            def start(port: int) -> Machine:
                life = Life(recording(folder / LOG), place / "disk.qcow2", folder, port, STATE)
                return self._machine(template.image, place, life)

            machine, port = with_free_port(start)
            try:
                transport = connect(template.endpoint(port), self.config.connect_timeout)
                shell = Shell(transport, template.family, machine.name)
            except BaseException:
                machine.kill()
                raise
        except BaseException:
            remove_tree(place)
            raise
        lease = RecordedLease(self, template, machine, port, shell, place, folder)
        self._leases.append(lease)
        return lease

    def forget(self, lease: RecordedLease) -> None:
        """The lease has ended."""
        with contextlib.suppress(ValueError):
            self._leases.remove(lease)

    def _open(self, path: Path, digest: str, image: Image) -> Template | None:
        claimed = claim(path, digest)
        if claimed is None:
            return None
        return Template(digest, path, claimed[0], image, self.config.memory_mib, claimed[1])

    def _machine(self, image: Image, place: Path, life: Life) -> Machine:
        return Machine(self.qemu, image, self.config.memory_mib, place.name, place, life)

    def _make(
        self,
        image: Image,
        path: Path,
        key: Mapping[str, Any],
        layer: Layer,
        facts: Callable[[Shell], Mapping[str, Any]],
    ) -> None:
        part = path.with_suffix(".build")
        remove_tree(part)
        private_directory(part)
        begun = time.monotonic()
        speech = family(image.family)
        place = self.place()
        self._progress.step("recording: booting the image under a clock of instructions", 0.1)
        overlay(part / "disk.qcow2", image.disk, "raw")

        def start(port: int) -> Machine:
            life = Life(recording(part / BOOT_LOG), part / "disk.qcow2", place, port)
            return self._machine(image, place, life)

        machine, port = with_free_port(start)
        with machine:
            # One patient connection: on a busy host the guest takes seconds for each that is begun.
            machine.await_line(_UP, self.config.boot_timeout)
            endpoint = Endpoint(port, image.client_key, image.host_key)
            shell = Shell(connect(endpoint, self.config.boot_timeout), speech, machine.name)
            try:
                shell.run(speech.set_clock(time.time()), check=True)
                self._progress.step("recording: starting the guest's services", 0.3)
                for line in speech.warm_up:
                    shell.run(line, timeout=_DEPLOY, check=True)
                self._progress.step("recording: preparing the guest", 0.5)
                layer.prepare(shell)
                said = dict(facts(shell))
                shell.run(speech.settle, check=True)
            finally:
                shell.close()
            self._progress.step("recording: saving", 0.9)
            machine.await_no_connection()
            machine.command("stop")
            machine.human(f"savevm {STATE}", timeout=300)
            machine.quit()
        self._begin_again(image, part, place)
        remove_tree(place)
        (part / "in-use").touch(mode=0o600)
        manifest = {
            "digest": digest_of(dict(key)),
            "key": dict(key),
            "parent": None,
            "image": str(image.path),
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "facts": said,
            "seconds": round(time.monotonic() - begun, 2),
        }
        write_json(part / "manifest.json", manifest)
        remove_tree(path)
        part.rename(path)

    def _begin_again(self, image: Image, part: Path, place: Path) -> None:
        """The same state as the beginning of a recording of its own, and not as the end of the boot's.

        A state has the place in the log at which a replay goes on; so it is that of a log that begins now.
        """
        icount = f"{recording(part / BOOT_LOG)},rrsnapshot={STATE}"
        life = Life(icount, part / "disk.qcow2", place, state=STATE, paused=True)
        with self._machine(image, place, life) as machine:
            machine.quit()
        (part / BOOT_LOG).unlink()


class RecordedLease(Lease):
    """A lease whose every input is logged; `finish` or `release` ends it."""

    def __init__(
        self,
        recorder: Recorder,
        template: Template,
        machine: Machine,
        port: int,
        shell: Shell,
        directory: Path,
        folder: Path,
    ) -> None:
        self.template = template
        self.shell = shell
        self.evidence_dir = folder
        self.machine = machine
        self._recorder = recorder
        self._events = GuestEvents()
        self._port = port
        self._directory = directory
        self._released = False

    @property
    def id(self) -> str:
        """The guest's name."""
        return self.machine.name

    @property
    def pid(self) -> int | None:
        """Of the guest's QEMU."""
        return self.machine.pid

    @property
    def events(self) -> GuestEvents:
        """What is known of its end."""
        return self._events

    def standstill(self) -> str | None:
        """Why the virtual machine does not run just now; None where it does."""
        with contextlib.suppress(VmError):
            state = self.machine.state()
            return None if state == "running" else f"the virtual machine is {state}"
        return None

    def ended(self, patience: float = 0.0) -> bool:
        """Whether the virtual machine is gone."""
        gone = self.machine.wait(patience)
        if gone and not self._events.stopped:
            self._events.record("stopped", f"QEMU ended by itself: {self.machine.said}")
        return gone

    def state(self) -> str:
        """What QEMU says that the virtual machine does."""
        return "ended" if self.machine.ended else self.machine.state()

    def screenshot(self, path: Path) -> bool:
        """It has no display."""
        return False

    def new_shell(self) -> Shell:
        """A second connection, which is recorded as the first one was."""
        transport = connect(self.template.endpoint(self._port), self._recorder.config.connect_timeout)
        return Shell(transport, self.template.family, self.id)

    def finish(self) -> int:
        """Ends guest and recording, whose log is whole then; how many instructions it has.

        Raises:
            VmError: QEMU was gone already: what it had logged last is lost, and the log is no recording.
        """
        instructions = self.machine.instructions
        self.machine.command("stop")
        self.machine.quit()
        self.release()
        return instructions

    def release(self) -> None:
        """Ends the guest and removes its disk; the folder of the recording stays."""
        if self._released:
            return
        self._released = True
        self.shell.close()
        self.machine.kill()
        self._recorder.forget(self)
        remove_tree(self._directory)
