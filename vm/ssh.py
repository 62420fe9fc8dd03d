# SPDX-License-Identifier: Apache-2.0
"""SSH connections to a guest, with its host key pinned."""

from __future__ import annotations

import base64
import logging
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vm.errors import GuestLost, GuestTimeout

if TYPE_CHECKING:
    import paramiko

WINDOW = 4 << 20
KEEPALIVE_SECONDS = 15

# Its broken connections reach us as exceptions; without a handler logging would print them as well.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Endpoint:
    """Where a guest's SSH server is reached, and the only host key that is accepted."""

    port: int
    client_key: Path
    host_key: str
    host: str = "127.0.0.1"
    user: str = "root"

    @property
    def pinned(self) -> bytes:
        """The host key's wire form."""
        return base64.b64decode(self.host_key.split()[1])


def connect(endpoint: Endpoint, timeout: float, *, booting: bool = False) -> paramiko.Transport:
    """A transport that has proved the host key and is authenticated.

    QEMU's user network accepts a connection before the guest listens, and then asks the guest again only
    after seconds.  So towards a booting guest a silent connection is given up soon and made anew; towards
    a forked one, which listens already, one connection is patiently kept (impatience would pile up
    half-open ones in the guest).

    Raises:
        GuestTimeout: no SSH server answered in time.
        GuestLost: it answered and broke off, or showed another host key.
    """
    deadline = time.monotonic() + timeout
    patience = 0.25 if booting else timeout
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise GuestTimeout(f"no SSH server within {timeout:.0f} s", f"{endpoint.host}:{endpoint.port}")
        link = _speaking(endpoint, min(patience, left))
        _LOG.debug("port %d %s", endpoint.port, "is silent" if link is None else "speaks")
        if link is None:
            patience = min(patience * 1.3, 5.0)
            continue
        try:
            return _authenticated(endpoint, link, max(left, 5.0))
        except GuestLost:
            if not booting or time.monotonic() > deadline:
                raise


def _speaking(endpoint: Endpoint, patience: float) -> socket.socket | None:
    """A connection on which the server's first byte waits to be read; None where it stays silent."""
    begun = time.monotonic()
    try:
        link = socket.create_connection((endpoint.host, endpoint.port), timeout=patience)
    except OSError:
        # Refused: QEMU does not listen yet.  Let the rest of this try's time pass.
        threading.Event().wait(max(0.0, min(patience, 0.05) - (time.monotonic() - begun)))
        return None
    try:
        import paramiko  # noqa: F401 - while the guest's server, which takes as long, comes to its first word

        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if link.recv(1, socket.MSG_PEEK):
            return link
    except OSError:
        pass
    link.close()
    return None


def _authenticated(endpoint: Endpoint, link: socket.socket, timeout: float) -> paramiko.Transport:
    import paramiko

    where = f"{endpoint.host}:{endpoint.port}"
    transport = paramiko.Transport(link, default_window_size=WINDOW)
    transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = timeout
    options = transport.get_security_options()
    # The cheapest for an emulated processor among those that both sides have and nobody has broken.
    options.kex = _prefer(options.kex, "curve25519-sha256@libssh.org")
    options.ciphers = _prefer(options.ciphers, "aes128-ctr")
    options.key_types = ("ssh-ed25519",)
    try:
        transport.start_client(timeout=timeout)
        if transport.get_remote_server_key().asbytes() != endpoint.pinned:
            raise GuestLost("the guest shows another host key than the image's", where)
        key = paramiko.Ed25519Key.from_private_key_file(str(endpoint.client_key))
        transport.auth_publickey(endpoint.user, key)
    except (paramiko.SSHException, OSError, EOFError) as error:
        transport.close()
        if isinstance(error, GuestLost):
            raise
        raise GuestLost(f"SSH cannot be set up: {error or type(error).__name__}", where) from None
    transport.set_keepalive(KEEPALIVE_SECONDS)
    return transport


def _prefer(offered: Sequence[str], first: str) -> tuple[str, ...]:
    return (first, *(name for name in offered if name != first)) if first in offered else tuple(offered)
