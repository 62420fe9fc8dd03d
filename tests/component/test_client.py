# SPDX-License-Identifier: Apache-2.0
"""What docs/client.md promises, against a driver that breaks the rules of IRPs on request (rogue.c)."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import drivers
import drivers.build
from drivers import toolchain
from drivers.toolchain import Options
from harness.agent.frames import Record
from tests.component.agent import KERNEL, STATUS_PENDING, STATUS_SUCCESS, Agent, C, agent_of, describe
from tests.component.conftest import install
from tests.component.wine import WineGuest, copy_of

pytestmark = pytest.mark.component

SLOT = 10
DEVICE = "\\Device\\KshsRogue"
DATA = bytes(range(1, 33))

# Function codes of rogue.c.
ECHO, PEND, CANCELLABLE, TWICE, TWICE_LATER, LOSE, NEVER = range(1, 8)
OVERRUN, UNDERRUN, BLOCK, EVERY_FIFTH, TOUCH, LOOK, COUNTS, LATE = range(8, 16)

METHOD_BUFFERED, METHOD_IN_DIRECT, METHOD_OUT_DIRECT, METHOD_NEITHER = range(4)

DONE = C["KSHS_OUTCOME_DONE"]
STARTED = C["KSHS_OUTCOME_STARTED"]
REFUSED = C["KSHS_OUTCOME_REFUSED"]
HUNG = C["KSHS_OUTCOME_HUNG"]
UNSUPPORTED = C["KSHS_OUTCOME_UNSUPPORTED"]

LOW = C["KSHS_REC_GUARD_LOW"]
HIGH = C["KSHS_REC_GUARD_HIGH"]
INTACT = C["KSHS_REC_IN_INTACT"]
VISIBLE = C["KSHS_REC_OUT_VISIBLE"]
IOSB = C["KSHS_REC_IOSB_VISIBLE"] | C["KSHS_REC_STATUS_WRITTEN"] | C["KSHS_REC_INFO_WRITTEN"]
WAS_PENDING = C["KSHS_REC_PENDING"]
CANCELLED = C["KSHS_REC_CANCELLED"]
CLEAN = IOSB | LOW | HIGH | INTACT | VISIBLE

STATUS_UNSUCCESSFUL = 0xC0000001
STATUS_INVALID_HANDLE = 0xC0000008
STATUS_OBJECT_NAME_COLLISION = 0xC0000035
STATUS_CANCELLED = 0xC0000120
STATUS_INVALID_BUFFER_SIZE = 0xC0000206
STATUS_NOT_FOUND = 0xC0000225


def control(function: int, method: int = METHOD_NEITHER) -> int:
    """CTL_CODE(FILE_DEVICE_UNKNOWN, function, method, FILE_ANY_ACCESS)."""
    return 0x22 << 16 | function << 2 | method


def build_rogue(work: Path) -> Path:
    """rogue.sys, by the flags of every driver of the project."""
    sources = Path(drivers.__file__).parent
    for folder in ("abi", "common"):
        shutil.copytree(sources / folder, work / folder)
    shutil.copyfile(Path(__file__).with_name("rogue.c"), work / "rogue.c")
    tools = toolchain.find()
    tools.compile(work, "rogue.c", "rogue.o", Options(True, ("abi", "common")))
    tools.link_driver("rogue.sys", ["rogue.o"], ["-lntoskrnl", "-lhal"], work)
    return work / "rogue.sys"


@pytest.fixture(scope="module")
def rogue_guest(
    build: drivers.build.Build, bare_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WineGuest]:
    """A guest of this module's own: what is lost in the rogue driver cannot be unloaded again."""
    with copy_of(bare_template) as prefix:
        guest = WineGuest(prefix, build.agent, one_cpu=False)
        install(guest, build)
        path = guest.put(build_rogue(tmp_path_factory.mktemp("rogue")))
        # The group puts it into one process with the client, as the file objects require.
        create = ("create", "KshsRogue", "type=", "kernel", "start=", "demand", "group=", "WinePlugPlay")
        for arguments in ((*create, "binpath=", path), ("start", "KshsRogue")):
            done = guest.run("sc", *arguments)
            assert done.exit_code == 0, done.stdout + done.stderr
        try:
            yield guest
        finally:
            guest.stop()


