# SPDX-License-Identifier: Apache-2.0
"""Programs of the guest's Linux that stand in for the agent, and break the protocol.

Each gives the greeting of the real agent, which the template keeps, waits until the host has sent a step, and
then misbehaves.  The host sees what it would see of an agent whose memory a driver has overwritten.
"""

from __future__ import annotations

import shlex
import struct
from typing import TYPE_CHECKING

from harness.agent import waiting_agent
from harness.agent.frames import FrameWriter

if TYPE_CHECKING:
    from drivers.abi import Abi

#: Bytes of what comes behind the host's greeting: some of its first step.
_OF_A_STEP = 16
_HEADER = struct.Struct("<IHHII")


def _misbehaving(abi: Abi, then: str) -> str:
    greeting = len(FrameWriter(abi).hello())
    script = (
        f"cat {waiting_agent.DIRECTORY}/hello; "
        f"dd bs=1 count={greeting + _OF_A_STEP} of=/dev/null 2>/dev/null; {then}"
    )
    return f"sh -c {shlex.quote(script)}"


def garbage(abi: Abi) -> str:
    """Noise."""
    return _misbehaving(abi, "head -c 300000 /dev/urandom; sleep 60")


def flood(abi: Abi) -> str:
    """Well-formed words for people, without end."""
    text = b"kshs " * 200
    frame = _octal(_header(abi, "LOG", 0, len(text)) + text)
    # dropbear takes command lines of 9,000 bytes.
    many = "for i in 1 2 3 4 5 6 7 8; do cat /tmp/frame; done >/tmp/flood"
    return _misbehaving(abi, f"printf '{frame}' >/tmp/frame; {many}; while cat /tmp/flood; do :; done")


def half_a_frame(abi: Abi) -> str:
    """The begin of a header, and the end of the stream."""
    return _misbehaving(abi, f"printf '{_octal(_header(abi, 'RECORD', 1, 64)[:10])}'")


def lying_frame(abi: Abi) -> str:
    """A frame that says that it has nearly 4 GiB."""
    return _misbehaving(abi, f"printf '{_octal(_header(abi, 'LOG', 0, 0xFFFFFFF0))}'; sleep 60")


def lying_record(abi: Abi) -> str:
    """A record that says that more data follows than its frame holds."""
    record = abi.cs.kshs_record()
    record.size = len(abi.cs.kshs_record)
    record.data_length = 60000
    body = bytes(record.dumps())
    frames = _header(abi, "BEGIN", 1, 0) + _header(abi, "RECORD", 1, len(body)) + body
    return _misbehaving(abi, f"printf '{_octal(frames)}'; sleep 60")


def _header(abi: Abi, kind: str, seq: int, length: int) -> bytes:
    constants = abi.constants
    return _HEADER.pack(
        constants["KSHS_FRAME_MAGIC"], constants[f"KSHS_FRAME_{kind}"], 0, seq, length & 0xFFFFFFFF
    )


def _octal(data: bytes) -> str:
    """As `printf` of a POSIX shell takes it."""
    return "".join(f"\\{byte:03o}" for byte in data)
