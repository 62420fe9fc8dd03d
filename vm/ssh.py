# SPDX-License-Identifier: Apache-2.0
"""SSH into a guest, with its host key pinned."""

from __future__ import annotations

import base64
import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import paramiko

from vm.errors import CommandFailed, GuestLost, GuestTimeout, VmError
from vm.family import Family

WINDOW = 4 << 20
KEEPALIVE_SECONDS = 15
DRAIN_SECONDS = 0.25
"""How long to wait for the rest of the output once the exit status is there: a service that a command
left behind holds its stdout open for ever (this is why nothing here waits for EOF)."""

# Its broken connections reach us as exceptions; without a handler logging would print them as well.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Endpoint:
    """Where a guest's SSH server is reached, and the only host key that is accepted."""

    port: int
    client_key: Path
    host_key: str
    host: str = "127.0.0.1"
    user: str = "root"

    @property
    def pinned(self) -> bytes:
        """The host key's wire form."""
        return base64.b64decode(self.host_key.split()[1])


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


def connect(endpoint: Endpoint, timeout: float, *, booting: bool = False) -> paramiko.Transport:
    """A transport that has proved the host key and is authenticated.

    QEMU's user network accepts a connection before the guest listens, and then asks the guest again only
    after seconds.  So towards a booting guest a silent connection is given up soon and made anew; towards
    a forked one, which listens already, one connection is patiently kept (impatience would pile up
    half-open ones in the guest).

    Raises:
        GuestTimeout: no SSH server answered in time.
        GuestLost: it answered and broke off, or showed another host key.
    """
    deadline = time.monotonic() + timeout
    patience = 0.25 if booting else timeout
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise GuestTimeout(f"no SSH server within {timeout:.0f} s", f"{endpoint.host}:{endpoint.port}")
        link = _speaking(endpoint, min(patience, left))
        if link is None:
            patience = min(patience * 1.3, 5.0)
            continue
        try:
            return _authenticated(endpoint, link, max(left, 5.0))
        except GuestLost:
            if not booting or time.monotonic() > deadline:
                raise


def _speaking(endpoint: Endpoint, patience: float) -> socket.socket | None:
    """A connection on which the server's first byte waits to be read; None where it stays silent."""
    begun = time.monotonic()
    try:
        link = socket.create_connection((endpoint.host, endpoint.port), timeout=patience)
    except OSError:
        # Refused: QEMU does not listen yet.  Let the rest of this try's time pass.
        threading.Event().wait(max(0.0, min(patience, 0.05) - (time.monotonic() - begun)))
        return None
    try:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if link.recv(1, socket.MSG_PEEK):
            return link
    except OSError:
        pass
    link.close()
    return None


def _authenticated(endpoint: Endpoint, link: socket.socket, timeout: float) -> paramiko.Transport:
    where = f"{endpoint.host}:{endpoint.port}"
    transport = paramiko.Transport(link, default_window_size=WINDOW)
    transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = timeout
    options = transport.get_security_options()
    # The cheapest for an emulated processor among those that both sides have and nobody has broken.
    options.kex = _prefer(options.kex, "curve25519-sha256@libssh.org")
    options.ciphers = _prefer(options.ciphers, "aes128-ctr")
    options.key_types = ("ssh-ed25519",)
    try:
        transport.start_client(timeout=timeout)
        if transport.get_remote_server_key().asbytes() != endpoint.pinned:
            raise GuestLost("the guest shows another host key than the image's", where)
        key = paramiko.Ed25519Key.from_private_key_file(str(endpoint.client_key))
        transport.auth_publickey(endpoint.user, key)
    except (paramiko.SSHException, OSError, EOFError) as error:
        transport.close()
        if isinstance(error, GuestLost):
            raise
        raise GuestLost(f"SSH cannot be set up: {error or type(error).__name__}", where) from None
    transport.set_keepalive(KEEPALIVE_SECONDS)
    return transport


def _prefer(offered: Sequence[str], first: str) -> tuple[str, ...]:
    return (first, *(name for name in offered if name != first)) if first in offered else tuple(offered)


