# SPDX-License-Identifier: Apache-2.0
"""Commands and files of one guest, over one SSH connection."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import paramiko

from vm.channel import Channel
from vm.errors import CommandFailed, GuestLost, GuestTimeout, TooMuchOutput, VmError
from vm.family import Family

DRAIN_SECONDS = 0.25
"""How long to wait for the rest of the output once the exit status is there: a service that a command
left behind holds its stdout open for ever (this is why nothing here waits for EOF)."""
OUTPUT_LIMIT = 16 << 20
"""Bytes of one stream of a command that are kept: the guest is not trusted, and our memory is not its own."""
_ANSWER_SECONDS = 30.0
"""For a guest's SSH server to say whether it begins what it was asked for."""
_SFTP_PACKET_LIMIT = 1 << 20
"""Bytes; what a server sends is a quarter of that at most (OpenSSH's sftp-common.h: 256 KiB)."""


@dataclass(frozen=True)
class Completed:
    """What a command left."""

    exit_code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """stdout as text, without the blanks around it."""
        return self.stdout.decode(errors="replace").strip()


class Shell:
    """Commands and files of one guest; safe to use from several threads."""

    def __init__(self, transport: paramiko.Transport, family: Family, where: str) -> None:
        self.family = family
        self._transport = transport
        self._where = where
        self._sftp: paramiko.SFTPClient | None = None
        self._sftp_lock = threading.Lock()

    @property
    def alive(self) -> bool:
        """Whether the connection still stands, as far as is known."""
        return self._transport.is_active()

    def wine(self, argv: Sequence[str]) -> str:
        """The command line that runs an .exe on this family of guests (on Windows: nothing special)."""
        return self.family.windows_program(argv)

    def run(
        self,
        argv: Sequence[str] | str,
        *,
        input: bytes | None = None,
        timeout: float = 60,
        check: bool = False,
        limit: int = OUTPUT_LIMIT,
    ) -> Completed:
        """Runs a command to its exit status; a string is a command line of the guest's shell.

        ``limit``: bytes that each of stdout and stderr may have.

        Raises:
            GuestTimeout: no exit status within ``timeout`` seconds.
            TooMuchOutput: it printed more than ``limit`` bytes.
            GuestLost: the connection broke.
            CommandFailed: with ``check``, the exit code was not 0.
        """
        line = argv if isinstance(argv, str) else self.family.command_line(argv)
        channel = self._open(line)
        streams = (channel.recv, channel.recv_stderr)
        stdout, stderr = (_Collector(receive, limit, channel.close) for receive in streams)
        try:
            if input is not None:
                channel.settimeout(timeout)
                with contextlib.suppress(OSError):  # a command need not read all of its input
                    channel.sendall(input)
                channel.settimeout(None)
            with contextlib.suppress(OSError, EOFError):
                channel.shutdown_write()
            ended = channel.status_event.wait(timeout)
            if stdout.overflowed or stderr.overflowed:
                raise TooMuchOutput(f"more than {limit} bytes of output from: {_short(line)}", self._where)
            if not ended:
                raise GuestTimeout(f"no end within {timeout:.0f} s: {_short(line)}", self._where)
            code = channel.exit_status
            if code < 0 and not self._transport.is_active():
                raise GuestLost(f"the connection broke during: {_short(line)}", self._where)
            patience = time.monotonic() + DRAIN_SECONDS
            done = Completed(code, stdout.result(patience), stderr.result(patience))
            if stdout.overflowed or stderr.overflowed:
                raise TooMuchOutput(f"more than {limit} bytes of output from: {_short(line)}", self._where)
        finally:
            channel.close()
        if check and done.exit_code != 0:
            said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
            reason = f": {_printable(said[-1])}" if said else ""
            raise CommandFailed(
                f"exit code {done.exit_code} of: {_short(line)}{reason}",
                self._where,
                exit_code=done.exit_code,
                output=(done.stdout + done.stderr).decode(errors="replace"),
            )
        return done

    def channel(self, command: str) -> Channel:
        """Starts a command line whose stdin and stdout stay connected.

        Raises:
            GuestTimeout: the guest does not say whether it was started.
            GuestLost: the connection broke.
        """
        return Channel(self._open(command), self._where)

    def forward(self, port: int) -> Channel:
        """Connects to a TCP port of the guest's loopback; such a channel has neither stderr nor exit code.

        Raises:
            VmError: nobody listens there, or the guest's SSH server does not forward.
            GuestLost: the connection broke.
        """
        try:
            channel = self._transport.open_channel(
                "direct-tcpip", ("127.0.0.1", port), ("127.0.0.1", 0), timeout=30
            )
        except paramiko.ChannelException as error:
            raise VmError(
                f"port {port} of the guest takes no connection: {error.text}", self._where
            ) from None
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise GuestLost(
                f"the guest forwards no connection: {error or 'connection lost'}", self._where
            ) from None
        return Channel(channel, self._where, forwarded=True)

    def put(self, files: Mapping[str, Path], timeout: float = 120) -> None:
        """Copies files into the guest: remote path (of the guest's own kind) -> local file.

        Raises:
            GuestLost: the connection broke.
            VmError: a file cannot be read here or written there.
        """
        with self._sftp_session(timeout) as sftp:
            made: set[str] = set()
            for remote, local in files.items():
                path = self.family.sftp_path(remote)
                _make_parents(sftp, path, made)
                try:
                    sftp.put(str(local), path)
                except OSError as error:
                    raise VmError(f"cannot be copied to {remote}: {error}", str(local)) from None

    def get(self, remote: str, local: Path, *, limit: int = 1 << 30, timeout: float = 120) -> None:
        """Copies one file out of the guest; more than ``limit`` bytes are refused.

        Raises:
            GuestLost: the connection broke.
            VmError: there is no such file, or it is too large.
        """
        path = self.family.sftp_path(remote)
        with self._sftp_session(timeout) as sftp:
            try:
                with sftp.open(path, "rb") as source, local.open("wb") as target:
                    size = source.stat().st_size or 0
                    if size > limit:
                        raise VmError(f"is {size} bytes long, more than {limit}", remote)
                    source.prefetch(size)
                    # The guest is not trusted: what it sends counts, not what it said.
                    while (room := limit - target.tell()) > 0 and (data := source.read(min(room, 1 << 18))):
                        target.write(data)
            except OSError as error:
                if isinstance(error, VmError):
                    raise
                raise VmError(f"cannot be copied: {error}", remote) from None

    def close(self) -> None:
        """Ends the connection; never raises."""
        with contextlib.suppress(Exception):
            self._transport.close()

    def _open(self, line: str) -> paramiko.Channel:
        try:
            channel = self._transport.open_session(timeout=_ANSWER_SECONDS)
            with _answered(channel, f"no answer to: {_short(line)}", self._where):
                channel.exec_command(line)
        except (GuestTimeout, GuestLost):
            raise
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise GuestLost(
                f"the guest takes no command: {error or 'connection lost'}", self._where
            ) from None
        return channel

    def _open_sftp(self) -> paramiko.SFTPClient:
        channel = self._transport.open_session(timeout=_ANSWER_SECONDS)
        with _answered(channel, "no answer of its file transfer", self._where):
            channel.invoke_subsystem("sftp")
            return _BoundedSftp(channel)

    @contextlib.contextmanager
    def _sftp_session(self, timeout: float) -> Iterator[paramiko.SFTPClient]:
        with self._sftp_lock:
            try:
                if self._sftp is None:
                    self._sftp = self._open_sftp()
                channel = self._sftp.get_channel()
                if channel is not None:
                    channel.settimeout(timeout)
                yield self._sftp
            except (paramiko.SSHException, EOFError) as error:
                self._sftp = None
                raise GuestLost(
                    f"the file transfer broke: {error or 'connection lost'}", self._where
                ) from None


