# SPDX-License-Identifier: Apache-2.0
"""What a filter says of its pins: KSPROPSETID_Pin (its reference page), asked through the agent.

Everything comes from a driver that may be wrong: lists are bounded, what does not parse is left out and said.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from harness import ntstatus
from harness.agent.encode import PROPERTY_GET, Encoder
from harness.errors import DriverGoneError
from harness.language.model.format import Format, Identifier

if TYPE_CHECKING:
    from harness.agent.frames import Record
    from harness.agent.session import AgentSession

#: KSPROPSETID_Pin of ks.h, and the properties in it.
PIN_PROPERTY_SET = uuid.UUID("8c134960-51ad-11cf-878a-94f801c10000")
CINSTANCES, CTYPES, DATAFLOW, DATARANGES, DATAINTERSECTION, INTERFACES, MEDIUMS, COMMUNICATION = range(8)
CATEGORY, NAME = 11, 12

#: KSPIN_DATAFLOW and KSPIN_COMMUNICATION of ks.h.
FLOWS = {1: "in", 2: "out"}
COMMUNICATIONS = {0: "none", 1: "sink", 2: "source", 3: "both", 4: "bridge"}

#: Pins of a filter that are asked, entries of a list that are read, bytes of an answer.
_MAX_PINS = 64
_MAX_ITEMS = 256
_MAX_BYTES = 65_000
#: Seconds for one question.
_TIMEOUT = 15.0
_KSDATAFORMAT = struct.Struct("<IIII16s16s16s")
_ATTRIBUTES = 2  # KSDATARANGE_ATTRIBUTES: a list of attributes takes the next place

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class PinFacts:
    """One pin as its filter describes it.

    `intersections` holds the formats that the filter made of the ranges (KSPROPERTY_PIN_DATAINTERSECTION), in
    the order of `ranges`, None where it made none; `unsaid` what could not be asked or read, with the reason.
    """

    id: int
    flow: str | None = None
    communication: str | None = None
    possible: int | None = None
    current: int | None = None
    interfaces: tuple[Identifier, ...] = ()
    mediums: tuple[Identifier, ...] = ()
    ranges: tuple[Format, ...] = ()
    intersections: tuple[Format | None, ...] = ()
    category: uuid.UUID | None = None
    name: str | None = None
    unsaid: tuple[str, ...] = ()

    @property
    def formats(self) -> tuple[Format, ...]:
        """Formats to open it with, best first: what the filter made of its ranges, then the plain ranges."""
        made = [item for item in self.intersections if item is not None]
        plain = [item for item in self.ranges if item.major.int and item.sub.int and not item.block]
        return tuple(dict.fromkeys([*made, *plain]))


class FilterGoneError(Exception):
    """The filter could not be opened: the text has the status."""


@dataclass
class _Asker:
    session: AgentSession
    encoder: Encoder
    side: str
    slot: int
    unsaid: list[str] = field(default_factory=list)

    def get(
        self, what: str, pin: int, number: int, *, more: bytes = b"", length: int = _MAX_BYTES
    ) -> bytes | None:
        """A property's value, None (and a line in `unsaid`) where the filter refuses."""
        record = self._property(what, pin, number, more, length)
        status = record.status if record.outcome == self.encoder.constant("OUTCOME_DONE") else record.detail
        if record.outcome == self.encoder.constant("OUTCOME_DONE") and status == 0:
            return record.data
        self.unsaid.append(f"{what}: {ntstatus.name(status)}")
        return None

    def _property(self, what: str, pin: int, number: int, more: bytes, length: int) -> Record:
        data = struct.pack("<II", pin, 0) + more
        step = self.encoder.step(
            "PROPERTY",
            side=self.encoder.constant(f"SIDE_{self.side}"),
            data=data,
            guid=PIN_PROPERTY_SET,
            slot=self.slot,
            value=number,
            value2=PROPERTY_GET,
            in_length=len(data),
            out_length=length,
            timeout_ms=int(_TIMEOUT * 1000),
        )
        asked = f"{what} of pin {pin}"
        return survived(self.session.run(step, what=asked, timeout=_TIMEOUT), self.encoder, asked)

    def number(self, what: str, pin: int, number: int) -> int | None:
        data = self.get(what, pin, number, length=4)
        return None if data is None or len(data) < 4 else int.from_bytes(data[:4], "little")

    def items(
        self, what: str, pin: int, number: int, parse: Callable[[bytes, int], Iterator[_Item]]
    ) -> tuple[_Item, ...]:
        """A KSMULTIPLE_ITEM's entries, as far as they can be read."""
        data = self.get(what, pin, number)
        if data is None or len(data) < 8:
            return ()
        size, count = struct.unpack_from("<II", data)
        found: list[_Item] = []
        try:
            for item in parse(data[8 : min(size, len(data))], min(count, _MAX_ITEMS)):
                found.append(item)
        except ValueError as error:
            self.unsaid.append(f"{what}: {error}")
        if count > _MAX_ITEMS:
            self.unsaid.append(f"{what}: {count} of them, {_MAX_ITEMS} were read")
        return tuple(found)


