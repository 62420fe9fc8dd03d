# SPDX-License-Identifier: Apache-2.0
"""What handshakes' arguments point at: made before the handshake, looked at and given back after it.

Which argument is a pointer, who owns which reference and for how long is what the target file says of a
protocol (`harness.language.model.arguments`).  A number is never handed to a callback that would follow it,
and an interface that nobody named is made, looked at and settled unasked.
"""

from __future__ import annotations

import uuid

from harness.contract.callbacks import OpenObject
from harness.errors import UsageError
from harness.language.model import (
    Dereference,
    Handshake,
    Inspect,
    MadeExpect,
    Make,
    Reference,
    RequestExpect,
    Rule,
    Scenario,
    Side,
    Target,
    Vanish,
)
from harness.language.model.arguments import (
    AnswerInterface,
    AnswerPointer,
    AnyArgument,
    Interface,
    Null,
    Number,
    Pointer,
    Protocol,
    protocol_of,
)
from harness.language.model.values import DEFAULT_ARGUMENT
from harness.planning.builder import PlanBuilder
from harness.planning.expectations import override
from harness.planning.made import Handed, Made, Taken, is_given, kind_of
from harness.planning.planned import Answer, ExpectedField, NotApplicable, Sizes

#: Milliseconds for a look at something, beside what it waits.
_LOOK_MS = 10_000
_MEMORY = {"nonpaged": "NORMAL", "paged": "PAGED", "readonly": "READONLY"}


