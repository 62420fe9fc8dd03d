# SPDX-License-Identifier: Apache-2.0
"""Requests made into steps: sent and waited for, or started on one or many threads and fetched later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from harness import ntstatus
from harness.contract.callbacks import OpenObject
from harness.contract.handshake_data import HandshakeData, handshake_size
from harness.contract.prediction import (
    Callback,
    CallbackKind,
    Circumstances,
    ObjectKind,
    Prediction,
    PredictionKind,
    Request,
    predict,
)
from harness.errors import UsageError
from harness.language.model import Cancel, Handshake, Pin, Scenario, Side, Target, Wait
from harness.language.model.values import length
from harness.planning.arguments import ArgumentPlanner
from harness.planning.expectations import override
from harness.planning.made import Handed, Taken
from harness.planning.planned import Answer, ExpectedField, NotApplicable, Sizes

#: Steps that one handshake whose repeats differ may make.
_MAX_ROWS = 64


@dataclass(frozen=True, slots=True)
class Expected:
    """What the answer to one request is, and what it is compared with."""

    answer: Answer
    expected_fields: tuple[ExpectedField, ...]
    prediction: Prediction | None = None
    request: Request | None = None
    doubtful: tuple[str, ...] = ()
    callback: Callback | None = None
    condition: bool = False


@dataclass(slots=True)
class InFlight:
    """What one step has started: as many requests as it has tokens.

    `expected` says what is due to the request of that number, given what has `changed` meanwhile;
    `ends` are the objects whose closing matters to it, `answerer` the one whose callback is asked.
    """

    name: str
    side: Side
    ends: tuple[OpenObject, ...]
    answerer: OpenObject | None
    tokens: tuple[int, ...]
    expected: Callable[[int, str | None], Expected]
    changed: str | None = None
    handed: Handed = field(default_factory=Handed)
    taken: tuple[Taken, ...] = ()

    def touches(self, item: OpenObject) -> bool:
        """Whether an object is one of its ends."""
        return any(end is item for end in self.ends)


def _alike(one: Expected, other: Expected) -> bool:
    """Whether two requests are to be refused alike, or the contract says of neither what it answers."""
    if one.expected_fields != other.expected_fields:
        return False
    answers = [value for field in one.expected_fields if field.field == "answer" for value in field.values]
    return all(value == "error" or (isinstance(value, int) and ntstatus.is_error(value)) for value in answers)


def _of_row(first: Expected, row: Request) -> Expected:
    """What is expected of a row, from what is of its first request."""
    prediction = first.prediction
    if prediction is not None and row.repeat > 1 and row.first_bit is None:
        prediction = replace(prediction, reason=f"{prediction.reason}, and so on")
    return replace(first, request=row, prediction=prediction)


class RequestPlanner(ArgumentPlanner):
    """Plans handshakes, and knows which of them are under way."""

    def __init__(self, scenario: Scenario, target: Target, sizes: Sizes) -> None:
        super().__init__(scenario, target, sizes)
        self.in_flight: dict[str, InFlight] = {}
        self._next_token = 0

    def _hand(self, step: Handshake, item: OpenObject) -> tuple[HandshakeData, Handed]:
        """What the requests of one step hold, with 0 in the place of pointers, and these."""
        pointer_size = self.sizes.of(step.route.side)
        if step.input is not None:
            padded = step.input + bytes(max(0, handshake_size(pointer_size) - len(step.input)))
            unpacked = HandshakeData.unpack(padded, pointer_size)
            assert unpacked is not None
            return unpacked, self.hand(step, item, unpacked.protocol)
        protocol = self.names.protocol(step.protocol, item.pin)
        handed = self.hand(step, item, protocol)
        return HandshakeData(protocol, *handed.numbers), handed

    def _request(self, step: Handshake, data: HandshakeData, counted: int = 0) -> Request:
        """The request of one step; `counted` is added to the first argument, for each of its threads."""
        pointer_size = self.sizes.of(step.route.side)
        size = handshake_size(pointer_size)
        if step.input is None:
            data = replace(data, argument1=data.argument1 + counted)
        return Request(
            data=data.narrowed(pointer_size),
            route=step.route,
            mode=step.requestor,
            control=step.control,
            in_length=length(step.in_length, size),
            out_length=length(step.out_length, size),
            in_buffer=step.in_buffer,
            out_buffer=step.out_buffer,
            repeat=step.repeat,
            in_stride=step.in_stride,
            out_stride=step.out_stride,
            first_bit=0 if step.vary is not None else None,
        )

    def _circumstances(self, request: Request, item: OpenObject) -> Circumstances:
        pointer_size = self.sizes.of(request.route.side)
        return Circumstances(
            object=ObjectKind.CLOSED if item.closed else item.kind,
            callback=self.behaviours.callback(item, request.data, pointer_size),
            connected=item.connected,
            state=item.state,
            pointer_size=pointer_size,
            disturbed=item.disturbed,
        )

    def _members(
        self, step: Handshake, item: OpenObject, request: Request, handed: Handed, taken: Taken, *more: str
    ) -> dict[str, int]:
        members, flags = self.argument_members(handed, taken)
        return {
            **members,
            "flags": sum(self.encoder.constant(flag) for flag in (*more, *flags)),
            "slot": item.slot,
            "route": self.route(step.route),
            "mode": self.encoder.constant(f"MODE_{request.mode.name}"),
            "control": request.control,
            "in_kind": self.encoder.constant(f"BUFFER_{request.in_buffer.name}"),
            "out_kind": self.encoder.constant(f"BUFFER_{request.out_buffer.name}"),
            "in_length": request.in_length,
            "out_length": request.out_length,
        }

    def handshake(self, step: Handshake) -> None:
        """One handshake, or as many at once as it has threads."""
        item = self.objects[step.on]
        if step.start is not None or step.threads > 1:
            flying = self._start(step, item)
            if step.start is None:
                self.fetch(flying)
            else:
                self.in_flight[step.start] = flying
            return
        data, handed = self._hand(step, item)
        taken = self.takers(step, item, data.protocol)
        request = self._request(step, data)
        if not step.varies:
            expected = self._expected(step, item, request)
            self._send_handshake(step, request, expected, handed, taken, {})
            self.settle(handed, taken, step.repeat, _accepts(expected))
            return
        if any(taken):
            raise NotApplicable(
                f"target {self.target.name} answers {step.protocol} with pointers, and these repeats are not"
                " the same request: what each of them brings could not be taken"
            )
        accepted = self._rows(step, item, request, handed, taken)
        self.settle(handed, taken, accepted, accepted > 0)

    def _rows(self, step: Handshake, item: OpenObject, whole: Request, handed: Handed, taken: Taken) -> int:
        """A handshake whose repeats differ: one step for each row of them that the contract predicts alike.

        Two that succeed are never in one row: their outputs may go with what varies.  Gives how many succeed.
        """
        turns = whole.turns(self.sizes.of(step.route.side))
        rows: list[tuple[int, Expected]] = []
        for number in turns:
            expected = self._expected(step, item, whole.nth(number))
            if not rows or not _alike(rows[-1][1], expected):
                rows.append((number, expected))
        if len(rows) > _MAX_ROWS:
            raise UsageError(
                f"its repeats are {len(rows)} rows of different predictions, more than {_MAX_ROWS}",
                f"scenario {self.scenario.id}",
                "ask a pin that declines what is asked",
            )
        ends = [first for first, _ in rows[1:]] + [whole.repeat]
        accepted = 0
        for (first, expected), end in zip(rows, ends, strict=True):
            row = whole.row(first, end - first)
            variation = self._variation(row, expected)
            self._send_handshake(step, row, _of_row(expected, row), handed, taken, variation)
            accepted += row.repeat if _accepts(expected) else 0
        return accepted

    def _variation(self, row: Request, expected: Expected) -> dict[str, int]:
        """How the guest makes each repeat of a row, and what it may take for alike."""
        members = {"value": row.in_stride, "value2": row.out_stride, "flags": 0}
        if row.first_bit is not None:
            members |= {"value": row.first_bit, "flags": self.encoder.constant("STEP_FLIP")}
        if not any(
            field.field == "answer" and len(field.values) == 1 and isinstance(field.values[0], int)
            for field in expected.expected_fields
        ):
            members["flags"] |= self.encoder.constant("STEP_ERRORS_ALIKE")
        return members

    def _send_handshake(
        self,
        step: Handshake,
        request: Request,
        expected: Expected,
        handed: Handed,
        taken: Taken,
        variation: dict[str, int],
    ) -> None:
        members = self._members(step, self.objects[step.on], request, handed, taken)
        members |= variation | {"flags": members["flags"] | variation.get("flags", 0)}
        which = f", {request.extent}" if request.varies else ""
        item = self.objects[step.on]
        if expected.callback is None or expected.callback.kind is not CallbackKind.NONE:
            self.calls.asked(item.pin, expected.prediction, request.repeat, item.state)
        self.add(
            f"handshake {step.on} by {step.route.value} from {request.mode.value} mode{which}{handed.words}",
            "REQUEST",
            side=step.route.side,
            data=self._content(step, request, self.sizes.of(step.route.side)),
            answer=expected.answer,
            request=request,
            prediction=expected.prediction,
            expected_fields=expected.expected_fields,
            doubtful=expected.doubtful,
            callback=expected.callback,
            members=members,
        )

    def _expected(
        self,
        step: Handshake,
        item: OpenObject,
        request: Request,
        circumstances: Circumstances | None = None,
    ) -> Expected:
        circumstances = circumstances or self._circumstances(request, item)
        prediction = predict(request, circumstances)
        size = handshake_size(circumstances.pointer_size)
        expected_fields = self.expectations.of_request(step, prediction, item.pin, size)
        if step.expect != "record" and _predicts_success(prediction):
            expected_fields = override(self.answered(request.data.protocol), expected_fields)
        doubtful: tuple[str, ...] = ()
        if step.expect == "contract" and item.pin is not None:
            doubtful = self.target.places_of_protocol(item.pin, request.data.protocol)
        return Expected(
            Answer.REQUEST, expected_fields, prediction, request, doubtful, circumstances.callback
        )

    def _content(self, step: Handshake, request: Request, pointer_size: int) -> bytes:
        return step.input if step.input is not None else request.data.pack(pointer_size)

    def _start(self, step: Handshake, item: OpenObject) -> InFlight:
        """Starts the requests of a step, one a thread, each with a token of its own."""
        data, handed = self._hand(step, item)
        self.calls.unsure(item.pin)
        takers = tuple(self.takers(step, item, data.protocol) for _ in range(step.threads))
        counts = range(step.threads) if handed.counted else [0] * step.threads
        requests = tuple(self._request(step, data, count) for count in counts)
        met = tuple(self._circumstances(request, item) for request in requests)

        def expected(number: int, changed: str | None) -> Expected:
            circumstances = met[number] if changed is None else replace(met[number], disturbed=changed)
            return self._expected(step, item, requests[number], circumstances)

        tokens = self.tokens(step.threads)
        flying = InFlight(
            step.start or step.on,
            step.route.side,
            (item,),
            item,
            tokens,
            expected,
            handed=handed,
            taken=takers,
        )
        for number, (token, request) in enumerate(zip(tokens, requests, strict=True)):
            self.add(
                f"start handshake {step.on} by {step.route.value} from {request.mode.value} mode as"
                f" {self.called(flying, number)}{handed.words}",
                "REQUEST",
                side=step.route.side,
                data=self._content(step, request, met[number].pointer_size),
                answer=Answer.STARTED,
                request=request,
                token=token,
                members=self._members(step, item, request, handed, takers[number], "STEP_ASYNC"),
            )
        return flying

    def tokens(self, count: int) -> tuple[int, ...]:
        """Tokens that were never used in this scenario, for requests in flight."""
        limit = self.encoder.constant("MAX_TOKENS")
        if self._next_token + count > limit:
            raise UsageError(
                f"more than {limit} requests are started in one scenario", f"scenario {self.scenario.id}"
            )
        tokens = tuple(range(self._next_token, self._next_token + count))
        self._next_token += count
        return tokens

    @staticmethod
    def called(flying: InFlight, number: int) -> str:
        """What messages call one request of a started step."""
        return f"{flying.name}, thread {number + 1}" if len(flying.tokens) > 1 else flying.name

    def wait(self, step: Wait) -> None:
        """The answers of a started step."""
        self.fetch(self.in_flight.pop(step.request))

    def fetch(self, flying: InFlight) -> None:
        """Waits for the answers of a started step and judges each by its own request."""
        for number, token in enumerate(flying.tokens):
            expected = flying.expected(number, flying.changed)
            self.add(
                f"wait for {self.called(flying, number)}",
                "WAIT",
                side=flying.side,
                answer=expected.answer,
                request=expected.request,
                prediction=expected.prediction,
                expected_fields=expected.expected_fields,
                doubtful=expected.doubtful,
                callback=expected.callback,
                condition=expected.condition,
                token=token,
            )
            if flying.taken:
                repeat = expected.request.repeat if expected.request is not None else 1
                self.settle(flying.handed, flying.taken[number], repeat, _accepts(expected))

    def cancel(self, step: Cancel) -> None:
        """Cancels every request of a started step."""
        flying = self.in_flight[step.request]
        flying.changed = "the request is cancelled"
        for number, token in enumerate(flying.tokens):
            what = f"cancel {self.called(flying, number)}"
            self.add(what, "CANCEL", side=flying.side, token=token)

    def disturb_requests(self, pin: Pin, reason: str) -> None:
        """From now on the contract says nothing of the requests under way to a pin."""
        for flying in self.in_flight.values():
            asked = flying.answerer.pin if flying.answerer is not None else None
            if asked is not None and asked.id == pin.id:
                flying.changed = reason


def _predicts_success(prediction: Prediction | None) -> bool:
    return (
        prediction is not None
        and prediction.kind is PredictionKind.EXPECTED
        and prediction.expected.get("answer") == ntstatus.SUCCESS
    )


def _accepts(expected: Expected) -> bool:
    """Whether the contract says that the callback accepts the request."""
    return _predicts_success(expected.prediction)
