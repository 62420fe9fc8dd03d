# SPDX-License-Identifier: Apache-2.0
"""A scene in which the gate says yes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.gate.scene import Scene, prepared


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    return prepared(tmp_path_factory.mktemp("prepared"))


@pytest.fixture
def scene(tmp_path: Path, made: tuple[Path, Path, Path]) -> Iterator[Scene]:
    opened = Scene(tmp_path, made)
    yield opened
    opened.store.close()
