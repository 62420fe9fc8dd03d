# SPDX-License-Identifier: Apache-2.0
"""From a medium to a sealed image: the state machine that makes a Windows guest.

The states are those of `vm.windows.state`.  What is known of the guest comes from outside: restarts and the
end from the hypervisor, progress from milestones on COM1, and only at the end, when the guest has shut itself
down, its disk is started once more and asked over SSH.  Every state has a time limit, every failure leaves
evidence, and every interruption leaves a state that ``--resume`` goes on from.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vm.commands import run
from vm.errors import VmError
from vm.files import locked, private_directory, remove_tree
from vm.hypervisor import Hypervisor
from vm.progress import WARNING, Progress, Silent
from vm.windows import plan, sealed, sealing, tpm
from vm.windows.failures import Failures, ProvisionError
from vm.windows.machine import Hardware, Machine
from vm.windows.payload import MAXIMUM_STARTS, step_names
from vm.windows.profile import Firmware
from vm.windows.sealed import WindowsImage
from vm.windows.state import ORDER, Record, Session, State, StateFile
from vm.windows.turn_off import turn_off
from vm.windows.watch import Serial, Story

MAXIMUM_REBOOTS_BEFORE = 6
"""Restarts before the first milestone: Setup needs two, updates of its own some more."""
MAXIMUM_REBOOTS = MAXIMUM_REBOOTS_BEFORE + MAXIMUM_STARTS + 2
_POLL = 0.2
_TAIL_SECONDS = 10.0  # for a failed step's log to arrive
_TCG_FACTOR = 8.0
_SHUT_DOWN_SECONDS = 60.0

LIMITS: Mapping[State, float] = {
    State.INSTALLING: 45 * 60,
    State.FIRST_BOOT: 40 * 60,
    State.PROVISIONING: 60 * 60,
    State.SETTLED: 15 * 60,
}
"""Seconds that a state may last with KVM; without it eight times as long."""

_FRACTIONS = {
    State.MEDIA_CHECKED: 0.02,
    State.INSTALLING: 0.05,
    State.FIRST_BOOT: 0.45,
    State.PROVISIONING: 0.65,
    State.SETTLED: 0.92,
}


@dataclass(frozen=True)
class Options:
    """How the attempt is made; `limits` (seconds, by state) replaces the defaults, unscaled."""

    resume: bool = False
    rebuild: bool = False
    limits: Mapping[State, float] = field(default_factory=dict)


def provision(
    hv: Hypervisor, what: plan.Plan, options: Options | None = None, progress: Progress | None = None
) -> WindowsImage:
    """The sealed image of the plan, made where it is not there yet.

    Raises:
        ProvisionError: the guest failed; its state, the reason, and where the evidence lies.
        VmError: the host lacks something.
        KeyboardInterrupt: passed on, when the machine was saved.
    """
    chosen, watcher = options or Options(), progress or Silent()
    home = sealed.home(hv.config, what.profile.name)
    private_directory(hv.config.cache_dir)
    private_directory(home.parent)
    with locked(home.parent / f"{home.name}.lock", watcher, "makes the same guest"):
        there = None if chosen.rebuild else sealed.find(hv.config, what.profile.name)
        if there is not None:
            if there.digest != what.digest:
                made = there.manifest.get("made") or "an unknown day"
                raise VmError(
                    f"a guest of this name was made of other things on {made}",
                    str(there.path),
                    "add --rebuild to make it anew, or choose another name",
                )
            return there
        return _Strategy(hv, what, chosen, watcher, home).run()


class _Strategy:
    def __init__(
        self, hv: Hypervisor, what: plan.Plan, options: Options, progress: Progress, home: Path
    ) -> None:
        self._hv = hv
        self._plan = what
        self._options = options
        self._progress = progress
        self._home = home
        self._layout = plan.Layout(home.with_name(f"{home.name}.work"))
        self._state = self._open_state()
        self._failures = Failures(
            what.profile.name, self._layout.folder, self._state, progress, self._serial_files
        )
        self._entered = time.monotonic()

    # ---- the way -----------------------------------------------------------

    def run(self) -> WindowsImage:
        with self._failures.recording():
            state = self._state.record.state
            if state is State.ABSENT:
                self._prepare()
            if self._state.record.state is State.MEDIA_CHECKED:
                self._make_disk()
            if self._state.record.state in (State.MEDIA_CHECKED, *[s for s in ORDER if s.runs]):
                self._install()
            image = self._seal()
        # It is an image from here on; what is left of its making is no reason to have none.
        with contextlib.suppress(OSError):
            remove_tree(self._layout.folder)
        return image

    def _open_state(self) -> StateFile:
        path = self._layout.folder / "state.json"
        if self._options.resume:
            state = StateFile.load(path)
            if state is None:
                raise VmError("there is nothing to go on from", self._plan.profile.name, "leave out --resume")
            if state.record.digest != self._plan.digest:
                raise VmError(
                    "what was begun is made of other things (medium, options, scripts or agent differ)",
                    str(self._layout.folder),
                    "leave out --resume to begin afresh",
                )
            state.fall_back()
            return state
        remove_tree(self._layout.folder)
        private_directory(self._layout.folder)
        state = StateFile(path, Record(digest=self._plan.digest))
        state.save()
        return state

    def _prepare(self) -> None:
        self._say(State.MEDIA_CHECKED, "writing the answer file and the provisioning CD")
        plan.write(self._plan, self._layout.folder)
        self._state.advance(State.MEDIA_CHECKED)

    def _make_disk(self) -> None:
        profile = self._plan.profile
        for path in (self._layout.disk, self._layout.variables):
            remove_tree(path)
        run(
            ["qemu-img", "create", "-q", "-f", "qcow2", str(self._layout.disk), f"{profile.disk_gib}G"],
            what="making the guest's disk",
        )
        self._layout.disk.chmod(0o600)
        if profile.firmware is Firmware.UEFI:
            from vm.windows.domain import firmware_pair

            shutil.copyfile(firmware_pair().variables, self._layout.variables)
        if profile.tpm:
            tpm.manufacture(self._layout.tpm)

    def _install(self) -> None:
        record = self._state.record
        session = self._next_session()
        story, serial = Story(step_names(self._plan.profile)), Serial(self._serial_files())
        reboots_before = record.reboots
        with self._guest(session) as machine:
            if record.state is State.MEDIA_CHECKED:
                self._enter(State.INSTALLING)
            self._entered = time.monotonic()
            failed_at: float | None = None
            while True:
                time.sleep(_POLL)
                ended = machine.ended
                for milestone in serial.new():
                    story.take(milestone)
                self._count_reboots(reboots_before + machine.reboots)
                self._follow(machine, story)
                if machine.domain.events.crashed:
                    self._failures.fail(f"the guest crashed: {machine.domain.events.describe()}")
                if story.failed:
                    failed_at = failed_at or time.monotonic()
                    if story.failure_told or time.monotonic() - failed_at > _TAIL_SECONDS or ended:
                        self._failures.fail_step(serial.failure)
                elif story.sealed and machine.shut_down:
                    break
                elif ended is not None:
                    self._failures.fail(f"the virtual machine ended before the guest was ready ({ended})")
                self._check_time()
        self._enter(State.SETTLED)

    def _seal(self) -> WindowsImage:
        self._entered = time.monotonic()
        self._say(State.SETTLED, "starting the finished guest once more, to ask it over SSH")
        folder = self._session_folder(Session(number=len(self._state.record.sessions) + 1))
        remove_tree(folder)
        with sealing.trial(self._hv, self._plan, self._layout, folder) as machine:
            self._failures.machine = machine
            try:
                with self._failures.recording():
                    answer = sealing.ask(machine, self._layout.folder, self._limit(State.SETTLED))
            finally:
                self._failures.machine = None
        remove_tree(folder)
        self._say(State.SETTLED, "sealing", 0.97)
        installed = self._state.record.installed
        return sealing.seal(self._hv, self._plan, self._layout, self._home, answer, installed)

    # ---- the machine -------------------------------------------------------

    @contextlib.contextmanager
    def _guest(self, session: Session) -> Iterator[Machine]:
        """Runs the machine; saves it where we are interrupted, and ends it in any case."""
        profile = self._plan.profile
        hardware = Hardware(
            profile, self._layout.disk, self._layout.variables, plan.media_of(self._plan, self._layout)
        )
        saved = self._layout.folder / "saved.state"
        machine = Machine(self._hv, hardware, self._session_folder(session), incoming=session.continued)
        self._failures.machine = machine
        with machine:
            try:
                if session.continued:
                    self._progress.step("loading the saved machine")
                    machine.load(saved)
                # The saved state fits this disk only until the guest writes to it again.
                self._state.record.saved = False
                self._state.save()
                machine.resume()
                remove_tree(saved)
                # Inside, where the machine still runs and can be looked at.
                with self._failures.recording():
                    yield machine
            except ProvisionError:
                self._turn_off(machine)
                raise
            except KeyboardInterrupt:
                self._save_machine(machine, saved)
                raise
            finally:
                self._failures.machine = None

    def _turn_off(self, machine: Machine) -> None:
        """What --resume goes on from must be on the disk; who is out of reach loses what is not written."""
        if self._state.record.state is not State.PROVISIONING:
            return  # it is installed again
        self._progress.step("shutting the guest down, so that --resume finds what it wrote")
        seconds = _SHUT_DOWN_SECONDS * (1.0 if self._hv.accelerator.kind == "kvm" else _TCG_FACTOR)
        if not turn_off(machine, sealed.endpoint(self._layout.folder, machine.port), seconds):
            self._progress.step(f"{WARNING}it could not be shut down in order, and is cut off")

    def _save_machine(self, machine: Machine, saved: Path) -> None:
        self._progress.step("interrupted: saving the machine (a second time gives it up)")
        try:
            if machine.ended is None:
                machine.save(saved)
                self._state.record.saved = True
                self._state.save()
        except (VmError, OSError) as error:
            self._progress.step(f"{WARNING}the machine could not be saved: {error}")

    def _next_session(self) -> Session:
        record = self._state.record
        session = Session(number=len(record.sessions) + 1, continued=record.saved)
        remove_tree(self._session_folder(session))
        record.sessions.append(session)
        self._state.save()
        return session

    def _session_folder(self, session: Session) -> Path:
        return self._layout.folder / f"start-{session.number}"

    def _serial_files(self) -> list[Path]:
        """COM1 since the last power-on."""
        files: list[Path] = []
        for session in self._state.record.sessions:
            if not session.continued:
                files.clear()
            files.append(self._session_folder(session) / "com1.log")
        return files

    # ---- what is seen ------------------------------------------------------

    def _enter(self, state: State) -> None:
        self._state.advance(state)
        self._entered = time.monotonic()
        self._say(state)

    def _follow(self, machine: Machine, story: Story) -> None:
        """Moves to the state that reboots and milestones prove."""
        state = self._state.record.state
        if state is State.INSTALLING:
            machine.press_key()
            if self._state.record.reboots:
                self._enter(State.FIRST_BOOT)
        elif state is State.FIRST_BOOT and story.started:
            self._enter(State.PROVISIONING)
        elif state is State.PROVISIONING and story.step is not None:
            begin, end = _FRACTIONS[State.PROVISIONING], _FRACTIONS[State.SETTLED]
            self._say(state, story.step, begin + (end - begin) * story.fraction)

    def _count_reboots(self, count: int) -> None:
        record = self._state.record
        if count == record.reboots:
            return
        record.reboots = count
        self._state.save()
        limit = MAXIMUM_REBOOTS if record.state is State.PROVISIONING else MAXIMUM_REBOOTS_BEFORE
        if count > limit:
            self._failures.fail(f"the guest restarts over and over ({count} times so far)")

    def _limit(self, state: State) -> float:
        given = self._options.limits.get(state)
        if given is not None:
            return given
        return LIMITS[state] * (1.0 if self._hv.accelerator.kind == "kvm" else _TCG_FACTOR)

    def _check_time(self) -> None:
        state = self._state.record.state
        limit = self._limit(state)
        if time.monotonic() - self._entered > limit:
            self._failures.fail(f"took longer than {_minutes(limit)} without reaching the next state")

    def _say(self, state: State, detail: str | None = None, fraction: float | None = None) -> None:
        text = f"{self._plan.profile.name}: {state}" + (f", {detail}" if detail else "")
        self._progress.step(text, fraction if fraction is not None else _FRACTIONS.get(state))


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
