# SPDX-License-Identifier: Apache-2.0
"""Guests for the runner that are Wine sessions on this host, with binaries built from any source tree."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import drivers.build
from harness.guests import Say
from harness.language import target
from harness.language.model import Target
from tests.component.package_guest import PackageGuest


class LocalProvider:
    """Gives such guests, with the sample target from `source`."""

    def __init__(self, source: Path | None = None) -> None:
        self._build = drivers.build.build(source=source)
        self._target, _ = target.find("avshs")
        self._count = 0

    def target(self) -> Target:
        return self._target

    def target_digest(self) -> str:
        return self._build.avshs.digest

    def prepare(self, say: Say) -> None:
        say("a local guest needs no preparation")

    def acquire(self) -> PackageGuest:
        self._count += 1
        return PackageGuest(self._build, self._build.avshs, self._target, self._count)

    def host(self) -> Mapping[str, Any]:
        return {"recipe": "local"}

    def close(self) -> None:
        pass
