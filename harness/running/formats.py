# SPDX-License-Identifier: Apache-2.0
"""The format of every pin before scenarios are planned: the target file's, or what the pin accepts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import ntstatus
from harness.agent.encode import Encoder, pin_connect
from harness.agent.pin_facts import FilterGoneError, PinFacts, ask, survived
from harness.language.model.format import Format
from harness.running.pin_fit import mismatches, offer_text

if TYPE_CHECKING:
    from harness.agent.session import AgentSession
    from harness.language.model import Pin, Target

_NO_MATCH = 0xC0000272
#: Formats that are tried on one pin.
_MAX_TRIES = 16
_TIMEOUT_MS = 15_000


def resolve(target: Target, session: AgentSession, encoder: Encoder) -> Target:
    """The target with a format for every pin that opens with one, and with the reasons why others do not.

    Asked are the pins whose format the file leaves to them; tried are those too whose format it says, unless
    the target has the sample's property set and so is known to the harness.

    Raises:
        AgentError, StepHungError: the guest or its driver was lost on the way.
    """
    asked = [pin for pin in target.pin if target.asks(pin)]
    doubtful = [] if target.behaviour else [pin for pin in target.pin if not target.asks(pin)]
    if not asked and not doubtful:
        return target
    try:
        facts = {item.id: item for item in ask(session, encoder, target.category, index=target.instance)}
    except FilterGoneError as error:
        # What scenarios say of a filter that is not there is theirs to say; a format cannot be had.
        return target.opened_with({}, {pin.name: str(error) for pin in asked})
    found: dict[int, Format] = {}
    unopened: dict[str, str] = {}
    for pin in asked:
        chosen = _try(target, pin, facts.get(pin.id), session, encoder)
        if isinstance(chosen, Format):
            found[pin.id] = chosen
        else:
            unopened[pin.name] = chosen
    for pin in doubtful:
        why = _refused(target, pin, facts.get(pin.id), session, encoder)
        if why is not None:
            unopened[pin.name] = why
    return target.opened_with(found, unopened)


def _refused(
    target: Target, pin: Pin, facts: PinFacts | None, session: AgentSession, encoder: Encoder
) -> str | None:
    """Why a pin does not open with what the file says, where that is not the driver's failure; else None.

    Refused for its format (STATUS_NO_MATCH), or with something in the request that the pin does not offer:
    the file is wrong.  Any other refusal is left to the scenarios, as is a pin that is not described.
    """
    if facts is None or facts.communication == "source":
        return None
    data_format = target.format_of(pin)
    status = _open(target, pin, data_format, session, encoder)
    if status == 0:
        return None
    wrong = mismatches(facts, data_format, target.interface_of(pin), target.medium_of(pin))
    if status != _NO_MATCH and not wrong:
        return None
    asked = (
        f"{64 + len(data_format.block)} bytes {data_format.major}/{data_format.sub}/{data_format.specifier}"
    )
    told = explain(target, pin, facts, data_format)
    return "; ".join([f"{ntstatus.name(status)} for a format of {asked}", *told])


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
    status = _opened(target, pin, data_format, session, encoder)
    release = encoder.step("RELEASE_ALL", side=encoder.constant("SIDE_KERNEL"))
    session.run(release, what="close what was tried")
    return status


def _opened(target: Target, pin: Pin, data_format: Format, session: AgentSession, encoder: Encoder) -> int:
    side = encoder.constant("SIDE_KERNEL")
    size = session.hello.pointer_size
    connect = pin_connect(pin.id, data_format, size, target.interface_of(pin), target.medium_of(pin))
    opened = session.run(
        encoder.step(
            "OPEN_FILTER",
            guid=target.category,
            value=target.instance,
            side=side,
            slot=0,
            timeout_ms=_TIMEOUT_MS,
        ),
        what="open the filter",
        timeout=_TIMEOUT_MS / 1000,
    )
    survived(opened, encoder, "open the filter")
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
    survived(record, encoder, f"open pin {pin.name}")
    return record.returned if record.outcome == encoder.constant("OUTCOME_DONE") else record.detail
