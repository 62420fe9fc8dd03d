# SPDX-License-Identifier: Apache-2.0
"""Which scenarios a run must hold: read from the scenario files, as `kshs run` reads them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from harness.errors import UsageError
from harness.gate.policy import LoadedPolicy, Suite
from harness.language.model.scenario import Scenario
from harness.language.scenario_file import CATALOGUE, load, with_request_time
from harness.language.toml_file import TomlFile, is_toml

_TABLE = re.compile(rb"^\s*\[\[\s*scenario\s*\]\]", re.MULTILINE)
#: The name of the file, the id, and the digest of what is sent and expected.
Wanted = tuple[str, str, str]


class Suites:
    """The scenarios of suites; files that several have in common are read once.

    Args:
        loaded: the policy.
        request_ms: limits.request_ms of the settings that runs are made with.
    """

    def __init__(self, loaded: LoadedPolicy, request_ms: int) -> None:
        self._loaded = loaded
        self._request_ms = request_ms
        self._files: dict[Path, list[Scenario]] = {}

    def wanted(self, suite: Suite) -> frozenset[Wanted]:
        """What a run of a suite must hold.

        Raises:
            ScenarioError: a file of it is wrong.
            UsageError: it holds nothing.
        """
        found = frozenset(
            (path.name, scenario.id, scenario.content)
            for path in _files(self._loaded.path(one) for one in suite.paths or [CATALOGUE])
            for scenario in self._scenarios(path)
            if _takes(suite, scenario)
        )
        if not found:
            raise UsageError("a suite holds no scenario", str(self._loaded.file), "see require.suite")
        return found

    def _scenarios(self, path: Path) -> list[Scenario]:
        if path not in self._files:
            self._files[path] = [with_request_time(one, self._request_ms) for one in load(path)]
        return self._files[path]


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in dict.fromkeys(paths):
        if path.is_dir():
            found = (one for one in sorted(path.rglob("*")) if is_toml(one) and one.is_file())
            yield from (one for one in found if _has_scenarios(one))
        else:
            yield path


def _has_scenarios(path: Path) -> bool:
    """Target files and the like may lie beside them."""
    try:
        if _TABLE.search(path.read_bytes()):
            return True
    except OSError:
        return True  # what cannot be read is told when it is loaded
    return "scenario" in TomlFile(path).data


def _takes(suite: Suite, scenario: Scenario) -> bool:
    """As `harness.plugin.selection.Filters` takes a scenario."""
    return (
        (not suite.rule or not set(suite.rule).isdisjoint(scenario.rules))
        and (not suite.tag or not set(suite.tag).isdisjoint(scenario.tags))
        and (not suite.id or any(_matches(scenario.id, pattern) for pattern in suite.id))
    )


def _matches(name: str, pattern: str) -> bool:
    name, pattern = name.lower(), pattern.lower()
    return name == pattern or fnmatchcase(name, pattern)
