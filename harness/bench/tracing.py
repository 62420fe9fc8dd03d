# SPDX-License-Identifier: Apache-2.0
"""What kstrace.sys costs in the agent's own loop: two guests in turns, one of which is watched."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.bench.figures import rounded
from harness.guests.kshsctl import DIRECTORY, Kshsctl

if TYPE_CHECKING:
    from pathlib import Path

    from harness.language.model import Target
    from vm.lease import Lease

#: Share of the loop's rate that being watched may cost.
MOST_COST = 0.05

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


def in_turns(plain: Loop, watched: Loop, rounds: int) -> tuple[list[float], list[float]]:
    """Rates of both, each measured so often; who comes first changes, since machines warm up."""
    rates: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            rates[which].append((plain, watched)[which]())
    return rates


def compared(plain: Sequence[float], watched: Sequence[float]) -> Mapping[str, Any]:
    """As it stands in ``bench.json``: both rates, the cost as a share, and the goal."""
    cost = 1 - statistics.median(watched) / statistics.median(plain)
    return {
        "plain_per_s": [rounded(rate) for rate in plain],
        "traced_per_s": [rounded(rate) for rate in watched],
        "cost": rounded(cost),
        "goal": {
            "goal": f"kstrace costs under {MOST_COST:.0%} of the agent's own loop",
            "met": cost < MOST_COST,
            "got": f"{cost:.1%}",
        },
    }
