# SPDX-License-Identifier: Apache-2.0
"""The component tests of filters of further factories, in a guest with that driver as its target.

Not collected by itself: `kshs run --coverage --target factories.toml in_guest.py` runs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from harness.running.runner import Runner
from tests.component.agent import Agent
from tests.component.test_factories import *  # noqa: F403
from tests.component.test_factory_ends import (  # noqa: F401
    test_a_handle_may_be_closed_before_the_answer,
    test_without_its_first_factory_a_device_has_another,
)

pytestmark: list[Any] = []


@pytest.fixture
def bare(kshs_runner: Runner) -> Iterator[Agent]:
    yield Agent(kshs_runner.ready(), None)  # type: ignore[arg-type]
    kshs_runner.release()
