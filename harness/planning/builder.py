# SPDX-License-Identifier: Apache-2.0
"""Adding steps to a plan: slots, sides, and how objects are opened."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from drivers.abi import load
from harness.agent import encode
from harness.agent.encode import Encoder
from harness.contract.callbacks import PEER_CLOSED, OpenObject, PinBehaviours
from harness.contract.prediction import Callback, ObjectKind, Prediction, Request
from harness.errors import UsageError
from harness.language.model import OpenDevice, OpenPin, Pin, Rule, Scenario, Share, Side, Step, Target
from harness.language.model.check import Handle, handles, shorthand
from harness.language.model.format import Format
from harness.language.model.values import Route
from harness.planning.any_target import stand_in
from harness.planning.calls import Calls
from harness.planning.expectations import Expectations, Names, success
from harness.planning.planned import (
    Answer,
    ExpectedField,
    Lack,
    NotApplicable,
    PinUnopened,
    PlannedStep,
    Sizes,
)
from vm.words import counted


class PlanBuilder:
    """Collects planned steps and knows which objects they have opened."""

    def __init__(self, scenario: Scenario, target: Target, sizes: Sizes) -> None:
        self.scenario = scenario
        self.target = target
        self.sizes = sizes
        self.names = Names(target, stand_in(scenario, target))
        self.expectations = Expectations(self.names, Rule(scenario.rule))
        self.encoder = Encoder(load())
        self.behaviours = PinBehaviours(target)
        self.calls = Calls()
        self.handles = handles(scenario)
        self.steps: list[PlannedStep] = []
        self.objects: dict[str, OpenObject] = {}
        self.own_filters: dict[Side, OpenObject] = {}
        self.next_slot = {Side.KERNEL: 0, Side.USER: 0}
        self.step: Step | None = None
        self.index: int | None = None
        #: What people are to read beside the next step that is added.
        self.notes: list[str] = []

    def remark(self, text: str) -> None:
        """Beside the step before, or beside the first one that comes."""
        if not self.steps:
            self.notes.append(text)
            return
        last = self.steps[-1]
        self.steps[-1] = replace(last, notes=tuple(dict.fromkeys((*last.notes, text))))

    # ---- adding ----------------------------------------------------------------------------

    def add(
        self,
        what: str,
        op: str,
        *,
        side: Side = Side.KERNEL,
        data: bytes = b"",
        guid: uuid.UUID | None = None,
        answer: Answer = Answer.PLAIN,
        expected_fields: tuple[ExpectedField, ...] = (),
        request: Request | None = None,
        prediction: Prediction | None = None,
        timeout_ms: int | None = None,
        slack_ms: int = 0,
        doubtful: tuple[str, ...] = (),
        members: Mapping[str, int] | None = None,
        premise: bool = False,
        callback: Callback | None = None,
        condition: bool = False,
        **more: int,
    ) -> None:
        """One more step; `members` and `more` are members of `kshs_step` by name.

        Where the `request` that is sent, or waited for, is repeated, each repeat has the whole time, and so
        the step has more of it.
        """
        own = self.step.timeout_ms if self.step is not None else None
        limit = timeout_ms or own or self.scenario.timeout_ms
        whole = limit
        if request is not None:
            more["repeat"] = request.repeat
            if answer is not Answer.STARTED:
                whole = self._for_all(limit, request.repeat)
        payload = self.encoder.step(
            op,
            data=data,
            guid=guid,
            side=self.encoder.constant(f"SIDE_{side.name}"),
            timeout_ms=limit,
            **(members or {}),
            **more,
        )
        self.steps.append(
            PlannedStep(
                what=what,
                payload=payload,
                timeout=(whole + slack_ms) / 1000,
                each=limit / 1000,
                answer=answer,
                step=self.step,
                index=self.index,
                expected_fields=expected_fields,
                request=request,
                prediction=prediction,
                pointer_size=self.sizes.of(side),
                doubtful=doubtful,
                premise=premise,
                callback=callback,
                condition=condition,
                notes=tuple(self.notes),
            )
        )
        self.notes.clear()

    def _for_all(self, limit_ms: int, repeat: int) -> int:
        """Milliseconds that the guest gives all repeats together (drivers/common/kshs_step_time.h)."""
        return min(limit_ms * repeat, max(limit_ms, self.encoder.constant("MAX_REPEATED_MS")))

    @contextmanager
    def as_setup(self) -> Iterator[None]:
        """While it is entered, added steps count as the harness's own."""
        kept = self.step, self.index
        self.step = self.index = None
        try:
            yield
        finally:
            self.step, self.index = kept

    def route(self, route: Route) -> int:
        """The route's number in the ABI."""
        return self.encoder.constant(f"ROUTE_{route.name}")

    # ---- opening ---------------------------------------------------------------------------

    def slot(self, side: Side) -> int:
        """A slot of that side that was never used in this scenario."""
        slot = self.next_slot[side]
        if slot >= self.encoder.constant("MAX_SLOTS"):
            raise UsageError(
                "more objects than a side of an agent can hold open",
                f"scenario {self.scenario.id}",
                f"open at most {self.encoder.constant('MAX_SLOTS')}, closed ones counted",
            )
        self.next_slot[side] = slot + 1
        return slot

    def open_filter(
        self,
        name: str,
        handle: Handle,
        index: int = 0,
        expected_fields: tuple[ExpectedField, ...] | None = None,
    ) -> OpenObject:
        """The target's filter under a name."""
        item = OpenObject(name, ObjectKind.FILTER, handle.side, self.slot(handle.side))
        number = f" {index}" if index else ""
        self.add(
            f"open filter{number} of {self.target.name} as {name} by the {handle.side.value} side",
            "OPEN_FILTER",
            side=handle.side,
            guid=self.target.category,
            answer=Answer.STATUS,
            expected_fields=success() if expected_fields is None else expected_fields,
            # Of a second instance the file says nothing.
            doubtful=() if index else self.target.places(*self._found_by),
            slot=item.slot,
            value=self.target.instance + index,
            route=self.route(handle.route),
        )
        self.objects[name] = item
        return item

    @property
    def _found_by(self) -> tuple[tuple[str], ...]:
        """The keys by which the target's filter is found."""
        return (("category",), ("instance",)) if self.target.instance else (("category",),)

    def open_device(self, step: OpenDevice) -> None:
        """A device by its path."""
        handle = self.handles[step.name]
        item = OpenObject(step.name, ObjectKind.DEVICE, handle.side, self.slot(handle.side))
        self.add(
            f"open {step.path} as {step.name}",
            "OPEN_DEVICE",
            side=handle.side,
            data=step.path.encode("utf-16-le"),
            answer=Answer.STATUS,
            expected_fields=self.expectations.of_open(step.expect),
            slot=item.slot,
            route=self.route(handle.route),
        )
        self.objects[step.name] = item

    def open_shorthand(self, text: str) -> None:
        """One entry of a scenario's `open`."""
        entry = shorthand(text)
        if entry.pin is None:
            self.own_filters.setdefault(
                self.handles[entry.name].side, self.open_filter(entry.name, self.handles[entry.name])
            )
            return
        sink: OpenObject | None = None
        if entry.connect_to is not None:
            sink = self.objects.get(entry.connect_to)
            if sink is None:
                found = shorthand(entry.connect_to)
                if found.pin is None:
                    raise UsageError(
                        "a pin is connected to a pin, not to a filter",
                        f"scenario {self.scenario.id}, open {text!r}",
                        'write "source -> sink"',
                    )
                sink = self.open_pin(entry.connect_to, self.names.pin(found.pin))
        self.open_pin(entry.name, self.names.pin(entry.pin), sink=sink)

    def open_pin_step(self, step: OpenPin) -> None:
        """A pin, with everything that can be chosen about it."""
        pin = self.names.pin(step.pin)
        chosen = self.target.format_of(pin)
        if step.format is not None:
            chosen = chosen.model_copy(update=step.format.model_dump(exclude_none=True))
        self.open_pin(
            step.name,
            pin,
            sink=self.objects[step.connect_to] if step.connect_to is not None else None,
            parent=self.objects[step.filter] if step.filter is not None else None,
            data_format=chosen,
            native=step.way == "native",
            expected_fields=self.expectations.of_open(step.expect),
        )

    def open_pin(
        self,
        name: str,
        pin: Pin,
        *,
        sink: OpenObject | None = None,
        parent: OpenObject | None = None,
        data_format: Format | None = None,
        native: bool = False,
        expected_fields: tuple[ExpectedField, ...] | None = None,
    ) -> OpenObject:
        """A pin under a name; `sink` is connected to it, `parent` the filter it is created on."""
        why = self.target.why_unopened(pin)
        if why is not None and data_format is None:
            raise PinUnopened(f"pin {pin.name} does not open: {why}", *self.target.places_of_pin(pin)[-1:])
        handle = self.handles[name]
        owner = parent or self.own_filter(handle.side)
        self._check_room(pin, owner)
        item = OpenObject(name, ObjectKind.PIN, handle.side, self.slot(handle.side), pin=pin, parent=owner)
        item.has_callback = self.behaviours.registers_callback(pin)
        if sink is not None:
            item.peer, item.connected = sink, True
            for end in (sink, *(other for other in self.objects.values() if other.origin is sink)):
                end.peer, end.connected = item, True
                if end.disturbed == PEER_CLOSED:
                    end.disturbed = None
        flag = "STEP_NO_FALLBACK" if native else "STEP_FALLBACK"
        connected = f" connected to {sink.name}" if sink is not None else ""
        called = "" if name == pin.name else f" as {name}"
        self.add(
            f"open pin {pin.name}{called}{connected} by the {handle.side.value} side",
            "OPEN_PIN",
            side=handle.side,
            data=encode.pin_connect(
                pin.id,
                data_format or self.target.format_of(pin),
                self.sizes.of(handle.side),
                self.target.interface_of(pin),
                self.target.medium_of(pin),
            ),
            answer=Answer.STATUS,
            expected_fields=success() if expected_fields is None else expected_fields,
            doubtful=self.target.places_of_pin(pin),
            slot=item.slot,
            slot2=owner.slot,
            slot3=self.encoder.constant("NO_SLOT") if sink is None else sink.slot,
            flags=self.encoder.constant(flag),
            route=self.route(handle.route),
        )
        self.calls.opened(pin, sure=expected_fields in (None, success()))
        self.objects[name] = item
        return item

    def _check_room(self, pin: Pin, owner: OpenObject) -> None:
        """That a filter may have one more instance of a pin open (KSPIN_DESCRIPTOR_EX.InstancesPossible).

        Raises:
            NotApplicable: the target file says that it may not.
        """
        there = sum(
            other.pin is not None and other.pin.id == pin.id and other.parent is owner
            for other in self.objects.values()
            if other.origin is None
        )
        if there >= pin.max_instances:
            raise NotApplicable(
                f"pin {pin.name} of target {self.target.name} can be open"
                f" {counted(pin.max_instances, 'time')} at once (max_instances)",
                Lack("instances", pin.name),
            )

    def share(self, step: Share) -> None:
        """A user-mode handle to what the kernel side has open."""
        origin = self.objects[step.on]
        item = replace(origin, name=step.name, side=Side.USER, slot=self.slot(Side.USER), origin=origin)
        self.add(
            f"give the user side a handle to {step.on}, as {step.name}",
            "SHARE",
            side=Side.USER,
            answer=Answer.STATUS,
            expected_fields=self.expectations.of_open(step.expect),
            slot=item.slot,
            slot2=origin.slot,
        )
        self.objects[step.name] = item

    def own_filter(self, side: Side) -> OpenObject:
        """The filter of pins that name none: opened once a side, when it is first needed."""
        if side not in self.own_filters:
            route = Route.CALL if side is Side.KERNEL else Route.SYNC
            with self.as_setup():
                item = self.open_filter(f"@filter.{side.value}", Handle(side, route))
            self.own_filters[side] = item
        return self.own_filters[side]
