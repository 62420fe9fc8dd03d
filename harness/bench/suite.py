# SPDX-License-Identifier: Apache-2.0
"""`kshs run` of the whole catalogue, watched from outside: how long, and how much memory."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import HarnessError
from harness.results import parts, tally

_SAMPLE_SECONDS = 0.5
_POLL_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class SuiteRun:
    """One `kshs run`.

    `seconds` from its start to its end, `first_request` from its start to its first request being
    sent, `guest_seconds` the time inside the guest by the guest's clock (summed over its scenarios),
    `peak_mib` of the process and its guests together, `busy` the share of the machine's processor time
    that was used from start to end, 0 to 1, `scenarios` and `leases` how many there were, and `passed` the
    seconds inside the guest of each scenario that passed, by its id.
    """

    seconds: float
    first_request: float
    guest_seconds: float
    peak_mib: float
    busy: float
    scenarios: int
    leases: int
    passed: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Program:
    """The kshs that is started: `words` of its command line, in `folder` (None: here); `paths`: PYTHONPATH"""

    words: tuple[str, ...]
    folder: Path | None = None
    paths: tuple[str, ...] = ()

    def environment(self) -> dict[str, str]:
        """Ours, but for where Python looks for modules."""
        found = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        return found | ({"PYTHONPATH": os.pathsep.join(self.paths)} if self.paths else {})


def this_one(module: str = "harness") -> Program:
    """The very harness that measures, wherever it was imported from; or another module of it as a program."""
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    return Program((sys.executable, "-m", module), paths=tuple(filter(None, paths)))


def run(arguments: Sequence[str] = (), *, workers: int = 0, program: Program | None = None) -> SuiteRun:
    """Runs it in a process of its own.

    Args:
        arguments: further ones of ``kshs run`` (target, guest, settings).
        workers: guests at the same time; 0: one, in the process itself.
        program: another checkout's; None: this one.

    Raises:
        HarnessError: it did not run to its end, or a scenario did not pass.
    """
    with tempfile.TemporaryDirectory(prefix="kshs-bench-") as directory:
        out = Path(directory) / "out"
        started = program or this_one()
        command = [*started.words, "run", "--out", str(out), *arguments]
        if workers:
            command += ["-n", str(workers)]
        log = Path(directory) / "log"
        with log.open("wb") as sink:
            began, clock, before = time.monotonic(), time.time(), _processor_time()
            process = subprocess.Popen(
                command, cwd=started.folder, stdout=sink, stderr=subprocess.STDOUT, env=started.environment()
            )
            watch = _Watch(process.pid, out)
            watch.start()
            try:
                code = process.wait()
            finally:
                if process.poll() is None:
                    process.kill()
                watch.stop()
            seconds, after = time.monotonic() - began, _processor_time()
        if code != 0:
            tail = " | ".join(log.read_text(errors="replace").strip().splitlines()[-3:])
            raise HarnessError(f"kshs run ended with exit code {code}: {tail}")
        if watch.first_request is None:
            raise HarnessError("kshs run sent no request")
        records = parts.read(out / "results.jsonl")
        scenarios = tally.of_kind(records, "scenario")
        leases = {str(record["lease"]) for record in scenarios if record.get("lease")}
        return SuiteRun(
            seconds=seconds,
            first_request=watch.first_request - clock,
            guest_seconds=sum(float(record.get("guest_seconds") or 0.0) for record in scenarios),
            peak_mib=watch.peak(leases),
            busy=(after[0] - before[0]) / max(1, after[1] - before[1]),
            scenarios=len(scenarios),
            leases=len(leases),
            passed={
                str(record["id"]): float(record.get("guest_seconds") or 0.0)
                for record in scenarios
                if record.get("verdict") == "passed"
            },
        )


def _processor_time() -> tuple[int, int]:
    """Ticks of all processors since the machine started: those used, and all (proc_stat(5))."""
    numbers = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = numbers[3] + numbers[4]
    return sum(numbers) - idle, sum(numbers)


def first_send(journal: str) -> float | None:
    """When the first scenario's first steps were about to be sent, seconds since the epoch."""
    inside = False
    for line in journal.splitlines():
        with contextlib.suppress(ValueError):  # the last line may be on its way
            event = json.loads(line)
            if event["event"] == "scenario":
                inside = True
            elif inside and event["event"] == "send":
                return float(event["at"])
    return None


class _Watch(threading.Thread):
    """Reads the run's journals until its first request, and its memory until its end."""

    def __init__(self, pid: int, out: Path) -> None:
        super().__init__(name="kshs-bench-watch", daemon=True)
        self._pid = pid
        self._out = out
        self._ended = threading.Event()
        self._samples: list[tuple[float, dict[str, float]]] = []
        self.first_request: float | None = None

    def run(self) -> None:
        due = 0.0
        while not self._ended.wait(_POLL_SECONDS if self.first_request is None else _SAMPLE_SECONDS):
            if self.first_request is None:
                found = [
                    at
                    for path in self._out.glob(".parts-*/journal-*.jsonl")
                    if (at := first_send(_text(path))) is not None
                ]
                self.first_request = min(found, default=None)
            if time.monotonic() >= due:
                due = time.monotonic() + _SAMPLE_SECONDS
                self._samples.append((sum(map(pss_mib, _tree(self._pid))), _guests()))

    def stop(self) -> None:
        self._ended.set()
        self.join()

    def peak(self, leases: set[str]) -> float:
        """MiB: the run's processes and its leases, together at any one time."""
        return max(
            (
                own + sum(mib for name, mib in guests.items() if name in leases)
                for own, guests in self._samples
            ),
            default=0.0,
        )


def _guests() -> dict[str, float]:
    """Memory of the guests on this host, MiB, by the names of their leases."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            words = _text(entry / "cmdline").split("\0")
            name = next((w for w in words if w.startswith("guest=kshs-")), None)
            if name is not None and Path(words[0]).name.startswith("qemu-system-"):
                found[name.removeprefix("guest=").split(",")[0]] = pss_mib(int(entry.name))
    return found


def _tree(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            found += [int(child) for child in _text(task).split()]
    return found


def pss_mib(pid: int) -> float:
    """A process's share of the memory, MiB: what several processes map counts once in their sum."""
    for line in _text(Path(f"/proc/{pid}/smaps_rollup")).splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _text(path: Path) -> str:
    """A file that may vanish at any time."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
