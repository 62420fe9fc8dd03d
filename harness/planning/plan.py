# SPDX-License-Identifier: Apache-2.0
"""From a scenario to what is sent: names become slots, expectations become fields to compare.

A plan is worked out before anything is sent, so that a mistake in a scenario never costs a guest.
"""

from __future__ import annotations

from harness.agent import encode
from harness.contract.callbacks import PEER_CLOSED, OpenObject
from harness.contract.prediction import ObjectKind
from harness.errors import UsageError
from harness.language.model import (
    Behaviour,
    Cancel,
    Close,
    Counters,
    Dereference,
    Device,
    Handshake,
    Inspect,
    Make,
    OpenDevice,
    OpenFilter,
    OpenPin,
    Pin,
    PinHandshake,
    PropertyGet,
    PropertySet,
    Reference,
    Reset,
    Rule,
    Scenario,
    Seen,
    SeenExpect,
    SetState,
    Share,
    Side,
    Sleep,
    Step,
    Target,
    Unblock,
    Vanish,
    Wait,
    WaitInside,
)
from harness.language.model.check import Handle, check
from harness.language.model.values import Route
from harness.planning.any_target import left_out, not_asked, pin_refs
from harness.planning.counting import CountingPlanner
from harness.planning.expectations import success
from harness.planning.planned import (
    Answer,
    ExpectedField,
    NotApplicable,
    Plan,
    PlannedStep,
    Sizes,
    no_behaviour,
)

__all__ = ["Answer", "ExpectedField", "NotApplicable", "Plan", "PlannedStep", "Sizes", "plan"]

#: Milliseconds for what the harness adds and for steps of the PnP manager.
_PLAIN_TIMEOUT_MS = 30_000
#: Milliseconds for one question to the target, after which it hangs.
_QUESTION_MS = 10_000

#: What a pin's callback must have seen nothing of once the pin was reset.
_ZERO_AFTER_RESET = ("count", "finished", "overlapped", "after_close")
#: Why a lease is spoilt by a device that may yet be enabled again.
_DISABLED = "the device is disabled"
#: Behaviours after which a guest cannot be trusted any more.
_SPOILING = frozenset({"fault", "hang", "corrupt_pool", "bugcheck", "pending", "loop"})


def plan(scenario: Scenario, target: Target, sizes: Sizes | None = None) -> Plan:
    """Works out everything that a scenario sends to a target.

    Args:
        scenario: validated.
        target: the driver under test.
        sizes: pointer sizes of the guest.

    Raises:
        UsageError: the scenario contradicts itself (`harness.language.model.check` says the same with lines).
        NotApplicable: the target has no such pin or protocol, or lacks the behaviour property set.
    """
    problems = check(scenario)
    if problems:
        first = problems[0]
        where = f"scenario {scenario.id}, " + ".".join(str(part) for part in first.path)
        raise UsageError(first.message, where, first.hint)
    return _Planner(scenario, target, sizes or Sizes()).plan()


