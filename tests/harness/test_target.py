from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness import target
from harness.errors import UsageError
from harness.target import TargetError

GOOD = (target.BUILTIN / "avshs.toml").read_text("utf-8")


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(text, "utf-8")
    return path


def test_the_sample_target() -> None:
    sample, file = target.find("avshs")
    assert sample.name == "avshs"
    assert sample.behaviour
    assert target.package_directory(sample, file) is None
    assert sample.find_pin("source2") is sample.find_pin(2)
    assert sample.find_pin("none") is None


def test_a_target_of_ones_own(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.replace("builtin:avshs", "package"))
    mine, file = target.find(str(path))
    with pytest.raises(UsageError, match="does not exist"):
        target.package_directory(mine, file)
    (tmp_path / "package").mkdir()
    assert target.package_directory(mine, file) == tmp_path / "package"


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("hardware_id", "hardwareid", 6, "unknown key 'hardwareid' (did you mean 'hardware_id'?)"),
        ('flow = "out"', 'flow = "up"', 22, "'up' is not one of"),
        ('category = "6B', 'category = "6', 8, "is no GUID"),
        ('accepts = ["a"]', 'accepts = ["c"]', 23, "'c' is not among [protocols] (there: a, b)"),
        ('name = "sink"', 'name = "source"', 29, "another pin is called 'source'"),
        ("id = 1", "id = 0", 28, "another pin has the id 0"),
        ("\nb = ", "\nunknown = ", 17, "scenarios use the word"),
        ("xor = ", "xr = ", 24, "did you mean 'xor'?"),
    ],
)
def test_mistakes_have_their_line(tmp_path: Path, old: str, new: str, line: int, words: str) -> None:
    with pytest.raises(TargetError) as caught:
        target.load(write(tmp_path, GOOD.replace(old, new, 1)))
    assert any(item.line == line and words in str(item) for item in caught.value.complaints), str(
        caught.value
    )


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'avshs'"):
        target.find("avsh")
    with pytest.raises(UsageError, match="one of: avshs"):
        target.find("zzzz")


def test_the_documented_example_is_good(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "scenarios.md").read_text("utf-8")
    (example,) = (block for block in re.findall(r"```toml\n(.+?)```", text, re.DOTALL) if "[[pin]]" in block)
    assert target.load(write(tmp_path, example)).name == "bridge"
