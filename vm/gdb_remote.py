# SPDX-License-Identifier: Apache-2.0
"""GDB's remote serial protocol ("Debugging with GDB", appendix E): packets on a stream, for either end."""

from __future__ import annotations

import re
import select
import socket
from pathlib import Path

from vm.errors import VmError

INTERRUPT = b"\x03"
"""What a debugger sends to a program that runs: a byte, no packet."""
_MOST = 1 << 20
_PACKET = re.compile(rb"\$([^$#]*)#([0-9a-fA-F]{2})")


class ClosedError(VmError):
    """The other end is gone: that of ``link``."""

    def __init__(self, link: Link) -> None:
        super().__init__("the debugger's connection is closed", link.name)
        self.link = link


class Link:
    """One end of a connection; packets are acknowledged as they come.

    Args:
        stream: a connected socket.
        name: of the other end, for messages.

    Raises:
        ClosedError: from every method, where the other end is gone.
        VmError: what came is no packet, or nothing came in time.
    """

    def __init__(self, stream: socket.socket, name: str) -> None:
        self._stream = stream
        self.name = name
        self._pending = b""

    @classmethod
    def to(cls, path: Path, name: str) -> Link:
        """Connects to a socket of a stub."""
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            stream.connect(str(path))
        except OSError as error:
            stream.close()
            raise VmError(f"its debugger's socket does not answer: {error.strerror}", name) from None
        return cls(stream, name)

    def fileno(self) -> int:
        """For select(2)."""
        return self._stream.fileno()

    def close(self) -> None:
        """Ends the connection."""
        self._stream.close()

    def send(self, packet: bytes) -> None:
        """One packet; it is escaped already where it must be."""
        self._write(b"$" + packet + b"#%02x" % (sum(packet) % 256))

    def interrupt(self) -> None:
        """Tells a program that runs to stop."""
        self._write(INTERRUPT)

    def read(self, timeout: float | None = None) -> bytes:
        """The next packet, without its frame, or `INTERRUPT`; waits so many seconds, by default for ever."""
        while True:
            taken = self._take()
            if taken is not None:
                return taken
            if not select.select([self._stream], [], [], timeout)[0]:
                raise VmError(f"gives no answer to the debugger within {timeout:.0f} s", self.name)
            self._fill()

    def ask(self, packet: bytes, timeout: float | None = 120.0) -> bytes:
        """Sends a packet and gives its answer."""
        self.send(packet)
        return self.read(timeout)

    def poll(self) -> bytes | None:
        """The next packet, where it is whole already; where select(2) says that something came."""
        taken = self._take()
        if taken is None and select.select([self._stream], [], [], 0)[0]:
            self._fill()
            taken = self._take()
        return taken

    def interrupted(self) -> bool:
        """Whether the next that came is `INTERRUPT`, which is taken; a packet stays for `read`."""
        if select.select([self._stream], [], [], 0)[0]:
            self._fill()
        self._pending = self._pending.lstrip(b"+-")
        asked = self._pending[:1] == INTERRUPT
        if asked:
            self._pending = self._pending[1:]
        return asked

    def _take(self) -> bytes | None:
        """What is whole of that which came; an acknowledgement is passed over."""
        self._pending = self._pending.lstrip(b"+-")
        if self._pending[:1] == INTERRUPT:
            self._pending = self._pending[1:]
            return INTERRUPT
        found = _PACKET.match(self._pending)
        if found is not None:
            self._pending = self._pending[found.end() :]
            if sum(found[1]) % 256 != int(found[2], 16):
                raise VmError("a packet came with a wrong checksum", self.name)
            self._write(b"+")
            return found[1]
        if self._pending and (self._pending[:1] != b"$" or len(self._pending) > _MOST):
            raise VmError("what came is no packet of GDB's protocol", self.name)
        return None

    def _fill(self) -> None:
        try:
            more = self._stream.recv(65536)
        except OSError:
            more = b""
        if not more:
            raise ClosedError(self)
        self._pending += more

    def _write(self, data: bytes) -> None:
        try:
            self._stream.sendall(data)
        except OSError:
            raise ClosedError(self) from None
