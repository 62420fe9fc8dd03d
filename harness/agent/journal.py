# SPDX-License-Identifier: Apache-2.0
"""What the host was about to do, written durably before it does it.

A crash, a hang or a power cut leaves no record behind.  So before steps go to the guest the host
writes them down and waits until the disk has them (one write and one fsync for a whole batch).
What is in the journal and has no end is what was in flight.

A journal is a file of JSON lines: ``{"at": ..., "event": "scenario" | "send" | "end", ...}``.
A torn last line, as a power cut leaves it, is ignored on reading.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any


@dataclass(frozen=True, slots=True)
class Intent:
    """One step that is about to be sent: sequence number in its session, and what it is, for people."""

    seq: int
    what: str


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A scenario that was begun and never ended, its file, and the last steps that were sent for it."""

    scenario: str
    lease: str
    sent: tuple[Intent, ...]
    file: str = ""


class Journal:
    """Appends to one journal file; one writer a file (each xdist worker has its own)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def begin(self, scenario: str, lease: str, file: str = "") -> None:
        """A scenario of a file is about to run on a lease; durable with the first steps that follow."""
        self._append([{"event": "scenario", "scenario": scenario, "file": file, "lease": lease}])

    def sending(self, intents: Sequence[Intent]) -> None:
        """These steps are about to be sent.  Returns when the disk has them."""
        self._append([{"event": "send", "seq": i.seq, "what": i.what} for i in intents])
        os.fsync(self._fd)

    def end(self, scenario: str, verdict: str, file: str = "") -> None:
        """The scenario has its verdict."""
        self._append([{"event": "end", "scenario": scenario, "file": file, "verdict": verdict}])

    def close(self) -> None:
        """Closes the file; a second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _append(self, events: Sequence[dict[str, Any]]) -> None:
        at = round(time.time(), 3)
        text = "".join(json.dumps({"at": at, **event}, ensure_ascii=True) + "\n" for event in events)
        view = memoryview(text.encode("ascii"))
        while view:
            view = view[os.write(self._fd, view) :]


def unfinished(path: Path) -> Unfinished | None:
    """The scenario that a dead run had in flight, or None when every one has ended.

    While one is cleaned up after, the next may have been sent already: the older one is in flight then.
    """
    begun: dict[tuple[str, str], tuple[str, list[Intent]]] = {}
    latest: list[Intent] = []
    if not path.exists():
        return None
    for line in path.read_text(encoding="ascii", errors="replace").splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue  # torn by the cut that we are asked about
        kind = event.get("event") if isinstance(event, dict) else None
        if kind == "scenario":
            latest = []
            begun[_place(event)] = (str(event["lease"]), latest)
        elif kind == "send":
            latest.append(Intent(int(event["seq"]), str(event["what"])))
        elif kind == "end":
            begun.pop(_place(event), None)
    for (file, scenario), (lease, sent) in begun.items():
        return Unfinished(scenario, lease, tuple(sent), file)
    return None


def _place(event: dict[str, Any]) -> tuple[str, str]:
    """Two files may have scenarios of one name."""
    return str(event.get("file", "")), str(event["scenario"])
