# SPDX-License-Identifier: Apache-2.0
"""Why an INF installs nothing for a device on a system, in words: never because of the wrong thing."""

from __future__ import annotations

from drivers.inf.decorations import System
from drivers.inf.model import Inf


def why_not(inf: Inf, hardware_id: str, system: System, *, undecorated: bool = True) -> str | None:
    """What keeps a system from installing a device by this INF; None where nothing does.

    ``undecorated`` says whether it takes models without a decoration: 64-bit Windows does not, since Windows
    Server 2003 SP1 ("INF Manufacturer Section"), Wine does.
    """
    wanted = hardware_id.lower()
    named = [model for model in inf.models() if wanted in map(str.lower, model.ids)]
    taken = [model for model in inf.models(system) if wanted in map(str.lower, model.ids)]
    if not undecorated:
        taken = [model for model in taken if model.decoration]
    if taken:
        if any(inf.install_section(model.install) is not None for model in taken):
            return None
        return f"its install section [{taken[0].install}] for {hardware_id} does not exist"
    if not named:
        return f"it names no device {hardware_id} for x86_64"
    if all(not model.decoration for model in named):
        return f"its models of {hardware_id} are undecorated, and 64-bit Windows takes those of NTamd64 alone"
    decorations = ", ".join(dict.fromkeys(model.decoration or "undecorated models" for model in named))
    return f"it names {hardware_id} for {decorations}, and what it has for this guest, {system}, does not"
