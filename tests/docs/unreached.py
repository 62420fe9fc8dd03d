# SPDX-License-Identifier: Apache-2.0
"""docs/unreached.md: the lines of our own drivers that no suite reaches, each with its reason."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.coverage.figures import figures
from harness.coverage.model import RunCoverage
from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "unreached.md"
MODULES = {"avshs.sys": "drivers/avshs", "ks.sys": "drivers/refks"}
"""The modules that the page is about, and where most of their sources are."""

#: What may be reached by one run and not by the next: a row of it does not promise that it is unreached.
RARE = "rare"

_CELL = re.compile(r"(?<!\\)\|")
_CODE = re.compile(r"``? ?(.+?) ?``?(?=<br>|$)")
_BEGINS = re.compile(r"^[A-Za-z_][^;={]*?\b(\w+)\s*\([^;]*$")


@dataclass(frozen=True, order=True)
class Line:
    """A line of a source by what it says: numbers change with every line above it."""

    file: str
    function: str
    text: str


def named(text: str) -> dict[int, str]:
    """Of each line of C, by its number, the function that it lies in; empty outside of any.

    Ours begin in the first column, and end with a brace there.
    """
    found: dict[int, str] = {}
    inside = begun = ""
    for number, line in enumerate(text.splitlines(), start=1):
        match = _BEGINS.match(line)
        if match and not line.startswith(("typedef", "struct", "enum", "extern")):
            begun = match[1]
        if line.startswith("{"):
            inside = begun
        found[number] = inside or (begun if match else "")
        if line.startswith("}"):
            inside = begun = ""
    return found


def short(path: str) -> str:
    """A file as the page calls it: from its driver's folder on, of the toolchain's headers the name."""
    place = Path(path)
    return "/".join(place.parts[-2:]) if "drivers" in place.parts else place.name


def unreached(coverage: RunCoverage, module: str) -> set[Line]:
    """The lines of a module that nothing in a run has reached.

    Raises:
        LookupError: the module is not in it, or has no lines there, or not the text of one of its sources.
    """
    of = coverage.module(module)
    if of is None or not of.lines:
        raise LookupError(f"the run knows no lines of {module}")
    found = set()
    for file, numbers in figures(coverage, of).unreached().items():
        source = of.files[file]
        text = source.text
        if text is None:  # the toolchain's own headers, which are not kept
            path = Path(source.path)
            text = path.read_text("utf-8", "replace") if path.is_file() else None
        if text is None:
            raise LookupError(f"the run does not have the text of {source.path}")
        functions, lines = named(text), text.splitlines()
        found |= {
            Line(short(source.shown), functions[number], " ".join(lines[number - 1].split()))
            for number in numbers
        }
    return found


def documented(page: Path = PAGE) -> dict[str, dict[Line, str]]:
    """By module, the lines of its table with the word of their reason.

    Raises:
        ValueError: a row does not have its four columns.
    """
    found: dict[str, dict[Line, str]] = {}
    module = ""
    for number, line in enumerate(page.read_text("utf-8").splitlines(), start=1):
        if line.startswith("## "):
            module = next((name for name in MODULES if name in line), "")
        if module and line.startswith("| `"):
            cells = [cell.strip().replace("\\|", "|") for cell in _CELL.split(line)[1:-1]]
            if len(cells) != 4:
                raise ValueError(f"{page.name}:{number}: a row has a file, a function, lines and a reason")
            file, function, texts, reason = cells
            found.setdefault(module, {}).update(
                {Line(file.strip("`"), function.strip("`"), text): reason for text in _CODE.findall(texts)}
            )
    return found


def reasons(page: Path = PAGE) -> set[str]:
    """The words that the page explains."""
    return set(re.findall(r"^- \*\*(\w+)\*\*: ", page.read_text("utf-8"), re.M))


def table(lines: Iterable[tuple[Line, str]]) -> Iterator[str]:
    """Rows of the page for these lines with their reasons: those of one function and reason share one."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for line, reason in sorted(lines):
        rows.setdefault((line.file, line.function, reason), []).append(line.text)
    for (file, function, reason), texts in rows.items():
        code = "<br>".join(f"`{text}`" for text in texts).replace("|", "\\|")
        yield f"| `{file}` | `{function}` | {code} | {reason} |"
