# SPDX-License-Identifier: Apache-2.0
"""A gdb stub for a replay that also goes backwards: between gdb and the stub of QEMU.

QEMU's own stub takes ``reverse-stepi`` and ``reverse-continue`` in a replay too, and goes to an earlier
snapshot in the running process for that, where QEMU 10.0 stands still on a busy host (its issues 2634, 2922).
A replay that begins is no trouble, and it is the same each time, instruction by instruction.  So each step
back is a new replay here, from the state to the instruction that is wanted; and what is looked for backwards
is looked for forwards, from the state to here, and the last that was found counts.  All that was found stays
known, since the next question is often for the one before.
"""

from __future__ import annotations

import re
import select
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from vm.errors import VmError
from vm.gdb_remote import INTERRUPT, ClosedError, Link

_SPACE = re.compile(r"CR3=([0-9a-f]+)")
_THREAD = re.compile(rb"thread:[^;]*;")
_WATCH = re.compile(rb"[ar]?watch:([0-9a-fA-F]+);")
_UPPER_HALF = 1 << 63
#: Of a packet ``Zkind,address,length``: breakpoints in software and hardware.
_BREAKPOINTS = (b"0", b"1")


class Player(Protocol):
    """A machine that replays and stands at its first instruction; see `vm.recorded_machine.Machine`."""

    @property
    def instructions(self) -> int:
        """At which it stands."""
        ...

    def break_at(self, instructions: int) -> None:
        """It stops there when it runs."""
        ...

    def human(self, line: str, timeout: float = 60.0) -> str:
        """One line of QEMU's monitor."""
        ...

    def quit(self) -> None:
        """Ends it."""
        ...


class ImpatientError(Exception):
    """Whoever debugs does not want to wait any longer."""


@dataclass
class Stand:
    """A replay that stands somewhere, and the connection to its stub."""

    player: Player
    stub: Link

    @property
    def here(self) -> int:
        """How many instructions were executed."""
        return self.player.instructions

    @property
    def space(self) -> str:
        """The address space: page tables of the process, or of the last one where the kernel has none."""
        found = _SPACE.search(self.player.human("info registers"))
        return found[1] if found is not None else ""

    @property
    def counter(self) -> int:
        """The address of the next instruction."""
        found = re.search(r"RIP=([0-9a-f]+)", self.player.human("info registers"))
        if found is None:
            raise VmError("QEMU does not say where the processor is")
        return int(found[1], 16)

    def close(self) -> None:
        """Ends it."""
        self.stub.close()
        self.player.quit()


@dataclass(frozen=True)
class Hit:
    """Where a search backwards ends: the instruction, and why in the words of a stop reply."""

    at: int
    why: bytes = b""


@dataclass(frozen=True)
class Search:
    """What a search has found: everything from the first instruction up to ``end``, in that order.

    ``points`` are those that it was made for, ``space`` the process whose writes count.
    """

    points: frozenset[bytes]
    space: str
    end: int
    hits: Sequence[Hit]

    def serves(self, points: Iterable[bytes], space: str, here: int) -> bool:
        """Whether it has found what another one would."""
        return self.points == frozenset(points) and self.space == space and here <= self.end

    def before(self, here: int) -> Hit | None:
        """The last before an instruction."""
        return next((hit for hit in reversed(self.hits) if hit.at < here), None)


