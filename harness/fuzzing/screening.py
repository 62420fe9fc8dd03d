# SPDX-License-Identifier: Apache-2.0
"""Bulks: requests made by patching what was planned once, and answers that the judge has passed before.

Planning and judging a step takes a hundred times as long as the driver does.  So each kind of request is
planned once, by the planner, and its bytes are patched for all that differ in arguments, protocol or lengths
alone.  An answer of which the judge has already passed one of the same kind, to the same kind of request, is
right; every other one is judged as in a scenario.  Nothing passes here that the judge would not pass.
"""

from __future__ import annotations

import itertools
import struct
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from drivers.abi import load
from harness.agent.frames import Record
from harness.agent.structures import codec
from harness.contract.callbacks import OpenObject, PinBehaviours
from harness.contract.handshake_data import HandshakeData, handshake_size
from harness.contract.prediction import ObjectKind
from harness.errors import UsageError
from harness.fuzzing.composing import Composer
from harness.fuzzing.draft import Draft, Step, dumped
from harness.fuzzing.standing import Standing
from harness.language.model import Side
from harness.language.model.target import UNKNOWN_PROTOCOL
from harness.language.model.values import length
from harness.planning.plan import plan
from harness.planning.planned import Answer, NotApplicable, PlannedStep, Sizes
from harness.results.record import StepResult
from harness.running.step_result import judge_step
from harness.verdict import Verdict

#: Keys of a step that say how it is sent, and not what it holds.
_SHAPE = ("on", "route", "mode", "in_buffer", "out_buffer", "repeat")
_VARIED = ("vary", "in_stride", "out_stride")
#: What may be sent to standing pins: nothing that goes on while something else is done.
_KINDS = ("handshake", "state", "pin_handshake")
#: Kinds of answers, and steps that were planned as they are, that are kept.
_KNOWN = 20_000

#: Offset of a byte that there is not (kshs_record).
_NOWHERE = 0xFFFFFFFF

#: Why a step cannot be sent so.
Unfit = (NotApplicable, UsageError)


@dataclass(frozen=True, slots=True)
class Shot:
    """One step of a bulk: its bytes, and how its record is judged.

    `kind` and the record's fields together say whether the judge has seen its like; `answer` is the output
    that is due, empty where none is; `step` is what was drawn, `planned` the plan where it is of this very
    step.
    """

    payload: bytes
    timeout: float
    kind: int
    what: str
    answer: bytes
    step: Step
    requests: int = 1
    planned: PlannedStep | None = None


@dataclass(frozen=True, slots=True)
class _Template:
    kind: int
    planned: PlannedStep


