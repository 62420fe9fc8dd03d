# SPDX-License-Identifier: Apache-2.0
"""Hooks that kshs adds to pytest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from harness.guests import GuestProvider


@pytest.hookspec(firstresult=True)
def pytest_kshs_provider(config: pytest.Config) -> GuestProvider | None:
    """Gives the guests of this process (the controller's, or an xdist worker's).

    Called once, before the first scenario runs.  The first answer that is not None wins; without
    one, guests come from `vm` as kshs.toml and the command line say.  Whoever answers also says
    what the target is.
    """


@pytest.hookspec(firstresult=True)
def pytest_kshs_refused(message: str) -> bool | None:
    """Told one line on what the user asked for wrongly; whoever answers True says it, and pytest does not."""
