# SPDX-License-Identifier: Apache-2.0
"""Requests on one guest, measured: one by one, in flight, by the agent alone, and by an exec each."""

from __future__ import annotations

import shlex
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.agent import encode
from harness.agent.encode import Encoder
from harness.agent.frames import FrameParser, FrameWriter, Record
from harness.agent.pending import Pending
from harness.agent.session import WINDOW, AgentSession
from harness.bench.figures import Point
from harness.contract.handshake_data import HandshakeData, handshake_size
from harness.errors import HarnessError
from harness.guests.kshsctl import Kshsctl
from harness.language.model.arguments import protocol_of
from harness.language.model.steps import IOCTL_KS_HANDSHAKE

if TYPE_CHECKING:
    from drivers.abi import Abi
    from harness.language.model import Target
    from vm.lease import Lease

#: Milliseconds for a step; many requests may be in one.
_TIMEOUT_MS = 60_000
_EXEC_TIMEOUT = 300.0
_REMOTE = r"C:\kshs\bench.in"
_REMOTE_OUT = r"C:\kshs\bench.out"


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of the measurement: kernel route `call`, one pin, one handshake that succeeds."""

    opening: tuple[bytes, ...]
    request: bytes
    closing: bytes

    @classmethod
    def make(cls, encoder: Encoder, target: Target, pointer_size: int, repeat: int = 1) -> Steps:
        """For a target's first pin and its first protocol there; `repeat` requests a step."""
        pin = target.pin[0]
        if not pin.accepts:
            raise HarnessError(
                f"pin {pin.name} of {target.name} accepts no protocol, so nothing can be measured"
            )
        name = next(
            (one for one in pin.accepts if protocol_of(target.protocol_table[one]).followed is None), None
        )
        if name is None:
            raise HarnessError(
                f"pin {pin.name} of {target.name} accepts no protocol of numbers, so nothing can be measured"
            )
        protocol = target.protocols[name]
        side, route = encoder.constant("SIDE_KERNEL"), encoder.constant("ROUTE_CALL")
        connect = encode.pin_connect(
            pin.id, target.format_of(pin), pointer_size, target.interface_of(pin), target.medium_of(pin)
        )
        size = handshake_size(pointer_size)
        return cls(
            opening=(
                encoder.step(
                    "OPEN_FILTER", side=side, guid=target.category, value=target.instance, slot=0, route=route
                ),
                encoder.step(
                    "OPEN_PIN",
                    side=side,
                    slot=1,
                    slot2=0,
                    flags=encoder.constant("STEP_FALLBACK"),
                    route=route,
                    data=connect,
                ),
            ),
            request=encoder.step(
                "REQUEST",
                side=side,
                slot=1,
                route=route,
                control=IOCTL_KS_HANDSHAKE,
                in_length=size,
                out_length=size,
                repeat=repeat,
                timeout_ms=_TIMEOUT_MS,
                data=HandshakeData(protocol, 1, 2).pack(pointer_size),
            ),
            closing=encoder.step("RELEASE_ALL", side=side),
        )


