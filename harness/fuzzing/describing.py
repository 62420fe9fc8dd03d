# SPDX-License-Identifier: Apache-2.0
"""Capsules of finds: what a run says of itself in its results, said of a campaign."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import version
from harness.plugin.guest_words import describe_guest
from harness.results.parts import SCHEMA

if TYPE_CHECKING:
    from drivers.package import Package
    from harness.fuzzing.finding import Find
    from harness.fuzzing.keeping import Capsule, State
    from harness.guests import GuestProvider
    from harness.guests.package import LoadedTarget


def capsules(
    provider: GuestProvider,
    loaded: LoadedTarget,
    package: Callable[[], Package],
    info: Callable[[], Mapping[str, Any]],
    state: State,
) -> Capsule:
    """Makes the capsules of a campaign's finds.

    Args:
        provider: of its guests.
        loaded: the target and its file.
        package: of the target, as it is deployed.
        info: what a guest has said of itself.
        state: of the campaign.
    """

    def write(find: Find, out: Path) -> None:
        from harness.capsule import making

        run = {
            "kind": "run",
            "schema": SCHEMA,
            "id": hashlib.sha256(f"{state.started}/{state.seed}".encode()).hexdigest()[:12],
            "started": state.started,
            "version": version(),
            "guest": state.guest,
            "target": {"name": loaded.target.name, "digest": provider.target_digest()},
            "host": dict(provider.host()),
        }
        environment = {"kind": "environment", "guest": describe_guest(info())}
        record = {**find.seen.scenario, "id": find.scenario.id, "title": find.scenario.title}
        steps = tuple({**step, "scenario": find.scenario.id} for step in find.seen.steps)
        seen = replace(find.seen, run=run, environment=environment, scenario=record, steps=steps)
        making.make(seen, find.scenario, loaded, package(), out)

    return write
