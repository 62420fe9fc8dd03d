# SPDX-License-Identifier: Apache-2.0
"""What a night asks of a worker; each function runs in the worker's process, which is given to it by name.

They take and give plain values only.  What takes time is done in a thread: a worker that does not answer the
scheduler counts as dead.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from harness.errors import HarnessError
from vm.errors import VmError

_LOOK = 0.3
#: Seconds between two looks for the end of a lease, while an answer is kept back.
_HELD = 0.05


class HostError(HarnessError):
    """A host cannot do what it was asked; who does not answer at all is lost (`links.LostError`)."""


async def _there(function: Callable[..., Any], *arguments: Any) -> Any:
    """Does it in a thread.

    Raises:
        HostError: this host's disk is full, say.
    """
    try:
        return await asyncio.to_thread(function, *arguments)
    except (OSError, VmError) as error:
        raise HostError(str(error)) from None


async def facts(dask_worker: Any = None) -> dict[str, Any]:
    """What this host is and has (`harness.fleet.hosts.HostFacts`)."""
    found: dict[str, Any] = await _there(dask_worker.kshs.facts)
    return found


async def renew(leases: Mapping[str, int], hold: float = 0.0, dask_worker: Any = None) -> dict[str, Any]:
    """See `Carrier.renew`; the answer is kept back for up to `hold` seconds, or until one of them is over.

    They are renewed when this is called, and not when it answers: who asks may be cut off by then.
    """
    carrier = dask_worker.kshs.carrier
    found: dict[str, Any] = await _there(carrier.renew, leases)
    end = time.monotonic() + hold
    while time.monotonic() < end and not carrier.tells_ends(leases):
        await asyncio.sleep(_HELD)
    told: dict[str, Any] = await _there(carrier.tell, leases) if hold else found
    return told


async def cancel(lease: str, why: str, dask_worker: Any = None) -> None:
    """See `Carrier.cancel`."""
    dask_worker.kshs.carrier.cancel(lease, why)


async def read(lease: str, name: str, number: int, dask_worker: Any = None) -> bytes:
    """See `Carrier.read`."""
    data: bytes = await _there(dask_worker.kshs.carrier.read, lease, name, number)
    return data


async def drop(lease: str, dask_worker: Any = None) -> None:
    """See `Carrier.drop`."""
    await _there(dask_worker.kshs.carrier.drop, lease)


async def leftovers(night: str, dask_worker: Any = None) -> dict[str, Any]:
    """See `Carrier.leftovers`."""
    found: dict[str, Any] = await _there(dask_worker.kshs.carrier.leftovers, night)
    return found


async def has(digest: str, dask_worker: Any = None) -> bool:
    """Whether a tree is here."""
    return bool(dask_worker.kshs.carrier.trees.has(digest))


async def expect(
    digest: str, files: Any, image: Mapping[str, str] | None, dask_worker: Any = None
) -> list[tuple[int, int]]:
    """See `Trees.expect`."""
    trees = dask_worker.kshs.carrier.trees
    found: list[tuple[int, int]] = await _there(trees.expect, digest, files, image)
    return found


async def put(digest: str, pieces: list[tuple[int, int, bytes]], dask_worker: Any = None) -> None:
    """See `Trees.put`."""
    await _there(dask_worker.kshs.carrier.trees.put, digest, pieces)


async def finish(digest: str, image: Mapping[str, str] | None, dask_worker: Any = None) -> None:
    """See `Trees.finish`; the worker's resources say the new image from now on."""
    await _there(dask_worker.kshs.carrier.trees.finish, digest, image)
    await dask_worker.set_resources(**await _there(dask_worker.kshs.resources))


async def quarantine(reason: str | None, dask_worker: Any = None) -> None:
    """See `HostState.quarantine`."""
    await _there(dask_worker.kshs.state.quarantine, reason)


async def drain(draining: bool, dask_worker: Any = None) -> None:
    """See `HostState.drain`."""
    await _there(dask_worker.kshs.state.drain, draining)


async def carry(order: Mapping[str, Any]) -> None:
    """See `Carrier.begin`; the one of these that is a task of dask's, which counts its memory and cores.

    It ends with the lease.  What became of the lease is told to who renews it, never by this task: dask runs
    a task again whose value it has lost.
    """
    from distributed import get_worker

    worker: Any = get_worker()
    carrier = worker.kshs.carrier
    while not await _there(carrier.begin, order):
        await asyncio.sleep(_LOOK)
    while not carrier.has_ended(order["id"]):
        await asyncio.sleep(_LOOK)
