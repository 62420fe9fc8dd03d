# SPDX-License-Identifier: Apache-2.0
"""What the host was about to do, written durably before it does it.

A crash, a hang or a power cut leaves no record behind.  So before steps go to the guest the host
writes down the run, the scenario, each step and the request that it carries, and waits until the disk has
them (one write and one fdatasync for a whole batch).  What came back of them follows without a wait: it
survives the end of the harness, and a power cut may take it.

A journal is a file of JSON lines: ``{"at": ..., "event": ...}`` with these events:

- ``run``: ``run``, ``session``, ``worker``; the first line, where it is known.
- ``lease``: ``lease``; from here on sequence numbers count anew.
- ``scenario``: ``scenario``, ``file``, ``lease``.
- ``send``: ``seq``, ``step`` (its place in the scenario, null for what cleans up or asks), ``what``, ``size``
  and ``sent``, the first `KEPT` bytes of ``kshs_step`` and its data in hexadecimal.
- ``seen``: ``begun`` and ``answered``, the last sequence numbers of which a begin and a record came.
- ``end``: ``scenario``, ``file``, ``verdict``.

A line that is torn, as a power cut leaves the last one, is ignored on reading.  Room for the lines to come is
written ahead as zero bytes, since a file that does not grow costs a wait for its data alone, not for the file
system's own journal; they go when the journal is closed, and are passed over where it never was.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from vm.files import sync_directory

#: Bytes of a step that are kept: its structure, and what most handshakes have behind it.
KEPT = 256
#: Bytes that are written ahead at once.
_ROOM = 256 << 10
_ZERO = b"\0"


@dataclass(frozen=True, slots=True)
class Intent:
    """One step that is about to be sent.

    `seq` is its number in its session, `what` says for people what it is, `step` is its place in the
    scenario, from 0 (None: not one of its steps), `size` the bytes of ``kshs_step`` and its data, and
    `sent` the first `KEPT` of them.
    """

    seq: int
    what: str
    step: int | None = None
    size: int = 0
    sent: bytes = b""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A scenario that was begun and never ended, its file, and the steps that were sent for it.

    `begun` and `answered` are the last sequence numbers of which the guest's begin and record came.
    """

    scenario: str
    lease: str
    sent: tuple[Intent, ...]
    file: str = ""
    begun: int = 0
    answered: int = 0

    @property
    def in_flight(self) -> Intent | None:
        """The oldest step without a record; None where nothing was sent, or all of it was answered."""
        return next((intent for intent in self.sent if intent.seq > self.answered), None)

    @property
    def words(self) -> str:
        """What was in flight, for people."""
        flying = self.in_flight
        if flying is None:
            return f"last sent: {self.sent[-1].what}, which was answered" if self.sent else "nothing was sent"
        state = "begun in the guest" if flying.seq <= self.begun else "not known to have begun"
        place = "" if flying.step is None else f"step {flying.step + 1}, "
        return f"{place}{flying.what} ({state}); last sent: {self.sent[-1].what}"


@dataclass(frozen=True, slots=True)
class Story:
    """What a journal says: the scenarios that never ended, oldest first, and how the others did.

    `ended` has verdicts, or other words where there is none, by file and scenario.
    """

    unfinished: tuple[Unfinished, ...] = ()
    ended: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @property
    def in_flight(self) -> Unfinished | None:
        """The scenario that a dead run had in flight, or None when every one has ended.

        While one is cleaned up after, the next may have been sent already: the older one is in flight then.
        """
        return next(iter(self.unfinished), None)


