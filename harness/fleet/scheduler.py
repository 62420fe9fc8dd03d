# SPDX-License-Identifier: Apache-2.0
"""``kshs scheduler``: dask.distributed's scheduler, as kshs wants it set up."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Any

from distributed import Scheduler

from harness.config import Config
from harness.fleet.engine import NO_HTTP, address, security
from harness.fleet.host_state import host_name


def serve(listen: str, config: Config, say: Callable[[str], None]) -> None:
    """Runs one until this process is told to end.

    Raises:
        UsageError: the address or the keys are wrong, or it cannot listen there.
    """
    shown = security(config.hosts.keys, host_name(config), config.hosts.silence_s)
    asyncio.run(_serve(address(listen), shown, say))


async def _serve(listen: str, shown: Any, say: Callable[[str], None]) -> None:
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    host, _, port = listen.removeprefix("tls://").rpartition(":")
    scheduler = Scheduler(
        host=host,
        port=int(port),
        protocol="tls://",
        security=shown,
        dashboard=False,
        dashboard_address=NO_HTTP,
    )
    async with scheduler:
        say(f"scheduler at {scheduler.address}")
        await ending.wait()
    say("ended")
