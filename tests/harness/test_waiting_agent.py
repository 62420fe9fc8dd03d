"""The waiting agent's shell scripts, run by the host's own sh with a small agent in Python."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.waiting_agent import attach_script, ready_script, start_script

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
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "kshs room"
    yield directory
    for name in ("holder", "attached", "agent", "hold"):
        file = directory / name
        if file.exists():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(int(file.read_text()), signal.SIGKILL)


def start(room: Path, agent: str = AGENT, hold: str | None = None) -> None:
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(agent)}"
    done = subprocess.run(
        [*SHELL, "-c", start_script(command, hold, str(room))], capture_output=True, timeout=10, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def ready(room: Path, seconds: int = 10) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*SHELL, "-c", ready_script(str(room), seconds)], capture_output=True, timeout=20, check=False
    )


def attach(room: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*SHELL, "-c", attach_script(str(room))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def read(process: subprocess.Popen[bytes], n: int) -> bytes:
    assert process.stdout is not None
    data = b""
    while len(data) < n:
        more = os.read(process.stdout.fileno(), n - len(data))
        if not more:
            break
        data += more
    return data


def write(process: subprocess.Popen[bytes], data: bytes) -> None:
    assert process.stdin is not None
    os.write(process.stdin.fileno(), data)


def test_hello_waits_and_the_stream_goes_both_ways(room: Path) -> None:
    start(room)
    assert ready(room).returncode == 0
    time.sleep(0.3)  # nobody is attached; the agent must neither end nor block
    process = attach(room)
    assert read(process, 5) == b"HELLO"
    for word in (b"one", b"two", bytes(range(97, 123)) * 1000):
        write(process, word)
        assert read(process, len(word)) == word.upper()
    out, err = process.communicate(timeout=10)  # closes stdin
    assert out == b""
    assert process.returncode == 0
    assert err.decode().splitlines() == ["serving", "end of input"]


def test_the_agents_death_ends_the_channel_with_its_code_and_words(room: Path) -> None:
    start(room)
    assert ready(room).returncode == 0  # as leases are: else a slow host attaches before the agent is there
    process = attach(room)
    read(process, 5)
    write(process, b"die")
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.read() == b"", "end of stream although our stdin is still open"
    assert process.wait(10) == 7
    assert process.stderr.read().endswith(b"dying\n")


def test_an_agent_that_is_killed_ends_the_channel(room: Path) -> None:
    start(room)
    assert ready(room).returncode == 0  # as leases are: else a slow host attaches before the agent is there
    process = attach(room)
    read(process, 5)
    os.killpg(int((room / "agent").read_text()), signal.SIGKILL)
    _, _ = process.communicate(timeout=10)
    assert process.returncode == 255


def test_a_lost_channel_ends_the_agent(room: Path) -> None:
    start(room)
    assert ready(room).returncode == 0  # as leases are: else a slow host attaches before the agent is there
    process = attach(room)
    read(process, 5)
    process.kill()
    assert process.stdin is not None
    process.stdin.close()
    process.wait(10)
    deadline = time.monotonic() + 10
    while not (room / "exit").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (room / "exit").read_text().strip() == "0"


def test_attaching_ends_the_holder_and_works_once(room: Path) -> None:
    start(room)
    holder = int((room / "holder").read_text())
    assert alive(holder)
    process = attach(room)
    read(process, 5)
    second = subprocess.run(
        [*SHELL, "-c", attach_script(str(room))], capture_output=True, timeout=10, check=False
    )
    assert second.returncode == 254
    assert b"no agent is waiting" in second.stderr
    deadline = time.monotonic() + 5
    while alive(holder) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(holder)
    write(process, b"still here")
    assert read(process, 10) == b"STILL HERE"
    process.communicate(timeout=10)


def test_attaching_before_it_is_ready_waits_for_hello(room: Path) -> None:
    start(room, "import time; time.sleep(0.7)\n" + AGENT)
    process = attach(room)
    assert read(process, 5) == b"HELLO"
    process.communicate(timeout=10)


def test_an_agent_that_does_not_start_is_told(room: Path) -> None:
    start(room, "import sys; sys.stderr.write('no client\\n'); sys.exit(3)")
    deadline = time.monotonic() + 10
    while not (room / "exit").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    told = ready(room)
    assert told.returncode == 1 and b"no client" in told.stderr


def test_an_agent_that_says_nothing_is_told(room: Path) -> None:
    start(room, "import time; time.sleep(60)")
    told = ready(room, seconds=1)
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
    assert ready(room).returncode == 0
    process = attach(room)
    assert read(process, 5) == b"HELLO"
    process.communicate(timeout=10)
