# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from vm.__main__ import main
from vm.config import SOCKET_PATH_LIMIT, VmConfig


def test_defaults_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KSHS_RUNTIME_DIR", raising=False)
    assert VmConfig().runtime_dir == Path(f"/tmp/kshs-{os.getuid()}")
    monkeypatch.setenv("KSHS_CACHE_DIR", "/x/cache")
    monkeypatch.setenv("KSHS_RUNTIME_DIR", "/x/run")
    assert VmConfig().images_dir == Path("/x/cache/images")
    assert VmConfig().runtime_dir == Path("/x/run")
    assert VmConfig(runtime_dir=Path("/y")).runtime_dir == Path("/y")


def test_a_runtime_directory_must_leave_room_for_sockets() -> None:
    socket = "/r99/lib/qemu/domain-9999-abcdefghijklmnopqrst/monitor.sock"
    longest = "/" + "a" * (SOCKET_PATH_LIMIT - len(socket) - 1)
    assert VmConfig(runtime_dir=Path(longest)).runtime_dir == Path(longest)
    with pytest.raises(ValidationError, match="socket paths are limited"):
        VmConfig(runtime_dir=Path(longest + "a"))


@pytest.mark.parametrize(
    "wrong", [{"memory_mib": 10}, {"accelerator": "xen"}, {"colour": 1}, {"keep_templates": 0}]
)
def test_nonsense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        VmConfig(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        (
            "KSHS_CACHE_DIR",
            "/dev/null/cache",
            "/dev/null is no directory",
        ),
        (
            "KSHS_RUNTIME_DIR",
            "/" + "x" * 200,
            "runtime_dir must be at",
        ),
        (
            "KSHS_CACHE_DIR",
            "~nobody-here/x",
            "there is no user whose home",
        ),
    ],
)
def test_a_wrong_variable_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr("sys.argv", ["vm", "reap"])
    assert main() == 2
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1
    assert err.startswith(f"vm: environment variable {variable}: {said}") and value in err
