# SPDX-License-Identifier: Apache-2.0
"""What a target file will say: what the package and the driver said, and what the user added."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from harness.agent.pin_facts import PinFacts
from harness.errors import UsageError
from harness.language.model import Target
from harness.language.model.format import STANDARD_INTERFACE, STANDARD_MEDIUM, Format, Identifier
from harness.language.toml_problems import validation_problems
from harness.onboarding.discovery import FoundFilter, why_not_connectable
from harness.onboarding.package_facts import PackageDevice
from harness.onboarding.pin_names import name_pins
from harness.onboarding.wishes import Wishes
from harness.running import formats

if TYPE_CHECKING:
    from harness.agent.encode import Encoder
    from harness.agent.session import AgentSession

#: What `max_instances` may be (`harness.language.model.target.Pin`).
_MAX_INSTANCES = 1000
#: In the place of the category of a device whose driver was not asked yet: nobody registers it.
_NO_CATEGORY = uuid.UUID(int=0)


@dataclass(frozen=True, slots=True)
class DraftPin:
    """One pin: what its filter said, what scenarios call it, and the format it opened with.

    `unopened` says why it did not open.
    """

    facts: PinFacts
    name: str
    format: Format | None = None
    unopened: str | None = None
    callback: bool = True
    accepts: tuple[str, ...] = ()

    @property
    def untried(self) -> bool:
        """Whether it has a format that nobody could open it with by itself."""
        return self.facts.communication == "source" and self.format is not None

    @property
    def interface(self) -> Identifier:
        """The standard one, unless the pin has others alone."""
        return _offered(self.facts.interfaces, STANDARD_INTERFACE)

    @property
    def medium(self) -> Identifier:
        """The standard one, unless the pin has others alone."""
        return _offered(self.facts.mediums, STANDARD_MEDIUM)

    @property
    def instances(self) -> int:
        """How often it can be open at once, as far as a target file can say it."""
        return min(self.facts.possible or 1, _MAX_INSTANCES)


@dataclass(frozen=True, slots=True)
class Draft:
    """All of a target file."""

    name: str
    package: str
    device: PackageDevice
    category: uuid.UUID
    instance: int = 0
    found: FoundFilter | None = None
    pins: tuple[DraftPin, ...] = ()
    protocols: Mapping[str, uuid.UUID] = field(default_factory=dict)
    imports: tuple[str, ...] = ()
    entries: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""
    """Further protocols as their authors wrote them down, and the lines for the file."""
    root_enumerated: bool | None = None

    def target(self) -> Target:
        """The target as its file would say it.

        Raises:
            UsageError: the package says what no target can have.
        """
        data = self._data()
        try:
            return Target.model_validate(data)
        except ValidationError as error:
            key, message, hint = validation_problems(error, Target, data)[0]
            raise UsageError(f"{'.'.join(map(str, key))}: {message}", str(self.device.inf), hint) from None

    def _data(self) -> dict[str, Any]:
        pins = [
            {
                "id": pin.facts.id,
                "name": pin.name,
                "flow": pin.facts.flow,
                "callback": pin.callback,
                "accepts": list(pin.accepts),
                "max_instances": pin.instances,
                "interface": _table(pin.interface),
                "medium": _table(pin.medium),
            }
            for pin in self.pins
        ]
        return {
            "schema": 1,
            "name": self.name,
            "package": self.package,
            "hardware_id": self.device.hardware_id,
            "service": self.device.service,
            "category": str(self.category),
            "instance": self.instance,
            "protocols": {**{name: str(guid) for name, guid in self.protocols.items()}, **self.entries},
            # Before the driver was asked nothing is known of its pins, and every target has one.
            "pin": pins or [{"id": 0, "name": "pin0", "flow": "out"}],
            **({"imports": {"allow": list(self.imports)}} if self.imports else {}),
            **({} if self.root_enumerated is None else {"root_enumerated": self.root_enumerated}),
        }


def _offered(offered: Sequence[Identifier], standard: Identifier) -> Identifier:
    return standard if not offered or standard in offered else offered[0]


def _table(item: Identifier) -> dict[str, Any]:
    return {"set": str(item.set), "id": item.id, "flags": item.flags}


def before_asking(name: str, package: str, device: PackageDevice, wishes: Wishes) -> Draft:
    """Enough of a target that it can be deployed."""
    return Draft(
        name,
        package,
        device,
        _NO_CATEGORY,
        imports=wishes.imports,
        root_enumerated=wishes.root_enumerated,
    )


def fill_in(
    draft: Draft,
    found: FoundFilter,
    place: tuple[uuid.UUID, int],
    wishes: Wishes,
    session: AgentSession,
    encoder: Encoder,
) -> Draft:
    """The same with the pins of a filter, each with the format that it opened with.

    `place` is the filter's category and its number there.

    Raises:
        UsageError: what the user said of pins does not fit those that there are.
        AgentError, StepHungError: the guest or its driver was lost on the way.
    """
    pins = tuple(DraftPin(pin, f"pin{pin.id}") for pin in found.connectable)
    asked = Draft(draft.name, draft.package, draft.device, *place, found, pins)
    resolved = formats.resolve(asked.target(), session, encoder)
    chosen: dict[int, Format] = {}
    unopened: dict[int, str] = {}
    for pin in resolved.pin:
        why = resolved.why_unopened(pin)
        if why is not None:
            unopened[pin.id] = why
        elif pin.format is not None:
            chosen[pin.id] = pin.format
    _check_ids(wishes.names, found)
    alone = [pin.facts.id for pin in pins if pin.facts.id in chosen and pin.facts.communication != "source"]
    names = name_pins([pin.facts for pin in pins], alone, wishes.names)
    without = {_pin_called(word, names, "--no-callback") for word in wishes.without_callback}
    callback = {pin.facts.id: draft.device.has_callbacks and pin.facts.id not in without for pin in pins}
    accepts = _accepts(wishes, names, callback)
    return Draft(
        draft.name,
        draft.package,
        draft.device,
        *place,
        found,
        tuple(
            DraftPin(
                facts=pin.facts,
                name=names[pin.facts.id],
                format=chosen.get(pin.facts.id),
                unopened=unopened.get(pin.facts.id),
                callback=callback[pin.facts.id],
                accepts=tuple(accepts[pin.facts.id]),
            )
            for pin in pins
        ),
        {name: item.guid for name, item in wishes.protocols.items() if name not in wishes.entries},
        draft.imports,
        wishes.entries,
        wishes.text,
        draft.root_enumerated,
    )


def _check_ids(names: Mapping[int, str], found: FoundFilter) -> None:
    for number, name in names.items():
        facts = next((pin for pin in found.pins if pin.id == number), None)
        if facts is None:
            there = ", ".join(str(pin.id) for pin in found.pins)
            raise UsageError(f"{number}={name}: the filter has no pin {number}", "--pin", f"there: {there}")
        why = why_not_connectable(facts)
        if why is not None:
            raise UsageError(f"{number}={name}: {why}", "--pin", "leave it out")


def _pin_called(word: str, names: Mapping[int, str], option: str) -> int:
    """The id of a pin that the user names by its name or its id."""
    for number, name in names.items():
        if word in (name, str(number), f"pin{number}"):
            return number
    there = ", ".join(f"{name} ({number})" for number, name in names.items())
    raise UsageError(f"there is no pin {word!r} that can be opened", option, f"there: {there}")


def _accepts(wishes: Wishes, names: Mapping[int, str], callback: Mapping[int, bool]) -> dict[int, list[str]]:
    """The protocols by the id of the pin that accepts them."""
    accepted: dict[int, list[str]] = {number: [] for number in names}
    for name, protocol in wishes.protocols.items():
        if protocol.pins is None:
            chosen = [number for number in names if callback[number]]
        else:
            chosen = [_pin_called(word, names, "--protocol") for word in protocol.pins]
        for number in dict.fromkeys(chosen):
            if not callback[number]:
                raise UsageError(
                    f"pin {names[number]} has no handshake callback that could accept {name}", "--protocol"
                )
            accepted[number].append(name)
    return accepted
