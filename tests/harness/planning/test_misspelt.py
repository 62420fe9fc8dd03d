# SPDX-License-Identifier: Apache-2.0
"""Names that a target has not, but nearly, in scenarios of one's own and in the catalogue."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.language.scenario_file import CATALOGUE, LocatedScenario, load_located
from harness.planning import misspelt as module
from harness.planning.misspelt import misspelt
from tests.harness.fake_guest import TARGET

HEAD = 'schema = 1\n\n[[scenario]]\nid = "own.one"\ntitle = "one of ours"\nrule = "H4"\n'


def one(path: Path, body: str) -> LocatedScenario:
    path.write_text(HEAD + body)
    (located,) = load_located(path)
    return located


@pytest.mark.parametrize(
    ("body", "line", "said"),
    [
        (
            'open = ["sorce"]\nsteps = [{ do = "handshake", on = "sorce" }]\n',
            7,
            "open[0]: target sim has no pin sorce (did you mean 'source'?)",
        ),
        (
            'open = [\n  "filter",\n  "source -> sinc",\n]\nsteps = [{ do = "handshake", on = "source" }]\n',
            9,
            "open[1]: target sim has no pin sinc (did you mean 'sink'?)",
        ),
        (
            'open = ["source"]\nsteps = [\n  { do = "handshake", on = "source" },\n'
            '  { do = "handshake", on = "source", protocol = "acepted" },\n]\n',
            10,
            "steps[1].protocol: target sim has no protocol 'acepted' (did you mean 'accepted'?)",
        ),
        (
            'steps = [\n  { do = "behaviour", pin = "sorce", kind = "echo" },\n]\n',
            8,
            "steps[0].pin: target sim has no pin sorce (did you mean 'source'?)",
        ),
        (
            'open = ["source"]\nsteps = [\n'
            '  { do = "seen", pin = "source", expect = { protocol = "nul" } },\n]\n',
            9,
            "steps[0].expect.protocol: target sim has no protocol 'nul' (did you mean 'null'?)",
        ),
    ],
)
def test_it_is_told_with_its_place(tmp_path: Path, body: str, line: int, said: str) -> None:
    located = one(tmp_path / "own.toml", body)
    assert misspelt(located, TARGET, "own.toml") == f"own.toml:{line}: own.one, {said}"


def test_names_that_are_right_or_another_targets_are_not_misspelt(tmp_path: Path) -> None:
    for pin in ("source", "clock"):
        body = f'open = ["{pin}"]\nsteps = [{{ do = "handshake", on = "{pin}" }}]\n'
        assert misspelt(one(tmp_path / "own.toml", body), TARGET, "own.toml") is None


def test_the_catalogue_is_for_every_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert module.is_portable(load_located(CATALOGUE / "mode.toml")[0])
    located = one(tmp_path / "own.toml", 'open = ["sorce"]\nsteps = [{ do = "handshake", on = "sorce" }]\n')
    assert not module.is_portable(located)
    monkeypatch.setattr(module, "CATALOGUE", tmp_path)
    assert misspelt(located, TARGET, "own.toml") is None
