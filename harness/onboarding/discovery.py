# SPDX-License-Identifier: Apache-2.0
"""Asks a driver in a guest what a target file must say: its filters, categories, pins and formats."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.agent import device_interfaces
from harness.agent.device_interfaces import FilterInterfaces
from harness.agent.encode import Encoder
from harness.agent.pin_facts import FilterGoneError, PinFacts
from harness.agent.pin_facts import ask as ask_pins
from harness.agent.session import AgentSession
from harness.errors import AgentError, HarnessError, StepHungError, UsageError
from harness.onboarding.known_guids import shown

if TYPE_CHECKING:
    from drivers.abi import Abi
    from harness.guests import Guest, GuestProvider

#: Filters of one device that are asked.
_MAX_FILTERS = 32


@dataclass(frozen=True, slots=True)
class FoundFilter:
    """One filter of the device: the categories it is found in, and its pins as it describes them.

    `places` has its number in each category, the best one first: those in which no other filter stands before
    it.  `unopened` says why the filter could not be asked.
    """

    reference: str
    places: Mapping[uuid.UUID, int]
    pins: tuple[PinFacts, ...] = ()
    unopened: str | None = None

    @property
    def categories(self) -> tuple[uuid.UUID, ...]:
        """Those it is found in, the best one first."""
        return tuple(self.places)

    def stands_at(self, category: uuid.UUID, instance: int) -> bool:
        """Whether a target file with these two means it."""
        return self.places.get(category) == instance

    @property
    def connectable(self) -> tuple[PinFacts, ...]:
        """The pins that somebody can open at all."""
        return tuple(pin for pin in self.pins if why_not_connectable(pin) is None)


def why_not_connectable(pin: PinFacts) -> str | None:
    """Why nobody can open a pin, by what its filter says of it; None where that is not said."""
    if pin.communication in ("none", "bridge"):
        return f"its communication is {pin.communication}: it cannot be connected"
    if pin.possible == 0:
        return "it can have no instance"
    if pin.flow not in ("in", "out"):
        return f"its data flow is {pin.flow}"
    return None


@contextmanager
def session_with(provider: GuestProvider, abi: Abi) -> Iterator[tuple[Guest, AgentSession]]:
    """A guest and a session with its agent; both are given back.

    Raises:
        HarnessError: also where the driver was lost, in whatever words the guest has for that.
    """
    guest = provider.acquire()
    try:
        session = AgentSession(guest.open_agent(), abi)
        try:
            yield guest, session
        except (AgentError, StepHungError) as error:
            raise _lost(guest, error) from error
        finally:
            session.close(timeout=1.0, polite=False)
    finally:
        guest.close()


def _lost(guest: Guest, error: Exception) -> HarnessError:
    """The guest's own evidence, where there is some."""
    evidence = guest.evidence()
    what = evidence.driver[0] if evidence.driver else str(error)
    return HarnessError(
        f"the driver was lost while it was asked: {what}",
        where=guest.id,
        hint="it must answer the properties of its pins (KSPROPSETID_Pin) and let them be opened and closed",
    )


def find_filters(
    session: AgentSession, encoder: Encoder, hardware_id: str, preferred: Sequence[uuid.UUID] = ()
) -> list[FoundFilter]:
    """All filters of the device, each with its pins.

    Args:
        session: with the agent of a guest in which the driver is installed.
        encoder: of its ABI.
        hardware_id: of the device.
        preferred: categories that are taken first where several find a filter.

    Raises:
        UsageError: the device has registered no interface.
        AgentError, StepHungError: the guest or its driver was lost on the way.
    """
    interfaces = device_interfaces.ask(session, encoder, hardware_id)
    found = device_interfaces.filters(interfaces)
    if not found:
        inactive = sorted({shown(item.category) for item in interfaces})
        more = f", and has not enabled that in {', '.join(inactive)}" if inactive else ""
        raise UsageError(
            f"the device {hardware_id} has registered no device interface{more}: no filter of it can be"
            " found",
            hint="KS registers one for each category of a filter descriptor, and the INF's AddInterface names"
            " some",
        )
    return [_ask(session, encoder, item, preferred) for item in found[:_MAX_FILTERS]]


def _ask(
    session: AgentSession, encoder: Encoder, item: FilterInterfaces, preferred: Sequence[uuid.UUID]
) -> FoundFilter:
    order = {category: place for place, category in enumerate(preferred)}
    interfaces = sorted(
        item.interfaces, key=lambda one: (one.index, order.get(one.category, len(order)), one.category.hex)
    )
    places: dict[uuid.UUID, int] = {}
    for one in interfaces:
        places.setdefault(one.category, one.index)
    try:
        pins = tuple(ask_pins(session, encoder, interfaces[0].category, index=interfaces[0].index))
    except FilterGoneError as error:
        return FoundFilter(item.reference, places, unopened=str(error))
    return FoundFilter(item.reference, places, pins)


def choose(
    everything: Sequence[FoundFilter], category: uuid.UUID | None = None, instance: int | None = None
) -> tuple[FoundFilter, uuid.UUID, int]:
    """The filter that a target file is for, its category and its number there.

    It is the one with most pins that can be opened; of several such one that stands first in a category.

    Args:
        everything: the filters of the device.
        category: the one that the user named.
        instance: the number in it that the user named.

    Raises:
        UsageError: there is none that a target file can name, or none there.
    """
    filters = list(everything)
    if category is not None:
        filters = [one for one in filters if category in one.categories]
        if not filters:
            there = ", ".join(_names(one for item in everything for one in item.categories))
            raise UsageError(
                f"the device has no filter in {shown(category)}", "--category", f"there: {there}"
            )
    filters = [one for one in filters if _places(one, category, instance)]
    if not filters:
        every = (pair for one in everything for pair in one.places.items())
        there = ", ".join(f"{shown(kind)} {place}" for kind, place in every)
        raise UsageError(f"the device has no filter {instance} there", "--instance", f"there: {there}")
    able = [one for one in filters if _why_not(one) is None]
    if not able:
        raise UsageError("; ".join(f"{_who(one)} {_why_not(one)}" for one in filters))
    best = max(able, key=lambda one: (len(one.connectable), 0 in one.places.values()))
    return best, *_places(best, category, instance)[0]


def _places(
    item: FoundFilter, category: uuid.UUID | None, instance: int | None
) -> list[tuple[uuid.UUID, int]]:
    """Those of a filter that the user may mean."""
    return [
        (kind, place)
        for kind, place in item.places.items()
        if category in (None, kind) and instance in (None, place)
    ]


def _names(categories: Iterable[uuid.UUID]) -> list[str]:
    return list(dict.fromkeys(shown(one) for one in categories))


def _who(item: FoundFilter) -> str:
    return f"the filter in {', '.join(_names(item.categories))}"


def _why_not(item: FoundFilter) -> str | None:
    """Why a target file cannot be for a filter; None where it can."""
    if item.unopened is not None:
        return f"does not open: {item.unopened}"
    if not item.pins:
        return "has no pins"
    if not item.connectable:
        whys = (f"{pin.id}: {why_not_connectable(pin)}" for pin in item.pins)
        return f"has no pin that can be opened ({'; '.join(whys)})"
    return None
