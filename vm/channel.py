# SPDX-License-Identifier: Apache-2.0
"""A process in a guest whose stdin and stdout stay connected, or one of the guest's ports."""

from __future__ import annotations

import contextlib
import threading
from types import TracebackType

import paramiko

from vm.errors import GuestLost, GuestTimeout


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
