# SPDX-License-Identifier: Apache-2.0
"""Which scenarios a change of a source concerns."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.coverage.c_text import Shape, changes, code_lines
from harness.coverage.changed import choose
from harness.coverage.model import (
    CoveredBlock,
    CoveredFunction,
    ModuleCoverage,
    Ran,
    RunCoverage,
    SourceFile,
)
from harness.errors import UsageError
from tests.harness.coverage.code import CODE, SOURCE, run_coverage

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
        # What is taken out may make what follows depend on the condition before it.
        ("        return b;\n", "", [ONE, TWO]),
        # So may what decides which statements are executed, and more statements than there were.
        ("return b;", "return b; else return a;", [ONE, TWO]),
        ("return b;", "a++; return b;", [ONE, TWO]),
        ("return b;", "while (a) a++;", [ONE, TWO]),
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


BRANCHES = """\
#include <ntddk.h>
static int Limit(void) { return 4; }
int g_more = 5;

int Pick(int a, int b)
{
    switch (a) {
    case 3: b = 1;
        break;
    default: b = 2;
    }
    if (a == 4
        || b == 7) {
        b = 3;
    } else
        b = Limit();
    return b; }
static int tail = 1;
static int Folded(int a)
{
    return a;
}
static const char text[] = "a  {  b";

int Other(int a)
{
    tail++;
    return a;
}
"""


def branches(folder: Path, new: str) -> list[str]:
    """Scenarios of a file in which each line of `Pick` and `Other` has a scenario of its own."""
    source = folder / "pick.c"
    source.write_text(new)
    lines = (6, 7, 8, 10, 12, 13, 14, 16, 17, 20, 27, 28)
    module = ModuleCoverage(
        name="p.sys",
        sha256="1" * 64,
        code_bytes=100,
        files=(SourceFile(path="pick.c", shown=str(source), text=BRANCHES),),
        lines=tuple((0, line) for line in lines),
        # Where a function's first instruction is of a later line, the function only seems to begin there.
        functions=tuple(
            CoveredFunction(name=name, offset=CODE + at, size=10, file=0, line=line)
            for name, at, line in (("Pick", 0, 7), ("Other", 50, 28))
        ),
        blocks=tuple(CoveredBlock(offset=CODE + n, size=1, lines=(n,)) for n in range(len(lines))),
    )
    ran = tuple(
        Ran(kind="scenario", file="p.toml", id=f"at{line}", blocks={"p.sys": 1 << n})
        for n, line in enumerate(lines)
    )
    found = choose(RunCoverage(schema=1, modules=(module,), ran=ran), [source])
    return [one.removeprefix("p.toml::at") for one in found.scenarios]


PICK, OTHER = ["6", "7", "8", "10", "12", "13", "14", "16", "17"], ["27", "28"]
FOLDED = ["20"]


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("b = 3;", "b = 4;", ["14"]),
        ("tail++;", "tail--;", ["27"]),
        # Whoever did not come there may now come.
        ("case 3: b = 1;", "case 4: b = 1;", PICK),
        ("|| b == 7)", "&& b == 7)", PICK),
        ("    } else\n        b = Limit();", "    }\n        b = Limit();", PICK),
        # A line of code that is not where the function begins by its first instruction.
        ("int Other(int a)\n{\n    tail++;", "int Other(int a)\n{\n    int c;\n    tail++;", OTHER),
        # Nothing is left of a function in the code, or only its line: what it says went elsewhere.
        ("return 4;", "return 5;", [*PICK, *FOLDED, *OTHER]),
        # Data beside functions: whoever is in the module may use it, right behind a brace, too.
        ("int g_more = 5;", "int g_more = 6;", [*PICK, *FOLDED, *OTHER]),
        ("static int tail = 1;", "static int tail = 2;", [*PICK, *FOLDED, *OTHER]),
        # Spaces in a string are none between words.
        ("a  {  b", "a {  b", [*PICK, *FOLDED, *OTHER]),
    ],
)
def test_nobody_is_left_out_whom_a_change_may_concern(
    tmp_path: Path, old: str, new: str, wanted: list[str]
) -> None:
    assert BRANCHES.count(old) == 1
    assert branches(tmp_path, BRANCHES.replace(old, new)) == wanted


def test_what_is_included_elsewhere_may_concern_everything(coverage: RunCoverage, tmp_path: Path) -> None:
    """A macro of an .inl has no line anywhere, and whoever uses it may be in another file."""
    module = coverage.modules[0]
    shown = tmp_path / "add.inl"
    source = module.files[0].model_copy(update={"shown": str(shown)})
    named = module.model_copy(update={"files": (source,)})
    shown.write_text(f"#define MORE 1\n{SOURCE}")
    found = choose(coverage.model_copy(update={"modules": (named,)}), [shown])
    assert list(found.scenarios) == [ONE, TWO, TEST]


@pytest.mark.parametrize(
    ("text", "bodies"),
    [
        ("int f(void)\n{\n}\n", [(1, 2, 3)]),
        ('extern "C" {\nint f(void) { return 1; }\n}\n', [(2, 2, 2)]),
        ("namespace a {\nint A::f(int b) const\n{\n}\n}", [(2, 3, 4)]),
        ("int f(\n int a,\n int b)\n{ if (a) { b++; }\n}", [(1, 4, 5)]),
        ("static T t[] = {\n { 1, F(2) },\n};\nint f(void);", [(4, 4, 4)]),
        ("struct __declspec(align(8)) {\n int a;\n} s;", []),
        ("char c = '{';\nint f(void)\n{\n char *a = \"}}\";\n}", [(2, 3, 5)]),
        ("#if A\nint f(int a) {\n#else\nint f(long a) {\n#endif\n}", []),
        ("int f(void)\n{\n}\n}\n", []),
        ("DEFINE(a, b);\nint\nf(int a) { return a; }", [(2, 3, 3)]),
    ],
)
def test_functions_are_found_by_their_braces(text: str, bodies: list[tuple[int, int, int]]) -> None:
    found = Shape(code_lines(text)).functions
    assert [(one.begin, one.opened, one.closed) for one in found] == bodies


def test_lines_end_where_compilers_end_them() -> None:
    assert code_lines("a\fb\u2028c\r\nd\re") == ["a b c", "d", "e"]
