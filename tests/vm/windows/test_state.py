# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import pytest

from vm.errors import VmError
from vm.windows.state import Failure, Record, Session, State, StateFile


def _file(tmp_path: Path, state: State, *, saved: bool = False) -> StateFile:
    record = Record(digest="d", state=state, saved=saved, reboots=2, sessions=[Session(number=1)])
    file = StateFile(tmp_path / "state.json", record)
    file.save()
    return file


@pytest.mark.parametrize(
    ("state", "saved", "resumes"),
    [
        (State.MEDIA_CHECKED, False, State.MEDIA_CHECKED),
        (State.INSTALLING, False, State.MEDIA_CHECKED),
        (State.INSTALLING, True, State.INSTALLING),
        (State.FIRST_BOOT, False, State.MEDIA_CHECKED),
        (State.FIRST_BOOT, True, State.FIRST_BOOT),
        (State.PROVISIONING, False, State.PROVISIONING),
        (State.SETTLED, False, State.SETTLED),
    ],
)
def test_a_new_attempt_begins_where_something_can_be_kept(
    tmp_path: Path, state: State, saved: bool, resumes: State
) -> None:
    _file(tmp_path, state, saved=saved)
    file = StateFile.load(tmp_path / "state.json")
    assert file is not None
    assert file.fall_back() is resumes
    again = StateFile.load(tmp_path / "state.json")
    assert again is not None
    assert again.record.state is resumes
    if resumes is State.MEDIA_CHECKED and state is not resumes:
        assert again.record.reboots == 0
        assert again.record.sessions == []


def test_every_change_is_on_the_disk(tmp_path: Path) -> None:
    file = _file(tmp_path, State.INSTALLING)
    file.record.failure = Failure(state=State.INSTALLING, reason="r", evidence="e", at="t")
    file.advance(State.FIRST_BOOT)
    value = json.loads((tmp_path / "state.json").read_text())
    assert value["state"] == "first boot"
    assert value["failure"] is None
    assert set(value["reached"]) == {"first boot"}


def test_the_evaluation_begins_with_the_first_sign_of_an_installed_windows() -> None:
    first, second = "2026-01-01T10:00:00+00:00", "2026-01-01T11:00:00+00:00"
    record = Record(digest="d", reached={State.INSTALLING: first, State.PROVISIONING: second})
    assert record.installed == second
    assert Record(digest="d", reached={State.FIRST_BOOT: first, State.SETTLED: second}).installed == first
    with pytest.raises(VmError, match="does not say when the guest was installed"):
        _ = Record(digest="d", state=State.SETTLED).installed


@pytest.mark.parametrize(
    "change",
    [
        {"reached": {"first boot": "yesterday"}},
        {"reached": {"first boot": "2026-01-01T10:00:00"}},
        {"reached": {"first boot": 5}},
        {"reached": []},
        {"sessions": [{"number": "x"}]},
        {"reboots": None},
        {"failure": "it failed"},
        {"digest": None},
        {"state": 3},
        {"format": "1.5"},
    ],
    ids=str,
)
def test_a_damaged_state_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    file = _file(tmp_path, State.SETTLED)
    file.path.write_text(json.dumps({**file.record.model_dump(mode="json"), **change}))
    with pytest.raises(VmError, match=r"state\.json: .*leave out --resume"):
        StateFile.load(file.path)


def test_a_state_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert StateFile.load(path) is None
    path.write_text('{"digest": "d", "state": "half done"}')
    with pytest.raises(VmError, match="leave out --resume"):
        StateFile.load(path)
    path.write_text('{"digest": "d", "format": 99}')
    with pytest.raises(VmError, match="format 99"):
        StateFile.load(path)