class Channel:
    """A process in the guest with its stdin and stdout, or a port there: a byte stream with little delay.

    ``read`` and ``write`` may be called from two different threads.
    """

    _TAIL = 64 << 10

    def __init__(self, channel: paramiko.Channel, where: str, *, forwarded: bool = False) -> None:
        self._channel = channel
        self._where = where
        self._tail = bytearray()
        self._tail_lock = threading.Lock()
        if not forwarded:
            # Unread stderr would fill the window and stop the process.
            threading.Thread(target=self._drain_stderr, name=f"stderr of {where}", daemon=True).start()

    def __enter__(self) -> Channel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self, n: int, timeout: float | None = None) -> bytes:
        """At most ``n`` bytes, b"" at the end.

        Raises:
            GuestTimeout: (a TimeoutError) nothing came within ``timeout`` seconds.
        """
        self._channel.settimeout(timeout)
        try:
            return self._channel.recv(n)
        except TimeoutError:
            raise GuestTimeout(f"nothing came within {timeout} s", self._where) from None

    def write(self, data: bytes) -> None:
        """All of the bytes.

        Raises:
            GuestLost: (an OSError) the process or the connection is gone.
        """
        try:
            self._channel.sendall(data)
        except (OSError, EOFError) as error:
            raise GuestLost(f"cannot be written to: {error or 'it is closed'}", self._where) from None

    def close_stdin(self) -> None:
        """Tells the process that nothing more will come."""
        with contextlib.suppress(OSError, EOFError):
            self._channel.shutdown_write()

    def wait(self, timeout: float) -> int:
        """The process's exit code.

        Raises:
            GuestTimeout: it still runs.
            GuestLost: it ended without saying how.
        """
        if not self._channel.status_event.wait(timeout):
            raise GuestTimeout(f"still runs after {timeout:.0f} s", self._where)
        code = self.exit_code
        if code is None:
            raise GuestLost("ended without an exit code", self._where)
        return code

    def close(self) -> None:
        """Ends the process's stdin and the channel; never raises."""
        self.close_stdin()
        with contextlib.suppress(OSError, EOFError):
            self._channel.close()

    def stderr_tail(self) -> str:
        """The end of what the process wrote for people."""
        with self._tail_lock:
            return self._tail.decode(errors="replace")

    @property
    def exit_code(self) -> int | None:
        """Of the process, once it has ended and said so."""
        if not self._channel.status_event.is_set():
            return None
        return self._channel.exit_status if self._channel.exit_status >= 0 else None

    def _drain_stderr(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            while data := self._channel.recv_stderr(65536):
                with self._tail_lock:
                    self._tail += data
                    del self._tail[: -self._TAIL]


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
    ) -> Completed:
        """Runs a command to its exit status; a string is a command line of the guest's shell.

        Raises:
            GuestTimeout: no exit status within ``timeout`` seconds.
            GuestLost: the connection broke.
            CommandFailed: with ``check``, the exit code was not 0.
        """
        line = argv if isinstance(argv, str) else self.family.command_line(argv)
        channel = self._open(line)
        stdout, stderr = _Collector(channel.recv), _Collector(channel.recv_stderr)
        try:
            if input is not None:
                channel.settimeout(timeout)
                with contextlib.suppress(OSError):  # a command need not read all of its input
                    channel.sendall(input)
                channel.settimeout(None)
            with contextlib.suppress(OSError, EOFError):
                channel.shutdown_write()
            if not channel.status_event.wait(timeout):
                raise GuestTimeout(f"no end within {timeout:.0f} s: {_short(line)}", self._where)
            code = channel.exit_status
            if code < 0 and not self._transport.is_active():
                raise GuestLost(f"the connection broke during: {_short(line)}", self._where)
            patience = time.monotonic() + DRAIN_SECONDS
            done = Completed(code, stdout.result(patience), stderr.result(patience))
        finally:
            channel.close()
        if check and done.exit_code != 0:
            said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
            raise CommandFailed(
                f"exit code {done.exit_code} of: {_short(line)}" + (f": {said[-1]}" if said else ""),
                self._where,
                exit_code=done.exit_code,
                output=(done.stdout + done.stderr).decode(errors="replace"),
            )
        return done

    def spawn(self, command: str, log: str) -> None:
        """Starts a command line that outlives this connection; its output goes to ``log`` in the guest."""
        self.run(self.family.background(command, log), check=True)

    def channel(self, command: str) -> Channel:
        """Starts a command line whose stdin and stdout stay connected.

        Raises:
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
            channel = self._transport.open_session(timeout=30)
            channel.exec_command(line)
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise GuestLost(
                f"the guest takes no command: {error or 'connection lost'}", self._where
            ) from None
        return channel

    @contextlib.contextmanager
    def _sftp_session(self, timeout: float) -> Iterator[paramiko.SFTPClient]:
        with self._sftp_lock:
            try:
                if self._sftp is None:
                    self._sftp = paramiko.SFTPClient.from_transport(self._transport)
                assert self._sftp is not None
                channel = self._sftp.get_channel()
                if channel is not None:
                    channel.settimeout(timeout)
                yield self._sftp
            except (paramiko.SSHException, EOFError) as error:
                self._sftp = None
                raise GuestLost(
                    f"the file transfer broke: {error or 'connection lost'}", self._where
                ) from None


class _Collector:
    """Reads one stream of a channel to its end, or as far as one waits for it."""

    def __init__(self, receive: Callable[[int], bytes]) -> None:
        self._receive = receive
        self._data = bytearray()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            while data := self._receive(65536):
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
