# SPDX-License-Identifier: Apache-2.0
"""Fields that vary in fact, told apart by the packages with which they were seen to.

Comparisons of nights take whatever varies as known (`harness.store.queries.varying`).  A release is held
against another one alone: what has become unsteady on the way to it is news.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, select

from harness.store.models import Scenario, Target, Varying
from harness.store.values import Value


@dataclass(frozen=True, slots=True)
class VaryingField:
    """A field of a scenario, by its step's position and its name; `seen` are its values as JSON."""

    scenario: int
    key: str
    position: int
    field: str
    seen: str


def varying_with(connection: Connection, packages: Collection[str]) -> list[VaryingField]:
    """Those that were seen to vary with any of these packages, which are named by their digests."""
    query = (
        select(Varying.scenario_id, Scenario.key, Varying.position, Varying.field, Varying.seen)
        .join(Scenario, Varying.scenario_id == Scenario.id)
        .join(Target, Varying.target_id == Target.id)
        .where(Target.package.in_(sorted(packages)))
        .order_by(Scenario.key, Varying.position, Varying.field, Varying.id)
    )
    return [VaryingField(*row) for row in connection.execute(query)]


def values_of(fields: Collection[VaryingField]) -> dict[int, dict[tuple[int, str], list[Value]]]:
    """The same as `harness.store.queries.varying` has them: by scenario, position and name, the values."""
    found: dict[int, dict[tuple[int, str], list[Value]]] = {}
    for one in fields:
        kept = found.setdefault(one.scenario, {}).setdefault((one.position, one.field), [])
        kept += [value for value in json.loads(one.seen) if value not in kept]
    return found
