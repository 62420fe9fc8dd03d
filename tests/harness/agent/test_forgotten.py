# SPDX-License-Identifier: Apache-2.0
"""No wait is unbounded: a record that was taken and never given out ends the wait all the same."""

from __future__ import annotations

from typing import Any

import pytest

from drivers.abi import load
from harness.agent import session as sessions
from harness.agent.encode import Encoder
from harness.agent.pending import Pending
from harness.agent.session import AgentSession
from harness.errors import AgentError
from tests.harness.fake_agent import Answer, FakeAgent, Script

ABI = load()
NOP = Encoder(ABI).step("NOP")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.agent.pending.LOOK", 0.02)
    monkeypatch.setattr("harness.agent.session.LOOK", 0.02)


def test_a_record_that_is_never_given_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pending, "resolve", lambda self, record: None)
    with AgentSession(FakeAgent(ABI).channel, ABI) as session:
        pending = session.submit(NOP, what="open pin source")
        with pytest.raises(AgentError, match="open pin source: the session has lost this step"):
            pending.result()


def test_a_watchdog_that_does_not_bite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AgentSession, "_watch", lambda self: False)
    agent = FakeAgent(ABI, Script({0: Answer(silent=True)}))
    with (
        AgentSession(agent.channel, ABI, margin=0.05) as session,
        pytest.raises(AgentError, match="has lost this step"),
    ):
        session.run(NOP, timeout=0.05)


def test_a_reader_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AgentSession, "_read_loop", lambda self: None)
    with AgentSession(FakeAgent(ABI).channel, ABI) as session, pytest.raises(AgentError, match="has lost"):
        session.run(NOP)


def test_a_window_that_never_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever submits waits for room, and nobody may be waiting for the step that takes it."""
    monkeypatch.setattr(AgentSession, "_read_loop", lambda self: None)
    with AgentSession(FakeAgent(ABI).channel, ABI, window=1) as session:
        session.submit(NOP, what="first")
        second = session.submit(NOP, what="second")
        with pytest.raises(AgentError):
            second.result()
        assert session.failure is not None and "first" in str(session.failure)


def test_a_step_that_is_looked_after_is_waited_for() -> None:
    slow: dict[int, Any] = {0: Answer(record={}, delay=0.6)}
    with AgentSession(FakeAgent(ABI, Script(slow)).channel, ABI) as session:
        pendings = [session.submit(NOP, timeout=5) for _ in range(3)]
        assert [pending.result().outcome for pending in pendings] == [0, 0, 0]
    assert sessions.LOOK * 10 < 0.6, "the test's own premise"
