# SPDX-License-Identifier: Apache-2.0
"""The format of every pin before scenarios are planned: the target file's, or what the pin accepts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness import ntstatus
from harness.agent.encode import Encoder, pin_connect
from harness.agent.pin_facts import FilterGoneError, PinFacts, ask
from harness.language.model.format import Format
from harness.running.pin_fit import mismatches, offer_text

if TYPE_CHECKING:
    from harness.agent.session import AgentSession
    from harness.language.model import Pin, Target

#: Formats that are tried on one pin.
_MAX_TRIES = 16
_TIMEOUT_MS = 15_000


@dataclass(frozen=True, slots=True)
class Formats:
    """What came of asking.

    `target` has a format for every pin that could be opened with one; `unopened` says, by the pin's name, why
    another cannot be; `facts` is what the filter said, by the pin's id.
    """

    target: Target
    unopened: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[int, PinFacts] = field(default_factory=dict)


def resolve(target: Target, session: AgentSession, encoder: Encoder) -> Formats:
    """Finds a format for every pin whose file leaves it to the pin.

    Raises:
        AgentError, StepHungError: the guest or its driver was lost on the way.
    """
    open_questions = [pin for pin in target.pin if target.asks(pin)]
    if not open_questions:
        return Formats(target)
    try:
        facts = {item.id: item for item in ask(session, encoder, target.category)}
    except FilterGoneError as error:
        return Formats(target, {pin.name: str(error) for pin in open_questions})
    found: dict[int, Format] = {}
    unopened: dict[str, str] = {}
    for pin in open_questions:
        chosen = _try(target, pin, facts.get(pin.id), session, encoder)
        if isinstance(chosen, Format):
            found[pin.id] = chosen
        else:
            unopened[pin.name] = chosen
    pins = [
        pin.model_copy(update={"format": found[pin.id]}) if pin.id in found else pin for pin in target.pin
    ]
    return Formats(target.model_copy(update={"pin": pins}), unopened, facts)


def explain(
    target: Target, pin: Pin, facts: PinFacts | None, data_format: Format, *, connected: bool = False
) -> list[str]:
    """Lines that say why a pin may not open: the fields that do not fit, then what the pin offers."""
    if facts is None:
        return [f"the filter has no pin {pin.id}"]
    interface, medium = target.interface_of(pin), target.medium_of(pin)
    return [
        *mismatches(facts, data_format, interface, medium, connected=connected),
        *(f"the pin: {line}" for line in offer_text(facts)),
    ]


def _try(
    target: Target, pin: Pin, facts: PinFacts | None, session: AgentSession, encoder: Encoder
) -> Format | str:
    """The first format that the pin opens with, or why none does."""
    if facts is None:
        return f"the filter has no pin {pin.id}"
    candidates = facts.formats[:_MAX_TRIES]
    if not candidates:
        return "; ".join(["the pin offers no format that could be tried", *offer_text(facts)])
    if facts.communication == "source":
        return candidates[0]  # it cannot be opened unless it is connected to another pin
    statuses = []
    for candidate in candidates:
        status = _open(target, pin, candidate, session, encoder)
        if status == 0:
            return candidate
        statuses.append(f"{64 + len(candidate.block)} bytes {candidate.sub}: {ntstatus.name(status)}")
    told = explain(target, pin, facts, candidates[0])
    return "; ".join([f"no format that the pin offers opens it ({', '.join(statuses)})", *told])


def _open(target: Target, pin: Pin, data_format: Format, session: AgentSession, encoder: Encoder) -> int:
    """The status of an open, after which everything is closed again."""
    side = encoder.constant("SIDE_KERNEL")
    size = session.hello.pointer_size
    connect = pin_connect(pin.id, data_format, size, target.interface_of(pin), target.medium_of(pin))
    try:
        opened = session.run(
            encoder.step("OPEN_FILTER", guid=target.category, side=side, slot=0, timeout_ms=_TIMEOUT_MS),
            what="open the filter",
            timeout=_TIMEOUT_MS / 1000,
        )
        if opened.outcome != encoder.constant("OUTCOME_DONE") or opened.returned != 0:
            return opened.returned or opened.detail
        record = session.run(
            encoder.step(
                "OPEN_PIN",
                data=connect,
                side=side,
                slot=1,
                slot2=0,
                flags=encoder.constant("STEP_FALLBACK"),
                timeout_ms=_TIMEOUT_MS,
            ),
            what=f"try to open pin {pin.name}",
            timeout=_TIMEOUT_MS / 1000,
        )
        return record.returned if record.outcome == encoder.constant("OUTCOME_DONE") else record.detail
    finally:
        session.run(encoder.step("RELEASE_ALL", side=side), what="close what was tried")
