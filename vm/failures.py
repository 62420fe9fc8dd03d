# SPDX-License-Identifier: Apache-2.0
"""What failed once is not tried again: an image that cannot be built would fail anew for each scenario."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from vm.errors import VmError
from vm.files import read_json, write_json


class Failures:
    """The failures of this process, by the digest of what was to be made; safe to share.

    Several processes that wait for the same thing learn of its failure from a file beside it.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._known: dict[str, VmError] = {}

    def check(self, digest: str) -> None:
        """Raises the failure of the thing with this digest, if it has failed in this process.

        Raises:
            VmError: that one.
        """
        with self._guard:
            known = self._known.get(digest)
        if known is not None:
            raise known.with_traceback(None)

    def check_file(self, digest: str, path: Path, since: float) -> None:
        """The same for a failure that another process has written to ``path`` after ``since``.

        Raises:
            VmError: that one.
        """
        told = read_json(path) or {}
        if told.get("digest") == digest and told.get("at", 0) >= since:
            hint = told.get("hint")
            error = VmError(
                str(told.get("message")), told.get("where"), hint if isinstance(hint, str) else None
            )
            with self._guard:
                self._known[digest] = error
            self.check(digest)

    def remember(self, digest: str, path: Path, error: VmError) -> None:
        """From now on, `check` raises ``error``, and so does `check_file` for those that wait now."""
        with self._guard:
            self._known[digest] = error
        told = {"message": error.message, "where": error.where, "hint": error.hint}
        # The time stands in it: a file's own is that of the kernel's last tick.
        write_json(path, {"digest": digest, "at": time.time(), **told})

    def forget(self) -> None:
        """As in a new process."""
        with self._guard:
            self._known.clear()
