# SPDX-License-Identifier: Apache-2.0
"""dask.distributed, set up as kshs needs it.  Whoever has no scheduler never imports this."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.fleet.certificates import files_of

#: Where dask's HTTP server listens, which it starts also where no dashboard is wanted.
NO_HTTP = "127.0.0.1:0"
#: Seconds below which dask asserts that its timeout is too low for ten probes.
_LEAST_TCP = 12.0
#: Seconds in which a scheduler takes a connection; dask tries again and again what is refused.
PATIENCE = 15.0
#: Seconds for one try of our own to connect.
_ONE_TRY = 2.0
#: How dask names what it connects with.
_OBJECT = re.compile(r"in <[^>]*>: ")
_URL = re.compile(r"tls://[^\s/@]+:\d{1,5}")


def address(url: str) -> str:
    """A scheduler's address as the user said it.

    Raises:
        UsageError: it is none, or one without encryption.
    """
    if url.startswith("tcp://") or "://" not in url:
        raise UsageError(
            "hosts speak with each other by TLS alone: what they send is run", url, "say tls://HOST:PORT"
        )
    if not _URL.fullmatch(url):
        raise UsageError("is no address of a scheduler", url, "say tls://HOST:PORT")
    return url


def security(keys: Path | None, name: str, silence: float) -> Any:
    """How this process shows who it is, and how it asks others; dask is set up with it.

    Raises:
        UsageError: dask.distributed is not installed, or there are no keys.
    """
    try:
        import dask
        from distributed.security import Security
    except ImportError:
        raise UsageError(
            "dask.distributed is not installed, which carries work to other hosts",
            hint='pip install "kshs[hosts]"',
        ) from None
    authority, certificate, key = files_of(keys, name)
    dask.config.set(settings(silence))
    if not os.environ.get("KSHS_DEBUG"):  # what matters of it is said in our own words
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
    pairs = {
        f"tls_{role}_{what}": value
        for role in ("scheduler", "worker", "client")
        for what, value in (("cert", certificate), ("key", key))
    }
    return Security(  # type: ignore[no-untyped-call]
        tls_ca_file=authority, require_encryption=True, tls_min_version=0x0303, **pairs
    )


def settings(silence: float) -> dict[str, Any]:
    """Of dask, where its defaults are for other work.

    A lease is never run again by dask itself and never moved; nothing is judged by a process's memory, which
    is QEMU's here; who is silent is dead.  What dask serves over HTTP, in the clear and to everybody, is not
    served (`NO_HTTP` goes with it: the port itself cannot be left out).
    """
    return {
        "distributed.scheduler.allowed-failures": 0,
        "distributed.scheduler.work-stealing": False,
        "distributed.scheduler.worker-ttl": f"{silence:g}s",
        "distributed.scheduler.worker-saturation": float("inf"),
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
        "distributed.comm.require-encryption": True,
        "distributed.comm.timeouts.connect": f"{silence / 2:g}s",
        "distributed.comm.timeouts.tcp": f"{max(silence, _LEAST_TCP):g}s",
        "distributed.worker.memory.target": False,
        "distributed.worker.memory.spill": False,
        "distributed.worker.memory.pause": False,
        "distributed.worker.memory.terminate": False,
        "distributed.worker.profile.enabled": False,
        "distributed.admin.tick.interval": "1s",
        "distributed.admin.tick.limit": "60s",
        "distributed.admin.log-format": "%(asctime)s %(name)s: %(message)s",
    }


async def reach(url: str, shown: Any, patience: float) -> None:
    """Speaks to a scheduler once, so that what keeps us from it is known; dask says of most of it nothing.

    Raises:
        UsageError: there is no way to it.
        OSError: nobody answers there within so many seconds, or not to us.
    """
    from distributed.comm.core import connect

    own_address(url)
    try:
        arguments = shown.get_connection_args("client")
        comm = await connect(url, timeout=patience, **arguments)  # type: ignore[no-untyped-call]
    except OSError as error:
        said = _cause(error) or await _refusal(url) or f"nothing came within {patience:g} s"
        raise OSError(said) from None
    await comm.close()


def _cause(error: BaseException) -> str:
    """What lies below an error of dask's, in words; empty where its last try ran out of time."""
    while error.__cause__ is not None:
        error = error.__cause__
    said = _OBJECT.sub("", str(error))
    if "CERTIFICATE" in said.upper() or "SSL" in said:
        return f"one side does not take the other's certificate, both must be of one authority: {said}"
    return said


async def _refusal(url: str) -> str:
    """Why no connection is made to a scheduler, empty where none is refused.

    dask names its last try alone, and that one ends with its patience, whatever the ones before it met.
    """
    host, _, port = url.removeprefix("tls://").rpartition(":")
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host.strip("[]"), int(port)), _ONE_TRY)
    except TimeoutError:
        return ""
    except OSError as error:
        return str(error)
    writer.close()
    return ""


def own_address(url: str) -> str:
    """The address of this host on the way to a scheduler.

    Raises:
        UsageError: there is no way to it.
    """
    host, _, port = url.removeprefix("tls://").rpartition(":")
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_DGRAM
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(where)  # sends nothing
            return str(probe.getsockname()[0])
    except (OSError, ValueError, OverflowError) as error:
        raise UsageError(f"there is no way to it: {error}", where=url) from None