class Journal:
    """Appends to one journal file; one writer a file (each xdist worker has its own), of any threads.

    Args:
        path: of the file; its directory is made.
        run: what the first line says of the run, None for none.
    """

    def __init__(self, path: Path, run: Mapping[str, Any] | None = None) -> None:
        self.path = path
        #: Seconds spent on writing, waits for the disk included.
        self.seconds = 0.0
        # What is sent and what is begun are written from threads of their own, and each line has its place.
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        sync_directory(path.parent)
        self._room = os.fstat(self._fd).st_size
        self._end = _end_of_lines(self._fd, self._room)
        if self._end and os.pread(self._fd, 1, self._end - 1) != b"\n":
            self._end += os.pwrite(self._fd, b"\n", self._end)  # what is torn costs no other line
        self._make_room()
        if run is not None:
            self._append([{"event": "run", **run}])

    def lease(self, lease: str) -> None:
        """A guest was taken, to which goes what is sent from now on; durable with the first steps."""
        self._append([{"event": "lease", "lease": lease}])

    def begin(self, scenario: str, lease: str, file: str = "") -> None:
        """A scenario of a file is about to run on a lease; durable with the first steps that follow."""
        self._append([{"event": "scenario", "scenario": scenario, "file": file, "lease": lease}])

    def sending(self, intents: Sequence[Intent]) -> None:
        """These steps are about to be sent.  Returns when the disk has them."""
        began = time.perf_counter()
        self._write(
            [
                {
                    "event": "send",
                    "seq": i.seq,
                    "step": i.step,
                    "what": i.what,
                    "size": i.size,
                    "sent": i.sent.hex(),
                }
                for i in intents
            ]
        )
        os.fdatasync(self._fd)
        self.seconds += time.perf_counter() - began

    def seen(self, begun: int, answered: int) -> None:
        """So far the guest has begun and answered; not waited for."""
        self._append([{"event": "seen", "begun": begun, "answered": answered}])

    def end(self, scenario: str, verdict: str, file: str = "") -> None:
        """The scenario has its verdict."""
        self._append([{"event": "end", "scenario": scenario, "file": file, "verdict": verdict}])

    def close(self) -> None:
        """Closes the file; a second call does nothing."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):  # what is too much is passed over on reading
                os.ftruncate(self._fd, self._end)
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _append(self, events: Sequence[dict[str, Any]]) -> None:
        began = time.perf_counter()
        self._write(events)
        self.seconds += time.perf_counter() - began

    def _write(self, events: Sequence[dict[str, Any]]) -> None:
        at = round(time.time(), 3)
        text = "".join(json.dumps({"at": at, **event}, ensure_ascii=True) + "\n" for event in events)
        view = memoryview(text.encode("ascii"))
        with self._lock:
            place = self._end
            while view:
                written = os.pwrite(self._fd, view, place)
                view, place = view[written:], place + written
            self._end = place
            if self._end >= self._room:
                self._make_room()

    def _make_room(self) -> None:
        """Zero bytes for the lines to come; where they cannot be written, the file grows with its lines."""
        with contextlib.suppress(OSError):
            self._room = self._end + os.pwrite(self._fd, _ZERO * _ROOM, self._end)


def _end_of_lines(fd: int, size: int) -> int:
    """Where the room begins that a journal which was never closed has behind its lines."""
    end = size
    while end:
        begin = max(0, end - _ROOM)
        kept = os.pread(fd, end - begin, begin).rstrip(_ZERO)
        if kept:
            return begin + len(kept)
        end = begin
    return 0


@dataclass
class _Begun:
    lease: str
    sent: list[Intent] = field(default_factory=list)
    begun: int = 0
    answered: int = 0


def story(path: Path) -> Story:
    """What a journal says; an empty one where there is none.  Lines that say nothing are passed over."""
    begun: dict[tuple[str, str], _Begun] = {}
    ended: dict[tuple[str, str], str] = {}
    here: list[_Begun] = []
    latest: _Begun | None = None
    last_begun = last_answered = 0
    for event in _events(path):
        try:
            match event["event"]:
                case "lease":
                    latest, here, last_begun, last_answered = None, [], 0, 0
                case "scenario":
                    lease = str(event["lease"])
                    # Of the steps of another session nothing that is heard from now on is an answer.
                    here = [other for other in here if other.lease == lease]
                    latest = begun[_place(event)] = _Begun(lease, begun=last_begun, answered=last_answered)
                    ended.pop(_place(event), None)
                    here.append(latest)
                case "send" if latest is not None:
                    latest.sent.append(_intent(event))
                case "seen":
                    last_begun, last_answered = int(event["begun"]), int(event["answered"])
                    for other in here:
                        other.begun, other.answered = last_begun, last_answered
                case "end":
                    begun.pop(_place(event), None)
                    ended[_place(event)] = str(event["verdict"])
        except (KeyError, TypeError, ValueError):
            continue  # damaged, as a line that is torn
    left = (
        Unfinished(scenario, it.lease, tuple(it.sent), file, it.begun, it.answered)
        for (file, scenario), it in begun.items()
    )
    return Story(tuple(left), ended)


def _events(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    with path.open(encoding="ascii", errors="replace") as lines:
        for line in lines:
            try:
                event = json.loads(line.strip("\0"))
            except (ValueError, RecursionError):
                continue  # torn by the cut that we are asked about
            if isinstance(event, dict):
                yield event


def _intent(event: Mapping[str, Any]) -> Intent:
    step = event.get("step")
    return Intent(
        int(event["seq"]),
        str(event["what"]),
        None if step is None else int(step),
        int(event.get("size", 0)),
        bytes.fromhex(str(event.get("sent", ""))),
    )


def _place(event: Mapping[str, Any]) -> tuple[str, str]:
    """Two files may have scenarios of one name."""
    return str(event.get("file", "")), str(event["scenario"])
