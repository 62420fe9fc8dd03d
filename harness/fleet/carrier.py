# SPDX-License-Identifier: Apache-2.0
"""What a host does with leases: it carries each once, tells how it goes, and ends what nobody renews.

Nothing here knows of dask.distributed; `harness.fleet.worker` puts a carrier into its worker.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.fleet.content import PIECE
from harness.fleet.host_state import HostState, code_has_changed
from harness.fleet.lease_files import KSHS, LeaseOrder, command, settings_text
from harness.fleet.trees import Trees
from harness.fleet.waiting import WaitingRun, end, environment, keeper
from harness.results.folder import PARTS
from harness.results.record import BEGUN
from vm.config import VmConfig
from vm.errors import VmError
from vm.files import private_directory, remove_tree, write_whole

_LOOK = 0.2
#: Seconds that a run has to end by itself when its lease is over; then it is killed.
_ENDING = 90.0
#: Days for which a host keeps what nobody has fetched.
_KEPT_DAYS = 7
#: Characters of a run's last words.
_TAIL = 2000
_OUTPUT, _ORDER = "output.txt", "order.json"


class LeaseError(HarnessError):
    """A lease cannot be carried here."""


@dataclass
class _Carried:
    """A lease at work: `renewed` and `over` by `time.monotonic`, `events` as told, `read` bytes of each
    part.
    """

    order: LeaseOrder
    folder: Path
    renewed: float
    ended: bool = False
    over: float = 0.0
    dropped: bool = False
    cancelled: str | None = None
    result: dict[str, Any] | None = None
    events: list[dict[str, Any]] = field(default_factory=list)
    read: dict[str, int] = field(default_factory=dict)
    guard: threading.Lock = field(default_factory=threading.Lock)


class Carrier:
    """Carries the leases of one host.

    Args:
        config: of its guests.
        state: its folder.
        silence: seconds after which a lease that is not renewed is over.
        session: names this life of its worker.
        room: cores and MiB that all leases may take together, whoever sends them; None: any.
        waiting: a run for the next lease, where one is to wait.
    """

    def __init__(
        self,
        config: VmConfig,
        state: HostState,
        silence: float,
        session: str = "",
        room: tuple[int, int] | None = None,
        waiting: WaitingRun | None = None,
    ) -> None:
        self._config = config
        self.silence = silence
        self._session = session
        self._room = room
        self._waiting = waiting
        self._withdrawn: set[str] = set()
        self._beginning = threading.Lock()
        self._spool = private_directory(state.folder / "spool")
        self.trees = Trees(config, state)
        self._carried: dict[str, _Carried] = {}

    def tidy(self) -> list[str]:
        """Removes what nobody has fetched in days; says what."""
        gone = []
        limit = time.time() - _KEPT_DAYS * 86400
        for folder in self._spool.iterdir():
            with contextlib.suppress(OSError):  # it is dropped at this very moment
                if folder.stat().st_mtime < limit and self.has_ended(folder.name):
                    remove_tree(folder)
                    gone.append(f"results of lease {folder.name[:8]}")
        return gone

    @property
    def busy(self) -> int:
        """Leases at work."""
        return sum(not one.ended for one in list(self._carried.values()))

    @property
    def owed(self) -> int:
        """Leases at work, and those that have ended a moment ago and were not fetched yet."""
        now = time.monotonic()
        return sum(not one.ended or now - one.over < self.silence for one in list(self._carried.values()))

    def at_work(self) -> list[dict[str, Any]]:
        """What leases take that are at work: `harness.fleet.hosts.Taken`."""
        return [
            {
                "lease": one.order.id,
                "cores": one.order.cores,
                "memory_mib": one.order.memory_mib,
                "guest": one.order.guest,
            }
            for one in list(self._carried.values())
            if not one.ended
        ]

    def begin(self, said: Mapping[str, Any]) -> bool:
        """Begins a lease, in a thread of its own; `renew` tells how it ends.

        False where leases of others have taken what it needs: two nights do not know of each other.

        Raises:
            LeaseError: it was carried before: a lease is carried once, whoever asks; or nobody waits for it
                any more.
        """
        order = LeaseOrder.model_validate(dict(said))
        self.tidy()
        with self._beginning:
            if order.id in self._withdrawn:
                raise LeaseError("was given up before it was begun", where=order.id)
            folder = self._spool / order.id
            if order.id in self._carried or folder.exists():
                raise LeaseError("was carried already; a lease is carried once", where=order.id)
            if not self._has_room(order):
                return False
            one = self._carried[order.id] = _Carried(order, folder, time.monotonic())
        threading.Thread(target=self._carry, args=(one,), name=f"kshs-{order.id[:8]}", daemon=True).start()
        return True

    def _has_room(self, order: LeaseOrder) -> bool:
        if self._room is None:
            return True
        there = self.at_work()
        cores, memory = (sum(int(one[key]) for one in there) for key in ("cores", "memory_mib"))
        return (
            cores + order.cores <= self._room[0]
            and memory + order.memory_mib <= self._room[1]
            and not (order.alone and any(one["guest"] == order.guest for one in there))
        )

    def has_ended(self, lease: str) -> bool:
        """Whether a lease is not at work here."""
        one = self._carried.get(lease)
        return one is None or one.ended

    def _carry(self, one: _Carried) -> None:
        """A lease to its end: its exit code, its files and its last words; or why it could not be run."""
        began, code, error = time.monotonic(), None, None
        try:
            code = self._run(one)
        except (HarnessError, VmError, OSError, shutil.Error) as failed:
            error = str(failed)
        except Exception as failed:  # whatever it is, the lease is over, and whoever waits is told
            error = f"unexpected {type(failed).__name__}: {failed}"
        one.ended, one.over = True, time.monotonic()
        self._listen(one)
        one.result = {
            "code": code,
            "error": error,
            "cancelled": one.cancelled,
            "seconds": round(time.monotonic() - began, 3),
            "files": self._files(one.folder / "out"),
            "said": _tail(one.folder / _OUTPUT),
        }
        if one.dropped:
            self.drop(one.order.id)
        if self._waiting is not None:
            self._waiting.prepare()  # whoever has sent it has work of its own now

    def _run(self, one: _Carried) -> int:
        order, folder = one.order, one.folder
        if code_has_changed():
            raise LeaseError("kshs has changed since this worker was started", hint="start it anew")
        folder.mkdir(mode=0o700)
        write_whole(folder / _ORDER, order.model_dump_json())
        work = folder / "work"
        shutil.copytree(self.trees.check(order.inputs), work, symlinks=True)
        build = self.trees.check(order.build) if order.build is not None else None
        if order.image is not None:
            self.trees.check_image(order.image)
        settings = folder / "kshs.toml"
        write_whole(settings, settings_text(order, self._config, work, build))
        directory = work / order.directory
        directory.mkdir(parents=True, exist_ok=True)
        keeper = self._called(command(order, settings, work, folder / "out"), directory, folder / _OUTPUT)
        silence = order.silence_s or self.silence
        assert keeper.stdin is not None
        with keeper.stdin:
            while keeper.poll() is None:
                if one.cancelled is None and time.monotonic() - one.renewed > silence:
                    one.cancelled = f"nobody renewed the lease for {silence:g} s"
                if one.cancelled is not None:
                    break
                with contextlib.suppress(subprocess.TimeoutExpired):
                    keeper.wait(_LOOK)
        # The pipe is closed: where the run is still at work, its keeper ends it.
        return end(keeper, _ENDING)

    def _called(self, words: list[str], directory: Path, output: Path) -> subprocess.Popen[bytes]:
        """The keeper of a run of kshs with these words; the run that waits is taken, where there is one."""
        with output.open("wb") as log:
            taken = self._waiting.take(words, directory, output) if self._waiting is not None else None
            return taken or subprocess.Popen(
                keeper([*KSHS, *words]),
                cwd=directory,
                env=environment(),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def cancel_all(self, why: str) -> None:
        """Ends every lease at work: nobody can hear what comes of them."""
        for one in list(self._carried.values()):
            if one.cancelled is None:
                one.cancelled = why

    def cancel(self, lease: str, why: str) -> None:
        """Ends one."""
        one = self._carried.get(lease)
        if one is not None and one.cancelled is None:
            one.cancelled = why

    def renew(self, leases: Mapping[str, int]) -> dict[str, dict[str, Any]]:
        """Renews leases; gives what `tell` does."""
        for lease in leases:
            one = self._carried.get(lease)
            if one is not None:
                one.renewed = time.monotonic()
        return self.tell(leases)

    def tell(self, leases: Mapping[str, int]) -> dict[str, dict[str, Any]]:
        """What has happened under each behind the event of that number, and what became of it.

        One that is not known is not begun yet, or was carried by an earlier life of this worker, which has
        taken it along: the session tells which.
        """
        told: dict[str, dict[str, Any]] = {}
        for lease, since in leases.items():
            one = self._carried.get(lease)
            if one is None:
                told[lease] = {"known": False, "session": self._session, "busy": self.busy}
                continue
            self._listen(one)
            told[lease] = {"known": True, "events": one.events[since : since + 500], "result": one.result}
        return told

    def tells_ends(self, leases: Iterable[str]) -> bool:
        """Whether one of these has come to an end that `tell` tells."""
        found = (self._carried.get(lease) for lease in leases)
        return any(one is not None and one.result is not None for one in found)

    def leftovers(self, night: str) -> dict[str, list[dict[str, Any]]]:
        """Leases of a night that are not at work any more and that nobody has dropped, each with its
        events.
        """
        found = {}
        for folder in self._spool.iterdir():
            one = self._carried.get(folder.name) or self._reopened(folder)
            if one is not None and one.order.night == night and (one.ended or one.cancelled):
                self._listen(one)
                found[folder.name] = one.events
        return found

    def drop(self, lease: str) -> None:
        """Nobody needs what a lease has left; one at work is ended first, and one that is not begun yet never
        will be.
        """
        with self._beginning:
            one = self._carried.get(lease)
            if one is None and not (self._spool / lease).exists():
                self._withdrawn.add(lease)
        if one is not None and not one.ended:
            one.dropped = True
            self.cancel(lease, "the lease was dropped")
            return
        if len(lease) == 32 and lease.isalnum():
            remove_tree(self._spool / lease)
        self._carried.pop(lease, None)

    def read(self, lease: str, name: str, number: int) -> bytes:
        """A piece of a file that a lease has left.

        Raises:
            LeaseError: there is no such file.
        """
        out = (self._spool / lease / "out").resolve()
        path = (out / name).resolve()
        if not path.is_relative_to(out) or not path.is_file():
            raise LeaseError("has left no such file", where=f"{lease}: {name}")
        with path.open("rb") as file:
            return os.pread(file.fileno(), PIECE, number * PIECE)

    def _reopened(self, folder: Path) -> _Carried | None:
        """A lease of an earlier life of this worker."""
        with contextlib.suppress(OSError, ValueError):
            order = LeaseOrder.model_validate_json((folder / _ORDER).read_bytes())
            return _Carried(order, folder, 0.0, ended=True)
        return None

    def _files(self, out: Path) -> list[list[Any]]:
        """What a run has left: names, sizes, SHA-256."""
        found = []
        for path in sorted(out.rglob("*")) if out.is_dir() else []:
            name = path.relative_to(out).as_posix()
            if path.is_file() and not path.is_symlink() and not name.startswith(".") and "/." not in name:
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                found.append([name, path.stat().st_size, digest])
        return found

    def _listen(self, one: _Carried) -> None:
        """Reads on in the parts of a run's results: which scenarios have begun, and which have ended how."""
        with one.guard:
            for path in sorted((one.folder / "out").glob(f"{PARTS}*/results-*.jsonl")):
                with contextlib.suppress(OSError):
                    self._listen_to(one, path)
            results = one.folder / "out" / "results.jsonl"
            if one.ended and results.is_file():  # the parts went with the run's end
                told = {(event["file"], event["id"]) for event in one.events if event["kind"] == "scenario"}
                self._listen_to(one, results, told)

    def _listen_to(self, one: _Carried, path: Path, told: Collection[tuple[str, str]] = ()) -> None:
        with path.open("rb") as file:
            file.seek(one.read.get(path.name, 0))
            for line in file:
                if not line.endswith(b"\n"):
                    break
                one.read[path.name] = one.read.get(path.name, 0) + len(line)
                if line.startswith(_STEP):  # nine of ten lines, and nothing of them is told
                    continue
                with contextlib.suppress(ValueError):
                    record = json.loads(line)
                    kind, key = record.get("kind"), (record.get("file"), record.get("id"))
                    if kind in (BEGUN, "scenario") and key not in told:
                        one.events.append(_told(record))


#: How the record of a step begins.
_STEP = b'{"kind":"step",'
_TOLD = (
    "kind",
    "id",
    "file",
    "title",
    "rules",
    "line",
    "tags",
    "order",
    "content",
    "verdict",
    "reason",
    "lease",
)


def _told(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key: record[key] for key in _TOLD if key in record}


def _tail(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace")[-_TAIL:]
    return ""
