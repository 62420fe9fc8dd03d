# SPDX-License-Identifier: Apache-2.0
"""Turning off a guest whose making failed, so that what it wrote is there when it is started again.

What a system wrote last is for some seconds only in its memory: Windows writes its registry hives and file
data lazily, Wine's server its registry every half minute.  A guest that is cut off at once may come up again
without the Run key that goes on with provisioning, and then says nothing for as long as it is waited for.
"""

from __future__ import annotations

import contextlib

from vm.errors import VmError
from vm.shell import Shell
from vm.ssh import Endpoint, connect
from vm.windows.machine import Machine
from vm.windows.sealed import family_of

_REACH_SECONDS = 10.0
_COMMAND_SECONDS = 30.0


def shut_down(shell: Shell, machine: Machine, seconds: float) -> bool:
    """Tells a guest to shut itself down; whether it did within `seconds`."""
    with contextlib.suppress(VmError):  # the answer may not come back any more; the machine's end tells
        shell.run(shell.family.shut_down, timeout=_COMMAND_SECONDS)
    return machine.domain.events.wait(lambda events: events.stopped, seconds)


def turn_off(machine: Machine, endpoint: Endpoint, seconds: float) -> bool:
    """Has the guest shut itself down, over SSH; False: it cannot be reached, or did not within `seconds`."""
    if machine.ended is not None or machine.domain.events.crashed:
        return False
    try:
        transport = connect(endpoint, _REACH_SECONDS, booting=True)
    except VmError:
        return False
    try:
        return shut_down(Shell(transport, family_of(transport), "the guest"), machine, seconds)
    except VmError:
        return False
    finally:
        transport.close()
