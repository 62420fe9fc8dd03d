# SPDX-License-Identifier: Apache-2.0
"""The contract of docs/contract.md as a function: request and circumstances in, prediction out.

Conservative by design.  Where the documentation does not say what a request answers, the prediction
is a characteristic, with the reason in words; nothing is ever predicted from what one implementation
was seen to do.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from harness import ntstatus
from harness.contract.handshake_data import HandshakeData, handshake_size
from harness.language.model.steps import IOCTL_KS_HANDSHAKE
from harness.language.model.values import Buffer, Mode, Route, Rule, State


class ObjectKind(StrEnum):
    """What the request is sent to."""

    PIN = "pin"
    FILTER = "filter"
    DEVICE = "device"
    CLOSED = "closed handle"


class CallbackKind(StrEnum):
    """What the pin's handshake callback will do with this very request."""

    ACCEPTS = "accepts"
    """Return STATUS_SUCCESS (H9)."""
    DECLINES = "declines"
    """Return STATUS_INVALID_DEVICE_REQUEST (H9)."""
    REFUSES = "refuses"
    """Return another error, which H9 does not provide for."""
    OTHER = "other"
    """Something that no callback should do, or return a status that is neither success nor error."""
    NONE = "none"
    """There is none: the pin registered no callback."""
    UNKNOWN = "unknown"
    """Nobody told the harness."""


@dataclass(frozen=True, slots=True)
class Callback:
    """A callback's answer to one request, as far as the harness knows it.

    `output` is what it puts out when it accepts, None where the harness does not know.
    """

    kind: CallbackKind
    status: int | None = None
    output: HandshakeData | None = None


UNKNOWN_CALLBACK = Callback(CallbackKind.UNKNOWN)
NO_CALLBACK = Callback(CallbackKind.NONE)


@dataclass(frozen=True, slots=True)
class Request:
    """One request as sent: route, mode, lengths in bytes, buffers, content, and how often.

    Its repeats may differ: each says `in_stride` and `out_stride` bytes more than the one before, or has
    the bit of its protocol the other way that is `first_bit` for the first one, and the next for the next.
    """

    data: HandshakeData
    route: Route = Route.CALL
    mode: Mode = Mode.KERNEL
    control: int = IOCTL_KS_HANDSHAKE
    in_length: int = 32
    out_length: int = 32
    in_buffer: Buffer = Buffer.NORMAL
    out_buffer: Buffer = Buffer.NORMAL
    repeat: int = 1
    in_stride: int = 0
    out_stride: int = 0
    first_bit: int | None = None

    @property
    def varies(self) -> bool:
        """Whether its repeats are not all the same request."""
        return bool(self.in_stride or self.out_stride or self.first_bit is not None)

    def nth(self, number: int) -> Request:
        """The repeat of this number, from 0, as a request of its own."""
        if not self.varies:
            return replace(self, repeat=1)
        data = self.data
        if self.first_bit is not None:
            data = data.flipped(self.first_bit + number)
        return replace(
            self,
            data=data,
            in_length=self.in_length + self.in_stride * number,
            out_length=self.out_length + self.out_stride * number,
            repeat=1,
            in_stride=0,
            out_stride=0,
            first_bit=None,
        )

    def row(self, first: int, count: int) -> Request:
        """So many of its repeats, from the one of that number on."""
        return replace(
            self,
            in_length=self.in_length + self.in_stride * first,
            out_length=self.out_length + self.out_stride * first,
            first_bit=None if self.first_bit is None else self.first_bit + first,
            repeat=count,
        )

    def turns(self, pointer_size: int) -> tuple[int, ...]:
        """The numbers of repeats from which on the contract may say something else, the first among them.

        Of lengths it says only whether they are sizeof(KSHANDSHAKE) (H2 to H4).
        """
        if self.first_bit is not None:
            return tuple(range(self.repeat))
        size = handshake_size(pointer_size)
        turns = {0}
        for length, stride in ((self.in_length, self.in_stride), (self.out_length, self.out_stride)):
            if stride and length <= size and (size - length) % stride == 0:
                right = (size - length) // stride
                turns |= {right, right + 1}
        return tuple(sorted(number for number in turns if number < self.repeat))

    def place(self, number: int) -> str:
        """What the repeat of this number, from 0, has of its own, in words."""
        if self.first_bit is not None:
            bit = self.first_bit + number
            return f"bit {bit % 8} of the protocol's byte {bit // 8}"
        lengths = (
            ("InLength", self.in_length, self.in_stride),
            ("OutLength", self.out_length, self.out_stride),
        )
        return " and ".join(f"{name} {first + stride * number}" for name, first, stride in lengths if stride)

    @property
    def extent(self) -> str:
        """What its repeats have of their own, from the first to the last, in words."""
        if self.repeat == 1:
            return self.place(0)
        return f"{self.place(0)} to {self.place(self.repeat - 1)}"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a request meets: the object, its callback, whether it is connected, its state.

    `pointer_size` is that of the side that sends; `disturbed` says in words what else happens to the
    object while the request is under way (closed, removed, cancelled), None for nothing.
    """

    object: ObjectKind = ObjectKind.PIN
    callback: Callback = UNKNOWN_CALLBACK
    connected: bool = False
    state: State | None = State.STOP
    pointer_size: int = 8
    disturbed: str | None = None


class PredictionKind(StrEnum):
    """Whether the contract speaks."""

    EXPECTED = "expected"
    CHARACTERISTIC = "characteristic"


@dataclass(frozen=True, slots=True)
class PredictedField:
    """One field of the answer: its value, or the class of values, and the rule that demands it.

    `field` is ``answer``, ``information``, ``protocol``, ``argument1``, ``argument2``, ``returned`` or
    ``out_written``; `value` an NTSTATUS, a number, a GUID's text, or ``error`` for any NT_ERROR.
    """

    field: str
    value: int | str | bool
    rule: Rule


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the contract says of one request.

    A characteristic has fields only where the request breaks several rules each of which says that it fails:
    which of them decides is not laid down, and that it is an error is.
    """

    kind: PredictionKind
    rules: tuple[Rule, ...]
    reason: str
    fields: tuple[PredictedField, ...] = field(default=())

    @property
    def expected(self) -> dict[str, int | str | bool]:
        """The fields by name."""
        return {item.field: item.value for item in self.fields}


