# SPDX-License-Identifier: Apache-2.0
"""What a scenario may need of a guest, by name: the words of `needs` (docs/scenarios.md).

Whether a guest has it is judged by `harness.contract.capabilities`, from what its agent says.
"""

from __future__ import annotations

from difflib import get_close_matches

from harness.language.model import Scenario

CAPABILITIES: dict[str, str] = {
    "client": "ksclient.sys is loaded: requests from kernel mode",
    "ks-handshake": "a class driver that handles IOCTL_KS_HANDSHAKE",
    "reference-ks": "the class driver is the reference one, drivers/refks",
    "microsoft-ks": "the class driver is Microsoft's ks.sys, AVStream itself",
    "native-pin-open": "a pin can be opened by its KSNAME_Pin name, relative to its filter",
    "create-status": "a refused open shows its status",
    "raw-user-buffers": (
        "the driver gets the caller's own pointers, bad ones too, with METHOD_NEITHER from user mode"
    ),
    "bad-kernel-pointers": (
        "a kernel-mode sender may hand over a bad pointer with the right lengths and live to tell"
    ),
    "user-connected-pins": "pins that a user-mode caller has opened can be connected to each other",
    "bugcheck": "a fault in a driver stops the kernel with a stop code",
    "driver-verifier": "Driver Verifier watches the drivers",
    "slow-callbacks": "a driver may stay in a callback as long as a scenario tells it to",
    "pnp-restart": "restarting, disabling or enabling the device really stops and starts it",
    "any-completion-status": "a callback may return a status that no IRP may be completed with",
    "system-counters": "pool and handles are counted of the whole system: a leak takes thousands of requests",
    "pointer-64": "a 64-bit agent: KSHANDSHAKE has 32 bytes",
    "pointer-32": "a 32-bit agent: KSHANDSHAKE has 24 bytes",
}
"""Every name, with what it means."""


def unknown_needs(scenario: Scenario) -> list[tuple[int, str, str | None]]:
    """The entries of `needs` that name no capability: position, name, and the nearest known one."""
    result: list[tuple[int, str, str | None]] = []
    for position, name in enumerate(scenario.needs):
        if name not in CAPABILITIES:
            near = get_close_matches(name, CAPABILITIES, n=1)
            result.append((position, name, near[0] if near else None))
    return result
