# SPDX-License-Identifier: Apache-2.0
"""Status blocks made by hand, for tests of what is made of them."""

from __future__ import annotations

from typing import Any

from harness.agent.status_block import Outcome, RecordFlag, StatusBlock

POISON = 0xDEADF00D
#: What a route that shows everything reports of a request that went well in every respect.
VISIBLE = (
    RecordFlag.IOSB_VISIBLE
    | RecordFlag.STATUS_WRITTEN
    | RecordFlag.INFO_WRITTEN
    | RecordFlag.OUT_VISIBLE
    | RecordFlag.GUARD_LOW
    | RecordFlag.GUARD_HIGH
    | RecordFlag.IN_INTACT
)


def block(**values: Any) -> StatusBlock:
    """A completed kernel IRP that succeeded with a whole output, changed as asked."""
    whole: dict[str, Any] = {
        "op": "request",
        "outcome": Outcome.DONE,
        "detail": 0,
        "flags": VISIBLE,
        "returned": 0,
        "raw_status": 0,
        "raw_information": 32,
        "completions": 1,
        "changed_bytes": 32,
        "changed_first": 0,
        "changed_last": 31,
        "irql_after": 0,
        "begin_ns": 1,
        "duration_ns": 2,
        "thread": 3,
        "repeats": 1,
        "output": bytes(32),
    }
    return StatusBlock(**(whole | values))


def refused(status: int, **values: Any) -> StatusBlock:
    """A completed kernel IRP that failed with this status and an output that nobody wrote."""
    failed: dict[str, Any] = {
        "returned": status,
        "raw_status": status,
        "raw_information": 0,
        "changed_bytes": 0,
        "changed_first": None,
        "changed_last": None,
        "output": b"\xcc" * 32,
    }
    return block(**(failed | values))
