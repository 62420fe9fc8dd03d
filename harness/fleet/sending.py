# SPDX-License-Identifier: Apache-2.0
"""Trees on their way to hosts, and results on their way back: in pieces, checked, resumed after a cut."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.fleet import calls
from harness.fleet.cells import Tree
from harness.fleet.content import PIECE, ContentError, UnexpectedError, pack
from harness.fleet.links import Links, LostError
from vm.errors import VmError
from vm.files import private_directory

#: Pieces of one message.
_BATCH = 4
_PAUSE = 1.0
#: Not fetched: made anew from the merged results.
_REMADE = ("report.html",)
#: Bytes of all that one lease may leave.
MOST_BYTES = 8 << 30


class LocalError(HarnessError):
    """Something of this host cannot be read or written: no fault of those that are spoken with."""


class Sender:
    """Brings trees to hosts, each once.

    Args:
        links: to the hosts.
        patience: seconds without an answer after which a host is lost.
        say: told what is on its way.
    """

    def __init__(self, links: Links, patience: float, say: Callable[[str], None]) -> None:
        self._links = links
        self._patience = patience
        self._say = say
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}
        self._there: set[tuple[str, str, str]] = set()
        #: Bytes that were sent of each tree to each host, pieces as they travel.
        self.sent: dict[tuple[str, str], int] = {}

    async def bring(self, host: str, session: str, trees: Sequence[Tree], images: Sequence[str]) -> None:
        """All of these are on the host when it returns.  ``images``: what it said that it has.

        Raises:
            LostError: it has not answered for too long.
            HarnessError: it cannot have them.
            LocalError: they are damaged here.
        """
        for tree in trees:
            async with self._locks.setdefault((host, tree.digest), asyncio.Lock()):
                mark = host, session, tree.digest
                if mark in self._there:
                    continue
                if tree.image is None or tree.image["digest"] not in images:
                    await self._bring(host, tree)
                if tree.image is not None:  # others are asked for anew: a host removes what is damaged
                    self._there.add(mark)

    async def _bring(self, host: str, tree: Tree) -> None:
        since = time.monotonic()
        while True:
            try:
                if tree.image is None and await self._links.call(host, calls.has, tree.digest):
                    return
                files = tree.listing.as_json()
                missing = await self._links.call(host, calls.expect, tree.digest, files, tree.image)
                if tree.image is not None and missing:
                    self._say(f"image {tree.image['name']} goes to {host}: {len(missing)} pieces")
                for first in range(0, len(missing), _BATCH):
                    await self._send(host, tree, missing[first : first + _BATCH])
                    since = time.monotonic()
                await self._links.call(host, calls.finish, tree.digest, tree.image)
                return
            except (LostError, UnexpectedError):
                # A worker that was started anew, or whom another night has sent the same, knows of nothing.
                if time.monotonic() - since > self._patience:
                    raise
                await asyncio.sleep(_PAUSE)

    async def _send(self, host: str, tree: Tree, wanted: Sequence[tuple[int, int]]) -> None:
        pieces = []
        for index, number in wanted:
            try:
                data = await asyncio.to_thread(pack, tree.path, tree.listing.files[index], number)
            except (ContentError, OSError) as error:
                raise LocalError(f"cannot be sent: {error}") from None
            pieces.append((index, number, data))
            self.sent[host, tree.digest] = self.sent.get((host, tree.digest), 0) + len(data)
        await self._links.call(host, calls.put, tree.digest, pieces)


async def fetch(
    links: Links, host: str, lease: str, files: Sequence[Any], into: Path, patience: float
) -> None:
    """What a lease has left, as its host has listed it: names, sizes, SHA-256.

    Raises:
        LostError: the host has not answered for too long.
        ContentError: what came is not what was listed, or too much.
        LocalError: it cannot be written here.
    """
    try:
        await _fetched(links, host, lease, files, into, patience)
    except LostError:
        raise
    except (OSError, VmError) as error:
        raise LocalError(f"results cannot be kept: {error}", where=str(into)) from None


async def _fetched(
    links: Links, host: str, lease: str, files: Sequence[Any], into: Path, patience: float
) -> None:
    private_directory(into)
    if sum(int(size) for _, size, _ in files) > MOST_BYTES:
        raise ContentError("has left more than is taken", where=f"lease {lease[:8]} on {host}")
    for name, size, digest in files:
        path = into / name
        if not path.resolve().is_relative_to(into.resolve()):
            raise ContentError("is no name of a result", where=str(name))
        if name in _REMADE:
            continue
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        check = hashlib.sha256()
        with path.open("wb") as file:
            for number in range(-(-int(size) // PIECE)):
                data = await _piece(links, host, lease, name, number, patience)
                check.update(data)
                file.write(data)
        if check.hexdigest() != digest:
            raise ContentError("came damaged", where=f"{name} of lease {lease[:8]} on {host}")


async def _piece(links: Links, host: str, lease: str, name: str, number: int, patience: float) -> bytes:
    since = time.monotonic()
    while True:
        try:
            data: bytes = await links.call(host, calls.read, lease, name, number)
            return data
        except LostError:
            if time.monotonic() - since > patience:
                raise
            await asyncio.sleep(_PAUSE)
