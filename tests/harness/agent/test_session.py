# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from drivers.abi import load
from harness.agent.journal import Intent
from harness.agent.session import _OP, AgentSession
from harness.errors import (
    AbiMismatchError,
    AgentError,
    AgentLostError,
    StepHungError,
    StepNotReachedError,
)
from tests.harness.fake_agent import Answer, FakeAgent, Script

ABI = load()


def step(op: str = "NOP", **fields: int) -> bytes:
    return bytes(
        ABI.cs.kshs_step(size=len(ABI.cs.kshs_step), op=ABI.constants[f"KSHS_OP_{op}"], **fields).dumps()
    )


Open = Callable[..., AgentSession]


@pytest.fixture
def connect() -> Iterator[Open]:
    sessions: list[AgentSession] = []

    def connect(agent: FakeAgent, **options: Any) -> AgentSession:
        options.setdefault("margin", 0.3)
        options.setdefault("hello_timeout", 2)
        session = AgentSession(agent.channel, ABI, **options)
        sessions.append(session)
        return session

    yield connect
    for session in sessions:
        session.close()


def test_hello_tells_the_size_of_a_handshake(connect: Open) -> None:
    assert connect(FakeAgent(ABI)).handshake_size == 32
    assert connect(FakeAgent(ABI, pointer_size=4, handshake_size=24)).handshake_size == 24


def test_hello_already_waiting_in_the_pipe_and_log_before_it(connect: Open) -> None:
    agent = FakeAgent(ABI, hello=False)
    agent.send(
        agent.frame("LOG", 0, b"started early") + agent.hello_frame() + agent.frame("LOG", 0, b"behind")
    )
    session = connect(agent)
    session.run(step())
    assert list(session.log) == ["started early", "behind"]


@pytest.mark.parametrize(
    ("options", "kind", "says"),
    [
        ({"version": 99}, AbiMismatchError, f"ABI version 99, this harness {ABI.version}"),
        ({"layout": "kshs_frame 17 magic:0"}, AbiMismatchError, "the ABI otherwise: .*kshs_frame"),
        ({"handshake_size": 24}, AbiMismatchError, "do not go together"),
        ({"pointer_size": 16}, AbiMismatchError, "pointers of 16 bytes"),
        ({"before_hello": b"wine: could not load kernel32.dll, status c0000135"}, AgentError, "magic"),
    ],
)
def test_a_wrong_hello_is_refused_by_name(
    connect: Open, options: dict[str, Any], kind: type[AgentError], says: str
) -> None:
    with pytest.raises(kind, match=says):
        connect(FakeAgent(ABI, **options))


def test_begin_before_hello_is_refused(connect: Open) -> None:
    agent = FakeAgent(ABI, hello=False)
    agent.send(agent.frame("BEGIN", 1, b""))
    with pytest.raises(AgentError, match="Begin came before HELLO"):
        connect(agent)


def test_an_error_instead_of_hello_is_passed_on(connect: Open) -> None:
    agent = FakeAgent(ABI, hello=False)
    error = bytes(ABI.cs.kshs_error(code=3, win32=2).dumps())
    agent.send(agent.frame("ERROR", 0, error + b"cannot open the client"))
    with pytest.raises(AgentError, match="KSHS_ERROR_CLIENT, Win32 error 2: cannot open the client"):
        connect(agent)


def test_no_hello_in_time(connect: Open) -> None:
    with pytest.raises(AgentError, match=r"no HELLO within 0 s"):
        connect(FakeAgent(ABI, hello=False), hello_timeout=0.3)


def test_a_dead_agent_says_its_last_words(connect: Open) -> None:
    agent = FakeAgent(ABI, hello=False)
    agent.channel.stderr = "first\nkshsctl: out of memory"
    agent.die(7)
    with pytest.raises(AgentLostError, match=r"gone.*kshsctl: out of memory \| exit code 7"):
        connect(agent)


def test_records_come_in_order_with_their_data(connect: Open) -> None:
    def respond(step: Any, data: bytes) -> Answer:
        return Answer(record={"status": int(step.value)}, data=data)

    session = connect(FakeAgent(ABI, respond))
    pendings = [session.submit(step(value=n, data_length=1) + bytes([n % 256])) for n in range(500)]
    records = [pending.result() for pending in pendings]
    assert [record.status for record in records] == list(range(500))
    assert [record.data[0] for record in records] == [n % 256 for n in range(500)]


