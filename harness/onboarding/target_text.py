# SPDX-License-Identifier: Apache-2.0
"""A target file as text: what was found, as keys, what is still to be said, as comments."""

from __future__ import annotations

import textwrap
import uuid
from collections.abc import Iterator, Sequence

from harness.agent.pin_facts import PinFacts
from harness.language.model.format import STANDARD_INTERFACE, STANDARD_MEDIUM, Format
from harness.language.toml_literal import comment, literal
from harness.onboarding.discovery import why_not_connectable
from harness.onboarding.draft import Draft, DraftPin
from harness.onboarding.known_guids import shown
from harness.onboarding.toml_text import format_lines, identifier

#: Where the user has the last word; `to_fill_in` finds the lines again.
FILL_IN = "fill in: "
_WIDTH = 110
_MAX_RANGES = 8
#: What a pin need not have.
_OPTIONAL = ("category: ", "name: ")
_INDETERMINATE = 0xFFFFFFFF  # KSINSTANCE_INDETERMINATE of ks.h


def text_of(draft: Draft) -> str:
    """The file; what stands in it is read as the very target of the draft."""
    blocks = [_head(draft), _format(draft), _protocols(draft), *(_pin(draft, pin) for pin in draft.pins)]
    blocks.append([line for facts in _left_out(draft) for line in _left_out_text(facts)])
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def to_fill_in(text: str) -> list[tuple[int, str]]:
    """The lines that want something of the user: their numbers from 1, and what it is."""
    return [
        (number, line.partition(FILL_IN)[2])
        for number, line in enumerate(text.splitlines(), start=1)
        if FILL_IN in line
    ]


def _head(draft: Draft) -> list[str]:
    device = draft.device
    lines = [
        *_wrapped(
            f"Written by `kshs target init` from {device.inf.name} and from what the driver said of itself in"
            ' a guest. docs/scenarios.md, "Target files", has every key.'
        ),
        "schema = 1",
        f"name = {literal(draft.name)}",
    ]
    if device.title is not None:
        lines.append(f"title = {literal(device.title)}")
    lines += [
        f"package = {literal(draft.package)}",
        f"hardware_id = {literal(device.hardware_id)}",
        f"service = {literal(device.service)}",
    ]
    if draft.root_enumerated is not None:
        lines.append(f"root_enumerated = {literal(draft.root_enumerated)}")
    lines.append(f"category = {_guid(draft.category)}")
    if draft.instance:
        lines.append(f"instance = {draft.instance}  {comment('other filters stand before it there')}")
    others = [shown(one) for one in (draft.found.categories if draft.found else ()) if one != draft.category]
    if others:
        lines += _wrapped(f"The filter is found in {', '.join(others)}, too.")
    if draft.imports:
        lines += _wrapped("On Wine these are missing, and a call of one ends the process of the drivers.")
        lines.append(f"imports.allow = {literal(list(draft.imports))}")
    return lines


def _guid(value: uuid.UUID) -> str:
    name = shown(value)
    return literal(value) + ("" if name == str(value).upper() else f"  {comment(name)}")


def _shared(draft: Draft) -> Format | None:
    """The format of all pins, where there are several and they have one and the same."""
    formats = {pin.format for pin in draft.pins}
    return next(iter(formats)) if len(draft.pins) > 1 and len(formats) == 1 else None


def _format(draft: Draft) -> list[str]:
    shared = _shared(draft)
    if shared is None:
        return []
    return ["[format]", comment("Of all pins."), *format_lines(shared, "")]


