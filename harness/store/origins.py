# SPDX-License-Identifier: Apache-2.0
"""Where a run comes from: guest, target and run, as rows, from the records that say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from harness.guest_info import GuestInfo
from harness.store.interning import cut

#: Characters of a run's id.
_NAME = 100
#: Seconds that nothing takes.
_FOREVER = 1e9
#: What is said of a guest that no record describes: none was had.
UNKNOWN = "unknown"


def guest_row(head: Mapping[str, Any], environments: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The columns of `harness.store.models.Guest`."""
    environment = environments[0] if environments else {}
    said = as_table(environment.get("guest"))
    host = as_table(environment.get("host")) or as_table(head.get("host"))
    info = GuestInfo.of(environment.get("info"))
    ks = info.ks
    return {
        "recipe": _clip(head.get("guest") or host.get("recipe"), 200) or UNKNOWN,
        "family": _clip(info.family or said.get("family"), 50),
        "kernel": _clip(said.get("kernel"), 400),
        "kernel_build": _clip(said.get("kernel_build"), 100),
        "architecture": _clip(said.get("architecture"), 100),
        "ks_digest": _clip(ks.sha256 or said.get("ks.sys sha256"), 100),
        "ks_version": _clip(ks.version, 200),
        "ks_ours": ks.ours,
        "image": _clip(host.get("image"), 100),
        "accelerator": _clip(str(host.get("accelerator") or "").split(" ")[0], 50) or None,
        "verifier": _clip(said.get("verifier"), 1000),
    }


def differing(environments: Sequence[Mapping[str, Any]], head: Mapping[str, Any]) -> bool:
    """Whether a run had guests that differ in what runs are compared by."""
    rows = [guest_row(head, [environment]) for environment in environments]
    return any(row != rows[0] for row in rows)


def target_row(head: Mapping[str, Any], environments: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The columns of `harness.store.models.Target`."""
    target = as_table(head.get("target"))
    service = _clip(target.get("service"), 200)
    info = GuestInfo.of(environments[0].get("info") if environments else None)
    version = next((driver.version for driver in info.drivers if driver.service == service), None)
    package = target.get("digest") or (environments[0].get("target_digest") if environments else None)
    return {
        "name": _clip(target.get("name"), 200) or UNKNOWN,
        "package": _clip(package, 100),
        "version": _clip(version, 100),
        "hardware_id": _clip(target.get("hardware_id"), 400),
        "service": service,
        "title": _clip(target.get("title"), 400),
    }


def run_row(head: Mapping[str, Any], notes: Sequence[str]) -> dict[str, Any]:
    """The columns of `harness.store.models.Run` that the record of the run gives."""
    host = as_table(head.get("host"))
    return {
        "name": name_of(head.get("id")) or UNKNOWN,
        "started": time_of(head.get("started")),
        "seconds": seconds_of(head.get("seconds")),
        "version": _clip(head.get("version"), 100),
        "command": _clip(head.get("command"), 4000),
        "selection": _clip(head.get("selection"), 4000),
        "build": _clip(host.get("build"), 100),
        "memory_mib": _count(head.get("memory_mib")),
        "problem": _clip(head.get("problem"), 4000),
        "note": "; ".join(notes) or None,
    }


def time_of(said: Any) -> datetime | None:
    """A time as a record says it: UTC, without saying so, since SQLite has no time zones."""
    try:
        time = datetime.fromisoformat(said)
        return time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time
    except (TypeError, ValueError, OverflowError):
        return None


def name_of(said: Any) -> str | None:
    """A run's id as the store has it; None where there is none."""
    if not isinstance(said, str) or not said.strip():
        return None
    return cut(said, _NAME)


def seconds_of(said: Any) -> float | None:
    """How long something took; None where a record says no such thing."""
    if not isinstance(said, int | float) or isinstance(said, bool) or not 0 <= said < _FOREVER:
        return None
    return float(said)


def as_table(value: Any) -> Mapping[str, Any]:
    """A table of a record, or an empty one where there is none."""
    return value if isinstance(value, Mapping) else {}


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 31 else None


def _clip(value: Any, length: int) -> str | None:
    return value[:length] if isinstance(value, str) and value else None
