# SPDX-License-Identifier: Apache-2.0
"""Recordings in capsules as they are typed: made, shown, and replayed where their author is trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drivers import build
from harness.capsule import recording
from harness.capsule.archive import CapsuleError
from harness.capsule.making import make
from harness.capsule.scenario_text import render
from harness.commands.recording_inputs import opened
from harness.errors import UsageError
from harness.guests.package import LoadedTarget
from tests.harness.capsule import recordings
from tests.harness.capsule.made import capsule, failure, loaded_target, package, result, scenario
from tests.harness.capsule.test_opened import key, run_folder
from tests.harness.commands.in_process import called


def recorded(folder: Path, secret: Path | None = None) -> Path:
    """A capsule with a recording."""
    out = folder / "relay.capsule"
    kept = recordings.make(folder / "kept")
    make(failure(), scenario(), loaded_target(folder), package(folder), out, secret, kept)
    return out


def test_a_capsule_of_a_stranger_is_not_given_to_qemu(tmp_path: Path) -> None:
    path = recorded(tmp_path)
    with pytest.raises(UsageError, match="for capsules of people you trust"), opened(path, [], trust=False):
        pass
    with opened(path, [], trust=True) as folder:
        assert recording.load(folder) == recordings.SAID
    assert not folder.exists()


def test_one_that_is_signed_by_a_known_key_is_replayed(tmp_path: Path) -> None:
    secret, public = key(tmp_path)
    _, other = key(tmp_path, "other")
    path = recorded(tmp_path, secret)
    with opened(path, [other, public], trust=False) as folder:
        assert recording.load(folder).scenario == "relay.twice"
    # A signature that nobody can check says nothing, and with keys a wrong one is never passed over.
    with pytest.raises(UsageError, match="for capsules of people you trust"), opened(path, [], trust=False):
        pass
    with (
        pytest.raises(CapsuleError, match="not signed by any of the keys"),
        opened(path, [other], trust=True),
    ):
        pass


def test_what_has_none(tmp_path: Path) -> None:
    path = capsule(tmp_path)
    with pytest.raises(CapsuleError, match="it has no recording"), opened(path, [], trust=True):
        pass
    (tmp_path / "empty").mkdir()
    with opened(tmp_path / "empty", [], trust=False) as folder:
        assert folder == tmp_path / "empty"
    done = called(tmp_path, "replay", "empty")
    assert (done.returncode, "this is no recording" in done.stderr) == (2, True), done.stderr


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run with a failure, and a package that needs no compiler."""
    loaded, found = loaded_target(tmp_path), package(tmp_path)
    monkeypatch.setattr(build, "build", lambda *_, **__: None)
    monkeypatch.setattr(LoadedTarget, "package", lambda self, built: found)
    monkeypatch.setattr("harness.guests.package.check_package", lambda target, file: None)
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios/relay.toml").write_text(render([scenario()]))
    run_folder(tmp_path / "out", result(scenario()), options={"target": str(loaded.file)})
    return tmp_path


def make_of(project: Path, *words: str) -> Any:
    return called(project, "capsule", "make", "out", "relay.twice", *words)


def test_made_with_a_recording_shown_and_replayed(project: Path) -> None:
    recordings.make(project / "kept")
    done = make_of(project, "--recording", "kept")
    assert done.returncode == 0 and "17 files" in done.stdout, done.stdout + done.stderr
    done = called(project, "capsule", "show", "relay.twice.capsule")
    assert "recording failed in the last of 2 plays, 3,000 instructions, QEMU 10.0.2" in done.stdout
    assert "recording/state.qcow2" in done.stdout and "a recorded guest, to be replayed" in done.stdout
    done = called(project, "replay", "relay.twice.capsule")
    assert done.returncode == 2 and "add --trust if you know its sender" in done.stderr
    done = called(project, "replay", "relay.twice.capsule", "--trust", KSHS_CACHE_DIR=str(project / "cache"))
    assert done.returncode == 2 and "the image abababababababab is not on this machine" in done.stderr


def test_the_runs_own_recording_goes_along_unless_it_is_left_out(project: Path) -> None:
    folder = recordings.make(project / "out/recordings/r1/relay-twice")
    with (project / "out/results.jsonl").open("a") as file:
        file.write('{"kind":"recording","scenario":"relay.twice","folder":"recordings/r1/relay-twice"}\n')
    assert "17 files" in make_of(project, "--out", "with.capsule").stdout
    assert "8 files" in make_of(project, "--out", "without.capsule", "--without-recording").stdout
    done = make_of(project, "--recording", "kept", "--without-recording")
    assert done.returncode == 2 and "it goes along, or it does not" in done.stderr
    (folder / recording.FACTS).unlink()
    done = make_of(project, "--out", "gone.capsule")
    assert done.returncode == 2 and "the recording is gone" in done.stderr


def test_a_dump_has_no_recording(project: Path) -> None:
    done = called(project, "capsule", "make", "--dump", "x.dmp", "--recording", "kept")
    assert done.returncode == 2 and "a dump has no recording" in done.stderr