class Bench:
    """Measures requests on one lease.

    Args:
        lease: of a guest with the target deployed.
        abi: of this harness.
        target: what is deployed.
        session: with the agent, journal and all, as a run has it.
    """

    def __init__(self, lease: Lease, abi: Abi, target: Target, session: AgentSession) -> None:
        self._lease = lease
        self._abi = abi
        self._session = session
        self._encoder = Encoder(abi)
        self._target = target
        self._size = session.hello.pointer_size
        self.steps = self.make(1)
        for step in self.steps.opening:
            self._check(session.run(step, what="bench: open"))
        self._check(session.run(self.steps.request, what="bench: warm up"))

    def make(self, repeat: int) -> Steps:
        """The steps with so many requests in each request step."""
        return Steps.make(self._encoder, self._target, self._size, repeat)

    def _check(self, record: Record) -> Record:
        done = self._encoder.constant("OUTCOME_DONE")
        if record.outcome != done or record.returned != 0:
            raise HarnessError(
                f"a request of the benchmark failed: outcome {record.outcome},"
                f" returned 0x{record.returned:08X}"
            )
        return record

    def single(self, count: int) -> float:
        """Requests a second, each sent when the answer to the one before is here."""
        began = time.monotonic()
        for _ in range(count):
            self._check(self._session.run(self.steps.request, what="bench: single"))
        return count / (time.monotonic() - began)

    def pipelined(self, count: int, *, repeat: int = 1) -> float:
        """Seconds for so many request steps in flight; at most a window of answers is kept."""
        request = self.steps.request if repeat == 1 else self.make(repeat).request
        flying: deque[Pending] = deque()
        began = time.monotonic()
        for _ in range(count):
            if len(flying) == WINDOW:
                self._check(flying.popleft().result())
            flying.append(self._session.submit(request, what="bench: in flight", timeout=_TIMEOUT_MS / 1000))
        while flying:
            self._check(flying.popleft().result())
        return time.monotonic() - began

    def point(self, count: int, *, repeat: int = 1) -> Point:
        """One size of a series, `count` requests in all."""
        seconds = self.pipelined(count // repeat, repeat=repeat)
        return Point(count, repeat, seconds, rss_mib())

    def agent_loop(self, count: int) -> float:
        """Steps a second of an agent in the guest that reads the very same frames from a file.

        By the guest's clock, from the first request's begin to the last one's: neither the start of
        the process nor the way to the host is in it.
        """
        steps = [*self.steps.opening, *[self.steps.request] * count, self.steps.closing]
        records = self._exec(steps, redirect=True)
        asked = [r for r in records if r.op == self._encoder.constant("OP_REQUEST")]
        if len(asked) != count:
            raise HarnessError(f"the agent's own loop answered {len(asked)} of {count} requests")
        for record in asked:
            self._check(record)
        return (count - 1) / ((asked[-1].begin_ns - asked[0].begin_ns) / 1e9)

    def naive(self, count: int) -> float:
        """Requests a second where each is a command of its own: start, open, request, close, end."""
        steps = [*self.steps.opening, self.steps.request, self.steps.closing]
        began = time.monotonic()
        for _ in range(count):
            records = self._exec(steps, redirect=False)
            self._check(records[-2])
        return count / (time.monotonic() - began)

    def _exec(self, steps: Sequence[bytes], *, redirect: bool) -> list[Record]:
        """An agent of its own in the guest, fed all at once: from a file, or through the exec's stdin."""
        frames = FrameWriter(self._abi)
        stream = b"".join([frames.hello(), *_numbered(frames, steps), frames.bye()])
        shell = self._lease.shell
        command = Kshsctl(shell).command("serve")
        if not redirect:
            done = shell.run(command, input=stream, timeout=_EXEC_TIMEOUT)
            output = done.stdout
        else:
            with tempfile.TemporaryDirectory(prefix="kshs-bench-") as directory:
                local = Path(directory) / "frames"
                local.write_bytes(stream)
                shell.put({_REMOTE: local})
                source, sink = (shlex.quote(shell.family.sftp_path(path)) for path in (_REMOTE, _REMOTE_OUT))
                line = f"{command} <{source} >{sink}"
                done = shell.run(["sh", "-c", line], timeout=_EXEC_TIMEOUT)
                shell.get(_REMOTE_OUT, local)
                output = local.read_bytes()
        if done.exit_code != 0:
            raise HarnessError(f"the agent's own loop ended with exit code {done.exit_code}")
        records = [frame for frame in FrameParser(self._abi).feed(output) if isinstance(frame, Record)]
        if len(records) != len(steps):
            raise HarnessError(f"the agent's own loop answered {len(records)} of {len(steps)} steps")
        return records


def _numbered(frames: FrameWriter, steps: Iterable[bytes]) -> Iterable[bytes]:
    return (frames.step(seq, step) for seq, step in enumerate(steps, start=1))


def rss_mib() -> float:
    """Memory of this process, MiB."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise HarnessError("this host does not say how much memory a process has", where="/proc/self/status")
