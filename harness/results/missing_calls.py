# SPDX-License-Identifier: Apache-2.0
"""What drivers asked of the reference class driver in vain: functions of ks.h that it does not have.

It exports them all, so that a foreign driver loads, and keeps the names of those that were called
(docs/refks.md).  A consequence of such a call may look like a driver's fault and be ours: reports say it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.guest_info import GuestInfo

#: Kind of the record in ``results.jsonl`` parts; folded into the environment when they are merged.
KIND = "missing_calls"
#: The row of the report's environment.
ROW = "ks.sys functions that were called and are not there"


def of_info(info: Mapping[str, Any]) -> list[str]:
    """The names in a guest's `info`, sorted; none where its ks.sys keeps no such record."""
    return sorted(set(GuestInfo.of(info).ks.unimplemented_calls))


def fold(environments: Iterable[dict[str, Any]], late: Iterable[Mapping[str, Any]]) -> None:
    """Puts all names that a run has seen into its environments, where the report shows them.

    Args:
        environments: records of that kind; changed in place where there is something to say.
        late: records of `KIND`.
    """
    everywhere = {name for record in late for name in record.get("names", ())}
    for environment in environments:
        names = sorted(everywhere | set(of_info(environment.get("info") or {})))
        if names:
            environment["unimplemented_calls"] = names
            environment.setdefault("guest", {})[ROW] = ", ".join(names)