@dataclass
class Screen:
    """Makes the steps of bulks and tells answers that are right from those that must be looked at.

    Steps may be made on one thread while answers are judged on another.

    Args:
        composer: of scenarios: what it leaves out is left out here, too.
        sizes: pointer sizes of the guest.
        standing: what is open.
    """

    composer: Composer
    sizes: Sizes
    standing: Standing
    _templates: dict[tuple[Any, ...], _Template | None] = field(default_factory=dict)
    _exact: dict[str, tuple[Shot, ...]] = field(default_factory=dict)
    _passed: set[tuple[Any, ...]] = field(default_factory=set)
    _kinds: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        abi = load()
        structure = abi.cs.kshs_step
        offsets = {member.name: member.offset for member in structure.__fields__}
        self._codec = codec(structure)
        self._ops = {abi.constants[f"KSHS_OP_{name}"] for name in ("REQUEST", "PROPERTY")}
        self._entangled = sum(abi.constants[f"KSHS_STEP_{name}"] for name in ("ASYNC", "ARGUMENTS", "TAKE"))
        self._data = len(structure)
        self._at = {name: int(offsets[name]) for name in ("slot", "in_length", "out_length")}
        self._fill = abi.constants["KSHS_OUT_FILL"]
        self._size = handshake_size(self.sizes.kernel)
        self._words = "<II" if self.sizes.kernel == 4 else "<QQ"
        self._mask = (1 << 8 * self.sizes.kernel) - 1
        self._behaviours = PinBehaviours(self.composer.target)
        self._objects = {
            name: OpenObject(name, ObjectKind.PIN, Side.KERNEL, self.standing.slots[name], place.pin)
            for name, place in self.composer.places.items()
            if name in self.standing.slots and place.pin is not None
        }
        self._names = dict(self.composer.target.protocols)

    # ---- making ----------------------------------------------------------------------------------

    def shots(self, draft: Draft) -> list[Shot] | None:
        """All steps of a sequence; None where one of them is not for a bulk."""
        made: list[Shot] = []
        states: dict[str, str] = {}
        for step in draft:
            if step["do"] not in _KINDS or str(step.get("on")) not in self.standing.slots:
                return None
            if "start" in step or int(step.get("threads", 1)) > 1:
                return None
            some = self._shots(step)
            if some is None:
                return None
            made += some
            if step["do"] == "state":
                states[str(step["on"])] = str(step.get("to", "stop"))
        for on, state in states.items():
            if state != "stop":  # each sequence begins where a scenario does
                made += self._shots({"do": "state", "on": on, "to": "stop"}) or ()
        return made

    def _shots(self, step: Step) -> Sequence[Shot] | None:
        patched = self._patched(step) if step["do"] == "handshake" else None
        if patched is not None:
            return (patched,)
        key = dumped((step,))
        found = self._exact.get(key)
        if found is None:
            if len(self._exact) >= _KNOWN:
                self._exact.clear()
            found = self._exact[key] = tuple(
                Shot(
                    self._placed(planned, str(step["on"])),
                    planned.timeout,
                    next(self._kinds),
                    planned.what,
                    b"",
                    step,
                    planned.request.repeat if planned.request is not None else 1,
                    planned,
                )
                for planned in self._planned(step)
            )
        return found or None

    def _planned(self, step: Step) -> list[PlannedStep]:
        """What the planner makes of it; nothing where it takes more than one object and one answer each."""
        composed = self.composer.compose([(step,)], "fuzz.bulk", "A step of a bulk")
        if composed is None:
            return []
        try:
            made = plan(composed.scenario, self.composer.target, self.sizes)
        except Unfit:
            return []
        own = [one for one in made.steps if one.step is not None and one.step.do == step["do"]]
        return own if all(self._stands_alone(one) for one in own) else []

    def _stands_alone(self, planned: PlannedStep) -> bool:
        """Whether it needs nothing that was made or begun before it, and leaves nothing of the kind."""
        head = self._codec.unpack(planned.payload)
        return (
            planned.answer is not Answer.STARTED and head.op in self._ops and not head.flags & self._entangled
        )

    def _placed(self, planned: PlannedStep, on: str) -> bytes:
        payload = bytearray(planned.payload)
        struct.pack_into("<I", payload, self._at["slot"], self.standing.slots[on])
        return bytes(payload)

    def _patched(self, step: Step) -> Shot | None:
        """A request that differs from its template in what it holds alone; None where it has none."""
        on = str(step["on"])
        item = self._objects.get(on)
        if item is None or "control" in step or any(key in step for key in _VARIED):
            return None
        word, guid = self._protocol(str(step.get("protocol", "accepted")), item)
        lengths = [self._length(step, name) for name in ("in_length", "out_length")]
        wrong = tuple(said != self._size for said in lengths)
        key = (*(step.get(name) for name in _SHAPE), word, *wrong)
        if key not in self._templates:
            self._templates[key] = self._template(step, word, wrong)
        template = self._templates[key]
        if template is None or template.planned.request is None:
            return None
        planned = template.planned
        assert planned.request is not None
        data = planned.request.data
        data = HandshakeData(
            guid,
            int(step["argument1"]) & self._mask if step.get("argument1") else data.argument1,
            int(step["argument2"]) & self._mask if step.get("argument2") else data.argument2,
        )
        payload = bytearray(planned.payload)
        struct.pack_into("<I", payload, self._at["slot"], item.slot)
        struct.pack_into("<I", payload, self._at["in_length"], lengths[0])
        struct.pack_into("<I", payload, self._at["out_length"], lengths[1])
        payload[self._data : self._data + self._size] = data.pack(self.sizes.kernel)
        answer = b""
        if planned.callback is not None and planned.callback.output is not None and not any(wrong):
            output = self._behaviours.callback(item, data, self.sizes.kernel).output
            answer = output.pack(self.sizes.kernel) if output is not None else b""
        repeat = planned.request.repeat
        return Shot(bytes(payload), planned.timeout, template.kind, planned.what, answer, step, repeat)

    def _template(self, step: Step, word: str, wrong: tuple[bool, ...]) -> _Template | None:
        """Planned without arguments: those that a target's numbers stand for are not of this kind."""
        shape = {key: value for key, value in step.items() if key in _SHAPE or key == "do"}
        shape["protocol"] = word
        for name, is_wrong in zip(("in_length", "out_length"), wrong, strict=True):
            if is_wrong:
                shape[name] = step[name]
        planned = self._planned(shape)
        if len(planned) != 1 or planned[0].request is None:
            return None
        if len(planned[0].payload) < self._data + self._size:
            return None
        # What the sender survives may go by the lengths, and then they are no mere numbers.
        kept = planned[0].request
        if [kept.in_length != self._size, kept.out_length != self._size] != list(wrong):
            return None
        return _Template(next(self._kinds), planned[0])

    def _length(self, step: Step, name: str) -> int:
        said = step.get(name, "size")
        try:
            return length(said, self._size) & 0xFFFFFFFF
        except (ValueError, TypeError):
            return self._size

    def _protocol(self, word: str, item: OpenObject) -> tuple[str, uuid.UUID]:
        """The kind of a protocol, and its GUID: a name where the target has one, else one of nobody's."""
        assert item.pin is not None
        if word == "accepted":
            word = self.composer.target.accepted(item.pin) or "unknown"
        if word in self._names:
            return word, self._names[word]
        if word == "null":
            return word, uuid.UUID(int=0)
        if word == "unknown":
            return word, UNKNOWN_PROTOCOL
        try:
            guid = uuid.UUID(word)
        except ValueError:
            return "unknown", UNKNOWN_PROTOCOL
        if guid.int == 0:
            return "null", guid
        named = next((name for name, value in self._names.items() if value == guid), "unknown")
        return named, guid

    # ---- judging ---------------------------------------------------------------------------------

    def passes(self, shot: Shot, record: Record) -> bool:
        """Whether the judge has passed such an answer to such a request."""
        key = self._key(shot, record)
        return key is not None and key in self._passed

    def judged(self, shot: Shot, record: Record) -> StepResult:
        """What the judge says of it; once it has passed one, `passes` does its like."""
        planned = self._of(shot)
        result, _ = judge_step(0, planned, record)
        if result.verdict is Verdict.PASSED and (key := self._key(shot, record)) is not None:
            if len(self._passed) >= _KNOWN:
                self._passed.clear()
            self._passed.add(key)
        return result

    def _key(self, shot: Shot, record: Record) -> tuple[Any, ...] | None:
        """The kind of an answer; None of one that is to be judged by itself."""
        data = record.data
        untouched = not data or data.count(self._fill) == len(data)
        if untouched and (record.changed_bytes or record.changed_last != _NOWHERE):
            return None
        if not untouched:
            size = len(shot.answer)
            if not size or data[:size] != shot.answer or len(data) != size or record.changed_last >= size:
                return self._exact_key(shot, record)
        return (shot.kind, untouched, *_answered(record))

    def _exact_key(self, shot: Shot, record: Record) -> tuple[Any, ...] | None:
        """Of a step that was planned as it is, the very same bytes are the same answer."""
        if shot.planned is None or shot.step["do"] == "pin_handshake":
            return None  # the latter says how long it took
        changed = record.changed_bytes, record.changed_first, record.changed_last
        return (shot.kind, record.data, *_answered(record), *changed)

    def _of(self, shot: Shot) -> PlannedStep:
        """The plan of this very step."""
        if shot.planned is not None:
            return shot.planned
        planned = self._planned(shot.step)
        if len(planned) != 1 or planned[0].request is None:
            raise RuntimeError(f"a step is planned in another way than its kind: {shot.step}")
        return replace(planned[0], payload=shot.payload)


def _answered(record: Record) -> tuple[int, ...]:
    """What was answered, without where the output was changed."""
    return (
        record.outcome,
        record.detail,
        record.flags,
        record.returned,
        record.status,
        record.completions,
        record.information,
        record.irql_after,
        record.repeats,
    )
