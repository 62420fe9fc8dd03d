# SPDX-License-Identifier: Apache-2.0
"""How an attempt to make a Windows guest fails: on record, with evidence, and so that it can be resumed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from vm.errors import InputError, VmError
from vm.progress import WARNING, Progress
from vm.windows import evidence, sealed
from vm.windows.machine import Machine
from vm.windows.milestones import Failure as FailedStep
from vm.windows.state import Failure, State, StateFile, now
from vm.words import printable


class ProvisionError(VmError):
    """The guest could not be made; the state stays, and so does the evidence."""


class Failures:
    """The failures of one attempt.

    Args:
        name: the guest's.
        folder: of the guest in the making.
        state: where a failure is recorded.
        progress: told what is done.
        serial: the files of COM1, oldest first.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        state: StateFile,
        progress: Progress,
        serial: Callable[[], Sequence[Path]],
    ) -> None:
        self.machine: Machine | None = None
        """The one that runs, to be looked at."""
        self._name = name
        self._folder = folder
        self._state = state
        self._progress = progress
        self._serial = serial
        self._on_record: Exception | None = None

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Whatever goes wrong inside is put on record as a failure of this attempt, with evidence.

        Raises:
            ProvisionError: the failure.
            InputError: passed on once it is on record, since it is the user's to mend.
        """
        try:
            yield
        except ProvisionError:
            raise  # on record already
        except InputError as error:
            if error is not self._on_record:
                self._record(str(error), error)
            raise
        except VmError as error:
            self.fail(str(error), error)
        except Exception as error:
            said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            self.fail(said if isinstance(error, OSError) else f"unexpected error: {said}", error)

    def fail_step(self, failure: FailedStep | None) -> NoReturn:
        """As `fail`, for a step in the guest that said so."""
        if failure is None:
            self.fail("a step failed, and COM1 does not say which")
        last = next((line for line in reversed(failure.tail) if line.strip()), "")
        self.fail(f"{failure}" + (f": {last.strip()}" if last else ""))

    def fail(self, reason: str, cause: Exception | None = None) -> NoReturn:
        """Keeps evidence and the state, and ends the attempt.

        Raises:
            ProvisionError: always.
        """
        state = self._state.record.state
        folder = self._record(reason, cause)
        raise ProvisionError(
            f"{printable(reason)} (state: {state}); evidence in {folder}",
            f"guest {self._name}",
            f"repeat the command with --resume to go on from {_resumes_at(state)}",
        ) from cause

    def _record(self, reason: str, cause: Exception | None) -> Path:
        """The failure goes into the state, what can be seen of the guest into the folder that is returned."""
        record = self._state.record
        reason = printable(reason)
        stamp = now().replace(":", "").replace("+0000", "Z")
        folder = self._folder / "evidence" / f"{stamp}-{record.state.replace(' ', '-')}"
        self._progress.step("keeping what can be seen of the guest")
        serial = list(self._serial())
        if self.machine is not None and self.machine.placement.serial not in serial:
            serial.append(self.machine.placement.serial)
        reachable = record.state in (State.PROVISIONING, State.SETTLED)
        evidence.collect(
            folder,
            reason,
            machine=self.machine,
            serial=serial,
            endpoint=(lambda port: sealed.endpoint(self._folder, port)) if reachable else None,
            cause=cause,
        )
        record.failure = Failure(state=record.state, reason=reason, evidence=str(folder), at=now())
        try:
            self._state.save()
        except (VmError, OSError) as error:  # a full disk, say, which may be the failure itself
            self._progress.step(f"{WARNING}the failure could not be put on record: {error}")
        self._on_record = cause
        return folder


def _resumes_at(state: State) -> State:
    return State.MEDIA_CHECKED if state in (State.INSTALLING, State.FIRST_BOOT) else state
