# SPDX-License-Identifier: Apache-2.0
"""What a guest can show, from what its agent says of it (`kshsctl info`, docs/architecture.md).

A scenario that needs more is skipped with the reason; nothing that a guest cannot show ever counts
as passed.  docs/scenarios.md lists the same names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.guest_info import GuestInfo
from harness.language.model import Behaviour, Buffer, Device, Handshake, Mode, OpenPin, Scenario, Side
from harness.language.model.check import handles, shorthand
from harness.language.model.steps import IOCTL_KS_HANDSHAKE

#: What a guest said, typed or as it came.
Info = GuestInfo | Mapping[str, Any]

#: Of Driver Verifier's rule class 17, port/miniport interface checking, in which the rules for KS are.
_KS_CLASS_FLAG = 1 << 16
#: Milliseconds from which a callback that was told to wait may take those 500 that Verifier allows.
_SLOW_MS = 250
#: Statuses that are no end of a request: STATUS_PENDING, and -1 for one that was never set.
_NO_END = frozenset({0x00000103, 0xFFFFFFFF})


@dataclass(frozen=True, slots=True)
class Capability:
    """One thing that a guest may be able to show.

    `absent` gives the reason why a guest with this `info` lacks it, None where it has it.
    """

    name: str
    absent: Callable[[GuestInfo], str | None]


def _wine_lacks(reason: str) -> Callable[[GuestInfo], str | None]:
    return lambda info: f"Wine: {reason}" if info.is_wine else None


def _client(info: GuestInfo) -> str | None:
    return None if info.client.loaded else "ksclient.sys is not loaded in this guest"


def _ks_handshake(info: GuestInfo) -> str | None:
    ks = info.ks
    if not ks.present:
        return "this guest has no ks.sys"
    if info.is_windows or ks.ours:
        return None
    return (
        "this guest's own ks.sys is neither Windows' nor the reference, and is not known to handle handshakes"
    )


def _microsoft_ks(info: GuestInfo) -> str | None:
    ks = info.ks
    if info.is_windows and ks.present and not ks.ours:
        return None
    return "the class driver of this guest is not Microsoft's AVStream"


def _reference_ks(info: GuestInfo) -> str | None:
    if info.ks.present and info.ks.ours:
        return None
    return "the class driver of this guest is not the reference one, of which alone it is known"


def _bad_kernel_pointers(info: GuestInfo) -> str | None:
    if info.is_wine:
        return None
    return "a bad kernel-mode pointer stops this kernel, and its sender is to blame, not the driver"


def _bugcheck(info: GuestInfo) -> str | None:
    if info.is_wine:
        return "Wine: a fault ends the process that hosts drivers; there is no bugcheck"
    return None


def _verifier(info: GuestInfo) -> str | None:
    if not info.is_windows:
        return "Driver Verifier is a part of Windows"
    verifier = info.verifier
    if verifier is None or (not verifier.flags and not verifier.drivers):
        return "Driver Verifier is not switched on in this guest"
    if verifier.says_active and (verifier.active is None or not verifier.active.flags):
        return "Driver Verifier is set in this guest and not in force (verifier /query)"
    return None


def _verifier_flags(info: GuestInfo) -> int | None:
    """What is in force counts; a guest that cannot say it is judged by what it is set to."""
    verifier = info.verifier
    if verifier is None:
        return None
    if not verifier.says_active:
        return verifier.flags
    return verifier.active.flags if verifier.active is not None else None


def _any_completion_status(info: GuestInfo) -> str | None:
    if info.ks.ours:
        return None  # refks makes an error of it (docs/refks.md)
    if info.is_windows and _verifier_flags(info) == 0:
        return None
    return (
        "a class driver may complete its IRP with whatever the callback returns, and a checked kernel or"
        " Driver Verifier stops the system when an IRP ends with STATUS_PENDING or 0xFFFFFFFF"
    )


def _slow_callbacks(info: GuestInfo) -> str | None:
    if not info.is_windows:
        return None
    flags = _verifier_flags(info)
    if flags is None or not flags & _KS_CLASS_FLAG:
        return None
    return "Driver Verifier gives a pin's callback 500 ms and then stops the kernel (KsTimedPinCallbacks)"


def _pointer_size(size: int) -> Callable[[GuestInfo], str | None]:
    def absent(info: GuestInfo) -> str | None:
        found = info.agent.pointer_size
        return None if found == size else f"the agent of this guest has pointers of {found} bytes, not {size}"

    return absent


CAPABILITIES: dict[str, Capability] = {
    item.name: item
    for item in (
        Capability("client", _client),
        Capability("ks-handshake", _ks_handshake),
        Capability("reference-ks", _reference_ks),
        Capability("microsoft-ks", _microsoft_ks),
        Capability(
            "native-pin-open",
            _wine_lacks("a name behind or relative to a device is not found (c0000034)"),
        ),
        Capability(
            "create-status",
            _wine_lacks("the status of IRP_MJ_CREATE is ignored, a refused open looks opened"),
        ),
        Capability(
            "raw-user-buffers",
            _wine_lacks(
                "user-mode buffers are copied on the way, a bad pointer never reaches the driver,"
                " and NULL arrives as a copy"
            ),
        ),
        Capability(
            "bad-kernel-pointers",
            _bad_kernel_pointers,
        ),
        Capability(
            "user-connected-pins",
            _wine_lacks(
                "a handle inside KSPIN_CONNECT is looked up in the process that hosts drivers, so that"
                " pins of a user-mode caller cannot be connected"
            ),
        ),
        Capability("bugcheck", _bugcheck),
        Capability("driver-verifier", _verifier),
        Capability(
            "slow-callbacks",
            _slow_callbacks,
        ),
        Capability(
            "pnp-restart",
            _wine_lacks("changing a device's state answers success and changes nothing"),
        ),
        Capability("any-completion-status", _any_completion_status),
        Capability(
            "system-counters",
            _wine_lacks(
                "pool and handles are counted of the process that hosts drivers, in which fewer requests"
                " tell as much"
            ),
        ),
        Capability("pointer-64", _pointer_size(8)),
        Capability("pointer-32", _pointer_size(4)),
    )
}
"""All capabilities by name."""


def absent(said: Info) -> dict[str, str]:
    """The capabilities that a guest lacks, each with its reason."""
    info = GuestInfo.of(said)
    reasons = ((name, item.absent(info)) for name, item in CAPABILITIES.items())
    return {name: reason for name, reason in reasons if reason is not None}


def present(info: Info) -> frozenset[str]:
    """The capabilities that a guest has."""
    return frozenset(CAPABILITIES) - absent(info).keys()


def implied(scenario: Scenario) -> frozenset[str]:
    """What a scenario needs because of what its steps do; `needs` may add to it."""
    return frozenset(_implied(scenario))


#: Steps that only the client in the kernel can do.
_BY_THE_CLIENT = frozenset(
    {"behaviour", "seen", "wait_inside", "reset", "unblock", "pin_handshake", "make", "counters"}
)


def _implied(scenario: Scenario) -> Iterator[str]:
    opened_by = handles(scenario)
    if any(handle.side is Side.KERNEL for handle in opened_by.values()):
        yield "client"
    connected = {entry.name for entry in map(shorthand, scenario.open) if entry.connect_to is not None} | {
        step.name for step in scenario.steps if isinstance(step, OpenPin) and step.connect_to is not None
    }
    if any(opened_by[name].side is Side.USER for name in connected):
        yield "user-connected-pins"
    for step in scenario.steps:
        if isinstance(step, Handshake):
            if step.control == IOCTL_KS_HANDSHAKE:
                yield "ks-handshake"
            if step.route.side is Side.USER and not {step.in_buffer, step.out_buffer} <= {
                Buffer.NORMAL,
                Buffer.ALIAS,
            }:
                yield "raw-user-buffers"
            if _is_bad_from_kernel_mode(step):
                yield "bad-kernel-pointers"
        elif isinstance(step, OpenPin) and step.way == "native":
            yield "native-pin-open"
        elif isinstance(step, Device) and step.action != "remove":
            yield "pnp-restart"
        elif step.do in _BY_THE_CLIENT:
            yield "client"
            if isinstance(step, Behaviour) and _takes_long(step):
                yield "slow-callbacks"
            if isinstance(step, Behaviour) and _returns_no_end(step):
                yield "any-completion-status"


def _returns_no_end(step: Behaviour) -> bool:
    """Whether the callback returns a status that an IRP must not be completed with."""
    return step.kind == "pending" or (step.kind in {"decline", "status"} and step.status in _NO_END)


def _takes_long(step: Behaviour) -> bool:
    """Whether the callback stays for long, or for as long as nobody releases it."""
    return (
        step.delay_ms >= _SLOW_MS
        or step.kind in ("hang", "loop")
        or (step.kind == "block" and step.delay_ms == 0)
    )


def _is_bad_from_kernel_mode(step: Handshake) -> bool:
    """Whether a pointer is all that is wrong with the request, and it cannot serve its purpose."""
    unreadable = {Buffer.NULL, Buffer.FREED}
    return (
        step.requestor is Mode.KERNEL
        and step.control == IOCTL_KS_HANDSHAKE
        and (step.in_length, step.out_length) == ("size", "size")
        and (step.in_buffer in unreadable or step.out_buffer in {*unreadable, Buffer.READONLY})
    )


def missing(scenario: Scenario, info: Info) -> str | None:
    """Why a guest cannot show a scenario; None if it can.

    An unknown name in `needs` counts as missing: `unknown_needs` tells it before a guest is up.
    """
    lacking = absent(info)
    reasons = []
    for name in sorted({*scenario.needs, *implied(scenario)}):
        if name not in CAPABILITIES:
            reasons.append(f"needs {name!r}, which no guest is known to have")
        elif name in lacking:
            reasons.append(f"needs {name}: {lacking[name]}")
    return "; ".join(reasons) or None
