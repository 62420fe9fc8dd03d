# SPDX-License-Identifier: Apache-2.0
"""Reads the milestones of a guest that is being set up from its serial port.

The grammar is that of docs/windows.md, "Milestones"; ``kshsctl milestone`` is the only writer.  Firmware and
boot loader use the same port, so a line that does not begin with ``KSHS `` is nobody's business; one that
does and keeps no rule of the grammar is an error, because then reader and writer are of different versions,
or bytes were lost.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from vm.errors import VmError

LINE_LIMIT = 240
"""Characters of a milestone, without the line end."""
_TAIL_LIMIT = 100  # lines of a failed step's log that are kept; the agent sends at most 40
_NOISE_LIMIT = 65_536  # bytes without a line end that are kept; of what is longer the end is
_LINE = re.compile(rb"KSHS 1 ([a-z-]+)(?: (.*))?\Z", re.DOTALL)
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")
_NUMBER = re.compile(r"(?:0|[1-9][0-9]{0,9})\Z")
_ESCAPE = re.compile(rb"\\(?:\\|x([0-9a-f]{2}))")
_CUT = b" \\..."


class Kind(StrEnum):
    """What a milestone says; the values are its words on the port."""

    START = "start"
    BEGIN = "begin"
    DONE = "done"
    REBOOT = "reboot"
    FAILED = "failed"
    LOG_BEGIN = "log-begin"
    LOG = "log"
    LOG_END = "log-end"
    SEALED = "sealed"


_WITH_NAME = frozenset({Kind.BEGIN, Kind.DONE, Kind.REBOOT, Kind.FAILED, Kind.LOG_BEGIN, Kind.LOG_END})


class MilestoneError(VmError):
    """A line that claims to be a milestone and is none."""


@dataclass(frozen=True)
class Milestone:
    """One line.

    ``name`` is the step's, empty for start, log and sealed; ``number`` the count of starts or the exit code
    (unsigned, 32 bits), else 0; ``text`` the log line's, decoded, with `` ...`` behind it if it was cut.
    """

    kind: Kind
    name: str = ""
    number: int = 0
    text: str = ""

    def __str__(self) -> str:
        if self.kind is Kind.LOG:
            return self.text
        number = str(self.number) if self.kind in (Kind.START, Kind.FAILED) else ""
        return " ".join(part for part in (self.kind, self.name, number) if part)


@dataclass(frozen=True)
class Failure:
    """A step that failed: its name, its exit code and the end of what it wrote."""

    step: str
    exit_code: int
    tail: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"step {self.step} failed with exit code {describe_exit_code(self.exit_code)}"


def describe_exit_code(code: int) -> str:
    """The code as people know it: small ones decimal, HRESULTs and NTSTATUS values hexadecimal."""
    return str(code) if code < 0x10000 else f"0x{code:08x}"


def parse(line: bytes) -> Milestone | None:
    """One line without its line end; None if it is no milestone and does not claim to be.

    Raises:
        MilestoneError: it begins as a milestone does, and keeps no rule of the grammar.
    """
    if not line.startswith(b"KSHS "):
        return None
    if len(line) > LINE_LIMIT:
        raise _bad(line, f"longer than {LINE_LIMIT} characters")
    if any(byte < 0x20 or byte > 0x7E for byte in line):
        raise _bad(line, "not printable ASCII")
    match = _LINE.match(line)
    if match is None:
        raise _bad(line, "no such line in version 1")
    try:
        kind = Kind(match[1].decode("ascii"))
    except ValueError:
        raise _bad(line, "no such kind") from None
    if kind is Kind.LOG:
        return Milestone(kind, text=_unescape(line, match[2] or b""))
    words = [] if match[2] is None else match[2].decode("ascii").split(" ")
    expected = (kind in _WITH_NAME) + (kind in (Kind.START, Kind.FAILED))
    if len(words) != expected:
        raise _bad(line, f"{expected} words after {kind} are expected")
    name = ""
    if kind in _WITH_NAME:
        name = words.pop(0)
        if not _NAME.match(name):
            raise _bad(line, "no step's name")
    number = 0
    if words:
        if not _NUMBER.match(words[0]) or int(words[0]) > 0xFFFF_FFFF:
            raise _bad(line, "no number")
        number = int(words[0])
        if not number:
            raise _bad(line, "0 is neither a start nor a failure")
    return Milestone(kind, name, number)


def _unescape(line: bytes, text: bytes) -> str:
    cut = text.endswith(_CUT)
    body = text[: -len(_CUT)] if cut else text
    rest = _ESCAPE.sub(b"", body)
    if b"\\" in rest:
        raise _bad(line, "a backslash that escapes nothing")
    raw = _ESCAPE.sub(lambda match: b"\\" if match[1] is None else bytes([int(match[1], 16)]), body)
    try:
        decoded = raw.decode("utf-8")
    except UnicodeDecodeError:
        decoded = raw.decode("cp437")  # what a western console writes; it decodes any byte
    return decoded + " ..." if cut else decoded


def _bad(line: bytes, reason: str) -> MilestoneError:
    shown = line[:80].decode("ascii", errors="backslashreplace")
    return MilestoneError(
        f"{shown!r} is no milestone: {reason}",
        where="COM1",
        hint="the agent in the guest is of another version, or the serial port lost bytes",
    )


class Reader:
    """Milestones from bytes as they come, in pieces of any size.

    ``failure`` is the last failure; its tail is complete once the reader has seen ``log-end``.
    """

    def __init__(self) -> None:
        self.failure: Failure | None = None
        self._rest = b""
        self._tail_of: str | None = None

    def feed(self, data: bytes) -> list[Milestone]:
        """The milestones that are complete with this piece.

        Raises:
            MilestoneError: as `parse`, or a line of a log outside of one.
        """
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[-_NOISE_LIMIT:]
        found = []
        for line in lines:
            milestone = parse(line.rstrip(b"\r").lstrip(b"\r"))
            if milestone is not None:
                self._follow(milestone)
                found.append(milestone)
        return found

    def _follow(self, milestone: Milestone) -> None:
        kind, name = milestone.kind, milestone.name
        if kind is Kind.LOG_BEGIN:
            self._tail_of = name
        elif kind is Kind.LOG:
            if self._tail_of is None:
                raise MilestoneError("a line of a log outside of one", where="COM1")
            if self.failure is not None and self.failure.step == self._tail_of:
                failure = self.failure
                self.failure = Failure(
                    failure.step, failure.exit_code, (*failure.tail, milestone.text)[-_TAIL_LIMIT:]
                )
        elif kind is Kind.LOG_END:
            if self._tail_of != name:
                raise MilestoneError(f"the end of a log of {name} that has not begun", where="COM1")
            self._tail_of = None
        elif kind is Kind.FAILED:
            self.failure = Failure(name, milestone.number)
        elif kind is Kind.START:
            self._tail_of = None  # a restart may have cut a log short
