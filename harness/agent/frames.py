# SPDX-License-Identifier: Apache-2.0
"""Frames between host and agent, parsed strictly.

The guest runs drivers that are wrong by profession, so nothing that it sends is believed: every
length is bounded before it is used, every frame has exactly one valid shape, and the first
violation ends the stream.  Layouts and limits are those of `drivers/abi/kshs_abi.h`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from harness.agent.structures import StructCodec, codec
from harness.errors import AgentError
from harness.guest_text import GuestJsonError, lines, load_object
from vm.words import counted

if TYPE_CHECKING:
    from drivers.abi import Abi

#: No text of the guest is kept longer than this many characters.
MAX_TEXT = 16384


@dataclass(frozen=True, slots=True)
class Hello:
    """What the agent says of itself: ABI version, pointer size, layout text (`kshs_hello`)."""

    abi_version: int
    pointer_size: int
    handshake_size: int
    layout: str


@dataclass(frozen=True, slots=True)
class Begin:
    """The step of this sequence number starts now."""

    seq: int


@dataclass(frozen=True, slots=True)
class Record:
    """The answer to one step: the fields of `kshs_record`, and the data behind it."""

    seq: int
    op: int
    outcome: int
    detail: int
    flags: int
    returned: int
    status: int
    completions: int
    information: int
    changed_bytes: int
    changed_first: int
    changed_last: int
    irql_after: int
    begin_ns: int
    duration_ns: int
    thread: int
    repeats: int
    data: bytes
    in_pointer: int = 0
    out_pointer: int = 0


def info_of(record: Record) -> dict[str, Any]:
    """What the record of an INFO step says of the guest (`kshsctl info`).

    Raises:
        AgentError: its data is not one JSON object.
    """
    try:
        return load_object(record.data)
    except GuestJsonError as error:
        raise AgentError(f"the agent's info is not one JSON object: {error}", where="agent") from None


@dataclass(frozen=True, slots=True)
class Fault:
    """An error that the agent reports (`kshs_error`); sequence number 0: the connection is over."""

    seq: int
    code: int
    win32: int
    text: str


@dataclass(frozen=True, slots=True)
class Log:
    """A line for people from the agent."""

    text: str


Frame = Hello | Begin | Record | Fault | Log

_RECORD_FIELDS = tuple(name for name in Record.__dataclass_fields__ if name not in ("seq", "data"))


class FrameParser:
    """Turns the agent's bytes into frames, however they were cut on the way.

    After the first violation the parser stays broken: a stream that lied once is not resumed.

    Raises:
        AgentError: from `feed`, naming the violation and the offset in the stream.
    """

    def __init__(self, abi: Abi) -> None:
        self._header = codec(abi.cs.kshs_frame)
        self._hello = codec(abi.cs.kshs_hello)
        self._record = codec(abi.cs.kshs_record)
        self._error = codec(abi.cs.kshs_error)
        constants = abi.constants
        self._magic = constants["KSHS_FRAME_MAGIC"]
        self._max_payload = constants["KSHS_MAX_PAYLOAD"]
        self._max_data = constants["KSHS_MAX_DATA"]
        self._types = {
            constants["KSHS_FRAME_HELLO"]: self._parse_hello,
            constants["KSHS_FRAME_BEGIN"]: self._parse_begin,
            constants["KSHS_FRAME_RECORD"]: self._parse_record,
            constants["KSHS_FRAME_ERROR"]: self._parse_error,
            constants["KSHS_FRAME_LOG"]: self._parse_log,
        }
        self._buffer = bytearray()
        self._offset = 0
        self._broken: str | None = None

    @property
    def incomplete(self) -> int:
        """Bytes of a frame that has begun and is not complete yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Takes bytes in the order of the stream and gives the frames that they complete."""
        if self._broken is not None:
            raise AgentError(self._broken)
        self._buffer += data
        header_size = self._header.size
        while len(self._buffer) >= header_size:
            header = self._header.unpack(self._buffer)
            # The header is judged as soon as it is here, so that a false length is never waited for.
            parse = self._check_header(header)
            end = header_size + header.length
            if len(self._buffer) < end:
                return
            frame = parse(header.seq, bytes(self._buffer[header_size:end]))
            del self._buffer[:end]
            self._offset += end
            yield frame

    def _violation(self, what: str) -> NoReturn:
        self._broken = f"the agent broke the protocol at byte {self._offset} of its stream: {what}"
        raise AgentError(self._broken)

    def _check_header(self, header: Any) -> Any:
        if header.magic != self._magic:
            self._violation(f"magic {int(header.magic):#010x} instead of {self._magic:#010x}")
        parse = self._types.get(header.type)
        if parse is None:
            self._violation(f"frame type {int(header.type)} is none that an agent sends")
        if header.flags != 0:
            self._violation(f"flags {int(header.flags):#x} are not 0")
        if header.length > self._max_payload:
            self._violation(f"payload of {int(header.length)} bytes, at most {self._max_payload} are allowed")
        return parse

    def _split(self, what: str, structure: StructCodec, payload: bytes) -> tuple[Any, bytes]:
        if len(payload) < structure.size:
            self._violation(
                f"{what} of {counted(len(payload), 'byte')}, at least {structure.size} are needed"
            )
        return structure.unpack(payload), payload[structure.size :]

    def _parse_hello(self, seq: int, payload: bytes) -> Hello:
        hello, rest = self._split("HELLO", self._hello, payload)
        if seq != 0:
            self._violation(f"HELLO with sequence number {seq}")
        if hello.layout_length != len(rest):
            announced = counted(int(hello.layout_length), "byte")
            self._violation(f"HELLO announces {announced} of layout and brings {len(rest)}")
        try:
            layout = rest.decode("ascii")
        except UnicodeDecodeError:
            self._violation("HELLO's layout text is not ASCII")
        return Hello(int(hello.abi_version), int(hello.pointer_size), int(hello.handshake_size), layout)

    def _parse_begin(self, seq: int, payload: bytes) -> Begin:
        if payload:
            self._violation(f"BEGIN with a payload of {counted(len(payload), 'byte')}")
        return Begin(seq)

    def _parse_record(self, seq: int, payload: bytes) -> Record:
        record, data = self._split("RECORD", self._record, payload)
        if record.size != self._record.size:
            self._violation(f"RECORD says size {int(record.size)}, {self._record.size} is right")
        if record.data_length != len(data):
            self._violation(
                f"RECORD announces {counted(int(record.data_length), 'byte')} of data and brings {len(data)}"
            )
        if len(data) > self._max_data:
            self._violation(f"RECORD with {len(data)} bytes of data, at most {self._max_data} are allowed")
        return Record(seq=seq, data=data, **{name: getattr(record, name) for name in _RECORD_FIELDS})

    def _parse_error(self, seq: int, payload: bytes) -> Fault:
        error, rest = self._split("ERROR", self._error, payload)
        return Fault(seq, int(error.code), int(error.win32), _text(rest))

    def _parse_log(self, seq: int, payload: bytes) -> Log:
        return Log(_text(payload))


class FrameWriter:
    """Makes the frames that the host sends."""

    def __init__(self, abi: Abi) -> None:
        self._abi = abi
        self._constants = abi.constants
        self._header = codec(abi.cs.kshs_frame)

    def hello(self) -> bytes:
        """The host's HELLO: its ABI version and layout; pointer sizes are the agent's to say."""
        layout = self._abi.layout_text().encode("ascii")
        hello = self._abi.cs.kshs_hello(
            abi_version=self._abi.version, pointer_size=0, handshake_size=0, layout_length=len(layout)
        )
        return self._frame("KSHS_FRAME_HELLO", 0, hello.dumps() + layout)

    def step(self, seq: int, step: bytes) -> bytes:
        """One step; `step` is a `kshs_step` and the data behind it."""
        return self._frame("KSHS_FRAME_STEP", seq, step)

    def bye(self) -> bytes:
        """Finish, release everything, exit 0."""
        return self._frame("KSHS_FRAME_BYE", 0, b"")

    def _frame(self, kind: str, seq: int, payload: bytes) -> bytes:
        limit = self._constants["KSHS_MAX_PAYLOAD"]
        if len(payload) > limit:
            raise ValueError(f"a payload of {len(payload)} bytes does not fit into a frame of {limit}")
        header = self._header.pack(
            magic=self._constants["KSHS_FRAME_MAGIC"],
            type=self._constants[kind],
            flags=0,
            seq=seq,
            length=len(payload),
        )
        return header + payload


def _text(raw: bytes) -> str:
    return lines(raw[: 8 * MAX_TEXT].decode("utf-8", errors="replace"), MAX_TEXT)
