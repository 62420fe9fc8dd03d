# SPDX-License-Identifier: Apache-2.0
"""Wine sessions on this host whose device is watched by kstrace.sys, as guests for the runner."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

import drivers.build
from drivers import abi
from drivers.package import Package
from harness.language.model import Target
from tests.component.package_guest import PackageGuest
from tests.seeded.local_guest import LocalProvider

#: The sample's own property set: what tells its callbacks what to do belongs to the trace.
OWN_SET = str(abi.load().guids["KSPROPSETID_Kshs"])


class TracedGuest(PackageGuest):
    """A prefix of its own, with the tracer above its device."""

    def __init__(
        self, build: drivers.build.Build, package: Package, target: Target, number: int, *options: str
    ) -> None:
        super().__init__(build, package, target, number)
        self.keep: Path | None = None
        self.hardware_id = target.hardware_id
        self._saved = 0
        try:
            self.wine.put(build.tracer, "kstrace.sys")
            self.started = self.trace("start", target.hardware_id, f"watch={OWN_SET}", *options)
        except BaseException:
            self.close()
            raise

    def trace(self, *words: str) -> dict[str, Any]:
        """What the verb answers."""
        return self.wine.must("trace", *words)

    def close(self) -> None:
        """Ends the session; what was recorded is kept before, whatever has become of the driver."""
        if self.keep is not None:
            with contextlib.suppress(AssertionError):
                shutil.copyfile(self.save(), self.keep)
            self.keep = None
        super().close()

    def save(self, *options: str) -> Path:
        """The capsule, on the host's side."""
        self._saved += 1
        name = f"trace-{self._saved}.capsule"
        self.trace("save", f"C:\\kshs\\{name}", *options)
        return self.wine.folder / name


class TracedProvider(LocalProvider):
    """Gives such guests; `last` is the one that was given last.

    `keep`: where the capsule of the first one is put when it ends.
    """

    last: TracedGuest | None = None

    def __init__(self, source: Path | None = None, *options: str, keep: Path | None = None) -> None:
        super().__init__(source)
        self._options = options
        self._keep = keep

    def acquire(self) -> TracedGuest:
        self._count += 1
        self.last = TracedGuest(self._build, self._build.avshs, self._target, self._count, *self._options)
        self.last.keep, self._keep = self._keep, None
        return self.last
