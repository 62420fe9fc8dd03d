# SPDX-License-Identifier: Apache-2.0
"""What kstrace.sys costs a request, in three loops: two guests in turns, one of which is watched.

What is measured is processor time of the guest's process on the host (QEMU): other work of the host lengthens
seconds, and not that.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.bench.figures import rounded
from harness.errors import HarnessError
from harness.guests.kshsctl import DIRECTORY, Kshsctl

if TYPE_CHECKING:
    from harness.bench.guest import Bench
    from harness.language.model import Target
    from vm.lease import Lease

#: Share of the in-guest loop's time that being watched may cost.
MOST_COST = 0.05
#: The loop to which the goal applies (docs/performance.md): `agent_loop_per_s`.
IN_GUEST = "agent"
#: Each loop, in words.
LOOPS: Mapping[str, str] = {
    IN_GUEST: "the agent's own loop in the guest, steps from a file",
    "client": "the client's own loop, one step of many requests",
    "single": "requests from the host, each sent when the one before has answered",
}
#: A loop is measured by two sizes, of which the difference counts: what comes before and after it is in both.
SHORT = 10

Loop = Callable[[], float]


def watch(lease: Lease, target: Target, tracer: Path) -> dict[str, Any]:
    """Puts the tracer above a guest's device; what the guest answers.

    Raises:
        DeployError: the guest cannot do it.
    """
    lease.shell.put({f"{DIRECTORY}\\kstrace.sys": tracer})
    return Kshsctl(lease.shell).call("trace", "start", target.hardware_id, reboot_is_fine=False)


def recorded(lease: Lease) -> int:
    """So many events the guest's tracer has recorded."""
    return int(Kshsctl(lease.shell).call("trace", "status")["recorded"])


def processor_ns(pid: int) -> int:
    """Nanoseconds of processor time that the threads of a process have had, without those that have ended."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((task / "schedstat").read_text(encoding="ascii").split()[0])
        except FileNotFoundError:
            continue  # it ended just now
    return total


def a_request(run: Callable[[int], object], size: int, meter: Callable[[], int]) -> float:
    """What a request costs by a meter: a loop of so many against a short one."""

    def once(size: int) -> int:
        before = meter()
        run(size)
        return meter() - before

    short = max(1, size // SHORT)
    return (once(size) - once(short)) / (size - short)


def loops(bench: Bench, pid: int, count: int) -> Mapping[str, Loop]:
    """The three loops of a guest; each gives microseconds of processor time a request.

    Args:
        bench: of the guest.
        pid: of its process.
        count: requests of the agent's loop; of the others so many as take about as long.
    """

    def timed(run: Callable[[int], object], size: int) -> Loop:
        return lambda: a_request(run, size, lambda: processor_ns(pid)) / 1000

    return {
        IN_GUEST: timed(bench.agent_loop, count),
        "client": timed(lambda size: bench.pipelined(1, repeat=size), 5 * count),
        "single": timed(bench.single, max(SHORT, count // 50)),
    }


def pid_of(lease: Lease) -> int:
    """Of a guest's process.

    Raises:
        HarnessError: nobody knows.
    """
    if lease.pid is None:
        raise HarnessError("nobody knows the guest's process, so that its processor time cannot be measured")
    return lease.pid


def in_turns(plain: Loop, watched: Loop, rounds: int) -> tuple[list[float], list[float]]:
    """Costs of both, each measured so often; who comes first changes, since machines warm up."""
    costs: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            costs[which].append((plain, watched)[which]())
    return costs


def compared(costs: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> Mapping[str, Any]:
    """As it stands in ``bench.json``: each loop's costs, what being watched adds as a share, and the goal.

    The shares are those of the rounds, and their median counts: what the host did meanwhile struck both.
    """
    told: dict[str, Any] = {}
    for name, (plain, watched) in costs.items():
        shares = [after / before - 1 for before, after in zip(plain, watched, strict=True)]
        told[name] = {
            "loop": LOOPS[name],
            "plain_us": [rounded(each) for each in plain],
            "traced_us": [rounded(each) for each in watched],
            "cost": rounded(statistics.median(shares)),
        }
    cost = told[IN_GUEST]["cost"]
    return {
        **told,
        "goal": {
            "goal": f"kstrace costs under {MOST_COST:.0%} of the agent's own loop",
            "met": cost < MOST_COST,
            "got": "; ".join(f"{name} {told[name]['cost']:.1%}" for name in told),
        },
    }
