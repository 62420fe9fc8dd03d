# SPDX-License-Identifier: Apache-2.0
"""A host's worker: a worker of dask.distributed that carries leases, and joins again when it was cut off."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import tempfile
from collections.abc import Callable
from typing import Any

from distributed import Worker

import vm.reaper
import vm.remote
from harness import version
from harness.config import Config
from harness.errors import UsageError
from harness.fleet.carrier import Carrier
from harness.fleet.engine import NO_HTTP, address, own_address, reach, security
from harness.fleet.host_state import HostState, code_digest, free_mib, host_name
from harness.fleet.waiting import WaitingRun
from vm import accel

#: Threads of the worker: leases are bounded by memory and cores, never by these.
_THREADS = 256
_LOOK = 0.5
#: Seconds between two tries to join.
_PAUSE = 3.0
#: MiB of this host that no lease gets.
_RESERVE_MIB = 512


class HostWorker:
    """What calls (`harness.fleet.calls`) find in a worker, as its attribute ``kshs``."""

    def __init__(self, config: Config, state: HostState) -> None:
        self._config = config
        self.state = state
        self.session = secrets.token_hex(6)
        self.name = host_name(config)
        self.accelerator = accel.probe(config.vm).kind
        self._cores, self._memory = room = _measured(config)
        self.waiting = WaitingRun()
        self.carrier = Carrier(config.vm, state, config.hosts.silence_s, self.session, room, self.waiting)

    def facts(self) -> dict[str, Any]:
        """See `harness.fleet.hosts.HostFacts`."""
        return {
            "name": self.name,
            "session": self.session,
            "accelerator": self.accelerator,
            "cores": self._cores,
            "memory_mib": self._memory,
            "disk_mib": free_mib(self.state.folder),
            "images": sorted(self.carrier.trees.images()),
            "busy": self.carrier.busy,
            "at_work": self.carrier.at_work(),
            "code": code_digest(),
            "version": version(),
            "uri": self._config.vm.uri,
            "quarantined": self.state.quarantined,
            "draining": self.state.draining,
        }

    def resources(self) -> dict[str, float]:
        """The same in dask's words: it counts cores and memory, and names the rest."""
        found = {"cores": self._cores, "memory_mib": self._memory, self.accelerator: self._cores}
        found |= {f"image {digest[:16]}": self._cores for digest in self.carrier.trees.images()}
        return {key: float(value) for key, value in found.items()} | {
            "disk_mib": float(free_mib(self.state.folder))
        }


def _measured(config: Config) -> tuple[int, int]:
    from harness.host_room import HostRoom

    found = HostRoom.measured()
    memory = config.hosts.memory_mib or max(0, found.memory_mib - _RESERVE_MIB)
    return config.hosts.cores or found.cores, memory


def serve(url: str, config: Config, say: Callable[[str], None], listen: str | None = None) -> None:
    """Works for a scheduler until the host is drained or this process is told to end.

    Raises:
        UsageError: the address or the keys are wrong, or another worker works with this cache.
        VmError: this host can have no guests.
    """
    name = host_name(config)
    shown = security(config.hosts.keys, name, config.hosts.silence_s)
    where = address(url)
    vm.remote.check(config.vm.uri)
    state = HostState.of(config)
    lock = state.hold()
    try:
        for line in vm.reaper.reap(config.vm):
            say(f"cleaned up: {line}")
        host = HostWorker(config, state)
        for line in host.carrier.tidy():
            say(f"cleaned up: {line}")
        host.carrier.trees.tidy()
        state.drain(False)
        say(_who(host))
        host.waiting.prepare()
        try:
            asyncio.run(_work(where, host, shown, say, listen))
        finally:
            host.waiting.close()
    finally:
        lock.release()


def _who(host: HostWorker) -> str:
    facts = host.facts()
    said = f"host {host.name}: {facts['cores']} cores, {facts['memory_mib']:,} MiB"
    said += f", {facts['accelerator'].upper()}"
    said += f", {len(facts['images'])} sealed images, {facts['disk_mib'] / 1024:.0f} GiB of disk free"
    return f"{said}; quarantined: {facts['quarantined']}" if facts["quarantined"] else said


async def _work(
    url: str, host: HostWorker, shown: Any, say: Callable[[str], None], listen: str | None
) -> None:
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    told: str | None = None
    with tempfile.TemporaryDirectory(prefix="kshs-worker-", ignore_cleanup_errors=True) as scratch:
        while not ending.is_set() and not (host.state.draining and not host.carrier.owed):
            try:
                why = await _joined(url, host, shown, say, listen, scratch, ending)
            except (OSError, TimeoutError, ValueError, RuntimeError, UsageError) as error:
                why = f"{url} cannot be reached: {error}"
            if why is None:
                break
            if why != told:
                say(f"{why}; trying again")
                told = why
            with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
                await asyncio.wait_for(ending.wait(), _PAUSE)
    host.carrier.cancel_all("its worker was told to end")
    while host.carrier.busy:
        await asyncio.sleep(_LOOK)
    say("drained" if host.state.draining else "ended")


async def _joined(
    url: str,
    host: HostWorker,
    shown: Any,
    say: Callable[[str], None],
    listen: str | None,
    scratch: str,
    ending: asyncio.Event,
) -> str | None:
    """One membership; why it ended, None where it was to."""
    await reach(url, shown, host.carrier.silence / 2)
    worker: Any = Worker(
        url,
        name=f"{host.name} {secrets.token_hex(4)}",
        nthreads=_THREADS,
        resources=host.resources(),
        memory_limit=0,
        security=shown,
        host=listen or own_address(url),
        protocol="tls://",
        dashboard=False,
        dashboard_address=NO_HTTP,
        local_directory=scratch,
        death_timeout=host.carrier.silence,
    )
    worker.kshs = host
    async with worker:
        say(f"joined {url} as {worker.address}")
        while worker.status.name in ("running", "paused", "init"):
            if ending.is_set():
                return None
            if host.state.draining and not host.carrier.owed:
                return None
            await asyncio.sleep(_LOOK)
    # Who has lost its scheduler cannot be heard: what it has at work runs out with its leases.
    return f"{url} is lost"