def _characteristic(reason: str, *rules: Rule, fields: tuple[PredictedField, ...] = ()) -> Prediction:
    return Prediction(PredictionKind.CHARACTERISTIC, (*rules, Rule.CHARACTERISTIC), reason, fields)


def _expected(reason: str, *fields: PredictedField) -> Prediction:
    rules = tuple(dict.fromkeys(item.rule for item in fields))
    return Prediction(PredictionKind.EXPECTED, rules, reason, fields)


def predict(request: Request, circumstances: Circumstances) -> Prediction:
    """What the contract predicts for IOCTL_KS_HANDSHAKE sent as `request` under `circumstances`.

    Total: every pair gets an answer, and where the contract is silent the answer is a characteristic
    whose `reason` says about what.
    """
    size = handshake_size(circumstances.pointer_size)
    silent = _silence(request, circumstances)
    if silent is not None:
        return silent
    lengths_fit = request.in_length == size and request.out_length == size
    if request.mode is Mode.USER:
        if not lengths_fit:
            return _characteristic(
                "breaks both H4 and H5, and the contract does not say which of them wins; either is an error",
                Rule.H4,
                Rule.H5,
                fields=(PredictedField("answer", "error", Rule.H5),),
            )
        return _expected(
            "sent from user mode",
            PredictedField("answer", ntstatus.INVALID_DEVICE_REQUEST, Rule.H5),
        )
    if not lengths_fit:
        wrong = " and ".join(
            f"{name} is {length} and not {size}"
            for name, length in (("InLength", request.in_length), ("OutLength", request.out_length))
            if length != size
        )
        return _expected(wrong, PredictedField("answer", ntstatus.INVALID_BUFFER_SIZE, Rule.H4))
    for name, buffer, rule in (
        ("input", request.in_buffer, Rule.H2),
        ("output", request.out_buffer, Rule.H3),
    ):
        if buffer not in {Buffer.NORMAL, Buffer.PAGE_END}:
            return _characteristic(
                f"the {name} buffer is {buffer.value}; {rule.value} wants a KSHANDSHAKE of its own there"
                " and does not say what anything else answers",
                rule,
            )
    return _from_callback(circumstances.callback, size, circumstances.pointer_size)


