# SPDX-License-Identifier: Apache-2.0
"""Guests of which the last one stays, as the scenario left it, for a person to look at."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from harness.errors import HarnessError
from harness.guests.interface import Guest
from harness.guests.provider import VmGuest, VmProvider

if TYPE_CHECKING:
    from vm.keeper import KeptGuest
    from vm.lease import Lease


class _Retired(VmGuest):
    """A guest that is not ended when it is given back: its provider says when."""

    def close(self) -> None:
        """Nothing yet."""

    def end(self) -> None:
        """Ends the lease."""
        super().close()


class KeepingProvider(VmProvider):
    """As `VmProvider`; what was given back last lives until the next guest is asked for, or is kept."""

    _last: _Retired | None = None

    def acquire(self) -> Guest:
        """A clean guest, once the one before it has ended."""
        self._end()
        return super().acquire()

    def acquire_ahead(self) -> None:
        """Nothing: there is one guest at a time."""

    def _guest_of(self, lease: Lease) -> VmGuest:
        self._last = _Retired(lease)
        return self._last

    def keep(self) -> KeptGuest:
        """Leaves the last guest running when this process ends.

        Raises:
            HarnessError: there is none: its machine has ended.
            VmError: it cannot be kept.
        """
        if self._last is None or self._last.lease.ended():
            raise HarnessError("there is no guest to keep: its virtual machine has ended")
        kept = self._last.lease.keep()
        self._last = None
        return kept

    def close(self) -> None:
        """Ends what was not kept, and closes the connection to the hypervisor."""
        self._end()
        super().close()

    def _end(self) -> None:
        last, self._last = self._last, None
        if last is not None:
            with contextlib.suppress(Exception):  # a guest that cannot even be ended is the reaper's
                last.end()
