# SPDX-License-Identifier: Apache-2.0
"""QEMU's monitor (QMP) for machines that are started without libvirt.

qemu.qmp speaks the protocol, in asyncio; its loop runs in a thread here, so that whoever asks just waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from qemu.qmp import QMPClient, QMPError
from qemu.qmp.qmp_client import ExecuteError

from vm.errors import VmError

_T = TypeVar("_T")
_ANSWER = 60.0


class Monitor:
    """A connection to one QEMU.

    Args:
        socket: of the monitor; it is there already.
        name: of the guest, for messages.

    Raises:
        VmError: from every method, where QEMU refuses, does not answer or is gone.
    """

    def __init__(self, socket: Path, name: str) -> None:
        self._name = name
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"monitor of {name}", daemon=True)
        self._thread.start()
        self._client = QMPClient(name)
        try:
            self._wait(self._client.connect(str(socket)), _ANSWER, "connecting to its monitor")
        except BaseException:
            self._end_loop()
            raise

    def command(self, name: str, timeout: float = _ANSWER, **arguments: Any) -> Any:
        """One command; gives what it returns."""
        return self._wait(self._client.execute(name, arguments or None), timeout, name)

    def human(self, line: str, timeout: float = _ANSWER) -> str:
        """One line of the monitor for people; gives what it prints."""
        return str(self.command("human-monitor-command", timeout, **{"command-line": line}))

    def close(self) -> None:
        """Ends the connection; never raises."""
        with contextlib.suppress(Exception):
            self._wait(self._client.disconnect(), 5.0, "disconnecting")
        self._end_loop()

    def _end_loop(self) -> None:
        # What QEMU's end has broken in it was told already; asyncio would print it once more.
        self._loop.set_exception_handler(lambda loop, context: None)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5.0)

    def _wait(self, what: Coroutine[Any, Any, _T], timeout: float, words: str) -> _T:
        future = asyncio.run_coroutine_threadsafe(what, self._loop)
        try:
            return future.result(timeout)
        except TimeoutError:
            future.cancel()
            raise VmError(f"QEMU does not answer within {timeout:.0f} s: {words}", self._name) from None
        except ExecuteError as error:
            raise VmError(f"QEMU refuses {words}: {error}", self._name) from None
        except (QMPError, OSError, EOFError) as error:
            raise VmError(f"QEMU is gone: {words}: {error or type(error).__name__}", self._name) from None
