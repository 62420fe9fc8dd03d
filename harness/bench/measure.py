# SPDX-License-Identifier: Apache-2.0
"""``kshs bench``: what a lease, a request and the whole catalogue cost, measured in one go.

What is compared is measured in turns, so that whatever else the machine does strikes both.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drivers import abi as abi_module
from harness.agent.journal import Journal
from harness.agent.session import AgentSession
from harness.bench import suite as bench_suite
from harness.bench import tracing, unjournalled
from harness.bench.figures import Figure, Point, Workers, document
from harness.bench.floor import BareForks
from harness.bench.guest import Bench
from harness.config import Config
from harness.errors import HarnessError
from harness.guests.package import find_target
from harness.guests.provider import VmGuest, VmProvider
from vm.words import counted

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much is measured."""

    leases: int = 10
    rounds: int = 5
    single: int = 50
    pipelined: int = 1000
    naive: int = 2
    suites: int = 3
    #: Sizes of the series with one request a step, and with `repeat` requests a step.
    sizes: tuple[int, ...] = (100, 1_000, 10_000)
    repeat: int = 100
    repeat_sizes: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    #: Numbers of workers whose runs are compared, the first with the others; empty: none.
    workers: tuple[int, ...] = (1, 2)
    #: Runs of each of these.
    worker_runs: int = 2


#: A few minutes instead of a quarter of an hour; the figures are the same, their spread is not.
QUICK = Amounts(
    leases=3,
    rounds=2,
    pipelined=500,
    suites=1,
    sizes=(100, 1_000),
    repeat_sizes=(10_000, 100_000),
    workers=(),
)


def measure(
    config: Config,
    *,
    guest: str | None = None,
    target: str | None = None,
    amounts: Amounts | None = None,
    say: Say,
) -> dict[str, Any]:
    """Everything, as it is written to ``bench.json``.

    Raises:
        HarnessError, VmError, BuildError: the guest cannot be provided, or a request failed.
    """
    wanted = amounts or Amounts()
    recipe = guest or config.run.guest
    name = target or config.run.target
    samples: dict[str, list[float]] = {}
    with VmBench(config, recipe, name) as bench:
        bench.prepare(say)
        bench.leases(samples, wanted.leases, say)
        series = bench.requests(samples, wanted, say)
        together = bench.together(wanted, say)
        host = dict(bench.provider.host())
    arguments = [*run_arguments(config, recipe), f"--target={name}"]
    more: dict[str, Any] = {"host": {**host, "cores": os.cpu_count(), "load": os.getloadavg()}}
    more["suite"] = _suites(samples, wanted, arguments, say)
    more["suite"]["workers"] = _workers(wanted, arguments, together, say)
    figures = {key: Figure(tuple(values)) for key, values in samples.items()}
    more["host"]["release"] = platform.release()
    return document(figures, series, more)


def run_arguments(config: Config, guest: str | None) -> list[str]:
    """Of `kshs run`, so that it uses the same guest and settings."""
    found = [f"--guest={guest or config.run.guest}"]
    return found if config.file is None else [*found, f"--config={config.file.absolute()}"]


def _suites(
    samples: dict[str, list[float]], wanted: Amounts, arguments: list[str], say: Say
) -> dict[str, Any]:
    """`kshs run`, several times, in turns with runs that keep no journal."""
    facts: dict[str, Any] = {}
    bare = bench_suite.this_one(unjournalled.__name__)
    for number in range(wanted.suites):
        say(f"the whole catalogue, run {number + 1} of {wanted.suites}, with a journal and without")
        suite = bench_suite.run(arguments)
        without = bench_suite.run(arguments, program=bare)
        for key, value in (
            ("first_request_s", suite.first_request),
            ("suite_s", suite.seconds),
            ("suite_guest_s", suite.guest_seconds),
            ("journal_s", suite.seconds - without.seconds),
            ("host_peak_mib", suite.peak_mib),
        ):
            samples.setdefault(key, []).append(value)
        facts = {"scenarios": suite.scenarios, "leases": suite.leases}
    return facts


def _workers(
    wanted: Amounts, arguments: list[str], together: Mapping[int, float], say: Say
) -> list[dict[str, Any]]:
    """`kshs run` with several workers, in turns."""
    runs: dict[int, list[bench_suite.SuiteRun]] = {number: [] for number in wanted.workers}
    for turn in range(wanted.worker_runs):
        for number, found in runs.items():
            say(f"the whole catalogue, {counted(number, 'worker')}, run {turn + 1} of {wanted.worker_runs}")
            found.append(bench_suite.run(arguments, workers=number))
    return [
        Workers(
            number,
            min(run.seconds for run in found),
            max(run.peak_mib for run in found),
            min(run.seconds for run in runs[wanted.workers[0]]),
            together[number],
            min(found, key=lambda run: run.seconds).busy,
        ).as_dict()
        for number, found in runs.items()
    ]


def traced(
    config: Config, *, guest: str | None = None, target: str | None = None, rounds: int, count: int, say: Say
) -> Mapping[str, Any]:
    """What being watched by kstrace.sys costs, the agent's own loop foremost.

    Raises:
        HarnessError, VmError, BuildError: guests cannot be provided or watched, or a request failed.
    """
    from drivers.build import build

    with VmBench(config, guest or config.run.guest, target or config.run.target) as bench:
        bench.prepare(say)
        return bench.traced(build(source=config.run.drivers).tracer, rounds, count, say)


