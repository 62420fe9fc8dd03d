# SPDX-License-Identifier: Apache-2.0
"""What drivers printed (DbgPrint, KdPrint), and during which step.

On Wine a driver's words come out as lines of the debug channel `debugstr`, into the log of the session.  Each
has the guest's tick count, which is 16 ms coarse; those of our own drivers begin with the performance counter
in ns (`kshs_print`), by which records tell their begin, too.

On Windows nothing shows a driver's words without a debugger; kshs does not look for them there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.guest_text import one_line
from harness.results.record import StepResult

#: How coarse the tick count is, in ns: a line may be so much younger than it says.
TICK = 17_000_000
#: Lines that are told of one scenario, and characters of one.
MAX_LINES = 40
_MAX_LINE = 400

_WINE = re.compile(
    r"^ *(\d{1,9})\.(\d{3}):[0-9a-f]{4,8}:warn:debugstr:vDbgPrintEx\w* [0-9a-f]{8}:[0-9a-f]{8}: (.*)"
)
_OURS = re.compile(r"^\[(\d{1,20})\] (.*)")
_BUGCHECK = re.compile(
    r"^ *\d{1,9}\.\d{3}:[0-9a-f]{4,8}:err:ntoskrnl:KeBugCheckEx ((?:[0-9a-f]{1,16} ?){5})", re.MULTILINE
)
#: Outcomes of steps whose record is the agent's and not the client's.
_NEVER_BACK = ("hung", "lost")
#: Other lines of Wine's own: no continuation of what a driver said.
_OTHER = re.compile(r"^ *\d+\.\d{3}:|^wine: |^[0-9a-f]{4,8}:(?:err|warn|fixme|trace):")


@dataclass(frozen=True)
class Printed:
    """One line: the guest's clock in ns, from and to, and the words."""

    earliest: int
    latest: int
    text: str


def printed(log: str) -> list[Printed]:
    """The lines that drivers printed, from the log of a Wine session; in their order."""
    found: list[Printed] = []
    continued = False
    for line in log.splitlines():
        match = _WINE.match(line)
        if match is None:
            continued = continued and not _OTHER.match(line)
            if continued and line.strip():
                found.append(Printed(found[-1].earliest, found[-1].latest, one_line(line, _MAX_LINE)))
            continue
        ticks = (int(match[1]) * 1000 + int(match[2])) * 1_000_000
        ours = _OURS.match(match[3])
        continued = True
        if ours is not None:
            at = int(ours[1])
            found.append(Printed(at, at, one_line(ours[2], _MAX_LINE)))
        else:
            found.append(Printed(ticks, ticks + TICK, one_line(match[3], _MAX_LINE)))
    return found


def bugchecks(log: str) -> list[str]:
    """The calls of KeBugCheckEx in the log of a Wine session, with their parameters, the last few."""
    return [f"KeBugCheckEx({', '.join(match[1].split())})" for match in _BUGCHECK.finditer(log)][-3:]


def told(lines: Sequence[Printed], steps: Sequence[StepResult]) -> tuple[str, ...]:
    """The lines of one scenario in words, each behind the step during which it was printed.

    Args:
        lines: everything that the guest has said.
        steps: of the scenario, as they were judged.  The first without a record was in flight, and what
            comes behind the last record is its.
    """
    times = list(_times(steps))
    if not times:
        return ()
    began = times[0].begin
    spoken = [line for line in lines if line.latest >= began]
    shown = [f"{_during(line, times, steps)}: {line.text}" for line in spoken if line.text]
    cut = len(shown) - MAX_LINES
    return (f"({cut} lines before these)", *shown[cut:]) if cut > 0 else tuple(shown)


@dataclass(frozen=True)
class _Time:
    index: int
    begin: int
    end: int


def _times(steps: Sequence[StepResult]) -> Iterator[_Time]:
    end = 0
    for step in steps:
        block = step.status_block or {}
        begin, duration = block.get("begin_ns"), block.get("duration_ns")
        if isinstance(begin, int) and isinstance(duration, int) and begin:
            # The client has several steps at once.  Of one that never came back the agent tells when it got
            # to it itself, which is later than the driver did.
            earliest = min(begin, end) if end and block.get("outcome") in _NEVER_BACK else begin
            end = begin + duration
            yield _Time(step.index, earliest, end)


def _during(line: Printed, times: Sequence[_Time], steps: Sequence[StepResult]) -> str:
    """The steps that may have been under way, by their numbers and, where it is one, by its name."""
    ended = max(time.end for time in times)
    in_flight = next((step.index for step in steps if step.index > times[-1].index), None)
    if line.earliest > ended:
        found = {in_flight} if in_flight is not None else set()
    else:
        found = {time.index for time in times if time.begin <= line.latest and line.earliest <= time.end}
        if not found:  # between two steps: the earlier one's doing
            found = {max((time.index for time in times if time.end <= line.earliest), default=times[0].index)}
    numbers = sorted(number for number in found if number is not None)
    if not numbers:
        return "behind the last step"
    if len(numbers) > 1:
        return f"in one of the steps {numbers[0] + 1} to {numbers[-1] + 1}"
    name = next((step.name for step in steps if step.index == numbers[0]), "")
    return f'step {numbers[0] + 1}, "{name}"'