def _protocols(draft: Draft) -> list[str]:
    lines = ["[protocols]"]
    if not draft.device.has_callbacks:
        return lines + _wrapped(
            "None: no driver of the package names KsPinRegisterHandshakeCallback, and so no pin can have a"
            " handshake callback."
        )
    plain = [f"{name} = {literal(guid)}" for name, guid in draft.protocols.items()]
    if draft.text:
        given = draft.text.splitlines()
        if lines[0] in given:
            at = given.index(lines[0]) + 1
            return [*given[:at], *plain, *given[at:]]
        return [*([*lines, *plain, ""] if plain else []), *given]
    lines += plain
    if not draft.protocols:
        lines += _wrapped(
            "No driver can be asked which protocols its callbacks accept. Name each here, and again in"
            " `accepts` of the pins that accept it: what a pin does not list it must decline (rule H9)."
        )
        lines.append(comment(f'{FILL_IN}my_protocol = "00000000-0000-0000-0000-000000000000"'))
    return lines + _wrapped(
        "Their arguments are numbers to kshs, of any value. A callback that follows one as a pointer needs"
        ' a table instead, [protocols.NAME], which says what it points to (docs/scenarios.md, "Arguments that'
        ' are pointers").'
    )


def _pin(draft: Draft, pin: DraftPin) -> list[str]:
    facts = pin.facts
    lines = ["[[pin]]", *_wrapped(_described(facts)), *_ranges(facts)]
    for line in facts.unsaid:
        if not line.startswith(_OPTIONAL):
            lines += _wrapped(f"Not said: {line}")
    if pin.untried:
        lines += _wrapped("It opens connected to another pin alone, and so its format was not tried.")
    if pin.unopened is not None:
        lines += _wrapped(f"It did not open: {pin.unopened}")
        lines.append(comment(f"{FILL_IN}format, and interface or medium, as the driver wants them"))
    lines += [f"id = {facts.id}", f"name = {literal(pin.name)}", f"flow = {literal(facts.flow)}"]
    lines += _callback(draft, pin)
    lines.append(f"max_instances = {pin.instances}")
    if pin.interface != STANDARD_INTERFACE:
        lines.append(f"interface = {identifier(pin.interface)}")
    if pin.medium != STANDARD_MEDIUM:
        lines.append(f"medium = {identifier(pin.medium)}")
    if pin.format is not None and _shared(draft) is None:
        lines += format_lines(pin.format, "format.")
    return lines


def _callback(draft: Draft, pin: DraftPin) -> list[str]:
    if not pin.callback:
        return ["callback = false"]
    if pin.accepts:
        return [f"accepts = {literal(list(pin.accepts))}"]
    if draft.protocols or draft.entries:
        return ["accepts = []"]
    return [
        f"accepts = []  {comment(f'{FILL_IN}protocols; or callback = false where the pin registers none')}"
    ]


def _described(facts: PinFacts) -> str:
    possible = {None: "an unknown number of", _INDETERMINATE: "any number of"}.get(
        facts.possible, f"at most {facts.possible}"
    )
    parts = [f"Data {facts.flow}, communication {facts.communication}, {possible} instances"]
    if facts.category is not None:
        parts.append(f"category {shown(facts.category)}")
    if facts.name is not None:
        parts.append(f"called {facts.name!r}")
    return "; ".join(parts) + "."


def _ranges(facts: PinFacts) -> Iterator[str]:
    made = [*facts.intersections, *[None] * len(facts.ranges)]
    for item, result in list(zip(facts.ranges, made, strict=False))[:_MAX_RANGES]:
        kinds = " / ".join(shown(guid) for guid in (item.major, item.sub, item.specifier))
        gives = "no format of it" if result is None else f"a format of {64 + len(result.block)} bytes of it"
        yield from _wrapped(f"Range {kinds}, {64 + len(item.block)} bytes; the filter makes {gives}.")
    if len(facts.ranges) > _MAX_RANGES:
        yield comment(f"... and {len(facts.ranges) - _MAX_RANGES} ranges more.")


def _left_out(draft: Draft) -> Sequence[PinFacts]:
    pins = draft.found.pins if draft.found is not None else ()
    return [facts for facts in pins if why_not_connectable(facts) is not None]


def _left_out_text(facts: PinFacts) -> list[str]:
    return _wrapped(f"Pin {facts.id} is left out: {why_not_connectable(facts)}. {_described(facts)}")


def _wrapped(text: str) -> list[str]:
    lines = textwrap.wrap(comment(text)[2:], _WIDTH, break_on_hyphens=False)
    return [f"# {line}" for line in lines]
