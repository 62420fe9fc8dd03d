# SPDX-License-Identifier: Apache-2.0
"""KsPinHandshake and changes of state made into steps, sent and waited for or started and fetched later.

Both are property requests: the pin's driver does the rest.
"""

from __future__ import annotations

from dataclasses import replace

from harness import ntstatus
from harness.agent import encode
from harness.contract.callbacks import OpenObject
from harness.contract.handshake_data import HandshakeData
from harness.contract.prediction import predict_pin_handshake
from harness.errors import UsageError
from harness.language.model import PinHandshake, Rule, SetState, Side, State
from harness.planning.expectations import from_prediction, override, success
from harness.planning.planned import Answer, ExpectedField, no_behaviour
from harness.planning.requests import Expected, InFlight, RequestPlanner

#: Of a GUID.
_BITS = 128


class ConnectedPlanner(RequestPlanner):
    """Plans what a pin is told to do with its state and with the pin that it is connected to."""

    def pin_handshake(self, step: PinHandshake) -> None:
        """One call of KsPinHandshake, or as many at once as the step has threads."""
        if not self.target.behaviour:
            raise no_behaviour(self.target)
        item = self.objects[step.on]
        if step.vary is not None:
            self._every_bit(step, item)
            return
        requests = [self._question(step, item, number) for number in range(step.threads)]
        if step.start is None and step.threads == 1:
            expected = self._pin_expected(step, item, requests[0], None)
            self._send(step, item, requests[0], f"KsPinHandshake from {step.on}", expected)
            return
        # What the callbacks would do is known as they start; what happens meanwhile, when they are fetched.
        met = [self._pin_expected(step, item, request, None) for request in requests]

        def fetched(number: int, changed: str | None) -> Expected:
            return (
                met[number] if changed is None else self._pin_expected(step, item, requests[number], changed)
            )

        tokens = self.tokens(step.threads)
        ends = (item,) if item.peer is None else (item, item.peer)
        flying = InFlight(step.start or step.on, item.side, ends, item.peer, tokens, fetched)
        for number, token in enumerate(tokens):
            what = f"start KsPinHandshake from {step.on} as {self.called(flying, number)}"
            self._send(step, item, requests[number], what, Expected(Answer.STARTED, ()), token)
        if step.start is None:
            self.fetch(flying)
        else:
            self.in_flight[step.start] = flying

    def _every_bit(self, step: PinHandshake, item: OpenObject) -> None:
        """One call for each bit of the protocol; a step for each row of them that is to be declined alike."""
        if item.side is not Side.KERNEL:
            raise UsageError(
                "vary needs a pin of the kernel side",
                f"scenario {self.scenario.id}",
                "open the pin by a kernel route",
            )
        data = self._question(step, item, 0)
        rows: list[tuple[int, Expected]] = []
        for bit in range(_BITS):
            expected = self._pin_expected(step, item, data.flipped(bit), None)
            wanted = {f.field: f.values for f in expected.expected_fields}
            accepted = ntstatus.SUCCESS in wanted.get("returned", ())
            if accepted or not rows or rows[-1][1].expected_fields != expected.expected_fields:
                rows.append((bit, expected))
        for (first, expected), end in zip(rows, [bit for bit, _ in rows[1:]] + [_BITS], strict=True):
            count = end - first
            which = f"bit {first}" if count == 1 else f"each of bits {first} to {end - 1}"
            what = f"KsPinHandshake from {step.on} with {which} of the protocol the other way"
            fields = (ExpectedField("repeats", (count,), Rule(self.scenario.rule)), *expected.expected_fields)
            vary = {"flags": self.encoder.constant("STEP_FLIP"), "slot2": first, "repeat": count}
            self._send(step, item, data, what, replace(expected, expected_fields=fields), vary=vary)

    def _question(self, step: PinHandshake, item: OpenObject, number: int) -> HandshakeData:
        accepting = item.peer.pin if item.peer is not None else item.pin
        protocol = self.names.protocol(step.protocol, accepting)
        self.refuse_numbers("a pin_handshake step, whose arguments are numbers", protocol)
        return HandshakeData(protocol, step.argument1 + number, step.argument2).narrowed(self.sizes.kernel)

    def _pin_expected(
        self, step: PinHandshake, item: OpenObject, data: HandshakeData, changed: str | None
    ) -> Expected:
        """What KsPinHandshake is to give, and the property request that brought it there."""
        peer = item.peer
        disturbed = changed or item.disturbed or (peer.disturbed if peer is not None else None)
        if disturbed is None and (item.closed or (peer is not None and peer.closed)):
            disturbed = "an end's handle is closed"
        prediction = predict_pin_handshake(
            peer is not None,
            self.behaviours.callback(peer or item, data, self.sizes.kernel),
            pointer_size=self.sizes.kernel,
            disturbed=disturbed,
        )
        expected_fields: tuple[ExpectedField, ...] = success() if disturbed is None else ()
        if item.side is Side.KERNEL:
            expected_fields += (ExpectedField("completions", (1,), Rule.IO),)
        if step.expect == "contract":
            expected_fields += from_prediction(prediction)
        elif not isinstance(step.expect, str):
            accepting = peer.pin if peer is not None else item.pin
            expected_fields += override(
                from_prediction(prediction), self.expectations.of(step.expect, accepting)
            )
        return Expected(Answer.PIN_HANDSHAKE, expected_fields, prediction)

    def _send(
        self,
        step: PinHandshake,
        item: OpenObject,
        data: HandshakeData,
        what: str,
        expected: Expected,
        token: int | None = None,
        vary: dict[str, int] | None = None,
    ) -> None:
        wide = self.encoder.wide_handshake(data)
        if item.peer is None or token is not None:
            self.calls.unsure(item.pin if item.peer is None else item.peer.pin)
        else:
            times = vary["repeat"] if vary else 1
            self.calls.asked(item.peer.pin, expected.prediction, times, item.peer.state)
        self.add(
            what,
            "PROPERTY",
            side=item.side,
            data=wide,
            guid=self.encoder.guid(encode.KSHS_PROPERTY_SET),
            answer=expected.answer,
            prediction=expected.prediction,
            expected_fields=expected.expected_fields,
            slot=item.slot,
            value=self.encoder.constant("PROP_PIN_HANDSHAKE"),
            value2=encode.PROPERTY_GET,
            in_length=len(wide),
            out_length=len(self.encoder.abi.cs.kshs_pin_handshake),
            members=vary or self._in_flight_members(token),
        )

    def set_state(self, step: SetState) -> None:
        """A change of a pin's state."""
        item = self.objects[step.on]
        expected_fields = self.expectations.of_open(step.expect) if not item.closed else ()
        token: int | None = None
        if step.start is not None:
            tokens = self.tokens(1)
            token = tokens[0]

            def fetched(_number: int, changed: str | None) -> Expected:
                return Expected(
                    Answer.STATUS,
                    expected_fields if changed is None else (),
                    condition=self._may_refuse(step),
                )

            self.in_flight[step.start] = InFlight(step.start, item.side, (item,), None, tokens, fetched)
        self.add(
            f"{'put' if token is None else 'start to put'} {step.on} into state {step.to.value}",
            "PROPERTY",
            side=item.side,
            data=list(State).index(step.to).to_bytes(4, "little"),
            guid=encode.CONNECTION_PROPERTY_SET,
            answer=Answer.STATUS if token is None else Answer.STARTED,
            expected_fields=expected_fields if token is None else (),
            condition=self._may_refuse(step),
            slot=item.slot,
            value=encode.CONNECTION_STATE,
            value2=encode.PROPERTY_SET,
            out_length=4,
            members=self._in_flight_members(token),
        )
        item.state = step.to

    def _may_refuse(self, step: SetState) -> bool:
        """Whether a driver may well refuse a change of state of which the scenario asks nothing of its own.

        Nobody lays down that a pin goes to every state wherever it stands; of the sample target it is known.
        """
        return not self.target.behaviour and step.expect == "success"

    def _in_flight_members(self, token: int | None) -> dict[str, int]:
        return {} if token is None else {"token": token, "flags": self.encoder.constant("STEP_ASYNC")}
