# SPDX-License-Identifier: Apache-2.0
"""What is kept of a Windows guest whose making failed: screen, consoles, the guest's own log."""

from __future__ import annotations

import contextlib
import shutil
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from vm.files import private_directory, write_whole
from vm.shell import Shell
from vm.ssh import Endpoint, connect
from vm.windows.machine import Machine

GUEST_LOG = r"C:\kshs\provision.log"
_REACH_SECONDS = 10.0
_LOG_LIMIT = 16 << 20


def collect(
    folder: Path,
    reason: str,
    *,
    machine: Machine | None = None,
    serial: Sequence[Path] = (),
    endpoint: Callable[[int], Endpoint] | None = None,
    cause: BaseException | None = None,
) -> list[str]:
    """Writes everything that can be had into `folder`; the names of what is there.  Never raises.

    Args:
        folder: made where needed.
        reason: one line, what went wrong.
        machine: still running, or just ended.
        serial: COM1 of every start, oldest first.
        endpoint: how the guest's SSH server at a port is reached, where it may be up.
        cause: the exception behind the reason; its traceback goes into ``traceback.txt``.
    """
    # One piece that cannot be had, for whatever reason, must not cost the others or hide what went wrong.
    with contextlib.suppress(Exception):
        private_directory(folder)
        write_whole(folder / "reason.txt", reason + "\n")
    if cause is not None:
        with contextlib.suppress(Exception):
            write_whole(folder / "traceback.txt", "".join(traceback.format_exception(cause)))
    with contextlib.suppress(Exception), (folder / "com1.log").open("wb") as joined:
        for path in serial:
            with contextlib.suppress(FileNotFoundError), path.open("rb") as log:
                shutil.copyfileobj(log, joined)
    if machine is not None:
        with contextlib.suppress(Exception):
            shutil.copyfile(machine.placement.debug_console, folder / "debugcon.log")
        with contextlib.suppress(Exception):
            if machine.ended is None:
                machine.domain.screenshot(folder / "screenshot.png")
        with contextlib.suppress(Exception):
            if machine.ended is None and endpoint is not None:
                _guest_log(endpoint(machine.port), folder / "provision.log")
    return sorted(path.name for path in folder.glob("*")) if folder.is_dir() else []


def _guest_log(endpoint: Endpoint, target: Path) -> None:
    """The guest's own log over SSH; whichever family answers has it at the same path."""
    from vm.windows.sealed import family_of

    transport = connect(endpoint, _REACH_SECONDS, booting=True)
    try:
        shell = Shell(transport, family_of(transport), "the guest")
        shell.get(GUEST_LOG, target, limit=_LOG_LIMIT, timeout=_REACH_SECONDS)
    finally:
        transport.close()
