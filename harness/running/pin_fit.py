# SPDX-License-Identifier: Apache-2.0
"""Why a pin does not open as it was asked to: what was asked against what its filter says of it.

A pin that refuses a format, interface or medium that it does not offer is no failure of its driver: the
target file is wrong, and the text says in which field.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence

from harness.agent.pin_facts import PinFacts
from harness.language.format_blocks import form_of, read
from harness.language.model.format import Format, Identifier

#: Wildcards of ks.h and ksmedia.h: any major format or subformat, any specifier.
_ANY = uuid.UUID(int=0)
_ANY_SPECIFIER = uuid.UUID("0f6417d6-c318-11d0-a43f-00a0c9223196")
_GUID_FIELDS = ("major", "sub", "specifier")


def mismatches(
    facts: PinFacts, asked: Format, interface: Identifier, medium: Identifier, *, connected: bool = False
) -> list[str]:
    """Every part of what was asked that the pin does not offer, as one text each; empty where all fits."""
    return list(_mismatches(facts, asked, interface, medium, connected))


def _mismatches(
    facts: PinFacts, asked: Format, interface: Identifier, medium: Identifier, connected: bool
) -> Iterator[str]:
    for what, wanted, offered in (
        ("interface", interface, facts.interfaces),
        ("medium", medium, facts.mediums),
    ):
        if offered and wanted not in offered:
            there = ", ".join(map(identifier_text, offered))
            yield f"{what}: asked for {identifier_text(wanted)}, the pin has {there}"
    allowed = {"sink", "both"} if not connected else {"source", "both"}
    if facts.communication is not None and facts.communication not in allowed:
        role = "connected to another pin" if connected else "opened by itself"
        yield f"communication: the pin is {facts.communication}, it cannot be {role}"
    if facts.possible is not None and facts.current is not None and facts.current >= facts.possible:
        yield f"instances: {facts.current} of {facts.possible} are open"
    yield from _format_mismatch(facts, asked)


def _format_mismatch(facts: PinFacts, asked: Format) -> Iterator[str]:
    if not facts.ranges:
        return
    best = max(facts.ranges, key=lambda item: _matching(item, asked))
    field = next((name for name in _GUID_FIELDS if not _fits(name, best, asked)), None)
    if field is not None:
        offered = ", ".join(dict.fromkeys(str(getattr(item, field)) for item in facts.ranges))
        yield f"format.{field}: asked for {getattr(asked, field)}, the pin's ranges have {offered}"
        return
    yield from _block_mismatch(facts, asked)


def _block_mismatch(facts: PinFacts, asked: Format) -> Iterator[str]:
    """Fields of the block that differ from what the filter itself makes of the range that fits best."""
    made = [
        item
        for item in facts.intersections
        if item is not None and _matching(item, asked) == len(_GUID_FIELDS)
    ]
    if not made or any(item.pack() == asked.pack() for item in made):
        return
    model = made[0]
    if len(model.block) != len(asked.block):
        yield f"format.block: {len(asked.block)} bytes were sent, the filter itself makes {len(model.block)}"
    form = form_of(model.specifier, model.block)
    ours, theirs = (read(form, asked.block), read(form, model.block)) if form is not None else (None, None)
    if ours is None or theirs is None:
        return
    differing = [name for name, value in theirs.items() if ours.get(name) != value]
    for name in differing:
        yield f"format.{form}.{name}: asked for {ours.get(name)}, the filter itself makes {theirs[name]}"


def _matching(item: Format, asked: Format) -> int:
    """How many of the three GUIDs fit, in the order in which they are looked at."""
    for number, name in enumerate(_GUID_FIELDS):
        if not _fits(name, item, asked):
            return number
    return len(_GUID_FIELDS)


def _fits(name: str, item: Format, asked: Format) -> bool:
    offered = getattr(item, name)
    wildcard = _ANY_SPECIFIER if name == "specifier" else _ANY
    return offered in (wildcard, getattr(asked, name))


def identifier_text(item: Identifier) -> str:
    """A KSIDENTIFIER for people."""
    flags = f" flags {item.flags}" if item.flags else ""
    return f"{item.set} id {item.id}{flags}"


def offer_text(facts: PinFacts) -> list[str]:
    """What a pin offers, one line each: its ranges with their length, flow and communication."""
    lines = [f"flow {facts.flow}, communication {facts.communication}, {facts.possible} instances"]
    for item, made in zip(facts.ranges, _padded(facts.intersections, len(facts.ranges)), strict=False):
        how = "no format" if made is None else f"a format of {64 + len(made.block)} bytes"
        length = 64 + len(item.block)
        lines.append(f"range {item.major}/{item.sub}/{item.specifier}, {length} bytes; gives {how}")
    return lines


def _padded(items: Sequence[Format | None], length: int) -> list[Format | None]:
    return [*items, *[None] * (length - len(items))]
