# SPDX-License-Identifier: Apache-2.0
"""The streams of a program under Wine on this host."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import tempfile
from collections.abc import Sequence


class LocalChannel:
    """The channel of `docs/architecture.md` to a program under Wine on this host."""

    def __init__(self, argv: Sequence[str], env: dict[str, str]) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115, lives as long as the channel
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, env=env, bufsize=0
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin = self._process.stdin
        self._stdout = self._process.stdout

    @property
    def pid(self) -> int:
        """Of the program on this host."""
        return self._process.pid

    def read(self, n: int, timeout: float | None = None) -> bytes:
        """At most n bytes, b"" at the end of the stream; TimeoutError when nothing came."""
        ready, _, _ = select.select([self._stdout], [], [], timeout)
        if not ready:
            raise TimeoutError(f"nothing within {timeout} s")
        return os.read(self._stdout.fileno(), n)

    def write(self, data: bytes) -> None:
        """All of the bytes; BrokenPipeError when the program is gone."""
        rest = memoryview(data)
        while rest:
            written = self._stdin.write(rest)
            assert written is not None
            rest = rest[written:]

    def end_of_input(self) -> None:
        """The program sees the end of its stdin; its answers can still be read."""
        with contextlib.suppress(OSError):
            self._stdin.close()

    def close(self) -> None:
        """Ends the program's input and waits for it; one that does not end is killed."""
        self.end_of_input()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        self.kill()

    def kill(self) -> None:
        """What kill -9 does."""
        self._process.kill()
        self._process.wait()

    def wait(self, timeout: float = 20.0) -> int:
        """The exit code; subprocess.TimeoutExpired if the program goes on."""
        return self._process.wait(timeout)

    def stderr_tail(self) -> str:
        """The last 4000 bytes that the program wrote for people."""
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - 4000))
        return self._stderr.read().decode(errors="replace")

    @property
    def exit_code(self) -> int | None:
        """Of the program, once it has ended."""
        return self._process.poll()
