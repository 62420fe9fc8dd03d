# SPDX-License-Identifier: Apache-2.0
"""What other plugins do at the end of a session, where that costs without saying anything."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from harness.plugin.finishing import without_idle_hypothesis


@pytest.mark.parametrize("imported", [True, False])
def test_hypothesis_speaks_only_where_it_was_used(imported: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = pytest.PytestPluginManager()
    manager.register(SimpleNamespace(), "hypothesispytest")
    monkeypatch.delitem(sys.modules, "hypothesis", raising=False)
    if imported:
        monkeypatch.setitem(sys.modules, "hypothesis", ModuleType("hypothesis"))
    config: Any = SimpleNamespace(pluginmanager=manager)
    without_idle_hypothesis(config)
    assert manager.has_plugin("hypothesispytest") == imported
    without_idle_hypothesis(config)
