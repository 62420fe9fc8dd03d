# SPDX-License-Identifier: Apache-2.0
"""`harness.fleet.links` over dask.distributed.

A lease is a task that asks for cores and memory as dask's resources and is bound to one worker; it is never
retried, moved or rerun.  Questions are ``Client.run``: functions of ours in the worker's process.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from distributed import Client
from pydantic import ValidationError

from harness.errors import HarnessError
from harness.fleet import calls
from harness.fleet.engine import PATIENCE, address, reach, security
from harness.fleet.hosts import HostFacts
from harness.fleet.links import LostError
from harness.fleet.shards import Needs

#: Seconds for which what a host has said of itself is taken as it is.
_FRESH = 2.0
#: Seconds that who is asked again has before others are looked at.
_ANSWER = 1.0
#: Errors of a function on a host that are told as they are; all others are the engine's.
_TOLD = (HarnessError,)
#: What reads or hashes gigabytes has as many times the patience.
_SLOW, _LONGER = (calls.expect, calls.finish), 20.0


class DaskLinks:
    """An asynchronous context manager.

    Args:
        url: of the scheduler.
        keys: folder of certificates.
        name: whose certificate this process shows.
        silence: seconds after which who does not answer is lost.

    Raises:
        UsageError: the address or the keys are wrong, or nobody is there.
    """

    def __init__(self, url: str, keys: Path | None, name: str, silence: float) -> None:
        self._security = security(keys, name, silence)
        self._url = address(url)
        self._silence = silence
        self._client: Any = None
        self._addresses: dict[str, str] = {}
        self._known: dict[str, tuple[float, HostFacts]] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._tasks: dict[str, Any] = {}

    async def __aenter__(self) -> DaskLinks:
        try:
            await self._connect(self._silence)
        except LostError as error:
            raise HarnessError(str(error), self._url) from None
        return self

    async def _connect(self, patience: float) -> None:
        try:
            await reach(self._url, self._security, min(patience, PATIENCE))
            self._client = await Client(  # type: ignore[no-untyped-call]
                self._url,
                security=self._security,
                asynchronous=True,
                set_as_default=False,
                timeout=patience,
                name="kshs",
            )
        except (OSError, TimeoutError, ValueError) as error:
            raise LostError(f"no scheduler answers there: {error}") from None

    async def __aexit__(self, *_: object) -> None:
        for task in self._asking.values():
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)
        with contextlib.suppress(OSError, TimeoutError):
            await asyncio.wait_for(self._client.close(), 10)

    async def hosts(self) -> Mapping[str, HostFacts]:
        """See `Links.hosts`.

        Of two workers of one name the one that came last: the other was cut off.  Where both answer, two
        hosts are called the same, and it is said (`HostFacts.twin`).
        """
        if self._client.status in ("closing", "closed"):  # dask gives a scheduler up after a while
            await self._connect(self._silence / 3)
        try:
            said = await asyncio.wait_for(self._client.scheduler.identity(n_workers=-1), self._silence / 3)
        except (OSError, TimeoutError, AttributeError) as error:
            raise LostError(f"the scheduler does not answer: {error}") from None
        there = said["workers"]
        self._known = {where: kept for where, kept in self._known.items() if where in there}
        stale = [
            where
            for where in there
            if where not in self._known or time.monotonic() - self._known[where][0] > _FRESH
        ]
        await self._ask_all(stale)
        self._addresses = {}
        for where in sorted(self._known, key=lambda w: there[w].get("last_seen", 0.0)):
            if where in there:
                self._addresses[self._known[where][1].name] = where
        twins = self._twins()
        limit = time.monotonic() - max(3 * _FRESH, self._silence / 4)
        return {
            name: self._known[where][1].model_copy(update={"twin": name in twins})
            for name, where in self._addresses.items()
            if self._known[where][0] > limit  # the scheduler lists who is silent for a while yet
        }

    def _twins(self) -> set[str]:
        """Names under which two workers have answered a moment ago."""
        limit = time.monotonic() - 2 * _FRESH
        answered = {(f.name, f.session) for when, f in self._known.values() if when >= limit}
        return {name for name, count in Counter(name for name, _ in answered).items() if count > 1}

    async def _ask_all(self, stale: Sequence[str]) -> None:
        """Who does not answer is waited for the first time; after that its silence is counted elsewhere."""
        new = [where for where in stale if where not in self._asking]
        for where in stale:
            if where in new or self._asking[where].done():
                self._asking[where] = asyncio.create_task(self._ask(where))
        asked = [self._asking[where] for where in stale]
        if asked:
            await asyncio.wait(asked, timeout=self._silence / 3 if new else _ANSWER)

    async def _ask(self, where: str) -> None:
        try:
            said = await self._run(where, calls.facts)
            self._known[where] = time.monotonic(), HostFacts.model_validate(said)
        except (LostError, HarnessError, ValidationError):
            # What was known stays until the scheduler has lost it, too: silence is counted elsewhere.
            return

    async def call(self, host: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """See `Links.call`."""
        where = self._addresses.get(host)
        if where is None:
            raise LostError(f"{host} is not there")
        return await self._run(where, function, *arguments)

    async def _run(self, where: str, function: Callable[..., Any], *arguments: Any) -> Any:
        patience = self._silence / 3 * (_LONGER if function in _SLOW else 1.0)
        try:
            answer = await asyncio.wait_for(self._client.run(function, *arguments, workers=[where]), patience)
            return answer[where]
        except _TOLD:
            raise
        except Exception as error:  # whatever the engine raises: nothing is known of what was asked
            raise LostError(f"{where} does not answer: {type(error).__name__}: {error}") from None

    async def begin(self, host: str, order: Mapping[str, Any], needs: Needs) -> None:
        """See `Links.begin`."""
        where = self._addresses.get(host)
        if where is None:
            raise LostError(f"{host} is not there")
        try:
            self._tasks[order["id"]] = self._client.submit(
                calls.carry,
                dict(order),
                key=f"lease-{order['id']}",
                workers=[where],
                allow_other_workers=False,
                resources={"cores": needs.cores, "memory_mib": needs.memory_mib},
                retries=0,
                pure=False,
            )
        except Exception as error:  # whatever the engine raises: it is connected anew at this moment
            raise LostError(f"{host} is not there: {type(error).__name__}: {error}") from None

    async def forget(self, lease: str) -> None:
        """See `Links.forget`."""
        task = self._tasks.pop(lease, None)
        if task is not None:
            with contextlib.suppress(Exception):  # whatever the engine raises: it is forgotten here
                await asyncio.wait_for(self._client.cancel([task], force=True), self._silence / 3)