def test_the_window_bounds_what_is_on_its_way(connect: Open) -> None:
    gate = threading.Event()

    def respond(step: Any, data: bytes) -> Answer:
        gate.wait(5)
        return Answer(record={})

    agent = FakeAgent(ABI, respond)
    session = connect(agent, window=4, margin=10)
    submitted: list[int] = []

    def submit() -> None:
        for n in range(10):
            session.submit(step())
            submitted.append(n)

    thread = threading.Thread(target=submit)
    thread.start()
    time.sleep(0.3)
    assert len(submitted) == 4
    gate.set()
    thread.join(5)
    assert len(submitted) == 10


@pytest.mark.parametrize(("window", "batches"), [(64, [1, 9]), (4, None)])
def test_what_belongs_together_goes_out_in_one_write(
    connect: Open, window: int, batches: list[int] | None
) -> None:
    written: list[int] = []
    session = connect(
        FakeAgent(ABI, lambda step, data: Answer(record={})),
        window=window,
        journal=lambda intents: written.append(len(intents)),
    )
    session.run(step())
    with session.together():
        pendings = []
        for _ in range(9):
            pendings.append(session.submit(step()))
            time.sleep(0.01)
    assert all(pending.result().outcome is not None for pending in pendings)
    assert sum(written) == 10
    assert written == batches if batches else max(written) <= window


def test_the_journal_has_each_step_before_the_agent_does(connect: Open) -> None:
    written: list[Intent] = []
    seen: list[bool] = []

    def respond(step: Any, data: bytes) -> Answer:
        seen.append(int(step.value) in [intent.seq - 1 for intent in written])
        return Answer(record={})

    batches: list[int] = []

    def journal(intents: Any) -> None:
        time.sleep(0.05)  # as a disk does
        written.extend(intents)
        batches.append(len(intents))

    session = connect(FakeAgent(ABI, respond), journal=journal)
    pendings = [session.submit(step(value=n), what=f"step {n}") for n in range(40)]
    for pending in pendings:
        pending.result()
    assert seen == [True] * 40
    assert [intent.what for intent in written] == [f"step {n}" for n in range(40)]
    assert len(batches) < 10, "one fsync a batch, not one a step"


def test_a_journal_that_cannot_be_written_ends_the_session(connect: Open) -> None:
    def journal(intents: Any) -> None:
        raise OSError(28, "No space left on device")

    agent = FakeAgent(ABI)
    session = connect(agent, journal=journal)
    with pytest.raises(AgentError, match=r"cannot write the journal.*No space left"):
        session.run(step())
    assert agent.received == []


def test_a_step_that_never_ends_is_hung_and_the_later_ones_were_not_reached(connect: Open) -> None:
    session = connect(FakeAgent(ABI, Script({1: Answer(silent=True)})))
    first, second, third = (session.submit(step(), what=f"s{n}", timeout=0.1) for n in range(3))
    first.result()
    with pytest.raises(StepHungError) as caught:
        second.result()
    assert (caught.value.seq, caught.value.begun) == (2, True)
    with pytest.raises(StepNotReachedError, match="s2: never carried out: step 2"):
        third.result()
    assert session.in_flight is second
    with pytest.raises(StepNotReachedError):
        session.run(step())


def test_a_record_of_another_step_is_no_answer(connect: Open) -> None:
    other = ABI.constants["KSHS_OP_REQUEST"]
    session = connect(FakeAgent(ABI, Script({0: Answer(record={"op": other})})))
    with pytest.raises(AgentError, match=rf"RECORD of op {other} for step 1, which is of op 0"):
        session.run(step())


def test_the_op_stands_where_the_session_looks_for_it() -> None:
    for name in ("NOP", "SHARE"):
        assert int.from_bytes(step(name)[_OP], "little") == ABI.constants[f"KSHS_OP_{name}"]


def test_a_step_that_never_begins_is_told_apart(connect: Open) -> None:
    session = connect(FakeAgent(ABI, Script({0: Answer(begin=False, silent=True)})))
    with pytest.raises(StepHungError, match="never begun"):
        session.run(step(), timeout=0.1)


def test_a_slow_step_within_its_time_is_fine(connect: Open) -> None:
    session = connect(FakeAgent(ABI, Script({0: Answer(record={}, delay=0.8)})), margin=0.1)
    assert session.run(step(), timeout=2).outcome == 0


