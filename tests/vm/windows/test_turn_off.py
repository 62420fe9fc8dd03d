# SPDX-License-Identifier: Apache-2.0
"""A failed guest is asked over SSH to shut itself down, and nothing of it can hide the failure."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from vm.errors import GuestLost, GuestTimeout
from vm.family import Wine
from vm.shell import Completed
from vm.windows import turn_off


def _machine(stops: bool, *, ended: str | None = None, crashed: bool = False) -> Any:
    def wait(said: Callable[[Any], bool], _seconds: float) -> bool:
        return said(SimpleNamespace(stopped=stops))

    return SimpleNamespace(
        ended=ended, domain=SimpleNamespace(events=SimpleNamespace(crashed=crashed, wait=wait))
    )


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands that the guest was given; its connection and its answer are played."""
    commands: list[str] = []

    def run(command: str, **_: object) -> Completed:
        commands.append(command)
        raise GuestLost("the connection went away", "the guest")

    monkeypatch.setattr(turn_off, "connect", lambda *_, **__: SimpleNamespace(close=lambda: None))
    monkeypatch.setattr(turn_off, "family_of", lambda _: Wine())
    monkeypatch.setattr(turn_off, "Shell", lambda _, family, __: SimpleNamespace(run=run, family=family))
    return commands


@pytest.mark.parametrize("stops", [True, False])
def test_its_end_is_what_tells(ran: list[str], stops: bool) -> None:
    assert turn_off.turn_off(_machine(stops), Any, 1.0) is stops  # type: ignore[arg-type]
    assert ran == [Wine().shut_down]


def test_who_is_gone_or_silent_is_left_alone(ran: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert not turn_off.turn_off(_machine(True, ended="QEMU ended by itself"), Any, 1.0)  # type: ignore[arg-type]
    assert not turn_off.turn_off(_machine(True, crashed=True), Any, 1.0)  # type: ignore[arg-type]

    def silent(*_: object, **__: object) -> None:
        raise GuestTimeout("no SSH server", "the guest")

    monkeypatch.setattr(turn_off, "connect", silent)
    assert not turn_off.turn_off(_machine(True), Any, 1.0)  # type: ignore[arg-type]
    assert ran == []