def ask(session: AgentSession, encoder: Encoder, category: uuid.UUID, *, index: int = 0) -> list[PinFacts]:
    """What the filter in a category says of each of its pins; opens and closes it.

    Raises:
        FilterGoneError: it cannot be opened.
        AgentError, StepHungError: the guest or its driver was lost on the way.
    """
    side, slot = "KERNEL", 0
    number = encoder.constant(f"SIDE_{side}")
    opened = session.run(
        encoder.step(
            "OPEN_FILTER",
            guid=category,
            side=number,
            slot=slot,
            value=index,
            timeout_ms=int(_TIMEOUT * 1000),
        ),
        what="open the filter",
        timeout=_TIMEOUT,
    )
    done = encoder.constant("OUTCOME_DONE")
    survived(opened, encoder, "open the filter")
    if opened.outcome != done or opened.returned != 0:
        status = opened.returned if opened.outcome == done else opened.detail
        raise FilterGoneError(f"the filter cannot be opened: {ntstatus.name(status)}")
    asker = _Asker(session, encoder, side, slot)
    count = asker.number("number of pins", 0, CTYPES)
    found = [_pin(asker, pin) for pin in range(min(count or 0, _MAX_PINS))]
    # Not after an error: the guest is over then, and what closing it says would hide why.
    session.run(encoder.step("CLOSE", side=number, slot=slot), what="close the filter", timeout=_TIMEOUT)
    return found


def survived(record: Record, encoder: Encoder, what: str) -> Record:
    """The record of a question that the driver has survived, whatever it says.

    Raises:
        DriverGoneError: it has not.
    """
    for outcome in ("LOST", "HUNG"):
        if record.outcome == encoder.constant(f"OUTCOME_{outcome}"):
            raise DriverGoneError(what, hung=outcome == "HUNG")
    return record


def _pin(asker: _Asker, pin: int) -> PinFacts:
    asker.unsaid = []
    flow = asker.number("data flow", pin, DATAFLOW)
    communication = asker.number("communication", pin, COMMUNICATION)
    instances = asker.get("instances", pin, CINSTANCES, length=8)
    possible, current = _pair(instances)
    interfaces = asker.items("interfaces", pin, INTERFACES, _identifiers)
    mediums = asker.items("mediums", pin, MEDIUMS, _identifiers)
    ranges = asker.items("data ranges", pin, DATARANGES, data_ranges)
    category = asker.get("category", pin, CATEGORY, length=16)
    name = asker.get("name", pin, NAME, length=512)
    return PinFacts(
        id=pin,
        flow=_word(FLOWS, flow),
        communication=_word(COMMUNICATIONS, communication),
        possible=possible,
        current=current,
        interfaces=interfaces,
        mediums=mediums,
        ranges=ranges,
        intersections=tuple(_intersection(asker, pin, item) for item in ranges),
        category=uuid.UUID(bytes_le=category) if category is not None and len(category) == 16 else None,
        name=_text(name),
        unsaid=tuple(asker.unsaid),
    )


def _word(words: Mapping[int, str], number: int | None) -> str | None:
    return None if number is None else words.get(number, str(number))


def _pair(data: bytes | None) -> tuple[int | None, int | None]:
    if data is None or len(data) < 8:
        return None, None
    first, second = struct.unpack_from("<II", data)
    return first, second


def _intersection(asker: _Asker, pin: int, item: Format) -> Format | None:
    """The format that the filter makes of one range."""
    packed = item.pack()
    body = struct.pack("<II", 8 + len(packed), 1) + packed
    what = f"a format in range {item.major}/{item.sub}"
    data = asker.get(what, pin, DATAINTERSECTION, more=body)
    if data is None:
        return None
    try:
        return parse_format(data)
    except ValueError as error:
        asker.unsaid.append(f"{what}: {error}")
        return None


def parse_format(data: bytes) -> Format:
    """A KSDATAFORMAT or KSDATARANGE with what stands behind it.

    Raises:
        ValueError: it is shorter than it says, or than any.
    """
    if len(data) < _KSDATAFORMAT.size:
        raise ValueError(f"{len(data)} bytes are no KSDATAFORMAT")
    size, flags, sample_size, _, major, sub, specifier = _KSDATAFORMAT.unpack_from(data)
    if not _KSDATAFORMAT.size <= size <= len(data):
        raise ValueError(f"FormatSize is {size}, and {len(data)} bytes are there")
    return Format(
        major=uuid.UUID(bytes_le=major),
        sub=uuid.UUID(bytes_le=sub),
        specifier=uuid.UUID(bytes_le=specifier),
        sample_size=sample_size,
        flags=flags,
        block=data[_KSDATAFORMAT.size : size],
        block_file=None,
    )


def data_ranges(data: bytes, count: int) -> Iterator[Format]:
    """KSDATARANGEs one after another, each at a multiple of eight bytes; attribute lists are passed over.

    Raises:
        ValueError: one does not fit what is there.
    """
    at, attributes = 0, False
    for number in range(count):
        if at >= len(data):
            raise ValueError(f"{number} of {count} entries are there")
        if attributes:
            size = int.from_bytes(data[at : at + 4], "little")
            if size < 8:
                raise ValueError(f"a list of attributes of {size} bytes")
            attributes = False
        else:
            item = parse_format(data[at:])
            size = 64 + len(item.block)
            attributes = bool(item.flags & _ATTRIBUTES)
            yield item
        at += -(-size // 8) * 8


def _identifiers(data: bytes, count: int) -> Iterator[Identifier]:
    for number in range(count):
        part = data[24 * number : 24 * number + 24]
        if len(part) < 24:
            raise ValueError(f"{number} of {count} entries are there")
        kind, flags = struct.unpack_from("<II", part, 16)
        yield Identifier(set=uuid.UUID(bytes_le=part[:16]), id=kind, flags=flags)


def _text(data: bytes | None) -> str | None:
    if data is None:
        return None
    text = data[: len(data) & ~1].decode("utf-16-le", errors="replace").split("\0")[0]
    return "".join(c for c in text if c.isprintable())[:120] or None
