# SPDX-License-Identifier: Apache-2.0
"""How a session begins: HELLO both ways, the same ABI on both sides, and errors that the agent reports."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from harness.agent.frames import Fault, Frame, FrameParser, Hello, Log
from harness.agent.pending import Channel
from harness.errors import AbiMismatchError, AgentError, AgentLostError

if TYPE_CHECKING:
    from drivers.abi import Abi

_POLL = 0.25
_READ_SIZE = 65536
_REBUILD = "rebuild with: kshs build"


class Greeting:
    """The first frames of one channel.

    Args:
        channel: to the agent.
        parser: of its frames; what it has read beyond HELLO is given to the session.
        abi: the host's own.
        note: gets what the agent logs.
        lost: makes the error of an agent that is gone.
    """

    def __init__(
        self,
        channel: Channel,
        parser: FrameParser,
        abi: Abi,
        *,
        note: Callable[[str], None],
        lost: Callable[[str], AgentLostError],
    ) -> None:
        self._channel = channel
        self._parser = parser
        self._abi = abi
        self._note = note
        self._lost = lost
        self._early: list[Frame] = []

    def exchange(self, ours: bytes, timeout: float) -> tuple[Hello, list[Frame]]:
        """Sends our HELLO and gives the agent's, and the frames that came right behind it.

        Args:
            ours: the frame.
            timeout: seconds for the agent's.

        Raises:
            AbiMismatchError: the agent was built from another ABI header.
            AgentLostError, AgentError: no or no proper HELLO.
        """
        deadline = time.monotonic() + timeout
        try:
            self._channel.write(ours)
        except (OSError, EOFError) as error:
            raise self._lost(f"it does not take our HELLO: {error}") from None
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise AgentError(f"no HELLO within {timeout:.0f} s", where="agent", hint=self._lost("").hint)
            try:
                data = self._channel.read(_READ_SIZE, timeout=min(left, _POLL))
            except TimeoutError:
                continue
            except OSError as error:
                raise self._lost(str(error)) from None
            if not data:
                raise self._lost("the channel ended before its HELLO")
            hello = self._find(data)
            if hello is not None:
                return hello, self._early

    def _find(self, data: bytes) -> Hello | None:
        hello: Hello | None = None
        for frame in self._parser.feed(data):
            if hello is not None:
                self._early.append(frame)
            elif isinstance(frame, Hello):
                hello = frame
                self._check(hello)
            elif isinstance(frame, Log):
                self._note(frame.text)
            elif isinstance(frame, Fault):
                raise reported(self._abi, frame)
            else:
                raise AgentError(f"{type(frame).__name__} came before HELLO", where="agent")
        return hello

    def _check(self, hello: Hello) -> None:
        if hello.abi_version != self._abi.version:
            raise AbiMismatchError(
                f"the agent speaks ABI version {hello.abi_version}, this harness {self._abi.version}",
                where="agent",
                hint=_REBUILD,
            )
        difference = self._abi.difference(hello.layout)
        if difference is not None:
            raise AbiMismatchError(
                f"the agent sees the ABI otherwise: {difference}", where="agent", hint=_REBUILD
            )
        expected = {4: 24, 8: 32}.get(hello.pointer_size)
        if expected is None or hello.handshake_size != expected:
            raise AbiMismatchError(
                f"pointers of {hello.pointer_size} bytes and a KSHANDSHAKE of {hello.handshake_size} bytes"
                " do not go together (rule H2: 24 on 32-bit, 32 on 64-bit)",
                where="agent",
            )


def reported(abi: Abi, fault: Fault, what: str | None = None) -> AgentError:
    """An error that the agent reports, as an exception.

    Args:
        abi: the host's own.
        fault: the frame.
        what: the step that it is about, None for the whole connection.
    """
    names = {number: name for name, number in abi.constants.items() if name.startswith("KSHS_ERROR_")}
    name = names.get(fault.code, f"error {fault.code}")
    win32 = f", Win32 error {fault.win32}" if fault.win32 else ""
    text = f": {fault.text}" if fault.text else ""
    kind = AbiMismatchError if name == "KSHS_ERROR_ABI" else AgentError
    return kind(f"the agent reports {name}{win32}{text}", where=what or "agent")
