# SPDX-License-Identifier: Apache-2.0
"""What runs took of the host."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, select

from harness.store.interning import among
from harness.store.models import Run


def memory_of(connection: Connection, runs: Collection[int]) -> dict[int, int]:
    """MiB that runs held at the most, with their guests; without those of which it is not known."""
    query = select(Run.id, Run.memory_mib).where(Run.memory_mib.is_not(None))
    return dict(map(tuple, among(connection, query, Run.id, runs)))