class _Planner(CountingPlanner):
    def __init__(self, scenario: Scenario, target: Target, sizes: Sizes) -> None:
        super().__init__(scenario, target, sizes)
        self._control: OpenObject | None = None
        self._spoils: str | None = None
        self._touched: dict[int, Pin] = {}
        self._device_gone = False

    # ---- the whole -------------------------------------------------------------------------

    def plan(self) -> Plan:
        self._touched.update((pin.id, pin) for pin in self._pins_used())
        unused = tuple(ExpectedField(name, (0,), Rule.SETUP) for name in _ZERO_AFTER_RESET)
        if self.target.behaviour:
            for pin in self._touched.values():
                self._add_reset(pin, f"reset {pin.name} before the scenario")
                self._add_seen(
                    f"see that {pin.name} is as after a reset",
                    pin,
                    expected_fields=unused,
                    premise=True,
                )
        for text in self.scenario.open:
            self.open_shorthand(text)
        without = left_out(self.scenario, self.target)
        for index, step in enumerate(self.scenario.steps):
            if index in without:
                self.remark(not_asked(step, self.target))
                continue
            self.index, self.step = index, step
            self._one(step)
        self.index = self.step = None
        self.settle_all()
        steps, self.steps = tuple(self.steps), []
        self._clean_up()
        return Plan(self.scenario, steps, tuple(self.steps), self._spoils)

    def _one(self, step: Step) -> None:
        match step:
            case OpenFilter():
                self.open_filter(
                    step.name, self.handles[step.name], step.index, self.expectations.of_open(step.expect)
                )
            case OpenDevice():
                self.open_device(step)
            case OpenPin():
                self.open_pin_step(step)
            case Close():
                self._close(step)
            case Share():
                self.share(step)
            case Handshake():
                self.handshake(step)
            case Make():
                self.make(step)
            case Inspect():
                self.inspect(step)
            case Reference() | Dereference():
                self.reference(step)
            case Vanish():
                self.vanish(step)
            case Wait():
                self.wait(step)
            case Cancel():
                self.cancel(step)
            case PropertyGet() | PropertySet():
                self._property(step)
            case Behaviour():
                self._behaviour(step)
            case Reset():
                pin = self.names.pin(step.pin)
                self._add_reset(pin, f"reset {pin.name}")
                self.disturb_requests(pin, "the pin's behaviour changes")
            case Unblock():
                pin = self.names.pin(step.pin)
                self._control_set(f"unblock {pin.name}", "PROP_UNBLOCK", pin.id.to_bytes(4, "little"))
            case Seen():
                self._seen(step)
            case WaitInside():
                self._wait_inside(step)
            case Counters():
                self.counters(step)
            case PinHandshake():
                self.pin_handshake(step)
            case Device():
                self._device(step)
            case SetState():
                self.set_state(step)
            case Sleep():
                self.add(f"sleep {step.ms} ms", "SLEEP", timeout_ms=step.ms, slack_ms=5_000)

    def _clean_up(self) -> None:
        if self.target.behaviour and not self._device_gone:
            # RESET also lets callbacks go that still block; without it RELEASE_ALL could wait for them.
            for pin in self._touched.values():
                self._add_reset(pin, f"reset {pin.name} after the scenario")
        for side in (Side.USER, Side.KERNEL):  # the last of all counts what is left
            if self.next_slot[side]:
                counts = side is Side.KERNEL
                self.add(
                    f"close everything on the {side.value} side",
                    "RELEASE_ALL",
                    side=side,
                    answer=Answer.LEFT if counts else Answer.PLAIN,
                    timeout_ms=_PLAIN_TIMEOUT_MS,
                    flags=counts * self.encoder.constant("STEP_COUNT"),
                    out_length=counts * len(self.encoder.abi.cs.kshs_left),
                )

    def _close(self, step: Close) -> None:
        item = self.objects[step.on]
        self.before_close(item)
        self.count_closed(item, kept=step.keep)
        if item.closed:
            self.add(f"forget the closed {step.on}", "CLOSE", side=item.side, slot=item.slot)
            del self.objects[step.on]
            self.after_close(item)
            return
        if step.keep:
            flags = self.encoder.constant("STEP_KEEP")
            self.add(f"close {step.on} and keep it", "CLOSE", side=item.side, slot=item.slot, flags=flags)
            item.closed = True
        else:
            self.add(f"close {step.on}", "CLOSE", side=item.side, slot=item.slot)
            del self.objects[step.on]
            self.after_close(item)
        if item.peer is not None and item.peer.disturbed is None:
            item.peer.disturbed = PEER_CLOSED
        for flying in self.in_flight.values():
            if flying.touches(item):
                flying.changed = f"the {item.kind.value} is closed"
        for side, owned in list(self.own_filters.items()):
            if owned is item:
                del self.own_filters[side]
        if item.kind is ObjectKind.FILTER:
            for other in self.objects.values():
                if other.pin is not None and other.side is item.side:
                    other.disturbed = "the filter is closed"

    # ---- the target's own steps ------------------------------------------------------------

    def _control_filter(self) -> OpenObject:
        """A filter of its own for the property set: a class driver may hold the lock of another one."""
        if not self.target.behaviour:
            raise no_behaviour(self.target)
        if self._control is None:
            with self.as_setup():
                self._control = self.open_filter("@control", Handle(Side.KERNEL, Route.CALL))
        return self._control

    def _control_set(self, what: str, constant: str, data: bytes) -> None:
        self.add(
            what,
            "PROPERTY",
            data=data,
            guid=self.encoder.guid(encode.KSHS_PROPERTY_SET),
            answer=Answer.STATUS,
            expected_fields=success(),
            slot=self._control_filter().slot,
            value=self.encoder.constant(constant),
            value2=encode.PROPERTY_SET,
            out_length=len(data),
        )

    def _add_reset(self, pin: Pin, what: str) -> None:
        self._control_set(what, "PROP_RESET", pin.id.to_bytes(4, "little"))
        self.behaviours.set(pin, None)
        self.calls.reset(pin)

    def _behaviour(self, step: Behaviour) -> None:
        pin = self.names.pin(step.pin)
        default = 0 if step.kind != "decline" else 0xC0000010
        self._control_set(
            f"let {pin.name} {step.kind}",
            "PROP_BEHAVIOUR",
            self.encoder.behaviour(
                pin_id=pin.id,
                kind=step.kind,
                status=default if step.status is None else step.status,
                delay_ms=step.delay_ms,
                value=step.value,
                value2=step.value2,
            ),
        )
        self.behaviours.set(pin, step)
        self.disturb_requests(pin, "the pin's behaviour changes")
        if step.kind in _SPOILING:
            self._spoils = f"pin {pin.name} was told to {step.kind.replace('_', ' ')}"

    def _seen(self, step: Seen) -> None:
        pin = self.names.pin(step.pin)
        self._add_seen(
            f"read what the callback of {pin.name} saw" + (", answered later" if step.later else ""),
            pin,
            expected_fields=self.expectations.of(self._looked(step, pin), pin),
            later=step.later,
        )

    def _add_seen(
        self,
        what: str,
        pin: Pin,
        *,
        expected_fields: tuple[ExpectedField, ...],
        premise: bool = False,
        later: bool = False,
    ) -> None:
        self.add(
            what,
            "PROPERTY",
            data=pin.id.to_bytes(4, "little"),
            guid=self.encoder.guid(encode.KSHS_PROPERTY_SET),
            answer=Answer.SEEN,
            expected_fields=success() + expected_fields,
            premise=premise,
            slot=self._control_filter().slot,
            value=self.encoder.constant("PROP_SEEN_LATER" if later else "PROP_SEEN"),
            value2=encode.PROPERTY_GET,
            in_length=4,
            out_length=len(self.encoder.abi.cs.kshs_seen),
        )

    def _looked(self, step: Seen | WaitInside, pin: Pin) -> str | SeenExpect:
        return step.expect if isinstance(step.expect, str) else self.calls.expect(step.expect, pin)

    def _wait_inside(self, step: WaitInside) -> None:
        pin = self.names.pin(step.pin)
        own = step.timeout_ms or self.scenario.timeout_ms
        called = "the callback" if step.what == "callback" else "a change of the state"
        self.add(
            f"wait until {called} of {pin.name} is inside"
            + (f", {step.count} times" if step.count > 1 else ""),
            "WAIT_INSIDE",
            guid=self.encoder.guid(encode.KSHS_PROPERTY_SET),
            answer=Answer.SEEN,
            expected_fields=self.expectations.of_inside(self._looked(step, pin), pin),
            slot=self._control_filter().slot,
            value=pin.id,
            value2=step.count,
            mode=self.encoder.constant(f"INSIDE_{step.what.upper()}"),
            # What is not seen in time is an answer, and a question that does not come back is hung.
            timeout_ms=max(own, step.within_ms + _QUESTION_MS),
            members={"repeat": step.within_ms},
        )

    # ---- other steps -----------------------------------------------------------------------

    def _property(self, step: PropertyGet | PropertySet) -> None:
        item = self.objects[step.on]
        get = isinstance(step, PropertyGet)
        data = step.input + (b"" if isinstance(step, PropertyGet) else step.data)
        self.add(
            f"{'read' if get else 'write'} property {step.id} of {step.on}",
            "PROPERTY",
            side=item.side,
            data=data,
            guid=step.set,
            answer=Answer.STATUS,
            expected_fields=success()
            if step.expect == "success"
            else self.expectations.of(step.expect, item.pin),
            slot=item.slot,
            value=step.id,
            value2=step.flags,
            in_length=len(step.input),
            out_length=step.length if isinstance(step, PropertyGet) else len(step.data),
        )

    def _device(self, step: Device) -> None:
        if self._control is not None:
            with self.as_setup():
                self.add("close the harness's own filter", "CLOSE", slot=self._control.slot)
            self._control = None
        self.add(
            f"{step.action} the device of {self.target.name}",
            "DEVICE",
            side=Side.USER,
            data=self.target.hardware_id.encode("utf-16-le"),
            answer=Answer.STATUS,
            expected_fields=self.expectations.of_open(step.expect),
            value=self.encoder.constant(f"DEVICE_{step.action.upper()}"),
            timeout_ms=step.timeout_ms or max(self.scenario.timeout_ms, _PLAIN_TIMEOUT_MS),
        )
        reason = f"the device is {step.action.removesuffix('e')}ed"
        for item in self.objects.values():
            item.disturbed = reason
        for flying in self.in_flight.values():
            flying.changed = reason
        self.own_filters.clear()
        self.device_changed()
        self.calls.device_changed()
        self._device_gone = step.action in {"remove", "disable"}
        if self._device_gone:
            # What a pin was told to do to the kernel is not undone with the device.
            if self._spoils in (None, _DISABLED):
                self._spoils = reason
        elif step.action == "enable" and self._spoils == _DISABLED:
            self._spoils = None

    def _pins_used(self) -> list[Pin]:
        return list({pin.id: pin for pin in map(self.names.pin, pin_refs(self.scenario))}.values())
