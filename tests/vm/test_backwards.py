# SPDX-License-Identifier: Apache-2.0
"""The stub that goes backwards, between a debugger that sends packets and toy machines behind toy stubs."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from vm.backwards import Backwards, Stand
from vm.errors import VmError
from vm.gdb_remote import INTERRUPT, ClosedError, Link

FIRST = 1000
STATUS = 0x5000
#: What the toy executes from instruction FIRST on: address, address that it writes to, address space.
PROGRAM = [
    (0x10, None, "a0"),
    (0x20, STATUS, "a0"),  # 1001
    (0x30, None, "a0"),
    (0x20, STATUS, "b0"),  # 1003: the same address in another process
    (0x70, None, "b0"),
    (0x40, STATUS, "a0"),  # 1005: what is looked for
    (0x30, None, "a0"),  # 1006
    (0x10, None, "a0"),
    (0x50, None, "a0"),
    (0x60, None, "a0"),
]
LAST = FIRST + len(PROGRAM) - 2


@dataclass
class Toy:
    """A machine and its stub, which answers in a thread as QEMU's does."""

    stub: Link = field(init=False)
    now: int = FIRST
    ended: bool = False
    never_stops: bool = False
    _break: int = -1
    _points: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.stub = Link(ours, "toy")
        self._server = Link(theirs, "harness")
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def instructions(self) -> int:
        return self.now

    def break_at(self, instructions: int) -> None:
        assert instructions >= self.now, "QEMU refuses an instruction of the past"
        self._break = instructions

    def human(self, line: str, timeout: float = 60.0) -> str:
        assert line == "info registers"
        address, _, space = PROGRAM[self.now - FIRST]
        return f"RIP={address:016x} RFL=00000202\nCR0=80050033 CR3={space} CR4=000006f0"

    def quit(self) -> None:
        self.ended = True

    def _serve(self) -> None:
        try:
            while True:
                self._server.send(self._answer(self._server.read()))
        except (ClosedError, OSError):
            pass

    def _answer(self, packet: bytes) -> bytes:
        if packet == b"?":
            self._points.clear()  # as QEMU does
            return b"T05thread:p01.01;"
        if packet[:1] in (b"Z", b"z"):
            known = packet[1:] in self._points
            (self._points.add if packet[:1] == b"Z" else self._points.discard)(packet[1:])
            return b"OK" if packet[:1] == b"Z" or known else b"E22"
        if packet[:1] in (b"c", b"s") or packet.startswith(b"vCont;"):
            if self.never_stops:
                while self._server.read() != INTERRUPT:
                    pass
                return b"T02thread:p01.01;"
            return self._run(step=packet == b"s" or packet.startswith(b"vCont;s"))
        return b"now=%d" % self.now

    def _run(self, *, step: bool) -> bytes:
        while True:
            address, written, _ = PROGRAM[self.now - FIRST]
            if not step and any(p == b"1,%x,1" % address for p in self._points):
                return b"T05thread:p01.01;"
            if self.now == self._break:
                return b"T02thread:p01.01;"
            self.now += 1
            if written is not None and b"2,%x,4" % written in self._points:
                return b"T05thread:p01.01;watch:%x;" % written
            if step:
                return b"T05thread:p01.01;"


@contextmanager
def debugged(
    start: int | None = None, toys: list[Toy] | None = None, **how: bool
) -> Iterator[tuple[Link, list[Toy]]]:
    """A debugger's link to a replay that stands at its end."""
    made: list[Toy] = [] if toys is None else toys

    def begin() -> Stand:
        toy = Toy(**(how if made else {}))
        made.append(toy)
        return Stand(toy, toy.stub)

    near, far = socket.socketpair()
    server = threading.Thread(target=Backwards(Link(far, "gdb"), begin, LAST).serve, args=(start,))
    server.start()
    gdb = Link(near, "server")
    try:
        yield gdb, made
    finally:
        gdb.close()
        server.join(10)
        assert not server.is_alive()
        assert all(toy.ended for toy in made)


def position(gdb: Link) -> int:
    return int(gdb.ask(b"where").removeprefix(b"now="))


def test_it_stands_at_the_end_and_steps_back() -> None:
    with debugged() as (gdb, toys):
        assert position(gdb) == LAST
        assert gdb.ask(b"bs", 10) == b"T05thread:p01.01;"
        assert position(gdb) == LAST - 1
        assert [toy.ended for toy in toys] == [True, False]


def test_back_to_the_instruction_that_wrote() -> None:
    """In front of it, where the old value is there still; what another process wrote there is none of it."""
    with debugged() as (gdb, _):
        assert gdb.ask(b"Z2,5000,4") == b"OK"
        assert gdb.ask(b"bc", 10) == b"T05watch:5000;thread:p01.01;"
        assert position(gdb) == 1005
        assert gdb.ask(b"bc", 10) == b"T05watch:5000;thread:p01.01;"
        assert position(gdb) == 1001
        assert gdb.ask(b"bc", 10) == b"T05replaylog:begin;thread:p01.01;"
        assert position(gdb) == FIRST
        assert gdb.ask(b"bc", 10) == gdb.ask(b"bs", 10) == b"T05replaylog:begin;thread:p01.01;"
        # What was set is set in the replay that is shown now, too, and can be taken away there.
        assert gdb.ask(b"c", 10) == b"T05thread:p01.01;watch:5000;"
        assert gdb.ask(b"z2,5000,4") == b"OK"


