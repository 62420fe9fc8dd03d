# SPDX-License-Identifier: Apache-2.0
"""The waiting agent's shell scripts, run by the host's own sh with a small agent in Python."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.agent.waiting_agent import last_words_script, ready_script, start_script
from vm.ports import free_port

#: Guests of the Wine family have busybox's shell; where it is installed, that is what is tested.
SHELL = ["busybox", "sh"] if shutil.which("busybox") else ["sh"]

AGENT = """
import os, sys
sys.stderr.write("serving\\n"); sys.stderr.flush()
os.write(1, b"HELLO")
while True:
    data = os.read(0, 65536)
    if not data:
        sys.stderr.write("end of input\\n"); sys.exit(0)
    if data.startswith(b"die"):
        sys.stderr.write("dying\\n"); sys.exit(7)
    os.write(1, data.upper())
"""


def alive(pid: int) -> bool:
    """Whether it runs; one that has ended stays a zombie for as long as nobody collects it, or not at all."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def at_home_in(room: Path) -> list[int]:
    """The processes that work in this directory, also when it was removed meanwhile."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # gone, or another user's
            if str(process.joinpath("cwd").readlink()).removesuffix(" (deleted)") == str(room):
                found.append(int(process.name))
    return [pid for pid in found if alive(pid)]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "kshs room"
    yield directory
    deadline = time.monotonic() + 10
    while (left := at_home_in(directory)) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    assert not left, "processes stay behind"


def start(room: Path, agent: str = AGENT, hold: str | None = None) -> None:
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(agent)}"
    done = subprocess.run(
        [*SHELL, "-c", start_script(command, hold, str(room))], capture_output=True, timeout=10, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


#: Instead of the command that would set this host's clock.
NOTE_CLOCK = 'echo "$now" >clock'


def ready(
    room: Path, seconds: int = 10, set_clock: str = NOTE_CLOCK
) -> tuple[int, subprocess.CompletedProcess[bytes]]:
    port = free_port()
    script = ready_script(str(room), seconds, port=port, set_clock=set_clock)
    done = subprocess.run([*SHELL, "-c", script], capture_output=True, timeout=20, check=False)
    return port, done


class Attached:
    """What a forwarded channel is on the other side: a connection of the guest's loopback."""

    def __init__(self, room: Path, set_clock: str = NOTE_CLOCK, pause: float = 0) -> None:
        self.port, done = ready(room, set_clock=set_clock)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        time.sleep(pause)
        self.link = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        self.link.sendall(b"1790000000\n")

    def read(self, n: int) -> bytes:
        data = b""
        while len(data) < n and (more := self.link.recv(n - len(data))):
            data += more
        return data


@pytest.fixture
def attached(room: Path) -> Iterator[Attached]:
    start(room)
    made = Attached(room)
    yield made
    made.link.close()


def last_words(room: Path) -> tuple[str, str]:
    done = subprocess.run(
        [*SHELL, "-c", last_words_script(str(room))], capture_output=True, timeout=20, check=True, text=True
    )
    code, _, rest = done.stdout.partition("\n")
    return code, rest


def test_hello_waits_and_the_stream_goes_both_ways(room: Path) -> None:
    start(room)
    attached = Attached(room, pause=0.3)  # nobody is attached; the agent must neither end nor block
    assert attached.read(5) == b"HELLO"
    for word in (b"one", b"two", bytes(range(97, 123)) * 1000):
        attached.link.sendall(word)
        assert attached.read(len(word)) == word.upper()
    attached.link.shutdown(socket.SHUT_WR)
    assert attached.read(1) == b"", "the agent's end is the connection's"
    assert last_words(room) == ("0", "serving\nend of input\n")


def test_the_first_line_sets_the_clock_and_is_not_the_agents(room: Path, attached: Attached) -> None:
    assert attached.read(5) == b"HELLO"
    attached.link.sendall(b"one")
    assert attached.read(3) == b"ONE"
    assert (room / "clock").read_text() == "1790000000\n"


def test_a_clock_that_cannot_be_set_ends_the_agent_and_is_told(room: Path) -> None:
    start(room)
    attached = Attached(room, set_clock="{ echo 'no right to' >&2; false; }")
    assert attached.read(100) == b"HELLO", "and the end of the stream"
    assert last_words(room) == ("0", "serving\nno right to\nend of input\n")


def test_the_agents_death_ends_the_channel_with_its_code_and_words(room: Path, attached: Attached) -> None:
    attached.read(5)
    attached.link.sendall(b"die")
    assert attached.read(1) == b"", "end of stream although our side is still open"
    assert last_words(room) == ("7", "serving\ndying\n")


def test_a_process_that_was_collected_is_as_dead_as_one_that_waits_for_it() -> None:
    ended = subprocess.Popen(["true"])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    assert not alive(ended.pid), "a zombie"
    ended.wait()
    assert not alive(ended.pid)


def test_an_agent_that_is_killed_ends_the_channel(room: Path, attached: Attached) -> None:
    attached.read(5)
    os.killpg(int((room / "agent").read_text()), signal.SIGKILL)
    assert attached.read(1) == b""
    assert last_words(room)[0] == ""


def test_a_lost_channel_ends_the_agent(room: Path, attached: Attached) -> None:
    attached.read(5)
    attached.link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    attached.link.close()  # a reset, as of a process that is gone
    assert last_words(room)[0] == "0"


def test_the_holder_ends_and_the_port_takes_one_connection(room: Path) -> None:
    start(room)
    holder = int((room / "holder").read_text())
    assert alive(holder)
    attached = Attached(room)
    assert attached.read(5) == b"HELLO"
    with contextlib.suppress(ConnectionRefusedError), socket.socket() as second:
        second.settimeout(0.3)
        second.connect(("127.0.0.1", attached.port))  # at most into the queue, where nobody takes it
        with pytest.raises(TimeoutError):
            second.recv(1)
    deadline = time.monotonic() + 5
    while alive(holder) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(holder)
    attached.link.sendall(b"still here")
    assert attached.read(10) == b"STILL HERE"


def test_a_relay_that_cannot_listen_is_told(room: Path) -> None:
    start(room)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        script = ready_script(str(room), 3, port=taken.getsockname()[1], set_clock=NOTE_CLOCK)
        told = subprocess.run([*SHELL, "-c", script], capture_output=True, timeout=20, check=False)
    assert told.returncode == 1
    assert b"the relay does not listen" in told.stderr and b"in use" in told.stderr


def test_an_agent_that_does_not_start_is_told(room: Path) -> None:
    start(room, "import sys; sys.stderr.write('no client\\n'); sys.exit(3)")
    deadline = time.monotonic() + 10
    while not (room / "exit").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    _, told = ready(room)
    assert told.returncode == 1 and b"no client" in told.stderr


def test_an_agent_that_says_nothing_is_told(room: Path) -> None:
    start(room, "import time; time.sleep(60)")
    _, told = ready(room, seconds=1)
    assert told.returncode == 1 and b"said nothing in 1 s" in told.stderr


def test_hold_is_kept_alive(room: Path) -> None:
    start(room, hold="cat")
    time.sleep(0.5)
    assert alive(int((room / "hold").read_text()))


def test_a_second_start_replaces_what_was_left(room: Path) -> None:
    start(room)
    ready(room)
    os.killpg(int((room / "agent").read_text()), signal.SIGKILL)
    os.killpg(int((room / "holder").read_text()), signal.SIGKILL)
    start(room)
    assert Attached(room).read(5) == b"HELLO"
