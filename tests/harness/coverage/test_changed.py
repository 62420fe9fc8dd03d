# SPDX-License-Identifier: Apache-2.0
"""Which scenarios a change of a source concerns."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.coverage.changed import changes, choose, code_lines
from harness.coverage.model import RunCoverage
from harness.errors import UsageError
from tests.harness.coverage.code import SOURCE, run_coverage

ONE, TWO, TEST = "catalogue/a.toml::one", "catalogue/a.toml::two", "test_x.py::test_y"


@pytest.fixture
def coverage(tmp_path: Path) -> RunCoverage:
    return run_coverage(tmp_path)


def chosen(coverage: RunCoverage, folder: Path, old: str, new: str) -> tuple[list[str], str]:
    assert SOURCE.count(old) == 1
    (folder / "add.c").write_text(SOURCE.replace(old, new))
    found = choose(coverage, [folder / "add.c"])
    assert found.notes, "what was left out is always said"
    return list(found.scenarios), "\n".join(found.notes)


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("return b;", "return -b;", [TWO]),
        ("return a + b;", "return a - b;", [ONE]),
        ("if (a < 0)", "if (a <= 0)", [ONE, TWO]),
        # What is put in stands between lines: whoever is in the function may come by.
        ("        return b;\n", "        b++;\n        return b;\n", [ONE, TWO]),
        ("{\n    if (a", "{\n    int c = a;\n    if (c", [ONE, TWO]),
        ("        return b;\n", "", [TWO]),
        # In no function: the whole file.
        ("static int count;", "static long count;", [ONE, TWO]),
        ("#include <ntddk.h>", "#include <wdm.h>", [ONE, TWO]),
        ("static int count;", "static int count;\n#define int long", [ONE, TWO]),
        ("static int count;", "static int count;\nint more(void)\n{\n    return 1;\n}", [ONE, TWO]),
        # No change, or none that anybody reached.
        ("/* adds */", "/* adds\n * numbers */\n", []),
        ("    return a + b;", "  return a  +  b; // sum", []),
        ("return a * 2;", "return a * 3;", []),
        # Every run does that: one is enough.
        ("count = 1;", "count = 2;", [ONE]),
    ],
)
def test_scenarios_are_those_that_reached_what_has_changed(
    coverage: RunCoverage, tmp_path: Path, old: str, new: str, wanted: list[str]
) -> None:
    assert chosen(coverage, tmp_path, old, new)[0] == wanted


def test_what_was_left_out_is_said(coverage: RunCoverage, tmp_path: Path) -> None:
    _, notes = chosen(coverage, tmp_path, "return b;", "return -b;")
    assert "2 scenarios of 3" in notes
    _, notes = chosen(coverage, tmp_path, "return a * 2;", "return a * 3;")
    assert re.search(r"add\.c:14, which no scenario reached in m\.sys", notes)
    _, notes = chosen(coverage, tmp_path, "/* adds */", "/* sums */")
    assert "nothing has changed" in notes


def test_a_file_that_went_concerns_all_that_reached_it(coverage: RunCoverage, tmp_path: Path) -> None:
    (tmp_path / "add.c").unlink()
    assert list(choose(coverage, [tmp_path / "add.c"]).scenarios) == [ONE, TWO]


def test_a_source_of_which_nothing_is_known_may_concern_everything(
    coverage: RunCoverage, tmp_path: Path
) -> None:
    for name in ("add.h", "add.inf", "more.c"):
        (tmp_path / name).write_text("x")
        found = choose(coverage, [tmp_path / name])
        assert list(found.scenarios) == [ONE, TWO, TEST]
        assert any("no line of" in note for note in found.notes)


def test_other_files_are_left_out_by_name(coverage: RunCoverage, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("x")
    found = choose(coverage, [tmp_path / "README.md"])
    assert not found.scenarios and "README.md" in found.notes[0]


def test_a_scenario_file_concerns_its_scenarios(coverage: RunCoverage, tmp_path: Path) -> None:
    (tmp_path / "catalogue").mkdir()
    file = tmp_path / "catalogue" / "a.toml"
    file.write_text("x")
    assert list(choose(coverage, [file]).scenarios) == [ONE, TWO]


def test_a_name_that_nothing_has_is_refused(coverage: RunCoverage, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        choose(coverage, [tmp_path / "ad.c"])


def test_without_the_text_of_then_all_of_the_file_counts(coverage: RunCoverage, tmp_path: Path) -> None:
    module = coverage.modules[0]
    bare = module.model_copy(update={"files": (module.files[0].model_copy(update={"text": None}),)})
    found = choose(coverage.model_copy(update={"modules": (bare,)}), [tmp_path / "add.c"])
    assert list(found.scenarios) == [ONE, TWO]


def test_comments_in_texts_are_none() -> None:
    assert code_lines('a = "/* no */"; /* yes\n */ b // c\n') == ['a = "/* no */";', "b", ""]
    assert code_lines("char c = '\"'; // x") == ["char c = '\"';"]


def test_a_directive_goes_on_over_lines() -> None:
    old = code_lines("#define A \\\n  1 \\\n  2\nint a;\n")
    new = code_lines("#define A \\\n  1 \\\n  3\nint a;\n")
    assert [(one.begin, one.end, one.preprocessor) for one in changes(old, new)] == [(3, 4, True)]
