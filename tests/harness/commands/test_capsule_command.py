# SPDX-License-Identifier: Apache-2.0
"""``kshs capsule``, ``repro`` and ``minimize`` as they are typed: what they say, and how they end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drivers import build
from harness import cli
from harness.capsule.playing import NotPlayableError
from harness.commands import replay_inputs
from harness.guests.package import LoadedTarget
from harness.language import scenario_file
from harness.language.model.scenario import Scenario
from tests.harness.capsule.made import capsule, package, scenario
from tests.harness.capsule.test_minimizing import FakePlayer
from tests.harness.capsule.test_opened import run_folder
from vm.keeper import KeptGuest

from tests.harness.capsule.made import loaded_target, result  # isort: skip


def kshs(capsys: pytest.CaptureFixture[str], *words: Any) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    with pytest.raises(SystemExit) as ended:
        cli.main(list(map(str, words)))
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


class _Context(FakePlayer):
    def __enter__(self) -> _Context:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A capsule, and guests in which a scenario fails where a predicate says so."""

    def make(fails: Callable[[Scenario], bool]) -> Path:
        monkeypatch.setattr(replay_inputs.Unpacked, "player", lambda self, say: _Context(fails))
        monkeypatch.setattr(replay_inputs, "find_target", lambda name, config: name)
        return capsule(tmp_path)

    return make


def asks_unknown(of: Scenario) -> bool:
    return any(getattr(step, "protocol", None) == "unknown" for step in of.steps)


def test_from_a_run_to_a_capsule_and_out_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = loaded_target(tmp_path)
    found = package(tmp_path)
    monkeypatch.setattr(build, "build", lambda *_, **__: None)
    monkeypatch.setattr(LoadedTarget, "package", lambda self, built: found)
    monkeypatch.setattr("harness.guests.package.check_package", lambda target, file: None)
    Path("scenarios").mkdir()
    from harness.capsule.scenario_text import render

    Path("scenarios/relay.toml").write_text(render([scenario()]))
    out = run_folder(tmp_path / "out", result(scenario()), options={"target": str(loaded.file)})
    code, said, err = kshs(capsys, "capsule", "make", out, "relay.twice")
    assert (code, err) == (0, "")
    assert "relay.twice.capsule: 8 files" in said and "kshs capsule show relay.twice.capsule" in said
    code, said, err = kshs(capsys, "capsule", "show", "relay.twice.capsule")
    assert (code, err) == (0, "")
    for text in ("relay.twice", "Wine 8.0", "package/relay.sys", "signed    no", "the driver package"):
        assert text in said
    code, said, err = kshs(capsys, "capsule", "show", "relay.twice.capsule", "--json")
    assert json.loads(said)["origin"]["run"] == "r1"
    code, said, err = kshs(capsys, "capsule", "import", "relay.twice.capsule", "--out", "imported")
    assert (code, err) == (0, "")
    assert "kshs run --target imported/target.toml imported/scenario.toml" in said
    code, said, err = kshs(capsys, "capsule", "import", "relay.twice.capsule", "--out", "imported")
    assert code == 2 and "nothing is replaced" in err


def test_keys_of_the_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = tmp_path / "kshs.toml"
    settings.write_text('[capsule]\nkeys = ["field.pub"]\n')
    path = capsule(tmp_path)
    code, _, err = kshs(capsys, "capsule", "show", path, "--config", settings)
    assert code == 2 and "it is not signed, and capsule.keys asks for a signature" in err