def _silence(request: Request, circumstances: Circumstances) -> Prediction | None:
    """The cases in which the contract says nothing whatever the lengths and the mode."""
    if request.control != IOCTL_KS_HANDSHAKE:
        return _characteristic(f"control code 0x{request.control:08X} is not IOCTL_KS_HANDSHAKE", Rule.H1)
    if circumstances.object is ObjectKind.CLOSED:
        return _characteristic("the handle is closed, and the contract says nothing of requests after that")
    if circumstances.object is not ObjectKind.PIN:
        return _characteristic(
            f"a {circumstances.object.value} is not a pin, and the contract speaks of pins alone"
        )
    if circumstances.connected:
        return _characteristic("the pin is connected, and the contract speaks of pins that are not", Rule.H7)
    if circumstances.disturbed is not None:
        return _characteristic(f"{circumstances.disturbed} while the request is under way")
    return None


def _from_callback(callback: Callback, size: int, pointer_size: int) -> Prediction:
    """A well-formed request from kernel mode: what the callback decides."""
    match callback.kind:
        case CallbackKind.ACCEPTS:
            fields = [
                PredictedField("answer", ntstatus.SUCCESS, Rule.H9),
                PredictedField("information", size, Rule.H6),
            ]
            if callback.output is not None:
                output = callback.output.narrowed(pointer_size)
                fields += [
                    PredictedField("protocol", str(output.protocol), Rule.H6),
                    PredictedField("argument1", output.argument1, Rule.H6),
                    PredictedField("argument2", output.argument2, Rule.H6),
                ]
            return _expected("the pin's callback accepts the protocol", *fields)
        case CallbackKind.DECLINES:
            return _expected(
                "the pin's callback declines the protocol",
                PredictedField("answer", ntstatus.INVALID_DEVICE_REQUEST, Rule.H9),
            )
        case CallbackKind.OTHER if callback.status == ntstatus.SUCCESS:
            return _characteristic(
                "the callback returns STATUS_SUCCESS and writes no output, and the contract does not say what"
                " the output then holds",
                Rule.H9,
            )
        case CallbackKind.REFUSES | CallbackKind.OTHER:
            what = (
                f"returns {ntstatus.name(callback.status)}" if callback.status is not None else "misbehaves"
            )
            return _characteristic(f"the callback {what}, which H9 does not provide for", Rule.H9)
        case CallbackKind.NONE:
            return _characteristic(
                "the pin has no callback, and the contract does not say what it answers", Rule.H8
            )
        case CallbackKind.UNKNOWN:
            return _characteristic(
                "the harness does not know whether the pin supports the protocol", Rule.H8, Rule.H9
            )


def predict_pin_handshake(
    connected: bool, peer: Callback, *, pointer_size: int = 8, disturbed: str | None = None
) -> Prediction:
    """What KsPinHandshake is to give a source pin (rule H7).

    Args:
        connected: whether the pin has another one connected to it.
        peer: what that pin's callback will do with the request.
        pointer_size: of the kernel.
        disturbed: what else happens to one of the two ends meanwhile, None for nothing.
    """
    if disturbed is not None:
        return _characteristic(f"{disturbed} while KsPinHandshake is under way", Rule.H7)
    if not connected:
        return _characteristic("KsPinHandshake on a pin that is not connected is not described", Rule.H7)
    match peer.kind:
        case CallbackKind.ACCEPTS:
            fields = [PredictedField("returned", ntstatus.SUCCESS, Rule.H7)]
            if peer.output is not None:
                output = peer.output.narrowed(pointer_size)
                fields += [
                    PredictedField("protocol", str(output.protocol), Rule.H7),
                    PredictedField("argument1", output.argument1, Rule.H7),
                    PredictedField("argument2", output.argument2, Rule.H7),
                ]
            return _expected("the connected pin accepts the protocol", *fields)
        case CallbackKind.DECLINES | CallbackKind.REFUSES:
            return _expected(
                "the connected pin does not accept", PredictedField("returned", "error", Rule.H7)
            )
        case CallbackKind.NONE:
            return _characteristic("the connected pin has no callback", Rule.H7, Rule.H8)
        case CallbackKind.OTHER:
            return _characteristic("the connected pin's callback does what none should do", Rule.H7, Rule.H9)
        case CallbackKind.UNKNOWN:
            return _characteristic("nobody knows whether the connected pin supports the protocol", Rule.H7)
