# SPDX-License-Identifier: Apache-2.0
"""Which files are scenario files, and what is told of wrong ones."""

from __future__ import annotations

import pytest

from tests.harness.plugin import test_plugin
from tests.harness.plugin.test_plugin import SCENARIOS, Run

pytest_plugins = ["pytester"]

#: Fixtures of the tests beside these.
run = test_plugin.run


def test_which_files_are_scenario_files(pytester: pytest.Pytester, run: Run) -> None:
    one = SCENARIOS.split("[[scenario]]")[1]

    def put(path: str, name: str, text: str | None = None) -> None:
        file = pytester.path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        body = f"schema = 1\n[[scenario]]{one}".replace("h4.short", name)
        file.write_text(body if text is None else text)

    put("pyproject.toml", "", "[tool.other]\nx = 1\n")
    put("a/here.scenario.toml", "by-name")
    put("a/other.toml", "not-collected")
    put("a/scenarios/x.toml", "by-directory")
    put("a/scenarios/notes.toml", "", "title = 'no scenario'\n")
    result = run("--collect-only", "-q", scenarios=None)
    assert {line.split("::")[1] for line in result.stdout.lines if "::" in line} == {
        "by-name",
        "by-directory",
    }
    result = run("--collect-only", "-q", "a/other.toml", scenarios=None)
    assert "a/other.toml::not-collected" in result.stdout.str()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("schema = 1\n[[scenario\n", "*x.toml:2: no valid TOML*"),
        ("schema = 1\n", "*there is no scenario in*"),
    ],
)
def test_a_file_that_was_named_is_told_what_is_wrong(
    pytester: pytest.Pytester, run: Run, text: str, says: str
) -> None:
    (pytester.path / "x.toml").write_text(text)
    result = run("x.toml", scenarios=None)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines([says])


def test_a_wrong_file_is_told_with_its_line_and_no_traceback(pytester: pytest.Pytester, run: Run) -> None:
    result = run(scenarios=SCENARIOS.replace('rule = "H5"', 'rule = "H55"'))
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*basic.toml:1[0-9]: *rule*"])
    assert "Traceback" not in result.stdout.str()