class VmBench:
    """A provider of real guests, and what is measured with it; a context manager."""

    def __init__(self, config: Config, recipe: str, target: str) -> None:
        self.provider = VmProvider(
            config.vm,
            find_target(target, config),
            recipe,
            source=config.run.drivers,
            way=config.leases_of(recipe),
            devices=config.devices_of(recipe),
        )
        self._abi = abi_module.load()
        self._stack = ExitStack()

    def __enter__(self) -> VmBench:
        self._stack.callback(self.provider.close)
        self._directory = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="kshs-bench-")))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def prepare(self, say: Say) -> None:
        """Build, image, template; and one lease, so that everything is in the host's memory."""
        self.provider.prepare(say)
        self._lease().close()

    def leases(self, samples: dict[str, list[float]], count: int, say: Say) -> None:
        """Leases and bare forks, in turns."""
        say("leases and bare forks")
        pattern = self._lease()
        bare = BareForks(pattern.lease, self._directory)
        pattern.close()
        for _ in range(count):
            began = time.monotonic()
            guest = self._lease()
            session = AgentSession(guest.open_agent(), self._abi)
            samples.setdefault("lease_s", []).append(time.monotonic() - began)
            session.close(polite=False)
            guest.close()
            samples.setdefault("clone_floor_s", []).append(bare.seconds())

    def requests(self, samples: dict[str, list[float]], wanted: Amounts, say: Say) -> list[Point]:
        """Requests of all kinds on one guest, in turns; then the series."""
        guest = self._lease()
        with (
            Journal(self._directory / "journal.jsonl") as journal,
            AgentSession(guest.open_agent(), self._abi, journal=journal.sending) as session,
        ):
            bench = Bench(guest.lease, self._abi, self.provider.target(), session)
            for number in range(wanted.rounds):
                say(f"requests, round {number + 1} of {wanted.rounds}")
                rates = {
                    "requests_per_s_single": bench.single(wanted.single),
                    "requests_per_s_pipelined": wanted.pipelined / bench.pipelined(wanted.pipelined),
                    "agent_loop_per_s": bench.agent_loop(wanted.pipelined),
                    "naive_per_s": bench.naive(wanted.naive),
                }
                for key, rate in rates.items():
                    samples.setdefault(key, []).append(rate)
            series = []
            for repeat, sizes in ((1, wanted.sizes), (wanted.repeat, wanted.repeat_sizes)):
                for size in sizes:
                    say(f"a series: {size:,} requests, {repeat} a step")
                    series.append(bench.point(size, repeat=repeat))
        guest.close()
        return series

    def together(self, wanted: Amounts, say: Say) -> dict[int, float]:
        """By the number of workers: how many times the work of one so many guests do at the same time.

        It is the agent's own loop in each of them, without harness or host: what is lost here is the
        machine's to lose, so it is what workers are held against.
        """
        if not wanted.workers:
            return {}
        guests = [self._lease() for _ in range(max(wanted.workers))]
        with ExitStack() as stack:
            loops = []
            for guest in guests:
                stack.callback(guest.close)
                session = stack.enter_context(AgentSession(guest.open_agent(), self._abi))
                loops.append(Bench(guest.lease, self._abi, self.provider.target(), session))
            pool = stack.enter_context(ThreadPoolExecutor(len(loops)))
            rates: dict[int, list[float]] = {number: [] for number in wanted.workers}
            for turn in range(wanted.rounds):
                say(f"guests beside each other, round {turn + 1} of {wanted.rounds}")
                for number, found in rates.items():
                    running = [pool.submit(loop.agent_loop, wanted.pipelined) for loop in loops[:number]]
                    found.append(sum(one.result() for one in running))
        one = statistics.median(rates[wanted.workers[0]]) / wanted.workers[0]
        return {number: statistics.median(found) / one for number, found in rates.items()}

    def traced(self, tracer: Path, rounds: int, count: int, say: Say) -> Mapping[str, Any]:
        """Three loops on two guests in turns, one of which is watched."""
        guests = [self._lease(), self._lease()]
        with ExitStack() as stack:
            measured = []
            for guest in guests:
                stack.callback(guest.close)
            say("kstrace.sys is put above the device of one of two guests")
            tracing.watch(guests[1].lease, self.provider.target(), tracer)
            for guest in guests:
                session = stack.enter_context(AgentSession(guest.open_agent(), self._abi))
                bench = Bench(guest.lease, self._abi, self.provider.target(), session)
                measured.append(tracing.loops(bench, tracing.pid_of(guest.lease), count))
            costs = {}
            for name, what in tracing.LOOPS.items():
                say(f"{what}: {counted(rounds, 'time')} each, watched and not")
                costs[name] = tracing.in_turns(measured[0][name], measured[1][name], rounds)
            seen = tracing.recorded(guests[1].lease)
        if seen < rounds * count:
            raise HarnessError(f"the tracer recorded {seen} events of more than {rounds * count} requests")
        return tracing.compared(costs)

    def _lease(self) -> VmGuest:
        guest = self.provider.acquire()
        assert isinstance(guest, VmGuest)
        return guest


def write(bench: Mapping[str, Any], path: Path) -> None:
    """As JSON, in one step: a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(json.dumps(bench, indent=1) + "\n", encoding="utf-8")
    fresh.replace(path)
