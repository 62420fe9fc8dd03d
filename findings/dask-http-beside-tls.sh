#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# distributed 2026.8.0: a worker with TLS, require_encryption=True and dashboard=False still opens a second port and
# answers HTTP in the clear there, without a certificate: /health, /metrics, /sitemap.json.  The argument leaves out
# the pages of bokeh alone.  Without that server: distributed.worker.http.routes = [] and an address on loopback.
# Fails when that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q "distributed==2026.8.0" "dask==2026.8.0" "cryptography==50.0.2"
cd "$work"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=show \
    -keyout key.pem -out cert.pem 2>/dev/null
cat >show.py <<'PY'
import asyncio, logging, sys, urllib.request
import dask
from distributed import Scheduler, Worker
from distributed.security import Security

logging.disable(logging.CRITICAL)
roles = {f"tls_{r}_{w}": f"{w}.pem" for r in ("scheduler", "worker", "client") for w in ("cert", "key")}
tls = Security(tls_ca_file="cert.pem", require_encryption=True, **roles)


def asked(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()[:60].splitlines()[0]
    except urllib.error.HTTPError as error:
        return error.code, ""


async def shown(settings):
    with dask.config.set(settings):
        there = {"host": "127.0.0.1", "security": tls, "protocol": "tls://", "dashboard": False}
        async with Scheduler(port=0, dashboard_address="127.0.0.1:0", **there) as scheduler:
            async with Worker(scheduler.address, **there) as worker:
                port = worker.http_server.port
                return worker.address.partition(":")[0], await asyncio.to_thread(asked, port, "/health")


plain = asyncio.run(shown({}))
print(f"a worker at {plain[0]}:// with dashboard=False; GET /health in the clear: {plain[1]}")
quiet = asyncio.run(shown({"distributed.worker.http.routes": [], "distributed.scheduler.http.routes": []}))
print(f"the same without routes: {quiet[1]}")
sys.exit(not (plain == ("tls", (200, "ok")) and quiet[1][0] == 404))
PY
"$work/venv/bin/python" -W ignore show.py
