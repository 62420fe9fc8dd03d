# SPDX-License-Identifier: Apache-2.0
"""How far the guest has come with what was sent, as the frames that came back say it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable


class Heard:
    """`begun` and `answered` are the last sequence numbers of which a begin and a record came.

    Args:
        tell: called with the two when they have changed; what it cannot write is lost.
    """

    def __init__(self, tell: Callable[[int, int], None] | None) -> None:
        self._tell = tell
        self._told = (0, 0)
        self._lock = threading.Lock()
        self.begun = 0
        self.answered = 0

    def tell(self) -> None:
        """Once for all frames that came together."""
        with self._lock:
            now = (self.begun, self.answered)
            if self._tell is not None and now != self._told:
                self._told = now
                with contextlib.suppress(OSError):  # a full disk is told by what must not be lost
                    self._tell(*now)

    def stop(self) -> None:
        """Tells what came so far, and nothing any more: numbers will be those of another session."""
        self.tell()
        with self._lock:
            self._tell = None
