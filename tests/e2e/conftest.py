# SPDX-License-Identifier: Apache-2.0
"""What takes minutes is for the night: `make test` leaves it out, `make test-all` runs it."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "long: takes minutes; left out by make test")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--leave-out-unchanged", default=False):
        return
    left = [item for item in items if item.get_closest_marker("long")]
    items[:] = [item for item in items if item not in left]
    if left:
        config.hook.pytest_deselected(items=left)
