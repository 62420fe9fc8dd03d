# SPDX-License-Identifier: Apache-2.0
"""A machine that the host holds up, or kills, in the midst of a request: no driver has hung."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from drivers import abi
from harness.agent.journal import Journal
from harness.agent.session import AgentSession
from harness.config import Config
from harness.guests import Guest
from harness.guests.package import find_target
from harness.guests.provider import VmGuest, VmProvider
from harness.language.model import Scenario
from harness.running.runner import Runner
from harness.verdict import Verdict
from tests.settings import vm_settings

pytestmark = pytest.mark.e2e

#: A request that is inside the callback for four seconds and may be there for six.
SCENARIO = Scenario.model_validate(
    {
        "id": "e2e.standstill",
        "title": "a request that takes its time",
        "rule": "H9",
        "open": ["source"],
        "timeout_ms": 6000,
        "steps": [
            {"do": "behaviour", "pin": "source", "kind": "slow", "delay_ms": 4000},
            {"do": "handshake", "on": "source"},
        ],
    }
)


def stop_qemu(guest: VmGuest) -> None:
    """What kill -STOP does, and what a host does that swaps or is suspended."""
    assert guest.lease.pid is not None
    os.kill(guest.lease.pid, signal.SIGSTOP)


def pause(guest: VmGuest) -> None:
    """What `virsh suspend` does, and QEMU itself when its disk is full."""
    guest.lease._domain.suspend()


@contextmanager
def during_the_request(session: AgentSession, act: Callable[[], None]) -> Iterator[None]:
    """Acts once, when the agent says that the handshake has begun: however long what is before it takes."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            step = session.in_flight
            if step is not None and step.what.startswith("handshake") and step.begun_at is not None:
                time.sleep(0.5)  # until it is inside the callback
                act()
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


@pytest.fixture(scope="module")
def provider() -> Iterator[VmProvider]:
    given = VmProvider(vm_settings(), find_target("avshs", Config()))
    yield given
    given.close()


@pytest.mark.parametrize(("hold", "says"), [(stop_qemu, "stopped by a signal"), (pause, "somebody paused")])
def test_a_machine_that_is_held_up_is_no_hang(
    provider: VmProvider, tmp_path: Path, hold: Callable[[VmGuest], None], says: str
) -> None:
    runner = Runner(provider, abi.load(), Journal(tmp_path / "journal.jsonl"), margin=2)
    try:
        guest: Guest = runner.guest
        assert isinstance(guest, VmGuest)
        pid = guest.lease.pid
        with during_the_request(runner.ready(), lambda: hold(guest)):
            result = runner.run(SCENARIO, file="here")
        assert result.verdict is Verdict.ERROR, result
        assert result.reason is not None and says in result.reason
        assert not Path(f"/proc/{pid}/exe").exists(), "the lease was thrown away"
        again = runner.run(SCENARIO, file="here")
        assert again.verdict is Verdict.PASSED, again
    finally:
        runner.discard()


#: Two requests that take their time, behind each other in what is sent at once.
TWO = Scenario.model_validate(
    {
        "id": "e2e.killed",
        "title": "two requests that take their time",
        "rule": "H9",
        "open": ["source", "sink"],
        "timeout_ms": 6000,
        "steps": [
            {"do": "behaviour", "pin": "source", "kind": "slow", "delay_ms": 1500},
            {"do": "behaviour", "pin": "sink", "kind": "slow", "delay_ms": 1500},
            {"do": "handshake", "on": "source"},
            {"do": "handshake", "on": "sink"},
        ],
    }
)


def kill_during(session: AgentSession, pid: int, name: str) -> None:
    """SIGKILL for QEMU as soon as the agent has said that the request on this pin has begun."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        pending = session.in_flight
        if pending is not None and pending.begun_at is not None and pending.what.startswith(name):
            os.kill(pid, signal.SIGKILL)
            return
        time.sleep(0.005)


@pytest.mark.parametrize("pin", ["source", "sink"])
def test_a_machine_that_is_killed_names_the_request_in_flight(
    provider: VmProvider, tmp_path: Path, pin: str
) -> None:
    runner = Runner(provider, abi.load(), Journal(tmp_path / "journal.jsonl"), margin=2)
    try:
        guest: Guest = runner.guest
        assert isinstance(guest, VmGuest)
        assert guest.lease.pid is not None
        name = f"handshake {pin} "
        killer = threading.Thread(target=kill_during, args=(runner.ready(), guest.lease.pid, name))
        killer.start()
        result = runner.run(TWO, file="here")
        killer.join()
        assert result.verdict is Verdict.ERROR, result
        assert result.reason is not None and result.reason.startswith(name), result
    finally:
        runner.discard()