class Rogue:
    """Requests to the rogue driver in kernel slot 10 of one agent."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent

    def open(self, slot: int = SLOT) -> None:
        self.agent.done("OPEN_DEVICE", DEVICE.encode("utf-16-le"), side=KERNEL, slot=slot)

    def request(
        self,
        function: int,
        method: int = METHOD_NEITHER,
        *,
        data: bytes = DATA,
        timeout: float = 20.0,
        **fields: Any,
    ) -> Record:
        wanted = {
            "slot": SLOT,
            "route": C["KSHS_ROUTE_IRP"],
            "in_length": 32,
            "out_length": 32,
            "timeout_ms": 10000,
        } | fields
        return self.agent.run(
            "REQUEST", data, side=KERNEL, control=control(function, method), timeout=timeout, **wanted
        )

    def start(self, function: int, token: int, **fields: Any) -> None:
        record = self.request(function, flags=C["KSHS_STEP_ASYNC"], token=token, **fields)
        assert record.outcome == STARTED, describe(record)

    def wait(self, token: int, timeout_ms: int = 10000) -> Record:
        return self.agent.run("WAIT", side=KERNEL, token=token, timeout_ms=timeout_ms)

    def cancel(self, token: int) -> Record:
        return self.agent.run("CANCEL", side=KERNEL, token=token)

    def counts(self) -> tuple[int, int, int]:
        """IRPs cancelled, files opened, files closed since the driver was loaded."""
        value = self.request(COUNTS).information
        return value & 0xFFFF, value >> 16 & 0xFFFF, value >> 32 & 0xFFFF


@pytest.fixture
def rogue(rogue_guest: WineGuest) -> Iterator[Rogue]:
    with agent_of(rogue_guest) as agent:
        rogue = Rogue(agent)
        rogue.open()
        yield rogue


# ---- records


def test_a_correct_answer_is_recorded_in_every_field(rogue: Rogue) -> None:
    record = rogue.request(ECHO)
    assert (record.outcome, record.returned, record.status) == (DONE, 0, 0), describe(record)
    assert (record.information, record.completions, record.repeats) == (32, 1, 1)
    assert (record.changed_bytes, record.changed_first, record.changed_last) == (32, 0, 31)
    assert (record.flags, record.irql_after, record.data) == (CLEAN, 0, DATA), describe(record)
    assert record.thread
    assert record.begin_ns
    assert record.duration_ns


def test_the_call_shows_no_status_block(rogue: Rogue) -> None:
    record = rogue.request(ECHO, route=C["KSHS_ROUTE_CALL"])
    assert (record.returned, record.status) == (0, C["KSHS_POISON_STATUS"]), describe(record)
    assert (record.information, record.completions, record.changed_bytes) == (32, 0, 32)
    assert not record.flags & C["KSHS_REC_IOSB_VISIBLE"]


def test_what_was_not_written_is_not_claimed(rogue: Rogue) -> None:
    record = rogue.request(ECHO, in_length=5, out_length=300)
    assert (record.changed_bytes, record.changed_last, len(record.data)) == (5, 4, C["KSHS_KEEP_BYTES"])
    assert record.data[5:] == bytes([C["KSHS_OUT_FILL"]]) * 251


@pytest.mark.parametrize("length", [0, 1, 31, 33, 65536])
def test_the_byte_after_the_output_is_a_guard(rogue: Rogue, length: int) -> None:
    record = rogue.request(OVERRUN, out_length=length)
    assert record.flags & (LOW | HIGH | INTACT) == LOW | INTACT, describe(record)
    assert record.changed_bytes == 0
    assert rogue.request(ECHO).flags == CLEAN


@pytest.mark.parametrize("fields", [{}, {"out_kind": C["KSHS_BUFFER_MISALIGNED"]}, {"repeat": 3}], ids=str)
def test_what_is_written_after_the_completion_is_no_answer(rogue: Rogue, fields: dict[str, int]) -> None:
    record = rogue.request(LATE, **fields)
    assert record.data == b"\x11" * 16 + bytes([C["KSHS_OUT_FILL"]]) * 16, describe(record)
    assert (record.changed_bytes, record.changed_last) == (16, 15), describe(record)
    assert (record.outcome, record.completions, record.information) == (DONE, 1, 32)


def test_the_byte_before_the_output_and_the_input_are_watched(rogue: Rogue) -> None:
    record = rogue.request(UNDERRUN)
    assert record.flags & (LOW | HIGH | INTACT) == HIGH, describe(record)


def test_repeats_end_with_the_first_that_differs(rogue: Rogue) -> None:
    assert rogue.request(ECHO, repeat=1000).repeats == 1000
    record = rogue.request(EVERY_FIFTH, repeat=1000)
    assert record.repeats <= 5, describe(record)
    assert (record.status, record.returned) == (STATUS_UNSUCCESSFUL, STATUS_UNSUCCESSFUL)


# ---- buffers

USER_MODE, NULL_IN, NULL_OUT, SAME, ODD_IN, ODD_OUT, OWN_THREAD, OWN_FILE = (1 << bit for bit in range(8))


@pytest.mark.parametrize(
    ("fields", "looks"),
    [
        ({}, 0),
        ({"mode": C["KSHS_MODE_USER"]}, USER_MODE),
        ({"in_kind": C["KSHS_BUFFER_NULL"]}, NULL_IN),
        ({"out_kind": C["KSHS_BUFFER_NULL"]}, NULL_OUT),
        ({"out_kind": C["KSHS_BUFFER_ALIAS"]}, SAME),
        ({"in_kind": C["KSHS_BUFFER_MISALIGNED"]}, ODD_IN),
        ({"out_kind": C["KSHS_BUFFER_MISALIGNED"]}, ODD_OUT),
        ({"in_length": 0xFFFFFFFF, "out_length": 0xFFFFFFFF}, 0),
    ],
)
def test_the_irp_looks_as_asked_for(rogue: Rogue, fields: dict[str, Any], looks: int) -> None:
    record = rogue.request(LOOK, **fields)
    assert record.information == looks | OWN_THREAD | OWN_FILE, describe(record)
    assert bool(record.flags & VISIBLE) == (looks != NULL_OUT), describe(record)


@pytest.mark.parametrize(
    ("kind", "touchable"),
    [("NORMAL", 0xFF), ("FREED", 0), ("READONLY", 0x35), ("PAGE_END", 0x5F)],
)
def test_special_memory_faults_where_it_should(rogue: Rogue, kind: str, touchable: int) -> None:
    value = C[f"KSHS_BUFFER_{kind}"]
    record = rogue.request(TOUCH, in_kind=value, out_kind=value)
    assert (record.outcome, record.information) == (DONE, touchable), describe(record)
    assert record.changed_bytes == 0
    assert record.flags & INTACT


def test_a_buffered_control_has_one_buffer_for_both(rogue: Rogue) -> None:
    record = rogue.request(ECHO, METHOD_BUFFERED, out_length=64)
    assert (record.status, record.information, record.data[:32]) == (0, 32, DATA), describe(record)
    assert rogue.request(LOOK, METHOD_BUFFERED).information & SAME
    assert rogue.request(ECHO, METHOD_BUFFERED, data=b"", in_length=0, out_length=0).status == 0
    assert rogue.request(ECHO, METHOD_BUFFERED, in_length=65537).outcome == REFUSED


@pytest.mark.parametrize("method", [METHOD_IN_DIRECT, METHOD_OUT_DIRECT])
def test_direct_methods_are_refused(rogue: Rogue, method: int) -> None:
    assert rogue.request(ECHO, method).outcome == REFUSED


# ---- completion


def test_a_pending_request_is_recorded_as_one(rogue: Rogue) -> None:
    record = rogue.request(PEND)
    assert (record.returned, record.status, record.information) == (STATUS_PENDING, 0, 7), describe(record)
    assert record.completions == 1
    assert record.flags == CLEAN | WAS_PENDING | C["KSHS_REC_PENDING_RETURNED"]
    assert record.duration_ns > 40_000_000


@pytest.mark.parametrize("function", [TWICE, TWICE_LATER])
def test_a_second_completion_is_counted_and_survived(rogue: Rogue, function: int) -> None:
    for _ in range(3):
        assert rogue.request(function).completions == 2
    assert rogue.request(ECHO).flags == CLEAN


def test_an_irp_that_was_not_completed_is_reported_and_left(rogue: Rogue) -> None:
    record = rogue.request(LOSE, repeat=3)
    assert (record.outcome, record.returned) == (DONE, STATUS_INVALID_BUFFER_SIZE), describe(record)
    assert (record.completions, record.status) == (0, C["KSHS_POISON_STATUS"])
    assert record.information == C["KSHS_POISON_INFORMATION"]
    assert record.flags & IOSB == C["KSHS_REC_IOSB_VISIBLE"]


@pytest.mark.parametrize(
    ("function", "returned"), [(NEVER, STATUS_PENDING), (BLOCK, C["KSHS_POISON_STATUS"])]
)
def test_a_hung_request_says_how_far_it_came(rogue: Rogue, function: int, returned: int) -> None:
    begun = time.monotonic()
    record = rogue.request(function, timeout_ms=60)
    assert time.monotonic() - begun < 5
    assert (record.outcome, record.returned, record.repeats) == (HUNG, returned, 1), describe(record)
    assert bool(record.flags & WAS_PENDING) == (function == NEVER)
    assert rogue.request(ECHO).flags == CLEAN


# ---- many at once, waiting, cancelling


def test_requests_are_concurrent(rogue: Rogue) -> None:
    begun = time.monotonic()
    for token in range(C["KSHS_MAX_TOKENS"]):
        rogue.start(BLOCK, token)
    for token in range(C["KSHS_MAX_TOKENS"]):
        assert rogue.wait(token).status == STATUS_SUCCESS
    assert time.monotonic() - begun < 0.3 * C["KSHS_MAX_TOKENS"] / 4


def test_a_token_lives_until_its_record_was_fetched(rogue: Rogue) -> None:
    rogue.start(ECHO, 5)
    assert rogue.request(ECHO, flags=C["KSHS_STEP_ASYNC"], token=5).detail == STATUS_OBJECT_NAME_COLLISION
    record = rogue.wait(5)
    assert (record.op, record.data) == (C["KSHS_OP_WAIT"], DATA), describe(record)
    assert rogue.wait(5).detail == STATUS_NOT_FOUND


def test_a_wait_can_run_out_and_be_repeated(rogue: Rogue) -> None:
    rogue.start(CANCELLABLE, 9)
    for _ in range(3):
        record = rogue.wait(9, timeout_ms=20)
        assert (record.outcome, record.returned) == (HUNG, STATUS_PENDING), describe(record)
    cancel = rogue.cancel(9)
    assert (cancel.outcome, cancel.returned, cancel.information) == (DONE, 0, 1), describe(cancel)
    assert cancel.flags & CANCELLED
    record = rogue.wait(9)
    assert (record.status, record.completions) == (STATUS_CANCELLED, 1), describe(record)
    assert record.flags & CANCELLED


def test_cancelling_what_is_complete_reaches_nothing(rogue: Rogue) -> None:
    rogue.start(ECHO, 9)
    time.sleep(0.2)
    record = rogue.cancel(9)
    assert (record.outcome, record.returned) == (DONE, STATUS_NOT_FOUND), describe(record)
    assert not (record.flags | rogue.wait(9).flags) & CANCELLED


def test_a_cancel_ends_the_repeats(rogue: Rogue) -> None:
    rogue.start(PEND, 9, repeat=1000)
    time.sleep(0.2)
    rogue.cancel(9)
    record = rogue.wait(9)
    assert record.repeats < 100, describe(record)
    assert record.flags & CANCELLED


def test_the_call_cannot_be_cancelled(rogue: Rogue) -> None:
    rogue.start(BLOCK, 9, route=C["KSHS_ROUTE_CALL"])
    assert rogue.cancel(9).outcome == UNSUPPORTED
    assert rogue.wait(9).returned == STATUS_SUCCESS


def test_a_handle_can_be_closed_under_its_request(rogue: Rogue) -> None:
    rogue.start(CANCELLABLE, 20)
    rogue.agent.close(SLOT)
    assert rogue.request(ECHO).detail == STATUS_INVALID_HANDLE
    rogue.cancel(20)
    assert rogue.wait(20).status == STATUS_CANCELLED
    rogue.open()


# ---- the end of an agent


def test_what_a_dead_agent_left_is_cancelled_and_closed(rogue_guest: WineGuest, rogue: Rogue) -> None:
    cancelled, opened, closed = rogue.counts()
    with agent_of(rogue_guest) as agent:
        doomed = Rogue(agent)
        doomed.open()
        doomed.open(SLOT + 1)
        doomed.start(CANCELLABLE, 1)
        doomed.start(NEVER, 2, slot=SLOT + 1)
        agent.channel.kill()
    expected = (cancelled + 1, opened + 2, closed + 2)
    deadline = time.monotonic() + 20
    while rogue.counts() != expected and time.monotonic() < deadline:
        time.sleep(0.1)
    assert rogue.counts() == expected


def test_the_client_stays_while_a_driver_has_its_irp(rogue_guest: WineGuest, rogue: Rogue) -> None:
    assert rogue.request(NEVER, timeout_ms=50).outcome == HUNG
    rogue_guest.run("sc", "stop", "KsHsClient")
    assert rogue.request(ECHO).flags == CLEAN
