# SPDX-License-Identifier: Apache-2.0
"""Which device interfaces a target's device has registered: the categories by which its filters are found.

Everything comes from a guest that may be wrong: what does not parse is left out.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.agent.encode import Encoder
from harness.agent.frames import info_of
from harness.errors import AgentError

if TYPE_CHECKING:
    from harness.agent.session import AgentSession

#: Seconds for the question: a Windows guest knows some hundred categories.
_TIMEOUT = 60.0
#: ``\\?\ROOT#MEDIA#0000#{category}\reference``: the device, the category, what the driver calls its filter.
_PATH = re.compile(r"(?P<device>.{1,400}?)#\{[0-9A-Fa-f-]{36}\}(?:\\(?P<reference>.{0,300}))?")


@dataclass(frozen=True, slots=True)
class DeviceInterface:
    """One interface: its category, its number there as OPEN_FILTER counts, and whose it is.

    `device` and `reference` are the two parts of its path that tell one filter from another; `active` says
    whether the driver has enabled it.
    """

    category: uuid.UUID
    index: int
    device: str
    reference: str
    active: bool


@dataclass(frozen=True, slots=True)
class FilterInterfaces:
    """All interfaces of one filter: a device's filter factory, found in one category or in several."""

    reference: str
    interfaces: tuple[DeviceInterface, ...]


def ask(session: AgentSession, encoder: Encoder, hardware_id: str) -> list[DeviceInterface]:
    """The interfaces of the devices with a hardware id, in the guest's order.

    Raises:
        AgentError: the guest cannot list its categories, or the agent does not answer as it should.
        StepHungError: it does not answer at all.
    """
    step = encoder.step(
        "INFO",
        value=encoder.constant("INFO_INTERFACES"),
        data=hardware_id.encode("utf-16-le"),
    )
    record = session.run(step, what="interfaces of the device", timeout=_TIMEOUT)
    if record.outcome != encoder.constant("OUTCOME_DONE"):
        raise AgentError(f"the device's interfaces cannot be asked for: outcome {record.outcome}")
    said = info_of(record).get("interfaces")
    if not isinstance(said, Sequence) or isinstance(said, str):
        raise AgentError("this guest cannot list its device interfaces")
    return [found for found in map(_interface, said) if found is not None]


def _interface(said: Any) -> DeviceInterface | None:
    if not isinstance(said, dict):
        return None
    index, path = said.get("index"), said.get("path")
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index <= 0xFFFFFFFF:
        return None
    found = _PATH.fullmatch(path) if isinstance(path, str) else None
    try:
        category = uuid.UUID(str(said.get("category")))
    except ValueError:
        return None
    if found is None:
        return None
    return DeviceInterface(
        category, index, found["device"], found["reference"] or "", said.get("active") is True
    )


def filters(interfaces: Sequence[DeviceInterface]) -> list[FilterInterfaces]:
    """The filters behind interfaces, in the order in which they come; inactive interfaces belong to none."""
    found: dict[tuple[str, str], list[DeviceInterface]] = {}
    for item in interfaces:
        if item.active:
            found.setdefault((item.device.casefold(), item.reference.casefold()), []).append(item)
    return [FilterInterfaces(items[0].reference, tuple(items)) for items in found.values()]
