# SPDX-License-Identifier: Apache-2.0
"""Hypervisors of other hosts, by libvirt URI: whether leases can be had there, and what is missing."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from vm.errors import InputError

_HERE = ("", "localhost", "127.0.0.1", "::1")

#: What a lease needs that libvirt does not carry to another host.
MISSING = (
    "disks, overlays and memory templates are files of this host",
    "a guest's SSH port and its consoles are on the other host",
    "guests of a run that was killed cannot be found there and ended",
    "libvirt drops event subscriptions when it connects anew, so that a crash could pass unheard",
)


def other_host(uri: str) -> str | None:
    """The host that a URI names; None where its hypervisor is this host's, whatever the transport.

    `qemu+unix:///system`, `qemu+ssh://localhost/system` and the like reach this host: leases work there.
    """
    try:
        named = urlsplit(uri).hostname or ""
    except ValueError:
        return uri
    return None if named in (*_HERE, socket.gethostname()) else named


def lacking(uri: str) -> str | None:
    """What does not work over a URI, in one sentence; None where all of it does."""
    host = other_host(uri)
    return None if host is None else f"leases do not work over it: {'; '.join(MISSING)}"


def check(uri: str) -> None:
    """Refuses a hypervisor on which no lease could be had, before anything is made for it.

    Raises:
        InputError: says what does not work, and what to do instead.
    """
    said = lacking(uri)
    if said is not None:
        raise InputError(said, uri, f"run kshs worker on {other_host(uri)} (docs/hosts.md)")
