# SPDX-License-Identifier: Apache-2.0
"""Everything that is kept of a leased guest after an incident, before it is thrown away.

From outside come the hypervisor's events, the machine's state, its consoles, its screen and, of guests whose
kernel the drivers live in, its memory.  From inside, where the guest still answers, come the crash
recorder's records, what Wine's services and the drivers printed, the kernel's own messages, and the stacks of
the threads that drivers run on.  A piece that cannot be had costs no other.
"""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.agent import waiting_agent
from harness.guests.guest_linux import asked
from harness.guests.interface import EvidenceSink
from harness.guests.kshsctl import CRASHES, Kshsctl
from vm.family import Family, family

if TYPE_CHECKING:
    from vm.lease import Lease
    from vm.shell import Shell

#: Consoles that the host writes, by their names in the lease's folder.
CONSOLES = ("serial.log", "com1.log", "debugcon.log")
SCREEN = "screenshot.png"
MEMORY = "memory.dmp"
THREADS = "threads.json"
#: Seconds for one question to a guest, and for all of them.
_QUESTION = 10.0
_QUESTIONS = 25.0
#: Seconds for the stacks: a program is started for them, beside a driver that may keep the processor busy.
_STACKS = 60.0
#: A driver that loops has the guest's one processor: its threads step back behind whoever asks.
_STEP_BACK = "renice -n 19 -p $(for p in $(pidof winedevice.exe); do ls /proc/$p/task; done) >/dev/null 2>&1"
#: Seconds that a Windows guest gets to stop after an NMI.
_NMI = 30.0


def leave(
    lease: Lease,
    into: EvidenceSink,
    *,
    hung: bool = False,
    memory_dump: bool = True,
    threads: bytes = b"",
) -> dict[str, Any]:
    """See `harness.guests.LeavesEvidence`; `threads` are the stacks that were taken before (`stacks`)."""
    speech = family(lease.family)
    standstill = _tried(into, "state", lease.standstill)
    reachable = not (lease.ended() or standstill)
    if reachable and hung and not speech.runs_on_linux and not lease.events.crashed:
        _stop_by_nmi(lease, into)
    for name in CONSOLES:
        _keep_file(lease.evidence_dir / name, into)
    if reachable:
        _screen(lease, into)
        if memory_dump and not speech.runs_on_linux:
            _memory(lease, into)
        if not lease.events.crashed:
            _inside(lease, speech, into, hung=hung, threads=threads)
    return {
        "event": lease.events.describe(),
        "events": [
            {"at": round(event.at, 3), "kind": event.kind, "detail": event.detail}
            for event in lease.events.all[-50:]
        ],
        "state": lease.state(),
        "standstill": standstill,
    }


def _stop_by_nmi(lease: Lease, into: EvidenceSink) -> None:
    """A Windows guest that hangs becomes one that has stopped, whose memory says where.

    Not seen: no Windows guest was at hand.  Windows 8 and later stop with NMI_HARDWARE_FAILURE (0x80) at an
    NMI that nobody handles, older ones where NMICrashDump is set (Microsoft's page about CrashControl).
    """
    try:
        lease.inject_nmi()
    except Exception as error:
        into.lack(MEMORY, f"no NMI could be sent: {error}")
        return
    if not lease.events.wait(lambda events: events.crashed or events.stopped, _NMI):
        into.lack("nmi", f"the guest did not stop within {_NMI:.0f} s of an NMI")


def _keep_file(path: Path, into: EvidenceSink) -> None:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - into.limit))
            into.add(path.name, file.read(into.limit), size=size)
    except FileNotFoundError:
        return
    except OSError as error:
        into.lack(path.name, str(error))


def _screen(lease: Lease, into: EvidenceSink) -> None:
    try:
        lease.screenshot(into.place(SCREEN))
        into.took(SCREEN)
    except Exception as error:
        into.lack(SCREEN, str(error))


def _memory(lease: Lease, into: EvidenceSink) -> None:
    """Not seen of Windows; `tests/e2e/test_incidents.py` writes the memory of the embedded guest."""
    size = int(getattr(lease.template, "memory_mib", 0)) << 20
    if size > into.room:
        into.lack(MEMORY, f"{size >> 20} MiB of memory do not fit in the budget (incidents.budget_mib)")
        return
    try:
        lease.dump_memory(into.place(MEMORY))
        into.took(MEMORY)
    except Exception as error:
        into.lack(MEMORY, str(error))


def _inside(lease: Lease, speech: Family, into: EvidenceSink, *, hung: bool, threads: bytes) -> None:
    deadline = time.monotonic() + _QUESTIONS
    try:
        shell = lease.shell if lease.shell.alive else lease.new_shell()
    except Exception as error:
        into.lack("guest", f"does not answer: {error}")
        return
    if not speech.runs_on_linux:
        return
    logs = {
        "crashes.jsonl": [speech.sftp_path(CRASHES)],
        "session.log": speech.session_logs,
        "agent.log": [f"{waiting_agent.DIRECTORY}/err"],
    }
    questions = {name: _tail_of(paths, into.limit) for name, paths in logs.items()}
    questions["kernel.log"] = f"dmesg | tail -c {into.limit}"
    try:
        for name, answer in asked(shell, questions, _QUESTION).items():
            into.add(name, answer)
    except Exception:
        # One of them may keep the others from being answered: each for itself then.
        _one_by_one(shell, questions, into, deadline)
    if hung and threads:
        into.add(THREADS, threads)
    elif hung:
        _one_by_one(shell, {THREADS: _threads_of(shell)}, into, deadline, _STACKS)


def stacks(lease: Lease, ask: Callable[[], bytes]) -> bytes:
    """Where drivers' threads stand; empty where it cannot be had.

    The agent is asked first: it runs already, where a program that is started for it takes a second, and it
    has slept, so that a driver that loops hardly keeps the processor from it.  What it cannot say is asked
    for as `leave` would.
    """
    with contextlib.suppress(Exception):  # it is asked for again
        if not family(lease.family).runs_on_linux:
            return b""
        if told := ask():
            return told
        if lease.shell.alive:
            done = lease.shell.run(_threads_of(lease.shell), timeout=_STACKS)
            return done.stdout if done.exit_code == 0 else b""
    return b""


def _threads_of(shell: Shell) -> str:
    return f"{_STEP_BACK}; {Kshsctl(shell).threads()}"


def _one_by_one(
    shell: Shell,
    questions: Mapping[str, str],
    into: EvidenceSink,
    deadline: float,
    seconds: float = _QUESTION,
) -> None:
    for name, command in questions.items():
        if time.monotonic() > deadline:
            into.lack(name, "the guest took too long over the questions before it")
            continue
        try:
            into.add(name, shell.run(command, timeout=seconds).stdout)
        except Exception as error:
            into.lack(name, str(error))


def session_log(lease: Lease, limit: int) -> str:
    """See `harness.guests.TellsWhatDriversSay`."""
    logs = family(lease.family).session_logs
    if not logs or not lease.shell.alive:
        return ""
    with contextlib.suppress(Exception):  # it is a bonus
        printed = lease.shell.run(_tail_of(logs, limit), timeout=_QUESTION).stdout
        return printed.decode("utf-8", errors="replace")
    return ""


def _tail_of(paths: Sequence[str], limit: int) -> str:
    """The command for the end of several files, oldest first, of which some may not be there."""
    files = " ".join(map(shlex.quote, paths))
    return f"cat {files} 2>/dev/null | tail -c {limit}"


def _tried(into: EvidenceSink, name: str, ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except Exception as error:
        into.lack(name, str(error))
        return None
