# SPDX-License-Identifier: Apache-2.0
"""A unit test takes milliseconds: it starts no guest, no Wine, no compiler, and asks no network.

What does is marked `component` or `e2e`; a test that is not and does it all the same fails here, so that
`make unit` stays what it says.
"""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_HEAVY = ("clang", "ld.lld", "lld", "llvm-rc", "llvm-dlltool", "mmdebstrap", "apt-get", "wine", "wine64")
_running: list[str] = []
"""The unit test that runs now, if one does."""


def _is_heavy(argument: object) -> bool:
    if not isinstance(argument, str | bytes | os.PathLike):
        return False
    given = os.fsdecode(argument)
    # A stand-in is a link to something else; a name without a folder is looked up in PATH.
    name = Path(given).resolve().name if "/" in given else given
    return name.startswith("qemu-system-") or name.rpartition("-")[0] in _HEAVY or name in _HEAVY


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if not _running:
        return
    if event == "subprocess.Popen":
        command = arguments[1] if isinstance(arguments[1], list | tuple) else [arguments[0]]
        # `setpriv ... -- program arguments`: the program is the first word behind the dashes.
        words = list(command)
        words = words[words.index("--") + 1 :] if "--" in words else words
        if words and _is_heavy(words[0]):
            raise RuntimeError(f"{_running[-1]} starts {words[0]}: mark it component or e2e")
    elif event == "socket.connect":
        address = arguments[1]
        if isinstance(address, tuple) and not ipaddress.ip_address(address[0]).is_loopback:
            raise RuntimeError(f"{_running[-1]} connects to {address[0]}: mark it component or e2e")


sys.addaudithook(_watch)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Watches from a unit test's first fixture to its last."""
    if item.get_closest_marker("component") or item.get_closest_marker("e2e"):
        return (yield)  # type: ignore[return-value]
    _running.append(item.nodeid)
    try:
        return (yield)  # type: ignore[return-value]
    finally:
        _running.pop()
