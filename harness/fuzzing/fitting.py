# SPDX-License-Identifier: Apache-2.0
"""One request, or one behaviour, made to fit a target and a guest; what does not fit is made ordinary."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness import ntstatus
from harness.contract.handshake_data import handshake_size
from harness.fuzzing.draft import Step
from harness.fuzzing.pool import Place
from harness.language.model import IOCTL_KS_HANDSHAKE, Pin, Side, Target
from harness.language.model.arguments import Number, Protocol, protocol_of
from harness.language.model.target import NULL_PROTOCOL, UNKNOWN_PROTOCOL
from harness.language.model.values import length

#: Kinds of behaviour after which a guest is as good as before.
KINDS = (
    "default",
    "echo",
    "transform",
    "decline",
    "status",
    "no_callback",
    "slow",
    "block",
    "slow_state",
    "state_status",
)
_ACCEPT_ANYTHING = ("echo", "transform", "status")
#: Milliseconds at most that a callback, or a change of state, is told to wait.
_MOST_DELAY = {"slow": 1_500, "block": 60, "slow_state": 20}
#: The same where Driver Verifier counts a callback's time (`slow-callbacks`).
_SHORT_DELAY = 200
#: What a guest must have where a change of state returns STATUS_PENDING.
NEEDED_BY_PENDING = "reference-ks"
#: Statuses that are no end of anything.
NO_END = (ntstatus.PENDING, 0xFFFFFFFF)
_MOST_REPEATS = {Side.KERNEL: 100_000, Side.USER: 100}
#: The lowest two bits of a control whose lengths are those of real buffers.
_METHOD_BUFFERED = 0
#: Bytes of a buffer.
_MOST_LENGTH = 65_536
_BITS = 128
_BUFFERS = ("normal", "null", "alias", "misaligned", "readonly", "freed", "page_end")
_UNREADABLE = ("null", "freed")
_UNWRITABLE = ("null", "freed", "readonly")


@dataclass(frozen=True)
class Fitting:
    """Knows the target and what the guest lacks.

    Args:
        target: the driver under test.
        lacks: capabilities that the guest has not (`harness.contract.capabilities`).
        pointer_size: of the guest, in bytes.
    """

    target: Target
    lacks: frozenset[str] = frozenset()
    pointer_size: int = 8

    # ---- a handshake -----------------------------------------------------------------------------

    def request(self, step: Step, place: Place, behaviour: str = "default") -> dict[str, Any]:
        """The keys of a handshake step for this object, `on` aside; `start` is whether it is only begun.

        Args:
            step: as it was drawn.
            place: the object that gets it.
            behaviour: what the pin was told to do.
        """
        user = place.side is Side.USER
        made: dict[str, Any] = {
            "route": step["route"] if step.get("route") in place.routes else place.routes[0]
        }
        if not user and step.get("mode") == "user":
            made["mode"] = "user"
        protocol = self._protocol_word(str(step.get("protocol", "accepted")), place.pin)
        if user and self._claims(protocol, place.pin).followed is not None:
            protocol = "unknown"
        if protocol != "accepted":
            made["protocol"] = protocol
        for name in ("argument1", "argument2"):
            value = step.get(name)
            if isinstance(value, int) and value:
                made[name] = value & 0xFFFFFFFFFFFFFFFF
        control = step.get("control")
        if isinstance(control, int) and control != IOCTL_KS_HANDSHAKE:
            made["control"] = control
        made |= {
            name: said
            for name in ("in_length", "out_length")
            if (said := self._length(step, name, short=self._copies(made, user=user))) is not None
        }
        made |= self._buffers(step, made, user=user)
        made |= self._many(step, place, made, behaviour)
        return made

    def _length(self, step: Step, name: str, *, short: bool) -> int | str | None:
        """A length that is wrong; None for the right one, however it was said.

        `short`: what stands between sender and driver copies as many bytes, where it does.
        """
        said = step.get(name, "size")
        size = handshake_size(self.pointer_size)
        try:
            value = length(said, size) if isinstance(said, int | str) else size
        except ValueError:
            value = size
        if short and value > _MOST_LENGTH:
            said = value = _MOST_LENGTH
        return None if value == size else said

    def _copies(self, made: Mapping[str, Any], *, user: bool) -> bool:
        """Whether as many bytes are copied between sender and driver as the lengths say."""
        buffered = "control" in made and int(made["control"]) & 3 == _METHOD_BUFFERED
        return buffered or (user and "raw-user-buffers" in self.lacks)

    def _buffers(self, step: Step, made: Mapping[str, Any], *, user: bool) -> dict[str, str]:
        """Buffers of another kind, where this guest survives the sending of them."""
        into, out = (
            word if (word := step.get(name)) in _BUFFERS else "normal" for name in ("in_buffer", "out_buffer")
        )
        into = "normal" if into == "alias" else into
        right = not any(key in made for key in ("in_length", "out_length"))
        if "control" in made:
            return {}
        if user and "raw-user-buffers" in self.lacks:
            into, out = "normal", out if out == "alias" else "normal"
        if not user and "mode" not in made and right and "bad-kernel-pointers" in self.lacks:
            into = "normal" if into in _UNREADABLE else into
            out = "normal" if out in _UNWRITABLE else out
        chosen = (("in_buffer", into), ("out_buffer", out))
        return {name: word for name, word in chosen if word != "normal"}

    def _many(self, step: Step, place: Place, made: Mapping[str, Any], behaviour: str) -> dict[str, Any]:
        """How often, how many at once, and what each has of its own."""
        found: dict[str, Any] = {}
        ordinary = not any(key in made for key in ("in_buffer", "out_buffer", "control"))
        plain = self._claims(str(made.get("protocol", "accepted")), place.pin).is_plain
        repeat = max(1, min(int(step.get("repeat", 1)), _MOST_REPEATS[place.side]))
        if ordinary and plain and repeat > 1:
            if step.get("vary") and behaviour not in _ACCEPT_ANYTHING:
                return {"vary": "protocol", "repeat": min(repeat, _BITS)}
            strides = {name: int(step[name]) for name in ("in_stride", "out_stride") if step.get(name)}
            if strides and self._within(made, strides, repeat):
                return {**strides, "repeat": repeat}
        threads = max(1, min(int(step.get("threads", 1)), 64))
        if threads > 1:
            found["threads"] = threads
            repeat = min(repeat, max(1, 2_000 // threads) if place.side is Side.KERNEL else 4)
        if repeat > 1:
            found["repeat"] = repeat
        if step.get("start"):
            found["start"] = True
        return found

    def _within(self, made: Mapping[str, Any], strides: Mapping[str, int], repeat: int) -> bool:
        """Whether the last of a row of requests says no length that no buffer has."""
        size = handshake_size(self.pointer_size)
        return all(
            stride > 0
            and length(made.get(name.replace("stride", "length"), "size"), size) + stride * repeat
            <= _MOST_LENGTH
            for name, stride in strides.items()
        )

    # ---- what reaches a callback -------------------------------------------------------------------

    def reaches_callback(self, table: Mapping[str, Any], place: Place) -> bool:
        """Whether the contract says that the pin's callback is asked (H8): it is right in everything."""
        odd = ("mode", "in_length", "out_length", "control", "in_stride", "out_stride")
        buffers = {table.get("in_buffer", "normal"), table.get("out_buffer", "normal")}
        return (
            place.side is Side.KERNEL
            and not any(key in table for key in odd)
            and buffers <= {"normal", "page_end"}
            and table.get("protocol") != "null"
        )

    def last_call(self, table: Mapping[str, Any], pin: Pin) -> dict[str, Any] | None:
        """What the callback gets of a request, as `seen` shows it; None where nobody can say."""
        if "vary" in table:
            return None
        word = str(table.get("protocol", "accepted"))
        claims = self._claims(word, pin)
        seen: dict[str, Any] = {"protocol": str(self._guid(word, pin))}
        if claims.is_plain and self.pointer_size == 8:
            for name, claim in zip(("argument1", "argument2"), claims.arguments, strict=True):
                default = claim.value if isinstance(claim, Number) else 0
                seen[name] = table.get(name, default)
        return seen

    # ---- KsPinHandshake, behaviours ------------------------------------------------------------------

    def pin_handshake(self, step: Step, end: Pin, behaviour: str = "default") -> dict[str, Any]:
        """The keys of a pin_handshake step whose request goes to the pin `end`, `on` aside."""
        word = self._protocol_word(str(step.get("protocol", "accepted")), end)
        if self._claims(word, end).followed is not None:
            word = "unknown"
        made: dict[str, Any] = {} if word == "accepted" else {"protocol": word}
        for name in ("argument1", "argument2"):
            value = step.get(name)
            if isinstance(value, int) and value:
                made[name] = value & 0xFFFFFFFFFFFFFFFF
        threads = max(1, min(int(step.get("threads", 1)), 16))
        if threads > 1:
            made["threads"] = threads
        if step.get("start"):
            made["start"] = True
        elif step.get("vary") and threads == 1 and behaviour not in _ACCEPT_ANYTHING:
            made["vary"] = "protocol"
        return made

    def behaviour(self, step: Step) -> dict[str, Any]:
        """The keys of a behaviour step, the pin aside."""
        kind = str(step.get("kind", "default"))
        kind = kind if kind in KINDS else "default"
        made: dict[str, Any] = {"kind": kind}
        status = step.get("status")
        if kind in ("decline", "status", "state_status"):
            number = status & 0xFFFFFFFF if isinstance(status, int) else ntstatus.INVALID_DEVICE_REQUEST
            # What a class driver makes of a change of state that pends is known of the reference one alone.
            needed = NEEDED_BY_PENDING if kind == "state_status" else "any-completion-status"
            if number in NO_END and needed in self.lacks:
                number = ntstatus.INVALID_DEVICE_REQUEST
            made["status"] = number
        most = _MOST_DELAY.get(kind, 0)
        if "slow-callbacks" in self.lacks:
            most = min(most, _SHORT_DELAY)
        if most:
            made["delay_ms"] = max(1, min(int(step.get("delay_ms", 5)), most))
        if kind == "transform":
            made |= {
                name: int(step.get(name, 0)) & 0xFFFFFFFFFFFFFFFF
                for name in ("value", "value2")
                if step.get(name)
            }
        return made

    @property
    def may_block(self) -> bool:
        """Whether a callback may stay inside for as long as something else is done."""
        return "slow-callbacks" not in self.lacks

    @property
    def hands_pointers(self) -> bool:
        """Whether any protocol is about more than numbers."""
        return not all(protocol_of(entry).is_plain for entry in self.target.protocol_table.values())

    def plain(self, word: str, pin: Pin | None) -> str:
        """This protocol where it is about numbers alone, else one that nobody has."""
        chosen = self._protocol_word(word, pin)
        return chosen if self._claims(chosen, pin).is_plain else "unknown"

    # ---- protocols -------------------------------------------------------------------------------------

    def _protocol_word(self, word: str, pin: Pin | None) -> str:
        if word == "accepted":
            there = pin.accepts if pin is not None else self.target.protocols
            return word if there else "unknown"
        if word in ("unknown", "null") or word in self.target.protocols:
            return word
        try:
            return str(uuid.UUID(word))
        except ValueError:
            return "unknown"

    def _guid(self, word: str, pin: Pin | None) -> uuid.UUID:
        if word == "unknown":
            return UNKNOWN_PROTOCOL
        if word == "null":
            return NULL_PROTOCOL
        if word == "accepted":
            name = self.target.accepted(pin)
            return self.target.protocols[name] if name is not None else UNKNOWN_PROTOCOL
        found = self.target.protocols.get(word)
        return found if found is not None else uuid.UUID(word)

    def _claims(self, word: str, pin: Pin | None) -> Protocol:
        """What the target file says of a protocol's arguments; numbers where it does not name it."""
        guid = self._guid(word, pin)
        found = self.target.protocol(guid)
        return found[1] if found is not None else protocol_of(guid)
