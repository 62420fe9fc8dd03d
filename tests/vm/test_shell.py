# SPDX-License-Identifier: Apache-2.0
"""Commands of a guest that is not to be trusted: an SSH server of our own plays it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest

from vm.errors import CommandFailed, GuestLost, GuestTimeout, TooMuchOutput
from vm.family import Wine
from vm.shell import Shell, _BoundedSftp

Behaviour = Callable[[paramiko.Channel], None]


class Guest(paramiko.ServerInterface):
    """Lets everybody in; each command is what ``behaviour`` does with its channel."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour

    def check_auth_none(self, username: str) -> int:
        return paramiko.AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        def run() -> None:
            with contextlib.suppress(OSError, EOFError):
                channel.recv(1)  # the end of its input: by then the client knows that it was started
                self.behaviour(channel)

        threading.Thread(target=run, daemon=True).start()
        return True


@pytest.fixture
def shell_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Behaviour], Shell]]:
    opened: list[paramiko.Transport] = []
    key = paramiko.ECDSAKey.generate(bits=256)

    def make(behaviour: Behaviour) -> Shell:
        ours, theirs = socket.socketpair()
        server, client = paramiko.Transport(theirs), paramiko.Transport(ours)
        opened.extend((client, server))
        server.add_server_key(key)
        server.start_server(server=Guest(behaviour), event=threading.Event())
        client.start_client(timeout=20)
        client.auth_none("root")
        return Shell(client, Wine(), "guest-1")

    yield make
    for transport in opened:
        transport.close()


def floods(send: str) -> Behaviour:
    """Prints for ever, on ``sendall`` or ``sendall_stderr``."""

    def run(channel: paramiko.Channel) -> None:
        while True:
            getattr(channel, send)(b"x" * 32768)

    return run


def says(text: bytes, code: int) -> Behaviour:
    def run(channel: paramiko.Channel) -> None:
        channel.sendall(text)
        channel.send_exit_status(code)
        channel.close()

    return run


@pytest.mark.parametrize("stream", ["sendall", "sendall_stderr"])
def test_output_without_end_is_ended(shell_of: Callable[[Behaviour], Shell], stream: str) -> None:
    shell = shell_of(floods(stream))
    with pytest.raises(TooMuchOutput, match="guest-1: more than 200000 bytes of output from: yes"):
        shell.run("yes", limit=200_000, timeout=60)


def test_too_much_is_told_of_a_command_that_ended_too(shell_of: Callable[[Behaviour], Shell]) -> None:
    """Nothing of a cut output is taken for the whole."""
    with pytest.raises(TooMuchOutput):
        shell_of(says(b"x" * 5000, 0)).run("cat", limit=4999)
    assert len(shell_of(says(b"x" * 5000, 0)).run("cat", limit=5000).stdout) == 5000


def test_words_of_a_guest_are_harmless_in_a_terminal(shell_of: Callable[[Behaviour], Shell]) -> None:
    with pytest.raises(CommandFailed) as caught:
        shell_of(says(b"first\n\x1b]0;title\x07bad" + b"y" * 5000 + b"\n", 1)).run("x", check=True)
    said = str(caught.value)
    assert said.isprintable()
    assert "bad" in said
    assert len(said) < 300


def test_a_packet_of_gigabytes_breaks_the_file_transfer(monkeypatch: pytest.MonkeyPatch) -> None:
    """paramiko would collect whatever length the server announces."""
    sftp = _BoundedSftp.__new__(_BoundedSftp)
    with pytest.raises(paramiko.SSHException, match="4294967295 bytes"):
        sftp._read_all(0xFFFFFFFF)


def test_a_broken_file_transfer_is_a_lost_guest(shell_of: Callable[[Behaviour], Shell]) -> None:
    shell = shell_of(says(b"", 0))
    with pytest.raises(GuestLost, match="the file transfer broke"), shell._sftp_session(5):
        raise paramiko.SSHException("a packet of 4294967295 bytes")


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A guest that accepts every connection and then answers nothing, as one whose kernel hangs."""
    go = threading.Event()
    monkeypatch.setattr("vm.shell._ANSWER_SECONDS", 0.2)
    for what in ("exec", "subsystem"):
        monkeypatch.setattr(Guest, f"check_channel_{what}_request", lambda *args: go.wait(60))
    yield
    go.set()


@pytest.mark.usefixtures("silent")
def test_a_guest_that_answers_nothing_ends_the_wait(
    shell_of: Callable[[Behaviour], Shell], tmp_path: Path
) -> None:
    with pytest.raises(GuestTimeout, match=r"guest-1: no answer to: ver within 0 s"):
        shell_of(says(b"", 0)).run("ver")
    with pytest.raises(GuestTimeout, match=r"guest-1: no answer to: serve within 0 s"):
        shell_of(says(b"", 0)).channel("serve")
    with pytest.raises(GuestTimeout, match=r"guest-1: no answer of its file transfer within 0 s"):
        shell_of(says(b"", 0)).get("x", tmp_path / "x")
