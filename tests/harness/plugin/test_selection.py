# SPDX-License-Identifier: Apache-2.0
"""Selection by rule, route, tag and id means what it says."""

from __future__ import annotations

import pytest

from harness.errors import UsageError
from harness.plugin.selection import Described, Filters
from tests.harness.plugin.test_plugin import Run, run

__all__ = ["run"]

pytest_plugins = ["pytester"]

ITEMS = [
    Described("success.control-code.irp", ("H1", "H8", "H10"), ("irp",), ("smoke",)),
    Described("success.layout", ("H10",), ("irp",), ("layout",)),
    Described("callback.order", ("H8",), ("irp",), ("callback",)),
    Described("length.zero.call", ("H4",), ("call",), ("length",)),
    Described("test_the_pin_recovers[call]"),
]


def chosen(**said: list[str]) -> list[str]:
    filters = Filters.of(**said)
    return [item.id for item in ITEMS if filters.takes(item)]


@pytest.mark.parametrize(
    ("said", "ids"),
    [
        ({"rules": ["H1"]}, ["success.control-code.irp"]),
        ({"rules": ["h10"]}, ["success.control-code.irp", "success.layout"]),
        ({"routes": ["call"]}, ["length.zero.call"]),
        ({"tags": ["layout", "length"]}, ["success.layout", "length.zero.call"]),
        ({"rules": ["H10"], "tags": ["smoke"]}, ["success.control-code.irp"]),
        ({"rules": ["H8"], "routes": ["irp"], "ids": ["callback.*"]}, ["callback.order"]),
        ({"ids": ["success.layout"]}, ["success.layout"]),
        ({"ids": ["success"]}, []),
        ({"ids": ["*.CALL"]}, ["length.zero.call"]),
        ({"ids": ["test_the_pin_recovers[call]"]}, ["test_the_pin_recovers[call]"]),
        ({}, [item.id for item in ITEMS]),
    ],
    ids=str,
)
def test_whole_words_are_taken(said: dict[str, list[str]], ids: list[str]) -> None:
    assert chosen(**said) == ids


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (
            {"rules": ["H11"]},
            r"^--rule: there is no rule 'H11' \(there are: H1, H2, .*, H10, arguments, characteristic\)$",
        ),
        (
            {"routes": ["cal"]},
            r"^--route: there is no route 'cal' \(there are: call, irp, sync, event, port, apc\)$",
        ),
        ({"tags": [""]}, r"^--tag: is empty"),
        ({"ids": [""]}, r"^--id: is empty"),
    ],
    ids=str,
)
def test_a_word_that_there_is_not_is_told(said: dict[str, list[str]], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Filters.of(**said)


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"tags": ["smok"]}, "--tag: none of the 5 items there has smok (did you mean smoke?)"),
        ({"tags": ["xyz"]}, "--tag: none of the 5 items there has xyz (there are: callback, layout, len"),
        ({"ids": ["lenght.*"]}, "--id: none of the 5 items there has lenght.* (did you mean length.*"),
        ({"ids": ["SUCCESS.LAYOT"]}, "(did you mean success.layout"),
        ({"ids": ["nothing"]}, "(kshs list shows what there is)"),
        ({"rules": ["H5"]}, "--rule: none of the 5 items there has H5 (there are: H1, H10, H4, H8)"),
        (
            {"rules": ["H4"], "routes": ["irp"]},
            "none of the 5 items there has all of this: --rule H4 --route irp",
        ),
    ],
    ids=str,
)
def test_where_nothing_is_left_the_option_and_its_neighbours_are_told(
    said: dict[str, list[str]], says: str
) -> None:
    assert says in str(Filters.of(**said).why_nothing(ITEMS))


def test_plain_pytest_has_the_options(run: Run) -> None:
    result = run("--kshs-rule=H5", "--kshs-tag=modes")
    result.assert_outcomes(passed=1, deselected=3)


def test_a_rule_is_not_the_beginning_of_another(run: Run) -> None:
    result = run("--kshs-rule=H1")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --rule: none of the 4 items there has H1 *"])


@pytest.mark.parametrize("words", [(), ("-n2",)], ids=["one process", "workers"])
def test_where_nothing_is_selected_no_guest_is_made_and_it_is_told(run: Run, words: tuple[str, ...]) -> None:
    result = run("--kshs-tag=mods", *words)
    said = result.outlines + result.errlines
    assert result.ret in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED)
    assert "ERROR: --tag: none of the 4 items there has mods (did you mean modes?)" in said
    assert not any("preparing nothing" in line for line in said)


def test_a_wrong_word_ends_before_anything_is_collected(run: Run) -> None:
    result = run("--kshs-route=cal")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert not any("collected" in line for line in result.outlines)
