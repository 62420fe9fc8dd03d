# SPDX-License-Identifier: Apache-2.0
"""What is asked of a guest with Wine after an incident: all at once, and each for itself where that fails."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import HarnessError
from harness.evidence.incident_folder import IncidentFolder
from harness.guests import guest_linux, incident_evidence
from vm.errors import GuestTimeout
from vm.events import GuestEvents

ASKED = re.compile(r"\{ (.*?); \}; echo (\w+);")
PIECES = {
    "crashes.jsonl": b"a crash",
    "session.log": b"a line\n",
    "agent.log": b"",
    "kernel.log": b"[0.1] x\n",
}
WORDS = {
    "crashes.jsonl": "crashes.jsonl",
    "wine-session": "session.log",
    "err": "agent.log",
    "dmesg": "kernel.log",
}


def piece(command: str) -> bytes:
    return next(PIECES[name] for word, name in WORDS.items() if word in command)


def all_at_once(command: str) -> bytes:
    return b"".join(piece(part) + mark.encode() + b"\n" for part, mark in ASKED.findall(command))


class Guest:
    """Answers command lines and notes them."""

    def __init__(self, together: Callable[[str], bytes], threads: int = 0) -> None:
        self.commands: list[str] = []
        self.alive = True
        self._together = together
        self._threads = threads

    def wine(self, argv: list[str]) -> str:
        return " ".join(argv)

    def run(self, command: str, timeout: float) -> Any:
        self.commands.append(command)
        if "threads" in command:
            return SimpleNamespace(exit_code=self._threads, stdout=b"the stacks")
        answer = self._together(command) if "echo" in command else piece(command)
        return SimpleNamespace(exit_code=0, stdout=answer)


def lease_of(guest: Guest, folder: Path) -> Any:
    return SimpleNamespace(
        family="wine", events=GuestEvents(), standstill=lambda: None, ended=lambda: False,
        evidence_dir=folder, shell=guest, state=lambda: "running", screenshot=lambda path: False,
    )  # fmt: skip


def kept(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def lost(command: str) -> bytes:
    raise GuestTimeout("no end within 10 s", "guest")


@pytest.mark.parametrize(
    ("together", "questions"),
    [
        (all_at_once, 1),
        (lost, 5),
        (lambda command: all_at_once(command)[:-3], 5),
        (lambda command: all_at_once(command).replace(b"\n", b""), 5),
    ],
    ids=["whole", "lost", "cut", "run together"],
)
def test_every_piece_is_kept(together: Callable[[str], bytes], questions: int, tmp_path: Path) -> None:
    guest = Guest(together)
    sink = IncidentFolder(tmp_path / "kept", limit=4096, room=1 << 20)
    incident_evidence.leave(lease_of(guest, tmp_path), sink)
    assert len(guest.commands) == questions
    assert kept(tmp_path / "kept") == {name: data for name, data in PIECES.items() if data}
    assert not sink.missing


def test_stacks_that_were_taken_are_not_asked_for_again(tmp_path: Path) -> None:
    guest = Guest(all_at_once)
    lease = lease_of(guest, tmp_path)
    taken = incident_evidence.stacks(lease, lambda: b"")
    sink = IncidentFolder(tmp_path / "kept", limit=4096, room=1 << 20)
    incident_evidence.leave(lease, sink, hung=True, threads=taken)
    assert kept(tmp_path / "kept")["threads.json"] == b"the stacks"
    (asked,) = (command for command in guest.commands if "threads" in command)
    assert "kshsrec.exe threads || " in asked and asked.endswith("kshsctl.exe threads")


def test_stacks_that_could_not_be_taken_are_asked_for_again(tmp_path: Path) -> None:
    guest = Guest(all_at_once, threads=1)
    lease = lease_of(guest, tmp_path)
    assert incident_evidence.stacks(lease, lambda: b"") == b""
    incident_evidence.leave(lease, IncidentFolder(tmp_path / "kept", limit=4096, room=1 << 20), hung=True)
    assert sum("threads" in command for command in guest.commands) == 2


def test_what_the_agent_says_of_stacks_is_asked_of_nobody_else(tmp_path: Path) -> None:
    guest = Guest(all_at_once)
    lease = lease_of(guest, tmp_path)
    taken = incident_evidence.stacks(lease, lambda: b"the agent's")
    sink = IncidentFolder(tmp_path / "kept", limit=4096, room=1 << 20)
    incident_evidence.leave(lease, sink, hung=True, threads=taken)
    assert kept(tmp_path / "kept")["threads.json"] == b"the agent's"
    assert not any("threads" in command for command in guest.commands)


def test_answers_that_forge_the_end_of_one_are_told_apart() -> None:
    """How programs were started shows the question itself, and so what stands between the answers."""

    def run(command: str, timeout: float) -> Any:
        first, last = (mark for _, mark in ASKED.findall(command))
        assert first == last
        return SimpleNamespace(stdout=f"1\n{first}\nsh -c {command} {last}{last}\n".encode())

    found = guest_linux.asked(SimpleNamespace(run=run), {"a": "cat a", "programs": "ps"})  # type: ignore[arg-type]
    assert found["a"] == b"1\n" and found["programs"].startswith(b"sh -c { cat a; }; echo ")
    with pytest.raises(HarnessError, match="told apart"):
        guest_linux.asked(Guest(lambda command: b""), {"a": "cat crashes.jsonl"})  # type: ignore[arg-type]
