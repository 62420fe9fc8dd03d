# SPDX-License-Identifier: Apache-2.0
"""Names of a scenario made into values of a target, and expectations into fields to compare."""

from __future__ import annotations

import uuid

from harness.contract.prediction import Prediction
from harness.language.model import (
    DataExpect,
    Handshake,
    MadeExpect,
    OpenExpect,
    Pin,
    PinHandshakeExpect,
    RequestExpect,
    Rule,
    SeenExpect,
    State,
    Strict,
    Target,
)
from harness.language.model.arguments import protocol_of
from harness.language.model.target import NULL_PROTOCOL, PROTOCOL_WORDS, UNKNOWN_PROTOCOL
from harness.language.model.values import length
from harness.language.toml_problems import nearest
from harness.planning.planned import ExpectedField, ExpectedValue, Lack, NotApplicable

#: What stands for a protocol beside the target's own names and GUIDs.
_PROTOCOL_WORDS = PROTOCOL_WORDS


#: Words for a pin's first protocol with such an argument or answer.
_BY_ARGUMENT = {
    "interface": ("arguments", "interface"),
    "pointer": ("arguments", "pointer"),
    "answered_interface": ("answers", "interface"),
}


class MisspeltName(NotApplicable):
    """The target has nothing of this name, but something of a similar one.

    Args:
        word: the name as it was written.
        message: what the target lacks.
        hint: the name that was probably meant, as a question.
        lack: what it lacks.
    """

    def __init__(self, word: str | int, message: str, hint: str, lack: Lack) -> None:
        super().__init__(f"{message}; {hint}", lack)
        self.word = word
        self.message = message
        self.hint = hint


class Names:
    """What a scenario's names stand for in one target.

    Raises, in every method, `NotApplicable` for what the target does not have; a `MisspeltName` where
    it has something of a similar name.

    Args:
        target: the driver under test.
        stand_in: what every name of a pin means that the target has not.
    """

    def __init__(self, target: Target, stand_in: Pin | None = None) -> None:
        self.target = target
        self._stand_in = stand_in

    def pin(self, ref: str | int) -> Pin:
        """A pin by its name or id; the one that stands in for a name that the target has not."""
        pin = self.target.find_pin(ref)
        if pin is None and self._stand_in is not None:
            return self._stand_in
        if pin is None:
            names = [pin.name for pin in self.target.pin]
            lacks = f"target {self.target.name} has no pin {ref}"
            near = nearest(str(ref), names)
            if near is not None:
                raise MisspeltName(ref, lacks, near, Lack("pin", ref))
            raise NotApplicable(f"{lacks} (it has {', '.join(names)})", Lack("pin", ref))
        return pin

    def protocol(self, text: str, pin: Pin | None) -> uuid.UUID:
        """A protocol by the target's name for it, by a GUID, or by one of `PROTOCOL_WORDS`."""
        if text == "unknown":
            return UNKNOWN_PROTOCOL
        if text == "null":
            return NULL_PROTOCOL
        if text == "accepted":
            name = self.target.accepted(pin)
            if name is None:
                who = f"pin {pin.name} of target" if pin is not None else "target"
                lack = Lack("accepts", pin.name if pin is not None else "")
                raise NotApplicable(f"{who} {self.target.name} accepts no protocol", lack)
            return self.target.protocols[name]
        if text in _BY_ARGUMENT:
            return self._by_argument(text, pin)
        if text in self.target.protocols:
            return self.target.protocols[text]
        try:
            return uuid.UUID(text)
        except ValueError:
            lacks = f"target {self.target.name} has no protocol {text!r}"
            near = nearest(text, (*self.target.protocols, *_PROTOCOL_WORDS))
            if near is not None:
                raise MisspeltName(text, lacks, near, Lack("protocol", text)) from None
            raise NotApplicable(lacks, Lack("protocol", text)) from None

    def _by_argument(self, word: str, pin: Pin | None) -> uuid.UUID:
        """The first protocol that a pin accepts with an argument, or an answer, of a kind."""
        part, kind = _BY_ARGUMENT[word]
        for name in pin.accepts if pin is not None else self.target.protocols:
            protocol = protocol_of(self.target.protocol_table[name])
            if any(item.kind == kind for item in getattr(protocol, part)):
                return protocol.guid
        who = f"pin {pin.name} of target" if pin is not None else "target"
        raise NotApplicable(
            f"{who} {self.target.name} accepts no protocol with {'an' if kind[0] == 'i' else 'a'} {kind}"
            f" among its {part} (protocols.*.{part[:-1]}1, protocols.*.{part[:-1]}2)"
        )


