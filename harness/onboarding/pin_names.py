# SPDX-License-Identifier: Apache-2.0
"""What scenarios shall call the pins that a driver describes."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from harness.agent.pin_facts import PinFacts
from harness.language.model.values import NAME_PATTERN

#: Names that scenarios give a meaning of their own: the catalogue's pins, and what stands for the filter.
CATALOGUE_PINS = ("source", "sink", "source2", "sink2")
_TAKEN = frozenset({*CATALOGUE_PINS, "filter"})
#: ``pin7`` in a scenario is the pin with the id 7.
_BY_ID = re.compile(r"pin\d+")
_MAX = 40


def name_pins(
    pins: Sequence[PinFacts], opened: Collection[int], given: Mapping[int, str] | None = None
) -> dict[int, str]:
    """A name for each pin, by its id: unique, and one that scenarios can say.

    The first pin of each direction gets the catalogue's name for it (``source`` for data that comes out,
    ``sink``), one that opened before one that did not; further pins are called as their driver calls them,
    else ``pinN``.

    Args:
        pins: as the driver describes them.
        opened: ids of those that opened.
        given: names that the user gave, by id.
    """
    names = dict(given or {})
    order = [*(pin for pin in pins if pin.id in opened), *(pin for pin in pins if pin.id not in opened)]
    for name, flow in (("source", "out"), ("sink", "in")):
        if name not in names.values():
            first = next((pin for pin in order if pin.flow == flow and pin.id not in names), None)
            if first is not None and not _has_main(pins, names, flow):
                names[first.id] = name
    for pin in pins:
        if pin.id not in names:
            names[pin.id] = _own_name(pin, names.values())
    return names


def _has_main(pins: Sequence[PinFacts], names: Mapping[int, str], flow: str) -> bool:
    """Whether the user gave the main name of a direction to another pin of it."""
    return any(names.get(pin.id) in ("source", "sink") for pin in pins if pin.flow == flow)


def _own_name(pin: PinFacts, taken: Collection[str]) -> str:
    text = re.sub(r"[^a-z0-9]+", "_", (pin.name or "").lower()).strip("_")[:_MAX].rstrip("_")
    good = re.fullmatch(NAME_PATTERN, text) and not _BY_ID.fullmatch(text) and text not in _TAKEN
    return text if good and text not in taken else f"pin{pin.id}"