def test_time_in_which_this_process_stood_still_counts_against_nobody(
    connect: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after Ctrl-Z and fg: the answer has long come, and the watchdog looks at its clock first."""
    monkeypatch.setattr("harness.agent.session._HELD_UP", 0.5)
    agent = FakeAgent(ABI, Script({0: Answer(record={}, delay=0.3)}))
    read, stopped = agent.channel.read, threading.Event()

    def held_up(n: int, timeout: float | None = None) -> bytes:
        if agent.received and not stopped.is_set():
            stopped.set()
            time.sleep(1.5)
            raise TimeoutError
        return read(n, timeout)

    monkeypatch.setattr(agent.channel, "read", held_up)
    session = connect(agent, margin=0.1)
    assert session.run(step(), timeout=0.6).outcome == 0
    assert stopped.is_set()


def test_the_clock_of_a_queued_step_runs_only_once_it_is_the_oldest(connect: Open) -> None:
    slow = Answer(record={}, delay=0.4)
    session = connect(FakeAgent(ABI, Script(dict.fromkeys(range(4), slow))), margin=0.2)
    for pending in [session.submit(step(), timeout=0.4) for _ in range(4)]:
        pending.result()


def test_a_lost_agent_is_told_from_a_hung_step(connect: Open) -> None:
    agent = FakeAgent(ABI, Script({1: Answer(die=3)}))
    agent.channel.stderr = "wine: Unhandled page fault"
    session = connect(agent)
    first, second, third = (session.submit(step(), what=f"s{n}") for n in range(3))
    first.result()
    with pytest.raises(AgentLostError, match=r"the channel ended.*Unhandled page fault"):
        second.result()
    with pytest.raises(StepNotReachedError):
        third.result()
    assert session.in_flight is second
    assert second.begun_at is not None


def test_the_end_inside_a_frame_is_told(connect: Open) -> None:
    session = connect(FakeAgent(ABI, Script({0: Answer(raw=b"KSHS\x04", die=1)})))
    with pytest.raises(AgentLostError, match="inside a frame, 5 bytes"):
        session.run(step())


def test_a_write_that_fails_is_a_lost_agent_not_a_hung_driver(
    connect: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = FakeAgent(ABI)
    session = connect(agent, margin=60)
    monkeypatch.setattr("harness.agent.session._WRITE_GRACE", 0.1)

    def broken(data: bytes) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(agent.channel, "write", broken)
    with pytest.raises(AgentLostError, match=r"takes no more steps.*Broken pipe"):
        session.run(step())


FRAMES = FakeAgent(ABI, hello=False)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Answer(raw=FRAMES.frame("BEGIN", 1, b"")), "second BEGIN for step 1"),
        (Answer(begin=False, record={}), "RECORD without BEGIN for step 1"),
        (Answer(begin=False, raw=FRAMES.frame("BEGIN", 2, b"")), "BEGIN for step 2, but step 1 is next"),
        (Answer(raw=FRAMES.record_frame(9, 0, {}, b"")), "RECORD for step 9, but step 1 is next"),
        (Answer(raw=FRAMES.hello_frame()), "second HELLO"),
        (Answer(raw=b"\0" * 64), "magic"),
        (Answer(error=(1, 0, "bad frame")), "KSHS_ERROR_PROTOCOL: bad frame"),
    ],
)
def test_an_agent_out_of_order_is_an_infrastructure_error(connect: Open, answer: Answer, says: str) -> None:
    session = connect(FakeAgent(ABI, Script({0: answer})))
    with pytest.raises(AgentError, match=says) as caught:
        session.run(step())
    assert not isinstance(caught.value, AgentLostError)


def test_an_error_about_one_step_leaves_the_session_alive(connect: Open) -> None:
    session = connect(FakeAgent(ABI, Script({0: Answer(error=(4, 8, "no memory"))})))
    with pytest.raises(AgentError, match="open: the agent reports KSHS_ERROR_INTERNAL, Win32 error 8"):
        session.run(step(), what="open")
    assert session.failure is None
    session.run(step())


def test_error_zero_ends_the_connection(connect: Open) -> None:
    bad = FRAMES.frame("ERROR", 0, bytes(ABI.cs.kshs_error(code=1).dumps()) + b"I read rubbish")
    session = connect(FakeAgent(ABI, Script({0: Answer(raw=bad)})))
    with pytest.raises(AgentError, match="I read rubbish"):
        session.run(step())
    assert session.failure is not None


def test_closing_says_bye_and_leaves_no_thread(connect: Open) -> None:
    agent = FakeAgent(ABI)
    session = connect(agent)
    session.run(step())
    session.close()
    assert agent.bye and agent.channel.closed
    assert not [t for t in threading.enumerate() if t in session._threads]
    with pytest.raises(StepNotReachedError):
        session.run(step())
    session.close()


def test_log_lines_are_kept_and_bounded(connect: Open) -> None:
    noise = b"".join(FRAMES.frame("LOG", 0, b"line %d" % n) for n in range(1000))
    seen: list[str] = []
    session = connect(FakeAgent(ABI, Script({0: Answer(record={}, raw=noise)})), on_log=seen.append)
    session.submit(step())
    session.submit(step())
    session.run(step())
    assert len(seen) == 1000 and len(session.log) == 200 and session.log[-1] == "line 999"