@contextlib.contextmanager
def _answered(channel: paramiko.Channel, late: str, where: str) -> Iterator[None]:
    """Ends what is done inside when the guest is silent over it.

    paramiko waits for as long as the connection stands, and that to a guest whose kernel hangs stands for
    ever.

    Raises:
        GuestTimeout: it was silent.
    """
    silent = threading.Event()

    def give_up() -> None:
        silent.set()
        channel.close()

    timer = threading.Timer(_ANSWER_SECONDS, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (paramiko.SSHException, OSError, EOFError):
        if silent.is_set():
            raise GuestTimeout(f"{late} within {_ANSWER_SECONDS:.0f} s", where) from None
        raise
    finally:
        timer.cancel()


class _BoundedSftp(paramiko.SFTPClient):
    """paramiko takes as many bytes as the server says that a packet has, up to 4 GiB."""

    def _read_all(self, n: int) -> bytes:
        if n > _SFTP_PACKET_LIMIT:
            raise paramiko.SSHException(f"a packet of {n} bytes")
        data: bytes = super()._read_all(n)  # type: ignore[misc]
        return data


class _Collector:
    """Reads one stream of a channel to its end, to ``limit`` bytes, or as far as one waits for it."""

    def __init__(self, receive: Callable[[int], bytes], limit: int, overflow: Callable[[], None]) -> None:
        """``overflow`` is called when there is more than ``limit``; it is to end the stream."""
        self.overflowed = False
        self._receive = receive
        self._limit = limit
        self._overflow = overflow
        self._data = bytearray()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            while data := self._receive(65536):
                if len(self._data) + len(data) > self._limit:
                    self.overflowed = True
                    self._overflow()
                    return
                self._data += data

    def result(self, deadline: float) -> bytes:
        self._thread.join(max(0.0, deadline - time.monotonic()))
        return bytes(self._data)


def _make_parents(sftp: paramiko.SFTPClient, path: str, made: set[str]) -> None:
    parts = path.split("/")[:-1]
    for end in range(2, len(parts) + 1):
        directory = "/".join(parts[:end])
        if directory in made:
            continue
        made.add(directory)
        try:
            sftp.stat(directory)
        except FileNotFoundError:
            with contextlib.suppress(OSError):
                sftp.mkdir(directory)


def _short(line: str) -> str:
    return line if len(line) <= 120 else f"{line[:117]}..."


def _printable(text: str) -> str:
    """Words of a guest, harmless in a terminal and short enough for one line."""
    return _short("".join(letter if letter.isprintable() else "?" for letter in text))
