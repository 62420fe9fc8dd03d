# SPDX-License-Identifier: Apache-2.0
"""The worked example of docs/gate.md: its commands say, word for word, what the page says."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harness import cli
from harness.gate.rule_names import RuleName
from tests.docs.pages import ROOT, blocks
from tests.docs.test_nights import agrees, steps
from tests.harness.gate import scene as scenes
from tests.harness.gate.scene import WRONG, Scene, prepared

EXAMPLE = [block for block in blocks() if block.page.name == "gate.md"]
SESSION = [block for block in EXAMPLE if block.language == "console"]
POLICY = next(block for block in EXAMPLE if "last.json" in block.text and block.language == "toml")
#: The page's day, which is past when somebody reads it.
DAY = "2026-03-31"


@pytest.fixture
def scene(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """As the page begins: runs that are not imported yet, and the statement of the last release."""
    # The commands have the clock of this machine.
    monkeypatch.setattr(scenes, "NOW", datetime.now(UTC).replace(microsecond=0))
    made = Scene(tmp_path, prepared(tmp_path_factory.mktemp("packages")))
    made.candidate, candidate = made.released, made.candidate
    made.edit('package = "released"\nrun = "released"', "first = true")
    made.take()
    made.state(tmp_path / "last.json")
    made.store.close()
    (tmp_path / "store.db").unlink()
    made.candidate = candidate
    made.fail(two=WRONG)
    for run in made.runs.values():
        run.write(tmp_path / "out")
    (tmp_path / "gate.toml").write_text(POLICY.text)
    (tmp_path / "kshs.toml").write_text('[store]\nurl = "store.db"\n')
    return made


def test_the_worked_example(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(scene.folder)
    day = f"{(scenes.NOW + timedelta(days=30)).date()}"
    assert len(SESSION) == 3
    for block in SESSION:
        for command, shown in steps(block):
            with pytest.raises(SystemExit):
                cli.main([word.replace(DAY, day) for word in shlex.split(command)[1:]])
            said = capsys.readouterr()
            lines = (said.out + said.err).splitlines()
            assert agrees([line.replace(DAY, day) for line in shown], lines), f"$ {command}\n" + "\n".join(
                lines
            )


def test_the_page_has_every_rule() -> None:
    text = (ROOT / "docs" / "gate.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]
    assert [row for row in rows if row in set(RuleName)] == [rule.value for rule in RuleName]
