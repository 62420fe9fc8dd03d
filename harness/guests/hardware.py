# SPDX-License-Identifier: Apache-2.0
"""Whether the target's device is created by the harness, or has to be in the guest already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from harness.errors import UsageError
from harness.guest_info import GuestInfo
from harness.guests.kshsctl import Kshsctl, VerbError

if TYPE_CHECKING:
    from typing import Any

    from drivers.hardware_ids import Bus
    from harness.guests.package import LoadedTarget
    from harness.language.model import Target

_IN_THE_FILE = "root_enumerated = true in the target file"
#: Of `docs/windows.md`.
_PAGE = 'docs/windows.md, "Devices"'


def needed(target: Target) -> Bus | None:
    """Who has to report the target's device; None where the harness creates it root-enumerated.

    The target file's ``root_enumerated`` decides; where it is left out, the form of the hardware id does.
    """
    from drivers.hardware_ids import Bus, bus_of

    if target.root_enumerated is None:
        return bus_of(target.hardware_id)
    if target.root_enumerated:
        return None
    return bus_of(target.hardware_id) or Bus("another driver", "qemu:DEVICE")


def check_embedded(loaded: LoadedTarget) -> None:
    """For guests without any hardware of their own: refuses a target that needs some.

    Raises:
        UsageError: why its driver cannot be tested there, and how it can.
    """
    bus = needed(loaded.target)
    if bus is not None:
        key = "hardware_id" if loaded.target.root_enumerated is None else "root_enumerated"
        hint = _elsewhere(bus, loaded.root_enumerated)
        raise loaded.refusal(key, _not_there(loaded.target.hardware_id, bus), hint)


def check_there(guest: Kshsctl, hardware_id: str, bus: Bus, info: Mapping[str, Any]) -> None:
    """The same of a running guest, before anything is installed in it.

    Raises:
        UsageError: it has no such device.
        DeployError: it cannot say.
    """
    if not GuestInfo.of(info).is_windows:
        raise UsageError(_not_there(hardware_id, bus), "hardware_id", _elsewhere(bus, _IN_THE_FILE))
    try:
        guest.call("device", hardware_id)
    except VerbError as error:
        if error.answer.get("step") != "find":
            raise
        raise UsageError(
            f"the guest has no device {hardware_id}, which {bus.words} would report",
            "hardware_id",
            _give(bus),
        ) from None


def notes(target: Target) -> list[str]:
    """What a record says of a device that was created although its id names a bus."""
    from drivers.hardware_ids import bus_of

    bus = bus_of(target.hardware_id)
    if bus is None or not target.root_enumerated:
        return []
    return [
        f"the device {target.hardware_id} was created root-enumerated, as the target file says: the driver"
        f" has no hardware, no resources, and nothing of {bus.words} below it"
    ]


def absent(hardware_id: str) -> str | None:
    """The bus that reports devices of such an id, in words; None where the id is of no bus."""
    from drivers.hardware_ids import bus_of

    bus = bus_of(hardware_id)
    return None if bus is None else bus.words


def _not_there(hardware_id: str, bus: Bus) -> str:
    return (
        f"'{hardware_id}' is a device that {bus.words} reports, and the embedded guest has none: without it"
        " the driver has no registers, interrupts or transfers, and its answers would mean nothing"
    )


def _give(bus: Bus) -> str:
    return f'give it one: devices = ["{bus.example}"] in [guests.NAME] of kshs.toml ({_PAGE})'


def _elsewhere(bus: Bus, how: str) -> str:
    return (
        f"run it on a Windows guest that has the device (--guest NAME), and {_give(bus)}; or say {how} if the"
        " driver runs without its hardware"
    )
