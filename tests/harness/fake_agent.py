# SPDX-License-Identifier: Apache-2.0
"""An agent of threads and memory, for tests of the host's side of the protocol."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


class MemoryPipe:
    """A bounded-less byte pipe with an end, between two threads."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._ended = False
        self._lock = threading.Condition()

    def put(self, data: bytes) -> None:
        with self._lock:
            if self._ended:
                raise BrokenPipeError("the other side is gone")
            self._data += data
            self._lock.notify_all()

    def end(self) -> None:
        with self._lock:
            self._ended = True
            self._lock.notify_all()

    def get(self, n: int, timeout: float | None) -> bytes:
        """Up to n bytes, b"" at the end, TimeoutError when nothing came."""
        with self._lock:
            if not self._lock.wait_for(lambda: self._data or self._ended, timeout):
                raise TimeoutError
            taken = bytes(self._data[:n])
            del self._data[:n]
            return taken

    def get_exactly(self, n: int) -> bytes | None:
        data = b""
        while len(data) < n:
            more = self.get(n - len(data), None)
            if not more:
                return None
            data += more
        return data


class MemoryChannel:
    """The host's end; what `vm` gives for a real guest."""

    def __init__(self) -> None:
        self.to_agent = MemoryPipe()
        self.to_host = MemoryPipe()
        self.stderr = ""
        self.exit_code: int | None = None
        self.closed = False
        self.writes: list[bytes] = []

    def read(self, n: int, timeout: float | None = None) -> bytes:
        return self.to_host.get(n, timeout)

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        self.to_agent.put(data)

    def close(self) -> None:
        self.closed = True
        self.to_agent.end()
        self.to_host.end()

    def stderr_tail(self) -> str:
        return self.stderr


@dataclass
class Answer:
    """What the fake agent does with one step."""

    record: Mapping[str, int] | None = None  # None: no RECORD
    data: bytes = b""
    begin: bool = True
    error: tuple[int, int, str] | None = None  # an ERROR frame with the step's seq
    raw: bytes = b""  # sent as it is, after everything else
    delay: float = 0.0
    die: int | None = None  # exit code: end the stream after this
    silent: bool = False  # never answer again


Respond = Callable[[Any, bytes], Answer]


def done(step: Any, data: bytes) -> Answer:
    return Answer(record={})


@dataclass
class Received:
    seq: int
    step: Any
    data: bytes


class FakeAgent:
    """Speaks the protocol over a `MemoryChannel` in its own thread."""

    def __init__(
        self,
        abi: Any,
        respond: Respond = done,
        *,
        layout: str | None = None,
        version: int | None = None,
        pointer_size: int = 8,
        handshake_size: int = 32,
        before_hello: bytes = b"",
        hello: bool = True,
    ) -> None:
        self.abi = abi
        self.respond = respond
        self.channel = MemoryChannel()
        self.received: list[Received] = []
        self.bye = False
        self._layout = abi.layout_text() if layout is None else layout
        self._version = abi.version if version is None else version
        self._sizes = (pointer_size, handshake_size)
        self._before_hello = before_hello
        self._hello = hello
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    # ---- frames as an agent makes them

    def frame(self, kind: str, seq: int, payload: bytes, **overrides: int) -> bytes:
        header: dict[str, int] = {
            "magic": self.abi.constants["KSHS_FRAME_MAGIC"],
            "type": self.abi.constants[f"KSHS_FRAME_{kind}"],
            "flags": 0,
            "seq": seq,
            "length": len(payload),
            **overrides,
        }
        return bytes(self.abi.cs.kshs_frame(**header).dumps()) + payload

    def hello_frame(self) -> bytes:
        layout = self._layout.encode()
        hello = self.abi.cs.kshs_hello(
            abi_version=self._version,
            pointer_size=self._sizes[0],
            handshake_size=self._sizes[1],
            layout_length=len(layout),
        )
        return self.frame("HELLO", 0, bytes(hello.dumps()) + layout)

    def record_frame(self, seq: int, op: int, fields: Mapping[str, int], data: bytes) -> bytes:
        record = self.abi.cs.kshs_record(
            **{
                "size": len(self.abi.cs.kshs_record),
                "op": op,
                "changed_first": 0xFFFFFFFF,
                "changed_last": 0xFFFFFFFF,
                "repeats": 1,
                "data_length": len(data),
                **fields,
            }
        )
        return self.frame("RECORD", seq, bytes(record.dumps()) + data)

    def send(self, data: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.channel.to_host.put(data)

    def die(self, exit_code: int) -> None:
        with self._lock:
            # A process ends once: what killed it is not made good by its own thread's noticing.
            if self.channel.exit_code is None:
                self.channel.exit_code = exit_code
        self.channel.to_host.end()
        self.channel.to_agent.end()

    # ---- the loop

    def _serve(self) -> None:
        if self._before_hello:
            self.send(self._before_hello)
        if self._hello:
            self.send(self.hello_frame())
        header_size = len(self.abi.cs.kshs_frame)
        step_size = len(self.abi.cs.kshs_step)
        while True:
            raw = self.channel.to_agent.get_exactly(header_size)
            if raw is None:
                self.die(0)
                return
            header = self.abi.cs.kshs_frame(raw)
            payload = self.channel.to_agent.get_exactly(header.length) if header.length else b""
            if payload is None:
                self.die(0)
                return
            if header.type == self.abi.constants["KSHS_FRAME_BYE"]:
                self.bye = True
                self.die(0)
                return
            if header.type != self.abi.constants["KSHS_FRAME_STEP"]:
                continue
            step = self.abi.cs.kshs_step(payload[:step_size])
            data = payload[step_size:]
            self.received.append(Received(int(header.seq), step, data))
            if not self._answer(int(header.seq), int(step.op), self.respond(step, data)):
                return

    def _answer(self, seq: int, op: int, answer: Answer) -> bool:
        if answer.begin:
            self.send(self.frame("BEGIN", seq, b""))
        if answer.delay:
            time.sleep(answer.delay)
        if answer.record is not None:
            self.send(self.record_frame(seq, op, answer.record, answer.data))
        if answer.error is not None:
            code, win32, text = answer.error
            error = self.abi.cs.kshs_error(code=code, win32=win32)
            self.send(self.frame("ERROR", seq, bytes(error.dumps()) + text.encode(errors="surrogatepass")))
        if answer.raw:
            self.send(answer.raw)
        if answer.die is not None:
            self.die(answer.die)
            return False
        return not answer.silent


@dataclass
class Script:
    """Answers by the number of the step, from 0; `done` for those not named."""

    answers: dict[int, Answer] = field(default_factory=dict)
    count: int = 0

    def __call__(self, step: Any, data: bytes) -> Answer:
        number, self.count = self.count, self.count + 1
        return self.answers.get(number, Answer(record={}))