class Expectations:
    """Makes expectations into fields to compare.

    Args:
        names: of the target.
        rule: the scenario's; fields that a characteristic scenario asks for are merely its expectation.
    """

    def __init__(self, names: Names, rule: Rule) -> None:
        self._names = names
        self._rule = Rule.EXPECTATION if rule is Rule.CHARACTERISTIC else rule

    def of_open(self, expect: str | OpenExpect) -> tuple[ExpectedField, ...]:
        """Of an open and its like: success unless the scenario says otherwise."""
        if expect == "success":
            return success()
        return () if isinstance(expect, str) else self.of(expect, None)

    def of_inside(self, expect: str | SeenExpect, pin: Pin) -> tuple[ExpectedField, ...]:
        """Of waiting until something is inside the driver: that it is, and what the scenario asks for."""
        if expect == "record":
            return success()
        return (*success(), ExpectedField("inside", (True,), self._rule), *self.of(expect, pin))

    def of_request(
        self, step: Handshake, prediction: Prediction, pin: Pin | None, size: int
    ) -> tuple[ExpectedField, ...]:
        """Of a handshake: what the contract predicts, and what the scenario asks for.

        Where its repeats differ, the scenario's own fields are for those of which the contract says nothing.
        """
        if step.expect == "record":
            return ()
        expected_fields = from_prediction(prediction)
        if isinstance(step.expect, RequestExpect):
            own = self.of(step.expect, pin, size)
            expected_fields = (
                override(own, expected_fields) if step.varies else override(expected_fields, own)
            )
        return expected_fields

    def of(
        self,
        expect: str | OpenExpect | DataExpect | MadeExpect | SeenExpect | PinHandshakeExpect | RequestExpect,
        pin: Pin | None,
        size: int = 32,
    ) -> tuple[ExpectedField, ...]:
        """The fields that an expectation names, with names and lengths made into values."""
        if not isinstance(expect, Strict):
            return ()
        expected_fields = []
        for name in type(expect).model_fields:
            value = getattr(expect, name)
            if value is None:
                continue
            values = value if isinstance(value, list) else [value]
            expected_fields.append(
                ExpectedField(name, tuple(self._value(name, item, pin, size) for item in values), self._rule)
            )
        return tuple(expected_fields)

    def _value(self, name: str, value: object, pin: Pin | None, size: int) -> ExpectedValue:
        if name == "protocol":
            return str(self._names.protocol(str(value), pin))
        if name in {"information", "changed_bytes"} and value != "untouched":
            assert isinstance(value, int | str)
            return length(value, size)
        if isinstance(value, State):
            return list(State).index(value)
        if name == "data":
            return bytes.fromhex(str(value)).hex()
        assert isinstance(value, int | str | bool)
        return value


def success() -> tuple[ExpectedField, ...]:
    """A step that prepares must succeed."""
    return (ExpectedField("answer", ("success",), Rule.SETUP),)


def from_prediction(prediction: Prediction) -> tuple[ExpectedField, ...]:
    """The fields that the contract predicts; none for a characteristic."""
    return tuple(ExpectedField(item.field, (item.value,), item.rule) for item in prediction.fields)


def override(base: tuple[ExpectedField, ...], own: tuple[ExpectedField, ...]) -> tuple[ExpectedField, ...]:
    """The scenario's own fields in place of the contract's of the same name, and beside the others."""
    names = {wanted.field for wanted in own}
    return tuple(wanted for wanted in base if wanted.field not in names) + own
