# SPDX-License-Identifier: Apache-2.0
"""What every source file of the project keeps to: its licence, and its length."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LICENCE = "SPDX-License-Identifier: Apache-2.0"
LONGEST = 400

#: Where sources are; what builds and virtual environments leave lies elsewhere or in folders named below.
_ROOTS = ("drivers", "vm", "harness", "tests", "examples", "scripts")
_MADE = frozenset({"__pycache__", "build", "node_modules"})
_KINDS = frozenset(
    {
        ".py",
        ".c",
        ".h",
        ".cpp",
        ".hpp",
        ".S",
        ".toml",
        ".sh",
        ".j2",
        ".js",
        ".css",
        ".cmd",
        ".inf",
        ".def",
        ".cfg",
    }
)
_NAMES = frozenset({"Makefile"})


def _sources() -> Iterator[Path]:
    yield ROOT / "Makefile"
    yield ROOT / "pyproject.toml"
    for root in _ROOTS:
        for path in sorted((ROOT / root).rglob("*")):
            parts = path.relative_to(ROOT).parts
            made = not _MADE.isdisjoint(parts) or any(part.startswith(".") for part in parts)
            if not made and (path.suffix in _KINDS or path.name in _NAMES):
                yield path


SOURCES = [path for path in _sources() if path.is_file()]


def _licensed(text: str) -> bool:
    """In the first line, or behind the one that has to be the first: of a shell, and of cmd."""
    first, _, rest = text.partition("\n")
    if first.startswith("#!") or first.strip() == "@echo off":
        first = rest.partition("\n")[0]
    return LICENCE in first


def test_the_sources_are_found() -> None:
    kinds = {path.suffix or path.name for path in SOURCES}
    assert {
        ".py",
        ".c",
        ".h",
        ".S",
        ".toml",
        ".sh",
        ".j2",
        ".js",
        ".css",
        ".cmd",
        ".inf",
        "Makefile",
    } <= kinds


def test_every_source_begins_with_its_licence() -> None:
    assert [str(p.relative_to(ROOT)) for p in SOURCES if not _licensed(p.read_text("utf-8"))] == []


@pytest.mark.parametrize(
    ("text", "licensed"),
    [
        (f"# {LICENCE}\nimport os\n", True),
        (f"#!/bin/sh\n# {LICENCE}\n", True),
        (f"@echo off\nrem {LICENCE}\n", True),
        (f"import os\n# {LICENCE}\n", False),
        ("", False),
    ],
)
def test_where_a_licence_has_to_stand(text: str, licensed: bool) -> None:
    assert _licensed(text) is licensed


def test_no_file_of_python_is_too_long() -> None:
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in SOURCES if path.suffix == ".py"}
    assert {str(p.relative_to(ROOT)) for p, n in lengths.items() if n > LONGEST} == set()