@pytest.mark.parametrize("words", [("show",), ("import", "--out", "x")])
def test_no_capsule(words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x").write_bytes(b"PK")
    for path in (tmp_path / "x", tmp_path / "none", tmp_path):
        code, _, err = kshs(capsys, "capsule", words[0], path, *words[1:])
        assert code == 2
        assert err.startswith(f"kshs: {path}") and err.count("\n") == 1
    assert kshs(capsys, "capsule")[0] == 0


def test_repro(played: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = played(asks_unknown)
    code, out, err = kshs(capsys, "repro", path, "--runs", 2)
    assert (code, err) == (1, "")
    assert "reproduced: 2 of 2 runs (34% to 100%) on guest wine" in out
    code, out, _ = kshs(capsys, "repro", path, "--runs", 1, "--json")
    assert json.loads(out[out.index("{") :])["outcome"] == "reproduced"


def test_repro_of_what_does_not_come(played: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = kshs(capsys, "repro", played(lambda of: False), "--runs", 2)
    assert (code, err) == (0, "")
    assert "not reproduced: 0 of 2 runs (0% to 66%)" in out
    assert "handshake 2: answer was 0xc00000bb, is 0" in out


def test_repro_on_a_guest_that_cannot_show_it(
    played: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no(self: Any, of: Scenario, *, fresh: bool) -> None:
        raise NotPlayableError("it has no second pin")

    path = played(asks_unknown)
    monkeypatch.setattr(_Context, "play", no)
    code, _, err = kshs(capsys, "repro", path)
    assert code == 2 and "guest wine cannot show it: it has no second pin (choose another --guest)" in err


def test_minimize(played: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = tmp_path / "small.toml"
    code, out, err = kshs(capsys, "minimize", played(asks_unknown), "--runs", 2, "--out", small)
    assert (code, err) == (0, "")
    assert "1 of 4 steps are left" in out and "fails in 2 of 2 runs" in out
    (found,) = scenario_file.load(small)
    assert found.id == "relay.twice.least"
    assert [step.model_dump(exclude_unset=True) for step in found.steps] == [
        {"do": "handshake", "on": "source", "protocol": "unknown"}
    ]
    assert "# Minimised from relay.twice of run r1" in small.read_text()
    code, _, err = kshs(capsys, "minimize", tmp_path / "relay.capsule", "--out", tmp_path)
    assert code == 2 and "this is a directory" in err


def test_repro_under_driver_verifier(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The embedded guest's kernel has none, and that is said before anything is built."""
    path = capsule(tmp_path)
    settings = tmp_path / "kshs.toml"
    settings.write_text(f'[vm]\ncache_dir = "{tmp_path}/cache"\n')
    for words, says in (
        ((), "no guest here has Driver Verifier: the kernel of the embedded one is Wine"),
        (("--guest", "wine"), "guest wine has no Driver Verifier: its kernel is Wine, which has none"),
        (("--guest", "none"), "there is no guest 'none'"),
    ):
        code, out, err = kshs(capsys, "repro", path, "--verifier", "--config", settings, *words)
        assert (code, out) == (2, "") and says in err and err.count("\n") == 1


def test_repro_that_keeps_the_guest(
    played: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def keep(self: replay_inputs.Unpacked) -> KeptGuest:
        asked.append("keep")
        return KeptGuest("kshs-r0-1", "ssh -F /x guest", Path("/s"), Path("/d"), Path("/g.sock"))

    monkeypatch.setattr(replay_inputs.Unpacked, "keep", keep)
    monkeypatch.setattr(_Context, "leave", lambda self: asked.append("leave"), raising=False)
    path = played(asks_unknown)
    code, out, _ = kshs(capsys, "repro", path, "--runs", 1, "--keep")
    assert (code, asked) == (1, ["leave", "keep"])
    assert "guest kshs-r0-1 is kept; kshs clean --kept ends it" in out
    assert "ssh -F /x guest" in out and "target remote /g.sock" in out
    code, out, _ = kshs(capsys, "repro", path, "--runs", 1, "--keep", "--json")
    assert json.loads(out[out.index("{") :])["kept"]["gdb"] == "/g.sock"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--record", "--keep"), "a recorded guest cannot be kept"),
        (("--recording", "x"), "--recording: nothing is recorded"),
        (("--record", "--recording", "."), "is there already, and nothing is replaced"),
    ],
)
def test_repro_recordings_that_cannot_be(
    words: tuple[str, ...], says: str, played: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = kshs(capsys, "repro", played(asks_unknown), *words)
    assert code == 2 and says in err and err.count("\n") == 1


def test_replay_of_what_is_no_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place in (tmp_path, tmp_path / "none"):
        code, _, err = kshs(capsys, "replay", place)
        assert code == 2 and "there is no recording.json: this is no recording" in err


def test_where_gdb_begins_is_nothing_without_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = kshs(capsys, "replay", tmp_path, "--at", "7")
    assert code == 2 and "add --gdb" in err and err.count("\n") == 1
