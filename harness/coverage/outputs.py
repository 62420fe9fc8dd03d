# SPDX-License-Identifier: Apache-2.0
"""The files that coverage leaves in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.coverage import interchange, model, page
from harness.coverage.figures import ModuleFigures
from harness.coverage.model import RunCoverage
from vm.files import write_whole

FILES = (model.FILE, page.HTML, interchange.LCOV, interchange.COBERTURA)
_MODE = 0o644


def write(coverage: RunCoverage, every: Sequence[ModuleFigures], out: Path, *, timestamp: int) -> Path:
    """All of them; the page's path.

    Args:
        coverage: of a run.
        every: the figures of its modules.
        out: the folder.
        timestamp: milliseconds since 1970.

    Raises:
        OSError: one cannot be written.
    """
    import harness

    write_whole(out / model.FILE, coverage.as_json(), _MODE)
    write_whole(out / page.HTML, page.render(coverage, every).encode("utf-8", "replace"), _MODE)
    write_whole(out / interchange.LCOV, interchange.lcov(every).encode("utf-8", "replace"), _MODE)
    report = interchange.cobertura(every, version=harness.version(), timestamp=timestamp)
    write_whole(out / interchange.COBERTURA, report, _MODE)
    return out / page.HTML
