# SPDX-License-Identifier: Apache-2.0
"""Which way of leasing works for an image on this host, tried once and kept on record.

The record is ``CACHE/windows/NAME.leases.json``.  It holds for one disk on one QEMU and accelerator: with
another of these every way is tried again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vm.errors import InputError, VmError
from vm.files import read_json, remove_tree, write_json
from vm.hypervisor import Hypervisor
from vm.windows.profile import Way
from vm.windows.sealed import WindowsImage
from vm.windows.state import now

ORDER: Sequence[Way] = tuple(Way)
"""The quickest first; the last one always works, or the image would not have been sealed."""


class WayFailedError(VmError):
    """A guest that came this way does not live: nothing is said of any driver."""

    def __init__(self, way: Way, error: VmError, evidence: Path | None = None) -> None:
        seen = evidence is not None and evidence.is_dir() and any(evidence.iterdir())
        super().__init__(error.message, error.where, f"see {evidence}" if seen else None)
        self.way = way


def record_of(image: WindowsImage) -> Path:
    """The file of the record."""
    return image.path.with_name(f"{image.name}.leases.json")


def evidence_of(image: WindowsImage, way: Way) -> Path:
    """The folder of what was seen of a guest that did not live."""
    return image.path.with_name(f"{image.name}.leases") / way


def failed(hv: Hypervisor, image: WindowsImage) -> Mapping[Way, str]:
    """The ways that did not work here, with the reasons."""
    path = record_of(image)
    try:
        value = read_json(path)
    except VmError:
        remove_tree(path)  # every way is tried again, which is all that is lost
        value = None
    if value is None or value.get("holds_for") != _holds_for(hv, image):
        return {}
    try:
        return {Way(way): str(entry["reason"]) for way, entry in value["failed"].items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        remove_tree(path)
        return {}


def note(hv: Hypervisor, image: WindowsImage, error: WayFailedError) -> None:
    """Puts a failure on record, beside what is there."""
    known: dict[str, Any] = {}
    if failed(hv, image):
        known = dict((read_json(record_of(image)) or {})["failed"])
    known[error.way] = {"reason": str(error), "at": now()}
    write_json(record_of(image), {"holds_for": _holds_for(hv, image), "failed": known})


def candidates(hv: Hypervisor, image: WindowsImage, asked: Way | None) -> Sequence[Way]:
    """What is to be tried, in this order: the one that was asked for, or all that did not fail before.

    Raises:
        InputError: guests that hold a device of the host's are not leased in the way that was asked for.
    """
    if image.holds_host_devices:
        # QEMU saves no state of a device that is the host's ("VFIO devices", migration, QEMU documentation).
        if asked not in (None, Way.BOOT):
            raise InputError(
                f"leases by '{asked}' cannot be with a device of the host's",
                f"guest {image.name}",
                "leave out `leases` in kshs.toml, or say 'boot'",
            )
        return (Way.BOOT,)
    if asked is not None:
        return (asked,)
    out = failed(hv, image)
    return [way for way in ORDER if way not in out or way is ORDER[-1]]


def _holds_for(hv: Hypervisor, image: WindowsImage) -> Mapping[str, str]:
    return {
        "disk": image.disk_sha256,
        "qemu": hv.qemu_version,
        "accelerator": hv.accelerator.kind,
    }
