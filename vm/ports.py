# SPDX-License-Identifier: Apache-2.0
"""Ports of the host's loopback for guests."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TypeVar

from tenacity import Retrying, retry_if_exception, stop_after_attempt

from vm.errors import VmError

T = TypeVar("T")


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def with_free_port(start: Callable[[int], T]) -> tuple[T, int]:
    """What ``start`` gives for a free port, and that port.

    Between the look and the use another process may take the port; QEMU then refuses, and another port is
    tried.
    """
    port = 0

    def attempt() -> T:
        nonlocal port
        port = free_port()
        return start(port)

    collided = retry_if_exception(
        lambda error: isinstance(error, VmError) and "host forwarding rule" in str(error)
    )
    started = Retrying(retry=collided, stop=stop_after_attempt(8), reraise=True)(attempt)
    return started, port
