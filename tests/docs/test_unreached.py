# SPDX-License-Identifier: Apache-2.0
"""The page of lines that nothing reaches stands on the sources as they are.

A run with coverage is held against it in tests/e2e/test_coverage.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.docs.unreached import MODULES, Line, documented, named, reasons, table


def test_every_row_is_a_line_of_the_sources() -> None:
    for module, rows in documented().items():
        assert rows, module
        for line in rows:
            if "/" not in line.file:  # a header of the toolchain
                continue
            text = (ROOT / "drivers" / line.file).read_text("utf-8")
            functions = named(text)
            there = {
                (functions[number], " ".join(content.split()))
                for number, content in enumerate(text.splitlines(), start=1)
            }
            assert (line.function, line.text) in there, f"{module}: {line}"


def test_every_reason_is_explained_and_given() -> None:
    given = {reason for rows in documented().values() for reason in rows.values()}
    assert documented().keys() == MODULES.keys()
    assert given == reasons()


def test_rows_are_read_as_they_are_written(tmp_path: Path) -> None:
    lines = {
        Line("refks/bag.c", "Take", "if (a || b)"): "memory",
        Line("refks/bag.c", "Take", "return 0;"): "memory",
        Line("refks/bag.c", "Take", "}"): "compiler",
    }
    page = tmp_path / "page.md"
    page.write_text("# All\n\n## ks.sys\n\n" + "\n".join(table(lines.items())) + "\n")
    assert documented(page) == {"ks.sys": lines}
    assert page.read_text().count("\n| `") == 2, "lines of one reason share a row"


def test_a_row_that_lacks_a_column_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("## ks.sys\n\n| `a.c` | `return 0;` | memory |\n")
    with pytest.raises(ValueError, match=r"page\.md:3: a row has"):
        documented(page)


def test_lines_know_their_function() -> None:
    text = (
        "static int One(int a,\n               int b)\n{\n    return Two(a);\n}\n\n"
        "int x = 3;\n\nint Two(void)\n{\n}\n"
    )
    found = named(text)
    assert [found[number] for number in (1, 3, 4, 5, 7, 9, 11)] == ["One"] * 4 + ["", "Two", "Two"]
