# SPDX-License-Identifier: Apache-2.0
"""What guests take of the host's memory, measured while they run."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_FIELD = re.compile(r"^Rss(Anon|File|Shmem):\s+(\d+) kB$", re.MULTILINE)
_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Resident:
    """KiB that processes hold: pages of their own, and pages of files, which forks of one template share."""

    own: int = 0
    shared: int = 0


def resident(pid: int, proc: Path = _PROC) -> Resident:
    """Of one process (proc(5), RssAnon, RssFile, RssShmem); nothing where it is gone."""
    try:
        text = (proc / str(pid) / "status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return Resident()
    found = {name: int(number) for name, number in _FIELD.findall(text)}
    return Resident(found.get("Anon", 0) + found.get("Shmem", 0), found.get("File", 0))


class MemoryUsed:
    """The most that the guests of this process, and this process, held at the same time.

    It is looked at whenever a guest ends, for until then a guest only grows.
    """

    def __init__(self, proc: Path = _PROC) -> None:
        self._proc = proc
        self._lock = threading.Lock()
        self._pids: set[int] = set()
        self._most = Resident()

    def began(self, pid: int | None) -> None:
        """A guest runs; None where it is not on this host."""
        if pid is not None:
            with self._lock:
                self._pids.add(pid)

    def ends(self, pid: int | None) -> None:
        """It is about to end."""
        self.look()
        if pid is not None:
            with self._lock:
                self._pids.discard(pid)

    @contextlib.contextmanager
    def of(self, pid: int | None) -> Iterator[None]:
        """As long as a guest runs."""
        self.began(pid)
        try:
            yield
        finally:
            self.ends(pid)

    def look(self) -> None:
        """What the guests hold now counts if it is the most so far."""
        with self._lock:
            self._most = _most(self._most, [resident(pid, self._proc) for pid in self._pids])

    @property
    def kib(self) -> Resident:
        """With this process itself; nothing where no guest was seen."""
        self.look()
        if not self._most.own:
            return Resident()
        with contextlib.suppress(OSError, ValueError):
            return Resident(self._most.own + _own_peak(), self._most.shared)
        return self._most


def _most(before: Resident, now: Iterable[Resident]) -> Resident:
    found = list(now)
    own = sum(one.own for one in found)
    shared = max((one.shared for one in found), default=0)
    return Resident(max(before.own, own), max(before.shared, shared))


def _own_peak() -> int:
    """KiB (proc(5), VmHWM).  What getrusage(2) says may be the peak of the process that started this one."""
    text = (_PROC / "self" / "status").read_text(encoding="ascii", errors="replace")
    found = _PEAK.search(text)
    if found is None:
        raise ValueError("no VmHWM")
    return int(found[1])
