# SPDX-License-Identifier: Apache-2.0
"""The cases of the self-test on the embedded guest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.selftest import agents, provocations
from harness.selftest.case import HANDSHAKE, Case, behave, scenario
from harness.selftest.provocations import in_flight
from harness.verdict import Verdict

if TYPE_CHECKING:
    from drivers.abi import Abi

_CRASHED, _HUNG, _ERROR, _PASSED = (Verdict.CRASHED,), (Verdict.HUNG,), (Verdict.ERROR,), (Verdict.PASSED,)
#: Of every guest that still answers.
_INSIDE = ("session.log", "kernel.log")
#: A request that stays inside the callback for long enough to be struck.
_LONG = behave("slow", delay_ms=12000)


def cases(abi: Abi) -> list[Case]:
    """All of them, in their order."""
    return [*_drivers(), *_losses(), *_liars(abi)]


def _drivers() -> list[Case]:
    return [
        Case(
            "crash",
            "the driver writes through NULL",
            scenario("crash", behave("fault"), HANDSHAKE),
            _CRASHED,
            says=r"exception 0xc0000005 at avshs\.sys\+0x",
            shows=(r"pin 0 is about to write through NULL",),
            pieces=("crashes.jsonl", *_INSIDE),
            short=True,
        ),
        Case(
            "bugcheck",
            "the driver calls KeBugCheckEx",
            scenario("bugcheck", behave("bugcheck", status=0xE2, value=0x11, value2=0x22), HANDSHAKE),
            _CRASHED,
            says=r"bugcheck 0xe2",
            shows=(r"KeBugCheckEx\(e2, 0, 11, 22, 0\)", r"pin 0 is about to stop the kernel"),
            pieces=_INSIDE,
        ),
        Case(
            "hang",
            "the driver never returns",
            scenario("hang", behave("hang"), HANDSHAKE, timeout_ms=1500),
            _HUNG,
            says=r"no answer within 1\.5 s",
            shows=(r"thread \d+: .*avshs\.sys!.*NeverReturn", r"pin 0 is about to wait for ever"),
            pieces=("threads.json", "threads.txt", *_INSIDE),
            short=True,
        ),
        Case(
            "endless-loop",
            "the driver never lets go of the processor",
            scenario("endless-loop", behave("loop"), HANDSHAKE, timeout_ms=1500),
            _HUNG,
            says=r"no answer within 1\.5 s",
            shows=(r"thread \d+: .*avshs\.sys!.*NeverLetGo", r"pin 0 is about to loop for ever"),
            pieces=("threads.json", "threads.txt", *_INSIDE),
        ),
        Case(
            "pool-corruption",
            "the driver writes past a block of its pool and frees it; Wine's heap need not notice",
            scenario("pool-corruption", behave("corrupt_pool"), HANDSHAKE),
            (*_CRASHED, *_PASSED),
        ),
    ]


def _losses() -> list[Case]:
    def struck(name: str, timeout_ms: int = 20000) -> dict[str, object]:
        return {"scenario": scenario(name, _LONG, HANDSHAKE, timeout_ms=timeout_ms)}

    return [
        Case(
            "lost-ssh",
            "the guest's SSH server dies",
            verdicts=_ERROR,
            says=r"the agent is gone",
            provoke=in_flight(provocations.lose_ssh),
            pieces=_INSIDE,
            **struck("lost-ssh"),  # type: ignore[arg-type]
        ),
        Case(
            "killed-qemu",
            "QEMU is killed",
            verdicts=_ERROR,
            says=r"the agent is gone",
            provoke=in_flight(provocations.kill_qemu),
            shows=(r"virtual machine ended without being asked to",),
            pieces=("serial.log",),
            short=True,
            **struck("killed-qemu"),  # type: ignore[arg-type]
        ),
        Case(
            "stopped-qemu",
            "QEMU is stopped by a signal (SIGSTOP)",
            scenario("stopped-qemu", behave("slow", delay_ms=3000), HANDSHAKE, timeout_ms=4000),
            _ERROR,
            says=r"QEMU was stopped by a signal",
            provoke=in_flight(provocations.stop_qemu),
            pieces=("serial.log",),
        ),
        Case(
            "lost-libvirt",
            "libvirt's connection to QEMU breaks",
            verdicts=_ERROR,
            says=r"the agent is gone",
            provoke=in_flight(provocations.lose_libvirt),
            shows=(r"virtual machine ended without being asked to",),
            pieces=("serial.log",),
            **struck("lost-libvirt"),  # type: ignore[arg-type]
        ),
        Case(
            "full-disk",
            "the disk of the run's journal is full",
            scenario("full-disk", HANDSHAKE),
            _ERROR,
            says=r"[Nn]o space left on device",
            provoke=provocations.fill_disk,
        ),
        Case(
            "clock-jump",
            "the guest's clock goes a day ahead and two days back while a request is inside the driver",
            scenario("clock-jump", behave("slow", delay_ms=4000), HANDSHAKE, timeout_ms=8000),
            _PASSED,
            provoke=in_flight(provocations.jump_clock),
            fresh=False,
        ),
        Case(
            "out-of-memory",
            "the guest's Linux ends the process that hosts the drivers for want of memory",
            scenario("out-of-memory", behave("slow", delay_ms=90000), HANDSHAKE, timeout_ms=120000),
            _ERROR,
            says=r"ran out of memory, and its Linux ended winedevice\.exe",
            provoke=in_flight(provocations.use_up_memory),
            pieces=_INSIDE,
        ),
    ]


def _liars(abi: Abi) -> list[Case]:
    def liar(
        name: str, what: str, agent: str, says: str, *, short: bool = False, timeout: int = 3000
    ) -> Case:
        return Case(
            f"agent-{name}",
            f"the agent {what}",
            scenario(f"agent-{name}", HANDSHAKE, timeout_ms=timeout),
            _ERROR,
            says=says,
            agent=agent,
            pieces=("serial.log",),
            short=short,
        )

    return [
        liar("garbage", "sends noise", agents.garbage(abi), r"broke the protocol", short=True),
        liar("floods", "talks without end", agents.flood(abi), r"the agent stopped answering"),
        liar("half-a-frame", "dies within a frame", agents.half_a_frame(abi), r"ended inside a frame"),
        liar("lying-frame", "says that a frame has 4 GiB", agents.lying_frame(abi), r"broke the protocol"),
        liar(
            "lying-record",
            "says more of a record than it sends",
            agents.lying_record(abi),
            r"broke the protocol",
        ),
    ]
