# SPDX-License-Identifier: Apache-2.0
"""Imports that a target file lets pass (`imports.allow`) although a Wine guest does not have them.

Wine loads a driver all the same where a function is missing in a module that is there: the slot leads to code
that ends the process.  A driver that never calls it there is none the worse.  What was let pass is said, and
is on record with every run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drivers.imports import Offered


def with_allowed(offered: Offered, allowed: Iterable[str]) -> Offered:
    """What a Wine offers, with these counted as there, unless their whole module is missing."""
    from drivers.imports import Exports

    modules = dict(offered.modules)
    for entry in allowed:
        module, _, function = entry.partition("!")
        own = modules.get(module.lower())
        if own is not None:
            refused = {name: why for name, why in own.refused.items() if name != function}
            modules[module.lower()] = Exports(own.functions | {function}, refused)
    return replace(offered, modules=modules)


def would_help(driver: Path, offered: Iterable[Offered]) -> bool:
    """Whether some Wine would load a driver if everything that it lacks were let pass."""
    from drivers import import_rewrite, imports
    from drivers.errors import ImportRefused

    try:
        import_rewrite.require_no_framework(driver)
    except ImportRefused:
        return False
    for family in offered:
        lacking = [f"{item.module}!{item.function}" for item in imports.missing(driver, family)]
        if not imports.missing(driver, with_allowed(family, lacking)):
            return True
    return False


def notes(drivers: Iterable[Path], allowed: Sequence[str], families: Iterable[Offered]) -> list[str]:
    """What a record says: what was let pass, and what each Wine has to say against it.

    Args:
        drivers: of the package.
        allowed: of the target file.
        families: what each Wine offers together with our own modules.
    """
    from drivers import imports

    if not allowed:
        return []
    paths, against = list(drivers), dict[tuple[str, str], list[str]]()
    for offered in families:
        for item in (item for path in paths for item in imports.missing(path, offered)):
            reasons = against.setdefault((item.module, item.function), [])
            reason = item.reason if offered.origin in item.reason else f"{offered.origin}: {item.reason}"
            if reason not in reasons:
                reasons.append(reason)
    said = []
    for entry in allowed:
        module, _, function = entry.partition("!")
        reasons = against.get((module.lower(), function), [])
        if reasons:
            said.append(f"imports.allow lets {entry} pass ({'; '.join(reasons)})")
        else:
            said.append(f"imports.allow need not name {entry}: it is there")
    return said
