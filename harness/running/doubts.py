# SPDX-License-Identifier: Apache-2.0
"""What a guest's Wine is known to do wrong, weighed against a driver that crashed, hung or failed on it.

No driver is blamed for what Wine does:

- A failure, a hang and a crash of a driver that uses a call which answers something wrong there, and which
  our support library does not supply, is an error of the harness: what came of the answer nobody knows.
- A hang of a driver that uses a call known never to return there is one, too.
- So is a crash by the exception that Wine raises in place of a function that it lacks, by an instruction that
  is not for user mode, where Wine's drivers run, or by one that reads the data that a kernel shares with
  everybody and that Wine does not carry out; and a crash inside of Wine's own kernel modules of a driver that
  uses a call known to end the process there.
- Any other crash, hang or failure stays the driver's, and its reason names what is known: a call that ends
  the process, or is not there, leaves no wrong answer behind.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.running.ended import Ended
from harness.verdict import Verdict

if TYPE_CHECKING:
    from drivers.kernel_calls import Doubt

#: What the crash recorder says where Wine has raised its exception for a missing function.
_STUB = "exception 0x80000100"
#: The same for a privileged instruction: a port, a machine register.
_PRIVILEGED = "exception 0xc0000096"
#: A read of the page that the kernel shares (inline KeQuerySystemTime): Wine carries out plain moves.
_SHARED = re.compile(r"of 0xfffff78000000[0-9a-f]{3}\b")
#: A crash inside of what Wine has in place of the kernel.
_INSIDE = (" at ntoskrnl.exe+", " at hal.dll+", " at ntdll.dll+")
#: Doubts that one reason spells out; the record of the run has them all.
_SPELT_OUT = 2
_UNKNOWN = "nothing is known about the driver, which a Windows guest can tell"


def weigh(ended: Ended, doubts: Sequence[Doubt]) -> Ended:
    """What ended a scenario as the guest's evidence says it, with what is known of the guest's Wine."""
    crash = ended.crash
    if ended.verdict is Verdict.CRASHED and _STUB in crash:
        return _not_the_drivers(ended, f"a function was called that Wine does not have{_which(doubts)}")
    if ended.verdict is Verdict.CRASHED and crash.startswith(_PRIVILEGED):
        why = "a privileged instruction was met, which no driver on Wine may use"
        return _not_the_drivers(ended, why)
    if ended.verdict is Verdict.CRASHED and _SHARED.search(crash):
        why = "Wine does not carry out this way to read the kernel's shared data (inline KeQuerySystemTime)"
        return _not_the_drivers(ended, why)
    misled = [doubt for doubt in doubts if doubt.kind == "wrong"]
    if ended.verdict.is_driver_fault and misled:
        return _not_the_drivers(ended, _spelt_out(misled), wedged=ended.verdict is Verdict.HUNG)
    if ended.verdict is Verdict.HUNG:
        wedging = [doubt for doubt in doubts if doubt.kind == "wedges"]
        if wedging:
            return _not_the_drivers(ended, _spelt_out(wedging), wedged=True)
    if ended.verdict is Verdict.CRASHED and any(place in crash for place in _INSIDE):
        ending = [doubt for doubt in doubts if doubt.kind in ("throws", "ends")]
        if ending:
            return _not_the_drivers(ended, _spelt_out(ending))
    if ended.verdict.is_driver_fault:
        return replace(
            ended,
            reason=with_doubts(ended.reason, doubts),
            evidence=(*ended.evidence, *map(str, doubts)),
        )
    return ended


def failed(reason: str, doubts: Sequence[Doubt]) -> tuple[Verdict, str]:
    """The verdict about answers that are not as they should be, and its reason."""
    misled = [doubt for doubt in doubts if doubt.kind == "wrong"]
    if misled:
        return Verdict.ERROR, f"{reason}, but {_spelt_out(misled)}: {_UNKNOWN}"
    return Verdict.FAILED, with_doubts(reason, doubts)


def with_doubts(reason: str, doubts: Sequence[Doubt]) -> str:
    """A reason against a driver, followed by what of it may be Wine's doing."""
    return reason if not doubts else f"{reason}; it may be Wine's doing: {_spelt_out(doubts)}"


def _not_the_drivers(ended: Ended, why: str, *, wedged: bool = False) -> Ended:
    return replace(
        ended,
        verdict=Verdict.ERROR,
        reason=f"{ended.reason}, but {why}: {_UNKNOWN}",
        wedged=wedged,
        again=False,
    )


def _which(doubts: Sequence[Doubt]) -> str:
    names = [f"{doubt.call} ({doubt.driver})" for doubt in doubts if doubt.kind in ("stub", "missing")]
    return f", perhaps {', '.join(names[:8])}" if names else ""


def _spelt_out(doubts: Sequence[Doubt]) -> str:
    said = ", and ".join(map(str, doubts[:_SPELT_OUT]))
    rest = [doubt.call for doubt in doubts[_SPELT_OUT:]]
    return f"{said} (and {', '.join(rest)})" if rest else said
