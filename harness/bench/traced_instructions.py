# SPDX-License-Identifier: Apache-2.0
"""What kstrace.sys costs a request, in instructions of the guest: ``python -m
harness.bench.traced_instructions``.

Time says little of a few microseconds: two guests that do the same differ by more than the tracer costs, each
by where its memory lies, and so does one host from minute to minute.  A guest that is recorded counts what
its processor executes (QEMU's ``icount``), whatever the host does meanwhile.  Guests with and without the
tracer take turns, each forked from the same state, and their medians are compared.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness import config as settings
from harness.agent.session import AgentSession
from harness.bench import tracing
from harness.bench.guest import Bench
from harness.errors import HarnessError
from harness.guests.package import find_target
from harness.replay.provider import RecordedGuest, RecordingProvider
from vm.errors import VmError

_TURNS = 5
#: Requests of the agent's loop, and so many times as many of the client's.
_COUNT, _TIMES = 1000, 5

Cost = dict[str, float]


def measured(guest: RecordedGuest, bench: Bench) -> Cost:
    """Instructions a request, by loop (`tracing.LOOPS`)."""

    def cost(run: Callable[[int], object], size: int) -> float:
        run(size // tracing.SHORT)  # whatever is done the first time
        return tracing.a_request(run, size, lambda: guest.instructions)

    return {
        tracing.IN_GUEST: cost(bench.agent_loop, _COUNT),
        "client": cost(lambda size: bench.pipelined(1, repeat=size), _TIMES * _COUNT),
    }


def turns(folder: Path, say: Callable[[str], None]) -> tuple[list[Cost], list[Cost]]:
    """Without the tracer and with it, so often each.

    Raises:
        HarnessError, VmError: guests cannot be recorded or watched, or a request failed.
    """
    from drivers import abi as abi_module
    from drivers.build import build

    config = settings.load(None)
    provider = RecordingProvider(config.vm, find_target(config.run.target, config), config.run.guest)
    provider.takes = folder
    abi, tracer = abi_module.load(), build(source=config.run.drivers).tracer
    found: tuple[list[Cost], list[Cost]] = ([], [])
    try:
        provider.prepare(say)
        for turn in range(2 * _TURNS):
            watched = turn % 2
            guest = provider.acquire()
            assert isinstance(guest, RecordedGuest)
            try:
                if watched:
                    tracing.watch(guest.lease, provider.target(), tracer)
                with AgentSession(guest.open_agent(), abi) as session:
                    cost = measured(guest, Bench(guest.lease, abi, provider.target(), session))
                if watched and tracing.recorded(guest.lease) < _COUNT:
                    raise HarnessError("the tracer has not recorded what was to be measured")
            finally:
                guest.close()
                provider.forget(guest.take)
            found[watched].append(cost)
            said = ", ".join(f"{name} {count:,.0f}" for name, count in cost.items())
            say(f"{'watched' if watched else 'plain'}: {said} instructions a request")
    finally:
        provider.close()
    return found


def compared(plain: Sequence[Cost], watched: Sequence[Cost]) -> Mapping[str, tuple[float, float]]:
    """By loop the medians, without and with."""
    return {
        name: (statistics.median(one[name] for one in plain), statistics.median(one[name] for one in watched))
        for name in plain[0]
    }


def main() -> int:
    """0 where the goal is met."""
    try:
        with tempfile.TemporaryDirectory(prefix="kshs-b", dir="/tmp") as scratch:
            plain, watched = turns(Path(scratch), lambda text: print(text, flush=True))
    except (HarnessError, VmError, OSError) as error:
        print(f"kshs: {error}", file=sys.stderr)
        return 3
    costs = compared(plain, watched)
    for name, (before, after) in costs.items():
        print(f"{tracing.LOOPS[name]}: {before:,.0f} and {after:,.0f}, {after / before - 1:+.1%}")
    before, after = costs[tracing.IN_GUEST]
    share = after / before - 1
    met = share < tracing.MOST_COST
    print(
        f"kstrace costs {share:.1%} of the agent's own loop (goal < {tracing.MOST_COST:.0%}:"
        f" {'met' if met else 'MISSED'}); load {os.getloadavg()[0]:.1f}"
    )
    # The client's loop is the smaller, and so what a request costs shows there with less of all else.
    alone = (costs["client"][1] - costs["client"][0]) / before
    print(f"what a request of the client's loop has more is {alone:.1%} of a request of the agent's")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