@dataclass
class Backwards:
    """Serves one debugger.

    Args:
        debugger: the connection to it.
        begin: starts a replay that stands at its first instruction, with a connection to its stub.
        last: the count beyond which nothing is shown; the recording has at least one more.

    Raises:
        VmError: QEMU refuses, or is gone.
    """

    debugger: Link
    begin: Callable[[], Stand]
    last: int
    _first: int = 0
    """Instructions at the beginning of the replay; known since the first one began."""
    _at: Stand = field(init=False)
    _thread: bytes = b""
    """Of the guest's processor, in the words of a stop reply."""
    _points: dict[bytes, None] = field(default_factory=dict)
    _said: dict[bytes, bytes] = field(default_factory=dict)
    """What a debugger has told the stub that a new one has to be told too, by kind."""
    _searched: Search | None = None
    """The last one: where a condition does not hold, a debugger asks for the hit before, time and again."""

    def serve(self, start: int | None = None) -> None:
        """Until the debugger leaves; it finds the replay at that instruction, by default at the last."""
        stand: Stand | None = None
        try:
            stand = self._at = self._fresh(self.last if start is None else min(start, self.last))
            while True:
                packet = self.debugger.read()
                if packet == INTERRUPT:
                    continue  # it stands already
                if packet[:1] in (b"D", b"k") or packet.startswith(b"vKill"):
                    self.debugger.send(b"OK")
                    return
                self.debugger.send(self._answer(packet))
        except ImpatientError:
            return
        except ClosedError as gone:
            if gone.link is not self.debugger:
                raise
        finally:
            if stand is not None:
                self._at.close()

    def _answer(self, packet: bytes) -> bytes:
        if packet in (b"bs", b"bc"):
            return self._back(packet)
        if packet[:1] in (b"c", b"C", b"s", b"S") or packet.startswith(b"vCont;"):
            return self._forward(packet)
        self._remember(packet)
        return self._at.stub.ask(packet)

    def _remember(self, packet: bytes) -> None:
        """What a stub is told that is not of one moment: breakpoints, what the debugger can, its thread."""
        if packet[:1] == b"Z":
            self._points[packet[1:]] = None
        elif packet[:1] == b"z":
            self._points.pop(packet[1:], None)
        elif packet.startswith(b"qSupported"):
            self._said[b"qSupported"] = packet
        elif packet.startswith(b"qXfer:features:read:target.xml:0"):
            self._said[b"qXfer"] = packet
        elif packet[:2] in (b"Hg", b"Hc"):
            self._said[packet[:2]] = packet

    def _forward(self, packet: bytes) -> bytes:
        if self._at.here >= self.last:
            return b"T05replaylog:end;" + self._thread
        self._at.player.break_at(self.last)
        said = self._run(self._at, packet, passes_on=True)
        if self._at.here >= self.last:
            return b"T05replaylog:end;" + self._thread
        return said

    def _back(self, packet: bytes) -> bytes:
        here = self._at.here
        if here <= self._first:
            return b"T05replaylog:begin;" + self._thread
        try:
            hit = Hit(here - 1) if packet == b"bs" else self._last_before(here)
            found = self._fresh(self._first if hit is None else hit.at)
        except ImpatientError:
            return b"T02" + self._thread
        old, self._at = self._at, found
        old.close()
        for point in self._points:
            found.stub.ask(b"Z" + point)
        return b"T05" + (b"replaylog:begin;" if hit is None else hit.why) + self._thread

    def _last_before(self, here: int) -> Hit | None:
        """The last breakpoint or watchpoint that is met before an instruction, and None where none is."""
        if not self._points:
            return None
        watches = any(point[:1] not in _BREAKPOINTS for point in self._points)
        space = self._at.space if watches else ""
        if self._searched is None or not self._searched.serves(self._points, space, here):
            found = self._found(space, here)
            self._searched = Search(frozenset(self._points), space, here, found)
        return self._searched.before(here)

    def _found(self, space: str, here: int) -> list[Hit]:
        """All breakpoints and watchpoints that are met before an instruction."""
        found: list[Hit] = []
        search = self._fresh(self._first)
        try:
            for point in self._points:
                search.stub.ask(b"Z" + point)
            if self._met(search):
                found.append(Hit(self._first))
            while search.here <= here:
                said = self._on(search, here + 1)
                now = search.here
                watched = _WATCH.search(said)
                # It stands behind the instruction that wrote; in front of it the old value is still there.
                if watched and now <= here and self._of(space, search, int(watched[1], 16)):
                    found.append(Hit(now - 1, watched[0]))
                if now < here and self._met(search):
                    found.append(Hit(now))
        finally:
            search.close()
        return found

    @staticmethod
    def _of(space: str, search: Stand, address: int) -> bool:
        """Whether this process's address was written to, and not the same one of another."""
        return address >= _UPPER_HALF or search.space == space

    def _met(self, stand: Stand) -> list[bytes]:
        """The breakpoints at the instruction at which it stands."""
        at = [point for point in self._points if point[:1] in _BREAKPOINTS]
        counter = stand.counter if at else 0
        return [point for point in at if int(point.split(b",")[1], 16) == counter]

    def _on(self, stand: Stand, limit: int) -> bytes:
        """Lets a replay run on to its next stop; where a breakpoint is, a stub would stop at once again."""
        before, met = stand.here, self._met(stand)
        for point in met:
            stand.stub.ask(b"z" + point)
        stand.player.break_at(before + 1 if met else limit)
        said = self._run(stand, b"c")
        for point in met:
            stand.stub.ask(b"Z" + point)
        if stand.here == before:
            raise VmError(f"the replay stands still at instruction {before:,}")
        return said

    def _run(self, stand: Stand, packet: bytes, *, passes_on: bool = False) -> bytes:
        """Lets a replay run until it stops; gives its stop reply.

        ``passes_on``: what whoever debugs sends meanwhile goes to it; else it ends the search.
        """
        stand.stub.send(packet)
        while True:
            if self.debugger.interrupted():
                if not passes_on:
                    raise ImpatientError
                stand.stub.interrupt()
            said = stand.stub.poll()
            if said is not None:
                return said
            select.select([stand.stub, self.debugger], [], [])

    def _fresh(self, at: int) -> Stand:
        """A new replay that stands at an instruction, and whose stub knows what the debugger has said."""
        stand = self.begin()
        try:
            self._first = stand.here
            for packet in self._said.values():
                stand.stub.ask(packet)
            # A stub that is asked this forgets its breakpoints: it has none yet.
            thread = _THREAD.search(stand.stub.ask(b"?"))
            self._thread = thread[0] if thread is not None else b""
            if at > self._first:
                stand.player.break_at(at)
                self._run(stand, b"c")
                if stand.here != at:
                    raise VmError(f"the replay stopped at instruction {stand.here:,} instead of {at:,}")
        except BaseException:
            stand.close()
            raise
        return stand
