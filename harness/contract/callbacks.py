# SPDX-License-Identifier: Apache-2.0
"""What the harness knows of the target's pins while a scenario runs: who would answer what.

The target file says how a pin answers by itself; behaviour steps change it.  From both follows the
answer that a pin's callback will give to one request, which is the contract's input (rules H8, H9).
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace

from harness import ntstatus
from harness.contract.handshake_data import HandshakeData
from harness.contract.prediction import NO_CALLBACK, UNKNOWN_CALLBACK, Callback, CallbackKind, ObjectKind
from harness.language.model.steps import Behaviour
from harness.language.model.target import NULL_PROTOCOL, Pin, Target
from harness.language.model.values import Side, State

#: Why the contract says nothing of an end whose connection is over.
PEER_CLOSED = "the other end is closed"

_WORD = 0xFFFFFFFFFFFFFFFF


@dataclass(slots=True)
class OpenObject:
    """An object that a scenario has opened.

    `origin` is what a shared handle leads to, `parent` the filter that a pin is of; of a `closed` one only
    what was kept is left.
    """

    name: str
    kind: ObjectKind
    side: Side
    slot: int
    pin: Pin | None = None
    peer: OpenObject | None = None
    connected: bool = False
    has_callback: bool = True
    state: State = State.STOP
    disturbed: str | None = None
    origin: OpenObject | None = None
    closed: bool = False
    parent: OpenObject | None = None


@dataclass(slots=True)
class PinBehaviours:
    """The behaviour in force of each pin id."""

    target: Target
    _behaviours: dict[int, Behaviour] = field(default_factory=dict)

    def set(self, pin: Pin, behaviour: Behaviour | None) -> None:
        """From now on the pin behaves so; None: as the target file says."""
        if behaviour is None or behaviour.kind == "default":
            self._behaviours.pop(pin.id, None)
        else:
            self._behaviours[pin.id] = behaviour

    def registers_callback(self, pin: Pin) -> bool:
        """Whether an instance of the pin that is created now will have a callback (rule H8)."""
        behaviour = self._behaviours.get(pin.id)
        return pin.callback and (behaviour is None or behaviour.kind != "no_callback")

    def callback(self, item: OpenObject, request: HandshakeData, pointer_size: int) -> Callback:
        """What the callback of an open pin will do with this request."""
        pin = item.pin
        if pin is None:
            return UNKNOWN_CALLBACK
        if not item.has_callback:
            return NO_CALLBACK
        if request.protocol == NULL_PROTOCOL:
            # Nobody documents which protocols AVStream keeps for itself (H8); GUID_NULL might be one.
            return UNKNOWN_CALLBACK
        behaviour = self._behaviours.get(pin.id)
        found = self.target.protocol(request.protocol)
        if found is not None and not found[1].is_plain:
            # What it puts out are pointers of its own, or what it makes of those that it gets.
            return replace(self._answer(pin, behaviour, request, pointer_size), output=None)
        return self._answer(pin, behaviour, request, pointer_size)

    def _answer(
        self, pin: Pin, behaviour: Behaviour | None, request: HandshakeData, pointer_size: int
    ) -> Callback:
        if behaviour is None:
            return self._by_default(pin, request, pointer_size)
        match behaviour.kind:
            case "echo":
                return _accepts(request, 0, 0, pointer_size)
            case "transform":
                return _accepts(request, behaviour.value, behaviour.value2, pointer_size)
            case "decline":
                return _returns(behaviour.status, ntstatus.INVALID_DEVICE_REQUEST, None)
            case "status":
                return _returns(behaviour.status, ntstatus.SUCCESS, request)
            case "pending":
                return Callback(CallbackKind.OTHER, ntstatus.PENDING)
            case "fault" | "hang" | "loop" | "bugcheck" | "corrupt_pool":
                return Callback(CallbackKind.OTHER)
            case _:
                # slow, block, slow_state and state_status answer by default in the end; no_callback
                # changes new instances alone.
                return self._by_default(pin, request, pointer_size)

    def _by_default(self, pin: Pin, request: HandshakeData, pointer_size: int) -> Callback:
        accepted: set[uuid.UUID] = {self.target.protocols[name] for name in pin.accepts}
        if request.protocol not in accepted:
            return Callback(CallbackKind.DECLINES, ntstatus.INVALID_DEVICE_REQUEST)
        if pin.answer is None:
            return Callback(CallbackKind.ACCEPTS, ntstatus.SUCCESS)
        return _accepts(request, pin.answer.add, pin.answer.xor, pointer_size)


def _accepts(request: HandshakeData, add: int, xor: int, pointer_size: int) -> Callback:
    output = HandshakeData(
        request.protocol, (request.argument1 + add) & _WORD, (request.argument2 ^ xor) & _WORD
    )
    return Callback(CallbackKind.ACCEPTS, ntstatus.SUCCESS, output.narrowed(pointer_size))


def _returns(status: int | None, default: int, echo: HandshakeData | None) -> Callback:
    number = default if status is None else status
    if number == ntstatus.SUCCESS and echo is not None:
        return Callback(CallbackKind.ACCEPTS, number, echo)
    if number == ntstatus.INVALID_DEVICE_REQUEST:
        return Callback(CallbackKind.DECLINES, number)
    if ntstatus.is_error(number):
        return Callback(CallbackKind.REFUSES, number)
    return Callback(CallbackKind.OTHER, number)
