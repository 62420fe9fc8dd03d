#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# distributed 2026.8.0: a documented setting, distributed.comm.timeouts.tcp ("time before calling an unresponsive
# connection dead"), takes any duration, but with one below 12 s no connection comes about: what derives ten
# keepalive probes from it asserts, and the AssertionError reaches whoever connects, as "Timeout too low".
# So a fleet that wants to hear of a cut in less must count the silence itself.  Fails when that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q "distributed==2026.8.0" "dask==2026.8.0"
cd "$work"
cat >show.py <<'PY'
import asyncio, logging, sys
import dask
from distributed import Client, Scheduler

logging.disable(logging.CRITICAL)


async def connects(timeout):
    with dask.config.set({"distributed.comm.timeouts.tcp": timeout, "distributed.scheduler.http.routes": []}):
        async with Scheduler(host="127.0.0.1", port=0, dashboard=False, dashboard_address="127.0.0.1:0") as there:
            try:
                async with Client(there.address, asynchronous=True, timeout=5):
                    return "connected"
            except AssertionError as error:
                return f"AssertionError: {error}"
            except Exception as error:
                return f"{type(error).__name__}: {error}"


said = {timeout: asyncio.run(connects(timeout)) for timeout in ("30s", "12s", "6s")}
for timeout, what in said.items():
    print(f"distributed.comm.timeouts.tcp = {timeout}: {what}")
sys.exit(said != {"30s": "connected", "12s": "connected", "6s": "AssertionError: Timeout too low"})
PY
"$work/venv/bin/python" -W ignore show.py
