# SPDX-License-Identifier: Apache-2.0
"""What is kept between two lives of its worker: whether it is quarantined or drained, and whose it is."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from filelock import BaseFileLock

from harness.config import Config
from harness.errors import UsageError
from vm.errors import VmError
from vm.files import private_directory, read_json, try_lock, write_json

_STATE, _LOCK = "host.json", "worker.lock"
_PACKAGES = ("harness", "vm", "drivers")
_UNFIT = re.compile(r"[^a-z0-9.-]+")


def host_name(config: Config) -> str:
    """What this host is called."""
    if config.hosts.this is not None:
        return config.hosts.this
    return _UNFIT.sub("-", socket.gethostname().split(".")[0].lower()).strip("-.") or "host"


@dataclass(frozen=True)
class HostState:
    """The folder of a host's worker: ``CACHE/host``."""

    folder: Path

    @classmethod
    def of(cls, config: Config) -> HostState:
        """Of this host; the folder is made.

        Raises:
            VmError: it cannot be.
        """
        private_directory(config.vm.cache_dir)
        return cls(private_directory(config.vm.cache_dir / "host"))

    def hold(self) -> BaseFileLock:
        """The lock of this host's one worker.

        Raises:
            UsageError: another process has it.
        """
        lock = try_lock(self.folder / _LOCK)
        if lock is None:
            raise UsageError(
                "another worker works with this cache", where=str(self.folder), hint="one is all a host needs"
            )
        return lock

    def is_held(self) -> bool:
        """Whether a worker is at work here."""
        lock = try_lock(self.folder / _LOCK)
        if lock is not None:
            lock.release()
        return lock is None

    @property
    def quarantined(self) -> str | None:
        """Why this host takes no lease until somebody lifts it; None where it does."""
        return self._read().get("quarantined")

    @property
    def draining(self) -> bool:
        """Whether its worker ends once its leases have."""
        return bool(self._read().get("draining"))

    def quarantine(self, reason: str | None) -> None:
        """Sets or, with None, lifts it."""
        self._change("quarantined", reason)

    def drain(self, draining: bool) -> None:
        """Sets it, or takes it back."""
        self._change("draining", draining)

    def _read(self) -> dict[str, Any]:
        with contextlib.suppress(VmError):
            return read_json(self.folder / _STATE) or {}
        return {"quarantined": f"{self.folder / _STATE} is damaged"}  # nothing is known of this host

    def _change(self, key: str, value: Any) -> None:
        with contextlib.suppress(VmError):
            state = read_json(self.folder / _STATE) or {}
            write_json(self.folder / _STATE, {**state, key: value})
            return
        write_json(self.folder / _STATE, {key: value})


def code_digest() -> str:
    """Of all that makes up this kshs, sources and data: two hosts of one night have the same.

    It is that of the files as they were when it was asked for the first time: see `code_has_changed`.
    """
    return _first()[0]


def code_has_changed() -> bool:
    """Whether the files are no more those of `code_digest`: what is begun now would run others."""
    digest, stamp = _first()
    return _stamp() != stamp and _digest() != digest


@cache
def _first() -> tuple[str, str]:
    return _digest(), _stamp()


def _digest() -> str:
    found = []
    for name, root, path in _files():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        found.append([name, path.relative_to(root).as_posix(), digest])
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def _stamp() -> str:
    """The same by sizes and times, for a fraction of the work."""
    found = []
    for name, root, path in _files():
        status = path.stat()
        found.append([name, path.relative_to(root).as_posix(), status.st_size, status.st_mtime_ns])
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def _files() -> Iterator[tuple[str, Path, Path]]:
    import drivers
    import harness
    import vm

    for name, package in zip(_PACKAGES, (harness, vm, drivers), strict=True):
        root = Path(str(package.__file__)).parent
        for path in sorted(_sources(root)):
            yield name, root, path


def _sources(root: Path) -> Iterator[Path]:
    for directory, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name != "__pycache__" and not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and not name.endswith((".pyc", ".pyo")):
                yield Path(directory) / name


def free_mib(folder: Path) -> int:
    """Of the disk below a folder."""
    return shutil.disk_usage(folder).free >> 20