class ArgumentPlanner(PlanBuilder):
    """Plans what arguments point at."""

    def __init__(self, scenario: Scenario, target: Target, sizes: Sizes) -> None:
        super().__init__(scenario, target, sizes)
        self.made: dict[str, Made] = {}
        self._all_made: list[Made] = []
        self._unasked: dict[str, Made] = {}
        self._vanishing = {step.what for step in scenario.steps if isinstance(step, Vanish)}

    # ---- what a handshake carries -------------------------------------------------------------

    def hand(self, step: Handshake, item: OpenObject, guid: uuid.UUID) -> Handed:
        """What the arguments of a handshake with this protocol are; makes what is missing.

        Raises:
            NotApplicable: the scenario's arguments are none that a callback of the target could be given.
        """
        found = self.target.protocol(guid)
        name, protocol = found if found is not None else ("", protocol_of(guid))
        if step.input is not None:
            self.refuse_numbers("input", guid)
        self._refuse_expected(step, name, protocol)
        named = {self.made[word].index: self.made[word] for word in step.hand}
        numbers: list[int] = [0, 0]
        made: list[Made | None] = [None, None]
        for index, claim in enumerate(protocol.arguments):
            said: int | str = step.argument2 if index else step.argument1
            place = ("protocols", name, f"argument{index + 1}")
            if self.scenario.arguments == "marks" and not isinstance(claim, Number):
                said = DEFAULT_ARGUMENT
            if index in named:
                made[index] = self._named(named[index], claim, place, found is not None)
            elif isinstance(claim, Number) or (isinstance(claim, Null) and said in (0, DEFAULT_ARGUMENT)):
                value = claim.value if isinstance(claim, Number) else 0
                numbers[index] = value if isinstance(said, str) else said
            elif said != DEFAULT_ARGUMENT or isinstance(claim, Null):
                raise self._unfit(f"{place[-1]} = {said}", claim, place)
            elif step.input is None:
                made[index] = self._make_unasked(claim, place)
        handed = Handed(
            (numbers[0], numbers[1]),
            (made[0], made[1]),
            counted=made[0] is None and isinstance(protocol.arguments[0], Number),
        )
        self._note(handed, step, item)
        return handed

    def _note(self, handed: Handed, step: Handshake, item: OpenObject) -> None:
        if step.route.side is Side.USER and handed.things:
            thing = handed.things[0]
            raise NotApplicable(
                f"a caller in user mode has no pointer to give for {thing.place[-1]}, which a callback of"
                f" target {self.target.name} follows ({thing.key})"
            )
        for thing in handed.things:
            thing.times += step.threads * step.repeat
            thing.in_flight += step.threads
            if not any(pin is item for pin in thing.handed):
                thing.handed.append(item)

    def refuse_numbers(self, key: str, guid: uuid.UUID) -> None:
        """For what hands over plain numbers, said by the scenario's `key`.

        Raises:
            NotApplicable: a callback would follow one of them.
        """
        found = self.target.protocol(guid)
        if found is not None and found[1].followed is not None:
            number = found[1].followed
            claim = found[1].arguments[number - 1]
            raise self._unfit(key, claim, ("protocols", found[0], f"argument{number}"))

    def _refuse_expected(self, step: Handshake, name: str, protocol: Protocol) -> None:
        """Numbers that the scenario expects where the answer has none."""
        if not isinstance(step.expect, RequestExpect):
            return
        for index, answer in enumerate(protocol.answers, 1):
            if getattr(step.expect, f"argument{index}") is not None and not isinstance(answer, Number):
                raise NotApplicable(
                    f"the scenario expects a number as argument{index} of the answer, and target"
                    f" {self.target.name} answers {kind_of(answer)} there (protocols.{name}.answer{index})"
                )

    def _named(self, thing: Made, claim: AnyArgument, place: tuple[str, ...], known: bool) -> Made:
        if isinstance(thing.claim, AnswerPointer | AnswerInterface) or thing.vanished:
            what = "its memory is gone by then" if thing.vanished else "it is the driver's own"
            raise UsageError(f"{thing.name!r} cannot be handed over: {what}", f"scenario {self.scenario.id}")
        if known and not isinstance(claim, type(thing.claim)):
            raise self._unfit(f"{place[-1]}, handing over {thing.name!r}", claim, place)
        return thing

    def _unfit(self, said: str, claim: AnyArgument, place: tuple[str, ...]) -> NotApplicable:
        return NotApplicable(
            f"target {self.target.name} takes {kind_of(claim)} as {place[-1]} of protocol {place[1]}"
            f" ({'.'.join(place)}), and the scenario has {said}"
        )

    # ---- what comes back ----------------------------------------------------------------------

    def takers(self, step: Handshake, item: OpenObject, guid: uuid.UUID) -> Taken:
        """Places for what the answer of one request brings: one for each argument that is no number."""
        found = self.target.protocol(guid)
        result: list[Made | None] = [None, None]
        if found is not None and step.route.side is Side.KERNEL:
            for index, answer in enumerate(found[1].answers):
                if not isinstance(answer, AnswerPointer | AnswerInterface):
                    continue
                name = step.take if not any(result) else None
                thing = self._new(answer, ("protocols", found[0], f"answer{index + 1}"), name)
                thing.owner, thing.mine = item, int(is_given(answer))
                result[index] = thing
                with self.as_setup():
                    self._add_make(thing)
        if step.take is not None and not any(result):
            called = f"protocol {found[0]}" if found is not None else "that protocol"
            raise NotApplicable(
                f"target {self.target.name} answers no pointer for {called} that could be taken"
            )
        return result[0], result[1]

    def answered(self, guid: uuid.UUID) -> tuple[ExpectedField, ...]:
        """What the target file says of an answer that accepts, where it has no pointers."""
        found = self.target.protocol(guid)
        return tuple(
            ExpectedField(f"argument{index}", (0,), Rule.ARGUMENTS)
            for index, answer in enumerate(found[1].answers if found is not None else (), 1)
            if isinstance(answer, Null)
        )

    def settle(self, handed: Handed, taken: Taken, repeat: int, accepted: bool) -> None:
        """What is due once a request is answered: of what came back, and of what was lent for the call."""
        with self.as_setup():
            for thing in (thing for thing in taken if thing is not None):
                self._add_look(thing)
                if thing.name is None and thing.mine:
                    self._add_call(thing, "DEREFERENCE", thing.mine)
                    thing.mine = 0
            for thing in handed.things:
                thing.in_flight -= 1
                thing.accepted += repeat if accepted else 0
                if thing.lent_for_the_call and thing.name is None and not thing.in_flight:
                    self._add_look(thing)

    def argument_members(self, handed: Handed, taken: Taken) -> tuple[dict[str, int], tuple[str, ...]]:
        """Members of a REQUEST step, and the flags that it needs."""
        members: dict[str, int] = {}
        flags: list[str] = []
        nothing = self.encoder.constant("NO_SLOT")
        for names, things, flag in (
            (("slot2", "slot3"), handed.made, "STEP_ARGUMENTS"),
            (("value", "value2"), taken, "STEP_TAKE"),
        ):
            if any(things):
                flags.append(flag)
                for name, thing in zip(names, things, strict=True):
                    members[name] = thing.number if thing is not None else nothing
        return members, tuple(flags)

    # ---- the scenario's own steps -----------------------------------------------------------------

    def make(self, step: Make) -> None:
        """A block or interface by a name."""
        pin = self.names.pin(step.pin)
        guid = self.names.protocol(step.protocol, pin)
        found = self.target.protocol(guid)
        number = step.argument or (found[1].followed if found is not None else None)
        if found is None or number is None:
            raise NotApplicable(
                f"no callback of target {self.target.name} follows a pointer of {step.protocol}"
            )
        claim = found[1].arguments[number - 1]
        place = ("protocols", found[0], f"argument{number}")
        if not isinstance(claim, Pointer | Interface):
            raise self._unfit(f"a make step for argument = {number}", claim, place)
        if step.memory == "readonly" and isinstance(claim, Pointer) and claim.writes:
            raise NotApplicable(f"the driver may write into it ({'.'.join((*place, 'writes'))})")
        if step.memory is not None:
            claim = claim.model_copy(update={"memory": step.memory})
        if step.name in self._vanishing and not (isinstance(claim, Pointer) and claim.memory == "nonpaged"):
            raise NotApplicable(f"{step.name!r} is no block of non-paged memory that could vanish")
        self._add_make(self._new(claim, place, step.name))

    def inspect(self, step: Inspect) -> None:
        """A look at something."""
        thing = self.made[step.what]
        expected = () if step.expect == "record" else thing.due(self.sizes.kernel)
        if isinstance(step.expect, MadeExpect):
            expected = override(expected, self.expectations.of(step.expect, None))
        self._add_look(thing, expected, step.within_ms)

    def reference(self, step: Reference | Dereference) -> None:
        """A call of a driver's interface."""
        thing = self.made[step.what]
        back = isinstance(step, Dereference)
        if not isinstance(thing.claim, AnswerInterface) or (back and not thing.mine):
            what = "the client holds no reference to it" if back else "it is no interface of the driver's"
            raise UsageError(f"{step.do} of {step.what!r}: {what}", f"scenario {self.scenario.id}")
        self._add_call(thing, step.do.upper(), 1)
        thing.mine += -1 if back else 1

    def vanish(self, step: Vanish) -> None:
        """A block's memory goes."""
        thing = self.made[step.what]
        if not thing.is_back:
            raise NotApplicable(f"the driver may still use {thing.called} then ({thing.key}.until)")
        self.add(f"take the memory of {thing.called} away", "VANISH", slot=thing.number, timeout_ms=_LOOK_MS)
        thing.vanished = True

    # ---- closing ------------------------------------------------------------------------------------

    def before_close(self, item: OpenObject) -> None:
        """Of a pin's handle: what came from it is good until then, unless the target file says more.

        Raises:
            NotApplicable: the scenario would keep for longer what it must not.
        """
        for thing in self._all_made:
            if thing.owner is item and thing.mine and getattr(thing.claim, "until", None) == "close":
                raise NotApplicable(
                    f"the scenario keeps {thing.called} for longer than target {self.target.name} lets it"
                    f" ({thing.key}.until)"
                )

    def after_close(self, item: OpenObject) -> None:
        """A pin's handle is closed for good; with the last one, what it was handed must come back."""
        pin = item.origin or item
        handles = (other for other in self.objects.values() if other is pin or other.origin is pin)
        if any(True for _ in handles):
            return
        for thing in self._all_made:
            thing.handed = [other for other in thing.handed if other is not pin]
            thing.closed = thing.closed or thing.owner is pin

    def device_changed(self) -> None:
        """The device was restarted, disabled or removed."""
        for thing in self._all_made:
            thing.device_gone = True

    @property
    def made_so_far(self) -> int:
        """Blocks and interfaces of the client; all of them stay until the scenario's end."""
        return len(self._all_made)

    def settle_all(self) -> None:
        """At the end: what was taken is given back, the pins are closed, and nothing may be held any more."""
        lent = [thing for thing in self._all_made if thing.times]
        for thing in self._all_made:
            if thing.mine:
                self._add_call(thing, "DEREFERENCE", thing.mine)
                thing.mine = 0
        pins = [pin for thing in lent for pin in thing.handed]
        for name, item in list(self.objects.items()):
            if any(pin is item or pin is item.origin for pin in pins):
                self.add(f"close {name} to see what it gives back", "CLOSE", side=item.side, slot=item.slot)
                del self.objects[name]
                self.after_close(item)
        for thing in lent:
            if not thing.vanished:
                self._add_look(thing)

    # ---- adding -------------------------------------------------------------------------------------

    def _new(
        self,
        claim: Pointer | Interface | AnswerPointer | AnswerInterface,
        place: tuple[str, ...],
        name: str | None,
    ) -> Made:
        limit = self.encoder.constant("MAX_MADE")
        if len(self._all_made) >= limit:
            raise UsageError(
                f"more than {limit} blocks and interfaces in one scenario", f"scenario {self.scenario.id}"
            )
        thing = Made(len(self._all_made), claim, place, name)
        thing.check_kernel(self.sizes.kernel)
        self._all_made.append(thing)
        if name is not None:
            self.made[name] = thing
        return thing

    def _make_unasked(self, claim: Pointer | Interface, place: tuple[str, ...]) -> Made:
        key = ".".join(place)
        if key not in self._unasked:
            self._unasked[key] = self._new(claim, place, None)
            with self.as_setup():
                self._add_make(self._unasked[key])
        return self._unasked[key]

    def _add_make(self, thing: Made) -> None:
        claim = thing.claim
        memory = _MEMORY[claim.memory] if isinstance(claim, Pointer | Interface) else "NORMAL"
        if thing.name in self._vanishing:
            memory = "PAGE_END"
        match claim:
            case Pointer():
                kind, data = "BLOCK", claim.content
            case Interface():
                given = claim.reference == "given"
                kind, data = "INTERFACE", self.encoder.make(claim.version, claim.returns, given=given)
            case AnswerPointer():
                kind, data = "TAKEN_POINTER", self.encoder.make(length=claim.readable)
            case AnswerInterface():
                kind = "TAKEN_INTERFACE"
                data = self.encoder.make(
                    returns=(0,) * claim.functions,
                    given=claim.reference == "given",
                    elsewhere=claim.elsewhere,
                )
        self.add(
            f"make {thing.called}" if thing.owner is None else f"make room for {thing.called}",
            "MAKE",
            data=data,
            slot=thing.number,
            value=self.encoder.constant(f"MADE_{kind}"),
            in_kind=self.encoder.constant(f"BUFFER_{memory}"),
            timeout_ms=_LOOK_MS,
        )

    def _add_look(
        self, thing: Made, expected: tuple[ExpectedField, ...] | None = None, within_ms: int | None = None
    ) -> None:
        patience = within_ms if within_ms is not None else thing.patience if thing.is_back else 0
        self.add(
            f"look at {thing.called}",
            "INSPECT",
            answer=Answer.MADE,
            expected_fields=thing.due(self.sizes.kernel) if expected is None else expected,
            doubtful=self.target.places(thing.place),
            slot=thing.number,
            timeout_ms=patience + _LOOK_MS,
            members={"repeat": patience},
        )

    def _add_call(self, thing: Made, which: str, times: int) -> None:
        self.add(
            f"{which.lower()} {thing.called}" + (f" {times} times" if times > 1 else ""),
            "REFERENCE",
            answer=Answer.STATUS,
            expected_fields=(ExpectedField("answer", ("success",), Rule.ARGUMENTS),),
            doubtful=self.target.places(thing.place),
            slot=thing.number,
            value=int(which == "DEREFERENCE"),
            value2=times,
        )
