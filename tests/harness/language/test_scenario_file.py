# SPDX-License-Identifier: Apache-2.0
"""Scenario files: what is read, and that every mistake is told with its line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.language import scenario_file
from harness.language.model import Handshake, Route
from harness.language.model.values import Strict
from harness.language.scenario_file import ScenarioError, load, load_all, load_located
from harness.language.toml_file import TomlFile, TomlFileError

HEAD = 'schema = 1\n[[scenario]]\nid = "a"\ntitle = "abc"\nrule = "H4"\nopen = ["source"]\n'
GOOD = HEAD + 'steps = [\n  { do = "handshake", on = "source" },\n]\n'

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "s.toml"
        path.write_text(text, "utf-8")
        return path

    return write


def complaints(path: Path) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        load(path)
    return [f"{item.line}: {item}" for item in caught.value.complaints]


def test_a_good_file(write: Write) -> None:
    (scenario,) = load(write(GOOD))
    assert scenario.id == "a"
    step = scenario.steps[0]
    assert isinstance(step, Handshake)
    assert (step.route, step.in_length, step.expect) == (Route.CALL, "size", "contract")


def test_lines_of_scenarios_and_steps(write: Write) -> None:
    (located,) = load_located(write(GOOD))
    assert located.line == 2
    assert located.step_lines == (8,)


STEP = '  { do = "handshake", on = "source", %s },\n'


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("schema = 1\nx = = 2\n", 2, ["no valid TOML"]),
        ("[[scenario]]\n", 1, ["which format", "schema = 1"]),
        ("schema = 2\n", 1, ["schema", "format 2"]),
        ("schema = 1\n", 1, ["no scenario", "[[scenario]]"]),
        ("schema = 1\nabuot = 'x'\n[[scenario]]\nid = 'a'\n", 2, ["unknown key 'abuot'", "'about'"]),
        (HEAD, 2, ["'steps' is missing"]),
        (HEAD + "steps = []\n", 7, ["steps"]),
        (GOOD.replace('rule = "H4"', 'rule = "H11"'), 5, ["'H11' is not one of", "'H1'"]),
        (GOOD.replace("title", "titel"), 4, ["unknown key 'titel'", "did you mean 'title'?"]),
        (HEAD + "steps = [\n" + STEP % 'routte = "irp"' + "]\n", 8, ["steps[0].routte", "'route'"]),
        (HEAD + "steps = [\n" + STEP % 'route = "irq"' + "]\n", 8, ["'irq' is not one of", "'irp'"]),
        (HEAD + "steps = [\n" + STEP % 'in_length = "siz-1"' + "]\n", 8, ["in_length", "no length"]),
        (HEAD + "steps = [\n" + STEP % "in_length = -1" + "]\n", 8, ["in_length", "-1"]),
        (HEAD + "steps = [\n" + STEP % "argument1 = true" + "]\n", 8, ["argument1", "number"]),
        (HEAD + "steps = [\n" + STEP % "expect = { answr = 0 }" + "]\n", 8, ["expect.answr", "'answer'"]),
        (HEAD + "steps = [\n" + STEP % 'expect.answer = "STATUS_SUCESS"' + "]\n", 8, ["STATUS_SUCCESS?"]),
        (HEAD + "steps = [\n" + STEP % 'expect = "contrakt"' + "]\n", 8, ["expect", "'contract'"]),
        (HEAD + "steps = [\n" + STEP % 'route = "sync", mode = "kernel"' + "]\n", 8, ["mode", "user mode"]),
        (HEAD + 'steps = [\n  { do = "handshak", on = "source" },\n]\n', 8, ["no kind", "'handshake'"]),
        (HEAD + 'steps = [\n  { on = "source" },\n]\n', 8, ["steps[0]", "`do`"]),
        (HEAD + 'steps = [\n  { do = "handshake", on = "sourc" },\n]\n', 8, ["steps[0].on", "'source'"]),
        (HEAD + 'steps = [\n  { do = "wait", request = "r" },\n]\n', 8, ["request", "start"]),
        (HEAD + "steps = [\n" + STEP % 'start = "r"' + "]\n", 7, ["nobody waits"]),
        (GOOD.replace('"source"]', '"source", "source"]'), 6, ["open[1]", "open already"]),
        (GOOD.replace('"source"]', '"so urce"]'), 6, ["open[0]", "form"]),
        (GOOD.replace("[\n  {", "[\n  # why\n\n  {").replace('on = "source"', 'no = "source"'), 10, ["'no'"]),
        (GOOD + "needs = ['pointer64']\n", 10, ["needs[0]", "'pointer-64'"]),
        (GOOD + "timeout_ms = 0\n", 10, ["timeout_ms"]),
        (GOOD + "[[scenario]]\nid = 'a'\ntitle = 'abc'\nrule = 'H5'\nopen = ['source']\nsteps = ["
         "{do = 'handshake', on = 'source'}]\n", 10, ["'a' is used in line 2"]),
    ],
)  # fmt: skip
def test_mistakes_have_their_line_and_say_what_to_do(
    write: Write, text: str, line: int, words: list[str]
) -> None:
    found = complaints(write(text))
    matching = [item for item in found if all(word in item for word in words)]
    assert matching, found
    assert matching[0].startswith(f"{line}: "), found


def test_sub_tables_and_dotted_keys_have_their_lines(write: Write) -> None:
    text = (
        HEAD + '[[scenario.steps]]\ndo = "handshake"\non = "source"\n\n[[scenario.steps]]\ndo = "handshake"\n'
    )
    text += 'on = "source"\nexpect.answer = "success"\nexpect.infomation = 3\n'
    found = complaints(write(text))
    assert found == [
        "15: scenario[0].steps[1].expect.infomation: unknown key 'infomation' (did you mean 'information'?)"
    ]


def test_all_mistakes_are_told_at_once(write: Write) -> None:
    found = complaints(write(GOOD.replace("title", "titel").replace('"H4"', '"H"').replace("on =", "no =")))
    assert [item.split(":")[0] for item in found] == ["2", "4", "5", "8", "8"]


def test_the_error_names_the_file(write: Write) -> None:
    path = write(GOOD.replace("title", "titel"))
    with pytest.raises(ScenarioError) as caught:
        load(path)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(f"{path}:2: ")
    assert lines[1].startswith(f"{path}:4: scenario[0].titel: ")
    assert (caught.value.line, caught.value.file) == (2, path)


# ---- cases and matrices


CASES = HEAD.replace('"a"', '"a.b"').replace('"abc"', '"abc {what}"') + (
    'cases = [\n  { id = "one", what = "x", n = 1 },\n  { id = "two", what = "y", n = "size-1" },\n]\n'
    'steps = [\n  { do = "handshake", on = "source", in_length = "{n}" },\n]\n'
)


def test_cases_make_scenarios_with_stable_ids_and_keep_types(write: Write) -> None:
    one, two = load(write(CASES))
    assert [one.id, two.id] == ["a.b.one", "a.b.two"]
    assert [one.title, two.title] == ["abc x", "abc y"]
    assert isinstance(one.steps[0], Handshake)
    assert isinstance(two.steps[0], Handshake)
    assert [one.steps[0].in_length, two.steps[0].in_length] == [1, "size-1"]


def test_a_matrix_takes_the_product_in_order(write: Write) -> None:
    text = (
        GOOD + 'matrix.route = ["call", "irp"]\nmatrix.n = [{ id = "x", len = 1 }, { id = "y", len = 2 }]\n'
    )
    text = text.replace('on = "source"', 'on = "source", route = "{route}", in_length = "{len}"')
    scenarios = load(write(text))
    assert [item.id for item in scenarios] == ["a.call.x", "a.call.y", "a.irp.x", "a.irp.y"]


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ('"{n}"', '"{wat}"', 12, ["no value for {wat}", "case 'one'", "did you mean 'what'?"]),
        ("abc {what}", "abc", 8, ["'what' is never used"]),
        ('id = "two"', 'id = "one"', 3, ["two cases have the id 'one'"]),
        ('id = "two", ', "", 9, ["cases[1]", "needs an id"]),
        ('n = "size-1"', 'n = "siz-1"', 9, ["cases[1].n", "no length", "case 'two'"]),
        ("cases = [\n", 'cases = "x"\n#', 7, ["list of tables"]),
        ('id = "a.b"', 'id = "A b"', 3, ["id", "form"]),
    ],
)
def test_mistakes_in_cases(write: Write, old: str, new: str, line: int, words: list[str]) -> None:
    text = CASES.replace(old, new)
    if new.startswith("cases"):
        text = HEAD + 'cases = "x"\nsteps = []\n'
    found = complaints(write(text))
    matching = [item for item in found if all(word in item for word in words)]
    assert matching, found
    assert matching[0].startswith(f"{line}: "), found


def test_one_mistake_in_every_case_is_told_once(write: Write) -> None:
    assert len(complaints(write(CASES.replace('on = "source"', 'on = "source", rute = 1')))) == 1


def test_an_id_in_two_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(GOOD)
    (tmp_path / "b.toml").write_text(GOOD)
    with pytest.raises(ScenarioError, match=r"b\.toml:2: id: 'a' is used in .*a\.toml:2"):
        load_all([tmp_path])


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="cannot be read"):
        load(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"schema = 1\ntitle = '\xe9'\n")
    with pytest.raises(ScenarioError, match=r":2: is not UTF-8"):
        load(tmp_path / "latin.toml")


@given(st.text(max_size=300))
def test_no_text_makes_anything_but_a_complaint(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "s.toml"
    path.write_text("schema = 1\n" + text, "utf-8")
    with pytest.raises(ScenarioError):
        load(path)


values = st.recursive(
    st.integers(-5, 5) | st.booleans() | st.sampled_from(["{a}", "source", "size-1", "call", "", "H4"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["do", "on", "id", "a", "steps", "expect", "route", "pin"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


def toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + "}"
    return str(value)


@given(
    st.dictionaries(
        st.sampled_from(["id", "title", "rule", "open", "steps", "cases", "matrix", "needs"]),
        values,
        max_size=8,
    )
)
def test_no_scenario_makes_anything_but_a_complaint(
    tmp_path_factory: pytest.TempPathFactory, table: dict[str, object]
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "s.toml"
    lines = "".join(f"{key} = {toml(value)}\n" for key, value in table.items())
    path.write_text("schema = 1\n[[scenario]]\n" + lines)
    try:
        load(path)
    except ScenarioError as error:
        assert all(2 <= item.line <= 2 + len(table) for item in error.complaints), error


def test_the_lines_of_quoted_and_dotted_keys(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(
        'a."b c".d = 1\n[t]\nx = [\n 1,\n {y = 2},\n]\n[[t.z]]\nk = 1\n[[t.z]]\nk = 2\n[t.z.sub]\nm = 1\n'
    )
    file = TomlFile(path)
    assert file.line(("a", "b c", "d")) == 1
    assert file.line(("t", "x", 1, "y")) == 5
    assert file.line(("t", "z", 0, "k")) == 8
    assert file.line(("t", "z", 1, "k")) == 10
    assert file.line(("t", "z", 1, "sub", "m")) == 12
    assert file.line(("t", "z", 1, "sub", "nothing")) == 11
    assert file.line(("nothing",)) == 1
    assert isinstance(file.fail([file.complaint(("t",), "x")]), TomlFileError)


# ---- the catalogue


def test_the_catalogue_loads_and_covers_every_rule() -> None:
    located = load_all([scenario_file.CATALOGUE])
    assert len(located) >= 150
    rules = {rule.value for item in located for rule in item.scenario.rules}
    assert rules == {*(f"H{number}" for number in range(1, 11)), "arguments", "characteristic"}
    routes = {step.route for item in located for step in item.scenario.steps if isinstance(step, Handshake)}
    assert routes == set(Route)


def test_the_documented_corners_are_in_the_catalogue() -> None:
    page = (Path(__file__).parents[3] / "docs" / "scenarios.md").read_text("utf-8")
    rows = re.findall(
        r"^\| [^|]+ \| (`.+`[^|]*) \|$", page.split("| corner |")[1].split("\n\n")[0], re.MULTILINE
    )
    assert len(rows) >= 10
    ids = [located.scenario.id for located in load_all([scenario_file.CATALOGUE])]
    for prefix in re.findall(r"`([^`]+)`", " ".join(rows)):
        assert any(one.startswith(prefix) for one in ids), prefix


def test_the_documented_examples_are_good(write: Write) -> None:
    text = (Path(__file__).parents[3] / "docs" / "scenarios.md").read_text("utf-8")
    examples = [
        block for block in re.findall(r"```toml\n(.+?)```", text, re.DOTALL) if "[[scenario]]" in block
    ]
    assert len(examples) == 4
    for example in examples:
        head = "" if example.startswith("schema") else "schema = 1\n"
        assert load(write(head + example))


def test_no_scenario_of_the_catalogue_depends_on_how_long_a_step_takes() -> None:
    """What must be inside the driver is waited for (`wait_inside`); letting time pass would hope for it."""
    sleeping = [
        located.scenario.id
        for located in load_all([scenario_file.CATALOGUE])
        if any(step.do == "sleep" for step in located.scenario.steps)
    ]
    assert sleeping == []


def test_bytes_that_are_no_text_can_be_written_down() -> None:
    class Block(Strict):
        content: bytes

    assert Block(content=b"\xd3\x00").model_dump(mode="json") == {"content": "d300"}
