# SPDX-License-Identifier: Apache-2.0
"""A folder with scenarios, in which ``kshs run`` is called as a user calls it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tests import warm
from tests.harness.plugin.test_plugin import CONFTEST, ROOT, SCENARIOS

_TAGS = ("failure", "error", "skipped")


class Project:
    """Its results go to the folder ``o`` in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        (path / "scenarios").mkdir()
        (path / "scenarios" / "basic.toml").write_text(SCENARIOS)
        self.conftest()

    @property
    def out(self) -> Path:
        return self.path / "o"

    def conftest(self, options: str = "", more: str = "") -> None:
        """Guests with these options of the fake provider, and more lines."""
        (self.path / "conftest.py").write_text(CONFTEST.format(root=str(ROOT), options=options) + more)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.kshs("run", "scenarios", "--out", "o", *words)

    def kshs(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [warm.python(), "-m", "harness.cli", *words],
            cwd=self.path,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def all_records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.out / "results.jsonl").read_text().splitlines()]

    def records(self, kind: str) -> list[dict[str, Any]]:
        return [record for record in self.all_records() if record["kind"] == kind]

    def verdicts(self, kind: str = "scenario") -> dict[str, str]:
        """By id; one that is on record twice is told."""
        found: dict[str, str] = {}
        for record in self.records(kind):
            name = record["id"].rpartition("::")[2]
            assert name not in found, f"{name} is on record twice"
            found[name] = record["verdict"]
        return found

    def headline(self) -> str:
        page = (self.out / "report.html").read_text()
        return page.partition("<title>kshs: ")[2].partition("<")[0].split()[0].rstrip(",")

    def cases(self) -> list[ElementTree.Element]:
        return list(ElementTree.parse(self.out / "junit.xml").iter("testcase"))

    def junit(self) -> dict[str, str]:
        """By name: the tag that JUnit readers look for, or passed."""
        return {
            str(case.get("name")): next((tag for tag in _TAGS if case.find(tag) is not None), "passed")
            for case in self.cases()
        }
