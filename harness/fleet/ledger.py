# SPDX-License-Identifier: Apache-2.0
"""The leases of a night, on disk before anything is sent: who holds what, and whose word still counts.

A lease is granted once, under an id that nobody can guess, and is over in one of two ways: it has ended, or
it was given up.  What comes of one that was given up is never taken for a result, whenever it comes.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.fleet.shards import Shard
from vm.files import sync_directory

FILE = "leases.jsonl"


class FencedError(HarnessError):
    """Something came of a lease that is not held any more: it counts for nothing."""


@dataclass(frozen=True)
class Held:
    """One lease: `number` orders those of a night."""

    id: str
    number: int
    shard: str
    cell: str
    host: str
    keys: tuple[str, ...]
    granted: float


class Ledger:
    """The leases of one night; one process writes it.

    Args:
        folder: of the night.
    """

    def __init__(self, folder: Path) -> None:
        self._fd = os.open(folder / FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        sync_directory(folder)
        self._held: dict[str, Held] = {}
        self._over: dict[str, Held] = {}
        self._ended: set[str] = set()
        self._number = 0
        self._close_books(folder)

    def grant(self, shard: Shard, host: str) -> Held:
        """A new lease of a shard on a host, durably."""
        self._number += 1
        held = Held(
            secrets.token_hex(16), self._number, shard.id, shard.cell, host, shard.keys, round(time.time(), 3)
        )
        self._write("granted", held, keys=list(shard.keys))
        self._held[held.id] = held
        return held

    def holds(self, lease: str) -> bool:
        """Whether a lease is held: nothing else may write results."""
        return lease in self._held

    def end(self, lease: str, said: str) -> Held:
        """It has ended, and `said` tells how; its results are in.

        Raises:
            FencedError: it was given up before.
        """
        return self._over_with(lease, "ended", said)

    def give_up(self, lease: str, why: str) -> Held:
        """Nobody waits for it any more.

        Raises:
            FencedError: it is over already.
        """
        return self._over_with(lease, "given up", why)

    def has_ended(self, lease: str) -> bool:
        """Whether a lease of this night has ended, and was not given up."""
        return lease in self._ended

    def late(self, lease: str, said: str) -> None:
        """A host has come back with a lease that was given up."""
        self._write("late", self._over[lease], said=said)

    def close(self) -> None:
        """Closes the file; a second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _close_books(self, folder: Path) -> None:
        """Of a night that was killed and is gone on with: what was at work then is given up."""
        if (size := os.fstat(self._fd).st_size) and (folder / FILE).read_bytes()[size - 1 :] != b"\n":
            os.write(self._fd, b"\n")  # the end tore a line
        rows = read(folder)
        self._number = max((int(row["number"]) for row in rows), default=0)
        over = {row["id"] for row in rows if row["event"] != "granted"}
        for row in rows:
            if row["event"] == "granted" and row["id"] not in over:
                known = {key: row[key] for key in ("id", "number", "shard", "cell", "host", "granted")}
                held = Held(**known, keys=tuple(row["keys"]))
                self._write("given up", held, said="the night was killed")

    def _over_with(self, lease: str, what: str, said: str) -> Held:
        held = self._held.get(lease)
        if held is None:
            raise FencedError("the lease is not held", where=lease)
        self._write(what, held, said=said)
        del self._held[lease]
        if what == "given up":
            self._over[lease] = held
        else:
            self._ended.add(lease)
        return held

    def _write(self, what: str, held: Held, **more: Any) -> None:
        row = {"event": what, "at": round(time.time(), 3), **asdict(held), **more}
        if what != "granted":
            row.pop("keys", None)
        try:
            os.write(self._fd, (json.dumps(row, separators=(",", ":")) + "\n").encode())
            os.fdatasync(self._fd)
        except OSError as error:
            raise HarnessError(f"leases cannot be kept: {error.strerror}", where=FILE) from None


def read(folder: Path) -> list[dict[str, Any]]:
    """The events of a night; a line that its end has torn is passed over."""
    found = []
    for line in (folder / FILE).read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return found
