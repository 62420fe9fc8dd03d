# SPDX-License-Identifier: Apache-2.0
"""What a run's coverage says, as a page and for other tools, and what is refused of it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from harness.coverage.figures import ModuleFigures, figures, ranges, summary
from harness.coverage.interchange import cobertura, lcov
from harness.coverage.merging import merge
from harness.coverage.model import CoveredBlock, RunCoverage, members, read
from harness.coverage.page import render
from harness.errors import UsageError
from tests.harness.coverage.code import run_coverage


@pytest.fixture
def coverage(tmp_path: Path) -> RunCoverage:
    return run_coverage(tmp_path)


@pytest.fixture
def of_module(coverage: RunCoverage) -> ModuleFigures:
    return figures(coverage, coverage.modules[0])


def test_figures_tell_scenarios_from_what_every_run_does(of_module: ModuleFigures) -> None:
    assert str(of_module.line_share) == "6 of 8 (75.0%)"
    assert of_module.by_lines.bit_count() == 4
    assert str(of_module.function_share) == "2 of 3 (66.6%)"
    assert str(of_module.byte_share) == "60 of 80 (75.0%)"
    assert of_module.counts == (2, 2, 1, 1, 0, 0, 0, 0)
    assert of_module.only == {2: 1, 3: 0}
    assert of_module.unreached() == {0: [12, 14]}
    assert summary([of_module]) == [
        "m.sys: lines 6 of 8 (75.0%), functions 2 of 3 (66.6%), code 75.0%, 6 blocks"
    ]


def test_lcov_has_each_line_and_function(of_module: ModuleFigures, tmp_path: Path) -> None:
    text = lcov([of_module])
    assert text.splitlines()[:2] == ["TN:m_sys", f"SF:{tmp_path / 'add.c'}"]
    assert re.findall(r"^DA:(.+)$", text, re.MULTILINE) == [
        "5,2",
        "7,2",
        "8,1",
        "9,1",
        "12,0",
        "14,0",
        "17,1",
        "19,1",
    ]
    assert "FN:5,Add" in text and "FNDA:0,Unused" in text
    assert text.endswith("FNF:3\nFNH:2\n" + text[text.index("DA:5") :])
    assert "LF:8\nLH:6\nend_of_record\n" in text


def test_cobertura_counts_alike(of_module: ModuleFigures, tmp_path: Path) -> None:
    root = etree.fromstring(cobertura([of_module], version="1", timestamp=7))
    assert (root.get("lines-covered"), root.get("lines-valid"), root.get("line-rate")) == ("6", "8", "0.7500")
    (one,) = root.iter("class")
    assert one.get("filename") == str(tmp_path / "add.c")
    assert [(line.get("number"), line.get("hits")) for line in one.iter("line")][:3] == [
        ("5", "2"),
        ("7", "2"),
        ("8", "1"),
    ]


def test_a_module_without_lines_is_not_covered_for_other_tools(coverage: RunCoverage) -> None:
    closed = coverage.modules[0].model_copy(update={"lines": (), "files": (), "blocks": ()})
    bare = coverage.model_copy(update={"modules": (closed,), "ran": ()})
    root = etree.fromstring(cobertura([figures(bare, closed)], version="1", timestamp=7))
    assert (root.get("line-rate"), root.get("lines-valid"), list(root.iter("package"))) == ("0.0000", "0", [])
    assert lcov([figures(bare, closed)]) == ""


def test_a_rate_says_all_only_of_all(coverage: RunCoverage) -> None:
    module = coverage.modules[0].model_copy(update={"lines": tuple((0, n) for n in range(1, 30_001))})
    many = replace(figures(coverage, coverage.modules[0]), module=module, counts=(0,) * 30_000)
    nearly = replace(many, lines=(1 << 30_000) - 2)
    assert b'line-rate="0.9999"' in cobertura([nearly], version="1", timestamp=7)
    assert b'line-rate="1.0000"' in cobertura(
        [replace(many, lines=nearly.lines | 1)], version="1", timestamp=7
    )


def test_no_name_breaks_what_other_tools_read(coverage: RunCoverage) -> None:
    module = coverage.modules[0]
    file = module.files[0].model_copy(update={"shown": "a\x01\nSF:b\udc80ü.c"})
    twice = (*module.functions, module.functions[1].model_copy(update={"name": "Add", "offset": 0x2000}))
    bad = module.model_copy(update={"files": (file,), "functions": twice, "name": "m\x02.sys"})
    of = figures(coverage.model_copy(update={"modules": (bad,)}), bad)
    text = lcov([of])
    assert text.count("\nSF:") == 1 and "SF:a??SF:b?ü.c\n" in text
    assert text.count("FN:") == 3 and "FNF:3\n" in text, "a name is one function's"
    (one,) = etree.fromstring(cobertura([of], version="1", timestamp=7)).iter("class")
    assert one.get("filename") == "a??SF:b?ü.c"


def test_bytes_of_no_function_do_not_count_as_a_functions(coverage: RunCoverage) -> None:
    """A leaf function that is not exported is in no table: it must not make up for what was not reached."""
    module = coverage.modules[0]
    where = module.functions[0].offset
    stray = CoveredBlock(offset=where + 5000, size=500)
    spans = (
        *module.blocks,
        stray,
        CoveredBlock(offset=where + 5, size=10),
        CoveredBlock(offset=where - 5, size=10),
    )
    bigger = module.model_copy(update={"blocks": spans})
    last = len(spans) - 1
    assert bigger.bytes_of(1 << last - 2) == 0
    assert bigger.bytes_of(1 | 1 << last - 2) == 10
    assert bigger.bytes_of(1 | 1 << last - 1) == 15, "each once"
    assert bigger.bytes_of(1 << last) == 5
    assert bigger.bytes_of((1 << last + 1) - 1) == 80


def test_lines_of_the_page_are_those_of_the_compiler(coverage: RunCoverage) -> None:
    """A form feed or a line separator ends no line."""
    module = coverage.modules[0]
    text = "/*\f\u2028\x1c*/\r\n" + "".join(f"line {n};\n" for n in range(2, 20))
    spoilt = module.model_copy(update={"files": (module.files[0].model_copy(update={"text": text}),)})
    page = render(coverage, [figures(coverage, spoilt)])
    assert re.search(r'<td class="n">8</td><td class="n">1</td><td>line 8;', page)


def test_the_page_shows_the_source_and_who_reaches_it(
    coverage: RunCoverage, of_module: ModuleFigures
) -> None:
    page = render(coverage, [of_module])
    assert re.search(r'<tr class="one" title="two"><td class="n">8</td>', page)
    assert re.search(r'<tr class="miss"><td class="n">14</td>', page)
    assert re.search(r'<tr class="phase"><td class="n">19</td>', page)
    assert "not reached: 12, 14" in page


def test_nothing_of_a_guest_or_a_file_becomes_markup(coverage: RunCoverage) -> None:
    evil = "<script>alert(1)</script>"
    module = coverage.modules[0]
    source = module.files[0].model_copy(update={"text": f"{evil}\n" * 20, "shown": evil})
    function = module.functions[1].model_copy(update={"name": evil})
    spoilt = module.model_copy(
        update={
            "name": evil,
            "files": (source,),
            "functions": (module.functions[0], function, *module.functions[2:]),
        }
    )
    ran = tuple(
        one.model_copy(update={"id": evil, "blocks": {evil: one.blocks.get("m.sys", 0)}})
        for one in coverage.ran
    )
    bad = coverage.model_copy(
        update={"modules": (spoilt,), "ran": ran, "notes": (evil,), "run": {"target": evil}}
    )
    page = render(bad, [figures(bad, spoilt)])
    assert "<script" not in page and page.count("&lt;script&gt;") > 20


def test_it_is_read_as_it_was_written(coverage: RunCoverage, tmp_path: Path) -> None:
    (tmp_path / "coverage.json").write_text(coverage.as_json())
    assert read(tmp_path).as_json() == coverage.as_json()
    assert read(tmp_path / "coverage.json").schema_ == 1


def _without_file(value: dict[str, Any]) -> None:
    value["modules"][0]["files"] = []


def _with_bits(value: dict[str, Any], bits: Any) -> None:
    value["ran"][0]["blocks"] = {"m.sys": bits}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda value: value.update(schema=2), "schema"),
        (_without_file, "stands for nothing"),
        (lambda value: _with_bits(value, "fffff"), "stands for nothing"),
        (lambda value: _with_bits(value, "-1"), "not negative"),
        (lambda value: _with_bits(value, "x"), "ran.0.blocks"),
        (lambda value: value["modules"][0]["blocks"][0].update(lines=[99]), "stands for nothing"),
        (lambda value: value["modules"][0].pop("name"), "modules.0.name"),
        (lambda value: value["modules"].append(value["modules"][0]), "two modules in it have one name"),
        (lambda value: value["modules"][0]["blocks"][0].update(size=-1), "stands for nothing"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(
    coverage: RunCoverage, tmp_path: Path, spoil: Any, words: str
) -> None:
    value = json.loads(coverage.as_json())
    spoil(value)
    (tmp_path / "coverage.json").write_text(json.dumps(value))
    with pytest.raises(UsageError, match=words) as refused:
        read(tmp_path)
    assert "\n" not in str(refused.value)


def test_small_parts() -> None:
    assert ranges([1, 2, 3, 5, 7, 8]) == "1-3, 5, 7-8"
    assert list(members(0b10110)) == [1, 2, 4]


# ---- several runs -------------------------------------------------------------------


def test_runs_are_joined_by_what_is_the_same_in_them(coverage: RunCoverage, tmp_path: Path) -> None:
    module = coverage.modules[0]
    # The other run met the blocks in another order, and only some of them.
    other = coverage.model_copy(
        update={
            "run": {"target": "other", "guest": "wine"},
            "modules": (module.model_copy(update={"blocks": (module.blocks[5], module.blocks[2])}),),
            "ran": (coverage.ran[1].model_copy(update={"blocks": {"m.sys": 0b11}}),),
        }
    )
    both = merge([coverage, other])
    assert both.run["target"] == "sample, other"
    assert [len(one.blocks) for one in both.modules] == [len(module.blocks)]
    assert {one.id: one.blocks.get("m.sys", 0) for one in both.scenarios} == {
        "one": 0b101111,
        "two": 0b0111,
        "test_x.py::test_y": 0,
    }
    assert figures(both, both.modules[0]).unreached() == {0: [12]}


def test_other_builds_are_not_joined(coverage: RunCoverage) -> None:
    for update, words in (({"sha256": "1" * 64}, "two builds"), ({"lines": ()}, "has lines")):
        changed = coverage.modules[0].model_copy(update=update)
        with pytest.raises(UsageError, match=words):
            merge([coverage, coverage.model_copy(update={"modules": (changed,)})])
