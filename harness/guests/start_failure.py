# SPDX-License-Identifier: Apache-2.0
"""Why a driver's device did not start in a guest with Wine, as far as the guest can tell.

Wine has no problem codes.  `kshsctl install-device` says at which stage the driver stopped
(drivers/kshsctl/device_started.c); the status of a DriverEntry or AddDevice that failed, an exception or a
bugcheck, and what the driver printed are in the guest's logs.
"""

from __future__ import annotations

import contextlib
import re
import shlex
from typing import TYPE_CHECKING

from harness import ntstatus
from harness.guest_text import one_line
from harness.guests.crash_record import crashes_in
from harness.guests.kshsctl import CRASHES, VerbError, text_of
from vm.errors import VmError
from vm.family import family

if TYPE_CHECKING:
    from vm.shell import Shell

#: Seconds for a question, bytes of the log that are read, and lines of the driver's own that are told.
_QUESTION = 15.0
_LOG = 256 << 10
_PRINTED = 3
#: What Wine says of a driver that did not load, and of one whose AddDevice failed (ntoskrnl.exe, plugplay).
_NOT_LOADED = re.compile(r'failed to create driver L"[^"]*\\\\([^"\\]+)": ([0-9a-f]{1,8})')
_NOT_ADDED = re.compile(r'AddDevice failed for driver L"([^"]+)", status 0x([0-9a-f]{1,8})')
_SAID = re.compile(r"warn:debugstr:vDbgPrintEx\w* [0-9a-f]{8}:[0-9a-f]{8}: (.*)")
#: What our own drivers say begins with the performance counter (drivers/common/kshs_compat.h).
_OURS = re.compile(r"\[\d{1,20}\] ")
_STATUS = re.compile(r"answered 0x([0-9A-Fa-f]{8})\b")


def explain(
    error: VerbError, shell: Shell, service: str, *, without_hardware: str | None = None
) -> VerbError:
    """A failure of `install-device` with all that a Wine guest knows of it.

    Args:
        error: what the verb said.
        shell: of the guest; one that answers no longer costs nothing but the details.
        service: the driver's.
        without_hardware: the bus whose device was created without its hardware, in words.
    """
    if error.answer.get("step") != "wait-started":
        return error
    said, log = [named(error.message)], ""
    with contextlib.suppress(VmError, OSError):
        log = _session_log(shell)
        said += _details(log, _crashes(shell), service)
    return VerbError(
        "; ".join(dict.fromkeys(said)),
        answer=error.answer,
        step=error.step,
        exit_code=error.exit_code,
        log=error.log or "\n".join(printed(log)),
        hint=None if without_hardware is None else _no_hardware(without_hardware),
    )


def named(message: str) -> str:
    """With the name of the status that a driver answered."""

    def name(match: re.Match[str]) -> str:
        return f"answered {ntstatus.name(int(match[1], 16))}"

    return _STATUS.sub(name, message)


def _details(log: str, crashes: str, service: str) -> list[str]:
    """What the logs say of a service's driver: the statuses of its routines, and how its process ended."""
    found = []
    for pattern, routine in ((_NOT_LOADED, "DriverEntry"), (_NOT_ADDED, "AddDevice")):
        statuses = [status for name, status in pattern.findall(log) if name.lower() == service.lower()]
        if statuses:
            found.append(f"{routine} answered {ntstatus.name(int(statuses[-1], 16))}")
    return [*found, *crashes_in(crashes).driver[-1:]]


def printed(log: str) -> list[str]:
    """The last lines that drivers of others than us printed."""
    said = [one_line(text, 300) for text in _SAID.findall(log) if not _OURS.match(text)]
    return [text for text in said if text][-_PRINTED:]


def _no_hardware(bus: str) -> str:
    return (
        f"the device was created without its hardware: the driver has no resources and nothing of {bus} below"
        ' it; where it needs them, run it on a Windows guest that has the device (docs/windows.md, "Devices")'
    )


def _session_log(shell: Shell) -> str:
    logs = " ".join(map(shlex.quote, family("wine").session_logs))
    return text_of(shell.run(f"cat {logs} 2>/dev/null | tail -c {_LOG}", timeout=_QUESTION).stdout)


def _crashes(shell: Shell) -> str:
    speech = family("wine")
    recorded = f"cat {speech.sftp_path(CRASHES)} 2>/dev/null"
    return "\n".join(
        text_of(shell.run(command, timeout=_QUESTION).stdout)
        for command in (recorded, speech.bugchecks)
        if command is not None
    )