def test_back_to_a_breakpoint() -> None:
    with debugged() as (gdb, _):
        gdb.ask(b"Z1,30,1")
        assert gdb.ask(b"bc", 10) == b"T05thread:p01.01;"
        assert position(gdb) == 1006
        gdb.ask(b"bc", 10)
        assert position(gdb) == 1002


def test_the_later_of_both_counts_and_the_first_instruction_too() -> None:
    with debugged() as (gdb, _):
        gdb.ask(b"Z2,5000,4")
        gdb.ask(b"Z1,30,1")
        gdb.ask(b"bc", 10)
        assert position(gdb) == 1006
        assert gdb.ask(b"bc", 10).startswith(b"T05watch")
        assert position(gdb) == 1005
    with debugged(1003) as (gdb, _):
        gdb.ask(b"Z1,10,1")
        gdb.ask(b"bc", 10)
        assert position(gdb) == FIRST


def test_what_was_found_once_is_not_looked_for_again() -> None:
    """A condition that does not hold makes gdb ask for the one before: a replay to it, and no search."""
    with debugged() as (gdb, toys):
        gdb.ask(b"Z1,10,1")
        gdb.ask(b"Z1,30,1")
        assert gdb.ask(b"bc", 10) and position(gdb) == 1007
        begun = len(toys)
        for number, place in enumerate((1006, 1002, FIRST), start=1):
            # As gdb does where it stops: all away, and in again.
            for point in (b"1,30,1", b"1,10,1"):
                gdb.ask(b"z" + point)
                gdb.ask(b"Z" + point)
            assert gdb.ask(b"bc", 10) and position(gdb) == place
            assert len(toys) == begun + number
        # Other points make another search, and so does a place behind the last one's end.
        gdb.ask(b"z1,10,1")
        gdb.ask(b"c", 10)
        assert position(gdb) == 1002
        gdb.ask(b"s", 10)
        gdb.ask(b"bc", 10)
        assert position(gdb) == 1002 and len(toys) == begun + 5
        for packet in (b"s", b"c", b"s", b"bc"):
            gdb.ask(packet, 10)
        assert position(gdb) == 1006 and len(toys) == begun + 7


def test_a_write_right_before() -> None:
    """It stands behind the write: that is the last one before here."""
    with debugged(1006) as (gdb, _):
        gdb.ask(b"Z2,5000,4")
        gdb.ask(b"bc", 10)
        assert position(gdb) == 1005


def test_forwards_ends_with_the_recording() -> None:
    with debugged(1001) as (gdb, _):
        assert gdb.ask(b"s", 10) == b"T05thread:p01.01;"
        assert position(gdb) == 1002
        assert gdb.ask(b"vCont;c:p1.-1", 10) == b"T05replaylog:end;thread:p01.01;"
        assert position(gdb) == LAST
        assert gdb.ask(b"c", 10) == b"T05replaylog:end;thread:p01.01;"


def test_what_a_debugger_has_said_is_said_to_each_stub() -> None:
    with debugged() as (gdb, _):
        gdb.ask(b"qSupported:multiprocess+")
        gdb.ask(b"Hgp1.1")
        gdb.ask(b"bs", 10)
        gdb.ask(b"bs", 10)
        assert position(gdb) == LAST - 2


def test_whoever_does_not_want_to_wait() -> None:
    """The search ends, and the debugger is where it was."""
    with debugged(never_stops=True) as (gdb, toys):
        gdb.ask(b"Z1,30,1")
        gdb.send(b"bc")
        gdb.interrupt()
        assert gdb.read(10) == b"T02thread:p01.01;"
        assert position(gdb) == LAST
        assert [toy.ended for toy in toys] == [False, True]


def test_a_machine_that_ends_is_told() -> None:
    """It is no debugger that has left."""
    toy = Toy()
    near, far = socket.socketpair()
    with near:
        debugger = Link(far, "gdb")
        toy.stub.close()
        toy.stub = Link(socket.socketpair()[0], "toy")
        with pytest.raises(ClosedError, match="toy") as caught:
            Backwards(debugger, lambda: Stand(toy, toy.stub), LAST).serve()
        assert caught.value.link is toy.stub


def test_it_ends_with_the_debugger() -> None:
    with debugged() as (gdb, _):
        assert gdb.ask(b"D;1", 10) == b"OK"


@pytest.mark.parametrize("data", [b"$abc#00", b"GET / HTTP/1.0"])
def test_what_is_no_packet(data: bytes) -> None:
    near, far = socket.socketpair()
    with near, far:
        near.sendall(data)
        with pytest.raises(VmError, match=r"wrong checksum|no packet"):
            Link(far, "gdb").read(5)


def test_packets_in_pieces() -> None:
    near, far = socket.socketpair()
    with near, far:
        link = Link(far, "gdb")
        near.sendall(b"++$g")
        assert link.poll() is None
        near.sendall(b"#67\x03")
        assert link.poll() == b"g" and link.poll() == INTERRUPT and link.poll() is None
        with pytest.raises(VmError, match="no answer"):
            link.read(0.01)
